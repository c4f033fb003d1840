//! Evaluating and predicting.

use crate::files::{pixels, write_idx, write_image, write_targets, write_tensors};
use crate::fixture::{Softmax, session};
use netc_runtime::data::{Answer, open};
use netc_runtime::observer::Silent;
use netc_runtime::predict::{predict, predict_samples, save_outputs, top};
use netc_runtime::program::ResizeInfo;
use netc_runtime::session::Session;
use netc_runtime::tensorfile::TensorFile;
use netc_runtime::{Error, evaluate};
use std::path::PathBuf;

/// A network that knows the answer: each class's row counts for it.
fn knowing(softmax: &Softmax) -> Session {
    let program = softmax.program();
    let mut session = session(&program, 2);
    let weight = session.state_mut("fc.weight").unwrap();
    for (i, value) in weight.iter_mut().enumerate() {
        let (class, pixel) = (i / 15, i % 15);
        *value = if pixel / 5 == class { 1.0 } else { 0.0 };
    }
    session
}

#[test]
fn evaluation_counts_a_partial_last_batch_once() {
    let folder = tempfile::tempdir().unwrap();
    for count in [1, 4, 5, 10] {
        write_idx(folder.path(), "train", 3);
        write_idx(folder.path(), "t10k", count);
        let mut session = knowing(&Softmax::default());
        let data = open(folder.path(), session.manifest()).unwrap();
        let result = evaluate::evaluate(&mut session, &data.test, 2, &mut Silent).unwrap();
        assert_eq!((result.images, result.top1), (count, Some(1.0)));
        let expected: f64 = (0..count)
            .map(|i| {
                let sum = |row: usize| pixels(i)[row * 5..][..5].iter().map(|&p| f64::from(p) / 255.0).sum::<f64>();
                (0..3).map(|row| (sum(row) - sum(i % 3)).exp()).sum::<f64>().ln()
            })
            .sum();
        assert!((result.loss - expected / count as f64).abs() < 1e-6, "{} {expected}", result.loss);
    }
    let mut session = knowing(&Softmax::default());
    let data = open(folder.path(), session.manifest()).unwrap();
    let nothing =
        std::sync::Arc::clone(&open(&folder.path().join("train-images-idx3-ubyte"), session.manifest()).unwrap().test);
    assert!(matches!(evaluate::evaluate(&mut session, &nothing, 1, &mut Silent), Err(Error::Request(_))));
    let samples = predict_samples(&mut session, &*data.test, &[0, 4, 8, 3, 5, 7], &mut Silent).unwrap();
    let classes: Vec<usize> = samples.iter().map(|p| top(session.manifest(), &p.output, 1)[0].label).collect();
    assert_eq!(classes, [0, 1, 2, 0, 2, 1]);
    assert_eq!(samples[1].answer, Some(Answer::Class(1)));
    assert!(predict_samples(&mut session, &*data.test, &[99], &mut Silent).is_err());
}

#[test]
fn targets_are_judged_by_squared_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("test.safetensors");
    write_targets(&path, 6);
    let mut session = knowing(&Softmax::default());
    let data = open(folder.path(), session.manifest()).unwrap();
    let result = evaluate::evaluate(&mut session, &data.test, 1, &mut Silent).unwrap();
    let expected: f64 = (0..6)
        .flat_map(|i| (0..3).map(move |row| (i, row)))
        .map(|(i, row)| {
            let sum = pixels(i)[row * 5..][..5].iter().map(|&p| f64::from(p) / 255.0).sum::<f64>();
            (sum - if row == i % 3 { 1.0 } else { 0.0 }).powi(2)
        })
        .sum();
    assert!((result.loss - expected / 18.0).abs() < 1e-5, "{} {}", result.loss, expected / 18.0);
    assert_eq!((result.images, result.top1, result.top5), (6, None, None));
}

/// A .npy file of version 1.
fn npy(descr: &str, fortran: bool, shape: &str, data: &[u8]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}");
    while (header.len() + 11) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&(header.len() as u16).to_le_bytes());
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(data);
    bytes
}

#[test]
fn images_and_tensors_are_classified_together() {
    let softmax = Softmax { resize: Some(ResizeInfo::Exact { height: 3, width: 5 }), ..Softmax::default() };
    let mut session = knowing(&softmax);
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    write_image(&at("white.png"), 50, 30, 3, 255);
    write_tensors(&at("five.safetensors"), 5, &[0; 5]);
    let values: Vec<u8> = (1..3).flat_map(pixels).flat_map(|p| (f32::from(p) / 255.0).to_le_bytes()).collect();
    std::fs::write(at("two.npy"), npy("<f4", false, "(2, 1, 3, 5)", &values)).unwrap();
    let paths: Vec<PathBuf> = ["white.png", "five.safetensors", "two.npy", "white.png"].map(at).to_vec();
    let predictions = predict(&mut session, &paths, &mut Silent).unwrap();
    assert_eq!(predictions.len(), 9);
    let best = |i: usize| top(session.manifest(), &predictions[i].output, 3);
    let labels: Vec<usize> = (0..9).map(|i| best(i)[0].label).collect();
    assert_eq!(labels, [0, 0, 1, 2, 0, 1, 1, 2, 0]);
    assert!(predictions[7].name.ends_with("two.npy[1]"));
    assert!(predictions[0].output.iter().all(|&x| (x - 5.0).abs() < 1e-6));
    assert_eq!(best(1)[0].name.as_deref(), Some("class0"));
    assert!((best(1).iter().map(|r| r.probability).sum::<f64>() - 1.0).abs() < 1e-12);
    assert!(best(1).windows(2).all(|w| w[0].probability >= w[1].probability));

    save_outputs(&at("out.safetensors"), session.manifest(), &predictions).unwrap();
    let out = TensorFile::open(&at("out.safetensors")).unwrap();
    assert_eq!(out.tensors()["output"].shape, [9, 3]);
}

#[test]
fn inputs_that_cannot_be_read_say_why() {
    let mut session = knowing(&Softmax::default());
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut refused = |name: &str, bytes: Option<&[u8]>| {
        if let Some(bytes) = bytes {
            std::fs::write(path(name), bytes).unwrap();
        }
        let error = predict(&mut session, &[path(name)], &mut Silent).unwrap_err();
        assert_eq!(error.blame(), netc_runtime::error::Blame::User, "{error}");
        error.to_string()
    };
    assert!(refused("none.png", None).contains("no such file"));
    assert!(refused("none.npy", None).contains("no such file"));
    assert!(refused("none.txt", None).contains("no such file"));
    assert!(refused("a.txt", Some(b"x")).contains("is no input"));
    assert!(refused("a.npy", Some(b"")).contains("is empty"));
    assert!(refused("a.npy", Some(b"\x89PNG\r\n123456")).contains("is no .npy file"));
    let data = [0u8; 60];
    assert!(refused("a.npy", Some(&npy("<f8", false, "(1, 1, 3, 5)", &data))).contains("<f8"));
    assert!(refused("a.npy", Some(&npy("<f4", true, "(1, 1, 3, 5)", &data))).contains("Fortran order"));
    assert!(refused("a.npy", Some(&npy("<f4", false, "(1, 1, 5, 3)", &data))).contains("[1, 1, 5, 3]"));
    assert!(refused("a.npy", Some(&npy("<f4", false, "(2, 1, 3, 5)", &data))).contains("is truncated"));
    assert!(refused("a.npy", Some(&npy("<f4", false, "(1, 1, 3, 5)", &[0; 61]))).contains("left over"));
    write_image(&path("big.png"), 9, 9, 1, 0);
    let text = refused("big.png", None);
    assert!(
        text.contains(
            "big.png: is 9×9 (height × width) with 1 channel; the network reads 3×5: set `preprocess.resize`"
        ),
        "{text}"
    );
    std::fs::write(path("cut.jpg"), b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01").unwrap();
    let text = refused("cut.jpg", None);
    assert!(text.contains("cut.jpg: cannot be decoded: ") && text.lines().count() == 1, "{text}");
}

#[test]
fn what_is_no_finite_number_is_an_error_with_its_place() {
    let mut session = knowing(&Softmax::default());
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut values: Vec<f32> = (1..3).flat_map(pixels).map(|p| f32::from(p) / 255.0).collect();
    values[20] = f32::NAN;
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    std::fs::write(at("two.npy"), npy("<f4", false, "(2, 1, 3, 5)", &bytes)).unwrap();
    let text = predict(&mut session, &[at("two.npy")], &mut Silent).unwrap_err().to_string();
    assert!(text.contains("two.npy[1] holds NaN"), "{text}");

    write_tensors(&at("test.safetensors"), 6, &[0; 6]);
    let whole = std::fs::read(at("test.safetensors")).unwrap();
    let start = TensorFile::open(&at("test.safetensors")).unwrap().tensors()["images"].offset as usize;
    let mut bytes = whole.clone();
    bytes[start + 4 * (4 * 15 + 2)..][..4].copy_from_slice(&f32::INFINITY.to_le_bytes());
    std::fs::write(at("test.safetensors"), bytes).unwrap();
    let data = open(folder.path(), session.manifest()).unwrap();
    let text = evaluate::evaluate(&mut session, &data.test, 1, &mut Silent).unwrap_err().to_string();
    assert!(text.contains("test.safetensors: image 4 holds inf"), "{text}");

    // Finite weights and inputs whose products are not.
    std::fs::write(at("test.safetensors"), whole).unwrap();
    session.state_mut("fc.weight").unwrap().fill(3e38);
    let text = evaluate::evaluate(&mut session, &data.test, 1, &mut Silent).unwrap_err().to_string();
    assert!(text.contains("test.safetensors: image 0 makes the network give inf"), "{text}");
    let error = predict_samples(&mut session, &*data.test, &[2], &mut Silent).unwrap_err();
    assert!(error.to_string().contains("test image 2 makes the network give inf"), "{error}");

    session.state_mut("fc.weight").unwrap()[7] = f32::NAN;
    netc_runtime::checkpoint::save_weights(&session, &at("w.safetensors")).unwrap();
    let error = netc_runtime::checkpoint::load_weights(&mut session, &at("w.safetensors")).unwrap_err();
    assert!(error.to_string().contains("w.safetensors: has `fc.weight` that holds NaN"), "{error}");
    assert_eq!(error.blame(), netc_runtime::error::Blame::User);
}
