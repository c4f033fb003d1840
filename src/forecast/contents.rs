//! What memory is full of.

use super::Forecast;
use crate::plan::{Place, Plan};

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

    /// Bytes that a batch surely takes, whatever is computed how; they grow with the batch.
    pub fn least_bytes(&self) -> u64 {
        self.memory.state + self.memory.ports + self.needed
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
    let lives = lives(plan);
    let (_, at) = most(plan, &lives, |_| true);
    let alive = |b: &usize| lives[*b].is_some_and(|(first, last)| first <= at && at <= last);
    let buffers = (0..plan.buffers.len()).filter(alive).map(|b| &plan.buffers[b]);
    buffers.map(|buffer| Content { name: buffer.name.clone(), bytes: buffer.bytes() as u64 }).collect()
}

/// The most bytes that tensors of the network itself take at a time: not what its operands are rearranged to, which
/// depends on how the work of a batch happens to be divided.
pub(super) fn needed(plan: &Plan) -> u64 {
    let mut own = vec![true; plan.buffers.len()];
    for step in plan.steps.iter().filter(|step| step.work.rearranges()) {
        step.outputs.iter().for_each(|b| own[b.0 as usize] = false);
    }
    most(plan, &lives(plan), |b| own[b]).0
}

/// The first and the last step that needs each buffer of the arena, itself or a part of it.
fn lives(plan: &Plan) -> Vec<Option<(usize, usize)>> {
    let mut lives: Vec<Option<(usize, usize)>> = vec![None; plan.buffers.len()];
    for (i, step) in plan.steps.iter().enumerate() {
        for b in step.inputs.iter().chain(&step.outputs).map(|b| plan.whole(*b)) {
            if matches!(plan.buffers[b.0 as usize].place, Place::Arena(_)) {
                lives[b.0 as usize].get_or_insert((i, i)).1 = i;
            }
        }
    }
    lives
}

/// The most bytes that buffers take at a time, and at which step.
fn most(plan: &Plan, lives: &[Option<(usize, usize)>], counted: impl Fn(usize) -> bool) -> (u64, usize) {
    let mut change = vec![0i64; plan.steps.len() + 1];
    for (b, life) in lives.iter().enumerate() {
        if let Some((first, last)) = life.filter(|_| counted(b)) {
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
    (most as u64, at)
}
