//! The variants of a spec, each to be checked as a spec of its own.

use super::failure::Refused;
use super::{Checked, Failure, Text};
use crate::source::Sources;
use crate::spec::Spec;
use crate::spec::vary::{self, Axis};

/// The variants of a spec.
pub struct Variants {
    sources: Sources,
    spec: Spec,
    axes: Vec<Axis>,
    count: usize,
}

impl Variants {
    /// Those by the spec's section `vary` and by the `--vary` arguments; an argument stands in the place of an axis of its
    /// path. The spec itself must have been found right.
    pub fn of(text: &Text, arguments: &[String]) -> Result<Variants, Failure> {
        let (mut sources, spec) = (text.sources.clone(), text.spec.clone());
        let (mut axes, mut diagnostics) = vary::axes(&spec);
        for argument in arguments {
            match vary::axis(&spec, &mut sources, argument) {
                Ok(axis) => match axes.iter_mut().find(|other| other.path.text == axis.path.text) {
                    Some(other) => *other = axis,
                    None => axes.push(axis),
                },
                Err(wrong) => diagnostics.extend(wrong),
            }
        }
        let count = vary::count(&axes).unwrap_or_else(|wrong| {
            diagnostics.push(*wrong);
            0
        });
        if diagnostics.is_empty() {
            return Ok(Variants { sources, spec, axes, count });
        }
        Err(Failure::Spec(Refused { sources, diagnostics }))
    }

    /// What varies.
    pub fn axes(&self) -> impl Iterator<Item = &str> {
        self.axes.iter().map(|axis| axis.path.text.as_str())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether nothing varies.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The value of each axis in the variant number `index`, counted from 0.
    pub fn values(&self, index: usize) -> Vec<String> {
        vary::values(&self.axes, index)
    }

    /// The variant number `index`, counted from 0, in words: `conv1.stride=2, lrn=off`.
    pub fn name(&self, index: usize) -> String {
        let pairs: Vec<String> =
            self.axes().zip(self.values(index)).map(|(axis, value)| format!("{axis}={value}")).collect();
        pairs.join(", ")
    }

    /// The variant number `index`, counted from 0, as a spec of its own.
    pub fn get(&self, index: usize) -> Result<Text, Failure> {
        match vary::variant(&self.spec, &self.axes, index) {
            Ok(spec) => Ok(Text { sources: self.sources.clone(), spec }),
            Err(diagnostics) => Err(Failure::Spec(Refused { sources: self.sources.clone(), diagnostics })),
        }
    }

    /// Checks the variant number `index`, counted from 0. What is wrong says in which variant it is.
    pub fn check(&self, index: usize) -> Result<Checked, Failure> {
        self.get(index).and_then(super::check).map_err(|failure| match failure {
            Failure::Spec(mut refused) => {
                for diagnostic in &mut refused.diagnostics {
                    diagnostic.notes.push(format!("in the variant {}", self.name(index)));
                }
                Failure::Spec(refused)
            }
            other => other,
        })
    }
}
