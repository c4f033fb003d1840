//! Why a command failed, and whose matter that is.

use crate::diag::{self, Diagnostic, Style};
use crate::source::Sources;
use std::path::Path;

/// A command's failure. What the user reads is made of it at the edge, in the command line.
#[derive(Debug)]
pub enum Failure {
    /// The spec is wrong.
    Spec(Refused),
    /// Data, weights or a checkpoint are wrong, or training went astray.
    Data(String),
    /// The command line asks for something that does not go together.
    Usage(String),
    /// A file cannot be read or written, a device is missing.
    Environment(String),
    /// The user ended it with Ctrl-C.
    Interrupted(String),
    /// netc is wrong.
    Bug(String),
}

/// What is wrong with a spec, and the texts that it points into.
#[derive(Debug)]
pub struct Refused {
    /// The texts.
    pub sources: Sources,
    /// What is wrong.
    pub diagnostics: Vec<Diagnostic>,
}

impl Refused {
    /// For people.
    pub fn render(&self, colour: bool) -> String {
        let style = if colour { Style::Colour } else { Style::Plain };
        diag::render(&self.diagnostics, &self.sources, style).trim_end().to_owned()
    }

    /// For programs.
    pub fn json(&self) -> serde_json::Value {
        diag::json(&self.diagnostics, &self.sources)
    }
}

impl Failure {
    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Spec(_) | Failure::Data(_) => 1,
            Failure::Usage(_) => 2,
            Failure::Environment(_) => 3,
            Failure::Bug(_) => 101,
            // As shells have it: 128 and the signal's number.
            Failure::Interrupted(_) => 130,
        }
    }

    /// What it is called in JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Failure::Spec(_) => "spec",
            Failure::Data(_) => "data",
            Failure::Usage(_) => "usage",
            Failure::Environment(_) => "environment",
            Failure::Interrupted(_) => "interrupted",
            Failure::Bug(_) => "bug",
        }
    }

    /// An operation on a file that failed, as `cannot read specs/a.yaml: No such file or directory`.
    pub fn file(verb: &str, path: &Path, error: &std::io::Error) -> Failure {
        Failure::Environment(format!("cannot {verb} {}: {error}", path.display()))
    }
}

/// A message without Rust's ` (os error 2)`, which tells nobody anything.
pub fn plain(text: &str) -> String {
    let Some((before, rest)) = text.split_once(" (os error ") else { return text.to_owned() };
    match rest.split_once(')') {
        Some((_, after)) => format!("{before}{}", plain(after)),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_left_out() {
        assert_eq!(plain("cannot read a: No such file (os error 2): b"), "cannot read a: No such file: b");
        assert_eq!(plain("fine"), "fine");
        assert_eq!(plain(&std::io::Error::from_raw_os_error(2).to_string()), "No such file or directory");
    }
}
