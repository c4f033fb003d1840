//! Every schedule against the graph's interpreter: over odd shapes and all kinds of layouts, interpreted in both orders
//! of parallel and vector loops and compiled; each kernel verifies and comes back from its text.

#![allow(clippy::unwrap_used, reason = "a failed test is a panic")]

mod support;

use netc::geometry::{Padding, PoolGeometry};
use netc::graph::interpret::{Data, Precision, Tensor as Value, evaluate};
use netc::graph::{Adam, Builder, Initializer, LrnGeometry, LrnRegion, Op, Sgd};
use netc::kernel::interpret::{Memory, Order, run_in_order};
use netc::kernel::schedule::{self, Tensor, Then};
use netc::kernel::text::{parse, print};
use netc::kernel::verify::verify;
use netc::kernel::{BufferId, DType, Kernel};
use netc_runtime::random::{Stream, philox};

/// Random numbers for one test.
struct Draw(Stream);

impl Draw {
    fn new(seed: u64) -> Draw {
        Draw(Stream::new(seed, [0x7363_6864, 0, 0]))
    }

    fn below(&mut self, n: usize) -> usize {
        self.0.below(n as u32) as usize
    }

    /// In [−2, 2), exact in single precision.
    fn real(&mut self, shape: &[usize]) -> Value {
        let count = shape.iter().product();
        Value::real(shape, (0..count).map(|_| f64::from(self.0.unit() * 4.0 - 2.0)).collect())
    }

    fn positive(&mut self, shape: &[usize]) -> Value {
        let count = shape.iter().product();
        Value::real(shape, (0..count).map(|_| f64::from(self.0.unit() + 0.25)).collect())
    }

    fn labels(&mut self, count: usize, classes: usize) -> Value {
        Value::i32([count], (0..count).map(|_| self.below(classes) as i32).collect())
    }

    /// A place for a tensor: rows, channels last with or without halo, part of a wider tensor.
    fn place(&mut self, dtype: DType, dims: &[usize]) -> Tensor {
        let halo = |d: &mut Draw| Padding { top: d.below(3), bottom: d.below(3), left: d.below(3), right: d.below(3) };
        match (dims, self.below(4)) {
            (_, 0) => Tensor::row_major(dtype, dims),
            (&[n, c, h, w], 1) => Tensor::channels_last(dtype, [n, c, h, w], Padding::default()),
            (&[n, c, h, w], 2) => {
                let halo = halo(self);
                Tensor::channels_last(dtype, [n, c, h, w], halo)
            }
            (&[n, c, h, w], _) => {
                let (more, halo) = (1 + self.below(9), halo(self));
                Tensor::channels_last(dtype, [n, c + more, h, w], halo).channels(self.below(more + 1), c)
            }
            (&[n, c], _) => {
                let more = self.below(9);
                Tensor::row_major(dtype, &[n, c + more]).channels(self.below(more + 1), c)
            }
            _ => Tensor::row_major(dtype, dims),
        }
    }
}

fn dtype(value: &Value) -> DType {
    match value.data {
        Data::Real(_) => DType::F32,
        Data::I32(_) => DType::I32,
        Data::U8(_) => DType::U8,
    }
}

/// Places of a tensor's elements in its buffer, in row-major order of its shape.
fn places(tensor: &Tensor) -> Vec<usize> {
    let mut places = vec![tensor.offset];
    for (size, stride) in tensor.dims.iter().zip(&tensor.strides) {
        places = places.iter().flat_map(|p| (0..*size).map(move |i| p + i * stride)).collect();
    }
    places
}

/// A buffer that holds `value` where `tensor` is and garbage around.
fn memory(tensor: &Tensor, value: &Value) -> Memory {
    let mut memory = Memory::garbage(tensor.dtype, tensor.len);
    for (at, place) in places(tensor).into_iter().enumerate() {
        match (&mut memory, &value.data) {
            (Memory::F32(m), Data::Real(v)) => m[place] = v[at] as f32,
            (Memory::I32(m), Data::I32(v)) => m[place] = v[at],
            (Memory::U8(m), Data::U8(v)) => m[place] = v[at],
            _ => panic!("types"),
        }
    }
    memory
}

/// The bytes of a buffer, so that NaN equals NaN.
fn bits(memory: &Memory) -> Vec<u32> {
    match memory {
        Memory::F32(x) => x.iter().map(|x| x.to_bits()).collect(),
        Memory::I32(x) => x.iter().map(|x| *x as u32).collect(),
        Memory::U8(x) => x.iter().map(|x| u32::from(*x)).collect(),
    }
}

/// Asserts that a buffer holds `expected` and, around it, what it held `before`.
fn assert_holds(what: &str, tensor: &Tensor, before: &Memory, after: &Memory, expected: &Value, tolerance: f64) {
    let places = places(tensor);
    let mut untouched = vec![true; tensor.len];
    places.iter().for_each(|p| untouched[*p] = false);
    for (at, (a, b)) in bits(before).iter().zip(bits(after)).enumerate() {
        assert!(!untouched[at] || *a == b, "{what}: element {at} of the buffer, outside of the tensor, changed");
    }
    match (after, &expected.data) {
        (Memory::F32(actual), Data::Real(expected)) => {
            let scale = expected.iter().filter(|x| x.is_finite()).fold(1e-20f64, |m, x| m.max(x.abs()));
            for (i, (place, e)) in places.iter().zip(expected).enumerate() {
                let a = f64::from(actual[*place]);
                let fine = (a - e).abs() <= tolerance * scale || a == *e || (a.is_nan() && e.is_nan());
                assert!(fine, "{what}: element {i} is {a}, expected {e} (largest {scale})");
            }
        }
        (Memory::I32(actual), Data::I32(expected)) => {
            for (i, (place, e)) in places.iter().zip(expected).enumerate() {
                assert_eq!(actual[*place], *e, "{what}: element {i}");
            }
        }
        _ => panic!("{what}: types"),
    }
}

/// What holds of every kernel: it verifies, and its text reads back as itself.
fn sound(kernel: &Kernel) {
    let text = print(kernel);
    assert_eq!(verify(kernel), Ok(()), "{text}");
    assert_eq!(parse(&text).as_ref(), Ok(kernel), "{text}");
}

/// Runs a kernel in all ways on `buffers` and checks what the last `results.len()` of them hold.
fn runs(kernel: &Kernel, buffers: &[Memory], results: &[(&Tensor, &Value)], compiled: bool, tolerance: f64) {
    sound(kernel);
    let first = buffers.len() - results.len();
    let check = |how: &str, ran: &[Memory]| {
        for (i, (tensor, expected)) in results.iter().enumerate() {
            let what = format!("{} {how}, {}\n{}", kernel.name, kernel.buffers[first + i].name, print(kernel));
            assert_holds(&what, tensor, &buffers[first + i], &ran[first + i], expected, tolerance);
        }
        for i in 0..first {
            assert_eq!(bits(&ran[i]), bits(&buffers[i]), "{} {how}: operand {i} changed", kernel.name);
        }
    };
    let mut forward = buffers.to_vec();
    run_in_order(kernel, &mut forward, Order::Forward).unwrap_or_else(|e| panic!("{e}\n{}", print(kernel)));
    check("interpreted", &forward);
    let mut reversed = buffers.to_vec();
    run_in_order(kernel, &mut reversed, Order::Reversed).unwrap();
    for (a, b) in forward.iter().zip(&reversed) {
        assert_eq!(bits(a), bits(b), "{}: the order of iterations shows", kernel.name);
    }
    if compiled {
        let mut ran = buffers.to_vec();
        support::run_compiled(kernel, &mut ran, &netc::codegen::host());
        check("compiled", &ran);
    }
}

/// Every value of a graph of one node.
fn expected(op: &Op, operands: &[Value], shape: Option<&[usize]>, results: usize) -> Vec<Value> {
    let mut b = Builder::new("infer", &[]);
    let inputs: Vec<_> = operands.iter().enumerate().map(|(i, v)| b.input(&format!("x{i}"), v.of_type())).collect();
    let mut outputs = b.try_node(op.clone(), &inputs, shape, "r.y").unwrap();
    if matches!(op, Op::MaxPool(_)) && results == 2 {
        outputs.push(b.pool_index(netc::graph::NodeId(0)).unwrap());
    }
    for (i, v) in outputs.iter().enumerate() {
        b.output(&format!("y{i}"), *v);
    }
    let graph = b.finish();
    let values = evaluate(&graph, Precision::Double, operands, &[]).unwrap();
    graph.outputs.iter().map(|(_, v)| values[v.0 as usize].clone()).collect()
}

/// Shapes whose kernels are compiled too: one for each way in which vectors fill them.
const COMPILED: [&[usize]; 10] = [
    &[2, 3, 5, 7],
    &[3, 19, 2, 3],
    &[2, 16, 4, 4],
    &[1, 19, 5, 6],
    &[1, 1, 7, 7],
    &[4, 3, 3, 3],
    &[1, 5],
    &[3, 5],
    &[40, 300],
    &[70, 37],
];

/// Checks an operation's schedule in several layouts, for vectors of 4, 8 and 16.
fn check_within(op: Op, operands: &[Value], shape: Option<&[usize]>, results: usize, tolerance: f64) {
    let mut draw = Draw::new(operands.iter().map(|v| v.shape.iter().product::<usize>() as u64).sum());
    let shapes = operands.iter().map(|v| v.shape.as_slice()).chain(shape);
    let compiled = shapes.into_iter().any(|s| COMPILED.contains(&s));
    for round in 0..6 {
        let lanes = [8, 4, 16][round % 3];
        check_once(&mut draw, lanes, compiled && round == 0, &op, operands, shape, results, tolerance);
    }
}

/// Checks an operation's schedule in a random layout.
#[allow(clippy::too_many_arguments, reason = "all that can vary")]
fn check_once(
    draw: &mut Draw,
    lanes: usize,
    compiled: bool,
    op: &Op,
    operands: &[Value],
    shape: Option<&[usize]>,
    results: usize,
    tolerance: f64,
) {
    let expected = expected(op, operands, shape, results);
    assert_eq!(expected.len(), results);
    let mut place = |v: &Value| draw.place(dtype(v), &v.shape);
    let inputs: Vec<Tensor> = operands.iter().map(&mut place).collect();
    let outputs: Vec<Tensor> = expected.iter().map(&mut place).collect();
    let kernel = schedule::op(op, lanes, "schedule", &inputs, &outputs).unwrap();
    let operands = inputs.iter().zip(operands).map(|(t, v)| memory(t, v));
    let buffers: Vec<Memory> = operands.chain(outputs.iter().map(|t| Memory::garbage(t.dtype, t.len))).collect();
    let results: Vec<(&Tensor, &Value)> = outputs.iter().zip(&expected).collect();
    runs(&kernel, &buffers, &results, compiled, tolerance);
}

fn check(op: Op, operands: &[Value], shape: Option<&[usize]>, results: usize) {
    check_within(op, operands, shape, results, 1e-6);
}

/// Shapes that exercise whole and partial vectors, single rows, one channel.
const IMAGES: [[usize; 4]; 6] =
    [[2, 3, 5, 7], [1, 8, 1, 1], [3, 19, 2, 3], [2, 16, 4, 4], [1, 1, 6, 9], [1, 37, 30, 11]];

#[test]
fn elementwise() {
    let mut d = Draw::new(1);
    for shape in IMAGES.iter().map(|s| s.as_slice()).chain([[3, 5].as_slice(), &[1, 70], &[40, 300], &[2, 9001]]) {
        let (x, y, dy) = (d.real(shape), d.positive(shape), d.real(shape));
        for op in [Op::Relu, Op::Sigmoid, Op::Tanh] {
            check(op, std::slice::from_ref(&x), None, 1);
        }
        check(Op::ReluGrad, &[x.clone(), dy.clone()], None, 1);
        check(Op::SigmoidGrad, &[y.clone(), dy.clone()], None, 1);
        check(Op::TanhGrad, &[y, dy.clone()], None, 1);
        check(Op::Add, &[x.clone(), dy.clone()], None, 1);
        let bias = d.real(&shape[1..2]);
        check(Op::AddBias, &[x.clone(), bias], None, 1);
        check(Op::MseGrad, &[x.clone(), dy.clone()], None, 1);
        check(Op::Mse, &[x, dy], None, 1);
    }
}

#[test]
fn relu_keeps_nan() {
    let x = Value::real([1, 5], vec![f64::NAN, -1.0, 2.0, f64::NEG_INFINITY, f64::INFINITY]);
    check(Op::Relu, &[x], None, 1);
}

#[test]
fn bytes_are_normalized() {
    let mut d = Draw::new(2);
    for shape in IMAGES {
        let bytes = (0..shape.iter().product()).map(|_| d.below(256) as u8).collect();
        let (scale, shift) = (0..shape[1]).map(|c| (0.01 * c as f64 + 0.1, -1.5 + c as f64)).unzip();
        check(Op::Normalize { scale, shift }, &[Value::u8(shape, bytes)], None, 1);
    }
    // Equal values, runs of them, or neither.
    for (features, run) in [(5, 5), (37, 37), (37, 13), (50, 1), (50, 48)] {
        let bytes = (0..3 * features).map(|_| d.below(256) as u8).collect();
        let scale = vec![0.25; features];
        let shift = (0..features).map(|f| (f / run) as f64 - 1.0).collect();
        check(Op::Normalize { scale, shift }, &[Value::u8([3, features], bytes)], None, 1);
    }
}

#[test]
fn bytes_of_many_features_are_normalized_by_little_code() {
    let features = 150_528;
    let kernel = |runs: usize| {
        let values: Vec<f64> = (0..features).map(|f| (f * runs / features) as f64).collect();
        let [image, y] = [DType::U8, DType::F32].map(|dtype| Tensor::row_major(dtype, &[128, features]));
        let kernel = schedule::normalize(8, "normalize", &values, &values, &image, &y);
        sound(&kernel);
        kernel
    };
    assert_eq!(kernel(1).scratch_bytes(), 0);
    assert!(print(&kernel(3)).lines().count() < 50, "{}", print(&kernel(3)));
}

#[test]
fn dropout_numbers_elements_by_their_coordinates() {
    let mut d = Draw::new(3);
    for (at, shape) in IMAGES.iter().map(|s| s.as_slice()).chain([[3, 50].as_slice()]).enumerate() {
        let operands = [d.real(shape), Value::i32([2], vec![-7, 1 << 20]), Value::i32([], vec![at as i32])];
        check(Op::Dropout { p: 0.4, stream: 5 }, &operands, None, 1);
        check(Op::Dropout { p: 0.0, stream: 5 }, &operands, None, 1);
    }
}

#[test]
fn numbers_of_elements_have_two_words() {
    let kernel = |count: usize| {
        let (x, seed) = (Tensor::rows(&[count]), Tensor::row_major(DType::I32, &[2]));
        let step = Tensor::row_major(DType::I32, &[]);
        schedule::dropout(8, "dropout", 0.5, 2, &x, &seed, &step, &x, Then::NOTHING)
    };
    let few = kernel(1 << 32);
    sound(&few);
    assert!(!print(&few).contains("/ 4294967296"));
    let many = kernel((1 << 32) + 8);
    sound(&many);
    assert!(print(&many).contains("/ 4294967296), %3, 2]"), "{}", print(&many));

    // The words of lanes on both sides of the boundary.
    let number = "lane*3 + 4294967270";
    let kernel = parse(&format!(
        "kernel words {{\n  global y: i32[16] write\n  vector lane in 0..16 {{\n    y[lane] = random.1([7, -8], \
         [index({number}), index(({number}) / 4294967296), 5, 6])\n  }}\n}}\n"
    ))
    .unwrap();
    let expected = (0..16u64).map(|lane| {
        let number = lane * 3 + 4_294_967_270;
        philox([7, -8i32 as u32], [number as u32, (number >> 32) as u32, 5, 6])[1] as i32
    });
    let y = Tensor::row_major(DType::I32, &[16]);
    let buffers = [Memory::garbage(DType::I32, 16)];
    runs(&kernel, &buffers, &[(&y, &Value::i32([16], expected.collect()))], true, 0.0);
}

#[test]
fn biases() {
    let mut d = Draw::new(4);
    for shape in IMAGES.iter().map(|s| s.as_slice()).chain([[3, 5].as_slice(), &[130, 33], &[1, 16]]) {
        check(Op::BiasGrad, &[d.real(shape)], None, 1);
    }
}

#[test]
fn local_response_normalization() {
    let mut d = Draw::new(5);
    for shape in IMAGES {
        for (before, after, beta, groups) in [
            (2, 2, 0.75, 1),
            (1, 2, 0.5, 1),
            (0, 0, 1.0, 1),
            (3, 1, 0.6, 1),
            (2, 2, 0.75, 2),
            (20, 2, 0.75, 1),
            (100, 1000, 0.75, 1),
            (50, 9, 0.75, 2),
        ] {
            if shape[1] % groups != 0 {
                continue;
            }
            let region = LrnRegion::Channels { groups };
            let op = LrnGeometry { region, before, after, scale: 0.2, beta, k: 2.0 };
            check(Op::Lrn(op), &[d.real(&shape)], None, 1);
            check_within(Op::LrnGrad(op), &[d.real(&shape), d.real(&shape)], None, 1, 2e-6);
        }
    }
}

#[test]
fn local_response_normalization_within_maps() {
    let mut d = Draw::new(25);
    for shape in IMAGES {
        for (before, after, beta) in [(2, 2, 0.75), (2, 1, 0.5), (0, 3, 0.6), (1000, 9, 1.0)] {
            let op = LrnGeometry { region: LrnRegion::Map, before, after, scale: 0.1, beta, k: 2.0 };
            check(Op::Lrn(op), &[d.real(&shape)], None, 1);
            check_within(Op::LrnGrad(op), &[d.real(&shape), d.real(&shape)], None, 1, 2e-6);
        }
    }
}

#[test]
fn wide_windows_need_little_code() {
    let x = Tensor::rows(&[1, 300, 4, 61]);
    for (region, sides, bytes) in [
        (LrnRegion::Channels { groups: 1 }, [[100, 1 << 20], [299, 1 << 40]], 20_000),
        (LrnRegion::Map, [[20, 1 << 20], [60, 1 << 40]], 230_000),
    ] {
        let kernels = |side: usize| {
            let lrn = LrnGeometry { region, before: side, after: side, scale: 0.2, beta: 0.75, k: 2.0 };
            [schedule::lrn(8, "lrn", &lrn, &x, &x), schedule::lrn_grad(8, "lrn_grad", &lrn, [&x; 3], Then::NOTHING)]
        };
        for [some, all] in sides {
            for (some, all) in kernels(some).iter().zip(&kernels(all)) {
                sound(all);
                assert_eq!(print(some).lines().count(), print(all).lines().count());
                assert!(all.scratch_bytes() < bytes, "{}", print(all));
            }
        }
    }
}

fn pools() -> Vec<PoolGeometry> {
    let pad = |top, bottom, left, right| Padding { top, bottom, left, right };
    let pool = |kernel, stride, padding, ceil| PoolGeometry { kernel, stride, padding, ceil };
    vec![
        pool([3, 3], [2, 2], pad(0, 0, 0, 0), false),
        pool([2, 2], [2, 2], pad(0, 0, 0, 0), true),
        pool([3, 2], [1, 2], pad(1, 1, 1, 0), false),
        pool([3, 3], [2, 2], pad(1, 1, 1, 1), true),
        pool([4, 3], [3, 2], pad(2, 1, 0, 2), true),
        pool([1, 1], [2, 3], pad(0, 0, 0, 0), false),
        // Too many taps to write out.
        pool([6, 7], [1, 1], pad(3, 3, 3, 3), false),
    ]
}

#[test]
fn pooling() {
    let mut d = Draw::new(6);
    for shape in [[2, 3, 7, 8], [1, 19, 5, 6], [1, 1, 13, 9]] {
        for pool in pools() {
            // Few distinct values: ties.
            let mut x = d.real(&shape);
            if let Data::Real(x) = &mut x.data {
                x.iter_mut().for_each(|x| *x = x.round());
            }
            check(Op::MaxPool(pool), std::slice::from_ref(&x), None, 1);
            let found = expected(&Op::MaxPool(pool), std::slice::from_ref(&x), None, 2);
            check(Op::MaxPool(pool), &[x], None, 2);
            let dy = d.real(&found[0].shape);
            check(Op::MaxPoolGrad(pool), &[found[1].clone(), dy.clone()], Some(&shape), 1);
            for count_include_pad in [false, true] {
                check(Op::AvgPool { pool, count_include_pad }, &[d.real(&shape)], None, 1);
                check(Op::AvgPoolGrad { pool, count_include_pad }, std::slice::from_ref(&dy), Some(&shape), 1);
            }
        }
    }
}

#[test]
fn a_maximum_with_nan_is_nan() {
    let pool = pools()[0];
    let mut x = vec![1.0; 49];
    (x[10], x[24], x[48], x[0]) = (f64::NAN, f64::NAN, f64::INFINITY, f64::NEG_INFINITY);
    check(Op::MaxPool(pool), &[Value::real([1, 1, 7, 7], x)], None, 2);
}

#[test]
fn adaptive_pooling() {
    let mut d = Draw::new(7);
    for shape in [[2, 3, 7, 8], [1, 19, 6, 6], [3, 9, 2, 3]] {
        for output in [[1, 1], [2, 3], [6, 6], [7, 5]] {
            check(Op::AdaptiveAvgPool { output }, &[d.real(&shape)], None, 1);
            let dy = d.real(&[shape[0], shape[1], output[0], output[1]]);
            check(Op::AdaptiveAvgPoolGrad { output }, &[dy], Some(&shape), 1);
        }
    }
}

#[test]
fn batch_normalization() {
    let mut d = Draw::new(8);
    let epsilon = 1e-3;
    for shape in IMAGES.iter().map(|s| s.as_slice()).chain([[9, 21].as_slice()]) {
        if shape.iter().product::<usize>() == shape[1] {
            continue;
        }
        let (x, dy) = (d.real(shape), d.real(shape));
        let c = &shape[1..2];
        let (gamma, beta, mean, variance) = (d.real(c), d.real(c), d.real(c), d.positive(c));
        check_within(Op::BatchNormTrain { epsilon }, &[x.clone(), gamma.clone(), beta.clone()], None, 3, 2e-6);
        let given = [x.clone(), gamma.clone(), beta, mean, variance];
        check(Op::BatchNormInfer { epsilon }, &given, None, 1);
        let statistics = expected(&Op::BatchNormTrain { epsilon }, &given[..3], None, 3);
        let operands = [x, gamma, statistics[1].clone(), statistics[2].clone(), dy];
        check_within(Op::BatchNormGrad { epsilon }, &operands, None, 3, 4e-6);
        let update = Op::RunningUpdate { momentum: 0.1, correction: 1.25 };
        check(update, &[d.real(c), d.real(c)], None, 1);
    }
}

#[test]
fn softmax_and_losses() {
    let mut d = Draw::new(9);
    for shape in IMAGES.iter().map(|s| s.as_slice()).chain([[3, 10].as_slice(), &[70, 37]]) {
        let (x, dy) = (d.real(shape), d.real(shape));
        check(Op::Softmax, &[x], None, 1);
        check(Op::SoftmaxGrad, &[d.positive(shape), dy], None, 1);
    }
    for (batch, classes) in [(1, 2), (3, 10), (70, 37), (5, 16)] {
        for label_smoothing in [0.0, 0.1] {
            let (logits, labels) = (d.real(&[batch, classes]), d.labels(batch, classes));
            check(Op::CrossEntropy { label_smoothing }, &[logits.clone(), labels.clone()], None, 2);
            check(Op::CrossEntropyGrad { label_smoothing }, &[d.positive(&[batch, classes]), labels], None, 1);
        }
    }
}

#[test]
fn labels_that_are_no_class_make_the_loss_infinite() {
    let mut d = Draw::new(10);
    let logits = d.real(&[2, 5]);
    let t = |dtype, dims: &[usize]| Tensor::row_major(dtype, dims);
    let (x, l) = (t(DType::F32, &[2, 5]), t(DType::I32, &[2]));
    let kernel = schedule::cross_entropy(8, "loss", 0.0, &x, &l, &t(DType::F32, &[]), &t(DType::F32, &[2, 5]));
    for label in [-1, 5, i32::MAX, i32::MIN] {
        let labels = Value::i32([2], vec![1, label]);
        let buffers =
            [memory(&x, &logits), memory(&l, &labels), Memory::zeros(DType::F32, 1), Memory::zeros(DType::F32, 10)];
        let probabilities = expected(&Op::Softmax, std::slice::from_ref(&logits), None, 1);
        let loss = Value::real([], vec![f64::INFINITY]);
        let results = [(&t(DType::F32, &[]), &loss), (&x, &probabilities[0])];
        runs(&kernel, &buffers, &results, label == i32::MAX, 1e-6);
    }
}

#[test]
fn initial_contents() {
    let stream = 3;
    for shape in [vec![7], vec![5, 3], vec![4, 3, 3, 3], vec![130, 70]] {
        check(Op::Initialize(Initializer::Constant(0.25)), &[], Some(&shape), 1);
        for op in
            [Initializer::Normal { mean: 0.5, std: 2.0, stream }, Initializer::Uniform { low: -1.0, high: 3.0, stream }]
        {
            check(Op::Initialize(op), &[Value::i32([2], vec![123, -9])], Some(&shape), 1);
        }
    }
}

/// Checks an update that writes its results over the operands numbered `over`.
fn check_in_place(op: &Op, operands: &[Value], over: &[usize]) {
    check(op.clone(), operands, None, over.len());
    let expected = expected(op, operands, None, over.len());
    let tensors: Vec<Tensor> = operands.iter().map(|v| Tensor::row_major(DType::F32, &v.shape)).collect();
    let results: Vec<Tensor> = over.iter().map(|i| tensors[*i].clone()).collect();
    let mut kernel = schedule::op(op, 8, "update", &tensors, &results).unwrap();
    for (at, operand) in over.iter().enumerate().rev() {
        kernel = schedule::share(kernel, BufferId(*operand as u32), BufferId((operands.len() + at) as u32));
    }
    sound(&kernel);
    let mut buffers: Vec<Memory> = tensors.iter().zip(operands).map(|(t, v)| memory(t, v)).collect();
    let before = buffers.clone();
    run_in_order(&kernel, &mut buffers, Order::Reversed).unwrap();
    for (i, tensor) in tensors.iter().enumerate() {
        match over.iter().position(|o| *o == i) {
            Some(at) => assert_holds("in place", tensor, &before[i], &buffers[i], &expected[at], 1e-6),
            None => assert_eq!(buffers[i], before[i]),
        }
    }
}

#[test]
fn optimizer_steps() {
    let mut d = Draw::new(11);
    let sgd = Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0, lr_scale: 1.0, rate_in_velocity: false };
    let adam = Adam { beta1: 0.9, beta2: 0.99, epsilon: 1e-3, weight_decay: 0.0, lr_scale: 1.0, decoupled: false };
    for shape in [vec![7], vec![13, 3, 3, 3], vec![90, 100]] {
        let [w, g, m] = [(); 3].map(|()| d.real(&shape));
        let v = d.positive(&shape);
        let [lr, c1, c2] = [0.1, 0.2, 0.3].map(|x| Value::f32([], &[x]));
        for (weight_decay, lr_scale) in [(0.0, 1.0), (0.05, 2.0)] {
            let plain = Sgd { weight_decay, lr_scale, ..sgd };
            check_in_place(&Op::SgdUpdate(plain), &[w.clone(), g.clone(), lr.clone()], &[0]);
            for (nesterov, rate_in_velocity) in [(false, false), (true, false), (false, true), (true, true)] {
                let op = Op::SgdUpdate(Sgd { momentum: 0.9, nesterov, rate_in_velocity, ..plain });
                check_in_place(&op, &[w.clone(), g.clone(), v.clone(), lr.clone()], &[0, 2]);
            }
            for decoupled in [false, true] {
                let op = Op::AdamUpdate(Adam { weight_decay, lr_scale, decoupled, ..adam });
                let scalars = [c1.clone(), c2.clone(), lr.clone()];
                let operands = [&[w.clone(), g.clone(), m.clone(), v.clone()], &scalars[..]].concat();
                check_in_place(&op, &operands, &[0, 2, 3]);
            }
        }
        check_in_place(&Op::BiasCorrection { beta: 0.99 }, &[c1], &[0]);
    }
}

#[test]
fn copies_between_all_layouts() {
    let mut d = Draw::new(12);
    for shape in IMAGES {
        let [n, c, h, w] = shape;
        let x = d.real(&shape);
        for to in [vec![n, c, h, w], vec![n, c * h * w], vec![n, c * h, w, 1], vec![n * c, h * w]] {
            check(Op::Reshape, std::slice::from_ref(&x), Some(&to), 1);
        }
        if c > 2 {
            check(Op::Slice { start: 1 }, &[x], Some(&[n, c - 2, h, w]), 1);
        }
    }
    // Shapes without a common refinement.
    check(Op::Reshape, &[d.real(&[2, 3, 5, 7])], Some(&[5, 6, 7, 1]), 1);
    check(Op::Reshape, &[d.real(&[70, 99])], Some(&[99, 70]), 1);
}

#[test]
fn clearing_a_halo_leaves_the_image() {
    let mut d = Draw::new(13);
    for shape in IMAGES {
        for sides in [[1, 1, 1, 1], [2, 0, 1, 3], [0, 0, 0, 1], [0, 1, 0, 0], [0, 0, 2, 0]] {
            let [top, bottom, left, right] = sides;
            let x = Tensor::channels_last(DType::F32, shape, Padding { top, bottom, left, right });
            let kernel = schedule::fill_halo(8, "halo", &x);
            let value = d.real(&shape);
            let Memory::F32(image) = memory(&x, &value) else { panic!("f32") };
            // The whole buffer as one row.
            let whole = Tensor::rows(&[1, x.len]);
            let cleared = image.iter().map(|x| if x.is_nan() { 0.0 } else { f64::from(*x) }).collect();
            let results = [(&whole, &Value::real([1, x.len], cleared))];
            runs(&kernel, &[Memory::F32(image)], &results, sides[0] == 2, 0.0);
        }
    }
}

/// An operation with operands of random shapes: (op, operands, shape of the result where needed, results).
fn random_case(d: &mut Draw) -> (Op, Vec<Value>, Option<Vec<usize>>, usize) {
    let side = |d: &mut Draw| 1 + d.below(9);
    let shape = [1 + d.below(3), [1, 3, 8, 16, 17, 40][d.below(6)], side(d), side(d)];
    let [n, c, h, w] = shape;
    let x = d.real(&shape);
    match d.below(14) {
        0 => (Op::Relu, vec![x], None, 1),
        1 => (Op::Add, vec![x, d.real(&shape)], None, 1),
        2 => (Op::AddBias, vec![x, d.real(&[c])], None, 1),
        3 => (Op::BiasGrad, vec![x], None, 1),
        4 => (Op::Reshape, vec![x], Some([vec![n, c * h * w], vec![n * h, c, w, 1]][d.below(2)].clone()), 1),
        5 => (Op::Softmax, vec![x], None, 1),
        6 => (Op::Mse, vec![x, d.real(&shape)], None, 1),
        7 => {
            let operands = vec![x, Value::i32([2], vec![1, 2]), Value::i32([], vec![d.below(100) as i32])];
            (Op::Dropout { p: 0.3, stream: 1 }, operands, None, 1)
        }
        8 => (Op::AdaptiveAvgPool { output: [side(d), side(d)] }, vec![x], None, 1),
        9 => {
            let output = [side(d), side(d)];
            let dy = d.real(&[n, c, output[0], output[1]]);
            (Op::AdaptiveAvgPoolGrad { output }, vec![dy], Some(shape.to_vec()), 1)
        }
        10 => {
            let (before, after) = (d.below(5), d.below(5));
            let region = match d.below(3) {
                0 => LrnRegion::Map,
                at => LrnRegion::Channels { groups: if c % 2 == 0 { at } else { 1 } },
            };
            let lrn = LrnGeometry { region, before, after, scale: 0.1, beta: 0.75, k: 1.0 };
            if d.below(2) == 0 {
                (Op::Lrn(lrn), vec![x], None, 1)
            } else {
                (Op::LrnGrad(lrn), vec![x, d.real(&shape)], None, 1)
            }
        }
        at => {
            let kernel = [1 + d.below(h.min(6)), 1 + d.below(w.min(6))];
            let mut pad = |k: usize| d.below(k.min(3));
            let (top, bottom, left, right) = (pad(kernel[0]), pad(kernel[0]), pad(kernel[1]), pad(kernel[1]));
            let padding = Padding { top, bottom, left, right };
            let stride = [1 + d.below(3), 1 + d.below(3)];
            let pool = PoolGeometry { kernel, stride, padding, ceil: d.below(2) == 0 };
            let found = expected(&Op::MaxPool(pool), std::slice::from_ref(&x), None, 2);
            let count_include_pad = d.below(2) == 0;
            match at {
                11 => (Op::MaxPool(pool), vec![x], None, 2),
                12 => {
                    let dy = d.real(&found[0].shape);
                    (Op::MaxPoolGrad(pool), vec![found[1].clone(), dy], Some(shape.to_vec()), 1)
                }
                _ if d.below(2) == 0 => (Op::AvgPool { pool, count_include_pad }, vec![x], None, 1),
                _ => {
                    let dy = d.real(&found[0].shape);
                    (Op::AvgPoolGrad { pool, count_include_pad }, vec![dy], Some(shape.to_vec()), 1)
                }
            }
        }
    }
}

#[test]
fn random_shapes() {
    for seed in 0..400 {
        let mut d = Draw::new(1000 + seed);
        let (op, operands, shape, results) = random_case(&mut d);
        let lanes = [4, 8, 16][d.below(3)];
        check_once(&mut d, lanes, false, &op, &operands, shape.as_deref(), results, 3e-6);
    }
}

/// A kernel with one number of its text changed. None if it does not parse or has other buffers.
fn damaged(d: &mut Draw, kernel: &Kernel) -> Option<Kernel> {
    let text = print(kernel);
    let number = |at: usize| {
        let word = |c: u8| c.is_ascii_alphanumeric() || b"_.%".contains(&c);
        let bytes = text.as_bytes();
        bytes[at].is_ascii_digit() && !word(bytes[at - 1]) && bytes.get(at + 1).is_none_or(|c| *c != b'.')
    };
    let places: Vec<usize> = (1..text.len()).filter(|at| number(*at)).collect();
    let at = places[d.below(places.len())];
    let len = text[at..].find(|c: char| !c.is_ascii_digit()).unwrap();
    let old: i64 = text[at..at + len].parse().unwrap();
    let new = match d.below(5) {
        0 => old + 1,
        1 => (old - 1).max(0),
        2 => 0,
        3 => old * 2,
        _ => d.below(12) as i64,
    };
    let damaged = parse(&format!("{}{new}{}", &text[..at], &text[at + len..])).ok()?;
    (damaged.buffers == kernel.buffers).then_some(damaged)
}

/// The verifier is not fooled: what it accepts stays in its buffers and does not depend on the order of iterations.
#[test]
fn what_verifies_is_sound() {
    let (mut accepted, mut refused) = (0, 0);
    for seed in 0..150 {
        let mut d = Draw::new(5000 + seed);
        let (op, operands, shape, results) = random_case(&mut d);
        let expected = expected(&op, &operands, shape.as_deref(), results);
        let inputs: Vec<Tensor> = operands.iter().map(|v| d.place(dtype(v), &v.shape)).collect();
        let outputs: Vec<Tensor> = expected.iter().map(|v| d.place(dtype(v), &v.shape)).collect();
        let kernel = schedule::op(&op, 4, "damaged", &inputs, &outputs).unwrap();
        let memories = inputs.iter().zip(&operands).map(|(t, v)| memory(t, v));
        let buffers: Vec<Memory> = memories.chain(outputs.iter().map(|t| Memory::zeros(t.dtype, t.len))).collect();
        for _ in 0..12 {
            let Some(kernel) = damaged(&mut d, &kernel) else { continue };
            if verify(&kernel).is_err() {
                refused += 1;
                continue;
            }
            accepted += 1;
            let (mut forward, mut reversed) = (buffers.clone(), buffers.clone());
            run_in_order(&kernel, &mut forward, Order::Forward).unwrap_or_else(|e| panic!("{e}\n{}", print(&kernel)));
            run_in_order(&kernel, &mut reversed, Order::Reversed).unwrap();
            for (a, b) in forward.iter().zip(&reversed) {
                assert_eq!(bits(a), bits(b), "the order shows\n{}", print(&kernel));
            }
        }
    }
    assert!(accepted > 200 && refused > 200, "{accepted} accepted, {refused} refused");
}

/// AlexNet's own sizes: algebra decides quickly what takes too long to try.
#[test]
fn large_kernels_verify_and_look_as_they_should() {
    let image = |c: usize, size: usize, halo: usize| {
        let halo = Padding { top: halo, bottom: halo, left: halo, right: halo };
        Tensor::channels_last(DType::F32, [128, c, size, size], halo)
    };
    let pool = pools()[0];
    let region = LrnRegion::Channels { groups: 1 };
    let lrn = LrnGeometry { region, before: 2, after: 2, scale: 2e-5, beta: 0.75, k: 2.0 };
    let within = LrnGeometry { region: LrnRegion::Map, ..lrn };
    let (conv1, pooled) = (image(96, 55, 0), image(96, 27, 2));
    let index = Tensor { dtype: DType::I32, ..image(96, 27, 0) };
    let (flat, last) = (Tensor::rows(&[128, 9216]), image(256, 6, 0));
    let (logits, labels, loss) = (Tensor::rows(&[128, 1000]), Tensor::row_major(DType::I32, &[128]), Tensor::rows(&[]));
    let (seed, step) = (Tensor::row_major(DType::I32, &[2]), Tensor::row_major(DType::I32, &[]));
    let (hidden, weights, channels) = (Tensor::rows(&[128, 4096]), Tensor::rows(&[4096, 9216]), Tensor::rows(&[96]));
    let bytes = Tensor::row_major(DType::U8, &[128, 3, 224, 224]);
    let sgd = Sgd { momentum: 0.9, nesterov: false, weight_decay: 5e-4, lr_scale: 1.0, rate_in_velocity: false };
    let normal = Initializer::Normal { mean: 0.0, std: 0.01, stream: 1 };
    let epsilon = 1e-5;
    let pixels = image(3, 224, 2);
    let cases: Vec<(Op, Vec<&Tensor>, Vec<&Tensor>)> = vec![
        (Op::Relu, vec![&conv1], vec![&conv1]),
        (Op::Lrn(lrn), vec![&conv1], vec![&conv1]),
        (Op::LrnGrad(lrn), vec![&conv1, &conv1], vec![&conv1]),
        (Op::Lrn(within), vec![&conv1], vec![&conv1]),
        (Op::LrnGrad(within), vec![&conv1, &conv1], vec![&conv1]),
        (Op::MaxPool(pool), vec![&conv1], vec![&pooled, &index]),
        (Op::MaxPoolGrad(pool), vec![&index, &pooled], vec![&conv1]),
        (Op::AvgPool { pool, count_include_pad: false }, vec![&conv1], vec![&pooled]),
        (Op::AvgPoolGrad { pool, count_include_pad: false }, vec![&pooled], vec![&conv1]),
        (Op::AdaptiveAvgPool { output: [6, 6] }, vec![&pooled], vec![&last]),
        (Op::Reshape, vec![&last], vec![&flat]),
        (Op::Reshape, vec![&flat], vec![&last]),
        (Op::Dropout { p: 0.5, stream: 2 }, vec![&hidden, &seed, &step], vec![&hidden]),
        (Op::BiasGrad, vec![&conv1], vec![&channels]),
        (Op::AddBias, vec![&conv1, &channels], vec![&conv1]),
        (Op::BatchNormTrain { epsilon }, vec![&conv1, &channels, &channels], vec![&conv1, &channels, &channels]),
        (Op::CrossEntropy { label_smoothing: 0.1 }, vec![&logits, &labels], vec![&loss, &logits]),
        (Op::CrossEntropyGrad { label_smoothing: 0.1 }, vec![&logits, &labels], vec![&logits]),
        (Op::SgdUpdate(sgd), vec![&weights, &weights, &weights, &loss], vec![&weights, &weights]),
        (Op::Initialize(normal), vec![&seed], vec![&weights]),
        (Op::Normalize { scale: vec![0.01; 3], shift: vec![-2.0; 3] }, vec![&bytes], vec![&pixels]),
    ];
    for (op, inputs, outputs) in cases {
        let [inputs, outputs] = [inputs, outputs].map(|t| t.into_iter().cloned().collect::<Vec<_>>());
        let kernel = schedule::op(&op, 8, op.mnemonic(), &inputs, &outputs).unwrap();
        sound(&kernel);
        let from = if inputs == [flat.clone()] { "_rows" } else { "" };
        insta::assert_snapshot!(format!("{}{from}", op.mnemonic()), print(&kernel));
    }
}
