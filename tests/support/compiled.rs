//! Runs graphs the way programs run: planned, scheduled, and then either interpreted kernel by kernel or compiled.

use super::bytes;
use super::guarded::{Guarded, PAGE, Side};
use netc::graph::interpret::{Data, Outcome, Tensor};
use netc::graph::{DType, Graph};
use netc::kernel::interpret::{Memory, Order, run_in_order};
use netc::kernel::{self, Kernel};
use netc::plan::{self, Algorithm, Buffer, Part, Place, Plan};
use netc::target::Target;
use netc_runtime::program::{Context, EntryPoint, ParallelBody, ParallelFor};
use netc_runtime::threads::Pool;
use std::cell::OnceCell;
use std::ffi::c_void;
use std::ops::Range;

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

    /// It with a part of the arena for each buffer alone, between pages that belong to none.
    pub fn apart(&self, side: Side) -> Planned {
        let mut plan = self.plan.clone();
        let mut end = PAGE;
        for buffer in plan.buffers.iter_mut().filter(|b| matches!(b.place, Place::Arena(_)) && b.part_of.is_none()) {
            buffer.place = Place::Arena(end + side.start(buffer.bytes()));
            end += buffer.bytes().next_multiple_of(PAGE) + PAGE;
        }
        plan.arena_bytes = end;
        for i in 0..plan.buffers.len() {
            let Some(of) = plan.buffers[i].part_of else { continue };
            if let Place::Arena(start) = plan.buffers[of.whole.0 as usize].place {
                plan.buffers[i].place = Place::Arena(start + of.bytes);
            }
        }
        plan::verify::verify(&plan).unwrap_or_else(|e| panic!("{}\n{}", e.join("\n"), plan::text::print(&plan)));
        let (graph, kernels) = (self.graph.clone(), self.kernels.clone());
        Planned { graph, plan, kernels, target: self.target.clone(), library: OnceCell::new() }
    }

    /// Runs the compiled function with the parallel loops split into `parts` that are done last part first.
    pub fn run(&self, inputs: &[Tensor], states: &[Tensor], parts: i64) -> Outcome {
        self.run_between(inputs, states, parts, Side::After)
    }

    /// As [`Self::run`], with pages that nobody may touch on this side of every block of memory.
    pub fn run_between(&self, inputs: &[Tensor], states: &[Tensor], mut parts: i64, side: Side) -> Outcome {
        let in_parts: ParallelFor = in_parts;
        let parallel_for = (parts > 1).then_some(in_parts);
        self.call(inputs, states, 1, parallel_for, (&raw mut parts).cast(), side)
    }

    /// Runs the compiled function on the threads of a pool.
    pub fn run_on(&self, pool: &Pool, inputs: &[Tensor], states: &[Tensor]) -> Outcome {
        let (parallel_for, own) = pool.contract();
        self.call(inputs, states, pool.threads(), Some(parallel_for), own, Side::After)
    }

    fn call(
        &self,
        inputs: &[Tensor],
        states: &[Tensor],
        threads: usize,
        parallel_for: Option<ParallelFor>,
        pool: *mut c_void,
        side: Side,
    ) -> Outcome {
        let mut ports: Vec<Guarded> = inputs.iter().map(|t| Guarded::of(&bytes(&memory_of(t)), side)).collect();
        for (_, value) in &self.graph.outputs {
            let elements: usize = self.graph.value(*value).shape.iter().product();
            ports.push(Guarded::new(4 * elements, side));
        }
        let (offsets, state_bytes) = plan::state_layout(&self.graph.states);
        let mut state = Guarded::new(state_bytes, side);
        for (tensor, offset) in states.iter().zip(&offsets) {
            let bytes = bytes(&memory_of(tensor));
            state.bytes_mut()[*offset..offset + bytes.len()].copy_from_slice(&bytes);
        }
        let mut arena = Guarded::new(self.plan.arena_bytes, side);
        self.unused().iter().for_each(|range| arena.forbid(range));
        let stride = self.kernels.iter().map(Kernel::scratch_bytes).max().unwrap_or(0).next_multiple_of(64).max(64);
        let mut scratch = Guarded::new(threads * stride, side);
        let pointers: Vec<*mut u8> = ports.iter_mut().map(Guarded::pointer).collect();
        let context = Context {
            arena: arena.pointer(),
            state: state.pointer(),
            scratch: scratch.pointer(),
            scratch_stride: stride,
            ports: pointers.as_ptr(),
            parallel_for,
            pool,
        };
        // SAFETY: the library was just made from verified kernels; all blocks have the sizes of the plan.
        let status = unsafe {
            let name = format!("unit_{}", self.graph.name);
            let entry: libloading::Symbol<EntryPoint> = self.library().get(name.as_bytes()).unwrap();
            entry(&context)
        };
        assert_eq!(status, 0);
        let outputs = self.graph.outputs.iter().zip(&ports[inputs.len()..]).map(|((_, v), port)| {
            let value = self.graph.value(*v);
            let words = port.bytes().chunks_exact(4).map(|word| word.try_into().unwrap());
            match value.dtype {
                DType::F32 => Tensor::f32(value.shape.clone(), &words.map(f32::from_ne_bytes).collect::<Vec<_>>()),
                DType::I32 | DType::U8 => Tensor::i32(value.shape.clone(), words.map(i32::from_ne_bytes).collect()),
            }
        });
        let after = states.iter().zip(offsets).map(|(tensor, offset)| {
            let words = state.bytes()[offset..].chunks_exact(4).take(tensor.shape.iter().product());
            let floats: Vec<f32> = words.map(|word| f32::from_ne_bytes(word.try_into().unwrap())).collect();
            Tensor::f32(tensor.shape.clone(), &floats)
        });
        Outcome { outputs: outputs.collect(), states: after.collect() }
    }

    /// What no buffer takes of the arena.
    fn unused(&self) -> Vec<Range<usize>> {
        let arena = self.plan.buffers.iter().filter_map(|buffer| match buffer.place {
            Place::Arena(start) if buffer.part_of.is_none() => Some(start..start + buffer.bytes()),
            _ => None,
        });
        let mut used: Vec<Range<usize>> = arena.collect();
        used.sort_by_key(|range| range.start);
        let mut unused = Vec::new();
        let mut end = 0;
        for range in used {
            if end < range.start {
                unused.push(end..range.start);
            }
            end = end.max(range.end);
        }
        unused.push(end..self.plan.arena_bytes);
        unused
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
