//! Matrix products: which operand is broadcast, which is read in vectors, and what is laid out for that.
//!
//! - A register tile multiplies elements of the left operand by vectors of the right one, which lie side by side along
//!   the result's columns. Where the right operand is used transposed, they do not, and a step of its own packs it.
//! - Weights are packed in functions that change no states: that is done once, by `prepare`.
//! - Other functions would do it in every call. There the smaller operand is packed: y = a·bᵀ is also yᵀ = b·aᵀ.

use super::choose::Planner;
use super::fuse::Fusion;
use super::{BufferId, MatMulWork, PackedWeights, Tile, Work};
use crate::graph::{Def, Node, NodeId, ValueId};

impl Planner<'_> {
    /// The product a·b, operands transposed as marked.
    pub(super) fn product(&mut self, id: NodeId, node: &Node, [transpose_a, transpose_b]: [bool; 2], name: &str) {
        let Fusion { last, epilogue, update, operands, layers } = self.fuse(id);
        let [a, b] = [node.inputs[0], node.inputs[1]];
        let [height, width] = [self.shape(node.outputs[0])[0], self.shape(node.outputs[0])[1]];
        let depth = self.shape(a)[usize::from(!transpose_a)];
        let once = self.graph.updates.is_empty() && matches!(self.graph.value(b).def, Def::State(_));
        let turned = transpose_b && !transpose_a && !once && height < width;
        let (left, right, [rows, columns]) = if turned { (b, a, [width, height]) } else { (a, b, [height, width]) };
        let packed = once || transpose_b;
        let tile = Tile::choose(self.target, rows, columns);
        let mut inputs = vec![self.home(left), self.home(right)];
        if packed {
            let of = (right, columns, depth);
            inputs[1] = self.packed_matrix(&format!("{name}_pack"), &node.layer, of, transpose_b, tile);
        }
        inputs.extend(operands);
        let macs = (height * width * depth) as u64;
        let outputs = self.fused_results(id, last);
        let work = Work::MatMul(MatMulWork { transposed: transpose_a, packed, turned, tile, epilogue, update });
        self.step(name, &layers, [macs, macs], work, inputs, outputs);
    }

    /// A step that packs a matrix of so many columns and rows or, `transposed`, rows and columns.
    fn packed_matrix(
        &mut self,
        name: &str,
        layer: &str,
        (value, columns, depth): (ValueId, usize, usize),
        transposed: bool,
        tile: Tile,
    ) -> BufferId {
        let layout = PackedWeights::new(1, columns, depth, [1, 1], tile.columns());
        let from = self.home(value);
        let packed = self.numbers(&format!("{}.packed", self.buffers[from.0 as usize].name), layout.len());
        let work = Work::PackMatrix { transposed, columns: tile.columns() };
        self.step(name, &[layer], [0, 0], work, vec![from], vec![packed]);
        packed
    }
}
