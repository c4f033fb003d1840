//! What kernels take along: to the bit what the operations do by themselves, and a reason where they do not.

#![allow(clippy::unwrap_used, reason = "a failed test is a panic")]

mod support;

use netc::codegen;
use netc::geometry::{LrnRegion, Padding, PoolGeometry};
use netc::graph::interpret::{Data, Outcome, Precision, Tensor, interpret};
use netc::graph::{Builder, ConvGeometry, DType, Graph, LrnGeometry, NodeId, Op, Type, ValueId};
use netc::kernel::interpret::Order;
use netc::plan::{Algorithm, Plan, Work};
use netc_runtime::random::Stream;
use std::cell::RefCell;
use std::path::Path;
use support::compiled::Planned;
use support::numbers;

/// A product or convolution and what comes after it.
#[derive(Debug, Clone)]
struct Chain {
    product: Product,
    batch: usize,
    channels: usize,
    after: Vec<Op>,
}

#[derive(Debug, Clone, Copy)]
enum Product {
    Linear,
    Conv { kernel: usize, groups: usize },
    ConvInputGrad,
    Add,
    BatchNorm,
    Dropout,
    LrnGrad(LrnRegion),
    MaxPoolGrad,
}

/// Operands of the head of a chain.
#[derive(Debug, Clone)]
enum Operand {
    Real(Vec<usize>),
    /// Whole numbers below another.
    Whole(Vec<usize>, i32),
}

fn real(shape: &[usize]) -> Type {
    Type { dtype: DType::F32, shape: shape.to_vec() }
}

impl Chain {
    /// Its graph and inputs; of the results in between, `all` are given too.
    fn graph(&self, all: bool) -> (Graph, Vec<Tensor>) {
        let inputs = RefCell::new(Vec::new());
        let mut b = Builder::new("chain", &[]);
        let given = |b: &mut Builder, tensor: Tensor| {
            inputs.borrow_mut().push(tensor.clone());
            b.input(&format!("x{}", inputs.borrow().len()), tensor.of_type())
        };
        let input = |b: &mut Builder, shape: &[usize], positive: bool| {
            let mut values = numbers(inputs.borrow().len() as u64 + 1, shape.iter().product());
            if positive {
                values.iter_mut().for_each(|v| *v = v.abs() + 0.5);
            }
            given(b, Tensor::f32(shape.to_vec(), &values))
        };
        let whole = |b: &mut Builder, shape: &[usize], below: i32| {
            let count = shape.iter().product::<usize>() as i32;
            given(b, Tensor::i32(shape.to_vec(), (0..count).map(|i| i * 7 % below).collect::<Vec<_>>()))
        };
        let (batch, channels) = (self.batch, self.channels);
        let padding = |p: usize| Padding { top: p, bottom: p, left: p, right: p };
        let geometry =
            |p: usize, groups: usize| ConvGeometry { stride: [1, 1], dilation: [1, 1], padding: padding(p), groups };
        let reals = |shapes: &[&[usize]]| shapes.iter().map(|s| Operand::Real(s.to_vec())).collect::<Vec<_>>();
        let image = [batch, channels, 7, 9];
        let (op, operands, shape) = match self.product {
            Product::Linear => (
                Op::MatMul { transpose_a: false, transpose_b: true },
                reals(&[&[batch, 19], &[channels, 19]]),
                vec![batch, channels],
            ),
            Product::Conv { kernel, groups } => (
                Op::Conv(geometry(kernel / 2, groups)),
                reals(&[&[batch, 4, 7, 9], &[channels, 4 / groups, kernel, kernel]]),
                image.to_vec(),
            ),
            Product::ConvInputGrad => {
                (Op::ConvInputGrad(geometry(1, 1)), reals(&[&[batch, 5, 7, 9], &[5, channels, 3, 3]]), image.to_vec())
            }
            Product::Add => (Op::Add, reals(&[&image, &image]), image.to_vec()),
            Product::BatchNorm => {
                (Op::BatchNormTrain { epsilon: 1e-3 }, reals(&[&image, &[channels], &[channels]]), image.to_vec())
            }
            Product::Dropout => {
                let drawn = [Operand::Whole(vec![2], 100), Operand::Whole(vec![], 100)];
                let operands = reals(&[&image]).into_iter().chain(drawn).collect();
                (Op::Dropout { p: 0.4, stream: 3 }, operands, image.to_vec())
            }
            Product::LrnGrad(region) => {
                let lrn = LrnGeometry { region, before: 2, after: 1, scale: 0.2, beta: 0.75, k: 1.0 };
                (Op::LrnGrad(lrn), reals(&[&image, &image]), image.to_vec())
            }
            Product::MaxPoolGrad => {
                let pool = PoolGeometry { kernel: [3, 3], stride: [2, 2], padding: Padding::default(), ceil: false };
                let pooled = vec![batch, channels, 3, 4];
                (Op::MaxPoolGrad(pool), vec![Operand::Whole(pooled.clone(), 9), Operand::Real(pooled)], image.to_vec())
            }
        };
        // What an addition or a mask reads may need a halo, for a convolution that reads it too.
        let other = input(&mut b, &shape, false);
        let operands: Vec<ValueId> = operands
            .iter()
            .map(|operand| match operand {
                Operand::Real(shape) => input(&mut b, shape, false),
                Operand::Whole(shape, below) => whole(&mut b, shape, *below),
            })
            .collect();
        let wanted = matches!(self.product, Product::ConvInputGrad | Product::MaxPoolGrad).then_some(shape.as_slice());
        let mut values = vec![b.try_node(op, &operands, wanted, "product").unwrap()[0]];
        for (i, op) in self.after.iter().enumerate() {
            let x = values[i];
            let by_channel = |b: &mut Builder, positive| input(b, &[channels], positive);
            let operands: Vec<ValueId> = match op {
                Op::AddBias => vec![x, by_channel(&mut b, false)],
                Op::BatchNormInfer { .. } => {
                    let mut operands = vec![x];
                    operands.extend([false, false, false, true].map(|positive| by_channel(&mut b, positive)));
                    operands
                }
                Op::Add if i % 2 == 0 => vec![x, other],
                Op::Add => vec![other, x],
                Op::ReluGrad => vec![other, x],
                _ => vec![x],
            };
            values.push(b.try_node(op.clone(), &operands, None, &format!("v{i}")).unwrap()[0]);
        }
        let first = if all { 0 } else { values.len() - 1 };
        for (i, value) in values.iter().enumerate().skip(first) {
            b.output(&format!("out{i}"), *value);
        }
        (b.finish(), inputs.into_inner())
    }
}

fn bits(outcome: &Outcome) -> Vec<u32> {
    outcome.outputs.last().unwrap().to_f32().into_iter().map(f32::to_bits).collect()
}

/// Chains fused and not fused, interpreted and compiled.
fn check(chain: &Chain, algorithm: Algorithm) {
    let host = codegen::host();
    let (graph, inputs) = chain.graph(false);
    let (apart, _) = chain.graph(true);
    let fused = Planned::by(&graph, &host, algorithm);
    let unfused = Planned::by(&apart, &host, algorithm);
    let what = format!("{chain:?} {algorithm:?}\n{}", netc::plan::text::print(&fused.plan));
    assert!(fused.plan.not_fused.is_empty(), "{what}");
    assert_eq!(unfused.plan.not_fused.len(), chain.after.len(), "{what}");
    let own = |plan: &Plan| plan.steps.iter().filter(|step| matches!(step.work, Work::Op(_))).count();
    let head = matches!(chain.product, Product::Linear | Product::Conv { .. } | Product::ConvInputGrad);
    assert_eq!([own(&fused.plan), own(&unfused.plan)], [0, chain.after.len() + usize::from(!head)], "{what}");
    let kernels = fused.interpret(&inputs, &[], Order::Forward);
    assert_eq!(bits(&kernels), bits(&fused.interpret(&inputs, &[], Order::Reversed)), "{what}");
    assert_eq!(bits(&kernels), bits(&unfused.interpret(&inputs, &[], Order::Forward)), "{what}");
    let code = fused.run(&inputs, &[], 1);
    assert_eq!(bits(&code), bits(&fused.run(&inputs, &[], 3)), "{what}");
    assert_eq!(bits(&code), bits(&unfused.run(&inputs, &[], 2)), "{what}");
    let exact = interpret(&graph, Precision::Double, &inputs, &[]).unwrap();
    let (a, e) = (code.outputs[0].as_real(), exact.outputs[0].as_real());
    let scale = e.iter().fold(1e-6, |m: f64, x| m.max(x.abs()));
    for (a, e) in a.iter().zip(e) {
        assert!((a - e).abs() <= 2e-5 * scale, "{what}: {a}, expected {e}");
    }
}

#[test]
fn epilogues_change_no_bit() {
    let mut stream = Stream::new(9, [0x6675_7365, 0, 0]);
    let mut draw = |n: u32| stream.below(n) as usize;
    let all = [Op::AddBias, Op::BatchNormInfer { epsilon: 1e-3 }, Op::Add, Op::Relu, Op::ReluGrad];
    for round in 0..12 {
        let product = match round % 4 {
            0 => Product::Linear,
            1 => Product::Conv { kernel: 3, groups: 1 + draw(2) },
            2 => Product::Conv { kernel: 1, groups: 1 },
            _ => Product::ConvInputGrad,
        };
        let channels = 2 * (1 + draw(12));
        let mut after = vec![Op::BatchNormInfer { epsilon: 1e-5 }, Op::Add, Op::Relu];
        if round > 3 {
            after = (0..1 + draw(4)).map(|_| all[draw(5)].clone()).collect();
        }
        let chain = Chain { product, batch: [1, 2, 9][draw(3)], channels, after };
        check(&chain, [Algorithm::Direct, Algorithm::Winograd][round / 2 % 2]);
    }
}

#[test]
fn what_other_operations_take_along_changes_no_bit() {
    let mut stream = Stream::new(10, [0x6675_7365, 1, 0]);
    let mut draw = |n: u32| stream.below(n) as usize;
    let all = [Op::AddBias, Op::BatchNormInfer { epsilon: 1e-3 }, Op::Add, Op::Relu, Op::ReluGrad];
    for round in 0..12 {
        let product = match round % 6 {
            0 => Product::Add,
            1 => Product::BatchNorm,
            2 => Product::Dropout,
            3 => Product::LrnGrad(LrnRegion::Channels { groups: 1 + draw(2) }),
            4 => Product::LrnGrad(LrnRegion::Map),
            _ => Product::MaxPoolGrad,
        };
        let channels = 2 * (1 + draw(12));
        let mut after = vec![Op::Add, Op::ReluGrad, Op::Add, Op::Relu];
        if round > 5 {
            after = (0..1 + draw(4)).map(|_| all[draw(5)].clone()).collect();
        }
        check(&Chain { product, batch: [1, 2, 5][draw(3)], channels, after }, Algorithm::Auto);
    }
}

/// A response normalisation and the max-pooling of its result; `apart`, that result is given too, so that they are two
/// kernels.
fn normalize_and_pool(lrn: LrnGeometry, pool: PoolGeometry, shape: &[usize], indexed: bool, apart: bool) -> Graph {
    let mut b = Builder::new("rows", &[]);
    let x = b.input("x", real(shape));
    let normal = b.try_node(Op::Lrn(lrn), &[x], None, "normal").unwrap()[0];
    let pooled = b.try_node(Op::MaxPool(pool), &[normal], None, "pooled").unwrap()[0];
    if apart {
        b.output("normal", normal);
    }
    if indexed {
        let index = b.pool_index(NodeId(1)).unwrap();
        b.output("index", index);
    }
    b.output("pooled", pooled);
    b.finish()
}

fn all_bits(outcome: &Outcome) -> Vec<Vec<u32>> {
    let bits = |tensor: &Tensor| match &tensor.data {
        Data::I32(index) => index.iter().map(|i| *i as u32).collect(),
        _ => tensor.to_f32().into_iter().map(f32::to_bits).collect(),
    };
    outcome.outputs.iter().map(bits).collect()
}

#[test]
fn pooled_rows_of_a_normalization_change_no_bit() {
    let host = codegen::host();
    let mut stream = Stream::new(11, [0x726f_7773, 0, 0]);
    let mut draw = |n: usize| stream.below(n as u32) as usize;
    for round in 0..30 {
        let shape = [1 + draw(3), [1, 3, 8, 17, 40][draw(5)], 2 + draw(12), 1 + draw(9)];
        let region = match (round % 3, shape[1] % 2) {
            (0, _) => LrnRegion::Map,
            (1, 0) => LrnRegion::Channels { groups: 2 },
            _ => LrnRegion::Channels { groups: 1 },
        };
        let lrn =
            LrnGeometry { region, before: draw(4), after: draw(4), scale: 0.2, beta: [0.75, 0.6][draw(2)], k: 1.5 };
        let kernel = [2, 3].map(|d| 1 + draw((shape[d]).min(7)));
        let mut pad = |k: usize| draw(k.min(3));
        let padding =
            Padding { top: pad(kernel[0]), bottom: pad(kernel[0]), left: pad(kernel[1]), right: pad(kernel[1]) };
        let stride = [1 + draw(5), 1 + draw(3)];
        let pool = PoolGeometry { kernel, stride, padding, ceil: draw(2) == 0 };
        let indexed = draw(2) == 0;
        let graph = normalize_and_pool(lrn, pool, &shape, indexed, false);
        let fused = Planned::new(&graph, &host);
        let apart = Planned::new(&normalize_and_pool(lrn, pool, &shape, indexed, true), &host);
        let what = format!("{lrn:?} {pool:?} of {shape:?}\n{}", netc::plan::text::print(&fused.plan));
        assert!(fused.plan.not_fused.is_empty(), "{what}");
        let own = |plan: &Plan| plan.steps.iter().filter(|step| matches!(step.work, Work::Op(_))).count();
        assert_eq!([own(&fused.plan), own(&apart.plan)], [0, 2], "{what}");
        // Of few distinct values several are the maximum.
        let mut x = numbers(round, shape.iter().product());
        x.iter_mut().for_each(|x| *x = (*x * 4.0).round() / 4.0);
        let inputs = [Tensor::f32(shape, &x)];
        let interpreted = all_bits(&fused.interpret(&inputs, &[], Order::Forward));
        assert_eq!(interpreted, all_bits(&fused.interpret(&inputs, &[], Order::Reversed)), "{what}");
        assert_eq!(interpreted, all_bits(&apart.interpret(&inputs, &[], Order::Forward))[1..], "{what}");
        if round % 3 == 0 || round < 10 {
            let code = fused.run(&inputs, &[], 1);
            assert_eq!(all_bits(&code), all_bits(&fused.run(&inputs, &[], 3)), "{what}");
            assert_eq!(all_bits(&code), all_bits(&apart.run(&inputs, &[], 2))[1..], "{what}");
            let exact = interpret(&graph, Precision::Double, &inputs, &[]).unwrap();
            let real = |outcome: &Outcome| outcome.outputs.last().unwrap().as_real().to_vec();
            for (a, e) in real(&code).iter().zip(real(&exact)) {
                assert!((a - e).abs() <= 2e-6 * e.abs().max(1.0), "{what}: {a}, expected {e}");
            }
        }
    }
}

fn plans(path: &str, batch: usize, train: bool) -> Vec<Plan> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("specs").join(path);
    let network = netc::driver::check(netc::driver::read(&path, &[]).unwrap()).unwrap().network;
    let graphs = netc::passes::functions(&network, batch, train).unwrap().graphs;
    netc::plan::plans(&graphs, &codegen::host(), Algorithm::Auto)
}

#[test]
fn a_residual_network_is_convolutions_and_pools() {
    let plans = plans("resnet18.yaml", 1, false);
    let [.., prepare, infer] = &plans[..] else { panic!("plans") };
    let own: Vec<&str> =
        infer.steps.iter().filter(|s| matches!(s.work, Work::Op(_))).map(|s| s.name.as_str()).collect();
    assert_eq!(own, ["maxpool1_maxpool", "global_avgpool1_adaptive_avgpool"]);
    assert_eq!(infer.not_fused, []);
    let text = netc::plan::text::print(infer);
    let count = |what: &str| text.matches(what).count();
    assert_eq!([count(" + batchnorm"), count(" + add"), count(" + relu")], [20, 8, 17]);
    let scales = |plan: &Plan| plan.steps.iter().filter(|s| matches!(s.work, Work::BatchNormScale { .. })).count();
    assert_eq!([scales(prepare), scales(infer)], [20, 0]);
    assert_eq!(prepare.function, "prepare");
}

/// The reasons, in the plan of a function with this text.
fn reasons(text: &str) -> Vec<String> {
    let (network, _) = netc::check::network_from_text("t.netc", text).unwrap_or_else(|e| panic!("{e:#?}"));
    let graphs = netc::passes::functions(&network, 2, false).unwrap().graphs;
    let plan = netc::plan::plan(graphs.last().unwrap(), &codegen::host(), Algorithm::Auto);
    let text = netc::plan::text::print(&plan);
    text.lines().filter_map(|line| line.trim().strip_prefix("not fused: ")).map(str::to_owned).collect()
}

#[test]
fn what_is_not_fused_has_a_reason() {
    let head = "net t\ninput image [3, 9, 9]\n";
    let found = reasons(&format!(
        "{head}conv a(4, 3, padding: 1)\nbatchnorm b\nfrom [b, a] -> add s\nlrn l(3) -> relu r -> maxpool m(3, 3) -> batchnorm c\n"
    ));
    assert_eq!(
        found,
        [
            "b_batchnorm_infer into a_conv: its result is read 2 times",
            "s_add into b_batchnorm_infer: batchnorm_infer takes nothing like it along",
            "s_add into a_conv: its result is read 2 times",
            "r_relu into l_lrn: lrn takes nothing like it along",
            "c_batchnorm_infer into m_maxpool: maxpool takes nothing like it along",
        ]
    );
    let found = reasons(&format!(
        "{head}conv a(4, 3, padding: 1) -> lrn l(3)\nfrom [image] -> conv d(4, 1)\nfrom [l, d] -> add s -> relu r\n\
         conv e(4, 1)\nfrom [r] -> lrn f(3)\nfrom [e, f] -> add t\n"
    ));
    assert_eq!(found, ["t_add into e_conv: %f.y is made later", "t_add into f_lrn: lrn takes nothing like it along"]);
    let found = reasons(&format!(
        "{head}lrn a(3) -> maxpool b(3, 3) -> relu c\nfrom [a] -> maxpool d(3, 3)\nfrom [c, d] -> add e\n"
    ));
    assert_eq!(
        found,
        [
            "b_maxpool into a_lrn: its result is read 2 times",
            "c_relu into b_maxpool: maxpool takes nothing like it along",
            "d_maxpool into a_lrn: its result is read 2 times",
            "e_add into c_relu: relu takes nothing like it along",
            "e_add into d_maxpool: maxpool takes nothing like it along",
        ]
    );
    // One window as large as an image.
    let found = reasons("net t\ninput image [32, 40, 40]\nlrn a(3) -> maxpool b(40) -> relu c\n");
    assert_eq!(
        found,
        [
            "b_maxpool into a_lrn: its windows are too high",
            "c_relu into b_maxpool: maxpool takes nothing like it along"
        ]
    );
    assert_eq!(
        reasons("net t\ninput image [8, 40, 40]\nlrn a(3) -> maxpool b(3, 2, rounding: ceil) -> relu c\n"),
        ["c_relu into a_lrn: maxpool takes nothing like it along"]
    );
}
