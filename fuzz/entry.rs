//! What is fuzzed: none of it may panic, whatever the bytes are. The test suite calls the same with a few thousand texts.

use netc::diag::{Diagnostic, Style, apply, json, render};
use netc::source::Sources;
use netc::{check, spec};

/// Longer inputs are cut: what they do, shorter ones do faster.
const LONGEST: usize = 4096;

/// Reads bytes as YAML, and writes what it read in both syntaxes.
pub fn yaml(bytes: &[u8]) {
    parse("fuzz.yaml", bytes);
}

/// Reads bytes as the netc language, and writes what it read in both syntaxes.
pub fn dsl(bytes: &[u8]) {
    parse("fuzz.netc", bytes);
}

/// Checks bytes as a spec of either syntax, shows what is wrong, and carries out every fix.
pub fn check(bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(LONGEST)];
    let name = if bytes.first().is_some_and(|byte| byte % 2 == 0) { "fuzz.yaml" } else { "fuzz.netc" };
    let mut sources = Sources::new();
    let read = spec::parse_bytes(&mut sources, name, bytes);
    let problems = match check::check(&read) {
        Ok((network, warnings)) => {
            check::print(&network);
            check::report::table(&network, 80);
            warnings
        }
        Err(errors) => errors,
    };
    show(&problems, &sources);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for fix in problems.iter().flat_map(|problem| &problem.fixes).take(4) {
        if let Some(fixed) = apply(text, fix) {
            let _ = check::network_from_text(name, &fixed);
        }
    }
}

/// Changes a spec by an argument of `--set`: the first line; the other lines are the spec.
pub fn set(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(&bytes[..bytes.len().min(LONGEST)]) else { return };
    let (argument, text) = text.split_once('\n').unwrap_or((text, SMALL));
    let mut sources = Sources::new();
    let mut read = spec::parse(&mut sources, "fuzz.yaml", text);
    if let Err(problems) = spec::apply_set(&mut read, &mut sources, argument) {
        show(&problems, &sources);
    }
    let _ = check::check(&read);
}

const SMALL: &str = "net: t\ninput: {shape: [3, 8, 8]}\nlayers: [conv: {name: c, kernels: 4, kernel_size: 3}]\n";

fn parse(name: &str, bytes: &[u8]) {
    let bytes = &bytes[..bytes.len().min(LONGEST)];
    let mut sources = Sources::new();
    let read = spec::parse_bytes(&mut sources, name, bytes);
    show(&read.problems, &sources);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for syntax in [spec::Syntax::Yaml, spec::Syntax::Dsl] {
        let _ = spec::format(&mut Sources::new(), name, text, Some(syntax));
    }
}

fn show(problems: &[Diagnostic], sources: &Sources) {
    let _ = (render(problems, sources, Style::Plain), json(problems, sources));
}
