//! The type rule of every operation: what its results are, given its operands.

use super::{ConvGeometry, DType, Initializer, Op, Padding, PoolGeometry, Value};
use std::fmt;

/// Element type and sizes of a tensor; displays as `f32[2,3]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Type {
    /// Element type.
    pub dtype: DType,
    /// Sizes.
    pub shape: Vec<usize>,
}

impl Type {
    /// Floating point of this shape.
    pub fn f32(shape: impl Into<Vec<usize>>) -> Self {
        Type { dtype: DType::F32, shape: shape.into() }
    }

    /// Integers of this shape.
    pub fn i32(shape: impl Into<Vec<usize>>) -> Self {
        Type { dtype: DType::I32, shape: shape.into() }
    }

    /// Bytes of this shape.
    pub fn u8(shape: impl Into<Vec<usize>>) -> Self {
        Type { dtype: DType::U8, shape: shape.into() }
    }
}

impl From<&Value> for Type {
    fn from(value: &Value) -> Self {
        Type { dtype: value.dtype, shape: value.shape.clone() }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DType::F32 => "f32",
            DType::I32 => "i32",
            DType::U8 => "u8",
        })
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sizes: Vec<String> = self.shape.iter().map(usize::to_string).collect();
        write!(f, "{}[{}]", self.dtype, sizes.join(","))
    }
}

/// Padding `(before, after)` along axis 0 (height) or 1 (width).
pub fn padding_along(padding: &Padding, axis: usize) -> (usize, usize) {
    if axis == 0 { (padding.top, padding.bottom) } else { (padding.left, padding.right) }
}

impl ConvGeometry {
    /// Height and width of the result; none if the dilated kernel is larger than the padded image.
    pub fn output(&self, image: [usize; 2], kernel: [usize; 2]) -> Option<[usize; 2]> {
        let along = |axis: usize| {
            let (before, after) = padding_along(&self.padding, axis);
            let extent = self.dilation[axis].checked_mul(kernel[axis].checked_sub(1)?)?.checked_add(1)?;
            let padded = image[axis].checked_add(before)?.checked_add(after)?;
            Some(padded.checked_sub(extent)?.checked_div(self.stride[axis])? + 1)
        };
        Some([along(0)?, along(1)?])
    }
}

/// Height and width of a pooling result; none if the window is larger than the padded image.
pub fn pool_output(pool: &PoolGeometry, image: [usize; 2]) -> Option<[usize; 2]> {
    let along = |axis: usize| {
        let (before, after) = padding_along(&pool.padding, axis);
        let stride = pool.stride[axis];
        let room = image[axis].checked_add(before)?.checked_add(after)?.checked_sub(pool.kernel[axis])?;
        let steps = if pool.ceil { room.div_ceil(stride.max(1)) } else { room.checked_div(stride)? };
        let starts_outside = pool.ceil && steps > 0 && steps.saturating_mul(stride) >= image[axis] + before;
        Some(steps + 1 - usize::from(starts_outside))
    };
    Some([along(0)?, along(1)?])
}

/// The types of the results of `op` on `operands`, or what is wrong.
///
/// `shape` is the shape of the first result where operands and attributes leave it open (initialisers, reshapes,
/// slices, gradients of windowed operations); other operations ignore it. [`Op::MaxPool`] has both of its results here.
///
/// # Errors
/// A sentence that says which rule is broken, with the numbers.
pub fn result_types(op: &Op, operands: &[Type], shape: Option<&[usize]>) -> Result<Vec<Type>, String> {
    let wanted = || shape.map(<[usize]>::to_vec).ok_or_else(|| "the shape of the result must be given".to_owned());
    match op {
        Op::Initialize(init) => {
            match init {
                Initializer::Constant(_) => drop(take::<0>(operands)?),
                Initializer::Normal { .. } | Initializer::Uniform { .. } => {
                    let [seed] = take(operands)?;
                    expect("seed", seed, &Type::i32([2]))?;
                }
            }
            Ok(vec![Type::f32(wanted()?)])
        }
        Op::Normalize { scale, shift } => {
            let [image] = take(operands)?;
            if image.dtype != DType::U8 {
                return Err(format!("the image is {image}, not bytes"));
            }
            let channels = channels(image)?;
            if scale.len() != channels || shift.len() != channels {
                return Err(format!("{} scales and {} shifts for {channels} channels", scale.len(), shift.len()));
            }
            Ok(vec![Type::f32(image.shape.clone())])
        }
        Op::Conv(g) => {
            let [x, w] = real(operands)?;
            Ok(vec![Type::f32(conv_shape(g, image(x)?, image(w)?)?)])
        }
        Op::ConvInputGrad(g) => {
            let [dy, w] = real(operands)?;
            let x = Type::f32(wanted()?);
            expect("gradient", dy, &Type::f32(conv_shape(g, image(&x)?, image(w)?)?))?;
            Ok(vec![x])
        }
        Op::ConvWeightGrad(g) => {
            let [x, dy] = real(operands)?;
            let w = Type::f32(wanted()?);
            expect("gradient", dy, &Type::f32(conv_shape(g, image(x)?, image(&w)?)?))?;
            Ok(vec![w])
        }
        Op::MatMul { transpose_a, transpose_b } => {
            let [a, b] = real(operands)?;
            let ([rows, inner], [inner_b, columns]) = (matrix(a, *transpose_a)?, matrix(b, *transpose_b)?);
            if inner != inner_b {
                return Err(format!("inner sizes {inner} and {inner_b} differ"));
            }
            Ok(vec![Type::f32([rows, columns])])
        }
        Op::AddBias => {
            let [x, bias] = real(operands)?;
            expect("bias", bias, &Type::f32([channels(x)?]))?;
            Ok(vec![x.clone()])
        }
        Op::BiasGrad => {
            let [dy] = real(operands)?;
            Ok(vec![Type::f32([channels(dy)?])])
        }
        Op::Relu | Op::Sigmoid | Op::Tanh => {
            let [x] = real(operands)?;
            Ok(vec![x.clone()])
        }
        Op::Softmax => {
            let [x] = real(operands)?;
            channels(x)?;
            Ok(vec![x.clone()])
        }
        Op::ReluGrad | Op::SigmoidGrad | Op::TanhGrad => same_pair(operands),
        Op::SoftmaxGrad => {
            let [y, _] = real(operands)?;
            channels(y)?;
            same_pair(operands)
        }
        Op::Lrn(g) => {
            let [x] = real(operands)?;
            groups(image(x)?[1], g.region.groups())?;
            Ok(vec![x.clone()])
        }
        Op::LrnGrad(g) => {
            let [x, _] = real(operands)?;
            groups(image(x)?[1], g.region.groups())?;
            same_pair(operands)
        }
        Op::MaxPool(pool) => {
            let [x] = real(operands)?;
            let y = pool_shape(pool, image(x)?)?;
            Ok(vec![Type::f32(y.clone()), Type::i32(y)])
        }
        Op::MaxPoolGrad(pool) => {
            let [index, dy] = take(operands)?;
            let x = Type::f32(wanted()?);
            let y = pool_shape(pool, image(&x)?)?;
            expect("index", index, &Type::i32(y.clone()))?;
            expect("gradient", dy, &Type::f32(y))?;
            Ok(vec![x])
        }
        Op::AvgPool { pool, count_include_pad: _ } => {
            let [x] = real(operands)?;
            Ok(vec![Type::f32(pool_shape(pool, image(x)?)?)])
        }
        Op::AvgPoolGrad { pool, count_include_pad: _ } => {
            let [dy] = real(operands)?;
            let x = Type::f32(wanted()?);
            expect("gradient", dy, &Type::f32(pool_shape(pool, image(&x)?)?))?;
            Ok(vec![x])
        }
        Op::AdaptiveAvgPool { output } => {
            let [x] = real(operands)?;
            Ok(vec![Type::f32(adaptive_shape(*output, image(x)?)?)])
        }
        Op::AdaptiveAvgPoolGrad { output } => {
            let [dy] = real(operands)?;
            let x = Type::f32(wanted()?);
            expect("gradient", dy, &Type::f32(adaptive_shape(*output, image(&x)?)?))?;
            Ok(vec![x])
        }
        Op::Dropout { p, stream: _ } => {
            let [x, seed, step] = take(operands)?;
            expect("seed", seed, &Type::i32([2]))?;
            expect("step", step, &Type::i32([]))?;
            if x.dtype != DType::F32 {
                return Err(format!("the operand is {x}, not f32"));
            }
            if !(0.0..1.0).contains(p) {
                return Err(format!("the probability {p} is not in [0, 1)"));
            }
            Ok(vec![x.clone()])
        }
        Op::Reshape => {
            let [x] = real(operands)?;
            let y = wanted()?;
            let (from, to): (usize, usize) = (x.shape.iter().product(), y.iter().product());
            if from != to {
                return Err(format!("{from} elements become {to}"));
            }
            Ok(vec![Type::f32(y)])
        }
        Op::BatchNormTrain { epsilon: _ } => {
            let [x, gamma, beta] = real(operands)?;
            let c = by_channel(x, &[("gamma", gamma), ("beta", beta)])?;
            Ok(vec![x.clone(), c.clone(), c])
        }
        Op::BatchNormInfer { epsilon: _ } => {
            let [x, gamma, beta, mean, variance] = real(operands)?;
            by_channel(x, &[("gamma", gamma), ("beta", beta), ("mean", mean), ("variance", variance)])?;
            Ok(vec![x.clone()])
        }
        Op::BatchNormGrad { epsilon: _ } => {
            let [x, gamma, mean, variance, dy] = real(operands)?;
            let c = by_channel(x, &[("gamma", gamma), ("mean", mean), ("variance", variance)])?;
            expect("gradient", dy, x)?;
            Ok(vec![x.clone(), c.clone(), c])
        }
        Op::RunningUpdate { momentum: _, correction: _ } | Op::Add => same_pair(operands),
        Op::Concat => concat(operands),
        Op::Slice { start } => {
            let [x] = real(operands)?;
            let (have, y) = (channels(x)?, wanted()?);
            let rest_agrees = y.len() == x.shape.len() && y[0] == x.shape[0] && y[2..] == x.shape[2..];
            if !rest_agrees || y[1] == 0 || start.saturating_add(y[1]) > have {
                return Err(format!("no slice {} from channel {start} of {x}", Type::f32(y)));
            }
            Ok(vec![Type::f32(y)])
        }
        Op::CrossEntropy { label_smoothing: _ } => {
            let [logits, labels] = take(operands)?;
            class_labels(logits, labels)?;
            Ok(vec![Type::f32([]), logits.clone()])
        }
        Op::CrossEntropyGrad { label_smoothing: _ } => {
            let [probabilities, labels] = take(operands)?;
            class_labels(probabilities, labels)?;
            Ok(vec![probabilities.clone()])
        }
        Op::Mse => same_pair(operands).map(|_| vec![Type::f32([])]),
        Op::MseGrad => same_pair(operands),
        Op::SgdUpdate(sgd) if sgd.momentum == 0.0 => {
            let [w, g, lr] = real(operands)?;
            expect("gradient", g, w)?;
            expect("learning rate", lr, &Type::f32([]))?;
            Ok(vec![w.clone()])
        }
        Op::SgdUpdate(_) => {
            let [w, g, v, lr] = real(operands)?;
            expect("gradient", g, w)?;
            expect("velocity", v, w)?;
            expect("learning rate", lr, &Type::f32([]))?;
            Ok(vec![w.clone(), w.clone()])
        }
        Op::AdamUpdate(_) => {
            let [w, g, m, v, c1, c2, lr] = real(operands)?;
            expect("gradient", g, w)?;
            expect("first moment", m, w)?;
            expect("second moment", v, w)?;
            for (what, scalar) in [("first correction", c1), ("second correction", c2), ("learning rate", lr)] {
                expect(what, scalar, &Type::f32([]))?;
            }
            Ok(vec![w.clone(), w.clone(), w.clone()])
        }
        Op::BiasCorrection { beta: _ } => {
            let [c] = real(operands)?;
            expect("correction", c, &Type::f32([]))?;
            Ok(vec![c.clone()])
        }
    }
}

/// Exactly `N` operands.
fn take<const N: usize>(operands: &[Type]) -> Result<[&Type; N], String> {
    let refs: Vec<&Type> = operands.iter().collect();
    refs.try_into().map_err(|_| format!("takes {N} operands, not {}", operands.len()))
}

/// Exactly `N` operands, all f32.
fn real<const N: usize>(operands: &[Type]) -> Result<[&Type; N], String> {
    match operands.iter().position(|t| t.dtype != DType::F32) {
        Some(i) if operands.len() == N => Err(format!("operand {} is {}, not f32", i + 1, operands[i])),
        _ => take(operands),
    }
}

fn expect(what: &str, got: &Type, want: &Type) -> Result<(), String> {
    if got == want { Ok(()) } else { Err(format!("the {what} is {got}, not {want}")) }
}

/// Two f32 operands of one shape, which is the result's.
fn same_pair(operands: &[Type]) -> Result<Vec<Type>, String> {
    let [a, b] = real(operands)?;
    expect("second operand", b, a)?;
    Ok(vec![a.clone()])
}

fn image(t: &Type) -> Result<[usize; 4], String> {
    t.shape.as_slice().try_into().map_err(|_| format!("{t} has not four dimensions"))
}

fn channels(t: &Type) -> Result<usize, String> {
    t.shape.get(1).copied().ok_or_else(|| format!("{t} has no channels"))
}

fn matrix(t: &Type, transpose: bool) -> Result<[usize; 2], String> {
    match t.shape[..] {
        [rows, columns] if transpose => Ok([columns, rows]),
        [rows, columns] => Ok([rows, columns]),
        _ => Err(format!("{t} is no matrix")),
    }
}

fn groups(channels: usize, groups: usize) -> Result<(), String> {
    if groups > 0 && channels.is_multiple_of(groups) {
        Ok(())
    } else {
        Err(format!("{channels} channels cannot form {groups} groups"))
    }
}

fn conv_shape(g: &ConvGeometry, x: [usize; 4], w: [usize; 4]) -> Result<Vec<usize>, String> {
    groups(x[1], g.groups)?;
    groups(w[0], g.groups)?;
    if x[1] / g.groups != w[1] {
        return Err(format!("{} channels in {} groups meet weights for {}", x[1], g.groups, w[1]));
    }
    if g.stride.contains(&0) || g.dilation.contains(&0) {
        return Err("stride and dilation are at least 1".to_owned());
    }
    let [h, width] = g
        .output([x[2], x[3]], [w[2], w[3]])
        .ok_or_else(|| format!("a {}×{} kernel does not fit a {}×{} image", w[2], w[3], x[2], x[3]))?;
    Ok(vec![x[0], w[0], h, width])
}

fn pool_shape(pool: &PoolGeometry, x: [usize; 4]) -> Result<Vec<usize>, String> {
    if pool.stride.contains(&0) || pool.kernel.contains(&0) {
        return Err("kernel and stride are at least 1".to_owned());
    }
    for axis in 0..2 {
        let (before, after) = padding_along(&pool.padding, axis);
        if before.max(after) >= pool.kernel[axis] {
            return Err(format!("padding {before} and {after} could fill a window of {}", pool.kernel[axis]));
        }
    }
    let [kh, kw] = pool.kernel;
    let [h, w] = pool_output(pool, [x[2], x[3]])
        .ok_or_else(|| format!("a {kh}×{kw} window does not fit a {}×{} image", x[2], x[3]))?;
    Ok(vec![x[0], x[1], h, w])
}

fn adaptive_shape(output: [usize; 2], x: [usize; 4]) -> Result<Vec<usize>, String> {
    if output.contains(&0) {
        Err("regions are at least 1".to_owned())
    } else {
        Ok(vec![x[0], x[1], output[0], output[1]])
    }
}

/// Checks tensors with one element a channel of `x` and returns their type.
fn by_channel(x: &Type, vectors: &[(&str, &Type)]) -> Result<Type, String> {
    let want = Type::f32([channels(x)?]);
    for (what, got) in vectors {
        expect(what, got, &want)?;
    }
    Ok(want)
}

fn concat(operands: &[Type]) -> Result<Vec<Type>, String> {
    let Some(first) = operands.first() else {
        return Err("takes one operand or more".to_owned());
    };
    let mut total = 0;
    for t in operands {
        total += channels(t)?;
        let mut alike = t.clone();
        alike.shape[1] = channels(first)?;
        if alike != *first || t.dtype != DType::F32 {
            return Err(format!("{t} and {first} differ in more than the channels"));
        }
    }
    let mut shape = first.shape.clone();
    shape[1] = total;
    Ok(vec![Type::f32(shape)])
}

fn class_labels(scores: &Type, labels: &Type) -> Result<(), String> {
    let [n, _] = matrix(scores, false)?;
    if scores.dtype != DType::F32 {
        return Err(format!("the scores are {scores}, not f32"));
    }
    expect("labels", labels, &Type::i32([n]))
}
