//! The phases of an image as channels.

use super::super::{Tensor, copy};
use crate::kernel::Kernel;
use crate::plan::Polyphase;

/// y = the phases of x: channel (a·s_w + b)·C + c of y at (i, j) is channel c of x at (i·s_h + a, j·s_w + b), counted from
/// `before` rows and columns of padding.
pub fn polyphase(lanes: usize, name: &str, phases: &Polyphase, before: [usize; 2], x: &Tensor, y: &Tensor) -> Kernel {
    let [vertical, across] = phases.stride;
    let (channels, [height, width]) = (x.dims[1], [y.dims[2], y.dims[3]]);
    let dims = vec![x.dims[0], vertical, across, channels, height, width];
    let from = Tensor {
        dims: dims.clone(),
        strides: vec![
            x.strides[0],
            x.strides[2],
            x.strides[3],
            x.strides[1],
            x.strides[2] * vertical,
            x.strides[3] * across,
        ],
        offset: x.offset - before[0] * x.strides[2] - before[1] * x.strides[3],
        ..x.clone()
    };
    let phase = y.strides[1] * channels;
    let strides = vec![y.strides[0], phase * across, phase, y.strides[1], y.strides[2], y.strides[3]];
    copy(lanes, name, &from, &Tensor { dims, strides, ..y.clone() })
}
