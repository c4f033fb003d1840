//! Carries out the sure fixes of a spec, in the spec's file and in those that it includes.

use super::Failure;
use super::front::{contents, included};
use crate::check;
use crate::diag::{Applicability, Edit, Fix};
use crate::source::{Sources, Span};
use crate::spec;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Rounds of fixes: one may show another, or stand in its way.
const MOST_ROUNDS: usize = 100;

/// A fix that was carried out.
pub struct Mended {
    /// The file, the line and the column where it was.
    pub place: (String, usize, usize),
    /// What it did, as `the word is `kernels``.
    pub title: String,
}

/// Carries out the sure fixes of the spec at `path` until there are none, and then writes the files that changed: all of
/// them or none. Gives what was done, in order.
pub fn mend(path: &Path) -> Result<Vec<Mended>, Failure> {
    if path == Path::new("-") {
        return Err(Failure::Usage("--fix changes the spec's file, and standard input has none".to_owned()));
    }
    let (name, bytes) = contents(path)?;
    let mut texts = BTreeMap::from([(name.clone(), bytes)]);
    let mut done = Vec::new();
    for _ in 0..MOST_ROUNDS {
        let (sources, fixes) = fixes(&name, &mut texts);
        let chosen = apart(&fixes);
        if chosen.is_empty() {
            break;
        }
        for fix in &chosen {
            let first = fix.edits.first().and_then(|edit| sources.position(edit.span));
            let place = first.map_or((name.clone(), 1, 1), |(file, at)| (file.to_owned(), at.line, at.column));
            done.push(Mended { place, title: fix.title.clone() });
        }
        for file in sources.files() {
            let own = |edit: &&Edit| file.span().to(edit.span) == file.span();
            let edits: Vec<&Edit> = chosen.iter().flat_map(|fix| &fix.edits).filter(own).collect();
            if !edits.is_empty() {
                let text = crate::diag::edited(&file.text, file.span().start, &edits);
                let text = text.ok_or_else(|| Failure::Bug("the edits of two fixes overlap".to_owned()))?;
                texts.insert(file.name.clone(), text.into_bytes());
            }
        }
    }
    let mut changed: Vec<(PathBuf, &[u8])> = Vec::new();
    for (name, text) in &texts {
        if std::fs::read(name).ok().as_ref() != Some(text) {
            changed.push((PathBuf::from(name), text));
        }
    }
    netc_runtime::files::write_together(&changed)?;
    Ok(done)
}

/// The sure fixes of the texts as they are; files that are read for the first time are added to them.
fn fixes(name: &str, texts: &mut BTreeMap<String, Vec<u8>>) -> (Sources, Vec<Fix>) {
    let mut sources = Sources::new();
    let bytes = texts.get(name).cloned().unwrap_or_default();
    let mut spec = spec::parse_bytes(&mut sources, name, &bytes);
    spec::include(&mut spec, &mut sources, &mut |part, from| {
        let (path, bytes) = included(part, from)?;
        let bytes = texts.entry(path.clone()).or_insert(bytes).clone();
        Ok((path, bytes))
    });
    let diagnostics = match check::check(&spec) {
        Ok((_, warnings)) => warnings,
        Err(problems) => problems,
    };
    let sure = |fixes: Vec<Fix>| fixes.into_iter().find(|fix| fix.applicability == Applicability::Sure);
    (sources, diagnostics.into_iter().filter_map(|d| sure(d.fixes)).collect())
}

/// As many of the fixes as touch different places.
fn apart(fixes: &[Fix]) -> Vec<&Fix> {
    let mut taken: Vec<Span> = Vec::new();
    let mut chosen = Vec::new();
    for fix in fixes {
        let meets = |edit: &Edit| taken.iter().any(|t| edit.span.start <= t.end && t.start <= edit.span.end);
        if !fix.edits.is_empty() && !fix.edits.iter().any(meets) {
            taken.extend(fix.edits.iter().map(|edit| edit.span));
            chosen.push(fix);
        }
    }
    chosen
}
