//! Weights files and checkpoints: safetensors with PyTorch's names and shapes.
//!
//! A weights file holds the network's parameters and buffers. A checkpoint holds every state, and in its metadata
//! where training stood ([`Position`]), so that training goes on as if it had never stopped.

use crate::error::{Error, Result};
use crate::evaluate::strange;
use crate::program::{Manifest, StateInfo, StateRole};
use crate::session::Session;
use crate::tensorfile::{self, TensorData, TensorFile};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The metadata's key for the [`Position`].
const POSITION: &str = "netc.position";

/// Where training stands.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Position {
    /// Steps done since the start of training.
    pub step: u64,
    /// The current epoch, from 0.
    pub epoch: u64,
    /// Steps done in this epoch: where in the epoch's order of samples the next batch begins, in batches.
    pub epoch_step: u64,
    /// The run's seed.
    pub seed: u64,
    /// Images in a batch.
    pub batch: usize,
    /// Images in the training part of the data.
    pub images: usize,
    /// What the plateau schedule remembers.
    pub plateau: Plateau,
    /// Sums over the steps of this epoch, for its report.
    pub sums: Sums,
}

/// What the plateau schedule remembers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Plateau {
    /// The lowest validation error so far.
    pub best: Option<f64>,
    /// Epochs since.
    pub waited: u64,
    /// How often the rate was lowered.
    pub reductions: u64,
}

/// Sums over training steps.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Sums {
    /// Of the batches' losses.
    pub loss: f64,
    /// Batches.
    pub steps: u64,
    /// Images whose class was the most probable.
    pub correct: u64,
    /// Images that have a class.
    pub labelled: u64,
}

/// Saves the network's parameters and buffers.
pub fn save_weights(session: &Session, path: &Path) -> Result<()> {
    save(session, path, None)
}

/// Saves all states and the position.
pub fn save_checkpoint(session: &Session, path: &Path, position: &Position) -> Result<()> {
    save(session, path, Some(position))
}

/// Loads parameters and buffers from a weights file or checkpoint. A file that does not fit changes nothing; if reading
/// fails half-way, or meets values that are no finite numbers, part of the weights are the file's.
pub fn load_weights(session: &mut Session, path: &Path) -> Result<()> {
    let file = TensorFile::open(path)?;
    load(session, &file, Part::Weights)
}

/// Loads all states and the position from a checkpoint; errors as [`load_weights`].
pub fn load_checkpoint(session: &mut Session, path: &Path) -> Result<Position> {
    let file = TensorFile::open(path)?;
    let position = file
        .metadata()
        .get(POSITION)
        .ok_or_else(|| Error::file(path, "is no checkpoint: it does not say where training stood"))?;
    let position = serde_json::from_str(position)
        .map_err(|e| Error::file(path, format!("has an unreadable position of training: {e}")))?;
    load(session, &file, Part::Everything)?;
    Ok(position)
}

/// The first state that holds a number that is none.
pub fn not_finite(session: &Session) -> Option<&StateInfo> {
    session.manifest().states.iter().find(|info| {
        let values: &[f32] = bytemuck::cast_slice(session.state_bytes(info));
        strange(values).is_some()
    })
}

/// How much of a file is loaded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Parameters and buffers; optimizer states in the file are passed over.
    Weights,
    /// All states; each must be there and no other.
    Everything,
}

impl Part {
    fn wants(self, info: &StateInfo) -> bool {
        self == Part::Everything || is_weight(info)
    }

    fn passes_over(self, name: &str) -> bool {
        // PyTorch counts batches in batch normalisation; nothing here depends on the count.
        name.ends_with(".num_batches_tracked") || (self == Part::Weights && name.starts_with("optimizer."))
    }
}

fn is_weight(info: &StateInfo) -> bool {
    match info.role {
        StateRole::Parameter | StateRole::Buffer => true,
        StateRole::Optimizer => false,
    }
}

fn save(session: &Session, path: &Path, position: Option<&Position>) -> Result<()> {
    let manifest = session.manifest();
    let tensors: Vec<TensorData<'_>> = manifest
        .states
        .iter()
        .filter(|info| position.is_some() || is_weight(info))
        .map(|info| TensorData { name: &info.name, dtype: "F32", shape: &info.shape, data: session.state_bytes(info) })
        .collect();
    let mut metadata =
        BTreeMap::from([("format".to_owned(), "pt".to_owned()), ("netc.network".to_owned(), manifest.name.clone())]);
    if let Some(position) = position {
        let text = serde_json::to_string(position).map_err(|e| Error::io("write", path, e.into()))?;
        metadata.insert(POSITION.to_owned(), text);
        metadata.insert("netc.program".to_owned(), manifest.hash.clone());
    }
    tensorfile::write(path, &tensors, &metadata)
}

fn load(session: &mut Session, file: &TensorFile, part: Part) -> Result<()> {
    let problems = differences(session.manifest(), file, part);
    if !problems.is_empty() {
        let program = session.manifest().name.clone();
        return Err(Error::Mismatch { path: file.path().to_owned(), program, problems });
    }
    // Straight into the state block: a second copy of all weights would be more memory than the program was said to need.
    let states: Vec<StateInfo> = session.manifest().states.iter().filter(|s| part.wants(s)).cloned().collect();
    for state in &states {
        let entry = &file.tensors()[&state.name];
        file.read(entry, 0, session.state_bytes_mut(state))?;
        if let Some(value) = strange(bytemuck::cast_slice(session.state_bytes(state))) {
            let cause = format!("has `{}` that holds {value}; finite numbers are needed", state.name);
            return Err(Error::file(file.path(), cause));
        }
    }
    Ok(())
}

/// Everything that keeps `file` from being loaded.
fn differences(manifest: &Manifest, file: &TensorFile, part: Part) -> Vec<String> {
    let known = |name: &str| manifest.states.iter().any(|s| s.name == name);
    let unknown: Vec<&str> =
        file.tensors().keys().map(String::as_str).filter(|name| !known(name) && !part.passes_over(name)).collect();
    let missing: Vec<&StateInfo> =
        manifest.states.iter().filter(|s| part.wants(s) && !file.tensors().contains_key(&s.name)).collect();
    let mut problems = Vec::new();
    for state in manifest.states.iter().filter(|s| part.wants(s)) {
        let Some(entry) = file.tensors().get(&state.name) else {
            // Another layer's tensor may well have a similar name.
            let alike: Vec<&str> =
                unknown.iter().copied().filter(|name| file.tensors()[*name].shape == state.shape).collect();
            let hint =
                closest(&state.name, &alike).map_or(String::new(), |name| format!("; is it the file's `{name}`?"));
            problems.push(format!("`{}` {:?} is missing{hint}", state.name, state.shape));
            continue;
        };
        if entry.shape != state.shape {
            problems
                .push(format!("`{}` is {:?} in the file, {:?} in the network", state.name, entry.shape, state.shape));
        } else if entry.dtype != "F32" {
            problems.push(format!("`{}` has type {} in the file, F32 is needed", state.name, entry.dtype));
        }
    }
    for name in &unknown {
        let shape = &file.tensors()[*name].shape;
        let alike: Vec<&str> = missing.iter().filter(|s| s.shape == *shape).map(|s| s.name.as_str()).collect();
        let hint = closest(name, &alike).map_or(String::new(), |name| format!("; did you mean `{name}`?"));
        problems.push(format!("`{name}` {shape:?} is not in the network{hint}"));
    }
    problems
}

/// The candidate nearest to `name` by edits, if it is near at all.
fn closest<'a>(name: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let best = candidates.iter().map(|c| (edits(name, c), *c)).min()?;
    (best.0 <= name.chars().count() / 3).then_some(best.1)
}

/// Levenshtein's distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_name_is_near_or_none() {
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(closest("conv1.weigth", &["conv2.weight", "conv1.weight"]), Some("conv1.weight"));
        assert_eq!(closest("classifier.6.bias", &["conv1.weight"]), None);
        assert_eq!(closest("x", &[]), None);
    }

    #[test]
    fn a_position_survives_its_text_form_bit_for_bit() {
        let position = Position {
            plateau: Plateau { best: Some(0.1 + 0.2), waited: 1, reductions: 2 },
            sums: Sums { loss: 1.0 / 3.0, steps: 7, correct: 3, labelled: 9 },
            seed: u64::MAX,
            ..Position::default()
        };
        let text = serde_json::to_string(&position).unwrap();
        assert_eq!(serde_json::from_str::<Position>(&text).unwrap(), position);
    }
}
