//! The largest batch for some memory.

use super::{Failure, Options, forecast};
use crate::check::{LARGEST_BATCH, Network};
use crate::forecast::Forecast;

/// A batch that fits, or the smallest one if none does.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// Images.
    pub batch: usize,
    /// What it takes.
    pub forecast: Forecast,
    /// Whether that is as much as asked for, or less.
    pub fits: bool,
}

/// The largest batch that takes at most `limit` bytes on so many threads, each tried by its exact plan. The batch in
/// `options` does not matter.
///
/// What the network's tensors need at the same time grows with the batch, so a binary search finds where that alone is too
/// much. What their places leave between them, and what convolutions bring their operands to, may shrink when the batch
/// grows; so from there the search goes down one by one to the first batch that fits. Where inference does a batch in
/// groups, one that can be divided needs less than its neighbours that cannot, and may fit though smaller ones do not: so
/// the batches between that and the next power of two which divide well are tried too, the largest first: the multiples of
/// a sixteenth of that power. One that divides less well may be missed.
pub fn fit(network: &Network, options: &Options, limit: u64, threads: usize) -> Result<Fit, Failure> {
    let of = |batch: usize| forecast(network, &Options { batch, ..options.clone() });
    let may_fit = |forecast: &Forecast| forecast.least_bytes() <= limit;
    let smallest = of(1)?;
    // The first that is too large at any rate, by doubling and then halving.
    let (mut low, mut high) = (1, 2);
    while high <= LARGEST_BATCH && may_fit(&of(high)?) {
        (low, high) = (high, 2 * high);
    }
    high = high.min(LARGEST_BATCH + 1);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if may_fit(&of(middle)?) {
            low = middle;
        } else {
            high = middle;
        }
    }
    let power = (low + 1).next_power_of_two();
    let even = (1..=16).rev().map(|parts| power / 16 * parts);
    let even = even.filter(|batch| !options.train && (high..=LARGEST_BATCH).contains(batch));
    for batch in even.chain((1..=low).rev()) {
        let forecast = of(batch)?;
        if forecast.memory.bytes(threads) <= limit {
            return Ok(Fit { batch, forecast, fits: true });
        }
    }
    Ok(Fit { batch: 1, forecast: smallest, fits: false })
}
