//! Jobs side by side, on as many threads as the machine has.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What `work` gives for each of `jobs`, in their order. The heaviest start first, so that all threads end together.
pub fn side_by_side<J: Sync, R: Send>(
    jobs: &[J],
    weight: impl Fn(&J) -> usize,
    work: impl Fn(&J) -> R + Sync,
) -> Vec<R> {
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    order.sort_by_cached_key(|&i| std::cmp::Reverse(weight(&jobs[i])));
    let next = AtomicUsize::new(0);
    let worker = || {
        let take = || order.get(next.fetch_add(1, Ordering::Relaxed)).copied();
        std::iter::from_fn(take).map(|i| (i, work(&jobs[i]))).collect::<Vec<_>>()
    };
    let others = std::thread::available_parallelism().map_or(1, |n| n.get()).min(jobs.len()).saturating_sub(1);
    let mut results = std::thread::scope(|scope| {
        let started: Vec<_> = (0..others).map(|_| scope.spawn(worker)).collect();
        let mut results = worker();
        for thread in started {
            results.extend(thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        results
    });
    results.sort_by_key(|&(i, _)| i);
    results.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_order_of_jobs() {
        for count in [0, 1, 2, 100] {
            let jobs: Vec<usize> = (0..count).collect();
            let squares: Vec<usize> = jobs.iter().map(|i| i * i).collect();
            assert_eq!(side_by_side(&jobs, |i| i % 7, |i| i * i), squares);
        }
    }

    #[test]
    #[should_panic = "job 3"]
    fn a_panic_is_passed_on() {
        side_by_side(
            &[1, 2, 3],
            |_| 0,
            |&i| {
                if i == 3 {
                    panic!("job {i}")
                }
            },
        );
    }
}
