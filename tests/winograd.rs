//! Convolutions by minimal filtering against the graph's interpreter: any kernel, stride, padding and groups, forward and
//! both gradients, interpreted in both orders of parallel loops and compiled.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failed test is a panic, a passed one prints its figures"
)]

mod support;

use netc::codegen;
use netc::geometry::Padding;
use netc::graph::interpret::{Outcome, Precision, Tensor, interpret};
use netc::kernel::interpret::Order;
use netc::kernel::text;
use netc::plan::{Algorithm, Work};
use netc::target::Target;
use netc_runtime::random::Stream;
use support::compiled::Planned;
use support::convolution::{Case, WAYS, Way, largest_error, operands, same_bits, scale};
use support::numbers;

/// The largest error over the root mean square of the result.
fn error(actual: &Outcome, exact: &Outcome) -> f64 {
    largest_error(actual, exact) / scale(exact)
}

/// Filterings that were used.
fn check(case: &Case, seed: u64, target: &Target) -> Vec<String> {
    let mut used = Vec::new();
    for way in WAYS {
        let (graph, shapes) = case.graph(way);
        let inputs = operands(&shapes, seed);
        let what = format!("{case:?} {way:?}");
        let exact = interpret(&graph, Precision::Double, &inputs, &[]).unwrap();
        let planned = Planned::by(&graph, target, Algorithm::Winograd);
        for kernel in &planned.kernels {
            assert_eq!(text::parse(&text::print(kernel)).as_ref(), Ok(kernel), "{what}");
        }
        let kernels = planned.interpret(&inputs, &[], Order::Forward);
        let worst = error(&kernels, &exact);
        // The largest that any of these shapes gives is 3.3e-5.
        assert!(worst < 6e-5, "{what}: error {worst}\n{}", netc::plan::text::print(&planned.plan));
        same_bits(&format!("{what}: reversed loops"), &kernels, &planned.interpret(&inputs, &[], Order::Reversed));
        let code = planned.run(&inputs, &[], 1);
        assert!(error(&code, &exact) < 6e-5, "{what}: code");
        same_bits(&format!("{what}: split loops"), &code, &planned.run(&inputs, &[], 3));
        let filtered =
            planned.plan.steps.iter().filter(|s| {
                matches!(s.work, Work::Winograd(_) | Work::WinogradProduct(_) | Work::WinogradGradient { .. })
            });
        used.extend(filtered.map(|step| netc::plan::text::step(&planned.plan, step)));
    }
    used
}

#[test]
fn shapes_of_known_networks() {
    let host = codegen::host();
    for (i, case) in [
        Case::square(8, [16, 24], 13, 3, 1, 1),
        Case::square(2, [16, 32], 13, 3, 1, 1),
        Case::square(1, [8, 8], 27, 5, 1, 2),
        Case::square(2, [3, 16], 39, 11, 4, 2),
        Case::square(1, [3, 8], 30, 7, 2, 3),
        Case { groups: 2, ..Case::square(9, [6, 10], 7, 3, 1, 1) },
    ]
    .into_iter()
    .enumerate()
    {
        let used = check(&case, i as u64, &host);
        assert!(!used.is_empty(), "{case:?}");
    }
}

#[test]
fn small_images_lie_side_by_side() {
    let host = codegen::host();
    // Four images of 13 pixels and the zeros between them are 55 pixels: eleven tiles of 5 and not twelve. Where images
    // are padded by nothing, or by more than a kernel reaches, other zeros lie between them.
    let other = |top, bottom| Case {
        padding: Padding { top, bottom, left: 1, right: 1 },
        ..Case::square(4, [3, 5], 13, 3, 1, 1)
    };
    let cases =
        [Case::square(16, [8, 16], 13, 3, 1, 1), Case::square(9, [4, 20], 5, 3, 1, 2), other(0, 2), other(3, 3)];
    let mosaics = regex::Regex::new(r"of [1-4]×[1-4] images").unwrap();
    for (i, case) in cases.into_iter().enumerate() {
        let used = check(&case, 20 + i as u64, &host);
        assert!(used.iter().any(|step| mosaics.is_match(step)), "{case:?}: {used:#?}");
    }
}

#[test]
fn few_tiles_share_channels_and_leave_padding_out() {
    let host = codegen::host();
    let around = |top, bottom, left, right| Padding { top, bottom, left, right };
    let cases = [
        Case::square(1, [70, 3], 13, 3, 1, 1),
        // A window that begins below the image, and one that ends above it.
        Case { padding: around(6, 0, 0, 7), ..Case::square(1, [64, 3], 5, 3, 1, 0) },
        Case { padding: around(0, 5, 6, 1), size: [4, 9], ..Case::square(1, [130, 2], 0, 5, 1, 0) },
        Case { groups: 2, ..Case::square(1, [132, 4], 7, 3, 1, 1) },
    ];
    for (i, case) in cases.into_iter().enumerate() {
        let used = check(&case, 40 + i as u64, &host);
        assert!(used.iter().any(|step| step.contains("conv of points")), "{case:?}: {used:#?}");
        let (graph, _) = case.graph(Way::Forward);
        let forward = netc::plan::text::print(&Planned::by(&graph, &host, Algorithm::Winograd).plan);
        assert!(!forward.contains("clear halo"), "{case:?}:\n{forward}");
    }
}

#[test]
fn a_small_cache_makes_many_parts() {
    let target = Target { cache: 40_000, ..codegen::host() };
    let case = Case::square(4, [5, 20], 9, 3, 1, 1);
    let used = check(&case, 3, &target);
    let sums = used.iter().filter(|step| step.contains("weight grad at points")).count();
    assert!(sums > 1, "{used:#?}");
}

#[test]
fn random_shapes() {
    let mut stream = Stream::new(5, [0x7769_6e6f, 0, 0]);
    let mut draw = |n: u32| stream.below(n) as usize;
    for seed in 0..60 {
        let groups = 1 + draw(4) / 3;
        let kernel = [1 + draw(7), 1 + draw(7)];
        let stride = [1 + draw(6) / 4, 1 + draw(6) / 4];
        let padding = Padding { top: draw(3), bottom: draw(3), left: draw(3), right: draw(3) };
        let case = Case {
            batch: 1 + draw(9),
            inner: groups * (1 + draw(6)),
            outer: groups * (1 + draw(20)),
            size: [kernel[0] + draw(9), kernel[1] + draw(9)],
            kernel,
            stride,
            dilation: [1, 1],
            padding,
            groups,
        };
        let target = if seed % 3 == 2 { codegen::named("x86-64").unwrap() } else { codegen::host() };
        check(&case, seed as u64, &target);
    }
}

/// The logits of the article's AlexNet at full size, computed by filtering and by the definition, against double
/// precision: the sums of the fully connected layers round more than filtering does.
#[test]
fn logits_are_as_exact_as_by_the_definition() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("specs/alexnet-half.yaml");
    let network = netc::driver::check(netc::driver::read(&path, &[]).unwrap()).unwrap().network;
    let functions = netc::passes::functions(&network, 1, false).unwrap();
    let [init, .., infer] = &functions.graphs[..] else { panic!("functions") };
    let seed = Tensor::i32([2], vec![1, 0]);
    let empty: Vec<Tensor> =
        init.states.iter().map(|s| Tensor::f32(s.shape.clone(), &vec![0.0; s.shape.iter().product()])).collect();
    let states = Planned::new(init, &codegen::host()).run(&[seed], &empty, 1).states;
    let image = Tensor::f32([1, 3, 224, 224], &numbers(3, 3 * 224 * 224));
    let exact = interpret(infer, Precision::Double, std::slice::from_ref(&image), &states).unwrap();
    let [by_filtering, by_definition] = [Algorithm::Auto, Algorithm::Direct].map(|algorithm| {
        let planned = Planned::by(infer, &codegen::host(), algorithm);
        let outcome = planned.run(std::slice::from_ref(&image), &states, 1);
        let (a, e) = (outcome.outputs[0].as_real(), exact.outputs[0].as_real());
        let squares = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
        squares(&mut a.iter().zip(e).map(|(a, e)| a - e)) / squares(&mut e.iter().copied())
    });
    println!("relative error of the logits: {by_filtering:.2e} by filtering, {by_definition:.2e} by the definition");
    assert!(by_filtering < 2.0 * by_definition + 1e-6, "{by_filtering} and {by_definition}");
}
