//! `netc check`: is the spec right, and what does it come to.

use super::arguments::{Check, Format};
use super::output::{Output, colour, complain};
use crate::check::report;
use crate::driver::{self, Failure};

/// Checks the spec and writes its table of layers.
pub fn check(arguments: &Check, output: &mut Output) -> Result<(), Failure> {
    let checked = driver::check(driver::read(&arguments.spec.path, &arguments.spec.sets)?)?;
    match arguments.spec.format {
        Format::Text => {
            output.write(&report::table(&checked.network))?;
            warn(checked);
        }
        Format::Json => {
            let mut value = report::json(&checked.network);
            value["warnings"] = checked.warnings().json();
            output.json(&value)?;
        }
    }
    Ok(())
}

/// Writes a spec's warnings to standard error.
pub fn warn(checked: driver::Checked) {
    let warnings = checked.warnings();
    if !warnings.diagnostics.is_empty() {
        complain(&warnings.render(colour()));
    }
}
