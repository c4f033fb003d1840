//! `netc diff --run`: where the numbers of two networks part.

use crate::workshop::Workshop;
use serde_json::Value;

const A: &str = "\
net: twin
input: {name: image, shape: [1, 8, 8]}
layers:
  - conv: {name: conv1, kernels: 4, kernel_size: 3, padding: 1}
  - relu
  - conv: {name: conv2, kernels: 6, kernel_size: 3, padding: 1}
  - relu
  - maxpool: {kernel_size: 2}
  - flatten
  - dropout: {p: 0.5}
  - linear: {name: fc, features: 3}
";

/// A grey PNG of 8×8 pixels whose right half is bright.
const PICTURE: &[u8] = b"\
    \x89PNG\x0d\x0a\x1a\x0a\x00\x00\x00\x0dIHDR\x00\x00\x00\x08\x00\x00\x00\x08\x08\x00\x00\x00\x00\xe1d\xe1\
    W\x00\x00\x00\x11IDATx\xdac`\x00\x82\x13@\xc0@\x19\x03\x00Ru\x19\x01Sz\xaa.\x00\x00\x00\x00IEND\xaeB`\
    \x82";

/// A folder with `a.yaml`, and `b.yaml` in which `old` is `new`.
fn twins(old: &str, new: &str) -> Workshop {
    let w = Workshop::empty();
    w.write("a.yaml", A);
    assert!(A.contains(old), "{old}");
    w.write("b.yaml", A.replace(old, new));
    w
}

/// Where the numbers of `a.yaml` and `b.yaml` first part, and all that is said.
fn first(w: &Workshop, options: &str) -> (Value, Value) {
    let run = w.netc(&format!("diff a.yaml b.yaml --run --format json {options}")).json()["run"].clone();
    (run["first"]["a"].clone(), run)
}

#[test]
fn the_same_network_gives_the_same_numbers() {
    let w = twins("name: fc", "name: fc");
    let out = w.netc("diff a.yaml b.yaml --run").fine();
    assert!(out.contains("run on 4 random images (seed 0) with A's initial weights (seed 0) in both"), "{out}");
    assert!(out.ends_with("The numbers are the same in every layer that both have.\n"), "{out}");
    assert_eq!(out.matches("  same\n").count(), 9, "{out}");
    assert_eq!(w.netc("diff a.yaml b.yaml --run").fine(), out, "it says the same each time");
    // Without --run nothing runs.
    assert!(!w.netc("diff a.yaml b.yaml").fine().contains("run on"));
    assert_eq!(w.netc("diff a.yaml b.yaml --format json").json()["run"], Value::Null);
}

#[test]
fn names_and_first_weights_do_not_matter() {
    let w = twins("name: conv2,", "name: features.2, init: {weight: {normal: {std: 0.5}}, bias: 1},");
    let (at, run) = first(&w, "");
    assert_eq!((at, &run["layers"][3]["b"]), (Value::Null, &Value::from("features.2")), "{run:#}");
    assert!(run["layers"].as_array().unwrap().iter().all(|layer| layer["same"] == true), "{run:#}");
}

#[test]
fn other_padding_parts_the_numbers_where_it_is() {
    let w = twins("kernels: 6, kernel_size: 3, padding: 1", "kernels: 6, kernel_size: 3, padding: [0, 2]");
    let out = w.netc("diff a.yaml b.yaml --run").fine();
    assert!(out.ends_with("\nThe numbers first part at conv2: padding is 1 in A, [0, 2] in B.\n"), "{out}");
    assert!(out.lines().all(|line| line.chars().count() <= 80), "{out}");
    let (at, run) = first(&w, "");
    assert_eq!(at, "conv2", "{run:#}");
    let layers = run["layers"].as_array().unwrap();
    for layer in layers {
        let before = ["image", "conv1", "relu1"].iter().any(|name| layer["a"] == **name);
        assert_eq!(layer["same"], before, "{run:#}");
        assert_eq!(layer["relative_rms"].as_f64().unwrap() > 1e-5, !before, "{run:#}");
    }
    assert_eq!((layers.len(), run["causes"].as_array().unwrap().len(), &run["images"]), (9, 1, &Value::from(4)));
    assert_eq!(run["causes"][0]["setting"], "padding");
    let (_, other) = first(&w, "--seed 1");
    assert_ne!(other["layers"], run["layers"], "another seed, other numbers");
}

#[test]
fn rounding_is_told_apart_from_what_differs() {
    // A change of about 5e-6, and a layer after it whose bias takes away most of what is the same.
    let network = |alpha: &str, bias: i32| {
        format!(
            "net t\ninput image [4, 6, 6]\npreprocess {{range: 255}}\nlrn(3, alpha: {alpha}, k: 1)\n\
             linear(5, init: {{weight: {{constant: 0.00694}}, bias: {bias}}})\n"
        )
    };
    let w = Workshop::empty();
    w.write("a.netc", network("1e-4", 0));
    w.write("b.netc", network("1.00001e-4", 0));
    let words = w.netc("diff a.netc b.netc --run").fine().replace("\n  ", " ");
    assert!(words.contains("The numbers differ by no more than rounding: by 4.7e-6 of their rms at most"), "{words}");
    assert!(words.contains(" and first at lrn1: s is α/size = "), "{words}");
    let json = w.netc("diff a.netc b.netc --run --format json").json();
    assert_eq!((&json["run"]["first"], &json["run"]["first_unequal"]["a"]), (&Value::Null, &Value::from("lrn1")));
    w.write("a.netc", network("1e-4", -76));
    w.write("b.netc", network("1.00001e-4", -76));
    let words = w.netc("diff a.netc b.netc --run").fine().replace("\n  ", " ");
    assert!(
        words.contains("The numbers first part at linear1, and differ by less from lrn1 on: s is α/size"),
        "{words}"
    );
    // Adding in another order.
    let sum = |from: &str| {
        let convs = "from image -> conv a(5, 3)\nfrom image -> conv b(5, 3)\nfrom image -> conv c(5, 3)\n";
        format!("net t\ninput image [4, 6, 6]\n{convs}from [{from}] -> add\n")
    };
    w.write("a.netc", sum("a, b, c"));
    w.write("b.netc", sum("c, b, a"));
    let words = w.netc("diff a.netc b.netc --run").fine().replace("\n  ", " ");
    assert!(words.contains("rounding") && words.contains("first at add1: no difference is listed there."), "{words}");
}

#[test]
fn layers_that_only_one_has_are_told_where_their_work_is_missed() {
    let lrn = "  - lrn: {size: 3, alpha: 0.1, beta: 0.75, k: 1}\n";
    let w = twins("  - conv: {name: conv2", &format!("{lrn}  - conv: {{name: conv2"));
    let out = w.netc("diff a.yaml b.yaml --run").fine();
    let row = out.lines().rev().find(|line| line.starts_with("lrn1")).unwrap();
    assert!(row.contains("4×8×8") && row.ends_with("only in B"), "{out}");
    assert!(out.contains("\nThe numbers first part at conv2: only B has lrn1 (lrn size 3"), "{out}");
    // At another place in the other.
    w.write("a.yaml", A.replace("  - maxpool", &format!("{lrn}  - maxpool")));
    w.write("b.yaml", A.replace("  - flatten", &format!("{lrn}  - flatten")));
    let out = w.netc("diff a.yaml b.yaml --run").fine();
    assert!(
        out.contains("\nThe numbers first part at maxpool1: lrn1 stands after relu2 in A, after maxpool1"),
        "{out}"
    );
    assert!(out.contains(" elsewhere in B\n") && out.contains(" elsewhere in A\n"), "{out}");
    // What changes nothing in inference is not missed.
    w.write("a.yaml", A);
    w.write("b.yaml", A.replace("  - dropout: {p: 0.5}\n", ""));
    assert_eq!(first(&w, "").0, Value::Null);
}

#[test]
fn other_shapes_are_told_with_the_weights_that_cannot_agree() {
    let w = twins("kernels: 6", "kernels: 5");
    let out = w.netc("diff a.yaml b.yaml --run").fine();
    assert!(out.contains("6×8×8 / 5×8×8    other shape\n"), "{out}");
    let words = out.replace("\n  ", " ");
    assert!(words.contains("The shapes first part at conv2: kernels is 6 in A, 5 in B; "), "{out}");
    assert!(words.ends_with("weight is 6×4×3×3 in A, 5×4×3×3 in B, and cannot hold the same numbers.\n"), "{out}");
    // The same shapes from other weights.
    let w = twins("kernels: 6, kernel_size: 3, padding: 1", "kernels: 6, kernel_size: 5, padding: 2");
    let words = w.netc("diff a.yaml b.yaml --run").fine().replace("\n  ", " ");
    assert!(words.contains("The numbers first part at conv2: kernel_size is 3 in A, 5 in B; "), "{words}");
    assert!(words.ends_with("weight is 6×4×3×3 in A, 6×4×5×5 in B, and cannot hold the same numbers.\n"), "{words}");
    // All is of another shape.
    let w = twins("[1, 8, 8]", "[1, 10, 10]");
    let words = w.netc("diff a.yaml b.yaml --run").fine();
    assert!(words.contains("The shapes first part at image: shape is 1×8×8 in A, 1×10×10 in B."), "{words}");
}

#[test]
fn weights_and_images_are_those_given() {
    let w = Workshop::new();
    let tiny = crate::workshop::TINY;
    w.netc("train tiny.yaml --data data -o run --steps 3").fine();
    w.write("a.yaml", tiny);
    w.write("b.yaml", tiny.replace("  - relu\n", "  - tanh\n"));
    w.write("1.png", PICTURE);
    let out = w.netc("diff a.yaml b.yaml --run 1.png 1.png --weights run/weights.safetensors").fine();
    assert!(out.contains("\nrun on 2 images with the weights of run/weights.safetensors\n"), "{out}");
    let words = out.replace("\n  ", " ");
    assert!(words.contains("part at maxpool1: only A has relu1 (relu); only B has tanh1 (tanh).\n"), "{out}");
    let (at, given) = first(&w, "1.png --weights run/weights.safetensors");
    let (_, drawn) = first(&w, "1.png");
    assert_eq!((at, &given["images"]), ("maxpool1".into(), &Value::from(1)));
    assert_ne!(given["layers"], drawn["layers"]);
    // What an image becomes differs before any layer; the same numbers do not.
    w.write("b.yaml", format!("{tiny}preprocess: {{mean: 0.5}}\n"));
    let out = w.netc("diff a.yaml b.yaml --run 1.png").fine();
    assert!(
        out.contains("\nThe numbers first part at image: mean of preprocess is [0.0] in A, [0.5] in B.\n"),
        "{out}"
    );
    assert_eq!(first(&w, "").0, Value::Null);
    w.write("x.safetensors", tensor(&[3, 1, 8, 8]));
    let (at, run) = first(&w, "x.safetensors");
    assert_eq!((at, &run["images"]), (Value::Null, &Value::from(3)), "{run:#}");
}

#[test]
fn what_cannot_be_run_is_refused() {
    let w = twins("name: conv2", "name: other");
    for option in ["x.png", "--weights w.safetensors", "--seed 1", "--threads 1", "--device cpu"] {
        w.netc(&format!("diff a.yaml b.yaml {option}")).refused(2, &["--run"]);
    }
    w.netc("diff a.yaml b.yaml --run --device abacus").refused(2, &["abacus"]);
    w.netc("diff a.yaml b.yaml --run x.png").refused(1, &["x.png", "no such file"]);
    w.write("x.png", "no picture");
    w.netc("diff a.yaml b.yaml --run x.png").refused(1, &["x.png"]);
    w.netc("diff a.yaml b.yaml --run --weights w.safetensors").refused(1, &["w.safetensors", "no such file"]);
    let weights = |b: &str| {
        let shapes = [("conv1", [4, 1, 3, 3].as_slice()), (b, &[6, 4, 3, 3]), ("fc", &[3, 96])];
        let tensors = shapes.iter().flat_map(|&(name, shape)| {
            [(format!("{name}.weight"), zeros(shape)), (format!("{name}.bias"), zeros(&shape[..1]))]
        });
        safetensors::serialize(tensors, None).unwrap()
    };
    w.write("w.safetensors", weights("conv2"));
    w.netc("diff a.yaml b.yaml --run --weights w.safetensors")
        .refused(1, &["`other.weight` [6, 4, 3, 3] is missing", "this is B, b.yaml"]);
    w.netc("diff a.yaml a.yaml --run --weights w.safetensors").fine();
    w.write("w.safetensors", weights("other"));
    w.netc("diff a.yaml b.yaml --run --weights w.safetensors")
        .refused(1, &["`conv2.weight` [6, 4, 3, 3] is missing", "this is A, a.yaml"]);
    w.write("x.safetensors", tensor(&[2, 1, 9, 8]));
    w.netc("diff a.yaml b.yaml --run x.safetensors").refused(1, &["x.safetensors", "[2, 1, 9, 8]", "8, 8]"]);
    // A tensor fits only one of them.
    w.write("x.safetensors", tensor(&[2, 1, 8, 8]));
    w.write("b.yaml", A.replace("[1, 8, 8]", "[1, 10, 10]"));
    w.netc("diff a.yaml b.yaml --run x.safetensors").refused(1, &["x.safetensors", "[2, 1, 8, 8]", "10, 10]"]);
    // Numbers beyond all bounds are no numbers to compare.
    w.write("b.yaml", A.replace("name: fc", "name: fc, init: {bias: 1.0e38}"));
    w.write("a.yaml", A.replace("name: conv1", "name: conv1, init: {weight: {constant: 3.0e38}}"));
    w.netc("diff a.yaml b.yaml --run").refused(1, &["random image 0", "overflow", "conv1.y of twin"]);
}

fn zeros(shape: &[usize]) -> safetensors::tensor::TensorView<'static> {
    let bytes = vec![0; 4 * shape.iter().product::<usize>()].leak();
    safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.to_vec(), bytes).unwrap()
}

/// A tensor file with `images` of zeros.
fn tensor(shape: &[usize]) -> Vec<u8> {
    safetensors::serialize([("images", zeros(shape))], None).unwrap()
}
