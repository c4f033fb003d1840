//! `netc compile`: a native library, an object, a C header and a manifest.

use super::arguments::{Algorithm, Compile, Format, Mode};
use super::check::warn;
use super::output::{Output, bytes, duration};
use crate::driver::{self, Cache, Checked, Compiled, Failure, Options};
use std::path::PathBuf;
use std::time::Instant;

/// Compiles the spec and names the files written.
pub fn compile(arguments: &Compile, output: &mut Output) -> Result<(), Failure> {
    let start = Instant::now();
    let checked = driver::check(driver::read(&arguments.spec.path, &arguments.spec.sets)?)?;
    let options = options(&checked, arguments.mode, arguments.batch, &arguments.target, arguments.algorithm)?;
    let folder = arguments.output.clone().unwrap_or_else(|| PathBuf::from(&checked.network.name));
    // Without a folder for a cache, every kernel is compiled.
    let cache = match &arguments.cache {
        Some(folder) => Some(Cache::at(Some(folder))?),
        None => Cache::at(None).ok(),
    };
    let made = driver::compile(&checked.network, &options, &folder, cache.as_ref())?;
    let seconds = start.elapsed().as_secs_f64();
    match arguments.spec.format {
        Format::Text => {
            output.write(&table(&made.files))?;
            let purpose = if options.train { "training and inference" } else { "inference" };
            output.line(&format!(
                "{}: {purpose}, batch {}, for {}, in {}{}",
                checked.network.name,
                options.batch,
                options.target.cpu,
                duration(seconds),
                reuse(&made)
            ))?;
            warn(checked);
            Ok(())
        }
        Format::Json => output.json(&serde_json::json!({
            "network": checked.network.name,
            "batch": options.batch,
            "train": options.train,
            "target": options.target.cpu,
            "files": made.files,
            "kernels": { "compiled": made.kernels_compiled, "reused": made.kernels_reused },
            "seconds": seconds,
        })),
    }
}

/// What was not compiled, if anything.
fn reuse(made: &Compiled) -> String {
    match made.kernels_reused {
        0 => String::new(),
        reused => format!("; {reused} of {} kernels from the cache", reused + made.kernels_compiled),
    }
}

/// Files with their sizes, a line each.
fn table(files: &[PathBuf]) -> String {
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    let row = |(name, file): (&String, &PathBuf)| {
        let size = std::fs::metadata(file).map_or(0, |m| m.len());
        format!("{name:width$}  {:>10}\n", bytes(size))
    };
    names.iter().zip(files).map(row).collect()
}

/// How to compile, where the command line leaves it open. Refuses to train by a spec that does not say how.
pub fn options(
    checked: &Checked,
    mode: Option<Mode>,
    batch: Option<usize>,
    target: &str,
    algorithm: Algorithm,
) -> Result<Options, Failure> {
    let network = &checked.network;
    let train = mode.map_or(network.train.is_some(), |mode| mode == Mode::Train);
    if train {
        driver::needs_recipe(checked)?;
    }
    let batch = batch.or(network.train.as_ref().filter(|_| train).map(|recipe| recipe.batch)).unwrap_or(1);
    Ok(Options { batch, train, target: driver::target(target)?, algorithm: algorithm.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_stand_below_each_other() {
        let text = table(&["a/b.so".into(), format!("{}/b.o", "long".repeat(20)).into()]);
        let widths: Vec<usize> = text.lines().map(str::len).collect();
        assert_eq!(widths[0], widths[1], "{text}");
    }
}
