//! Moves tensors between layouts and clears memory.

use super::super::build::Builder;
use super::super::{Access, Expr, Index, Kernel};
use super::nest::{Walk, either_parallel, nest};
use super::{Tensor, row_major_strides};

/// Copies the elements of `x` to `y` in row-major order of their shapes, which may differ (flatten), as may the
/// layouts. Slices and parts of concatenations are tensors with an offset.
pub fn copy(lanes: usize, name: &str, x: &Tensor, y: &Tensor) -> Kernel {
    let mut b = Builder::new(name, lanes);
    let from = x.declare(&mut b, "x", Access::Read);
    let to = y.declare(&mut b, "y", Access::Write);
    match common_dimensions(x, y) {
        Some((dims, x_strides, y_strides)) => {
            let walks = [Walk { strides: y_strides, offset: y.offset }, Walk { strides: x_strides, offset: x.offset }];
            nest(
                &mut b,
                &dims,
                &walks,
                |_| (),
                |b, (), at| {
                    b.store(to.buffer, at[0].clone(), Expr::load(from.buffer, at[1].clone()));
                },
            );
        }
        None => {
            // Shapes that do not nest: element by element, by number.
            let count = y.count();
            let chunk = 4096.min(count);
            either_parallel(&mut b, "part", count.div_ceil(chunk), |b, part| {
                let begin = part * chunk as i64;
                let end = (begin.clone() + chunk).min(count);
                b.for_loop("element", begin, end, super::super::LoopKind::Serial, |b, number| {
                    let value = Expr::load(from.buffer, from.at(&coordinates(&number, &x.dims)));
                    b.store(to.buffer, to.at(&coordinates(&number, &y.dims)), value);
                });
            });
        }
    }
    b.finish()
}

/// Coordinates of the element with the given row-major number.
fn coordinates(number: &Index, dims: &[usize]) -> Vec<Index> {
    let strides = row_major_strides(dims);
    dims.iter().zip(&strides).map(|(d, s)| number.clone() / *s as i64 % *d as i64).collect()
}

/// Sizes that both shapes are products of, with the strides of both; none if there are none.
fn common_dimensions(x: &Tensor, y: &Tensor) -> Option<(Vec<usize>, Vec<usize>, Vec<usize>)> {
    let mut parts = Vec::new();
    // From the innermost: what is left of the current dimension of each shape, and the distance of its next neighbour.
    let mut left = [x, y].map(|t| t.dims.iter().copied().zip(t.strides.iter().copied()).collect::<Vec<_>>());
    loop {
        for side in &mut left {
            while side.last().is_some_and(|(size, _)| *size == 1) {
                side.pop();
            }
        }
        let [Some(a), Some(b)] = left.each_ref().map(|side| side.last().copied()) else { break };
        let size = a.0.min(b.0);
        if a.0 % size != 0 || b.0 % size != 0 {
            return None;
        }
        parts.push((size, a.1, b.1));
        for side in &mut left {
            if let Some((rest, stride)) = side.last_mut() {
                *rest /= size;
                *stride *= size;
            }
        }
    }
    parts.reverse();
    let dims = parts.iter().map(|p| p.0).collect();
    Some((dims, parts.iter().map(|p| p.1).collect(), parts.iter().map(|p| p.2).collect()))
}

/// Sets to 0 everything between and around the rows of images whose channels lie side by side (layout N, H, W, C with a
/// halo); the images themselves stay. f32.
pub fn fill_halo(lanes: usize, name: &str, x: &Tensor) -> Kernel {
    let mut b = Builder::new(name, lanes);
    let x = x.image();
    let to = x.declare(&mut b, "x", Access::Write);
    let (images, height) = (x.dims[0], x.dims[2]);
    let image = if images > 1 { x.strides[0] } else { x.len };
    let row = if height > 1 { x.strides[2] } else { image };
    let width = x.dims[3] * if x.dims[3] > 1 { x.strides[3] } else { x.dims[1] };
    let after = x.offset + (height - 1) * row + width;
    let clear = |b: &mut Builder, from: Index, len: usize| {
        b.vectors("halo", len, |b, at| b.store(to.buffer, from.clone() + at, 0.0));
    };
    either_parallel(&mut b, "image", images, |b, n| {
        let start = n * image as i64;
        clear(b, start.clone(), x.offset);
        if row > width && height > 1 {
            b.serial("row", height - 1, |b, h| {
                clear(b, h * row as i64 + start.clone() + (x.offset + width), row - width);
            });
        }
        clear(b, start + after, image.saturating_sub(after));
    });
    b.finish()
}
