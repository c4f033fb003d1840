//! Weights at the points of a tile: G g Gᵀ.

use super::super::Tensor;
use super::super::nest::either_parallel;
use super::linear::{Linear, load};
use crate::kernel::build::Builder;
use crate::kernel::{Access, BufferId, DType, Expr, Index, Kernel, LoopKind};
use crate::plan::{Polyphase, Tile, TransformedWeights, Winograd, odd_lines};
use crate::target::Target;

/// Elements of weights that lie side by side and are read or stored one after the other, about.
const RUN: usize = 128;

/// Transformed numbers that a core's cache keeps until what is side by side of them is stored.
const MOST_KEPT: usize = 1 << 15;

/// How many of `channels` channels, whose weights lie side by side, are transformed one after the other: they divide
/// them. `each` numbers are kept for one.
pub(super) fn some_channels(channels: usize, taps: usize, each: usize) -> usize {
    let fits = |some: &usize| channels.is_multiple_of(*some) && some * taps <= RUN && some * each <= MOST_KEPT;
    (1..=channels.min(RUN)).rev().find(fits).unwrap_or(1)
}

/// Weights `[out, in/groups, kh, kw]`, row-major, as a row an output channel; another tensor as it is.
pub(super) fn in_rows(tensor: &Tensor) -> Tensor {
    let [out, inner, high, wide] = tensor.dims[..] else { return tensor.clone() };
    assert_eq!(tensor.strides[1..], [high * wide, wide, 1], "bug in netc: weights are not row-major");
    Tensor { dims: vec![out, inner * high * wide], strides: vec![tensor.strides[0], 1], ..tensor.clone() }
}

/// `body` gets each phase: its row and column.
pub(super) fn each_phase(b: &mut Builder, phases: &Polyphase, body: impl FnOnce(&mut Builder, [Index; 2])) {
    let [vertical, across] = phases.stride;
    match phases.is_needed() {
        false => body(b, [Index::Const(0), Index::Const(0)]),
        true => b.serial("down", vertical, |b, down| b.serial("right", across, |b, right| body(b, [down, right]))),
    }
}

/// Transforms `[out, in/groups, kh, kw]`. Transposed, the roles of output and input channels change and the kernel is
/// turned by half a turn, as the input gradient needs. A phase of a strided kernel is as many channels as there were.
///
/// A parallel iteration transforms the kernels of some summed channels for a block of columns. They are copied first, and
/// stored when all are transformed: from one point's numbers to the next, and from one output channel's kernels to the
/// next, it is far.
pub fn transform_weights(
    target: &Target,
    name: &str,
    form: &Winograd,
    phases: &Polyphase,
    transposed: bool,
    tile: Tile,
    weights: &Tensor,
) -> Kernel {
    let mut b = Builder::new(name, target.lanes);
    let [out, inner, kh, kw] = weights.dims[..] else { panic!("bug in netc: weights of rank {}", weights.dims.len()) };
    let groups = form.groups;
    let (summed, made) = if transposed { (out / groups, inner) } else { (inner, out / groups) };
    let layout = TransformedWeights::new(form, made * groups, summed * phases.phases(), tile);
    let w = in_rows(weights).declare(&mut b, "weights", Access::Read);
    let to = Tensor::rows(&[layout.len()]).declare(&mut b, "transformed", Access::Write);
    let (taps, columns) = (kh * kw, layout.columns);
    let some = some_channels(summed, taps, layout.points * columns);
    let (run, parts) = (some * taps, summed / some);
    let kernels = Kernels::declare(&mut b, target, form, phases, transposed, [columns, run]);
    let pitch = kernels.pitch as i64;
    let kept = b.scratch("kept", DType::F32, layout.points * some * columns);
    either_parallel(&mut b, "part", groups * layout.blocks * parts, |b, p| {
        let k0 = p.clone() % parts as i64 * some as i64;
        let block = p.clone() / parts as i64 % layout.blocks as i64;
        let group = p / (parts * layout.blocks) as i64;
        let first = block * columns as i64;
        let valid = match made.is_multiple_of(columns) {
            true => Index::from(columns),
            false => (Index::from(made) - first.clone()).min(columns),
        };
        b.serial("column", valid.clone(), |b, c| {
            let channel = first.clone() + c.clone();
            let copy = |b: &mut Builder, from: Index, to: Index, len: usize| {
                b.vectors("element", len, |b, e| {
                    b.store(kernels.taps, to.clone() + e.clone(), Expr::load(w.buffer, from.clone() + e));
                });
            };
            if transposed {
                b.serial("k", some, |b, k| {
                    let row = group.clone() * summed as i64 + k0.clone() + k.clone();
                    copy(b, w.at(&[row, channel * taps as i64]), c * pitch + k * taps as i64, taps);
                });
            } else {
                let row = group.clone() * made as i64 + channel;
                copy(b, w.at(&[row, k0.clone() * taps as i64]), c * pitch, run);
            }
        });
        b.for_loop("filler", valid, columns, LoopKind::Serial, |b, c| {
            b.vectors("element", run, |b, e| b.store(kernels.taps, c.clone() * pitch + e, Expr::F32(0.0)));
        });
        each_phase(b, phases, |b, phase| {
            let number = (phase[0].clone() * phases.stride[1] as i64 + phase[1].clone()) * summed as i64 + k0;
            b.serial("k", some, |b, k| {
                b.serial("vector", columns / target.lanes, |b, v| {
                    b.vector("lane", target.lanes, |b, lane| {
                        let column = v * target.lanes as i64 + lane.clone();
                        let from = column.clone() * pitch + k.clone() * taps as i64;
                        kernels.transform(b, &from, &phase, &lane, &|b, point, value| {
                            let at = (point * some as i64 + k.clone()) * columns as i64 + column.clone();
                            b.store(kept, at, value);
                        });
                    });
                });
            });
            b.serial("point", layout.points, |b, point| {
                let at = element(&layout, [&group, &point, &first, &number]);
                b.vectors("element", some * columns, |b, e| {
                    let from = point.clone() * (some * columns) as i64 + e.clone();
                    b.store(to.buffer, at.clone() + e, Expr::load(kept, from));
                });
            });
        });
    });
    b.finish()
}

/// Where the weights of summed channel k and the block of columns that begins at `first` stand.
fn element(layout: &TransformedWeights, [group, point, first, k]: [&Index; 4]) -> Index {
    let panel = (layout.inner * layout.columns) as i64;
    group.clone() * layout.group() as i64
        + point.clone() * (layout.blocks as i64 * panel)
        // A block's first column is a multiple of the columns.
        + first.clone() * layout.inner as i64
        + k.clone() * layout.columns as i64
}

/// Kernels of some channels, as they are copied, and their transform.
struct Kernels<'a> {
    rows: Linear,
    columns: Linear,
    phases: &'a Polyphase,
    /// Taps of the transform.
    sizes: [usize; 2],
    transposed: bool,
    /// All taps, a column's after the other's, and the distance of columns.
    taps: BufferId,
    pitch: usize,
    /// The taps of a phase, filled up with zeros.
    of_phase: Option<BufferId>,
    /// What the first dimension's transform leaves.
    between: BufferId,
}

impl Kernels<'_> {
    fn declare<'a>(
        b: &mut Builder,
        target: &Target,
        form: &Winograd,
        phases: &'a Polyphase,
        transposed: bool,
        [columns, run]: [usize; 2],
    ) -> Kernels<'a> {
        let pitch = odd_lines(run);
        let [rows, across] = form.transforms().map(|t| Linear::new(t.filter, target.fused));
        let [high, wide] = form.taps;
        let taps = b.scratch("kernels", DType::F32, columns * pitch);
        let of_phase = phases.is_needed().then(|| b.scratch("taps", DType::F32, high * wide * target.lanes));
        let between = b.scratch("between", DType::F32, rows.given() * wide * target.lanes);
        Kernels { rows, columns: across, phases, sizes: form.taps, transposed, taps, pitch, of_phase, between }
    }

    /// The kernel that begins at `from`, or a phase of it, for the lane of a vector: `store` gets points and numbers.
    fn transform(
        &self,
        b: &mut Builder,
        from: &Index,
        phase: &[Index; 2],
        lane: &Index,
        store: &dyn Fn(&mut Builder, Index, Expr),
    ) {
        let [high, wide] = self.sizes;
        let lanes = b.lanes as i64;
        let kept = |i: Index, j: Index| (i * wide as i64 + j) * lanes + lane.clone();
        if let Some(of_phase) = self.of_phase {
            b.serial("tap", high * wide, |b, tap| b.store(of_phase, tap * lanes + lane.clone(), Expr::F32(0.0)));
            let [rows, columns] = [0, 1].map(|axis| taps_of(self.phases, axis, &phase[axis]));
            b.serial("kh", rows, |b, i| {
                b.serial("kw", columns, |b, j| {
                    let value = Expr::load(self.taps, from.clone() + self.tap(i.clone(), j.clone(), phase));
                    b.store(of_phase, kept(i, j), value);
                });
            });
        }
        b.serial("j", wide, |b, j| {
            let values = match self.of_phase {
                Some(of_phase) => load(b, of_phase, high, |i| kept(i.into(), j.clone())),
                None => load(b, self.taps, high, |i| from.clone() + self.tap(i.into(), j.clone(), phase)),
            };
            for (i, value) in self.rows.apply(b, &values).into_iter().enumerate() {
                b.store(self.between, kept(i.into(), j.clone()), value);
            }
        });
        b.serial("i", self.rows.given(), |b, i| {
            let values = load(b, self.between, wide, |j| kept(i.clone(), j.into()));
            for (j, value) in self.columns.apply(b, &values).into_iter().enumerate() {
                store(b, i.clone() * self.columns.given() as i64 + j, value);
            }
        });
    }

    /// Which of a kernel's taps is the phase's in this row and column.
    fn tap(&self, i: Index, j: Index, phase: &[Index; 2]) -> Index {
        let [high, wide] = self.phases.kernel;
        let [i, j] = if self.transposed {
            [i * -1 + (high - 1), j * -1 + (wide - 1)]
        } else {
            let [vertical, across] = self.phases.stride.map(|s| s as i64);
            [i * vertical + phase[0].clone(), j * across + phase[1].clone()]
        };
        i * wide as i64 + j
    }
}

/// How many taps a phase has of a kernel, in one dimension.
pub(super) fn taps_of(phases: &Polyphase, axis: usize, phase: &Index) -> Index {
    let (kernel, stride) = (phases.kernel[axis], phases.stride[axis]);
    if stride == 1 {
        return Index::from(kernel);
    }
    (phase.clone() * -1 + (kernel + stride - 1)) / stride as i64
}
