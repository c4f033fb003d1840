//! Slips that people make in a text, each at a random place.

use netc_runtime::random::Stream;
use std::collections::BTreeSet;
use std::ops::Range;

/// A kind of slip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Slip {
    TypoInKey,
    TypoInWord,
    TypoInName,
    WrongNumber,
    MissingBracket,
    ExtraBracket,
    MissingComma,
    MissingColon,
    MissingSpace,
    MissingDash,
    MissingQuote,
    WrongIndent,
    Tab,
    SwappedLines,
    DeletedLine,
    DuplicatedLine,
    DeletedCharacter,
}

impl Slip {
    /// Every kind, those that people make most several times.
    pub const ALL: &'static [Slip] = &[
        Slip::TypoInKey,
        Slip::WrongNumber,
        Slip::TypoInWord,
        Slip::WrongNumber,
        Slip::TypoInName,
        Slip::MissingBracket,
        Slip::WrongNumber,
        Slip::ExtraBracket,
        Slip::MissingComma,
        Slip::MissingColon,
        Slip::WrongNumber,
        Slip::MissingSpace,
        Slip::MissingDash,
        Slip::MissingQuote,
        Slip::WrongIndent,
        Slip::WrongNumber,
        Slip::Tab,
        Slip::SwappedLines,
        Slip::DeletedLine,
        Slip::DuplicatedLine,
        Slip::DeletedCharacter,
    ];
}

/// A text after a slip.
#[derive(Debug, Clone)]
pub struct Slipped {
    pub text: String,
    /// Lines of the old text that the slip was in, from 0.
    pub old: BTreeSet<usize>,
    /// Lines of the new text where it can be seen: the edited ones, or those beside a deleted one.
    pub new: BTreeSet<usize>,
    /// Lines of the new text less lines of the old one, behind the slip.
    pub shift: isize,
}

/// The text after a slip of this kind; `None` if there is no place for one.
pub fn slip(text: &str, yaml: bool, kind: Slip, random: &mut Stream) -> Option<Slipped> {
    match kind {
        Slip::SwappedLines => swap(text, random),
        Slip::DeletedLine => delete(text, random),
        Slip::DuplicatedLine => duplicate(text, random),
        Slip::WrongIndent | Slip::Tab if !yaml => None,
        Slip::MissingDash if !yaml => None,
        _ => replace(text, kind, random),
    }
}

/// A slip within a line.
fn replace(text: &str, kind: Slip, random: &mut Stream) -> Option<Slipped> {
    let places = places(text, kind);
    let place = pick(&places, random)?.clone();
    let word = &text[place.clone()];
    let new = match kind {
        Slip::TypoInKey | Slip::TypoInWord | Slip::TypoInName => typo(word, random)?,
        Slip::WrongNumber => number(word, random),
        Slip::ExtraBracket => word.repeat(2),
        Slip::Tab => "\t".to_owned(),
        Slip::WrongIndent => match random.below(4) {
            0 => word[1..].to_owned(),
            1 => word[2.min(word.len())..].to_owned(),
            2 => format!("{word} "),
            _ => format!("{word}  "),
        },
        _ => String::new(),
    };
    let line = text[..place.start].matches('\n').count();
    let text = format!("{}{new}{}", &text[..place.start], &text[place.end..]);
    Some(Slipped { text, old: BTreeSet::from([line]), new: BTreeSet::from([line]), shift: 0 })
}

/// Where a slip of this kind can happen.
fn places(text: &str, kind: Slip) -> Vec<Range<usize>> {
    let words = words(text);
    let code = without_comments(text);
    let signs =
        |of: &str| code.char_indices().filter(|&(_, c)| of.contains(c)).map(|(i, c)| i..i + c.len_utf8()).collect();
    let after = |at: usize| code[at..].trim_start_matches(' ').chars().next().unwrap_or('\n');
    let named = |at: usize| {
        let line = &code[code[..at].rfind('\n').map_or(0, |n| n + 1)..at];
        line.ends_with("name: ")
            || line.rfind("from").is_some_and(|n| !line[n..].contains(['}', ')']) && !line[n..].contains("->"))
    };
    match kind {
        Slip::TypoInKey => words.into_iter().filter(|w| w.len() > 2 && after(w.end) == ':').collect(),
        Slip::TypoInName => words.into_iter().filter(|w| w.len() > 2 && named(w.start)).collect(),
        Slip::TypoInWord => {
            words.into_iter().filter(|w| w.len() > 2 && after(w.end) != ':' && !named(w.start)).collect()
        }
        Slip::WrongNumber => numbers(&code),
        Slip::MissingBracket | Slip::ExtraBracket => signs("()[]{}"),
        Slip::MissingComma => signs(","),
        Slip::MissingColon => signs(":"),
        Slip::MissingQuote => signs("\"'"),
        Slip::MissingSpace => code.match_indices(": ").map(|(i, _)| i + 1..i + 2).collect(),
        Slip::MissingDash => {
            code.match_indices("- ").map(|(i, _)| i..i + 2).filter(|r| begins_line(&code, r.start)).collect()
        }
        Slip::WrongIndent | Slip::Tab => indents(&code),
        _ => code.char_indices().filter(|(_, c)| !c.is_whitespace()).map(|(i, c)| i..i + c.len_utf8()).collect(),
    }
}

fn begins_line(text: &str, at: usize) -> bool {
    text[..at].trim_end_matches(' ').chars().next_back().is_none_or(|c| c == '\n')
}

/// The spaces that indent a line, of lines that are.
fn indents(code: &str) -> Vec<Range<usize>> {
    let mut at = 0;
    let mut found = Vec::new();
    for line in code.split_inclusive('\n') {
        let indent = line.len() - line.trim_start_matches(' ').len();
        if indent > 0 && !line.trim().is_empty() {
            found.push(at..at + indent);
        }
        at += line.len();
    }
    found
}

/// The text with spaces for its comments.
pub fn without_comments(text: &str) -> String {
    text.split_inclusive('\n')
        .map(|line| match line.find('#').filter(|&at| at == 0 || line[..at].ends_with(' ')) {
            Some(at) => {
                let blank: String = line[at..]
                    .chars()
                    .map(|c| if c == '\n' { "\n".into() } else { " ".repeat(c.len_utf8()) })
                    .collect();
                format!("{}{blank}", &line[..at])
            }
            None => line.to_owned(),
        })
        .collect()
}

fn words(text: &str) -> Vec<Range<usize>> {
    runs(&without_comments(text), |c| c.is_ascii_alphanumeric() || c == '_')
        .into_iter()
        .filter(|w| text[w.start..].starts_with(|c: char| c.is_ascii_alphabetic()))
        .collect()
}

fn numbers(code: &str) -> Vec<Range<usize>> {
    runs(code, |c| c.is_ascii_alphanumeric() || c == '_' || c == '.')
        .into_iter()
        .filter(|w| code[w.clone()].parse::<f64>().is_ok() && code[w.start..].starts_with(|c: char| c.is_ascii_digit()))
        .collect()
}

fn runs(text: &str, of: impl Fn(char) -> bool) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    for (at, c) in text.char_indices().filter(|&(_, c)| of(c)) {
        match found.last_mut() {
            Some(last) if last.end == at => last.end = at + c.len_utf8(),
            _ => found.push(at..at + c.len_utf8()),
        }
    }
    found
}

/// Two letters swapped, one left out, doubled or another.
fn typo(word: &str, random: &mut Stream) -> Option<String> {
    let mut letters: Vec<char> = word.chars().collect();
    let at = random.below(letters.len() as u32) as usize;
    match random.below(4) {
        0 if at + 1 < letters.len() => letters.swap(at, at + 1),
        1 => drop(letters.remove(at)),
        2 => letters.insert(at, letters[at]),
        _ => letters[at] = char::from(b'a' + random.below(26) as u8),
    }
    Some(letters.into_iter().collect::<String>()).filter(|new| new != word)
}

/// Another number: one off, ten times, half or double, digits swapped.
fn number(word: &str, random: &mut Stream) -> String {
    let Ok(number) = word.parse::<i64>() else {
        return match random.below(3) {
            0 => format!("{word}0").replace('.', ""),
            1 => format!("-{word}"),
            _ => format!("1{word}"),
        };
    };
    match random.below(9) {
        0 => (number * 10).to_string(),
        1 if number > 1 => (number / 2).to_string(),
        2 => (number * 2).to_string(),
        3 if word.len() > 1 => word.chars().rev().collect::<String>().trim_start_matches('0').to_owned(),
        4 => (number + 2).to_string(),
        5 | 6 => (number + 1).to_string(),
        _ => (number - 1).to_string(),
    }
}

/// Numbers of the lines with something in them besides comments.
fn lines(text: &str) -> Vec<usize> {
    without_comments(text).lines().enumerate().filter(|(_, l)| !l.trim().is_empty()).map(|(i, _)| i).collect()
}

fn joined(lines: &[&str]) -> String {
    lines.concat()
}

fn swap(text: &str, random: &mut Stream) -> Option<Slipped> {
    let full = lines(text);
    let first = *pick(&full[..full.len().checked_sub(1)?], random)?;
    let second = *full.iter().find(|&&n| n > first)?;
    let mut parts: Vec<&str> = text.split_inclusive('\n').collect();
    parts.swap(first, second);
    let both = BTreeSet::from([first, second]);
    Some(Slipped { text: joined(&parts), old: both.clone(), new: both, shift: 0 })
}

fn delete(text: &str, random: &mut Stream) -> Option<Slipped> {
    let full = lines(text);
    let at = *pick(&full, random)?;
    let mut parts: Vec<&str> = text.split_inclusive('\n').collect();
    parts.remove(at);
    let before = full.iter().rev().find(|&&n| n < at).copied();
    let behind = full.iter().find(|&&n| n > at).map(|n| n - 1);
    let new = before.into_iter().chain(behind).collect();
    Some(Slipped { text: joined(&parts), old: BTreeSet::from([at]), new, shift: -1 })
}

fn duplicate(text: &str, random: &mut Stream) -> Option<Slipped> {
    let at = *pick(&lines(text), random)?;
    let mut parts: Vec<&str> = text.split_inclusive('\n').collect();
    parts.insert(at, parts[at]);
    Some(Slipped { text: joined(&parts), old: BTreeSet::from([at]), new: BTreeSet::from([at, at + 1]), shift: 1 })
}

fn pick<'a, T>(of: &'a [T], random: &mut Stream) -> Option<&'a T> {
    if of.is_empty() { None } else { of.get(random.below(of.len() as u32) as usize) }
}
