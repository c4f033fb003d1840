//! The command line in clap's terms: what may be written, and its help.

use crate::check::LARGEST_BATCH;
use crate::plan;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;

/// A compiler for neural networks written as data.
#[derive(Debug, Parser)]
#[command(name = "netc", version, about, max_term_width = 100, propagate_version = true)]
#[command(after_help = "Exit codes: 0 done; 1 the spec or the data is wrong; 2 bad usage;\n3 the environment \
                        failed (files, devices); 101 a bug in netc; 130 ended by Ctrl-C.")]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check a spec: shapes with their arithmetic, parameters, multiply-adds; all errors in one run
    Check(super::check::Check),
    /// Say what a code of a report means, with a wrong and a mended example
    Explain(super::explain::Explain),
    /// Compile a spec to a native library with a C header and a manifest
    Compile(Compile),
    /// Train a network; RUN gets weights.safetensors, checkpoints/ and log.jsonl; Ctrl-C saves and stops
    Train(Train),
    /// Measure a trained network on the test part of a data set: top-1, top-5, loss
    Eval(Eval),
    /// Classify images or tensors
    Run(Run),
    /// Find the largest batch for some memory, and say what takes it
    Fit(super::fit::Fit),
    /// Measure how long a network takes, in total and by layer, and how near to the machine's limit that is
    Time(Time),
    /// Print a stage of the compiler
    Dump(Dump),
    /// Tell what two networks differ in, and what each difference can change
    Diff(super::diff::Diff),
    /// Write specs in canonical form, or convert them between YAML and the netc language
    Fmt(super::fmt::Fmt),
    /// Draw a network with its shapes, as SVG
    Graph(super::graph::Graph),
    /// Print the JSON Schema of specs in YAML, for editors
    Schema(super::schema::Schema),
    /// Serve an editor: errors with quick fixes, shapes, completion
    Lsp(super::lsp::Lsp),
}

impl Command {
    /// How the command's results are to be written.
    pub fn format(&self) -> Format {
        match self {
            Command::Check(c) => c.spec.format,
            Command::Explain(c) => c.format,
            Command::Compile(c) => c.spec.format,
            Command::Train(c) => c.spec.format,
            Command::Eval(c) => c.spec.format,
            Command::Run(c) => c.spec.format,
            Command::Fit(c) => c.spec.format,
            Command::Time(c) => c.spec.format,
            Command::Dump(c) => c.spec.format,
            Command::Diff(c) => c.format,
            Command::Fmt(_) => Format::Text,
            Command::Graph(c) => c.spec.format,
            Command::Schema(_) | Command::Lsp(_) => Format::Json,
        }
    }
}

/// The spec and how to talk about it.
#[derive(Debug, Args)]
pub struct Spec {
    /// The spec file (YAML or .netc); - reads standard input
    #[arg(value_name = "SPEC")]
    pub path: PathBuf,
    /// Changes of the spec's values.
    #[arg(long = "set", value_name = "PATH=VALUE", value_parser = assignment)]
    #[arg(help = "Change a value, as conv1.stride=2, input.shape=[1,28,28] or train.batch=32; may be repeated")]
    pub sets: Vec<String>,
    /// Write results as text or as json
    #[arg(long, value_enum, hide_possible_values = true, default_value_t = Format::Text)]
    pub format: Format,
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Where and how compiled code runs.
#[derive(Debug, Args)]
pub struct Machine {
    /// Threads to run on [default: all cores]; results do not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024), allow_negative_numbers = true)]
    pub threads: Option<u16>,
    /// Device to run on: cpu
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: String,
    /// Compute convolutions by the fastest way (auto) or by the definition (direct)
    #[arg(long, value_enum, hide_possible_values = true, default_value_t = Algorithm::Auto)]
    pub algorithm: Algorithm,
    /// Folder for compiled programs [default: $XDG_CACHE_HOME/netc or ~/.cache/netc]
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
}

/// How convolutions are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Algorithm {
    /// The fastest for each layer
    Auto,
    /// Directly, by the definition
    Direct,
}

impl From<Algorithm> for plan::Algorithm {
    fn from(algorithm: Algorithm) -> plan::Algorithm {
        match algorithm {
            Algorithm::Auto => plan::Algorithm::Auto,
            Algorithm::Direct => plan::Algorithm::Direct,
        }
    }
}

/// What a program is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Inference
    Infer,
    /// Whole training steps, and inference
    Train,
}

/// Stages that can be printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Stage {
    /// The spec as read, with --set applied
    Spec,
    /// The checked network
    Network,
    /// The tensor IR
    Graph,
    /// Which operations share a kernel, and where tensors lie
    Plan,
    /// The loop IR
    Kernels,
    /// LLVM IR
    Llvm,
    /// Assembly
    Asm,
}

/// `netc compile`.
#[derive(Debug, Args)]
pub struct Compile {
    /// The spec.
    #[command(flatten)]
    pub spec: Spec,
    /// Folder to write to; made if missing [default: the network's name]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<PathBuf>,
    /// Machine to compile for: cpu (this one) or cpu:NAME, as cpu:znver3 or cpu:x86-64-v3
    #[arg(long, value_name = "TARGET", default_value = "cpu")]
    pub target: String,
    /// Compile for infer or train [default: train if the spec has a train section]
    #[arg(long, value_enum, hide_possible_values = true)]
    pub mode: Option<Mode>,
    /// Images in a batch [default: the spec's train.batch, else 1]
    #[arg(long, value_name = "N", value_parser = batch, allow_negative_numbers = true)]
    pub batch: Option<usize>,
    /// Compute convolutions by the fastest way (auto) or by the definition (direct)
    #[arg(long, value_enum, hide_possible_values = true, default_value_t = Algorithm::Auto)]
    pub algorithm: Algorithm,
    /// Folder for compiled kernels [default: $XDG_CACHE_HOME/netc or ~/.cache/netc]
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
}

/// `netc train`.
#[derive(Debug, Args)]
pub struct Train {
    /// The spec.
    #[command(flatten)]
    pub spec: Spec,
    /// Data: a folder of IDX files (MNIST), CIFAR-10 binaries or CLASS/IMAGE files, or a .safetensors file
    #[arg(long, value_name = "PATH")]
    pub data: PathBuf,
    /// Folder for weights, checkpoints and the log; made if missing
    #[arg(short = 'o', long = "output", value_name = "RUN")]
    pub run: PathBuf,
    /// Start from these weights (.safetensors)
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    pub weights: Option<PathBuf>,
    /// Passes over the data [default: the spec's train.epochs]
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true, conflicts_with = "steps")]
    pub epochs: Option<usize>,
    /// Training steps, in place of epochs
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true)]
    pub steps: Option<usize>,
    /// Images in a batch [default: the spec's train.batch]
    #[arg(long, value_name = "N", value_parser = batch, allow_negative_numbers = true)]
    pub batch: Option<usize>,
    /// Write a checkpoint every N steps too, not only after each epoch
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true)]
    pub checkpoint_every: Option<usize>,
    /// Go on from the last checkpoint in RUN
    #[arg(long)]
    pub resume: bool,
    /// Seed of all random choices [default: 0, or the resumed run's]
    #[arg(long, value_name = "N", value_parser = seed, allow_negative_numbers = true)]
    pub seed: Option<u64>,
    /// Train every variant and compare them: those by the spec's section vary, and by this axis, as conv1.stride=2,4
    #[arg(long, value_name = "PATH=VALUES", value_parser = variation_or_none, num_args = 0..=1, default_missing_value = "")]
    pub vary: Vec<String>,
    /// Train every variant with N seeds
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true, default_value = "1")]
    pub seeds: usize,
    /// Judge by N images spread over the test part [default: all]
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true)]
    pub test_images: Option<usize>,
    /// Judge every N steps too, not only after each epoch
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true)]
    pub evaluate_every: Option<usize>,
    /// Write a line to log.jsonl every N steps
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true, default_value = "1")]
    pub log_every: usize,
    /// The machine.
    #[command(flatten)]
    pub machine: Machine,
}

/// `netc eval`.
#[derive(Debug, Args)]
pub struct Eval {
    /// The spec.
    #[command(flatten)]
    pub spec: Spec,
    /// Trained weights (.safetensors)
    #[arg(long, value_name = "FILE")]
    pub weights: PathBuf,
    /// Data, as for train; its test part is used
    #[arg(long, value_name = "PATH")]
    pub data: PathBuf,
    /// Images in a batch
    #[arg(long, value_name = "N", value_parser = batch, allow_negative_numbers = true, default_value = "64")]
    pub batch: usize,
    /// Judge by N images spread over the test part [default: all]
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true)]
    pub test_images: Option<usize>,
    /// The machine.
    #[command(flatten)]
    pub machine: Machine,
}

/// `netc run`.
#[derive(Debug, Args)]
pub struct Run {
    /// The spec.
    #[command(flatten)]
    pub spec: Spec,
    /// Trained weights (.safetensors)
    #[arg(long, value_name = "FILE")]
    pub weights: PathBuf,
    /// Images (PNG, JPEG) or tensors (.safetensors, .npy) of the input's shape with a leading batch
    #[arg(value_name = "IMAGE|TENSOR", required_unless_present = "data")]
    pub inputs: Vec<PathBuf>,
    /// Classify images of the test part of this data set, and say what they are
    #[arg(long, value_name = "PATH", conflicts_with = "inputs")]
    pub data: Option<PathBuf>,
    /// How many images of --data
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true, default_value = "10", requires = "data")]
    pub samples: usize,
    /// How many classes to name for each image
    #[arg(long, value_name = "K", value_parser = positive, allow_negative_numbers = true, default_value = "3")]
    pub top: usize,
    /// Write the raw outputs to this .safetensors file
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// The machine.
    #[command(flatten)]
    pub machine: Machine,
}

/// `netc time`.
#[derive(Debug, Args)]
#[command(
    after_help = "GF/s count the multiply-adds of the definition; `peak` is the part of the machine's peak that was \
                        done, which is less where an algorithm saves products. GB/s count what each kernel reads and \
                        writes, each operand once; `memory` is the part of the speed of reading memory, and can exceed \
                        100 % in caches."
)]
pub struct Time {
    /// The spec.
    #[command(flatten)]
    pub spec: Spec,
    /// Measure infer, or a whole train step
    #[arg(long, value_enum, hide_possible_values = true, default_value_t = Mode::Infer)]
    pub mode: Mode,
    /// Images in a batch [default: 1; for training the spec's train.batch]
    #[arg(long, value_name = "N", value_parser = batch, allow_negative_numbers = true)]
    pub batch: Option<usize>,
    /// How often to run it after a warm-up, whole and kernel by kernel
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true, default_value = "5")]
    pub repeat: usize,
    /// Print a row a kernel in place of a row a layer; kernels that do alike share one
    #[arg(long)]
    pub kernels: bool,
    /// Draw the layers' times to this file, as SVG; - writes standard output, in place of the table
    #[arg(long, value_name = "FILE")]
    pub picture: Option<PathBuf>,
    /// The machine.
    #[command(flatten)]
    pub machine: Machine,
}

/// `netc dump`.
#[derive(Debug, Args)]
pub struct Dump {
    /// The spec.
    #[command(flatten)]
    pub spec: Spec,
    /// What to print: spec, network, graph, plan, kernels, llvm or asm
    #[arg(long, value_enum, hide_possible_values = true)]
    pub stage: Stage,
    /// Print the graph as it is after this pass
    #[arg(long, value_name = "PASS")]
    pub after: Option<String>,
    /// Print this function only: init, preprocess, infer or train
    #[arg(long, value_name = "NAME")]
    pub function: Option<String>,
    /// Compile for infer or train [default: train if the spec has a train section]
    #[arg(long, value_enum, hide_possible_values = true)]
    pub mode: Option<Mode>,
    /// Images in a batch [default: the spec's train.batch, else 1]
    #[arg(long, value_name = "N", value_parser = batch, allow_negative_numbers = true)]
    pub batch: Option<usize>,
    /// Machine to compile for: cpu (this one) or cpu:NAME
    #[arg(long, value_name = "TARGET", default_value = "cpu")]
    pub target: String,
    /// Compute convolutions by the fastest way (auto) or by the definition (direct)
    #[arg(long, value_enum, hide_possible_values = true, default_value_t = Algorithm::Auto)]
    pub algorithm: Algorithm,
}

/// A change of the spec; what its path and value must be is up to the spec.
pub(super) fn assignment(text: &str) -> Result<String, String> {
    match text.contains('=') {
        true => Ok(text.to_owned()),
        false => Err("it has no `=`: write layer.field=value or section.field=value, as conv1.stride=2".to_owned()),
    }
}

/// An axis of variants; what its path and values must be is up to the spec.
pub fn variation(text: &str) -> Result<String, String> {
    match text.contains('=') {
        true => Ok(text.to_owned()),
        false => Err("it has no `=`: write layer.field=values, as conv1.stride=2,4 or lrn=on,off".to_owned()),
    }
}

/// An axis, or nothing: then only the spec says what varies.
fn variation_or_none(text: &str) -> Result<String, String> {
    match text {
        "" => Ok(String::new()),
        text => variation(text).map_err(|e| format!("{e}; without an axis, write --vary after SPEC")),
    }
}

/// A number of threads.
pub fn thread_count(text: &str) -> Result<usize, String> {
    match positive(text)? {
        n if n > 1024 => Err("must be at most 1024".to_owned()),
        n => Ok(n),
    }
}

/// A seed of random numbers.
pub fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("must be a whole number from 0 to {}", u64::MAX))
}

/// Images in a batch.
pub fn batch(text: &str) -> Result<usize, String> {
    match positive(text)? {
        n if n > LARGEST_BATCH => Err(format!("must be at most {LARGEST_BATCH}")),
        n => Ok(n),
    }
}

/// A count of at least one.
pub fn positive(text: &str) -> Result<usize, String> {
    match text.parse::<usize>() {
        Ok(0) => Err("must be at least 1".to_owned()),
        Ok(n) => Ok(n),
        Err(_) => Err("must be a whole number".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn negative_numbers_are_refused_as_numbers() {
        for option in ["--seed", "--batch", "--epochs", "--threads"] {
            let words = ["netc", "train", "a.yaml", "--data", "d", "-o", "r", option, "-1"];
            let text = Arguments::try_parse_from(words).unwrap_err().to_string();
            assert!(text.contains(&format!("invalid value '-1' for '{option} <N>'")), "{text}");
            assert!(!text.contains("tip"), "{text}");
        }
    }

    #[test]
    fn counts_are_at_least_one() {
        assert_eq!(positive("3"), Ok(3));
        assert!(positive("0").is_err() && positive("-1").is_err() && positive("x").is_err());
    }
}
