//! The kinds of layers: one file each, one line each in [`DEFINITIONS`].
//!
//! A layer reads its settings, sees the shapes it is given and says what it gives: shape with derivation, parameters,
//! multiply-adds. To add one, write its file and its line; the rest follows from [`LayerKind`]'s exhaustive matches.

mod adaptive_avgpool;
mod add;
mod avgpool;
mod batchnorm;
mod concat;
mod conv;
mod dropout;
mod flatten;
mod global_avgpool;
mod linear;
mod lrn;
mod maxpool;
mod pointwise;
mod softmax;
mod window;

use super::init::Defaults;
use super::reader::{LARGEST, Reader};
use super::vocabulary::{Form, Setting};
use super::{Derivation, LayerKind, Param, shape_text};
use crate::diag::{Code, Diagnostic};
use crate::source::Span;

/// A kind of layer.
pub(super) struct Definition {
    /// Its word.
    pub word: &'static str,
    /// What other tools call it.
    pub synonyms: &'static [&'static str],
    /// How many layers it reads.
    pub inputs: Inputs,
    /// What it does: one sentence without a full stop.
    pub about: &'static str,
    /// All that [`resolve`](Self::resolve) asks for.
    pub settings: &'static [Setting],
    /// Reads the settings and resolves the layer. Without `operands`, because something before it is wrong, it reads
    /// the settings for their own errors. `None` means that an error was reported here or before.
    pub resolve: fn(&mut Reader<'_, '_>, Option<&[Operand]>, &Defaults) -> Option<Resolved>,
}

/// How many layers a layer reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inputs {
    /// One.
    One,
    /// Two or more.
    Many,
}

/// What a layer reads.
#[derive(Debug, Clone)]
pub(super) struct Operand {
    /// Name of the layer that gives it.
    pub name: String,
    /// `[C, H, W]` or `[F]`.
    pub shape: Vec<usize>,
    /// For each size, where it is written; for a layer's result, where the layer is.
    pub size_spans: Vec<Span>,
    /// Whether its sizes are those of the network's input, which the user can change.
    pub is_input: bool,
    /// The layer that its shape comes from: itself, or the one before layers that pass a shape on.
    pub origin: String,
    /// How that layer's shape came about.
    pub derivations: Vec<Derivation>,
}

/// What a layer turns out to be.
#[derive(Debug)]
pub(super) struct Resolved {
    pub kind: LayerKind,
    pub shape: Vec<usize>,
    pub derivations: Vec<Derivation>,
    pub params: Vec<Param>,
    pub macs: u64,
}

impl Resolved {
    /// A layer with no parameters, no arithmetic behind its shape and no multiply-adds.
    fn plain(kind: LayerKind, shape: Vec<usize>) -> Self {
        Resolved { kind, shape, derivations: Vec::new(), params: Vec::new(), macs: 0 }
    }
}

/// Every kind of layer.
pub(super) const DEFINITIONS: &[Definition] = &[
    conv::DEFINITION,
    linear::DEFINITION,
    pointwise::RELU,
    pointwise::SIGMOID,
    pointwise::TANH,
    softmax::DEFINITION,
    lrn::DEFINITION,
    maxpool::DEFINITION,
    avgpool::DEFINITION,
    global_avgpool::DEFINITION,
    adaptive_avgpool::DEFINITION,
    dropout::DEFINITION,
    flatten::DEFINITION,
    batchnorm::DEFINITION,
    add::DEFINITION,
    concat::DEFINITION,
];

/// The setting `bias` of layers that have one.
const BIAS: Setting = Setting::optional("bias", Form::Flag, "true", "Whether a bias is added");

/// The operand as an image, or a report that it is none.
fn image<'a>(reader: &mut Reader<'_, '_>, operand: &'a Operand) -> Option<(&'a Operand, [usize; 3])> {
    if let [channels, height, width] = operand.shape[..] {
        return Some((operand, [channels, height, width]));
    }
    let shape = shape_text(&operand.shape);
    let message =
        format!("{} needs an image [channels, height, width], but {} gives {shape}", reader.owner, operand.name);
    let diagnostic = Diagnostic::error(Code::WrongRank, reader.span, message);
    reader.report(with_source(diagnostic, operand));
    None
}

/// Points at where the operand's shape comes from.
fn with_source(diagnostic: Diagnostic, operand: &Operand) -> Diagnostic {
    let whole = operand.size_spans.iter().copied().reduce(Span::to);
    match whole {
        Some(span) => diagnostic.label(span, given(&operand.origin, &operand.shape, &operand.derivations)),
        None => diagnostic,
    }
}

/// What a layer gives and the arithmetic behind it: `conv1 gives 96×55×55: (224 − 11 + (1 + 2))/4 + 1 = 55`.
pub(super) fn given(name: &str, shape: &[usize], derivations: &[Derivation]) -> String {
    let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
    let mut text = format!("{name} gives {}", sizes.join("×"));
    // What a linear layer reads is not what it gives.
    let own: Vec<&Derivation> = derivations.iter().filter(|d| d.what != "inputs").collect();
    for (i, derivation) in own.iter().enumerate() {
        let what = if own.len() > 1 { format!("{} ", derivation.what) } else { String::new() };
        let sign = if i == 0 { ":" } else { ";" };
        text.push_str(&format!("{sign} {what}{} = {}", derivation.numbers, derivation.result));
    }
    text
}

/// The number of elements, or a report that they are too many.
pub(super) fn elements(reader: &mut Reader<'_, '_>, what: &str, shape: &[usize]) -> Option<usize> {
    let product = shape.iter().try_fold(1usize, |product, &size| product.checked_mul(size));
    match product {
        Some(n) if n <= LARGEST => Some(n),
        _ => {
            let message = format!("{what} of {} would have the shape {}", reader.owner, shape_text(shape));
            let diagnostic = Diagnostic::error(Code::SizeLimit, reader.span, message);
            reader.report(diagnostic.note(format!("a tensor has at most {LARGEST} elements")));
            None
        }
    }
}
