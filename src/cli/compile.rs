//! `netc compile`: a native library, an object, a C header and a manifest.

use super::arguments::{Compile, Format, Mode};
use super::check::warn;
use super::output::{Output, bytes, duration};
use crate::check::Network;
use crate::driver::{self, Failure, Options};
use std::path::PathBuf;
use std::time::Instant;

/// Compiles the spec and names the files written.
pub fn compile(arguments: &Compile, output: &mut Output) -> Result<(), Failure> {
    let start = Instant::now();
    let checked = driver::check(driver::read(&arguments.spec.path, &arguments.spec.sets)?)?;
    let options = options(&checked.network, arguments.mode, arguments.batch, &arguments.target)?;
    let folder = arguments.output.clone().unwrap_or_else(|| PathBuf::from(&checked.network.name));
    let files = driver::compile(&checked.network, &options, &folder)?;
    let seconds = start.elapsed().as_secs_f64();
    match arguments.spec.format {
        Format::Text => {
            for file in &files {
                let size = std::fs::metadata(file).map_or(0, |m| m.len());
                output.line(&format!("{:40} {:>12}", file.display().to_string(), bytes(size)))?;
            }
            let purpose = if options.train { "training and inference" } else { "inference" };
            output.line(&format!(
                "{}: {purpose}, batch {}, for {}, in {}",
                checked.network.name,
                options.batch,
                options.target.cpu,
                duration(seconds)
            ))?;
            warn(checked);
            Ok(())
        }
        Format::Json => output.json(&serde_json::json!({
            "network": checked.network.name,
            "batch": options.batch,
            "train": options.train,
            "target": options.target.cpu,
            "files": files,
            "seconds": seconds,
        })),
    }
}

/// How to compile, where the command line leaves it open.
pub fn options(network: &Network, mode: Option<Mode>, batch: Option<usize>, target: &str) -> Result<Options, Failure> {
    let train = mode.map_or(network.train.is_some(), |mode| mode == Mode::Train);
    let batch = batch.or(network.train.as_ref().filter(|_| train).map(|recipe| recipe.batch)).unwrap_or(1);
    Ok(Options { batch, train, target: driver::target(target)? })
}
