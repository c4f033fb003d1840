//! From a file to a checked network and its graphs.

use super::Failure;
use super::failure::Refused;
use crate::check::{self, Network};
use crate::diag::{Code, Diagnostic};
use crate::graph::{Functions, Graph};
use crate::source::{Sources, Span};
use crate::spec::{self, Spec, Syntax};
use std::io::{ErrorKind, Read};
use std::path::Path;

/// Bytes that a spec file may have; more is no spec.
const LONGEST: u64 = 16 << 20;

/// What standard input is called in reports.
const STANDARD_INPUT: &str = "standard input";

/// A spec as read, with the changes that the command line asks for.
pub struct Text {
    /// What its spans point into.
    pub sources: Sources,
    /// The spec.
    pub spec: Spec,
}

/// A spec's text before and after formatting.
pub struct Formatted {
    /// As it is.
    pub before: String,
    /// In canonical form.
    pub after: String,
}

/// A spec that is right.
pub struct Checked {
    /// What spans point into.
    pub sources: Sources,
    /// The network.
    pub network: Network,
    /// Where it is named: the place of what is said of the whole.
    pub place: Span,
    /// What is worth knowing about it.
    pub warnings: Vec<Diagnostic>,
}

impl Checked {
    /// The warnings, to be written as the reasons of a [`Refused`] are.
    pub fn warnings(self) -> Refused {
        Refused { sources: self.sources, diagnostics: self.warnings }
    }
}

/// Reads a spec file, `-` being standard input, and carries out each of `sets`.
pub fn read(path: &Path, sets: &[String]) -> Result<Text, Failure> {
    let mut sources = Sources::new();
    let (name, bytes) = contents(path)?;
    let mut spec = spec::parse_bytes(&mut sources, &name, &bytes);
    spec::include(&mut spec, &mut sources, &mut included);
    let mut diagnostics = Vec::new();
    for set in sets {
        if let Err(wrong) = spec::apply_set(&mut spec, &mut sources, set) {
            diagnostics.extend(wrong);
        }
    }
    if diagnostics.is_empty() {
        Ok(Text { sources, spec })
    } else {
        diagnostics.splice(0..0, spec.problems);
        Err(Failure::Spec(Refused { sources, diagnostics }))
    }
}

/// A spec file in canonical form, in `to` or else its own syntax, and as it is.
pub fn format(path: &Path, to: Option<Syntax>) -> Result<Formatted, Failure> {
    let mut sources = Sources::new();
    let (name, bytes) = contents(path)?;
    let Ok(text) = String::from_utf8(bytes) else {
        return read(path, &[]).and_then(check).map(|_| Formatted { before: String::new(), after: String::new() });
    };
    match spec::format(&mut sources, &name, &text, to) {
        Ok(after) => Ok(Formatted { before: text, after }),
        Err(diagnostics) => Err(Failure::Spec(Refused { sources, diagnostics })),
    }
}

/// Reads a file that the spec file `from` includes as `name`: relative to the folder that it lies in.
pub fn included(name: &str, from: &str) -> Result<(String, Vec<u8>), String> {
    if from == STANDARD_INPUT {
        return Err(format!("cannot include {name}: standard input has no folder that it could be relative to"));
    }
    let folder = Path::new(from).parent().unwrap_or(Path::new(""));
    let mut path = std::path::PathBuf::new();
    for part in folder.join(name).components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir if path.file_name().is_some() => drop(path.pop()),
            part => path.push(part),
        }
    }
    // A file may be called as standard input is.
    let path = if path == Path::new("-") { Path::new(".").join(path) } else { path };
    match contents(&path) {
        Ok((name, bytes)) => Ok((name, bytes)),
        Err(Failure::Spec(refused)) => Err(refused.diagnostics.first().map_or(String::new(), |d| d.message.clone())),
        Err(Failure::Environment(why)) => Err(why),
        Err(_) => Err(format!("cannot read {name}")),
    }
}

/// Name and contents of a spec file, `-` being standard input.
pub(super) fn contents(path: &Path) -> Result<(String, Vec<u8>), Failure> {
    let mut bytes = Vec::new();
    let (name, got) = if path == Path::new("-") {
        (STANDARD_INPUT.into(), std::io::stdin().lock().take(LONGEST + 1).read_to_end(&mut bytes))
    } else {
        let file = std::fs::File::open(path);
        (path.to_string_lossy(), file.and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes)))
    };
    let refused = |code, message| {
        let diagnostics = vec![Diagnostic::placeless(code, message)];
        Failure::Spec(Refused { sources: Sources::new(), diagnostics })
    };
    if let Err(e) = got {
        return Err(match e.kind() {
            ErrorKind::NotFound | ErrorKind::IsADirectory | ErrorKind::NotADirectory => {
                let message = format!("cannot read {name}: {}", super::plain(&e.to_string()));
                refused(Code::UnreadableFile, message)
            }
            _ => Failure::file("read", path, &e),
        });
    }
    if bytes.len() as u64 > LONGEST {
        return Err(refused(Code::TooMuch, format!("{name} has more than {} MiB: that is no spec", LONGEST >> 20)));
    }
    Ok((name.into_owned(), bytes))
}

/// Checks a spec.
pub fn check(text: Text) -> Result<Checked, Failure> {
    let Text { sources, spec } = text;
    match check::check(&spec) {
        Ok((network, warnings)) => {
            let name = spec.sections.get("net").map(|setting| setting.key.span.to(setting.value.span));
            Ok(Checked { sources, network, place: name.unwrap_or(spec.span), warnings })
        }
        Err(diagnostics) => Err(Failure::Spec(Refused { sources, diagnostics })),
    }
}

/// The graphs of a network's functions as they are after the pass called `after`; after all passes if none is named.
pub fn functions_after(
    network: &Network,
    batch: usize,
    train: bool,
    after: Option<&str>,
) -> Result<Vec<Graph>, Failure> {
    let Some(after) = after else { return Ok(functions(network, batch, train)?.graphs) };
    let (mut graphs, mut steps) = (Vec::new(), Vec::new());
    crate::passes::functions_observed(network, batch, train, |step, graph| {
        if step == after {
            graphs.push(graph.clone());
        }
        if !steps.contains(&step.to_owned()) {
            steps.push(step.to_owned());
        }
    })
    .map_err(|bug| Failure::Bug(bug.to_string()))?;
    if graphs.is_empty() {
        return Err(Failure::Usage(format!("no pass `{after}`: there are {}", steps.join(", "))));
    }
    Ok(graphs)
}

/// The graphs of a network's functions, for batches of `batch` images.
pub fn functions(network: &Network, batch: usize, train: bool) -> Result<Functions, Failure> {
    crate::passes::functions(network, batch, train).map_err(|bug| Failure::Bug(bug.to_string()))
}

/// Refuses to train a network whose spec does not say how.
pub fn needs_recipe(checked: &Checked) -> Result<(), Failure> {
    if checked.network.train.is_some() {
        return Ok(());
    }
    let message = format!("{} cannot be trained: the spec has no section `train`", checked.network.name);
    let diagnostic = Diagnostic::error(Code::MissingKey, checked.place, message);
    let recipe = "as `train: {loss: cross_entropy, optimizer: {sgd: {lr: 0.01}}, batch: 32, epochs: 10}`";
    let diagnostics = vec![diagnostic.note(recipe)];
    Err(Failure::Spec(Refused { sources: checked.sources.clone(), diagnostics }))
}

/// Writes a text file: whole or not at all.
pub fn write_text(path: &Path, text: &str) -> Result<(), Failure> {
    netc_runtime::files::write_atomically(path, |file| file.write_all(text.as_bytes()))?;
    Ok(())
}
