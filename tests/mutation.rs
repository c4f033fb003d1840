//! How well slips are found: each spec of `specs/`, in both syntaxes, with one random slip that a person could make.
//!
//! Of what the slip breaks, how much is reported on its line or on the layer that reads it; of the shapes that no longer
//! fit, how often the number that stood there is among the fixes. Run with `--nocapture` for the table, with
//! `MISSED=1` for the cases that fall short.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its input must fail")]
#![allow(clippy::print_stdout, reason = "the table is what the study is for")]

#[path = "mutation/edits.rs"]
mod edits;
#[path = "mutation/fixes.rs"]
mod fixes;

use edits::{Slip, Slipped, slip};
use netc::check::{self, LayerKind, Network};
use netc::diag::{Code, Diagnostic, Severity, Style, apply, render};
use netc::source::Sources;
use netc::{driver, spec};
use std::collections::{BTreeMap, BTreeSet};

/// Slips tried.
const CASES: usize = 1000;
/// Percent of what is broken that must be reported where the slip is.
const LOCATED: usize = 97;
/// Percent of the shapes broken by a wrong number that a fix must give back.
const REPAIRED: usize = 80;

/// What says that shapes do not fit.
const SHAPES: [Code; 8] = [
    Code::InexactSize,
    Code::ShapeMismatch,
    Code::GroupMismatch,
    Code::WindowTooLarge,
    Code::PaddingTooLarge,
    Code::ClassCount,
    Code::ChannelCount,
    Code::PreprocessSize,
];

/// A spec that is right.
struct Good {
    name: String,
    text: String,
    network: Network,
    /// Lines of the layers that read what a line says, by that line.
    readers: BTreeMap<usize, BTreeSet<usize>>,
}

#[derive(Default, Clone, Copy)]
struct Count {
    cases: usize,
    broken: usize,
    located: usize,
    first: usize,
    errors: usize,
    shapes: usize,
    repaired: usize,
}

#[test]
fn slips_are_found_where_they_are() {
    let specs = specs();
    let mut random = netc_runtime::random::Stream::new(2012, [1, 0, 0]);
    let mut counts: BTreeMap<Slip, Count> = BTreeMap::new();
    let mut done = 0;
    let mut turn = 0;
    while done < CASES {
        let kind = Slip::ALL[turn % Slip::ALL.len()];
        let good = &specs[random.below(specs.len() as u32) as usize];
        turn += 1;
        let yaml = good.name.ends_with(".yaml");
        let Some(slipped) = slip(&good.text, yaml, kind, &mut random).filter(|s| s.text != good.text) else { continue };
        done += 1;
        judge(good, kind, &slipped, counts.entry(kind).or_default());
    }
    let total = counts.values().fold(Count::default(), |a, b| a.plus(b));
    println!("{}", table(&counts, &total));
    assert_eq!(total.cases, CASES);
    assert!(total.broken > CASES / 2, "{} broken", total.broken);
    assert!(total.located * 100 >= total.broken * LOCATED, "{} of {} located", total.located, total.broken);
    assert!(total.repaired * 100 >= total.shapes * REPAIRED, "{} of {} repaired", total.repaired, total.shapes);
}

fn specs() -> Vec<Good> {
    let mut names: Vec<String> = std::fs::read_dir("specs")
        .unwrap()
        .map(|entry| entry.unwrap().path().to_str().unwrap().to_owned())
        .filter(|name| name.ends_with(".yaml") || name.ends_with(".netc"))
        .collect();
    names.sort();
    names.into_iter().map(good).collect()
}

fn good(name: String) -> Good {
    let text = std::fs::read_to_string(&name).unwrap();
    let (sources, found) = checked(&name, &text);
    let (network, _) = found.unwrap();
    let mut readers: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for (reader, layer) in network.layers() {
        let to = lines(&sources, layer.span);
        let mut before = network.inputs(reader);
        while let Some(id) = before.pop() {
            let source = network.layer(id);
            for line in lines(&sources, source.span) {
                readers.entry(line).or_default().extend(&to);
            }
            // These have the size of what they read, so that who reads them reads that.
            if passes_sizes_on(&source.kind) {
                before.extend(network.inputs(id));
            }
        }
    }
    Good { name, text, network, readers }
}

fn passes_sizes_on(kind: &LayerKind) -> bool {
    matches!(
        kind,
        LayerKind::Relu
            | LayerKind::Sigmoid
            | LayerKind::Tanh
            | LayerKind::Lrn { .. }
            | LayerKind::Dropout { .. }
            | LayerKind::BatchNorm { .. }
            | LayerKind::Softmax
    )
}

type Found = Result<(Network, Vec<Diagnostic>), Vec<Diagnostic>>;

fn checked(name: &str, text: &str) -> (Sources, Found) {
    let mut sources = Sources::new();
    let mut spec = spec::parse(&mut sources, name, text);
    spec::include(&mut spec, &mut sources, &mut driver::included);
    let found = check::check(&spec);
    (sources, found)
}

/// Lines of the first file that a span covers, from 0.
fn lines(sources: &Sources, span: netc::source::Span) -> BTreeSet<usize> {
    let file = &sources.files()[0];
    if sources.file(span).is_none_or(|f| f.name != file.name) {
        return BTreeSet::new();
    }
    let range = file.range(span);
    (file.position(range.start).line - 1..file.position(range.end).line).collect()
}

fn judge(good: &Good, kind: Slip, slipped: &Slipped, count: &mut Count) {
    count.cases += 1;
    let (sources, found) = checked(&good.name, &slipped.text);
    let Err(problems) = found else { return };
    let errors: Vec<&Diagnostic> = problems.iter().filter(|d| d.severity == Severity::Error).collect();
    count.broken += 1;
    count.errors += errors.len();
    let moved = |line: usize| match slipped.old.iter().all(|&old| line > old) {
        true => line.saturating_add_signed(slipped.shift),
        false => line,
    };
    let readers: BTreeSet<usize> =
        slipped.old.iter().filter_map(|line| good.readers.get(line)).flatten().map(|&line| moved(line)).collect();
    let at = |d: &Diagnostic| {
        let primary = d.span().map(|s| sources.position(s).map_or(0, |p| p.1.line - 1));
        let shown = d.labels.iter().filter_map(|l| sources.position(l.span)).map(|p| p.1.line - 1);
        shown.into_iter().any(|line| slipped.new.contains(&line)) || primary.is_some_and(|line| readers.contains(&line))
    };
    let located = errors.iter().any(|d| at(d));
    count.located += usize::from(located);
    count.first += usize::from(errors.first().is_some_and(|d| at(d)));
    let mut repaired = true;
    if kind == Slip::WrongNumber && errors.iter().any(|d| SHAPES.contains(&d.code)) {
        repaired = gives_back(good, &slipped.text, &problems);
        count.shapes += 1;
        count.repaired += usize::from(repaired);
    }
    if std::env::var_os("MISSED").is_some() && !(located && repaired) {
        let why = if located { "NOT REPAIRED" } else { "NOT LOCATED" };
        let slips: Vec<_> = slipped.new.iter().map(|&n| (n + 1, slipped.text.lines().nth(n).unwrap_or(""))).collect();
        println!("{why} {kind:?} {} {slips:?}\n{}", good.name, render(&problems, &sources, Style::Plain));
    }
}

/// Whether one of the fixes gives back the network as it was.
fn gives_back(good: &Good, text: &str, problems: &[Diagnostic]) -> bool {
    problems.iter().flat_map(|d| &d.fixes).any(|fix| {
        let Some(fixed) = apply(text, fix) else { return false };
        if fixed == good.text {
            return true;
        }
        let same = |network: &Network| check::print(network) == check::print(&good.network);
        checked(&good.name, &fixed).1.is_ok_and(|(network, _)| same(&network))
    })
}

impl Count {
    fn plus(&self, other: &Count) -> Count {
        Count {
            cases: self.cases + other.cases,
            broken: self.broken + other.broken,
            located: self.located + other.located,
            first: self.first + other.first,
            errors: self.errors + other.errors,
            shapes: self.shapes + other.shapes,
            repaired: self.repaired + other.repaired,
        }
    }
}

fn table(counts: &BTreeMap<Slip, Count>, total: &Count) -> String {
    let share = |part: usize, of: usize| match of {
        0 => String::new(),
        of => format!("{:.0} %", 100.0 * part as f64 / of as f64),
    };
    let mut text = format!(
        "{:18}{:>7}{:>8}{:>9}{:>13}{:>14}{:>8}{:>10}\n",
        "slip", "cases", "broken", "located", "by the first", "errors a case", "shapes", "repaired"
    );
    let names = counts.iter().map(|(kind, count)| (format!("{kind:?}"), count));
    for (name, c) in names.chain([("all".to_owned(), total)]) {
        text += &format!(
            "{name:18}{:>7}{:>8}{:>9}{:>13}{:>14.1}{:>8}{:>10}\n",
            c.cases,
            c.broken,
            share(c.located, c.broken),
            share(c.first, c.broken),
            c.errors as f64 / c.broken.max(1) as f64,
            c.shapes,
            share(c.repaired, c.shapes)
        );
    }
    text
}
