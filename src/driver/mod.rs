//! Runs the stages one after the other: from a spec file to a program that the runtime loads.
//!
//! Takes what a command was asked for, gives what the command shows or runs. Decides nothing about networks or code;
//! what can go wrong is a [`Failure`]. Never prints.

mod build;
mod cache;
mod example;
mod failure;
mod fit;
mod front;
mod kernels;
mod machine;
mod mend;
mod session;
mod variants;

pub use build::{Built, Compiled, Options, build, cached, cached_with_layers, compile, forecast, forecasts, target};
pub use cache::Cache;
pub use example::report;
pub use failure::{Failure, Refused, plain};
pub use fit::{Fit, fit};
pub use front::{
    Checked, Formatted, Text, check, format, functions, functions_after, included, needs_recipe, read, write_text,
};
pub use machine::{machine, measure, measure_on, measured};
pub use mend::{Mended, mend};
pub use session::session;
pub use variants::Variants;
