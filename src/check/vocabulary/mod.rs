//! Everything that can be written in a spec, as data: sections, kinds of layers, their settings with form, default and
//! one line of description.
//!
//! What the reading code accepts and what this says are held together by `tests/vocabulary.rs`. The schema, completion
//! and hover are made from it. A layer's settings stand in its own file, those of sections in [`SECTIONS`].

mod forms;
mod sections;

pub use super::layers::Inputs;
pub use super::reader::Bounds;
pub use sections::{BLOCK_SETTINGS, LAYER_SETTINGS, SECTIONS, USE_SETTINGS};
pub(super) use sections::{PARAM_SETTINGS, VECTOR_PARAM_SETTINGS};

/// Something that may be written with a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setting {
    /// Its key.
    pub name: &'static str,
    /// What its value looks like.
    pub form: Form,
    /// What holds where it is not written.
    pub default: Default,
    /// One sentence without a full stop.
    pub about: &'static str,
}

/// What holds where a setting is not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Default {
    /// It must be written.
    Required,
    /// As if this were written.
    Value(&'static str),
    /// No value does the same; in words.
    Described(&'static str),
}

/// What a value looks like. Numbers, true and false may be arithmetic on parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Form {
    /// A whole number within these, ends included.
    Whole(usize, usize),
    /// A number.
    Number(Bounds),
    /// `true` or `false`.
    Flag,
    /// Text: a name.
    Text,
    /// The name of a layer.
    Layer,
    /// One of some words, alone.
    Words(&'static [Word]),
    /// One of some words, alone or as the only key of a map with its settings.
    Choice(&'static [Word]),
    /// Settings by key.
    Settings(&'static [Setting]),
    /// A list of as many values.
    List(&'static Form, Lengths),
    /// Any of these.
    Either(&'static [Form]),
    /// Values by keys that the user chooses.
    Named(&'static Form),
    /// A list of layers.
    Layers,
    /// Any value.
    Any,
}

/// How many values a list has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    /// At least.
    pub least: usize,
    /// At most, if that is fixed.
    pub most: Option<usize>,
}

/// A word that may be a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Word {
    /// The word.
    pub text: &'static str,
    /// What it means: one sentence without a full stop.
    pub about: &'static str,
    /// What stands with it, as in `{step: {every: 30}}`.
    pub with: With,
}

/// What stands with a word.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum With {
    /// Nothing.
    Nothing,
    /// Its settings.
    Settings(&'static [Setting]),
    /// One value, as in `{constant: 0.1}`.
    Value(&'static Form),
}

/// A kind of layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kind {
    /// Its word.
    pub word: &'static str,
    /// What other tools call it.
    pub synonyms: &'static [&'static str],
    /// How many layers it reads.
    pub inputs: Inputs,
    /// What it does: one sentence without a full stop.
    pub about: &'static str,
    /// Its own settings; those of every layer are [`LAYER_SETTINGS`].
    pub settings: &'static [Setting],
}

/// Every kind of layer.
pub fn kinds() -> impl Iterator<Item = Kind> {
    super::layers::DEFINITIONS.iter().map(|d| Kind {
        word: d.word,
        synonyms: d.synonyms,
        inputs: d.inputs,
        about: d.about,
        settings: d.settings,
    })
}

/// The kind called `word`.
pub fn kind(word: &str) -> Option<Kind> {
    kinds().find(|kind| kind.word == word)
}

impl Setting {
    /// One that must be written.
    pub const fn required(name: &'static str, form: Form, about: &'static str) -> Self {
        Setting { name, form, default: Default::Required, about }
    }

    /// One that has a value where it is not written.
    pub const fn optional(name: &'static str, form: Form, default: &'static str, about: &'static str) -> Self {
        Setting { name, form, default: Default::Value(default), about }
    }

    /// One that may be left out, with what holds then in words.
    pub const fn open(name: &'static str, form: Form, without: &'static str, about: &'static str) -> Self {
        Setting { name, form, default: Default::Described(without), about }
    }
}

impl Word {
    /// A word with nothing.
    pub const fn plain(text: &'static str, about: &'static str) -> Self {
        Word { text, about, with: With::Nothing }
    }

    /// A word with settings.
    pub const fn with(text: &'static str, about: &'static str, settings: &'static [Setting]) -> Self {
        Word { text, about, with: With::Settings(settings) }
    }

    /// Whether it can stand alone.
    pub fn alone(&self) -> bool {
        match self.with {
            With::Nothing => true,
            With::Settings(settings) => settings.iter().all(|s| s.default != Default::Required),
            With::Value(_) => false,
        }
    }
}

impl Kind {
    /// All that may be written for it: its own settings, then those of every layer.
    pub fn all_settings(&self) -> impl Iterator<Item = &'static Setting> + use<> {
        self.settings.iter().chain(LAYER_SETTINGS)
    }

    /// Whether its word can stand alone.
    pub fn alone(&self) -> bool {
        self.inputs == Inputs::One && self.settings.iter().all(|s| s.default != Default::Required)
    }
}
