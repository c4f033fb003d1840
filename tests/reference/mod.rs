//! PyTorch's reference cases, run through netc on anything that runs the functions of a program.
//!
//! `tests/torch/README.md` describes the files and the agreement that is asked for.

#![allow(dead_code, reason = "each suite uses a part")]
#![allow(clippy::unwrap_used, reason = "a failed test is a panic")]

use netc::check::{Network, network_from_text};
use netc::graph::interpret::{Precision, Tensor, interpret};
use netc::graph::{DType, Functions, Graph};
use netc::passes::functions;
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// |value − reference| may be this times the reference's largest magnitude.
pub const TOLERANCE: f64 = 1e-5;

/// Something that runs the functions of a program: the interpreter, or compiled code.
pub trait Executor {
    /// Runs function `name`. `inputs` and the outputs are in the order of the function's own list; `states` are all of
    /// the program's in order, and are written over.
    fn run(&mut self, name: &str, inputs: &[Tensor], states: &mut Vec<Tensor>) -> Result<Vec<Tensor>, String>;
}

/// The graph interpreter in single precision.
pub struct Interpreter(pub Functions);

impl Executor for Interpreter {
    fn run(&mut self, name: &str, inputs: &[Tensor], states: &mut Vec<Tensor>) -> Result<Vec<Tensor>, String> {
        let graph = function(&self.0, name)?;
        let outcome = interpret(graph, Precision::Single, inputs, states).map_err(|e| e.to_string())?;
        *states = outcome.states;
        Ok(outcome.outputs)
    }
}

/// The function of this name.
pub fn function<'a>(functions: &'a Functions, name: &str) -> Result<&'a Graph, String> {
    functions.graphs.iter().find(|g| g.name == name).ok_or_else(|| format!("no function {name}"))
}

/// A reference case.
pub struct Case {
    /// Checked from the spec in the file.
    pub network: Network,
    /// Images in a batch.
    pub batch: usize,
    /// Training steps.
    pub steps: usize,
    /// For functions that ask for one.
    pub seed: i32,
    /// Every tensor of the file; labels are [`netc::graph::interpret::Data::I32`].
    pub tensors: BTreeMap<String, Tensor>,
}

/// All case files, in order.
pub fn case_files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torch/cases");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "safetensors"));
    files.sort();
    files
}

impl Case {
    /// Reads a case and checks its spec.
    pub fn read(path: &Path) -> Result<Case, String> {
        let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(|e| e.to_string())?;
        let words = metadata.metadata().clone().unwrap_or_default();
        let word = |key: &str| words.get(key).cloned().ok_or_else(|| format!("{key} is missing"));
        let number = |key: &str| word(key)?.parse::<usize>().map_err(|e| e.to_string());
        let file = SafeTensors::deserialize(&bytes).map_err(|e| e.to_string())?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.tensors() {
            let tensor = match view.dtype() {
                Dtype::F32 => Tensor::f32(view.shape(), &words_of(view.data(), f32::from_le_bytes)),
                Dtype::I64 => {
                    let wide = words_of(view.data(), i64::from_le_bytes);
                    Tensor::i32(view.shape(), wide.into_iter().map(|x| x as i32).collect())
                }
                other => return Err(format!("{name} is {other:?}")),
            };
            tensors.insert(name.clone(), tensor);
        }
        let (network, _) = network_from_text("case.yaml", &word("spec")?).map_err(|e| format!("{e:#?}"))?;
        Ok(Case { network, batch: number("batch")?, steps: number("steps")?, seed: number("seed")? as i32, tensors })
    }

    /// The functions of its program.
    pub fn functions(&self) -> Result<Functions, String> {
        functions(&self.network, self.batch, true).map_err(|e| e.to_string())
    }

    /// The states before the first step: the case's parameters, zeros for the optimizer.
    pub fn first_states(&self, functions: &Functions) -> Result<Vec<Tensor>, String> {
        let states = &functions.graphs[0].states;
        let given = self.tensors.keys().filter(|k| k.starts_with("param.")).count();
        let known = states.iter().filter(|s| self.tensors.contains_key(&format!("param.{}", s.name))).count();
        if given != known {
            return Err(format!("{given} parameters are given, the network has {known} of them"));
        }
        let first = |name: &str, shape: &[usize]| match self.tensors.get(&format!("param.{name}")) {
            Some(tensor) if tensor.shape == shape => Ok(tensor.clone()),
            Some(tensor) => Err(format!("{name} is {:?}, not {shape:?}", tensor.shape)),
            None if name.starts_with("optimizer.") => {
                Ok(Tensor::real(shape.to_vec(), vec![0.0; shape.iter().product()]))
            }
            None => Err(format!("{name} is not given")),
        };
        states.iter().map(|s| first(&s.name, &s.shape)).collect()
    }

    /// The inputs of a function in step `step` (from 1).
    pub fn inputs(&self, graph: &Graph, step: usize) -> Result<Vec<Tensor>, String> {
        let tensor = |name: &str| self.tensors.get(name).ok_or_else(|| format!("the case has no {name}"));
        let input = |(i, value): (usize, &netc::graph::Value)| match value.name.as_str() {
            _ if i == 0 => Ok(self.part(tensor("input")?, step)),
            name @ ("labels" | "targets") => Ok(self.part(tensor(name)?, step)),
            "learning_rate" => tensor(&format!("lr.{step}")).cloned(),
            "step" => Ok(Tensor::i32([], vec![step as i32 - 1])),
            "seed" => Ok(Tensor::i32([2], vec![self.seed, 0])),
            other => Err(format!("what is {other}?")),
        };
        graph.inputs.iter().map(|&v| graph.value(v)).enumerate().map(input).collect()
    }

    /// The images of a step.
    fn part(&self, tensor: &Tensor, step: usize) -> Tensor {
        use netc::graph::interpret::Data;
        let mut shape = tensor.shape.clone();
        shape[0] = self.batch;
        let count = shape.iter().product::<usize>();
        let range = (step - 1) * count..step * count;
        let data = match &tensor.data {
            Data::Real(data) => Data::Real(data[range].to_vec()),
            Data::I32(data) => Data::I32(data[range].to_vec()),
            Data::U8(data) => Data::U8(data[range].to_vec()),
        };
        Tensor { shape, data }
    }

    /// Inference, then every training step, compared with the reference wherever it has a tensor; returns what
    /// disagrees.
    pub fn disagreements(&self, functions: &Functions, executor: &mut dyn Executor) -> Result<Vec<String>, String> {
        let mut wrong = vec![];
        let mut compared = 0;
        let mut compare = |name: &str, got: &Tensor| {
            let Some(want) = self.tensors.get(name) else { return };
            compared += 1;
            wrong.extend(disagreement(got, want).map(|e| format!("{name}: {e}")));
        };
        let mut states = self.first_states(functions)?;
        let infer = function(functions, "infer")?;
        let outputs = executor.run("infer", &self.inputs(infer, 1)?, &mut states)?;
        compare("output", &outputs[0]);
        let train = function(functions, "train")?;
        for step in 1..=self.steps {
            let outputs = executor.run("train", &self.inputs(train, step)?, &mut states)?;
            for ((name, _), tensor) in train.outputs.iter().zip(&outputs) {
                match name.as_str() {
                    "loss" => compare(&format!("loss.{step}"), tensor),
                    _ if step == 1 => compare("train_output", tensor),
                    _ => {}
                }
            }
            for (state, tensor) in train.states.iter().zip(&states) {
                compare(&format!("after.{step}.{}", state.name), tensor);
            }
        }
        // Gradients are for those who can see them; everything else in the file must have been looked at.
        let given = ["param.", "lr.", "grad.", "input", "labels", "targets"];
        let expected = self.tensors.keys().filter(|k| !given.iter().any(|g| k.starts_with(g))).count();
        if compared != expected {
            wrong.push(format!("{compared} of {expected} tensors were compared"));
        }
        Ok(wrong)
    }
}

fn words_of<const N: usize, T>(bytes: &[u8], from: fn([u8; N]) -> T) -> Vec<T> {
    bytes.chunks_exact(N).map(|chunk| from(chunk.try_into().unwrap())).collect()
}

/// How far `got` is from `want`, if too far.
pub fn disagreement(got: &Tensor, want: &Tensor) -> Option<String> {
    if got.shape != want.shape || got.of_type().dtype != DType::F32 {
        return Some(format!("{} and not {}", got.of_type(), want.of_type()));
    }
    let largest = want.as_real().iter().fold(0.0_f64, |a, b| a.max(b.abs()));
    let far = |(i, (got, want)): (usize, (&f64, &f64))| {
        let agree = (got - want).abs() <= TOLERANCE * largest;
        (!agree).then(|| format!("element {i} is {got}, not {want}; the largest is {largest}"))
    };
    got.as_real().iter().zip(want.as_real()).enumerate().find_map(far)
}
