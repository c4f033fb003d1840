//! How small and how large an index can get over the loops around it.

use super::super::{Index, Var};

/// A loop around an index.
#[derive(Clone, Copy)]
pub(super) struct Loop<'k> {
    pub var: Var,
    pub begin: &'k Index,
    pub end: &'k Index,
}

/// constant + Σ coefficient · atom. An atom is a variable, quotient, remainder, minimum or maximum; atoms are distinct
/// and their coefficients are not zero.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Affine {
    pub constant: i64,
    pub terms: Vec<(Index, i64)>,
}

impl Affine {
    pub fn new(index: &Index) -> Affine {
        let mut sum = Affine { constant: 0, terms: Vec::new() };
        sum.add(index, 1);
        sum
    }

    /// Adds `factor · index`.
    pub fn add(&mut self, index: &Index, factor: i64) {
        match index {
            Index::Const(c) => self.constant = self.constant.saturating_add(c.saturating_mul(factor)),
            Index::Add(a, b) => {
                self.add(a, factor);
                self.add(b, factor);
            }
            Index::Mul(a, f) => self.add(a, factor.saturating_mul(*f)),
            Index::Var(_) | Index::Div(..) | Index::Rem(..) | Index::Min(..) | Index::Max(..) => {
                self.add_term(index, factor);
            }
        }
    }

    /// Adds `factor · atom`.
    pub fn add_term(&mut self, atom: &Index, factor: i64) {
        match self.terms.iter_mut().find(|(t, _)| t == atom) {
            Some((_, coefficient)) => *coefficient = coefficient.saturating_add(factor),
            None => self.terms.push((atom.clone(), factor)),
        }
        self.terms.retain(|(_, coefficient)| *coefficient != 0);
    }

    fn negated(&self) -> Affine {
        Affine {
            constant: self.constant.saturating_neg(),
            terms: self.terms.iter().map(|(t, c)| (t.clone(), c.saturating_neg())).collect(),
        }
    }
}

/// Bounds of the sum over all values that the loops give their variables; empty (low > high) only if the place is never
/// reached. Loops stand from the outermost to the innermost.
pub(super) fn range(sum: &Affine, loops: &[Loop]) -> (i64, i64) {
    (upper(sum.negated(), loops).saturating_neg(), upper(sum.clone(), loops))
}

/// A bound from above. Variables are replaced, from the innermost, by whichever of their bounds makes the sum large:
/// their bounds can mention outer variables, which then cancel out.
fn upper(mut sum: Affine, loops: &[Loop]) -> i64 {
    if let Some(at) = sum.terms.iter().position(|(t, _)| matches!(t, Index::Min(..) | Index::Max(..))) {
        let (atom, factor) = sum.terms.swap_remove(at);
        let (Index::Min(a, b) | Index::Max(a, b)) = &atom else { return i64::MAX };
        let of = |operand: &Index| {
            let mut sum = sum.clone();
            sum.add(operand, factor);
            upper(sum, loops)
        };
        // factor·min(a, b) is the smaller of both products, or the larger if the factor is negative.
        return if matches!(atom, Index::Min(..)) == (factor > 0) { of(a).min(of(b)) } else { of(a).max(of(b)) };
    }
    for (depth, around) in loops.iter().enumerate().rev() {
        if !sum.terms.iter().any(|(t, _)| t.mentions(around.var)) {
            continue;
        }
        let within = |(t, _): &(Index, i64)| t.mentions(around.var) && *t != Index::Var(around.var);
        if let Some(at) = sum.terms.iter().position(within) {
            let (atom, factor) = sum.terms.swap_remove(at);
            let (low, high) = atom_range(&atom, &loops[..=depth]);
            let mut apart = sum.clone();
            let bound = if factor > 0 { high } else { low };
            apart.constant = apart.constant.saturating_add(bound.saturating_mul(factor));
            let apart = upper(apart, &loops[..=depth]);
            return match &atom {
                // d·⌊a/d⌋ is at most a and at least a − (d − 1), which may cancel with the rest of the sum.
                Index::Div(a, d) if *d > 0 && factor % d == 0 => {
                    let factor = factor / d;
                    sum.add(a, factor);
                    let slack = if factor < 0 { factor.saturating_mul(1 - d) } else { 0 };
                    sum.constant = sum.constant.saturating_add(slack);
                    apart.min(upper(sum, &loops[..=depth]))
                }
                _ => apart,
            };
        }
        let mut rest = Affine { constant: sum.constant, terms: Vec::new() };
        let mut own = 0;
        for (atom, factor) in sum.terms {
            if atom == Index::Var(around.var) {
                own = factor;
            } else {
                rest.terms.push((atom, factor));
            }
        }
        if own > 0 {
            rest.add(around.end, own);
            rest.constant = rest.constant.saturating_sub(own);
        } else if own < 0 {
            rest.add(around.begin, own);
        }
        return upper(rest, &loops[..depth]);
    }
    // What is left are atoms over nothing, or over variables that are not in scope.
    let mut bound = sum.constant;
    for (atom, factor) in &sum.terms {
        let (low, high) = atom_range(atom, &[]);
        bound = bound.saturating_add(if *factor > 0 { high } else { low }.saturating_mul(*factor));
    }
    bound
}

fn atom_range(atom: &Index, loops: &[Loop]) -> (i64, i64) {
    match atom {
        Index::Div(a, d) if *d > 0 => {
            let (low, high) = range(&Affine::new(a), loops);
            (low.div_euclid(*d), high.div_euclid(*d))
        }
        Index::Rem(a, d) if *d > 0 => {
            let (low, high) = range(&Affine::new(a), loops);
            if low <= high && low.div_euclid(*d) == high.div_euclid(*d) {
                (low.rem_euclid(*d), high.rem_euclid(*d))
            } else {
                (0, d - 1)
            }
        }
        _ => (i64::MIN / 2, i64::MAX / 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn var(v: u32) -> Index {
        Index::Var(Var(v))
    }

    #[test]
    fn clipped_windows_are_exact() {
        // Window of 3, stride 3, padding 2 over 9 elements: for i in 0..4, k in max(0, 2 - 3i)..min(3, 11 - 3i).
        let (zero, four) = (Index::Const(0), Index::Const(4));
        let begin = (Index::Const(2) - var(0) * 3).max(0i64);
        let end = (Index::Const(11) - var(0) * 3).min(3i64);
        let loops = [Loop { var: Var(0), begin: &zero, end: &four }, Loop { var: Var(1), begin: &begin, end: &end }];
        assert_eq!(range(&Affine::new(&(var(0) * 3 + var(1) - 2i64)), &loops), (0, 8));
        assert_eq!(range(&Affine::new(&(var(0) * 3 - 2i64)), &loops), (-2, 7));
    }

    #[test]
    fn rows_of_a_flattened_loop() {
        // p = n·5 + h; padding 1, window 3, stride 1, height 5.
        let (zero, rows) = (Index::Const(0), Index::Const(20));
        let h = || var(0) % 5;
        let begin = (Index::Const(1) - h()).max(0i64);
        let end = (Index::Const(6) - h()).min(3i64);
        let loops = [Loop { var: Var(0), begin: &zero, end: &rows }, Loop { var: Var(1), begin: &begin, end: &end }];
        let index = (var(0) / 5) * 100 + (h() + var(1) - 1i64) * 20;
        assert_eq!(range(&Affine::new(&index), &loops), (0, 380));
    }

    #[test]
    fn vectors_of_a_short_last_block() {
        // for block in 0..4, v in 0..min(27 - block·8, 8)/4, lane in 0..4.
        let (zero, four) = (Index::Const(0), Index::Const(4));
        let end = (Index::Const(27) - var(0) * 8).min(8i64) / 4;
        let loops = [
            Loop { var: Var(0), begin: &zero, end: &four },
            Loop { var: Var(1), begin: &zero, end: &end },
            Loop { var: Var(2), begin: &zero, end: &four },
        ];
        assert_eq!(range(&Affine::new(&(var(0) * 8 + var(1) * 4 + var(2))), &loops), (0, 26));
    }

    #[test]
    fn blocks_with_a_short_last_one() {
        // for block in 0..4, i in block·8..min(block·8 + 8, 27).
        let (zero, four) = (Index::Const(0), Index::Const(4));
        let begin = var(0) * 8;
        let end = (var(0) * 8 + 8i64).min(27i64);
        let loops = [Loop { var: Var(0), begin: &zero, end: &four }, Loop { var: Var(1), begin: &begin, end: &end }];
        assert_eq!(range(&Affine::new(&var(1)), &loops), (0, 26));
        assert_eq!(range(&Affine::new(&(var(1) - var(0) * 8)), &loops), (0, 7));
    }
}
