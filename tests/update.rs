//! The optimizer's step as the end of the product that makes the gradient: to the bit what it does by itself.

#![allow(clippy::unwrap_used, reason = "a failed test is a panic")]

mod support;

use netc::codegen;
use netc::geometry::Padding;
use netc::graph::interpret::{Outcome, Precision, Tensor, interpret};
use netc::graph::{Adam, Builder, ConvGeometry, Graph, Op, Sgd, StateId, Type, ValueId};
use netc::kernel::interpret::Order;
use netc::plan::{Algorithm, MatMulWork, Plan, Work};
use netc_runtime::program::StateRole;
use support::compiled::Planned;
use support::numbers;

/// A parameter's step after the product left·right or, with operands transposed as marked, of their transposes.
#[derive(Debug, Clone)]
struct Step {
    op: Op,
    transpose: [bool; 2],
    /// Rows, columns, length of the sums.
    sizes: [usize; 3],
}

/// What else is done with the gradient and the parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Besides {
    Nothing,
    /// The caller gets the gradient.
    Given,
    /// The parameter is read by a product behind the gradient's.
    Read,
}

impl Step {
    /// Its graph, inputs and states.
    fn graph(&self, besides: Besides) -> (Graph, Vec<Tensor>, Vec<Tensor>) {
        let [rows, columns, depth] = self.sizes;
        let [transpose_a, transpose_b] = self.transpose;
        let mut b = Builder::new("step", &[]);
        let (mut inputs, mut states) = (Vec::new(), Vec::new());
        let mut input = |b: &mut Builder, name: &str, shape: &[usize]| {
            let values = numbers(inputs.len() as u64 + 1, shape.iter().product());
            // Rates and corrections are positive.
            let values: Vec<f32> = values.iter().map(|v| if shape.is_empty() { v.abs() + 0.1 } else { *v }).collect();
            inputs.push(Tensor::f32(shape.to_vec(), &values));
            b.input(name, Type::f32(shape.to_vec()))
        };
        let left = input(&mut b, "left", &if transpose_a { [depth, rows] } else { [rows, depth] });
        let right = input(&mut b, "right", &if transpose_b { [columns, depth] } else { [depth, columns] });
        let names: &[&str] = match &self.op {
            Op::SgdUpdate(sgd) if sgd.momentum == 0.0 => &["w"],
            Op::SgdUpdate(_) => &["w", "v"],
            _ => &["w", "m", "v"],
        };
        let kept: Vec<(StateId, ValueId)> = (names.iter())
            .map(|name| {
                let state = b.state(name, [rows, columns], StateRole::Parameter);
                let values = numbers(50 + states.len() as u64, rows * columns);
                let values: Vec<f32> = values.iter().map(|v| if *name == "v" { v.abs() } else { *v }).collect();
                states.push(Tensor::f32(vec![rows, columns], &values));
                (state, b.read(state))
            })
            .collect();
        let scalars: &[&str] = if matches!(self.op, Op::AdamUpdate(_)) { &["c1", "c2", "lr"] } else { &["lr"] };
        let scalars: Vec<ValueId> = scalars.iter().map(|name| input(&mut b, name, &[])).collect();
        let gradient = b.try_node(Op::MatMul { transpose_a, transpose_b }, &[left, right], None, "g").unwrap()[0];
        if besides == Besides::Given {
            b.output("gradient", gradient);
        }
        if besides == Besides::Read {
            let square = Op::MatMul { transpose_a: true, transpose_b: false };
            let product = b.try_node(square, &[kept[0].1, kept[0].1], None, "later").unwrap()[0];
            b.output("later", product);
        }
        let mut operands = vec![kept[0].1, gradient];
        operands.extend(kept[1..].iter().map(|(_, value)| *value));
        operands.extend(scalars);
        let results = b.try_node(self.op.clone(), &operands, None, "next").unwrap();
        kept.iter().zip(results).for_each(|((state, _), next)| b.update(*state, next));
        (b.finish(), inputs, states)
    }
}

fn bits(outcome: &Outcome) -> Vec<Vec<u32>> {
    outcome.states.iter().map(|state| state.to_f32().into_iter().map(f32::to_bits).collect()).collect()
}

fn not_fused(plan: &Plan) -> Vec<String> {
    plan.not_fused.iter().map(|not| not.reason.to_string()).collect()
}

fn check(step: &Step, exactly: f64) {
    let host = codegen::host();
    let (graph, inputs, states) = step.graph(Besides::Nothing);
    let (apart, ..) = step.graph(Besides::Given);
    let fused = Planned::by(&graph, &host, Algorithm::Auto);
    let unfused = Planned::by(&apart, &host, Algorithm::Auto);
    let what = format!("{step:?}\n{}", netc::plan::text::print(&fused.plan));
    assert_eq!(not_fused(&fused.plan), [""; 0], "{what}");
    assert_eq!(not_fused(&unfused.plan), ["its result is kept"], "{what}");
    let last = fused.plan.steps.last().unwrap();
    assert!(matches!(last.work, Work::MatMul(MatMulWork { update: Some(_), .. })), "{what}");
    assert!(fused.plan.buffers.iter().all(|buffer| buffer.name != "g"), "{what}");
    let kernels = bits(&fused.interpret(&inputs, &states, Order::Forward));
    assert!(kernels == bits(&fused.interpret(&inputs, &states, Order::Reversed)), "{what}");
    assert!(kernels == bits(&unfused.interpret(&inputs, &states, Order::Forward)), "{what}");
    let code = fused.run(&inputs, &states, 1);
    for parts in [2, 3] {
        assert!(bits(&code) == bits(&fused.run(&inputs, &states, parts)), "{what}");
    }
    assert!(bits(&code) == bits(&unfused.run(&inputs, &states, 2)), "{what}");
    let exact = interpret(&graph, Precision::Double, &inputs, &states).unwrap();
    for (actual, expected) in code.states.iter().zip(&exact.states) {
        let (actual, expected) = (actual.as_real(), expected.as_real());
        let scale = expected.iter().fold(1e-6, |m: f64, x| m.max(x.abs()));
        for (a, e) in actual.iter().zip(expected) {
            assert!((a - e).abs() <= exactly * scale, "{what}: {a}, expected {e}");
        }
    }
}

const SGD: Sgd = Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0, lr_scale: 1.0, rate_in_velocity: false };
const ADAM: Adam = Adam { beta1: 0.9, beta2: 0.99, epsilon: 1e-3, weight_decay: 0.0, lr_scale: 1.0, decoupled: false };

/// Every rule of the optimizers, over sums of one chunk and of several, by tiles that fill the columns and that do not.
#[test]
fn updates_change_no_bit() {
    let sizes = [[64, 128, 9], [33, 37, 5], [1, 130, 300], [150, 70, 2]];
    let ways = [[true, false], [false, false], [true, true]];
    for (i, sizes) in sizes.into_iter().enumerate() {
        let (weight_decay, lr_scale) = if i % 2 == 0 { (0.0, 1.0) } else { (0.05, 2.0) };
        let sgd = Sgd { weight_decay, lr_scale, ..SGD };
        let adam = Adam { weight_decay, lr_scale, ..ADAM };
        let mut ops = vec![Op::SgdUpdate(sgd), Op::AdamUpdate(adam), Op::AdamUpdate(Adam { decoupled: true, ..adam })];
        ops.extend([(false, false), (true, false), (true, true)].map(|(nesterov, rate_in_velocity)| {
            Op::SgdUpdate(Sgd { momentum: 0.9, nesterov, rate_in_velocity, ..sgd })
        }));
        for (j, op) in ops.into_iter().enumerate() {
            check(&Step { op, transpose: ways[(i + j) % 3], sizes }, 2e-5);
        }
    }
}

/// A product whose operands change places, so that its result is stored across.
#[test]
fn a_turned_product_updates_as_well() {
    let op = Op::SgdUpdate(Sgd { momentum: 0.9, weight_decay: 0.05, ..SGD });
    check(&Step { op, transpose: [false, true], sizes: [20, 90, 33] }, 2e-5);
}

#[test]
fn what_is_read_later_is_not_written_over() {
    let step = Step { op: Op::SgdUpdate(SGD), transpose: [true, false], sizes: [20, 30, 4] };
    let (graph, inputs, states) = step.graph(Besides::Read);
    let planned = Planned::by(&graph, &codegen::host(), Algorithm::Auto);
    assert_eq!(not_fused(&planned.plan), ["%next cannot be written where its state is"]);
    let (apart, ..) = step.graph(Besides::Given);
    let apart = Planned::by(&apart, &codegen::host(), Algorithm::Auto);
    assert_eq!(bits(&planned.run(&inputs, &states, 2)), bits(&apart.run(&inputs, &states, 1)));
}

/// A parameter's step after the gradient of a convolution's weights, for so many channels read and made.
fn of_convolution(
    op: &Op,
    g: ConvGeometry,
    [inner, outer]: [usize; 2],
    given: bool,
) -> (Graph, Vec<Tensor>, Vec<Tensor>) {
    let (kernel, batch, size) = (3, 2, 7);
    let shape = [outer, inner / g.groups, kernel, kernel];
    let result = (size + 2 - kernel) / g.stride[0] + 1;
    let mut b = Builder::new("step", &[]);
    let (mut inputs, mut states) = (Vec::new(), Vec::new());
    let mut input = |b: &mut Builder, name: &str, shape: &[usize]| {
        let values = numbers(inputs.len() as u64 + 1, shape.iter().product());
        let values: Vec<f32> = values.iter().map(|v| if shape.is_empty() { v.abs() + 0.1 } else { *v }).collect();
        inputs.push(Tensor::f32(shape.to_vec(), &values));
        b.input(name, Type::f32(shape.to_vec()))
    };
    let x = input(&mut b, "x", &[batch, inner, size, size]);
    let dy = input(&mut b, "dy", &[batch, outer, result, result]);
    let adam = matches!(op, Op::AdamUpdate(_));
    let names: &[&str] = if adam { &["w", "m", "v"] } else { &["w", "v"] };
    let scalars: &[&str] = if adam { &["c1", "c2", "lr"] } else { &["lr"] };
    let kept: Vec<(StateId, ValueId)> = (names.iter())
        .map(|name| {
            let state = b.state(name, shape, StateRole::Parameter);
            let values = numbers(50 + states.len() as u64, shape.iter().product());
            let values: Vec<f32> = values.iter().map(|v| if *name == "v" { v.abs() } else { *v }).collect();
            states.push(Tensor::f32(shape.to_vec(), &values));
            (state, b.read(state))
        })
        .collect();
    let scalars: Vec<ValueId> = scalars.iter().map(|name| input(&mut b, name, &[])).collect();
    let gradient = b.try_node(Op::ConvWeightGrad(g), &[x, dy], Some(&shape), "g").unwrap()[0];
    if given {
        b.output("gradient", gradient);
    }
    let mut operands = vec![kept[0].1, gradient];
    operands.extend(kept[1..].iter().map(|(_, value)| *value));
    operands.extend(scalars);
    let results = b.try_node(op.clone(), &operands, None, "next").unwrap();
    kept.iter().zip(results).for_each(|((state, _), next)| b.update(*state, next));
    (b.finish(), inputs, states)
}

/// By the definition and by filtering, whole and in phases, in groups, and for channels that fill the columns or do not.
#[test]
fn the_gradient_of_a_convolutions_weights_updates_them() {
    let host = codegen::host();
    let sgd = Op::SgdUpdate(Sgd { momentum: 0.9, weight_decay: 0.05, ..SGD });
    let padding = Padding { top: 1, bottom: 1, left: 1, right: 1 };
    let cases = [([4, 2 * host.lanes], 1, 1), ([3, 5], 1, 2), ([6, 4], 2, 1), ([20, 70], 1, 1)];
    for (channels, groups, stride) in cases {
        let g = ConvGeometry { stride: [stride; 2], dilation: [1, 1], padding, groups };
        for op in [&sgd, &Op::AdamUpdate(ADAM)] {
            let [(graph, inputs, states), (apart, ..)] =
                [false, true].map(|given| of_convolution(op, g, channels, given));
            let exact = interpret(&graph, Precision::Double, &inputs, &states).unwrap();
            for (algorithm, filtered) in [(Algorithm::Direct, false), (Algorithm::Winograd, true)] {
                let fused = Planned::by(&graph, &host, algorithm);
                let unfused = Planned::by(&apart, &host, algorithm);
                let what = format!("{op:?} {g:?} {channels:?}\n{}", netc::plan::text::print(&fused.plan));
                assert_eq!(not_fused(&fused.plan), [""; 0], "{what}");
                assert_eq!(not_fused(&unfused.plan), ["its result is kept"], "{what}");
                match &fused.plan.steps.last().unwrap().work {
                    Work::ConvWeightGrad { update: Some(_), .. } => assert!(!filtered, "{what}"),
                    Work::WinogradGradientWeights { update: Some(_), .. } => assert!(filtered, "{what}"),
                    work => panic!("{work:?} does not update: {what}"),
                }
                assert!(fused.plan.buffers.iter().all(|buffer| buffer.name != "g"), "{what}");
                let kernels = bits(&fused.interpret(&inputs, &states, Order::Forward));
                assert!(kernels == bits(&fused.interpret(&inputs, &states, Order::Reversed)), "{what}");
                assert!(kernels == bits(&unfused.interpret(&inputs, &states, Order::Forward)), "{what}");
                let code = fused.run(&inputs, &states, 1);
                assert!(bits(&code) == bits(&fused.run(&inputs, &states, 3)), "{what}");
                assert!(bits(&code) == bits(&unfused.run(&inputs, &states, 2)), "{what}");
                for (actual, expected) in code.states.iter().zip(&exact.states) {
                    let (actual, expected) = (actual.as_real(), expected.as_real());
                    let scale = expected.iter().fold(1e-6, |m: f64, x| m.max(x.abs()));
                    for (a, e) in actual.iter().zip(expected) {
                        assert!((a - e).abs() <= 1e-4 * scale, "{what}: {a}, expected {e}");
                    }
                }
            }
        }
    }
}
