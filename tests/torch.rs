//! netc computes what PyTorch computes: reference cases in the graph interpreter.

#![allow(clippy::unwrap_used, reason = "a failed test is a panic")]

mod reference;

use netc::grad::gradients;
use netc::graph::interpret::{Precision, interpret};
use netc::graph::{Builder, Mode, lower, verify};
use reference::{Case, Interpreter, case_files, disagreement};

/// Runs `test` on every case and fails with all that it says.
fn every_case(test: impl Fn(&Case) -> Result<Vec<String>, String>) {
    let mut wrong = vec![];
    let files = case_files();
    assert!(files.len() > 100, "the cases are in tests/torch/cases");
    for path in files {
        match Case::read(&path).and_then(|case| test(&case)) {
            Ok(found) => wrong.extend(found.into_iter().map(|e| format!("{}: {e}", path.display()))),
            Err(e) => wrong.push(format!("{}: {e}", path.display())),
        }
    }
    assert!(wrong.is_empty(), "{} disagreements:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn inference_and_training_agree() {
    every_case(|case| {
        let functions = case.functions()?;
        case.disagreements(&functions, &mut Interpreter(functions.clone()))
    });
}

#[test]
fn gradients_agree() {
    every_case(|case| {
        let graph = lower(&case.network, Mode::Train, case.batch, false).map_err(|e| e.to_string())?;
        let wanted: Vec<_> = graph
            .states
            .iter()
            .filter_map(|s| Some((case.tensors.get(&format!("grad.{}", s.name))?, s.name.clone(), s.value?)))
            .collect();
        let given = case.tensors.keys().filter(|k| k.starts_with("grad.")).count();
        if given != wanted.len() {
            return Err(format!("{given} gradients are given, the network has {} of them", wanted.len()));
        }
        let values: Vec<_> = wanted.iter().map(|w| w.2).collect();
        let loss = graph.find_output("loss").unwrap();
        let forward = graph.outputs.len();
        let mut b = Builder::extend(graph);
        let mut order = vec![];
        gradients(&mut b, loss, &values, |b, i, gradient| {
            b.output(&format!("grad.{}", wanted[i].1), gradient);
            order.push(i);
            Ok(())
        })
        .map_err(|e| e.to_string())?;
        let graph = b.finish();
        verify(&graph).map_err(|e| e.to_string())?;
        let states: Vec<_> = case.first_states(&netc::graph::Functions { graphs: vec![graph.clone()] })?;
        let outcome =
            interpret(&graph, Precision::Single, &case.inputs(&graph, 1)?, &states).map_err(|e| e.to_string())?;
        let mut wrong = vec![];
        for (&i, got) in order.iter().zip(&outcome.outputs[forward..]) {
            wrong.extend(disagreement(got, wanted[i].0).map(|e| format!("grad.{}: {e}", wanted[i].1)));
        }
        if order.len() != wanted.len() {
            wrong.push(format!("{} gradients of {}", order.len(), wanted.len()));
        }
        Ok(wrong)
    });
}
