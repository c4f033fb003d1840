//! # netc: a compiler for neural networks written as data
//!
//! ```text
//! text ─▶ Spec ─▶ Network ─▶ Graph ─▶ Graph' ─▶ Plan ─▶ Kernels ─▶ Code ─▶ Program ─▶ (runtime) train · run
//!        spec    check      lower     grad,     plan    kernel     codegen  program
//!                                     passes
//! ```
//!
//! Folders are stages; data flows front to back and no stage calls a later one.

pub mod check;
pub mod geometry;
pub mod graph;
pub mod kernel;
pub mod source;
pub mod target;
