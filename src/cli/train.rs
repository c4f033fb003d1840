//! `netc train`: compiles the training program if the cache has none, and runs the training loop.

use super::arguments::{Format, Train};
use super::check::warn;
use super::machine::present;
use super::output::{Output, complain, counted, duration};
use super::progress::Quiet;
use crate::check::report::grouped;
use crate::driver::{self, Failure};
use netc_runtime::data::Split;
use netc_runtime::evaluate::Evaluation;
use netc_runtime::observer::{EpochReport, Observer, Start, StepReport, TestReport};
use netc_runtime::session::Session;
use netc_runtime::train::{Summary, TrainOptions};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Trains; one line an epoch goes to standard output, progress to a terminal.
pub fn train(arguments: &Train, output: &mut Output) -> Result<(), Failure> {
    let start = Instant::now();
    let machine = &arguments.machine;
    super::trials::refuse(arguments)?;
    if !arguments.vary.is_empty() {
        return super::trials::trials(arguments, output);
    }
    machine.device()?;
    present([&arguments.data].into_iter().chain(&arguments.weights))?;
    let checked = driver::check(driver::read(&arguments.spec.path, &arguments.spec.sets)?)?;
    let options = super::compile::options(
        &checked,
        Some(super::arguments::Mode::Train),
        arguments.batch,
        "cpu",
        arguments.machine.algorithm,
    )?;
    // Whatever can be refused is refused before the work of compiling and reading data.
    netc_runtime::journal::check(&arguments.run, arguments.resume)?;
    if let Some(weights) = &arguments.weights {
        netc_runtime::tensorfile::TensorFile::open(weights)?;
    }
    let mut session = machine.session(&checked.network, &options)?;
    let network = checked.network.name.clone();
    warn(checked);
    let data = netc_runtime::data::open(&arguments.data, session.manifest())?;
    let text = arguments.spec.format == Format::Text;
    if text {
        output.line(&format!(
            "{network}: {} images to learn from, {} held out; batch {}, {}; ready after {}",
            grouped(data.train.len() as u64),
            grouped(data.test.len().min(arguments.test_images.unwrap_or(usize::MAX)) as u64),
            options.batch,
            counted(machine.threads(), "thread"),
            duration(start.elapsed().as_secs_f64())
        ))?;
    }
    let job = Job { arguments, run: arguments.run.clone(), seed: arguments.seed, resume: arguments.resume };
    let Done { summary, worked, .. } = learn(&job, &mut session, &data, &super::interrupt::watch()?, output)?;
    let step = summary.position.step;
    if summary.stopped {
        return Err(Failure::Interrupted(format!("stopped at step {step}; go on with --resume")));
    }
    if text && !worked {
        let more = "nothing is left to do; a larger number of --epochs or --steps goes on";
        output.line(&format!("{} is already at step {step}: {more}", arguments.run.display()))?;
    } else if text {
        output.line(&format!("weights in {}", summary.weights.display()))?;
        if data.test.is_empty() {
            complain("warning: no image was held out, so nobody knows how good the network is");
        }
    } else {
        output.json(&serde_json::json!({
            "network": network,
            "steps": step,
            "weights": summary.weights,
            "test": summary.test,
            "seconds": start.elapsed().as_secs_f64(),
        }))?;
    }
    Ok(())
}

/// One run.
pub struct Job<'a> {
    /// How to train.
    pub arguments: &'a Train,
    /// The run's folder.
    pub run: PathBuf,
    /// Its seed.
    pub seed: Option<u64>,
    /// Whether to go on from its last checkpoint.
    pub resume: bool,
}

/// What came of a run.
pub struct Done {
    /// How it ended.
    pub summary: Summary,
    /// Whether there was anything to do.
    pub worked: bool,
    /// The median time of a step, if two or more were done.
    pub step_seconds: Option<f64>,
}

/// Trains the session's network, with a line an epoch.
pub fn learn(
    job: &Job,
    session: &mut Session,
    data: &Split,
    interrupted: &Arc<AtomicBool>,
    output: &mut Output,
) -> Result<Done, Failure> {
    let arguments = job.arguments;
    let mut how = TrainOptions::new(job.run.clone());
    how.epochs = arguments.epochs.map(|n| n as u64);
    how.steps = arguments.steps.map(|n| n as u64);
    how.seed = job.seed;
    how.resume = job.resume;
    how.weights = arguments.weights.clone();
    how.checkpoint_every = arguments.checkpoint_every.map(|n| n as u64);
    how.evaluate_every = arguments.evaluate_every.map(|n| n as u64);
    how.test_images = arguments.test_images;
    how.log_every = arguments.log_every as u64;
    let mut watcher = Watcher {
        output,
        text: arguments.spec.format == Format::Text,
        progress: Quiet::default(),
        start: None,
        worked: false,
        trouble: None,
        interrupted: Arc::clone(interrupted),
        last: None,
        times: Vec::new(),
    };
    let summary = netc_runtime::train::train(session, data, &how, &mut watcher)?;
    let Watcher { progress, worked, trouble, mut times, .. } = watcher;
    drop(progress);
    if let Some(failure) = trouble {
        return Err(failure);
    }
    times.sort_by(f64::total_cmp);
    Ok(Done { summary, worked, step_seconds: times.get(times.len() / 2).copied() })
}

/// What an evaluation found, as `loss 0.3210, top-1 88.12 %, top-5 99.50 %`.
pub fn measured(found: &Evaluation) -> String {
    let mut text = format!("loss {:.4}", found.loss);
    for (name, share) in [("top-1", found.top1), ("top-5", found.top5)] {
        if let Some(share) = share {
            text.push_str(&format!(", {name} {:.2} %", 100.0 * share));
        }
    }
    text
}

/// Writes a line for each epoch, and draws progress meanwhile.
struct Watcher<'a> {
    output: &'a mut Output,
    text: bool,
    progress: Quiet,
    start: Option<Start>,
    /// Whether there was anything to do.
    worked: bool,
    trouble: Option<Failure>,
    /// Set by Ctrl-C.
    interrupted: Arc<AtomicBool>,
    /// The last step and when it was done, unless something else has happened since.
    last: Option<(u64, Instant)>,
    /// Seconds from one step to the next.
    times: Vec<f64>,
}

impl Observer for Watcher<'_> {
    fn start(&mut self, start: &Start) {
        self.start = Some(start.clone());
        self.progress.start(start);
    }

    fn step(&mut self, report: &StepReport) -> ControlFlow<()> {
        self.worked = true;
        let now = Instant::now();
        if let Some((step, before)) = self.last
            && report.step == step + 1
            && report.epoch_step > 1
        {
            self.times.push(now.duration_since(before).as_secs_f64());
        }
        self.last = Some((report.step, now));
        let _ = self.progress.step(report);
        self.go_on()
    }

    fn evaluate(&mut self, done: usize, total: usize) -> ControlFlow<()> {
        let _ = self.progress.evaluate(done, total);
        self.go_on()
    }

    fn test(&mut self, report: &TestReport) {
        self.last = None;
        let held_out = measured(&report.test);
        self.say(&format!("step {:>6}  held out: {held_out}   {}", report.step, duration(report.seconds)));
    }

    fn epoch(&mut self, report: &EpochReport) {
        self.worked = true;
        let mut line = format!("epoch {:>3}  step {:>6}  loss {:.4}", report.epoch, report.step, report.mean_loss);
        if let Some(accuracy) = report.accuracy {
            line.push_str(&format!(", {:.2} % right", 100.0 * accuracy));
        }
        if let Some(test) = &report.test {
            line.push_str(&format!("   held out: {}", measured(test)));
        }
        line.push_str(&format!("   {}", duration(report.seconds)));
        self.say(&line);
    }
}

impl Watcher<'_> {
    fn go_on(&self) -> ControlFlow<()> {
        let stop = self.trouble.is_some() || self.interrupted.load(Ordering::Relaxed);
        if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Writes a line of results, with the bars out of its way.
    fn say(&mut self, line: &str) {
        self.progress = Quiet::default();
        if let Some(start) = &self.start {
            self.progress.start(start);
        }
        if self.text
            && let Err(failure) = self.output.line(line)
        {
            self.trouble = Some(failure);
        }
    }
}
