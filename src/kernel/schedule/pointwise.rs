//! Operations in which each element of the result depends on the elements in its place.

use super::super::build::{Builder, View};
use super::super::{Access, Binary, BufferId, Compare, DType, Expr, Index, Kernel, Unary};
use super::nest::{Walk, nest};
use super::{Tensor, Then, row_major_strides};

/// A kernel that computes, element by element, `results` from `operands`. An operand called like an earlier one is
/// another walk through its buffer. `numbering` gives the element's number, which `value` gets, as the sum of
/// coordinates times these factors.
pub(super) fn pointwise(
    lanes: usize,
    name: &str,
    operands: &[(&str, &Tensor)],
    results: &[(&str, &Tensor)],
    numbering: Option<&[usize]>,
    value: impl Fn(&mut Builder, &[Expr], &Index) -> Vec<Expr>,
) -> Kernel {
    let mut b = Builder::new(name, lanes);
    let mut views: Vec<View> = Vec::new();
    for (at, (name, tensor)) in operands.iter().enumerate() {
        views.push(match operands[..at].iter().position(|(n, _)| n == name) {
            Some(earlier) => tensor.view(views[earlier].buffer),
            None => tensor.declare(&mut b, name, Access::Read),
        });
    }
    let results: Vec<View> = results.iter().map(|(name, t)| t.declare(&mut b, name, Access::Write)).collect();
    let dims = results[0].dims.clone();
    let mut walks: Vec<Walk> =
        results.iter().chain(&views).map(|v| Walk { strides: v.strides.clone(), offset: v.offset }).collect();
    walks.extend(numbering.map(|strides| Walk { strides: strides.to_vec(), offset: 0 }));
    nest(
        &mut b,
        &dims,
        &walks,
        |_| (),
        |b, (), indices| {
            let (stores, loads) = indices.split_at(results.len());
            let number = loads.get(views.len()).cloned().unwrap_or(Index::Const(0));
            let operands: Vec<Expr> =
                views.iter().zip(loads).map(|(v, at)| b.bind(Expr::load(v.buffer, at.clone()))).collect();
            let values = value(b, &operands, &number);
            for ((result, at), value) in results.iter().zip(stores).zip(values) {
                b.store(result.buffer, at.clone(), value);
            }
        },
    );
    b.finish()
}

fn map(
    lanes: usize,
    name: &str,
    operands: &[(&str, &Tensor)],
    result: (&str, &Tensor),
    value: impl Fn(&[Expr]) -> Expr,
) -> Kernel {
    pointwise(lanes, name, operands, &[result], None, |_, x, _| vec![value(x)])
}

/// y = max(0, x); NaN stays NaN.
pub fn relu(lanes: usize, name: &str, x: &Tensor, y: &Tensor) -> Kernel {
    // Of a maximum with NaN the second operand is the result.
    map(lanes, name, &[("x", x)], ("y", y), |v| Expr::F32(0.0).binary(Binary::Max, v[0].clone()))
}

/// dx = dy where y > 0, else 0.
pub fn relu_grad(lanes: usize, name: &str, y: &Tensor, dy: &Tensor, dx: &Tensor) -> Kernel {
    map(lanes, name, &[("y", y), ("dy", dy)], ("dx", dx), |v| {
        v[0].clone().compare(Compare::Gt, 0.0.into()).select(v[1].clone(), 0.0.into())
    })
}

/// y = 1/(1 + e⁻ˣ).
pub fn sigmoid(lanes: usize, name: &str, x: &Tensor, y: &Tensor) -> Kernel {
    map(lanes, name, &[("x", x)], ("y", y), |v| v[0].clone().unary(Unary::Sigmoid))
}

/// dx = dy·y·(1 − y).
pub fn sigmoid_grad(lanes: usize, name: &str, y: &Tensor, dy: &Tensor, dx: &Tensor) -> Kernel {
    map(lanes, name, &[("y", y), ("dy", dy)], ("dx", dx), |v| {
        v[1].clone() * (v[0].clone() * (Expr::F32(1.0) - v[0].clone()))
    })
}

/// y = tanh x.
pub fn tanh(lanes: usize, name: &str, x: &Tensor, y: &Tensor) -> Kernel {
    map(lanes, name, &[("x", x)], ("y", y), |v| v[0].clone().unary(Unary::Tanh))
}

/// dx = dy·(1 − y²).
pub fn tanh_grad(lanes: usize, name: &str, y: &Tensor, dy: &Tensor, dx: &Tensor) -> Kernel {
    map(lanes, name, &[("y", y), ("dy", dy)], ("dx", dx), |v| {
        v[1].clone() * (Expr::F32(1.0) - v[0].clone() * v[0].clone())
    })
}

/// y = a + b, of one shape; then the epilogue.
pub fn add(lanes: usize, name: &str, a: &Tensor, b: &Tensor, y: &Tensor, then: Then) -> Kernel {
    let after = operands_after(then, y);
    let operands: Vec<(&str, &Tensor)> =
        [("a", a), ("b", b)].into_iter().chain(after.iter().map(|(name, t)| (name.as_str(), t))).collect();
    map(lanes, name, &operands, ("y", y), |v| then.of(v[0].clone() + v[1].clone(), v[2..].iter().cloned()))
}

/// The operands of the epilogue of `y`, each with a name of its own.
fn operands_after(then: Then, y: &Tensor) -> Vec<(String, Tensor)> {
    let operands = then.over(&y.dims).into_iter().enumerate();
    operands.map(|(i, (name, tensor))| (format!("{name}_{i}"), tensor)).collect()
}

/// y = image·scale\[c\] + shift\[c\] of bytes.
pub fn normalize(lanes: usize, name: &str, scale: &[f64], shift: &[f64], image: &Tensor, y: &Tensor) -> Kernel {
    let mut b = Builder::new(name, lanes);
    let from = image.declare(&mut b, "image", Access::Read);
    let to = y.declare(&mut b, "y", Access::Write);
    let tables = [("scale", scale), ("shift", shift)].map(|(name, values)| Table::new(&mut b, name, values));
    let by_channel = Tensor::row_major(DType::F32, &[scale.len()]).by_channel(&y.dims);
    let mut walks = vec![
        Walk { strides: to.strides.clone(), offset: to.offset },
        Walk { strides: from.strides.clone(), offset: from.offset },
    ];
    if tables.iter().any(|t| t.buffer.is_some()) {
        walks.push(Walk { strides: by_channel.strides, offset: 0 });
    }
    nest(
        &mut b,
        &y.dims,
        &walks,
        |b| tables.iter().for_each(|table| table.fill(b)),
        |b, (), at| {
            let channel = at.get(2).cloned().unwrap_or(Index::Const(0));
            let [scale, shift] = [&tables[0], &tables[1]].map(|table| table.value(&channel));
            let value = Expr::load(from.buffer, at[1].clone()).unary(Unary::ToF32);
            b.store(to.buffer, at[0].clone(), value.mul_add(scale, shift));
        },
    );
    b.finish()
}

/// Constants by channel.
struct Table {
    /// Runs of channels with the same value: how many, and the value.
    runs: Vec<(usize, f32)>,
    /// Where they are, if they differ.
    buffer: Option<BufferId>,
}

impl Table {
    fn new(b: &mut Builder, name: &str, values: &[f64]) -> Table {
        let mut runs: Vec<(usize, f32)> = Vec::new();
        for value in values.iter().map(|v| *v as f32) {
            match runs.last_mut() {
                Some((count, last)) if last.to_bits() == value.to_bits() => *count += 1,
                _ => runs.push((1, value)),
            }
        }
        let buffer = (runs.len() > 1).then(|| b.scratch(name, DType::F32, values.len()));
        Table { runs, buffer }
    }

    /// Writes the values down: a loop a run.
    fn fill(&self, b: &mut Builder) {
        let Some(buffer) = self.buffer else { return };
        let mut start = 0;
        for (count, value) in &self.runs {
            match count {
                1 => b.store(buffer, start, *value),
                _ => b.vectors("run", *count, |b, at| b.store(buffer, at + start, *value)),
            }
            start += count;
        }
    }

    fn value(&self, channel: &Index) -> Expr {
        match self.buffer {
            Some(buffer) => Expr::load(buffer, channel.clone()),
            None => Expr::F32(self.runs.first().map_or(0.0, |(_, value)| *value)),
        }
    }
}

/// y = x/(1 − p) with probability 1 − p, else 0: element i in row-major order of the shape, whatever the layout, is
/// kept if `unit_interval(philox(seed, [i, i >> 32, step, stream])[0]) ≥ p`. Its own gradient, from dy to dx. `seed`
/// has two elements, `step` one. Then the epilogue.
#[allow(clippy::too_many_arguments, reason = "the operation's constants and tensors")]
pub fn dropout(
    lanes: usize,
    name: &str,
    p: f64,
    stream: u32,
    x: &Tensor,
    seed: &Tensor,
    step: &Tensor,
    y: &Tensor,
    then: Then,
) -> Kernel {
    let [low, high] = seed_words(seed, &y.dims);
    let (step, after) = (step.repeated(&y.dims), operands_after(then, y));
    let mut operands = vec![("x", x), ("seed", &low), ("seed", &high), ("step", &step)];
    operands.extend(after.iter().map(|(name, tensor)| (name.as_str(), tensor)));
    let scale = (1.0 / (1.0 - p)) as f32;
    let numbering = row_major_strides(&y.dims);
    pointwise(lanes, name, &operands, &[("y", y)], Some(&numbering), |b, v, number| {
        let drawn = random([v[1].clone(), v[2].clone()], number, y.count(), v[3].clone(), stream, 0);
        let kept = drawn.unary(Unary::UnitInterval).compare(Compare::Ge, (p as f32).into());
        let value = b.bind(v[0].clone() * scale.into());
        vec![then.of(kept.select(value, 0.0.into()), v[4..].iter().cloned())]
    })
}

/// Both words of a seed, repeated over a shape.
pub(super) fn seed_words(seed: &Tensor, dims: &[usize]) -> [Tensor; 2] {
    let distance = seed.strides.first().copied().unwrap_or(1);
    [0, distance].map(|by| Tensor { offset: seed.offset + by, ..seed.repeated(dims) })
}

/// A random word for element `number` of `count`.
pub(super) fn random(key: [Expr; 2], number: &Index, count: usize, step: Expr, stream: u32, word: u8) -> Expr {
    const WORDS: i64 = 1 << 32;
    let high = if count as i64 > WORDS { Expr::Index(number.clone() / WORDS) } else { Expr::I32(0) };
    let counter = [Expr::Index(number.clone()), high, step, Expr::I32(stream as i32)];
    Expr::Random { key: Box::new(key), counter: Box::new(counter), word }
}
