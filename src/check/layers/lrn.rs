//! `lrn`: local response normalisation across channels or within each map.

use super::{Definition, Inputs, Operand, Resolved, image};
use crate::check::init::Defaults;
use crate::check::reader::{Bounds, LARGEST, Reader, choice};
use crate::check::vocabulary::{Form, Setting, Word};
use crate::check::{LayerKind, LrnRegion};
use crate::diag::{Code, Diagnostic};

/// The layer.
pub(super) const DEFINITION: Definition = Definition {
    word: "lrn",
    synonyms: &["norm", "local_response_norm", "localresponsenorm", "local_response_normalization", "cmrnorm"],
    inputs: Inputs::One,
    about: "Local response normalisation: divides by (k + s·Σx²)^β over neighbouring channels or pixels",
    settings: SETTINGS,
    resolve,
};

/// The widest window: no network has as many channels or pixels to normalise over.
const WIDEST: usize = 1 << 16;

const SETTINGS: &[Setting] = &[
    Setting::optional("size", Form::Whole(1, WIDEST), "5", "Channels in the window, or pixels along its side"),
    Setting::optional("alpha", Form::Number(Bounds::NotNegative), "1.0e-4", "α"),
    Setting::optional("beta", Form::Number(Bounds::NotNegative), "0.75", "β, the exponent"),
    Setting::optional("k", Form::Number(Bounds::Positive), "1", "k, which keeps the divisor from 0"),
    Setting::optional(
        "divide_by_size",
        Form::Flag,
        "true",
        "Whether s = α/size, within a map α/size², as PyTorch, Caffe and ONNX, or s = α, as the paper of 2012",
    ),
    Setting::optional("groups", Form::Whole(1, LARGEST), "1", "Groups of channels that windows do not cross"),
    Setting::optional("region", Form::Words(REGION), "channels", "What the window lies in"),
];

const REGION: &[Word] = &[
    Word::plain("channels", "The channels around it at the same pixel"),
    Word::plain("map", "A square of the pixels around it in the same channel, as Caffe's WITHIN_CHANNEL"),
];

fn resolve(reader: &mut Reader<'_, '_>, operands: Option<&[Operand]>, _: &Defaults) -> Option<Resolved> {
    let size = match reader.get("size") {
        Some(value) => reader.whole("size", value, 1).and_then(|size| {
            let fits = size <= WIDEST;
            if !fits {
                reader.out_of_range("size", value, &format!("a whole number from 1 to {WIDEST}"), None);
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
    let within_map = reader.word_or("region", &["channels", "map"], "channels").map(|word| word == "map");
    if let (Some(true), Some(2..)) = (within_map, groups) {
        return groups_of_a_map(reader);
    }
    let (operand, [channels, ..]) = image(reader, operands?.first()?)?;
    let groups = groups?;
    if channels % groups != 0 {
        let span = reader.span_of("groups").unwrap_or(reader.span);
        let message = format!("{}: {groups} groups do not divide {channels} channels", reader.owner);
        reader.report(super::with_source(Diagnostic::error(Code::GroupMismatch, span, message), operand));
        return None;
    }
    let region = if within_map? { LrnRegion::Map } else { LrnRegion::Channels { groups } };
    let kind =
        LayerKind::Lrn { region, size: size?, alpha: alpha?, beta: beta?, k: k?, divide_by_size: divide_by_size? };
    Some(Resolved::plain(kind, operand.shape.clone()))
}

/// Reports groups of channels where no window has more than one channel.
fn groups_of_a_map(reader: &mut Reader<'_, '_>) -> Option<Resolved> {
    let span = reader.span_of("groups").unwrap_or(reader.span);
    let message = format!("{}: `groups` has no meaning within a map, whose windows hold one channel", reader.owner);
    let mut diagnostic = Diagnostic::error(Code::UnusedSetting, span, message);
    if let Some(region) = reader.span_of("region") {
        diagnostic = diagnostic.label(region, "normalises within each map");
    }
    if let Some(edit) = reader.removal("groups") {
        diagnostic = diagnostic.fix(choice("without groups".to_string(), String::new(), edit));
    }
    reader.report(diagnostic);
    None
}
