//! The plans and kernels of the specs that come with netc: at full size every kernel verifies and comes back from its text;
//! those of a small batch look as they should.

#![allow(clippy::unwrap_used, reason = "a failed test is a panic")]

use netc::check::network_from_text;
use netc::kernel::text::{parse, print};
use netc::kernel::verify::verify;
use netc::kernel::{Kernel, kernels};
use netc::passes::functions;
use netc::plan::{Plan, plan};
use std::path::Path;

/// A machine with eight lanes and sixteen registers, whatever the tests run on.
fn planned(path: &Path, batch: usize) -> Vec<(Plan, Vec<Kernel>)> {
    let target = netc::codegen::named("x86-64-v3").unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let (network, _) = network_from_text(&path.display().to_string(), &text).unwrap();
    let graphs = functions(&network, batch, network.train.is_some()).unwrap().graphs;
    let plans = graphs.iter().map(|graph| plan(graph, &target));
    plans.map(|plan| (kernels(&plan, &target), plan)).map(|(kernels, plan)| (plan, kernels)).collect()
}

#[test]
fn kernels_of_full_size_verify() {
    insta::glob!("../specs", "*.yaml", |path| {
        for (_, kernels) in planned(path, 128) {
            for kernel in kernels {
                verify(&kernel).unwrap_or_else(|e| panic!("{e:#?}\n{}", print(&kernel)));
                assert_eq!(parse(&print(&kernel)).unwrap(), kernel);
            }
        }
    });
}

#[test]
fn plans_and_kernels_look_as_they_should() {
    insta::glob!("../specs", "*.yaml", |path| {
        for (plan, kernels) in planned(path, 2) {
            insta::assert_snapshot!(format!("{}_plan", plan.function), netc::plan::text::print(&plan));
            let kernels: Vec<String> = kernels.iter().map(print).collect();
            insta::assert_snapshot!(format!("{}_kernels", plan.function), kernels.join("\n"));
        }
    });
}
