//! Checks the examples of the pages about codes.

use super::failure::Refused;
use crate::check;
use crate::diag::{Code, Example};
use crate::source::Sources;
use crate::spec;

/// All that is said of an example, and whether it is refused. The file it stands for is called `CODE.yaml` or `CODE.netc`.
pub fn report(code: Code, example: &Example) -> (Refused, bool) {
    let mut sources = Sources::new();
    let name = format!("{code}.{}", example.extension);
    let mut spec = spec::parse(&mut sources, &name, example.text);
    spec::include(&mut spec, &mut sources, &mut super::included);
    let mut diagnostics = Vec::new();
    for set in &example.sets {
        diagnostics.extend(spec::apply_set(&mut spec, &mut sources, set).err().into_iter().flatten());
    }
    let refused = !diagnostics.is_empty();
    match check::check(&spec) {
        Ok((_, warnings)) => {
            diagnostics.extend(warnings);
            (Refused { sources, diagnostics }, refused)
        }
        Err(errors) => {
            diagnostics.extend(errors);
            (Refused { sources, diagnostics }, true)
        }
    }
}
