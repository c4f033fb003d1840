//! What the vocabulary knows of a place: the settings or the values that may stand there.

use super::place::{Place, Step};
use crate::check::vocabulary::{self, Form, Kind, SECTIONS, Setting, USE_SETTINGS, With};

/// What may stand somewhere.
#[derive(Debug, Clone)]
pub(super) enum Meaning {
    /// A map with these keys.
    Settings(Vec<&'static Setting>),
    /// A value.
    Value(Form),
    /// A layer.
    Layer,
    /// The settings of a block's use.
    Use(String),
    /// Something that netc does not know.
    Unknown,
}

/// What the innermost thing around a place is.
pub(super) fn meaning(place: &Place) -> Meaning {
    let mut meaning = Meaning::Settings(SECTIONS.iter().collect());
    for step in &place.path {
        meaning = inner(meaning, step);
    }
    meaning
}

/// The keys that a map may have.
pub(super) fn keys(meaning: &Meaning) -> Vec<&'static Setting> {
    match meaning {
        Meaning::Settings(settings) => settings.clone(),
        Meaning::Value(form) => settings_of(form),
        Meaning::Use(_) => USE_SETTINGS.iter().collect(),
        Meaning::Layer | Meaning::Unknown => Vec::new(),
    }
}

fn inner(meaning: Meaning, step: &Step) -> Meaning {
    match (meaning, step) {
        (Meaning::Settings(settings), Step::Key(key)) => {
            settings.iter().find(|s| s.name == key).map_or(Meaning::Unknown, |s| value(s.form))
        }
        (Meaning::Value(form), step) => within(&form, step).unwrap_or(Meaning::Unknown),
        (Meaning::Layer, Step::Key(kind)) => match vocabulary::kind(kind) {
            Some(kind) => Meaning::Settings(all(&kind)),
            None => Meaning::Use(kind.clone()),
        },
        (Meaning::Use(_), Step::Key(key)) => {
            USE_SETTINGS.iter().find(|s| s.name == key).map_or(Meaning::Value(Form::Any), |s| value(s.form))
        }
        _ => Meaning::Unknown,
    }
}

/// All settings of a kind.
pub(super) fn all(kind: &Kind) -> Vec<&'static Setting> {
    kind.all_settings().collect()
}

fn value(form: Form) -> Meaning {
    Meaning::Value(form)
}

fn within(form: &Form, step: &Step) -> Option<Meaning> {
    match (form, step) {
        (Form::Settings(settings), Step::Key(key)) => settings.iter().find(|s| s.name == key).map(|s| value(s.form)),
        (Form::Choice(words), Step::Key(key)) => {
            let word = words.iter().find(|w| w.text == key)?;
            Some(match word.with {
                With::Nothing => Meaning::Settings(Vec::new()),
                With::Settings(settings) => Meaning::Settings(settings.iter().collect()),
                With::Value(form) => value(*form),
            })
        }
        (Form::List(of, _), Step::Item) => Some(value(**of)),
        (Form::Either(forms), step) => forms.iter().find_map(|form| within(form, step)),
        (Form::Named(of), Step::Key(_)) => Some(value(**of)),
        (Form::Layers, Step::Item) => Some(Meaning::Layer),
        _ => None,
    }
}

fn settings_of(form: &Form) -> Vec<&'static Setting> {
    match form {
        Form::Settings(settings) => settings.iter().collect(),
        Form::Either(forms) => forms.iter().flat_map(settings_of).collect(),
        _ => Vec::new(),
    }
}

/// The words that a value may be, and whether they may have settings.
pub(super) fn words(form: &Form) -> Vec<(&'static vocabulary::Word, bool)> {
    match form {
        Form::Words(words) => words.iter().map(|w| (w, false)).collect(),
        Form::Choice(words) => words.iter().map(|w| (w, true)).collect(),
        Form::Either(forms) => forms.iter().flat_map(words).collect(),
        _ => Vec::new(),
    }
}

/// Whether a value may name a layer.
pub(super) fn names_layer(form: &Form) -> bool {
    match form {
        Form::Layer => true,
        Form::Either(forms) => forms.iter().any(names_layer),
        Form::List(of, _) => names_layer(of),
        _ => false,
    }
}

/// Whether a value may be arithmetic.
pub(super) fn arithmetic(form: &Form) -> bool {
    match form {
        Form::Whole(..) | Form::Number(_) | Form::Flag | Form::Any => true,
        Form::Either(forms) => forms.iter().any(arithmetic),
        Form::List(of, _) => arithmetic(of),
        _ => false,
    }
}

/// Whether a value may be true or false.
pub(super) fn flag(form: &Form) -> bool {
    matches!(form, Form::Flag)
}

/// The block that a place is within, if it is within one.
pub(super) fn block(place: &Place) -> Option<&str> {
    match place.path.as_slice() {
        [Step::Key(section), Step::Key(block), ..] if section == "blocks" => Some(block),
        _ => None,
    }
}
