//! The table of a spec's variants.

use super::arguments::Mode;
use super::forecast::{Use, uses};
use super::output::bytes;
use crate::check::report::{Column, columns, grouped, scaled};
use crate::driver::{Checked, Failure, Refused, Variants};

/// What became of a variant.
pub struct Row {
    /// The value of each axis.
    pub values: Vec<String>,
    /// What it takes, or what is wrong with it.
    pub found: Result<(Checked, Vec<Use>), Refused>,
}

/// Checks every variant.
pub fn rows(variants: &Variants, mode: Option<Mode>, batch: Option<usize>) -> Result<Vec<Row>, Failure> {
    (0..variants.len()).map(|index| row(variants, index, mode, batch)).collect()
}

fn row(variants: &Variants, index: usize, mode: Option<Mode>, batch: Option<usize>) -> Result<Row, Failure> {
    let values = variants.values(index);
    let found = match variants.check(index) {
        Ok(checked) => {
            let uses = uses(&checked, mode, batch)?;
            Ok((checked, uses))
        }
        Err(Failure::Spec(refused)) => Err(refused),
        Err(other) => return Err(other),
    };
    Ok(Row { values, found })
}

/// A row a variant: its values, what comes out, parameters, multiply-adds and memory; or why it is wrong.
pub fn table(variants: &Variants, rows: &[Row], threads: usize) -> String {
    let mut heads = vec!["#".to_owned()];
    heads.extend(variants.axes().map(str::to_owned));
    heads.extend(["output", "params", "MACs"].map(str::to_owned));
    let modes = rows.iter().find_map(|row| row.found.as_ref().ok()).map_or(&[][..], |(_, uses)| uses);
    heads.extend(modes.iter().map(|used| format!("memory to {}", if used.train { "train" } else { "run" })));
    let mut sides = vec![Column::Right];
    sides.extend(variants.axes().map(|_| Column::Left));
    sides.push(Column::Left);
    sides.resize(heads.len(), Column::Right);
    let mut cells = vec![heads];
    for (i, row) in rows.iter().enumerate() {
        let mut line = vec![(i + 1).to_string()];
        line.extend(row.values.iter().cloned());
        match &row.found {
            Ok((checked, uses)) => {
                let network = &checked.network;
                let output = network.output().map(|id| network.layer(id).shape.clone()).unwrap_or_default();
                line.push(output.iter().map(ToString::to_string).collect::<Vec<_>>().join("×"));
                line.push(grouped(network.param_count()));
                line.push(scaled(network.macs()));
                line.extend(uses.iter().map(|used| bytes(used.forecast.memory.bytes(threads))));
            }
            Err(refused) => line.push(wrong(refused)),
        }
        cells.push(line);
    }
    columns(&cells, &sides)
}

/// What is wrong with a variant, in short.
pub fn wrong(refused: &Refused) -> String {
    let errors = refused.diagnostics.iter().filter(|d| d.severity == crate::diag::Severity::Error);
    let first = errors.clone().next();
    let more = errors.count().saturating_sub(1);
    let more = if more == 0 { String::new() } else { format!(", and {more} more") };
    first.map_or_else(String::new, |error| format!("error[{}]: {}{more}", error.code, error.message))
}

/// For programs: an object a variant.
pub fn json(variants: &Variants, rows: &[Row], threads: usize) -> serde_json::Value {
    let values = |row: &Row| -> serde_json::Map<String, serde_json::Value> {
        variants.axes().map(str::to_owned).zip(row.values.iter().map(|value| value.as_str().into())).collect()
    };
    rows.iter()
        .map(|row| match &row.found {
            Ok((checked, uses)) => serde_json::json!({
                "values": values(row),
                "output_shape": checked.network.output().map(|id| checked.network.layer(id).shape.clone()),
                "param_count": checked.network.param_count(),
                "macs": checked.network.macs(),
                "memory": uses.iter().map(|used| used.json(None, threads)).collect::<Vec<_>>(),
            }),
            Err(refused) => serde_json::json!({ "values": values(row), "diagnostics": refused.json() }),
        })
        .collect()
}
