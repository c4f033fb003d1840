//! The boxes of a network and what is written in them.

use super::{Card, Family, Role, Text, width};
use crate::check::report::{grouped, scaled};
use crate::check::{Layer, LayerId, LayerKind, LrnRegion, Network, Padding};
use std::collections::BTreeMap;

/// Space between a box's edge and its text.
const MARGIN: i32 = 12;
/// From one baseline to the next.
const LEADING: i32 = 17;
/// The longest name that is shown in full, in characters.
const LONGEST: usize = 40;

/// Who feeds whom, by index of boxes.
pub(super) type Edges = Vec<(usize, usize)>;

/// The boxes at the origin, with their sizes, and the connections between them.
pub(super) fn cards(network: &Network) -> (Vec<Card>, Edges) {
    let mut readers: BTreeMap<LayerId, usize> = BTreeMap::new();
    for (id, _) in network.layers() {
        for input in network.inputs(id) {
            *readers.entry(input).or_default() += 1;
        }
    }
    let mut holders: BTreeMap<LayerId, usize> = BTreeMap::new();
    let mut chains: Vec<Vec<LayerId>> = Vec::new();
    let mut edges = Edges::new();
    for (id, layer) in network.layers() {
        let inputs = network.inputs(id);
        // What is in no box stands in none that is read twice: a line must end at the right layer.
        let host = match inputs.as_slice() {
            [input] if folds(&layer.kind) && readers.get(input) == Some(&1) => holders.get(input).copied(),
            _ => None,
        };
        let host = host.filter(|&card| network.layer(chains[card][0]).kind != LayerKind::Input);
        match host {
            Some(card) => {
                chains[card].push(id);
                holders.insert(id, card);
            }
            None => {
                let card = chains.len();
                chains.push(vec![id]);
                holders.insert(id, card);
                edges.extend(inputs.iter().filter_map(|input| Some((*holders.get(input)?, card))));
            }
        }
    }
    let mut cards: Vec<Card> = chains.iter().map(|chain| card(network, chain)).collect();
    // All of one width, so that columns are straight.
    let widest = cards.iter().map(|card| card.width).max().unwrap_or(0);
    for card in &mut cards {
        card.width = widest;
        for text in card.texts.iter_mut().filter(|text| text.ends) {
            text.x = widest - MARGIN;
        }
    }
    (cards, edges)
}

/// The heading: name and totals.
pub(super) fn title(network: &Network) -> Vec<Text> {
    let totals = format!("{} params · {} MACs per image", grouped(network.param_count()), scaled(network.macs()));
    let text = |text, role, y| Text { text, role, x: 0, y, ends: false };
    vec![text(network.name.clone(), Role::Title, 0), text(totals, Role::Detail, LEADING)]
}

/// Whether a layer changes each element only, so that it can stand in the box of what it reads.
fn folds(kind: &LayerKind) -> bool {
    match kind {
        LayerKind::Relu
        | LayerKind::Sigmoid
        | LayerKind::Tanh
        | LayerKind::Lrn { .. }
        | LayerKind::Dropout { .. }
        | LayerKind::BatchNorm { .. }
        | LayerKind::Softmax
        | LayerKind::Flatten => true,
        LayerKind::Input
        | LayerKind::Conv { .. }
        | LayerKind::Linear { .. }
        | LayerKind::MaxPool(_)
        | LayerKind::AvgPool { .. }
        | LayerKind::AdaptiveAvgPool { .. }
        | LayerKind::Add
        | LayerKind::Concat => false,
    }
}

fn family(kind: &LayerKind) -> Family {
    match kind {
        LayerKind::Input => Family::Input,
        LayerKind::Conv { .. } => Family::Conv,
        LayerKind::Linear { .. } => Family::Linear,
        LayerKind::MaxPool(_) | LayerKind::AvgPool { .. } | LayerKind::AdaptiveAvgPool { .. } => Family::Pool,
        LayerKind::Add | LayerKind::Concat => Family::Join,
        LayerKind::Relu
        | LayerKind::Sigmoid
        | LayerKind::Tanh
        | LayerKind::Lrn { .. }
        | LayerKind::Dropout { .. }
        | LayerKind::BatchNorm { .. }
        | LayerKind::Softmax
        | LayerKind::Flatten => Family::Pointwise,
    }
}

/// A box with its rows: name and shape, settings and parameters, what was folded into it.
fn card(network: &Network, chain: &[LayerId]) -> Card {
    let layers: Vec<&Layer> = chain.iter().map(|&id| network.layer(id)).collect();
    let (first, last) = (layers[0], layers[layers.len() - 1]);
    let detail = |left: String, right: String| [(left, Role::Detail), (right, Role::Detail)];
    let mut rows = vec![[(short(&first.name), Role::Name), (sizes(&first.shape), Role::Shape)]];
    let params: u64 = layers.iter().map(|layer| layer.param_count()).sum();
    let mut folded: Vec<String> = layers[1..].iter().map(|layer| settings(layer)).collect();
    let mut row = settings(first);
    match params {
        // Without a number beside it there is room for what follows.
        0 => {
            for text in folded.drain(..folded.len().min(2)) {
                row.push_str(&format!(" + {text}"));
            }
            rows.push(detail(row, String::new()));
        }
        _ => rows.push(detail(row, format!("{} params", amount(params)))),
    }
    for line in folded.chunks(3) {
        rows.push(detail(format!("+ {}", line.join(" + ")), String::new()));
    }
    if first.shape != last.shape
        && let Some(row) = rows.last_mut()
    {
        row[1].0 = sizes(&last.shape);
    }
    let mut texts = Vec::new();
    let mut widest = 0;
    for (i, row) in rows.iter().enumerate() {
        let y = MARGIN + 9 + LEADING * i32::try_from(i).unwrap_or(0);
        let [left, right] = row;
        let gap = if left.0.is_empty() || right.0.is_empty() { 0 } else { 16 };
        widest = widest.max(width(&left.0, left.1) + gap + width(&right.0, right.1));
        for ((text, role), ends) in [(left, false), (right, true)] {
            if !text.is_empty() {
                texts.push(Text { text: text.clone(), role: *role, x: MARGIN, y, ends });
            }
        }
    }
    let height = 2 * MARGIN + 13 + LEADING * (i32::try_from(rows.len()).unwrap_or(1) - 1);
    let layers = layers.iter().map(|layer| layer.name.clone()).collect();
    Card { layers, family: family(&first.kind), x: 0, y: 0, width: widest + 2 * MARGIN, height, texts }
}

/// A name, its middle left out if it is very long.
fn short(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    if letters.len() <= LONGEST {
        return name.to_string();
    }
    let (head, tail) = (&letters[..LONGEST / 2], &letters[letters.len() - LONGEST / 2 + 1..]);
    head.iter().chain(&['…']).chain(tail).collect()
}

/// The kind with the settings that matter, as `conv 11×11/4, pad [1, 2]`.
fn settings(layer: &Layer) -> String {
    match &layer.kind {
        LayerKind::Input => "input".to_string(),
        LayerKind::Conv { kernel_size, stride, padding, dilation, groups, .. } => {
            let mut text = format!("conv {}{}{}", pair(*kernel_size), strided(*stride), padded(padding));
            if *dilation != [1, 1] {
                text.push_str(&format!(", dilation {}", pair(*dilation)));
            }
            if *groups > 1 {
                text.push_str(&format!(", groups {groups}"));
            }
            text
        }
        LayerKind::Linear { .. } => "linear".to_string(),
        LayerKind::MaxPool(pool) | LayerKind::AvgPool { pool, .. } => {
            format!("{} {}{}{}", layer.kind.word(), pair(pool.kernel), strided(pool.stride), padded(&pool.padding))
        }
        LayerKind::AdaptiveAvgPool { .. } => layer.kind.word().replace('_', " "),
        LayerKind::Lrn { region, size, .. } => match region {
            LrnRegion::Channels { .. } => format!("lrn {size}"),
            LrnRegion::Map => format!("lrn {}", pair([*size; 2])),
        },
        LayerKind::Dropout { p } => format!("dropout {p}"),
        LayerKind::Relu
        | LayerKind::Sigmoid
        | LayerKind::Tanh
        | LayerKind::Flatten
        | LayerKind::BatchNorm { .. }
        | LayerKind::Add
        | LayerKind::Concat
        | LayerKind::Softmax => layer.kind.word().to_string(),
    }
}

fn pair([height, width]: [usize; 2]) -> String {
    format!("{height}×{width}")
}

fn strided(stride: [usize; 2]) -> String {
    match stride {
        [1, 1] => String::new(),
        [height, width] if height == width => format!("/{height}"),
        both => format!("/{}", pair(both)),
    }
}

fn padded(padding: &Padding) -> String {
    let Padding { top, bottom, left, right } = *padding;
    match [top, bottom, left, right] {
        [0, 0, 0, 0] => String::new(),
        [t, b, l, r] if t == b && b == l && l == r => format!(", pad {t}"),
        [t, b, l, r] if t == l && b == r => format!(", pad [{t}, {b}]"),
        [t, b, l, r] => format!(", pad {t} {b} {l} {r}"),
    }
}

fn sizes(shape: &[usize]) -> String {
    shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("×")
}

/// A count in three digits: `896`, `34.9 k`, `2.36 M`.
fn amount(count: u64) -> String {
    let (unit, letter) = match count {
        0..1_000 => return count.to_string(),
        1_000..999_500 => (1e3, 'k'),
        _ => (1e6, 'M'),
    };
    let value = count as f64 / unit;
    let decimals = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.decimals$} {letter}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_three_digits() {
        let shown = [7, 896, 1_000, 34_944, 999_499, 999_500, 2_360_000, 37_752_832, 102_760_448].map(amount);
        assert_eq!(shown, ["7", "896", "1.00 k", "34.9 k", "999 k", "1.00 M", "2.36 M", "37.8 M", "103 M"]);
    }
}
