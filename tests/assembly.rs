//! What the code of register tiles is made of: multiply-adds, no spilled sum, no call.
//!
//! A loop that adds to a register tile loads, multiplies and adds, and stores nothing. It is found in the assembly as an
//! innermost loop with multiply-adds and without a store.

#![allow(clippy::unwrap_used, reason = "a failed test is a panic")]

use netc::check::Network;
use netc::codegen::{self, Function, Listing};
use netc::driver::{self, Built, Options, build};
use netc::kernel::{Buffer, Kernel, Space};
use netc::plan::Algorithm;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The innermost loops of assembly: each the lines from its label to the jump back to it.
fn innermost_loops(assembly: &str) -> Vec<Vec<&str>> {
    let mut loops: Vec<(usize, usize)> = Vec::new();
    let lines: Vec<&str> = assembly.lines().map(str::trim).collect();
    let mut labels: BTreeMap<&str, usize> = BTreeMap::new();
    for (at, line) in lines.iter().enumerate() {
        if let Some(label) = line.strip_prefix(".L").and_then(|rest| rest.split(':').next())
            && line.contains(':')
        {
            labels.insert(label, at);
        } else if line.ends_with("# -- Begin function") || line.starts_with(".globl") {
            labels.clear();
        } else if line.starts_with('j')
            && let Some(label) = line.split_whitespace().nth(1).and_then(|to| to.strip_prefix(".L"))
            && let Some(&start) = labels.get(label)
        {
            loops.push((start, at));
        }
    }
    let inside = |a: &(usize, usize), b: &(usize, usize)| a != b && a.0 >= b.0 && a.1 <= b.1;
    let innermost = loops.iter().filter(|around| !loops.iter().any(|other| inside(other, around)));
    innermost.map(|&(start, end)| lines[start..=end].to_vec()).collect()
}

fn is_multiply_add(line: &str) -> bool {
    line.starts_with("vfmadd") && line.contains("ps")
}

/// Moves of vectors from a register to memory: the last operand is no register.
fn is_store(line: &str) -> bool {
    line.starts_with("vmov") && line.ends_with(')')
}

fn is_on_stack(line: &str) -> bool {
    line.contains("(%rsp") && line.contains("mm")
}

/// Whether a buffer is one of the banks of sums of a register tile.
fn is_tile(buffer: &Buffer) -> bool {
    buffer.space == Space::Register && buffer.len > 0 && buffer.name.starts_with("sums")
}

/// What is wrong with the loops of a kernel that add to its register tiles.
fn wrong(network: &str, plan: &netc::plan::Plan, kernel: &Kernel, options: &Options) -> Vec<String> {
    let steps: BTreeSet<usize> = kernel
        .buffers
        .iter()
        .filter(|buffer| is_tile(buffer))
        .map(|buffer| buffer.len / options.target.lanes)
        .collect();
    let functions = [Function { plan, kernels: std::slice::from_ref(kernel) }];
    let assembly = codegen::listing(network, &functions, &options.target, Listing::Assembly);
    let mut wrong = Vec::new();
    let mut found = 0;
    for lines in innermost_loops(&assembly) {
        let multiply_adds = lines.iter().filter(|line| is_multiply_add(line)).count();
        let spilled = lines.iter().filter(|line| is_on_stack(line)).count();
        let stored = lines.iter().any(|line| is_store(line) && !is_on_stack(line));
        // Loops of transforms also add and subtract.
        let added = lines.iter().any(|line| line.starts_with("vaddp") || line.starts_with("vsubp"));
        if multiply_adds < 4 || stored || added {
            continue;
        }
        found += 1;
        let name = &kernel.name;
        if spilled > 0 {
            wrong.push(format!("{name}: {spilled} of {} instructions of a loop use the stack", lines.len()));
        }
        if let Some(call) = lines.iter().find(|line| line.starts_with("call")) {
            wrong.push(format!("{name}: a loop has `{call}`"));
        }
        if !steps.iter().any(|step| multiply_adds.is_multiple_of(*step)) {
            wrong.push(format!("{name}: {multiply_adds} multiply-adds in a loop, where a step has one of {steps:?}"));
        }
    }
    if found == 0 {
        wrong.push(format!("{}: no loop adds to a register tile", kernel.name));
    }
    wrong
}

/// A spec's training or inference for a CPU as far as its kernels.
fn built(spec: &str, cpu: &str, batch: usize, train: bool) -> (Network, Options, Built) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("specs").join(spec);
    let checked = driver::read(&path, &[]).and_then(driver::check).unwrap_or_else(|_| panic!("{spec} is not right"));
    let network = checked.network;
    let target = driver::target(cpu).unwrap_or_else(|_| panic!("{cpu} is no target"));
    let options = Options { batch, train, target, algorithm: Algorithm::Auto };
    let built = build(&network, &options).unwrap_or_else(|_| panic!("{spec} does not build"));
    (network, options, built)
}

/// Compiles a spec's training or inference for a CPU and looks at each kernel with register tiles.
fn look_at(spec: &str, cpu: &str, batch: usize, train: bool) {
    let (network, options, built) = built(spec, cpu, batch, train);
    let mut seen = BTreeSet::new();
    let mut reports = Vec::new();
    for (plan, kernels) in built.plans.iter().zip(&built.kernels) {
        for kernel in kernels {
            let tiles = kernel.buffers.iter().any(is_tile);
            if tiles && seen.insert(format!("{:?}{:?}", kernel.buffers, kernel.body)) {
                reports.extend(wrong(&network.name, plan, kernel, &options));
            }
        }
    }
    assert!(!seen.is_empty(), "{spec} has no register tiles");
    assert!(reports.is_empty(), "{spec} for {cpu}, batch {batch}:\n{}", reports.join("\n"));
}

#[test]
fn tiles_of_inference_stay_in_registers() {
    for cpu in ["cpu:x86-64-v3", "cpu:x86-64-v4"] {
        look_at("alexnet.yaml", cpu, 1, false);
        look_at("alexnet.yaml", cpu, 128, false);
        look_at("alexnet-paper.yaml", cpu, 16, false);
        look_at("squeezenet.yaml", cpu, 1, false);
    }
}

#[test]
fn tiles_of_training_stay_in_registers() {
    for cpu in ["cpu:x86-64-v3", "cpu:x86-64-v4"] {
        look_at("alexnet.yaml", cpu, 128, true);
        look_at("resnet18.yaml", cpu, 8, true);
    }
}

/// Kernels that are compiled, and LLVM's instructions in them once they are optimised.
fn size(spec: &str, batch: usize, train: bool) -> (usize, usize) {
    let (network, options, built) = built(spec, "cpu:x86-64-v4", batch, train);
    let text = built.listing(&network, &options, Listing::Llvm, None);
    let instructions = text.lines().filter(|line| line.starts_with("  ")).count();
    (text.matches("; ModuleID").count(), instructions)
}

/// What takes time to compile, counted: equal kernels are compiled once, and LLVM copies no loops.
#[test]
fn there_is_little_to_compile() {
    for (batch, train, kernels, instructions) in [(1, false, 44, 11_400), (128, true, 132, 58_000)] {
        let found = size("alexnet.yaml", batch, train);
        assert!(found.0 <= kernels && found.1 <= instructions, "batch {batch}: {found:?}");
    }
}
