//! Takes in what other files of a spec say: `include: parts/imagenet.yaml`, or a list of files.
//!
//! What the spec itself says goes first: a section that it has not comes from the included file, and settings that a
//! section of it has not come from that section there. Of several files the first goes first.

use super::{Data, Map, Setting, Spec, Value, parse_bytes};
use crate::diag::{Code, Diagnostic};
use crate::source::{Sources, Span};
use std::collections::BTreeSet;

/// Files that include files.
const DEEPEST: usize = 16;
/// Files in all.
const MOST: usize = 100;

/// Finds and reads a file: takes the name that a spec gives and the name of the file that gives it; gives the file's own
/// name, by which it is known in reports, and its contents; or says why not.
pub type Load<'a> = &'a mut dyn FnMut(&str, &str) -> Result<(String, Vec<u8>), String>;

/// Takes in the files that the section `include` names, which then is gone. What is wrong is added to the spec's problems.
pub fn include(spec: &mut Spec, sources: &mut Sources, load: Load<'_>) {
    let name = sources.file(spec.span).map_or(String::new(), |file| file.name.clone());
    let mut reading = vec![name];
    let mut taken = BTreeSet::new();
    within(spec, sources, load, &mut reading, &mut taken);
}

fn within(
    spec: &mut Spec,
    sources: &mut Sources,
    load: Load<'_>,
    reading: &mut Vec<String>,
    taken: &mut BTreeSet<String>,
) {
    let Some(at) = spec.sections.entries.iter().position(|s| s.key.text == "include") else { return };
    let setting = spec.sections.entries.remove(at);
    let own = spec.span;
    for (name, span) in names(&setting, &mut spec.problems) {
        let refuse = |why: String| Diagnostic::error(Code::FailedInclude, span, why);
        let from = reading.last().cloned().unwrap_or_default();
        let (path, bytes) = match load(&name, &from) {
            Ok(found) => found,
            Err(why) => {
                spec.problems.push(refuse(why));
                spec.broken = true;
                continue;
            }
        };
        if reading.contains(&path) || reading.len() > DEEPEST || taken.len() >= MOST {
            let why = match reading.contains(&path) {
                true => format!("{name} includes itself: {} → {path}", reading.join(" → ")),
                false => {
                    format!("more than {MOST} files are included, or one within the other more than {DEEPEST} deep")
                }
            };
            spec.problems.push(refuse(why));
            continue;
        }
        if !taken.insert(path.clone()) {
            continue;
        }
        let mut part = parse_bytes(sources, &path, &bytes);
        reading.push(path);
        within(&mut part, sources, load, reading, taken);
        reading.pop();
        merge(spec, part, own);
    }
}

/// The names of the files and where they are written.
fn names(setting: &Setting, problems: &mut Vec<Diagnostic>) -> Vec<(String, Span)> {
    let items = match &setting.value.data {
        Data::List(items) => items.as_slice(),
        _ => std::slice::from_ref(&setting.value),
    };
    let mut names = Vec::new();
    for Value { data, span } in items {
        match data {
            Data::Text(name) if !name.is_empty() => names.push((name.clone(), *span)),
            other => {
                let message = format!("`include` names files, but this is {}", other.describe());
                problems.push(Diagnostic::error(Code::WrongType, *span, message));
            }
        }
    }
    names
}

fn merge(spec: &mut Spec, part: Spec, own: Span) {
    spec.problems.extend(part.problems);
    spec.damage.extend(part.damage);
    spec.broken |= part.broken;
    if spec.layers_span.is_none() && spec.layers.is_empty() {
        spec.layers = part.layers;
        spec.layers_span = part.layers_span;
    }
    for setting in part.sections.entries {
        let key = setting.key.text.clone();
        let Some(mine) = spec.sections.entries.iter_mut().find(|s| s.key.text == key) else {
            spec.sections.entries.push(setting);
            continue;
        };
        if let (Data::Map(mine), Data::Map(theirs)) = (&mut mine.value.data, setting.value.data) {
            take(mine, theirs);
        }
    }
    spec.span = own;
}

/// Adds the settings that `mine` has not.
fn take(mine: &mut Map, theirs: Map) {
    let known: BTreeSet<String> = mine.entries.iter().map(|s| s.key.text.clone()).collect();
    let new = theirs.entries.into_iter().filter(|s| !known.contains(&s.key.text));
    // Parameters may use those before them, so what is shared comes first.
    let mut entries: Vec<Setting> = new.collect();
    entries.append(&mut mine.entries);
    mine.entries = entries;
}
