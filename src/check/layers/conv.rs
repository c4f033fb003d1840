//! `conv`: two-dimensional cross-correlation.

use super::{BIAS, Definition, Inputs, Operand, Resolved, elements, image, window};
use crate::check::LayerKind;
use crate::check::init::{self, Defaults};
use crate::check::reader::{LARGEST, Reader};
use crate::check::vocabulary::{Form, PARAM_SETTINGS, Setting};
use crate::diag::{Code, Diagnostic};

/// The layer.
pub(super) const DEFINITION: Definition = Definition {
    word: "conv",
    synonyms: &["conv2d", "convolution", "convolution2d", "convolutional", "conv_2d"],
    inputs: Inputs::One,
    about: "Two-dimensional convolution: each kernel slides over all channels of the image",
    settings: SETTINGS,
    resolve,
};

const SETTINGS: &[Setting] = &[
    Setting::required("kernels", Form::Whole(1, LARGEST), "Output channels"),
    window::KERNEL_SIZE,
    Setting::optional("stride", window::PAIR, "1", "How far the window moves: one number or `[height, width]`"),
    window::PADDING,
    Setting::optional("dilation", window::PAIR, "1", "Distance between the window's pixels"),
    Setting::optional("groups", Form::Whole(1, LARGEST), "1", "Groups of channels that do not see each other"),
    BIAS,
    window::ROUNDING,
    PARAM_SETTINGS[0],
    PARAM_SETTINGS[1],
    PARAM_SETTINGS[2],
];

fn resolve(reader: &mut Reader<'_, '_>, operands: Option<&[Operand]>, defaults: &Defaults) -> Option<Resolved> {
    let kernels = reader.count("kernels");
    let window = window::read(reader, false);
    let groups = reader.count_or("groups", 1, 1);
    let bias = reader.flag_or("bias", true);
    let settings = init::settings(reader, "conv", defaults);
    if let (None, Some(kernels), Some(groups)) = (operands, kernels, groups) {
        divides(reader, None, kernels, groups)?;
    }
    let (operand, [channels, height, width]) = image(reader, operands?.first()?)?;
    let (kernels, window, groups, bias, settings) = (kernels?, window?, groups?, bias?, settings?);
    let divides = divides(reader, Some((operand, channels)), kernels, groups);
    let tiling = window::tile(reader, &window, operand, [height, width]);
    divides?;
    let tiling = tiling?;
    let shape = vec![kernels, tiling.size[0], tiling.size[1]];
    let outputs = elements(reader, "the result", &shape)?;
    let weight = vec![kernels, channels / groups, window.kernel[0], window.kernel[1]];
    let weights = elements(reader, "the weight", &weight)?;
    let params = init::params(reader, &settings, weight, bias.then_some(kernels))?;
    Some(Resolved {
        kind: LayerKind::Conv {
            kernels,
            kernel_size: window.kernel,
            stride: window.stride,
            padding: tiling.padding,
            dilation: window.dilation,
            groups,
            bias,
        },
        shape,
        derivations: tiling.derivations,
        params,
        macs: outputs as u64 * (weights / kernels) as u64,
    })
}

/// Whether the groups divide the channels going in, if those are known, and the kernels.
fn divides(
    reader: &mut Reader<'_, '_>,
    operand: Option<(&Operand, usize)>,
    kernels: usize,
    groups: usize,
) -> Option<()> {
    let channels = operand.map(|(_, channels)| (channels, "input channels"));
    let uneven = channels.into_iter().chain([(kernels, "kernels")]).find(|(n, _)| n % groups != 0);
    let Some((count, what)) = uneven else { return Some(()) };
    let message = format!("{}: {groups} groups do not divide {count} {what}", reader.owner);
    let span = reader.span_of("groups").unwrap_or(reader.span);
    let mut diagnostic = Diagnostic::error(Code::GroupMismatch, span, message);
    diagnostic = diagnostic.at(format!("{count}/{groups} is not whole"));
    if what == "kernels" {
        if let Some(span) = reader.span_of("kernels") {
            diagnostic = diagnostic.label(span, format!("{kernels} kernels"));
        }
    } else if let Some((operand, span)) = operand.and_then(|(o, _)| Some((o, *o.size_spans.first()?))) {
        diagnostic = diagnostic.label(span, format!("{} gives {count} channels", operand.origin));
    }
    let both = if channels.is_some() { "both" } else { "them" };
    let channels = channels.map_or(kernels, |(channels, _)| channels);
    let fitting: Vec<String> = (1..=channels.min(kernels).min(4096))
        .filter(|g| channels.is_multiple_of(*g) && kernels.is_multiple_of(*g))
        .map(|g| g.to_string())
        .collect();
    if !fitting.is_empty() && fitting.len() <= 24 {
        diagnostic = diagnostic.note(format!("groups that divide {both}: {}", fitting.join(", ")));
    }
    reader.report(diagnostic);
    None
}
