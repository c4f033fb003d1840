//! A program at work: its blocks of memory and typed calls of its functions.
#![allow(unsafe_code, reason = "builds the contexts that generated code runs on")]

use crate::error::{Error, Result};
use crate::library::{Program, elements, port_bytes};
use crate::memory::{ALIGNMENT, Block};
use crate::program::{Context, DType, Function, Manifest, Port, StateInfo, share_ports};
use crate::threads::Pool;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A loaded program with its state, arena, scratch blocks and ports.
///
/// Ports of the same name, type and shape share one block across functions: what `preprocess` writes, `infer` and
/// `train` read.
pub struct Session {
    program: Arc<Program>,
    pool: Arc<Pool>,
    state: Block,
    arena: Block,
    scratch: Block,
    scratch_stride: usize,
    ports: Vec<(Port, Block)>,
    /// For each function of the manifest, in order: indices into `ports`, inputs then outputs.
    bindings: Vec<Vec<usize>>,
    /// Whether `prepare` has been called since the state changed.
    prepared: bool,
}

/// Results of a training step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepResult {
    /// The batch's loss.
    pub loss: f32,
}

impl Session {
    /// Prepares to run `program` on the threads of `pool`. All memory the program will ever need is taken here.
    pub fn new(program: Arc<Program>, pool: Arc<Pool>) -> Result<Session> {
        let manifest = program.manifest();
        let name = &manifest.name;
        let arena_bytes = manifest.functions.iter().map(|f| f.arena_bytes).max().unwrap_or(0);
        let scratch_bytes = manifest.functions.iter().map(|f| f.scratch_bytes).max().unwrap_or(0);
        let too_large = || Error::Request(format!("program {name} needs more memory than can be addressed"));
        // A page more than needed between two threads' blocks would not help: they never share a line as it is.
        let scratch_stride = scratch_bytes.checked_next_multiple_of(ALIGNMENT).ok_or_else(too_large)?;
        let all_scratch = scratch_stride.checked_mul(pool.threads()).ok_or_else(too_large)?;

        let all: Vec<Vec<Port>> =
            manifest.functions.iter().map(|f| f.inputs.iter().chain(&f.outputs).cloned().collect()).collect();
        let (blocks, bindings) = share_ports(&all);
        let mut ports = Vec::new();
        for port in blocks {
            let bytes = port_bytes(&port).ok_or_else(too_large)?;
            let block = Block::zeroed(&format!("`{}` of {name}", port.name), bytes)?;
            ports.push((port, block));
        }
        Ok(Session {
            state: Block::zeroed(&format!("the weights of {name}"), manifest.state_bytes)?,
            arena: Block::zeroed(&format!("the arena of {name}"), arena_bytes)?,
            scratch: Block::zeroed(&format!("{} threads' scratch of {name}", pool.threads()), all_scratch)?,
            scratch_stride,
            ports,
            bindings,
            prepared: false,
            pool,
            program,
        })
    }

    /// The program.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The program's manifest.
    pub fn manifest(&self) -> &Manifest {
        self.program.manifest()
    }

    /// The pool it runs on.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Bytes of all blocks together: the program's peak memory.
    pub fn memory_bytes(&self) -> usize {
        let ports: usize = self.ports.iter().map(|(_, block)| block.len()).sum();
        self.state.len() + self.arena.len() + self.scratch.len() + ports
    }

    /// Whether the program has a function called `name`.
    pub fn has(&self, name: &str) -> bool {
        self.manifest().function(name).is_some()
    }

    /// Fills the states with their initial values, drawn from `seed`.
    pub fn init(&mut self, seed: u64) -> Result<()> {
        self.set_seed("init", seed)?;
        self.prepared = false;
        self.call("init")
    }

    /// The images that [`Session::preprocess`] reads: a batch of N×C×H×W bytes.
    pub fn pixels_mut(&mut self) -> Result<&mut [u8]> {
        self.port_mut("preprocess", |_| true)
    }

    /// Normalises the batch in [`Session::pixels_mut`] into the network's input.
    pub fn preprocess(&mut self) -> Result<()> {
        self.call("preprocess")
    }

    /// The network's input: a batch of normalised images. `function` is `infer` or `train`, which share it.
    pub fn batch_mut(&mut self, function: &str) -> Result<&mut [f32]> {
        self.port_mut(function, |_| true)
    }

    /// The classes of the batch, for [`Session::train`].
    pub fn labels_mut(&mut self) -> Result<&mut [i32]> {
        self.port_mut("train", |name| name == "labels")
    }

    /// The values to be predicted for the batch, for [`Session::train`].
    pub fn targets_mut(&mut self) -> Result<&mut [f32]> {
        self.port_mut("train", |name| name == "targets")
    }

    /// Runs the network on the batch in [`Session::batch_mut`] and gives its output, a batch of
    /// [`Manifest::output_shape`].
    pub fn infer(&mut self) -> Result<&[f32]> {
        self.prepare()?;
        self.call("infer")?;
        self.output("infer", "output")
    }

    /// The result called `name` of the last [`Session::infer`].
    pub fn inferred(&self, name: &str) -> Result<&[f32]> {
        self.output("infer", name)
    }

    /// One training step on the batch in [`Session::batch_mut`] and its labels or targets. Step counts from 0 over
    /// the whole of training.
    pub fn train(&mut self, learning_rate: f32, step: u64, seed: u64) -> Result<StepResult> {
        self.set("train", "learning_rate", &[learning_rate])?;
        // A counter for random numbers: wrapping after 2³² steps is harmless.
        self.set("train", "step", &[step as u32 as i32])?;
        self.set_seed("train", seed)?;
        self.prepared = false;
        self.call("train")?;
        match self.output("train", "loss")? {
            [loss] => Ok(StepResult { loss: *loss }),
            _ => Err(self.broken("its loss is no single number")),
        }
    }

    /// What the last [`Session::train`] computed for its batch, if the program says: a batch of
    /// [`Manifest::output_shape`].
    pub fn train_output(&self) -> Option<&[f32]> {
        self.output("train", "output").ok()
    }

    /// Brings the state into the forms that `infer` reads, if that has not been done since it changed.
    fn prepare(&mut self) -> Result<()> {
        if !self.prepared && self.has("prepare") {
            self.call("prepare")?;
        }
        self.prepared = true;
        Ok(())
    }

    /// Runs the kernels of `function` one by one, telling `observe` each one's index and time.
    pub fn run_kernels(&mut self, function: &str, mut observe: impl FnMut(usize, Duration)) -> Result<()> {
        match function {
            "infer" => self.prepare()?,
            _ => self.prepared = false,
        }
        let kernels = self.program.function(function)?.kernels.clone();
        for (index, kernel) in kernels.iter().enumerate() {
            let start = Instant::now();
            self.enter(function, &kernel.symbol)?;
            observe(index, start.elapsed());
        }
        Ok(())
    }

    /// The state called `name`.
    pub fn state(&self, name: &str) -> Option<&[f32]> {
        let info = self.manifest().states.iter().find(|s| s.name == name)?;
        Some(bytemuck::cast_slice(self.state_bytes(info)))
    }

    /// The state called `name`.
    pub fn state_mut(&mut self, name: &str) -> Option<&mut [f32]> {
        let info = self.manifest().states.iter().find(|s| s.name == name)?.clone();
        Some(bytemuck::cast_slice_mut(self.state_bytes_mut(&info)))
    }

    /// The bytes of a state of this program's manifest.
    pub(crate) fn state_bytes(&self, info: &StateInfo) -> &[u8] {
        &self.state.bytes()[info.offset..info.offset + state_bytes(info)]
    }

    /// The bytes of a state of this program's manifest.
    pub(crate) fn state_bytes_mut(&mut self, info: &StateInfo) -> &mut [u8] {
        self.prepared = false;
        &mut self.state.bytes_mut()[info.offset..info.offset + state_bytes(info)]
    }

    fn set_seed(&mut self, function: &str, seed: u64) -> Result<()> {
        self.set(function, "seed", &[seed as u32 as i32, (seed >> 32) as u32 as i32])
    }

    /// Writes the input `name` of `function`, if it has one: a function takes only what its result depends on.
    fn set<T: Element>(&mut self, function: &str, name: &str, values: &[T]) -> Result<()> {
        let (at, info) = self.find(function)?;
        let Some(position) = info.inputs.iter().position(|port| port.name == name) else { return Ok(()) };
        let (port, block) = &mut self.ports[self.bindings[at][position]];
        if port.dtype == T::DTYPE && elements(&port.shape) == Some(values.len()) {
            block.elements_mut().copy_from_slice(values);
            return Ok(());
        }
        let cause = format!("`{name}` of `{function}` is no {} of type {:?}", count(values.len()), T::DTYPE);
        Err(self.broken(&cause))
    }

    fn find(&self, function: &str) -> Result<(usize, &Function)> {
        let missing = self.program.function(function);
        let at = self.manifest().functions.iter().position(|f| f.name == function);
        Ok((at.unwrap_or_default(), missing?))
    }

    /// The first input of `function` whose name pleases and whose type is T.
    fn port_mut<T: Element>(&mut self, function: &str, name: impl Fn(&str) -> bool) -> Result<&mut [T]> {
        let (at, info) = self.find(function)?;
        let inputs = info.inputs.len();
        let found = self.bindings[at][..inputs]
            .iter()
            .copied()
            .find(|&index| name(&self.ports[index].0.name) && self.ports[index].0.dtype == T::DTYPE);
        match found {
            Some(index) => Ok(self.ports[index].1.elements_mut()),
            None => Err(self.broken(&format!("`{function}` has no such input of type {:?}", T::DTYPE))),
        }
    }

    fn output(&self, function: &str, name: &str) -> Result<&[f32]> {
        let (at, info) = self.find(function)?;
        let found = self.bindings[at][info.inputs.len()..]
            .iter()
            .map(|&index| &self.ports[index])
            .find(|(port, _)| port.name == name && port.dtype == DType::F32);
        match found {
            Some((_, block)) => Ok(block.elements()),
            None => Err(self.broken(&format!("`{function}` has no f32 output `{name}`"))),
        }
    }

    fn broken(&self, cause: &str) -> Error {
        Error::Contract { program: self.manifest().name.clone(), cause: cause.to_owned() }
    }

    fn call(&mut self, function: &str) -> Result<()> {
        let symbol = self.program.function(function)?.symbol.clone();
        self.enter(function, &symbol)
    }

    /// Calls `symbol`, which is `function`'s or one of its kernels'.
    fn enter(&mut self, function: &str, symbol: &str) -> Result<()> {
        let (at, _) = self.find(function)?;
        let addresses: Vec<*mut u8> = self.ports.iter_mut().map(|(_, block)| block.as_mut_ptr()).collect();
        let ports: Vec<*mut u8> = self.bindings[at].iter().map(|&index| addresses[index]).collect();
        let (parallel_for, pool) = self.pool.contract();
        let context = Context {
            arena: self.arena.as_mut_ptr(),
            state: self.state.as_mut_ptr(),
            scratch: self.scratch.as_mut_ptr(),
            scratch_stride: self.scratch_stride,
            ports: ports.as_ptr(),
            parallel_for: (self.pool.threads() > 1).then_some(parallel_for),
            pool,
        };
        // SAFETY: arena and scratch have the largest size that any function asks for, with one scratch block a thread
        // of the pool; the state block has the manifest's size; `ports` lists this function's ports in order, each a
        // block of its own within the function, of the port's size. All are aligned (`Block`), owned by this session
        // and exclusively borrowed for the call. `pool` lives in the session's `Arc`.
        unsafe { self.program.call(symbol, &context) }
    }
}

fn count(numbers: usize) -> String {
    if numbers == 1 { "number".to_owned() } else { format!("{numbers} numbers") }
}

fn state_bytes(info: &StateInfo) -> usize {
    // The manifest was verified on loading: the product fits.
    elements(&info.shape).unwrap_or(0) * 4
}

/// Rust types of ports.
trait Element: bytemuck::AnyBitPattern + bytemuck::NoUninit {
    const DTYPE: DType;
}

impl Element for f32 {
    const DTYPE: DType = DType::F32;
}

impl Element for i32 {
    const DTYPE: DType = DType::I32;
}

impl Element for u8 {
    const DTYPE: DType = DType::U8;
}
