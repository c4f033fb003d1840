//! How long work tells what it is doing: the library itself prints nothing.

use crate::evaluate::Evaluation;
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::path::Path;

/// What training is about to do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Start {
    /// The network's name.
    pub network: String,
    /// SHA-256 of the program.
    pub program: String,
    /// The run's seed.
    pub seed: u64,
    /// Images in a batch.
    pub batch: usize,
    /// Images to learn from.
    pub images: usize,
    /// Images to be judged by.
    pub test_images: usize,
    /// Steps of an epoch.
    pub steps_per_epoch: u64,
    /// Steps of the whole run.
    pub total_steps: u64,
    /// Steps done before, in the run that is resumed.
    pub step: u64,
}

/// A training step, done.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StepReport {
    /// Steps done since the start of training.
    pub step: u64,
    /// The current epoch, from 1.
    pub epoch: u64,
    /// Steps done in this epoch.
    pub epoch_step: u64,
    /// The batch's loss.
    pub loss: f32,
    /// The mean loss of this epoch so far.
    pub mean_loss: f64,
    /// The share of this epoch's images so far whose class was the most probable.
    pub accuracy: Option<f64>,
    /// The step's rate.
    pub learning_rate: f64,
    /// Recent speed.
    pub images_per_second: f64,
}

/// An epoch, done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochReport {
    /// The epoch, from 1.
    pub epoch: u64,
    /// Steps done since the start of training.
    pub step: u64,
    /// The mean loss over the epoch's steps.
    pub mean_loss: f64,
    /// The share of the epoch's images whose class was the most probable, while learning.
    pub accuracy: Option<f64>,
    /// On the held-out part, if there is one.
    pub test: Option<Evaluation>,
    /// Time since training was started or resumed.
    pub seconds: f64,
}

/// An evaluation within an epoch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TestReport {
    /// Steps done since the start of training.
    pub step: u64,
    /// The current epoch, from 1.
    pub epoch: u64,
    /// On the held-out part.
    pub test: Evaluation,
    /// Time since training was started or resumed.
    pub seconds: f64,
}

/// Is told about progress. All methods have defaults that do nothing.
pub trait Observer {
    /// Training begins.
    fn start(&mut self, _start: &Start) {}

    /// A step was done. `Break` ends training after saving a checkpoint.
    fn step(&mut self, _report: &StepReport) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// So many images of so many were evaluated or classified. `Break` breaks it off; training then saves a
    /// checkpoint, and what was broken off is done when it is resumed.
    fn evaluate(&mut self, _done: usize, _total: usize) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// The network was judged within an epoch.
    fn test(&mut self, _report: &TestReport) {}

    /// An epoch was done.
    fn epoch(&mut self, _report: &EpochReport) {}

    /// A file was written.
    fn saved(&mut self, _path: &Path) {}
}

/// Looks away.
pub struct Silent;

impl Observer for Silent {}
