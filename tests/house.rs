//! House rules, read from the source text: who may know whom, which outside crates a stage may name, who may print,
//! where `unsafe` may stand, how long a file may be, and that the map in `src/lib.rs` tells the truth.

#![allow(clippy::unwrap_used, reason = "a test that cannot read the sources has failed")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The stages in the order in which data flows. A stage names itself and those before it, never a later one.
const STAGES: [&str; 20] = [
    "source", "geometry", "target", "parallel", "diag", "spec", "check", "compare", "editor", "picture", "graph",
    "grad", "passes", "plan", "kernel", "forecast", "codegen", "program", "driver", "cli",
];

/// Outside crates that only some stages may name.
const OUTSIDE: [(&[&str], &[&str]); 8] = [
    (&["annotate_snippets"], &["diag"]),
    (&["serde_yaml", "pest", "pest_derive", "saphyr_parser"], &["spec"]),
    (&["petgraph"], &["check", "graph"]),
    (&["inkwell", "llvm_sys"], &["codegen"]),
    (&["clap", "indicatif"], &["cli"]),
    (&["lsp_types"], &["editor", "cli"]),
    (&["lsp_server"], &["cli"]),
    (&["netc_runtime"], &["program", "driver", "cli"]),
];

/// Parts of `netc_runtime` that every stage may name: the contract's types, the random numbers and the machine's speeds,
/// which are data.
const CONTRACT: [&str; 3] = ["program", "random", "speed"];

/// Files that may hold `unsafe`, each of which says why.
const UNSAFE: [&str; 7] = [
    "src/codegen/",
    "runtime/src/library.rs",
    "runtime/src/memory.rs",
    "runtime/src/threads.rs",
    "runtime/src/session.rs",
    "runtime/src/speed.rs",
    "runtime/src/data/",
];

/// Lines a file may have.
const LONGEST: usize = 800;

struct File {
    path: String,
    text: String,
    /// The text with comments, strings and characters blanked out.
    code: String,
}

impl File {
    /// The stage that a file of the compiler belongs to; none for `lib.rs`, `main.rs` and other trees.
    fn stage(&self) -> Option<&str> {
        let inner = self.path.strip_prefix("src/")?;
        let name = inner.split('/').next()?.trim_end_matches(".rs");
        (!matches!(name, "lib" | "main")).then_some(name)
    }

    /// Line number of a place in the code.
    fn line(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(trees: &[&str]) -> Vec<File> {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.join("CACHEDIR.TAG").exists() {
                continue; // what cargo built
            }
            if path.is_dir() {
                walk(&path, files);
            } else if path.extension().is_some_and(|e| e == "rs") {
                files.push(path);
            }
        }
    }
    let mut paths = Vec::new();
    for tree in trees {
        walk(&root().join(tree), &mut paths);
    }
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
            File { path, code: code_only(&text), text }
        })
        .collect()
}

/// Blanks out comments, string and character literals, so that only code is left, at the same places.
fn code_only(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut i = 0;
    let blank = |out: &mut Vec<u8>, from: usize, to: usize| {
        for b in &mut out[from..to] {
            if *b != b'\n' {
                *b = b' ';
            }
        }
    };
    while i < bytes.len() {
        let rest = &bytes[i..];
        let word_before = i > 0 && (bytes[i - 1].is_ascii_alphanumeric() || bytes[i - 1] == b'_');
        let end = if rest.starts_with(b"//") {
            i + rest.iter().position(|&b| b == b'\n').unwrap_or(rest.len())
        } else if rest.starts_with(b"/*") {
            let (mut depth, mut j) = (1, i + 2);
            while depth > 0 && j < bytes.len() {
                if bytes[j..].starts_with(b"/*") {
                    depth += 1;
                    j += 2;
                } else if bytes[j..].starts_with(b"*/") {
                    depth -= 1;
                    j += 2;
                } else {
                    j += 1;
                }
            }
            j
        } else if !word_before && (rest.starts_with(b"r\"") || rest.starts_with(b"r#") || rest.starts_with(b"br")) {
            let prefix = if rest[0] == b'b' { 2 } else { 1 };
            let hashes = rest[prefix..].iter().take_while(|&&b| b == b'#').count();
            if rest.get(prefix + hashes) != Some(&b'"') {
                i += 1;
                continue;
            }
            let close = format!("\"{}", "#".repeat(hashes));
            let body = i + prefix + hashes + 1;
            find(&bytes[body..], close.as_bytes()).map_or(bytes.len(), |n| body + n + close.len())
        } else if rest[0] == b'"' {
            let mut j = i + 1;
            while j < bytes.len() && bytes[j] != b'"' {
                j += if bytes[j] == b'\\' { 2 } else { 1 };
            }
            (j + 1).min(bytes.len())
        } else if rest[0] == b'\'' && rest.get(1) == Some(&b'\\') {
            i + 3 + rest.iter().skip(3).position(|&b| b == b'\'').unwrap_or(0) + 1
        } else if rest[0] == b'\'' {
            // A character is closed by a quote after one code point; anything else is a lifetime.
            match text[i + 1..].chars().next().map(|c| i + 1 + c.len_utf8()) {
                Some(close) if bytes.get(close) == Some(&b'\'') => close + 1,
                _ => {
                    i += 1;
                    continue;
                }
            }
        } else {
            i += 1;
            continue;
        };
        blank(&mut out, i, end.min(bytes.len()));
        i = end;
    }
    String::from_utf8(out).unwrap()
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

/// Places where `word` stands as a whole word.
fn words(code: &str, word: &str) -> Vec<usize> {
    let part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    code.match_indices(word)
        .filter(|(at, _)| !part(code[..*at].chars().next_back()) && !part(code[at + word.len()..].chars().next()))
        .map(|(at, _)| at)
        .collect()
}

/// The first path segments named after `prefix::`, those in braces too: `crate::{a::B, c}` gives a and c.
fn named_after(code: &str, prefix: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for at in words(code, prefix) {
        let Some(rest) = code[at + prefix.len()..].strip_prefix("::") else { continue };
        let offset = at + prefix.len() + 2;
        let identifier = |s: &str| s.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
        if let Some(inner) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut start = true;
            for (i, c) in inner.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => start = true,
                    c if start && depth == 0 && (c.is_alphanumeric() || c == '_') => {
                        found.push((offset, identifier(&inner[i..])));
                        start = false;
                    }
                    _ => {}
                }
            }
        } else {
            found.push((offset, identifier(rest)));
        }
    }
    found
}

fn assert_none(rule: &str, broken: Vec<String>) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

#[test]
fn a_stage_names_no_later_stage() {
    let mut broken = Vec::new();
    for file in sources(&["src"]) {
        let Some(stage) = file.stage() else { continue };
        let Some(rank) = STAGES.iter().position(|s| *s == stage) else {
            broken.push(format!("{}: `{stage}` is no stage of the list in tests/house.rs", file.path));
            continue;
        };
        for (at, name) in named_after(&file.code, "crate") {
            match STAGES.iter().position(|s| *s == name) {
                Some(other) if other > rank => {
                    broken.push(format!("{}:{}: `{stage}` names the later `{name}`", file.path, file.line(at)));
                }
                Some(_) => {}
                None => broken.push(format!("{}:{}: `crate::{name}` is no stage", file.path, file.line(at))),
            }
        }
    }
    assert_none("data flows front to back", broken);
}

#[test]
fn outside_crates_stay_in_their_stages() {
    let mut broken = Vec::new();
    for file in sources(&["src"]) {
        for (crates, stages) in OUTSIDE {
            if file.stage().is_some_and(|s| stages.contains(&s)) {
                continue;
            }
            for name in crates {
                for at in words(&file.code, name) {
                    let contract = *name == "netc_runtime"
                        && named_after(&file.code[at..], name)
                            .first()
                            .is_some_and(|(_, part)| CONTRACT.contains(&part.as_str()));
                    if !contract {
                        broken.push(format!("{}:{}: only {stages:?} may name {name}", file.path, file.line(at)));
                    }
                }
            }
        }
    }
    assert_none("outside crates stay where they belong", broken);
}

#[test]
fn the_runtime_knows_nothing_of_the_compiler() {
    let mut broken = Vec::new();
    for file in sources(&["runtime"]) {
        for name in ["netc", "inkwell", "llvm_sys", "petgraph", "serde_yaml", "clap"] {
            for at in words(&file.code, name) {
                broken.push(format!("{}:{}: names {name}", file.path, file.line(at)));
            }
        }
    }
    let manifest = std::fs::read_to_string(root().join("runtime/Cargo.toml")).unwrap();
    for name in ["netc ", "inkwell", "llvm-sys", "petgraph", "serde-saphyr", "clap"] {
        if manifest.lines().any(|l| l.starts_with(name)) {
            broken.push(format!("runtime/Cargo.toml: depends on {name}"));
        }
    }
    assert_none("netc-runtime builds and runs without the compiler and LLVM", broken);
}

#[test]
fn only_the_command_line_prints_or_exits() {
    let mut broken = Vec::new();
    for file in sources(&["src", "runtime/src"]) {
        if file.stage() == Some("cli") || file.path == "src/main.rs" {
            continue;
        }
        for word in ["println", "eprintln", "print", "eprint", "dbg"] {
            for at in words(&file.code, word) {
                if file.code[at + word.len()..].starts_with('!') {
                    broken.push(format!("{}:{}: {word}!", file.path, file.line(at)));
                }
            }
        }
        for (at, name) in named_after(&file.code, "process") {
            if matches!(name.as_str(), "exit" | "abort") {
                broken.push(format!("{}:{}: process::{name}", file.path, file.line(at)));
            }
        }
    }
    assert_none("only cli prints or exits", broken);
}

#[test]
fn unsafe_code_stands_in_named_modules_with_a_reason() {
    let mut broken = Vec::new();
    for file in sources(&["src", "runtime/src"]) {
        let Some(at) = words(&file.code, "unsafe").first().copied() else { continue };
        // An attribute with a string in it is blanked, so the reason is looked for in the text.
        let listed = UNSAFE.iter().any(|u| file.path == *u || (u.ends_with('/') && file.path.starts_with(u)));
        let types_only = file.path == "runtime/src/program.rs";
        if !listed && !types_only {
            broken.push(format!("{}:{}: not among the modules that may", file.path, file.line(at)));
        }
        if listed && !(file.text.contains("#![allow(unsafe_code") || file.text.contains("#![expect(unsafe_code")) {
            broken.push(format!(
                "{}:{}: does not say why: #![allow(unsafe_code, reason = …)]",
                file.path,
                file.line(at)
            ));
        }
    }
    assert_none("unsafe stands in named modules, each with its reason", broken);
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut broken = Vec::new();
    for file in sources(&["src", "runtime/src", "runtime/tests", "tests", "bench", "benches"]) {
        let lines = file.text.lines().count();
        if lines > LONGEST {
            broken.push(format!("{}: {lines} lines, more than {LONGEST}", file.path));
        }
        if !file.text.starts_with("//!") {
            broken.push(format!("{}: does not begin with its documentation (//!)", file.path));
        }
        for name in ["utils", "util", "common", "helpers", "helper", "manager", "misc"] {
            if file.path.split('/').any(|part| part.trim_end_matches(".rs") == name) {
                broken.push(format!("{}: `{name}` says nothing", file.path));
            }
        }
    }
    assert_none("files are short, documented and named for what they hold", broken);
}

#[test]
fn the_map_names_every_module() {
    let mut broken = Vec::new();
    for tree in ["src", "runtime/src"] {
        let text = std::fs::read_to_string(root().join(tree).join("lib.rs")).unwrap();
        let map: String = text.lines().filter(|l| l.starts_with("//!")).collect::<Vec<_>>().join("\n");
        let declared: BTreeSet<&str> =
            text.lines().filter_map(|l| l.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';')).collect();
        for name in &declared {
            if !map.contains(&format!("`{name}`")) && !map.contains(&format!("`{name}::")) {
                broken.push(format!("{tree}/lib.rs: the map does not name `{name}`"));
            }
        }
        for entry in std::fs::read_dir(root().join(tree)).unwrap() {
            let name = entry.unwrap().file_name().to_string_lossy().trim_end_matches(".rs").to_owned();
            if !matches!(name.as_str(), "lib" | "main") && !declared.contains(name.as_str()) {
                broken.push(format!("{tree}/lib.rs: {tree}/{name} is not declared"));
            }
        }
    }
    assert_none("the map in lib.rs names every module", broken);
}

#[test]
fn the_readme_and_ci_run_the_same_tests() {
    let command = ".ci/setup && cargo test --workspace";
    let ci = std::fs::read_to_string(root().join(".ci/run")).unwrap();
    assert_eq!(ci.lines().last(), Some(command), "the last line of .ci/run is the README's test command");
    let readme = std::fs::read_to_string(root().join("README.md")).unwrap();
    assert!(readme.lines().any(|l| l.trim() == command), "README.md gives the test command on a line of its own");
}

#[test]
fn literals_and_comments_are_not_code() {
    let code = code_only(
        "let a = \"crate::cli\"; // crate::cli\nlet b = 'x'; /* a /* b */ c */ fn f<'a>() {} r#\"unsafe\"# '\\''",
    );
    assert!(!code.contains("cli") && !code.contains("unsafe") && !code.contains('x'), "{code}");
    assert!(code.contains("fn f<'a>() {}"), "{code}");
    assert_eq!(code.lines().count(), 2);
}

#[test]
fn names_after_a_path_are_found_in_braces_too() {
    let names = |code: &str| named_after(code, "crate").into_iter().map(|(_, n)| n).collect::<Vec<_>>();
    assert_eq!(names("use crate::{spec::{Spec, Layer}, check, graph as g};"), ["spec", "check", "graph"]);
    assert_eq!(names("crate::plan::plan(x); mycrate::cli()"), ["plan"]);
}
