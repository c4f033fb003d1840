//! Training: the same bytes for any number of threads and across interruptions, and it learns.

use crate::workshop::{Done, Workshop, sha256};
use std::process::Stdio;
use std::time::{Duration, Instant};

fn weights(w: &Workshop, run: &str) -> String {
    sha256(&w.read(&format!("{run}/weights.safetensors")))
}

#[test]
fn weights_after_ten_steps_do_not_depend_on_threads() {
    let w = Workshop::new();
    for threads in [1, 2, 3] {
        w.netc(&format!("train tiny.yaml --data data -o run{threads} --steps 10 --threads {threads}")).fine();
    }
    assert_eq!(weights(&w, "run1"), weights(&w, "run2"));
    assert_eq!(weights(&w, "run1"), weights(&w, "run3"));
    w.netc("train tiny.yaml --data data -o other --steps 10 --seed 1").fine();
    assert_ne!(weights(&w, "run1"), weights(&w, "other"), "another seed gives other weights");
}

#[test]
fn weights_do_not_depend_on_an_interruption() {
    let w = Workshop::new();
    w.netc("train tiny.yaml --data data -o whole --steps 10").fine();
    // 64 images in batches of 8: five steps are in the middle of the first epoch.
    w.netc("train tiny.yaml --data data -o parts --steps 5 --threads 2").fine();
    assert_ne!(weights(&w, "whole"), weights(&w, "parts"));
    w.netc("train tiny.yaml --data data -o parts --steps 10 --threads 3 --resume").fine();
    assert_eq!(weights(&w, "whole"), weights(&w, "parts"));
}

#[test]
fn weights_do_not_depend_on_being_killed() {
    let w = Workshop::new();
    let steps = "--steps 3000 --checkpoint-every 10";
    w.netc(&format!("train tiny.yaml --data data -o whole {steps}")).fine();
    let mut child =
        w.command(&format!("train tiny.yaml --data data -o killed {steps}")).stdout(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while !w.files("killed/checkpoints").iter().any(|name| name.ends_with(".safetensors")) {
        assert!(start.elapsed() < Duration::from_secs(60), "no checkpoint within a minute");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(!status.success(), "it was still at work when it was killed");
    w.netc(&format!("train tiny.yaml --data data -o killed {steps} --resume")).fine();
    assert_eq!(weights(&w, "whole"), weights(&w, "killed"));
    let left: Vec<String> = w.files("killed").into_iter().filter(|n| n.contains("tmp")).collect();
    assert!(left.is_empty(), "left over from the killed run: {left:?}");
}

#[test]
fn it_learns_and_says_so() {
    let w = Workshop::new();
    let out = w.netc("train tiny.yaml --data data -o run --epochs 12").fine();
    assert!(out.contains("run/weights.safetensors"), "{out}");
    let log = String::from_utf8(w.read("run/log.jsonl")).unwrap();
    assert!(log.lines().count() >= 12, "{log}");
    for line in log.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|e| panic!("{e}: {line}"));
    }
    let measured = w.netc("eval tiny.yaml --data data --weights run/weights.safetensors --format json").json();
    assert_eq!(measured["images"], 16, "{measured}");
    assert!(measured["top1"].as_f64().unwrap() > 0.9, "{measured}");
    assert!(measured["loss"].as_f64().unwrap() < 0.5, "{measured}");
    let text = w.netc("eval tiny.yaml --data data --weights run/weights.safetensors").fine();
    assert!(text.contains("top-1") && text.contains("loss"), "{text}");
}

#[test]
fn weights_are_taken_up_again() {
    let w = Workshop::new();
    w.netc("train tiny.yaml --data data -o run --epochs 12").fine();
    let still = "--set train.optimizer.sgd.lr=1.0e-12 --set allow=unusual-rate";
    w.netc(&format!("train tiny.yaml --data data -o more --steps 1 --weights run/weights.safetensors {still}")).fine();
    let measured = w.netc("eval tiny.yaml --data data --weights more/weights.safetensors --format json").json();
    assert!(measured["top1"].as_f64().unwrap() > 0.9, "{measured}");
}

#[test]
fn ctrl_c_saves_and_resuming_ends_in_the_same_bytes() {
    let w = Workshop::new();
    let child = w
        .command("train tiny.yaml --data data -o run --steps 1000000")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while !std::fs::read_to_string(w.path("run/log.jsonl")).is_ok_and(|log| log.lines().count() > 3) {
        assert!(start.elapsed() < Duration::from_secs(60), "no step within a minute");
        std::thread::sleep(Duration::from_millis(2));
    }
    w.shell(&format!("kill -INT {}", child.id())).fine();
    let done = Done::from(child.wait_with_output().unwrap());
    let step = done.stderr.strip_prefix("stopped at step ").and_then(|rest| rest.split_once(';'));
    let Some((step, rest)) = step else { panic!("{done:#?}") };
    assert_eq!((done.code, rest), (130, " go on with --resume\n"));
    let step: u64 = step.parse().unwrap();
    assert!(w.path(&format!("run/checkpoints/step-{step:08}.safetensors")).is_file());
    let steps = step + 5;
    w.netc(&format!("train tiny.yaml --data data -o run --resume --steps {steps}")).fine();
    w.netc(&format!("train tiny.yaml --data data -o whole --steps {steps}")).fine();
    assert_eq!(weights(&w, "run"), weights(&w, "whole"));
}

#[test]
fn a_run_that_is_done_says_so() {
    let w = Workshop::new();
    w.netc("train tiny.yaml --data data -o run --steps 6").fine();
    let out = w.netc("train tiny.yaml --data data -o run --steps 6 --resume").fine();
    assert!(out.contains("run is already at step 6:") && !out.contains("weights in"), "{out}");
}
