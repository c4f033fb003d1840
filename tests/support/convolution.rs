//! Convolutions of any shape: random ones, and the graphs that compute one and its gradients.

use super::numbers;
use netc::geometry::Padding;
use netc::graph::interpret::{Outcome, Tensor};
use netc::graph::{Builder, ConvGeometry, DType, Graph, Op, Type};
use netc::plan::{Plan, Winograd, Work};
use netc_runtime::random::Stream;

/// A convolution.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    pub batch: usize,
    pub inner: usize,
    pub outer: usize,
    pub size: [usize; 2],
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    pub padding: Padding,
    pub groups: usize,
}

/// What is computed of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// The convolution with a bias and ReLU.
    Forward,
    InputGradient,
    WeightGradient,
}

pub const WAYS: [Way; 3] = [Way::Forward, Way::InputGradient, Way::WeightGradient];

impl Case {
    /// Of one group, without dilation, with square images, kernel, strides and padding.
    pub fn square(
        batch: usize,
        [inner, outer]: [usize; 2],
        size: usize,
        kernel: usize,
        stride: usize,
        pad: usize,
    ) -> Case {
        let padding = Padding { top: pad, bottom: pad, left: pad, right: pad };
        let (size, kernel, stride, dilation) = ([size; 2], [kernel; 2], [stride; 2], [1, 1]);
        Case { batch, inner, outer, size, kernel, stride, dilation, padding, groups: 1 }
    }

    /// Kernels of 1 to 11, strides and dilations of 1 to 4, any padding, groups, 1 to 9 images, any channels; of at most
    /// so many multiply-adds.
    pub fn random(stream: &mut Stream, most: usize) -> Case {
        loop {
            let mut draw = |n: usize| stream.below(n as u32) as usize;
            // Two thirds are of the kind that minimal filtering is for.
            let plain = draw(3) > 0;
            let longest = if plain { 5 } else { 11 };
            let kernel = [1 + draw(longest), 1 + draw(longest)];
            let some = |drawn: usize| 1 + drawn.saturating_sub(3);
            let strided = !plain || draw(3) == 0;
            let stride = if strided { [some(draw(7)), some(draw(7))] } else { [1, 1] };
            let dilation = if plain { [1, 1] } else { [some(draw(7)), some(draw(7))] };
            let reach = [0, 1].map(|axis| (kernel[axis] - 1) * dilation[axis] + 1);
            let [vertical, across] = reach.map(|reach| [3, reach + 2][usize::from(reach > 3)]);
            let padding =
                Padding { top: draw(vertical), bottom: draw(vertical), left: draw(across), right: draw(across) };
            let around = [padding.top + padding.bottom, padding.left + padding.right];
            let size = [0, 1].map(|axis| reach[axis].saturating_sub(around[axis]).max(1) + draw(13));
            let groups = if strided && plain { 1 } else { some(draw(7)) };
            let [inner, outer] = [groups * (1 + draw(7)), groups * (1 + draw(35))];
            let case = Case { batch: 1 + draw(9), inner, outer, size, kernel, stride, dilation, padding, groups };
            let macs = case.result().iter().chain(&case.weights()[1..]).product::<usize>();
            if macs <= most {
                return case;
            }
        }
    }

    pub fn geometry(&self) -> ConvGeometry {
        let Case { stride, dilation, padding, groups, .. } = *self;
        ConvGeometry { stride, dilation, padding, groups }
    }

    pub fn x(&self) -> Vec<usize> {
        vec![self.batch, self.inner, self.size[0], self.size[1]]
    }

    pub fn weights(&self) -> Vec<usize> {
        vec![self.outer, self.inner / self.groups, self.kernel[0], self.kernel[1]]
    }

    pub fn result(&self) -> Vec<usize> {
        let p = self.padding;
        let size = |axis: usize, padding: usize| {
            (self.size[axis] + padding - (self.kernel[axis] - 1) * self.dilation[axis] - 1) / self.stride[axis] + 1
        };
        vec![self.batch, self.outer, size(0, p.top + p.bottom), size(1, p.left + p.right)]
    }

    /// Products in a sum, at most.
    pub fn terms(&self, way: Way) -> usize {
        let taps = self.kernel[0] * self.kernel[1];
        match way {
            Way::Forward => self.inner / self.groups * taps,
            Way::InputGradient => self.outer / self.groups * taps,
            Way::WeightGradient => self.batch * self.result()[2..].iter().product::<usize>(),
        }
    }

    /// The graph of one of the three, and its operands' shapes.
    pub fn graph(&self, way: Way) -> (Graph, Vec<Vec<usize>>) {
        let real = |shape: &[usize]| Type { dtype: DType::F32, shape: shape.to_vec() };
        let g = self.geometry();
        let (x, w, y) = (self.x(), self.weights(), self.result());
        let (op, first, second, shape) = match way {
            Way::Forward => {
                let mut b = Builder::new("forward", &[]);
                let operands = [b.input("x", real(&x)), b.input("w", real(&w))];
                let bias = b.input("bias", real(&[self.outer]));
                let made = b.try_node(Op::Conv(g), &operands, None, "y").unwrap()[0];
                let made = b.try_node(Op::AddBias, &[made, bias], None, "z").unwrap()[0];
                let made = b.try_node(Op::Relu, &[made], None, "r").unwrap()[0];
                b.output("y", made);
                return (b.finish(), vec![x, w, vec![self.outer]]);
            }
            Way::InputGradient => (Op::ConvInputGrad(g), y, w, x),
            Way::WeightGradient => (Op::ConvWeightGrad(g), x, y, w),
        };
        let mut b = Builder::new("gradient", &[]);
        let operands = [b.input("a", real(&first)), b.input("b", real(&second))];
        let made = b.try_node(op, &operands, Some(shape.as_slice()), "d").unwrap()[0];
        b.output("d", made);
        (b.finish(), vec![first, second])
    }
}

/// Random tensors of these shapes.
pub fn operands(shapes: &[Vec<usize>], seed: u64) -> Vec<Tensor> {
    let tensor = |(k, shape): (usize, &Vec<usize>)| {
        Tensor::f32(shape.clone(), &numbers(seed * 10 + k as u64, shape.iter().product()))
    };
    shapes.iter().enumerate().map(tensor).collect()
}

/// The filterings of a plan's convolutions.
pub fn forms(plan: &Plan) -> Vec<Winograd> {
    let form = |work: &Work| match work {
        Work::Winograd(work) | Work::WinogradProduct(work) => Some(work.form),
        Work::WinogradGradientWeights { form, .. } => Some(*form),
        _ => None,
    };
    plan.steps.iter().filter_map(|step| form(&step.work)).collect()
}

/// The filtering of a plan of one convolution, if it is by one.
pub fn form(plan: &Plan) -> Option<Winograd> {
    forms(plan).first().copied()
}

pub fn same_bits(what: &str, a: &Outcome, b: &Outcome) {
    let bits = |o: &Outcome| o.outputs.iter().flat_map(|t| t.to_f32()).map(f32::to_bits).collect::<Vec<_>>();
    assert_eq!(bits(a), bits(b), "{what}: bits differ");
}

/// Root mean square of the first result.
pub fn scale(exact: &Outcome) -> f64 {
    let e = exact.outputs[0].as_real();
    (e.iter().map(|x| x * x).sum::<f64>() / e.len() as f64).sqrt()
}

/// The largest difference of the first results.
pub fn largest_error(actual: &Outcome, exact: &Outcome) -> f64 {
    let (a, e) = (actual.outputs[0].as_real(), exact.outputs[0].as_real());
    a.iter().zip(e).fold(0.0, |worst: f64, (a, e)| if a.is_nan() { f64::NAN } else { worst.max((a - e).abs()) })
}
