//! Places in YAML: maps and lists of lines by their columns, and in braces and brackets.

use super::place::{OpenKind, Place, Role, Tracker};

/// The place of the byte `cursor`.
pub(super) fn place(text: &str, cursor: usize) -> Place {
    let mut scan = Scan { tracker: Tracker::new(text, cursor), text };
    let mut at = 0;
    while at < text.len() {
        at = scan.line(at);
    }
    // On the last line, which may be empty.
    if text.is_empty() || text.ends_with('\n') {
        scan.blank(text.len(), text.len());
    }
    scan.tracker.finish()
}

struct Scan<'a> {
    tracker: Tracker,
    text: &'a str,
}

impl Scan<'_> {
    fn end_of_line(&self, at: usize) -> usize {
        self.text[at..].find('\n').map_or(self.text.len(), |n| at + n)
    }

    /// Reads the line that starts at `start`, or more if brackets are open at its end. Gives the start of the next.
    fn line(&mut self, start: usize) -> usize {
        let end = self.end_of_line(start);
        let line = &self.text[start..end];
        let mut at = start + (line.len() - line.trim_start_matches(' ').len());
        if self.text[at..end].trim().is_empty() {
            self.blank(start, end);
            return (end + 1).min(self.text.len().max(end + 1));
        }
        if self.text[at..].starts_with('#') {
            // A cursor before the comment is on a blank; in it, nowhere.
            if self.tracker.word.start < at {
                self.blank(start, at);
            }
            self.tracker.reach(end, Role::Nothing);
            return end + 1;
        }
        self.close_to(at - start, self.is_dash(at));
        while self.is_dash(at) {
            let column = at - start;
            let in_list = self.tracker.stack.last().is_some_and(|o| o.kind == OpenKind::Dashes(column));
            if !in_list {
                self.tracker.push(OpenKind::Dashes(column), Vec::new());
            }
            let rest = &self.text[at + 1..end];
            at += 1 + (rest.len() - rest.trim_start_matches(' ').len());
        }
        match self.key_end(at, end) {
            Some(colon) => {
                let column = at - start;
                if self.tracker.stack.last().is_none_or(|o| o.kind != OpenKind::Lines(column)) {
                    self.tracker.push(OpenKind::Lines(column), Vec::new());
                }
                self.no_key();
                self.tracker.reach(at, Role::Key);
                let key = self.text[at..colon].trim().trim_matches(['"', '\'']);
                self.tracker.key(key, at);
                self.value(colon + 1, end)
            }
            None => {
                let in_map = self.tracker.stack.last().is_none_or(|o| matches!(o.kind, OpenKind::Lines(_)));
                if in_map && self.tracker.stack.last().is_none_or(|o| o.kind == OpenKind::Lines(at - start)) {
                    self.no_key();
                    self.tracker.reach(at, Role::Key);
                }
                self.value(at, end)
            }
        }
    }

    /// A map no longer reads the value of its last key.
    fn no_key(&mut self) {
        if let Some(open) = self.tracker.stack.last_mut() {
            open.key = None;
        }
    }

    /// A line without text: the cursor's column says what it would go on with.
    fn blank(&mut self, start: usize, end: usize) {
        let cursor = self.tracker.word.start;
        if cursor < start || cursor > end {
            return;
        }
        let kept = self.tracker.stack.clone();
        self.close_to(cursor - start, false);
        let map = self.tracker.stack.last().is_some_and(|o| o.kind == OpenKind::Lines(cursor - start));
        if map || self.tracker.stack.is_empty() {
            self.no_key();
            self.tracker.remember(Role::Key);
        } else {
            self.tracker.remember(Role::Value);
        }
        self.tracker.stack = kept;
    }

    fn is_dash(&self, at: usize) -> bool {
        let rest = &self.text[at..];
        rest.starts_with("- ") || rest.starts_with("-\n") || rest.starts_with("-\r") || rest == "-"
    }

    /// Closes what a line that starts at this column does not belong to.
    fn close_to(&mut self, column: usize, dash: bool) {
        while let Some(open) = self.tracker.stack.last() {
            let done = match open.kind {
                OpenKind::Lines(at) => at > column,
                OpenKind::Dashes(at) => at > column || at == column && !dash,
                OpenKind::Braces | OpenKind::Brackets | OpenKind::Body => true,
            };
            if !done {
                break;
            }
            self.tracker.pop();
        }
    }

    /// Where the colon of the key at `at` is, if what starts there is a key.
    fn key_end(&self, at: usize, end: usize) -> Option<usize> {
        let rest = &self.text[at..end];
        let bytes = rest.as_bytes();
        let mut i = match bytes.first()? {
            quote @ (b'"' | b'\'') => 1 + rest[1..].find(char::from(*quote))? + 1,
            b'{' | b'[' => return None,
            _ => 0,
        };
        while i < bytes.len() {
            match bytes[i] {
                b':' if i + 1 == bytes.len() || matches!(bytes[i + 1], b' ' | b'\r') => return Some(at + i),
                b'#' if i > 0 && bytes[i - 1] == b' ' => return None,
                _ => i += 1,
            }
        }
        None
    }

    /// Reads a value from `at`, which ends with the line unless brackets are open. Gives the start of the next line.
    fn value(&mut self, mut at: usize, mut end: usize) -> usize {
        let depth = self.tracker.stack.len();
        // At the start of a flow map's entry a key stands, after its colon a value.
        loop {
            let rest = &self.text[at..end];
            let blanks = rest.len() - rest.trim_start().len();
            at += blanks;
            let open = self.tracker.stack.len() > depth;
            if at >= end || self.text[at..].starts_with('#') && self.text[..at].ends_with([' ', '\t']) {
                let cursor_here = self.tracker.word.start <= end;
                let comment = at < end && self.tracker.word.start > at;
                if cursor_here {
                    let role = if comment { Role::Nothing } else { self.role() };
                    self.tracker.reach(end, role);
                }
                if !open || end >= self.text.len() {
                    break;
                }
                // A line that starts a layer or a section is no part of brackets that were left open.
                let next = self.end_of_line(end + 1);
                let line = &self.text[end + 1..next];
                let starts = line.trim_start().starts_with("- ")
                    || !line.starts_with([' ', '}', ']', '#']) && self.key_end(end + 1, next).is_some();
                if starts {
                    break;
                }
                (at, end) = (end + 1, next);
                continue;
            }
            self.tracker.reach(at, self.role());
            at = self.piece(at, end, depth);
        }
        while self.tracker.stack.len() > depth {
            self.tracker.pop();
        }
        end + 1
    }

    /// What may stand within the innermost.
    fn role(&self) -> Role {
        match self.tracker.stack.last() {
            Some(open) if open.kind == OpenKind::Braces && open.key.is_none() => Role::Key,
            None => Role::Key,
            _ => Role::Value,
        }
    }

    /// Reads one bracket, comma, quoted text or word within a value. Gives where it ends.
    fn piece(&mut self, at: usize, end: usize, depth: usize) -> usize {
        let rest = &self.text[at..end];
        let open = self.tracker.stack.len() > depth;
        match rest.as_bytes()[0] {
            b'{' => self.tracker.push(OpenKind::Braces, Vec::new()),
            b'[' => self.tracker.push(OpenKind::Brackets, Vec::new()),
            b'}' | b']' if open => self.tracker.pop(),
            b',' if open => {
                self.no_key();
            }
            quote @ (b'"' | b'\'') => {
                let length = rest[1..].find(char::from(quote)).map_or(rest.len(), |n| n + 2);
                return at + length;
            }
            b'}' | b']' | b',' | b':' => {}
            _ => {
                let stop = |c: char| open && matches!(c, ',' | '{' | '}' | '[' | ']');
                let mut length = rest.len();
                let mut before = ' ';
                for (i, c) in rest.char_indices() {
                    let colon = open && c == ':' && rest[i + 1..].chars().next().is_none_or(|c| " ,}]\r".contains(c));
                    if i > 0 && (stop(c) || colon || c == '#' && before == ' ') {
                        length = i;
                        break;
                    }
                    before = c;
                }
                let word = rest[..length].trim_end();
                let free = self.tracker.stack.last().is_some_and(|o| o.key.is_none());
                if open && free && rest[length..].starts_with(':') {
                    self.tracker.key(word, at);
                    return at + length + 1;
                }
                // Within several words a cursor may be on a later one.
                let cursor = self.tracker.word.start;
                if cursor > at && cursor <= at + word.len() {
                    self.tracker.remember(self.role());
                }
                return at + length.max(1);
            }
        }
        at + 1
    }
}

#[cfg(test)]
mod tests {
    use super::super::place::Step;
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
            ("|", " Key '' []"),
            ("ne|", " Key 'ne' []"),
            ("net: t\ntr|\n", " Key 'tr' [net]"),
            ("net: t\n|\nlayers: []\n", " Key '' [net layers]"),
            ("net: |t", "net Value 't' [net]"),
            ("input: {name: a, |}", "input Key '' [name]"),
            ("input: {name: a, shape: [3, |8]}", "input.shape.- Value '8' []"),
            ("layers:\n  - |\n", "layers.- Value '' []"),
            ("layers:\n  - co|\n  - relu\n", "layers.- Value 'co' []"),
            ("layers:\n  - conv: {ker|\n  - relu\n", "layers.-.conv Key 'ker' []"),
            ("layers:\n  - conv: {kernels: 9, |, stride: 1}\n", "layers.-.conv Key '' [kernels stride]"),
            ("layers:\n  - conv: {rounding: |}\n", "layers.-.conv.rounding Value '' [rounding]"),
            (
                "layers:\n  - conv: {init: {weight: {normal: {st|d: 1}}}}\n",
                "layers.-.conv.init.weight.normal Key 'std' []",
            ),
            ("layers:\n  - conv:\n      kernels: 3\n      str|\n", "layers.-.conv Key 'str' [kernels]"),
            ("layers:\n  - conv:\n      kernels: 3\n      |\n  - relu\n", "layers.-.conv Key '' [kernels]"),
            ("layers:\n- conv: {kernels: 3}\n- re|lu\ntrain:\n", "layers.- Value 'relu' []"),
            ("layers:\n  - add: {from: [a, b|]}\n", "layers.-.add.from.- Value 'b' []"),
            ("train:\n  loss: mse\n  |", "train Key '' [loss]"),
            ("train:\n  loss: mse # x|\n", "train.loss Nothing 'x' [loss]"),
            ("train:\n  optimizer:\n    sgd: {|}\n", "train.optimizer.sgd Key '' []"),
            (
                "blocks:\n  b:\n    layers:\n      - conv: {kernels: n*2, |}\n",
                "blocks.b.layers.-.conv Key '' [kernels]",
            ),
            ("layers:\n  - conv: {kernels: width*ha|lf}\n", "layers.-.conv.kernels Value 'half' [kernels]"),
            ("layers: [conv: {k|}]", "layers.-.conv Key 'k' []"),
            ("a: \"x\nb: |", "b Value '' [a b]"),
        ] {
            assert_eq!(at(text), expected, "{text}");
        }
    }

    #[test]
    fn no_text_is_too_strange() {
        let texts =
            ["{[}]:,\n- - :\n\"'", "- {a: [\n\n# x\n  - b\n}", "ä: {ö: ü, 😀: [÷|×]}\r\n  -\r\n", "a: [1,\n2,\n- b"];
        for text in texts {
            for cursor in 0..=text.len() + 1 {
                place(text, cursor);
            }
        }
    }
}
