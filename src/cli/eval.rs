//! `netc eval`: how good a trained network is on held-out data.

use super::arguments::{Eval, Format};
use super::machine::present;
use super::output::{Output, duration};
use super::progress::Quiet;
use super::train::measured;
use crate::check::report::grouped;
use crate::driver::{self, Failure, Options};
use std::time::Instant;

/// Measures the network on the test part of the data.
pub fn eval(arguments: &Eval, output: &mut Output) -> Result<(), Failure> {
    let machine = &arguments.machine;
    machine.device()?;
    present([&arguments.weights, &arguments.data])?;
    let network = driver::check(driver::read(&arguments.spec.path, &arguments.spec.sets)?)?.network;
    let options = Options {
        batch: arguments.batch,
        train: false,
        target: driver::target("cpu")?,
        algorithm: machine.algorithm.into(),
    };
    let mut session = machine.session(&network, &options)?;
    netc_runtime::checkpoint::load_weights(&mut session, &arguments.weights)?;
    let data = netc_runtime::data::open(&arguments.data, session.manifest())?;
    let test = netc_runtime::data::spread(data.judge(), arguments.test_images.unwrap_or(usize::MAX));
    let start = Instant::now();
    let mut progress = Quiet::default();
    let found = netc_runtime::evaluate::evaluate(&mut session, &test, 1, &mut progress)?;
    drop(progress);
    let seconds = start.elapsed().as_secs_f64();
    match arguments.spec.format {
        Format::Text => output.line(&format!(
            "{}: {} images in {}: {}",
            network.name,
            grouped(found.images as u64),
            duration(seconds),
            measured(&found)
        )),
        Format::Json => output.json(&serde_json::json!({
            "network": network.name,
            "images": found.images,
            "loss": found.loss,
            "top1": found.top1,
            "top5": found.top5,
            "seconds": seconds,
        })),
    }
}
