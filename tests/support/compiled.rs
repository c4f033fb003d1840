//! Runs graphs the way programs run: planned, scheduled, and then either interpreted kernel by kernel or compiled.

use super::memory_pointer;
use netc::graph::interpret::{Data, Outcome, Tensor};
use netc::graph::{DType, Graph};
use netc::kernel::interpret::{Memory, Order, run_in_order};
use netc::kernel::{self, Kernel};
use netc::plan::{self, Algorithm, Buffer, Part, Place, Plan};
use netc::target::Target;
use netc_runtime::program::{Context, EntryPoint, ParallelBody};
use std::cell::OnceCell;
use std::ffi::c_void;

/// Some elements of a buffer.
fn part(memory: &Memory, start: usize, len: usize) -> Memory {
    match memory {
        Memory::F32(x) => Memory::F32(x[start..start + len].to_vec()),
        Memory::I32(x) => Memory::I32(x[start..start + len].to_vec()),
        Memory::U8(x) => Memory::U8(x[start..start + len].to_vec()),
    }
}

/// Writes a part's own channels, and what else is in its whole it leaves.
fn put_part(whole: &mut Memory, buffer: &Buffer, of: Part, contents: Memory) {
    let start = of.bytes / 4;
    let own = |i: &usize| i % of.pitch < buffer.dims[1];
    match (whole, contents) {
        (Memory::F32(to), Memory::F32(from)) => (0..from.len()).filter(own).for_each(|i| to[start + i] = from[i]),
        (Memory::I32(to), Memory::I32(from)) => (0..from.len()).filter(own).for_each(|i| to[start + i] = from[i]),
        (to, from) => panic!("a part of {to:?} is {from:?}"),
    }
}

/// A graph with its plan and kernels.
pub struct Planned {
    pub graph: Graph,
    pub plan: Plan,
    pub kernels: Vec<Kernel>,
    pub target: Target,
    library: OnceCell<libloading::Library>,
}

impl Planned {
    /// Plans a graph and verifies its kernels.
    pub fn new(graph: &Graph, target: &Target) -> Planned {
        Planned::by(graph, target, Algorithm::Auto)
    }

    /// As [`Self::new`], by some algorithms only.
    pub fn by(graph: &Graph, target: &Target, algorithm: Algorithm) -> Planned {
        let plan = plan::plan(graph, target, algorithm);
        plan::verify::verify(&plan).unwrap_or_else(|e| panic!("{}\n{}", e.join("\n"), plan::text::print(&plan)));
        let kernels = kernel::kernels(&plan, target);
        for (i, kernel) in kernels.iter().enumerate() {
            if kernels[..i].iter().any(|other| other.is_as(kernel)) {
                continue;
            }
            kernel::verify::verify(kernel)
                .unwrap_or_else(|e| panic!("{}\n{}", e.join("\n"), kernel::text::print(kernel)));
        }
        Planned { graph: graph.clone(), plan, kernels, target: target.clone(), library: OnceCell::new() }
    }

    /// Runs the kernels in their interpreter, each buffer in memory of its own that starts as garbage.
    pub fn interpret(&self, inputs: &[Tensor], states: &[Tensor], order: Order) -> Outcome {
        let mut memory: Vec<Memory> = self
            .plan
            .buffers
            .iter()
            .map(|b| {
                let dtype = match b.dtype {
                    DType::F32 => kernel::DType::F32,
                    DType::I32 => kernel::DType::I32,
                    DType::U8 => kernel::DType::U8,
                };
                Memory::garbage(dtype, b.len())
            })
            .collect();
        for (buffer, memory) in self.plan.buffers.iter().zip(&mut memory) {
            match buffer.place {
                Place::Port(port) if port < inputs.len() => *memory = memory_of(&inputs[port]),
                Place::State(offset) => *memory = memory_of(&states[self.state_at(offset)]),
                _ => {}
            }
        }
        for (step, kernel) in self.plan.steps.iter().zip(&self.kernels) {
            let operands = step.operands();
            let buffers = &self.plan.buffers;
            let mut own: Vec<Memory> = operands
                .iter()
                .map(|b| match buffers[b.0 as usize].part_of {
                    None => memory[b.0 as usize].clone(),
                    Some(of) => part(&memory[of.whole.0 as usize], of.bytes / 4, buffers[b.0 as usize].len()),
                })
                .collect();
            run_in_order(kernel, &mut own, order).unwrap_or_else(|e| panic!("{e}"));
            for (b, contents) in operands.iter().zip(own) {
                let buffer = &buffers[b.0 as usize];
                match buffer.part_of {
                    _ if !step.outputs.contains(b) => {}
                    None => memory[b.0 as usize] = contents,
                    Some(of) => put_part(&mut memory[of.whole.0 as usize], buffer, of, contents),
                }
            }
        }
        let outputs = self
            .plan
            .outputs
            .iter()
            .zip(&self.graph.outputs)
            .map(|((_, b), (_, v))| tensor_of(&self.graph.value(*v).shape, &memory[b.0 as usize]))
            .collect();
        let mut after = states.to_vec();
        for (buffer, memory) in self.plan.buffers.iter().zip(&memory) {
            if let Place::State(offset) = buffer.place {
                let state = self.state_at(offset);
                after[state] = tensor_of(&states[state].shape, memory);
            }
        }
        Outcome { outputs, states: after }
    }

    fn state_at(&self, offset: usize) -> usize {
        let (offsets, _) = plan::state_layout(&self.graph.states);
        offsets.iter().position(|&o| o == offset).unwrap()
    }

    /// The compiled function, compiled at the first call.
    fn library(&self) -> &libloading::Library {
        self.library.get_or_init(|| {
            let functions = [netc::codegen::Function { plan: &self.plan, kernels: &self.kernels }];
            let code = netc::codegen::compile("unit", &functions, "{}", &self.target, &netc::codegen::NoStore);
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("unit.so");
            netc::codegen::link_shared(&code, folder.path(), &path).unwrap();
            // SAFETY: the library was just made from verified kernels; it runs nothing when loaded.
            unsafe { libloading::Library::new(&path).unwrap() }
        })
    }

    /// Runs the compiled function with the parallel loops split into `parts` that are done last part first.
    pub fn run(&self, inputs: &[Tensor], states: &[Tensor], parts: i64) -> Outcome {
        let mut ports: Vec<Memory> = inputs.iter().map(memory_of).collect();
        for (_, value) in &self.graph.outputs {
            let value = self.graph.value(*value);
            let dtype = if value.dtype == DType::F32 { kernel::DType::F32 } else { kernel::DType::I32 };
            ports.push(Memory::garbage(dtype, value.shape.iter().product()));
        }
        let (offsets, state_bytes) = plan::state_layout(&self.graph.states);
        let mut state = Block::new(state_bytes);
        for (tensor, offset) in states.iter().zip(&offsets) {
            state.floats(*offset, tensor.as_real().len()).copy_from_slice(&tensor.to_f32());
        }
        let mut arena = Block::new(self.plan.arena_bytes);
        let stride = self.kernels.iter().map(Kernel::scratch_bytes).max().unwrap_or(0).max(64);
        let mut scratch = Block::new(stride);
        let pointers: Vec<*mut u8> = ports.iter_mut().map(memory_pointer).collect();
        let mut parts = parts;
        let context = Context {
            arena: arena.pointer(),
            state: state.pointer(),
            scratch: scratch.pointer(),
            scratch_stride: stride,
            ports: pointers.as_ptr(),
            parallel_for: (parts > 1).then_some(in_parts),
            pool: (&raw mut parts).cast(),
        };
        // SAFETY: the library was just made from verified kernels; all blocks have the sizes of the plan.
        let status = unsafe {
            let name = format!("unit_{}", self.graph.name);
            let entry: libloading::Symbol<EntryPoint> = self.library().get(name.as_bytes()).unwrap();
            entry(&context)
        };
        assert_eq!(status, 0);
        let outputs = self
            .graph
            .outputs
            .iter()
            .zip(&ports[inputs.len()..])
            .map(|((_, v), memory)| tensor_of(&self.graph.value(*v).shape, memory))
            .collect();
        let states = states
            .iter()
            .zip(offsets)
            .map(|(tensor, offset)| Tensor::f32(tensor.shape.clone(), state.floats(offset, tensor.as_real().len())))
            .collect();
        Outcome { outputs, states }
    }
}

/// Splits a parallel region into as many parts as `pool` says and does the last one first.
unsafe extern "C" fn in_parts(pool: *mut c_void, context: *const Context, count: i64, body: ParallelBody) {
    // SAFETY: `pool` is the number that `run` passes, the context is the one the generated code was called with.
    unsafe {
        let parts = (*pool.cast::<i64>()).min(count);
        for part in (0..parts).rev() {
            body(context, (*context).scratch, count * part / parts, count * (part + 1) / parts);
        }
    }
}

/// Memory aligned to 64 bytes, full of NaN.
struct Block {
    floats: Vec<f32>,
    start: usize,
}

impl Block {
    fn new(bytes: usize) -> Block {
        let floats = vec![f32::NAN; bytes / 4 + 32];
        let start = floats.as_ptr().align_offset(64);
        Block { floats, start }
    }

    fn pointer(&mut self) -> *mut u8 {
        self.floats[self.start..].as_mut_ptr().cast()
    }

    fn floats(&mut self, offset: usize, len: usize) -> &mut [f32] {
        let from = self.start + offset / 4;
        &mut self.floats[from..from + len]
    }
}

fn memory_of(tensor: &Tensor) -> Memory {
    match &tensor.data {
        Data::Real(x) => Memory::F32(x.iter().map(|&x| x as f32).collect()),
        Data::I32(x) => Memory::I32(x.clone()),
        Data::U8(x) => Memory::U8(x.clone()),
    }
}

fn tensor_of(shape: &[usize], memory: &Memory) -> Tensor {
    match memory {
        Memory::F32(x) => Tensor::f32(shape, x),
        Memory::I32(x) => Tensor::i32(shape, x.clone()),
        Memory::U8(x) => Tensor::u8(shape, x.clone()),
    }
}
