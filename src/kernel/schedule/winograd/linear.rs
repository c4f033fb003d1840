//! Products of a constant matrix and a few values, as straight code.

use crate::kernel::build::Builder;
use crate::kernel::{BufferId, Expr, Index};
use crate::plan::Matrix;

/// A matrix that values are multiplied by.
///
/// Points of opposite sign make columns that differ in the sign of some rows, and rows that differ in the sign of some
/// columns: such columns are replaced by their sum and difference, such rows computed as a sum and a difference.
pub(super) struct Linear {
    matrix: Matrix,
    /// Whether the target has fused multiply-add.
    fused: bool,
}

/// Loads of `count` values, bound.
pub(super) fn load(b: &mut Builder, from: BufferId, count: usize, at: impl Fn(usize) -> Index) -> Vec<Expr> {
    (0..count).map(|i| b.bind(Expr::load(from, at(i)))).collect()
}

/// Two rows, or two columns, equal but for signs: the second one's place, and where signs are opposite.
struct Mirror {
    other: usize,
    opposite: Vec<bool>,
}

fn mirrors(rows: &[Vec<f64>]) -> Vec<Option<Mirror>> {
    let mut found: Vec<Option<Mirror>> = rows.iter().map(|_| None).collect();
    let mut taken = vec![false; rows.len()];
    for i in 0..rows.len() {
        for j in i + 1..rows.len() {
            if taken[i] || taken[j] || !rows[i].iter().zip(&rows[j]).all(|(a, b)| a.abs() == b.abs()) {
                continue;
            }
            let opposite: Vec<bool> = rows[i].iter().zip(&rows[j]).map(|(a, b)| a != b).collect();
            let some = |wanted: bool| rows[i].iter().zip(&opposite).any(|(a, o)| *a != 0.0 && *o == wanted);
            if some(true) && some(false) {
                taken[j] = true;
                found[i] = Some(Mirror { other: j, opposite });
            }
        }
        taken[i] |= found[i].is_some();
    }
    found
}

impl Linear {
    pub fn new(matrix: Matrix, fused: bool) -> Linear {
        Linear { matrix, fused }
    }

    /// Values taken.
    pub fn taken(&self) -> usize {
        self.matrix.first().map_or(0, Vec::len)
    }

    /// Values given.
    pub fn given(&self) -> usize {
        self.matrix.len()
    }

    /// The product with `values`, bound.
    pub fn apply(&self, b: &mut Builder, values: &[Expr]) -> Vec<Expr> {
        let columns = crate::plan::transposed(&self.matrix);
        let mut sums = values.to_vec();
        let mut differences: Vec<Option<Expr>> = vec![None; values.len()];
        // Row k has a column's value, or its partner's too: of two mirrored columns one is left, which stands for the
        // sum in some rows and for the difference in others.
        let mut matrix = self.matrix.clone();
        let mut opposite = vec![vec![false; values.len()]; matrix.len()];
        for (i, mirror) in mirrors(&columns).into_iter().enumerate() {
            let Some(Mirror { other, opposite: signs }) = mirror else { continue };
            let (one, two) = (sums[i].clone(), sums[other].clone());
            sums[i] = b.bind(one.clone() + two.clone());
            differences[i] = Some(b.bind(one - two));
            for (k, row) in matrix.iter_mut().enumerate() {
                row[other] = 0.0;
                opposite[k][i] = signs[k];
            }
        }
        let value = |k: usize, i: usize| match (&differences[i], opposite[k][i]) {
            (Some(difference), true) => difference.clone(),
            _ => sums[i].clone(),
        };
        let mut given: Vec<Option<Expr>> = vec![None; matrix.len()];
        // Rows that see different combinations of columns are not alike: compare what they multiply.
        for (k, mirror) in mirrors(&matrix).into_iter().enumerate() {
            let Some(Mirror { other, opposite: signs }) = mirror else { continue };
            if opposite[k] != opposite[other] {
                continue;
            }
            let part = |wanted: bool| {
                let row = matrix[k].iter().enumerate();
                row.filter(|(i, _)| signs[*i] == wanted).map(|(i, c)| (*c, value(k, i))).collect::<Vec<_>>()
            };
            let (even, odd) = (self.sum(part(false)), self.sum(part(true)));
            let (even, odd) = (b.bind(even), b.bind(odd));
            given[k] = Some(b.bind(even.clone() + odd.clone()));
            given[other] = Some(b.bind(even - odd));
        }
        given
            .into_iter()
            .enumerate()
            .map(|(k, given)| match given {
                Some(given) => given,
                None => {
                    let terms = matrix[k].iter().enumerate().map(|(i, c)| (*c, value(k, i))).collect();
                    b.bind(self.sum(terms))
                }
            })
            .collect()
    }

    /// Σ factor · value.
    fn sum(&self, terms: Vec<(f64, Expr)>) -> Expr {
        let mut terms: Vec<(f64, Expr)> = terms.into_iter().filter(|(factor, _)| *factor != 0.0).collect();
        // One without a product first, if there is one.
        if let Some(first) = terms.iter().position(|(factor, _)| *factor == 1.0) {
            terms[..=first].rotate_right(1);
        }
        let mut sum: Option<Expr> = None;
        for (factor, value) in terms {
            sum = Some(match sum {
                None if factor == 1.0 => value,
                None => value * (factor as f32).into(),
                Some(sum) if factor == 1.0 => sum + value,
                Some(sum) if factor == -1.0 => sum - value,
                Some(sum) if self.fused => value.mul_add((factor as f32).into(), sum),
                Some(sum) => value * (factor as f32).into() + sum,
            });
        }
        sum.unwrap_or(Expr::F32(0.0))
    }
}
