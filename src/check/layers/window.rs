//! The size rule: how a sliding window tiles a padded image.
//!
//! `(W − F + P)/S + 1`, with dilation D F is `D·(F − 1) + 1`. A remainder is an error that shows the arithmetic and the
//! edits that make it exact, unless the layer says how to round.

use super::{Operand, shape_text};
use crate::check::reader::{LARGEST, Reader, alone, choice};
use crate::check::vocabulary::{Form, Lengths, Setting, Word};
use crate::check::{Derivation, Padding};
use crate::diag::{Applicability, Code, Diagnostic, Edit, Fix, closest};
use crate::spec::{Data, Value};

/// A window as written.
pub(super) struct Window {
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub dilation: [usize; 2],
    pub padding: Sides,
    pub rounding: Option<Rounding>,
    /// Pooling: `ceil` lets the last window hang over the edge; convolution: `ceil` pads more.
    pub pooling: bool,
}

/// Padding as written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Sides {
    Given(Padding),
    /// As much as gives ⌈W/S⌉ windows, the odd pixel after.
    Same,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Rounding {
    Floor,
    Ceil,
}

/// How the window tiles an image.
pub(super) struct Tiling {
    /// Height, width.
    pub size: [usize; 2],
    pub padding: Padding,
    pub derivations: Vec<Derivation>,
}

/// One axis of a window on an image.
#[derive(Clone, Copy)]
struct Axis {
    letter: char,
    image: usize,
    kernel: usize,
    dilation: usize,
    stride: usize,
    before: usize,
    after: usize,
}

impl Axis {
    /// The window's extent.
    fn extent(&self) -> usize {
        self.dilation * (self.kernel - 1) + 1
    }

    /// How far the window can move: `W − F + P`.
    fn travel(&self) -> Option<usize> {
        (self.image + self.before + self.after).checked_sub(self.extent())
    }

    fn formula(&self) -> String {
        let w = self.letter;
        match self.dilation {
            1 => format!("({w} − F + P)/S + 1"),
            _ => format!("({w} − (D·(F − 1) + 1) + P)/S + 1"),
        }
    }

    fn numbers(&self) -> String {
        let padding = match (self.before, self.after) {
            (0, 0) => "0".to_string(),
            (before, after) => format!("({before} + {after})"),
        };
        let window = match self.dilation {
            1 => self.kernel.to_string(),
            d => format!("({d}·({} − 1) + 1)", self.kernel),
        };
        format!("({} − {window} + {padding})/{} + 1", self.image, self.stride)
    }
}

/// Reads `kernel_size`, `stride`, `padding`, `rounding`, and `dilation` unless pooling.
pub(super) fn read(reader: &mut Reader<'_, '_>, pooling: bool) -> Option<Window> {
    let kernel = reader.pair("kernel_size");
    let stride = match reader.get("stride") {
        Some(value) => reader.pair_of("stride", value),
        None if pooling => kernel,
        None => Some([1, 1]),
    };
    let padding = match reader.get("padding") {
        Some(value) => padding(reader, value),
        None => Some(Sides::Given(Padding::default())),
    };
    let dilation = if pooling { Some([1, 1]) } else { reader.pair_or("dilation", [1, 1]) };
    let rounding = reader.word_or("rounding", &["floor", "ceil"], "").map(|word| match word {
        "floor" => Some(Rounding::Floor),
        "ceil" => Some(Rounding::Ceil),
        _ => None,
    });
    let sides = padding;
    let window = (|| {
        let (kernel, stride, dilation, padding) = (kernel?, stride?, dilation?, padding?);
        Some(Window { kernel, stride, dilation, padding, rounding: rounding?, pooling })
    })();
    reader.at_most = match &window {
        Some(window) => reader.at_most.and_then(|image| bound(reader, window, image)),
        // A window of one pixel gives the largest result.
        None => match sides {
            Some(Sides::Given(p)) => reader.at_most.map(|[h, w]| [h + p.top + p.bottom, w + p.left + p.right]),
            Some(Sides::Same) => reader.at_most,
            None => None,
        },
    };
    if let (true, Some(kernel), Some(Sides::Given(padding))) = (pooling, kernel, sides) {
        sees_image(reader, kernel, padding)?;
    }
    window
}

/// Whether each pooling window sees the image, and not padding alone.
fn sees_image(reader: &mut Reader<'_, '_>, kernel: [usize; 2], padding: Padding) -> Option<()> {
    let sides = [[padding.top, padding.bottom], [padding.left, padding.right]];
    let Some(i) = (0..2).find(|&i| sides[i].iter().any(|&p| p >= kernel[i])) else { return Some(()) };
    let (widest, side) = (sides[i][0].max(sides[i][1]), ["height", "width"][i]);
    let message = format!("some windows of {} would see no image", reader.owner);
    let span = reader.span_of("padding").unwrap_or(reader.span);
    let diagnostic = Diagnostic::error(Code::PaddingTooLarge, span, message);
    reader.report(diagnostic.at(format!("padding {widest} must be less than the window's {side}, {}", kernel[i])));
    None
}

/// What the result's height and width cannot exceed if the image's do not exceed `image`. Reports a window that is too
/// large for any such image if nothing else is known of it.
fn bound(reader: &mut Reader<'_, '_>, window: &Window, image: [usize; 2]) -> Option<[usize; 2]> {
    let axes = axes(window, image);
    let Some(i) = (0..2).find(|&i| axes[i].travel().is_none()) else {
        return Some(axes.map(|a| a.travel().unwrap_or(0).div_ceil(a.stride) + 1));
    };
    if reader.unknown {
        let (axis, side) = (&axes[i], ["height", "width"][i]);
        let message = format!("the window of {} is larger than its padded input", reader.owner);
        let padded = axis.image + axis.before + axis.after;
        let span = reader.span_of("kernel_size").unwrap_or(reader.span);
        reader.report(
            Diagnostic::error(Code::WindowTooLarge, span, message).at(format!("{side} {}", axis.extent())).note(
                format!("the padded {side} is at most {} + {} + {} = {padded}", axis.image, axis.before, axis.after),
            ),
        );
    }
    None
}

fn padding(reader: &mut Reader<'_, '_>, value: &Value) -> Option<Sides> {
    const FORMS: &str = "a number, [before, after], {top, bottom, left, right} or `same`";
    let sides = |before, after| Sides::Given(Padding { top: before, bottom: after, left: before, right: after });
    match &value.data {
        Data::Integer(_) | Data::Real(_) => reader.whole("padding", value, 0).map(|p| sides(p, p)),
        Data::List(items) => match items.as_slice() {
            [before, after] => {
                let (before, after) = (reader.whole("padding", before, 0), reader.whole("padding", after, 0));
                Some(sides(before?, after?))
            }
            _ => {
                let message = format!("`padding` must be {FORMS}, but has {} values", items.len());
                let mut diagnostic = Diagnostic::error(Code::WrongType, value.span, message);
                if items.len() == 4 {
                    diagnostic = diagnostic.note("name the four sides: {top: …, bottom: …, left: …, right: …}");
                }
                diagnostic = diagnostic.fixes(alone(value).map(|n| Fix::maybe(n.clone(), value.span, n)));
                reader.report(diagnostic);
                None
            }
        },
        Data::Map(map) => {
            let mut inner = reader.nested("padding", value.span, map);
            let sides = ["top", "bottom", "left", "right"].map(|key| inner.count_or(key, 0, 0));
            inner.finish();
            let [top, bottom, left, right] = sides;
            Some(Sides::Given(Padding { top: top?, bottom: bottom?, left: left?, right: right? }))
        }
        Data::Text(text) if text == "same" => Some(Sides::Same),
        Data::Text(text) => {
            let message = format!("`padding` must be {FORMS}, but is `{text}`");
            let mut diagnostic = Diagnostic::error(Code::UnknownWord, value.span, message);
            match text.to_ascii_lowercase().as_str() {
                "valid" | "none" => diagnostic = diagnostic.fix(Fix::sure("0", value.span, "0")),
                "same" | "same_upper" => diagnostic = diagnostic.fix(Fix::sure("same", value.span, "same")),
                word => {
                    let near = closest(word, ["same"]).map(|_| Fix::maybe("did you mean `same`?", value.span, "same"));
                    diagnostic = diagnostic.fixes(near);
                }
            }
            reader.report(diagnostic);
            None
        }
        Data::Null | Data::Flag(_) => {
            reader.wrong_type("padding", value, FORMS);
            None
        }
    }
}

/// One number for both axes or `[height, width]`.
pub(super) const PAIR: Form =
    Form::Either(&[Form::Whole(1, LARGEST), Form::List(&Form::Whole(1, LARGEST), Lengths { least: 2, most: Some(2) })]);

pub(super) const KERNEL_SIZE: Setting =
    Setting::required("kernel_size", PAIR, "The window: one number or `[height, width]`");

const SIDE: Form = Form::Whole(0, LARGEST);

pub(super) const PADDING: Setting = Setting::optional(
    "padding",
    Form::Either(&[
        SIDE,
        Form::List(&SIDE, Lengths { least: 2, most: Some(2) }),
        Form::Settings(&[
            Setting::optional("top", SIDE, "0", "Rows above"),
            Setting::optional("bottom", SIDE, "0", "Rows below"),
            Setting::optional("left", SIDE, "0", "Columns before"),
            Setting::optional("right", SIDE, "0", "Columns after"),
        ]),
        Form::Words(&[Word::plain("same", "As much as gives ⌈W/S⌉ windows, the odd pixel after")]),
    ]),
    "0",
    "Pixels around the image: one number, `[before, after]` on both axes, by side, or `same`",
);

pub(super) const ROUNDING: Setting = Setting::open(
    "rounding",
    Form::Words(&[
        Word::plain("floor", "The rest of the image is never read"),
        Word::plain("ceil", "One window more: a convolution pads, a pooling window hangs over the edge"),
    ]),
    "a size that is not whole is an error",
    "What to do where the windows do not fit the image exactly",
);

/// The settings of windows that pool.
pub(super) const POOL_SETTINGS: &[Setting] = &[
    KERNEL_SIZE,
    Setting::open("stride", PAIR, "kernel_size", "How far the window moves: one number or `[height, width]`"),
    PADDING,
    ROUNDING,
];

/// The axes of a window on an image of this height and width.
fn axes(window: &Window, image: [usize; 2]) -> [Axis; 2] {
    [0, 1].map(|i| {
        let mut axis = Axis {
            letter: ['H', 'W'][i],
            image: image[i],
            kernel: window.kernel[i],
            dilation: window.dilation[i],
            stride: window.stride[i],
            before: 0,
            after: 0,
        };
        match window.padding {
            Sides::Given(p) => [axis.before, axis.after] = [[p.top, p.bottom], [p.left, p.right]][i],
            Sides::Same => {
                let reach = (axis.image.div_ceil(axis.stride) - 1) * axis.stride + axis.extent();
                let total = reach.saturating_sub(axis.image);
                [axis.before, axis.after] = [total / 2, total - total / 2];
            }
        }
        axis
    })
}

/// Slides the window over an image of this height and width.
pub(super) fn tile(
    reader: &mut Reader<'_, '_>,
    window: &Window,
    operand: &Operand,
    image: [usize; 2],
) -> Option<Tiling> {
    let mut axes = axes(window, image);
    fits(reader, operand, &axes)?;
    let remainders = axes.map(|a| a.travel().map_or(0, |t| t % a.stride));
    let rounding = match window.padding {
        Sides::Same => Some(window.rounding.unwrap_or(Rounding::Floor)),
        Sides::Given(_) => window.rounding,
    };
    if remainders != [0, 0] {
        match rounding {
            None => {
                let diagnostic = inexact(reader, window, operand, &axes);
                reader.report(diagnostic);
                return None;
            }
            Some(Rounding::Floor) => {
                let given = if let Sides::Given(padding) = window.padding { Some(padding) } else { None };
                warn_unread(reader, &axes, remainders, given);
            }
            Some(Rounding::Ceil) => {}
        }
    }
    warn_large(reader, operand, &axes);
    let exact = axes.map(|a| decimal(&a));
    let written = axes;
    let mut size = [0, 0];
    for (i, axis) in axes.iter_mut().enumerate() {
        let travel = axis.travel()?;
        size[i] = travel / axis.stride + 1;
        if remainders[i] > 0 && rounding == Some(Rounding::Ceil) {
            if !window.pooling {
                axis.after += axis.stride - remainders[i];
                size[i] += 1;
            } else if size[i] * axis.stride < axis.image + axis.before {
                size[i] += 1;
            }
        }
    }
    let padded = axes.map(|a| a.image + a.before + a.after);
    let channels = operand.shape.first().copied().unwrap_or(1);
    if channels.saturating_mul(padded[0]).saturating_mul(padded[1]) > LARGEST {
        let shape = shape_text(&[channels, padded[0], padded[1]]);
        let message = format!("the padded input of {} has the shape {shape}", reader.owner);
        let span = reader.span_of("padding").unwrap_or(reader.span);
        let diagnostic = Diagnostic::error(Code::SizeLimit, span, message);
        reader.report(diagnostic.note(format!("a tensor has at most {LARGEST} elements, its padding included")));
        return None;
    }
    let derivation = |what: &str, i: usize| Derivation {
        what: what.to_string(),
        formula: written[i].formula(),
        numbers: written[i].numbers(),
        result: if remainders[i] == 0 { exact[i].clone() } else { format!("{} → {}", exact[i], size[i]) },
    };
    let alike = written[0].numbers() == written[1].numbers();
    let derivations = match alike {
        true => vec![derivation("height and width", 1)],
        false => vec![derivation("height", 0), derivation("width", 1)],
    };
    let [rows, columns] = axes;
    let padding = Padding { top: rows.before, bottom: rows.after, left: columns.before, right: columns.after };
    Some(Tiling { size, padding, derivations })
}

/// Whether there is room for one window.
fn fits(reader: &mut Reader<'_, '_>, operand: &Operand, axes: &[Axis; 2]) -> Option<()> {
    for (i, axis) in axes.iter().enumerate() {
        let side = ["height", "width"][i];
        if axis.extent() > LARGEST {
            let message = format!("the dilated window of {} is {} pixels in {side}", reader.owner, axis.extent());
            let span = reader.span_of("dilation").unwrap_or(reader.span);
            reader.report(Diagnostic::error(Code::SizeLimit, span, message));
            return None;
        }
        if axis.travel().is_none() {
            let message = format!("the window of {} is larger than its padded input", reader.owner);
            let padded = axis.image + axis.before + axis.after;
            let span = reader.span_of("kernel_size").unwrap_or(reader.span);
            let diagnostic = Diagnostic::error(Code::WindowTooLarge, span, message)
                .at(format!("{side} {}", axis.extent()))
                .label(
                    operand.size_spans.get(i + 1).copied().unwrap_or(reader.span),
                    size_label(operand, i, axis.image),
                )
                .note(format!("the padded {side} is {} + {} + {} = {padded}", axis.image, axis.before, axis.after));
            reader.report(diagnostic);
            return None;
        }
    }
    Some(())
}

/// Warns of a window that is larger than the image without its padding.
fn warn_large(reader: &mut Reader<'_, '_>, operand: &Operand, axes: &[Axis; 2]) {
    let Some(i) = (0..2).find(|&i| axes[i].extent() > axes[i].image) else { return };
    let (axis, side) = (&axes[i], ["height", "width"][i]);
    let message = format!("the window of {} is larger than the map that it reads", reader.owner);
    let span = reader.span_of("kernel_size").unwrap_or(reader.span);
    let source = operand.size_spans.get(i + 1).copied().unwrap_or(reader.span);
    let diagnostic =
        Diagnostic::warning(Code::WindowLargerThanMap, span, message).at(format!("{side} {}", axis.extent()));
    reader.report(diagnostic.label(source, size_label(operand, i, axis.image)));
}

fn size_label(operand: &Operand, axis: usize, size: usize) -> String {
    let side = ["height", "width"][axis];
    if operand.is_input {
        return format!("{side} {size}");
    }
    let of_side = |d: &&Derivation| d.what == side || d.what == "height and width";
    let arithmetic = operand.derivations.iter().find(of_side).map(|d| format!(": {} = {}", d.numbers, d.result));
    format!("{} gives {side} {size}{}", operand.origin, arithmetic.unwrap_or_default())
}

/// The exact result of the size rule, as `55` or `54.75`; four decimals at most.
fn decimal(axis: &Axis) -> String {
    let travel = axis.travel().unwrap_or(0);
    let (whole, rest) = (travel / axis.stride + 1, travel % axis.stride);
    if rest == 0 {
        return whole.to_string();
    }
    let text = format!("{:.4}", rest as f64 / axis.stride as f64);
    let decimals = text.trim_start_matches('0').trim_end_matches('0');
    if decimals.starts_with('.') && decimals.len() > 1 {
        format!("{whole}{decimals}")
    } else {
        format!("{whole} + {rest}/{}", axis.stride)
    }
}

fn inexact(reader: &Reader<'_, '_>, window: &Window, operand: &Operand, axes: &[Axis; 2]) -> Diagnostic {
    let message = format!("{} does not tile its input", reader.owner);
    let remainders = axes.map(|a| a.travel().map_or(0, |t| t % a.stride));
    let wrong = if remainders[1] > 0 { 1 } else { 0 };
    let axis = &axes[wrong];
    let (span, text) = match reader.span_of("padding") {
        Some(span) => (span, padding_label(axis)),
        None => (reader.span_of("stride").unwrap_or(reader.span), format!("stride {}, no padding", axis.stride)),
    };
    let source = operand.size_spans.get(wrong + 1).copied().unwrap_or(reader.span);
    let both = axes[0].numbers() == axes[1].numbers();
    let what = if both { "height and width" } else { ["height", "width"][wrong] };
    Diagnostic::error(Code::InexactSize, span, message)
        .at(text)
        .label(source, size_label(operand, wrong, axis.image))
        .because(Derivation {
            what: what.to_string(),
            formula: axis.formula(),
            numbers: axis.numbers(),
            result: decimal(axis),
        })
        .fixes(remedies(reader, window, operand, axes, remainders))
}

fn padding_label(axis: &Axis) -> String {
    match (axis.before, axis.after) {
        (b, a) if b == a => format!("{b} on each side"),
        (b, a) => format!("{b} before, {a} after"),
    }
}

/// The edits that make the size whole, padding first.
fn remedies(
    reader: &Reader<'_, '_>,
    window: &Window,
    operand: &Operand,
    axes: &[Axis; 2],
    remainders: [usize; 2],
) -> Vec<Fix> {
    let mut fixes = Vec::new();
    let missing = [0, 1].map(|i| if remainders[i] == 0 { 0 } else { axes[i].stride - remainders[i] });
    let floor = axes.map(|a| a.travel().unwrap_or(0) / a.stride + 1);
    let ceil = [0, 1].map(|i| floor[i] + usize::from(remainders[i] > 0));
    let padded = |totals: [usize; 2]| totals.map(|t| [t / 2, t - t / 2]);
    let allowed =
        |sides: [[usize; 2]; 2]| !window.pooling || (0..2).all(|i| sides[i].iter().all(|&p| p < axes[i].kernel));
    let totals = axes.map(|a| a.before + a.after);
    let mut offer = |sides: [[usize; 2]; 2], size: [usize; 2]| {
        if allowed(sides) {
            let text = sides_text(sides);
            let edit = reader.edit("padding", &text);
            fixes.push(choice(format!("padding: {text}"), format!("{}, exact", size_text(size)), edit));
        }
    };
    offer(padded([totals[0] + missing[0], totals[1] + missing[1]]), ceil);
    if (0..2).all(|i| totals[i] >= remainders[i]) {
        offer(padded([totals[0] - remainders[0], totals[1] - remainders[1]]), floor);
    }
    let unread = unread_text(axes, remainders);
    let effect = format!("{}; {unread} never read", size_text(floor));
    fixes.push(choice("rounding: floor".to_string(), effect, reader.edit("rounding", "floor")));
    let how = if window.pooling { "the last window hangs over the edge" } else { "pads more below and right" };
    let reaches = (0..2).all(|i| remainders[i] == 0 || floor[i] * axes[i].stride < axes[i].image + axes[i].before);
    if !window.pooling || reaches {
        let effect = format!("{}; {how}", size_text(ceil));
        fixes.push(choice("rounding: ceil".to_string(), effect, reader.edit("rounding", "ceil")));
    }
    if operand.is_input && operand.size_spans.len() == 3 {
        let sizes = [0, 1].map(|i| axes[i].image + missing[i]);
        let edits = [0, 1].map(|i| Edit { span: operand.size_spans[i + 1], text: sizes[i].to_string() });
        fixes.push(Fix {
            title: format!("input shape [{}, {}, {}]", operand.shape[0], sizes[0], sizes[1]),
            effect: format!("{}, exact", size_text(ceil)),
            edits: edits.to_vec(),
            applicability: Applicability::Maybe,
        });
    }
    fixes
}

/// Padding in its shortest form.
fn sides_text([rows, columns]: [[usize; 2]; 2]) -> String {
    match (rows, columns) {
        ([t, b], [l, r]) if t == b && l == r && t == l => t.to_string(),
        (rows, columns) if rows == columns => format!("[{}, {}]", rows[0], rows[1]),
        ([t, b], [l, r]) => format!("{{top: {t}, bottom: {b}, left: {l}, right: {r}}}"),
    }
}

fn size_text([height, width]: [usize; 2]) -> String {
    if height == width { height.to_string() } else { format!("{height} × {width}") }
}

/// What windows that end early leave out, as `2 image columns and 1 padded column are`.
fn unread_text(axes: &[Axis; 2], remainders: [usize; 2]) -> String {
    let words = if remainders[0] == remainders[1] && axes[0].after == axes[1].after {
        vec![("row and column", "rows and columns", 0)]
    } else {
        [("row", "rows", 0), ("column", "columns", 1)].into_iter().filter(|w| remainders[w.2] > 0).collect()
    };
    let mut parts = Vec::new();
    let mut total = 0;
    for (one, more, i) in words {
        let padded = remainders[i].min(axes[i].after);
        for (count, of) in [(remainders[i] - padded, "image"), (padded, "padded")] {
            if count > 0 {
                parts.push(format!("{count} {of} {}", if count == 1 { one } else { more }));
                total += if one.contains(' ') { 2 } else { count };
            }
        }
    }
    format!("{} {}", parts.join(" and "), if total == 1 { "is" } else { "are" })
}

fn warn_unread(reader: &mut Reader<'_, '_>, axes: &[Axis; 2], remainders: [usize; 2], padding: Option<Padding>) {
    let span = reader.span_of("rounding").or(reader.span_of("padding")).unwrap_or(reader.span);
    let pixels = (0..2).any(|i| remainders[i] > axes[i].after);
    let (code, what) = match pixels {
        true => (Code::UnreadPixels, "pixels out"),
        false => (Code::UnreadPadding, "padding unread"),
    };
    let message = format!("{} leaves {what}: {} never read", reader.owner, unread_text(axes, remainders));
    let i = if remainders[1] > 0 { 1 } else { 0 };
    let derivation = Derivation {
        what: if axes[0].numbers() == axes[1].numbers() { "height and width" } else { ["height", "width"][i] }
            .to_string(),
        formula: axes[i].formula(),
        numbers: axes[i].numbers(),
        result: decimal(&axes[i]),
    };
    // Without the padding that nothing reads the result is the same.
    let trimmed = padding.filter(|_| !pixels).map(|p| {
        let [rows, columns] = remainders;
        sides_text([[p.top, p.bottom - rows], [p.left, p.right - columns]])
    });
    let fix = trimmed
        .map(|text| choice(format!("padding: {text}"), "the same result".to_string(), reader.edit("padding", &text)));
    reader.report(Diagnostic::warning(code, span, message).because(derivation).fixes(fix));
}
