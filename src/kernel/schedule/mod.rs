//! Schedules: a kernel for each planned step.
//!
//! A schedule is a function from the target's vector width, a name, the operation's constants and its [`Tensor`]s to a
//! [`Kernel`](super::Kernel). Global buffers are declared in the order of the operation's inputs, then outputs. Every
//! layout is accepted; loops are vectorised along the dimension whose elements lie side by side (channels in N, H, W, C
//! order), and parallel over enough iterations to occupy many threads, each with some microseconds of work; kernels too
//! small for that have no parallel loop. Results do not depend on the number of threads: sums have a fixed order.

pub mod contraction;
pub mod conv;
pub mod conv_grad;
pub mod matmul;
pub mod pack;
pub mod winograd;

mod average_pool;
mod batch_norm;
mod bias;
mod copy;
mod epilogue;
mod loss;
mod lrn;
mod lrn_map;
mod lrn_max_pool;
mod max_pool;
mod nest;
mod op;
mod pointwise;
mod softmax;
mod update;
mod window;

pub use average_pool::{adaptive_avg_pool, adaptive_avg_pool_grad, avg_pool, avg_pool_grad};
pub use batch_norm::{batch_norm_grad, batch_norm_infer, batch_norm_scale, batch_norm_train};
pub use bias::{add_bias, bias_grad};
pub use copy::{copy, fill_halo};
pub use epilogue::{Followed, Then};
pub use loss::{cross_entropy, cross_entropy_grad, mse, mse_grad};
pub use lrn::{lrn, lrn_grad};
pub use lrn_max_pool::lrn_max_pool;
pub use max_pool::{max_pool, max_pool_grad};
pub use op::{op, op_then, share};
pub use pointwise::{add, dropout, normalize, relu, relu_grad, sigmoid, sigmoid_grad, tanh, tanh_grad};
pub use softmax::{softmax, softmax_grad};
pub use update::{bias_correction, initialize, running_update, update};

use super::build::{Builder, View};
use super::{Access, BufferId, DType};
use crate::geometry::Padding;
use crate::plan::Reach;

/// A tensor where the plan has put it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Element type.
    pub dtype: DType,
    /// Elements of its whole buffer.
    pub len: usize,
    /// Sizes in the graph's order (N, C, H, W).
    pub dims: Vec<usize>,
    /// Elements between neighbours, by dimension.
    pub strides: Vec<usize>,
    /// Element of the buffer at all-zero coordinates.
    pub offset: usize,
}

impl Tensor {
    /// A dense f32 tensor in row-major order.
    pub fn rows(dims: &[usize]) -> Tensor {
        Tensor::row_major(DType::F32, dims)
    }

    /// Alone in its buffer, row-major.
    pub fn row_major(dtype: DType, dims: &[usize]) -> Tensor {
        let len = dims.iter().product();
        Tensor { dtype, len, dims: dims.to_vec(), strides: row_major_strides(dims), offset: 0 }
    }

    /// Images alone in their buffer, channels side by side, each image with a halo of the given width.
    pub fn channels_last(dtype: DType, dims: [usize; 4], halo: Padding) -> Tensor {
        let [n, c, h, w] = dims;
        let row = (w + halo.left + halo.right) * c;
        let image = (h + halo.top + halo.bottom) * row;
        let offset = halo.top * row + halo.left * c;
        Tensor { dtype, len: n * image, dims: dims.to_vec(), strides: vec![image, 1, row, c], offset }
    }

    /// Elements of the tensor (without halo).
    pub fn count(&self) -> usize {
        self.dims.iter().product()
    }

    /// Its channels `start..start + count` (dimension 1).
    pub fn channels(&self, start: usize, count: usize) -> Tensor {
        let mut part = self.clone();
        part.offset += start * self.strides.get(1).copied().unwrap_or(0);
        if let Some(channels) = part.dims.get_mut(1) {
            *channels = count;
        }
        part
    }

    /// It in a buffer of its kernel.
    pub fn view(&self, buffer: BufferId) -> View {
        View { buffer, dims: self.dims.clone(), strides: self.strides.clone(), offset: self.offset }
    }

    /// Declares it as a global buffer.
    pub fn declare(&self, builder: &mut Builder, name: &str, access: Access) -> View {
        let buffer = builder.global(name, self.dtype, self.len, access);
        self.view(buffer)
    }

    /// As `[N, C, H, W]`: dimensions that it lacks have size 1.
    fn image(&self) -> Tensor {
        let mut image = self.clone();
        while image.dims.len() < 4 {
            image.dims.push(1);
            image.strides.push(0);
        }
        image
    }

    /// One element a channel (or a single one), repeated over images of the given shape.
    fn by_channel(&self, dims: &[usize]) -> Tensor {
        let mut strides = vec![0; dims.len()];
        if let (Some(own), Some(channel)) = (self.strides.first(), strides.get_mut(1)) {
            *channel = *own;
        }
        Tensor { dims: dims.to_vec(), strides, ..self.clone() }
    }

    /// Its elements that belong to those of a result of the given shape.
    fn reached(&self, reach: Reach, dims: &[usize]) -> Tensor {
        match reach {
            Reach::Channel => self.by_channel(dims),
            Reach::Element => self.clone(),
            Reach::Single => self.repeated(dims),
        }
    }

    /// A single element, repeated over the given shape.
    fn repeated(&self, dims: &[usize]) -> Tensor {
        Tensor { dims: dims.to_vec(), strides: vec![0; dims.len()], ..self.clone() }
    }
}

/// Distances between neighbours in row-major order.
fn row_major_strides(dims: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; dims.len()];
    for d in (1..dims.len()).rev() {
        strides[d - 1] = strides[d] * dims[d];
    }
    strides
}
