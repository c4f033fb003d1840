//! The plans and kernels of the specs that come with netc: at full size every kernel verifies and comes back from its
//! text; those of a small batch look as they should.

#![allow(clippy::unwrap_used, reason = "a failed test is a panic")]

use netc::driver;
use netc::graph::Op;
use netc::kernel::text::{parse, print};
use netc::kernel::verify::verify;
use netc::kernel::{Kernel, kernels};
use netc::passes::functions;
use netc::plan::{Algorithm, Images, Place, Plan, Work, plan};
use netc::target::Target;
use std::path::Path;

/// Specs whose kernels are looked at, at full size; those of the others are of the same kinds.
const SPECS: &str = "{alexnet,alexnet-half,alexnet-paper,lenet}.yaml";

/// A machine with eight lanes and sixteen registers, whatever the tests run on.
fn planned(path: &Path, batch: usize) -> Vec<(Plan, Vec<Kernel>)> {
    let words = ["x86_64-unknown-linux-gnu", "x86-64-v3", "+avx2,+fma"].map(str::to_owned);
    let [triple, cpu, features] = words;
    let target = Target { triple, cpu, features, lanes: 8, registers: 16, cache: 24 << 20, fused: true };
    // From the file: it may take in others.
    let network = driver::check(driver::read(path, &[]).unwrap()).unwrap().network;
    let graphs = functions(&network, batch, network.train.is_some()).unwrap().graphs;
    let plans = graphs.iter().map(|graph| plan(graph, &target, Algorithm::Auto));
    plans.map(|plan| (kernels(&plan, &target), plan)).map(|(kernels, plan)| (plan, kernels)).collect()
}

#[test]
fn plans_and_kernels_of_full_size_verify() {
    insta::glob!("../specs", SPECS, |path| {
        for (plan, kernels) in planned(path, 128) {
            netc::plan::verify::verify(&plan).unwrap_or_else(|e| panic!("{e:#?}\n{}", netc::plan::text::print(&plan)));
            // The groups of a stack have the same kernels.
            for (i, kernel) in kernels.iter().enumerate() {
                if !kernels[..i].iter().any(|other| other.is_as(kernel)) {
                    verify(kernel).unwrap_or_else(|e| panic!("{e:#?}\n{}", print(kernel)));
                    assert_eq!(parse(&print(kernel)).unwrap(), *kernel);
                }
            }
        }
    });
}

#[test]
fn plans_and_kernels_look_as_they_should() {
    insta::glob!("../specs", SPECS, |path| {
        for (plan, kernels) in planned(path, 2) {
            insta::assert_snapshot!(format!("{}_plan", plan.function), netc::plan::text::print(&plan));
            let kernels: Vec<String> = kernels.iter().map(print).collect();
            insta::assert_snapshot!(format!("{}_kernels", plan.function), kernels.join("\n"));
        }
    });
}

/// Branches are made in their places of what joins them, and what comes back to them is read there.
#[test]
fn branches_of_the_networks_here_are_joined_without_copies() {
    for name in ["squeezenet", "googlenet"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("specs/{name}.yaml"));
        let plans = planned(&path, 1);
        assert!(plans.iter().any(|(plan, _)| plan.function == "train"), "{name}");
        for (plan, _) in &plans {
            netc::plan::verify::verify(plan).unwrap_or_else(|e| panic!("{e:#?}\n{}", netc::plan::text::print(plan)));
            for step in &plan.steps {
                let copies = matches!(step.work, Work::CopyInto { .. } | Work::Op(Op::Slice { .. } | Op::Concat));
                assert!(!copies, "{name}: {}", netc::plan::text::step(plan, step));
            }
        }
    }
}

/// Damages a training plan of a net and returns what the verifier says.
fn damaged(damage: impl FnOnce(&mut Plan)) -> String {
    damaged_net("alexnet-half", damage)
}

fn damaged_net(name: &str, damage: impl FnOnce(&mut Plan)) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("specs/{name}.yaml"));
    let (mut plan, _) = planned(&path, 2).pop().unwrap();
    assert_eq!(plan.function, "train");
    damage(&mut plan);
    netc::plan::verify::verify(&plan).unwrap_err().join("\n")
}

#[test]
fn damaged_plans_are_refused() {
    let found = damaged(|plan| plan.steps[1].name = plan.steps[0].name.clone());
    assert!(found.contains("not named uniquely"), "{found}");
    let found = damaged(|plan| plan.arena_bytes -= 64);
    assert!(found.contains("does not lie in the arena"), "{found}");
    let found = damaged(|plan| {
        for buffer in plan.buffers.iter_mut().filter(|b| matches!(b.place, Place::Arena(_))) {
            buffer.place = Place::Arena(0);
        }
    });
    assert!(found.contains("overlap"), "{found}");
    let found = damaged(|plan| plan.steps.retain(|s| s.work != Work::ClearHalo));
    assert!(found.contains("before it is whole"), "{found}");
    let found = damaged(|plan| {
        let conv = |s: &&netc::plan::Step| matches!(&s.work, Work::TransformImages { images: Images::Input { before, halo: true }, .. } if *before != [0, 0]);
        let x = plan.steps.iter().find(conv).unwrap().inputs[0];
        plan.buffers[x.0 as usize].layout = netc::plan::Layout::ChannelsLast(Default::default());
    });
    assert!(found.contains("reads beyond the halo"), "{found}");
    let found = damaged(|plan| {
        let biased = |s: &&mut netc::plan::Step| s.name == "fc8_matmul";
        plan.steps.iter_mut().find(biased).unwrap().inputs.pop();
    });
    assert!(found.contains("other operands than its epilogue"), "{found}");
    let found = damaged(|plan| {
        let updates = |s: &&mut netc::plan::Step| s.name == "fc8_matmul_3";
        plan.steps.iter_mut().find(updates).unwrap().outputs.reverse();
    });
    assert!(found.contains("does not write over the states that it updates"), "{found}");
}

#[test]
fn damaged_parts_are_refused() {
    let first_part = |plan: &Plan| plan.buffers.iter().position(|b| b.part_of.is_some()).unwrap();
    let moved = |by: usize| {
        damaged_net("squeezenet", |plan| {
            let part = first_part(plan);
            let Place::Arena(offset) = plan.buffers[part].place else { panic!("a part in the arena") };
            plan.buffers[part].place = Place::Arena(offset + by);
            plan.buffers[part].part_of.as_mut().unwrap().bytes += by;
        })
    };
    for by in [4 * 127, 4 << 20] {
        let found = moved(by);
        assert!(found.contains("does not lie in"), "{found}");
    }
    // The second part is made where the first one is.
    assert!(moved(4 * 64).contains("before it is whole"));
    let found = damaged_net("squeezenet", |plan| {
        let part = first_part(plan);
        plan.buffers[part].part_of.as_mut().unwrap().pitch += 16;
    });
    assert!(found.contains("does not lie in"), "{found}");
    let found = damaged_net("squeezenet", |plan| {
        let part = netc::plan::BufferId(first_part(plan) as u32);
        let whole = plan.whole(part);
        let step = plan.steps.iter_mut().find(|step| step.outputs.contains(&part)).unwrap();
        step.inputs[0] = whole;
    });
    assert!(found.contains("which is in part"), "{found}");
}
