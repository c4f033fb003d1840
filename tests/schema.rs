//! The JSON Schema: valid, and of one mind with the checker on what it can know.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its input must fail")]

use jsonschema::Validator;
use serde_json::Value;

fn validator() -> Validator {
    let schema = netc::editor::schema();
    jsonschema::draft202012::meta::validate(&schema).unwrap_or_else(|e| panic!("{e}"));
    jsonschema::draft202012::new(&schema).unwrap()
}

fn yaml(text: &str) -> Option<Value> {
    serde_yaml::from_str(text).ok()
}

/// Every YAML file of a folder of this repository.
fn files(folder: &str) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "yaml") {
            files.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
    files.sort();
    assert!(!files.is_empty());
    files
}

#[test]
fn specs_are_valid() {
    let validator = validator();
    for (name, bytes) in files("specs") {
        let value = yaml(std::str::from_utf8(&bytes).unwrap()).unwrap();
        let errors: Vec<String> =
            validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{name}: {errors:#?}");
    }
}

/// A spec that the checker accepts is valid too, and those with keys or words that are unknown are not.
#[test]
fn the_schema_and_the_checker_agree() {
    let validator = validator();
    let (mut refused, mut accepted) = (0, 0);
    for (name, bytes) in files("tests/ui") {
        let Some(text) = std::str::from_utf8(&bytes).ok().filter(|t| !t.contains("# set: ")) else { continue };
        let Some(value) = yaml(text) else { continue };
        match netc::check::network_from_text(&name, text) {
            Ok(_) => {
                accepted += 1;
                assert!(validator.is_valid(&value), "{name}");
            }
            Err(problems) => {
                let known = ["unknown-key", "unknown-word", "missing-key"];
                // What blocks have is not known to the schema, nor what a name stands for.
                let blocks = text.contains("blocks");
                if problems.iter().any(|d| known.contains(&d.code.as_str())) && !blocks {
                    refused += 1;
                    assert!(!validator.is_valid(&value), "{name}: {problems:#?}");
                }
            }
        }
    }
    assert!(refused >= 5 && accepted >= 1, "{refused} {accepted}");
}

#[test]
fn single_mistakes_are_found() {
    let validator = validator();
    let good = include_str!("../specs/alexnet.yaml");
    assert!(validator.is_valid(&yaml(good).unwrap()));
    for (from, to) in [
        ("kernels: 96", "kernel: 96"),
        ("kernels: 96", "kernels: 0"),
        ("kernels: 96", "kernels: 9.6"),
        ("kernels: 96, ", ""),
        ("padding: [1, 2]", "padding: [1, 2, 3]"),
        ("padding: [1, 2]", "padding: {top: 1, botom: 2}"),
        ("padding: [1, 2]", "padding: -1"),
        ("dropout: {p: 0.5}", "dropout: {p: 1}"),
        ("dropout: {p: 0.5}", "dropout: {p: true}"),
        ("- relu\n", "- linear\n"),
        ("- relu\n", "- {relu: {}, tanh: {}}\n"),
        ("loss: cross_entropy", "loss: cros_entropy"),
        ("sgd:", "sdg:"),
        ("momentum: 0.9", "momentun: 0.9"),
        ("lr: 0.01, ", ""),
        ("crop: random", "crop: randm"),
        ("std: [0.229, 0.224, 0.225]", "std: [0.229, 0, 0.225]"),
        ("preprocess:", "preproces:"),
        ("net: alexnet", "net: 7"),
        ("shape: [3, 224, 224]", "shape: [3, 224]"),
    ] {
        let text = good.replacen(from, to, 1);
        assert_ne!(text, good, "{from}");
        assert!(!validator.is_valid(&yaml(&text).unwrap()), "{from} → {to}");
        assert!(netc::check::network_from_text("t.yaml", &text).is_err(), "{from} → {to}");
    }
}

#[test]
fn parameters_and_blocks_are_valid() {
    let validator = validator();
    let text = "
net: t
input: {shape: [3, side, side]}
params: {side: 32, width: 8, bias: false}
blocks:
  pair: {params: {n: null, k: 3}, layers: [conv: {kernels: n*2, kernel_size: k, padding: k//2, bias: bias}, relu]}
layers:
  - pair: {name: a, n: width, repeat: 2}
  - conv: {kernels: 2*4, kernel_size: 3, lr_mult: {bias: width/4}}
  - relu:
  - add: {name: sum, from: [relu1, relu1]}
";
    assert!(
        netc::check::network_from_text("t.yaml", text).is_ok(),
        "{:#?}",
        netc::check::network_from_text("t.yaml", text)
    );
    let errors: Vec<String> = validator.iter_errors(&yaml(text).unwrap()).map(|e| e.to_string()).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}
