//! What an editor asks about a spec: what is wrong and how to mend it, shapes, descriptions, what may be written.
//!
//! Takes a text ([`Document`]) and places in it, gives answers in the language server protocol's types; reads and writes
//! nothing, and has an answer for every text. What may be written comes from the
//! [`vocabulary`](crate::check::vocabulary), which [`schema()`] gives as a JSON Schema of specs in YAML.

mod completion;
mod definition;
mod diagnostics;
mod document;
mod hover;
mod lines;
mod meaning;
mod place;
mod place_dsl;
mod place_yaml;
mod schema;
mod shapes;
mod symbols;
pub mod uri;

pub use document::{Document, Target};
pub use schema::schema;
