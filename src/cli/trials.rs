//! `netc train --vary`: trains every variant of a spec, and the spec itself, with the same seeds, and compares them.
//!
//! A trial is a variant with a seed. Each has a folder of its own below RUN, as `netc train` makes it, with the variant's
//! spec beside it and, once it is done, what came of it in `result.json`. So a comparison that was broken off goes on with
//! `--resume` where it was.

use super::arguments::{Format, Mode, Train};
use super::comparison::{Comparison, Row};
use super::machine::present;
use super::output::{Output, complain, counted};
use super::train::{Job, learn};
use super::variants::wrong;
use crate::check::{self, Network};
use crate::driver::{self, Checked, Failure, Variants};
use crate::spec;
use netc_runtime::evaluate::Evaluation;
use netc_runtime::{data, files, journal};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Bytes of a folder's name.
const LONGEST: usize = 120;

/// What came of a trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// What was asked for: epochs, steps, images in a batch.
    asked: (Option<usize>, Option<usize>, usize),
    /// Steps done.
    pub steps: u64,
    /// The median time of a step, if one was done.
    pub step_seconds: Option<f64>,
    /// The mean loss of the last epoch.
    pub loss: Option<f64>,
    /// On the held-out part, if there is one.
    pub test: Option<Evaluation>,
}

/// A variant to be trained.
struct Variant {
    /// Its folder below RUN.
    folder: String,
    /// Its number among all; none for the spec as written.
    number: Option<usize>,
    /// What it is called when it begins.
    title: String,
    /// The value of each axis.
    values: Vec<String>,
    /// Its spec as YAML.
    spec: String,
    checked: Checked,
}

/// What is to be trained, the spec as written first, with a row for each and then for those that are wrong.
struct Planned {
    variants: Vec<Variant>,
    rows: Vec<Row>,
    /// What varies.
    axes: Vec<String>,
}

/// Trains all and compares them.
pub fn trials(arguments: &Train, output: &mut Output) -> Result<(), Failure> {
    arguments.machine.device()?;
    present([&arguments.data])?;
    let Planned { variants, mut rows, axes } = variants(arguments)?;
    let first = arguments.seed.unwrap_or(0);
    let seeds: Vec<u64> = (0..arguments.seeds as u64).map(|i| first.wrapping_add(i)).collect();
    for variant in &variants {
        for &seed in &seeds {
            usable(arguments, &folder(arguments, variant, seed), variant)?;
        }
    }
    let interrupted = super::interrupt::watch()?;
    let text = arguments.spec.format == Format::Text;
    let (mut failures, mut number) = (Vec::new(), 0);
    let total = variants.len() * seeds.len();
    for (variant, row) in variants.iter().zip(&mut rows) {
        for &seed in &seeds {
            number += 1;
            if text {
                output.line(&format!("{number} of {total}: {}, seed {seed}", variant.title))?;
            }
            match trial(arguments, variant, seed, &interrupted, output) {
                Ok(outcome) => row.outcomes.push(outcome),
                // As when the loss is no number any more: the others are trained all the same.
                Err(Failure::Data(message)) => {
                    complain(&format!("error: {}: {message}", variant.title));
                    row.wrong.get_or_insert_with(|| message.lines().next().unwrap_or_default().to_owned());
                    failures.push(Failure::Data(message));
                    break;
                }
                Err(other) => return Err(other),
            }
        }
    }
    if failures.len() == variants.len()
        && let Some(failure) = failures.pop()
    {
        return Err(failure);
    }
    let comparison = Comparison { axes, rows, seeds };
    if text { output.write(&format!("\n{}", comparison.table())) } else { output.json(&comparison.json()) }
}

/// The variants that can be trained, and those that cannot.
fn variants(arguments: &Train) -> Result<Planned, Failure> {
    let text = driver::read(&arguments.spec.path, &arguments.spec.sets)?;
    let base = driver::check(driver::Text { sources: text.sources.clone(), spec: text.spec.clone() })?;
    driver::needs_recipe(&base)?;
    let arguments: Vec<String> = arguments.vary.iter().filter(|axis| !axis.is_empty()).cloned().collect();
    let all = Variants::of(&text, &arguments)?;
    if all.is_empty() {
        let message = "nothing varies: the spec has no section `vary`; give an axis, as --vary conv1.stride=2,4";
        return Err(Failure::Usage(message.to_owned()));
    }
    let axes: Vec<String> = all.axes().map(str::to_owned).collect();
    let mut written = text.spec.clone();
    written.sections.entries.retain(|setting| setting.key.text != "vary");
    let as_written = check::print(&base.network);
    let mut found = vec![Variant {
        number: None,
        folder: "base".to_owned(),
        title: "the spec as written".to_owned(),
        values: vec!["-".to_owned(); axes.len()],
        spec: spec::print(&written),
        checked: base,
    }];
    let mut refused = Vec::new();
    let mut taken = BTreeSet::from(["base".to_owned()]);
    for index in 0..all.len() {
        let values = all.values(index);
        match all.check(index) {
            // This is the spec as written, by another name.
            Ok(checked) if check::print(&checked.network) == as_written => found[0].values = values,
            Ok(checked) => found.push(Variant {
                number: Some(index + 1),
                folder: folder_name(&all.name(index), index, &mut taken),
                title: all.name(index),
                values,
                spec: spec::print(&all.get(index)?.spec),
                checked,
            }),
            Err(Failure::Spec(why)) => refused.push(Row::wrong(index + 1, values, wrong(&why))),
            Err(other) => return Err(other),
        }
    }
    let row =
        |variant: &Variant| Row::new(variant.number, variant.values.clone(), variant.checked.network.param_count());
    let rows = found.iter().map(row).chain(refused).collect();
    Ok(Planned { variants: found, rows, axes })
}

/// A folder's name for a variant, `conv1.stride=2,lrn=off`: no other's, and one that every file system takes.
fn folder_name(name: &str, index: usize, taken: &mut BTreeSet<String>) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-+=,".contains(c) { c } else { '_' };
    let short: String = name.replace(", ", ",").chars().map(plain).take(LONGEST).collect();
    let own = if short.len() < LONGEST && !taken.contains(&short) { short } else { format!("{short}-{}", index + 1) };
    taken.insert(own.clone());
    own
}

fn folder(arguments: &Train, variant: &Variant, seed: u64) -> PathBuf {
    let folder = arguments.run.join(&variant.folder);
    if arguments.seeds > 1 { folder.join(format!("seed-{seed}")) } else { folder }
}

/// Refuses a folder with a run in it, unless that is resumed and is of the same spec.
fn usable(arguments: &Train, folder: &Path, variant: &Variant) -> Result<(), Failure> {
    if !arguments.resume {
        return Ok(journal::check(folder, false)?);
    }
    match std::fs::read_to_string(folder.join("spec.yaml")) {
        Ok(text) if text != variant.spec => Err(Failure::Data(format!(
            "{} holds a run of another spec: compare spec.yaml in it, or choose another folder",
            folder.display()
        ))),
        _ => Ok(()),
    }
}

/// Trains one variant with one seed, or takes what came of it before.
fn trial(
    arguments: &Train,
    variant: &Variant,
    seed: u64,
    interrupted: &Arc<AtomicBool>,
    output: &mut Output,
) -> Result<Outcome, Failure> {
    let run = folder(arguments, variant, seed);
    let options = super::compile::options(
        &variant.checked,
        Some(Mode::Train),
        arguments.batch,
        "cpu",
        arguments.machine.algorithm,
    )?;
    let asked = (arguments.epochs, arguments.steps, options.batch);
    let result = run.join("result.json");
    if arguments.resume
        && let Some(outcome) = read(&result).filter(|outcome| outcome.asked == asked && outcome.seed == seed)
    {
        return Ok(outcome);
    }
    let network: &Network = &variant.checked.network;
    let mut session = arguments.machine.session(network, &options)?;
    let data = data::open(&arguments.data, session.manifest())?;
    files::create_folder(&run)?;
    files::write_atomically(&run.join("spec.yaml"), |file| file.write_all(variant.spec.as_bytes()))?;
    let resume = arguments.resume && journal::latest_checkpoint(&run)?.is_some();
    let job = Job { arguments, run: run.clone(), seed: Some(seed), resume };
    let done = learn(&job, &mut session, &data, interrupted, output)?;
    if done.summary.stopped {
        let title = &variant.title;
        let step = done.summary.position.step;
        return Err(Failure::Interrupted(format!("stopped at step {step} of {title}; go on with --resume")));
    }
    let before = journal::last_epoch(&run);
    let outcome = Outcome {
        seed,
        asked,
        steps: done.summary.position.step,
        step_seconds: done.step_seconds,
        loss: before.as_ref().map(|epoch| epoch.mean_loss),
        test: done.summary.test.or(before.and_then(|epoch| epoch.test)),
    };
    let text = serde_json::to_vec_pretty(&outcome).map_err(|e| Failure::Bug(e.to_string()))?;
    files::write_atomically(&result, |file| file.write_all(&text))?;
    Ok(outcome)
}

fn read(path: &Path) -> Option<Outcome> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

/// What is said when several are to be trained with options for one.
pub fn refuse(arguments: &Train) -> Result<(), Failure> {
    match (&arguments.weights, arguments.seeds) {
        (Some(_), _) if !arguments.vary.is_empty() => {
            Err(Failure::Usage("--vary compares from first weights on; leave out --weights".to_owned()))
        }
        (_, seeds) if seeds > 1 && arguments.vary.is_empty() => {
            Err(Failure::Usage(format!("{} are for comparing variants; add --vary", counted(seeds, "seed"))))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_have_names_of_their_own() {
        let mut taken = BTreeSet::from(["base".to_owned()]);
        let mut name = |text: &str, index| folder_name(text, index, &mut taken);
        assert_eq!(name("conv1.stride=2, lrn=off", 0), "conv1.stride=2,lrn=off");
        assert_eq!(name("o={a: 1/2}", 1), "o=_a__1_2_");
        assert_eq!(name("o={a: 1:2}", 2), "o=_a__1_2_-3");
        let long = "x".repeat(500);
        assert!(name(&long, 3).len() < 130 && name(&long, 4).ends_with("-5"));
    }
}
