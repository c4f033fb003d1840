//! Proves that iterations of a loop keep out of each other's way.

use super::super::{Index, Var};
use super::range::{Affine, Loop, range};
use std::collections::BTreeSet;

/// An access to one buffer within the loop: its index and all loops around it, outermost first.
pub(super) struct Touch<'k> {
    pub index: Affine,
    pub loops: Vec<Loop<'k>>,
}

/// Largest number of iterations times touches that is looked at in full; of longer loops some iterations are.
const FULL: usize = 20_000;

/// Whether no two iterations of the loop over `var` touch the same element. Only `true` is a proof (but for long loops,
/// where it holds for the first and last iterations and some between).
///
/// Loops outside of `var`'s have one value for both iterations. Indices are split like numbers in a mixed-radix system:
/// if everything but multiples of a stride stays within one stride, then equal elements have equal multiples and equal
/// rests. Two iterations are apart if in some digit no value of one is a value of the other.
pub(super) fn disjoint(mut touches: Vec<Touch>, var: Var, begin: i64, end: i64) -> bool {
    drop_common_outer_terms(&mut touches, var);
    let mut digits = Vec::new();
    split(touches.iter().map(|t| t.index.clone()).collect(), &touches, &mut digits);
    // Digits that know nothing of the variable tell nothing apart.
    digits.retain(|digit| digit.iter().any(|sum| depends(sum, &touches, var)));

    let count = usize::try_from(end.saturating_sub(begin)).unwrap_or(0);
    let iterations: Vec<i64> = if count.saturating_mul(touches.len() * digits.len()) <= FULL {
        (begin..end).collect()
    } else {
        let between = (0..count).step_by((count / 100).max(1));
        let chosen: BTreeSet<usize> =
            (0..count.min(100)).chain(count.saturating_sub(100)..count).chain(between).collect();
        chosen.into_iter().map(|i| begin + i as i64).collect()
    };
    let mut names: Vec<Vec<usize>> = vec![Vec::new(); iterations.len()];
    for digit in &digits {
        for (name, class) in names.iter_mut().zip(classes(digit, &touches, var, &iterations)) {
            name.push(class);
        }
    }
    let count = names.len();
    names.into_iter().collect::<BTreeSet<_>>().len() == count
}

/// Terms over loops outside of `var`'s that all touches have in common are the same number for both iterations.
fn drop_common_outer_terms(touches: &mut [Touch], var: Var) {
    let Some(first) = touches.first() else { return };
    let outer: Vec<Var> = first.loops.iter().map(|l| l.var).take_while(|v| *v != var).collect();
    let inner: Vec<Var> = touches.iter().flat_map(|t| t.loops.iter().map(|l| l.var)).collect();
    let inner: Vec<Var> = inner.into_iter().filter(|v| !outer.contains(v)).collect();
    let common: Vec<(Index, i64)> =
        first.index.terms.iter().filter(|(t, _)| !inner.iter().any(|v| t.mentions(*v))).cloned().collect();
    for (atom, factor) in &common {
        if touches.iter().all(|t| t.index.terms.contains(&(atom.clone(), *factor))) {
            touches.iter_mut().for_each(|t| t.index.add_term(atom, -factor));
        }
    }
}

/// Whether the sum can be different for different values of `var`: it, or a bound of a loop over what it mentions,
/// does.
fn depends(sum: &Affine, touches: &[Touch], var: Var) -> bool {
    sum.terms.iter().any(|(t, _)| {
        t.mentions(var)
            || touches
                .iter()
                .flat_map(|touch| &touch.loops)
                .any(|l| t.mentions(l.var) && (l.begin.mentions(var) || l.end.mentions(var)))
    })
}

/// Splits the sums (one a touch) into digits.
fn split(sums: Vec<Affine>, touches: &[Touch], digits: &mut Vec<Vec<Affine>>) {
    let mut strides: Vec<i64> = sums.iter().flat_map(|s| s.terms.iter().map(|(_, c)| c.saturating_abs())).collect();
    // Places a constant distance apart, as those of an unrolled loop, lie in a dimension of that stride.
    let constants: BTreeSet<i64> = sums.iter().map(|s| s.constant).collect();
    strides.extend(constants.iter().zip(constants.iter().skip(1)).map(|(low, high)| high.saturating_sub(*low)));
    strides.sort_unstable();
    strides.dedup();
    for stride in strides.into_iter().rev().filter(|s| *s > 1) {
        if let Some((multiples, rests)) = divide(&sums, touches, stride) {
            split(multiples, touches, digits);
            split(rests, touches, digits);
            return;
        }
    }
    digits.push(sums);
}

fn divide(sums: &[Affine], touches: &[Touch], stride: i64) -> Option<(Vec<Affine>, Vec<Affine>)> {
    let mut multiples = Vec::new();
    let mut rests = Vec::new();
    for sum in sums {
        let (above, below): (Vec<_>, Vec<_>) = sum.terms.iter().cloned().partition(|(_, c)| c % stride == 0);
        let above = above.into_iter().map(|(t, c)| (t, c / stride)).collect();
        multiples.push(Affine { constant: 0, terms: above });
        rests.push(Affine { constant: sum.constant, terms: below });
    }
    if rests.iter().all(|r| r.terms.is_empty()) {
        return None;
    }
    let mut base = None;
    let (mut low, mut high) = (i64::MAX, i64::MIN);
    for ((multiple, rest), touch) in multiples.iter_mut().zip(&mut rests).zip(touches) {
        let (rest_low, rest_high) = range(rest, &touch.loops);
        let whole = (rest_low.saturating_sub(*base.get_or_insert(rest_low))).div_euclid(stride);
        multiple.constant = whole;
        rest.constant = rest.constant.saturating_sub(whole.saturating_mul(stride));
        low = low.min(rest_low.saturating_sub(whole.saturating_mul(stride)));
        high = high.max(rest_high.saturating_sub(whole.saturating_mul(stride)));
    }
    let divides = multiples.iter().any(|multiple| !multiple.terms.is_empty() || multiple.constant != 0);
    (divides && high.saturating_sub(low) < stride).then_some((multiples, rests))
}

/// Puts iterations whose values of the digit can meet into one class; gives each iteration's class.
fn classes(digit: &[Affine], touches: &[Touch], var: Var, iterations: &[i64]) -> Vec<usize> {
    let mut intervals: Vec<(i64, i64, usize)> = Vec::with_capacity(iterations.len());
    for (at, iteration) in iterations.iter().enumerate() {
        let (begin, end) = (Index::Const(*iteration), Index::Const(*iteration + 1));
        let (mut low, mut high) = (i64::MAX, i64::MIN);
        for (sum, touch) in digit.iter().zip(touches) {
            let loops: Vec<Loop> = touch
                .loops
                .iter()
                .map(|l| if l.var == var { Loop { var, begin: &begin, end: &end } } else { *l })
                .collect();
            let (l, h) = range(sum, &loops);
            if l <= h {
                low = low.min(l);
                high = high.max(h);
            }
        }
        if low <= high {
            intervals.push((low, high, at));
        }
    }
    intervals.sort_unstable();
    // Iterations that touch nothing get classes of their own.
    let mut class_of: Vec<usize> = (0..iterations.len()).map(|i| iterations.len() + i).collect();
    let mut class = 0;
    let mut reached = i64::MIN;
    for (low, high, at) in intervals {
        if low > reached {
            class += 1;
        }
        reached = reached.max(high);
        class_of[at] = class;
    }
    class_of
}
