//! Loop nests that schedules share: over all elements of tensors, over blocks of channels, over rows of images.

use super::super::build::Builder;
use super::super::{Index, LoopKind};

/// Elements that one iteration of a parallel loop should handle.
const GRAIN: usize = 4096;

/// A way of walking through a buffer: where it starts and how far a step along each dimension leads.
#[derive(Debug, Clone)]
pub(super) struct Walk {
    pub strides: Vec<usize>,
    pub offset: usize,
}

/// A dimension of a nest: its size and each walk's step.
#[derive(Debug, Clone, PartialEq)]
struct Dimension {
    size: usize,
    steps: Vec<usize>,
    /// What part of it is walked through.
    begin: Index,
    end: Index,
}

/// Walks through all coordinates of `dims`, in the order of the first walk's memory as far as that suits. `prologue` is
/// run at the start of every iteration of the parallel loop; `body` gets what it gave and each walk's index, and is
/// called up to three times. Within `body` all indices are of one vector lane.
pub(super) fn nest<T>(
    b: &mut Builder,
    dims: &[usize],
    walks: &[Walk],
    prologue: impl FnOnce(&mut Builder) -> T,
    body: impl Fn(&mut Builder, &T, &[Index]),
) {
    let start: Vec<Index> = walks.iter().map(|w| Index::from(w.offset)).collect();
    let mut dims = fused(dims, walks);
    let Some(vector) = vector_dimension(&dims, b.lanes) else {
        let shared = prologue(b);
        return body(b, &shared, &start);
    };
    let total: usize = dims.iter().map(|d| d.size).product();
    let vector = dims.remove(vector);

    let mut iterations = 1;
    let mut outer = 0;
    while let Some(next) = dims.get(outer)
        && total / iterations > GRAIN
        && total / (iterations * next.size) >= GRAIN / 8
    {
        iterations *= next.size;
        outer += 1;
    }
    let mut inner = dims.split_off(outer);

    // The next dimension, or the vectors themselves, are cut into pieces that are even and not too small.
    let units = inner.first().map_or(vector.size / b.lanes, |d| d.size).max(1);
    let wanted = (total / iterations).div_ceil(2 * GRAIN).min(units);
    let piece = units.div_ceil(wanted);
    let pieces = units.div_ceil(piece);

    either_parallel(b, "part", iterations * pieces, |b, part| {
        let shared = prologue(b);
        let mut indices = start;
        let at_piece = if iterations == 1 { part.clone() } else { part.clone() % pieces as i64 };
        let mut rest = part / pieces as i64;
        for (at, dim) in dims.iter().enumerate().rev() {
            let coordinate = if at == 0 { rest.clone() } else { rest.clone() % dim.size as i64 };
            rest = rest / dim.size as i64;
            step(&mut indices, dim, &coordinate);
        }
        let mut vector_piece = (vector.size / b.lanes, 1, Index::Const(0));
        match inner.first_mut() {
            Some(first) if pieces > 1 => {
                let begin = at_piece * piece as i64;
                first.end = (begin.clone() + piece).min(first.size);
                first.begin = begin;
            }
            None => vector_piece = (piece, pieces, at_piece),
            Some(_) => {}
        }
        // A dimension that is side by side for another walk runs next to the vector: its cache lines are then used whole.
        let crossing = inner.iter().position(|d| d.steps.contains(&1) && !vector.steps.iter().all(|s| *s < 2));
        let (crossed, outside): (Vec<_>, Vec<_>) = inner.iter().enumerate().partition(|(at, _)| Some(*at) == crossing);
        serial_loops(b, &outside.iter().map(|(_, d)| *d).collect::<Vec<_>>(), indices, &|b, indices| {
            let (piece, pieces, at_piece) = &vector_piece;
            vector_blocks(b, vector.size, *piece, *pieces, at_piece, &|b, first, width| {
                let mut indices = indices.clone();
                step(&mut indices, &vector, &first);
                serial_loops(b, &crossed.iter().map(|(_, d)| *d).collect::<Vec<_>>(), indices, &|b, indices| {
                    b.vector("lane", width, |b, lane| {
                        let mut indices = indices.clone();
                        step(&mut indices, &vector, &lane);
                        body(b, &shared, &indices);
                    });
                });
            });
        });
    });
}

/// A parallel loop over 0..count, or none if there is one iteration.
pub(super) fn either_parallel(b: &mut Builder, name: &str, count: usize, body: impl FnOnce(&mut Builder, Index)) {
    if count == 1 {
        body(b, Index::Const(0));
    } else {
        b.parallel(name, count, body);
    }
}

/// Blocks of `width` channels (the last one may be narrower) in parallel. `body` is called once or twice with the first
/// channel and the width.
pub(super) fn channel_blocks(
    b: &mut Builder,
    channels: usize,
    width: usize,
    body: impl Fn(&mut Builder, Index, usize),
) {
    image_blocks(b, 1, channels, width, |b, _, first, width| body(b, first, width));
}

/// As [`channel_blocks`], of each image by itself: `body` gets the image too.
pub(super) fn image_blocks(
    b: &mut Builder,
    images: usize,
    channels: usize,
    width: usize,
    body: impl Fn(&mut Builder, Index, Index, usize),
) {
    let (whole, rest) = (channels / width, channels % width);
    let blocks = whole + usize::from(rest > 0);
    either_parallel(b, "block", images * blocks, |b, at| {
        let (n, block) =
            if images == 1 { (Index::Const(0), at) } else { (at.clone() / blocks as i64, at % blocks as i64) };
        match (whole, rest) {
            (_, 0) => body(b, n, block * width as i64, width),
            (0, _) => body(b, n, Index::Const(0), rest),
            _ => {
                let end = (block.clone() + 1usize).min(whole);
                b.for_loop("whole", block.clone(), end, LoopKind::Serial, |b, at| {
                    body(b, n.clone(), at * width as i64, width);
                });
                let end = (block + 1usize).max(whole);
                b.for_loop("partial", whole, end, LoopKind::Serial, |b, at| {
                    body(b, n, at * width as i64, rest);
                });
            }
        }
    });
}

/// Channels handled at once when a kernel is parallel over channels: a cache line at least.
pub(super) fn channel_width(b: &Builder) -> usize {
    b.lanes.max(16)
}

/// Blocks of channels that are enough for many threads.
const ENOUGH_BLOCKS: usize = 8;

/// Channels whose elements are summed at once: two vectors, where that leaves enough blocks.
pub(super) fn sum_width(b: &Builder, channels: usize) -> usize {
    let wide = (2 * b.lanes).max(16);
    if channels / wide >= ENOUGH_BLOCKS { wide } else { channel_width(b) }
}

/// The rows of images in parallel: `body` gets the image and the row.
pub(super) fn each_row(b: &mut Builder, images: usize, rows: usize, body: impl FnOnce(&mut Builder, Index, Index)) {
    either_parallel(b, "row", images * rows, |b, row| match (images, rows) {
        (1, _) => body(b, Index::Const(0), row),
        (_, 1) => body(b, row, Index::Const(0)),
        _ => body(b, row.clone() / rows as i64, row % rows as i64),
    });
}

/// Vectors over `channels`, with the channel and its lane.
pub(super) fn channel_vectors(b: &mut Builder, channels: usize, body: impl Fn(&mut Builder, Index, Index)) {
    let lanes = b.lanes;
    vector_blocks(b, channels, channels / lanes, 1, &Index::Const(0), &|b, first, width| {
        b.vector("lane", width, |b, lane| body(b, first.clone() + lane.clone(), lane));
    });
}

/// Dimensions without those of one element, from the largest step of the first walk to the smallest; neighbours that
/// all walks pass through evenly are one.
fn fused(dims: &[usize], walks: &[Walk]) -> Vec<Dimension> {
    let mut all: Vec<Dimension> = dims
        .iter()
        .enumerate()
        .map(|(d, size)| Dimension {
            size: *size,
            steps: walks.iter().map(|w| w.strides[d]).collect(),
            begin: Index::Const(0),
            end: Index::from(*size),
        })
        .filter(|d| d.size > 1)
        .collect();
    all.sort_by_key(|d| std::cmp::Reverse(d.steps.first().copied()));
    let mut out: Vec<Dimension> = Vec::new();
    for dim in all {
        match out.last_mut() {
            Some(last) if last.steps.iter().zip(&dim.steps).all(|(a, b)| *a == b * dim.size) => {
                last.size *= dim.size;
                last.end = Index::from(last.size);
                last.steps = dim.steps;
            }
            _ => out.push(dim),
        }
    }
    out
}

/// Where vectors cost least: neighbours in memory are one access, others one a lane, and short dimensions waste lanes.
fn vector_dimension(dims: &[Dimension], lanes: usize) -> Option<usize> {
    let cost = |d: &Dimension| {
        let accesses: usize = d.steps.iter().map(|s| if *s < 2 { 1 } else { lanes }).sum();
        accesses as f64 * d.size.div_ceil(lanes) as f64 / d.size as f64
    };
    // The first walk is stored to: its lanes must differ.
    let usable = dims.iter().enumerate().filter(|(_, d)| d.steps.first() != Some(&0));
    usable.min_by(|(i, a), (j, b)| cost(a).total_cmp(&cost(b)).then(j.cmp(i))).map(|(at, _)| at)
}

fn step(indices: &mut [Index], dim: &Dimension, coordinate: &Index) {
    for (index, by) in indices.iter_mut().zip(&dim.steps) {
        *index = coordinate.clone() * *by as i64 + index.clone();
    }
}

fn serial_loops(b: &mut Builder, dims: &[&Dimension], indices: Vec<Index>, body: &dyn Fn(&mut Builder, Vec<Index>)) {
    match dims {
        [] => body(b, indices),
        [dim, rest @ ..] => b.for_loop("at", dim.begin.clone(), dim.end.clone(), LoopKind::Serial, |b, at| {
            let mut indices = indices;
            step(&mut indices, dim, &at);
            serial_loops(b, rest, indices, body);
        }),
    }
}

/// The vectors of part `at` of `chunks` parts of 0..size, each of `chunk` vectors; what is left over belongs to the
/// last part. `body` gets the first element and the number of lanes.
pub(super) fn vector_blocks(
    b: &mut Builder,
    size: usize,
    chunk: usize,
    chunks: usize,
    at: &Index,
    body: &dyn Fn(&mut Builder, Index, usize),
) {
    let lanes = b.lanes;
    let (whole, rest) = (size / lanes, size % lanes);
    if whole > 0 {
        let begin = at.clone() * chunk as i64;
        let end = if chunks == 1 { Index::from(whole) } else { (begin.clone() + chunk).min(whole) };
        b.for_loop("vector", begin, end, LoopKind::Serial, |b, vector| {
            body(b, vector * lanes as i64, lanes);
        });
    }
    if rest > 0 && chunks == 1 {
        body(b, Index::from(whole * lanes), rest);
    } else if rest > 0 {
        let end = (at.clone() + (whole + 2) - chunks).max(whole);
        b.for_loop("partial", whole, end, LoopKind::Serial, |b, vector| {
            body(b, vector * lanes as i64, rest);
        });
    }
}
