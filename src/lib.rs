//! # netc: a compiler for neural networks written as data
//!
//! ```text
//! text ─▶ Spec ─▶ Network ─▶ Graph ─▶ Graph' ─▶ Plan ─▶ Kernels ─▶ Code ─▶ Program ─▶ (runtime) train · run
//!        spec    check      lower     grad,     plan    kernel     codegen  program
//!                                     passes
//! ```
//!
//! Folders are stages; data flows front to back and no stage calls a later one.
//!
//! | stage | takes → gives |
//! |---|---|
//! | [`source`] | files and the spans into them |
//! | [`diag`] | what is wrong with the user's text, as data; rendered as text or JSON |
//! | [`geometry`] | windows and padding: the words that several stages share |
//! | [`target`] | the machine that code is made for |
//! | [`parallel`] | jobs side by side |
//! | [`spec`] | text → [`spec::Spec`]: the tree as written, every value with its place |
//! | [`check`] | Spec → [`check::Network`]: layers resolved, every shape with its derivation |
//! | [`compare`] | two Networks → what they differ in, and what that can change |
//! | [`editor`] | what an editor asks: schema, diagnostics, completion, hover |
//! | [`picture`] | Network → a picture of it, as SVG |
//! | [`graph`] | Network → [`graph::Graph`]: the tensor IR |
//! | [`grad`] | Graph → Graph: reverse mode, the optimizer's step |
//! | [`passes`] | Graph → Graph by named [`passes`]; Network → [`graph::Functions`] |
//! | [`plan`] | Graph → [`plan::Plan`]: fusion, algorithms, layouts, stacks, places |
//! | [`kernel`] | Plan → [`kernel::Kernel`]s: the loop IR |
//! | [`forecast`] | Plan, its kernels' scratch → what it will take: memory, work, least time |
//! | [`codegen`] | Kernels → [`codegen::Code`]: LLVM IR and objects |
//! | [`program`] | Plan, Code → [`program::Program`]: library, header, manifest |
//! | [`driver`] | runs the stages for a command |
//! | [`cli`] | the command line: the only place that prints |
//!
//! All of it on one screen:
//!
//! ```
//! use netc::{check, codegen, kernel, passes, plan, program};
//!
//! let spec = "
//! net: small
//! input: {name: image, shape: [1, 8, 8]}
//! layers:
//!   - conv: {name: conv1, kernels: 4, kernel_size: 3}
//!   - relu
//!   - linear: {name: fc, features: 2}
//! ";
//! let (network, _warnings) = check::network_from_text("small.yaml", spec).expect("the spec is right");
//! let target = codegen::host();
//! let functions = passes::functions(&network, 1, false)?;
//! let plans = plan::plans(&functions.graphs, &target, plan::Algorithm::Auto);
//! let kernels: Vec<_> = plans.iter().map(|plan| kernel::kernels(plan, &target)).collect();
//! let program = program::program(&network, &functions, &plans, &kernels, &target, &codegen::NoStore);
//! let folder = std::env::temp_dir().join(format!("netc-small-{}", std::process::id()));
//! let files = program.write(&folder)?;
//! assert!(files.iter().any(|file| file.ends_with("small.so")));
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod check;
pub mod cli;
pub mod codegen;
pub mod compare;
pub mod diag;
pub mod driver;
pub mod editor;
pub mod forecast;
pub mod geometry;
pub mod grad;
pub mod graph;
pub mod kernel;
pub mod parallel;
pub mod passes;
pub mod picture;
pub mod plan;
pub mod program;
pub mod source;
pub mod spec;
pub mod target;
