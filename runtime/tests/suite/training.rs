//! The training loop: what it learns, that nothing changes its bits, and how it ends.

use crate::files::{write_idx, write_targets, write_tensors};
use crate::fixture::{Softmax, session};
use netc_runtime::data::{Split, open};
use netc_runtime::library::Program;
use netc_runtime::observer::{EpochReport, Observer, Silent, StepReport};
use netc_runtime::program::{CropInfo, DecayInfo, ScheduleInfo, TrainInfo};
use netc_runtime::train::{Summary, TrainOptions, train};
use netc_runtime::{Error, Result, evaluate, files, observer};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

/// Notes everything; asks to stop after a number of steps.
#[derive(Default)]
struct Notes {
    stop_at: Option<u64>,
    abort_at: Option<u64>,
    stop_evaluation: bool,
    steps: Vec<StepReport>,
    epochs: Vec<EpochReport>,
    starts: Vec<observer::Start>,
    tests: Vec<observer::TestReport>,
    saved: usize,
}

impl Observer for Notes {
    fn start(&mut self, start: &observer::Start) {
        self.starts.push(start.clone());
    }

    fn step(&mut self, report: &StepReport) -> ControlFlow<()> {
        self.steps.push(*report);
        if self.abort_at == Some(report.step) {
            std::process::abort();
        }
        if self.stop_at == Some(report.step) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn evaluate(&mut self, _done: usize, _total: usize) -> ControlFlow<()> {
        if self.stop_evaluation { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn test(&mut self, report: &observer::TestReport) {
        self.tests.push(report.clone());
    }

    fn epoch(&mut self, report: &EpochReport) {
        self.epochs.push(report.clone());
    }

    fn saved(&mut self, _path: &Path) {
        self.saved += 1;
    }
}

/// Augments and decays, so that everything that could depend on a place in training does.
fn lively() -> Softmax {
    Softmax {
        crop: CropInfo::PaddedRandom(1),
        flip: 0.5,
        train: TrainInfo {
            epochs: 3,
            learning_rate: ScheduleInfo { base: 0.2, warmup_steps: 3, decay: DecayInfo::Cosine { minimum: 0.01 } },
            shuffle: true,
            loss: "cross_entropy".to_owned(),
        },
        ..Softmax::default()
    }
}

struct Bench {
    program: Arc<Program>,
    data: Split,
    folder: tempfile::TempDir,
}

/// 30 images to learn from and 10 to be judged by, in batches of 4: 7 steps an epoch.
fn bench(softmax: &Softmax) -> Bench {
    let folder = tempfile::tempdir().unwrap();
    write_idx(folder.path(), "train", 30);
    write_idx(folder.path(), "t10k", 10);
    let program = softmax.program();
    let data = open(folder.path(), program.manifest()).unwrap();
    Bench { program, data, folder }
}

impl Bench {
    fn options(&self, name: &str) -> TrainOptions {
        TrainOptions { log_every: 1, seed: Some(11), ..TrainOptions::new(self.folder.path().join(name)) }
    }

    fn train(&self, threads: usize, options: &TrainOptions, notes: &mut Notes) -> Result<Summary> {
        train(&mut session(&self.program, threads), &self.data, options, notes)
    }

    fn weights(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.folder.path().join(name).join("weights.safetensors")).unwrap()
    }
}

#[test]
fn it_learns_and_reports() {
    let softmax = Softmax { train: TrainInfo { epochs: 8, ..lively().train }, ..Softmax::default() };
    let bench = bench(&softmax);
    let mut notes = Notes::default();
    let summary = bench.train(2, &bench.options("run"), &mut notes).unwrap();
    assert!(!summary.stopped);
    assert_eq!((summary.position.step, summary.position.epoch, summary.position.epoch_step), (56, 8, 0));
    let test = summary.test.unwrap();
    assert_eq!((test.images, test.top1, test.top5), (10, Some(1.0), None));
    assert!(test.loss < 0.3, "{}", test.loss);
    assert_eq!(notes.steps.len(), 56);
    assert_eq!(notes.epochs.len(), 8);
    assert_eq!(notes.saved, 16);
    assert!((f64::from(notes.steps[0].loss) - 3f64.ln()).abs() < 0.01);
    assert!(notes.epochs[7].mean_loss < notes.epochs[0].mean_loss / 2.0);
    let start = &notes.starts[0];
    assert_eq!((start.images, start.test_images, start.steps_per_epoch, start.total_steps), (30, 10, 7, 56));

    let run = bench.folder.path().join("run");
    let log = std::fs::read_to_string(run.join("log.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> = log.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 1 + 56 + 8);
    assert_eq!((lines[0]["kind"].as_str(), lines[0]["seed"].as_u64()), (Some("start"), Some(11)));
    assert_eq!((lines[1]["step"].as_u64(), lines[1]["epoch"].as_u64()), (Some(1), Some(1)), "both count from 1");
    assert_eq!((lines[8]["step"].as_u64(), lines[8]["epoch"].as_u64()), (Some(7), Some(1)));
    assert_eq!((lines[9]["step"].as_u64(), lines[9]["epoch"].as_u64()), (Some(8), Some(2)));
    assert_eq!((lines[8]["kind"].as_str(), lines[8]["test"]["images"].as_u64()), (Some("epoch"), Some(10)));
    let names: Vec<_> = files::list(&run.join("checkpoints")).unwrap();
    assert_eq!(names.len(), 2);
    assert!(names[1].ends_with("step-00000056.safetensors"));

    // The weights file alone gives the same judgement.
    let mut fresh = session(&bench.program, 1);
    netc_runtime::checkpoint::load_weights(&mut fresh, &run.join("weights.safetensors")).unwrap();
    assert_eq!(evaluate::evaluate(&mut fresh, &bench.data.test, 3, &mut Silent).unwrap(), test);
}

#[test]
fn threads_and_loaders_change_no_bit() {
    let bench = bench(&lively());
    for (threads, loaders) in [(1, 1), (2, 2), (3, 1), (5, 4)] {
        let name = format!("{threads}");
        let options = TrainOptions { loaders, ..bench.options(&name) };
        bench.train(threads, &options, &mut Notes::default()).unwrap();
        assert_eq!(bench.weights(&name), bench.weights("1"), "{threads} threads, {loaders} loaders");
    }
    let options = TrainOptions { seed: Some(12), ..bench.options("other") };
    bench.train(1, &options, &mut Notes::default()).unwrap();
    assert_ne!(bench.weights("other"), bench.weights("1"));
}

#[test]
fn resuming_anywhere_ends_in_the_same_bits() {
    let bench = bench(&lively());
    let mut whole = Notes::default();
    bench.train(2, &bench.options("whole"), &mut whole).unwrap();
    let losses = |notes: &Notes| notes.steps.iter().map(|s| (s.step, s.loss, s.mean_loss)).collect::<Vec<_>>();
    for stop_at in [1, 6, 7, 8, 13, 20] {
        let name = format!("stopped-{stop_at}");
        let mut notes = Notes { stop_at: Some(stop_at), ..Notes::default() };
        assert!(bench.train(1, &bench.options(&name), &mut notes).unwrap().stopped);
        let rest = TrainOptions { resume: true, seed: None, ..bench.options(&name) };
        notes.stop_at = None;
        assert!(!bench.train(3, &rest, &mut notes).unwrap().stopped);
        assert_eq!(losses(&notes), losses(&whole), "stopped at {stop_at}");
        assert_eq!(bench.weights(&name), bench.weights("whole"), "stopped at {stop_at}");
        let last = "checkpoints/step-00000021.safetensors";
        let read = |run: &str| std::fs::read(bench.folder.path().join(run).join(last)).unwrap();
        assert_eq!(read(&name), read("whole"));
    }
}

#[test]
fn an_evaluation_that_was_broken_off_is_made_up_for() {
    let bench = bench(&lively());
    bench.train(2, &bench.options("whole"), &mut Notes::default()).unwrap();
    for (name, steps) in [("first", None), ("last", Some(7))] {
        let options = TrainOptions { steps, ..bench.options(name) };
        let mut notes = Notes { stop_evaluation: true, ..Notes::default() };
        let summary = bench.train(1, &options, &mut notes).unwrap();
        assert!(summary.stopped && notes.epochs.is_empty());
        assert_eq!((summary.position.step, summary.position.epoch_step), (7, 7));
        notes.stop_evaluation = false;
        let summary = bench.train(1, &TrainOptions { resume: true, ..options }, &mut notes).unwrap();
        assert!(!summary.stopped && summary.test.is_some());
        assert_eq!((notes.epochs[0].epoch, notes.epochs[0].step), (1, 7));
        assert_eq!(summary.position.epoch_step, 0);
    }
    assert_eq!(bench.weights("first"), bench.weights("whole"));
}

/// Set for the child process that is to die.
const DIE_IN: &str = "NETC_TEST_DIE_IN";

#[test]
fn a_killed_run_resumes_from_its_last_checkpoint() {
    if let Some(folder) = std::env::var_os(DIE_IN) {
        let folder = Path::new(&folder);
        let program = Arc::new(Program::load(&folder.join("softmax.so")).unwrap());
        let data = open(folder, program.manifest()).unwrap();
        let mut notes = Notes { abort_at: Some(12), ..Notes::default() };
        let out = folder.join("killed");
        let options =
            TrainOptions { log_every: 1, seed: Some(11), checkpoint_every: Some(5), ..TrainOptions::new(out) };
        let _ = train(&mut session(&program, 2), &data, &options, &mut notes);
        unreachable!("the process aborts in step 12");
    }
    let softmax = lively();
    let bench = bench(&softmax);
    bench.train(1, &bench.options("whole"), &mut Notes::default()).unwrap();
    softmax.build(bench.folder.path(), Some(&serde_json::to_string(&softmax.manifest()).unwrap()));
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "training::a_killed_run_resumes_from_its_last_checkpoint", "--test-threads=1"])
        .env(DIE_IN, bench.folder.path())
        .output()
        .unwrap();
    assert!(!child.status.success());
    let run = bench.folder.path().join("killed");
    // What a kill in the middle of a write leaves: part of a line, part of a file.
    let log = run.join("log.jsonl");
    let mut text = std::fs::read(&log).unwrap();
    assert_eq!(text.iter().filter(|&&b| b == b'\n').count(), 1 + 12 + 1);
    text.extend_from_slice(b"{\"kind\":\"step\",\"st");
    std::fs::write(&log, text).unwrap();
    std::fs::write(run.join("checkpoints/.step-00000015.safetensors.x.partial"), b"half").unwrap();

    let rest = TrainOptions { resume: true, ..bench.options("killed") };
    let mut notes = Notes::default();
    bench.train(2, &rest, &mut notes).unwrap();
    assert_eq!(notes.steps[0].step, 11, "resumes after the checkpoint of step 10");
    assert_eq!(bench.weights("killed"), bench.weights("whole"));
    let steps: Vec<u64> = std::fs::read_to_string(&log)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|line| line["kind"] == "step")
        .map(|line| line["step"].as_u64().unwrap())
        .collect();
    assert_eq!(steps, (1..=21).collect::<Vec<_>>());
    let partial = |p: &std::path::PathBuf| p.to_string_lossy().ends_with(".partial");
    assert!(!files::list(&run.join("checkpoints")).unwrap().iter().any(partial));
}

#[test]
fn steps_end_training_within_an_epoch_and_more_can_follow() {
    // A rate that does not depend on the length of the run.
    let bench = bench(&Softmax::default());
    let options = |name: &str, steps, resume| TrainOptions { steps: Some(steps), resume, ..bench.options(name) };
    bench.train(1, &options("ten", 10, false), &mut Notes::default()).unwrap();
    let mut notes = Notes::default();
    let four = bench.train(1, &options("four", 4, false), &mut notes).unwrap();
    assert_eq!((four.position.step, four.position.epoch_step), (4, 4));
    assert_eq!(notes.epochs.len(), 1);
    assert!(four.test.is_some());
    bench.train(1, &options("four", 10, true), &mut Notes::default()).unwrap();
    assert_eq!(bench.weights("four"), bench.weights("ten"));
    // All done already: nothing changes.
    let again = bench.train(1, &options("four", 10, true), &mut Notes::default()).unwrap();
    assert_eq!((again.position.step, again.test), (10, None));
    assert_eq!(bench.weights("four"), bench.weights("ten"));
}

#[test]
fn judging_within_an_epoch_and_by_fewer_images_changes_no_weight() {
    let bench = bench(&lively());
    bench.train(1, &bench.options("plain"), &mut Notes::default()).unwrap();
    let options = TrainOptions { evaluate_every: Some(3), test_images: Some(4), ..bench.options("judged") };
    let mut notes = Notes::default();
    let summary = bench.train(1, &options, &mut notes).unwrap();
    assert_eq!(notes.tests.iter().map(|t| t.step).collect::<Vec<_>>(), [3, 6, 9, 12, 15, 18]);
    assert!(notes.tests.iter().all(|t| t.test.images == 4));
    assert_eq!((summary.test.unwrap().images, notes.starts[0].test_images), (4, 4));
    assert_eq!(bench.weights("judged"), bench.weights("plain"));
}

#[test]
fn tensor_data_skip_preprocessing_and_weights_can_be_given() {
    let bench = bench(&Softmax::default());
    bench.train(1, &bench.options("first"), &mut Notes::default()).unwrap();
    // The program divides by 255, as the tensor file's values are: the same numbers either way.
    let tensors = tempfile::tempdir().unwrap();
    let labels: Vec<i64> = (0..30).map(|i| i % 3).collect();
    write_tensors(&tensors.path().join("train.safetensors"), 30, &labels);
    write_tensors(&tensors.path().join("test.safetensors"), 10, &labels[..10]);
    let data = open(tensors.path(), bench.program.manifest()).unwrap();
    let mut session = session(&bench.program, 2);
    train(&mut session, &data, &bench.options("second"), &mut Silent).unwrap();
    assert_eq!(bench.weights("second"), bench.weights("first"));

    let weights = Some(bench.folder.path().join("first/weights.safetensors"));
    let mut notes = Notes::default();
    bench.train(1, &TrainOptions { weights, ..bench.options("tuned") }, &mut notes).unwrap();
    assert!(notes.steps[0].loss < 0.8, "{}", notes.steps[0].loss);
}

#[test]
fn a_plateau_lowers_the_rate_across_a_resume() {
    let mut softmax = Softmax::default();
    softmax.train.epochs = 9;
    softmax.train.learning_rate.decay = DecayInfo::Plateau { gamma: 0.1, patience: 1, times: 2 };
    let bench = bench(&softmax);
    let mut whole = Notes::default();
    bench.train(1, &bench.options("whole"), &mut whole).unwrap();
    let rates: Vec<f64> = whole.steps.iter().map(|s| s.learning_rate).collect();
    assert!(rates[0] == 0.5 && (rates[62] - 0.005).abs() < 1e-12, "{rates:?}");
    let mut notes = Notes { stop_at: Some(45), ..Notes::default() };
    bench.train(1, &bench.options("part"), &mut notes).unwrap();
    bench.train(1, &TrainOptions { resume: true, ..bench.options("part") }, &mut Notes::default()).unwrap();
    assert_eq!(bench.weights("part"), bench.weights("whole"));
}

#[test]
fn a_loss_that_is_no_number_ends_training_and_keeps_the_last_checkpoint() {
    let mut softmax = Softmax::default();
    softmax.train.learning_rate.base = 1e38;
    let bench = bench(&softmax);
    let options = TrainOptions { checkpoint_every: Some(1), ..bench.options("run") };
    let mut notes = Notes::default();
    let error = bench.train(1, &options, &mut notes).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Diverged { .. }), "{text}");
    assert!(text.contains("at step") && text.contains("lower learning rate"), "{text}");
    let run = bench.folder.path().join("run");
    let mut session = session(&bench.program, 1);
    for checkpoint in files::list(&run.join("checkpoints")).unwrap() {
        netc_runtime::checkpoint::load_checkpoint(&mut session, &checkpoint).unwrap();
        assert!(netc_runtime::checkpoint::not_finite(&session).is_none());
    }
}

#[test]
fn a_first_loss_that_is_no_number_is_not_blamed_on_the_rate() {
    let bench = bench(&Softmax::default());
    let mut session = session(&bench.program, 1);
    session.state_mut("fc.weight").unwrap().fill(3e38);
    let weights = bench.folder.path().join("huge.safetensors");
    netc_runtime::checkpoint::save_weights(&session, &weights).unwrap();
    let options = TrainOptions { weights: Some(weights), ..bench.options("run") };
    let text = bench.train(1, &options, &mut Notes::default()).unwrap_err().to_string();
    assert!(text.contains("at step 1 ") && text.contains("look at the data and the initial weights"), "{text}");
    assert!(!text.contains("lower"), "{text}");
}

#[test]
fn requests_that_cannot_be_met_are_refused() {
    let bench = bench(&Softmax::default());
    let refused = |options: &TrainOptions| match bench.train(1, options, &mut Notes::default()) {
        Err(Error::Request(text)) => text,
        other => panic!("{other:?}"),
    };
    let resume = |name: &str| TrainOptions { resume: true, ..bench.options(name) };
    assert!(refused(&resume("nothing")).contains("no checkpoint to resume from"));
    bench.train(1, &TrainOptions { steps: Some(3), ..bench.options("run") }, &mut Notes::default()).unwrap();
    let before = bench.weights("run");
    assert!(refused(&bench.options("run")).contains("already holds a training run"));
    assert!(refused(&TrainOptions { seed: Some(1), ..resume("run") }).contains("has seed 11, not 1"));
    assert!(refused(&TrainOptions { weights: Some("w".into()), ..resume("run") }).contains("leave out --weights"));
    assert_eq!(bench.weights("run"), before);

    let few = tempfile::tempdir().unwrap();
    write_idx(few.path(), "train", 3);
    let data = open(few.path(), bench.program.manifest()).unwrap();
    let mut session = session(&bench.program, 1);
    let error = train(&mut session, &data, &bench.options("few"), &mut Silent).unwrap_err();
    assert!(error.to_string().contains("3 images to learn from do not fill one batch of 4"), "{error}");
    let targets = few.path().join("t.safetensors");
    write_targets(&targets, 8);
    let data = open(&targets, bench.program.manifest()).unwrap();
    let error = train(&mut session, &data, &bench.options("targets"), &mut Silent).unwrap_err();
    assert!(error.to_string().contains("compares with class labels, but the data have `targets`"), "{error}");
    write_idx(few.path(), "train", 20);
    let data = open(few.path(), bench.program.manifest()).unwrap();
    let error = train(&mut session, &data, &resume("run"), &mut Silent).unwrap_err();
    assert!(error.to_string().contains("stopped within an epoch of 30 images"), "{error}");
}

#[test]
fn corrupt_checkpoints_are_reported_when_resuming() {
    let bench = bench(&Softmax::default());
    bench.train(1, &TrainOptions { steps: Some(3), ..bench.options("run") }, &mut Notes::default()).unwrap();
    let checkpoint = bench.folder.path().join("run/checkpoints/step-00000003.safetensors");
    let whole = std::fs::read(&checkpoint).unwrap();
    std::fs::write(&checkpoint, &whole[..whole.len() / 2]).unwrap();
    let error =
        bench.train(1, &TrainOptions { resume: true, ..bench.options("run") }, &mut Notes::default()).unwrap_err();
    assert!(error.to_string().contains("step-00000003.safetensors, byte"), "{error}");
    assert!(error.to_string().contains("is truncated"), "{error}");
    assert!(error.to_string().contains("no other checkpoint"), "{error}");
}

#[test]
fn a_damaged_checkpoint_names_the_one_before() {
    let bench = bench(&lively());
    bench.train(1, &bench.options("whole"), &mut Notes::default()).unwrap();
    bench.train(1, &TrainOptions { epochs: Some(2), ..bench.options("run") }, &mut Notes::default()).unwrap();
    let newest = bench.folder.path().join("run/checkpoints/step-00000014.safetensors");
    let whole = std::fs::read(&newest).unwrap();
    let resume = TrainOptions { resume: true, ..bench.options("run") };
    std::fs::write(&newest, &whole[..whole.len() - 9]).unwrap();
    let text = bench.train(1, &resume, &mut Notes::default()).unwrap_err().to_string();
    assert!(text.contains("step-00000014.safetensors, byte") && text.contains("delete that file"), "{text}");
    assert!(text.contains("goes on from") && text.ends_with("step-00000007.safetensors"), "{text}");
    std::fs::remove_file(&newest).unwrap();
    bench.train(1, &resume, &mut Notes::default()).unwrap();
    assert_eq!(std::fs::read(&newest).unwrap().len(), whole.len());
}
