//! # netc-runtime: runs and trains what netc compiled
//!
//! Takes a program directory or shared library with its [`program::Manifest`], data and a recipe; gives trained
//! weights, metrics and predictions. Never sees LLVM, a graph or a source span.
//!
//! | module | owns |
//! |---|---|
//! | [`program`] | the contract: manifest, entry points |
//! | [`random`] | counter-based random numbers |

pub mod checkpoint;
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
pub mod tensorfile;
pub mod threads;
pub mod train;

pub use error::{Error, Result};
