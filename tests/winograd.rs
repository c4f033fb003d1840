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
use netc::graph::{Builder, ConvGeometry, DType, Graph, Op, Type};
use netc::kernel::interpret::Order;
use netc::kernel::text;
use netc::plan::{Algorithm, Work};
use netc::target::Target;
use netc_runtime::random::Stream;
use support::compiled::Planned;
use support::numbers;

/// A convolution.
#[derive(Debug, Clone, Copy)]
struct Case {
    batch: usize,
    inner: usize,
    outer: usize,
    size: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    padding: Padding,
    groups: usize,
}

impl Case {
    fn geometry(&self) -> ConvGeometry {
        ConvGeometry { stride: self.stride, dilation: [1, 1], padding: self.padding, groups: self.groups }
    }

    fn x(&self) -> Vec<usize> {
        vec![self.batch, self.inner, self.size[0], self.size[1]]
    }

    fn weights(&self) -> Vec<usize> {
        vec![self.outer, self.inner / self.groups, self.kernel[0], self.kernel[1]]
    }

    fn result(&self) -> Vec<usize> {
        let p = self.padding;
        let size =
            |axis: usize, padding: usize| (self.size[axis] + padding - self.kernel[axis]) / self.stride[axis] + 1;
        vec![self.batch, self.outer, size(0, p.top + p.bottom), size(1, p.left + p.right)]
    }

    /// The convolution with a bias and ReLU, or a gradient, and its operands' shapes.
    fn graphs(&self) -> Vec<(Graph, Vec<Vec<usize>>)> {
        let real = |shape: &[usize]| Type { dtype: DType::F32, shape: shape.to_vec() };
        let g = self.geometry();
        let (x, w, y) = (self.x(), self.weights(), self.result());
        let mut all = Vec::new();
        let mut forward = Builder::new("forward", &[]);
        let operands = [forward.input("x", real(&x)), forward.input("w", real(&w))];
        let bias = forward.input("bias", real(&[self.outer]));
        let made = forward.try_node(Op::Conv(g), &operands, None, "y").unwrap()[0];
        let made = forward.try_node(Op::AddBias, &[made, bias], None, "z").unwrap()[0];
        let made = forward.try_node(Op::Relu, &[made], None, "r").unwrap()[0];
        forward.output("y", made);
        all.push((forward.finish(), vec![x.clone(), w.clone(), vec![self.outer]]));
        for (op, first, second, shape) in [(Op::ConvInputGrad(g), &y, &w, &x), (Op::ConvWeightGrad(g), &x, &y, &w)] {
            let mut b = Builder::new("gradient", &[]);
            let operands = [b.input("a", real(first)), b.input("b", real(second))];
            let made = b.try_node(op, &operands, Some(shape.as_slice()), "d").unwrap()[0];
            b.output("d", made);
            all.push((b.finish(), vec![first.clone(), second.clone()]));
        }
        all
    }
}

fn same_bits(what: &str, a: &Outcome, b: &Outcome) {
    let bits = |o: &Outcome| o.outputs.iter().flat_map(|t| t.to_f32()).map(f32::to_bits).collect::<Vec<_>>();
    assert_eq!(bits(a), bits(b), "{what}: bits differ");
}

/// The largest error over the root mean square of the result.
fn error(actual: &Outcome, exact: &Outcome) -> f64 {
    let (a, e) = (actual.outputs[0].as_real(), exact.outputs[0].as_real());
    let scale = (e.iter().map(|x| x * x).sum::<f64>() / e.len() as f64).sqrt();
    a.iter().zip(e).fold(0.0, |worst: f64, (a, e)| worst.max((a - e).abs())) / scale
}

/// Filterings that were used.
fn check(case: &Case, seed: u64, target: &Target) -> Vec<String> {
    let mut used = Vec::new();
    for (i, (graph, shapes)) in case.graphs().into_iter().enumerate() {
        let inputs: Vec<Tensor> = shapes
            .iter()
            .enumerate()
            .map(|(k, shape)| Tensor::f32(shape.clone(), &numbers(seed * 10 + k as u64, shape.iter().product())))
            .collect();
        let what = format!("{case:?} {i}");
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

fn square(batch: usize, [inner, outer]: [usize; 2], size: usize, kernel: usize, stride: usize, pad: usize) -> Case {
    let padding = Padding { top: pad, bottom: pad, left: pad, right: pad };
    Case { batch, inner, outer, size: [size; 2], kernel: [kernel; 2], stride: [stride; 2], padding, groups: 1 }
}

#[test]
fn shapes_of_known_networks() {
    let host = codegen::host();
    for (i, case) in [
        square(8, [16, 24], 13, 3, 1, 1),
        square(2, [16, 32], 13, 3, 1, 1),
        square(1, [8, 8], 27, 5, 1, 2),
        square(2, [3, 16], 39, 11, 4, 2),
        square(1, [3, 8], 30, 7, 2, 3),
        Case { groups: 2, ..square(9, [6, 10], 7, 3, 1, 1) },
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
    let other =
        |top, bottom| Case { padding: Padding { top, bottom, left: 1, right: 1 }, ..square(4, [3, 5], 13, 3, 1, 1) };
    let cases = [square(16, [8, 16], 13, 3, 1, 1), square(9, [4, 20], 5, 3, 1, 2), other(0, 2), other(3, 3)];
    let mosaics = regex::Regex::new(r"of [1-4]×[1-4] images").unwrap();
    for (i, case) in cases.into_iter().enumerate() {
        let used = check(&case, 20 + i as u64, &host);
        assert!(used.iter().any(|step| mosaics.is_match(step)), "{case:?}: {used:#?}");
    }
}

#[test]
fn a_small_cache_makes_many_parts() {
    let target = Target { cache: 40_000, ..codegen::host() };
    let case = square(4, [5, 20], 9, 3, 1, 1);
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
