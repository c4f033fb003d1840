//! The graph's text form and verifier.

#![allow(clippy::unwrap_used, reason = "a failed test is a panic")]

use netc::graph::interpret::{Precision, interpret};
use netc::graph::random::{random_arguments, random_graph, random_inference, random_init, random_preprocess};
use netc::graph::text::{Place, parse};
use netc::graph::{Def, Graph, NodeId, Op, StateId, ValueId, verify};
use std::collections::BTreeSet;

/// All functions of a random network.
fn random_functions(seed: u64) -> Vec<Graph> {
    let makers = [random_graph, random_inference, random_init, random_preprocess];
    makers.iter().map(|make| make(seed).unwrap()).collect()
}

#[test]
fn random_graphs_verify_print_and_parse_back() {
    let mut seen = BTreeSet::new();
    for seed in 0..300 {
        for graph in random_functions(seed) {
            verify(&graph).unwrap_or_else(|e| panic!("seed {seed}\n{e}"));
            let text = graph.to_string();
            assert_eq!(parse(&text).as_ref(), Ok(&graph), "seed {seed}\n{text}");
            seen.extend(graph.nodes.iter().map(|n| n.op.mnemonic()));
        }
    }
    let forward = "adaptive_avgpool add add_bias avgpool batchnorm_infer batchnorm_train concat constant conv \
                   cross_entropy dropout lrn lrn_map matmul maxpool mse normal normalize relu reshape running_update sigmoid \
                   softmax tanh uniform";
    assert_eq!(seen.into_iter().collect::<Vec<_>>().join(" "), forward);
}

#[test]
fn random_graphs_run_in_both_precisions() {
    for seed in 0..60 {
        for graph in random_functions(seed) {
            let (inputs, states) = random_arguments(&graph, seed);
            let single = interpret(&graph, Precision::Single, &inputs, &states).unwrap();
            let double = interpret(&graph, Precision::Double, &inputs, &states).unwrap();
            let single = single.outputs.iter().chain(&single.states);
            for (a, b) in single.zip(double.outputs.iter().chain(&double.states)) {
                let largest = b.as_real().iter().fold(1e-3_f64, |m, x| m.max(x.abs()));
                for (a, b) in a.as_real().iter().zip(b.as_real()) {
                    assert!((a - b).abs() <= 1e-4 * largest, "seed {seed}: {a} and {b}\n{graph}");
                }
            }
        }
    }
}

proptest::proptest! {
    /// A text with a few characters changed is refused or read, and what is read is judged: nothing panics.
    #[test]
    fn damaged_text_never_panics(
        seed in 0_u64..50,
        damage in proptest::collection::vec((0_usize..10_000, "[ -~\n]{0,3}", 0_usize..3), 1..4),
    ) {
        let mut text = random_graph(seed).unwrap().to_string();
        for (at, with, removed) in damage {
            let at = at % text.len();
            let end = (at + removed).min(text.len());
            text.replace_range(at..end, &with);
        }
        if let Ok(graph) = parse(&text) {
            let (printed, judged) = (graph.to_string(), verify(&graph));
            proptest::prop_assert!(judged.is_err() || parse(&printed) == Ok(graph));
        }
    }
}

const SMALL: &str = r#"graph train {
  input %image: f32[2,3,8,9]
  input %labels: i32[2]
  state parameter "my conv.weight": f32[4,3,3,3] -> %my_conv.weight
  state optimizer optimizer.conv.weight.momentum: f32[4,3,3,3]
  %conv1.y: f32[2,4,3,4] = conv{stride=[2,2], padding=[0,0,1,0], dilation=[1,1], groups=1}(%image, %my_conv.weight) @"my conv":12-40
  %pool1.y: f32[2,4,1,2], %pool1.index: i32[2,4,1,2] = maxpool{kernel=[2,2], stride=[2,2], padding=[0,0,0,0], ceil=false}(%conv1.y) @pool1
  %flat: f32[2,8] = reshape(%pool1.y)
  %loss: f32[], %probabilities: f32[2,8] = cross_entropy{label_smoothing=0.1}(%flat, %labels)
  output loss = %loss
  update "my conv.weight" = %my_conv.weight
}
"#;

#[test]
fn the_text_form_is_kept_to_the_letter() {
    let graph = parse(SMALL).unwrap();
    assert_eq!(verify(&graph), Ok(()));
    assert_eq!(graph.to_string(), SMALL);
    assert_eq!(graph.nodes[0].span, netc::source::Span { start: 12, end: 40 });
}

#[test]
fn broken_text_is_refused_with_its_line() {
    let cases = [
        ("", "line 1: the graph does not end"),
        ("graph g {\n", "line 1: the graph does not end"),
        ("graph g {\n  %y: f32[1] = relu(%x)\n}", "line 2: %x is not defined above"),
        ("graph g {\n  input %x: f64[1]\n}", "line 2: f64 is no element type"),
        ("graph g {\n  input %x: f32[1]\n  %y: f32[1] = rely(%x)\n}", "line 3: no operation is called rely"),
        ("graph g {\n  input %x: f32[1]\n  %y: f32[1] = relu{p=1}(%x)\n}", "line 3: relu has no attribute p"),
        ("graph g {\n  input %x: f32[1]\n  %y: f32[1] = slice(%x)\n}", "line 3: attribute start is missing"),
        ("graph g {\n  input %x: f32[1]\n  input %x: f32[1]\n}", "line 3: %x is defined twice"),
        ("graph g {\n  update w = %x\n}", "line 2: no state is called w"),
        ("graph g {\n}\ngraph h {\n}", "line 3: nothing may follow the graph"),
        ("graph g {\n  input %x: f32[1] f32\n}", "line 2: expected the end of the line before \"f32\""),
    ];
    for (text, message) in cases {
        assert_eq!(parse(text).unwrap_err().to_string(), message, "{text}");
    }
}

/// Breaks [`SMALL`] and returns the errors.
fn broken(damage: impl Fn(&mut Graph)) -> Vec<(Place, String)> {
    let mut graph = parse(SMALL).unwrap();
    damage(&mut graph);
    verify(&graph).unwrap_err().errors
}

fn node(n: u32) -> Place {
    Place::Node(NodeId(n))
}

#[test]
fn every_invariant_is_checked() {
    let text = |message: &str| message.to_owned();
    let cases = [
        (broken(|g| g.nodes[2].inputs[0] = ValueId(99)), node(2), text("value 99 does not exist")),
        (broken(|g| g.updates[0].0 = StateId(7)), Place::Update(0), text("there is no such state")),
        (broken(|g| g.values[4].def = Def::Input(0)), node(1), text("%pool1.y names another place as its definition")),
        (broken(|g| g.inputs.swap(0, 1)), Place::Input(0), text("%labels is value 1, out of order")),
        (broken(|g| g.nodes.truncate(3)), Place::Graph, text("nothing defines %loss")),
        (broken(|g| g.values[0].name = "labels".into()), Place::Input(1), text("two values are called %labels")),
        (broken(|g| g.values[0].name = "a b".into()), Place::Input(0), text("\"a b\" is no name for a value")),
        (
            broken(|g| g.states[1].name = g.states[0].name.clone()),
            Place::State(1),
            text("two states are called my conv.weight"),
        ),
        (broken(|g| g.outputs.push(g.outputs[0].clone())), Place::Output(1), text("two outputs are called loss")),
        (broken(|g| g.values[0].shape[0] = usize::MAX), Place::Input(0), text("%image is too large")),
        (broken(|g| g.values[0].shape[0] = 0), Place::Input(0), text("%image has a size of 0")),
        (
            broken(|g| g.states[0].shape[0] = 5),
            Place::State(0),
            text("its contents are f32[4,3,3,3], not f32[5,3,3,3]"),
        ),
        (broken(|g| g.nodes.swap(0, 1)), node(0), text("%conv1.y is used before it is defined")),
        (broken(|g| g.values[3].shape[1] = 5), node(0), text("the result is f32[2,5,3,4], not f32[2,4,3,4]")),
        (broken(|g| g.nodes[3].outputs.truncate(1)), node(3), text("1 results and not 2")),
        (broken(|g| g.nodes[2].op = Op::Add), node(2), text("takes 2 operands, not 1")),
        (broken(|g| g.updates.push(g.updates[0])), Place::Update(1), text("the state is updated twice")),
        (
            broken(|g| g.updates[0].1 = ValueId(0)),
            Place::Update(0),
            text("the value is f32[2,3,8,9], not f32[4,3,3,3]"),
        ),
    ];
    for (errors, place, message) in cases {
        assert!(errors.contains(&(place, message.clone())), "{message}\n{errors:#?}");
    }
}

#[test]
fn an_error_stands_under_its_line() {
    let mut graph = parse(SMALL).unwrap();
    graph.nodes[2].op = Op::Relu;
    let shown = verify(&graph).unwrap_err().to_string();
    let lines: Vec<&str> = shown.lines().collect();
    let at = lines.iter().position(|l| l.contains("= relu(%pool1.y)")).unwrap();
    assert_eq!(lines[at + 1], "  ^ error: the result is f32[2,8], not f32[2,4,1,2]");
}

/// Attributes that no geometry can have.
#[test]
fn impossible_geometry_is_refused() {
    let graph = |op: &str, result: &str| {
        format!("graph g {{\n  input %x: f32[1,4,5,5]\n  input %w: f32[4,2,3,3]\n  %y: f32{result} = {op}\n}}\n")
    };
    let cases = [
        (
            graph("conv{stride=[1,1], padding=[0,0,0,0], dilation=[1,1], groups=1}(%x, %w)", "[1,4,3,3]"),
            "4 channels in 1 groups meet weights for 2",
        ),
        (
            graph("conv{stride=[1,1], padding=[0,0,0,0], dilation=[3,1], groups=2}(%x, %w)", "[1,4,3,3]"),
            "a 3×3 kernel does not fit a 5×5 image",
        ),
        (
            graph("conv{stride=[1,1], padding=[0,0,0,0], dilation=[1,1], groups=3}(%x, %w)", "[1,4,3,3]"),
            "4 channels cannot form 3 groups",
        ),
        (
            graph("conv{stride=[0,1], padding=[0,0,0,0], dilation=[1,1], groups=2}(%x, %w)", "[1,4,3,3]"),
            "stride and dilation are at least 1",
        ),
        (
            graph("maxpool{kernel=[2,2], stride=[1,1], padding=[2,0,0,0], ceil=false}(%x)", "[1,4,6,4]"),
            "padding 2 and 0 could fill a window of 2",
        ),
        (graph("slice{start=3}(%x)", "[1,2,5,5]"), "no slice f32[1,2,5,5] from channel 3 of f32[1,4,5,5]"),
        (graph("add(%x, %w)", "[1,4,5,5]"), "the second operand is f32[4,2,3,3], not f32[1,4,5,5]"),
        (graph("concat(%x, %w)", "[1,6,5,5]"), "f32[4,2,3,3] and f32[1,4,5,5] differ in more than the channels"),
    ];
    for (text, message) in cases {
        let errors = verify(&parse(&text).unwrap()).unwrap_err().errors;
        assert_eq!(errors, vec![(node(0), message.to_owned())], "{text}");
    }
}
