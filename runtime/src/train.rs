//! The training loop.
//!
//! All that a step depends on is in the states, the position and the data: order and augmentation of epoch e are keyed
//! by (seed, e), random numbers of step s by (seed, s). So a resumed run ends in the same bits as one that was never
//! interrupted, and the number of threads changes nothing.

use crate::checkpoint::{Position, Sums, load_checkpoint, load_weights};
use crate::data::{Dataset, Split, spread};
use crate::error::{Error, Result};
use crate::evaluate::{Evaluation, evaluate, rank};
use crate::journal::{self, LOOK, LOWER, Run, latest_checkpoint};
use crate::loader::{Batch, Loader, LoaderPlan, feed};
use crate::observer::{EpochReport, Observer, Start, StepReport, TestReport};
use crate::preprocess::Geometry;
use crate::program::TrainInfo;
use crate::random::Stream;
use crate::schedule::{Moment, learning_rate, note_error};
use crate::session::Session;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// Tells the shuffling's random streams from others of the same seed.
const SHUFFLE: u32 = 0x5348_5546;

/// What to do and where to put it.
#[derive(Debug, Clone)]
pub struct TrainOptions {
    /// The run's folder.
    pub out: PathBuf,
    /// Passes over the data, counted from the very start; the recipe's number if neither this nor `steps` is given.
    pub epochs: Option<u64>,
    /// Steps, counted from the very start.
    pub steps: Option<u64>,
    /// Seed of everything random; 0 if not given, or the resumed run's.
    pub seed: Option<u64>,
    /// Go on from the newest checkpoint in `out`.
    pub resume: bool,
    /// Begin with these weights.
    pub weights: Option<PathBuf>,
    /// Save a checkpoint every so many steps too, not only after each epoch.
    pub checkpoint_every: Option<u64>,
    /// Judge the network every so many steps too, not only after each epoch.
    pub evaluate_every: Option<u64>,
    /// Judge it by at most so many images, evenly spread over the held-out part.
    pub test_images: Option<usize>,
    /// How many checkpoints to keep.
    pub keep_checkpoints: usize,
    /// Log every so many steps.
    pub log_every: u64,
    /// Background threads that prepare batches.
    pub loaders: usize,
}

impl TrainOptions {
    /// The usual options for a run in `out`.
    pub fn new(out: PathBuf) -> TrainOptions {
        TrainOptions {
            out,
            epochs: None,
            steps: None,
            seed: None,
            resume: false,
            weights: None,
            checkpoint_every: None,
            evaluate_every: None,
            test_images: None,
            keep_checkpoints: 2,
            log_every: 50,
            loaders: 1,
        }
    }
}

/// How training ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Where.
    pub position: Position,
    /// The last evaluation on the held-out part.
    pub test: Option<Evaluation>,
    /// Whether the observer ended it early.
    pub stopped: bool,
    /// The weights file.
    pub weights: PathBuf,
}

/// Trains the session's network on `data.train`, judging it on `data.test` after each epoch.
pub fn train(
    session: &mut Session,
    data: &Split,
    options: &TrainOptions,
    observer: &mut dyn Observer,
) -> Result<Summary> {
    let Some(recipe) = session.manifest().train.clone() else {
        return Err(Error::Request(format!(
            "program {} was compiled for inference only; compile it with --mode train",
            session.manifest().name
        )));
    };
    check_answers(session, &data.train)?;
    let batch = session.manifest().batch;
    let images = data.train.len();
    let steps_per_epoch = (images / batch) as u64;
    if steps_per_epoch == 0 {
        return Err(Error::Request(format!(
            "{images} images to learn from do not fill one batch of {batch}; compile with a smaller --batch"
        )));
    }
    let epochs = options.epochs.unwrap_or(recipe.epochs as u64);
    let total_steps = options.steps.unwrap_or_else(|| epochs.saturating_mul(steps_per_epoch));
    let (position, run) = begin(session, options, images)?;
    let mut trainer = Trainer {
        geometry: Geometry::new(session.manifest()),
        session,
        train: &data.train,
        test: spread(&data.test, options.test_images.unwrap_or(usize::MAX)),
        options,
        observer,
        recipe,
        run,
        position,
        steps_per_epoch,
        total_steps,
        rate: 0.0,
        started: Instant::now(),
        pace: Pace { since: Instant::now(), images: 0, last: 0.0 },
    };
    trainer.run()
}

/// Refuses data whose answers are not of the kind that the program learns from.
fn check_answers(session: &Session, data: &Arc<dyn Dataset>) -> Result<()> {
    let train = session.program().function("train")?;
    let wants = |name: &str| train.inputs.iter().any(|port| port.name == name);
    match data.target_values() {
        None if !wants("labels") => {
            Err(Error::Request("this loss compares with `targets`, but the data have class labels".to_owned()))
        }
        Some(_) if !wants("targets") => {
            Err(Error::Request("this loss compares with class labels, but the data have `targets`".to_owned()))
        }
        _ => Ok(()),
    }
}

/// Initial states and position: fresh, from weights, or from the newest checkpoint.
fn begin(session: &mut Session, options: &TrainOptions, images: usize) -> Result<(Position, Run)> {
    let batch = session.manifest().batch;
    if !options.resume {
        let seed = options.seed.unwrap_or(0);
        session.init(seed)?;
        if let Some(weights) = &options.weights {
            load_weights(session, weights)?;
        }
        let run = Run::create(&options.out)?;
        return Ok((Position { seed, batch, images, ..Position::default() }, run));
    }
    if options.weights.is_some() {
        return Err(Error::Request("--resume goes on with the run's own weights; leave out --weights".to_owned()));
    }
    journal::check(&options.out, true)?;
    let checkpoint = latest_checkpoint(&options.out)?.unwrap_or_default();
    let mut position = load_checkpoint(session, &checkpoint).map_err(|e| match e {
        Error::File { path, offset, cause } => journal::damaged(&options.out, &path, offset, &cause),
        other => other,
    })?;
    if let Some(seed) = options.seed.filter(|&seed| seed != position.seed) {
        let cause = format!("the run in {} has seed {}, not {seed}", options.out.display(), position.seed);
        return Err(Error::Request(cause));
    }
    if position.epoch_step > 0 && (position.batch, position.images) != (batch, images) {
        return Err(Error::Request(format!(
            "{} stopped within an epoch of {} images in batches of {}; it cannot go on with {images} images in batches of {batch}",
            checkpoint.display(),
            position.images,
            position.batch
        )));
    }
    (position.batch, position.images) = (batch, images);
    let run = Run::resume(&options.out, &position)?;
    Ok((position, run))
}

struct Trainer<'a> {
    session: &'a mut Session,
    train: &'a Arc<dyn Dataset>,
    test: Arc<dyn Dataset>,
    options: &'a TrainOptions,
    observer: &'a mut dyn Observer,
    recipe: TrainInfo,
    geometry: Geometry,
    run: Run,
    position: Position,
    steps_per_epoch: u64,
    total_steps: u64,
    /// Of the last step.
    rate: f64,
    started: Instant,
    pace: Pace,
}

/// Speed over the steps since the last time it was asked for after half a second or more.
struct Pace {
    since: Instant,
    images: usize,
    last: f64,
}

impl Pace {
    fn after(&mut self, images: usize) -> f64 {
        self.images += images;
        let seconds = self.since.elapsed().as_secs_f64();
        if seconds >= 0.5 || self.last == 0.0 {
            self.last = self.images as f64 / seconds.max(1e-9);
            self.images = 0;
            self.since = Instant::now();
        }
        self.last
    }
}

impl Trainer<'_> {
    fn run(&mut self) -> Result<Summary> {
        let manifest = self.session.manifest();
        let start = Start {
            network: manifest.name.clone(),
            program: manifest.hash.clone(),
            seed: self.position.seed,
            batch: manifest.batch,
            images: self.train.len(),
            test_images: self.test.len(),
            steps_per_epoch: self.steps_per_epoch,
            total_steps: self.total_steps,
            step: self.position.step,
        };
        self.observer.start(&start);
        self.run.note("start", &start)?;
        let (mut test, mut stopped) = (None, false);
        // An epoch whose steps are done may still have to be judged.
        while !stopped && (self.position.step < self.total_steps || self.at_end_of_epoch()) {
            stopped = self.run_epoch()?.is_break();
            // The last epoch counts as one even if the number of steps cuts it short.
            if !stopped {
                match self.judge() {
                    Ok(found) => test = found,
                    Err(Error::Stopped) => stopped = true,
                    // Saved before it is told: what was learnt is not lost to an image that cannot be judged.
                    Err(error) => return self.save().and(Err(error)),
                }
            }
            if !stopped {
                let report = self.report(test.clone());
                self.observer.epoch(&report);
                self.run.note("epoch", &report)?;
                if self.at_end_of_epoch() {
                    self.finish_epoch(test.as_ref());
                }
            }
            self.save()?;
        }
        Ok(Summary { position: self.position.clone(), test, stopped, weights: self.run.weights() })
    }

    fn at_end_of_epoch(&self) -> bool {
        self.position.epoch_step == self.steps_per_epoch
    }

    /// Steps to the end of the epoch or of training.
    fn run_epoch(&mut self) -> Result<ControlFlow<()>> {
        let first = self.position.epoch_step;
        let end = self.steps_per_epoch.min(first + self.total_steps.saturating_sub(self.position.step));
        let (seed, epoch) = (self.position.seed, self.position.epoch);
        let images = self.train.len();
        let order = if self.recipe.shuffle {
            Stream::new(seed, [epoch as u32, 0, SHUFFLE]).permutation(images)
        } else {
            (0..images as u32).collect()
        };
        let loader = Loader::start(LoaderPlan {
            dataset: Arc::clone(self.train),
            geometry: self.geometry.clone(),
            order,
            batch: self.position.batch,
            first: first as usize,
            end: end as usize,
            augment: Some((seed, epoch)),
            workers: self.options.loaders,
        })?;
        self.pace = Pace { since: Instant::now(), images: 0, last: 0.0 };
        for batch in loader {
            let report = self.step(&batch?)?;
            if report.step.is_multiple_of(self.options.log_every.max(1)) {
                self.run.note("step", &report)?;
            }
            if self.observer.step(&report).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            // At the end of an epoch all this is done anyway.
            let due = |every: Option<u64>| {
                report.epoch_step != end && every.is_some_and(|n| report.step.is_multiple_of(n.max(1)))
            };
            let judged = match due(self.options.evaluate_every).then(|| self.judge()).transpose() {
                Err(Error::Stopped) => return Ok(ControlFlow::Break(())),
                judged => judged?.flatten(),
            };
            if let Some(test) = judged {
                let report = TestReport { step: report.step, epoch: report.epoch, test, seconds: self.seconds() };
                self.observer.test(&report);
                self.run.note("test", &report)?;
            }
            if due(self.options.checkpoint_every) {
                self.save()?;
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn step(&mut self, batch: &Batch) -> Result<StepReport> {
        feed(self.session, batch, "train")?;
        if batch.labels.is_empty() {
            fill(self.session.targets_mut()?, &batch.targets)?;
        } else {
            fill(self.session.labels_mut()?, &batch.labels)?;
        }
        let moment = Moment { step: self.position.step, epoch: self.position.epoch, total_steps: self.total_steps };
        self.rate = learning_rate(&self.recipe.learning_rate, moment, &self.position.plateau);
        let loss = self.session.train(self.rate as f32, self.position.step, self.position.seed)?.loss;
        if !loss.is_finite() {
            let (step, advice) = (self.position.step + 1, if self.position.step == 0 { LOOK } else { LOWER });
            return Err(self.run.diverged(format!("the loss is {loss}"), step, self.rate, advice));
        }
        let sums = &mut self.position.sums;
        sums.loss += f64::from(loss);
        sums.steps += 1;
        let classes: usize = self.session.manifest().output_shape.iter().product();
        if let Some(output) = self.session.train_output() {
            for (row, &label) in output.chunks_exact(classes.max(1)).zip(&batch.labels) {
                sums.correct += u64::from(rank(row, label as usize) == 0);
                sums.labelled += 1;
            }
        }
        self.position.step += 1;
        self.position.epoch_step += 1;
        Ok(StepReport {
            step: self.position.step,
            epoch: self.position.epoch + 1,
            epoch_step: self.position.epoch_step,
            loss,
            mean_loss: mean_loss(&self.position.sums),
            accuracy: accuracy(&self.position.sums),
            learning_rate: self.rate,
            images_per_second: self.pace.after(batch.images),
        })
    }

    fn judge(&mut self) -> Result<Option<Evaluation>> {
        if self.test.is_empty() || !self.session.has("infer") {
            return Ok(None);
        }
        evaluate(self.session, &self.test, self.options.loaders, self.observer).map(Some)
    }

    fn report(&self, test: Option<Evaluation>) -> EpochReport {
        EpochReport {
            epoch: self.position.epoch + 1,
            step: self.position.step,
            mean_loss: mean_loss(&self.position.sums),
            accuracy: accuracy(&self.position.sums),
            test,
            seconds: self.seconds(),
        }
    }

    fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Moves the position to the start of the next epoch.
    fn finish_epoch(&mut self, test: Option<&Evaluation>) {
        // Without held-out data, the training loss has to do.
        let error = test.map_or(mean_loss(&self.position.sums), |test| test.top1.map_or(test.loss, |top1| 1.0 - top1));
        note_error(&self.recipe.learning_rate, &mut self.position.plateau, error);
        self.position.epoch += 1;
        self.position.epoch_step = 0;
        self.position.sums = Sums::default();
    }

    fn save(&mut self) -> Result<()> {
        let path = self.run.save(self.session, &self.position, self.rate, self.options.keep_checkpoints)?;
        self.observer.saved(&path);
        self.observer.saved(&self.run.weights());
        Ok(())
    }
}

fn fill<T: Copy>(port: &mut [T], values: &[T]) -> Result<()> {
    if port.len() != values.len() {
        let (have, want) = (values.len(), port.len());
        return Err(Error::Request(format!("the batch has {have} labels or targets, the program takes {want}")));
    }
    port.copy_from_slice(values);
    Ok(())
}

fn mean_loss(sums: &Sums) -> f64 {
    sums.loss / sums.steps.max(1) as f64
}

fn accuracy(sums: &Sums) -> Option<f64> {
    (sums.labelled > 0).then(|| sums.correct as f64 / sums.labelled as f64)
}
