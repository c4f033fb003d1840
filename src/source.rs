//! Source files and the spans into them.
//!
//! A [`Span`] is a place in a file that the user wrote. Every value of a spec has one, and it travels with what is made
//! from the value, so that a late stage can still name the layer.

/// A byte range of a source file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}
