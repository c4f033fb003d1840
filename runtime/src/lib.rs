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
pub mod error;
pub mod files;
pub mod library;
pub mod memory;
pub mod program;
pub mod random;
pub mod session;
pub mod tensorfile;
pub mod threads;

pub use error::{Error, Result};
