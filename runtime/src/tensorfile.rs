//! Safetensors files: a header of names, types, shapes and offsets, then the data.
//!
//! Reading goes by position, so a file of any size costs only what is asked of it, and every damage is an error with
//! the byte where it was found. Writing gives the same bytes for the same tensors, metadata included.

use crate::error::{Error, Result};
use crate::files::write_atomically;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Longest header that is read, as in the reference implementation.
const MAX_HEADER: u64 = 100_000_000;

/// An open safetensors file.
pub struct TensorFile {
    file: File,
    path: PathBuf,
    data_start: u64,
    tensors: BTreeMap<String, TensorEntry>,
    metadata: BTreeMap<String, String>,
}

/// One tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorEntry {
    /// Element type as the file says: `F32`, `I64`, …
    pub dtype: String,
    /// Shape.
    pub shape: Vec<usize>,
    /// First byte in the file.
    pub offset: u64,
    /// Length in bytes.
    pub bytes: u64,
}

/// A tensor to be written.
pub struct TensorData<'a> {
    /// Its name.
    pub name: &'a str,
    /// Element type as the format says: `F32`, `I64`, …
    pub dtype: &'a str,
    /// Shape.
    pub shape: &'a [usize],
    /// Little-endian elements in row-major order.
    pub data: &'a [u8],
}

#[derive(Deserialize, Serialize)]
struct HeaderEntry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: (u64, u64),
}

impl TensorFile {
    /// Opens and checks a file: the header makes sense and its tensors cover the file exactly.
    pub fn open(path: &Path) -> Result<TensorFile> {
        let wrong = |cause: &str| Error::file(path, format!("is no safetensors file: {cause}"));
        let file = File::open(path).map_err(|e| Error::read(path, e))?;
        let about = file.metadata().map_err(|e| Error::read(path, e))?;
        if about.is_dir() {
            return Err(Error::file(path, "is a folder; a .safetensors file is needed"));
        }
        let length = about.len();
        if length == 0 {
            return Err(Error::file(path, "is empty"));
        }
        if length < 8 {
            return Err(wrong("shorter than its header's length"));
        }
        let mut size = [0; 8];
        file.read_exact_at(&mut size, 0).map_err(|e| Error::read(path, e))?;
        let header_bytes = u64::from_le_bytes(size);
        if header_bytes > MAX_HEADER {
            return Err(wrong("the first 8 bytes are no sensible header length"));
        }
        let data_start = 8 + header_bytes;
        if data_start > length {
            let cause = format!("is truncated: a header of {header_bytes} bytes is announced, {} follow", length - 8);
            return Err(Error::file_at(path, length, cause));
        }
        let mut header = vec![0; header_bytes as usize];
        file.read_exact_at(&mut header, 8).map_err(|e| Error::read(path, e))?;
        let parsed: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&header)
            .map_err(|e| Error::file_at(path, 8, format!("is no safetensors file: its header is no JSON: {e}")))?;
        let mut metadata = BTreeMap::new();
        let mut tensors = BTreeMap::new();
        for (name, value) in parsed {
            let unreadable = |e: serde_json::Error| Error::file(path, format!("has an unreadable entry `{name}`: {e}"));
            if name == "__metadata__" {
                metadata = serde_json::from_value(value).map_err(unreadable)?;
                continue;
            }
            let entry: HeaderEntry = serde_json::from_value(value).map_err(unreadable)?;
            let (begin, end) = entry.data_offsets;
            let bytes = end.checked_sub(begin).filter(|&b| {
                let elements = entry.shape.iter().try_fold(1u64, |n, &d| n.checked_mul(d as u64));
                match (elements, element_bits(&entry.dtype)) {
                    (Some(n), Some(bits)) => n.checked_mul(bits) == b.checked_mul(8),
                    (Some(_), None) => true,
                    (None, _) => false,
                }
            });
            let (Some(bytes), Some(offset)) = (bytes, data_start.checked_add(begin)) else {
                return Err(Error::file(
                    path,
                    format!(
                        "is damaged: tensor `{name}` of type {} and shape {:?} cannot lie at bytes {begin}..{end}",
                        entry.dtype, entry.shape
                    ),
                ));
            };
            tensors.insert(name, TensorEntry { dtype: entry.dtype, shape: entry.shape, offset, bytes });
        }
        let mut by_offset: Vec<(&String, &TensorEntry)> = tensors.iter().collect();
        by_offset.sort_by_key(|(_, t)| (t.offset, t.bytes));
        let mut at = data_start;
        for (name, tensor) in by_offset {
            if tensor.offset != at {
                return Err(Error::file_at(path, at, format!("is damaged: a gap or overlap before tensor `{name}`")));
            }
            at += tensor.bytes;
            if at > length {
                let cause = format!("is truncated in tensor `{name}`: it ends at byte {at}, the file at byte {length}");
                return Err(Error::file_at(path, length, cause));
            }
        }
        if at != length {
            return Err(Error::file_at(path, at, format!("has {} bytes after its last tensor", length - at)));
        }
        Ok(TensorFile { file, path: path.to_owned(), data_start, tensors, metadata })
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its tensors by name.
    pub fn tensors(&self) -> &BTreeMap<String, TensorEntry> {
        &self.tensors
    }

    /// Its metadata.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Where the first tensor's data begin.
    pub fn data_start(&self) -> u64 {
        self.data_start
    }

    /// Reads bytes of a tensor, from byte `begin` of it on.
    pub fn read(&self, tensor: &TensorEntry, begin: u64, into: &mut [u8]) -> Result<()> {
        let offset = tensor.offset + begin;
        self.file.read_exact_at(into, offset).map_err(|e| match e.kind() {
            std::io::ErrorKind::UnexpectedEof => Error::file_at(&self.path, offset, "was truncated while in use"),
            _ => Error::read(&self.path, e),
        })
    }
}

/// Writes `tensors` in this order, and `metadata`, to `path`, atomically.
pub fn write(path: &Path, tensors: &[TensorData<'_>], metadata: &BTreeMap<String, String>) -> Result<()> {
    let header = header(tensors, metadata).map_err(|e| Error::io("write", path, e.into()))?;
    write_atomically(path, |file| {
        file.write_all(&(header.len() as u64).to_le_bytes())?;
        file.write_all(header.as_bytes())?;
        tensors.iter().try_for_each(|tensor| file.write_all(tensor.data))
    })
}

/// The header, padded with spaces so that the data begin at a multiple of 8.
fn header(tensors: &[TensorData<'_>], metadata: &BTreeMap<String, String>) -> serde_json::Result<String> {
    let mut fields = Vec::with_capacity(tensors.len() + 1);
    if !metadata.is_empty() {
        fields.push(format!("\"__metadata__\":{}", serde_json::to_string(metadata)?));
    }
    let mut at = 0;
    for tensor in tensors {
        let end = at + tensor.data.len() as u64;
        let entry =
            HeaderEntry { dtype: tensor.dtype.to_owned(), shape: tensor.shape.to_vec(), data_offsets: (at, end) };
        fields.push(format!("{}:{}", serde_json::to_string(tensor.name)?, serde_json::to_string(&entry)?));
        at = end;
    }
    let mut header = format!("{{{}}}", fields.join(","));
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    Ok(header)
}

/// Bits of an element; `None` for a type this version does not know.
fn element_bits(dtype: &str) -> Option<u64> {
    Some(match dtype {
        "F64" | "I64" | "U64" | "C64" => 64,
        "F32" | "I32" | "U32" => 32,
        "F16" | "BF16" | "I16" | "U16" => 16,
        "BOOL" | "U8" | "I8" | "F8_E5M2" | "F8_E4M3" | "F8_E8M0" => 8,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Vec<u8>, Vec<u8>, BTreeMap<String, String>) {
        let a: Vec<u8> = [1.0f32, -2.5, 3.25].iter().flat_map(|x| x.to_le_bytes()).collect();
        let b: Vec<u8> = [7i64, 8].iter().flat_map(|x| x.to_le_bytes()).collect();
        let metadata = (0..20).map(|i| (format!("key{i}"), format!("value \"{i}\""))).collect();
        (a, b, metadata)
    }

    fn write_sample(path: &Path) {
        let (a, b, metadata) = sample();
        let tensors = [
            TensorData { name: "conv1.weight", dtype: "F32", shape: &[1, 3], data: &a },
            TensorData { name: "odd \"name\"", dtype: "I64", shape: &[2], data: &b },
        ];
        write(path, &tensors, &metadata).unwrap();
    }

    #[test]
    fn what_is_written_reads_back_here_and_in_the_reference_implementation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        write_sample(&path);
        let (a, b, metadata) = sample();
        let file = TensorFile::open(&path).unwrap();
        assert_eq!(file.metadata(), &metadata);
        assert_eq!(file.data_start() % 8, 0);
        let entry = &file.tensors()["conv1.weight"];
        let mut bytes = vec![0; 12];
        file.read(entry, 0, &mut bytes).unwrap();
        assert_eq!(bytes, a);

        let bytes = std::fs::read(&path).unwrap();
        let reference = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let tensor = reference.tensor("odd \"name\"").unwrap();
        assert_eq!((tensor.dtype(), tensor.shape(), tensor.data()), (safetensors::Dtype::I64, &[2usize][..], &b[..]));
        let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(header.metadata().as_ref().unwrap()["key3"], "value \"3\"");
    }

    #[test]
    fn same_tensors_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("1"), folder.path().join("2"));
        write_sample(&one);
        write_sample(&two);
        assert_eq!(std::fs::read(one).unwrap(), std::fs::read(two).unwrap());
    }

    #[test]
    fn every_truncation_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        write_sample(&path);
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let error = TensorFile::open(&path).err().unwrap();
            assert!(matches!(error, Error::File { .. }), "{length}: {error}");
        }
        std::fs::write(&path, [whole, vec![0]].concat()).unwrap();
        assert!(TensorFile::open(&path).err().unwrap().to_string().contains("after its last tensor"));
    }

    #[test]
    fn damaged_headers_are_errors() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        let cases = [
            ("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", "cannot lie at"),
            ("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", "cannot lie at"),
            ("{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", "gap or overlap"),
            (
                "{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4294967296],\"data_offsets\":[0,4]}}",
                "cannot",
            ),
            ("{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", "unreadable entry"),
            ("{\"a\":7}", "unreadable entry"),
            ("[]", "no JSON"),
            ("\u{0}\u{1}", "no JSON"),
        ];
        for (header, expected) in cases {
            let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
            bytes.extend_from_slice(header.as_bytes());
            bytes.extend_from_slice(&[0; 4]);
            std::fs::write(&path, bytes).unwrap();
            let error = TensorFile::open(&path).err().unwrap().to_string();
            assert!(error.contains(expected), "{header}: {error}");
        }
        std::fs::write(&path, b"\x89PNG\r\n\x1a\nblabla").unwrap();
        assert!(TensorFile::open(&path).err().unwrap().to_string().contains("no sensible header length"));
    }
}
