//! What users see: every file of `tests/ui` as `netc` reports on it.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its input must fail")]

use netc::diag::{Code, Diagnostic, Style, render};
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
    insta::glob!("ui/*.{yaml,netc}", |path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        let (text, codes, _) = report(name, &std::fs::read(path).unwrap());
        let stem = name.trim_end_matches(".yaml").trim_end_matches(".netc");
        let stem = stem.rsplit_once('-').filter(|(_, n)| n.parse::<u32>().is_ok()).map_or(stem, |(stem, _)| stem);
        assert!(codes.iter().any(|c| c.as_str() == stem), "{name} does not show its code, but {codes:?}:\n{text}");
        insta::assert_snapshot!(text);
    });
}

/// Every file of `tests/ui` and `specs`.
fn inputs() -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    for folder in ["tests/ui", "specs"] {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|e| e == "yaml" || e == "netc") {
                let name = path.file_name().unwrap().to_str().unwrap().to_string();
                files.push((name, std::fs::read(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}

#[test]
fn every_code_is_shown() {
    let mut shown: BTreeSet<Code> = inputs().iter().flat_map(|(name, bytes)| report(name, bytes).1).collect();
    // No text of a spec can bring it about.
    shown.insert(Code::UnreadableFile);
    let hidden: Vec<&Code> = Code::ALL.iter().filter(|c| !shown.contains(c)).collect();
    assert!(hidden.is_empty(), "no file of tests/ui shows {hidden:?}");
}

#[test]
fn fixes_mend_what_they_are_offered_for() {
    let mut tried = 0;
    for (name, bytes) in inputs() {
        let Ok(text) = std::str::from_utf8(&bytes) else { continue };
        let parse = |text: &str| check::check(&spec::parse(&mut Sources::new(), &name, text));
        let problems = match parse(text) {
            Ok((_, warnings)) => warnings,
            Err(errors) => errors,
        };
        for problem in &problems {
            for fix in &problem.fixes {
                let fixed = netc::diag::apply(text, fix).unwrap_or_else(|| panic!("{name}: {fix:?} cannot be applied"));
                let left = parse(&fixed).err().unwrap_or_default();
                let same = |p: &&Diagnostic| p.code == problem.code && p.message == problem.message;
                let fewer = left.iter().filter(same).count() < problems.iter().filter(same).count();
                assert!(fewer, "{name}: {:?} does not mend {:?}:\n{fixed}", fix.title, problem.message);
                let syntax = |problems: &[Diagnostic]| problems.iter().filter(|p| p.code == Code::InvalidYaml).count();
                let more =
                    syntax(&left) > syntax(&problems).saturating_sub(usize::from(problem.code == Code::InvalidYaml));
                assert!(!more, "{name}: {:?} gives\n{fixed}", fix.title);
                tried += 1;
            }
        }
    }
    assert!(tried > 40, "{tried} fixes");
}

#[test]
fn diagnostics_have_a_form_for_programs() {
    let mut sources = Sources::new();
    let text = "net: t\ninput: {name: image, shape: [3, 8, 8]}\nlayers:\n  - conv: {filters: 8, kernel_size: 3}\n";
    let problems = check::check(&spec::parse(&mut sources, "t.yaml", text)).unwrap_err();
    let expected = serde_json::json!([{
        "code": "unknown-key",
        "severity": "error",
        "message": "conv1 has no setting `filters`",
        "labels": [{"file": "t.yaml", "line": 4, "column": 12, "end_line": 4, "end_column": 19, "start": 65, "end": 72, "text": ""}],
        "derivation": null,
        "notes": [],
        "fixes": [{
            "title": "the word is `kernels`",
            "effect": "",
            "sure": true,
            "edits": [{"file": "t.yaml", "line": 4, "column": 12, "end_line": 4, "end_column": 19, "start": 65, "end": 72, "replacement": "kernels"}],
        }],
    }]);
    assert_eq!(netc::diag::json(&problems, &sources), expected);
}

/// Whatever is done to a spec, it is read or refused with reports that can be shown; nothing panics.
#[test]
fn damaged_specs_are_reported() {
    let inputs = inputs();
    let words: [&[u8]; 18] = [
        b"99999999999",
        b"-1",
        b"0",
        b"[",
        b"]",
        b"{",
        b"}",
        b": ",
        b"&a",
        b"*a",
        b"!!str",
        b"'",
        b"\n",
        b"\t",
        b"\xff",
        b"from: [conv1, relu1]",
        b".nan",
        b"- add",
    ];
    let mut random = netc_runtime::random::Stream::new(2012, [0, 0, 0]);
    let mut refused = 0;
    for round in 0..1500 {
        let (name, bytes) = &inputs[round % inputs.len()];
        let mut bytes = bytes.clone();
        for _ in 0..=random.below(3) {
            if bytes.is_empty() {
                break;
            }
            let at = random.below(bytes.len() as u32) as usize;
            match random.below(5) {
                0 => bytes.truncate(at),
                1 => bytes[at] = random.bits() as u8,
                2 => drop(bytes.remove(at)),
                3 => drop(bytes.splice(at..at, words[random.below(18) as usize].iter().copied())),
                _ => {
                    let end = (at + random.below(40) as usize).min(bytes.len());
                    let piece = bytes[at..end].to_vec();
                    let to = random.below(bytes.len() as u32) as usize;
                    bytes.splice(to..to, piece);
                }
            }
        }
        let (text, codes, wrong) = report(name, &bytes);
        assert_eq!(text.is_empty(), codes.is_empty());
        refused += usize::from(wrong);
    }
    assert!((200..1500).contains(&refused), "{refused} refused");
}

/// A spec as large as specs may be is read and checked, or refused, in a moment.
#[test]
fn large_specs_take_no_time() {
    let head = "net: t\ninput: {name: image, shape: [3, 8, 8]}\nlayers:\n";
    let chain = format!("{head}{}", "- relu\n".repeat(9_000));
    let (text, _, refused) = report("chain", chain.as_bytes());
    assert!(!refused, "{text}");
    let wrong = format!("{head}{}", "- rleu\n".repeat(9_000));
    let (text, ..) = report("wrong", wrong.as_bytes());
    assert!(text.ends_with("and 8900 more\n"));
    let long = format!("{head}{}", "- relu\n".repeat(500_000));
    assert!(report("long", long.as_bytes()).2);
    let ring: String = (0..6_000).map(|i| format!("- relu: {{name: l{i}, from: l{}}}\n", (i + 1) % 6_000)).collect();
    let (_, codes, _) = report("ring", format!("{head}{ring}").as_bytes());
    assert_eq!(codes, BTreeSet::from([Code::Cycle]));
}

#[test]
fn line_ends_and_byte_order_marks_do_not_matter() {
    let text = "\u{feff}net: t\r\ninput: {name: image, shape: [3, 8, 8]}\r\nlayers:\r\n  - rleu\r\n";
    let (text, codes, _) = report("t.yaml", text.as_bytes());
    assert_eq!(codes, BTreeSet::from([Code::UnknownLayer]));
    assert!(text.contains("t.yaml:4:5\n"), "{text}");
    assert!(text.contains("4 |   - rleu\n  |     ^^^^\n"), "{text}");
}
