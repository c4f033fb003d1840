//! Places as editors count them: lines from 0, columns in UTF-16 code units.

use crate::source::Span;
use lsp_types::{Position, Range};

/// Where the lines of a text start.
pub(super) struct Lines {
    starts: Vec<usize>,
}

impl Lines {
    pub fn of(text: &str) -> Lines {
        let after_breaks = text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(i, _)| i + 1);
        Lines { starts: std::iter::once(0).chain(after_breaks).collect() }
    }

    /// The place of a byte; the end of the text if it lies beyond.
    pub fn position(&self, text: &str, byte: usize) -> Position {
        let byte = boundary(text, byte);
        let line = self.starts.partition_point(|&start| start <= byte).saturating_sub(1);
        let before = text.get(self.starts[line]..byte).unwrap_or("");
        let column: usize = before.chars().map(char::len_utf16).sum();
        Position { line: small(line), character: small(column) }
    }

    /// The byte at a place. Columns beyond the end of a line mean its end, lines beyond the end of the text that.
    pub fn byte(&self, text: &str, position: Position) -> usize {
        let Some(&start) = self.starts.get(position.line as usize) else { return text.len() };
        let end = self.starts.get(position.line as usize + 1).map_or(text.len(), |next| next - 1);
        let line = text.get(start..end).unwrap_or("");
        let line = line.strip_suffix('\r').unwrap_or(line);
        let mut units = 0;
        for (i, c) in line.char_indices() {
            // A place within a character is that before it.
            if units + c.len_utf16() > position.character as usize {
                return start + i;
            }
            units += c.len_utf16();
        }
        start + line.len()
    }

    pub fn range(&self, text: &str, span: Span) -> Range {
        let start = self.position(text, span.start as usize);
        Range { start, end: self.position(text, span.end.max(span.start) as usize) }
    }

    /// The end of the line that `byte` is on, its blanks left out.
    pub fn end_of_line(&self, text: &str, byte: usize) -> usize {
        let byte = boundary(text, byte);
        let line = text[byte..].find('\n').map_or(&text[byte..], |n| &text[byte..byte + n]);
        byte + line.trim_end().len()
    }
}

/// The byte or the one before it that starts a character.
pub(super) fn boundary(text: &str, byte: usize) -> usize {
    let mut at = byte.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_utf16_units() {
        let text = "a÷b\r\n×😀c\n\nä";
        let lines = Lines::of(text);
        for (byte, line, character) in [
            (0, 0, 0),
            (1, 0, 1),
            (3, 0, 2),
            (4, 0, 3),
            (6, 1, 0),
            (8, 1, 1),
            (12, 1, 3),
            (13, 1, 4),
            (14, 2, 0),
            (15, 3, 0),
            (17, 3, 1),
        ] {
            let position = Position { line, character };
            assert_eq!(lines.position(text, byte), position, "{byte}");
            assert_eq!(lines.byte(text, position), byte, "{line}:{character}");
        }
        assert_eq!(lines.byte(text, Position { line: 1, character: 2 }), 8, "within the emoji");
        assert_eq!(lines.byte(text, Position { line: 0, character: 99 }), 4, "before the carriage return");
        assert_eq!(lines.byte(text, Position { line: 99, character: 0 }), text.len());
    }
}
