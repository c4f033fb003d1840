//! Forms in words, as the descriptions of settings give them.

use super::{Bounds, Form, Lengths};
use std::fmt::{Display, Formatter, Result, Write};

impl Display for Form {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Form::Whole(0, _) => f.write_str("a whole number, 0 or more"),
            Form::Whole(..) => f.write_str("a whole number, 1 or more"),
            Form::Number(Bounds::Finite) => f.write_str("a number"),
            Form::Number(bounds) => write!(f, "a number {}", bounds.describe()),
            Form::Flag => f.write_str("`true` or `false`"),
            Form::Text => f.write_str("a name"),
            Form::Layer => f.write_str("the name of a layer"),
            Form::Words(words) | Form::Choice(words) => {
                for (i, word) in words.iter().enumerate() {
                    let before = if i == 0 { "" } else { ", " };
                    write!(f, "{before}`{}`", word.text)?;
                }
                Ok(())
            }
            Form::Settings(settings) => {
                f.write_char('{')?;
                for (i, setting) in settings.iter().enumerate() {
                    let before = if i == 0 { "" } else { ", " };
                    write!(f, "{before}{}", setting.name)?;
                }
                f.write_char('}')
            }
            Form::List(of, Lengths { least, most }) => match most {
                Some(most) if most == least => write!(f, "a list of {least}, each {of}"),
                _ => write!(f, "a list, each {of}"),
            },
            Form::Either(forms) => {
                for (i, form) in forms.iter().enumerate() {
                    let before = if i == 0 { "" } else { " or " };
                    write!(f, "{before}{form}")?;
                }
                Ok(())
            }
            Form::Named(of) => write!(f, "by name, each {of}"),
            Form::Layers => f.write_str("a list of layers"),
            Form::Any => f.write_str("any value"),
        }
    }
}
