//! What a program takes, told before it is compiled: its memory, exactly; its work, exactly; its time, at least.
//!
//! Takes the plans of a network's functions and the scratch of their kernels, gives a [`Forecast`]. The memory is what the runtime takes from
//! the system. The bytes moved are those that each kernel reads and writes, each once; what it reads twice comes from a
//! cache. The time is that of a machine that does nothing but the multiply-adds at its full speed, or moves the bytes
//! at the speed of its memory: no program is faster, and most are slower.

mod charge;
mod contents;

pub use charge::{Charge, Pass, Payer};
pub use contents::Content;

use crate::graph;
use crate::plan::{Buffer, BufferId, Plan, Step, Work, text};
use netc_runtime::program::{DType, Port, share_ports};
use netc_runtime::speed::Speed;

/// What the functions of a network take.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// Memory of all functions together.
    pub memory: Memory,
    /// The tensors that are in the arena when that is fullest.
    pub tensors: Vec<Content>,
    /// Bytes of the arena that tensors of the network itself take.
    pub needed: u64,
    /// Work of each function.
    pub functions: Vec<Effort>,
}

/// Memory that a program takes, all of it when it starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Weights and what the optimizer keeps.
    pub state: u64,
    /// Tensors between layers.
    pub arena: u64,
    /// Inputs and outputs.
    pub ports: u64,
    /// Working memory of each thread.
    pub scratch: u64,
}

/// Work of a function.
#[derive(Debug, Clone, PartialEq)]
pub struct Effort {
    /// The function: `init`, `preprocess`, `infer` or `train`.
    pub function: String,
    /// Work of each kernel, in order.
    pub steps: Vec<StepEffort>,
}

/// Work of a kernel.
#[derive(Debug, Clone, PartialEq)]
pub struct StepEffort {
    /// Its name.
    pub name: String,
    /// The layers whose work it does.
    pub layers: Vec<String>,
    /// Multiply-adds by the definition.
    pub macs: u64,
    /// Multiply-adds of the products that it does.
    pub done: u64,
    /// Bytes that it reads.
    pub read: u64,
    /// Bytes that it writes.
    pub written: u64,
    /// What it does, as the plan's text has it.
    pub work: String,
    /// Who is charged with its time.
    pub charge: Charge,
    /// The first kernel of the function that does alike, perhaps itself: the same work for the same layers, into tensors of
    /// the same names, as for others of the batch's images.
    pub alike: usize,
}

/// What a program of these plans takes, whose kernels need so many bytes of scratch at most.
pub fn forecast(plans: &[Plan], scratch_bytes: usize) -> Forecast {
    let functions = plans.iter().map(|plan| Effort { function: plan.function.clone(), steps: efforts(plan) }).collect();
    let fullest = plans.iter().max_by_key(|plan| plan.arena_bytes);
    Forecast {
        memory: memory(plans, scratch_bytes),
        tensors: fullest.map(contents::fullest).unwrap_or_default(),
        needed: plans.iter().map(contents::needed).max().unwrap_or(0),
        functions,
    }
}

fn memory(plans: &[Plan], scratch_bytes: usize) -> Memory {
    let most = |bytes: fn(&Plan) -> usize| plans.iter().map(bytes).max().unwrap_or(0) as u64;
    let scratch = scratch_bytes.next_multiple_of(64);
    let port = |plan: &Plan, (name, id): &(String, BufferId)| {
        let buffer = &plan.buffers[id.0 as usize];
        let dtype = match buffer.dtype {
            graph::DType::F32 => DType::F32,
            graph::DType::I32 => DType::I32,
            graph::DType::U8 => DType::U8,
        };
        Port { name: name.clone(), dtype, shape: buffer.dims.clone() }
    };
    let ports: Vec<Vec<Port>> = plans
        .iter()
        .map(|plan| plan.inputs.iter().chain(&plan.outputs).map(|named| port(plan, named)).collect())
        .collect();
    let (blocks, _) = share_ports(&ports);
    let ports: usize = blocks.iter().map(|p| p.shape.iter().product::<usize>() * p.dtype.bytes()).sum();
    Memory {
        state: most(|plan| plan.state_bytes),
        arena: most(|plan| plan.arena_bytes),
        ports: ports as u64,
        scratch: scratch as u64,
    }
}

fn efforts(plan: &Plan) -> Vec<StepEffort> {
    let charges = charge::charges(plan).into_iter().zip(charge::alike(plan));
    let steps = plan.steps.iter().zip(charges);
    steps.map(|(step, (charge, alike))| effort(plan, step, charge, alike)).collect()
}

fn effort(plan: &Plan, step: &Step, charge: Charge, alike: usize) -> StepEffort {
    let buffer = |id: BufferId| &plan.buffers[id.0 as usize];
    let mut inputs = step.inputs.clone();
    inputs.sort_unstable();
    inputs.dedup();
    let read: u64 = inputs.iter().map(|&id| buffer(id).own_bytes() as u64).sum();
    let all_of_it: u64 = step.outputs.iter().map(|&id| buffer(id).own_bytes() as u64).sum();
    let written = match step.work {
        Work::ClearHalo => step.outputs.iter().map(|&id| frame(buffer(id))).sum(),
        // A part of the output, as large as the input.
        Work::CopyInto { .. } => read.min(all_of_it),
        _ => all_of_it,
    };
    // What is written into a part of a buffer does not read the rest of it.
    let read = match step.work {
        Work::ClearHalo => 0,
        _ => read,
    };
    StepEffort {
        name: step.name.clone(),
        layers: step.layers.clone(),
        macs: step.macs,
        done: step.done,
        read,
        written,
        work: text::work(&step.work),
        charge,
        alike,
    }
}

/// Bytes of the zeros around an image.
fn frame(buffer: &Buffer) -> u64 {
    let inside = buffer.dims.iter().product::<usize>();
    ((buffer.len() - inside) * 4) as u64
}

impl Forecast {
    /// The work of the function called `name`.
    pub fn function(&self, name: &str) -> Option<&Effort> {
        self.functions.iter().find(|effort| effort.function == name)
    }
}

impl Memory {
    /// Bytes on so many threads.
    pub fn bytes(&self, threads: usize) -> u64 {
        self.state + self.arena + self.ports + self.scratch * threads as u64
    }
}

impl Effort {
    /// Multiply-adds of all kernels.
    pub fn macs(&self) -> u64 {
        self.steps.iter().map(|step| step.macs).sum()
    }

    /// Bytes that all kernels read and write.
    pub fn moved(&self) -> u64 {
        self.steps.iter().map(|step| step.read + step.written).sum()
    }

    /// The least seconds that a machine of this speed needs.
    pub fn least_seconds(&self, speed: &Speed) -> f64 {
        self.steps.iter().map(|step| step.least_seconds(speed)).sum()
    }
}

impl StepEffort {
    /// The least seconds that a machine of this speed needs.
    pub fn least_seconds(&self, speed: &Speed) -> f64 {
        speed.least_seconds(self.done, self.read, self.written)
    }
}
