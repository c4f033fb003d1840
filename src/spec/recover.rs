//! Reads YAML to its end, whatever stands in it.
//!
//! A mistake of syntax stays within its item: the smallest entry of a list around it, or else the smallest key with its
//! value, gives way to nothing, with all lines and places kept, and the rest is read. What was there is known to be
//! damaged, so that nothing is said of what may come of it.

use super::lines::Lines;
use super::yaml::{self, Stop};
use super::{Damage, Value, mistake, read};
use crate::diag::Diagnostic;
use crate::source::Span;
use std::cmp::Reverse;
use std::ops::Range;

/// Mistakes of syntax that are told of one text.
const MOST: usize = 20;
/// Bytes that the parser is given in all, once there are mistakes, to find where mistakes end and what mends them.
const EFFORT: usize = 16 << 20;

/// A text as far as it could be read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// What it holds, or `None` for nothing.
    pub tree: Option<Value>,
    /// What is wrong with it.
    pub problems: Vec<Diagnostic>,
    /// What could not be read.
    pub damage: Vec<Damage>,
    /// Whether there is no tree because of what is wrong.
    pub lost: bool,
}

/// Reads a text that starts at `offset` in the sources.
pub(super) fn read(text: &str, offset: u32) -> Reading {
    let mut reading = Reading::default();
    let mut whole = text.to_string();
    let mut trials = Trials { left: EFFORT };
    loop {
        trials.left = trials.left.saturating_sub(whole.len());
        let (at, kind) = match yaml::tree(&whole, offset) {
            Ok((tree, mut problems)) => {
                // Of what stands for a damaged item nothing is said.
                problems.retain(|d| d.labels.iter().all(|l| !reading.damage.iter().any(|d| d.touches(l.span))));
                reading.problems.append(&mut problems);
                reading.tree = tree;
                return reading;
            }
            Err(Stop::Limit(diagnostic)) => {
                reading.problems.push(*diagnostic);
                reading.lost = true;
                return reading;
            }
            Err(Stop::Syntax { at, kind }) => (at, kind),
        };
        let diagnostic = mistake::diagnose(&whole, at, offset, &kind, &mut trials);
        let place = diagnostic.span().map_or(at, |s| s.start.saturating_sub(offset) as usize);
        reading.problems.push(diagnostic);
        match isolate(&whole, offset, [place, at], &mut trials).filter(|_| reading.problems.len() < MOST) {
            Some((mended, damage)) => {
                whole = mended;
                reading.damage.push(damage);
            }
            None => {
                reading.lost = true;
                return reading;
            }
        }
    }
}

/// Reads a short text, as an argument, of which nothing is to be had if it is wrong.
pub(super) fn read_all(text: &str, offset: u32) -> Result<(Option<Value>, Vec<Diagnostic>), Box<Diagnostic>> {
    yaml::tree(text, offset).map_err(|stop| match stop {
        Stop::Limit(diagnostic) => diagnostic,
        Stop::Syntax { at, kind } => Box::new(mistake::diagnose(text, at, offset, &kind, &mut Trials { left: EFFORT })),
    })
}

/// Lets the parser try texts, as long as that takes no time.
pub(super) struct Trials {
    left: usize,
}

/// How far the parser gets, compared with a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// Not there.
    Short,
    /// There, but no further: what follows is wrong, or does not go with what stands before it.
    Barely,
    /// To the end or to another mistake, and how many bytes are left behind that.
    Past(Reverse<usize>),
}

impl Trials {
    /// How far the parser gets in a text.
    pub fn reach(&mut self, text: &str, place: usize) -> Reach {
        match self.left.checked_sub(text.len()) {
            Some(left) => self.left = left,
            None => return Reach::Short,
        }
        match yaml::stumbles(text) {
            None => Reach::Past(Reverse(0)),
            Some(at) if at < place => Reach::Short,
            Some(at) if text.get(place..at).is_some_and(|between| !between.trim().is_empty()) => {
                Reach::Past(Reverse(text.len() - at + 1))
            }
            Some(at) if text.get(at..).is_some_and(|rest| !rest.trim().is_empty()) => Reach::Barely,
            Some(_) => Reach::Short,
        }
    }
}

/// The text without the smallest item around one of the places with which the parser gets past it.
fn isolate(text: &str, offset: u32, places: [usize; 2], trials: &mut Trials) -> Option<(String, Damage)> {
    let lines = Lines::new(text);
    let starts = places.into_iter().filter_map(|place| lines.at(place.min(text.len())));
    for number in starts {
        let item = lines.around(number).find(|&i| lines.get(i).is_some_and(|line| line.is_item()));
        for number in lines.around(item.unwrap_or(number)) {
            let block = lines.block(number);
            let mut barely = None;
            for (i, (column, stand_in)) in stand_ins(&lines, number).into_iter().enumerate() {
                let Some(mended) = replaced(text, &block, column, &stand_in) else { continue };
                let reach = trials.reach(&mended, block.end);
                if reach == Reach::Short || reach == Reach::Barely && barely.is_some() {
                    continue;
                }
                let found = (mended, damage(text, &lines, number, block.clone(), offset, stand_in.starts_with('-')));
                // Where it is what stood there, what follows is wrong.
                if matches!(reach, Reach::Past(_)) || i == 0 {
                    return Some(found);
                }
                barely = Some(found);
            }
            if barely.is_some() {
                return barely;
            }
        }
    }
    None
}

/// What may stand for the item of a line, and in which column.
fn stand_ins(lines: &Lines<'_>, number: usize) -> Vec<(usize, String)> {
    let Some(line) = lines.get(number) else { return Vec::new() };
    let mut columns = vec![line.indent()];
    let near = lines.before(number).into_iter().flat_map(|i| lines.around(i)).chain(lines.behind(number));
    columns.extend(near.filter_map(|i| lines.get(i)).map(|line| line.indent()));
    let word = line.word();
    let key = if word.is_empty() { "?".to_string() } else { format!("{word}:") };
    // With a text in quotes there, what follows cannot be taken for it.
    let value = |key: &str| format!("{key} \"\"");
    let beside = |i: usize| lines.get(i).is_some_and(|other| other.is_item() && other.indent() <= line.indent());
    let among_items =
        lines.before(number).is_some_and(|i| lines.around(i).any(beside)) || lines.behind(number).is_some_and(beside);
    let section = line.indent() == 0 && read::is_section(word);
    let item = line.is_item() || among_items && !section;
    let kinds = if item { ["-", key.as_str()] } else { [key.as_str(), "-"] };
    let mut found: Vec<(usize, String)> = Vec::new();
    for kind in kinds {
        for &column in &columns {
            let known = found.iter().any(|(other, text)| *other == column && text.starts_with(kind));
            if !known && kind != "?" {
                found.push((column, value(kind)));
            }
            if !known {
                found.push((column, kind.to_string()));
            }
        }
    }
    found
}

/// The text with `stand_in` in a column of the line where a block starts, and blanks for the rest of the block.
fn replaced(text: &str, block: &Range<usize>, column: usize, stand_in: &str) -> Option<String> {
    let start = text[..block.start].rfind('\n').map_or(0, |n| n + 1);
    let blank = |c: char| if matches!(c, '\n' | '\r') { c.to_string() } else { " ".repeat(c.len_utf8()) };
    let mut blanks: String = text[start..block.end].chars().map(blank).collect();
    let place = column..column + stand_in.len();
    if blanks.get(place.clone())?.contains(['\n', '\r']) {
        return None;
    }
    blanks.replace_range(place, stand_in);
    Some(format!("{}{blanks}{}", &text[..start], &text[block.end..]))
}

fn damage(text: &str, lines: &Lines<'_>, number: usize, block: Range<usize>, offset: u32, item: bool) -> Damage {
    let span = |range: &Range<usize>| {
        let place = |at: usize| offset.saturating_add(u32::try_from(at).unwrap_or(u32::MAX));
        Span { start: place(range.start), end: place(range.end) }
    };
    let top = lines.around(number).last().unwrap_or(number);
    let section = lines.get(top).map_or("", |line| line.word()).to_string();
    let name = &text[block.clone()];
    let name = name.split_once("name:").map_or("", |(_, rest)| rest.trim_start().trim_start_matches(['"', '\'']));
    let length = name.find(|c: char| !(c.is_ascii_alphanumeric() || "_.".contains(c))).unwrap_or(name.len());
    let within = if item { span(&block) } else { span(&lines.block(top)) };
    Damage { span: span(&block), within, section, item, name: name[..length].to_string() }
}
