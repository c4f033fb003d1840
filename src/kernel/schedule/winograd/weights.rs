//! Weights at the points of a tile: G g Gᵀ.

use super::super::Tensor;
use super::super::nest::channel_blocks;
use super::each_group;
use super::linear::{Linear, load};
use crate::kernel::build::{Builder, View};
use crate::kernel::{Access, BufferId, DType, Expr, Index, Kernel, LoopKind};
use crate::plan::{Polyphase, Tile, TransformedWeights, Winograd};
use crate::target::Target;

/// Transforms `[out, in/groups, kh, kw]`. Transposed, the roles of output and input channels change and the kernel is
/// turned by half a turn, as the input gradient needs. A phase of a strided kernel is as many channels as there were.
pub fn transform_weights(
    target: &Target,
    name: &str,
    form: &Winograd,
    phases: &Polyphase,
    transposed: bool,
    tile: Tile,
    weights: &Tensor,
) -> Kernel {
    let lanes = target.lanes;
    let mut b = Builder::new(name, lanes);
    let [out, inner, ..] = weights.dims[..] else { panic!("bug in netc: weights of rank {}", weights.dims.len()) };
    let groups = form.groups;
    let (summed, made) = if transposed { (out / groups, inner) } else { (inner, out / groups) };
    let layout = TransformedWeights::new(form, made * groups, summed * phases.phases(), tile);
    let w = weights.declare(&mut b, "weights", Access::Read);
    let to = Tensor::rows(&[layout.len()]).declare(&mut b, "transformed", Access::Write);
    let [rows, columns] = form.transforms().map(|t| Linear::new(t.filter, target.fused));
    let [high, wide] = form.taps;
    let taps = b.scratch("taps", DType::F32, high * wide * lanes);
    let between = b.scratch("between", DType::F32, rows.given() * wide * lanes);
    let kernel = Phase { weights: &w, phases, form, taps, transposed };
    channel_blocks(&mut b, made, layout.columns, |b, first, width| {
        each_group(b, groups, |b, group| {
            kernel.each(b, summed, |b, phase, c, k| {
                let vectors = |b: &mut Builder, from: usize, len: usize| {
                    b.vector("lane", len, |b, lane| {
                        let channel = first.clone() + from + lane.clone();
                        kernel.load(b, [&group, &channel, &c], &phase, [summed, made], &lane);
                        let kept = |i: Index, j: Index| (i * wide as i64 + j) * lanes as i64 + lane.clone();
                        b.serial("j", wide, |b, j| {
                            let values = load(b, taps, high, |i| kept(i.into(), j.clone()));
                            for (i, value) in rows.apply(b, &values).into_iter().enumerate() {
                                b.store(between, kept(i.into(), j.clone()), value);
                            }
                        });
                        b.serial("i", rows.given(), |b, i| {
                            let values = load(b, between, wide, |j| kept(i.clone(), j.into()));
                            for (j, value) in columns.apply(b, &values).into_iter().enumerate() {
                                let point = i.clone() * columns.given() as i64 + j;
                                let at = element(&layout, [&group, &point, &first, &k]) + from + lane.clone();
                                b.store(to.buffer, at, value);
                            }
                        });
                    });
                };
                let whole = width / lanes * lanes;
                for from in (0..whole).step_by(lanes) {
                    vectors(b, from, lanes);
                }
                if width > whole {
                    vectors(b, whole, width - whole);
                }
                if width < layout.columns {
                    b.serial("point", layout.points, |b, point| {
                        let at = element(&layout, [&group, &point, &first, &k]) + width;
                        b.for_loop("filler", 0usize, layout.columns - width, LoopKind::Serial, |b, filler| {
                            b.store(to.buffer, at + filler, Expr::F32(0.0));
                        });
                    });
                }
            });
        });
    });
    b.finish()
}

/// Where the weights of summed channel k and the block of columns that begins at `first` stand.
pub(super) fn element(layout: &TransformedWeights, [group, point, first, k]: [&Index; 4]) -> Index {
    let panel = (layout.inner * layout.columns) as i64;
    group.clone() * layout.group() as i64
        + point.clone() * (layout.blocks as i64 * panel)
        // A block's first column is a multiple of the columns.
        + first.clone() * layout.inner as i64
        + k.clone() * layout.columns as i64
}

/// Taps of one phase of a kernel.
struct Phase<'a> {
    weights: &'a View,
    phases: &'a Polyphase,
    form: &'a Winograd,
    /// The taps of a vector of channels, filled up with zeros.
    taps: BufferId,
    transposed: bool,
}

impl Phase<'_> {
    /// All summed channels: `body` gets the phase, the channel and the number of both.
    fn each(&self, b: &mut Builder, channels: usize, body: impl FnOnce(&mut Builder, [Index; 2], Index, Index)) {
        if !self.phases.is_needed() {
            b.serial("k", channels, |b, k| body(b, [Index::Const(0), Index::Const(0)], k.clone(), k));
            return;
        }
        let [vertical, across] = self.phases.stride;
        b.serial("down", vertical, |b, down| {
            b.serial("right", across, |b, right| {
                b.serial("k", channels, |b, k| {
                    let number = (down.clone() * across as i64 + right.clone()) * channels as i64 + k.clone();
                    body(b, [down, right], k, number);
                });
            });
        });
    }

    fn load(
        &self,
        b: &mut Builder,
        [group, channel, k]: [&Index; 3],
        phase: &[Index; 2],
        [summed, made]: [usize; 2],
        lane: &Index,
    ) {
        let [high, wide] = self.form.taps;
        let lanes = b.lanes as i64;
        let place = |i: Index, j: Index| (i * wide as i64 + j) * lanes + lane.clone();
        if self.phases.is_needed() {
            b.serial("tap", high * wide, |b, tap| b.store(self.taps, tap * lanes + lane.clone(), Expr::F32(0.0)));
        }
        let [rows, columns] = [0, 1].map(|axis| taps_of(self.phases, axis, &phase[axis]));
        b.serial("kh", rows, |b, i| {
            b.serial("kw", columns, |b, j| {
                let [kernel_h, kernel_w] = self.phases.kernel;
                let at = if self.transposed {
                    let turned = [i.clone() * -1 + (kernel_h - 1), j.clone() * -1 + (kernel_w - 1)];
                    let [h, w] = turned;
                    [group.clone() * summed as i64 + k.clone(), channel.clone(), h, w]
                } else {
                    let [vertical, across] = self.phases.stride.map(|s| s as i64);
                    let (h, w) = (i.clone() * vertical + phase[0].clone(), j.clone() * across + phase[1].clone());
                    [group.clone() * made as i64 + channel.clone(), k.clone(), h, w]
                };
                b.store(self.taps, place(i, j), Expr::load(self.weights.buffer, self.weights.at(&at)));
            });
        });
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
