//! The VS Code extension: its files are there and valid, and its grammar knows the vocabulary.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its input must fail")]

use netc::check::vocabulary;
use regex::Regex;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("editors/vscode")
}

fn json(name: &str) -> Value {
    let text = std::fs::read_to_string(folder().join(name)).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"))
}

const GRAMMAR: &str = "syntaxes/netc.tmLanguage.json";

#[test]
fn the_manifest_names_files_that_are_there() {
    let manifest = json("package.json");
    for field in ["name", "version", "publisher", "engines", "main", "contributes"] {
        assert!(!manifest[field].is_null(), "{field}");
    }
    assert_eq!(manifest["version"], env!("CARGO_PKG_VERSION"));
    let contributes = &manifest["contributes"];
    let files = [&manifest["main"], &contributes["languages"][0]["configuration"], &contributes["grammars"][0]["path"]];
    for file in files {
        assert!(folder().join(file.as_str().unwrap()).is_file(), "{file}");
    }
    assert_eq!(contributes["grammars"][0]["scopeName"], json(GRAMMAR)["scopeName"]);
    assert_eq!(contributes["languages"][0]["id"], contributes["grammars"][0]["language"]);
}

/// Every pattern in a grammar or a language configuration.
fn patterns(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let pattern = matches!(key.as_str(), "match" | "begin" | "end") || key.ends_with("Pattern");
                match value {
                    Value::String(text) if pattern => found.push(text.clone()),
                    other => patterns(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| patterns(item, found)),
        _ => {}
    }
}

#[test]
fn patterns_are_regular_expressions() {
    let mut found = Vec::new();
    patterns(&json(GRAMMAR), &mut found);
    patterns(&json("language-configuration.json"), &mut found);
    assert!(found.len() > 12);
    for pattern in found {
        Regex::new(&pattern).unwrap_or_else(|e| panic!("{pattern}: {e}"));
    }
}

#[test]
fn what_the_grammar_includes_is_there() {
    let grammar = json(GRAMMAR);
    for pattern in grammar["patterns"].as_array().unwrap() {
        let name = pattern["include"].as_str().unwrap().trim_start_matches('#');
        assert!(grammar["repository"][name].is_object(), "{name}");
    }
}

/// The words of the group in a rule's pattern that holds `word`.
fn group(rule: &str, word: &str) -> BTreeSet<String> {
    let grammar = json(GRAMMAR);
    let pattern = grammar["repository"][rule]["match"].as_str().unwrap();
    let groups = pattern.split(['(', ')']);
    let words = groups.map(|g| g.split('|').map(str::to_string).collect::<BTreeSet<_>>());
    words.into_iter().find(|words| words.contains(word)).unwrap()
}

#[test]
fn the_grammar_knows_every_layer_and_section() {
    let kinds: BTreeSet<String> = vocabulary::kinds().map(|kind| kind.word.to_string()).collect();
    assert_eq!(group("layer", "conv"), kinds);
    let sections = vocabulary::SECTIONS.iter().map(|section| section.name.to_string());
    // Blocks and layers are no sections in the netc language.
    let sections = sections.filter(|name| !matches!(name.as_str(), "blocks" | "layers"));
    let missing: Vec<String> = sections.filter(|name| !group("section", "net").contains(name)).collect();
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn words_are_told_apart() {
    let grammar = json(GRAMMAR);
    let captures = |rule: &str, text: &str| -> Vec<String> {
        let pattern = Regex::new(grammar["repository"][rule]["match"].as_str().unwrap()).unwrap();
        let found =
            pattern.captures(text).map(|c| c.iter().skip(1).flatten().map(|m| m.as_str().to_string()).collect());
        found.unwrap_or_default()
    };
    assert_eq!(captures("layer", "conv conv1(96, 11)"), ["conv", "conv1"]);
    assert_eq!(captures("layer", "x -> relu"), ["->", "relu"]);
    assert_eq!(captures("layer", "convolution c(3)"), Vec::<String>::new());
    assert_eq!(captures("use", "residual stage1(width)"), ["residual", "stage1"]);
    assert_eq!(captures("block", "block residual(channels) {"), ["block", "residual"]);
    assert_eq!(captures("section", "input image [3, 8, 8]"), ["input", "image"]);
}
