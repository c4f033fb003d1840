//! The `netc` command as its user meets it: results, errors, exit codes, and what is on disk afterwards.
#![allow(clippy::unwrap_used, reason = "a test that cannot do its work has failed")]

mod bad_input;
mod difference;
mod drawing;
mod fix;
mod from_c;
mod kernel_cache;
mod real_data;
mod results;
mod training;
mod variants;
mod workshop;
