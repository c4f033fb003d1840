//! The program contract: what `netc compile` writes and the runtime reads.
//!
//! A program is a native library plus a [`Manifest`] (JSON; the library also carries it as the NUL-terminated symbol
//! `NAME_manifest`, of which `netc_manifest` is a weak alias). It has one entry point per [`Function`], each with the C signature
//! `int32_t NAME(const netc_context *context)`.
//!
//! Memory belongs to the caller. A function reads and writes the *state* block (parameters, running statistics,
//! optimizer moments: one block shared by all functions, [`Manifest::state_bytes`] long, laid out by
//! [`Manifest::states`]), its *arena* ([`Function::arena_bytes`], contents undefined before and after), one *scratch*
//! block a thread, and its *ports* (inputs, then outputs, in manifest order). All blocks are aligned to 64 bytes.

use serde::{Deserialize, Serialize};
use std::ffi::c_void;

/// The contract's version; a program with another number is refused.
pub const VERSION: u32 = 1;

/// What a generated function is handed; mirrored in the C header as `netc_context`.
#[repr(C)]
pub struct Context {
    /// [`Function::arena_bytes`] bytes, 64-byte aligned.
    pub arena: *mut u8,
    /// [`Manifest::state_bytes`] bytes, 64-byte aligned.
    pub state: *mut u8,
    /// `threads` blocks of [`Function::scratch_bytes`] bytes, `scratch_stride` apart, 64-byte aligned.
    pub scratch: *mut u8,
    /// Distance between two threads' scratch blocks in bytes; a multiple of 64.
    pub scratch_stride: usize,
    /// Inputs, then outputs, in manifest order.
    pub ports: *const *mut u8,
    /// Runs `body` over 0..count in any split (see [`ParallelFor`]); null means one thread.
    pub parallel_for: Option<ParallelFor>,
    /// Passed on to `parallel_for`.
    pub pool: *mut c_void,
}

/// The body of a parallel region: does iterations `begin..end`, using the scratch block at `scratch`.
pub type ParallelBody = unsafe extern "C" fn(context: *const Context, scratch: *mut u8, begin: i64, end: i64);

/// Calls `body` so that every index in `0..count` is done exactly once, each call with the scratch block of the
/// thread that makes it, and returns when all are done. The result does not depend on the split.
pub type ParallelFor = unsafe extern "C" fn(pool: *mut c_void, context: *const Context, count: i64, body: ParallelBody);

/// Which ports share memory: the distinct blocks, and for each function those that its ports lie in. Functions share a
/// block for ports of the same name, type and shape; within a function every port has a block of its own.
pub fn share_ports(functions: &[Vec<Port>]) -> (Vec<Port>, Vec<Vec<usize>>) {
    let mut blocks: Vec<Port> = Vec::new();
    let mut bindings = Vec::new();
    for ports in functions {
        let mut binding: Vec<usize> = Vec::new();
        for port in ports {
            let known = (0..blocks.len()).find(|index| blocks[*index] == *port && !binding.contains(index));
            let index = known.unwrap_or_else(|| {
                blocks.push(port.clone());
                blocks.len() - 1
            });
            binding.push(index);
        }
        bindings.push(binding);
    }
    (blocks, bindings)
}

/// A generated entry point; returns 0.
pub type EntryPoint = unsafe extern "C" fn(context: *const Context) -> i32;

/// Everything the runtime knows about a program.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// [`VERSION`].
    pub version: u32,
    /// The network's name.
    pub name: String,
    /// The instruction set it was compiled for, as `x86_64-unknown-linux-gnu/znver3`.
    pub target: String,
    /// SHA-256 (hex) of the generated kernels' text: same program, same hash.
    pub hash: String,
    /// Images in a batch; every function works on this many.
    pub batch: usize,
    /// What one image is.
    pub input: InputInfo,
    /// Class names in label order; empty when the spec gives none.
    pub classes: Vec<String>,
    /// Shape of one image's result, without the batch: `[1000]` for AlexNet's logits.
    pub output_shape: Vec<usize>,
    /// Whether the infer function's output is already a probability distribution (the spec ends in softmax).
    pub output_is_probability: bool,
    /// Geometry applied by the runtime before the `preprocess` function's arithmetic.
    pub preprocess: PreprocessInfo,
    /// How to train it; absent in inference-only programs.
    pub train: Option<TrainInfo>,
    /// Bytes of the state block.
    pub state_bytes: usize,
    /// What lies in the state block, from its beginning; behind it is what `prepare` makes of it.
    pub states: Vec<StateInfo>,
    /// `init`, `preprocess`, `prepare`, `infer`, `train`; those the program was compiled for and needs.
    pub functions: Vec<Function>,
}

impl Manifest {
    /// The function called `name`.
    pub fn function(&self, name: &str) -> Option<&Function> {
        self.functions.iter().find(|f| f.name == name)
    }
}

/// One image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InputInfo {
    /// The input's name in the spec.
    pub name: String,
    /// Shape without the batch: `[channels, height, width]` or `[features]`.
    pub shape: Vec<usize>,
}

/// What happens to a decoded image before the normalising arithmetic (which is compiled: function `preprocess`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PreprocessInfo {
    /// Resize before cropping.
    pub resize: Option<ResizeInfo>,
    /// Crop to the network's height and width, or none (the resize then gives them).
    pub crop: CropInfo,
    /// Mirror left to right with this probability in training; 0 never.
    pub flip: f32,
    /// Whether the channels are ordered blue, green, red (Caffe) and not red, green, blue.
    pub bgr: bool,
}

/// How an image is resized (bilinear, antialiased when shrinking).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResizeInfo {
    /// To exactly this height and width.
    Exact {
        /// Pixels.
        height: usize,
        /// Pixels.
        width: usize,
    },
    /// So that the shorter side has this length.
    ShorterSide(usize),
}

/// How an image is cropped to the network's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CropInfo {
    /// Not at all: the sizes must already agree.
    None,
    /// The centre, in training too.
    Center,
    /// A random place in training, the centre otherwise.
    Random,
    /// As `Random`, after padding the image with zeros by this many pixels on each side.
    PaddedRandom(usize),
}

/// The training recipe: all that is not arithmetic of the compiled step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainInfo {
    /// Passes over the data when neither `--epochs` nor `--steps` is given.
    pub epochs: usize,
    /// The learning rate of each step.
    pub learning_rate: ScheduleInfo,
    /// Whether samples are drawn in a new random order each epoch.
    pub shuffle: bool,
    /// Name of the loss: `cross_entropy` or `mse`.
    pub loss: String,
}

/// Learning rate as a function of the step, computed in f64 and rounded once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScheduleInfo {
    /// The base rate.
    pub base: f64,
    /// Rises linearly from base/warmup to base over this many first steps.
    pub warmup_steps: u64,
    /// What follows.
    pub decay: DecayInfo,
}

/// How the learning rate falls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecayInfo {
    /// Constant.
    None,
    /// Multiplied by `gamma` every `every` epochs.
    Step {
        /// Epochs.
        every: u64,
        /// Factor.
        gamma: f64,
    },
    /// Multiplied by `gamma` at each of these epochs.
    Milestones {
        /// Epochs, ascending.
        epochs: Vec<u64>,
        /// Factor.
        gamma: f64,
    },
    /// Half a cosine from base to `minimum` over the whole run.
    Cosine {
        /// The rate at the end.
        minimum: f64,
    },
    /// Multiplied by `gamma` when the validation error has not improved for `patience` epochs, at most `times` times.
    Plateau {
        /// Factor.
        gamma: f64,
        /// Epochs.
        patience: u64,
        /// How often at most.
        times: u64,
    },
}

/// One tensor of the state block, in row-major order of its PyTorch shape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateInfo {
    /// PyTorch's name: `conv1.weight`, `bn1.running_mean`; optimizer states are `optimizer.conv1.weight.momentum`.
    pub name: String,
    /// Shape.
    pub shape: Vec<usize>,
    /// Offset in the state block in bytes.
    pub offset: usize,
    /// What it is.
    pub role: StateRole,
}

/// What a state tensor is for. All are f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StateRole {
    /// Trained; saved in weights files.
    Parameter,
    /// Not trained by gradients but part of the network (running statistics); saved in weights files.
    Buffer,
    /// Needed only to go on training; saved in checkpoints.
    Optimizer,
}

/// One entry point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// `init`, `preprocess`, `prepare`, `infer` or `train`. `prepare` brings weights into the forms that `infer` reads: it
    /// must be called after every change of the state and before `infer`.
    pub name: String,
    /// Its symbol in the library: [`EntryPoint`].
    pub symbol: String,
    /// Bytes of the arena.
    pub arena_bytes: usize,
    /// Bytes of scratch a thread.
    pub scratch_bytes: usize,
    /// Inputs. `prepare`: none. `init`: `seed`. `preprocess`: the input's name, u8. `infer`: the input's name, f32. `train`: that,
    /// `labels` (i32) or `targets` (f32), then those of `learning_rate` (`f32 []`), `step` (`i32 []`) and `seed` (`i32 [2]`) that it uses.
    pub inputs: Vec<Port>,
    /// Outputs. `preprocess`: the normalised batch under the input's name, f32. `infer`: `output`, after every layer's result
    /// if it was compiled to give them. `train`: `loss` (`f32 []`) and `output`.
    pub outputs: Vec<Port>,
    /// Symbols of the single kernels in order, each an [`EntryPoint`] too: running them all is running the function.
    pub kernels: Vec<KernelInfo>,
}

/// One tensor handed over by address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Shape with the batch.
    pub shape: Vec<usize>,
}

/// Element types of ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// IEEE single.
    F32,
    /// Two's complement, 32 bits.
    I32,
    /// Unsigned byte.
    U8,
}

impl DType {
    /// Bytes of one element.
    pub const fn bytes(self) -> usize {
        match self {
            DType::F32 | DType::I32 => 4,
            DType::U8 => 1,
        }
    }
}

/// One kernel of a function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelInfo {
    /// Symbol.
    pub symbol: String,
    /// The layers whose work it does, by name.
    pub layers: Vec<String>,
    /// Multiply-adds it performs.
    pub macs: u64,
}
