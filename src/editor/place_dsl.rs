//! Places in the netc language: statements, chains of layers, and what is in brackets.

use super::place::{OpenKind, Place, Role, Step, Tracker};
use crate::check::vocabulary::SECTIONS;

/// The place of the byte `cursor`.
pub(super) fn place(text: &str, cursor: usize) -> Place {
    let mut tracker = Tracker::new(text, cursor);
    tracker.push(OpenKind::Body, vec![key("layers"), Step::Item]);
    let mut scan = Scan { tracker, text, next: Next::Start, valued: false };
    let mut at = 0;
    while at < text.len() {
        at = scan.piece(at);
    }
    scan.reach(text.len());
    scan.tracker.finish()
}

/// What a statement goes on with.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Next {
    /// It has not begun.
    Start,
    /// A layer, after an arrow.
    Kind,
    /// The name or the settings of a layer of this kind.
    Settings(String),
    /// The layers that are read, after `from`.
    Source,
    /// The value of this section.
    Section(String),
    /// The name of a block.
    Block,
    /// The parameters or the layers of this block.
    Body(String),
    /// An arrow, or its end.
    End,
}

struct Scan<'a> {
    tracker: Tracker,
    text: &'a str,
    next: Next,
    /// Whether the innermost key has a value.
    valued: bool,
}

fn key(word: &str) -> Step {
    Step::Key(word.to_string())
}

/// To the value of `from`, which is the same in every layer.
fn from() -> Vec<Step> {
    vec![key("relu"), key("from")]
}

impl Scan<'_> {
    fn innermost(&self) -> OpenKind {
        self.tracker.stack.last().map_or(OpenKind::Body, |open| open.kind)
    }

    /// Remembers what may stand at `at` if the cursor is there.
    fn reach(&mut self, at: usize) {
        let role = match (self.innermost(), &self.next) {
            (OpenKind::Brackets, _) => Role::Value,
            (OpenKind::Braces, _) => match self.tracker.stack.last().is_some_and(|open| open.key.is_some()) {
                true => Role::Value,
                false => Role::Key,
            },
            (_, Next::Start) => Role::Statement,
            (_, Next::Kind) => Role::Value,
            (_, Next::Source) => {
                self.tracker.push(OpenKind::Body, from());
                self.tracker.reach(at, Role::Value);
                self.tracker.pop();
                return;
            }
            _ => Role::Nothing,
        };
        self.tracker.reach(at, role);
    }

    /// Reads what starts at `at`. Gives where it ends.
    fn piece(&mut self, at: usize) -> usize {
        let rest = &self.text[at..];
        let Some(first) = rest.chars().next() else { return self.text.len() };
        match first {
            '\n' => {
                self.reach(at);
                self.line(at + 1);
            }
            '#' => {
                if self.tracker.word.start <= at {
                    self.reach(at);
                }
                let end = at + rest.find('\n').unwrap_or(rest.len());
                if self.tracker.word.start <= end {
                    self.tracker.reach(end, Role::Nothing);
                }
                return end;
            }
            c if c.is_whitespace() => {}
            '"' => {
                self.reach(at);
                self.valued = true;
                let line = rest.find('\n').unwrap_or(rest.len());
                return at + rest[1..line].find('"').map_or(line, |n| n + 2);
            }
            c if c.is_alphanumeric() || c == '_' || c == '.' => {
                self.reach(at);
                let part = |c: &char| c.is_alphanumeric() || matches!(c, '_' | '.');
                let length: usize = rest.chars().take_while(part).map(char::len_utf8).sum();
                self.word(at, length);
                return at + length;
            }
            '-' if rest.starts_with("->") => {
                self.reach(at);
                if self.innermost() == OpenKind::Body {
                    self.next = Next::Kind;
                }
                return at + 2;
            }
            '→' if self.innermost() == OpenKind::Body => {
                self.reach(at);
                self.next = Next::Kind;
            }
            _ => {
                self.reach(at);
                self.bracket(first);
            }
        }
        at + first.len_utf8()
    }

    /// A line begins at `at`: a statement ends unless an arrow joins the lines or a bracket is open.
    fn line(&mut self, at: usize) {
        let rest = &self.text[at..];
        let starts = rest.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        // What stands at the margin is no part of brackets that were left open.
        while starts && self.tracker.stack.len() > 1 {
            self.tracker.pop();
            self.next = Next::Start;
        }
        if self.innermost() == OpenKind::Braces && self.valued {
            self.no_key();
        }
        if self.innermost() == OpenKind::Body {
            let joined = rest.trim_start().starts_with("->") || rest.trim_start().starts_with('→');
            if self.next != Next::Kind && !joined {
                self.next = Next::Start;
            }
        }
    }

    fn no_key(&mut self) {
        self.valued = false;
        if let Some(open) = self.tracker.stack.last_mut() {
            open.key = None;
        }
    }

    fn word(&mut self, at: usize, length: usize) {
        let word = &self.text[at..at + length];
        if self.innermost() != OpenKind::Body {
            let colon = self.text[at + length..].trim_start_matches([' ', '\t']).starts_with(':');
            let free =
                self.tracker.stack.last().is_some_and(|open| open.kind == OpenKind::Braces && open.key.is_none());
            if colon && free {
                self.tracker.key(word, at);
                self.valued = false;
            } else {
                self.valued = true;
            }
            return;
        }
        self.next = match &self.next {
            Next::Start if word == "from" => Next::Source,
            Next::Start if word == "block" => Next::Block,
            Next::Start if SECTIONS.iter().any(|s| s.name == word) => Next::Section(word.to_string()),
            Next::Start | Next::Kind => Next::Settings(word.to_string()),
            Next::Block => Next::Body(word.to_string()),
            Next::Source => Next::End,
            other => other.clone(),
        };
    }

    fn bracket(&mut self, bracket: char) {
        let within_body = self.innermost() == OpenKind::Body;
        match bracket {
            '(' if within_body => match self.next.clone() {
                Next::Settings(kind) => self.tracker.push(OpenKind::Braces, vec![key(&kind)]),
                Next::Body(block) => self.root(OpenKind::Braces, vec![key("blocks"), key(&block), key("params")]),
                _ => self.tracker.push(OpenKind::Braces, vec![key("")]),
            },
            '{' => match (within_body, self.next.clone()) {
                (true, Next::Section(section)) => self.root(OpenKind::Braces, vec![key(&section)]),
                (true, Next::Body(block)) => {
                    self.next = Next::Start;
                    self.root(OpenKind::Body, vec![key("blocks"), key(&block), key("layers"), Step::Item]);
                }
                (true, _) => self.tracker.push(OpenKind::Braces, vec![key("")]),
                (false, _) => self.tracker.push(OpenKind::Braces, Vec::new()),
            },
            '[' => match (within_body, self.next.clone()) {
                (true, Next::Section(section)) if section == "input" => {
                    self.root(OpenKind::Brackets, vec![key("input"), key("shape")]);
                }
                (true, Next::Section(section)) => self.root(OpenKind::Brackets, vec![key(&section)]),
                (true, Next::Source) => self.tracker.push(OpenKind::Brackets, from()),
                _ => self.tracker.push(OpenKind::Brackets, Vec::new()),
            },
            // Arithmetic has parentheses of its own.
            '(' => self.tracker.push(OpenKind::Brackets, Vec::new()),
            ')' | ']' | '}' => {
                if self.tracker.stack.len() > 1 {
                    self.tracker.pop();
                }
                self.valued = true;
                if self.innermost() == OpenKind::Body {
                    self.next = match (&self.next, bracket) {
                        (Next::Body(block), ')') => Next::Body(block.clone()),
                        _ => Next::End,
                    };
                }
            }
            ',' if self.innermost() == OpenKind::Braces => self.no_key(),
            _ => {}
        }
    }

    /// Opens something whose place does not lie within what is around it.
    fn root(&mut self, kind: OpenKind, into: Vec<Step>) {
        self.tracker.push(kind, into);
        if let Some(open) = self.tracker.stack.last_mut() {
            open.root = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The place of `|` as `path role word keys`.
    fn at(marked: &str) -> String {
        let cursor = marked.find('|').expect("a mark");
        let text = marked.replacen('|', "", 1);
        let place = place(&text, cursor);
        let steps = place.path.iter().map(|s| match s {
            Step::Key(key) => key.as_str(),
            Step::Item => "-",
        });
        let path: Vec<&str> = steps.collect();
        format!("{} {:?} '{}' [{}]", path.join("."), place.role, &text[place.word], place.keys.join(" "))
    }

    #[test]
    fn places_are_known_in_what_is_half_written() {
        for (text, expected) in [
            ("|", "layers.- Statement '' []"),
            ("net t\nre|", "layers.- Statement 're' []"),
            ("net |t", "layers.- Nothing 't' []"),
            ("net t\n|\nrelu", "layers.- Statement '' []"),
            ("input image [3, |8]", "input.shape.- Value '8' []"),
            ("conv conv1(96, ker|", "layers.-.conv Key 'ker' []"),
            ("conv conv1(96, 11, stride: 4, |) -> relu", "layers.-.conv Key '' [stride]"),
            ("conv conv1(96, rounding: |)", "layers.-.conv.rounding Value '' [rounding]"),
            ("conv conv1(96, 11) -> |", "layers.- Value '' []"),
            ("conv conv1(96, 11)\n  -> re|lu", "layers.- Value 'relu' []"),
            ("conv conv1(96, 11) ->\n  re|lu", "layers.- Value 'relu' []"),
            ("conv(init: {weight: {normal: {st|d: 1}}})", "layers.-.conv.init.weight.normal Key 'std' []"),
            ("from |", "layers.-.relu.from Value '' []"),
            ("from a|b -> relu", "layers.-.relu.from Value 'ab' []"),
            ("from [a, b|] -> add", "layers.-.relu.from.- Value 'b' []"),
            ("train {\n  loss: mse\n  |\n}", "train Key '' [loss]"),
            ("train {\n  loss: mse\n  optimizer: {sgd: {l|r: 1}}\n}", "train.optimizer.sgd Key 'lr' []"),
            ("train {loss: mse, optimizer: |}", "train.optimizer Value '' [loss optimizer]"),
            ("block b(n, k: 3) {\n  |\n}", "blocks.b.layers.- Statement '' []"),
            ("block b(n, k: 3) {\n  conv first(n, |)\n}", "blocks.b.layers.-.conv Key '' []"),
            ("block b(n, k: 3) {\n  from [x, |]\n}", "blocks.b.layers.-.relu.from.- Value '' []"),
            ("block b(n, k|: 3) {", "blocks.b.params Key 'k' []"),
            ("block b(n) {\n  relu\n}\nb u|(4)", "layers.- Nothing 'u' []"),
            ("block b(n) {\n  relu\n}\nb u(4, re|)", "layers.-.b Key 're' []"),
            ("conv c(96, # a|\n 3)", "layers.-.conv Nothing 'a' []"),
            ("conv a(3,\nrelu -> conv(4, |)", "layers.-.conv Key '' []"),
            ("conv a(width*(2 + ha|lf), 3)", "layers.-.conv.- Value 'half' []"),
        ] {
            assert_eq!(at(text), expected, "{text}");
        }
    }

    #[test]
    fn no_text_is_too_strange() {
        for text in ["{[(}])->,\n:\"", "block (((\n}}}", "from from -> -> [\nä ö(😀: ÷) → ×", "train {\n\n# x\nnet\r\n"]
        {
            for cursor in 0..=text.len() + 1 {
                place(text, cursor);
            }
        }
    }
}
