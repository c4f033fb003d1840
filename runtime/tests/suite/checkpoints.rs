//! Weights files and checkpoints.

use crate::fixture::{Softmax, session};
use netc_runtime::Error;
use netc_runtime::checkpoint::{Position, load_checkpoint, load_weights, not_finite, save_checkpoint, save_weights};
use netc_runtime::session::Session;
use netc_runtime::tensorfile::{self, TensorData};
use std::collections::BTreeMap;

fn everything(session: &Session) -> Vec<Vec<u32>> {
    let states = &session.manifest().states;
    states.iter().map(|s| session.state(&s.name).unwrap().iter().map(|x| x.to_bits()).collect()).collect()
}

#[test]
fn weights_hold_parameters_and_checkpoints_everything() {
    let program = Softmax::default().program();
    let mut one = session(&program, 1);
    one.init(3).unwrap();
    one.state_mut("optimizer.fc.bias.momentum").unwrap().fill(0.25);
    let folder = tempfile::tempdir().unwrap();
    let (weights, checkpoint) = (folder.path().join("w.safetensors"), folder.path().join("c.safetensors"));
    let position = Position { step: 7, epoch: 1, epoch_step: 2, seed: 3, batch: 4, images: 20, ..Position::default() };
    save_weights(&one, &weights).unwrap();
    save_checkpoint(&one, &checkpoint, &position).unwrap();

    let bytes = std::fs::read(&weights).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.len(), 2);
    assert_eq!(file.tensor("fc.weight").unwrap().shape(), [3, 15]);

    let mut two = session(&program, 1);
    assert_eq!(load_checkpoint(&mut two, &checkpoint).unwrap(), position);
    assert_eq!(everything(&two), everything(&one));

    // A checkpoint serves as weights too; optimizer states stay as they are then.
    let mut three = session(&program, 1);
    load_weights(&mut three, &checkpoint).unwrap();
    assert_eq!(three.state("fc.weight"), one.state("fc.weight"));
    assert_eq!(three.state("optimizer.fc.bias.momentum").unwrap(), [0.0; 3]);

    let error = load_checkpoint(&mut three, &weights).unwrap_err();
    assert!(error.to_string().contains("is no checkpoint"), "{error}");
}

#[test]
fn same_state_same_bytes() {
    let program = Softmax::default().program();
    let mut session = session(&program, 2);
    session.init(3).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let paths: Vec<_> = (0..3).map(|i| folder.path().join(i.to_string())).collect();
    for path in &paths {
        save_checkpoint(&session, path, &Position::default()).unwrap();
    }
    let first = std::fs::read(&paths[0]).unwrap();
    assert!(paths.iter().all(|p| std::fs::read(p).unwrap() == first));
}

#[test]
fn all_mismatches_come_in_one_error_and_change_nothing() {
    let program = Softmax::default().program();
    let mut session = session(&program, 1);
    session.init(3).unwrap();
    let before = everything(&session);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let data = [0u8; 4 * 45];
    let tensors = [
        TensorData { name: "fc.wieght", dtype: "F32", shape: &[3, 15], data: &data },
        TensorData { name: "fc.bias", dtype: "F32", shape: &[4], data: &data[..16] },
        TensorData { name: "bn.num_batches_tracked", dtype: "I64", shape: &[], data: &data[..8] },
        TensorData { name: "classifier", dtype: "F32", shape: &[1], data: &data[..4] },
    ];
    tensorfile::write(&path, &tensors, &BTreeMap::new()).unwrap();
    let error = load_weights(&mut session, &path).unwrap_err();
    let Error::Mismatch { problems, .. } = &error else { panic!("{error}") };
    assert_eq!(
        problems,
        &[
            "`fc.weight` [3, 15] is missing; is it the file's `fc.wieght`?",
            "`fc.bias` is [4] in the file, [3] in the network",
            "`classifier` [1] is not in the network",
            "`fc.wieght` [3, 15] is not in the network; did you mean `fc.weight`?",
        ]
    );
    let halves = [
        TensorData { name: "fc.weight", dtype: "F32", shape: &[3, 15], data: &data },
        TensorData { name: "fc.bias", dtype: "F16", shape: &[3], data: &data[..6] },
    ];
    tensorfile::write(&path, &halves, &BTreeMap::new()).unwrap();
    let error = load_weights(&mut session, &path).unwrap_err();
    assert!(error.to_string().contains("`fc.bias` has type F16 in the file, F32 is needed"), "{error}");
    assert_eq!(everything(&session), before);
}

#[test]
fn truncated_and_empty_checkpoints_are_errors_and_change_nothing() {
    let program = Softmax::default().program();
    let mut session = session(&program, 1);
    session.init(3).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.safetensors");
    save_checkpoint(&session, &path, &Position::default()).unwrap();
    let whole = std::fs::read(&path).unwrap();
    session.init(4).unwrap();
    let before = everything(&session);
    for length in [0, 5, 8, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = load_checkpoint(&mut session, &path).unwrap_err();
        assert!(matches!(error, Error::File { .. }), "{length}: {error}");
        assert_eq!(everything(&session), before);
    }
    assert!(load_weights(&mut session, folder.path()).unwrap_err().to_string().contains("is a folder"));
    let missing = load_weights(&mut session, &folder.path().join("none")).unwrap_err();
    assert!(missing.to_string().contains("no such file"), "{missing}");
}

#[test]
fn weights_that_are_no_numbers_are_found_by_name() {
    let program = Softmax::default().program();
    let mut session = session(&program, 1);
    session.init(3).unwrap();
    assert!(not_finite(&session).is_none());
    session.state_mut("optimizer.fc.bias.momentum").unwrap()[2] = f32::INFINITY;
    assert_eq!(not_finite(&session).unwrap().name, "optimizer.fc.bias.momentum");
}
