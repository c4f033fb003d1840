//! Did you mean: the known word that a wrong one is closest to.

/// The word of `known` that differs least from `word`, if by no more than a third of its letters. Swapped neighbours
/// count as one difference, capitals and `-` for `_` as none.
pub fn closest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |s: &str| s.chars().take(40).map(|c| if c == '-' { '_' } else { c.to_ascii_lowercase() }).collect();
    let word: Vec<char> = plain(word);
    known
        .into_iter()
        .map(|candidate| (distance(&word, &plain(candidate)), candidate))
        .filter(|&(d, candidate)| d <= (candidate.chars().count().max(word.len()) / 3).max(1) && d < word.len().max(1))
        .min_by_key(|&(d, _)| d)
        .map(|(_, candidate)| candidate)
}

/// Restricted Damerau-Levenshtein distance.
fn distance(a: &[char], b: &[char]) -> usize {
    let width = b.len() + 1;
    let mut rows = vec![0; (a.len() + 1) * width];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            let at = i * width + j;
            rows[at] = if i == 0 || j == 0 {
                i + j
            } else {
                let change = rows[at - width - 1] + usize::from(a[i - 1] != b[j - 1]);
                let mut best = change.min(rows[at - width] + 1).min(rows[at - 1] + 1);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    best = best.min(rows[at - 2 * width - 2] + 1);
                }
                best
            };
        }
    }
    rows[a.len() * width + b.len()]
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let known = ["kernels", "kernel_size", "stride", "padding", "p"];
        assert_eq!(closest("stirde", known), Some("stride"));
        assert_eq!(closest("kernel-size", known), Some("kernel_size"));
        assert_eq!(closest("Kernels", known), Some("kernels"));
        assert_eq!(closest("banana", known), None);
        assert_eq!(closest("x", known), None);
        assert_eq!(closest("", known), None);
    }
}
