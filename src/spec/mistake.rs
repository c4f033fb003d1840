//! What was meant where a text is no YAML: a parser notices a mistake behind its place, often a line later.
//!
//! Each kind of mistake makes a guess: what is wrong, where, and edits that may mend it. Of the guesses the first holds of
//! which the parser reads an edit; a fix is on offer only if it does.

use super::flow::{self, Defect, closer};
use super::lines::{Line, Lines};
use super::recover::{Reach, Trials};
use super::yaml;
use crate::diag::{Applicability, Code, Diagnostic, Edit, Fix};
use crate::source::Span;
use serde_yaml::granit_parser::ErrorKind;
use std::ops::Range;

/// What is wrong with a text in which a parser stumbled at byte `at`, over what `kind` says. `offset` is where the text
/// starts in the sources.
pub(super) fn diagnose(text: &str, at: usize, offset: u32, kind: &ErrorKind, trials: &mut Trials) -> Diagnostic {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let lines = Lines::new(text);
    let number = lines.at(at).unwrap_or(0);
    let stumble = Stumble { text, at, offset, lines, number };
    let (mut guess, fix) = stumble.best(kind, trials);
    guess.diagnostic.fixes.extend(fix.filter(|fix| !stumble.makes_a_key(fix)));
    guess.diagnostic
}

/// What may be wrong.
struct Guess {
    diagnostic: Diagnostic,
    /// Edits of which one may mend it, the likeliest first.
    fixes: Vec<Fix>,
    /// Whether it is likely even if none does.
    likely: bool,
}

impl Guess {
    fn is_sure(&self) -> bool {
        self.fixes.iter().any(|fix| fix.applicability == Applicability::Sure)
    }
}

/// Where a parser stumbled.
struct Stumble<'a> {
    text: &'a str,
    at: usize,
    offset: u32,
    lines: Lines<'a>,
    /// The line, or the nearest before that has something on it.
    number: usize,
}

impl<'a> Stumble<'a> {
    fn best(&self, kind: &ErrorKind, trials: &mut Trials) -> (Guess, Option<Fix>) {
        if *kind == ErrorKind::UnknownAnchor {
            return (self.anchor(), None);
        }
        let (spaces, colons): (Vec<Guess>, Vec<Guess>) = self.colons().into_iter().partition(Guess::is_sure);
        let mut guesses: Vec<Guess> = self.tab().into_iter().chain(spaces).chain(self.flow()).collect();
        guesses.extend(colons);
        guesses.extend(self.dash());
        // Where only the indentation is wrong it goes before what else may be.
        let indent = self.indent();
        let at = if *kind == ErrorKind::InvalidIndentation { 0 } else { guesses.len() };
        guesses.splice(at..at, indent);
        let mut barely = None;
        for (i, guess) in guesses.iter().enumerate() {
            let place = self.byte(guess.diagnostic.span());
            let mut best = (Reach::Short, None);
            for fix in &guess.fixes {
                let reach = self.mended(fix, place, trials);
                if reach > best.0 {
                    best = (reach, Some(fix.clone()));
                }
            }
            match best.0 {
                Reach::Past(_) => return (guesses.swap_remove(i), best.1),
                Reach::Barely if guess.is_sure() => return (guesses.swap_remove(i), best.1),
                Reach::Barely if barely.is_none() => barely = Some((i, best.1)),
                Reach::Barely | Reach::Short => {}
            }
        }
        if let Some((i, fix)) = barely {
            return (guesses.swap_remove(i), fix);
        }
        let likely = guesses.into_iter().find(|guess| guess.likely);
        let told = kind.to_string();
        let nothing = || self.guess(self.at..self.at, "this is not valid YAML", &told, Vec::new());
        (likely.unwrap_or_else(nothing), None)
    }

    fn byte(&self, span: Option<Span>) -> usize {
        span.map_or(self.at, |span| span.start.saturating_sub(self.offset) as usize)
    }

    fn span(&self, place: Range<usize>) -> Span {
        let at = |at: usize| self.offset.saturating_add(u32::try_from(at).unwrap_or(u32::MAX));
        Span { start: at(place.start), end: at(place.end) }
    }

    fn guess(&self, place: Range<usize>, message: &str, label: &str, fixes: Vec<Fix>) -> Guess {
        let diagnostic = Diagnostic::error(Code::InvalidYaml, self.span(place), message).at(label);
        Guess { diagnostic, fixes, likely: false }
    }

    fn fix(&self, title: impl Into<String>, place: Range<usize>, text: &str) -> Fix {
        Fix::maybe(title, self.span(place), text)
    }

    /// Whether with a fix settings are a key, as in braces that stand twice: YAML allows that and a spec does not.
    fn makes_a_key(&self, fix: &Fix) -> bool {
        let edits: Vec<&Edit> = fix.edits.iter().collect();
        let Some(mended) = crate::diag::edited(self.text, self.offset, &edits) else { return true };
        let of_key = |d: &Diagnostic| d.code == Code::InvalidYaml && d.message.starts_with("a key must be a word");
        yaml::tree(&mended, self.offset).is_ok_and(|(_, problems)| problems.iter().any(of_key))
    }

    /// How far the parser gets with a fix, compared with the end of the line of the mistake.
    fn mended(&self, fix: &Fix, place: usize, trials: &mut Trials) -> Reach {
        let edits: Vec<&Edit> = fix.edits.iter().collect();
        let mended = crate::diag::edited(self.text, self.offset, &edits);
        let (Some(mended), Some(number)) = (mended, self.lines.at(place.min(self.text.len()))) else {
            return Reach::Short;
        };
        let block = self.lines.block(number);
        let last = if block.contains(&self.at) { self.number.max(number) } else { number };
        let end = self.lines.get(last).map_or(self.text.len(), |line| line.start + line.text.len());
        trials.reach(&mended, (end + mended.len()).saturating_sub(self.text.len()))
    }

    fn line(&self, number: usize) -> Line<'a> {
        self.lines.get(number).unwrap_or(Line { start: self.text.len(), text: "" })
    }

    /// Columns in which lines around begin, the nearest first.
    fn columns(&self, number: usize) -> Vec<usize> {
        let before = self.lines.before(number).into_iter().flat_map(|i| self.lines.around(i));
        let mut found = Vec::new();
        for i in self.lines.behind(number).into_iter().chain(before) {
            let column = self.line(i).indent();
            if !self.line(i).text[..column].contains('\t') && !found.contains(&column) {
                found.push(column);
            }
        }
        found
    }

    /// A tab in the indentation of the line or the two after it.
    fn tab(&self) -> Option<Guess> {
        let from = self.lines.iter().position(|line| line.start + line.text.len() >= self.at)?;
        (from..from + 3).find_map(|number| {
            let line = self.lines.get(number)?;
            let tab = line.text[..line.indent()].find('\t')?;
            let mut columns = self.columns(number);
            // Entries of one list begin in one column.
            columns.sort_by_key(|&column| {
                let beside = |i: usize| self.line(i).is_item() == line.is_item() && self.line(i).indent() == column;
                let near = self.lines.before(number).into_iter().flat_map(|i| self.lines.around(i));
                !near.chain(self.lines.behind(number)).any(beside)
            });
            columns.extend([line.indent() * 2, line.indent() * 4]);
            let fixes = columns.into_iter().filter(|&column| column > 0).map(|column| {
                self.fix(format!("indent it by {column} spaces"), line.start..line.first(), &" ".repeat(column))
            });
            let place = line.start + tab..line.first();
            let guess = self.guess(place, "a tab cannot indent a line", "use spaces here", fixes.collect());
            Some(Guess { likely: number == from, ..guess })
        })
    }

    /// Brackets, commas and quotes.
    fn flow(&self) -> Vec<Guess> {
        let end = self.line(self.number).last().max(self.at);
        let Some(defect) = flow::defect(self.text).filter(|defect| defect.place() <= end) else {
            return Vec::new();
        };
        let sign = |at: usize| self.text.get(at..).and_then(|rest| rest.chars().next()).unwrap_or(' ');
        let one = |at: usize| at..at + sign(at).len_utf8();
        let remove = |at: usize| self.fix(format!("remove the `{}`", sign(at)), one(at), "");
        let mut guesses = Vec::new();
        if let Defect::Unclosed { open, .. } | Defect::Mismatch { open, .. } = defect {
            let twice = |at: usize| sign(at) == sign(open);
            if let Some(at) = [open.wrapping_sub(1), open + 1].into_iter().find(|&at| twice(at)) {
                let message = format!("one `{}` too many is opened here", sign(open));
                guesses.push(self.guess(one(at), &message, "", vec![remove(at)]));
            }
        }
        match defect {
            Defect::Unclosed { open, end, closing } => {
                let bracket = sign(open);
                let title = match self.text[open..end].contains('\n') {
                    true => format!("close it: `{closing}`"),
                    false => format!("end the line with `{closing}`"),
                };
                let message = format!("this `{bracket}` is not closed");
                let fixes = vec![self.fix(title, end..end, &closing)];
                let mut guess = self.guess(one(open), &message, "opened here", fixes);
                if self.text[open..end].contains('\n') {
                    guess.diagnostic = guess.diagnostic.label(self.span(end..end), "still open here");
                }
                guesses.push(Guess { likely: true, ..guess });
            }
            Defect::Extra { at } => {
                let message = match sign(at) {
                    ',' => "a comma stands only within brackets".to_string(),
                    sign => format!("this `{sign}` closes nothing"),
                };
                let mut fix = remove(at);
                fix.applicability = Applicability::Sure;
                guesses.push(Guess { likely: true, ..self.guess(one(at), &message, "", vec![fix]) });
            }
            Defect::Early { at } => {
                let message = format!("this `{}` closes too early", sign(at));
                let guess = self.guess(one(at), &message, "what follows is outside", vec![remove(at)]);
                guesses.push(Guess { likely: true, ..guess });
            }
            Defect::Mismatch { open, at } => {
                let wanted = closer(sign(open));
                let text = wanted.to_string();
                let fixes = vec![
                    self.fix(format!("put `{wanted}` before it"), at..at, &text),
                    self.fix(format!("`{wanted}` for `{}`", sign(at)), one(at), &text),
                    remove(at),
                ];
                let message = format!("`{}` cannot close `{}`", sign(at), sign(open));
                let mut guess = Guess { likely: true, ..self.guess(one(at), &message, "", fixes) };
                guess.diagnostic = guess.diagnostic.label(self.span(one(open)), "opened here");
                guesses.push(guess);
            }
            Defect::Comma { after, next } => {
                let fixes = vec![self.fix("put a comma", after..after, ",")];
                guesses.push(Guess { likely: true, ..self.guess(next, "a comma is missing before this", "", fixes) });
            }
            Defect::Colon { key } => {
                let fixes = vec![self.fix("put a colon after the key", key.end..key.end, ":")];
                guesses.push(Guess { likely: true, ..self.guess(key, "a key needs a colon after it", "", fixes) });
            }
            Defect::Quote { at, ends } => {
                let quote = sign(at).to_string();
                let mut fixes: Vec<Fix> =
                    ends.into_iter().map(|end| self.fix(format!("close it: {quote}"), end..end, &quote)).collect();
                fixes.push(remove(at));
                guesses.push(self.guess(one(at), "this text is never closed", "opened here", fixes));
            }
        }
        guesses
    }

    /// A line, this one or the one before, that has no colon where a key must be, or no space behind it.
    fn colons(&self) -> Vec<Guess> {
        let candidates = [Some(self.number), self.lines.before(self.number)];
        let bare = |number: usize| {
            // A word alone is a key if it has settings below it.
            let below = self.lines.behind(number).is_some_and(|i| self.lines.parent(i) == Some(number));
            !below && (number != self.number || self.line(number).is_item())
        };
        let colon = |number: usize| self.colon(self.line(number)).filter(|guess| guess.likely || !bare(number));
        candidates.into_iter().flatten().filter_map(colon).collect()
    }

    fn colon(&self, line: Line<'_>) -> Option<Guess> {
        let code = line.code().trim_start();
        let code = code.strip_prefix("- ").unwrap_or(code);
        let key = line.word().len();
        let rest = code.get(key..)?;
        let signs = [' ', '{', '['];
        if key == 0
            || !(rest.is_empty() || rest.starts_with(signs) || rest.starts_with(':') && rest.len() > 1)
            || rest.starts_with(": ")
            || code.contains(": ") && !rest.trim_start_matches([':', ' ']).starts_with(['{', '['])
        {
            return None;
        }
        let end = line.last() - rest.len();
        let (message, fix) = if rest.starts_with(':') {
            let fix = self.fix("put a space after the colon", end + 1..end + 1, " ");
            ("a colon needs a space after it", Fix { applicability: Applicability::Sure, ..fix })
        } else if rest.is_empty() || rest.starts_with(' ') {
            ("a key needs a colon after it", self.fix("put a colon after the key", end..end, ":"))
        } else {
            ("a key needs a colon and a space after it", self.fix("put a colon after the key", end..end, ": "))
        };
        let guess = self.guess(end - key..end, message, "", vec![fix]);
        Some(Guess { likely: !rest.is_empty(), ..guess })
    }

    /// A line among entries of a list that has no dash.
    fn dash(&self) -> Option<Guess> {
        let line = self.line(self.number);
        let near = self
            .lines
            .before(self.number)
            .into_iter()
            .flat_map(|i| self.lines.around(i))
            .chain(self.lines.behind(self.number));
        // With its dash deleted the line begins there, or in the next column.
        let lacks = |item: &Line<'_>| item.is_item() && line.indent().checked_sub(item.indent()).is_some_and(|n| n < 2);
        let item = near.map(|i| self.line(i)).find(lacks)?;
        if line.is_item() || item.indent() == 0 && line.indent() == 0 && super::read::is_section(line.word()) {
            return None;
        }
        let place = line.first()..line.first() + line.word().len();
        let dash = format!("{}- ", " ".repeat(item.indent()));
        let fix = self.fix("put a dash before it", line.start..line.first(), &dash);
        Some(self.guess(place, "an entry of a list begins with a dash", "", vec![fix]))
    }

    /// A line that is indented in another way than the one before.
    fn indent(&self) -> Option<Guess> {
        let line = self.line(self.number);
        // The parser stumbles over the line's beginning, or over the colon of its key.
        let before_it = self.text[line.start..self.at.max(line.start)].trim().trim_start_matches("- ");
        if !matches!(before_it, "" | "-") && before_it != line.word() {
            return None;
        }
        // What it should be in line with: the first thing within what it is in, or else the line before.
        let before = self.lines.before(self.number)?;
        let first = self.lines.parent(self.number).and_then(|parent| self.lines.behind(parent));
        let first = first.filter(|&i| i < self.number && self.line(i).indent() != line.indent());
        let before = self.line(first.unwrap_or(before));
        let (now, then) = (line.indent(), before.indent());
        if now == then {
            return None;
        }
        let mut fixes = Vec::new();
        for number in [Some(self.number), self.lines.before(self.number)].into_iter().flatten() {
            let mut columns = self.columns(number);
            columns.sort_by_key(|&column| column.abs_diff(self.line(number).indent()));
            for column in columns {
                fixes.extend([true, false].map(|all| self.indented(number, column, all)));
            }
        }
        let whole = |line: Line<'_>| line.start..line.start + line.text.len();
        let message = "the indentation of these lines does not fit together";
        let mut guess = self.guess(whole(line), message, &format!("indented by {now}"), fixes);
        guess.diagnostic = guess
            .diagnostic
            .label(self.span(whole(before)), format!("indented by {then}"))
            .note("entries of one list, and settings of one thing, begin in the same column");
        Some(Guess { likely: true, ..guess })
    }

    /// The fix that moves a line to a column, with all that belongs to it or alone.
    fn indented(&self, number: usize, column: usize, all: bool) -> Fix {
        let line = self.line(number);
        let block = if all { self.lines.block(number) } else { line.first()..line.first() + 1 };
        let lines = self.lines.iter().filter(|l| !l.is_blank() && (line.start..block.end).contains(&l.start));
        let edits = lines.map(|l| {
            let moved = (l.indent() + column).saturating_sub(line.indent());
            Edit { span: self.span(l.start..l.first()), text: " ".repeat(moved) }
        });
        let number = self.text[..line.start].matches('\n').count() + 1;
        Fix { edits: edits.collect(), ..self.fix(format!("indent line {number} by {column}"), 0..0, "") }
    }

    /// An alias of nothing.
    fn anchor(&self) -> Guess {
        let rest = &self.text[self.at..];
        let length = rest.find(|c: char| c.is_whitespace() || ",{}[]".contains(c)).unwrap_or(rest.len());
        let word = rest[..length].trim_start_matches('*');
        let message = format!("no value before this is called `{word}`");
        let mut guess = self.guess(self.at..self.at + length, &message, "", Vec::new());
        guess.diagnostic = guess.diagnostic.note(format!("`&{word}` before a value gives it this name"));
        guess
    }
}
