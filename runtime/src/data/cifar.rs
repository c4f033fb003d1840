//! CIFAR-10 and CIFAR-100 in their binary versions: records of a label (two in CIFAR-100) and 32×32 pixels, planar.

use super::{Answer, Dataset, Image, Input, Sample, no_class};
use crate::error::{Error, Result};
use std::borrow::Cow;
use std::path::{Path, PathBuf};

const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;

/// The two variants: bytes of labels before the pixels (the last one counts), classes, and the file of class names.
#[derive(Clone, Copy)]
struct Variant {
    labels: usize,
    classes: usize,
    names: &'static str,
}

const CIFAR_10: Variant = Variant { labels: 1, classes: 10, names: "batches.meta.txt" };
const CIFAR_100: Variant = Variant { labels: 2, classes: 100, names: "fine_label_names.txt" };

/// Records in memory.
pub struct Cifar {
    variant: Variant,
    /// Each file with the number of its first record.
    files: Vec<(PathBuf, usize)>,
    records: Vec<u8>,
    names: Vec<String>,
}

/// The training and test files in `folder` or in the folder that the archives unpack to.
pub fn find(folder: &Path, entries: &[PathBuf]) -> Option<(Vec<PathBuf>, Vec<PathBuf>)> {
    let inner = ["cifar-10-batches-bin", "cifar-100-binary"].iter().map(|name| folder.join(name)).find(|p| p.is_dir());
    let listed = inner.and_then(|folder| crate::files::list(&folder).ok());
    let entries = listed.as_deref().unwrap_or(entries);
    let named = |wanted: &dyn Fn(&str) -> bool| -> Vec<PathBuf> {
        let pleases = |path: &&PathBuf| path.file_name().is_some_and(|name| wanted(&name.to_string_lossy()));
        entries.iter().filter(pleases).cloned().collect()
    };
    let train = named(&|name| (name.starts_with("data_batch_") && name.ends_with(".bin")) || name == "train.bin");
    let test = named(&|name| name == "test_batch.bin" || name == "test.bin");
    (!train.is_empty() || !test.is_empty()).then_some((train, test))
}

impl Cifar {
    /// Opens files as one data set.
    pub fn open(paths: &[PathBuf]) -> Result<Cifar> {
        let is_100 = paths.first().and_then(|p| p.file_name()).is_some_and(|n| n == "train.bin" || n == "test.bin");
        let variant = if is_100 { CIFAR_100 } else { CIFAR_10 };
        let record = variant.labels + 3 * PLANE;
        let mut files = Vec::new();
        let mut records = Vec::new();
        for path in paths {
            let bytes = super::read(path)?;
            let rest = bytes.len() % record;
            if rest != 0 {
                let at = (bytes.len() - rest) as u64;
                let cause = format!("is truncated: records have {record} bytes, the last one has {rest}");
                return Err(Error::file_at(path, at, cause));
            }
            let first = records.len() / record;
            let labels = bytes.chunks_exact(record).map(|r| usize::from(r[variant.labels - 1]));
            if let Some((index, label)) = labels.enumerate().find(|&(_, label)| label >= variant.classes) {
                let at = (index * record + variant.labels - 1) as u64;
                let cause = format!("record {index} has label {label}, CIFAR has {} classes", variant.classes);
                return Err(Error::file_at(path, at, cause));
            }
            files.push((path.clone(), first));
            records.extend_from_slice(&bytes);
        }
        let names =
            paths.first().map(|path| path.with_file_name(variant.names)).and_then(|p| std::fs::read_to_string(p).ok());
        let names: Vec<String> =
            names.unwrap_or_default().lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect();
        let names = if names.len() == variant.classes { names } else { Vec::new() };
        Ok(Cifar { variant, files, records, names })
    }

    fn record(&self, index: usize) -> &[u8] {
        let size = self.variant.labels + 3 * PLANE;
        &self.records[index * size..][..size]
    }
}

impl Dataset for Cifar {
    fn len(&self) -> usize {
        self.records.len() / (self.variant.labels + 3 * PLANE)
    }

    fn sample(&self, index: usize) -> Result<Sample<'_>> {
        let (labels, planes) = self.record(index).split_at(self.variant.labels);
        let mut pixels = vec![0; 3 * PLANE];
        for (channel, plane) in planes.chunks_exact(PLANE).enumerate() {
            for (pixel, &value) in pixels.chunks_exact_mut(3).zip(plane) {
                pixel[channel] = value;
            }
        }
        let image = Image { height: SIDE, width: SIDE, channels: 3, pixels: Cow::Owned(pixels) };
        let label = labels.last().copied().unwrap_or_default();
        Ok(Sample { input: Input::Image(image), answer: Answer::Class(u32::from(label)) })
    }

    fn blame(&self, index: usize, cause: String) -> Error {
        match self.files.iter().rev().find(|(_, first)| *first <= index) {
            Some((path, first)) => Error::file(path, format!("image {} {cause}", index - first)),
            None => Error::Request(cause),
        }
    }

    fn class_names(&self) -> &[String] {
        &self.names
    }

    fn check_labels(&self, classes: usize) -> Result<()> {
        let label = |index| usize::from(self.record(index)[self.variant.labels - 1]);
        let Some(index) = (0..self.len()).find(|&index| label(index) >= classes) else { return Ok(()) };
        let file = self.files.iter().rev().find(|(_, first)| *first <= index);
        file.map_or(Ok(()), |(path, first)| {
            let at = (index - first) * (self.variant.labels + 3 * PLANE);
            Err(no_class(path, Some(at as u64), label(index) as i64, index, classes))
        })
    }
}
