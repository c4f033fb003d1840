//! `netc run`: what a trained network says about images.

use super::arguments::{Format, Run};
use super::machine::present;
use super::output::Output;
use super::progress::Quiet;
use crate::check::Loss;
use crate::driver::{self, Failure, Options};
use netc_runtime::data::Answer;
use netc_runtime::predict::{Prediction, predict, predict_samples, save_outputs, top};
use netc_runtime::program::Manifest;

/// Images in a batch at most: enough to keep the threads busy.
const BATCH: usize = 16;

/// Values of an output shown at most.
const VALUES: usize = 10;

/// Classifies the images.
pub fn run(arguments: &Run, output: &mut Output) -> Result<(), Failure> {
    let machine = &arguments.machine;
    machine.device()?;
    present([&arguments.weights].into_iter().chain(&arguments.inputs).chain(&arguments.data))?;
    let network = driver::check(driver::read(&arguments.spec.path, &arguments.spec.sets)?)?.network;
    let count = if arguments.data.is_some() { arguments.samples } else { arguments.inputs.len() };
    let options = Options {
        batch: count.clamp(1, BATCH),
        train: false,
        target: driver::target("cpu")?,
        algorithm: machine.algorithm.into(),
    };
    let mut session = machine.session(&network, &options)?;
    netc_runtime::checkpoint::load_weights(&mut session, &arguments.weights)?;
    let mut progress = Quiet::default();
    let predictions = match &arguments.data {
        None => predict(&mut session, &arguments.inputs, &mut progress)?,
        Some(path) => {
            let data = netc_runtime::data::open(path, session.manifest())?;
            let test = data.judge();
            let indices: Vec<usize> = (0..count.min(test.len())).collect();
            predict_samples(&mut session, test.as_ref(), &indices, &mut progress)?
        }
    };
    drop(progress);
    let manifest = session.manifest();
    if let Some(path) = &arguments.output {
        save_outputs(path, manifest, &predictions)?;
    }
    // What is trained by squared error gives values, and no classes.
    let values = network.train.as_ref().is_some_and(|recipe| recipe.loss == Loss::Mse);
    match arguments.spec.format {
        Format::Text => {
            for prediction in &predictions {
                output.line(&match values {
                    true => line_of_values(prediction),
                    false => line(manifest, prediction, arguments.top),
                })?;
            }
            let judged: Vec<bool> = predictions.iter().filter(|_| !values).filter_map(|p| right(manifest, p)).collect();
            if !judged.is_empty() {
                let count = judged.iter().filter(|right| **right).count();
                output.line(&format!("{count} of {} right", judged.len()))?;
            }
            if let Some(path) = &arguments.output {
                output.line(&format!("raw outputs in {}", path.display()))?;
            }
            Ok(())
        }
        Format::Json => {
            let results: Vec<serde_json::Value> = predictions
                .iter()
                .map(|p| match (values, &p.answer) {
                    (true, Some(Answer::Values(targets))) => {
                        serde_json::json!({ "input": p.name, "outputs": p.output, "targets": targets })
                    }
                    (true, _) => serde_json::json!({ "input": p.name, "outputs": p.output }),
                    (false, _) => serde_json::json!({
                        "input": p.name,
                        "classes": top(manifest, &p.output, arguments.top),
                        "label": label(p),
                    }),
                })
                .collect();
            output.json(&serde_json::json!({ "network": network.name, "results": results }))
        }
    }
}

/// One image's classes, the most probable first, and what it is if that is known.
fn line(manifest: &Manifest, prediction: &Prediction, count: usize) -> String {
    let name = |label: usize, name: Option<&String>| name.cloned().unwrap_or_else(|| format!("class {label}"));
    let ranked = top(manifest, &prediction.output, count);
    let classes: Vec<String> = ranked
        .iter()
        .map(|class| format!("{} {:.1} %", name(class.label, class.name.as_ref()), 100.0 * class.probability))
        .collect();
    let mut text = format!("{}: {}", prediction.name, classes.join(", "));
    if let (Some(label), Some(right)) = (label(prediction), right(manifest, prediction)) {
        let verdict = if right { "right" } else { "wrong" };
        text.push_str(&format!("   ({verdict}: it is {})", name(label, manifest.classes.get(label))));
    }
    text
}

/// One image's values, and what they should have been if that is known.
fn line_of_values(prediction: &Prediction) -> String {
    let mut text = format!("{}: {}", prediction.name, listed(&prediction.output));
    if let Some(Answer::Values(targets)) = &prediction.answer {
        text.push_str(&format!("   (it is {})", listed(targets)));
    }
    text
}

/// The first few of `values`.
fn listed(values: &[f32]) -> String {
    let shown: Vec<String> = values.iter().take(VALUES).map(f32::to_string).collect();
    match values.len().checked_sub(VALUES) {
        None | Some(0) => shown.join(", "),
        Some(more) => format!("{}, … and {more} more (--output writes all)", shown.join(", ")),
    }
}

/// Whether the most probable class is the true one, if that is known.
fn right(manifest: &Manifest, prediction: &Prediction) -> Option<bool> {
    Some(top(manifest, &prediction.output, 1).first()?.label == label(prediction)?)
}

fn label(prediction: &Prediction) -> Option<usize> {
    match prediction.answer {
        Some(Answer::Class(label)) => Some(label as usize),
        Some(Answer::Values(_)) | None => None,
    }
}
