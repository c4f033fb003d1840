//! A picture as SVG.
//!
//! Colours are plain fills, so that every program shows them; a style sheet changes them where the reader prefers dark.
//! Kinds differ in lightness too and have a stripe, so that they can be told apart in grey.

use super::{Card, Chart, ChartBox, Family, Line, Picture, Role, Text};
use std::fmt::Write;

/// Of corners.
const RADIUS: i32 = 6;
/// Of an arrow's head.
const HEAD: i32 = 7;

/// Class, fill, stripe; then both where it is dark.
const COLOURS: [(&str, [&str; 4]); 6] = [
    ("input", ["#ffffff", "#57606a", "#0d1117", "#8b949e"]),
    ("conv", ["#cfe3fb", "#1f6feb", "#15355f", "#58a6ff"]),
    ("linear", ["#dccbf5", "#6639ba", "#3a2463", "#bc8cff"]),
    ("pool", ["#e2f5e3", "#2da44e", "#16391f", "#56d364"]),
    ("pointwise", ["#fbeccb", "#bf8700", "#463408", "#e3b341"]),
    ("join", ["#eaeef2", "#6e7781", "#2b3138", "#b1bac4"]),
];

/// Colours of bars by the part of the limit that they reach, in fifths; then where it is dark.
const FIFTHS: [[&str; 2]; 5] = [
    ["#c4320a", "#f0603a"],
    ["#e8912d", "#e8912d"],
    ["#b9bfae", "#8d948a"],
    ["#6ba3d6", "#5a94cc"],
    ["#1a63b8", "#2f81e0"],
];

/// The SVG document.
pub fn svg(picture: &Picture) -> String {
    let title = picture.title.first().map(|text| text.text.as_str());
    let mut out = start(picture.width, picture.height, title, style);
    picture.title.iter().for_each(|text| self::text(&mut out, text));
    picture.lines.iter().for_each(|line| self::line(&mut out, line));
    picture.cards.iter().for_each(|card| self::card(&mut out, card));
    out.push_str("</svg>\n");
    out
}

/// The SVG document.
pub fn chart_svg(chart: &Chart) -> String {
    let title = chart.texts.first().map(|text| text.text.as_str());
    let mut out = start(chart.width, chart.height, title, chart_style);
    out.push_str(
        "<defs><pattern id=\"back\" width=\"5\" height=\"5\" patternUnits=\"userSpaceOnUse\" \
         patternTransform=\"rotate(45)\"><rect class=\"hatch\" width=\"1.6\" height=\"5\"/></pattern></defs>\n",
    );
    for (x, y, height) in &chart.scale {
        let _ = writeln!(out, "<path class=\"scale\" d=\"M{x:.1} {y}v{height}\"/>");
    }
    chart.boxes.iter().for_each(|bar| self::bar(&mut out, bar));
    for class in ["edge", "limit"] {
        for (x, y, height) in &chart.limits {
            let _ = writeln!(out, "<path class=\"{class}\" d=\"M{x:.1} {y}v{height}\"/>");
        }
    }
    chart.texts.iter().for_each(|text| self::text(&mut out, text));
    out.push_str("</svg>\n");
    out
}

/// A document's head, with the page as its ground.
fn start(width: i32, height: i32, title: Option<&str>, style: impl Fn(&mut String)) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"Helvetica, Arial, Liberation Sans, sans-serif\">"
    );
    style(&mut out);
    if let Some(title) = title {
        let _ = writeln!(out, "<title>{}</title>", escaped(title));
    }
    let _ = writeln!(out, "<rect class=\"page\" width=\"{width}\" height=\"{height}\"/>");
    out
}

fn chart_style(out: &mut String) {
    let scheme = |out: &mut String, [page, ink, detail, scale, plain]: [&str; 5], which: usize| {
        let _ = writeln!(out, ".page {{ fill: {page} }}\ntext {{ fill: {ink} }}\n.detail {{ fill: {detail} }}");
        let _ = writeln!(out, ".scale {{ stroke: {scale} }}\n.hatch {{ fill: {page}; fill-opacity: 0.55 }}");
        let _ =
            writeln!(out, ".limit {{ stroke: {ink}; stroke-width: 1.6 }}\n.edge {{ stroke: {page}; stroke-width: 4 }}");
        let _ = writeln!(out, ".plain {{ fill: {plain} }}");
        for (fifth, colours) in FIFTHS.iter().enumerate() {
            let _ = writeln!(out, ".fifth{fifth} {{ fill: {} }}", colours[which]);
        }
    };
    out.push_str("<style>\n");
    scheme(out, ["#ffffff", "#1f2328", "#4d5560", "#e3e7eb", "#8c959f"], 0);
    out.push_str("@media (prefers-color-scheme: dark) {\n");
    scheme(out, ["#0d1117", "#e6edf3", "#b7c0ca", "#262c34", "#6e7781"], 1);
    out.push_str("}\n</style>\n");
}

fn bar(out: &mut String, bar: &ChartBox) {
    let ChartBox { x, y, width, height, .. } = bar;
    let class = bar.fifth.map_or_else(|| "plain".to_owned(), |fifth| format!("fifth{fifth}"));
    let place = format!("x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{height}\"");
    let _ = write!(out, "<g>");
    if !bar.about.is_empty() {
        let _ = write!(out, "<title>{}</title>", escaped(&bar.about));
    }
    let _ = write!(out, "<rect class=\"{class}\" {place}/>");
    if bar.backward {
        let _ = write!(out, "<rect fill=\"url(#back)\" {place}/>");
    }
    out.push_str("</g>\n");
}

fn style(out: &mut String) {
    out.push_str("<style>\n.page { fill: #ffffff }\ntext { fill: #1f2328 }\n.detail { fill: #4d5560 }\n");
    out.push_str(".line { fill: none; stroke: #57606a; stroke-width: 1.5 }\n.head { fill: #57606a }\n");
    for (class, [fill, stripe, ..]) in COLOURS {
        let _ = writeln!(out, ".{class} {{ fill: {fill}; stroke: {stripe} }}\n.{class}-stripe {{ fill: {stripe} }}");
    }
    out.push_str("@media (prefers-color-scheme: dark) {\n.page { fill: #0d1117 }\ntext { fill: #e6edf3 }\n");
    out.push_str(".detail { fill: #b7c0ca }\n.line { stroke: #8b949e }\n.head { fill: #8b949e }\n");
    for (class, [.., fill, stripe]) in COLOURS {
        let _ = writeln!(out, ".{class} {{ fill: {fill}; stroke: {stripe} }}\n.{class}-stripe {{ fill: {stripe} }}");
    }
    out.push_str("}\n</style>\n");
}

fn card(out: &mut String, card: &Card) {
    let class = class(card.family);
    let Card { x, y, width, height, .. } = card;
    let _ = writeln!(out, "<g><title>{}</title>", escaped(&card.layers.join(", ")));
    let _ =
        writeln!(out, "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"5\"/>");
    let (top, bottom) = (y + 1, y + height - 1);
    let _ = writeln!(
        out,
        "<path class=\"{class}-stripe\" d=\"M{} {top}h-1a4 4 0 0 0 -4 4V{}a4 4 0 0 0 4 4h1z\"/>",
        x + 6,
        bottom - 4
    );
    card.texts.iter().for_each(|text| self::text(out, text));
    out.push_str("</g>\n");
}

fn class(family: Family) -> &'static str {
    match family {
        Family::Input => "input",
        Family::Conv => "conv",
        Family::Linear => "linear",
        Family::Pool => "pool",
        Family::Pointwise => "pointwise",
        Family::Join => "join",
    }
}

fn text(out: &mut String, text: &Text) {
    let class = if text.role == Role::Detail { " class=\"detail\"" } else { "" };
    let weight = if text.role.bold() { " font-weight=\"bold\"" } else { "" };
    let anchor = if text.ends { " text-anchor=\"end\"" } else { "" };
    let (x, y, size) = (text.x, text.y, text.role.size());
    let _ = writeln!(
        out,
        "<text{class} x=\"{x}\" y=\"{y}\" font-size=\"{size}\"{weight}{anchor}>{}</text>",
        escaped(&text.text)
    );
}

/// A line with round corners and an arrow's head.
fn line(out: &mut String, line: &Line) {
    let [.., before, end] = line.points[..] else { return };
    let (dx, dy) = ((end.0 - before.0).signum(), (end.1 - before.1).signum());
    let mut points = line.points.clone();
    if let Some(last) = points.last_mut() {
        *last = (end.0 - dx * HEAD, end.1 - dy * HEAD);
    }
    let mut path = String::new();
    let _ = write!(path, "M{} {}", points[0].0, points[0].1);
    for corner in points.windows(3) {
        let [a, b, c] = [corner[0], corner[1], corner[2]];
        let radius = RADIUS.min(length(a, b) / 2).min(length(b, c) / 2);
        let (p, q) = (towards(b, a, radius), towards(b, c, radius));
        let _ = write!(path, "L{} {}Q{} {} {} {}", p.0, p.1, b.0, b.1, q.0, q.1);
    }
    if let [.., (x, y)] = points[..] {
        let _ = write!(path, "L{x} {y}");
    }
    let _ = writeln!(out, "<path class=\"line\" d=\"{path}\"/>");
    let (x, y) = end;
    let (back, side) = ((x - dx * (HEAD + 1), y - dy * (HEAD + 1)), (dy * 4, dx * 4));
    let _ = writeln!(
        out,
        "<path class=\"head\" d=\"M{x} {y}L{} {}L{} {}z\"/>",
        back.0 + side.0,
        back.1 + side.1,
        back.0 - side.0,
        back.1 - side.1
    );
}

fn length(a: (i32, i32), b: (i32, i32)) -> i32 {
    (a.0 - b.0).abs() + (a.1 - b.1).abs()
}

/// The place `distance` from `a` on the way to `b`.
fn towards(a: (i32, i32), b: (i32, i32), distance: i32) -> (i32, i32) {
    (a.0 + (b.0 - a.0).signum() * distance, a.1 + (b.1 - a.1).signum() * distance)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
