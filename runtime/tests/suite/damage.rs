//! Random damage to every kind of file: an error or other contents, never a panic.

use crate::files::{cifar_record, gzip, write_idx, write_image, write_tensors};
use crate::fixture::{Softmax, session};
use netc_runtime::checkpoint::{Position, load_checkpoint, save_checkpoint};
use netc_runtime::data::open;
use netc_runtime::error::Blame;
use netc_runtime::library::Program;
use netc_runtime::observer::Silent;
use netc_runtime::predict::predict;
use netc_runtime::random::Stream;
use netc_runtime::{Error, Result};
use std::path::Path;

/// Damages the file at `path` in many ways and lets `read` have each of them.
fn damage<T>(path: &Path, times: u32, mut read: impl FnMut() -> Result<T>) {
    let whole = std::fs::read(path).unwrap();
    assert!(read().is_ok());
    let mut refused = 0;
    for round in 0..times {
        let mut random = Stream::new(1, [round, 0, 0]);
        let mut bytes = whole.clone();
        // Headers come first: they are hit more often.
        let reach = if round % 2 == 0 { bytes.len().min(400) } else { bytes.len() };
        match random.below(4) {
            0 => bytes.truncate(random.below(reach as u32) as usize),
            1 => bytes.extend((0..=random.below(20)).map(|i| i as u8)),
            _ => {
                for _ in 0..=random.below(3) {
                    let at = random.below(reach as u32) as usize;
                    bytes[at] =
                        if random.below(2) == 0 { random.bits() as u8 } else { bytes[at] ^ (1 << random.below(8)) };
                }
            }
        }
        std::fs::write(path, bytes).unwrap();
        if let Err(error) = read() {
            assert_eq!(error.blame(), Blame::User, "round {round}: {error}");
            refused += 1;
        }
    }
    std::fs::write(path, whole).unwrap();
    assert!(refused > 0);
}

#[test]
fn damaged_data_sets() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = Softmax::default().manifest();
    write_idx(folder.path(), "train", 20);
    damage(&folder.path().join("train-images-idx3-ubyte"), 200, || open(folder.path(), &manifest));
    damage(&folder.path().join("train-labels-idx1-ubyte"), 200, || open(folder.path(), &manifest));
    let zipped = folder.path().join("train-images-idx3-ubyte.gz");
    let plain = folder.path().join("train-images-idx3-ubyte");
    std::fs::write(&zipped, gzip(&std::fs::read(&plain).unwrap())).unwrap();
    std::fs::remove_file(plain).unwrap();
    damage(&zipped, 200, || open(folder.path(), &manifest));

    let cifar = tempfile::tempdir().unwrap();
    let batch = cifar.path().join("data_batch_1.bin");
    std::fs::write(&batch, [cifar_record(3), cifar_record(9)].concat()).unwrap();
    let ten = Softmax { classes: 10, ..Softmax::default() }.manifest();
    damage(&batch, 50, || open(cifar.path(), &ten));

    let tensors = folder.path().join("d.safetensors");
    write_tensors(&tensors, 12, &[1; 12]);
    damage(&tensors, 400, || {
        let split = open(&tensors, &manifest)?;
        for i in 0..split.train.len() {
            split.train.sample(i)?;
        }
        Ok(())
    });
}

#[test]
fn damaged_images_and_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a/x.png", "a/y.jpg"] {
        let path = folder.path().join(name);
        write_image(&path, 5, 3, 3, 90);
        damage(&path, 200, || netc_runtime::data::decode::image(&path));
    }
    let program = Softmax::default().program();
    let mut session = session(&program, 1);
    let checkpoint = folder.path().join("c.safetensors");
    save_checkpoint(&session, &checkpoint, &Position::default()).unwrap();
    damage(&checkpoint, 400, || load_checkpoint(&mut session, &checkpoint));

    let array = folder.path().join("a.npy");
    let header = format!("{:117}\n", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 1, 3, 5), }");
    let mut bytes = [&b"\x93NUMPY\x01\x00"[..], &118u16.to_le_bytes(), header.as_bytes()].concat();
    bytes.extend_from_slice(&[0; 120]);
    std::fs::write(&array, bytes).unwrap();
    damage(&array, 400, || predict(&mut session, std::slice::from_ref(&array), &mut Silent));
}

#[test]
fn damaged_manifests() {
    let folder = tempfile::tempdir().unwrap();
    let softmax = Softmax::default();
    let library = softmax.build(folder.path(), None);
    let path = folder.path().join("program.json");
    std::fs::write(&path, serde_json::to_vec(&softmax.manifest()).unwrap()).unwrap();
    damage(&path, 200, || Program::load(&library));
    std::fs::write(&path, b"{}").unwrap();
    let error = Program::load(&library).err().unwrap();
    assert!(matches!(&error, Error::File { cause, .. } if cause.contains("without a version")), "{error}");
}
