//! Source files and the spans into them.
//!
//! A [`Span`] is a place in a file that the user wrote. Every value of a spec has one, and it travels with what is made
//! from the value, so that a late stage can still name the layer. The files of one run ([`Sources`]) share one space of
//! offsets: the spec starts at 0, each further text (a `--set` argument) starts after the one before it.

/// A byte range of the [`Sources`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The smallest span that holds both.
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start.min(other.start), end: self.end.max(other.end) }
    }

    /// The empty span at the start of this one.
    pub fn start_only(self) -> Span {
        Span { start: self.start, end: self.start }
    }

    /// The empty span at the end of this one.
    pub fn after(self) -> Span {
        Span { start: self.end, end: self.end }
    }
}

/// The texts that spans point into.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    files: Vec<SourceFile>,
}

/// One text with its name.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Path as the user gave it, or `--set`.
    pub name: String,
    /// Contents.
    pub text: String,
    start: u32,
    /// Where its lines start.
    lines: Vec<usize>,
}

/// A place as people count: from 1, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

impl Sources {
    /// No files yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text and gives the span of all of it.
    pub fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> Span {
        let start = self.files.last().map_or(0, |f| f.span().end.saturating_add(1));
        let text = text.into();
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        self.files.push(SourceFile { name: name.into(), text, start, lines });
        self.files.last().map_or(Span::default(), SourceFile::span)
    }

    /// The files in the order they were added.
    pub fn files(&self) -> &[SourceFile] {
        &self.files
    }

    /// The file that `span` starts in.
    pub fn file(&self, span: Span) -> Option<&SourceFile> {
        let next = self.files.partition_point(|f| f.start <= span.start);
        self.files.get(next.checked_sub(1)?)
    }

    /// What is written at `span`; empty if it is nowhere.
    pub fn text(&self, span: Span) -> &str {
        self.file(span).map_or("", |f| f.text.get(f.range(span)).unwrap_or(""))
    }

    /// Name of the file and the place where `span` starts.
    pub fn position(&self, span: Span) -> Option<(&str, Position)> {
        let file = self.file(span)?;
        Some((&file.name, file.position(file.range(span).start)))
    }
}

impl SourceFile {
    /// The span of the whole text.
    pub fn span(&self) -> Span {
        let length = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        Span { start: self.start, end: self.start.saturating_add(length) }
    }

    /// The bytes of the text that `span` covers: clipped to the text and moved to character boundaries.
    pub fn range(&self, span: Span) -> std::ops::Range<usize> {
        let clip = |offset: u32| {
            let mut at = (offset.saturating_sub(self.start) as usize).min(self.text.len());
            while !self.text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let start = clip(span.start);
        start..clip(span.end).max(start)
    }

    /// Line and column of a byte offset that is a character boundary.
    pub fn position(&self, offset: usize) -> Position {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        let line = self.lines.partition_point(|&start| start <= before.len());
        let line_start = line.checked_sub(1).and_then(|n| self.lines.get(n)).copied().unwrap_or(0);
        Position { line, column: before[line_start..].chars().count() + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_share_one_space_of_offsets() {
        let mut sources = Sources::new();
        let a = sources.add("a", "x: 1\nä: 2");
        let b = sources.add("--set", "y=3");
        assert_eq!(sources.text(a), "x: 1\nä: 2");
        assert_eq!(sources.text(b), "y=3");
        let two = Span { start: 9, end: 10 };
        assert_eq!(sources.text(two), "2");
        assert_eq!(sources.position(two), Some(("a", Position { line: 2, column: 4 })));
        assert_eq!(sources.position(b.after()).map(|p| p.1), Some(Position { line: 1, column: 4 }));
    }
}
