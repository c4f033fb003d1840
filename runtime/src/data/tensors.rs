//! Tensor files as data: `images` (f32, N×…, taken as they are), and `labels` (integers) or `targets` (f32).

use super::{Answer, Dataset, Input, Sample, no_class};
use crate::error::{Error, Result};
use crate::program::Manifest;
use crate::tensorfile::{TensorEntry, TensorFile};
use std::path::Path;

/// An open file; images are read when they are asked for.
pub struct Tensors {
    file: TensorFile,
    images: TensorEntry,
    count: usize,
    answers: Answers,
}

enum Answers {
    Classes(Vec<i64>),
    Values { each: usize, all: Vec<f32> },
}

impl Tensors {
    /// Opens a file whose images have the program's input shape.
    pub fn open(path: &Path, manifest: &Manifest) -> Result<Tensors> {
        let file = TensorFile::open(path)?;
        let tensor = |name: &str| file.tensors().get(name).cloned();
        let images = tensor("images").ok_or_else(|| {
            let have: Vec<&str> = file.tensors().keys().map(String::as_str).take(8).collect();
            Error::file(path, format!("has no tensor `images` (it has {})", have.join(", ")))
        })?;
        check_type(path, "images", &images, "F32")?;
        let count = check_shape(path, "images", &images.shape, manifest)?;
        let answers = match (tensor("labels"), tensor("targets")) {
            (Some(labels), None) => {
                check_count(path, "labels", &labels, count)?;
                Answers::Classes(integers(&file, &labels)?)
            }
            (None, Some(targets)) => {
                check_type(path, "targets", &targets, "F32")?;
                check_count(path, "targets", &targets, count)?;
                let each: usize = targets.shape.iter().skip(1).product();
                let expected: usize = manifest.output_shape.iter().product();
                if each != expected {
                    let (shape, output) = (&targets.shape[1..], &manifest.output_shape);
                    let cause = format!("has targets of shape {shape:?} an image; the network gives {output:?}");
                    return Err(Error::file(path, cause));
                }
                Answers::Values { each, all: floats(&file, &targets, 0, count * each)? }
            }
            (None, None) => return Err(Error::file(path, "has neither `labels` nor `targets`")),
            (Some(_), Some(_)) => return Err(Error::file(path, "has both `labels` and `targets`: which are meant?")),
        };
        Ok(Tensors { file, images, count, answers })
    }

    fn values(&self) -> usize {
        self.images.shape.iter().skip(1).product()
    }
}

impl Dataset for Tensors {
    fn len(&self) -> usize {
        self.count
    }

    fn sample(&self, index: usize) -> Result<Sample<'_>> {
        let input = Input::Tensor(floats(&self.file, &self.images, index * self.values(), self.values())?);
        let answer = match &self.answers {
            // Checked against the network's classes when the data were opened.
            Answers::Classes(labels) => Answer::Class(labels[index] as u32),
            Answers::Values { each, all } => Answer::Values(all[index * each..][..*each].to_vec()),
        };
        Ok(Sample { input, answer })
    }

    fn blame(&self, index: usize, cause: String) -> Error {
        Error::file(self.file.path(), format!("image {index} {cause}"))
    }

    fn is_images(&self) -> bool {
        false
    }

    fn target_values(&self) -> Option<usize> {
        match self.answers {
            Answers::Classes(_) => None,
            Answers::Values { each, .. } => Some(each),
        }
    }

    fn check_labels(&self, classes: usize) -> Result<()> {
        let Answers::Classes(labels) = &self.answers else { return Ok(()) };
        let wrong = |&label: &i64| usize::try_from(label).map_or(true, |label| label >= classes);
        match labels.iter().position(wrong) {
            Some(index) => Err(no_class(self.file.path(), None, labels[index], index, classes)),
            None => Ok(()),
        }
    }
}

/// Reads the images of a tensor file or of one tensor for `netc run`: those called `images`, or the file's only tensor.
pub fn read_images(path: &Path, manifest: &Manifest) -> Result<(usize, Vec<f32>)> {
    let file = TensorFile::open(path)?;
    let only = || (file.tensors().len() == 1).then(|| file.tensors().iter().next()).flatten();
    let named = |name: &str| file.tensors().get_key_value(name);
    let (name, images) = named("images").or_else(|| named(&manifest.input.name)).or_else(only).ok_or_else(|| {
        Error::file(path, format!("has no tensor `images` and none called `{}`", manifest.input.name))
    })?;
    check_type(path, name, images, "F32")?;
    let count = check_shape(path, name, &images.shape, manifest)?;
    let values = images.shape.iter().product();
    Ok((count, floats(&file, images, 0, values)?))
}

fn check_type(path: &Path, name: &str, tensor: &TensorEntry, wanted: &str) -> Result<()> {
    if tensor.dtype == wanted {
        return Ok(());
    }
    Err(Error::file(path, format!("has `{name}` of type {}; {wanted} is needed", tensor.dtype)))
}

/// Checks that `shape` is a batch of the network's input and gives the batch's size.
pub fn check_shape(path: &Path, name: &str, shape: &[usize], manifest: &Manifest) -> Result<usize> {
    let expected = &manifest.input.shape;
    let each = shape.get(1..).unwrap_or_default();
    let same_size = crate::library::elements(each) == crate::library::elements(expected);
    // A network of flat features takes images of as many values.
    if each == expected || (expected.len() == 1 && same_size && !each.is_empty()) {
        return match shape[0] {
            0 => Err(Error::file(path, format!("has no images: `{name}` is {shape:?}"))),
            count => Ok(count),
        };
    }
    let wanted: Vec<String> = expected.iter().map(usize::to_string).collect();
    Err(Error::file(path, format!("has `{name}` of shape {shape:?}; the network reads [N, {}]", wanted.join(", "))))
}

fn check_count(path: &Path, name: &str, tensor: &TensorEntry, images: usize) -> Result<()> {
    match tensor.shape.first() {
        Some(&count) if count == images => Ok(()),
        Some(count) => Err(Error::file(path, format!("holds {images} images, but {count} {name}"))),
        None => Err(Error::file(path, format!("has `{name}` that are a single number"))),
    }
}

fn floats(file: &TensorFile, tensor: &TensorEntry, begin: usize, count: usize) -> Result<Vec<f32>> {
    let mut values = vec![0f32; count];
    file.read(tensor, begin as u64 * 4, bytemuck::cast_slice_mut(&mut values))?;
    Ok(values)
}

fn integers(file: &TensorFile, tensor: &TensorEntry) -> Result<Vec<i64>> {
    if tensor.shape.len() != 1 {
        return Err(Error::file(
            file.path(),
            format!("has `labels` of shape {:?}; one an image is needed", tensor.shape),
        ));
    }
    let mut bytes = vec![0; tensor.bytes as usize];
    file.read(tensor, 0, &mut bytes)?;
    let signed = |width: usize| {
        let number = |chunk: &[u8]| {
            let unsigned = chunk.iter().rev().fold(0u64, |value, &b| (value << 8) | u64::from(b));
            let unused = 64 - 8 * width as u32;
            ((unsigned << unused) as i64) >> unused
        };
        bytes.chunks_exact(width).map(number).collect()
    };
    match tensor.dtype.as_str() {
        "I64" => Ok(signed(8)),
        "I32" => Ok(signed(4)),
        "U8" => Ok(bytes.iter().map(|&b| i64::from(b)).collect()),
        other => Err(Error::file(file.path(), format!("has `labels` of type {other}; I64 is needed"))),
    }
}
