//! What the commands print and write when all is well.

use crate::workshop::{Done, Workshop, project};
use std::process::Command;

fn netc(arguments: &[&str]) -> Done {
    let output = Command::new(env!("CARGO_BIN_EXE_netc")).args(arguments).current_dir(project("")).output().unwrap();
    Done::from(output)
}

#[test]
fn check_shows_every_layer_and_the_totals() {
    for (spec, params, macs, weights) in [
        ("alexnet", "62,378,344", "1,135.3 M", 62_378_344_u64),
        ("alexnet-paper", "60,965,224", "724.4 M", 60_965_224),
        ("alexnet-half", "16,630,440", "311.2 M", 16_630_440),
    ] {
        let path = format!("specs/{spec}.yaml");
        let done = netc(&["check", &path]);
        assert_eq!(done.code, 0, "{done:#?}");
        let out = done.stdout;
        assert!(out.contains(params) && out.contains(macs), "{out}");
        // In the row or, where that is too wide, on a line below it.
        let conv1 = out.split_once("conv1").unwrap_or_else(|| panic!("no row for conv1:\n{out}")).1;
        let conv1 = conv1.split_once("relu1").map_or(conv1, |(row, _)| row);
        assert!(conv1.contains("/4 + 1"), "no arithmetic: {conv1}");
        assert!(out.lines().all(|l| l.chars().count() <= 120), "lines are too long:\n{out}");
        let json = netc(&["check", &path, "--format", "json"]).json();
        assert_eq!(json["param_count"], weights, "{json:#}");
    }
}

#[test]
fn check_takes_changes() {
    let out = netc(&["check", "specs/lenet.yaml", "--set", "train.batch=7"]).fine();
    assert!(!out.is_empty());
    let a = netc(&["dump", "specs/alexnet.yaml", "--stage", "network", "--set", "fc8.features=10"]).fine();
    let b = netc(&["dump", "specs/alexnet.yaml", "--stage", "network"]).fine();
    assert_ne!(a, b);
}

#[test]
fn every_stage_can_be_printed_and_is_always_the_same() {
    let w = Workshop::new();
    for stage in ["spec", "network", "graph", "plan", "kernels", "llvm", "asm"] {
        let a = w.netc(&format!("dump tiny.yaml --stage {stage}")).fine();
        let b = w.netc(&format!("dump tiny.yaml --stage {stage}")).fine();
        let word = if matches!(stage, "llvm" | "asm") { "tiny_kernel_body_" } else { "conv1" };
        assert!(a.contains(word), "{stage} has no {word}");
        assert_eq!(a, b, "{stage} differs from run to run");
    }
    for stage in ["plan", "kernels", "llvm", "asm"] {
        let one = w.netc(&format!("dump tiny.yaml --stage {stage} --function init")).fine();
        let all = w.netc(&format!("dump tiny.yaml --stage {stage}")).fine();
        assert!(!one.is_empty() && one.len() < all.len() / 2, "{stage}: {} of {} bytes", one.len(), all.len());
    }
    let infer = w.netc("dump tiny.yaml --stage graph --function infer").fine();
    let all = w.netc("dump tiny.yaml --stage graph").fine();
    assert!(all.contains(infer.trim()) && all.len() > infer.len());
}

#[test]
fn compile_writes_a_library_that_c_can_use() {
    let w = Workshop::new();
    let out = w.netc("compile tiny.yaml -o out --mode train --batch 4").fine();
    for name in ["tiny.so", "tiny.o", "tiny.h", "program.json"] {
        assert!(w.path("out").join(name).is_file(), "{name} is missing: {:?}", w.files("out"));
        assert!(out.contains(name), "does not tell of {name}:\n{out}");
    }
    let first = w.read("out/tiny.o");
    w.netc("compile tiny.yaml -o again --mode train --batch 4").fine();
    assert_eq!(first, w.read("again/tiny.o"), "same input, same bytes");
    w.netc("compile tiny.yaml -o old --mode infer --target cpu:x86-64").fine();
    let manifest: serde_json::Value = serde_json::from_slice(&w.read("old/program.json")).unwrap();
    assert!(manifest["target"].as_str().unwrap().ends_with("/x86-64"), "{}", manifest["target"]);
    assert_eq!(manifest["batch"], 1, "inference takes one image at a time unless told otherwise");
    assert!(manifest["functions"].as_array().unwrap().iter().all(|f| f["name"] != "train"), "no training in it");
}

#[test]
fn run_names_classes_with_probabilities() {
    let w = Workshop::new();
    w.netc("train tiny.yaml --data data -o run --epochs 12").fine();
    let out = w.netc("run tiny.yaml --weights run/weights.safetensors --data data --samples 3").fine();
    for class in ["left", "right", "both", "%"] {
        assert!(out.contains(class), "{out}");
    }
    let json = w.netc("run tiny.yaml --weights run/weights.safetensors --data data --samples 3 --format json").json();
    let results = json["results"].as_array().unwrap();
    assert_eq!(results.len(), 3, "{json:#}");
    for result in results {
        let sum: f64 = result["classes"].as_array().unwrap().iter().map(|c| c["probability"].as_f64().unwrap()).sum();
        assert!((sum - 1.0).abs() < 1e-5, "{json:#}");
    }
    w.netc("run tiny.yaml --weights run/weights.safetensors --data data --output out.safetensors").fine();
    let bytes = w.read("out.safetensors");
    let outputs = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(outputs.tensor("output").unwrap().shape(), [10, 3]);
}

#[test]
fn time_gives_the_whole_and_the_kernels() {
    let w = Workshop::new();
    let json = w.netc("time tiny.yaml --mode train --repeat 2 --format json").json();
    let step = &json["step_seconds"];
    assert!(step["min"].as_f64().unwrap() > 0.0, "{json:#}");
    assert!(step["min"].as_f64() <= step["median"].as_f64() && step["median"].as_f64() <= step["max"].as_f64());
    assert!(!json["kernels"].as_array().unwrap().is_empty(), "{json:#}");
    assert!(json["least_seconds"].as_f64().unwrap() > 0.0, "{json:#}");
    assert!(json["empty_region_ns"].is_u64(), "{json:#}");
    let sum = |rows: &serde_json::Value, passes: &[&str]| -> i64 {
        let parts =
            rows.as_array().unwrap().iter().flat_map(|row| passes.iter().map(move |pass| &row[*pass]["time_ns"]));
        parts.map(|time| time.as_i64().unwrap_or(0)).sum()
    };
    let between = json["between_kernels_ns"].as_i64().unwrap();
    assert_eq!(sum(&json["layers"], &["forward", "backward"]) + between, json["step_ns"].as_i64().unwrap(), "{json:#}");
    let kernels: i64 = json["kernels"].as_array().unwrap().iter().map(|k| k["time_ns"].as_i64().unwrap()).sum();
    assert_eq!(kernels, sum(&json["layers"], &["forward", "backward"]), "{json:#}");
    assert!(
        json["peak_flops_per_second"].as_f64().unwrap() > 0.0 && json["peak_bytes_per_second"].as_f64().unwrap() > 0.0
    );
}

/// Text without its numbers, with one unit of time, and with single blanks.
fn numberless(text: &str) -> Vec<String> {
    let number = regex::Regex::new(r"(^|[ (])-?[0-9][0-9.]*( %)?").unwrap();
    let text = text.replace("ms", "µs");
    text.lines().map(|line| number.replace_all(line, "$1#").split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn time_charges_kernels_to_layers() {
    let w = Workshop::new();
    let text = numberless(&w.netc("time tiny.yaml --mode train --repeat 2 --threads 1").fine());
    let row =
        |name: &str| text.iter().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {text:#?}"));
    assert_eq!(text[0], "forward backward");
    assert!(text[1].ends_with("share µs GF/s peak GB/s memory µs GF/s peak GB/s memory takes along"), "{text:#?}");
    assert!(row("conv1").ends_with(" +relu1"), "{text:#?}");
    assert_eq!(row("maxpool1"), "maxpool1 # # # # # # # # backward +relu1");
    let between =
        ["", " one by one, the kernels took longer than the whole"].map(|why| format!("(between kernels) # #{why}"));
    assert!(between.contains(row("(between")), "{text:#?}");
    let names: Vec<&str> =
        text[2..].iter().map_while(|line| line.split(' ').next()).take_while(|n| !n.is_empty()).collect();
    let place = |name: &str| names.iter().position(|n| *n == name).unwrap_or_else(|| panic!("{name}: {names:?}"));
    assert!(place("conv1") < place("maxpool1") && place("maxpool1") < place("fc") && place("fc") < place("(loss)"));
    let end = &text[text.len() - 4..];
    assert_eq!(end[0], "tiny train, batch #, # thread: median # µs (min # µs, max # µs of #); # images/s");
    assert_eq!(end[1], "peak # GF/s, memory # GB/s (measured now, # thread)");
    assert_eq!(end[2], "an empty parallel region takes # µs (measured now, # thread)");
    assert!(end[3].starts_with("at least #") && end[3].ends_with("by arithmetic and memory at full speed: # of that"));

    let kernels = numberless(&w.netc("time tiny.yaml --repeat 2 --kernels").fine());
    assert_eq!(kernels[0], "kernel charged to µs share GF/s peak GB/s memory work");
    let conv = kernels.iter().find(|line| line.starts_with("conv1_conv conv1 ")).unwrap();
    assert!(conv.ends_with(" + bias + relu"), "{kernels:#?}");
}

#[test]
fn time_draws_the_layers() {
    let w = Workshop::new();
    w.netc("time tiny.yaml --mode train --repeat 1 --picture times.svg").fine();
    let svg = String::from_utf8(w.read("times.svg")).unwrap();
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
    for word in [">conv1 +relu1<", ">maxpool1<", ">(loss)<", ">backward<", ">of limit<", ">tiny train, batch 8, "] {
        assert!(svg.contains(word), "{word} is not in {svg}");
    }
    assert!(!w.netc("time tiny.yaml --repeat 1").fine().contains('\u{1b}'), "no colours where there is no terminal");
    w.netc("time tiny.yaml --repeat 1 --picture none/times.svg").refused(3, &["none/times.svg"]);
    let svg = w.netc("time tiny.yaml --repeat 1 --picture -").fine();
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
    let json = w.netc("time tiny.yaml --repeat 1 --picture - --format json").fine();
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(value["svg"].as_str().unwrap().starts_with("<svg "), "{value}");
}

#[test]
fn check_knows_how_much_memory_a_run_takes() {
    let w = Workshop::new();
    let memory = w.netc("check tiny.yaml --threads 1 --format json").json()["memory"].clone();
    for (i, mode) in ["infer", "train"].iter().enumerate() {
        assert_eq!(memory[i]["mode"], *mode);
        let taken = w.netc(&format!("time tiny.yaml --mode {mode} --repeat 1 --threads 1 --format json")).json();
        assert_eq!(memory[i]["bytes"], taken["memory_bytes"], "{mode}");
        assert_eq!(memory[i]["batch"], taken["batch"], "{mode}");
    }
}

#[test]
fn help_and_version_are_results() {
    let help = netc(&["--help"]).fine();
    for command in ["check", "compile", "train", "eval", "run", "fit", "time", "dump"] {
        assert!(help.contains(command), "{help}");
        assert!(netc(&[command, "--help"]).fine().contains("SPEC"));
    }
    assert!(netc(&["--version"]).fine().starts_with("netc "));
}

#[test]
fn a_damaged_cache_is_mended() {
    let w = Workshop::new();
    let train = |run: &str| w.netc(&format!("train tiny.yaml --data data -o {run} --steps 2 --cache cache"));
    train("run1").fine();
    let libraries = || w.files("cache").into_iter().filter(|name| name.ends_with(".so")).collect::<Vec<_>>();
    let library = format!("cache/{}", libraries()[0]);
    let whole = w.read(&library);
    w.write(&library, &whole[..whole.len() / 2]);
    train("run2").fine();
    assert!(w.read(&library) == whole, "it was compiled again");
    std::fs::remove_file(w.path(&library)).unwrap();
    train("run3").fine();
    assert_eq!(w.read("run1/weights.safetensors"), w.read("run3/weights.safetensors"));
    assert_eq!(libraries().len(), 1);
}

#[test]
fn a_network_of_values_prints_values() {
    let w = Workshop::new();
    let spec = crate::workshop::TINY.replace("classes: [left, right, both]\n", "");
    w.write("values.yaml", spec.replace("cross_entropy", "mse").replace("lr: 0.1", "lr: 0.01"));
    let bytes = |count: usize| -> Vec<u8> { (0..count).flat_map(|i| ((i % 7) as f32 / 7.0).to_le_bytes()).collect() };
    let (images, targets) = (bytes(40 * 64), bytes(40 * 3));
    let view = |shape: &[usize], data| {
        safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.to_vec(), data).unwrap()
    };
    let tensors = [("images", view(&[40, 1, 8, 8], &images)), ("targets", view(&[40, 3], &targets))];
    w.write("data.safetensors", safetensors::serialize(tensors, None).unwrap());
    w.netc("train values.yaml --data data.safetensors -o run --steps 4").fine();
    let run = "run values.yaml --weights run/weights.safetensors --data data.safetensors --samples 2";
    let out = w.netc(run).fine();
    assert!(out.contains("(it is ") && !out.contains('%') && !out.contains("class"), "{out}");
    let told = w.netc(&format!("{run} --format json")).json();
    let first = &told["results"][0];
    let outputs: Vec<f64> = first["outputs"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
    assert_eq!((outputs.len(), first["targets"].as_array().unwrap().len()), (3, 3), "{told}");
    assert!(first.get("classes").is_none());
    let shown: f64 = out.split(": ").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
    assert!((shown - outputs[0]).abs() < 1e-6, "{out} {told}");
}
