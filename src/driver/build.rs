//! From a checked network to code: plans, kernels, listings, program folders.

use super::kernels::Kernels;
use super::{Cache, Failure, cache, front};
use crate::check::Network;
use crate::codegen::{self, Listing};
use crate::forecast::{self, Forecast};
use crate::graph::Functions;
use crate::kernel::{self, Kernel};
use crate::parallel::side_by_side;
use crate::plan::{self, Algorithm, Plan};
use crate::program;
use crate::target::Target;
use std::path::{Path, PathBuf};

/// How a network is compiled.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Images in a batch.
    pub batch: usize,
    /// Whole training steps, and not only inference.
    pub train: bool,
    /// The machine.
    pub target: Target,
    /// Which algorithms may be used.
    pub algorithm: Algorithm,
}

/// A network compiled as far as its kernels.
#[derive(Debug)]
pub struct Built {
    /// Its functions as graphs.
    pub functions: Functions,
    /// A plan a function, with one of `prepare` before that of `infer` if it needs one.
    pub plans: Vec<Plan>,
    /// The kernels of each plan's steps.
    pub kernels: Vec<Vec<Kernel>>,
}

/// The target called `name`: `cpu` for this machine, `cpu:NAME` for another.
pub fn target(name: &str) -> Result<Target, Failure> {
    match name.split_once(':') {
        None if name == "cpu" => Ok(codegen::host()),
        Some(("cpu", cpu)) => codegen::named(cpu).map_err(|e| Failure::Usage(e.to_string())),
        Some(("ptx", _)) => Err(Failure::Environment(format!("target {name}: this netc is built without CUDA"))),
        _ => Err(Failure::Usage(format!("unknown target `{name}`: there is cpu, and cpu:NAME as cpu:x86-64-v3"))),
    }
}

/// Compiles a network as far as its kernels.
pub fn build(network: &Network, options: &Options) -> Result<Built, Failure> {
    Ok(built(front::functions(network, options.batch, options.train)?, &options.target, options.algorithm))
}

fn built(functions: Functions, target: &Target, algorithm: Algorithm) -> Built {
    let plans = plan::plans(&functions.graphs, target, algorithm);
    let kernels = plans.iter().map(|plan| kernel::kernels(plan, target)).collect();
    Built { functions, plans, kernels }
}

impl Built {
    /// Holds plans and kernels to what code generation relies on; a breach is a bug in netc.
    fn verify(&self) -> Result<(), Failure> {
        let broken = |errors: Vec<String>, text: String| Failure::Bug(format!("{}\n{text}", errors.join("\n")));
        for plan in &self.plans {
            plan::verify::verify(plan).map_err(|e| broken(e, plan::text::print(plan)))?;
        }
        let mut distinct: Vec<&Kernel> = Vec::new();
        for kernel in self.kernels.iter().flatten() {
            if !distinct.iter().any(|other| other.is_as(kernel)) {
                distinct.push(kernel);
            }
        }
        let verified = side_by_side(&distinct, |_| 0, |kernel| kernel::verify::verify(kernel));
        distinct
            .iter()
            .zip(verified)
            .try_for_each(|(kernel, verified)| verified.map_err(|e| broken(e, kernel::text::print(kernel))))
    }

    fn code_functions(&self) -> Vec<codegen::Function<'_>> {
        let pairs = self.plans.iter().zip(&self.kernels);
        pairs.map(|(plan, kernels)| codegen::Function { plan, kernels }).collect()
    }

    /// The code as text: that of one function, or all of it.
    pub fn listing(&self, network: &Network, options: &Options, what: Listing, function: Option<&str>) -> String {
        let wanted = |f: &codegen::Function<'_>| function.is_none_or(|name| f.plan.function == name);
        let functions: Vec<_> = self.code_functions().into_iter().filter(wanted).collect();
        codegen::listing(&network.name, &functions, &options.target, what)
    }
}

/// What a network's program will take.
pub fn forecast(network: &Network, options: &Options) -> Result<Forecast, Failure> {
    let functions = front::functions(network, options.batch, options.train)?;
    let plans = plan::plans(&functions.graphs, &options.target, options.algorithm);
    let scratch = plans.iter().map(|plan| kernel::scratch_bytes(plan, &options.target));
    Ok(forecast::forecast(&plans, scratch.max().unwrap_or(0)))
}

/// What a network's programs will take, found out side by side.
pub fn forecasts(network: &Network, options: &[Options]) -> Result<Vec<Forecast>, Failure> {
    std::thread::scope(|scope| {
        let started: Vec<_> = options.iter().map(|options| scope.spawn(|| forecast(network, options))).collect();
        started
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect()
    })
}

/// What a compilation made.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// The files.
    pub files: Vec<PathBuf>,
    /// Kernels that were compiled.
    pub kernels_compiled: usize,
    /// Kernels whose code was in the cache.
    pub kernels_reused: usize,
}

/// Compiles a network into `folder`. Kernels that `cache` has are taken from there, the others put in.
pub fn compile(
    network: &Network,
    options: &Options,
    folder: &Path,
    cache: Option<&Cache>,
) -> Result<Compiled, Failure> {
    write(network, &build(network, options)?, &options.target, folder, cache)
}

fn write(
    network: &Network,
    built: &Built,
    target: &Target,
    folder: &Path,
    cache: Option<&Cache>,
) -> Result<Compiled, Failure> {
    built.verify()?;
    let store = Kernels::of(cache);
    let program = program::program(network, &built.functions, &built.plans, &built.kernels, target, &store);
    let files = program.write(folder).map_err(|e| Failure::Environment(e.to_string()))?;
    let (kernels_compiled, kernels_reused) = store.counts();
    if let (Some(cache), 1..) = (cache, kernels_compiled) {
        cache.trim();
    }
    Ok(Compiled { files, kernels_compiled, kernels_reused })
}

/// The folder of a compiled network in the cache; compiles it if it is not there.
pub fn cached(network: &Network, options: &Options, cache: &Cache) -> Result<PathBuf, Failure> {
    let key = cache::key(&[&cache::build(), &format!("{network:?}"), &format!("{options:?}")]);
    cache.folder(&format!("{}-{key}", network.name), |folder| compile(network, options, folder, Some(cache)).map(drop))
}

/// As [`cached`], for inference that gives every layer's result, called by [`layer_output`](crate::graph::layer_output).
pub fn cached_with_layers(network: &Network, options: &Options, cache: &Cache) -> Result<PathBuf, Failure> {
    let key = cache::key(&[&cache::build(), &format!("{network:?}"), &format!("{options:?}"), "layers"]);
    cache.folder(&format!("{}-{key}", network.name), |folder| {
        let functions = crate::passes::functions_with_layers(network, options.batch);
        let functions = functions.map_err(|bug| Failure::Bug(bug.to_string()))?;
        let built = built(functions, &options.target, options.algorithm);
        write(network, &built, &options.target, folder, Some(cache)).map(drop)
    })
}
