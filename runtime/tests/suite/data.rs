//! Every data format, whole and broken.

use crate::files::{cifar_record, gzip, idx, pixels, write_idx, write_image, write_tensors};
use crate::fixture::Softmax;
use netc_runtime::data::{Answer, Dataset, HeldOut, Image, Input, Split, open};
use netc_runtime::error::Blame;
use netc_runtime::program::Manifest;
use netc_runtime::tensorfile::{self, TensorData};
use std::collections::BTreeMap;
use std::path::Path;
use tempfile::tempdir;

fn manifest() -> Manifest {
    Softmax::default().manifest()
}

/// A manifest for `classes` classes of unnamed or named labels.
fn for_classes(classes: usize, names: &[&str]) -> Manifest {
    let mut manifest = Softmax { classes, ..Softmax::default() }.manifest();
    manifest.classes = names.iter().map(|&n| n.to_owned()).collect();
    manifest
}

fn refused(path: &Path, manifest: &Manifest) -> String {
    let error = open(path, manifest).err().expect("the data must be refused");
    assert_eq!(error.blame(), Blame::User, "{error}");
    error.to_string()
}

fn image(data: &dyn Dataset, index: usize) -> (Image<'static>, u32) {
    let sample = data.sample(index).unwrap();
    match (sample.input, sample.answer) {
        (Input::Image(image), Answer::Class(class)) => (image.into_owned(), class),
        _ => panic!("no labelled image"),
    }
}

fn sizes(split: &Split) -> (usize, usize, HeldOut) {
    (split.train.len(), split.test.len(), split.held_out)
}

#[test]
fn idx_is_read_raw_and_gzipped_by_folder_and_by_file() {
    let folder = tempdir().unwrap();
    write_idx(folder.path(), "train", 25);
    let raw = open(folder.path(), &manifest()).unwrap();
    assert_eq!(sizes(&raw), (23, 2, HeldOut::EveryTenth));
    let (tenth, class) = image(&*raw.test, 0);
    assert_eq!((tenth.height, tenth.width, tenth.channels, class), (3, 5, 1, 0));
    assert_eq!(*tenth.pixels, pixels(9));
    assert_eq!(*image(&*raw.train, 9).0.pixels, pixels(10));

    write_idx(folder.path(), "t10k", 7);
    assert_eq!(sizes(&open(folder.path(), &manifest()).unwrap()), (25, 7, HeldOut::ByFormat));
    for name in ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"] {
        let path = folder.path().join(name);
        let zipped = gzip(&std::fs::read(&path).unwrap());
        std::fs::write(folder.path().join(format!("{name}.gz")), zipped).unwrap();
        std::fs::remove_file(path).unwrap();
    }
    let zipped = open(folder.path(), &manifest()).unwrap();
    assert_eq!(sizes(&zipped), (25, 7, HeldOut::ByFormat));
    assert_eq!(*image(&*zipped.train, 24).0.pixels, pixels(24));
    let one = open(&folder.path().join("t10k-images-idx3-ubyte"), &manifest()).unwrap();
    assert_eq!(sizes(&one), (7, 0, HeldOut::EveryTenth));

    std::fs::remove_file(folder.path().join("train-images-idx3-ubyte.gz")).unwrap();
    assert_eq!(sizes(&open(folder.path(), &manifest()).unwrap()), (0, 7, HeldOut::TestOnly));
}

#[test]
fn broken_idx_files_say_where() {
    let folder = tempdir().unwrap();
    let images = folder.path().join("train-images-idx3-ubyte");
    let labels = folder.path().join("train-labels-idx1-ubyte");
    let refused_with = |bytes: &[u8], file: &Path, expected: &str| {
        write_idx(folder.path(), "train", 4);
        std::fs::write(file, bytes).unwrap();
        let text = refused(folder.path(), &manifest());
        assert!(text.contains(expected) && text.contains(&file.display().to_string()), "{expected}: {text}");
    };
    let all: Vec<u8> = (0..4).flat_map(pixels).collect();
    refused_with(b"", &images, "is empty");
    refused_with(b"", &labels, "is empty");
    refused_with(
        &idx(&[4], &[0; 4]),
        &images,
        ", byte 0: begins with 0x00000801, but IDX images begin with 0x00000803",
    );
    refused_with(b"\x89PNG\r\n", &images, "byte 0: begins with 0x89504e47");
    refused_with(&idx(&[4, 3, 5], &all)[..11], &images, "byte 8: is truncated: the IDX header ends here");
    refused_with(
        &idx(&[4, 3, 5], &all[..50]),
        &images,
        "byte 66: is truncated: 4×3×5 bytes are announced, which end at byte 76",
    );
    refused_with(&idx(&[4, 3, 5], &[&all[..], &[0]].concat()), &images, "byte 76: has more bytes");
    refused_with(&idx(&[u32::MAX, u32::MAX, u32::MAX], &all), &images, "not possible");
    refused_with(&idx(&[u32::MAX, 1, 1], &all), &images, "is truncated");
    refused_with(&idx(&[0, 3, 5], &[]), &images, "labels, but");
    refused_with(&idx(&[5], &[0; 5]), &labels, "holds 5 labels, but");
    refused_with(
        &idx(&[4], &[0, 1, 3, 0]),
        &labels,
        "byte 10: sample 2 has label 3, but the network has 3 classes, 0 to 2",
    );
    let zipped = gzip(&idx(&[4, 3, 5], &all));
    refused_with(&zipped[..zipped.len() - 12], &images, "is truncated: the gzip stream ends here");
    let mut damaged = zipped.clone();
    let middle = damaged.len() / 2;
    damaged[middle..].fill(0xff);
    refused_with(&damaged, &images, "is damaged");
    std::fs::remove_file(&labels).unwrap();
    write_idx(folder.path(), "t10k", 3);
    assert!(refused(folder.path(), &manifest()).contains("is missing beside"));
}

#[test]
fn cifar_is_read_with_its_parts_and_names() {
    let folder = tempdir().unwrap();
    let inner = folder.path().join("cifar-10-batches-bin");
    std::fs::create_dir(&inner).unwrap();
    std::fs::write(inner.join("data_batch_1.bin"), [cifar_record(3), cifar_record(9)].concat()).unwrap();
    std::fs::write(inner.join("data_batch_2.bin"), cifar_record(0)).unwrap();
    std::fs::write(inner.join("test_batch.bin"), cifar_record(1)).unwrap();
    let names = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";
    std::fs::write(inner.join("batches.meta.txt"), names).unwrap();
    let ten = for_classes(10, &[]);
    for path in [folder.path(), &inner] {
        let split = open(path, &ten).unwrap();
        assert_eq!(sizes(&split), (3, 1, HeldOut::ByFormat));
        assert_eq!(split.train.class_names()[9], "truck");
        let (picture, class) = image(&*split.train, 1);
        assert_eq!((picture.height, picture.width, picture.channels, class), (32, 32, 3, 9));
        assert_eq!(picture.pixels[3 * 8..3 * 9], [1, 11, 21]);
    }
    let text = refused(folder.path(), &for_classes(9, &[]));
    assert!(text.contains("data_batch_1.bin, byte 3073: sample 1 has label 9"), "{text}");
    std::fs::write(inner.join("data_batch_2.bin"), &cifar_record(0)[..3000]).unwrap();
    assert!(refused(folder.path(), &ten).contains("data_batch_2.bin, byte 0: is truncated: records have 3073 bytes"));
    std::fs::write(inner.join("data_batch_2.bin"), cifar_record(10)).unwrap();
    assert!(refused(folder.path(), &ten).contains("record 0 has label 10, CIFAR has 10 classes"));
}

#[test]
fn tensor_files_are_taken_as_they_are() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("train.safetensors");
    let labels: Vec<i64> = (0..12).map(|i| i % 3).collect();
    write_tensors(&path, 12, &labels);
    let split = open(&path, &manifest()).unwrap();
    assert_eq!(sizes(&split), (11, 1, HeldOut::EveryTenth));
    assert!(!split.train.is_images());
    let sample = split.train.sample(5).unwrap();
    let Input::Tensor(values) = sample.input else { panic!("no tensor") };
    assert_eq!(values, pixels(5).iter().map(|&p| f32::from(p) / 255.0).collect::<Vec<_>>());
    assert_eq!(sample.answer, Answer::Class(2));
    write_tensors(&folder.path().join("test.safetensors"), 6, &labels[..6]);
    assert_eq!(sizes(&open(folder.path(), &manifest()).unwrap()), (12, 6, HeldOut::ByFormat));
}

#[test]
fn wrong_tensor_files_say_what_is_wrong() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("d.safetensors");
    write_tensors(&path, 3, &[0, 1]);
    assert!(refused(&path, &manifest()).contains("holds 3 images, but 2 labels"));
    write_tensors(&path, 3, &[0, 1, -1]);
    assert!(refused(&path, &manifest()).contains("sample 2 has label -1"));
    write_tensors(&path, 3, &[0, 1, 3]);
    assert!(refused(&path, &manifest()).contains("sample 2 has label 3"));
    write_tensors(&path, 2, &[0, 1]);
    let mut other = manifest();
    other.input.shape = vec![3, 224, 224];
    assert!(refused(&path, &other).contains("has `images` of shape [2, 1, 3, 5]; the network reads [N, 3, 224, 224]"));
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    assert!(refused(&path, &manifest()).contains("is truncated in tensor"));

    let floats = [0u8; 4 * 30];
    let images = || TensorData { name: "images", dtype: "F32", shape: &[2, 1, 3, 5], data: &floats };
    let write = |tensors: &[TensorData<'_>]| tensorfile::write(&path, tensors, &BTreeMap::new()).unwrap();
    write(&[images()]);
    assert!(refused(&path, &manifest()).contains("neither `labels` nor `targets`"));
    write(&[images(), TensorData { name: "labels", dtype: "F32", shape: &[2], data: &floats[..8] }]);
    assert!(refused(&path, &manifest()).contains("`labels` of type F32"));
    write(&[images(), TensorData { name: "targets", dtype: "F32", shape: &[2, 2], data: &floats[..16] }]);
    assert!(refused(&path, &manifest()).contains("has targets of shape [2] an image; the network gives [3]"));
    write(&[TensorData { name: "pictures", dtype: "F32", shape: &[2], data: &floats[..8] }]);
    assert!(refused(&path, &manifest()).contains("has no tensor `images` (it has pictures)"));
    write(&[TensorData { name: "images", dtype: "F16", shape: &[2, 1, 3, 5], data: &floats[..60] }]);
    assert!(refused(&path, &manifest()).contains("of type F16; F32 is needed"));
}

#[test]
fn image_folders_are_read_lazily_with_sorted_or_given_classes() {
    let folder = tempdir().unwrap();
    for (class, value) in [("dog", 200), ("cat", 100)] {
        for i in 0..10 {
            write_image(&folder.path().join(format!("{class}/{i:02}.png")), 6, 4, 3, value + i);
        }
    }
    std::fs::write(folder.path().join("dog/notes.txt"), "not an image").unwrap();
    let split = open(folder.path(), &for_classes(3, &[])).unwrap();
    assert_eq!(sizes(&split), (18, 2, HeldOut::EveryTenth));
    assert_eq!(split.train.class_names(), ["cat", "dog"]);
    let (picture, class) = image(&*split.train, 9);
    assert_eq!((picture.height, picture.width, picture.channels, class), (4, 6, 3, 1));
    assert_eq!(picture.pixels[0], 200);
    assert_eq!((image(&*split.test, 0).1, image(&*split.test, 1).1), (0, 1));
    let named = open(folder.path(), &for_classes(3, &["dog", "bird", "cat"])).unwrap();
    assert_eq!((image(&*named.test, 0).1, image(&*named.test, 1).1), (2, 0));
    let text = refused(folder.path(), &for_classes(3, &["dog", "bird", "cow"]));
    assert!(text.contains("that are no classes: cat"), "{text}");
    assert!(refused(folder.path(), &for_classes(1, &[])).contains("2 class folders, but the network tells 1"));
}

#[test]
fn image_folders_may_have_parts_and_every_kind_of_image() {
    let folder = tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write_image(&at("train/a/grey.png"), 2, 2, 1, 7);
    write_image(&at("train/b/jpeg.JPG"), 8, 8, 3, 120);
    write_image(&at("train/c/alpha.png"), 2, 2, 4, 50);
    write_image(&at("val/b/x.jpeg"), 8, 8, 3, 1);
    let split = open(folder.path(), &for_classes(3, &[])).unwrap();
    assert_eq!(sizes(&split), (3, 1, HeldOut::ByFormat));
    let kinds: Vec<(usize, u32)> = (0..3).map(|i| image(&*split.train, i)).map(|(x, c)| (x.channels, c)).collect();
    assert_eq!(kinds, [(1, 0), (3, 1), (3, 2)]);
    assert_eq!(image(&*split.test, 0).1, 1);

    let error = |name: &str, bytes: &[u8]| {
        std::fs::write(at(name), bytes).unwrap();
        let index = (0..3).find(|&i| split.train.sample(i).is_err()).unwrap();
        let error = split.train.sample(index).err().unwrap();
        assert_eq!(error.blame(), Blame::User);
        error.to_string()
    };
    let png = std::fs::read(at("train/c/alpha.png")).unwrap();
    assert!(error("train/a/grey.png", &png[..30]).contains("grey.png: cannot be decoded"));
    assert!(error("train/a/grey.png", b"").contains("grey.png: is empty"));
    assert!(error("train/a/grey.png", b"hello, world, hello").contains("neither a PNG nor a JPEG"));
    std::fs::remove_file(at("val/b/x.jpeg")).unwrap();
    assert!(refused(folder.path(), &for_classes(3, &[])).contains("without PNG or JPEG images"));
}

#[test]
fn what_is_no_data_set_is_refused_with_what_is_understood() {
    let folder = tempdir().unwrap();
    assert!(refused(&folder.path().join("none"), &manifest()).contains("no such file or folder"));
    let text = refused(folder.path(), &manifest());
    assert!(text.contains("it is empty") && text.contains("CIFAR-10"), "{text}");
    std::fs::write(folder.path().join("readme.txt"), "x").unwrap();
    assert!(refused(folder.path(), &manifest()).contains("it holds readme.txt"));
    assert!(refused(&folder.path().join("readme.txt"), &manifest()).contains("is no data set that netc knows"));
    assert!(refused(&folder.path().join("readme.txt/x"), &manifest()).contains("a part of the path is a file"));
}
