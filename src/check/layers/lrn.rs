//! `lrn`: local response normalisation across channels.

use super::{Definition, Inputs, Operand, Resolved, image};
use crate::check::LayerKind;
use crate::check::init::Defaults;
use crate::check::reader::{Bounds, LARGEST, Reader};
use crate::check::vocabulary::{Form, Setting};
use crate::diag::{Code, Diagnostic};

/// The layer.
pub(super) const DEFINITION: Definition = Definition {
    word: "lrn",
    synonyms: &["norm", "local_response_norm", "localresponsenorm", "local_response_normalization", "cmrnorm"],
    inputs: Inputs::One,
    about: "Local response normalisation: divides by (k + s·Σx²)^β over neighbouring channels",
    settings: SETTINGS,
    resolve,
};

/// The widest window: no network has as many channels to normalise over.
const WIDEST: usize = 1 << 16;

const SETTINGS: &[Setting] = &[
    Setting::optional("size", Form::Whole(1, WIDEST), "5", "Channels in the window"),
    Setting::optional("alpha", Form::Number(Bounds::NotNegative), "1.0e-4", "α"),
    Setting::optional("beta", Form::Number(Bounds::NotNegative), "0.75", "β, the exponent"),
    Setting::optional("k", Form::Number(Bounds::Positive), "1", "k, which keeps the divisor from 0"),
    Setting::optional(
        "divide_by_size",
        Form::Flag,
        "true",
        "Whether s = α/size, as PyTorch, Caffe and ONNX, or s = α, as the paper of 2012",
    ),
    Setting::optional("groups", Form::Whole(1, LARGEST), "1", "Groups of channels that windows do not cross"),
];

fn resolve(reader: &mut Reader<'_, '_>, operands: Option<&[Operand]>, _: &Defaults) -> Option<Resolved> {
    let size = match reader.get("size") {
        Some(value) => reader.whole("size", value, 1).and_then(|size| {
            let fits = size <= WIDEST;
            if !fits {
                reader.out_of_range("size", value, &format!("a whole number from 1 to {WIDEST}"));
            }
            fits.then_some(size)
        }),
        None => Some(5),
    };
    let alpha = reader.number_or("alpha", Bounds::NotNegative, 1e-4);
    let beta = reader.number_or("beta", Bounds::NotNegative, 0.75);
    let k = reader.number_or("k", Bounds::Positive, 1.0);
    let divide_by_size = reader.flag_or("divide_by_size", true);
    let groups = reader.count_or("groups", 1, 1);
    let (operand, [channels, ..]) = image(reader, operands?.first()?)?;
    let groups = groups?;
    if channels % groups != 0 {
        let span = reader.span_of("groups").unwrap_or(reader.span);
        let message = format!("{}: {groups} groups do not divide {channels} channels", reader.owner);
        reader.report(super::with_source(Diagnostic::error(Code::GroupMismatch, span, message), operand));
        return None;
    }
    let kind =
        LayerKind::Lrn { size: size?, alpha: alpha?, beta: beta?, k: k?, divide_by_size: divide_by_size?, groups };
    Some(Resolved::plain(kind, operand.shape.clone()))
}
