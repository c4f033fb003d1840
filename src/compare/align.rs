//! Pairs the layers of two networks: the alignment of two lists with the highest score.

use crate::check::{Layer, LayerId};

/// Places of the table; larger networks are paired by their names.
const LARGEST: usize = 4 << 20;

/// Pairs of indices in order; a layer without a partner stands alone.
pub(super) fn align(a: &[(LayerId, &Layer)], b: &[(LayerId, &Layer)]) -> Vec<(Option<usize>, Option<usize>)> {
    let same = |i: usize, j: usize| a[i].1.kind == b[j].1.kind && a[i].1.name == b[j].1.name;
    let least = a.len().min(b.len());
    let head = (0..least).take_while(|&i| same(i, i)).count();
    let tail = (0..least - head).take_while(|&i| same(a.len() - 1 - i, b.len() - 1 - i)).count();
    let (n, m) = (a.len() - head - tail, b.len() - head - tail);
    let mut pairs: Vec<_> = (0..head).map(|i| (Some(i), Some(i))).collect();
    if n.saturating_mul(m) > LARGEST {
        pairs.extend(by_place(n, m).into_iter().map(|(i, j)| (i.map(|i| i + head), j.map(|j| j + head))));
    } else {
        let score = |i: usize, j: usize| likeness(a[head + i].1, b[head + j].1);
        pairs.extend(best(n, m, &score).into_iter().map(|(i, j)| (i.map(|i| i + head), j.map(|j| j + head))));
    }
    pairs.extend((0..tail).map(|i| (Some(a.len() - tail + i), Some(b.len() - tail + i))));
    pairs
}

/// How much two layers are alike; `None` if they are no pair.
fn likeness(a: &Layer, b: &Layer) -> Option<i32> {
    if std::mem::discriminant(&a.kind) != std::mem::discriminant(&b.kind) {
        return None;
    }
    let named = if a.name == b.name { 4 } else { 0 };
    let weighty = if a.params.is_empty() { 2 } else { 4 };
    Some(weighty + named + if a.kind == b.kind { 2 } else { 0 } + i32::from(a.shape == b.shape))
}

/// Needleman and Wunsch's algorithm: gaps cost nothing, pairs earn their likeness.
fn best(n: usize, m: usize, score: &dyn Fn(usize, usize) -> Option<i32>) -> Vec<(Option<usize>, Option<usize>)> {
    let mut table = vec![vec![0i32; m + 1]; n + 1];
    for i in (0..n).rev() {
        for j in (0..m).rev() {
            let apart = table[i + 1][j].max(table[i][j + 1]);
            table[i][j] = score(i, j).map_or(apart, |likeness| apart.max(table[i + 1][j + 1] + likeness));
        }
    }
    let (mut i, mut j) = (0, 0);
    let mut pairs = Vec::new();
    while i < n || j < m {
        let pair = i < n && j < m && score(i, j).is_some_and(|likeness| table[i][j] == table[i + 1][j + 1] + likeness);
        if pair {
            pairs.push((Some(i), Some(j)));
            (i, j) = (i + 1, j + 1);
        } else if i < n && (j == m || table[i][j] == table[i + 1][j]) {
            pairs.push((Some(i), None));
            i += 1;
        } else {
            pairs.push((None, Some(j)));
            j += 1;
        }
    }
    pairs
}

/// Without alignment: the first with the first.
fn by_place(n: usize, m: usize) -> Vec<(Option<usize>, Option<usize>)> {
    (0..n.max(m)).map(|i| (Some(i).filter(|&i| i < n), Some(i).filter(|&i| i < m))).collect()
}
