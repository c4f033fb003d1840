//! Whole programs of random networks, every optimizer in turn.

#![allow(clippy::unwrap_used, reason = "a failed test is a panic")]

use netc::check::Optimizer;
use netc::grad::{Recipe, Scales, differentiate};
use netc::graph::lower::{moment_names, scalar_names};
use netc::graph::random::{random_graph, random_inference, random_init, random_preprocess};
use netc::graph::{Functions, Graph, Initializer, Op, State, StateId};
use netc_runtime::program::StateRole;

const OPTIMIZERS: [Optimizer; 6] = [
    Optimizer::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.1, rate_in_velocity: false },
    Optimizer::Sgd { momentum: 0.9, nesterov: false, weight_decay: 0.0, rate_in_velocity: false },
    Optimizer::Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.1, rate_in_velocity: false },
    Optimizer::Sgd { momentum: 0.9, nesterov: true, weight_decay: 0.1, rate_in_velocity: true },
    Optimizer::Adam { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weight_decay: 0.1, decoupled: false },
    Optimizer::Adam { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weight_decay: 0.1, decoupled: true },
];

fn optimizer(seed: u64) -> Optimizer {
    OPTIMIZERS[seed as usize % OPTIMIZERS.len()]
}

/// A whole training step of a random network.
pub fn training_step(seed: u64) -> Graph {
    let graph = with_optimizer_states(random_graph(seed).unwrap(), seed);
    let trained = graph.states.iter().filter(|s| s.role == StateRole::Parameter);
    let params = trained.map(|s| (s.name.clone(), Scales { rate: 1.5, decay: 0.5 })).collect();
    differentiate(graph, &Recipe { optimizer: optimizer(seed), params }).unwrap()
}

/// `init`, `preprocess`, `infer` and `train` of a random network, over the same states.
pub fn program(seed: u64) -> Functions {
    let mut graphs = vec![];
    for make in [random_init, random_preprocess, random_inference] {
        graphs.push(with_optimizer_states(make(seed).unwrap(), seed));
    }
    let mut b = netc::graph::Builder::extend(graphs.remove(0));
    for i in 0..b.graph().states.len() {
        let (state, id) = (b.graph().states[i].clone(), StateId(i as u32));
        if state.role == StateRole::Optimizer {
            let op = Op::Initialize(Initializer::Constant(0.0));
            let zero = b.try_node(op, &[], Some(&state.shape), &state.name).unwrap()[0];
            b.update(id, zero);
        }
    }
    graphs.insert(0, b.finish());
    graphs.push(training_step(seed));
    Functions { graphs }
}

fn with_optimizer_states(mut graph: Graph, seed: u64) -> Graph {
    let optimizer = optimizer(seed);
    let state =
        |name: String, shape: &[usize]| State { name, shape: shape.to_vec(), role: StateRole::Optimizer, value: None };
    let mut added = vec![];
    for s in graph.states.iter().filter(|s| s.role == StateRole::Parameter) {
        added.extend(moment_names(&optimizer, &s.name).into_iter().map(|name| state(name, &s.shape)));
    }
    added.extend(scalar_names(&optimizer).iter().map(|name| state((*name).to_owned(), &[])));
    graph.states.append(&mut added);
    graph
}
