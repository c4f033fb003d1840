//! What fixes do: each is carried out on the text that it is offered for, and the text is checked again.

use super::edits::{Slip, slip, without_comments};
use super::{Good, checked, specs};
use netc::diag::{Applicability, Code, Diagnostic, Fix, Severity, apply};
use netc::driver;
use netc_runtime::random::Stream;
use std::path::PathBuf;

/// Texts with slips whose fixes are tried one by one.
const CASES: usize = 400;
/// Texts with slips that `check --fix` works on.
const MENDED: usize = 80;

/// Words of netc and what people who know other tools write for them.
const FOREIGN: &[(&str, &str)] = &[
    ("kernels:", "filters:"),
    ("kernels:", "out_channels:"),
    ("kernel_size:", "ksize:"),
    ("kernel_size:", "kernel:"),
    ("stride:", "strides:"),
    ("padding:", "pad:"),
    ("groups:", "group:"),
    ("features:", "units:"),
    ("size:", "local_size:"),
    ("p:", "prob:"),
    ("lr:", "learning_rate:"),
    ("weight_decay:", "decay:"),
    ("batch:", "batch_size:"),
    ("epochs:", "num_epochs:"),
    ("loss:", "criterion:"),
    ("optimizer:", "solver:"),
    ("schedule:", "lr_policy:"),
    ("mean:", "mu:"),
    ("std:", "sigma:"),
    ("crop:", "crop_size:"),
    ("flip:", "mirror:"),
    ("resize:", "size:"),
    ("shape:", "dims:"),
    ("true", "yes"),
    ("false", "off"),
    ("same", "SAME"),
    ("cross_entropy", "nll"),
    ("maxpool", "MaxPool2d"),
    ("linear", "dense"),
    ("conv", "Conv2d"),
    ("net", "net:"),
];

/// The text with a word of another tool, or with a number written in another way.
fn foreign(text: &str, random: &mut Stream) -> Option<String> {
    let code = without_comments(text);
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let apart = |at: usize, end: usize| {
        !code[..at].ends_with(word) && (code[..end].ends_with(':') || !code[end..].starts_with(word))
    };
    if random.below(3) == 0 {
        let numbers: Vec<(usize, &str)> = code
            .match_indices(|c: char| c.is_ascii_digit())
            .filter(|&(at, _)| !code[..at].ends_with(|c: char| word(c) || c == '.' || c == '-'))
            .map(|(at, _)| (at, code[at..].split(|c: char| !(word(c) || c == '.')).next().unwrap_or("")))
            .filter(|(_, number)| number.parse::<f64>().is_ok())
            .collect();
        let &(at, number) = numbers.get(random.below(numbers.len().max(1) as u32) as usize)?;
        let other = match random.below(3) {
            0 => format!("\"{number}\""),
            1 => format!("{number}.0"),
            _ => format!("-{number}"),
        };
        return Some(format!("{}{other}{}", &text[..at], &text[at + number.len()..]));
    }
    let (own, other) = FOREIGN[random.below(FOREIGN.len() as u32) as usize];
    let places: Vec<usize> =
        code.match_indices(own).map(|(at, _)| at).filter(|&at| apart(at, at + own.len())).collect();
    let at = *places.get(random.below(places.len().max(1) as u32) as usize)?;
    Some(format!("{}{other}{}", &text[..at], &text[at + own.len()..]))
}

/// The text after one edit that a person could make.
fn edited(good: &Good, text: &str, random: &mut Stream) -> Option<String> {
    if random.below(3) == 0 {
        return foreign(text, random);
    }
    let kind = Slip::ALL[random.below(Slip::ALL.len() as u32) as usize];
    slip(text, good.name.ends_with(".yaml"), kind, random).map(|slipped| slipped.text).filter(|new| new != text)
}

fn problems(name: &str, text: &str) -> Vec<Diagnostic> {
    match checked(name, text).1 {
        Ok((_, warnings)) => warnings,
        Err(problems) => problems,
    }
}

fn of_syntax(problem: &Diagnostic) -> bool {
    matches!(problem.code, Code::InvalidYaml | Code::InvalidSyntax | Code::TooMuch)
}

/// What `after` has more of than `before`: of diagnostics that say the same.
fn new<'a>(before: &[Diagnostic], after: &'a [Diagnostic]) -> Vec<&'a Diagnostic> {
    let like = |all: &[Diagnostic], one: &Diagnostic| {
        all.iter().filter(|d| d.code == one.code && d.message == one.message).count()
    };
    after.iter().filter(|one| like(after, one) > like(before, one)).collect()
}

/// What is wrong with a fix of `problem`, one of `before`; `None` if nothing is or it is of another file.
fn judge(good: &Good, text: &str, before: &[Diagnostic], problem: &Diagnostic, fix: &Fix) -> Option<String> {
    let fixed = apply(text, fix)?;
    let after = problems(&good.name, &fixed);
    let same = |p: &&Diagnostic| p.code == problem.code && p.message == problem.message;
    let wrong = if after.iter().filter(same).count() >= before.iter().filter(same).count() {
        "leaves what it is offered for"
    } else if let Some(worse) = new(before, &after).iter().find(|d| of_syntax(d)) {
        return Some(told(good, problem, fix, text, &fixed, &format!("cannot be read: {}", worse.message)));
    } else if let (Applicability::Sure, Some(worse)) =
        (fix.applicability, new(before, &after).iter().find(|d| d.severity == Severity::Error))
    {
        return Some(told(good, problem, fix, text, &fixed, &format!("is sure, but brings: {}", worse.message)));
    } else {
        return None;
    };
    Some(told(good, problem, fix, text, &fixed, wrong))
}

fn told(good: &Good, problem: &Diagnostic, fix: &Fix, text: &str, fixed: &str, wrong: &str) -> String {
    let lines = |of: &str, other: &str| {
        let gone: Vec<&str> = of.lines().filter(|line| !other.lines().any(|l| l == *line)).take(6).collect();
        gone.join("\n    ")
    };
    let (name, code, message) = (&good.name, problem.code, &problem.message);
    format!(
        "{name}: {code}: {message}: the fix `{}` {wrong}\n  slip\n    {}\n  fixed\n    {}\n",
        fix.title,
        lines(text, &good.text),
        lines(fixed, text)
    )
}

#[test]
fn every_fix_removes_what_it_is_offered_for() {
    let specs = specs();
    let mut random = Stream::new(1998, [2, 0, 0]);
    let (mut cases, mut sure, mut offered) = (0, 0, 0);
    let mut wrong = Vec::new();
    while cases < CASES {
        let good = &specs[random.below(specs.len() as u32) as usize];
        let Some(text) = edited(good, &good.text, &mut random) else { continue };
        cases += 1;
        let before = problems(&good.name, &text);
        for problem in &before {
            for fix in &problem.fixes {
                match fix.applicability {
                    Applicability::Sure => sure += 1,
                    Applicability::Maybe => offered += 1,
                }
                wrong.extend(judge(good, &text, &before, problem, fix));
            }
        }
    }
    println!("{sure} sure fixes and {offered} others of {cases} texts");
    assert!(sure >= CASES / 12 && offered >= CASES / 2, "{sure} sure fixes, {offered} others");
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

/// A copy of the folder of specs, which may be written to.
fn copies() -> PathBuf {
    let folder = std::env::temp_dir().join(format!("netc-mended-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("parts")).unwrap();
    for from in ["specs", "specs/parts"] {
        let to = if from == "specs" { folder.clone() } else { folder.join("parts") };
        for entry in std::fs::read_dir(from).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
            }
        }
    }
    folder
}

#[test]
fn mending_a_file_ends_and_leaves_nothing_sure() {
    let specs = specs();
    let folder = copies();
    let mut random = Stream::new(1998, [3, 0, 0]);
    let (mut cases, mut done) = (0, 0);
    while cases < MENDED {
        let good = &specs[random.below(specs.len() as u32) as usize];
        let mut text = good.text.clone();
        for _ in 0..=random.below(4) {
            if let Some(new) = foreign(&text, &mut random) {
                text = new;
            }
        }
        if random.below(3) == 0
            && let Some(new) = edited(good, &text, &mut random)
        {
            text = new;
        }
        if text == good.text {
            continue;
        }
        cases += 1;
        let path = folder.join(good.name.trim_start_matches("specs/"));
        let name = path.to_str().unwrap();
        std::fs::write(&path, &text).unwrap();
        let before = problems(name, &text);
        let Ok(mended) = driver::mend(&path) else { panic!("{name} cannot be mended:\n{text}") };
        done += mended.len();
        let once = std::fs::read_to_string(&path).unwrap();
        let after = problems(name, &once);
        let left = after.iter().find(|d| d.fixes.iter().any(|f| f.applicability == Applicability::Sure));
        assert!(left.is_none(), "{left:?} is left of\n{text}\n{once}");
        let worse = new(&before, &after).into_iter().find(|d| of_syntax(d));
        assert!(worse.is_none(), "{worse:?} is new:\n{text}\n{once}");
        assert_eq!(mended.is_empty(), once == text, "{name}");
        let Ok(again) = driver::mend(&path) else { panic!("{name} cannot be mended again:\n{once}") };
        assert!(again.is_empty() && std::fs::read_to_string(&path).unwrap() == once, "{name} is mended twice");
    }
    println!("{done} fixes carried out in {cases} texts");
    assert!(done >= MENDED / 2, "{done} fixes carried out");
    std::fs::remove_dir_all(folder).unwrap();
}
