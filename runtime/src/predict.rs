//! Runs a network on images and tensors that have no labels.

use crate::data::{Answer, Dataset, Image, Input, check_shape, decode, read_images};
use crate::error::{Error, Result};
use crate::evaluate::{overflow, strange};
use crate::loader::{Batch, Inputs, feed, holds, prepare_images};
use crate::observer::Observer;
use crate::preprocess::Geometry;
use crate::program::Manifest;
use crate::session::Session;
use crate::tensorfile::{self, TensorData};
use serde::Serialize;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// The network's output for one image.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// The file, with the image's number in it if it holds several: `batch.npy[3]`.
    pub name: String,
    /// [`Manifest::output_shape`] values.
    pub output: Vec<f32>,
    /// What the network should have said, if that is known.
    pub answer: Option<Answer>,
}

/// A class with its probability.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ranked {
    /// Its label.
    pub label: usize,
    /// Its name, if the program knows names.
    pub name: Option<String>,
    /// Its probability.
    pub probability: f64,
}

/// What to run on.
pub(crate) enum Source {
    Image(Image<'static>),
    Values(Vec<f32>),
}

/// Something to run on, and what is known of it.
pub(crate) struct Sample {
    /// What it is called in predictions and errors.
    pub(crate) name: String,
    /// Its file; empty if it comes from a data set.
    path: PathBuf,
    source: Source,
    answer: Option<Answer>,
}

/// What is to be done with a batch of samples of one kind.
type Act<'a> = dyn FnMut(&[Sample]) -> Result<()> + 'a;

/// Runs the network on files: images (PNG, JPEG) and tensors (.npy, .safetensors; a batch of preprocessed images).
pub fn predict(session: &mut Session, paths: &[PathBuf], observer: &mut dyn Observer) -> Result<Vec<Prediction>> {
    let manifest = session.manifest().clone();
    let mut runner = Runner::new(session, paths.len(), observer);
    read_files(paths, &[&manifest], &mut |batch| runner.run(batch))?;
    Ok(runner.done)
}

/// Runs the network on samples of a data set.
pub fn predict_samples(
    session: &mut Session,
    dataset: &dyn Dataset,
    indices: &[usize],
    observer: &mut dyn Observer,
) -> Result<Vec<Prediction>> {
    let size = session.manifest().batch;
    let mut runner = Runner::new(session, indices.len(), observer);
    let mut act = |batch: &[Sample]| runner.run(batch);
    let mut collector = Collector { size, waiting: Vec::new(), act: &mut act };
    for &index in indices {
        if index >= dataset.len() {
            return Err(Error::Request(format!("there is no sample {index}: the data have {}", dataset.len())));
        }
        let sample = dataset.sample(index)?;
        let source = match sample.input {
            Input::Image(image) => Source::Image(image.into_owned()),
            Input::Tensor(values) => Source::Values(values),
        };
        let (name, answer) = (format!("test image {index}"), Some(sample.answer));
        collector.add(Sample { name, path: PathBuf::new(), source, answer })?;
    }
    collector.finish()?;
    Ok(runner.done)
}

/// Reads files and hands their contents to `act` in batches that suit all of `manifests`, which agree about their size.
pub(crate) fn read_files(paths: &[PathBuf], manifests: &[&Manifest], act: &mut Act<'_>) -> Result<()> {
    let size = manifests.first().map_or(1, |manifest| manifest.batch);
    let mut collector = Collector { size, waiting: Vec::new(), act };
    for path in paths {
        if decode::is_image_name(path) {
            let (name, source) = (path.display().to_string(), Source::Image(decode::image(path)?));
            collector.add(Sample { name, path: path.clone(), source, answer: None })?;
            continue;
        }
        let mut read = (0, Vec::new());
        for manifest in manifests {
            read = read_tensor(path, manifest)?;
        }
        let (count, values) = read;
        for (index, image) in values.chunks_exact((values.len() / count.max(1)).max(1)).enumerate() {
            let name = if count == 1 { path.display().to_string() } else { format!("{}[{index}]", path.display()) };
            collector.add(Sample { name, path: path.clone(), source: Source::Values(image.to_vec()), answer: None })?;
        }
    }
    collector.finish()
}

/// Collects samples of one kind until a batch is full.
struct Collector<'a, 'b> {
    size: usize,
    waiting: Vec<Sample>,
    act: &'a mut Act<'b>,
}

impl Collector<'_, '_> {
    fn add(&mut self, sample: Sample) -> Result<()> {
        let same_kind =
            |first: &Sample| matches!(first.source, Source::Image(_)) == matches!(sample.source, Source::Image(_));
        if self.waiting.len() == self.size || !self.waiting.first().is_none_or(same_kind) {
            self.finish()?;
        }
        if let Source::Values(values) = &sample.source
            && let Some(value) = strange(values)
        {
            return Err(Error::Request(format!("{} {}", sample.name, holds(value))));
        }
        self.waiting.push(sample);
        Ok(())
    }

    fn finish(&mut self) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        (self.act)(&std::mem::take(&mut self.waiting))
    }
}

/// The batch of `size` that samples of one kind are.
pub(crate) fn prepare(geometry: &Geometry, samples: &[Sample], size: usize) -> Result<Batch> {
    let mut images = Vec::new();
    let mut values = Vec::new();
    for sample in samples {
        match &sample.source {
            Source::Image(image) => images.push(image.clone()),
            Source::Values(one) => values.extend_from_slice(one),
        }
    }
    if values.is_empty() {
        return prepare_images(geometry, &images, size).map_err(|(index, cause)| {
            let Sample { name, path, .. } = &samples[index];
            match path.as_os_str().is_empty() {
                true => Error::Request(format!("{name} {cause}")),
                false => Error::file(path, cause),
            }
        });
    }
    values.resize(size * geometry.values(), 0.0);
    let (inputs, labels, targets) = (Inputs::Values(values), Vec::new(), Vec::new());
    Ok(Batch { images: samples.len(), inputs, labels, targets })
}

/// Runs batches and keeps what comes out.
struct Runner<'a> {
    session: &'a mut Session,
    observer: &'a mut dyn Observer,
    geometry: Geometry,
    done: Vec<Prediction>,
    expected: usize,
}

impl<'a> Runner<'a> {
    fn new(session: &'a mut Session, expected: usize, observer: &'a mut dyn Observer) -> Runner<'a> {
        let geometry = Geometry::new(session.manifest());
        Runner { session, observer, geometry, done: Vec::new(), expected }
    }

    fn run(&mut self, samples: &[Sample]) -> Result<()> {
        let size = self.session.manifest().batch;
        let outputs: usize = self.session.manifest().output_shape.iter().product();
        feed(self.session, &prepare(&self.geometry, samples, size)?, "infer")?;
        for (sample, row) in samples.iter().zip(self.session.infer()?.chunks_exact(outputs.max(1))) {
            if let Some(value) = strange(row) {
                return Err(Error::Request(format!("{} {}", sample.name, overflow(value))));
            }
            let (name, answer) = (sample.name.clone(), sample.answer.clone());
            self.done.push(Prediction { name, output: row.to_vec(), answer });
        }
        match self.observer.evaluate(self.done.len(), self.expected.max(self.done.len())) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Stopped),
        }
    }
}

/// The `k` most probable classes, most probable first; of equals the first. Logits go through softmax in f64.
pub fn top(manifest: &Manifest, output: &[f32], k: usize) -> Vec<Ranked> {
    let mut probabilities: Vec<f64> = output.iter().map(|&x| f64::from(x)).collect();
    if !manifest.output_is_probability {
        let most = probabilities.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        probabilities.iter_mut().for_each(|x| *x = (*x - most).exp());
        let sum: f64 = probabilities.iter().sum();
        probabilities.iter_mut().for_each(|x| *x /= sum);
    }
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    // A stable sort; what is no number goes last.
    let key = |i: usize| if probabilities[i].is_nan() { f64::NEG_INFINITY } else { probabilities[i] };
    order.sort_by(|&a, &b| key(b).total_cmp(&key(a)));
    let ranked =
        |label| Ranked { label, name: manifest.classes.get(label).cloned(), probability: probabilities[label] };
    order.into_iter().take(k).map(ranked).collect()
}

/// Writes raw outputs to a .safetensors file: tensor `output`, one row an image.
pub fn save_outputs(path: &Path, manifest: &Manifest, predictions: &[Prediction]) -> Result<()> {
    let rows: Vec<f32> = predictions.iter().flat_map(|p| p.output.iter().copied()).collect();
    let shape = [vec![predictions.len()], manifest.output_shape.clone()].concat();
    let output = TensorData { name: "output", dtype: "F32", shape: &shape, data: bytemuck::cast_slice(&rows) };
    tensorfile::write(path, &[output], &BTreeMap::new())
}

fn read_tensor(path: &Path, manifest: &Manifest) -> Result<(usize, Vec<f32>)> {
    match path.extension().unwrap_or_default().to_string_lossy().as_ref() {
        "npy" => read_npy(path, manifest),
        "safetensors" => read_images(path, manifest),
        _ => {
            std::fs::metadata(path).map_err(|e| Error::read(path, e))?;
            Err(Error::file(path, "is no input: give PNG or JPEG images, or .npy or .safetensors tensors"))
        }
    }
}

/// Reads a .npy file of f32 values in C order.
fn read_npy(path: &Path, manifest: &Manifest) -> Result<(usize, Vec<f32>)> {
    let bytes = std::fs::read(path).map_err(|e| Error::read(path, e))?;
    if bytes.is_empty() {
        return Err(Error::file(path, "is empty"));
    }
    let mut rest = &bytes[..];
    let header = npyz::NpyHeader::from_reader(&mut rest)
        .map_err(|e| Error::file(path, format!("is no .npy file that can be read: {e}")))?;
    let dtype = header.dtype().descr();
    if !matches!(dtype.trim_matches('\''), "<f4") {
        return Err(Error::file(path, format!("holds {dtype}; little-endian f32 ('<f4') is needed")));
    }
    let shape: Vec<usize> = header.shape().iter().map(|&d| usize::try_from(d).unwrap_or(usize::MAX)).collect();
    if header.order() != npyz::Order::C && shape.len() > 1 {
        return Err(Error::file(path, "is in Fortran order; C order is needed (numpy.ascontiguousarray)"));
    }
    let count = check_shape(path, "the array", &shape, manifest)?;
    let begin = (bytes.len() - rest.len()) as u64;
    let expected = crate::library::elements(&shape).and_then(|n| n.checked_mul(4));
    if expected != Some(rest.len()) {
        let cause =
            format!("is truncated or has bytes left over: shape {shape:?} of f32, but {} bytes of data", rest.len());
        return Err(Error::file_at(path, begin, cause));
    }
    Ok((count, rest.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()))
}
