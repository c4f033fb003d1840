//! What users see: every file of `tests/ui` as `netc` reports on it.

use netc::diag::{Code, Style, render};
use netc::source::Sources;
use netc::{check, spec};
use std::collections::BTreeSet;

/// Checks the file after the `--set` arguments that its lines `# set: …` give; the report, the codes in it, and whether
/// the spec was refused.
fn report(name: &str, bytes: &[u8]) -> (String, BTreeSet<Code>, bool) {
    let mut sources = Sources::new();
    let mut spec = spec::parse_bytes(&mut sources, name, bytes);
    let mut problems = Vec::new();
    for line in String::from_utf8_lossy(bytes).lines() {
        if let Some(argument) = line.strip_prefix("# set: ") {
            problems.extend(spec::apply_set(&mut spec, &mut sources, argument).err().into_iter().flatten());
        }
    }
    let refused = match check::check(&spec) {
        Ok((_, warnings)) => {
            problems.extend(warnings);
            false
        }
        Err(errors) => {
            problems.extend(errors);
            true
        }
    };
    let codes = problems.iter().map(|d| d.code).collect();
    (render(&problems, &sources, Style::Plain), codes, refused)
}

#[test]
fn reports_look_as_they_should() {
    insta::glob!("ui/*.yaml", |path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        let (text, codes, _) = report(name, &std::fs::read(path).unwrap());
        let stem = name.trim_end_matches(".yaml").trim_end_matches(|c: char| c.is_ascii_digit() || c == '-');
        assert!(codes.iter().any(|c| c.as_str() == stem), "{name} does not show its code, but {codes:?}:\n{text}");
        insta::assert_snapshot!(text);
    });
}
