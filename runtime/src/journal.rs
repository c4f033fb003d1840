//! The run folder: `weights.safetensors`, `checkpoints/` and `log.jsonl`.

use crate::checkpoint::{Position, not_finite, save_checkpoint, save_weights};
use crate::error::{Error, Result};
use crate::files;
use crate::observer::EpochReport;
use crate::session::Session;
use crate::tensorfile::TensorFile;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What to try when training diverges.
pub(crate) const LOWER: &str = "try a lower learning rate, a warm-up, or other initial values";

/// What to try when it does so before anything was learnt.
pub(crate) const LOOK: &str = "no rate has had an effect yet: look at the data and the initial weights";

/// A run's folder, open for training.
pub struct Run {
    folder: PathBuf,
    log: File,
}

/// A line of the log.
#[derive(Serialize)]
struct Line<'a, T: Serialize> {
    kind: &'a str,
    #[serde(flatten)]
    record: &'a T,
}

impl Run {
    /// Begins a run in a folder that holds none; creates it.
    pub fn create(folder: &Path) -> Result<Run> {
        check(folder, false)?;
        files::create_folder(&folder.join("checkpoints"))?;
        // Whatever log there is belongs to a run that never saved anything.
        files::write_atomically(&log_path(folder), |_| Ok(()))?;
        Run::open(folder)
    }

    /// Goes on with the run of `position`: log lines from after it are of steps that will be done again.
    pub fn resume(folder: &Path, position: &Position) -> Result<Run> {
        let path = log_path(folder);
        let text = match std::fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(Error::read(&path, e)),
        };
        let step = |line: &str| {
            let value: serde_json::Value = serde_json::from_str(line).ok()?;
            value.get("step")?.as_u64()
        };
        let kept = text.lines().filter(|line| step(line).is_some_and(|step| step <= position.step));
        let kept: String = kept.flat_map(|line| [line, "\n"]).collect();
        files::write_atomically(&path, |file| file.write_all(kept.as_bytes()))?;
        Run::open(folder)
    }

    fn open(folder: &Path) -> Result<Run> {
        files::remove_partial(folder)?;
        files::remove_partial(&folder.join("checkpoints"))?;
        let path = log_path(folder);
        let log = OpenOptions::new().append(true).create(true).open(&path).map_err(|e| Error::io("open", &path, e))?;
        Ok(Run { folder: folder.to_owned(), log })
    }

    /// The file of the network's weights.
    pub fn weights(&self) -> PathBuf {
        weights_path(&self.folder)
    }

    /// Appends a line to the log.
    pub fn note<T: Serialize>(&mut self, kind: &str, record: &T) -> Result<()> {
        let path = log_path(&self.folder);
        let failed = |e: std::io::Error| Error::io("write", &path, e);
        let mut line = serde_json::to_vec(&Line { kind, record }).map_err(|e| failed(e.into()))?;
        line.push(b'\n');
        // One write a line, so that a kill leaves whole lines.
        self.log.write_all(&line).map_err(failed)
    }

    /// Saves a checkpoint, then the weights, then removes all but the newest `keep` checkpoints. Refuses states that
    /// are no numbers. Gives the checkpoint's path.
    pub fn save(&self, session: &Session, position: &Position, learning_rate: f64, keep: usize) -> Result<PathBuf> {
        if let Some(state) = not_finite(session) {
            let what = format!("`{}` holds values that are no finite numbers", state.name);
            return Err(self.diverged(what, position.step, learning_rate, LOWER));
        }
        let folder = self.folder.join("checkpoints");
        let path = folder.join(format!("step-{:08}.safetensors", position.step));
        save_checkpoint(session, &path, position)?;
        save_weights(session, &self.weights())?;
        let all = checkpoints(&self.folder)?;
        for old in all.iter().rev().skip(keep.max(1)).filter(|old| **old != path) {
            std::fs::remove_file(old).map_err(|e| Error::io("remove", old, e))?;
        }
        Ok(path)
    }

    /// The error for training that has left the numbers, with what to try.
    pub fn diverged(&self, what: String, step: u64, learning_rate: f64, advice: &str) -> Error {
        let last = match latest_checkpoint(&self.folder) {
            Ok(Some(path)) => format!("; the last good checkpoint is {}", path.display()),
            _ => String::new(),
        };
        let advice = format!("{advice}{last}");
        Error::Diverged { what, step, learning_rate, advice }
    }
}

/// Refuses a folder that cannot be used: to begin in it, it must hold no run; to resume, a checkpoint.
pub fn check(folder: &Path, resume: bool) -> Result<()> {
    if folder.exists() && !folder.is_dir() {
        let taken = std::io::Error::new(std::io::ErrorKind::NotADirectory, "there is a file of that name");
        return Err(Error::io("create folder", folder, taken));
    }
    let checkpoint = latest_checkpoint(folder)?.is_some();
    let cause = match resume {
        true if !checkpoint => "holds no checkpoint to resume from; start without --resume",
        false if checkpoint || weights_path(folder).exists() => {
            "already holds a training run: continue it with --resume, or choose another folder"
        }
        _ => return Ok(()),
    };
    Err(Error::Request(format!("{} {cause}", folder.display())))
}

/// The error for the newest checkpoint being damaged, with what can be done about it.
pub fn damaged(folder: &Path, checkpoint: &Path, offset: Option<u64>, cause: &str) -> Error {
    let others = checkpoints(folder).unwrap_or_default();
    let good = others.into_iter().rev().find(|path| path != checkpoint && TensorFile::open(path).is_ok());
    let remedy = match good {
        Some(path) => format!("delete that file, and --resume goes on from {}", path.display()),
        None => "there is no other checkpoint that can be read: start again without --resume".to_owned(),
    };
    Error::File { path: checkpoint.to_owned(), offset, cause: format!("{cause}\n  = {remedy}") }
}

/// The newest checkpoint in a run's folder.
pub fn latest_checkpoint(folder: &Path) -> Result<Option<PathBuf>> {
    Ok(checkpoints(folder)?.pop())
}

/// The last epoch that a run's log tells of.
pub fn last_epoch(folder: &Path) -> Option<EpochReport> {
    #[derive(serde::Deserialize)]
    struct Kind {
        kind: String,
    }
    let text = std::fs::read_to_string(log_path(folder)).ok()?;
    let is_epoch = |line: &&str| serde_json::from_str(line).is_ok_and(|Kind { kind }| kind == "epoch");
    serde_json::from_str(text.lines().rev().find(is_epoch)?).ok()
}

/// The checkpoints of a run, oldest first.
fn checkpoints(folder: &Path) -> Result<Vec<PathBuf>> {
    let folder = folder.join("checkpoints");
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let step = |path: &PathBuf| -> Option<u64> {
        path.file_name()?.to_str()?.strip_prefix("step-")?.strip_suffix(".safetensors")?.parse().ok()
    };
    let mut found: Vec<(u64, PathBuf)> =
        files::list(&folder)?.into_iter().filter_map(|path| Some((step(&path)?, path))).collect();
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

fn weights_path(folder: &Path) -> PathBuf {
    folder.join("weights.safetensors")
}

fn log_path(folder: &Path) -> PathBuf {
    folder.join("log.jsonl")
}
