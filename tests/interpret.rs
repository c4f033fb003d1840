//! The graph interpreter where PyTorch gives no reference: random numbers and bytes.

#![allow(clippy::unwrap_used, reason = "a failed test is a panic")]

use netc::graph::interpret::{Precision, Tensor, interpret};
use netc::graph::text::parse;
use netc_runtime::random::{philox, unit_interval};

/// The first output of a graph.
fn output(text: &str, inputs: &[Tensor]) -> Tensor {
    interpret(&parse(text).unwrap(), Precision::Single, inputs, &[]).unwrap().outputs.remove(0)
}

fn moments(x: &[f64]) -> (f64, f64) {
    let n = x.len() as f64;
    let mean = x.iter().sum::<f64>() / n;
    (mean, (x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n).sqrt())
}

#[test]
fn initial_numbers_have_the_distribution_asked_for() {
    let graph =
        |op: &str| format!("graph init {{\n  input %seed: i32[2]\n  %x: f32[100,100] = {op}\n  output x = %x\n}}");
    let draw = |op: &str, seed: i32| output(&graph(op), &[Tensor::i32([2], vec![seed, 7])]).as_real().to_vec();
    let (mean, std) = moments(&draw("normal{mean=0.5, std=2.0, stream=3}(%seed)", 1));
    assert!((mean - 0.5).abs() < 0.06 && (std - 2.0).abs() < 0.05, "mean {mean}, deviation {std}");
    let uniform = draw("uniform{low=-1.0, high=3.0, stream=3}(%seed)", 1);
    let (mean, std) = moments(&uniform);
    assert!((mean - 1.0).abs() < 0.04 && (std - 4.0 / 12.0_f64.sqrt()).abs() < 0.03, "mean {mean}, deviation {std}");
    assert!(uniform.iter().all(|x| (-1.0..3.0).contains(x)));
    assert_eq!(uniform[17], f64::from(unit_interval(philox([1, 7], [17, 0, 0, 3])[0])) * 4.0 - 1.0);
    assert_ne!(uniform, draw("uniform{low=-1.0, high=3.0, stream=4}(%seed)", 1), "streams differ");
    assert_ne!(uniform, draw("uniform{low=-1.0, high=3.0, stream=3}(%seed)", 2), "seeds differ");
    assert!(draw("constant{value=0.1}()", 1).iter().all(|&x| x == f64::from(0.1_f32)));
}

#[test]
fn dropout_keeps_its_share_and_scales_it() {
    let text = "graph g {
  input %x: f32[10,1000]
  input %seed: i32[2]
  input %step: i32[]
  %y: f32[10,1000] = dropout{p=0.25, stream=9}(%x, %seed, %step)
  output y = %y
}";
    let draw = |step: i32| {
        let inputs =
            [Tensor::real([10, 1000], vec![3.0; 10_000]), Tensor::i32([2], vec![-5, 6]), Tensor::i32([], vec![step])];
        output(text, &inputs).as_real().to_vec()
    };
    let y = draw(4);
    assert!(y.iter().all(|&y| y == 0.0 || y == 4.0));
    let kept = y.iter().filter(|&&y| y != 0.0).count();
    assert!((7350..7650).contains(&kept), "{kept} of 10000");
    for i in [0, 1, 4321] {
        let bits = philox([-5_i32 as u32, 6], [i as u32, 0, 4, 9])[0];
        assert_eq!(y[i] != 0.0, unit_interval(bits) >= 0.25);
    }
    assert_ne!(y, draw(5), "steps differ");
}

#[test]
fn bytes_are_scaled_and_shifted_by_channel() {
    let text = "graph g {
  input %image: u8[1,2,1,2]
  %y: f32[1,2,1,2] = normalize{scale=[0.5,2.0], shift=[-1.0,0.25]}(%image)
  output y = %y
}";
    let y = output(text, &[Tensor::u8([1, 2, 1, 2], vec![0, 255, 1, 10])]);
    assert_eq!(y, Tensor::real([1, 2, 1, 2], vec![-1.0, 126.5, 2.25, 20.25]));
}

#[test]
fn nan_is_passed_on() {
    let x = [Tensor::real([1, 1, 1, 3], vec![1.0, f64::NAN, 2.0])];
    let graph =
        |op: &str, y: &str| format!("graph g {{\n  input %x: f32[1,1,1,3]\n  %y: {y} = {op}(%x)\n  output y = %y\n}}");
    assert!(output(&graph("relu", "f32[1,1,1,3]"), &x).as_real()[1].is_nan());
    let pool = "maxpool{kernel=[1,3], stride=[1,1], padding=[0,0,0,0], ceil=false}";
    assert!(output(&graph(pool, "f32[1,1,1,1]"), &x).as_real()[0].is_nan());
}

#[test]
fn wrong_arguments_are_refused() {
    let text = "graph g {\n  input %x: f32[1,3]\n  input %labels: i32[1]
  %loss: f32[], %p: f32[1,3] = cross_entropy{label_smoothing=0.0}(%x, %labels)\n  output loss = %loss\n}";
    let graph = parse(text).unwrap();
    let x = Tensor::real([1, 3], vec![0.0; 3]);
    let run = |inputs: &[Tensor]| interpret(&graph, Precision::Single, inputs, &[]).unwrap_err().to_string();
    assert_eq!(run(&[x.clone(), Tensor::i32([1], vec![3])]), "label 3 is none of 3 classes");
    assert_eq!(run(&[x.clone(), Tensor::i32([1], vec![-1])]), "label -1 is none of 3 classes");
    assert_eq!(run(std::slice::from_ref(&x)), "1 inputs and 0 states for a function of 2 and 0");
    assert_eq!(run(&[x.clone(), x.clone()]), "labels is f32[1,3] with 3 elements, not i32[1]");
    let short = Tensor::real([1, 3], vec![0.0; 2]);
    assert_eq!(run(&[short, Tensor::i32([1], vec![1])]), "x is f32[1,3] with 2 elements, not f32[1,3]");
}
