//! Carries out edits.

use super::{Edit, Fix};

/// The text of the first source file after the edits of `fix`; `None` if they overlap or lie outside of it.
pub fn apply(text: &str, fix: &Fix) -> Option<String> {
    edited(text, 0, &fix.edits.iter().collect::<Vec<_>>())
}

/// A text that starts at `offset` in the sources after edits; `None` if they overlap or lie outside of it.
pub fn edited(text: &str, offset: u32, edits: &[&Edit]) -> Option<String> {
    let mut edits = edits.to_vec();
    edits.sort_by_key(|e| e.span);
    let mut out = String::with_capacity(text.len() + 64);
    let mut at = 0;
    for edit in edits {
        out.push_str(text.get(at..edit.span.start.checked_sub(offset)? as usize)?);
        out.push_str(&edit.text);
        at = edit.span.end.checked_sub(offset)? as usize;
    }
    out.push_str(text.get(at..)?);
    Some(out)
}
