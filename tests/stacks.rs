//! Runs of image operations that are done for some images at a time: which they are, and that they do the same.

#![allow(clippy::unwrap_used, reason = "a failed test is a panic")]

mod support;

use netc::check::{self, Network};
use netc::codegen;
use netc::driver;
use netc::forecast::forecast;
use netc::graph::Graph;
use netc::graph::interpret::{Outcome, Precision, Tensor, interpret};
use netc::graph::random::random_arguments;
use netc::kernel::interpret::Order;
use netc::passes::functions;
use netc::plan::{Algorithm, Place, Plan, Stack, Work, plan, plans, text, verify::verify};
use netc::target::Target;
use std::path::Path;
use support::assert_close;
use support::compiled::Planned;

const CHAIN: &str = "
net: chain
input: {name: image, shape: [3, 20, 20]}
layers:
  - conv: {name: conv1, kernels: 8, kernel_size: 3, padding: 1}
  - relu
  - conv: {name: conv2, kernels: 16, kernel_size: 3, padding: 1}
  - relu
  - maxpool: {kernel_size: 2, stride: 2}
  - linear: {name: fc, features: 10}
";

/// A value that is read in the stack and after it, a sum, and a concatenation whose operands are made in several places.
const BRANCHES: &str = "
net: branches
input: {name: image, shape: [3, 20, 20]}
layers:
  - conv: {name: conv1, kernels: 8, kernel_size: 5, stride: 2, padding: [1, 2]}
  - relu: {name: first}
  - conv: {name: conv2, kernels: 8, kernel_size: 3, padding: 1}
  - add: {name: sum, from: [conv2, first]}
  - conv: {name: conv3, kernels: 4, kernel_size: 1, from: sum}
  - sigmoid: {name: gate}
  - concat: {name: all, from: [gate, first, sum]}
  - lrn: {name: norm, size: 3, alpha: 1.0e-4, beta: 0.75, k: 2}
  - maxpool: {name: pool, kernel_size: 2, stride: 2}
  - conv: {name: conv4, kernels: 6, kernel_size: 3, padding: 1}
  - linear: {name: fc, features: 10}
";

fn network(text: &str) -> Network {
    check::network_from_text("small.yaml", text).unwrap_or_else(|e| panic!("{e:#?}")).0
}

fn infer(network: &Network, batch: usize) -> Graph {
    functions(network, batch, false).unwrap().graphs.into_iter().find(|graph| graph.name == "infer").unwrap()
}

fn small(cache: usize) -> Target {
    Target { cache, ..codegen::host() }
}

fn planned(text: &str, batch: usize, cache: usize) -> Plan {
    let plan = plan(&infer(&network(text), batch), &small(cache), Algorithm::Direct);
    verify(&plan).unwrap_or_else(|e| panic!("{e:#?}\n{}", text::print(&plan)));
    plan
}

#[test]
fn a_batch_that_fits_is_done_at_once() {
    assert_eq!(planned(CHAIN, 8, 24 << 20).stacks, []);
    assert_eq!(planned(CHAIN, 1, 1 << 10).stacks, []);
}

#[test]
fn a_group_is_the_most_images_that_fit() {
    let big = CHAIN.replace("[3, 20, 20]", "[3, 128, 128]");
    let stack = |batch: usize, cache: usize| -> Option<Stack> { planned(&big, batch, cache).stacks.into_iter().next() };
    let of_one = stack(16, 4 << 20).unwrap();
    let weights = of_one.weights;
    let alive = of_one.alive / of_one.images;
    assert!(weights > 0 && alive > 4 * 8 * 128 * 128, "{of_one:?}");
    for images in [1, 2, 4] {
        let found = stack(16, 2 * (weights + images * alive)).unwrap();
        assert_eq!((found.images, found.groups), (images, 16 / images), "{found:?}");
        assert_eq!(found.steps.len(), found.groups * found.body());
        let found = stack(16, 2 * (weights + images * alive) - 1);
        assert!(found.is_none_or(|found| found.images < images || found.steps != of_one.steps));
    }
    // Batches that nothing divides, or that would take too many groups.
    assert_eq!(stack(17, 4 << 20).map(|found| found.images), Some(1));
    assert_eq!(stack(67, 4 << 20), None);
}

#[test]
fn what_leaves_a_stack_is_of_the_whole_batch_and_all_else_of_a_group() {
    let big = BRANCHES.replace("[3, 20, 20]", "[3, 200, 200]");
    let (batch, plan) = (8, planned(&big, 8, 8 << 20));
    assert!(!plan.stacks.is_empty(), "{}", text::print(&plan));
    for stack in &plan.stacks {
        for (i, step) in plan.steps.iter().enumerate().filter(|(i, _)| stack.steps.contains(i)) {
            for &b in step.inputs.iter().chain(&step.outputs) {
                let (buffer, whole) = (&plan.buffers[b.0 as usize], &plan.buffers[plan.whole(b).0 as usize]);
                if matches!(buffer.place, Place::State(_)) || buffer.dims.len() != 4 {
                    continue;
                }
                assert_eq!(buffer.dims[0], stack.images, "{}", text::step(&plan, step));
                let elsewhere = |(j, other): (usize, &netc::plan::Step)| {
                    let touched = other.inputs.iter().chain(&other.outputs).any(|o| plan.whole(*o) == plan.whole(b));
                    touched && (j < stack.steps.start || j >= stack.steps.end)
                };
                let shared = plan.steps.iter().enumerate().any(elsewhere) || matches!(whole.place, Place::Port(_));
                let group = |i: usize| (i - stack.steps.start) / stack.body();
                assert_eq!(
                    whole.dims[0],
                    if shared { batch } else { stack.images },
                    "{} of group {}",
                    buffer.name,
                    group(i)
                );
            }
        }
    }
}

/// Each group finds its tensors where those of the one before were.
#[test]
fn groups_have_the_same_places() {
    let plan = planned(&CHAIN.replace("[3, 20, 20]", "[3, 128, 128]"), 16, 4 << 20);
    let stack = &plan.stacks[0];
    for i in stack.steps.start + stack.body()..stack.steps.end {
        let (first, step) = (&plan.steps[i - stack.body()], &plan.steps[i]);
        for (a, b) in first.inputs.iter().zip(&step.inputs).chain(first.outputs.iter().zip(&step.outputs)) {
            let [a, b] = [a, b].map(|id| &plan.buffers[id.0 as usize]);
            assert!(a.part_of.is_some() || a.place == b.place, "{} {:?} {:?}", a.name, a.place, b.place);
        }
    }
}

#[test]
fn training_keeps_what_lies_between() {
    for graph in functions(&spec("lenet"), 64, true).unwrap().graphs {
        let plan = plan(&graph, &small(64 << 10), Algorithm::Auto);
        assert!(plan.stacks.is_empty() || graph.name == "infer", "{}", graph.name);
    }
}

fn bits(outcome: &Outcome) -> Vec<u64> {
    outcome.outputs.iter().flat_map(|t| t.as_real().iter().map(|x| x.to_bits()).collect::<Vec<_>>()).collect()
}

/// Graph interpreter = kernel interpreter = compiled code, whatever the groups; the same bits in any order of the work.
#[test]
fn groups_do_what_the_batch_does() {
    let mut counts = Vec::new();
    for (text, batch, caches) in
        [(CHAIN, 4, [160_000, 300_000]), (BRANCHES, 4, [45_000, 80_000]), (BRANCHES, 3, [35_000, 60_000])]
    {
        let network = network(&text.replace("[3, 20, 20]", "[3, 32, 32]"));
        let graph = infer(&network, batch);
        let (inputs, states) = random_arguments(&graph, 5);
        let exact = interpret(&graph, Precision::Single, &inputs, &states).unwrap();
        for cache in caches {
            for algorithm in [Algorithm::Auto, Algorithm::Direct] {
                let planned = Planned::by(&graph, &small(cache), algorithm);
                counts.push(planned.plan.stacks.iter().map(|stack| stack.groups).sum::<usize>());
                let what = format!("{} of {batch} in {cache}, {algorithm:?}", graph.name);
                let values = |outcome: &Outcome| outcome.outputs.iter().flat_map(Tensor::to_f32).collect::<Vec<f32>>();
                if cache == caches[0] {
                    let kernels = planned.interpret(&inputs, &states, Order::Reversed);
                    assert_close(&what, &values(&kernels), &values(&exact), 2e-5);
                }
                let code = planned.run(&inputs, &states, 1);
                assert_close(&what, &values(&code), &values(&exact), 2e-5);
                for parts in [2, 5] {
                    assert_eq!(bits(&code), bits(&planned.run(&inputs, &states, parts)), "{what}");
                }
            }
        }
    }
    assert!(counts.iter().filter(|groups| **groups > 1).count() > 5, "{counts:?}");
}

fn spec(name: &str) -> Network {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("specs/{name}.yaml"));
    driver::check(driver::read(&path, &[]).unwrap()).unwrap().network
}

#[test]
fn stacks_of_the_networks_here_are_right_and_as_forecast() {
    let target = codegen::named("x86-64-v3").unwrap();
    for (name, batch, least) in [("alexnet", 16, 1), ("squeezenet", 16, 1), ("resnet18", 16, 1), ("googlenet", 16, 2)] {
        let network = spec(name);
        let functions = functions(&network, batch, false).unwrap();
        let plans = plans(&functions.graphs, &target, Algorithm::Auto);
        for plan in &plans {
            verify(plan).unwrap_or_else(|e| panic!("{name}: {e:#?}"));
        }
        let infer = plans.last().unwrap();
        assert!(infer.stacks.len() >= least, "{name}: {:?}", infer.stacks);
        let told = forecast(&plans, 0);
        let effort = told.function("infer").unwrap();
        assert_eq!(effort.macs(), batch as u64 * network.macs(), "{name}");
        assert_eq!(told.memory.arena, infer.arena_bytes as u64);
        // What groups do is one row of `netc time`.
        for stack in &infer.stacks {
            for i in stack.steps.clone() {
                let first = stack.steps.start + (i - stack.steps.start) % stack.body();
                assert_eq!(effort.steps[i].alike, effort.steps[first].alike, "{name}: {}", infer.steps[i].name);
                assert_eq!(effort.steps[i].charge, effort.steps[first].charge, "{name}: {}", infer.steps[i].name);
            }
        }
    }
}

#[test]
fn the_plan_says_what_is_done_in_groups() {
    let network = spec("alexnet");
    let target = codegen::named("x86-64-v3").unwrap();
    let plan = plans(&functions(&network, 16, false).unwrap().graphs, &target, Algorithm::Auto).pop().unwrap();
    insta::assert_snapshot!(text::print(&plan));
}

#[test]
fn damaged_stacks_are_refused() {
    let big = CHAIN.replace("[3, 20, 20]", "[3, 128, 128]");
    let damaged = |damage: &dyn Fn(&mut Plan)| {
        let mut plan = planned(&big, 16, 4 << 20);
        damage(&mut plan);
        verify(&plan).unwrap_err().join("\n")
    };
    assert!(damaged(&|plan| plan.stacks[0].steps.end += 1).contains("groups"));
    assert!(damaged(&|plan| plan.stacks[0].steps.end += 1000).contains("not the plan's"));
    let last = |plan: &Plan| plan.stacks[0].steps.end - 1;
    let other = damaged(&|plan| {
        let last = last(plan);
        plan.steps[last].work = Work::Copy;
    });
    assert!(other.contains("does other work"), "{other}");
    // The last group makes the images of the one before it again.
    let twice = damaged(&|plan| {
        let (last, body) = (last(plan), plan.stacks[0].body());
        plan.steps[last].outputs = plan.steps[last - body].outputs.clone();
    });
    assert!(twice.contains("before it is whole") && twice.contains("does other work"), "{twice}");
}
