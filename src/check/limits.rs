//! How large a network may be as a whole.
//!
//! A tensor's elements, with the padding around an image, fit an `i32` (each layer sees to that). What a network holds
//! altogether is bounded here, so that no later stage can overflow a size: not for the largest batch, in bytes, with
//! every tensor in memory at once.

use super::{Layer, LayerKind, Network};
use crate::diag::{Code, Diagnostic};

/// Images in the largest batch.
pub const LARGEST_BATCH: usize = 1 << 16;

/// The most numbers that a network may hold for one image: every layer's result and what it reads, each image inside
/// the widest frame that a convolution needs around its input or its result's gradient, and the parameters.
///
/// The functions of a program hold less than eight times that many numbers of four bytes, for each image of a batch:
/// less than 2⁶³ bytes.
pub const LARGEST_NETWORK: u64 = 1 << 40;

const _: () = assert!(8 * 4 * LARGEST_NETWORK <= u64::MAX / 4 / LARGEST_BATCH as u64);

/// Reports a network that is too large.
pub(super) fn limits(network: &Network, problems: &mut Vec<Diagnostic>) {
    let frame = network.layers().fold([0, 0], |widest, (_, layer)| [0, 1].map(|i| widest[i].max(reach(layer)[i])));
    let mut total = 0u128;
    for (id, layer) in network.layers() {
        let operands = network.inputs(id);
        // A sum of many has a partial sum for each.
        total += framed(&layer.shape, frame) * operands.len().max(1) as u128;
        total += operands.iter().map(|&operand| framed(&network.layer(operand).shape, frame)).sum::<u128>();
        total += layer.params.iter().map(|param| elements(&param.shape)).sum::<u128>();
        if total > u128::from(LARGEST_NETWORK) {
            let message = format!("up to {} the network holds {total} numbers for each image", layer.name);
            let mut diagnostic = Diagnostic::error(Code::SizeLimit, layer.span, message)
                .note(format!("a network may hold {LARGEST_NETWORK}: all layers' results, operands and parameters"));
            if frame != [0, 0] {
                let [rows, columns] = frame;
                let frame = format!("images count with {rows} rows and {columns} columns of padding on each side");
                diagnostic = diagnostic.note(frame + ", for the widest convolution");
            }
            problems.push(diagnostic);
            return;
        }
    }
}

/// How far outside an image a layer may read, up and down, left and right: the input's padding, and that of the result's
/// gradient, which the turned window reads.
fn reach(layer: &Layer) -> [usize; 2] {
    match &layer.kind {
        LayerKind::Conv { kernel_size, dilation, padding, .. } => {
            let sides = [padding.top.max(padding.bottom), padding.left.max(padding.right)];
            [0, 1].map(|i| sides[i].max(dilation[i] * (kernel_size[i] - 1)))
        }
        _ => [0, 0],
    }
}

/// Elements of a layer's result inside a frame. No factor exceeds 2³³.
fn framed(shape: &[usize], [rows, columns]: [usize; 2]) -> u128 {
    match shape {
        &[channels, height, width] => elements(&[channels, height + 2 * rows, width + 2 * columns]),
        _ => elements(shape),
    }
}

fn elements(shape: &[usize]) -> u128 {
    shape.iter().map(|&size| size as u128).product()
}
