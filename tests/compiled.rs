//! The ladder of oracles: graph interpreter = kernel interpreter = compiled code, on random networks, on PyTorch's reference
//! cases, and on every spec at reduced size.

#![allow(clippy::unwrap_used, reason = "a failed test is a panic")]

mod random;
mod reference;
mod support;

use netc::check;
use netc::codegen;
use netc::diag::{self, Diagnostic};
use netc::graph::interpret::{Outcome, Precision, Tensor, interpret};
use netc::graph::random::random_arguments;
use netc::graph::{Graph, layer_output};
use netc::kernel::interpret::Order;
use netc::passes::{functions, functions_with_layers};
use netc::source::Sources;
use netc::spec::{self, Data};
use netc::target::Target;
use reference::{Case, Executor, case_files};
use support::compiled::Planned;

/// Outcomes agree to 2·10⁻⁵ of the largest magnitude of each tensor, and to a few times the rounding of the oracle itself: how
/// far it is from `exact`, computed in double precision. Deep networks with batch normalisation magnify rounding.
fn assert_agree(what: &str, graph: &Graph, actual: &Outcome, expected: &Outcome, exact: &Outcome) {
    let names = graph.outputs.iter().map(|(n, _)| n.as_str()).chain(graph.states.iter().map(|s| s.name.as_str()));
    let tensors = |o: &Outcome| o.outputs.iter().chain(&o.states).cloned().collect::<Vec<Tensor>>();
    for (((name, a), e), x) in names.zip(tensors(actual)).zip(tensors(expected)).zip(tensors(exact)) {
        assert_eq!(a.shape, e.shape, "{what}: {name}");
        // A loss near 0 is the difference of numbers of the size of the logits.
        let least = if name == "loss" { 1e-2 } else { 1e-20 };
        let scale = e.as_real().iter().fold(least, |m: f64, x| m.max(x.abs()));
        let rounding = e.as_real().iter().zip(x.as_real()).fold(0.0, |m: f64, (e, x)| m.max((e - x).abs()));
        for (i, (a, e)) in a.as_real().iter().zip(e.as_real()).enumerate() {
            let fine = (a - e).abs() <= 2e-5 * scale + 4.0 * rounding || (a.is_nan() && e.is_nan());
            assert!(fine, "{what}: {name}[{i}] is {a}, expected {e} (largest {scale}, rounding {rounding})\n{graph}");
        }
    }
}

fn same_bits(what: &str, a: &Outcome, b: &Outcome) {
    for (a, b) in a.outputs.iter().chain(&a.states).zip(b.outputs.iter().chain(&b.states)) {
        let bits = |t: &Tensor| t.as_real().iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(a), bits(b), "{what}: bits differ");
    }
}

fn climb(what: &str, graph: &Graph, seed: u64, target: &Target) {
    let (inputs, states) = random_arguments(graph, seed);
    climb_from(what, graph, &inputs, &states, target);
}

fn climb_from(what: &str, graph: &Graph, inputs: &[Tensor], states: &[Tensor], target: &Target) {
    let oracle = interpret(graph, Precision::Single, inputs, states).unwrap();
    let exact = interpret(graph, Precision::Double, inputs, states).unwrap();
    let planned = Planned::new(graph, target);
    let kernels = planned.interpret(inputs, states, Order::Forward);
    assert_agree(&format!("{what}: kernels"), graph, &kernels, &oracle, &exact);
    let reversed = planned.interpret(inputs, states, Order::Reversed);
    same_bits(&format!("{what}: reversed parallel loops"), &kernels, &reversed);
    let code = planned.run(inputs, states, 1);
    assert_agree(&format!("{what}: code"), graph, &code, &oracle, &exact);
    same_bits(&format!("{what}: split parallel loops"), &code, &planned.run(inputs, states, 3));
}

#[test]
fn random_programs_run_compiled_as_interpreted() {
    for seed in 0..18 {
        let target = if seed % 3 == 2 { codegen::named("x86-64").unwrap() } else { codegen::host() };
        for graph in random::program(seed).graphs {
            climb(&format!("{} of {seed} on {}", graph.name, target.cpu), &graph, seed, &target);
        }
    }
}

/// Concatenations and slices that nest, overlap, and take operands from everywhere, of whole channels and of odd ones.
#[test]
fn parts_of_images_are_made_and_read_in_their_places() {
    let text = "graph g {
  input %x: f32[2,3,7,6]
  input %w: f32[5,3,3,3]
  input %v: f32[4,8,3,3]
  input %u: f32[6,21,1,1]
  input %t: f32[6,3,3,3]
  %a: f32[2,5,7,6] = conv{stride=[1,1], padding=[1,1,1,1], dilation=[1,1], groups=1}(%x, %w)
  %b: f32[2,5,7,6] = relu(%a)
  %c: f32[2,8,7,6] = concat(%x, %b)
  %d: f32[2,4,7,6] = conv{stride=[1,1], padding=[1,1,1,1], dilation=[1,1], groups=1}(%c, %v)
  %e: f32[2,4,7,6] = maxpool{kernel=[3,3], stride=[1,1], padding=[1,1,1,1], ceil=false}(%d)
  %f: f32[2,21,7,6] = concat(%c, %e, %d, %b)
  %g: f32[2,6,7,6] = conv{stride=[1,1], padding=[0,0,0,0], dilation=[1,1], groups=1}(%f, %u)
  %h: f32[2,13,7,6] = slice{start=4}(%f)
  %i: f32[2,3,7,6] = slice{start=2}(%h)
  %j: f32[2,6,7,6] = conv{stride=[1,1], padding=[1,1,1,1], dilation=[1,1], groups=1}(%i, %t)
  %k: f32[2,6,7,6] = add(%g, %j)
  %l: f32[2,4,7,6] = tanh(%d)
  %m: f32[2,17,7,6] = concat(%l, %h)
  %n: f32[2,34,7,6] = concat(%m, %m)
  %p: f32[2,2,7,6] = slice{start=1}(%x)
  output k = %k
  output n = %n
  output i = %i
  output p = %p
}
";
    let graph = netc::graph::text::parse(text).unwrap();
    for (seed, target) in [codegen::host(), codegen::named("x86-64").unwrap()].iter().enumerate() {
        climb("parts", &graph, seed as u64, target);
    }
    let plan = netc::plan::text::print(&Planned::new(&graph, &codegen::host()).plan);
    let copies: Vec<&str> = plan.lines().filter(|line| line.contains("copy into")).map(str::trim).collect();
    let expected = [
        "concat_0: %c = copy into channel 0: the caller has it(%x.image)",
        "concat_3: %f = copy into channel 16: it is made in another place(%b)",
        "concat_1: %m = copy into channel 4: it is cut from a whole(%h)",
        "concat_1_2: %n = copy into channel 17: it is made in another place(%m)",
    ];
    assert_eq!(copies, expected, "{plan}");
    assert!(!plan.contains("slice("), "{plan}");
}

/// A function whose results are those of all layers, also of layers that only pass on what they read.
#[test]
fn every_layers_result_is_given_on_request() {
    let text = "net t\ninput image [3, 9, 9]\ndropout(0.5)\nconv a(4, 3, padding: 1)\nbatchnorm -> relu -> lrn(3)\n\
                from [lrn1, relu1] -> add\nmaxpool m(3, 2)\nfrom [m, m] -> concat -> flatten -> dropout(0.5) -> linear(6)\n\
                relu -> softmax\n";
    let (network, _) = check::network_from_text("t.netc", text).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let graphs = functions_with_layers(&network, 2).unwrap().graphs;
    assert_eq!(graphs.iter().map(|g| g.name.as_str()).collect::<Vec<_>>(), ["init", "preprocess", "infer"]);
    let names: Vec<&str> = graphs[2].outputs.iter().map(|(name, _)| name.as_str()).collect();
    let layers: Vec<String> = network.layers().map(|(_, layer)| layer_output(&layer.name)).collect();
    assert_eq!(names, layers.iter().map(String::as_str).chain(["output"]).collect::<Vec<_>>());
    for (seed, graph) in graphs.iter().enumerate() {
        climb(&graph.name, graph, seed as u64, &codegen::host());
    }
}

/// Compiled code as an executor of reference cases.
struct Compiled {
    functions: Vec<Planned>,
}

impl Executor for Compiled {
    fn run(&mut self, name: &str, inputs: &[Tensor], states: &mut Vec<Tensor>) -> Result<Vec<Tensor>, String> {
        let function = self.functions.iter().find(|f| f.graph.name == name).ok_or("no such function")?;
        let outcome = function.run(inputs, states, 2);
        *states = outcome.states;
        Ok(outcome.outputs)
    }
}

#[test]
fn reference_cases_of_pytorch() {
    let mut wrong = vec![];
    for path in case_files() {
        let case = Case::read(&path).unwrap();
        let functions = case.functions().unwrap();
        let planned = functions.graphs.iter().map(|g| Planned::new(g, &codegen::host())).collect();
        let found = case.disagreements(&functions, &mut Compiled { functions: planned }).unwrap();
        wrong.extend(found.into_iter().map(|e| format!("{}: {e}", path.display())));
    }
    assert!(wrong.is_empty(), "{} disagreements:\n{}", wrong.len(), wrong.join("\n"));
}

/// Every spec as written, but with small images and few channels, from its own initial weights.
#[test]
fn specs_at_reduced_size() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("specs");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "yaml"));
    paths.sort();
    assert!(paths.len() >= 15);
    for path in paths {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let netc::driver::Text { sources, spec } = netc::driver::read(&path, &[]).unwrap();
        let (network, _) = check::check(&reduced(&spec)).unwrap_or_else(|e| panic!("{}", plain(&e, &sources)));
        // Nine pools of near ties: rounding decides which is the maximum, and the gradient follows the decision.
        let train = name != "googlenet";
        let functions = functions(&network, 2, train).unwrap();
        let init = &functions.graphs[0];
        let (seed, empty) = random_arguments(init, 7);
        let states = interpret(init, Precision::Single, &seed, &empty).unwrap().states;
        for graph in &functions.graphs {
            let (mut inputs, _) = random_arguments(graph, 11);
            for (input, value) in inputs.iter_mut().zip(&graph.inputs) {
                if graph.value(*value).name == "learning_rate" {
                    *input = Tensor::f32([], &[network.train.as_ref().unwrap().schedule.base as f32]);
                }
            }
            climb_from(&format!("{name} {}", graph.name), graph, &inputs, &states, &codegen::host());
        }
    }
}

/// The spec with a sixteenth of its kernels, few features, and 64×64 images where they were larger.
fn reduced(spec: &spec::Spec) -> spec::Spec {
    let mut spec = spec::expand(spec);
    let last = spec.layers.len() - 1;
    for (i, layer) in spec.layers.iter_mut().enumerate() {
        for setting in &mut layer.settings.entries {
            match (setting.key.text.as_str(), &mut setting.value.data) {
                ("kernels", Data::Integer(n)) => *n = (*n / 16).max(1),
                ("features", Data::Integer(n)) if i != last => *n = *n / 200 + 3,
                ("features", Data::Integer(n)) => *n = 10,
                _ => {}
            }
        }
    }
    spec.sections.entries.retain(|s| s.key.text != "preprocess");
    let Some(Data::Map(input)) =
        spec.sections.entries.iter_mut().find(|s| s.key.text == "input").map(|s| &mut s.value.data)
    else {
        panic!("an input");
    };
    let shape = input.entries.iter_mut().find(|s| s.key.text == "shape").unwrap();
    let Data::List(sizes) = &mut shape.value.data else { panic!("a shape") };
    for size in &mut sizes[1..] {
        // Caffe's 227 keeps conv1 exact at 67.
        let Data::Integer(n) = size.data else { panic!("a size") };
        size.data = Data::Integer(if n < 64 { n } else { 64 + n - 224 });
    }
    spec
}

fn plain(diagnostics: &[Diagnostic], sources: &Sources) -> String {
    diag::render(diagnostics, sources, diag::Style::Plain)
}
