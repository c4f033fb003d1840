//! `netc fmt`: specs in canonical form, in either syntax.

use super::output::{Output, complain};
use crate::driver::{self, Failure};
use crate::spec::Syntax;
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

/// `netc fmt`.
#[derive(Debug, Args)]
#[command(
    after_help = "Files are written in place, and only if they change. With --to the other syntax goes to standard \
                        output or to -o.\nComments and the spelling of numbers are kept; YAML aliases are written out."
)]
pub struct Fmt {
    /// Spec files (YAML or .netc); - reads standard input and writes standard output
    #[arg(value_name = "SPEC", required = true)]
    pub paths: Vec<PathBuf>,
    /// Convert to yaml or to dsl, the netc language
    #[arg(long, value_enum, hide_possible_values = true, value_name = "SYNTAX")]
    pub to: Option<To>,
    /// Write nothing; name the files that are not in canonical form, and exit with 1 if there are any
    #[arg(long, conflicts_with_all = ["to", "output"])]
    pub check: bool,
    /// File to write to, in place of the spec itself
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// A syntax to convert to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum To {
    /// YAML
    Yaml,
    /// The netc language
    Dsl,
}

/// Formats the files; those that are wrong are left as they are, and the others done all the same.
pub fn fmt(arguments: &Fmt, output: &mut Output) -> Result<(), Failure> {
    if arguments.output.is_some() && arguments.paths.len() > 1 {
        return Err(Failure::Usage("-o takes the result of one spec, but there are several".to_owned()));
    }
    let mut failed = None;
    let mut changed = Vec::new();
    for path in &arguments.paths {
        match one(arguments, path, output) {
            Ok(true) => changed.push(path),
            Ok(false) => {}
            Err(failure) => {
                if let Some(Failure::Spec(before)) = failed.replace(failure) {
                    complain(&before.render(super::output::colour()));
                }
            }
        }
    }
    match failed {
        Some(failure) => Err(failure),
        None if arguments.check && !changed.is_empty() => {
            let names: Vec<String> = changed.iter().map(|path| path.display().to_string()).collect();
            Err(Failure::Data(format!("not in canonical form: {}\n  = `netc fmt` writes it", names.join(", "))))
        }
        None => Ok(()),
    }
}

/// Formats one file; whether that changes it.
fn one(arguments: &Fmt, path: &Path, output: &mut Output) -> Result<bool, Failure> {
    let to = arguments.to.map(|to| match to {
        To::Yaml => Syntax::Yaml,
        To::Dsl => Syntax::Dsl,
    });
    let formatted = driver::format(path, to)?;
    let changed = formatted.before != formatted.after;
    if arguments.check {
        return Ok(changed);
    }
    let target = match &arguments.output {
        Some(file) => Some(file.as_path()),
        None if path == Path::new("-") || to.is_some() => None,
        None => Some(path).filter(|_| changed),
    };
    match target {
        Some(file) => driver::write_text(file, &formatted.after)?,
        None if path == Path::new("-") || to.is_some() => output.write(&formatted.after)?,
        None => {}
    }
    Ok(changed)
}
