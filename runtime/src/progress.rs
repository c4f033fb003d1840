//! Progress bars on stderr, for an [`Observer`]; nothing is drawn unless stderr is a terminal.

use crate::evaluate::Evaluation;
use crate::observer::{EpochReport, Observer, Start, StepReport, TestReport};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fmt::Write;
use std::ops::ControlFlow;

/// One bar for each epoch, with loss, accuracy and speed, and a line for each epoch done.
pub struct Bars {
    bar: ProgressBar,
    steps_per_epoch: u64,
    total_steps: u64,
    showing: Showing,
}

/// What the bar is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Showing {
    Nothing,
    Epoch(u64),
    Evaluation,
}

impl Default for Bars {
    fn default() -> Self {
        Bars { bar: ProgressBar::hidden(), steps_per_epoch: 0, total_steps: 0, showing: Showing::Nothing }
    }
}

impl Bars {
    fn begin(&mut self, length: u64, done: u64, what: String) {
        self.bar.finish_and_clear();
        self.bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr_with_hz(5));
        // The template is a constant; an indicatif that cannot read it shows its own.
        if let Ok(style) = ProgressStyle::with_template("{prefix} {bar:24} {pos}/{len} {msg}, {eta} left") {
            self.bar.set_style(style);
        }
        self.bar.set_prefix(what);
        self.bar.set_position(done);
    }
}

impl Observer for Bars {
    fn start(&mut self, start: &Start) {
        self.steps_per_epoch = start.steps_per_epoch;
        self.total_steps = start.total_steps;
    }

    fn step(&mut self, report: &StepReport) -> ControlFlow<()> {
        if self.showing != Showing::Epoch(report.epoch) {
            self.showing = Showing::Epoch(report.epoch);
            let before = report.step - report.epoch_step;
            let length = self.steps_per_epoch.min(self.total_steps.saturating_sub(before));
            self.begin(length, report.epoch_step, format!("epoch {}", report.epoch + 1));
        }
        let mut message = format!("loss {:.4}", report.mean_loss);
        if let Some(accuracy) = report.accuracy {
            let _ = write!(message, ", {:.2} % right", 100.0 * accuracy);
        }
        let _ = write!(message, ", {:.0} images/s", report.images_per_second);
        self.bar.set_message(message);
        self.bar.set_position(report.epoch_step);
        ControlFlow::Continue(())
    }

    fn evaluate(&mut self, done: usize, total: usize) {
        if self.showing != Showing::Evaluation {
            self.showing = Showing::Evaluation;
            self.begin(total as u64, 0, "testing".to_owned());
        }
        self.bar.set_position(done as u64);
    }

    fn test(&mut self, report: &TestReport) {
        self.bar.println(format!("step {}: {}; {:.0} s", report.step, judgement(&report.test), report.seconds));
    }

    fn epoch(&mut self, report: &EpochReport) {
        let mut line = format!("epoch {}: loss {:.4}", report.epoch + 1, report.mean_loss);
        if let Some(accuracy) = report.accuracy {
            let _ = write!(line, ", {:.2} % right", 100.0 * accuracy);
        }
        if let Some(test) = &report.test {
            let _ = write!(line, "; {}", judgement(test));
        }
        let _ = write!(line, "; {:.0} s", report.seconds);
        self.bar.println(line);
        self.bar.finish_and_clear();
        self.showing = Showing::Nothing;
    }
}

fn judgement(test: &Evaluation) -> String {
    let right = test.top1.map_or(String::new(), |top1| format!(", {:.2} % right", 100.0 * top1));
    format!("held-out loss {:.4}{right}", test.loss)
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
