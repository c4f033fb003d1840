//! The vocabulary says of each setting what the checker does: its key, its words, its default, its bounds. And the
//! documentation says the same.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its input must fail")]

use netc::check::vocabulary::{self, Bounds, Default, Form, LAYER_SETTINGS, SECTIONS, Setting, With, Word};
use netc::diag::{Code, Diagnostic};
use std::collections::BTreeSet;

/// A key and a word that mean nothing and resemble nothing.
const NONSENSE: &str = "qqqqqqqqqqqqqqqq";

/// Puts a value at a place of an otherwise right spec.
type Place<'a> = &'a dyn Fn(&str) -> String;

/// The network as text, or what is wrong.
fn check(text: &str) -> Result<String, Vec<Diagnostic>> {
    netc::check::network_from_text("t.yaml", text).map(|(network, _)| netc::check::print(&network))
}

#[track_caller]
fn fine(text: &str) -> String {
    check(text).unwrap_or_else(|problems| panic!("{text}\n{problems:#?}"))
}

/// The words in backticks of the note that begins with `start`.
#[track_caller]
fn listed(text: &str, start: &str) -> BTreeSet<String> {
    let problems = check(text).expect_err(text);
    let note = problems.iter().flat_map(|d| &d.notes).find(|note| note.starts_with(start));
    let note = note.unwrap_or_else(|| panic!("no note `{start}` on\n{text}\n{problems:#?}"));
    note.split('`').skip(1).step_by(2).map(str::to_string).collect()
}

fn names(settings: &[Setting]) -> BTreeSet<String> {
    settings.iter().map(|s| s.name.to_string()).collect()
}

/// A value that is right almost everywhere.
fn sample(form: &Form) -> String {
    match form {
        Form::Whole(..) => "1".to_string(),
        Form::Number(_) => "0.5".to_string(),
        Form::Flag => "true".to_string(),
        Form::Text => "text".to_string(),
        Form::Layer => "image".to_string(),
        Form::Words(words) => words[0].text.to_string(),
        Form::Choice(words) => with(&words[0]),
        Form::Settings(settings) => format!("{{{}}}", required(settings, "")),
        Form::List(of, lengths) => format!("[{}]", vec![sample(of); lengths.least.max(1)].join(", ")),
        Form::Either(forms) => sample(&forms[0]),
        Form::Named(of) => format!("{{one: {}}}", sample(of)),
        Form::Layers => "[relu]".to_string(),
        Form::Any => "1".to_string(),
    }
}

/// A word with what must stand with it.
fn with(word: &Word) -> String {
    match word.with {
        With::Settings(settings) if !word.alone() => format!("{{{}: {{{}}}}}", word.text, required(settings, "")),
        With::Value(form) => format!("{{{}: {}}}", word.text, sample(form)),
        With::Nothing | With::Settings(_) => word.text.to_string(),
    }
}

/// The settings that must be there but for `except`, each followed by a comma.
fn required(settings: &[Setting], except: &str) -> String {
    let needed = settings.iter().filter(|s| s.default == Default::Required && s.name != except);
    needed.map(|s| format!("{}: {}, ", s.name, sample(&s.form))).collect()
}

/// Compares settings with what the checker asks for when they stand, in braces, at `place`. `further`: keys known there
/// besides.
fn settings(settings: &[Setting], further: &[Setting], place: Place) {
    let all = required(settings, "");
    let mut expected = names(settings);
    expected.extend(names(further));
    if expected.is_empty() {
        return;
    }
    assert_eq!(listed(&place(&format!("{{{all}{NONSENSE}: 1}}")), "its settings are"), expected);
    let plain = fine(&place(&format!("{{{all}}}")));
    for setting in settings {
        let others = required(settings, setting.name);
        let at = |value: &str| place(&format!("{{{others}{}: {value}}}", setting.name));
        match setting.default {
            Default::Value(value) => assert_eq!(fine(&at(value)), plain, "{} defaults to {value}", setting.name),
            Default::Described(_) => {}
            Default::Required => {
                let problems = check(&place(&format!("{{{others}}}"))).expect_err(setting.name);
                assert!(problems.iter().any(|d| d.code == Code::MissingKey), "{}: {problems:#?}", setting.name);
            }
        }
        if setting.name != "from" {
            form(setting.name, &setting.form, &at);
        }
    }
}

/// Whether a value is refused for its size.
fn out_of_range(text: &str) -> bool {
    let refused = |d: &Diagnostic| matches!(d.code, Code::OutOfRange | Code::SizeLimit);
    check(text).is_err_and(|problems| problems.iter().any(refused))
}

/// Compares the form of the setting called `key` with what the checker takes at `place`.
fn form(key: &str, form: &Form, place: Place) {
    match form {
        Form::Whole(least, most) => {
            assert!(out_of_range(&place(&(*least as i64 - 1).to_string())), "{key} below {least}");
            assert!(out_of_range(&place(&(most + 1).to_string())), "{key} above {most}");
            assert!(!out_of_range(&place(&least.to_string())), "{key} {least}");
        }
        // `low` and `high` bound each other.
        Form::Number(Bounds::Finite) => assert!(!out_of_range(&place("0.5")), "{key}"),
        Form::Number(bounds) => {
            for x in [-1.0, 0.0, 0.5, 1.0, 2.0] {
                assert_eq!(out_of_range(&place(&format!("{x:?}"))), !bounds.holds(x), "{key}: {x}");
            }
        }
        Form::Flag => known(key, &place("true")),
        Form::Words(words) | Form::Choice(words) => choice(key, words, place),
        Form::Settings(inner) => settings(inner, &[], place),
        Form::List(of, lengths) => {
            let count = lengths.least.max(1);
            self::form(key, of, &|value| place(&format!("[{}]", vec![value; count].join(", "))));
        }
        Form::Either(forms) => forms.iter().for_each(|form| self::form(key, form, place)),
        Form::Text | Form::Layer | Form::Named(_) | Form::Layers | Form::Any => {}
    }
}

/// Whether a value is known, though it may not suit what stands around it.
#[track_caller]
fn known(key: &str, text: &str) {
    let problems = check(text).err().unwrap_or_default();
    let unknown = |d: &&Diagnostic| matches!(d.code, Code::UnknownWord | Code::WrongType | Code::MissingKey);
    assert_eq!(problems.iter().find(unknown), None, "{key} in\n{text}");
}

fn choice(key: &str, words: &[Word], place: Place) {
    let problems = check(&place(NONSENSE)).expect_err(key);
    let lists = problems.iter().flat_map(|d| &d.notes).any(|note| note.starts_with("possible are"));
    // Where a number may stand too, the message lists no words.
    if lists {
        let known: BTreeSet<String> = words.iter().map(|w| w.text.to_string()).collect();
        for word in listed(&place(NONSENSE), "possible are").difference(&known) {
            let problems = check(&place(word)).expect_err(word);
            assert!(problems.iter().any(|d| d.code == Code::InitMismatch), "{key}: {word} is missing: {problems:#?}");
        }
    }
    for word in words {
        match word.with {
            With::Nothing => {}
            With::Settings(inner) => settings(inner, &[], &|map| place(&format!("{{{}: {map}}}", word.text))),
            With::Value(inner) => form(key, inner, &|value| place(&format!("{{{}: {value}}}", word.text))),
        }
        known(key, &place(&with(word)));
    }
}

#[test]
fn layers_take_what_the_vocabulary_says() {
    for kind in vocabulary::kinds() {
        let before = match kind.inputs {
            vocabulary::Inputs::One => "",
            vocabulary::Inputs::Many => "  - conv: {name: image2, kernels: 4, kernel_size: 1}\n",
        };
        let from = if before.is_empty() { "" } else { "from: [image, image2], " };
        settings(kind.settings, LAYER_SETTINGS, &|map| {
            let word = kind.word;
            let map = map.replacen('{', &format!("{{{from}"), 1);
            format!("net: t\ninput: {{name: image, shape: [4, 8, 8]}}\nlayers:\n{before}  - {word}: {map}\n")
        });
    }
}

#[test]
fn sections_take_what_the_vocabulary_says() {
    let spec = |name: &str, value: &str| -> String {
        let standing = [
            ("net", "t"),
            ("input", "{name: input, shape: [3, 8, 8]}"),
            ("layers", "[conv: {kernels: 4, kernel_size: 1}, batchnorm, linear: {features: 3}]"),
            ("train", "{loss: mse, optimizer: {sgd: {lr: 0.1, momentum: 0.5}}, batch: 2, epochs: 2}"),
        ];
        let others = standing.iter().filter(|(section, _)| *section != name);
        let others: String = others.map(|(section, value)| format!("{section}: {value}\n")).collect();
        format!("{others}{name}: {value}\n")
    };
    let known = listed(&spec(NONSENSE, "1"), "sections are");
    assert_eq!(known, names(SECTIONS));
    for section in SECTIONS {
        // Any number of class names fits only networks with as many results, and no letters are bounds.
        if let Form::Settings(inner) = section.form {
            let preprocessed = section.name == "preprocess";
            settings(inner, &[], &|map| {
                let mut text = spec(section.name, map);
                // Cropping and resizing must give the input's size.
                if preprocessed && map.contains("resize: 1}") || map.contains("resize: [1, 1]}") {
                    text = text.replace("3, 8, 8", "3, 1, 1");
                }
                text
            });
        }
        if section.default == Default::Required {
            let all: String =
                SECTIONS.iter().map(|s| s.name).filter(|s| *s != section.name).map(sample_section).collect();
            let problems = check(&all).expect_err(section.name);
            assert!(problems.iter().any(|d| d.code == Code::MissingKey), "{}: {problems:#?}", section.name);
        }
    }
}

fn sample_section(name: &str) -> String {
    let value = match name {
        "net" => "t",
        "input" => "{shape: [3]}",
        "layers" => "[relu]",
        _ => return String::new(),
    };
    format!("{name}: {value}\n")
}

#[test]
fn blocks_take_what_the_vocabulary_says() {
    let [params, layers] = vocabulary::BLOCK_SETTINGS else { panic!("a block has two settings") };
    let body = format!(
        "{{{}: {}, {}: [conv: {{kernels: one, kernel_size: 1}}]}}",
        params.name,
        sample(&params.form),
        layers.name
    );
    let uses: Vec<String> =
        vocabulary::USE_SETTINGS.iter().map(|s| format!("{}: {}", s.name, sample(&s.form))).collect();
    let uses = uses.join(", ");
    fine(&format!(
        "net: t\ninput: {{name: image, shape: [3, 8, 8]}}\nblocks: {{b: {body}}}\nlayers: [b: {{{uses}}}]\n"
    ));
}

/// The settings of a row of the documentation's table with their defaults: words in backticks, each followed by its
/// default in parentheses if it has one.
fn documented(cell: &str) -> Vec<(String, Option<String>)> {
    let parts: Vec<&str> = cell.split('`').collect();
    let pairs = parts.iter().skip(1).step_by(2).zip(parts.iter().skip(2).step_by(2));
    pairs
        .map(|(name, after)| {
            let default = after.trim_start().strip_prefix('(').and_then(|rest| rest.split_once(')')).map(|(d, _)| d);
            (name.to_string(), default.map(str::to_string))
        })
        .collect()
}

#[test]
fn the_documented_table_of_layers_is_the_vocabulary() {
    let text = include_str!("../specs/README.md");
    let rows = text.lines().skip_while(|l| !l.starts_with("| layer |")).skip(2).take_while(|l| l.starts_with('|'));
    let mut documented_kinds = BTreeSet::new();
    let mut above = Vec::new();
    for row in rows {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        let mut settings = documented(cells[1]);
        if cells[1].contains("the same and") {
            settings.splice(0..0, above.clone());
        }
        settings.retain(|(name, _)| LAYER_SETTINGS.iter().all(|s| s.name != name));
        for word in cells[0].split('`').skip(1).step_by(2) {
            let kind = vocabulary::kind(word).unwrap_or_else(|| panic!("`{word}` is no layer"));
            documented_kinds.insert(word);
            let said: BTreeSet<&str> = settings.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(said, kind.settings.iter().map(|s| s.name).collect(), "{word}");
            for (name, default) in &settings {
                let setting = kind.settings.iter().find(|s| s.name == name).unwrap();
                match setting.default {
                    Default::Value(value) => {
                        let usual = default.as_deref().unwrap_or("as PARAM_SETTINGS say");
                        let multiplier = matches!(setting.name, "lr_mult" | "decay_mult");
                        assert!(multiplier || usual == value, "{word}: {name} ({usual}), but it is {value}");
                    }
                    Default::Required => assert_eq!(default, &None, "{word}: {name}"),
                    Default::Described(said) => assert!(default.as_deref().is_none_or(|d| d == said), "{word}: {name}"),
                }
            }
        }
        above = settings;
    }
    assert_eq!(documented_kinds, vocabulary::kinds().map(|k| k.word).collect());
}

#[test]
fn descriptions_are_single_sentences() {
    fn all(settings: &'static [Setting], texts: &mut Vec<&'static str>) {
        for setting in settings {
            texts.push(setting.about);
            if let Form::Settings(inner) = setting.form {
                all(inner, texts);
            }
        }
    }
    let mut texts: Vec<&str> = vocabulary::kinds().map(|k| k.about).collect();
    vocabulary::kinds().for_each(|k| all(k.settings, &mut texts));
    all(SECTIONS, &mut texts);
    for text in texts {
        assert!(!text.is_empty() && !text.ends_with('.') && !text.contains('\n'), "{text}");
    }
}
