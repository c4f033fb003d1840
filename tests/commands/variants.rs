//! Variants of a spec: the table of `netc check`, and what is wrong with those that are wrong.

use crate::workshop::{TINY, Workshop};

/// The lines after the one that counts the variants.
#[track_caller]
fn table(text: &str) -> Vec<&str> {
    let (_, table) = text.split_once(" variants:\n").unwrap_or_else(|| panic!("no table:\n{text}"));
    table.lines().collect()
}

fn workshop(vary: &str) -> Workshop {
    let workshop = Workshop::new();
    workshop.write("vary.yaml", format!("{TINY}vary: {vary}\n"));
    workshop
}

#[test]
fn a_table_shows_all_variants_right_and_wrong() {
    let w = workshop("{conv1.kernels: [4, 8], maxpool.kernel_size: [2]}");
    w.netc("check vary.yaml").refused(1, &["vary.yaml:16:31", "there is no layer or section `maxpool`"]);
    let w = workshop("{conv1.kernels: [4, 8], maxpool1.kernel_size: [2, 3], dropout: [on, off]}");
    let text = w.netc("check vary.yaml --threads 1 --cache none").fine();
    let lines = table(&text);
    assert_eq!(lines.len(), 10);
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        words(lines[0])[..7],
        ["#", "conv1.kernels", "maxpool1.kernel_size", "dropout", "output", "params", "MACs"]
    );
    assert_eq!(words(lines[1])[..7], ["1", "4", "2", "on", "3", "235", "2.5"]);
    assert_eq!(words(lines[6])[..7], ["6", "8", "2", "off", "3", "467", "5.0"]);
    let wrong =
        "3  4              3                     on       error[inexact-size]: maxpool1 does not tile its input";
    assert_eq!(lines[3], wrong);
    assert_eq!(lines[9], "--variant 3 says all of what is wrong with number 3");
    // The spec itself stays as it is.
    let plain = w.netc("check tiny.yaml --threads 1 --cache none").fine();
    assert!(text.starts_with(&plain), "{text}");
    let json = w.netc("check vary.yaml --format json").json();
    assert_eq!(json["variants"].as_array().unwrap().len(), 8);
    assert_eq!(json["variants"][5]["values"]["dropout"], "off");
    assert_eq!(json["variants"][5]["param_count"], 467);
    assert_eq!(json["variants"][5]["memory"][1]["mode"], "train");
    assert_eq!(json["variants"][2]["diagnostics"][0]["code"], "inexact-size");
}

#[test]
fn one_variant_is_checked_as_a_spec() {
    let w = workshop("{conv1.kernels: [4, 8], maxpool1.kernel_size: [2, 3]}");
    let text = w.netc("check vary.yaml --variant 3").fine();
    assert!(text.contains("conv1     conv     8×8×8") && !text.contains("variants"), "{text}");
    w.netc("check vary.yaml --variant 2").refused(
        1,
        &[
            "inexact-size",
            "vary.yaml:7:5",
            "(8 − 3 + 0)/3 + 1",
            "in the variant conv1.kernels=4, maxpool1.kernel_size=3",
        ],
    );
    w.netc("check vary.yaml --variant 5").refused(2, &["there is no variant 5: there are 4"]);
    w.netc("check tiny.yaml --variant 1").refused(2, &["there are no variants"]);
}

#[test]
fn the_command_line_varies_too() {
    let w = workshop("{conv1.kernels: [4, 8]}");
    let text = w.netc("check vary.yaml --vary conv1.bias=true,false --vary conv1.kernels=2,3,5").fine();
    let lines = table(&text);
    assert_eq!(lines.len(), 7);
    assert!(lines[0].starts_with("#  conv1.kernels  conv1.bias  output"), "{}", lines[0]);
    assert!(lines[6].starts_with("6  5              false       3 "), "{}", lines[6]);
    w.netc("check tiny.yaml --vary conv1.strife=1,2").refused(1, &["--vary:1:7", "conv1 has no setting `strife`"]);
    w.netc("check tiny.yaml --vary conv9.stride=1,2").refused(1, &["--vary:1:1", "no layer or section `conv9`"]);
    w.netc("check tiny.yaml --vary conv1.stride").refused(2, &["it has no `=`"]);
}

#[test]
fn other_commands_take_the_spec_as_written() {
    let w = workshop("{conv1.kernels: [4, 8]}");
    let hash = |folder: &str| w.read(&format!("{folder}/program.json"));
    w.netc("compile vary.yaml -o varied").fine();
    w.netc("compile tiny.yaml -o plain").fine();
    assert_eq!(hash("varied"), hash("plain"));
}

#[test]
fn the_netc_language_varies_alike() {
    let w = workshop("{conv1.kernels: [4, 8], dropout: [on, off]}");
    w.netc("fmt --to dsl vary.yaml -o vary.netc").fine();
    let check = |spec: &str| w.netc(&format!("check {spec} --cache none")).fine();
    assert_eq!(check("vary.netc"), check("vary.yaml"));
}

#[test]
fn the_largest_batch_is_found() {
    let w = Workshop::new();
    let all = w.netc("check tiny.yaml --batch 20 --mode train --threads 1 --format json").json();
    let bytes = all["memory"][0]["bytes"].as_u64().unwrap();
    let fit = |arguments: &str| w.netc(&format!("fit tiny.yaml --threads 1 --cache cache {arguments}"));
    let text = fit(&format!("--memory {bytes}")).fine();
    assert!(text.starts_with("tiny trains on batches of 20 in "), "{text}");
    assert!(text.contains("a batch takes at least ") && text.contains("inputs and outputs"), "{text}");
    let json = fit(&format!("--memory {} --format json", bytes - 1)).json();
    assert_eq!(json["batch"], 19);
    let sum: u64 = json["contents"].as_array().unwrap().iter().map(|part| part["bytes"].as_u64().unwrap()).sum();
    assert_eq!(json["bytes"], sum);
    fit("--memory 1KB").refused(1, &["not even a batch of 1 fits in 1KB: tiny takes at least ", " would do"]);
    fit("--memory 1XB").refused(2, &["must be an amount of memory"]);
    fit("--memory 64GiB --mode infer").fine();
    // Once measured, the speed of the machine is known.
    assert!(w.netc("check tiny.yaml --cache cache").fine().contains("at least"));
    assert!(w.netc("check tiny.yaml --cache other").fine().contains("netc check --measure"));
}

/// The first weights of a run, by name.
fn weights(w: &Workshop, run: &str) -> Vec<(String, Vec<u8>)> {
    let bytes = w.read(&format!("{run}/weights.safetensors"));
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Vec<_> = file.tensors().into_iter().map(|(name, view)| (name, view.data().to_vec())).collect();
    tensors.sort();
    tensors
}

#[test]
fn variants_are_trained_and_compared() {
    let w = workshop("{conv1.kernels: [4, 6], maxpool1.kernel_size: [2, 3], dropout: [on, off]}");
    let out = w.netc("train vary.yaml --vary --data data -o runs --epochs 3").fine();
    for line in ["1 of 4: the spec as written, seed 0", "4 of 4: conv1.kernels=6, maxpool1.kernel_size=2, dropout=off"]
    {
        assert!(out.contains(line), "{out}");
    }
    let (_, table) = out.split_once("\n\n").unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 11, "{table}");
    assert!(lines[0].contains("conv1.kernels  maxpool1.kernel_size  dropout  params") && lines[0].ends_with("Δ top-1"));
    let words: Vec<&str> = lines[1].split_whitespace().collect();
    assert_eq!(words[..5], ["base", "4", "2", "on", "235"]);
    assert!(lines[5].ends_with("error[inexact-size]: maxpool1 does not tile its input"), "{}", lines[5]);
    // The spec as written is what `netc train` trains; a variant is what the spec in its folder says.
    w.netc("train tiny.yaml --data data -o plain --epochs 3").fine();
    assert_eq!(weights(&w, "runs/base"), weights(&w, "plain"));
    let variant = "runs/conv1.kernels=6,maxpool1.kernel_size=2,dropout=off";
    w.netc(&format!("train {variant}/spec.yaml --data data -o alone --epochs 3")).fine();
    assert_eq!(weights(&w, variant), weights(&w, "alone"));
    w.netc("train vary.yaml --vary --data data -o runs --epochs 3").refused(1, &["already holds a training run"]);
}

#[test]
fn trials_have_paired_seeds() {
    // Without learning, the weights are the first ones.
    let w = workshop("{conv1.kernels: [4, 6], relu: [on, off], dropout: [on, off]}");
    w.write(
        "deep.yaml",
        TINY.replace(
            "  - maxpool",
            "  - batchnorm: {name: norm}\n  - conv: {name: conv2, kernels: 4, kernel_size: 1}\n  - maxpool",
        ),
    );
    let still = "--data data --steps 1 --set train.optimizer.sgd.lr=1.0e-30 --set train.optimizer.sgd.weight_decay=0";
    w.netc(&format!("train deep.yaml --vary norm=on,off -o runs --seeds 2 --seed 7 {still}")).fine();
    for seed in ["seed-7", "seed-8"] {
        let (with, without) =
            (weights(&w, &format!("runs/base/{seed}")), weights(&w, &format!("runs/norm=off/{seed}")));
        assert_eq!((with.len(), without.len()), (10, 6));
        assert!(without.iter().all(|tensor| with.contains(tensor)), "the same first weights without the norm");
    }
    assert_ne!(weights(&w, "runs/base/seed-7"), weights(&w, "runs/base/seed-8"));
}

#[test]
fn a_comparison_goes_on_where_it_was() {
    let w = Workshop::new();
    let command = "train tiny.yaml --vary conv1.kernels=4,6 --vary relu=on,off --data data --epochs 4 --seeds 2";
    let json = |run: &str, more: &str| w.netc(&format!("{command} -o {run} {more} --format json")).json();
    let whole = json("whole", "");
    assert_eq!(whole["seeds"], serde_json::json!([0, 1]));
    // As if it had ended in the middle of the third variant.
    json("part", "");
    let third = "part/conv1.kernels=6,relu=on";
    std::fs::remove_dir_all(w.path("part/conv1.kernels=6,relu=off")).unwrap();
    std::fs::remove_dir_all(w.path(&format!("{third}/seed-1"))).unwrap();
    std::fs::remove_file(w.path(&format!("{third}/seed-0/result.json"))).unwrap();
    let resumed = json("part", "--resume");
    let without_times = |mut value: serde_json::Value| {
        for variant in value["variants"].as_array_mut().unwrap() {
            for run in variant["runs"].as_array_mut().unwrap() {
                run["step_seconds"] = serde_json::Value::Null;
            }
        }
        value
    };
    assert_eq!(without_times(resumed), without_times(whole));
    assert_eq!(weights(&w, &format!("{third}/seed-1")), weights(&w, "whole/conv1.kernels=6,relu=on/seed-1"));
    w.netc(&format!("{command} -o part --resume --set fc.bias=false")).refused(1, &["a run of another spec"]);
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let w = Workshop::new();
    let train = |more: &str| w.netc(&format!("train tiny.yaml --data data -o run {more}"));
    train("--vary").refused(2, &["nothing varies"]);
    train("--seeds 2").refused(2, &["add --vary"]);
    train("--vary conv1.bias=true,false --weights w.safetensors").refused(2, &["leave out --weights"]);
    w.netc("train --vary tiny.yaml --data data -o run").refused(2, &["write --vary after SPEC"]);
    let out = train("--vary train.optimizer.sgd.lr=0.1,1.0e30 --epochs 2");
    assert_eq!(out.code, 0, "{out:#?}");
    assert!(
        out.stdout.contains("training diverged") || out.stdout.contains("no number") || out.stdout.contains("loss is"),
        "{out:#?}"
    );
    assert!(!w.path("elsewhere").exists());
}
