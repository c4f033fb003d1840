//! Places in the arena by lifetime.

use super::{Buffer, BufferId, Part, Place, Stack, Step};

/// Gives every buffer that `in_arena` marks a place, so that buffers alive at the same step do not overlap; returns the
/// arena's bytes. The largest buffers are placed first, each as low as it fits. What is not a single group's is kept clear
/// of all groups of a stack, so that each has the places of the one before, which are in a cache.
pub(super) fn place(buffers: &mut [Buffer], steps: &[Step], in_arena: &[bool], stacks: &[Stack]) -> usize {
    let mut lives: Vec<Option<(usize, usize)>> = vec![None; buffers.len()];
    for (i, step) in steps.iter().enumerate() {
        for &BufferId(b) in step.inputs.iter().chain(&step.outputs) {
            let whole = buffers[b as usize].part_of.map_or(b, |part| part.whole.0);
            let life = lives[whole as usize].get_or_insert((i, i));
            life.1 = i;
        }
    }
    for life in lives.iter_mut().flatten() {
        for stack in stacks {
            stack.widen(life);
        }
    }
    let mut order: Vec<usize> = (0..buffers.len()).filter(|&b| in_arena[b] && lives[b].is_some()).collect();
    order.sort_by_key(|&b| (std::cmp::Reverse(buffers[b].bytes()), b));
    let mut placed: Vec<(usize, usize, (usize, usize))> = Vec::new();
    let mut total = 0;
    for b in order {
        let (Some(life), bytes) = (lives[b], buffers[b].bytes()) else { continue };
        let mut taken: Vec<(usize, usize)> = placed
            .iter()
            .filter(|(_, _, other)| other.0 <= life.1 && life.0 <= other.1)
            .map(|(start, end, _)| (*start, *end))
            .collect();
        taken.sort_unstable();
        let mut offset = 0;
        for (start, end) in taken {
            if start >= offset + bytes {
                break;
            }
            offset = offset.max(end);
        }
        placed.push((offset, offset + bytes, life));
        buffers[b].place = Place::Arena(offset);
        total = total.max(offset + bytes);
    }
    total
}

/// Gives every part of a buffer its place, after the buffer has one.
pub(super) fn place_parts(buffers: &mut [Buffer]) {
    for b in 0..buffers.len() {
        let Some(Part { whole, bytes, .. }) = buffers[b].part_of else { continue };
        buffers[b].place = match buffers[whole.0 as usize].place {
            Place::Arena(offset) => Place::Arena(offset + bytes),
            Place::State(offset) => Place::State(offset + bytes),
            port @ Place::Port(_) => port,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Layout, Work};
    use super::*;
    use crate::graph::DType;

    #[test]
    fn buffers_share_memory_only_when_never_alive_together() {
        let sizes = [64, 16, 1000, 16, 300];
        let mut buffers: Vec<Buffer> = sizes
            .iter()
            .enumerate()
            .map(|(i, &n)| Buffer {
                name: format!("b{i}"),
                dtype: DType::F32,
                dims: vec![n],
                layout: Layout::Rows,
                place: Place::Arena(0),
                part_of: None,
            })
            .collect();
        let step = |inputs: &[u32], outputs: &[u32]| Step {
            name: String::new(),
            layers: Vec::new(),
            macs: 0,
            done: 0,
            work: Work::Copy,
            inputs: inputs.iter().map(|&b| BufferId(b)).collect(),
            outputs: outputs.iter().map(|&b| BufferId(b)).collect(),
        };
        let steps = [step(&[], &[0]), step(&[0], &[1]), step(&[1], &[2]), step(&[2, 0], &[3]), step(&[3], &[4])];
        let total = place(&mut buffers, &steps, &[true; 5], &[]);
        let range = |b: usize| match buffers[b].place {
            Place::Arena(o) => o..o + buffers[b].bytes(),
            other => panic!("{other:?}"),
        };
        for (a, b) in [(0, 1), (0, 2), (1, 2), (0, 3), (2, 3), (3, 4)] {
            let (a, b) = (range(a), range(b));
            assert!(a.end <= b.start || b.end <= a.start, "{a:?} {b:?}");
        }
        // Alive together at most: buffers 0, 2 and 1 or 3.
        assert_eq!(total, 4032 + 256 + 64);
    }
}
