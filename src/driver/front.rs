//! From a file to a checked network and its graphs.

use super::Failure;
use super::failure::Refused;
use crate::check::{self, Network};
use crate::diag::{Code, Diagnostic};
use crate::graph::{Functions, Graph};
use crate::source::Sources;
use crate::spec::{self, Spec};
use std::io::{ErrorKind, Read};
use std::path::Path;

/// Bytes that a spec file may have; more is no spec.
const LONGEST: u64 = 16 << 20;

/// A spec as read, with the changes that the command line asks for.
pub struct Text {
    /// What its spans point into.
    pub sources: Sources,
    /// The spec.
    pub spec: Spec,
}

/// A spec that is right.
pub struct Checked {
    /// What spans point into.
    pub sources: Sources,
    /// The network.
    pub network: Network,
    /// What is worth knowing about it.
    pub warnings: Vec<Diagnostic>,
}

impl Checked {
    /// The warnings, to be written as the reasons of a [`Refused`] are.
    pub fn warnings(self) -> Refused {
        Refused { sources: self.sources, diagnostics: self.warnings }
    }
}

/// Reads a spec file and carries out each of `sets`.
pub fn read(path: &Path, sets: &[String]) -> Result<Text, Failure> {
    let mut sources = Sources::new();
    let mut bytes = Vec::new();
    if let Err(e) = std::fs::File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes)) {
        return Err(match e.kind() {
            ErrorKind::NotFound | ErrorKind::IsADirectory | ErrorKind::NotADirectory => {
                let message = format!("cannot read {}: {}", path.display(), super::plain(&e.to_string()));
                Failure::Spec(Refused {
                    sources,
                    diagnostics: vec![Diagnostic::placeless(Code::UnreadableFile, message)],
                })
            }
            _ => Failure::file("read", path, &e),
        });
    }
    if bytes.len() as u64 > LONGEST {
        let message = format!("{} has more than {} MiB: that is no spec", path.display(), LONGEST >> 20);
        let diagnostics = vec![Diagnostic::placeless(Code::TooMuchYaml, message)];
        return Err(Failure::Spec(Refused { sources, diagnostics }));
    }
    let mut spec = spec::parse_bytes(&mut sources, &path.to_string_lossy(), &bytes);
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

/// Checks a spec.
pub fn check(text: Text) -> Result<Checked, Failure> {
    let Text { sources, spec } = text;
    match check::check(&spec) {
        Ok((network, warnings)) => Ok(Checked { sources, network, warnings }),
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
    needs_recipe(network, train)?;
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
    needs_recipe(network, train)?;
    crate::passes::functions(network, batch, train).map_err(|bug| Failure::Bug(bug.to_string()))
}

/// Refuses to train without a recipe.
fn needs_recipe(network: &Network, train: bool) -> Result<(), Failure> {
    if train && network.train.is_none() {
        return Err(Failure::Usage(format!("{} has no `train` section: only inference is possible", network.name)));
    }
    Ok(())
}
