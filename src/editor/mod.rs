//! What an editor asks about a spec: the schema of its YAML.
//!
//! Takes a text and places in it, gives answers as data; reads and writes nothing. What may be written comes from the
//! [`vocabulary`](crate::check::vocabulary).

mod schema;

pub use schema::schema;
