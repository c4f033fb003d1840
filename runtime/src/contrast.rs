//! Runs two programs on the same images and tells how far apart their results are, place by place.

use crate::error::{Error, Result};
use crate::evaluate::{overflow, strange};
use crate::loader::feed;
use crate::observer::Observer;
use crate::predict::{prepare, read_files};
use crate::preprocess::Geometry;
use crate::random::Stream;
use crate::session::Session;
use std::ops::ControlFlow;
use std::path::PathBuf;

/// Tells the stream of random pixels from others of the same seed.
const PIXELS: u32 = 0x5049_584c;

/// What to run on.
pub enum Images<'a> {
    /// Files, as for [`predict`](crate::predict::predict).
    Files(&'a [PathBuf]),
    /// A batch of random pixels drawn from a seed, which the first program normalises for both.
    Random(u64),
}

/// How far apart two results are, over all images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distance {
    /// Whether all numbers are equal.
    pub same: bool,
    /// The largest difference.
    pub largest: f64,
    /// Sums of squares: of the difference, of the first's numbers, of the second's.
    squares: [f64; 3],
}

impl Default for Distance {
    fn default() -> Distance {
        Distance { same: true, largest: 0.0, squares: [0.0; 3] }
    }
}

impl Distance {
    /// Root mean square of the difference by that of the first's numbers; where those are all zero, of the second's.
    pub fn relative(&self) -> f64 {
        let [apart, first, second] = self.squares;
        match (self.same, first > 0.0) {
            (true, _) => 0.0,
            (false, true) => (apart / first).sqrt(),
            (false, false) => (apart / second).sqrt(),
        }
    }

    fn add(&mut self, first: &[f32], second: &[f32]) {
        for (&x, &y) in first.iter().zip(second) {
            let (x, y) = (f64::from(x), f64::from(y));
            let apart = x - y;
            self.same &= apart == 0.0;
            self.largest = self.largest.max(apart.abs());
            for (sum, value) in self.squares.iter_mut().zip([apart, x, y]) {
                *sum += value * value;
            }
        }
    }
}

/// Runs `infer` of both sessions, whose batches are of one size, on the same images. `pairs` names the results to compare,
/// which have as many numbers in both; gives the number of images and a distance a pair.
///
/// A result that is no finite number is an error.
pub fn contrast(
    sessions: [&mut Session; 2],
    images: &Images<'_>,
    pairs: &[[String; 2]],
    observer: &mut dyn Observer,
) -> Result<(usize, Vec<Distance>)> {
    let [a, b] = sessions;
    let size = a.manifest().batch;
    let mut distances = vec![Distance::default(); pairs.len()];
    let mut done = 0;
    match images {
        Images::Random(seed) => {
            fill(a, b, *seed)?;
            measure([a, b], size, &|index| format!("random image {index}"), pairs, &mut distances)?;
            done = size;
        }
        Images::Files(paths) => {
            let manifests = [a.manifest().clone(), b.manifest().clone()];
            let geometries = [Geometry::new(&manifests[0]), Geometry::new(&manifests[1])];
            read_files(paths, &[&manifests[0], &manifests[1]], &mut |samples| {
                for (session, geometry) in [&mut *a, &mut *b].into_iter().zip(&geometries) {
                    feed(session, &prepare(geometry, samples, size)?, "infer")?;
                }
                let name = |index: usize| samples[index].name.clone();
                measure([a, b], samples.len(), &name, pairs, &mut distances)?;
                done += samples.len();
                match observer.evaluate(done, paths.len().max(done)) {
                    ControlFlow::Continue(()) => Ok(()),
                    ControlFlow::Break(()) => Err(Error::Stopped),
                }
            })?;
        }
    }
    Ok((done, distances))
}

/// Fills both batches with the same random images; with others where the networks' inputs have other shapes.
fn fill(a: &mut Session, b: &mut Session, seed: u64) -> Result<()> {
    let draw = |session: &mut Session| {
        let mut stream = Stream::new(seed, [PIXELS, 0, 0]);
        session.pixels_mut()?.iter_mut().for_each(|pixel| *pixel = stream.bits() as u8);
        session.preprocess()
    };
    draw(a)?;
    if a.manifest().input.shape != b.manifest().input.shape {
        return draw(b);
    }
    b.batch_mut("infer")?.copy_from_slice(a.batch_mut("infer")?);
    Ok(())
}

/// Runs both on their batches, and adds the first `count` images to the distances.
fn measure(
    [a, b]: [&mut Session; 2],
    count: usize,
    name: &dyn Fn(usize) -> String,
    pairs: &[[String; 2]],
    distances: &mut [Distance],
) -> Result<()> {
    let size = a.manifest().batch;
    for session in [&mut *a, &mut *b] {
        session.infer()?;
    }
    for (pair, distance) in pairs.iter().zip(distances) {
        let results = [a.inferred(&pair[0])?, b.inferred(&pair[1])?];
        let each = results[0].len() / size.max(1);
        if results[1].len() != results[0].len() {
            let cause = format!("`{}` has not as many numbers as `{}` of the other", pair[1], pair[0]);
            return Err(Error::Contract { program: b.manifest().name.clone(), cause });
        }
        for index in 0..count {
            let rows = results.map(|values| &values[index * each..][..each]);
            for ((row, program), place) in rows.iter().zip([a.manifest(), b.manifest()]).zip(pair) {
                if let Some(value) = strange(row) {
                    let cause = format!("{} {}: {place} of {}", name(index), overflow(value), program.name);
                    return Err(Error::Request(cause));
                }
            }
            distance.add(rows[0], rows[1]);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distance(first: &[f32], second: &[f32]) -> Distance {
        let mut distance = Distance::default();
        distance.add(first, second);
        distance
    }

    #[test]
    fn a_distance_is_relative_to_the_first() {
        let apart = distance(&[3.0, 4.0], &[3.0, 4.5]);
        assert_eq!((apart.same, apart.largest, apart.relative()), (false, 0.5, 0.1));
        assert_eq!(distance(&[0.0, 0.0], &[0.0, 2.0]).relative(), 1.0);
    }

    #[test]
    fn what_is_equal_is_the_same() {
        let same = distance(&[0.0, 1.5], &[-0.0, 1.5]);
        assert_eq!((same.same, same.largest, same.relative()), (true, 0.0, 0.0));
        assert_eq!(distance(&[0.0], &[0.0]).relative(), 0.0);
    }
}
