//! `netc diff`: what two networks differ in, and what each difference can change.

use super::arguments::{Format, Machine, assignment, seed};
use super::output::Output;
use super::parting;
use crate::check::Network;
use crate::check::report::{Column, columns, grouped, scaled};
use crate::compare::{Comparison, Effect, compare};
use crate::driver::{self, Failure};
use clap::{ArgGroup, Args};
use std::path::{Path, PathBuf};

/// `netc diff`.
#[derive(Debug, Args)]
#[command(
    after_help = "Differences change nothing (names, other ways to write the same), training only, the images that \
                        go in, results, or shapes, so that the weights of one do not fit the other.\nWith --run, both \
                        networks run on the same images: without images on random ones, without --weights with the \
                        initial weights of A, which B's layers of the same shapes take over.\nThe exit code is 0 \
                        whether or not they differ.",
    group = ArgGroup::new("how").args(["threads", "device", "algorithm", "cache"]).multiple(true).requires("run")
)]
pub struct Diff {
    /// A spec
    #[arg(value_name = "A")]
    pub a: PathBuf,
    /// Another
    #[arg(value_name = "B")]
    pub b: PathBuf,
    /// Run both on the same images, and tell how far apart each layer's numbers are and where they first part
    #[arg(long)]
    pub run: bool,
    /// With --run: images (PNG, JPEG) or tensors (.safetensors, .npy) of the input's shape with a leading batch
    #[arg(value_name = "IMAGE|TENSOR", requires = "run")]
    pub inputs: Vec<PathBuf>,
    /// With --run: weights (.safetensors) for both
    #[arg(long, value_name = "FILE", requires = "run")]
    pub weights: Option<PathBuf>,
    /// With --run: seed of random images and initial weights [default: 0]
    #[arg(long, value_name = "N", value_parser = seed, allow_negative_numbers = true, requires = "run")]
    pub seed: Option<u64>,
    /// Change a value of both, as conv1.stride=2; may be repeated
    #[arg(long = "set", value_name = "PATH=VALUE", value_parser = assignment)]
    pub sets: Vec<String>,
    /// Write results as text or as json
    #[arg(long, value_enum, hide_possible_values = true, default_value_t = Format::Text)]
    pub format: Format,
    /// The machine.
    #[command(flatten)]
    pub machine: Machine,
}

/// Compares two specs.
pub fn diff(arguments: &Diff, output: &mut Output) -> Result<(), Failure> {
    let network =
        |path: &Path| -> Result<Network, Failure> { Ok(driver::check(driver::read(path, &arguments.sets)?)?.network) };
    let (a, b) = (network(&arguments.a)?, network(&arguments.b)?);
    let found = compare(&a, &b);
    let parting = match arguments.run {
        true => Some(parting::run(arguments, [&a, &b], &found)?),
        false => None,
    };
    match arguments.format {
        Format::Json => {
            let mut told = json(&found);
            if let Some(parting) = parting {
                told["run"] = parting.json();
            }
            output.json(&told)
        }
        Format::Text => {
            output.write(&text(&found, &arguments.a, &arguments.b))?;
            parting.map_or(Ok(()), |parting| output.write(&parting.text()))
        }
    }
}

/// Characters of a cell.
const WIDEST: usize = 34;

fn text(found: &Comparison, a: &Path, b: &Path) -> String {
    let telling = found.differences.iter().filter(|d| d.effect != Effect::Nothing).count();
    if found.differences.is_empty() {
        return format!("{} and {} are the same network\n", a.display(), b.display());
    }
    let mut rows = vec![["layer", "setting", "A", "B", "changes"].map(String::from).to_vec()];
    let mut last = "";
    for d in found.differences.iter().filter(|d| d.effect != Effect::Nothing) {
        let place = if last == d.place { String::new() } else { cut(&d.place) };
        last = &d.place;
        rows.push(vec![place, d.setting.clone(), cut(&d.sides[0]), cut(&d.sides[1]), d.effect.word().to_string()]);
    }
    let mut out = format!("A {}\nB {}\n\n", a.display(), b.display());
    if telling > 0 {
        out.push_str(&columns(&rows, &[Column::Left; 5]));
        out.push('\n');
    }
    let quiet: Vec<String> = found
        .differences
        .iter()
        .filter(|d| d.effect == Effect::Nothing)
        .map(|d| match d.setting.as_str() {
            "layer" => format!("{} ({})", d.place, d.sides.concat()),
            "name" => d.place.clone(),
            setting => format!("{} {setting}", d.place),
        })
        .collect();
    if !quiet.is_empty() {
        out.push_str(&wrapped(&format!("changes nothing: {}", quiet.join("; "))));
        out.push('\n');
    }
    let totals = vec![
        vec![String::new(), "params".to_string(), "MACs".to_string()],
        vec!["A".to_string(), grouped(found.params[0]), scaled(found.macs[0])],
        vec!["B".to_string(), grouped(found.params[1]), scaled(found.macs[1])],
    ];
    out.push_str(&columns(&totals, &[Column::Left, Column::Right, Column::Right]));
    out
}

/// What stands in a cell for `text`.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(WIDEST) {
        Some(_) => format!("{}…", text.chars().take(WIDEST - 1).collect::<String>()),
        None if text.is_empty() => "–".to_string(),
        None => text.to_string(),
    }
}

/// Words in lines of 80 columns.
pub(super) fn wrapped(text: &str) -> String {
    let mut out = String::new();
    let mut at = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if at > 0 && at + 1 + length > 80 {
            out.push_str("\n  ");
            at = 2;
        } else if at > 0 {
            out.push(' ');
            at += 1;
        }
        out.push_str(word);
        at += length;
    }
    out.push('\n');
    out
}

fn json(found: &Comparison) -> serde_json::Value {
    let differences: Vec<serde_json::Value> = found
        .differences
        .iter()
        .map(|d| {
            serde_json::json!({
                "place": d.place, "setting": d.setting, "a": d.sides[0], "b": d.sides[1], "changes": d.effect.word(),
            })
        })
        .collect();
    serde_json::json!({
        "names": found.names,
        "same": found.differences.is_empty(),
        "paired_layers": found.paired,
        "params": found.params,
        "macs": found.macs,
        "differences": differences,
    })
}
