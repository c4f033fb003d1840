//! Networks as large as the check lets through, in the largest batch: no later stage overflows a size.

#![allow(clippy::unwrap_used, reason = "a failed test is a panic")]

use netc::check::{LARGEST_BATCH, Network, network_from_text};
use netc::driver::{Options, forecast};
use netc::graph::DType;
use netc::plan::{Layout, plan};
use netc::{codegen, passes};

/// The largest convolution whose gradient needs a frame, and others at a limit.
const EXTREMES: [(&str, &str); 8] = [
    ("a long vector", "[65535, 32768, 1]\nlayers: [relu, flatten, linear: {features: 1}]"),
    ("a wide result", "[1]\nlayers: [linear: {features: 2147483647}, tanh]"),
    ("a large image", "[1, 46340, 46340]\nlayers: [conv: {kernels: 1, kernel_size: 3}, relu]"),
    (
        "a long image",
        "[1, 536870000, 1]\nlayers: [conv: {kernels: 2, kernel_size: [3, 1], padding: {top: 1, bottom: 1}}, relu, \
         conv: {kernels: 1, kernel_size: [5, 1]}]",
    ),
    (
        "a wide frame around an image",
        "[4, 8, 8]\nlayers: [conv: {kernels: 1, kernel_size: 2, dilation: 20000, padding: 10000}]",
    ),
    (
        "a wide frame around a gradient",
        "[1, 1, 1]\nlayers: [conv: {kernels: 1, kernel_size: 1}, conv: {kernels: 50000, kernel_size: 2, dilation: 1000, \
         padding: 500}, global_avgpool, linear: {features: 1}]",
    ),
    (
        "a window as large as its image",
        "[1, 1, 1]\nlayers: [conv: {kernels: 1, kernel_size: 20000, padding: 20000, rounding: floor}, \
         global_avgpool]",
    ),
    (
        "large sums",
        "[2000, 1000, 1000]\nlayers: [relu: {name: a}, add: {name: b, from: [a, a]}, add: {name: c, from: [a, b, b, a]}, \
         linear: {features: 1}]",
    ),
];

fn network(layers: &str) -> Network {
    let train = "train: {loss: mse, optimizer: {adam: {lr: 0.1}}, batch: 1, epochs: 1}";
    let text = format!("net: t\ninput:\n  name: image\n  shape: {layers}\n{train}\n");
    network_from_text("t.yaml", &text).unwrap_or_else(|e| panic!("{text}\n{e:#?}")).0
}

#[test]
fn sizes_of_the_largest_networks_do_not_overflow() {
    for (what, layers) in EXTREMES {
        let network = network(layers);
        let mut largest = 0;
        for graph in passes::functions(&network, LARGEST_BATCH, true).unwrap().graphs {
            let plan = plan(&graph, &codegen::host(), netc::plan::Algorithm::Auto);
            let mut total = 0u128;
            for buffer in &plan.buffers {
                let mut sizes: Vec<u128> = buffer.dims.iter().map(|&d| d as u128).collect();
                if let Layout::ChannelsLast(halo) = buffer.layout {
                    sizes[2] += (halo.top + halo.bottom) as u128;
                    sizes[3] += (halo.left + halo.right) as u128;
                }
                let element = if buffer.dtype == DType::U8 { 1 } else { 4 };
                let bytes = (sizes.iter().product::<u128>() * element).next_multiple_of(64);
                assert_eq!(buffer.bytes() as u128, bytes, "{what}: {} of {}", buffer.name, graph.name);
                total += bytes;
            }
            assert!(plan.arena_bytes as u128 <= total, "{what}");
            assert!(total < 1 << 62, "{what}: {} has {total} bytes", graph.name);
            largest = largest.max(total);
        }
        assert!(largest > 1 << 45, "{what} is large: {largest}");
    }
}

#[test]
fn memory_of_the_largest_networks_is_told() {
    for (what, layers) in EXTREMES {
        let options = Options {
            batch: LARGEST_BATCH,
            train: true,
            target: codegen::host(),
            algorithm: netc::plan::Algorithm::Auto,
        };
        let bytes = forecast(&network(layers), &options).unwrap().memory.bytes(64);
        assert!(bytes > 1 << 45, "{what}: {bytes}");
    }
}

/// However many images there are and however large: each part of a batch is some steps.
#[test]
fn a_plan_for_the_largest_batch_has_few_steps() {
    let network = network(
        "[64, 56, 56]\nlayers: [conv: {kernels: 64, kernel_size: 3, padding: 1}, relu, conv: {kernels: 64, kernel_size: 3}, \
         flatten, linear: {features: 1}]",
    );
    for batch in [64, 1_009, LARGEST_BATCH] {
        for graph in passes::functions(&network, batch, true).unwrap().graphs {
            let steps = plan(&graph, &codegen::host(), netc::plan::Algorithm::Auto).steps.len();
            assert!(steps < 500, "{} of batch {batch}: {steps} steps", graph.name);
        }
    }
}
