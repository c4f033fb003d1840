//! `netc explain`: what a code means, with a wrong and a mended example.

use super::arguments::Format;
use super::output::Output;
use crate::diag::{Code, Example, closest};
use crate::driver::{self, Failure, Refused};
use clap::Args;
use serde_json::json;
use std::collections::BTreeSet;

/// Columns of a page.
const WIDTH: usize = 80;

/// `netc explain`.
#[derive(Debug, Args)]
pub struct Explain {
    /// The code, as inexact-size; without one, all codes are listed
    #[arg(value_name = "CODE")]
    pub code: Option<String>,
    /// Write results as text or as json
    #[arg(long, value_enum, hide_possible_values = true, default_value_t = Format::Text)]
    pub format: Format,
}

/// Writes a code's page, or the list of codes.
pub fn explain(arguments: &Explain, output: &mut Output) -> Result<(), Failure> {
    let Some(name) = &arguments.code else { return list(arguments.format, output) };
    let code = code(name)?;
    match arguments.format {
        Format::Json => output.json(&page_json(code)),
        Format::Text => output.write(&page(code)),
    }
}

/// What stands below a report of errors: where more is said about them.
pub fn hint(refused: &Refused) -> String {
    let codes: BTreeSet<&str> = refused.diagnostics.iter().map(|d| d.code.as_str()).collect();
    match (codes.len(), refused.diagnostics.first()) {
        (1, Some(first)) => format!("\n\nMore about it: netc explain {}", first.code),
        (2.., Some(first)) => format!("\n\nMore about each: netc explain CODE, as netc explain {}", first.code),
        _ => String::new(),
    }
}

/// The code of this name, in brackets or not, as reports write it.
fn code(name: &str) -> Result<Code, Failure> {
    let plain = name.trim_start_matches("error").trim_matches(['[', ']']);
    Code::named(plain).ok_or_else(|| {
        let meant = closest(plain, Code::ALL.iter().map(|code| code.as_str()));
        Failure::Usage(match meant {
            Some(meant) => format!("there is no code `{name}`: did you mean `{meant}`?"),
            None => format!("there is no code `{name}`: netc explain lists all"),
        })
    })
}

fn list(format: Format, output: &mut Output) -> Result<(), Failure> {
    let codes = Code::ALL.iter().map(|&code| (code.as_str(), code.page().title));
    if format == Format::Json {
        return output.json(&codes.map(|(code, title)| json!({ "code": code, "title": title })).collect());
    }
    let width = Code::ALL.iter().map(|code| code.as_str().len()).max().unwrap_or(0);
    output.write(&codes.map(|(code, title)| format!("{code:width$}  {title}\n")).collect::<String>())
}

/// A page as text: paragraphs, the wrong spec, what is said of it, the mended spec.
fn page(code: Code) -> String {
    let page = code.page();
    let mut text = format!("{code}: {}\n", page.title);
    for paragraph in &page.paragraphs {
        text += &format!("\n{}", wrapped(paragraph));
    }
    if let Some(wrong) = &page.wrong {
        let (report, refused) = driver::report(code, wrong);
        let verb = if refused { "is refused" } else { "gets a warning" };
        text += &format!("\nThis {verb}:\n\n{}", indented(wrong.text));
        text += &format!("\n{}says:\n\n{}", command(code, wrong), indented(&report.render(false)));
    }
    if let Some(mended) = &page.mended {
        text += &format!("\nThis is right{}:\n\n{}", with(mended), indented(mended.text));
    }
    text
}

fn page_json(code: Code) -> serde_json::Value {
    let page = code.page();
    let example = |example: &Example| {
        json!({
            "syntax": example.extension, "text": example.text, "set": example.sets,
            "diagnostics": driver::report(code, example).0.json(),
        })
    };
    json!({
        "code": code.as_str(),
        "title": page.title,
        "text": page.paragraphs,
        "wrong": page.wrong.as_ref().map(example),
        "mended": page.mended.as_ref().map(example),
    })
}

fn command(code: Code, example: &Example) -> String {
    let sets: String = example.sets.iter().map(|set| format!("--set {set} ")).collect();
    format!("netc check {code}.{} {sets}", example.extension)
}

fn with(example: &Example) -> String {
    example.sets.iter().map(|set| format!(", with --set {set}")).collect()
}

/// Text in lines of at most [`WIDTH`] columns.
fn wrapped(text: &str) -> String {
    let (mut out, mut column) = (String::new(), 0);
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let length = word.chars().count();
        if column > 0 && column + 1 + length > WIDTH {
            out.push('\n');
            column = 0;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out + "\n"
}

fn indented(text: &str) -> String {
    text.lines().map(|line| if line.is_empty() { "\n".to_owned() } else { format!("    {line}\n") }).collect()
}
