//! Which operations share a kernel, the algorithm and layout of each, and where every buffer lives.
//!
//! Takes a [`Graph`](crate::graph::Graph) ([`plan()`]), gives a [`Plan`]: steps in execution order over buffers with
//! fixed places. Every choice is made here and printed ([`text`]); the kernel stage only carries it out. Knows the
//! target's vector registers, never LLVM.

mod arena;
mod choose;
mod convolution;
mod fuse;
mod prepare;
mod product;
mod rows;
mod taps;
pub mod text;
mod tile;
pub mod verify;
mod views;
mod walk;
mod winograd;

pub use choose::{plan, state_layout};
pub use convolution::Algorithm;
use convolution::forward_halo;
pub use fuse::{Epilogue, NotFused, Reach, Reason, Update, takes_along};
pub use prepare::{PREPARE, plans};
pub use taps::{TapRule, input_grad_halo};
pub use tile::{PackedWeights, Tile, balanced, odd_lines};
pub use walk::Stack;
pub use winograd::{
    Division, Images, Matrix, Polyphase, Transform, TransformedWeights, WeightSums, Winograd, transposed,
};

use crate::geometry::PoolGeometry;
use crate::graph::{ConvGeometry, DType, LrnGeometry, Op};

/// A planned function.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The function's name: `init`, `preprocess`, `prepare`, `infer` or `train`.
    pub function: String,
    /// Handed over by the caller, by name, in port order.
    pub inputs: Vec<(String, BufferId)>,
    /// Handed back to the caller, by name, in port order after the inputs.
    pub outputs: Vec<(String, BufferId)>,
    /// All memory.
    pub buffers: Vec<Buffer>,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// Which of them are done for some images at a time, in order.
    pub stacks: Vec<Stack>,
    /// What could have been done by the step before, and why it was not.
    pub not_fused: Vec<NotFused>,
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
    pub dtype: DType,
    /// Logical sizes, in the graph's order.
    pub dims: Vec<usize>,
    /// How they lie.
    pub layout: Layout,
    /// Where it lies.
    pub place: Place,
    /// What it is a part of, if it lies in the memory of another buffer.
    pub part_of: Option<Part>,
}

/// Some of the images of a channels-last buffer, some of their channels, or both; or some images of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// The buffer that has them all; it is a part of none.
    pub whole: BufferId,
    /// Bytes from its start to the part's.
    pub bytes: usize,
    /// Its channels: the elements from one pixel to the next.
    pub pitch: usize,
}

/// How a tensor lies in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// Row-major in the graph's order of dimensions.
    Rows,
    /// An image batch with channels innermost (N, H, W, C), inside a frame of zeros that convolutions read as padding.
    /// The channels of a [`Part`] have those of the whole buffer between them, from pixel to pixel.
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
    /// Multiply-adds by the definition.
    pub macs: u64,
    /// Multiply-adds of the products that it does: fewer, where the algorithm saves some.
    pub done: u64,
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
    /// One graph operation by its own schedule: (operands…, epilogue operands…) → (results…).
    Then {
        /// The operation, one that [`takes_along`].
        op: Op,
        /// What happens to each element of the first result before it is stored.
        epilogue: Vec<Epilogue>,
    },
    /// Local response normalisation, and max-pooling of its result: (x) → (y, the places of the maxima if wanted).
    LrnMaxPool {
        /// The normalisation.
        lrn: LrnGeometry,
        /// The pooling.
        pool: PoolGeometry,
        /// Bands of rows that an image's result is made in, each by itself.
        bands: usize,
    },
    /// Copies elements between layouts (also reshaping: row-major order of the logical dimensions).
    Copy,
    /// Copies the input into the channels `start..` of the output (concatenation).
    CopyInto {
        /// First channel of the output.
        start: usize,
        /// Why the input was not made there.
        because: Elsewhere,
    },
    /// Writes zeros into the halo of its one result.
    ClearHalo,
    /// Convolution: (x, packed weights, epilogue operands…) → (y).
    Conv(ConvWork),
    /// Input gradient of a convolution: (dy, weights packed transposed, epilogue operands…) → (dx).
    ConvInputGrad(ConvWork),
    /// Weight gradient of a convolution: (x, dy, update operands…) → (dweight), or the states updated in place.
    ConvWeightGrad {
        /// Geometry of the forward convolution.
        geometry: ConvGeometry,
        /// Register tile.
        tile: Tile,
        /// What is stored, if states follow the gradient at once.
        update: Option<Update>,
    },
    /// Weights `[out, in/groups, kh, kw]` to [`PackedWeights`]; transposed, input and output channels change roles.
    PackWeights {
        /// Channel groups.
        groups: usize,
        /// For the input gradient.
        transposed: bool,
        /// Channels in a block.
        columns: usize,
    },
    /// Weights `[out, in/groups, kh, kw]` to [`TransformedWeights`]; transposed, for the input gradient.
    TransformWeights {
        /// How the convolution is computed.
        form: Winograd,
        /// The kernel's phases.
        phases: Polyphase,
        /// For the input gradient.
        transposed: bool,
        /// Register tile.
        tile: Tile,
    },
    /// γ/√(variance + ε), what batch normalisation multiplies by: (gamma, variance) → (scale).
    BatchNormScale {
        /// ε.
        epsilon: f64,
    },
    /// The phases of an image batch as channels.
    Polyphase {
        /// The kernel's phases.
        phases: Polyphase,
        /// Padding before the image: rows, columns.
        before: [usize; 2],
    },
    /// Convolution, or input gradient, by minimal filtering: (x, transformed weights, epilogue operands…) → (y).
    Winograd(WinogradWork),
    /// An image batch at the points of its tiles.
    TransformImages {
        /// How the convolution is computed.
        form: Winograd,
        /// Which images.
        images: Images,
    },
    /// The rest of a convolution of images at points: (points, transformed weights, epilogue operands…) → (y).
    WinogradProduct(WinogradWork),
    /// Weight gradient at the points of tiles: (points of x, points of dy, sums so far, if any) → ([`WeightSums`]).
    WinogradGradient {
        /// Layout of the sums.
        sums: WeightSums,
        /// Register tile.
        tile: Tile,
        /// Tiles.
        tiles: usize,
    },
    /// Weight gradient from its sums at points: (sums, update operands…) → (dweight), or the states updated in place.
    WinogradGradientWeights {
        /// How the convolution is computed.
        form: Winograd,
        /// The kernel's phases.
        phases: Polyphase,
        /// Layout of the sums.
        sums: WeightSums,
        /// What is stored, if states follow the gradient at once.
        update: Option<Update>,
    },
    /// A matrix to [`PackedWeights`] of one group and one tap: its columns or, transposed, its rows in blocks.
    PackMatrix {
        /// Whether rows become columns.
        transposed: bool,
        /// Columns in a block.
        columns: usize,
    },
    /// Matrix product: (left, right, epilogue operands…, update operands…) → (y), or the states updated in place.
    MatMul(MatMulWork),
}

impl Work {
    /// Whether it only brings an operand of other work into another form.
    pub fn rearranges(&self) -> bool {
        match self {
            Work::PackWeights { .. }
            | Work::PackMatrix { .. }
            | Work::TransformWeights { .. }
            | Work::BatchNormScale { .. }
            | Work::Polyphase { .. }
            | Work::TransformImages { .. }
            | Work::WinogradGradient { .. } => true,
            Work::Op(_)
            | Work::Then { .. }
            | Work::LrnMaxPool { .. }
            | Work::Copy
            | Work::CopyInto { .. }
            | Work::ClearHalo
            | Work::Conv(_)
            | Work::ConvInputGrad(_)
            | Work::ConvWeightGrad { .. }
            | Work::Winograd(_)
            | Work::WinogradProduct(_)
            | Work::WinogradGradientWeights { .. }
            | Work::MatMul(_) => false,
        }
    }
}

/// Why an operand of a concatenation is not made in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Elsewhere {
    /// It is an input or a state of the function, or becomes a state.
    Given,
    /// It is made in the place of another operand, or of another concatenation's.
    Taken,
    /// It is part of a tensor that is made as a whole.
    Cut,
    /// The tensors are no image batches.
    Rows,
}

/// A convolution or its input gradient.
#[derive(Debug, Clone, PartialEq)]
pub struct ConvWork {
    /// Geometry of the forward convolution.
    pub geometry: ConvGeometry,
    /// Kernel height, width.
    pub kernel: [usize; 2],
    /// Register tile.
    pub tile: Tile,
    /// What happens to each element before it is stored.
    pub epilogue: Vec<Epilogue>,
}

/// A convolution of stride 1 by minimal filtering.
#[derive(Debug, Clone, PartialEq)]
pub struct WinogradWork {
    /// How it is computed.
    pub form: Winograd,
    /// Padding before the image: rows, columns.
    pub before: [usize; 2],
    /// Channels read, over all groups.
    pub inner: usize,
    /// Register tile.
    pub tile: Tile,
    /// What happens to each element before it is stored.
    pub epilogue: Vec<Epilogue>,
}

/// A matrix product.
#[derive(Debug, Clone, PartialEq)]
pub struct MatMulWork {
    /// Use the transpose of the left operand.
    pub transposed: bool,
    /// Whether the right operand is [`PackedWeights`] in blocks of the tile's columns; else its rows lie as they are.
    pub packed: bool,
    /// Whether the result is the transpose of the product.
    pub turned: bool,
    /// Register tile.
    pub tile: Tile,
    /// What happens to each element before it is stored.
    pub epilogue: Vec<Epilogue>,
    /// What is stored, if the result is a gradient that states follow at once.
    pub update: Option<Update>,
}

impl Buffer {
    /// Elements from one image row, channel… to the next, by logical dimension.
    pub fn strides(&self) -> Vec<usize> {
        match self.layout {
            Layout::Rows => {
                let mut strides = vec![1; self.dims.len()];
                for i in (0..self.dims.len().saturating_sub(1)).rev() {
                    strides[i] = strides[i + 1] * self.dims[i + 1];
                }
                strides
            }
            Layout::ChannelsLast(halo) => {
                let ((rows, columns), pitch) = (halo.around(&self.dims), self.pitch());
                vec![rows * columns * pitch, 1, columns * pitch, pitch]
            }
        }
    }

    /// Element at all-zero coordinates.
    pub fn offset(&self) -> usize {
        match self.layout {
            Layout::Rows => 0,
            Layout::ChannelsLast(halo) => (halo.top * halo.around(&self.dims).1 + halo.left) * self.pitch(),
        }
    }

    /// Of images, the elements from one pixel to the next.
    pub fn pitch(&self) -> usize {
        self.part_of.map_or_else(|| self.dims.get(1).copied().unwrap_or(1), |part| part.pitch)
    }

    /// Pixels of images, halo and all.
    fn pixels(&self, halo: Halo) -> usize {
        let (rows, columns) = halo.around(&self.dims);
        self.dims[0] * rows * columns
    }

    /// Elements from its first to its last, halo and all; in a part of the channels those between them, too.
    pub fn len(&self) -> usize {
        match self.layout {
            Layout::Rows => self.dims.iter().product(),
            Layout::ChannelsLast(halo) => self.pixels(halo).saturating_sub(1) * self.pitch() + self.dims[1],
        }
    }

    /// Bytes of its own elements, halo and all.
    pub fn own_bytes(&self) -> usize {
        match self.layout {
            Layout::ChannelsLast(halo) if self.part_of.is_some() => {
                self.pixels(halo) * self.dims[1] * self.element_bytes()
            }
            Layout::Rows | Layout::ChannelsLast(_) => self.bytes(),
        }
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that it takes, a multiple of 64.
    pub fn bytes(&self) -> usize {
        (self.len() * self.element_bytes()).next_multiple_of(64)
    }

    /// Bytes of an element.
    pub fn element_bytes(&self) -> usize {
        match self.dtype {
            DType::F32 | DType::I32 => 4,
            DType::U8 => 1,
        }
    }
}

impl Halo {
    /// Rows and columns of an image `[N, C, H, W]` with it.
    pub fn around(&self, dims: &[usize]) -> (usize, usize) {
        (dims[2] + self.top + self.bottom, dims[3] + self.left + self.right)
    }

    /// The smallest that contains both.
    pub fn union(&self, other: Halo) -> Halo {
        Halo {
            top: self.top.max(other.top),
            bottom: self.bottom.max(other.bottom),
            left: self.left.max(other.left),
            right: self.right.max(other.right),
        }
    }
}

impl Plan {
    /// The buffer whose memory a buffer is in: itself, or what it is a part of.
    pub fn whole(&self, buffer: BufferId) -> BufferId {
        self.buffers[buffer.0 as usize].part_of.map_or(buffer, |part| part.whole)
    }
}

impl Step {
    /// The buffers that the step's kernel is bound to: inputs, then outputs that are not also inputs.
    pub fn operands(&self) -> Vec<BufferId> {
        let mut operands = self.inputs.clone();
        operands.extend(self.outputs.iter().filter(|b| !self.inputs.contains(b)));
        operands
    }
}
