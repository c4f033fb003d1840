//! `netc fit`: the largest batch for some memory.

use super::arguments::{Algorithm, Format, Mode, Spec, thread_count};
use super::forecast::Use;
use super::output::{Output, bytes, counted, duration};
use crate::check::LARGEST_BATCH;
use crate::check::report::{Column, columns, grouped};
use crate::driver::{self, Cache, Failure};
use clap::Args;
use std::path::PathBuf;

/// Parts of the memory that are named.
const SHOWN: usize = 8;

/// `netc fit`.
#[derive(Debug, Args)]
pub struct Fit {
    /// The spec.
    #[command(flatten)]
    pub spec: Spec,
    /// Memory that there is, as 3GB, 512MB, 3GiB or 1.5G; K, M and G are KiB, MiB and GiB
    #[arg(long, value_name = "SIZE", value_parser = size, allow_negative_numbers = true)]
    pub memory: Size,
    /// To infer or to train [default: train if the spec has a train section]
    #[arg(long, value_enum, hide_possible_values = true)]
    pub mode: Option<Mode>,
    /// Threads to run on [default: all cores]
    #[arg(long, value_name = "N", value_parser = thread_count, allow_negative_numbers = true)]
    pub threads: Option<usize>,
    /// Folder where the machine's speed is kept [default: $XDG_CACHE_HOME/netc or ~/.cache/netc]
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
}

/// Finds the batch, and says what takes most of the memory.
pub fn fit(arguments: &Fit, output: &mut Output) -> Result<(), Failure> {
    let checked = driver::check(driver::read(&arguments.spec.path, &arguments.spec.sets)?)?;
    let options = super::compile::options(&checked, arguments.mode, None, "cpu", Algorithm::Auto)?;
    let threads = arguments.threads.unwrap_or_else(super::machine::cores);
    let name = checked.network.name.clone();
    let found = driver::fit(&checked.network, &options, arguments.memory.bytes, threads)?;
    let taken = found.forecast.memory.bytes(threads);
    let contents = found.forecast.contents(threads);
    if !found.fits {
        let most =
            contents.first().map_or_else(String::new, |most| format!(", {} of it {}", bytes(most.bytes), most.name));
        return Err(Failure::Data(format!(
            "not even a batch of 1 fits in {}: {name} takes at least {} {}{most}; --memory {}M would do",
            arguments.memory.text,
            bytes(taken),
            if options.train { "to train" } else { "to run" },
            taken.div_ceil(1 << 20)
        )));
    }
    let used = Use { train: options.train, batch: found.batch, forecast: found.forecast };
    let machine = Cache::at(arguments.cache.as_deref()).ok().map(|cache| driver::machine(&cache));
    if arguments.spec.format == Format::Json {
        let mut value = used.json(machine.as_ref(), threads);
        value["network"] = name.into();
        value["limit_bytes"] = arguments.memory.bytes.into();
        let part =
            |content: &crate::forecast::Content| serde_json::json!({ "name": content.name, "bytes": content.bytes });
        value["contents"] = contents.iter().map(part).collect();
        return output.json(&value);
    }
    let purpose = if used.train { "trains on" } else { "runs" };
    let all = if used.batch == LARGEST_BATCH { ", the largest that netc makes" } else { "" };
    output.line(&format!(
        "{name} {purpose} batches of {}{all} in {}: {} on {}",
        grouped(used.batch as u64),
        arguments.memory.text,
        bytes(taken),
        counted(threads, "thread")
    ))?;
    if let Some(seconds) = used.least_seconds(machine.as_ref(), threads) {
        let image = duration(seconds / used.batch as f64);
        output.line(&format!("a batch takes at least {}, an image {image}", duration(seconds)))?;
    }
    let mut rows: Vec<Vec<String>> =
        contents.iter().take(SHOWN).map(|content| vec![bytes(content.bytes), content.name.clone()]).collect();
    let rest = contents.get(SHOWN..).unwrap_or_default();
    if !rest.is_empty() {
        let sum = rest.iter().map(|content| content.bytes).sum();
        rows.push(vec![bytes(sum), format!("{} more", counted(rest.len(), "part"))]);
    }
    output.write(&columns(&rows, &[Column::Right, Column::Left]))
}

/// An amount of memory, and how it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Size {
    bytes: u64,
    text: String,
}

/// An amount of memory.
fn size(text: &str) -> Result<Size, String> {
    const UNITS: [(&str, u64); 13] = [
        ("", 1),
        ("b", 1),
        ("k", 1 << 10),
        ("m", 1 << 20),
        ("g", 1 << 30),
        ("t", 1 << 40),
        ("kb", 1_000),
        ("mb", 1_000_000),
        ("gb", 1_000_000_000),
        ("tb", 1_000_000_000_000),
        ("kib", 1 << 10),
        ("mib", 1 << 20),
        ("gib", 1 << 30),
    ];
    let trimmed = text.trim();
    let end = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(end);
    let unit = unit.trim().to_ascii_lowercase();
    let factor = UNITS.iter().find(|(word, _)| *word == unit).map(|&(_, factor)| factor);
    match (number.parse::<f64>(), factor) {
        (Ok(number), Some(factor)) if number > 0.0 && number * (factor as f64) < 1e18 => {
            Ok(Size { bytes: (number * factor as f64) as u64, text: trimmed.to_owned() })
        }
        _ => Err("must be an amount of memory, as 3GB, 512MB, 3GiB or 1.5G".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("3GB", 3_000_000_000),
            ("3GiB", 3 << 30),
            ("512MB", 512_000_000),
            ("1.5G", 3 << 29),
            ("100 k", 100 << 10),
            ("64", 64),
            ("2gib", 2 << 30),
        ] {
            assert_eq!(size(text).map(|size| size.bytes), Ok(bytes), "{text}");
        }
        for text in ["", "GB", "-3GB", "0", "3GBs", "1e9", "1..5G", "99999999999G", "3 G B"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
