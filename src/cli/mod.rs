//! The `netc` command: reads the command line, asks the [`driver`](crate::driver), writes what it gives.
//!
//! The only place that prints or chooses an exit code. Results go to standard output, everything else to standard
//! error; progress only to a terminal.

mod arguments;
mod check;
mod comparison;
mod compile;
mod diff;
mod dump;
mod eval;
mod explain;
mod fit;
mod fmt;
mod forecast;
mod graph;
mod interrupt;
mod lsp;
mod machine;
mod output;
mod parting;
mod profile;
mod progress;
mod run;
mod schema;
mod time;
mod train;
mod trials;
mod variants;

use crate::driver::{Failure, plain};
use arguments::{Arguments, Command, Format};
use clap::Parser;
use output::{Output, complain};

/// Runs the command line of this process; gives its exit code.
pub fn main() -> u8 {
    std::panic::set_hook(Box::new(|panic| {
        let what = panic.payload();
        let what = what.downcast_ref::<&str>().copied().or(what.downcast_ref::<String>().map(String::as_str));
        let place = panic.location().map_or(String::new(), |at| format!(" ({at})"));
        complain(&bug(&format!("{}{place}", what.unwrap_or("panic"))));
    }));
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(wrong) => {
            // Help and version come as "errors" too; those go to standard output and are none.
            let written = wrong.print();
            if wrong.use_stderr() {
                return 2;
            }
            return match output::finished(written) {
                Ok(()) => 0,
                Err(failure) => {
                    report(&failure, Format::Text, &mut Output::default());
                    failure.exit_code()
                }
            };
        }
    };
    let format = arguments.command.format();
    let mut output = Output::default();
    let done = match &arguments.command {
        Command::Check(check) => check::check(check, &mut output),
        Command::Explain(arguments) => explain::explain(arguments, &mut output),
        Command::Compile(compile) => compile::compile(compile, &mut output),
        Command::Train(train) => train::train(train, &mut output),
        Command::Eval(eval) => eval::eval(eval, &mut output),
        Command::Run(run) => run::run(run, &mut output),
        Command::Fit(arguments) => fit::fit(arguments, &mut output),
        Command::Time(time) => time::time(time, &mut output),
        Command::Dump(dump) => dump::dump(dump, &mut output),
        Command::Diff(diff) => diff::diff(diff, &mut output),
        Command::Fmt(fmt) => fmt::fmt(fmt, &mut output),
        Command::Graph(graph) => graph::graph(graph, &mut output),
        Command::Schema(_) => schema::schema(&mut output),
        Command::Lsp(_) => lsp::lsp(&mut output),
    };
    match done {
        Ok(()) => 0,
        Err(failure) => {
            report(&failure, format, &mut output);
            failure.exit_code()
        }
    }
}

/// Tells the user why a command failed: on standard error, or as JSON on standard output.
fn report(failure: &Failure, format: Format, output: &mut Output) {
    if format == Format::Json {
        let told = match failure {
            Failure::Spec(refused) => serde_json::json!({ "error": "spec", "diagnostics": refused.json() }),
            Failure::Data(text)
            | Failure::Usage(text)
            | Failure::Environment(text)
            | Failure::Interrupted(text)
            | Failure::Bug(text) => {
                serde_json::json!({ "error": failure.kind(), "message": plain(text) })
            }
        };
        if output.json(&told).is_ok() {
            return;
        }
    }
    complain(&plain(&match failure {
        Failure::Spec(refused) => format!("{}{}", refused.render(output::colour()), explain::hint(refused)),
        Failure::Data(text) | Failure::Usage(text) | Failure::Environment(text) => format!("error: {text}"),
        Failure::Interrupted(text) => text.clone(),
        Failure::Bug(text) => bug(text),
    }));
}

/// What is said of a failure that is netc's own.
fn bug(text: &str) -> String {
    let command: Vec<String> = std::env::args().map(|word| quoted(&word)).collect();
    format!(
        "error: this is a bug in netc, not in your spec or data: {text}\n  = netc {} on {}-{}\n  = to report it, send \
         the spec and this command: {}",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::ARCH,
        std::env::consts::OS,
        command.join(" ")
    )
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_a_shell() {
        assert_eq!(quoted("conv1.stride=2"), "conv1.stride=2");
        assert_eq!(quoted("input.shape=[1, 28]"), "'input.shape=[1, 28]'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
