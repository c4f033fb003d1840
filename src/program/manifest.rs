//! The manifest: the program contract filled in for one network.

use crate::check::{Loss, Network};
use crate::codegen;
use crate::graph::{self, Functions, Graph};
use crate::kernel::Kernel;
use crate::plan::{Plan, state_layout};
use crate::target::Target;
use netc_runtime::program::{DType, Function, InputInfo, KernelInfo, Manifest, Port, StateInfo, TrainInfo, VERSION};
use sha2::{Digest, Sha256};

/// As the text that is embedded and written.
pub(super) fn json(manifest: &Manifest) -> String {
    match serde_json::to_string_pretty(manifest) {
        Ok(text) => text + "\n",
        Err(error) => panic!("bug in netc: the manifest has no JSON form: {error}"),
    }
}

/// What the runtime will know about a network's program. `plans` and `kernels` belong to `functions.graphs`, one each.
pub fn manifest(
    network: &Network,
    functions: &Functions,
    plans: &[Plan],
    kernels: &[Vec<Kernel>],
    target: &Target,
) -> Manifest {
    let mut layers = network.layers();
    let input = layers.next().map(|(_, layer)| layer);
    let output = network.output().map(|id| network.layer(id));
    let graphs = &functions.graphs;
    let infer = graphs.iter().find(|g| g.name == "infer");
    let batch = infer.and_then(|g| g.inputs.first().map(|&v| g.value(v).shape[0])).unwrap_or(1);
    let trains = graphs.iter().any(|g| g.name == "train");
    let train = network.train.as_ref().filter(|_| trains).map(|train| TrainInfo {
        epochs: train.epochs,
        learning_rate: train.schedule.clone(),
        shuffle: train.shuffle,
        loss: match train.loss {
            Loss::CrossEntropy { .. } => "cross_entropy".to_owned(),
            Loss::Mse => "mse".to_owned(),
        },
    });
    let (states, own_bytes) = states(graphs);
    let state_bytes = plans.iter().map(|plan| plan.state_bytes).fold(own_bytes, usize::max);
    Manifest {
        version: VERSION,
        name: network.name.clone(),
        target: format!("{}/{}", target.triple, target.cpu),
        hash: hash(plans, kernels),
        batch,
        input: InputInfo {
            name: input.map(|l| l.name.clone()).unwrap_or_default(),
            shape: input.map(|l| l.shape.clone()).unwrap_or_default(),
        },
        classes: network.classes.clone(),
        output_shape: output.map(|l| l.shape.clone()).unwrap_or_default(),
        output_is_probability: output.is_some_and(|l| l.kind == crate::check::LayerKind::Softmax),
        preprocess: network.preprocess.geometry.clone(),
        train,
        state_bytes,
        states,
        functions: plans
            .iter()
            .zip(kernels)
            .map(|(plan, kernels)| {
                let graph = graphs.iter().find(|graph| graph.name == plan.function);
                function(network, graph, plan, kernels)
            })
            .collect(),
    }
}

fn states(graphs: &[Graph]) -> (Vec<StateInfo>, usize) {
    let Some(graph) = graphs.first() else { return (Vec::new(), 0) };
    let (offsets, bytes) = state_layout(&graph.states);
    let states = graph
        .states
        .iter()
        .zip(offsets)
        .map(|(state, offset)| StateInfo {
            name: state.name.clone(),
            shape: state.shape.clone(),
            offset,
            role: state.role,
        })
        .collect();
    (states, bytes)
}

/// A function; one that no graph describes has no ports.
fn function(network: &Network, graph: Option<&Graph>, plan: &Plan, kernels: &[Kernel]) -> Function {
    let port = |graph: &Graph, name: &str, value: graph::ValueId| {
        let value = graph.value(value);
        let dtype = match value.dtype {
            graph::DType::F32 => DType::F32,
            graph::DType::I32 => DType::I32,
            graph::DType::U8 => DType::U8,
        };
        Port { name: name.to_owned(), dtype, shape: value.shape.clone() }
    };
    Function {
        name: plan.function.clone(),
        symbol: codegen::symbol(&network.name, &plan.function),
        arena_bytes: plan.arena_bytes,
        scratch_bytes: kernels.iter().map(Kernel::scratch_bytes).max().unwrap_or(0),
        inputs: graph.map_or_else(Vec::new, |g| g.inputs.iter().map(|&v| port(g, &g.value(v).name, v)).collect()),
        outputs: graph.map_or_else(Vec::new, |g| g.outputs.iter().map(|(name, v)| port(g, name, *v)).collect()),
        kernels: plan
            .steps
            .iter()
            .map(|step| KernelInfo {
                symbol: codegen::step_symbol(&network.name, plan, step),
                layers: step.layers.clone(),
                macs: step.macs,
            })
            .collect(),
    }
}

fn hash(plans: &[Plan], kernels: &[Vec<Kernel>]) -> String {
    let mut hasher = Sha256::new();
    for (plan, kernels) in plans.iter().zip(kernels) {
        hasher.update(crate::plan::text::print(plan));
        for kernel in kernels {
            hasher.update(crate::kernel::text::print(kernel));
        }
    }
    hasher.finalize().iter().map(|b| format!("{b:02x}")).collect()
}
