//! Real images: Fashion-MNIST from `data/`, or from the folder that NETC_DATA names.

use crate::workshop::{Workshop, project, sha256};
use std::path::PathBuf;

/// The folder with Fashion-MNIST.
fn fashion_mnist() -> PathBuf {
    let data = std::env::var_os("NETC_DATA").map_or_else(|| project("data"), PathBuf::from).join("fashion-mnist");
    assert!(
        data.join("train-images-idx3-ubyte.gz").is_file(),
        "Fashion-MNIST is not in {}: run .ci/setup, which fetches it, or name its parent folder in NETC_DATA",
        data.display()
    );
    data
}

#[test]
fn lenet_learns_to_tell_clothes_apart() {
    let w = Workshop::empty();
    let (spec, data) = (project("specs/lenet.yaml"), fashion_mnist());
    let (spec, data) = (spec.display(), data.display());
    let out = w.netc(&format!("train {spec} --data {data} -o run --epochs 3 --format json"));
    assert_eq!(out.code, 0, "{out:#?}");
    let top1 = out.json()["test"]["top1"].as_f64().unwrap();
    assert!(top1 >= 0.88, "right on {:.2} % of the test images after 3 epochs", 100.0 * top1);
    let measured = w.netc(&format!("eval {spec} --weights run/weights.safetensors --data {data} --format json")).json();
    assert_eq!(measured["images"], 10_000);
    assert_eq!(measured["top1"].as_f64().unwrap(), top1, "eval judges as training did");
    let text = w.netc(&format!("run {spec} --weights run/weights.safetensors --data {data} --samples 20")).fine();
    assert!(text.contains("Ankle boot"), "{text}");
}

#[test]
fn weights_of_lenet_are_the_same_bytes_on_any_number_of_threads() {
    let w = Workshop::empty();
    let (spec, data) = (project("specs/lenet.yaml"), fashion_mnist());
    let (spec, data) = (spec.display(), data.display());
    let weights = |threads: usize| {
        let train =
            format!("train {spec} --data {data} -o run{threads} --steps 10 --test-images 1 --threads {threads}");
        w.netc(&train).fine();
        sha256(&w.read(&format!("run{threads}/weights.safetensors")))
    };
    let one = weights(1);
    assert_eq!([weights(2), weights(3), weights(7)], [one.clone(), one.clone(), one]);
}

#[test]
fn alexnet_takes_small_grey_images() {
    let w = Workshop::empty();
    let (spec, data) = (project("specs/alexnet.yaml"), fashion_mnist());
    let (spec, data) = (spec.display(), data.display());
    // With small first weights of the last layer no class is more probable than another.
    let changes = "--set fc8.features=10 --set fc8.init.weight.normal.std=0.0001 --batch 8 --test-images 8";
    let out = w.netc(&format!("train {spec} --data {data} -o run --steps 3 {changes} --format json"));
    assert_eq!(out.code, 0, "{out:#?}");
    let log = String::from_utf8(w.read("run/log.jsonl")).unwrap();
    let first: serde_json::Value = serde_json::from_str(log.lines().nth(1).unwrap()).unwrap();
    let loss = first["loss"].as_f64().unwrap();
    assert!((loss - 10f64.ln()).abs() < 0.1, "the first loss is about ln 10: {loss}");
}
