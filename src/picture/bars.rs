//! Where time goes, as bars: a row a layer, forward and backward behind one another, coloured by how much of the machine's
//! limit each reaches.
//!
//! Takes [`Bars`], gives what is drawn where ([`chart`]), and that as SVG ([`chart_svg`](super::chart_svg)). Text stands
//! in columns beside the bars, so that none lies on another or on a bar.

use super::font::width;
use super::{Role, Text};

/// What the bars say.
#[derive(Debug, Clone, PartialEq)]
pub struct Bars {
    /// The heading: of what.
    pub title: String,
    /// Lines below it.
    pub notes: Vec<String>,
    /// The rows, from above.
    pub rows: Vec<BarRow>,
    /// Nanoseconds of which shares are told.
    pub whole: u64,
}

/// The bars of a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct BarRow {
    /// Its name.
    pub name: String,
    /// What stands behind the name, smaller in weight: the layers that it took along.
    pub along: String,
    /// The forward pass.
    pub forward: Option<Bar>,
    /// The backward pass.
    pub backward: Option<Bar>,
}

/// A time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bar {
    /// Nanoseconds that it took.
    pub time: u64,
    /// Nanoseconds that the machine needs at least, if that can be said.
    pub least: Option<f64>,
}

/// What is drawn where; lengths are CSS pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// All text.
    pub texts: Vec<Text>,
    /// The bars, the legend's too.
    pub boxes: Vec<ChartBox>,
    /// Where the machine's limits are: left, top, height of a line downwards.
    pub limits: Vec<(f64, i32, i32)>,
    /// Lines of the scale: left, top, height.
    pub scale: Vec<(f64, i32, i32)>,
    /// Size of the whole.
    pub width: i32,
    /// Size of the whole.
    pub height: i32,
}

/// A bar.
#[derive(Debug, Clone, PartialEq)]
pub struct ChartBox {
    /// Its colour: how much of the limit was reached, in fifths from 0; none where that cannot be said.
    pub fifth: Option<usize>,
    /// Whether it is of the backward pass.
    pub backward: bool,
    /// Left edge.
    pub x: f64,
    /// Top edge.
    pub y: i32,
    /// Size.
    pub width: f64,
    /// Size.
    pub height: i32,
    /// What a reader is told who points at it.
    pub about: String,
}

/// Around everything.
const MARGIN: i32 = 20;
/// From one row to the next.
const ROW: i32 = 20;
/// Of a bar.
const THICK: i32 = 12;
/// Of the longest bar.
const LONGEST: i32 = 460;
/// Between columns.
const GAP: i32 = 12;
/// Characters of a row's name.
const NAME: usize = 44;

/// Places everything.
pub fn chart(bars: &Bars) -> Chart {
    let mut chart =
        Chart { texts: Vec::new(), boxes: Vec::new(), limits: Vec::new(), scale: Vec::new(), width: 0, height: 0 };
    let mut y = MARGIN;
    for (i, line) in std::iter::once(&bars.title).chain(&bars.notes).enumerate() {
        let role = if i == 0 { Role::Title } else { Role::Detail };
        y += role.size() + 5;
        chart.text(line, role, MARGIN, y, false);
    }
    y += GAP + 4;
    chart.legend(bars, y);
    y += ROW + GAP + THICK;
    let longest = bars.rows.iter().map(BarRow::time).max().unwrap_or(0).max(1);
    let unit = Unit::of(longest);
    let names = bars.rows.iter().map(|row| width(&row.label(), Role::Detail)).max().unwrap_or(0);
    let left = MARGIN + names + GAP;
    let pixels = f64::from(LONGEST) / longest as f64;
    let heads = [unit.name().to_owned(), "share".to_owned(), "of limit".to_owned()];
    let cells: Vec<[String; 3]> = bars.rows.iter().map(|row| row.cells(bars.whole, unit)).collect();
    let mut right = left + LONGEST;
    let columns: Vec<i32> = (0..3)
        .map(|column| {
            let texts = cells.iter().map(|cells| &cells[column]).chain([&heads[column]]);
            right += GAP + texts.map(|text| width(text, Role::Detail)).max().unwrap_or(0);
            right
        })
        .collect();
    heads.iter().zip(&columns).for_each(|(head, &x)| chart.text(head, Role::Detail, x, y, true));
    let bottom = y + 8 + ROW * bars.rows.len() as i32;
    for (time, label) in unit.scale(longest) {
        let x = f64::from(left) + time * pixels;
        let middle = x.round() as i32 - width(&label, Role::Detail) / 2;
        chart.text(&label, Role::Detail, middle, y, false);
        chart.scale.push((x, y + 5, bottom - y - 5));
    }
    y += 8;
    for (row, cells) in bars.rows.iter().zip(&cells) {
        let base = y + ROW / 2 + 4;
        chart.text(&row.label(), Role::Detail, MARGIN, base, false);
        chart.bars(row, f64::from(left), y + (ROW - THICK) / 2, pixels, unit);
        cells.iter().zip(&columns).for_each(|(cell, &x)| chart.text(cell, Role::Detail, x, base, true));
        y += ROW;
    }
    let ends = chart.texts.iter().map(|text| if text.ends { text.x } else { text.x + width(&text.text, text.role) });
    chart.width = ends.max().unwrap_or(0) + MARGIN;
    chart.height = bottom + MARGIN;
    chart
}

impl Chart {
    fn text(&mut self, text: &str, role: Role, x: i32, y: i32, ends: bool) {
        if !text.is_empty() {
            self.texts.push(Text { text: text.to_owned(), role, x, y, ends });
        }
    }

    /// What the colours and marks mean.
    fn legend(&mut self, bars: &Bars, y: i32) {
        let mut x = MARGIN;
        let mut entry = |chart: &mut Chart, label: &str, swatch: Option<(Option<usize>, bool)>| {
            let top = y - THICK + 2;
            if let Some((fifth, backward)) = swatch {
                let (width, about) = (20.0, String::new());
                chart.boxes.push(ChartBox { fifth, backward, x: f64::from(x), y: top, width, height: THICK, about });
                x += 20 + 5;
            }
            chart.text(label, Role::Detail, x, y, false);
            x += width(label, Role::Detail) + GAP;
        };
        entry(self, "of the limit:", None);
        for (fifth, label) in ["below 20 %", "40 %", "60 %", "80 %", "and above"].into_iter().enumerate() {
            entry(self, label, Some((Some(fifth), false)));
        }
        if bars.rows.iter().any(|row| row.backward.is_some()) {
            entry(self, "backward", Some((None, true)));
        }
        let top = y - THICK + 2;
        self.limits.push((f64::from(x + 2), top - 2, THICK + 4));
        self.text("limit of the machine", Role::Detail, x + 9, y, false);
    }

    fn bars(&mut self, row: &BarRow, left: f64, y: i32, pixels: f64, unit: Unit) {
        let mut x = left;
        for (bar, backward) in [(row.forward, false), (row.backward, true)] {
            let Some(bar) = bar else { continue };
            let long = bar.time as f64 * pixels;
            let of_limit = bar.least.map(|least| least / bar.time.max(1) as f64);
            let pass = if backward { "backward" } else { "forward" };
            let mut about = format!("{}, {pass}: {} {}", row.label(), unit.number(bar.time as f64), unit.name());
            if let Some(part) = of_limit {
                about += &format!(", {:.0} % of the limit", 100.0 * part);
            }
            let fifth = of_limit.map(|part| ((part * 5.0) as usize).min(4));
            // So that two of the same colour are two.
            let drawn = if long > 2.0 { long - 0.5 } else { long };
            self.boxes.push(ChartBox { fifth, backward, x, y, width: drawn, height: THICK, about });
            // On a shorter bar the mark would hide it.
            if let Some(part) = of_limit
                && long >= 8.0
            {
                self.limits.push((x + long * part.min(1.0), y - 2, THICK + 4));
            }
            x += long;
        }
    }
}

impl BarRow {
    fn passes(&self) -> impl Iterator<Item = Bar> {
        [self.forward, self.backward].into_iter().flatten()
    }

    fn time(&self) -> u64 {
        self.passes().map(|bar| bar.time).sum()
    }

    fn label(&self) -> String {
        let label = if self.along.is_empty() { self.name.clone() } else { format!("{} {}", self.name, self.along) };
        shortened(&label, NAME)
    }

    /// Time, share of the whole, and part of the limit.
    fn cells(&self, whole: u64, unit: Unit) -> [String; 3] {
        let time = self.time();
        let share = 100.0 * time as f64 / whole.max(1) as f64;
        let least: Option<f64> = self.passes().map(|bar| bar.least).sum();
        let limit = least.map_or_else(String::new, |least| format!("{:.0} %", 100.0 * least / time.max(1) as f64));
        [unit.number(time as f64), format!("{share:.1} %"), limit]
    }
}

/// A text of at most so many characters: what is longer loses its middle.
pub fn shortened(text: &str, most: usize) -> String {
    let count = text.chars().count();
    if count <= most {
        return text.to_owned();
    }
    let head: String = text.chars().take(most / 2).collect();
    let tail: String = text.chars().skip(count - (most - most / 2).saturating_sub(1)).collect();
    format!("{head}…{tail}")
}

/// In what a table's times are told, all in the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Microseconds, to a tenth.
    Microseconds,
    /// Milliseconds, to a hundredth.
    Milliseconds,
}

impl Unit {
    /// What suits times of which the largest has so many nanoseconds.
    pub fn of(nanoseconds: u64) -> Unit {
        if nanoseconds < 10_000_000 { Unit::Microseconds } else { Unit::Milliseconds }
    }

    /// Its sign.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Microseconds => "µs",
            Unit::Milliseconds => "ms",
        }
    }

    /// Nanoseconds in it.
    pub fn number(self, nanoseconds: f64) -> String {
        match self {
            Unit::Microseconds => format!("{:.1}", nanoseconds / 1e3),
            Unit::Milliseconds => format!("{:.2}", nanoseconds / 1e6),
        }
    }

    /// Round times from 0 to `longest` nanoseconds, at most seven, with their labels.
    fn scale(self, longest: u64) -> Vec<(f64, String)> {
        let one = match self {
            Unit::Microseconds => 1e3,
            Unit::Milliseconds => 1e6,
        };
        let longest = longest as f64 / one;
        let decade = 10f64.powf(longest.log10().floor() - 1.0);
        let steps = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0].map(|step| step * decade);
        let step = steps.into_iter().find(|step| longest / step <= 6.0).unwrap_or(longest);
        let places = (-step.log10().floor()).max(0.0) as usize;
        let count = (longest / step + 1e-6).floor() as usize;
        (0..=count).map(|i| (i as f64 * step * one, format!("{:.places$}", i as f64 * step))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_lose_their_middle() {
        assert_eq!(shortened("conv1", 5), "conv1");
        assert_eq!(shortened("abcdefghij", 6), "abc…ij");
        assert_eq!(shortened("abcdefghij", 1), "…");
    }

    #[test]
    fn scales_are_round() {
        let labels = |unit: Unit, longest| unit.scale(longest).into_iter().map(|(_, label)| label).collect::<Vec<_>>();
        assert_eq!(labels(Unit::Milliseconds, 330_000_000), ["0", "100", "200", "300"]);
        assert_eq!(labels(Unit::Microseconds, 1_234), ["0.0", "0.5", "1.0"]);
        assert_eq!(labels(Unit::Microseconds, 1), ["0.0000", "0.0002", "0.0004", "0.0006", "0.0008", "0.0010"]);
        assert_eq!(Unit::of(9_999_999), Unit::Microseconds);
        assert_eq!(Unit::Milliseconds.number(12_345_678.0), "12.35");
    }
}
