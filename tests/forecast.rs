//! What netc says a network takes is what it takes.

#![allow(clippy::unwrap_used, reason = "a test that cannot do its work has failed")]

use netc::check::Network;
use netc::codegen;
use netc::driver::{self, Built, Options};
use netc::forecast::{Forecast, Pass, Payer, StepEffort, forecast};
use netc::plan::Algorithm;
use netc_runtime::program::{Manifest, share_ports};
use std::path::{Path, PathBuf};

/// The specs that come with netc.
fn specs() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("specs");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "yaml"));
    paths.sort();
    paths
}

fn network(path: &Path) -> Network {
    driver::check(driver::read(path, &[]).unwrap_or_else(|e| panic!("{e:?}")))
        .unwrap_or_else(|e| panic!("{e:?}"))
        .network
}

fn built(network: &Network, train: bool, batch: usize) -> Built {
    driver::build(network, &Options { batch, train, target: codegen::host(), algorithm: Algorithm::Auto }).unwrap()
}

/// What the runtime takes from the system for a program of this manifest.
fn taken(manifest: &Manifest, threads: usize) -> u64 {
    let functions = &manifest.functions;
    let arena = functions.iter().map(|f| f.arena_bytes).max().unwrap();
    let scratch = functions.iter().map(|f| f.scratch_bytes).max().unwrap().next_multiple_of(64);
    let ports: Vec<Vec<_>> = functions.iter().map(|f| f.inputs.iter().chain(&f.outputs).cloned().collect()).collect();
    let ports: usize = share_ports(&ports).0.iter().map(|p| p.shape.iter().product::<usize>() * p.dtype.bytes()).sum();
    (manifest.state_bytes + arena + scratch * threads + ports) as u64
}

#[test]
fn the_memory_is_what_the_program_takes() {
    for path in specs() {
        let network = network(&path);
        for (train, batch) in [(false, 1), (false, 7), (true, 2), (true, network.train.as_ref().map_or(1, |t| t.batch))]
        {
            if train && network.train.is_none() {
                continue;
            }
            let built = built(&network, train, batch);
            let manifest =
                netc::program::manifest(&network, &built.functions, &built.plans, &built.kernels, &codegen::host());
            let scratch = built.kernels.iter().flatten().map(|kernel| kernel.scratch_bytes());
            let told = forecast(&built.plans, scratch.max().unwrap());
            for threads in [1, 3] {
                assert_eq!(told.memory.bytes(threads), taken(&manifest, threads), "{path:?} {train} {batch} {threads}");
                let parts: u64 = told.contents(threads).iter().map(|content| content.bytes).sum();
                assert_eq!(parts, told.memory.bytes(threads), "{path:?}: the parts are the whole");
            }
        }
    }
}

#[test]
fn a_session_takes_what_was_told() {
    let network = network(&specs().into_iter().find(|path| path.ends_with("lenet.yaml")).unwrap());
    let folder = tempfile::tempdir().unwrap();
    let options = Options { batch: 16, train: true, target: codegen::host(), algorithm: Algorithm::Auto };
    driver::compile(&network, &options, folder.path(), None).unwrap();
    for threads in [1, 2, 5] {
        let session = driver::session(folder.path(), threads).unwrap();
        let told = driver::forecast(&network, &options).unwrap();
        assert_eq!(told.memory.bytes(threads), session.memory_bytes() as u64);
    }
}

#[test]
fn multiply_adds_and_bytes_are_those_of_the_network() {
    for path in specs() {
        let network = network(&path);
        let infer = |batch: usize| {
            let built = built(&network, false, batch);
            forecast(&built.plans, 0).function("infer").unwrap().clone()
        };
        let (one, three) = (infer(1), infer(3));
        assert_eq!(one.macs(), network.macs(), "{path:?}");
        assert_eq!(three.macs(), 3 * network.macs(), "{path:?}");
        // At least the weights are read and the image is.
        let image: usize = network.layers().next().unwrap().1.shape.iter().product();
        assert!(one.moved() >= 4 * (network.param_count() + image as u64), "{path:?}: {}", one.moved());
    }
}

#[test]
fn the_largest_batch_that_fits_is_found() {
    let network = network(&specs().into_iter().find(|path| path.ends_with("lenet.yaml")).unwrap());
    let options = Options { batch: 1, train: true, target: codegen::host(), algorithm: Algorithm::Auto };
    let of = |batch: usize| -> Forecast { driver::forecast(&network, &Options { batch, ..options.clone() }).unwrap() };
    let bytes: Vec<u64> = (1..=200).map(|batch| of(batch).memory.bytes(2)).collect();
    for limit in [bytes[0], bytes[0] + 1, bytes[1] - 1, bytes[40], bytes[40] - 1, bytes[70] + 12_345] {
        let largest = bytes.iter().rposition(|&taken| taken <= limit).unwrap() + 1;
        let found = driver::fit(&network, &options, limit, 2).unwrap();
        assert_eq!((found.batch, found.fits), (largest, true), "{limit}");
        assert_eq!(found.forecast, of(largest));
    }
    let found = driver::fit(&network, &options, bytes[0] - 1, 2).unwrap();
    assert_eq!((found.batch, found.fits), (1, false));
}

/// `step → payer pass` of each kernel, with what it takes along.
fn charges(network: &Network, train: bool) -> Vec<String> {
    let built = built(network, train, 2);
    let told = forecast(&built.plans, 0);
    let steps = &told.function(if train { "train" } else { "infer" }).unwrap().steps;
    let line = |step: &StepEffort| {
        let to = match &step.charge.to {
            Payer::Layer(name) => name.clone(),
            other => format!("{other:?}").to_lowercase(),
        };
        let pass = if step.charge.pass == Pass::Backward { " backward" } else { "" };
        let along: String = step.charge.along.iter().map(|layer| format!(" +{layer}")).collect();
        format!("{}: {to}{pass}{along}", step.name)
    };
    steps.iter().map(line).collect()
}

#[test]
fn kernels_are_charged_to_the_layers_that_need_them() {
    let spec = "
net: t
input: {name: image, shape: [3, 8, 8]}
layers:
  - conv: {name: c1, kernels: 4, kernel_size: 3, padding: 1}
  - relu: {name: r1}
  - conv: {name: c2, kernels: 4, kernel_size: 3, padding: 1}
  - relu: {name: r2}
  - flatten: {name: flat}
  - linear: {name: fc, features: 3}
train: {loss: cross_entropy, optimizer: {adam: {lr: 0.1}}, batch: 2, epochs: 1}
";
    let network = netc::check::network_from_text("t.yaml", spec).unwrap().0;
    let train = charges(&network, true);
    let has = |line: &str| assert!(train.iter().any(|found| found == line), "{line} is not in {train:#?}");
    ["image_halo: c1", "image_image: c1", "c1_conv: c1 +r1", "r1_y_halo: c2", "c2_conv: c2 +r2"]
        .into_iter()
        .for_each(has);
    ["fc_matmul: fc", "fc_cross_entropy: loss", "fc_cross_entropy_grad: loss backward"].into_iter().for_each(has);
    ["fc_bias_grad: fc backward", "fc_adam_update: fc backward", "r2_relu_grad: r2 backward"].into_iter().for_each(has);
    ["c2_conv_input_grad: c2 backward +r1", "c2_y_grad_halo: c2 backward", "bias_correction: optimizer backward"]
        .into_iter()
        .for_each(has);
    let infer = charges(&network, false);
    assert!(infer.iter().all(|line| !line.contains("backward") && !line.contains("loss")), "{infer:#?}");
    assert!(infer.contains(&"c1_conv: c1 +r1".to_owned()), "{infer:#?}");
}

#[test]
fn each_kernel_of_each_spec_is_charged_to_somebody_that_there_is() {
    for path in specs() {
        let network = network(&path);
        let names: Vec<&str> = network.layers().map(|(_, layer)| layer.name.as_str()).collect();
        for train in [false, true] {
            if train && network.train.is_none() {
                continue;
            }
            let built = built(&network, train, 2);
            let told = forecast(&built.plans, 0);
            let steps = &told.function(if train { "train" } else { "infer" }).unwrap().steps;
            for (i, step) in steps.iter().enumerate() {
                let known = match &step.charge.to {
                    Payer::Layer(name) => names.contains(&name.as_str()),
                    Payer::Loss | Payer::Optimizer => train,
                    Payer::Other => false,
                };
                assert!(known, "{path:?}: {step:?}");
                assert!(train || step.charge.pass == Pass::Forward, "{path:?}: {step:?}");
                let first = &steps[step.alike];
                assert!(step.alike <= i && first.alike == step.alike && first.work == step.work, "{path:?}: {step:?}");
                assert!(first.layers == step.layers && first.charge == step.charge, "{path:?}: {step:?}");
            }
        }
    }
}

#[test]
fn parts_of_a_batch_are_alike_and_other_work_is_not() {
    let network = network(&Path::new(env!("CARGO_MANIFEST_DIR")).join("specs/alexnet.yaml"));
    let options = Options { batch: 128, train: true, target: codegen::host(), algorithm: Algorithm::Auto };
    let told = driver::forecast(&network, &options).unwrap();
    let steps = &told.function("train").unwrap().steps;
    let firsts: Vec<&str> =
        steps.iter().enumerate().filter(|(i, step)| step.alike == *i).map(|(_, step)| step.name.as_str()).collect();
    for name in ["conv2_conv_weight_grad_input", "conv2_conv_weight_grad_gradient", "conv2_conv_weight_grad"] {
        let numbered = |step: &str| {
            step.strip_prefix(name).is_some_and(|rest| rest.trim_start_matches('_').parse::<u32>().is_ok())
        };
        let later: Vec<&&str> = firsts.iter().filter(|step| numbered(step)).collect();
        assert!(later.is_empty(), "{later:?}");
    }
    for name in ["fc6_sgd_update", "fc6_matmul", "fc6_matmul_2", "fc6_matmul_3"] {
        assert!(firsts.contains(&name), "{name} is like another: {firsts:?}");
    }
}
