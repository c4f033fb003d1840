//! Fusion by rows: a response normalisation and the max-pooling of its result in one kernel, which keeps of the result in
//! between only the rows of one row of windows ([`Work::LrnMaxPool`]).
//!
//! Nothing else may read that result (the gradient of the normalisation does not: it reads what was normalised). The
//! rows should stay in a core's cache, and the rows of windows be shared out in bands, although each band normalises
//! the rows that it has in common with the one before again.

use super::choose::{Planner, step_name};
use super::{BufferId, Reason, Work};
use crate::geometry::PoolGeometry;
use crate::graph::{LrnGeometry, NodeId, Op};

/// Bytes of rows that stay in a core's cache beside what is read and written.
const KEPT: usize = 1 << 19;

/// Iterations of a parallel loop that are enough, and those that are too few for more than so many elements.
const ENOUGH: usize = 16;
const FEW: usize = 4;
const SMALL: usize = 1 << 15;

/// The bands an image that images `[N, C, H, W]` are normalised and pooled in; none if that is better done apart.
fn bands(pool: &PoolGeometry, image: &[usize], rows: usize) -> Option<usize> {
    let [kernel, stride] = [pool.kernel[0], pool.stride[0]];
    let kept = 4 * kernel.min(image[2]) * image[1] * image[3];
    // A band normalises at most a quarter of its rows again.
    let least = (4 * kernel.saturating_sub(stride)).div_ceil(stride).max(1);
    let bands = ENOUGH.div_ceil(image[0]).min(rows / least).max(1);
    let too_few = image[0] * bands < FEW && image.iter().product::<usize>() > SMALL;
    (kept <= KEPT && !too_few).then_some(bands)
}

impl Planner<'_> {
    /// The pooling that the kernel of the normalisation `head` takes along, and in how many bands an image.
    fn pooling(&mut self, head: NodeId) -> Option<(NodeId, PoolGeometry, usize)> {
        let graph = self.graph;
        let result = graph.nodes[head.0 as usize].outputs[0];
        let mut found = None;
        for reader in self.readers[result.0 as usize].clone() {
            let node = &graph.nodes[reader.0 as usize];
            let Op::MaxPool(pool) = &node.op else { continue };
            let bands = bands(pool, self.shape(result), self.shape(node.outputs[0])[2]);
            match (self.obstacle(head, result, &[]), bands) {
                (None, Some(bands)) => found = Some((reader, *pool, bands)),
                (reason, _) => _ = self.refused.insert((head, reader), reason.unwrap_or(Reason::Windows)),
            }
        }
        found
    }

    /// A response normalisation, with the max-pooling of its result if that can be taken along.
    pub(super) fn normalization(&mut self, id: NodeId, lrn: &LrnGeometry) {
        let graph = self.graph;
        let node = &graph.nodes[id.0 as usize];
        let x = self.operand(node.inputs[0]);
        let (last, work) = match self.pooling(id) {
            Some((last, pool, bands)) => (last, Work::LrnMaxPool { lrn: *lrn, pool, bands }),
            None => (id, Work::Op(node.op.clone())),
        };
        let end = &graph.nodes[last.0 as usize];
        let outputs: Vec<BufferId> = end.outputs.iter().map(|&v| self.result_at(id, last, v)).collect();
        if last != id {
            self.fused.insert(last, id);
        }
        self.step(&step_name(node), &[&node.layer, &end.layer], [0, 0], work, vec![x], outputs);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Padding;

    #[test]
    fn bands_share_out_small_batches_and_repeat_little() {
        let pool = |kernel: usize, stride: usize| PoolGeometry {
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: Padding::default(),
            ceil: false,
        };
        assert_eq!(bands(&pool(3, 2), &[16, 96, 55, 55], 27), Some(1));
        assert_eq!(bands(&pool(3, 2), &[5, 96, 55, 55], 27), Some(4));
        // Half as many bands as rows.
        assert_eq!(bands(&pool(3, 2), &[1, 96, 55, 55], 27), Some(13));
        assert_eq!(bands(&pool(2, 3), &[1, 96, 55, 55], 18), Some(16));
        // Rows that lie in no cache, and too few bands for much work.
        assert_eq!(bands(&pool(3, 2), &[16, 1024, 55, 55], 27), None);
        assert_eq!(bands(&pool(20, 1), &[1, 96, 55, 55], 36), None);
        assert_eq!(bands(&pool(5, 1), &[1, 8, 9, 9], 5), Some(1));
    }
}
