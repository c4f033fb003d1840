//! IDX files, the format of MNIST and Fashion-MNIST: big-endian sizes, then bytes; often gzipped.

use super::{Answer, Dataset, Image, Input, Sample, no_class};
use crate::error::{Error, Result};
use std::borrow::Cow;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Magic numbers: two zero bytes, type 8 (unsigned byte), the number of dimensions.
const IMAGES: u32 = 0x0803;
const LABELS: u32 = 0x0801;

/// Images and labels in memory.
pub struct Idx {
    images_path: PathBuf,
    labels_path: PathBuf,
    height: usize,
    width: usize,
    pixels: Vec<u8>,
    labels: Vec<u8>,
}

/// Whether a file's name says that it holds IDX images.
pub fn is_images_name(path: &Path) -> bool {
    path.file_name().is_some_and(|name| {
        let name = name.to_string_lossy();
        name.contains("images") && (name.contains("-idx3-ubyte") || name.contains(".idx3-ubyte"))
    })
}

/// The images file of `part` (`train` or `t10k`) among `entries`.
pub fn find(entries: &[PathBuf], part: &str) -> Option<PathBuf> {
    let starts = |path: &&PathBuf| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(part));
    entries.iter().filter(starts).find(|path| is_images_name(path)).cloned()
}

impl Idx {
    /// Opens an images file and the labels file beside it.
    pub fn open(images_path: &Path) -> Result<Idx> {
        let labels_path = labels_of(images_path)?;
        let (sizes, pixels) = read_idx(images_path, IMAGES)?;
        let (counts, labels) = read_idx(&labels_path, LABELS)?;
        let (&[count, height, width], &[labelled]) = (&sizes[..], &counts[..]) else {
            return Err(Error::file(images_path, "has the wrong number of dimensions"));
        };
        if count != labelled {
            let cause = format!("holds {labelled} labels, but {} holds {count} images", images_path.display());
            return Err(Error::file(&labels_path, cause));
        }
        if count == 0 || height == 0 || width == 0 {
            return Err(Error::file_at(images_path, 4, format!("says {count} images of {height}×{width}: none")));
        }
        Ok(Idx { images_path: images_path.to_owned(), labels_path, height, width, pixels, labels })
    }
}

impl Dataset for Idx {
    fn len(&self) -> usize {
        self.labels.len()
    }

    fn sample(&self, index: usize) -> Result<Sample<'_>> {
        let size = self.height * self.width;
        let pixels = Cow::Borrowed(&self.pixels[index * size..][..size]);
        let image = Image { height: self.height, width: self.width, channels: 1, pixels };
        Ok(Sample { input: Input::Image(image), answer: Answer::Class(u32::from(self.labels[index])) })
    }

    fn blame(&self, index: usize, cause: String) -> Error {
        Error::file(&self.images_path, format!("image {index} {cause}"))
    }

    fn check_labels(&self, classes: usize) -> Result<()> {
        match self.labels.iter().position(|&label| usize::from(label) >= classes) {
            Some(index) => {
                let label = i64::from(self.labels[index]);
                Err(no_class(&self.labels_path, Some(8 + index as u64), label, index, classes))
            }
            None => Ok(()),
        }
    }
}

/// The labels file that belongs to an images file, gzipped or not.
fn labels_of(images: &Path) -> Result<PathBuf> {
    let name = images.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let labels = name.replace("images", "labels").replace("idx3", "idx1");
    let bare = labels.strip_suffix(".gz").unwrap_or(&labels).to_owned();
    let candidates = [labels, format!("{bare}.gz"), bare.clone()];
    let found = candidates.iter().map(|name| images.with_file_name(name)).find(|path| path.is_file());
    found.ok_or_else(|| Error::file(&images.with_file_name(bare), format!("is missing beside {}", images.display())))
}

/// Reads a file that begins with `magic`: its sizes and its bytes, exactly as many as the sizes say.
fn read_idx(path: &Path, magic: u32) -> Result<(Vec<usize>, Vec<u8>)> {
    let raw = super::read(path)?;
    let gzipped = raw.starts_with(&[0x1f, 0x8b]);
    let mut source: Box<dyn Read> =
        if gzipped { Box::new(flate2::read::MultiGzDecoder::new(&raw[..])) } else { Box::new(&raw[..]) };
    let mut word = |at: u64| -> Result<u32> {
        let mut bytes = [0; 4];
        source.read_exact(&mut bytes).map_err(|e| damaged(path, at, gzipped, &e))?;
        Ok(u32::from_be_bytes(bytes))
    };
    let begins = word(0)?;
    if begins != magic {
        let what = if magic == IMAGES { "images" } else { "labels" };
        let cause = format!("begins with 0x{begins:08x}, but IDX {what} begin with 0x{magic:08x}");
        return Err(Error::file_at(path, 0, cause));
    }
    let dimensions = (magic & 0xff) as usize;
    let mut sizes = Vec::new();
    for i in 0..dimensions {
        sizes.push(word(4 + 4 * i as u64)? as usize);
    }
    let header = 4 + 4 * dimensions as u64;
    let text = sizes.iter().map(usize::to_string).collect::<Vec<_>>().join("×");
    let expected = sizes.iter().try_fold(1usize, |n, &size| n.checked_mul(size)).filter(|&n| n < isize::MAX as usize);
    let Some(expected) = expected else {
        return Err(Error::file_at(path, 4, format!("says that it holds {text} bytes: not possible")));
    };
    let mut bytes = Vec::new();
    // One byte more than expected shows whether there is more.
    let read = source.take(expected as u64 + 1).read_to_end(&mut bytes);
    let end = header + bytes.len() as u64;
    match read {
        Err(e) => Err(damaged(path, end, gzipped, &e)),
        Ok(_) if bytes.len() < expected => {
            let whole = header + expected as u64;
            let cause = format!("is truncated: {text} bytes are announced, which end at byte {whole}, not {end}");
            Err(Error::file_at(path, end, cause))
        }
        Ok(_) if bytes.len() > expected => {
            Err(Error::file_at(path, header + expected as u64, format!("has more bytes than the {text} announced")))
        }
        Ok(_) => Ok((sizes, bytes)),
    }
}

fn damaged(path: &Path, at: u64, gzipped: bool, error: &std::io::Error) -> Error {
    let cause = match (error.kind(), gzipped) {
        (std::io::ErrorKind::UnexpectedEof, false) => "is truncated: the IDX header ends here".to_owned(),
        (std::io::ErrorKind::UnexpectedEof, true) => "is truncated: the gzip stream ends here".to_owned(),
        _ => format!("is damaged: {error}"),
    };
    Error::file_at(path, at, cause)
}
