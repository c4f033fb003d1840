//! Matrix products and convolutions, forward and backward, against plain loops: interpreted and compiled.

#![allow(clippy::unwrap_used, reason = "a failed test is a panic")]

mod support;

use netc::codegen;
use netc::geometry::Padding;
use netc::graph::ConvGeometry;
use netc::kernel::interpret::{Memory, Order, run_in_order};
use netc::kernel::schedule::conv::conv;
use netc::kernel::schedule::conv_grad::{conv_input_grad, conv_weight_grad};
use netc::kernel::schedule::matmul::matmul;
use netc::kernel::schedule::pack::{pack_matrix, pack_weights};
use netc::kernel::schedule::{Followed, Tensor};
use netc::kernel::{DType, Kernel, text, verify};
use netc::plan::{ConvWork, Epilogue, MatMulWork, PackedWeights, Tile, input_grad_halo};
use netc::target::Target;
use netc_runtime::random::Stream;
use support::{assert_close, numbers, run_compiled};

fn targets() -> Vec<Target> {
    vec![codegen::host(), codegen::named("x86-64").unwrap()]
}

/// Runs a kernel in the interpreter in both orders and compiled, and returns the last buffer.
fn run(kernel: &Kernel, buffers: &[Memory], target: &Target) -> Vec<f32> {
    verify::verify(kernel).unwrap_or_else(|e| panic!("{}\n{}", e.join("\n"), text::print(kernel)));
    assert_eq!(&text::parse(&text::print(kernel)).unwrap(), kernel);
    let mut results = Vec::new();
    for order in [Order::Forward, Order::Reversed] {
        let mut memory = buffers.to_vec();
        run_in_order(kernel, &mut memory, order).unwrap();
        results.push(memory.pop().unwrap());
    }
    let bits = |m: &Memory| match m {
        Memory::F32(x) => x.iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(bits(&results[0]), bits(&results[1]), "{} depends on the order of its parallel loop", kernel.name);
    let mut memory = buffers.to_vec();
    run_compiled(kernel, &mut memory, target);
    let compiled = memory.pop().unwrap();
    let (Memory::F32(a), Memory::F32(b)) = (compiled, &results[0]) else { panic!() };
    assert_close(&format!("compiled {}", kernel.name), &a, b, 1e-6);
    a
}

/// Channels-last with a halo (top, bottom, left, right), filled from N×C×H×W rows, the halo zero.
struct Image {
    tensor: Tensor,
    memory: Vec<f32>,
}

fn image(rows: &[f32], dims: [usize; 4], [top, bottom, left, right]: [usize; 4]) -> Image {
    let [n, c, h, w] = dims;
    let (hp, wp) = (h + top + bottom, w + left + right);
    let tensor = Tensor {
        dtype: DType::F32,
        len: n * hp * wp * c,
        dims: dims.to_vec(),
        strides: vec![hp * wp * c, 1, wp * c, c],
        offset: (top * wp + left) * c,
    };
    let mut memory = vec![0.0; tensor.len];
    for (i, x) in rows.iter().enumerate() {
        memory[at(&tensor, i)] = *x;
    }
    Image { tensor, memory }
}

/// Element of the buffer that holds the i-th element in N×C×H×W order.
fn at(tensor: &Tensor, mut i: usize) -> usize {
    let mut place = tensor.offset;
    for d in (0..tensor.dims.len()).rev() {
        place += i % tensor.dims[d] * tensor.strides[d];
        i /= tensor.dims[d];
    }
    place
}

fn rows_of(tensor: &Tensor, memory: &[f32]) -> Vec<f32> {
    (0..tensor.dims.iter().product()).map(|i| memory[at(tensor, i)]).collect()
}

#[derive(Clone, Copy, Debug)]
struct Case {
    batch: usize,
    groups: usize,
    inner: usize,
    outer: usize,
    size: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    padding: [usize; 4],
}

impl Case {
    fn geometry(&self) -> ConvGeometry {
        let [top, bottom, left, right] = self.padding;
        ConvGeometry {
            stride: self.stride,
            padding: Padding { top, bottom, left, right },
            dilation: self.dilation,
            groups: self.groups,
        }
    }

    fn result(&self) -> [usize; 2] {
        let along = |i: usize, pad: usize| {
            (self.size[i] + pad - self.dilation[i] * (self.kernel[i] - 1) - 1) / self.stride[i] + 1
        };
        [along(0, self.padding[0] + self.padding[1]), along(1, self.padding[2] + self.padding[3])]
    }

    /// Calls `f(n, result channel, row, column, input channel in its group, kh, kw, input row, input column)` for each
    /// product.
    fn each(&self, mut f: impl FnMut(usize, usize, usize, usize, usize, usize, usize, usize, usize)) {
        let [oh, ow] = self.result();
        for n in 0..self.batch {
            for k in 0..self.outer * self.groups {
                for y in 0..oh {
                    for x in 0..ow {
                        for c in 0..self.inner {
                            for i in 0..self.kernel[0] {
                                for j in 0..self.kernel[1] {
                                    let h = (y * self.stride[0] + i * self.dilation[0]).wrapping_sub(self.padding[0]);
                                    let w = (x * self.stride[1] + j * self.dilation[1]).wrapping_sub(self.padding[2]);
                                    if h < self.size[0] && w < self.size[1] {
                                        f(n, k, y, x, c, i, j, h, w);
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn flat(dims: [usize; 4], [a, b, c, d]: [usize; 4]) -> usize {
    ((a * dims[1] + b) * dims[2] + c) * dims[3] + d
}

fn check(case: Case, target: &Target, seed: u64) {
    let g = case.geometry();
    let [oh, ow] = case.result();
    let x_dims = [case.batch, case.inner * case.groups, case.size[0], case.size[1]];
    let w_dims = [case.outer * case.groups, case.inner, case.kernel[0], case.kernel[1]];
    let y_dims = [case.batch, case.outer * case.groups, oh, ow];
    let product = |d: [usize; 4]| d.iter().product::<usize>();
    let x = numbers(seed, product(x_dims));
    let w = numbers(seed + 1, product(w_dims));
    let dy = numbers(seed + 2, product(y_dims));
    let bias = numbers(seed + 3, y_dims[1]);
    let (mut y, mut dx, mut dw) = (vec![0.0; dy.len()], vec![0.0; x.len()], vec![0.0; w.len()]);
    case.each(|n, k, r, q, c, i, j, h, v| {
        let channel = k / case.outer * case.inner + c;
        let (xi, wi, yi) = (flat(x_dims, [n, channel, h, v]), flat(w_dims, [k, c, i, j]), flat(y_dims, [n, k, r, q]));
        y[yi] += x[xi] * w[wi];
        dx[xi] += dy[yi] * w[wi];
        dw[wi] += dy[yi] * x[xi];
    });
    for (i, y) in y.iter_mut().enumerate() {
        *y = (*y + bias[i / (oh * ow) % y_dims[1]]).max(0.0);
    }
    let what = format!("{case:?} on {}", target.cpu);
    let weights = Tensor::rows(&w_dims);

    // Forward. The halo after is what the last window reads.
    let reach = |i: usize, out: usize| {
        ((out - 1) * case.stride[i] + (case.kernel[i] - 1) * case.dilation[i] + 1).saturating_sub(case.size[i])
    };
    let [top, _, left, _] = case.padding;
    let halo = [top, reach(0, oh).saturating_sub(top), left, reach(1, ow).saturating_sub(left)];
    let source = image(&x, x_dims, halo);
    let result = image(&[], y_dims, [1, 0, 2, 1]);
    let tile = Tile::for_conv(target, &y_dims, case.groups);
    let columns = tile.columns();
    let pack = pack_weights(target.lanes, "pack", &weights, case.groups, false, columns);
    let packed = PackedWeights::new(case.groups, y_dims[1], case.inner, case.kernel, columns);
    let packed_tensor = Tensor::rows(&[packed.len()]);
    let packed = run(&pack, &[Memory::F32(w.clone()), Memory::F32(vec![f32::NAN; packed.len()])], target);
    let kernel = conv(
        target,
        "conv",
        &ConvWork { geometry: g, kernel: case.kernel, tile, epilogue: vec![Epilogue::Bias, Epilogue::Relu] },
        [&source.tensor, &packed_tensor, &result.tensor],
        &[Tensor::rows(&[y_dims[1]])],
    );
    let memory = [
        Memory::F32(source.memory.clone()),
        Memory::F32(packed),
        Memory::F32(bias),
        Memory::F32(vec![f32::NAN; result.tensor.len]),
    ];
    assert_close(&format!("forward {what}"), &rows_of(&result.tensor, &run(&kernel, &memory, target)), &y, 1e-5);

    // Input gradient.
    let gradient = image(&dy, y_dims, input_grad_halo(&g, case.kernel, case.size, [oh, ow]));
    let result = image(&[], x_dims, [0, 1, 0, 0]);
    let tile = Tile::for_input_grad(target, &x_dims, &g);
    let columns = tile.columns();
    let pack = pack_weights(target.lanes, "pack", &weights, case.groups, true, columns);
    let packed = PackedWeights::new(case.groups, x_dims[1], case.outer, case.kernel, columns);
    let packed_tensor = Tensor::rows(&[packed.len()]);
    let packed = run(&pack, &[Memory::F32(w), Memory::F32(vec![f32::NAN; packed.len()])], target);
    let work = ConvWork { geometry: g, kernel: case.kernel, tile, epilogue: Vec::new() };
    let tensors = [&gradient.tensor, &packed_tensor, &result.tensor];
    let kernel = conv_input_grad(target, "conv_input_grad", &work, tensors, &[]);
    let memory =
        [Memory::F32(gradient.memory.clone()), Memory::F32(packed), Memory::F32(vec![f32::NAN; result.tensor.len])];
    assert_close(&format!("input grad {what}"), &rows_of(&result.tensor, &run(&kernel, &memory, target)), &dx, 1e-5);

    // Weight gradient.
    let tile = Tile::for_weight_grad(target, &w_dims, &g);
    let results = [weights];
    let into = Followed { update: None, operands: &[], results: &results };
    let kernel = conv_weight_grad(target, "conv_weight_grad", &g, tile, [&source.tensor, &gradient.tensor], into);
    let memory = [Memory::F32(source.memory), Memory::F32(gradient.memory), Memory::F32(vec![f32::NAN; dw.len()])];
    assert_close(&format!("weight grad {what}"), &run(&kernel, &memory, target), &dw, 1e-5);
}

const PLAIN: Case = Case {
    batch: 2,
    groups: 1,
    inner: 3,
    outer: 5,
    size: [7, 9],
    kernel: [3, 3],
    stride: [1, 1],
    dilation: [1, 1],
    padding: [1, 1, 1, 1],
};

#[test]
fn convolutions_and_their_gradients() {
    let cases = [
        PLAIN,
        Case { outer: 32, size: [5, 15], ..PLAIN },
        Case { inner: 16, outer: 70, kernel: [1, 1], padding: [0; 4], ..PLAIN },
        Case { size: [15, 14], kernel: [5, 4], stride: [4, 4], padding: [1, 2, 1, 2], ..PLAIN },
        Case { size: [12, 11], kernel: [3, 2], stride: [2, 3], padding: [0, 1, 2, 0], dilation: [2, 1], ..PLAIN },
        Case { groups: 2, inner: 2, outer: 3, dilation: [1, 2], padding: [1, 1, 2, 2], ..PLAIN },
        Case { groups: 2, inner: 4, outer: 16, stride: [2, 2], kernel: [2, 2], ..PLAIN },
        Case { batch: 9, inner: 1, outer: 2, size: [4, 4], padding: [0; 4], ..PLAIN },
        Case { kernel: [1, 1], stride: [3, 2], padding: [0; 4], ..PLAIN },
        Case { kernel: [2, 2], stride: [2, 2], dilation: [2, 4], padding: [0, 0, 3, 1], size: [9, 9], ..PLAIN },
        Case { kernel: [1, 1], stride: [2, 2], padding: [0; 4], size: [8, 9], ..PLAIN },
        Case { kernel: [2, 3], stride: [4, 5], padding: [0, 1, 2, 0], size: [13, 17], ..PLAIN },
        Case { batch: 1, inner: 2, kernel: [16, 16], stride: [16, 16], padding: [0; 4], size: [32, 40], ..PLAIN },
        Case { batch: 1, kernel: [7, 7], stride: [3, 3], padding: [3, 2, 1, 3], size: [16, 20], ..PLAIN },
        Case { groups: 2, inner: 3, outer: 4, stride: [2, 3], padding: [2, 0, 0, 1], size: [8, 14], ..PLAIN },
        Case { batch: 9, kernel: [3, 3], stride: [2, 2], size: [9, 8], ..PLAIN },
        Case { kernel: [3, 4], stride: [4, 6], dilation: [3, 4], padding: [1, 6, 3, 7], size: [13, 17], ..PLAIN },
        Case { kernel: [1, 2], stride: [20, 19], padding: [0; 4], size: [5, 7], ..PLAIN },
    ];
    for target in targets() {
        for (i, case) in cases.iter().enumerate() {
            check(*case, &target, 10 * i as u64);
        }
    }
}

#[test]
fn code_of_an_input_gradient_does_not_grow_with_the_stride() {
    let target = codegen::named("x86-64").unwrap();
    let lines = |stride: usize, dilation: usize| {
        let size = [1 + stride * 30, stride * 31 - 1];
        let case = Case { size, kernel: [4, 4], stride: [stride; 2], dilation: [dilation; 2], ..PLAIN };
        let g = case.geometry();
        let x_dims = [case.batch, case.inner, size[0], size[1]];
        let [oh, ow] = case.result();
        let halo = input_grad_halo(&g, case.kernel, size, [oh, ow]);
        let gradient = image(&[], [case.batch, case.outer, oh, ow], halo).tensor;
        let tile = Tile::for_input_grad(&target, &x_dims, &g);
        let packed = PackedWeights::new(1, case.inner, case.outer, case.kernel, tile.columns());
        let work = ConvWork { geometry: g, kernel: case.kernel, tile, epilogue: Vec::new() };
        let tensors = [&gradient, &Tensor::rows(&[packed.len()]), &image(&[], x_dims, [0; 4]).tensor];
        let kernel = conv_input_grad(&target, "conv_input_grad", &work, tensors, &[]);
        assert_eq!(verify::verify(&kernel), Ok(()), "{}", text::print(&kernel));
        text::print(&kernel).lines().count()
    };
    for dilation in [1, 2] {
        let few = lines(3, dilation);
        assert_eq!(few, lines(16, dilation), "dilation {dilation}");
        assert_eq!(few, lines(57, dilation), "dilation {dilation}");
    }
}

/// The transpose of a matrix of so many rows.
fn transpose(matrix: &[f32], rows: usize) -> Vec<f32> {
    let columns = matrix.len() / rows;
    (0..matrix.len()).map(|at| matrix[at % rows * columns + at / rows]).collect()
}

/// All ways to multiply an m×k by a k×n matrix: operands as they are or transposed, the right one packed or not, the
/// result as it is or turned.
fn products([m, n, k]: [usize; 3], tile: Tile, target: &Target, seed: u64) {
    let (a, b) = (numbers(seed, m * k), numbers(90 + seed, n * k));
    let bias = numbers(70 + seed, m.max(n));
    let product: Vec<f32> = (0..m * n)
        .map(|at| (0..k).map(|s| f64::from(a[at / n * k + s]) * f64::from(b[s * n + at % n])).sum::<f64>() as f32)
        .collect();
    let packed_len = PackedWeights::new(1, n, k, [1, 1], tile.columns()).len();
    for (from, transposed) in [(b.clone(), false), (transpose(&b, k), true)] {
        let dims = if transposed { [n, k] } else { [k, n] };
        let kernel = pack_matrix(target.lanes, "pack", &Tensor::rows(&dims), transposed, tile.columns());
        let packed = run(&kernel, &[Memory::F32(from), Memory::F32(vec![f32::NAN; packed_len])], target);
        for (at, x) in packed.iter().enumerate() {
            let (row, column) =
                (at / tile.columns() % k, at / (k * tile.columns()) * tile.columns() + at % tile.columns());
            assert_eq!(*x, if column < n { b[row * n + column] } else { 0.0 }, "{m}x{n}x{k} {transposed}: {at}");
        }
        // One of the two packed matrices, which are the same, is enough.
        for way in 0..if transposed { 8 } else { 0 } {
            let [transposed, packs, turned] = [way & 1 > 0, way & 2 > 0, way & 4 > 0];
            let epilogue = vec![Epilogue::Bias, Epilogue::Relu];
            let work = MatMulWork { transposed, packed: packs, turned, tile, epilogue, update: None };
            let left = if transposed { [k, m] } else { [m, k] };
            let right = if packs { Tensor::rows(&[packed_len]) } else { Tensor::rows(&[k, n]) };
            let (dims, expected) = if turned { ([n, m], transpose(&product, m)) } else { ([m, n], product.clone()) };
            let expected: Vec<f32> =
                expected.iter().enumerate().map(|(at, y)| (y + bias[at % dims[1]]).max(0.0)).collect();
            let [bias_of, result] = [&dims[1..], &dims[..]].map(|dims| [Tensor::rows(dims)]);
            let kernel = matmul(target, "matmul", &work, [&Tensor::rows(&left), &right], &bias_of, &result);
            let memory = [
                Memory::F32(if transposed { transpose(&a, m) } else { a.clone() }),
                Memory::F32(if packs { packed.clone() } else { b.clone() }),
                Memory::F32(bias[..dims[1]].to_vec()),
                Memory::F32(vec![f32::NAN; m * n]),
            ];
            let what = format!("{m}x{n}x{k} {work:?} on {}", target.cpu);
            assert_close(&what, &run(&kernel, &memory, target), &expected, 1e-5);
        }
    }
}

#[test]
fn matrix_products() {
    for target in targets() {
        for (i, size) in [[5, 7, 3], [1, 40, 150], [30, 64, 300], [17, 10, 1], [150, 290, 20]].into_iter().enumerate() {
            products(size, Tile::choose(&target, size[0], size[1]), &target, i as u64);
        }
    }
}

/// Register tiles of any size, whether registers hold them or not.
#[test]
fn matrix_products_by_random_tiles() {
    let mut stream = Stream::new(1, [0x7469_6c65, 0, 0]);
    let mut draw = |n: u32| 1 + stream.below(n) as usize;
    for seed in 0..6 {
        let host = codegen::host();
        let lanes = 2 << draw(3);
        let target = Target { lanes, cache: 1 << (10 + draw(14)), ..host };
        let tile = Tile { rows: draw(12), vectors: draw(4), lanes, fused: target.fused };
        products([draw(70), draw(150), draw(90)], tile, &target, seed);
    }
}
