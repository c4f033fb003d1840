//! Prepares batches in the background while the program computes.
//!
//! Worker w of W prepares batches w, w + W, w + 2W, … and offers each through a channel that holds one; the consumer
//! takes from the channels in turn. So the order is fixed, and at most 2W batches are in memory.

use crate::data::{Answer, Dataset, Image, Input};
use crate::error::{Error, Result};
use crate::evaluate::strange;
use crate::preprocess::Geometry;
use crate::random::Stream;
use crate::session::Session;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

/// Tells the augmentation's random streams from others of the same seed.
const AUGMENT: u32 = 0x4155_474d;

/// Which batches to prepare.
pub struct LoaderPlan {
    /// The samples.
    pub dataset: Arc<dyn Dataset>,
    /// What their images must become.
    pub geometry: Geometry,
    /// Numbers of the samples in the order of use.
    pub order: Vec<u32>,
    /// Samples in a batch.
    pub batch: usize,
    /// The first batch to prepare: batch b begins at `order[b * batch]`.
    pub first: usize,
    /// The batch to stop before. The last one may be partial.
    pub end: usize,
    /// Seed and epoch of random crops and flips; `None` in evaluation.
    pub augment: Option<(u64, u64)>,
    /// Background threads, at least 1.
    pub workers: usize,
}

/// A prepared batch.
pub struct Batch {
    /// Samples in it; the rest of the batch is zero.
    pub images: usize,
    /// What the network sees.
    pub inputs: Inputs,
    /// Classes; empty if the samples have targets.
    pub labels: Vec<i32>,
    /// Targets; empty if the samples have classes.
    pub targets: Vec<f32>,
}

/// What the network sees.
pub enum Inputs {
    /// Bytes that the program normalises.
    Pixels(Vec<u8>),
    /// Values to be taken as they are.
    Values(Vec<f32>),
}

/// An iterator over the batches of a plan.
pub struct Loader {
    channels: Vec<Receiver<Result<Batch>>>,
    workers: Vec<JoinHandle<()>>,
    next: usize,
    remaining: usize,
}

impl Loader {
    /// Starts preparing.
    pub fn start(plan: LoaderPlan) -> Result<Loader> {
        let batches = plan.end.saturating_sub(plan.first);
        let count = plan.workers.max(1).min(batches.max(1));
        let plan = Arc::new(plan);
        let mut loader = Loader { channels: Vec::new(), workers: Vec::new(), next: 0, remaining: batches };
        for index in 0..count {
            let (send, receive) = sync_channel(1);
            let plan = Arc::clone(&plan);
            let work = move || {
                for number in (plan.first + index..plan.end).step_by(count) {
                    let batch = plan.prepare(number);
                    let failed = batch.is_err();
                    // Nobody listens any more when the loader was dropped: then there is nothing left to do.
                    if send.send(batch).is_err() || failed {
                        return;
                    }
                }
            };
            loader.channels.push(receive);
            let worker = std::thread::Builder::new()
                .name(format!("netc-loader-{index}"))
                .spawn(work)
                .map_err(|source| Error::Thread { index, source })?;
            loader.workers.push(worker);
        }
        Ok(loader)
    }
}

impl Iterator for Loader {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Result<Batch>> {
        self.remaining = self.remaining.checked_sub(1)?;
        let channel = &self.channels[self.next % self.channels.len()];
        self.next += 1;
        let received = channel.recv().unwrap_or_else(|_| {
            Err(Error::Request("an image could not be prepared: its decoder broke down".to_owned()))
        });
        if received.is_err() {
            self.remaining = 0;
        }
        Some(received)
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        // Ends the workers that wait to send.
        self.channels.clear();
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

impl LoaderPlan {
    fn prepare(&self, number: usize) -> Result<Batch> {
        let begin = number * self.batch;
        let end = (begin + self.batch).min(self.order.len());
        let samples = self.order.get(begin..end).unwrap_or_default();
        let values = self.geometry.values();
        let mut batch = Batch {
            images: samples.len(),
            inputs: if self.dataset.is_images() {
                Inputs::Pixels(vec![0; self.batch * values])
            } else {
                Inputs::Values(vec![0.0; self.batch * values])
            },
            labels: Vec::new(),
            targets: Vec::new(),
        };
        for (slot, &index) in samples.iter().enumerate() {
            let sample = self.dataset.sample(index as usize)?;
            let wrong = |cause| self.dataset.blame(index as usize, cause);
            match (&mut batch.inputs, &sample.input) {
                (Inputs::Pixels(pixels), Input::Image(image)) => {
                    let random = self.augment.map(|(seed, epoch)| Stream::new(seed, [epoch as u32, index, AUGMENT]));
                    self.geometry.prepare(image, random, &mut pixels[slot * values..][..values]).map_err(wrong)?;
                }
                (Inputs::Values(all), Input::Tensor(one)) if one.len() == values => {
                    if let Some(value) = strange(one) {
                        return Err(wrong(holds(value)));
                    }
                    all[slot * values..][..values].copy_from_slice(one);
                }
                (Inputs::Values(_), Input::Tensor(_) | Input::Image(_)) | (Inputs::Pixels(_), Input::Tensor(_)) => {
                    return Err(wrong("is no input of the network's shape".to_owned()));
                }
            }
            match sample.answer {
                Answer::Class(class) => batch.labels.push(class as i32),
                Answer::Values(target) => {
                    if let Some(value) = strange(&target) {
                        return Err(self.dataset.blame(index as usize, format!("has {value} among its targets")));
                    }
                    batch.targets.extend(target);
                }
            }
        }
        Ok(batch)
    }
}

/// What is wrong with an input that holds `value`.
pub(crate) fn holds(value: f32) -> String {
    format!("holds {value}; finite numbers are needed")
}

/// Prepares a batch of single images, as [`Loader`] does for evaluation.
pub fn prepare_images(
    geometry: &Geometry,
    images: &[Image<'_>],
    batch: usize,
) -> std::result::Result<Batch, (usize, String)> {
    let values = geometry.values();
    let mut pixels = vec![0; batch * values];
    for (index, (image, out)) in images.iter().zip(pixels.chunks_exact_mut(values.max(1))).enumerate() {
        geometry.prepare(image, None, out).map_err(|cause| (index, cause))?;
    }
    Ok(Batch { images: images.len(), inputs: Inputs::Pixels(pixels), labels: Vec::new(), targets: Vec::new() })
}

/// Puts a batch's images where `function` (`infer` or `train`) reads them, normalised.
pub fn feed(session: &mut Session, batch: &Batch, function: &str) -> Result<()> {
    let wrong = |have: usize, want: usize| {
        Error::Request(format!("a batch of {have} values was prepared, the program takes {want}"))
    };
    match &batch.inputs {
        Inputs::Pixels(pixels) => {
            let port = session.pixels_mut()?;
            if port.len() != pixels.len() {
                return Err(wrong(pixels.len(), port.len()));
            }
            port.copy_from_slice(pixels);
            session.preprocess()
        }
        Inputs::Values(values) => {
            let port = session.batch_mut(function)?;
            if port.len() != values.len() {
                return Err(wrong(values.len(), port.len()));
            }
            port.copy_from_slice(values);
            Ok(())
        }
    }
}
