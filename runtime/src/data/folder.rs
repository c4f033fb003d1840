//! Folders of images: one folder a class, with or without `train/` and `val/` (or `test/`) above them.

use super::{Answer, Dataset, Input, Sample, decode};
use crate::error::{Error, Result};
use crate::files;
use std::path::{Path, PathBuf};

/// Image files by class, decoded when they are asked for.
pub struct ImageFolder {
    root: PathBuf,
    names: Vec<String>,
    files: Vec<(PathBuf, u32)>,
}

/// The training and test trees in `folder`, or `None` if there are no image folders in it. `order` gives the labels
/// of the network's class names; empty if the network has none.
pub fn find(
    folder: &Path,
    entries: &[PathBuf],
    order: &[String],
) -> Result<Option<(Option<ImageFolder>, Option<ImageFolder>)>> {
    let sub = |names: &[&str]| {
        let named = |path: &&PathBuf| path.is_dir() && path.file_name().is_some_and(|n| names.iter().any(|x| n == *x));
        entries.iter().find(named).cloned()
    };
    let (train, test) = (sub(&["train"]), sub(&["val", "test"]));
    if train.is_none() && test.is_none() {
        if class_folders(folder)?.is_empty() {
            return Ok(None);
        }
        return Ok(Some((Some(ImageFolder::open(folder, order)?), None)));
    }
    let train = train.map(|path| ImageFolder::open(&path, order)).transpose()?;
    // The test tree may lack classes, but its labels are those of the training tree.
    let order = train.as_ref().map_or(order, |tree| &tree.names);
    let test = test.map(|path| ImageFolder::open(&path, order)).transpose()?;
    Ok(Some((train, test)))
}

/// The folders in `folder` that are no hidden ones.
fn class_folders(folder: &Path) -> Result<Vec<PathBuf>> {
    let hidden = |path: &Path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with('.'));
    Ok(files::list(folder)?.into_iter().filter(|path| path.is_dir() && !hidden(path)).collect())
}

impl ImageFolder {
    fn open(root: &Path, order: &[String]) -> Result<ImageFolder> {
        let folders = class_folders(root)?;
        if folders.is_empty() {
            return Err(Error::file(root, "holds no class folders"));
        }
        let own: Vec<String> =
            folders.iter().map(|f| f.file_name().unwrap_or_default().to_string_lossy().into_owned()).collect();
        let names = label_names(root, own.clone(), order)?;
        let mut files = Vec::new();
        for (folder, name) in folders.iter().zip(&own) {
            let label = names.iter().position(|n| n == name).unwrap_or_default() as u32;
            let before = files.len();
            files.extend(files::list(folder)?.into_iter().filter(|f| decode::is_image_name(f)).map(|f| (f, label)));
            if files.len() == before {
                return Err(Error::file(folder, "is a class folder without PNG or JPEG images"));
            }
        }
        Ok(ImageFolder { root: root.to_owned(), names, files })
    }
}

/// The class names in label order: the given order if the folders' names are of it, else sorted.
fn label_names(root: &Path, own: Vec<String>, order: &[String]) -> Result<Vec<String>> {
    let strange: Vec<&str> = own.iter().filter(|name| !order.contains(name)).map(String::as_str).collect();
    if strange.is_empty() {
        return Ok(order.to_vec());
    }
    // Folders may be named by other keys than the classes (as ImageNet's are), but then all of them.
    if strange.len() == own.len() {
        return Ok(own);
    }
    Err(Error::file(
        root,
        format!("has class folders that are no classes: {}; the classes are {}", strange.join(", "), order.join(", ")),
    ))
}

impl Dataset for ImageFolder {
    fn len(&self) -> usize {
        self.files.len()
    }

    fn sample(&self, index: usize) -> Result<Sample<'_>> {
        let (path, label) = &self.files[index];
        Ok(Sample { input: Input::Image(decode::image(path)?), answer: Answer::Class(*label) })
    }

    fn blame(&self, index: usize, cause: String) -> Error {
        Error::file(&self.files[index].0, cause)
    }

    fn class_names(&self) -> &[String] {
        &self.names
    }

    fn check_labels(&self, classes: usize) -> Result<()> {
        let have = self.names.len();
        if have <= classes {
            return Ok(());
        }
        Err(Error::file(&self.root, format!("has {have} class folders, but the network tells {classes} classes apart")))
    }
}
