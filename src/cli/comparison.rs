//! What training several variants came to: a table with the differences to the spec as written, seed by seed.

use super::output::duration;
use super::trials::Outcome;
use crate::check::report::{Column, columns, grouped};
use serde_json::{Value, json};

/// Trained variants, the spec as written first.
pub struct Comparison {
    /// What varies.
    pub axes: Vec<String>,
    /// The variants.
    pub rows: Vec<Row>,
    /// The seeds that each was trained with.
    pub seeds: Vec<u64>,
}

/// A variant.
pub struct Row {
    /// Its number in the table of `netc check`; none for the spec as written.
    pub number: Option<usize>,
    /// The value of each axis.
    pub values: Vec<String>,
    /// Its parameters.
    pub params: u64,
    /// What came of each seed.
    pub outcomes: Vec<Outcome>,
    /// Why there are no outcomes, or not all.
    pub wrong: Option<String>,
}

impl Row {
    /// A variant that is to be trained.
    pub fn new(number: Option<usize>, values: Vec<String>, params: u64) -> Row {
        Row { number, values, params, outcomes: Vec::new(), wrong: None }
    }

    /// A variant that cannot be.
    pub fn wrong(number: usize, values: Vec<String>, why: String) -> Row {
        Row { number: Some(number), values, params: 0, outcomes: Vec::new(), wrong: Some(why) }
    }

    fn each(&self, of: impl Fn(&Outcome) -> Option<f64>) -> Vec<f64> {
        self.outcomes.iter().filter_map(of).collect()
    }

    /// Differences to `base`, seed by seed.
    fn differences(&self, base: &Row, of: impl Fn(&Outcome) -> Option<f64>) -> Vec<f64> {
        let pair = |one: &Outcome| {
            let other = base.outcomes.iter().find(|outcome| outcome.seed == one.seed)?;
            Some(of(one)? - of(other)?)
        };
        self.outcomes.iter().filter_map(pair).collect()
    }
}

fn held_out(outcome: &Outcome) -> Option<f64> {
    outcome.test.as_ref().map(|test| test.loss)
}

/// In percent.
fn top1(outcome: &Outcome) -> Option<f64> {
    outcome.test.as_ref()?.top1.map(|share| 100.0 * share)
}

impl Comparison {
    /// A row a variant, and what the differences mean.
    pub fn table(&self) -> String {
        let mut heads = vec![String::new()];
        heads.extend(self.axes.iter().cloned());
        let columns_after = ["params", "step", "loss", "held-out loss", "top-1", "Δ held-out loss", "Δ top-1"];
        heads.extend(columns_after.map(str::to_owned));
        let mut sides = vec![Column::Right];
        sides.resize(1 + self.axes.len(), Column::Left);
        sides.resize(heads.len(), Column::Right);
        let mut cells = vec![heads];
        for row in &self.rows {
            let mut line = vec![row.number.map_or_else(|| "base".to_owned(), |number| number.to_string())];
            line.extend(row.values.iter().cloned());
            match &row.wrong {
                Some(why) => line.push(why.clone()),
                None => line.extend(self.numbers(row)),
            }
            cells.push(line);
        }
        columns(&cells, &sides) + &self.meaning()
    }

    fn numbers(&self, row: &Row) -> [String; 7] {
        let differences = |of: fn(&Outcome) -> Option<f64>| match self.rows.first() {
            Some(first) if row.number.is_some() => row.differences(first, of),
            _ => Vec::new(),
        };
        let steps = row.each(|outcome| outcome.step_seconds);
        [
            grouped(row.params),
            if steps.is_empty() { String::new() } else { duration(mean(&steps)) },
            spread(&row.each(|outcome| outcome.loss), 4, false),
            spread(&row.each(held_out), 4, false),
            spread(&row.each(top1), 2, false),
            spread(&differences(held_out), 4, true),
            spread(&differences(top1), 2, true),
        ]
    }

    fn meaning(&self) -> String {
        let same = "Δ: to the spec as written, with the same seed, so with the same order of images and the same first \
                    weights where names and shapes agree.";
        match self.seeds.len() {
            1 => format!("{same}\nOne seed may be chance: --seeds 3 says how much differences scatter.\n"),
            n => format!("{same}\nMean ± standard deviation of {n} seeds.\n"),
        }
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let row = |row: &Row| {
            let values: serde_json::Map<String, Value> =
                self.axes.iter().cloned().zip(row.values.iter().map(|value| Value::from(value.as_str()))).collect();
            json!({ "variant": row.number, "values": values, "params": row.params, "runs": row.outcomes, "error": row.wrong })
        };
        json!({ "seeds": self.seeds, "variants": self.rows.iter().map(row).collect::<Vec<_>>() })
    }
}

fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len().max(1) as f64
}

/// The mean, and with several numbers their standard deviation: `88.12 ± 0.31`.
fn spread(numbers: &[f64], places: usize, signed: bool) -> String {
    if numbers.is_empty() {
        return String::new();
    }
    let middle = mean(numbers);
    if middle.abs() >= 1e6 {
        // Gone astray: the digits say nothing.
        return if signed { format!("{middle:+.1e}") } else { format!("{middle:.1e}") };
    }
    let text = if signed { format!("{middle:+.places$}") } else { format!("{middle:.places$}") };
    if numbers.len() < 2 {
        return text;
    }
    let squares: f64 = numbers.iter().map(|x| (x - middle) * (x - middle)).sum();
    format!("{text} ± {:.places$}", (squares / (numbers.len() - 1) as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_seeds_have_a_spread() {
        assert_eq!(spread(&[], 2, false), "");
        assert_eq!(spread(&[1.0], 2, true), "+1.00");
        assert_eq!(spread(&[1.0, 2.0, 3.0], 2, false), "2.00 ± 1.00");
        assert_eq!(spread(&[2.5e9, 1.0e9], 2, true), "+1.8e9");
        assert_eq!(spread(&[-1.0, -2.0], 3, true), "-1.500 ± 0.707");
    }
}
