//! LLVM IR, object code and shared libraries.
//!
//! Takes the plans and kernels of a program's functions, gives [`Code`]: object files with one entry point a function
//! (see [`netc_runtime::program`] for the contract). The only stage that names LLVM. Never decides anything about
//! schedules: a kernel's loops say how they run, and a kernel's values say how they round (no fast-math flag is ever
//! set, products are fused only where the kernel says so).

mod body;
mod entry;
mod link;
mod machine;
mod math;

pub(crate) use entry::step_symbol;
pub use link::{LinkError, link, link_shared};
pub use machine::{TargetError, host, named};

use crate::kernel::Kernel;
use crate::parallel::side_by_side;
use crate::plan::Plan;
use crate::target::Target;
use inkwell::OptimizationLevel;
use inkwell::context::Context;
use inkwell::module::Module;
use inkwell::passes::PassBuilderOptions;
use inkwell::targets::{FileType, TargetMachine};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Compiled code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// ELF object files that belong together; they need libc/libm at most.
    pub objects: Vec<Vec<u8>>,
}

/// A function ready for code generation: its plan and a kernel a step.
pub struct Function<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// One for each of its steps.
    pub kernels: &'a [Kernel],
}

/// Object code of kernels, kept from one compilation to the next under keys that change with all that it depends on.
pub trait KernelStore: Sync {
    /// The object kept under `key`.
    fn find(&self, key: &str) -> Option<Vec<u8>>;
    /// Keeps an object.
    fn keep(&self, key: &str, object: &[u8]);
}

/// Keeps nothing: every kernel is compiled.
#[derive(Debug, Clone, Copy)]
pub struct NoStore;

impl KernelStore for NoStore {
    fn find(&self, _key: &str) -> Option<Vec<u8>> {
        None
    }

    fn keep(&self, _key: &str, _object: &[u8]) {}
}

/// What to print for a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// LLVM IR after optimisation.
    Llvm,
    /// Assembly.
    Assembly,
}

/// The symbol of a function of a network, `alexnet_train`.
pub fn symbol(network: &str, function: &str) -> String {
    let clean: String = network.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("{clean}_{function}")
}

/// Compiles the functions of `network` for `target`; `manifest` is embedded as the symbol `NETWORK_manifest`, of which
/// `netc_manifest` is a weak alias. A kernel that `store` has is not compiled again. Output bytes depend on the other
/// arguments alone.
pub fn compile(
    network: &str,
    functions: &[Function],
    manifest: &str,
    target: &Target,
    store: &dyn KernelStore,
) -> Code {
    let units = units(network, functions);
    // Kernels, and last the entry points.
    let jobs: Vec<Option<(&String, &Body)>> = units.bodies.iter().map(Some).chain([None]).collect();
    let weight = |job: &Option<(&String, &Body)>| job.map_or(usize::MAX, |(_, body)| body.text.len());
    let objects = side_by_side(&jobs, weight, |job| match job {
        Some((name, body)) => {
            let key = key(name, body, target);
            store.find(&key).unwrap_or_else(|| {
                let context = Context::create();
                let module = context.create_module("kernel");
                body::emit(&context, &module, name, body.kernel, target);
                let object = object(&module, &optimise(&module, target));
                store.keep(&key, &object);
                object
            })
        }
        None => {
            let context = Context::create();
            let module = context.create_module("entry");
            entry::emit(&context, &module, network, functions, &units.names, manifest, target);
            object(&module, &as_it_is(&module, target))
        }
    });
    Code { objects }
}

/// Names the object code of a kernel by all that it depends on but netc itself.
fn key(name: &str, body: &Body, target: &Target) -> String {
    let mut hash = Sha256::new();
    for part in [&format!("{:?} {target:?}", inkwell::support::get_llvm_version()), name, &body.text] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
}

/// The code of the functions as text.
pub fn listing(network: &str, functions: &[Function], target: &Target, what: Listing) -> String {
    let units = units(network, functions);
    let mut text = String::new();
    for (name, body) in &units.bodies {
        let context = Context::create();
        let module = context.create_module(name);
        body::emit(&context, &module, name, body.kernel, target);
        let machine = optimise(&module, target);
        match what {
            Listing::Llvm => text.push_str(&module.print_to_string().to_string()),
            Listing::Assembly => {
                let bytes = machine
                    .write_to_memory_buffer(&module, FileType::Assembly)
                    .unwrap_or_else(|e| panic!("bug in netc: LLVM cannot print {name}: {e}"));
                text.push_str(&String::from_utf8_lossy(bytes.as_slice()));
            }
        }
    }
    text
}

/// A kernel's code.
struct Body<'a> {
    kernel: &'a Kernel,
    /// All that its code depends on: not the kernel's name, so that equal work gets equal code.
    text: String,
}

/// Kernel bodies by symbol, each once however many steps share it, and each step's body.
struct Units<'a> {
    bodies: BTreeMap<String, Body<'a>>,
    names: Vec<Vec<String>>,
}

fn units<'a>(network: &str, functions: &[Function<'a>]) -> Units<'a> {
    let mut bodies = BTreeMap::new();
    let mut names = Vec::new();
    for function in functions {
        let mut own: Vec<String> = Vec::new();
        let mut distinct: Vec<usize> = Vec::new();
        for (i, kernel) in function.kernels.iter().enumerate() {
            if let Some(&same) = distinct.iter().find(|&&other| function.kernels[other].is_as(kernel)) {
                own.push(own[same].clone());
                continue;
            }
            distinct.push(i);
            let text = format!("{:?}{:?}{:?}", kernel.buffers, kernel.locals, kernel.body);
            let hash = Sha256::digest(text.as_bytes());
            let hash: String = hash.iter().take(8).map(|b| format!("{b:02x}")).collect();
            let name = format!("{}_body_{hash}", symbol(network, "kernel"));
            bodies.entry(name.clone()).or_insert(Body { kernel, text });
            own.push(name);
        }
        names.push(own);
    }
    Units { bodies, names }
}

/// Checks a module and makes the machine for its code.
fn machine_for(module: &Module, target: &Target, level: OptimizationLevel) -> TargetMachine {
    let machine = machine::machine(target, level);
    module.set_triple(&machine.get_triple());
    module.set_data_layout(&machine.get_target_data().get_data_layout());
    if let Err(message) = module.verify() {
        panic!("bug in netc: generated LLVM IR is invalid: {message}");
    }
    machine
}

/// The machine for code that is not worth any time.
fn as_it_is(module: &Module, target: &Target) -> TargetMachine {
    machine_for(module, target, OptimizationLevel::None)
}

/// What a kernel needs of LLVM. Registers and values become SSA, equal addresses one, what loops do not change goes before
/// them, and loops count in the form that addresses are made from. What is left of LLVM's usual passes looks for what
/// kernels do not have, or unrolls and vectorizes loops, whose kinds say how they run.
const PASSES: &str = "function(sroa,early-cse<memssa>,instcombine<no-verify-fixpoint>,simplifycfg,loop-mssa(licm),\
                      loop(indvars),early-cse<memssa>,instcombine<no-verify-fixpoint>)";

/// Optimises a module of kernels. Code generation is told to do less than is usual, for the one thing that it leaves out
/// then: putting instructions into another order once registers are given to them, for machines that would not
/// themselves.
fn optimise(module: &Module, target: &Target) -> TargetMachine {
    let machine = machine_for(module, target, OptimizationLevel::Less);
    if let Err(message) = module.run_passes(PASSES, &machine, PassBuilderOptions::create()) {
        panic!("bug in netc: LLVM's passes failed: {message}");
    }
    machine
}

fn object(module: &Module, machine: &TargetMachine) -> Vec<u8> {
    match machine.write_to_memory_buffer(module, FileType::Object) {
        Ok(buffer) => buffer.as_slice().to_vec(),
        Err(message) => panic!("bug in netc: LLVM cannot write the object: {message}"),
    }
}
