//! `netc check`: is the spec right, and what does it come to.

use super::arguments::{Check, Format, Mode};
use super::output::{Output, bytes, colour, complain};
use crate::check::report;
use crate::driver::{self, Checked, Failure};

/// Checks the spec and writes its table of layers.
pub fn check(arguments: &Check, output: &mut Output) -> Result<(), Failure> {
    let checked = driver::check(driver::read(&arguments.spec.path, &arguments.spec.sets)?)?;
    let memory = memory(&checked)?;
    match arguments.spec.format {
        Format::Text => {
            output.write(&report::table(&checked.network))?;
            let uses: Vec<String> = memory.iter().map(Use::text).collect();
            output.line(&format!("memory on one thread: {}", uses.join(", ")))?;
            warn(checked);
        }
        Format::Json => {
            let mut value = report::json(&checked.network);
            value["memory"] = memory.iter().map(Use::json).collect();
            value["warnings"] = checked.warnings().json();
            output.json(&value)?;
        }
    }
    Ok(())
}

/// The memory that a network takes for one purpose.
struct Use {
    train: bool,
    batch: usize,
    bytes: u64,
}

impl Use {
    fn text(&self) -> String {
        let purpose = if self.train { "to train on a batch of" } else { "to run a batch of" };
        format!("{} {purpose} {}", bytes(self.bytes), self.batch)
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({ "mode": if self.train { "train" } else { "infer" }, "batch": self.batch, "bytes": self.bytes })
    }
}

/// What running one image takes and, if the spec says how to train, training.
fn memory(checked: &Checked) -> Result<Vec<Use>, Failure> {
    let network = &checked.network;
    let mut uses = Vec::new();
    for mode in [Some(Mode::Infer), network.train.as_ref().map(|_| Mode::Train)].into_iter().flatten() {
        let options = super::compile::options(checked, Some(mode), None, "cpu")?;
        let bytes = driver::memory(network, &options, 1)?;
        uses.push(Use { train: options.train, batch: options.batch, bytes });
    }
    Ok(uses)
}

/// Writes a spec's warnings to standard error.
pub fn warn(checked: Checked) {
    let warnings = checked.warnings();
    if !warnings.diagnostics.is_empty() {
        complain(&warnings.render(colour()));
    }
}
