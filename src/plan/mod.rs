//! Which operations share a kernel, the algorithm and layout of each, and where every buffer lives.
//!
//! Takes a [`Graph`](crate::graph::Graph) (`plan`), gives a [`Plan`]: steps in execution order over buffers with fixed
//! places. Every choice is made here and printed ; the kernel stage only carries it out. Knows the target's
//! vector registers, never LLVM.

use crate::graph::{ConvGeometry, Op};

/// A planned function.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The function's name: `init`, `preprocess`, `infer` or `train`.
    pub function: String,
    /// Handed over by the caller, by name, in port order.
    pub inputs: Vec<(String, BufferId)>,
    /// Handed back to the caller, by name, in port order after the inputs.
    pub outputs: Vec<(String, BufferId)>,
    /// All memory.
    pub buffers: Vec<Buffer>,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// Bytes of the arena.
    pub arena_bytes: usize,
    /// Bytes of the state block.
    pub state_bytes: usize,
}

/// Names a buffer of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub u32);

/// A tensor in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buffer {
    /// The value's name.
    pub name: String,
    /// Element type.
    pub dtype: crate::graph::DType,
    /// Logical sizes, in the graph's order.
    pub dims: Vec<usize>,
    /// How they lie.
    pub layout: Layout,
    /// Where it lies.
    pub place: Place,
}

/// How a tensor lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Row-major in the graph's order of dimensions.
    Rows,
    /// An image batch with channels innermost (N, H, W, C), inside a frame of zeros that convolutions read as padding.
    ChannelsLast(Halo),
}

/// Zeros around an image, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Halo {
    /// Rows above.
    pub top: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns before.
    pub left: usize,
    /// Columns after.
    pub right: usize,
}

/// Where a buffer lies; offsets in bytes, multiples of 64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In the arena.
    Arena(usize),
    /// In the state block.
    State(usize),
    /// At the n-th port.
    Port(usize),
}

/// One kernel's work.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Valid as part of a C identifier; unique in the plan.
    pub name: String,
    /// The layers whose work it does.
    pub layers: Vec<String>,
    /// Multiply-adds.
    pub macs: u64,
    /// What it does.
    pub work: Work,
    /// Operands of the work, in its order.
    pub inputs: Vec<BufferId>,
    /// Results; a buffer that is also an input is changed in place.
    pub outputs: Vec<BufferId>,
}

/// Kinds of work.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// One graph operation by its own schedule.
    Op(Op),
    /// Copies elements between layouts (also reshaping: row-major order of the logical dimensions).
    Copy,
    /// Copies the input into the channels `start..` of the output (concatenation).
    CopyInto {
        /// First channel of the output.
        start: usize,
    },
    /// Writes zeros into the halo of its one result.
    ClearHalo,
    /// Convolution: (x, packed weights, epilogue operands…) → (y).
    Conv {
        /// Geometry.
        geometry: ConvGeometry,
        /// What happens to each element before it is stored.
        epilogue: Vec<Epilogue>,
    },
    /// Input gradient of a convolution: (dy, packed weights, epilogue operands…) → (dx).
    ConvInputGrad {
        /// Geometry of the forward convolution.
        geometry: ConvGeometry,
        /// What happens to each element before it is stored.
        epilogue: Vec<Epilogue>,
    },
    /// Weight gradient of a convolution: (x, dy) → (dweight, packed as [`Work::PackWeights`] without transposition).
    ConvWeightGrad {
        /// Geometry of the forward convolution.
        geometry: ConvGeometry,
    },
    /// Weights `[out, in/groups, kh, kw]` to blocks of output channels `[groups][blocks][kh][kw][in][block]`; transposed, input and
    /// output change roles.
    PackWeights {
        /// Channel groups.
        groups: usize,
        /// For the input gradient.
        transposed: bool,
    },
    /// The inverse of [`Work::PackWeights`] for gradients.
    UnpackWeights {
        /// Channel groups.
        groups: usize,
    },
    /// Matrix product: (a, b, epilogue operands…) → (y).
    MatMul {
        /// Use aᵀ.
        transpose_a: bool,
        /// Use bᵀ.
        transpose_b: bool,
        /// What happens to each element before it is stored.
        epilogue: Vec<Epilogue>,
    },
}

/// What happens to a sum before it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Epilogue {
    /// Adds the channel's element of the next operand.
    Bias,
    /// max(0, ·).
    Relu,
    /// Zero where the next operand, of the result's shape, is not positive.
    ReluMask,
}

impl Step {
    /// The buffers that the step's kernel is bound to: inputs, then outputs, each once.
    pub fn operands(&self) -> Vec<BufferId> {
        let mut operands = Vec::new();
        for &buffer in self.inputs.iter().chain(&self.outputs) {
            if !operands.contains(&buffer) {
                operands.push(buffer);
            }
        }
        operands
    }
}
