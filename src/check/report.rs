//! What `netc check` shows of a network that is right: a row a layer with the arithmetic behind its shape.

use super::{Derivation, Layer, LayerId, LayerKind, Network};
use serde_json::{Value, json};
use std::fmt::Write;

/// A table with a row a layer (name, kind, output shape, size rule with its numbers, parameters, multiply-adds for one
/// image) and a line of totals. If that is wider than `width`, what a layer joins and its size rule stand below its row.
pub fn table(network: &Network, width: usize) -> String {
    let whole = rows(network);
    let fits = whole.lines().all(|line| line.chars().count() <= width);
    let rows = if fits { whole } else { narrow(network, width) };
    format!("{rows}\n{}\n", totals(network))
}

/// A row a layer, all of it in one line.
fn rows(network: &Network) -> String {
    let mut rows: Vec<[String; 6]> = vec![["layer", "kind", "output", "size", "params", "MACs"].map(String::from)];
    for (id, layer) in network.layers() {
        let blank_if_zero = |n: u64, text: String| if n == 0 { String::new() } else { text };
        rows.push([
            layer.name.clone(),
            kind(network, id, layer),
            layer.shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("×"),
            layer.derivations.iter().map(|d| size(d, layer.derivations.len() > 1)).collect::<Vec<_>>().join("; "),
            blank_if_zero(layer.param_count(), grouped(layer.param_count())),
            blank_if_zero(layer.macs, scaled(layer.macs)),
        ]);
    }
    // Where a size rule is long the parameters are few, so that the two share a column's width.
    let length = |text: &str| text.chars().count();
    let both = rows.iter().map(|[_, _, _, size, params, _]| length(size) + 2 + length(params)).max().unwrap_or(0);
    let shared = rows.into_iter().map(|[layer, kind, output, size, params, macs]| {
        let blank = if params.is_empty() { 0 } else { both - length(&size) };
        vec![layer, kind, output, format!("{size}{params:>blank$}"), macs]
    });
    use Column::{Left, Right};
    columns(&shared.collect::<Vec<_>>(), &[Left, Left, Left, Left, Right])
}

/// Spaces before what stands below a layer's row.
const INDENT: usize = 4;

/// A row a layer, and below it what does not fit.
fn narrow(network: &Network, width: usize) -> String {
    let mut rows = vec![["layer", "kind", "output", "params", "MACs"].map(str::to_string).to_vec()];
    let mut below = vec![String::new()];
    for (id, layer) in network.layers() {
        let blank_if_zero = |n: u64, text: String| if n == 0 { String::new() } else { text };
        rows.push(vec![
            layer.name.clone(),
            layer.kind.word().to_string(),
            layer.shape.iter().map(ToString::to_string).collect::<Vec<_>>().join("×"),
            blank_if_zero(layer.param_count(), grouped(layer.param_count())),
            blank_if_zero(layer.macs, scaled(layer.macs)),
        ]);
        let joined = operands(network, id, layer).map(|names| format!("of {names}"));
        let sizes = layer.derivations.iter().map(|d| size(d, layer.derivations.len() > 1));
        below.push(joined.into_iter().chain(sizes).collect::<Vec<_>>().join("; "));
    }
    use Column::{Left, Right};
    let table = columns(&rows, &[Left, Left, Left, Right, Right]);
    let mut out = String::new();
    for (row, below) in table.lines().zip(&below) {
        let _ = writeln!(out, "{row}");
        paragraph(&mut out, below, width);
    }
    out
}

/// Indented lines of words that keep to `width`.
fn paragraph(out: &mut String, text: &str, width: usize) {
    let mut line = String::new();
    let flush = |line: &mut String, out: &mut String| {
        if !line.is_empty() {
            let _ = writeln!(out, "{:INDENT$}{line}", "");
            line.clear();
        }
    };
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        if INDENT + line.chars().count() + 1 + word.chars().count() > width {
            flush(&mut line, out);
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    flush(&mut line, out);
}

/// To which side of its column a cell goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Characters of a cell; what is longer, as the names of many operands, is cut off.
const WIDEST: usize = 200;

/// Rows whose cells stand below each other, a line each. The last cell of a row that is shorter than others may be as long
/// as it likes.
pub fn columns(rows: &[Vec<String>], sides: &[Column]) -> String {
    let mut widths = vec![0; sides.len()];
    for row in rows {
        let free = usize::from(row.len() < sides.len());
        for (width, cell) in widths.iter_mut().zip(&row[..row.len() - free]) {
            *width = cell.chars().count().min(WIDEST).max(*width);
        }
    }
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        let free = usize::from(row.len() < sides.len());
        for (i, ((cell, width), side)) in row.iter().zip(&widths).zip(sides).enumerate() {
            let cut = i + free < row.len() && cell.chars().nth(WIDEST).is_some();
            let cell = if cut { &format!("{}…", cell.chars().take(WIDEST - 1).collect::<String>()) } else { cell };
            let _ = match side {
                Column::Right => write!(line, "{cell:>width$}  "),
                Column::Left => write!(line, "{cell:width$}  "),
            };
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

/// The line of totals: `62,378,344 params, 1,135.3 M MACs per image`.
pub fn totals(network: &Network) -> String {
    format!("{} params, {} MACs per image", grouped(network.param_count()), scaled(network.macs()))
}

/// The table for programs.
pub fn json(network: &Network) -> Value {
    let layers: Vec<Value> = network
        .layers()
        .map(|(id, layer)| {
            let params: Vec<Value> = layer
                .params
                .iter()
                .map(|p| json!({"name": p.name, "shape": p.shape, "trainable": p.trainable}))
                .collect();
            let derivations: Vec<Value> = layer
                .derivations
                .iter()
                .map(|d| json!({"what": d.what, "formula": d.formula, "numbers": d.numbers, "result": d.result}))
                .collect();
            json!({
                "name": layer.name,
                "kind": layer.kind.word(),
                "inputs": network.inputs(id).iter().map(|&i| network.layer(i).name.as_str()).collect::<Vec<_>>(),
                "shape": layer.shape,
                "derivations": derivations,
                "params": params,
                "param_count": layer.param_count(),
                "macs": layer.macs,
            })
        })
        .collect();
    json!({
        "name": network.name,
        "layers": layers,
        "classes": network.classes,
        "param_count": network.param_count(),
        "macs": network.macs(),
    })
}

/// The kind, and for layers that join others what they join.
fn kind(network: &Network, id: LayerId, layer: &Layer) -> String {
    match operands(network, id, layer) {
        Some(names) => format!("{} {names}", layer.kind.word()),
        None => layer.kind.word().to_string(),
    }
}

/// The names of what a layer joins.
fn operands(network: &Network, id: LayerId, layer: &Layer) -> Option<String> {
    let names = || network.inputs(id).iter().map(|&i| network.layer(i).name.as_str()).collect::<Vec<_>>().join(", ");
    matches!(layer.kind, LayerKind::Add | LayerKind::Concat).then(names)
}

fn size(derivation: &Derivation, named: bool) -> String {
    let Derivation { what, numbers, result, .. } = derivation;
    if named { format!("{what} {numbers} = {result}") } else { format!("{numbers} = {result}") }
}

/// A number with commas: `62,378,344`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A count in thousands or millions with one decimal, rounded to nearest: `1,135.3 M`.
pub fn scaled(number: u64) -> String {
    let (unit, letter) = match number {
        0..1_000 => return number.to_string(),
        1_000..100_000 => (1_000, 'k'),
        _ => (1_000_000, 'M'),
    };
    let tenths = (u128::from(number) * 10 + unit / 2) / unit;
    format!("{}.{} {letter}", grouped(u64::try_from(tenths / 10).unwrap_or(u64::MAX)), tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(62_378_344), "62,378,344");
        assert_eq!(scaled(999), "999");
        assert_eq!(scaled(40_960), "41.0 k");
        assert_eq!(scaled(1_135_256_096), "1,135.3 M");
        assert_eq!(scaled(u64::MAX), "18,446,744,073,709.6 M");
    }
}
