//! Labelled images from disk: formats found by looking, one trait for all.
//!
//! Understood are IDX files (MNIST, Fashion-MNIST; gzipped or not), CIFAR-10 and CIFAR-100 binary files, tensor files
//! (.safetensors with `images` and `labels` or `targets`), and folders of images, one a class.

mod cifar;
pub mod decode;
mod folder;
mod idx;
mod tensors;

pub use tensors::{check_shape, read_images};

use crate::error::{Error, Result};
use crate::program::Manifest;
use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Without a test part of its own, a data set gives every so-many-th sample to the test part.
pub const HOLD_OUT_EVERY: usize = 10;

/// Samples that can be had by number, from any thread.
pub trait Dataset: Send + Sync {
    /// How many.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sample `index`, which is less than [`Dataset::len`].
    fn sample(&self, index: usize) -> Result<Sample<'_>>;

    /// The error that sample `index` is wrong for `cause`, with its file and place.
    fn blame(&self, index: usize, cause: String) -> Error;

    /// Names of the classes in label order, if the data say.
    fn class_names(&self) -> &[String] {
        &[]
    }

    /// Whether samples are images, and not tensors to be taken as they are.
    fn is_images(&self) -> bool {
        true
    }

    /// Values a sample's target has, if samples have targets and not classes.
    fn target_values(&self) -> Option<usize> {
        None
    }

    /// Refuses labels that are no class of a network with `classes` classes.
    fn check_labels(&self, classes: usize) -> Result<()>;
}

/// One sample.
pub struct Sample<'a> {
    /// What the network sees.
    pub input: Input<'a>,
    /// What it should say.
    pub answer: Answer,
}

/// What the network sees.
pub enum Input<'a> {
    /// A decoded image; geometry and normalisation are still to come.
    Image(Image<'a>),
    /// Values to be taken as they are.
    Tensor(Vec<f32>),
}

/// What the network should say.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// A class.
    Class(u32),
    /// Values.
    Values(Vec<f32>),
}

/// A decoded image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image<'a> {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// Height × width × channels.
    pub pixels: Cow<'a, [u8]>,
}

impl Image<'_> {
    /// The image with pixels of its own.
    pub fn into_owned(self) -> Image<'static> {
        let pixels = Cow::Owned(self.pixels.into_owned());
        Image { height: self.height, width: self.width, channels: self.channels, pixels }
    }
}

/// A data set in its two parts.
pub struct Split {
    /// To learn from.
    pub train: Arc<dyn Dataset>,
    /// To be judged by.
    pub test: Arc<dyn Dataset>,
    /// Where the parts come from.
    pub held_out: HeldOut,
}

impl Split {
    /// What a finished network is judged by: the test part or, where the data are too few to hold any out, all of them.
    pub fn judge(&self) -> &Arc<dyn Dataset> {
        if self.test.is_empty() { &self.train } else { &self.test }
    }
}

/// At most `count` samples of `dataset`, evenly spread over it.
pub fn spread(dataset: &Arc<dyn Dataset>, count: usize) -> Arc<dyn Dataset> {
    let all = dataset.len();
    if count >= all {
        return Arc::clone(dataset);
    }
    let place = |i: usize| (i as u128 * all as u128 / count as u128) as u32;
    Arc::new(Subset { all: Arc::clone(dataset), indices: (0..count).map(place).collect() })
}

/// How data were split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldOut {
    /// The format has its own test part.
    ByFormat,
    /// Every [`HOLD_OUT_EVERY`]th sample was held out.
    EveryTenth,
    /// There is only a test part.
    TestOnly,
}

/// Opens the data at `path` for the program of `manifest`: finds the format, checks sizes and labels.
pub fn open(path: &Path, manifest: &Manifest) -> Result<Split> {
    let split = find(path, manifest)?;
    for part in [&split.train, &split.test] {
        if let (None, false, Some(classes)) = (part.target_values(), part.is_empty(), classes_of(manifest)) {
            part.check_labels(classes)?;
        }
    }
    Ok(split)
}

/// How many classes the network tells apart, if its training is about classes.
fn classes_of(manifest: &Manifest) -> Option<usize> {
    let by_class = manifest.train.as_ref().is_none_or(|train| train.loss == "cross_entropy");
    by_class.then(|| manifest.output_shape.iter().product())
}

fn find(path: &Path, manifest: &Manifest) -> Result<Split> {
    let about = std::fs::metadata(path).map_err(|e| Error::read(path, e))?;
    if !about.is_dir() {
        return if path.extension().is_some_and(|e| e == "safetensors") {
            Ok(hold_out(Arc::new(tensors::Tensors::open(path, manifest)?)))
        } else if idx::is_images_name(path) {
            Ok(hold_out(Arc::new(idx::Idx::open(path)?)))
        } else {
            Err(Error::file(path, format!("is no data set that netc knows; {UNDERSTOOD}")))
        };
    }
    let entries = crate::files::list(path)?;
    let has = |name: &str| entries.iter().any(|e| e.file_name().is_some_and(|n| n == name));
    let (idx_train, idx_test) = (idx::find(&entries, "train"), idx::find(&entries, "t10k"));
    if idx_train.is_some() || idx_test.is_some() {
        let open = |path: PathBuf| Ok(Arc::new(idx::Idx::open(&path)?) as Arc<dyn Dataset>);
        return parts(idx_train.map(open), idx_test.map(open));
    }
    if let Some((train, test)) = cifar::find(path, &entries) {
        let open = |files: Vec<PathBuf>| Ok(Arc::new(cifar::Cifar::open(&files)?) as Arc<dyn Dataset>);
        return parts((!train.is_empty()).then(|| open(train)), (!test.is_empty()).then(|| open(test)));
    }
    let test_name = ["test", "val"].iter().find(|name| has(&format!("{name}.safetensors")));
    if has("train.safetensors") || test_name.is_some() {
        let open = |name: &str| {
            let file = path.join(format!("{name}.safetensors"));
            Ok(Arc::new(tensors::Tensors::open(&file, manifest)?) as Arc<dyn Dataset>)
        };
        return parts(has("train.safetensors").then(|| open("train")), test_name.map(|name| open(name)));
    }
    if let Some((train, test)) = folder::find(path, &entries, &manifest.classes)? {
        let shared = |tree: folder::ImageFolder| Ok(Arc::new(tree) as Arc<dyn Dataset>);
        return parts(train.map(shared), test.map(shared));
    }
    let found: Vec<String> =
        entries.iter().take(5).filter_map(|e| Some(e.file_name()?.display().to_string())).collect();
    let found = match (found.len(), entries.len()) {
        (0, _) => "it is empty".to_owned(),
        (few, all) if few == all => format!("it holds {}", found.join(", ")),
        (_, all) => format!("it holds {} and more, {all} entries in all", found.join(", ")),
    };
    Err(Error::file(path, format!("is no data set that netc knows ({found}); {UNDERSTOOD}")))
}

const UNDERSTOOD: &str = "it can read folders with train-images-idx3-ubyte and train-labels-idx1-ubyte (MNIST; .gz too), \
    folders with data_batch_1.bin (CIFAR-10), tensor files (.safetensors with `images` and `labels`), and folders of PNG or JPEG \
    images, one for each class (with or without train/ and val/ above them)";

type Part = Option<Result<Arc<dyn Dataset>>>;

fn parts(train: Part, test: Part) -> Result<Split> {
    match (train.transpose()?, test.transpose()?) {
        (Some(train), Some(test)) => Ok(Split { train, test, held_out: HeldOut::ByFormat }),
        (Some(all), None) => Ok(hold_out(all)),
        (None, Some(test)) => {
            let train = Arc::new(Subset { all: Arc::clone(&test), indices: Vec::new() });
            Ok(Split { train, test, held_out: HeldOut::TestOnly })
        }
        (None, None) => Err(Error::Request("there are no data".to_owned())),
    }
}

/// Splits by position, not by chance: the same for every seed, and even over classes where files are sorted by class.
fn hold_out(all: Arc<dyn Dataset>) -> Split {
    let held = |i: &u32| *i as usize % HOLD_OUT_EVERY == HOLD_OUT_EVERY - 1;
    let (test, train) = (0..all.len() as u32).partition(held);
    Split {
        train: Arc::new(Subset { all: Arc::clone(&all), indices: train }),
        test: Arc::new(Subset { all, indices: test }),
        held_out: HeldOut::EveryTenth,
    }
}

/// Some samples of a data set.
struct Subset {
    all: Arc<dyn Dataset>,
    indices: Vec<u32>,
}

impl Dataset for Subset {
    fn len(&self) -> usize {
        self.indices.len()
    }

    fn sample(&self, index: usize) -> Result<Sample<'_>> {
        self.all.sample(self.indices[index] as usize)
    }

    fn blame(&self, index: usize, cause: String) -> Error {
        self.all.blame(self.indices[index] as usize, cause)
    }

    fn class_names(&self) -> &[String] {
        self.all.class_names()
    }

    fn is_images(&self) -> bool {
        self.all.is_images()
    }

    fn target_values(&self) -> Option<usize> {
        self.all.target_values()
    }

    fn check_labels(&self, classes: usize) -> Result<()> {
        self.all.check_labels(classes)
    }
}

/// The error for a label that is no class.
fn no_class(path: &Path, offset: Option<u64>, label: i64, index: usize, classes: usize) -> Error {
    let last = classes.saturating_sub(1);
    Error::File {
        path: path.to_owned(),
        offset,
        cause: format!("sample {index} has label {label}, but the network has {classes} classes, 0 to {last}"),
    }
}

/// Reads a whole file.
fn read(path: &Path) -> Result<Vec<u8>> {
    let bytes = std::fs::read(path).map_err(|e| Error::read(path, e))?;
    if bytes.is_empty() { Err(Error::file(path, "is empty")) } else { Ok(bytes) }
}
