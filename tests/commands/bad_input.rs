//! Bad input of every kind: a clear error, the right exit code, no panic, nothing half written, nothing lost.

use crate::workshop::{Done, TINY, Workshop};

#[test]
fn a_spec_that_cannot_be_read_is_named() {
    let w = Workshop::empty();
    w.netc("check missing.yaml").refused(1, &["missing.yaml", "o such file"]);
    w.write("wrong.yaml", TINY.replace("kernels", "kernles"));
    w.shell("netc check - < wrong.yaml").refused(1, &["standard input:5", "kernels"]);
    w.write("tiny.yaml", TINY);
    assert_eq!(w.shell("netc check - < tiny.yaml").fine(), w.netc("check tiny.yaml").fine());
    w.write("folder/x", "");
    w.netc("check folder").refused(1, &["folder", "Is a directory"]);
    w.write("empty.yaml", "");
    w.netc("check empty.yaml").refused(1, &["empty.yaml", "empty"]);
    w.write("blank.yaml", "\n# nothing\n\n");
    w.netc("check blank.yaml").refused(1, &["blank.yaml"]);
    w.write("binary.yaml", [0x7f, b'E', b'L', b'F', 0, 0, 0xff, 0xfe, 0x80]);
    w.netc("check binary.yaml").refused(1, &["binary.yaml", "UTF-8"]);
}

#[test]
fn truncated_yaml_is_refused_at_every_length() {
    let w = Workshop::empty();
    for cut in (0..TINY.len()).step_by(17) {
        w.write("cut.yaml", &TINY.as_bytes()[..cut]);
        let done = w.netc("check cut.yaml");
        assert!(done.code == 0 || done.code == 1, "cut at {cut}: {done:#?}");
        if done.code == 1 {
            done.refused(1, &["cut.yaml"]);
        }
    }
    w.write("cut.yaml", &TINY.as_bytes()[..TINY.find("kernels").unwrap() + 9]);
    w.netc("check cut.yaml").refused(1, &["cut.yaml:5"]);
}

#[test]
fn all_errors_come_in_one_run_each_with_its_place() {
    let w = Workshop::empty();
    w.write("wrong.yaml", TINY.replace("kernels: 4", "filters: 4").replace("p: 0.25", "p: 1.5").replace("sgd", "sdg"));
    w.netc("check wrong.yaml").refused(1, &["wrong.yaml:5:", "wrong.yaml:9:", "wrong.yaml:13:", "kernels", "sgd"]);
    let done = w.netc("check wrong.yaml --format json");
    assert_eq!(done.code, 1);
    assert!(done.stderr.is_empty(), "{}", done.stderr);
    let told = done.json();
    assert_eq!(told["error"], "spec");
    assert!(told["diagnostics"].as_array().unwrap().len() >= 3, "{told:#}");
}

#[test]
fn codes_are_explained() {
    let w = Workshop::empty();
    w.write("wrong.yaml", TINY.replace("kernels: 4", "filters: 4"));
    w.netc("check wrong.yaml").refused(1, &["\n\nMore about it: netc explain unknown-key\n"]);
    let page = w.netc("explain unknown-key").fine();
    let told = ["unknown-key: A key that means nothing here\n", "error[unknown-key]", "\nThis is right:\n"];
    assert!(told.iter().all(|text| page.contains(text)), "{page}");
    assert!(page.lines().filter(|line| !line.starts_with(' ')).all(|line| line.chars().count() <= 80), "{page}");
    assert_eq!(w.netc("explain error[unknown-key]").fine(), page);
    assert_eq!(w.netc("explain unknown-key --format json").json()["code"], "unknown-key");
    assert!(w.netc("explain").fine().contains("\nshape-mismatch "));
    w.netc("explain unknwon-key").refused(2, &["did you mean `unknown-key`?"]);
    w.netc("explain x").refused(2, &["netc explain lists all"]);
}

#[test]
fn shapes_that_do_not_fit_show_their_arithmetic() {
    let w = Workshop::empty();
    w.write("wrong.yaml", TINY.replace("padding: 1}", "stride: 2}"));
    w.netc("check wrong.yaml").refused(1, &["wrong.yaml:5:", "(8 − 3", "/2 + 1", "3.5"]);
}

#[test]
fn a_change_that_makes_no_sense_is_refused() {
    let w = Workshop::new();
    w.netc("check tiny.yaml --set fc.features=4").refused(1, &["classes"]);
    w.netc("check tiny.yaml --set nothing.here=4").refused(1, &["--set", "nothing"]);
    w.netc("check tiny.yaml --set params.width=4").refused(1, &["--set:1:8", "params"]);
    w.netc("check tiny.yaml --set fc.features").refused(2, &["--set", "fc.features", "`=`"]);
}

#[test]
fn bad_usage_is_told_apart() {
    let w = Workshop::new();
    assert_eq!(w.netc("").code, 2);
    assert_eq!(w.netc("trian tiny.yaml").code, 2);
    assert_eq!(w.netc("train tiny.yaml -o run").code, 2, "--data is missing");
    assert_eq!(w.netc("train tiny.yaml --data data -o run --epochs 1 --steps 2").code, 2);
    assert_eq!(w.netc("train tiny.yaml --data data -o run --threads 0").code, 2);
    assert_eq!(w.netc("train tiny.yaml --data data -o run --batch 0").code, 2);
    assert_eq!(w.netc("compile tiny.yaml -o out --batch 99999999999999").code, 2);
    assert_eq!(w.netc("eval tiny.yaml --data data").code, 2, "--weights is missing");
    w.netc("dump tiny.yaml --stage graph --after frobnicate").refused(2, &["frobnicate"]);
    w.netc("dump tiny.yaml --stage plan --after simplify").refused(2, &["--after", "--stage graph"]);
    w.netc("dump tiny.yaml --stage network --function infer").refused(2, &["--function", "network"]);
    w.netc("dump tiny.yaml --stage spec --batch 2").refused(2, &["--batch", "spec"]);
    for stage in ["graph", "plan", "kernels", "llvm", "asm"] {
        let words = ["`train`", "init, preprocess", "infer", "--mode train"];
        w.netc(&format!("dump tiny.yaml --stage {stage} --function train --mode infer")).refused(2, &words);
    }
    w.netc("dump tiny.yaml --stage graph --after differentiate --function infer").refused(2, &["`infer`", "train"]);
    w.netc("compile tiny.yaml --target pdp11 -o out").refused(2, &["pdp11"]);
    assert!(w.files("run").is_empty() && w.files("out").is_empty());
}

#[test]
fn training_needs_a_recipe() {
    let w = Workshop::new();
    w.write("plain.yaml", &TINY[..TINY.find("train:").unwrap()]);
    for command in [
        "train plain.yaml --data data -o run",
        "compile plain.yaml --mode train -o out",
        "time plain.yaml --mode train",
        "dump plain.yaml --mode train --stage graph",
    ] {
        w.netc(command).refused(1, &["plain.yaml:1:1", "`train`", "optimizer"]);
    }
    assert!(!w.path("run").exists() && !w.path("out").exists());
    w.netc("check plain.yaml").fine();
}

#[test]
fn a_device_that_is_not_there_is_the_environments_matter() {
    let w = Workshop::new();
    w.netc("train tiny.yaml --data data -o run --device cuda:0").refused(3, &["cuda"]);
    w.netc("train tiny.yaml --data data -o run --device abacus").refused(2, &["abacus"]);
    assert!(!w.path("run").exists());
}

#[test]
fn damaged_data_is_refused_before_anything_is_written() {
    let w = Workshop::new();
    let train = |w: &Workshop| w.netc("train tiny.yaml --data bad -o run --steps 1");
    train(&w).refused(1, &["bad"]);
    std::fs::create_dir(w.path("bad")).unwrap();
    train(&w).refused(1, &["bad"]);

    let images = w.read("data/train-images-idx3-ubyte");
    let labels = w.read("data/train-labels-idx1-ubyte");
    let put = |images: &[u8], labels: &[u8]| {
        w.images("bad", 64, 16);
        w.write("bad/train-images-idx3-ubyte", images);
        w.write("bad/train-labels-idx1-ubyte", labels);
    };
    put(&images[..images.len() - 100], &labels);
    train(&w).refused(1, &["train-images-idx3-ubyte"]);
    put(&images, &labels[..labels.len() - 3]);
    train(&w).refused(1, &["train-labels-idx1-ubyte"]);
    put(&[], &labels);
    train(&w).refused(1, &["train-images-idx3-ubyte"]);
    put(&images[..9], &labels);
    train(&w).refused(1, &["train-images-idx3-ubyte"]);
    put(&[b"<html>", &images[6..]].concat(), &labels);
    train(&w).refused(1, &["train-images-idx3-ubyte"]);
    let mut far = labels.clone();
    far[20] = 7;
    put(&images, &far);
    train(&w).refused(1, &["7", "3"]);
    assert!(!w.path("run/weights.safetensors").exists());
}

#[test]
fn weights_that_do_not_fit_are_refused() {
    let w = Workshop::new();
    w.netc("train tiny.yaml --data data -o run --steps 2").fine();
    let weights = w.read("run/weights.safetensors");
    let eval = |w: &Workshop| w.netc("eval tiny.yaml --data data --weights w.safetensors");
    eval(&w).refused(1, &["w.safetensors", "o such file"]);
    for cut in [0, 5, 20, weights.len() / 2, weights.len() - 1] {
        w.write("w.safetensors", &weights[..cut]);
        eval(&w).refused(1, &["w.safetensors"]);
    }
    w.write("w.safetensors", vec![0xff; 4096]);
    eval(&w).refused(1, &["w.safetensors"]);
    w.write("w.safetensors", &weights);
    eval(&w).fine();
    w.netc("eval tiny.yaml --data data --weights w.safetensors --set conv1.kernels=5")
        .refused(1, &["w.safetensors", "conv1.weight", "[4, 1, 3, 3]", "[5, 1, 3, 3]", "fc.weight"]);
    // Only a tensor of the same shape can have been renamed.
    w.write("renamed.yaml", TINY.replace("conv1", "conv2"));
    let renamed = w.netc("eval renamed.yaml --data data --weights w.safetensors");
    renamed.refused(1, &["`conv2.weight` [4, 1, 3, 3] is missing; is it the file's `conv1.weight`?"]);
    w.write("other.yaml", TINY.replace("conv1, kernels: 4", "conv2, kernels: 5"));
    let other = w.netc("eval other.yaml --data data --weights w.safetensors");
    assert!(!other.stderr.contains("is it the file's") && !other.stderr.contains("did you mean"), "{}", other.stderr);
    other.refused(1, &["`conv2.weight`", "`conv1.weight`"]);
}

#[test]
fn inputs_that_are_no_images_are_refused() {
    let w = Workshop::new();
    w.netc("train tiny.yaml --data data -o run --steps 2").fine();
    let run = |w: &Workshop| w.netc("run tiny.yaml --weights run/weights.safetensors picture.png");
    run(&w).refused(1, &["picture.png", "o such file"]);
    w.write("picture.png", "");
    run(&w).refused(1, &["picture.png"]);
    w.write("picture.png", b"\x89PNG\r\n\x1a\nand then nothing");
    run(&w).refused(1, &["picture.png"]);
    w.write("x.safetensors", "not tensors");
    w.netc("run tiny.yaml --weights run/weights.safetensors x.safetensors").refused(1, &["x.safetensors"]);
    w.write("x.safetensors", tensor(&[2, 1, 9, 8]));
    w.netc("run tiny.yaml --weights run/weights.safetensors x.safetensors")
        .refused(1, &["x.safetensors", "[2, 1, 9, 8]", "8, 8]"]);
    w.write("x.safetensors", tensor(&[2, 1, 8, 8]));
    let out = w.netc("run tiny.yaml --weights run/weights.safetensors x.safetensors").fine();
    assert_eq!(out.lines().count(), 2, "{out}");
}

/// A tensor file with `images` of ones.
fn tensor(shape: &[usize]) -> Vec<u8> {
    let count: usize = shape.iter().product();
    let bytes: Vec<u8> = (0..count).flat_map(|_| 1.0f32.to_le_bytes()).collect();
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.to_vec(), &bytes).unwrap();
    safetensors::serialize([("images", view)], None).unwrap()
}

#[test]
fn a_loss_that_is_no_number_stops_training_and_spoils_nothing() {
    let w = Workshop::new();
    w.netc("train tiny.yaml --data data -o run --epochs 1").fine();
    let before = w.read("run/weights.safetensors");
    let done = w.netc("train tiny.yaml --data data -o run --resume --epochs 3 --set train.optimizer.sgd.lr=1e38");
    done.refused(1, &["step", "learning rate"]);
    assert_eq!(w.read("run/weights.safetensors"), before, "the weights of the good run are there");
    w.netc("train tiny.yaml --data data -o run2 --epochs 3 --set train.optimizer.sgd.lr=1e38")
        .refused(1, &["at step 2 ", "lower learning rate"]);
    assert!(!w.path("run2/weights.safetensors").exists(), "no weights of a run that went astray");
}

#[test]
fn a_damaged_checkpoint_is_refused() {
    let w = Workshop::new();
    w.netc("train tiny.yaml --data data -o run --resume").refused(1, &["run", "checkpoint"]);
    w.netc("train tiny.yaml --data data -o run --epochs 1").fine();
    let names: Vec<String> = w.files("run/checkpoints").into_iter().filter(|n| n.ends_with(".safetensors")).collect();
    assert!(!names.is_empty(), "there is a checkpoint: {:?}", w.files("run"));
    for name in &names {
        let whole = w.read(&format!("run/checkpoints/{name}"));
        w.write(&format!("run/checkpoints/{name}"), &whole[..whole.len() / 2]);
    }
    let before = w.read("run/weights.safetensors");
    w.netc("train tiny.yaml --data data -o run --resume --epochs 2").refused(1, &["checkpoints"]);
    assert_eq!(w.read("run/weights.safetensors"), before);
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    // Not even root may write there.
    let w = Workshop::new();
    w.netc("train tiny.yaml --data data -o /sys/netc-run --steps 1").refused(3, &["/sys/netc-run"]);
    w.netc("compile tiny.yaml -o /sys/netc-out").refused(3, &["/sys/netc-out"]);
    w.netc("train tiny.yaml --data data -o run --steps 1 --cache /sys/netc-cache")
        .refused(3, &["/sys/netc-cache", "--cache DIR"]);
    w.write("file", "x");
    w.netc("train tiny.yaml --data data -o file/run --steps 1").refused(3, &["file/run"]);
    w.netc("train tiny.yaml --data data -o run --steps 1").fine();
    w.netc("run tiny.yaml --weights run/weights.safetensors --data data --output /sys/netc.safetensors")
        .refused(3, &["/sys/netc.safetensors"]);
}

#[test]
fn a_full_disk_leaves_no_half_file_and_keeps_the_old_ones() {
    let w = Workshop::new();
    // Weights of 200 KB, and then files may not grow beyond 64 KiB.
    w.write("wide.yaml", TINY.replace("kernels: 4", "kernels: 1000"));
    w.netc("train wide.yaml --data data -o run --steps 2").fine();
    let before: Vec<_> = w.files("run").iter().map(|n| (n.clone(), w.read(&format!("run/{n}")))).collect();
    assert!(w.read("run/weights.safetensors").len() > 128 * 1024, "the test needs larger weights");
    let train = "netc train wide.yaml --data data -o run --steps 4 --resume";
    w.shell(&format!("trap '' XFSZ; ulimit -f 64; {train}")).refused(3, &["run/", "too large"]);
    for (name, bytes) in before.iter().filter(|(name, _)| name != "log.jsonl") {
        assert_eq!(&w.read(&format!("run/{name}")), bytes, "{name} is what it was");
    }
    assert_eq!(w.files("run").len(), before.len(), "left over: {:?}", w.files("run"));
    w.shell("trap '' XFSZ; ulimit -f 1; netc compile tiny.yaml -o out").refused(3, &["out"]);
    assert!(w.files("out").is_empty(), "left over: {:?}", w.files("out"));
}

#[test]
fn standard_output_that_is_full_is_told_and_one_that_is_closed_is_not() {
    let w = Workshop::new();
    for command in ["check tiny.yaml", "--help", "train --help", "--version"] {
        w.shell(&format!("netc {command} > /dev/full")).refused(3, &["standard output"]);
    }
    assert_eq!(w.shell("netc --help | true; exit ${PIPESTATUS[0]}").fine(), "");
    let done: Done = w.shell("netc dump tiny.yaml --stage graph | true; exit ${PIPESTATUS[0]}");
    assert_eq!(done.fine(), "");
}

#[test]
fn a_run_folder_that_cannot_be_used_is_refused_before_any_work() {
    let w = Workshop::new();
    w.netc("train tiny.yaml --data data -o run --steps 1").fine();
    w.write("file", "x");
    w.write("bad.safetensors", "x");
    let train = |rest: &str| w.netc(&format!("train tiny.yaml --data data --cache cache --steps 2 {rest}"));
    train("-o run").refused(1, &["run already holds a training run", "--resume"]);
    train("-o new --resume").refused(1, &["new holds no checkpoint"]);
    train("-o file").refused(3, &["file", "there is a file of that name"]);
    train("-o new --weights bad.safetensors").refused(1, &["bad.safetensors"]);
    assert!(!w.path("cache").exists() && !w.path("new").exists(), "nothing was compiled");
}

#[test]
fn images_of_another_size_say_what_to_set() {
    let w = Workshop::new();
    let done = w.netc("train tiny.yaml --data data -o run --steps 1 --set input.shape=[1,10,10]");
    assert!(!done.stderr.contains(", byte"), "{}", done.stderr);
    done.refused(1, &["images-idx3-ubyte: image ", "8×8 (height × width)", "reads 10×10", "`preprocess.resize`"]);
}
