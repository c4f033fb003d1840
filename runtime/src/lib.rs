//! # netc-runtime: runs and trains what netc compiled
//!
//! Takes a compiled program, data and a recipe; gives trained weights, metrics and predictions. Never sees LLVM, a
//! graph or a source span, and prints nothing: progress goes to an [`observer::Observer`].
//!
//! ```text
//! library (.so + manifest) ─▶ session (state, arena, scratch, ports) ◀─ threads
//!                                │
//! data ─▶ preprocess ─▶ loader ──┼─▶ train ─▶ journal: weights, checkpoints, log
//!                                ├─▶ evaluate
//!                                └─▶ predict
//! ```
//!
//! Weights after a number of steps are the same bytes for any number of threads, and across a kill and a resume: random
//! choices depend on seed, epoch and sample alone ([`random`]), and files are replaced whole or not at all ([`files`]).
//!
//! | module | what it is |
//! |---|---|
//! | [`program`] | the contract: manifest, memory, entry points |
//! | [`library`] | loads a program and checks its manifest |
//! | [`memory`] | aligned blocks, refused with an error and no abort |
//! | [`threads`] | the thread pool |
//! | [`session`] | a program at work: its memory, typed calls |
//! | [`tensorfile`] | safetensors files |
//! | [`files`] | writing so that nothing is ever half there |
//! | [`checkpoint`] | weights files and checkpoints |
//! | [`data`] | labelled images in every format |
//! | [`preprocess`] | resize, crop, flip |
//! | [`loader`] | batches prepared in the background |
//! | [`random`] | counter-based random numbers |
//! | [`speed`] | how fast the machine is at best |
//! | [`schedule`] | the learning rate of each step |
//! | [`train`] | the training loop |
//! | [`journal`] | the run folder: weights, checkpoints, log |
//! | [`evaluate`] | loss, top-1, top-5 |
//! | [`predict`] | classes of images and tensors |
//! | [`contrast`] | how far apart what two programs compute is |
//! | [`observer`] | who is told how far things are |
//! | [`progress`] | an observer that draws bars on a terminal |
//! | [`error`] | what can go wrong, and whose matter it is |
//!
//! ```no_run
//! use netc_runtime::{Result, data, library, observer, session, threads, train};
//! use std::{path::Path, sync::Arc};
//!
//! fn learn(program: &Path, images: &Path, run: &Path) -> Result<()> {
//!     let program = Arc::new(library::Program::load(program)?);
//!     let data = data::open(images, program.manifest())?;
//!     let mut session = session::Session::new(program, Arc::new(threads::Pool::new(0)?))?;
//!     let options = train::TrainOptions { epochs: Some(5), ..train::TrainOptions::new(run.to_owned()) };
//!     train::train(&mut session, &data, &options, &mut observer::Silent)?;
//!     Ok(())
//! }
//! ```

pub mod checkpoint;
pub mod contrast;
pub mod data;
pub mod error;
pub mod evaluate;
pub mod files;
pub mod journal;
pub mod library;
pub mod loader;
pub mod memory;
pub mod observer;
pub mod predict;
pub mod preprocess;
pub mod program;
pub mod progress;
pub mod random;
pub mod schedule;
pub mod session;
pub mod speed;
pub mod tensorfile;
pub mod threads;
pub mod train;

pub use error::{Error, Result};
