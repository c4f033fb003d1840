//! Losses and their gradients. A loss is one number: its kernel runs on one thread and adds in a fixed order, parts
//! first, so that the error stays small in large batches.

use super::super::build::{Builder, View};
use super::super::{Access, BufferId, Compare, DType, Expr, Index, Kernel, Unary};
use super::Tensor;
use super::pointwise::pointwise;
use super::softmax::Row;

/// Terms that are added before their sum is added to the total.
const PART: usize = 32;

/// loss = mean over the batch of −Σ target·ln p, and p = softmax of the logits. The target of class c is
/// (1 − s)·\[c = label\] + s/C with s the label smoothing. A label that is no class makes the loss infinite.
#[allow(clippy::too_many_arguments, reason = "the operation's constants and tensors")]
pub fn cross_entropy(
    lanes: usize,
    name: &str,
    label_smoothing: f64,
    logits: &Tensor,
    labels: &Tensor,
    loss: &Tensor,
    probabilities: &Tensor,
) -> Kernel {
    let mut b = Builder::new(name, lanes);
    let from = logits.image().declare(&mut b, "logits", Access::Read);
    let labels = labels.declare(&mut b, "labels", Access::Read);
    let loss = loss.declare(&mut b, "loss", Access::Write);
    let to = probabilities.image().declare(&mut b, "probabilities", Access::Write);
    let (batch, classes) = (from.dims[0], from.dims[1]);
    let sums = b.scratch("sums", DType::F32, 2);
    let row = Row::new(&mut b, classes);
    let zero = || Index::Const(0);
    b.store(sums, 0usize, 0.0);
    in_parts(&mut b, batch, sums, |b, n| {
        let place = |c: Index| [n.clone(), c, zero(), zero()];
        let (max, sum) = row.softmax(b, &from, &to, &place);
        let label = b.bind(Expr::load(labels.buffer, labels.at(std::slice::from_ref(&n))));
        let logit = label_logit(b, &from, &place(zero()), label, classes);
        let mut loss = sum.unary(Unary::Log) - (logit - max.clone()) * ((1.0 - label_smoothing) as f32).into();
        if label_smoothing != 0.0 {
            let spread = row.sum(b, &|_, c| Expr::load(from.buffer, from.at(&place(c.clone()))) - max.clone());
            loss = loss - spread * ((label_smoothing / classes as f64) as f32).into();
        }
        loss
    });
    b.store(loss.buffer, loss.offset, Expr::load(sums, 0usize) / (batch as f32).into());
    b.finish()
}

/// The logit of the label's class; −∞ if there is none.
fn label_logit(b: &mut Builder, from: &View, row: &[Index], label: Expr, classes: usize) -> Expr {
    let below = label.clone().compare(Compare::Lt, Expr::I32(classes as i32));
    let label = b.bind(below.select(label, Expr::I32(-1)));
    let valid = b.bind(label.clone().compare(Compare::Ge, Expr::I32(0)));
    let offset = label * Expr::I32(from.strides[1] as i32);
    let offset = b.bind(valid.clone().select(offset, Expr::I32(0)));
    let logit = Expr::Gather(from.buffer, from.at(row), Box::new(offset));
    b.bind(valid.select(logit, f32::NEG_INFINITY.into()))
}

/// Adds `term` of 0..count to `sums[0]`, in parts that are summed in `sums[1]`.
fn in_parts(b: &mut Builder, count: usize, sums: BufferId, term: impl FnOnce(&mut Builder, Index) -> Expr) {
    b.serial("part", count.div_ceil(PART), |b, part| {
        b.store(sums, 1usize, 0.0);
        let begin = part * PART as i64;
        let end = (begin.clone() + PART).min(count);
        b.for_loop("n", begin, end, super::super::LoopKind::Serial, |b, n| {
            let term = term(b, n);
            b.store(sums, 1usize, Expr::load(sums, 1usize) + term);
        });
        b.store(sums, 0usize, Expr::load(sums, 0usize) + Expr::load(sums, 1usize));
    });
}

/// dlogits = (p − target)/N, targets as in [`cross_entropy`].
pub fn cross_entropy_grad(
    lanes: usize,
    name: &str,
    label_smoothing: f64,
    probabilities: &Tensor,
    labels: &Tensor,
    dlogits: &Tensor,
) -> Kernel {
    let (batch, classes) = (dlogits.dims[0], dlogits.dims[1]);
    let mut by_row = labels.repeated(&dlogits.dims);
    by_row.strides[0] = labels.strides[0];
    let mut class_number = vec![0; dlogits.dims.len()];
    class_number[1] = 1;
    let operands = [("probabilities", probabilities), ("labels", &by_row)];
    let targets = [("dlogits", dlogits)];
    let spread = label_smoothing / classes as f64;
    pointwise(lanes, name, &operands, &targets, Some(&class_number), |b, v, class| {
        let hit = v[1].clone().compare(Compare::Eq, Expr::Index(class.clone()));
        let target = hit.select(((1.0 - label_smoothing + spread) as f32).into(), (spread as f32).into());
        let target = b.bind(target);
        vec![(v[0].clone() - target) * ((1.0 / batch as f64) as f32).into()]
    })
}

/// loss = mean over all elements of (prediction − target)².
pub fn mse(lanes: usize, name: &str, prediction: &Tensor, target: &Tensor, loss: &Tensor) -> Kernel {
    let mut b = Builder::new(name, lanes);
    let a = prediction.image().declare(&mut b, "prediction", Access::Read);
    let t = target.image().declare(&mut b, "target", Access::Read);
    let loss = loss.declare(&mut b, "loss", Access::Write);
    let sums = b.scratch("sums", DType::F32, 2);
    let row = Row::new(&mut b, a.dims[1]);
    b.store(sums, 0usize, 0.0);
    let pixels = [a.dims[0], a.dims[2], a.dims[3]];
    in_parts(&mut b, pixels.iter().product(), sums, |b, pixel| {
        let [_, height, width] = pixels.map(|p| p as i64);
        let place = [pixel.clone() / (height * width), pixel.clone() / width % height, pixel % width];
        row.sum(b, &|b, c| {
            let at = [place[0].clone(), c.clone(), place[1].clone(), place[2].clone()];
            let distance = b.bind(Expr::load(a.buffer, a.at(&at)) - Expr::load(t.buffer, t.at(&at)));
            b.bind(distance.clone() * distance)
        })
    });
    b.store(loss.buffer, loss.offset, Expr::load(sums, 0usize) / (a.len() as f32).into());
    b.finish()
}

/// dprediction = 2·(prediction − target)/elements.
pub fn mse_grad(lanes: usize, name: &str, prediction: &Tensor, target: &Tensor, dprediction: &Tensor) -> Kernel {
    let operands = [("prediction", prediction), ("target", target)];
    let targets = [("dprediction", dprediction)];
    let factor = (2.0 / prediction.count() as f64) as f32;
    pointwise(lanes, name, &operands, &targets, None, |_, v, _| vec![(v[0].clone() - v[1].clone()) * factor.into()])
}
