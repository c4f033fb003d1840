//! Specs in canonical form, in either syntax; comments and the spelling of numbers are kept.
//!
//! One line a layer in YAML; in the netc language a layer stands on the line of the one before it unless it has a name,
//! reads another layer or has a comment. Aliases and merge keys of YAML are written out.

mod comments;
mod dsl;
mod scalar;
mod yaml;

use super::{LayerEntry, Setting, Spec, Syntax, Value, parse};
use crate::diag::{Code, Diagnostic};
use crate::source::Sources;
use comments::Comments;
use scalar::Writer;

/// Columns of a line.
const WIDTH: usize = 120;

/// The sections that are written a setting a line.
const SPREAD: &[&str] = &["init", "params", "train", "preprocess", "vary"];

/// The text of a spec in canonical form, in `to` or else the syntax it is in; it means the same. A text that cannot be
/// read is refused with what is wrong in it. `name` and `text` are added to `sources`.
pub fn format(sources: &mut Sources, name: &str, text: &str, to: Option<Syntax>) -> Result<String, Vec<Diagnostic>> {
    let spec = parse(sources, name, text);
    if !spec.problems.is_empty() {
        return Err(spec.problems);
    }
    let to = to.unwrap_or(spec.syntax);
    let start = spec.span.start as usize;
    let comments = Comments::of(&spec, text, start);
    let mut writer = Writer::new(to, Some((spec.syntax, sources)), comments);
    let out = write(&mut writer, &spec);
    let again = parse(&mut Sources::new(), extension(to), &out);
    if again.problems.is_empty() && print(&again) == print(&spec) {
        return Ok(out);
    }
    let message = match to {
        Syntax::Yaml => "this spec cannot be written as YAML",
        Syntax::Dsl => "this spec cannot be written in the netc language",
    };
    let mut diagnostic = Diagnostic::error(Code::InvalidSyntax, spec.span.start_only(), message);
    if let Some(problem) = again.problems.first() {
        diagnostic = diagnostic.note(format!("it would be refused: {}", problem.message));
    }
    Err(vec![diagnostic])
}

/// The spec as YAML that reads back to the same tree, without comments and with numbers in one spelling: what
/// `netc dump --stage spec` shows.
pub fn print(spec: &Spec) -> String {
    yaml::write(&mut Writer::new(Syntax::Yaml, None, Comments::default()), spec)
}

/// A value as YAML on one line.
pub(crate) fn flow(value: &Value) -> String {
    Writer::new(Syntax::Yaml, None, Comments::default()).flow(value)
}

fn write(writer: &mut Writer<'_>, spec: &Spec) -> String {
    match writer.syntax {
        Syntax::Yaml => yaml::write(writer, spec),
        Syntax::Dsl => dsl::write(writer, spec),
    }
}

/// A name of a file in this syntax.
fn extension(syntax: Syntax) -> &'static str {
    match syntax {
        Syntax::Yaml => "spec.yaml",
        Syntax::Dsl => "spec.netc",
    }
}

/// A layer's settings in their order, but what it reads first.
fn settings(layer: &LayerEntry) -> Vec<&Setting> {
    let (from, others): (Vec<&Setting>, Vec<&Setting>) =
        layer.settings.entries.iter().partition(|s| s.key.text == "from");
    from.into_iter().chain(others).collect()
}

/// The layers of a block, if they are a list.
fn block_layers(value: &Value) -> Option<Vec<LayerEntry>> {
    let mut problems = Vec::new();
    let layers = super::read::entries(value.clone(), &mut problems)?;
    problems.is_empty().then_some(layers)
}
