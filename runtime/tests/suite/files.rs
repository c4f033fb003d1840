//! Small data sets made on the spot.

use flate2::Compression;
use flate2::write::GzEncoder;
use netc_runtime::tensorfile::{self, TensorData};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

/// The bytes of an IDX file.
pub fn idx(sizes: &[u32], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, sizes.len() as u8];
    sizes.iter().for_each(|size| bytes.extend_from_slice(&size.to_be_bytes()));
    bytes.extend_from_slice(data);
    bytes
}

pub fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// Image `i` of class i mod 3, 3×5 grey: the class's row is bright, and there is some noise.
pub fn pixels(i: usize) -> Vec<u8> {
    let noise = |p: usize| (i * 31 + p * 17 + i * p * 7) % 90;
    (0..15).map(|p| (if p / 5 == i % 3 { 160 } else { 0 } + noise(p)) as u8).collect()
}

/// Writes `count` images and labels as IDX files named after `part`.
pub fn write_idx(folder: &Path, part: &str, count: usize) {
    let images: Vec<u8> = (0..count).flat_map(pixels).collect();
    let labels: Vec<u8> = (0..count).map(|i| (i % 3) as u8).collect();
    std::fs::write(folder.join(format!("{part}-images-idx3-ubyte")), idx(&[count as u32, 3, 5], &images)).unwrap();
    std::fs::write(folder.join(format!("{part}-labels-idx1-ubyte")), idx(&[count as u32], &labels)).unwrap();
}

/// Writes `count` images as f32 in 0..1, with labels.
pub fn write_tensors(path: &Path, count: usize, labels: &[i64]) {
    let images: Vec<u8> = (0..count).flat_map(pixels).flat_map(|p| (f32::from(p) / 255.0).to_le_bytes()).collect();
    let labels_bytes: Vec<u8> = labels.iter().flat_map(|l| l.to_le_bytes()).collect();
    let tensors = [
        TensorData { name: "images", dtype: "F32", shape: &[count, 1, 3, 5], data: &images },
        TensorData { name: "labels", dtype: "I64", shape: &[labels.len()], data: &labels_bytes },
    ];
    tensorfile::write(path, &tensors, &BTreeMap::new()).unwrap();
}

/// Writes `count` images with three target values each: 1 for the class, 0 for the others.
pub fn write_targets(path: &Path, count: usize) {
    let images: Vec<u8> = (0..count).flat_map(pixels).flat_map(|p| (f32::from(p) / 255.0).to_le_bytes()).collect();
    let target = |i: usize| (0..3).map(move |k| if k == i % 3 { 1.0f32 } else { 0.0 });
    let targets: Vec<u8> = (0..count).flat_map(target).flat_map(f32::to_le_bytes).collect();
    let tensors = [
        TensorData { name: "images", dtype: "F32", shape: &[count, 1, 3, 5], data: &images },
        TensorData { name: "targets", dtype: "F32", shape: &[count, 3], data: &targets },
    ];
    tensorfile::write(path, &tensors, &BTreeMap::new()).unwrap();
}

/// A CIFAR-10 record: pixel p of channel c is 10 c + p mod 7.
pub fn cifar_record(label: u8) -> Vec<u8> {
    let mut record = vec![label];
    record.extend((0..3 * 1024).map(|i| (10 * (i / 1024) + i % 1024 % 7) as u8));
    record
}

/// Writes an image file; the extension says which kind.
pub fn write_image(path: &Path, width: u32, height: u32, channels: usize, value: u8) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let data = vec![value; width as usize * height as usize * channels];
    let kind = match channels {
        1 => image::ExtendedColorType::L8,
        3 => image::ExtendedColorType::Rgb8,
        _ => image::ExtendedColorType::Rgba8,
    };
    image::save_buffer(path, &data, width, height, kind).unwrap();
}
