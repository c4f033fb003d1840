//! What memory is full of.

use super::Forecast;
use crate::plan::{BufferId, Place, Plan};

/// A part of a program's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// What it is.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
}

impl Forecast {
    /// Bytes of the arena that no tensor is in when it is fullest.
    pub fn gaps(&self) -> u64 {
        let taken: u64 = self.tensors.iter().map(|content| content.bytes).sum();
        self.memory.arena.saturating_sub(taken)
    }

    /// What takes the memory on so many threads, the largest first: weights, inputs and outputs, working memory, and each
    /// tensor that is in the arena when that is fullest; the rest of the arena is what their places leave between them.
    pub fn contents(&self, threads: usize) -> Vec<Content> {
        let memory = &self.memory;
        let blocks = [
            ("weights and what the optimizer keeps", memory.state),
            ("inputs and outputs", memory.ports),
            ("working memory of the threads", memory.scratch * threads as u64),
            ("gaps between tensors", self.gaps()),
        ];
        let blocks = blocks.map(|(name, bytes)| Content { name: name.to_owned(), bytes });
        let mut found: Vec<Content> = blocks.into_iter().chain(self.tensors.iter().cloned()).collect();
        found.retain(|content| content.bytes > 0);
        found.sort_by(|a, b| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
        found
    }
}

/// The tensors in the arena at the step at which they take most.
pub(super) fn fullest(plan: &Plan) -> Vec<Content> {
    let mut lives: Vec<Option<(usize, usize)>> = vec![None; plan.buffers.len()];
    for (i, step) in plan.steps.iter().enumerate() {
        for &BufferId(b) in step.inputs.iter().chain(&step.outputs) {
            lives[b as usize].get_or_insert((i, i)).1 = i;
        }
    }
    let mut change = vec![0i64; plan.steps.len() + 1];
    let in_arena = |b: usize| matches!(plan.buffers[b].place, Place::Arena(_));
    for (b, life) in lives.iter().enumerate() {
        if let Some((first, last)) = life.filter(|_| in_arena(b)) {
            change[first] += plan.buffers[b].bytes() as i64;
            change[last + 1] -= plan.buffers[b].bytes() as i64;
        }
    }
    let (mut bytes, mut most, mut at) = (0, 0, 0);
    for (i, change) in change.iter().enumerate() {
        bytes += change;
        if bytes > most {
            (most, at) = (bytes, i);
        }
    }
    let alive = |b: &usize| in_arena(*b) && lives[*b].is_some_and(|(first, last)| first <= at && at <= last);
    let buffers = (0..plan.buffers.len()).filter(alive).map(|b| &plan.buffers[b]);
    buffers.map(|buffer| Content { name: buffer.name.clone(), bytes: buffer.bytes() as u64 }).collect()
}
