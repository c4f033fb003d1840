//! The section `preprocess`: from an image file to the input tensor.

use super::reader::{Bounds, Pick, Reader, alone, choice};
use super::{Preprocess, shape_text};
use crate::diag::{Code, Diagnostic, Fix};
use crate::spec::{Data, Spec, Value};
use netc_runtime::program::{CropInfo, PreprocessInfo, ResizeInfo};

/// The section, or what holds without one: pixels over 255. `None` if it is wrong. `input`: the input's shape, if it is
/// known.
pub(super) fn preprocess(spec: &Spec, input: Option<&[usize]>, problems: &mut Vec<Diagnostic>) -> Option<Preprocess> {
    let channels = input.and_then(|shape| shape.first().copied());
    let Some(setting) = spec.sections.get("preprocess") else {
        let channels = channels.unwrap_or(1);
        return Some(Preprocess {
            geometry: PreprocessInfo { resize: None, crop: CropInfo::None, flip: 0.0, bgr: false },
            unit_range: true,
            mean: vec![0.0; channels],
            std: vec![1.0; channels],
        });
    };
    let Data::Map(map) = &setting.value.data else {
        let message = format!("`preprocess` must be settings, but is {}", setting.value.data.describe());
        problems.push(Diagnostic::error(Code::WrongType, setting.value.span, message));
        return None;
    };
    let mut reader = Reader::new("preprocess", setting.key.span, map, problems);
    let resize = match reader.get("resize") {
        Some(value) => resize(&mut reader, value),
        None => Some(None),
    };
    let crop = match reader.get("crop") {
        Some(value) => crop(&mut reader, value),
        None => Some(CropInfo::None),
    };
    let flip = reader.number_or("flip", Bounds::Unit, 0.0);
    let range = match reader.get("range") {
        Some(value) => match reader.whole("range", value, 1) {
            Some(n @ (1 | 255)) => Some(n),
            Some(_) => {
                let both = ["1", "255"].map(|n| Fix::maybe(n, value.span, n));
                reader.out_of_range("range", value, "1 or 255", both);
                None
            }
            None => None,
        },
        None => Some(1),
    };
    let mean = by_channel(&mut reader, "mean", Bounds::Finite, 0.0, channels);
    let std = by_channel(&mut reader, "std", Bounds::Positive, 1.0, channels);
    let order = reader.word_or("channels", &["rgb", "bgr"], "rgb");
    if let (Some("bgr"), Some(channels)) = (order, channels.filter(|&c| c != 3)) {
        let span = reader.span_of("channels").unwrap_or(reader.span);
        let message = format!("`bgr` needs 3 channels, but the input has {channels}");
        reader.report(Diagnostic::error(Code::ChannelCount, span, message).fix(Fix::maybe(
            "channels: rgb",
            span,
            "rgb",
        )));
    }
    if let (Some(resize), Some(crop), Some(input)) = (resize, crop, input) {
        gives(&mut reader, resize, crop, input);
    }
    reader.finish();
    Some(Preprocess {
        geometry: PreprocessInfo { resize: resize?, crop: crop?, flip: flip? as f32, bgr: order? == "bgr" },
        unit_range: range? == 1,
        mean: mean?,
        std: std?,
    })
}

/// The shorter side or `[height, width]`.
fn resize(reader: &mut Reader<'_, '_>, value: &Value) -> Option<Option<ResizeInfo>> {
    match &value.data {
        Data::List(_) => {
            let [height, width] = reader.pair_of("resize", value)?;
            Some(Some(ResizeInfo::Exact { height, width }))
        }
        Data::Text(text) if text == "none" => Some(None),
        _ => reader.whole("resize", value, 1).map(|side| Some(ResizeInfo::ShorterSide(side))),
    }
}

fn crop(reader: &mut Reader<'_, '_>, value: &Value) -> Option<CropInfo> {
    let Pick { word, span, map } = reader.pick_of("crop", value, &["none", "center", "random"])?;
    let mut inner = reader.nested(word, span, &map);
    let crop = match word {
        "none" => Some(CropInfo::None),
        "center" => Some(CropInfo::Center),
        _ => inner.count_or("padding", 0, 0).map(|padding| match padding {
            0 => CropInfo::Random,
            padding => CropInfo::PaddedRandom(padding),
        }),
    };
    inner.finish();
    crop
}

/// One number for every channel or a list.
fn by_channel(
    reader: &mut Reader<'_, '_>,
    key: &'static str,
    bounds: Bounds,
    default: f64,
    channels: Option<usize>,
) -> Option<Vec<f64>> {
    let count = channels.unwrap_or(1);
    let Some(value) = reader.get(key) else { return Some(vec![default; count]) };
    let Data::List(items) = &value.data else {
        return reader.number_of(key, value, bounds).map(|x| vec![x; count]);
    };
    let numbers: Vec<Option<f64>> = items.iter().map(|item| reader.number_of(key, item, bounds)).collect();
    if let Some(channels) = channels.filter(|&c| c != items.len()) {
        let count = if items.len() == 1 { "1 number".to_string() } else { format!("{} numbers", items.len()) };
        let message = format!("`{key}` has {count}, but the input has {channels} channels");
        let diagnostic = Diagnostic::error(Code::ChannelCount, value.span, message);
        let one = alone(value).or_else(|| mean(&numbers).filter(|_| channels == 1).map(|x| format!("{x}")));
        let fix = one.map(|n| Fix::maybe(n.clone(), value.span, n).effect("for every channel"));
        reader.report(diagnostic.note("write one number a channel, or one for all").fixes(fix));
        return None;
    }
    numbers.into_iter().collect()
}

/// The mean, to four decimals.
fn mean(numbers: &[Option<f64>]) -> Option<f64> {
    let numbers: Vec<f64> = numbers.iter().copied().collect::<Option<_>>()?;
    let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
    Some((mean * 1e4).round() / 1e4).filter(|x| x.is_finite() && *x > 0.0)
}

/// Whether what resize and crop give is sure to be the input's size.
fn gives(reader: &mut Reader<'_, '_>, resize: Option<ResizeInfo>, crop: CropInfo, input: &[usize]) {
    let Some(span) = reader.span_of("resize").or(reader.span_of("crop")) else { return };
    let [_, height, width] = input[..] else {
        let message = format!("the input is {}, no image: it cannot be resized or cropped", shape_text(input));
        reader.report(Diagnostic::error(Code::PreprocessSize, span, message));
        return;
    };
    let border = match crop {
        CropInfo::PaddedRandom(padding) => padding.saturating_mul(2),
        CropInfo::None | CropInfo::Center | CropInfo::Random => 0,
    };
    let problem = match (resize, crop) {
        (None, _) => None,
        (Some(ResizeInfo::Exact { height: h, width: w }), CropInfo::None) => (h != height || w != width)
            .then(|| format!("images are resized to {h} × {w}, but the input is {height} × {width}")),
        (Some(ResizeInfo::Exact { height: h, width: w }), _) => {
            let (h, w) = (h.saturating_add(border), w.saturating_add(border));
            (h < height || w < width).then(|| format!("{height} × {width} cannot be cropped from {h} × {w}"))
        }
        (Some(ResizeInfo::ShorterSide(side)), CropInfo::None) => (height != width || side != height)
            .then(|| format!("images whose shorter side is {side} are not sure to be {height} × {width}")),
        (Some(ResizeInfo::ShorterSide(side)), _) => {
            let side = side.saturating_add(border);
            (side < height.max(width))
                .then(|| format!("{height} × {width} cannot be cropped from images whose shorter side is {side}"))
        }
    };
    if let Some(message) = problem {
        let mut diagnostic = Diagnostic::error(Code::PreprocessSize, span, message);
        if crop == CropInfo::None {
            diagnostic =
                diagnostic.note(format!("resize to [{height}, {width}], or say `crop: center` or `crop: random`"));
        }
        let edit = |key: &str, value: &str| choice(format!("{key}: {value}"), String::new(), reader.edit(key, value));
        let larger = match resize {
            Some(ResizeInfo::ShorterSide(_)) if crop != CropInfo::None => height.max(width).to_string(),
            _ => format!("[{height}, {width}]"),
        };
        let large = match resize {
            Some(ResizeInfo::ShorterSide(side)) => side >= height.max(width),
            Some(ResizeInfo::Exact { height: h, width: w }) => h >= height && w >= width,
            None => false,
        };
        let mut fixes = vec![edit("resize", &larger)];
        if large && crop == CropInfo::None {
            fixes.extend([edit("crop", "center"), edit("crop", "random")]);
        }
        reader.report(diagnostic.fixes(fixes));
    }
}
