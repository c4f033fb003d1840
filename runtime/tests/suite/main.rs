//! The runtime, run from outside: programs, checkpoints, data, training.
#![allow(clippy::unwrap_used, reason = "a test that unwraps nothing fails as it should")]

mod checkpoints;
mod damage;
mod data;
mod disks;
mod files;
mod fixture;
mod prediction;
mod programs;
mod training;
