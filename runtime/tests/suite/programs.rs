//! Loading programs and calling them.

use crate::fixture::{Softmax, session};
use netc_runtime::Error;
use netc_runtime::library::Program;
use netc_runtime::program::{DType, Manifest, StateRole};
use std::path::Path;

fn load_with(change: impl FnOnce(&mut Manifest)) -> Result<Program, Error> {
    let softmax = Softmax::default();
    let mut manifest = softmax.manifest();
    change(&mut manifest);
    let folder = tempfile::tempdir().unwrap();
    let library = softmax.build(folder.path(), Some(&serde_json::to_string(&manifest).unwrap()));
    Program::load(&library)
}

fn cause(result: Result<Program, Error>) -> String {
    let error = result.err().expect("the program must be refused");
    assert_eq!(error.blame(), netc_runtime::error::Blame::User, "{error}");
    error.to_string()
}

#[test]
fn manifest_is_found_in_the_library_or_beside_it_and_folders_stand_for_their_library() {
    let softmax = Softmax::default();
    let folder = tempfile::tempdir().unwrap();
    let library = softmax.build(folder.path(), None);
    assert!(cause(Program::load(&library)).contains("no program.json beside it"));
    std::fs::write(folder.path().join("program.json"), serde_json::to_vec(&softmax.manifest()).unwrap()).unwrap();
    assert_eq!(Program::load(folder.path()).unwrap().manifest(), &softmax.manifest());
    assert_eq!(load_with(|_| ()).unwrap().manifest(), &softmax.manifest());
}

#[test]
fn what_is_no_program_is_refused_with_its_cause() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.so");
    assert!(cause(Program::load(&path)).contains("no such file"));
    assert!(cause(Program::load(folder.path())).contains("holds no compiled program"));
    std::fs::write(&path, b"").unwrap();
    assert!(cause(Program::load(&path)).contains("is empty"));
    std::fs::write(&path, b"#!/bin/sh\n").unwrap();
    assert!(cause(Program::load(&path)).contains("no ELF library"));
    let whole = std::fs::read(Softmax::default().build(folder.path(), None)).unwrap();
    for length in [64, 1000, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert!(cause(Program::load(&path)).contains("is truncated"), "{length}");
    }
    assert!(cause(Program::load(folder.path())).contains("several programs"));
}

#[test]
fn manifests_that_make_no_sense_are_refused() {
    assert!(cause(load_with(|m| m.version = 99)).contains("version 99"));
    assert!(cause(load_with(|m| m.batch = 0)).contains("a batch of 0"));
    assert!(cause(load_with(|m| m.state_bytes -= 4)).contains("outside the state block"));
    assert!(cause(load_with(|m| m.states[0].offset = usize::MAX - 3)).contains("outside the state block"));
    assert!(cause(load_with(|m| m.states[1].offset = 0)).contains("overlap"));
    assert!(cause(load_with(|m| m.states[1].name = "fc.weight".to_owned())).contains("two states"));
    assert!(cause(load_with(|m| m.functions[0].name = "infer".to_owned())).contains("two functions"));
    assert!(cause(load_with(|m| m.functions[0].symbol = "nowhere".to_owned())).contains("`nowhere`"));
    assert!(cause(load_with(|m| m.functions[1].inputs[0].shape = vec![usize::MAX, 2])).contains("too large"));
}

#[test]
fn memory_that_cannot_be_had_is_an_error() {
    let program = load_with(|m| m.functions[2].arena_bytes = 1 << 61).unwrap();
    let pool = std::sync::Arc::new(netc_runtime::threads::Pool::new(1).unwrap());
    let error = netc_runtime::session::Session::new(std::sync::Arc::new(program), pool).err().unwrap();
    assert!(error.to_string().contains("2305843009213693952 bytes for the arena of softmax"), "{error}");
}

#[test]
fn like_ports_share_memory_across_functions_but_not_within_one() {
    let bytes = |change: fn(&mut Manifest)| session(&std::sync::Arc::new(load_with(change).unwrap()), 1).memory_bytes();
    let usual = bytes(|_| ());
    let image = 4 * (4 * 3 * 5);
    // An output like the input: `infer` gets one more block, which `train` then shares.
    fn twice(m: &mut Manifest, function: usize) {
        let image = m.functions[function].inputs[0].clone();
        m.functions[function].outputs.push(image);
    }
    assert_eq!(bytes(|m| twice(m, 2)), usual + image);
    assert_eq!(bytes(|m| [2, 3].into_iter().for_each(|f| twice(m, f))), usual + image);
}

#[test]
fn numbers_that_a_function_takes_otherwise_are_an_error() {
    let train = |change: fn(&mut Manifest)| {
        let program = std::sync::Arc::new(load_with(change).unwrap());
        session(&program, 1).train(0.1, 0, 0)
    };
    assert!(train(|_| ()).is_ok());
    for (change, name) in [
        ((|m| m.functions[3].inputs[2].dtype = DType::I32) as fn(&mut Manifest), "learning_rate"),
        (|m| m.functions[3].inputs[2].shape = vec![4], "learning_rate"),
        (|m| m.functions[3].inputs[3].dtype = DType::F32, "step"),
        (|m| m.functions[3].inputs[4].shape = vec![], "seed"),
    ] {
        let error = train(change).unwrap_err();
        assert_eq!(error.blame(), netc_runtime::error::Blame::Compiler);
        assert!(error.to_string().contains(&format!("`{name}` of `train` is no ")), "{error}");
    }
}

#[test]
fn missing_functions_and_failing_ones_are_errors() {
    let program = std::sync::Arc::new(
        load_with(|m| {
            m.functions.retain(|f| f.name != "train");
            m.functions[2].symbol = "softmax_fails".to_owned();
        })
        .unwrap(),
    );
    let mut session = session(&program, 1);
    let error = session.train(0.1, 0, 0).unwrap_err();
    assert!(error.to_string().contains("no function `train` (it has init, preprocess, infer)"), "{error}");
    let error = session.infer().unwrap_err();
    assert_eq!(error.blame(), netc_runtime::error::Blame::Compiler);
    assert!(error.to_string().contains("returned 7"), "{error}");
}

#[test]
fn states_are_had_by_name_and_init_follows_the_seed() {
    let softmax = Softmax::default();
    let program = softmax.program();
    let mut session = session(&program, 2);
    session.init(1).unwrap();
    let first = session.state("fc.weight").unwrap().to_vec();
    session.init(1 << 32).unwrap();
    assert_ne!(session.state("fc.weight").unwrap(), first);
    session.init(1).unwrap();
    assert_eq!(session.state("fc.weight").unwrap(), first);
    session.state_mut("fc.bias").unwrap().fill(3.0);
    assert_eq!(session.state("fc.bias").unwrap(), [3.0; 3]);
    assert_eq!(session.state("fc.weight").unwrap(), first);
    assert!(session.state("fc.wait").is_none());
    assert_eq!(session.manifest().states[2].role, StateRole::Optimizer);
}

#[test]
fn preprocess_feeds_infer_and_train_for_any_number_of_threads() {
    let softmax = Softmax { batch: 6, ..Softmax::default() };
    let program = softmax.program();
    let mut expected: Option<Vec<u32>> = None;
    for threads in [1, 2, 3, 7] {
        let mut session = session(&program, threads);
        session.init(5).unwrap();
        for step in 0..20 {
            for (i, pixel) in session.pixels_mut().unwrap().iter_mut().enumerate() {
                *pixel = (i * 7 + step as usize) as u8;
            }
            for (i, label) in session.labels_mut().unwrap().iter_mut().enumerate() {
                *label = (i % 3) as i32;
            }
            session.preprocess().unwrap();
            assert!(session.train(0.1, step, 5).unwrap().loss.is_finite());
            assert_eq!(session.train_output().unwrap().len(), 18);
        }
        assert_eq!(session.batch_mut("infer").unwrap()[1], (7 + 19) as f32 / 255.0);
        let bits: Vec<u32> = session.infer().unwrap().iter().map(|x| x.to_bits()).collect();
        assert_eq!(expected.get_or_insert_with(|| bits.clone()), &bits, "{threads} threads");
        let mut times = 0;
        session.run_kernels("infer", |_, _| times += 1).unwrap();
        assert_eq!(times, 1);
    }
}

#[test]
fn a_program_is_loaded_by_a_bare_file_name() {
    // The loader would search the system's folders for a name without a slash.
    let error = Program::load(Path::new("no-such-program.so")).err().unwrap();
    assert!(error.to_string().contains("no such file"));
}
