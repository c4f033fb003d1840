//! The transforms of Winograd's minimal filtering, derived in exact fractions.
//!
//! F(m, r) makes m neighbouring outputs of a filter of r taps from m + r − 1 products instead of m·r: outputs =
//! Aᵀ[(G g) ⊙ (Bᵀ d)] (S. Winograd, "Arithmetic Complexity of Computations", 1980; A. Lavin, S. Gray, "Fast Algorithms
//! for Convolutional Neural Networks", 2015). It is Toom and Cook's multiplication of polynomials, transposed: two
//! polynomials are evaluated at m + r − 1 points, one of them infinity, and the values multiplied.

use num_rational::Ratio;
use std::sync::OnceLock;

type Fraction = Ratio<i64>;

/// Rows of a matrix.
pub type Matrix = Vec<Vec<f64>>;

/// The matrices of F(m, r), n = m + r − 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Transform {
    /// Bᵀ, n×n: of n inputs.
    pub input: Matrix,
    /// G, n×r: of r taps.
    pub filter: Matrix,
    /// Aᵀ, m×n: of n products.
    pub output: Matrix,
}

/// Most products of a filtering: beyond, errors grow and transforms cost more than they save.
pub(super) const MOST_POINTS: usize = 8;

/// Points besides infinity, by the number of products: numerator and denominator. Measured by the error of a sum over
/// 128 channels (relative root mean square of the error, times 1e-6): F(2,3) 0.35, F(3,3) 0.9, F(4,3) 1.1, F(5,3) 2.9,
/// F(6,3) 3.8, F(4,5) 3.4; of the direct sum 0.2.
const POINTS: [&[(i64, i64)]; MOST_POINTS] = [
    &[],
    &[(0, 1)],
    &[(0, 1), (1, 1)],
    &[(0, 1), (1, 1), (-1, 1)],
    &[(0, 1), (1, 1), (-1, 1), (1, 2)],
    &[(0, 1), (3, 4), (-3, 4), (3, 2), (-3, 2)],
    &[(0, 1), (1, 1), (-1, 1), (2, 1), (-2, 1), (1, 2)],
    &[(0, 1), (1, 1), (-1, 1), (2, 1), (-2, 1), (1, 2), (-1, 2)],
];

/// Those that have been derived, by outputs and taps.
static DERIVED: [[OnceLock<Transform>; MOST_POINTS]; MOST_POINTS] =
    [const { [const { OnceLock::new() }; MOST_POINTS] }; MOST_POINTS];

impl Transform {
    /// Those of F(outputs, taps), derived once; at most eight products.
    pub fn of(outputs: usize, taps: usize) -> &'static Transform {
        DERIVED[outputs - 1][taps - 1].get_or_init(|| Transform::new(outputs, taps))
    }

    /// Derives those of F(outputs, taps); at most eight products.
    pub fn new(outputs: usize, taps: usize) -> Transform {
        let count = outputs + taps - 1;
        let points: Vec<Fraction> = POINTS[count - 1].iter().map(|&(n, d)| Ratio::new(n, d)).collect();
        let powers = |x: &Fraction, count: usize| -> Vec<Fraction> {
            std::iter::successors(Some(Fraction::from(1)), |power| Some(power * x)).take(count).collect()
        };
        let at_infinity =
            |count: usize| -> Vec<Fraction> { (0..count).map(|k| Fraction::from(i64::from(k + 1 == count))).collect() };
        let mut input = Vec::new();
        let mut filter = Vec::new();
        let mut output = Vec::new();
        for (i, point) in points.iter().enumerate() {
            let others = || points.iter().enumerate().filter(move |(j, _)| *j != i).map(|(_, p)| p);
            let divisor = others().fold(Fraction::from(1), |product, other| product * (point - other));
            input.push(with_roots(others(), count));
            filter.push(powers(point, taps).into_iter().map(|power| power / divisor).collect());
            output.push(powers(point, outputs));
        }
        input.push(with_roots(points.iter(), count));
        filter.push(at_infinity(taps));
        output.push(at_infinity(outputs));
        Transform { input: real(&input), filter: real(&filter), output: transposed(&real(&output)) }
    }
}

/// The coefficients, lowest first, of the monic polynomial with these roots, filled up to `count`.
fn with_roots<'a>(roots: impl Iterator<Item = &'a Fraction>, count: usize) -> Vec<Fraction> {
    let mut coefficients = vec![Fraction::from(1)];
    for root in roots {
        let mut product = vec![Fraction::from(0); coefficients.len() + 1];
        for (power, coefficient) in coefficients.iter().enumerate() {
            product[power] -= coefficient * root;
            product[power + 1] += coefficient;
        }
        coefficients = product;
    }
    coefficients.resize(count, Fraction::from(0));
    coefficients
}

fn real(rows: &[Vec<Fraction>]) -> Matrix {
    rows.iter().map(|row| row.iter().map(|x| *x.numer() as f64 / *x.denom() as f64).collect()).collect()
}

/// Rows become columns.
pub fn transposed(matrix: &Matrix) -> Matrix {
    let columns = matrix.first().map_or(0, Vec::len);
    (0..columns).map(|c| matrix.iter().map(|row| row[c]).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(matrix: &Matrix, vector: &[f64]) -> Vec<f64> {
        matrix.iter().map(|row| row.iter().zip(vector).map(|(a, b)| a * b).sum()).collect()
    }

    #[test]
    fn filtering_is_exact() {
        for count in 1..=MOST_POINTS {
            for taps in 1..=count {
                let outputs = count + 1 - taps;
                let t = Transform::new(outputs, taps);
                let g: Vec<f64> = (0..taps).map(|i| (i * i + 1) as f64).collect();
                let d: Vec<f64> = (0..count).map(|i| 7.0 - (i * 3 % 5) as f64).collect();
                let products: Vec<f64> =
                    times(&t.filter, &g).iter().zip(times(&t.input, &d)).map(|(a, b)| a * b).collect();
                for (k, y) in times(&t.output, &products).into_iter().enumerate() {
                    let expected: f64 = (0..taps).map(|i| g[i] * d[k + i]).sum();
                    assert!((y - expected).abs() < 1e-11 * expected.abs(), "F({outputs}, {taps}): {y}, not {expected}");
                }
            }
        }
    }

    #[test]
    fn the_smallest_is_winograds() {
        let t = Transform::new(2, 3);
        assert_eq!(t.output, [[1.0, 1.0, 1.0, 0.0], [0.0, 1.0, -1.0, 1.0]]);
        assert_eq!(t.filter, [[-1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]]);
    }
}
