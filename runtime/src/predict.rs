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
enum Source {
    Image(Image<'static>),
    Values(Vec<f32>),
}

/// Runs the network on files: images (PNG, JPEG) and tensors (.npy, .safetensors; a batch of preprocessed images).
pub fn predict(session: &mut Session, paths: &[PathBuf], observer: &mut dyn Observer) -> Result<Vec<Prediction>> {
    let manifest = session.manifest().clone();
    let mut runner = Runner::new(session, paths.len());
    for path in paths {
        if decode::is_image_name(path) {
            let name = path.display().to_string();
            runner.add(name, path, Source::Image(decode::image(path)?), None, observer)?;
            continue;
        }
        let (count, values) = read_tensor(path, &manifest)?;
        for (index, image) in values.chunks_exact((values.len() / count.max(1)).max(1)).enumerate() {
            let name = if count == 1 { path.display().to_string() } else { format!("{}[{index}]", path.display()) };
            runner.add(name, path, Source::Values(image.to_vec()), None, observer)?;
        }
    }
    runner.finish(observer)
}

/// Runs the network on samples of a data set.
pub fn predict_samples(
    session: &mut Session,
    dataset: &dyn Dataset,
    indices: &[usize],
    observer: &mut dyn Observer,
) -> Result<Vec<Prediction>> {
    let mut runner = Runner::new(session, indices.len());
    for &index in indices {
        if index >= dataset.len() {
            return Err(Error::Request(format!("there is no sample {index}: the data have {}", dataset.len())));
        }
        let sample = dataset.sample(index)?;
        let source = match sample.input {
            Input::Image(image) => Source::Image(image.into_owned()),
            Input::Tensor(values) => Source::Values(values),
        };
        runner.add(format!("test image {index}"), Path::new(""), source, Some(sample.answer), observer)?;
    }
    runner.finish(observer)
}

/// Collects sources of one kind until a batch is full.
struct Runner<'a> {
    session: &'a mut Session,
    geometry: Geometry,
    waiting: Vec<(Prediction, PathBuf, Source)>,
    done: Vec<Prediction>,
    expected: usize,
}

impl<'a> Runner<'a> {
    fn new(session: &'a mut Session, expected: usize) -> Runner<'a> {
        let geometry = Geometry::new(session.manifest());
        Runner { session, geometry, waiting: Vec::new(), done: Vec::new(), expected }
    }

    fn add(
        &mut self,
        name: String,
        path: &Path,
        source: Source,
        answer: Option<Answer>,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let same_kind = |(_, _, first): &(Prediction, PathBuf, Source)| {
            matches!(first, Source::Image(_)) == matches!(source, Source::Image(_))
        };
        if self.waiting.len() == self.session.manifest().batch || !self.waiting.first().is_none_or(same_kind) {
            self.run(observer)?;
        }
        if let Source::Values(values) = &source
            && let Some(value) = strange(values)
        {
            return Err(Error::Request(format!("{name} {}", holds(value))));
        }
        self.waiting.push((Prediction { name, output: Vec::new(), answer }, path.to_owned(), source));
        Ok(())
    }

    fn run(&mut self, observer: &mut dyn Observer) -> Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let size = self.session.manifest().batch;
        let outputs: usize = self.session.manifest().output_shape.iter().product();
        let mut images = Vec::new();
        let mut values = Vec::new();
        for (_, _, source) in &self.waiting {
            match source {
                Source::Image(image) => images.push(image.clone()),
                Source::Values(one) => values.extend_from_slice(one),
            }
        }
        let batch = if values.is_empty() {
            prepare_images(&self.geometry, &images, size).map_err(|(index, cause)| {
                let (prediction, path, _) = &self.waiting[index];
                match path.as_os_str().is_empty() {
                    true => Error::Request(format!("{} {cause}", prediction.name)),
                    false => Error::file(path, cause),
                }
            })?
        } else {
            values.resize(size * self.geometry.values(), 0.0);
            let (inputs, labels, targets) = (Inputs::Values(values), Vec::new(), Vec::new());
            Batch { images: self.waiting.len(), inputs, labels, targets }
        };
        feed(self.session, &batch, "infer")?;
        let rows = self.session.infer()?.chunks_exact(outputs.max(1));
        for ((mut prediction, _, _), row) in self.waiting.drain(..).zip(rows) {
            if let Some(value) = strange(row) {
                return Err(Error::Request(format!("{} {}", prediction.name, overflow(value))));
            }
            prediction.output = row.to_vec();
            self.done.push(prediction);
        }
        match observer.evaluate(self.done.len(), self.expected.max(self.done.len())) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Stopped),
        }
    }

    fn finish(mut self, observer: &mut dyn Observer) -> Result<Vec<Prediction>> {
        self.run(observer)?;
        Ok(self.done)
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
