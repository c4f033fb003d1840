//! Named passes over graphs, and the door from a network to the functions of a program.
//!
//! A pass takes a graph and gives a graph that computes the same. It has one name: its file, its function, its
//! [`Pass::name`], its place in dumps. The graph is verified after each; one that does not verify is reported with the
//! graph that the pass was given.

mod functions;
pub mod simplify;

pub use functions::{functions, functions_observed, functions_with_layers};

use crate::graph::{Bug, Graph, verify};

/// A pass.
#[derive(Debug, Clone, Copy)]
pub struct Pass {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub run: fn(Graph) -> Graph,
}

/// The passes that every function goes through, in order.
pub const PASSES: &[Pass] = &[Pass { name: "simplify", run: simplify::simplify }];

/// Runs passes in order, verifies before the first and after each, and shows each result to `observe` under the pass's name.
///
/// # Errors
/// If a graph does not verify: a bug in the pass.
pub fn run(graph: Graph, passes: &[Pass], mut observe: impl FnMut(&str, &Graph)) -> Result<Graph, Bug> {
    verify(&graph)?;
    let mut graph = graph;
    for pass in passes {
        let given = graph.clone();
        graph = (pass.run)(graph);
        verify(&graph).map_err(|e| Bug(format!("after {}:\n{e}\nit was given:\n{given}", pass.name)))?;
        observe(pass.name, &graph);
    }
    Ok(graph)
}
