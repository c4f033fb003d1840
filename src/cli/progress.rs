//! Progress on standard error, for a person at a terminal.

use netc_runtime::observer::{Observer, Start, StepReport};
use netc_runtime::progress::Bars;
use std::io::IsTerminal;
use std::ops::ControlFlow;

/// Draws bars on a terminal and nothing anywhere else; dropping it clears them. Epochs and evaluations are results,
/// and no progress.
pub struct Quiet(Option<Bars>);

impl Default for Quiet {
    fn default() -> Self {
        Quiet(std::io::stderr().is_terminal().then(Bars::default))
    }
}

impl Observer for Quiet {
    fn start(&mut self, start: &Start) {
        if let Some(bars) = &mut self.0 {
            bars.start(start);
        }
    }

    fn step(&mut self, report: &StepReport) -> ControlFlow<()> {
        self.0.as_mut().map_or(ControlFlow::Continue(()), |bars| bars.step(report))
    }

    fn evaluate(&mut self, done: usize, total: usize) -> ControlFlow<()> {
        self.0.as_mut().map_or(ControlFlow::Continue(()), |bars| bars.evaluate(done, total))
    }
}
