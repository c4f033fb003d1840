//! Schedules: a kernel for each planned step.

pub mod contraction;
pub mod conv;
pub mod conv_grad;
pub mod matmul;
pub mod pack;

use super::build::{Builder, View};
use super::{Access, DType};

/// A tensor that a kernel is made for: a whole buffer and the view into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Element type.
    pub dtype: DType,
    /// Elements of the whole buffer.
    pub len: usize,
    /// Logical sizes, in the graph's order.
    pub dims: Vec<usize>,
    /// Elements between neighbours, by dimension.
    pub strides: Vec<usize>,
    /// Element at all-zero coordinates.
    pub offset: usize,
}

impl Tensor {
    /// Declares it as a global buffer.
    pub fn declare(&self, builder: &mut Builder, name: &str, access: Access) -> View {
        let buffer = builder.global(name, self.dtype, self.len, access);
        View { buffer, dims: self.dims.clone(), strides: self.strides.clone(), offset: self.offset }
    }

    /// A dense f32 tensor in row-major order.
    pub fn rows(dims: &[usize]) -> Tensor {
        let mut strides = vec![1; dims.len()];
        for i in (0..dims.len().saturating_sub(1)).rev() {
            strides[i] = strides[i + 1] * dims[i + 1];
        }
        Tensor { dtype: DType::F32, len: dims.iter().product(), dims: dims.to_vec(), strides, offset: 0 }
    }
}
