//! `netc check`: is the spec right, and what does it come to.

use super::arguments::{Format, Mode, Spec, batch, positive, thread_count, variation};
use super::forecast::{hint, kernels, table, uses};
use super::output::{Output, colour, complain, counted, width};
use super::variants;
use crate::check::report;
use crate::driver::{self, Cache, Checked, Failure, Text, Variants};
use clap::Args;
use netc_runtime::speed::Machine;
use std::path::PathBuf;

/// `netc check`.
#[derive(Debug, Args)]
pub struct Check {
    /// The spec.
    #[command(flatten)]
    pub spec: Spec,
    /// Say what to infer or to train takes [default: both]
    #[arg(long, value_enum, hide_possible_values = true)]
    pub mode: Option<Mode>,
    /// Images in a batch [default: 1; for training the spec's train.batch]
    #[arg(long, value_name = "N", value_parser = batch, allow_negative_numbers = true)]
    pub batch: Option<usize>,
    /// Threads that memory and time are for [default: all cores]
    #[arg(long, value_name = "N", value_parser = thread_count, allow_negative_numbers = true)]
    pub threads: Option<usize>,
    /// Say what each kernel takes, too
    #[arg(long)]
    pub kernels: bool,
    /// Try these values too, as conv1.stride=2,4 or lrn=on,off; may be repeated
    #[arg(long, value_name = "PATH=VALUES", value_parser = variation)]
    pub vary: Vec<String>,
    /// Check only the variant that has this number in the table of variants
    #[arg(long, value_name = "N", value_parser = positive, allow_negative_numbers = true)]
    pub variant: Option<usize>,
    /// Measure the speed of this machine, which the least time needs, and keep it; best while nothing else runs
    #[arg(long)]
    pub measure: bool,
    /// Carry out the fixes that are sure, in the spec's file and those that it includes, before checking
    #[arg(long)]
    pub fix: bool,
    /// Folder where the speed is kept [default: $XDG_CACHE_HOME/netc or ~/.cache/netc]
    #[arg(long, value_name = "DIR")]
    pub cache: Option<PathBuf>,
}

/// Checks the spec and writes its table of layers, what it takes, and its variants.
pub fn check(arguments: &Check, output: &mut Output) -> Result<(), Failure> {
    let mended = if arguments.fix { driver::mend(&arguments.spec.path)? } else { Vec::new() };
    for driver::Mended { place: (file, line, column), title } in &mended {
        complain(&format!("fixed: {file}:{line}:{column}: {title}"));
    }
    let text = driver::read(&arguments.spec.path, &arguments.spec.sets)?;
    let (checked, variants) = match arguments.variant {
        None => {
            let variants = varied(&text, &arguments.vary)?;
            (driver::check(text)?, variants)
        }
        Some(number) => (variant(&text, arguments, number)?, None),
    };
    let machine = machine(arguments)?;
    let threads = arguments.threads.unwrap_or_else(super::machine::cores);
    let uses = uses(&checked, arguments.mode, arguments.batch)?;
    let rows = match &variants {
        Some(variants) => variants::rows(variants, arguments.mode, arguments.batch)?,
        None => Vec::new(),
    };
    if arguments.spec.format == Format::Json {
        let mut value = report::json(&checked.network);
        value["memory"] = uses.iter().map(|used| used.json(machine.as_ref(), threads)).collect();
        if let Some(variants) = &variants {
            value["variants"] = variants::json(variants, &rows, threads);
        }
        value["warnings"] = checked.warnings().json();
        return output.json(&value);
    }
    output.write(&report::table(&checked.network, width()))?;
    output.write(&format!("\n{}", table(&uses, machine.as_ref(), threads)))?;
    hint(machine.as_ref(), output)?;
    if arguments.kernels {
        for used in &uses {
            output.write(&format!("\n{}, batch {}:\n", used.mode(), used.batch))?;
            output.write(&kernels(used, machine.as_ref(), threads))?;
        }
    }
    if !checked.warnings.is_empty() {
        complain("");
    }
    warn(checked);
    if let Some(variants) = &variants {
        output.write(&format!("\n{}:\n", counted(variants.len(), "variant")))?;
        output.write(&variants::table(variants, &rows, threads))?;
        let wrong = rows.iter().filter(|row| row.found.is_err()).count();
        if wrong == rows.len() {
            // Then it is not the one or the other value, but the axis.
            return variants.check(0).map(drop);
        }
        if let Some(first) = rows.iter().position(|row| row.found.is_err()) {
            output.line(&format!("--variant {} says all of what is wrong with number {0}", first + 1))?;
        }
    }
    Ok(())
}

/// The variants, if anything varies. Whether the spec is right is found out apart from it.
fn varied(text: &Text, arguments: &[String]) -> Result<Option<Variants>, Failure> {
    if arguments.is_empty() && text.spec.sections.get("vary").is_none() {
        return Ok(None);
    }
    // With an error elsewhere in the spec, all of it is told.
    driver::check(Text { sources: text.sources.clone(), spec: text.spec.clone() })?;
    Variants::of(text, arguments).map(Some)
}

/// The variant with this number.
fn variant(text: &Text, arguments: &Check, number: usize) -> Result<Checked, Failure> {
    let Some(variants) = varied(text, &arguments.vary)? else {
        return Err(Failure::Usage("there are no variants: neither a section `vary` nor --vary".to_owned()));
    };
    if number > variants.len() {
        return Err(Failure::Usage(format!("there is no variant {number}: there are {}", variants.len())));
    }
    variants.check(number - 1)
}

/// The machine's speeds, as far as they are known or asked for.
fn machine(arguments: &Check) -> Result<Option<Machine>, Failure> {
    if arguments.measure {
        return Ok(Some(driver::measure(&Cache::at(arguments.cache.as_deref())?)));
    }
    // Without a folder for a cache nothing is known.
    Ok(Cache::at(arguments.cache.as_deref()).ok().and_then(|cache| driver::measured(&cache)))
}

/// Writes a spec's warnings to standard error.
pub fn warn(checked: Checked) {
    let warnings = checked.warnings();
    if !warnings.diagnostics.is_empty() {
        complain(&warnings.render(colour()));
    }
}
