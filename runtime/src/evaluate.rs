//! Judges a network on labelled data.

use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::loader::{Loader, LoaderPlan, feed};
use crate::observer::Observer;
use crate::preprocess::Geometry;
use crate::session::Session;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// How good a network is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Images judged.
    pub images: usize,
    /// Mean cross-entropy (of classes) or mean squared error (of values), without label smoothing.
    pub loss: f64,
    /// Share of images whose class is the most probable.
    pub top1: Option<f64>,
    /// Share of images whose class is among the five most probable; only when there are more than five.
    pub top5: Option<f64>,
}

/// Runs `infer` over all of `dataset`, in order. The last batch is filled up, and what fills it is not counted. An
/// output that is no number is an error.
pub fn evaluate(
    session: &mut Session,
    dataset: &Arc<dyn Dataset>,
    workers: usize,
    observer: &mut dyn Observer,
) -> Result<Evaluation> {
    let images = dataset.len();
    if images == 0 {
        return Err(Error::Request("there are no images to evaluate on".to_owned()));
    }
    let manifest = session.manifest();
    let (batch, outputs) = (manifest.batch, manifest.output_shape.iter().product::<usize>());
    let probabilities = manifest.output_is_probability;
    let plan = LoaderPlan {
        dataset: Arc::clone(dataset),
        geometry: Geometry::new(manifest),
        order: (0..images as u32).collect(),
        batch,
        first: 0,
        end: images.div_ceil(batch),
        augment: None,
        workers,
    };
    let (mut loss, mut top1, mut top5, mut done, mut labelled) = (0.0, 0usize, 0usize, 0, false);
    for batch in Loader::start(plan)? {
        let batch = batch?;
        feed(session, &batch, "infer")?;
        let output = session.infer()?;
        let rows = output.chunks_exact(outputs.max(1)).take(batch.images);
        if let Some((row, value)) = rows.clone().enumerate().find_map(|(row, values)| Some((row, strange(values)?))) {
            return Err(dataset.blame(done + row, overflow(value)));
        }
        if batch.labels.is_empty() {
            let targets = batch.targets.chunks_exact(outputs.max(1));
            loss += rows.zip(targets).map(|(row, target)| squared_error(row, target)).sum::<f64>();
        } else {
            labelled = true;
            for (row, &label) in rows.zip(&batch.labels) {
                let label = label as usize;
                loss += cross_entropy(row, label, probabilities);
                let rank = rank(row, label);
                top1 += usize::from(rank == 0);
                top5 += usize::from(rank < 5);
            }
        }
        done += batch.images;
        if observer.evaluate(done, images).is_break() {
            return Err(Error::Stopped);
        }
    }
    let share = |count: usize| count as f64 / images as f64;
    Ok(Evaluation {
        images,
        loss: loss / images as f64,
        top1: labelled.then(|| share(top1)),
        top5: (labelled && outputs > 5).then(|| share(top5)),
    })
}

/// The first value that is no finite number.
pub(crate) fn strange(values: &[f32]) -> Option<f32> {
    // Folded, not searched: this way it runs at the speed of memory.
    if values.iter().fold(true, |finite, x| finite & x.is_finite()) {
        return None;
    }
    values.iter().copied().find(|x| !x.is_finite())
}

/// What is wrong with an image for which the network's output is `value`; weights and inputs are finite numbers.
pub(crate) fn overflow(value: f32) -> String {
    format!("makes the network give {value}: its values overflow")
}

/// How many classes beat `label`: 0 if it is the most probable. Of equals the first wins; what is no number beats all
/// and never wins.
pub fn rank(row: &[f32], label: usize) -> usize {
    let Some(&own) = row.get(label) else { return row.len() };
    if own.is_nan() {
        return row.len();
    }
    row.iter().enumerate().filter(|&(i, &x)| i != label && (x.is_nan() || x > own || (x == own && i < label))).count()
}

/// −ln of the label's probability; `row` holds logits or probabilities.
fn cross_entropy(row: &[f32], label: usize, probabilities: bool) -> f64 {
    let Some(&own) = row.get(label) else { return f64::NAN };
    if probabilities {
        // A probability that rounded to 0 is as bad as the smallest that f32 can hold.
        return -f64::from(own).max(f64::from(f32::MIN_POSITIVE)).ln();
    }
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = row.iter().map(|&x| (f64::from(x) - f64::from(most)).exp()).sum();
    sum.ln() + f64::from(most) - f64::from(own)
}

fn squared_error(row: &[f32], target: &[f32]) -> f64 {
    let sum: f64 = row.iter().zip(target).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum();
    sum / row.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_break_ties_by_order_and_never_reward_what_is_no_number() {
        assert_eq!(rank(&[0.1, 0.7, 0.2], 1), 0);
        assert_eq!(rank(&[0.1, 0.7, 0.2], 0), 2);
        assert_eq!(rank(&[0.5, 0.5], 0), 0);
        assert_eq!(rank(&[0.5, 0.5], 1), 1);
        assert_eq!(rank(&[f32::NAN, 0.5], 1), 1);
        assert_eq!(rank(&[f32::NAN, 0.5], 0), 2);
        assert_eq!(rank(&[0.5], 7), 1);
    }

    #[test]
    fn losses_agree_with_their_formulas() {
        let row = [1.0f32, 2.0, 3.0];
        let sum: f64 = row.iter().map(|&x| f64::from(x).exp()).sum();
        assert!((cross_entropy(&row, 1, false) - (sum.ln() - 2.0)).abs() < 1e-12);
        assert!((cross_entropy(&[1000.0, 0.0], 1, false) - 1000.0).abs() < 1e-9);
        assert!((cross_entropy(&[0.25, 0.75], 0, true) - 4f64.ln()).abs() < 1e-12);
        assert!(cross_entropy(&[0.0, 1.0], 0, true).is_finite());
        assert!((squared_error(&[1.0, 3.0], &[0.0, 1.0]) - 2.5).abs() < 1e-12);
    }
}
