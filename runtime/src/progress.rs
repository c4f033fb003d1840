//! Progress bars on stderr, for an [`Observer`]; nothing is drawn unless stderr is a terminal.

use crate::evaluate::Evaluation;
use crate::observer::{EpochReport, Observer, Start, StepReport, TestReport};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fmt::Write;
use std::ops::ControlFlow;
use std::time::Instant;

/// One bar for each epoch, with loss, accuracy and speed, and a line for each epoch done.
pub struct Bars {
    bar: ProgressBar,
    steps_per_epoch: u64,
    total_steps: u64,
    showing: Showing,
    /// When the bar was begun, and at what place: the time left is reckoned from there.
    since: Instant,
    from: u64,
    length: u64,
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
        Bars {
            bar: ProgressBar::hidden(),
            steps_per_epoch: 0,
            total_steps: 0,
            showing: Showing::Nothing,
            since: Instant::now(),
            from: 0,
            length: 0,
        }
    }
}

impl Bars {
    /// A new bar, drawn when it is first shown.
    fn begin(&mut self, length: u64, done: u64, what: String) {
        self.bar.finish_and_clear();
        let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr_with_hz(5));
        let bar = bar.with_prefix(what).with_position(done);
        // The template is a constant; an indicatif that cannot read it shows its own. The message is cut to what a
        // narrow terminal has left.
        self.bar = match ProgressStyle::with_template("{prefix} {bar:12} {pos}/{len} {wide_msg}") {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        };
        (self.since, self.from, self.length) = (Instant::now(), done, length);
    }

    /// Shows how far it is, with `message` and the time left.
    fn show(&mut self, done: u64, mut message: String) {
        if let Some(left) = time_left(self.since.elapsed().as_secs_f64(), self.from, done, self.length) {
            let comma = if message.is_empty() { "" } else { ", " };
            let _ = write!(message, "{comma}{left} left");
        }
        self.bar.set_message(message);
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
            self.begin(length, report.epoch_step, format!("epoch {}", report.epoch));
        }
        let mut message = format!("loss {:.4}", report.mean_loss);
        if let Some(accuracy) = report.accuracy {
            let _ = write!(message, ", {:.2} % right", 100.0 * accuracy);
        }
        let _ = write!(message, ", {:.0} images/s", report.images_per_second);
        self.show(report.epoch_step, message);
        ControlFlow::Continue(())
    }

    fn evaluate(&mut self, done: usize, total: usize) -> ControlFlow<()> {
        if self.showing != Showing::Evaluation {
            self.showing = Showing::Evaluation;
            self.begin(total as u64, done as u64, "testing".to_owned());
        }
        self.show(done as u64, String::new());
        ControlFlow::Continue(())
    }

    fn test(&mut self, report: &TestReport) {
        self.bar.println(format!("step {}: {}; {:.0} s", report.step, judgement(&report.test), report.seconds));
    }

    fn epoch(&mut self, report: &EpochReport) {
        let mut line = format!("epoch {}: loss {:.4}", report.epoch, report.mean_loss);
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

/// The time left after `seconds` in which the work went on from `from` to `done` of `length`; `None` until that says
/// anything.
fn time_left(seconds: f64, from: u64, done: u64, length: u64) -> Option<String> {
    if seconds < 1.0 || done <= from || done >= length {
        return None;
    }
    let left = (seconds / (done - from) as f64 * (length - done) as f64).ceil() as u64;
    Some(match left {
        0..60 => format!("{left} s"),
        60..3600 => format!("{} min {:02} s", left / 60, left % 60),
        _ => format!("{} h {:02} min", left / 3600, left % 3600 / 60),
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_told_once_it_is_known() {
        assert_eq!(time_left(0.0, 0, 0, 150), None);
        assert_eq!(time_left(0.5, 1, 2, 150), None, "half a second says little");
        assert_eq!(time_left(9.0, 50, 50, 150), None, "nothing was done yet");
        assert_eq!(time_left(10.0, 50, 100, 150).as_deref(), Some("10 s"));
        assert_eq!(time_left(10.0, 0, 10, 100).as_deref(), Some("1 min 30 s"));
        assert_eq!(time_left(10.0, 0, 10, 10_000).as_deref(), Some("2 h 46 min"));
        assert_eq!(time_left(10.0, 0, 10, 10), None, "all is done");
    }
}
