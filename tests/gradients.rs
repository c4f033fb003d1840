//! Derivatives against central differences in double precision, and training steps of random networks.

#![allow(clippy::unwrap_used, reason = "a failed test is a panic")]

mod random;

use netc::grad::gradients;
use netc::graph::interpret::{Data, Precision, Tensor, interpret};
use netc::graph::random::{random_arguments, random_graph};
use netc::graph::text::parse;
use netc::graph::{Builder, DType, Graph, ValueId, verify};
use netc::passes::{PASSES, Pass, run};
use netc_runtime::program::StateRole;
use netc_runtime::random::Stream;
use random::training_step;

/// The graph that also gives the gradient of its loss for every f32 input and every state it reads, in that order.
fn with_gradients(graph: &Graph) -> Graph {
    let of = differentiable(graph);
    let mut b = Builder::extend(graph.clone());
    let loss = graph.find_output("loss").unwrap();
    let mut found = vec![None; of.len()];
    gradients(&mut b, loss, &of, |_, i, gradient| {
        found[i] = Some(gradient);
        Ok(())
    })
    .unwrap();
    for (v, gradient) in of.iter().zip(found) {
        let name = &graph.value(*v).name;
        b.output(&format!("grad {name}"), gradient.unwrap_or_else(|| panic!("{name} has no gradient\n{graph}")));
    }
    let graph = b.finish();
    verify(&graph).unwrap_or_else(|e| panic!("{e}"));
    graph
}

/// Real inputs, and states that the loss reads (running statistics are not its business).
fn differentiable(graph: &Graph) -> Vec<ValueId> {
    let real = |v: &ValueId| graph.value(*v).dtype == DType::F32;
    let parameters = graph.states.iter().filter(|s| s.role == StateRole::Parameter).filter_map(|s| s.value);
    graph.inputs.iter().copied().filter(real).chain(parameters).collect()
}

/// The loss after moving each differentiable value by `by` times its direction.
fn loss_at(graph: &Graph, inputs: &[Tensor], states: &[Tensor], directions: &[Vec<f64>], by: f64) -> f64 {
    let (mut inputs, mut states) = (inputs.to_vec(), states.to_vec());
    for (v, direction) in differentiable(graph).into_iter().zip(directions) {
        let tensor = match graph.inputs.iter().position(|&i| i == v) {
            Some(i) => &mut inputs[i],
            None => &mut states[graph.states.iter().position(|s| s.value == Some(v)).unwrap()],
        };
        if let Data::Real(data) = &mut tensor.data {
            data.iter_mut().zip(direction).for_each(|(x, d)| *x += by * d);
        }
    }
    interpret(graph, Precision::Double, &inputs, &states).unwrap().outputs[0].as_real()[0]
}

/// Compares gradients with differences, by element for small tensors and along random directions for all.
fn check(graph: &Graph, seed: u64, by_element: bool) {
    // Small enough that hardly a kink lies within, large enough for the differences' rounding.
    const STEP: f64 = 1e-6;
    let (inputs, states) = random_arguments(graph, seed);
    let with = with_gradients(graph);
    let outcome = interpret(&with, Precision::Double, &inputs, &states).unwrap();
    let analytic: Vec<&[f64]> = outcome.outputs[graph.outputs.len()..].iter().map(Tensor::as_real).collect();
    let largest = analytic.iter().flat_map(|g| g.iter()).fold(1e-3_f64, |a, b| a.max(b.abs()));
    let zeros: Vec<Vec<f64>> = analytic.iter().map(|g| vec![0.0; g.len()]).collect();
    let difference = |directions: &[Vec<f64>]| {
        let at = |by| loss_at(graph, &inputs, &states, directions, by);
        (at(STEP) - at(-STEP)) / (2.0 * STEP)
    };
    if by_element {
        for (t, gradient) in analytic.iter().enumerate() {
            for (i, &g) in gradient.iter().enumerate() {
                let mut directions = zeros.clone();
                directions[t][i] = 1.0;
                let numeric = difference(&directions);
                assert!((g - numeric).abs() <= 1e-7 * largest, "tensor {t} element {i}: {g}, not {numeric}\n{with}");
            }
        }
    }
    let mut stream = Stream::new(seed, [1, 2, 3]);
    for _ in 0..2 {
        let directions: Vec<Vec<f64>> =
            zeros.iter().map(|z| z.iter().map(|_| f64::from(stream.unit()) - 0.5).collect()).collect();
        let along: f64 =
            analytic.iter().zip(&directions).map(|(g, d)| g.iter().zip(d).map(|(g, d)| g * d).sum::<f64>()).sum();
        let length: f64 = directions.iter().map(Vec::len).sum::<usize>() as f64;
        let numeric = difference(&directions);
        let tolerance = 1e-7 * largest * length.sqrt();
        assert!((along - numeric).abs() <= tolerance, "seed {seed}: {along}, not {numeric}\n{with}");
    }
}

/// A graph whose loss is the mean square distance of `%y` to targets of type `y`.
fn squared(parameters: &str, nodes: &str, y: &str) -> Graph {
    let text = format!(
        "graph train {{\n{parameters}\n  input %targets: {y}\n{nodes}\n  %loss: f32[] = mse(%y, %targets)\n  output loss = %loss\n}}"
    );
    let graph = parse(&text).unwrap_or_else(|e| panic!("{e}\n{text}"));
    verify(&graph).unwrap_or_else(|e| panic!("{e}"));
    graph
}

/// `op` on inputs of these types.
fn single(op: &str, operands: &[&str], y: &str) -> Graph {
    let inputs: Vec<String> = operands.iter().enumerate().map(|(i, t)| format!("  input %x{i}: {t}")).collect();
    let names: Vec<String> = (0..operands.len()).map(|i| format!("%x{i}")).collect();
    squared(&inputs.join("\n"), &format!("  %y: {y} = {op}({})", names.join(", ")), y)
}

#[test]
fn convolutions() {
    let conv = |stride, padding, dilation, groups, x, w, y| {
        let op = format!("conv{{stride={stride}, padding={padding}, dilation={dilation}, groups={groups}}}");
        check(&single(&op, &[x, w], y), 1, true);
    };
    conv("[1,1]", "[0,0,0,0]", "[1,1]", 1, "f32[2,3,4,5]", "f32[2,3,3,2]", "f32[2,2,2,4]");
    conv("[2,3]", "[1,2,0,3]", "[1,1]", 1, "f32[1,2,7,6]", "f32[3,2,3,3]", "f32[1,3,4,3]");
    conv("[2,1]", "[2,1,1,2]", "[2,3]", 2, "f32[2,4,6,7]", "f32[6,2,3,2]", "f32[2,6,3,7]");
    conv("[1,2]", "[0,3,4,0]", "[1,2]", 4, "f32[1,4,3,4]", "f32[4,1,2,3]", "f32[1,4,5,2]");
}

#[test]
fn matrix_products() {
    let product = |ta: bool, tb: bool| format!("matmul{{transpose_a={ta}, transpose_b={tb}}}");
    check(&single(&product(false, false), &["f32[2,3]", "f32[3,4]"], "f32[2,4]"), 1, true);
    check(&single(&product(false, true), &["f32[2,3]", "f32[4,3]"], "f32[2,4]"), 2, true);
    check(&single(&product(true, false), &["f32[3,2]", "f32[3,4]"], "f32[2,4]"), 3, true);
    check(&single(&product(true, true), &["f32[3,2]", "f32[4,3]"], "f32[2,4]"), 4, true);
}

#[test]
fn elementwise() {
    for op in ["relu", "sigmoid", "tanh"] {
        check(&single(op, &["f32[2,3,2,2]"], "f32[2,3,2,2]"), 5, true);
    }
    check(&single("add_bias", &["f32[2,3,2,2]", "f32[3]"], "f32[2,3,2,2]"), 6, true);
    check(&single("add_bias", &["f32[2,3]", "f32[3]"], "f32[2,3]"), 7, true);
    check(&single("add", &["f32[2,3]", "f32[2,3]"], "f32[2,3]"), 8, true);
    check(&single("reshape", &["f32[2,3,2,2]"], "f32[2,12]"), 9, true);
    let random = "  input %x: f32[3,20]\n  input %seed: i32[2]\n  input %step: i32[]";
    check(&squared(random, "  %y: f32[3,20] = dropout{p=0.3, stream=7}(%x, %seed, %step)", "f32[3,20]"), 10, true);
}

#[test]
fn normalisations() {
    let lrn = |before: usize, after: usize, groups: usize, beta: &str| {
        let op = format!("lrn{{before={before}, after={after}, scale=0.3, beta={beta}, k=1.5, groups={groups}}}");
        check(&single(&op, &["f32[2,6,2,2]"], "f32[2,6,2,2]"), 11, true);
    };
    lrn(2, 2, 1, "0.75");
    lrn(2, 1, 1, "0.5");
    lrn(1, 1, 2, "0.75");
    lrn(4, 3, 3, "1.0");
    let lrn_map = |before: usize, after: usize, beta: &str, x: &str| {
        let op = format!("lrn_map{{before={before}, after={after}, scale=0.3, beta={beta}, k=1.5}}");
        check(&single(&op, &[x], x), 11, true);
    };
    lrn_map(2, 2, "0.75", "f32[2,2,4,5]");
    lrn_map(2, 1, "0.5", "f32[1,2,3,6]");
    lrn_map(1, 1, "0.75", "f32[2,3,1,4]");
    lrn_map(4, 9, "1.0", "f32[1,2,3,2]");
    for (x, y) in [("f32[3,2,2,3]", "f32[3,2,2,3]"), ("f32[5,2]", "f32[5,2]")] {
        let nodes =
            format!("  %y: {y}, %mean: f32[2], %variance: f32[2] = batchnorm_train{{epsilon=0.01}}(%x, %g, %b)");
        let inputs = format!("  input %x: {x}\n  input %g: f32[2]\n  input %b: f32[2]");
        check(&squared(&inputs, &nodes, y), 12, true);
    }
    check(&single("softmax", &["f32[3,4]"], "f32[3,4]"), 13, true);
    check(&single("softmax", &["f32[2,3,2,2]"], "f32[2,3,2,2]"), 14, true);
}

#[test]
fn pools() {
    let geometry =
        |kernel, stride, padding, ceil| format!("kernel={kernel}, stride={stride}, padding={padding}, ceil={ceil}");
    let cases = [
        (geometry("[3,3]", "[2,2]", "[0,0,0,0]", false), "f32[1,2,7,5]", "f32[1,2,3,2]"),
        (geometry("[3,2]", "[1,2]", "[1,0,0,1]", false), "f32[2,1,4,5]", "f32[2,1,3,3]"),
        (geometry("[3,3]", "[2,2]", "[1,1,1,1]", true), "f32[1,2,6,7]", "f32[1,2,4,4]"),
        (geometry("[2,2]", "[3,3]", "[0,0,0,0]", true), "f32[1,2,6,7]", "f32[1,2,2,3]"),
    ];
    for (geometry, x, y) in cases {
        check(&single(&format!("maxpool{{{geometry}}}"), &[x], y), 15, true);
        for include in [true, false] {
            check(&single(&format!("avgpool{{{geometry}, count_include_pad={include}}}"), &[x], y), 16, true);
        }
    }
    for (output, y) in [("[1,1]", "f32[2,2,1,1]"), ("[2,3]", "f32[2,2,2,3]"), ("[6,7]", "f32[2,2,6,7]")] {
        check(&single(&format!("adaptive_avgpool{{output={output}}}"), &["f32[2,2,5,4]"], y), 17, true);
    }
}

#[test]
fn branches() {
    check(&single("concat", &["f32[2,1,2,2]", "f32[2,3,2,2]", "f32[2,2,2,2]"], "f32[2,6,2,2]"), 18, true);
    let twice = "  %a: f32[2,3] = tanh(%x)\n  %b: f32[2,3] = sigmoid(%a)\n  %c: f32[2,3] = add(%a, %b)\n  %y: f32[2,3] = add(%c, %c)";
    let graph = squared("  input %x: f32[2,3]", twice, "f32[2,3]");
    check(&graph, 19, true);
    let text = with_gradients(&graph).to_string();
    assert!(text.contains("%a.grad: f32[2,3] = add(%c.grad, %a.grad.sigmoid)"), "the latest user first:\n{text}");
}

#[test]
fn losses() {
    for smoothing in ["0.0", "0.1"] {
        let text = format!(
            "graph train {{\n  input %x: f32[3,4]\n  input %labels: i32[3]\n  %y: f32[3,4] = tanh(%x)
  %loss: f32[], %p: f32[3,4] = cross_entropy{{label_smoothing={smoothing}}}(%y, %labels)
  output loss = %loss\n  output output = %y\n}}"
        );
        check(&parse(&text).unwrap(), 20, true);
    }
}

#[test]
fn random_networks() {
    for seed in 0..150 {
        check(&random_graph(seed).unwrap(), seed, false);
    }
}

#[test]
fn training_steps_verify_print_and_update_every_parameter() {
    for seed in 0..150 {
        let graph = training_step(seed);
        verify(&graph).unwrap_or_else(|e| panic!("seed {seed}\n{e}"));
        assert_eq!(parse(&graph.to_string()).as_ref(), Ok(&graph), "seed {seed}");
        assert_eq!(graph.updates.len(), graph.states.len(), "every state moves:\n{graph}");
        let names: Vec<&str> = graph.inputs.iter().map(|&v| graph.value(v).name.as_str()).collect();
        assert_eq!(names[2], "learning_rate", "seed {seed}");
    }
}

#[test]
fn the_functions_of_a_random_program_share_their_states() {
    let names = |graph: &Graph| graph.states.iter().map(|s| s.name.clone()).collect::<Vec<_>>();
    for seed in 0..60 {
        let functions = random::program(seed).graphs;
        for graph in &functions {
            verify(graph).unwrap_or_else(|e| panic!("seed {seed}\n{e}"));
            assert_eq!(names(graph), names(&functions[0]), "seed {seed}");
        }
        let updated: Vec<&str> = functions.iter().map(|g| g.name.as_str()).collect();
        assert_eq!(updated, ["init", "preprocess", "infer", "train"]);
    }
}

#[test]
fn an_update_may_write_over_what_it_replaces() {
    for seed in 0..150 {
        let graph = training_step(seed);
        for node in &graph.nodes {
            if !matches!(node.op.mnemonic(), "sgd_update" | "adam_update") {
                continue;
            }
            let at = graph.nodes.iter().position(|n| std::ptr::eq(n, node)).unwrap();
            let parameter = node.inputs[0];
            assert!(graph.nodes[at + 1..].iter().all(|n| !n.inputs.contains(&parameter)), "seed {seed}\n{graph}");
        }
    }
}

#[test]
fn simplifying_keeps_the_results() {
    for seed in 0..60 {
        let graph = training_step(seed);
        let simple = run(graph.clone(), PASSES, |_, _| {}).unwrap();
        assert!(simple.nodes.len() <= graph.nodes.len());
        let (inputs, states) = random_arguments(&graph, seed);
        let want = interpret(&graph, Precision::Single, &inputs, &states).unwrap();
        assert_eq!(interpret(&simple, Precision::Single, &inputs, &states).unwrap(), want, "seed {seed}");
    }
}

#[test]
fn simplify_leaves_out_what_computes_nothing() {
    let text = "graph g {
  input %x: f32[2,3,4,4]
  input %seed: i32[2]
  input %step: i32[]
  state parameter w: f32[3] -> %w
  state parameter b: f32[3] -> %b
  %a: f32[2,3,4,4] = dropout{p=0.0, stream=1}(%x, %seed, %step)
  %c: f32[2,3,4,4] = concat(%a)
  %dead: f32[2,3,4,4] = add_bias(%c, %w)
  %p: f32[2,3,2,2], %index: i32[2,3,2,2] = maxpool{kernel=[2,2], stride=[2,2], padding=[0,0,0,0], ceil=false}(%c)
  %q: f32[2,12] = reshape(%p)
  %r: f32[2,3,2,2] = reshape(%q)
  %s: f32[2,3,2,2] = add_bias(%r, %b)
  %t: f32[2,12] = reshape(%s)
  %u: f32[24,1] = reshape(%t)
  output y = %u
  output q = %r
}
";
    let want = "graph g {
  input %x: f32[2,3,4,4]
  input %seed: i32[2]
  input %step: i32[]
  state parameter w: f32[3]
  state parameter b: f32[3] -> %b
  %p: f32[2,3,2,2] = maxpool{kernel=[2,2], stride=[2,2], padding=[0,0,0,0], ceil=false}(%x)
  %s: f32[2,3,2,2] = add_bias(%p, %b)
  %u: f32[24,1] = reshape(%s)
  output y = %u
  output q = %p
}
";
    let mut seen = vec![];
    let graph = run(parse(text).unwrap(), PASSES, |name, _| seen.push(name.to_owned())).unwrap();
    assert_eq!(graph.to_string(), want);
    assert_eq!(seen, ["simplify"]);
}

#[test]
fn a_pass_that_breaks_a_graph_is_named() {
    let breaks = |mut graph: Graph| {
        graph.outputs[0].1 = ValueId(77);
        graph
    };
    let graph = parse("graph g {\n  input %x: f32[1]\n  output y = %x\n}").unwrap();
    let bug = run(graph, &[Pass { name: "ruin", run: breaks }], |_, _| {}).unwrap_err().to_string();
    assert!(bug.starts_with("after ruin:\n") && bug.contains("^ error: value 77 does not exist"), "{bug}");
    assert!(bug.contains("it was given:\ngraph g {"), "{bug}");
}
