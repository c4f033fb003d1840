//! How fast this machine is at best: multiply-adds, and reading and copying memory, by how much of it is touched.
//!
//! [`measure`] takes half a second. What it finds is what no program exceeds by much, so that it gives a lower bound of
//! how long work takes.
#![allow(unsafe_code, reason = "calls functions for instructions that the machine was asked about")]

use crate::memory::Block;
use serde::{Deserialize, Serialize};
use std::hint::black_box;
use std::sync::Barrier;
use std::time::{Duration, Instant};

/// How fast a machine is, on several numbers of threads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// Its processor.
    pub cpu: String,
    /// On one thread, on all, and on other numbers that were measured; ascending.
    pub speeds: Vec<Speed>,
}

/// Speeds on a number of threads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Speed {
    /// The threads.
    pub threads: usize,
    /// Floating-point operations a second, two for a multiply-add.
    pub flops: f64,
    /// Of memory, by how much of it is touched; ascending.
    pub levels: Vec<Level>,
}

/// Speeds of memory of which a certain amount is touched again and again.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// Bytes that all threads touch together.
    pub bytes: usize,
    /// Bytes read a second.
    pub read: f64,
    /// Bytes read, and as many written, a second.
    pub copy: f64,
}

impl Machine {
    /// Speeds on `threads` threads. Where they were not measured: those of the next fewer threads in proportion, but not
    /// more than those of the next more; above all threads those of all.
    pub fn on(&self, threads: usize) -> Speed {
        let above = self.speeds.partition_point(|speed| speed.threads < threads.max(1));
        let below = above.checked_sub(1).map(|below| &self.speeds[below]);
        match (below, self.speeds.get(above)) {
            (_, Some(speed)) if speed.threads == threads => speed.clone(),
            (Some(below), Some(above)) => between(below, above, threads),
            (Some(speed), None) | (None, Some(speed)) => Speed { threads, ..speed.clone() },
            (None, None) => Speed { threads, flops: 0.0, levels: Vec::new() },
        }
    }

    /// Puts in what was measured, in place of what was there for as many threads.
    pub fn put(&mut self, speed: Speed) {
        self.speeds.retain(|other| other.threads != speed.threads);
        self.speeds.push(speed);
        self.speeds.sort_by_key(|speed| speed.threads);
    }

    /// Puts in what was measured, but of each speed that was measured for as many threads before the better one.
    pub fn improve(&mut self, mut speed: Speed) {
        if let Some(before) = self.speeds.iter().find(|other| other.threads == speed.threads) {
            speed.flops = speed.flops.max(before.flops);
            for level in &mut speed.levels {
                for same in before.levels.iter().filter(|other| other.bytes == level.bytes) {
                    level.read = level.read.max(same.read);
                    level.copy = level.copy.max(same.copy);
                }
            }
        }
        self.put(speed);
    }
}

fn between(below: &Speed, above: &Speed, threads: usize) -> Speed {
    let times = threads as f64 / below.threads as f64;
    let least = |below: f64, above: f64| (below * times).min(above);
    let levels = below.levels.iter().zip(&above.levels);
    let levels = levels.map(|(below, above)| Level {
        bytes: above.bytes,
        read: least(below.read, above.read),
        copy: least(below.copy, above.copy),
    });
    Speed { threads, flops: least(below.flops, above.flops), levels: levels.collect() }
}

impl Speed {
    /// Bytes that are read from memory a second, of more than caches hold.
    pub fn memory(&self) -> f64 {
        self.levels.last().map_or(0.0, |level| level.read)
    }

    /// The least seconds for work of so many multiply-adds that reads and writes so many bytes: arithmetic and memory
    /// may overlap, so the longer of the two counts.
    pub fn least_seconds(&self, macs: u64, read: u64, written: u64) -> f64 {
        let compute = 2.0 * macs as f64 / self.flops.max(1.0);
        let touched = (read + written) as usize;
        // The largest amount measured that is not more than what is touched: never slower than the truth.
        let level = self.levels.iter().rev().find(|level| level.bytes <= touched).or(self.levels.first());
        let memory = level.map_or(0.0, |level| {
            let both = read.min(written) as f64;
            let rest = read.max(written) as f64 - both;
            both / level.copy.max(1.0) + rest / level.read.max(1.0)
        });
        compute.max(memory)
    }
}

/// How long one speed is measured, several times.
const WINDOW: Duration = Duration::from_millis(8);
const WINDOWS: usize = 3;

/// Bytes that each thread touches.
const TOUCHED: [usize; 4] = [32 << 10, 256 << 10, 2 << 20, 16 << 20];
/// Bytes that all threads touch together at last, more than caches hold.
const LARGEST: usize = 128 << 20;

/// Measures this machine on one thread and on all.
pub fn measure() -> Machine {
    let mut machine = Machine { cpu: cpu(), speeds: vec![measure_on(1)] };
    if cores() > 1 {
        machine.put(measure_on(cores()));
    }
    machine
}

/// Measures this machine on `threads` threads, of which more than cores do not count.
pub fn measure_on(threads: usize) -> Speed {
    speed(threads.clamp(1, cores()))
}

/// Threads that run at the same time.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The processor's name.
pub fn cpu() -> String {
    let about = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = about.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':').map(|(_, name)| name));
    name.map_or_else(|| std::env::consts::ARCH.to_owned(), |name| name.trim().to_owned())
}

fn speed(threads: usize) -> Speed {
    const ROUNDS: usize = 1_000;
    let flops = rate(threads, || (), |()| multiply_adds(ROUNDS));
    let mut sizes: Vec<usize> = TOUCHED.to_vec();
    sizes.push((LARGEST / threads).max(2 * TOUCHED[3]));
    let level = |bytes: usize| {
        // Blocks as programs have them: from small pages, much memory is read more slowly. One that is refused has no speed.
        let block = |bytes: usize| {
            let mut block = Block::zeroed("measuring the speed of memory", bytes).ok()?;
            block.elements_mut::<u64>().fill(1);
            Some(block)
        };
        let read = rate(
            threads,
            || block(bytes),
            |memory| {
                let Some(memory) = memory else { return 0.0 };
                black_box(sum(black_box(memory.elements())));
                memory.len() as f64
            },
        );
        let pair = || block(bytes / 2).zip(block(bytes / 2));
        let copy = rate(threads, pair, |pair| {
            let Some((from, to)) = pair else { return 0.0 };
            copy(black_box(from.elements()), to.elements_mut());
            black_box(to.elements::<u64>());
            from.len() as f64
        });
        Level { bytes: bytes * threads, read, copy }
    };
    Speed { threads, flops, levels: sizes.into_iter().map(level).collect() }
}

/// Units of work a second that `threads` threads do together in the best of some windows. Each makes its own `state`
/// first; `work` gives the units that it did.
fn rate<S>(threads: usize, state: impl Fn() -> S + Sync, work: impl Fn(&mut S) -> f64 + Sync) -> f64 {
    let barrier = Barrier::new(threads);
    let measured = || {
        let mut state = state();
        // So much at a time that reading the clock does not count.
        let mut times = 1;
        while times < 1 << 20 {
            let start = Instant::now();
            for _ in 0..times {
                work(&mut state);
            }
            if start.elapsed() > WINDOW / 16 {
                break;
            }
            times *= 2;
        }
        let mut rates = [0.0; WINDOWS];
        for rate in &mut rates {
            barrier.wait();
            let (start, mut units) = (Instant::now(), 0.0);
            while start.elapsed() < WINDOW {
                units += (0..times).map(|_| work(&mut state)).sum::<f64>();
            }
            *rate = units / start.elapsed().as_secs_f64();
        }
        rates
    };
    let all: Vec<[f64; WINDOWS]> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(measured)).collect();
        running.into_iter().filter_map(|thread| thread.join().ok()).collect()
    });
    (0..WINDOWS).map(|window| all.iter().map(|rates| rates[window]).sum()).fold(0.0, f64::max)
}

/// A sum whose parts do not wait for each other.
#[inline(always)]
fn sum_of(words: &[u64]) -> u64 {
    let mut sums = [0u64; 32];
    for part in words.chunks_exact(32) {
        for (sum, word) in sums.iter_mut().zip(part) {
            *sum = sum.wrapping_add(*word);
        }
    }
    sums.iter().fold(0, |all, sum| all.wrapping_add(*sum))
}

/// Copies with the vector instructions that kernels use; a plain copy would become a call of `memcpy`, which is slower for
/// some sizes.
#[inline(always)]
fn copy_of(from: &[u64], to: &mut [u64]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = from.wrapping_add(1);
    }
}

#[cfg(target_arch = "x86_64")]
mod instructions {
    use super::{copy_of, sum_of};
    use std::arch::x86_64::*;
    use std::hint::black_box;

    macro_rules! chains {
        ($name:ident, $features:literal, $set:ident, $fused:ident, $first:ident) => {
            #[target_feature(enable = $features)]
            pub fn $name(rounds: usize) -> f32 {
                let (a, b) = ($set(black_box(0.999)), $set(black_box(0.001)));
                let mut sums = [$set(1.0); 12];
                for _ in 0..rounds {
                    for sum in &mut sums {
                        *sum = $fused(*sum, a, b);
                    }
                }
                sums.iter().map(|&sum| $first(sum)).sum()
            }
        };
    }
    chains!(wide, "avx512f", _mm512_set1_ps, _mm512_fmadd_ps, _mm512_cvtss_f32);
    chains!(middle, "avx2,fma", _mm256_set1_ps, _mm256_fmadd_ps, _mm256_cvtss_f32);

    // Vectors of 32 bytes, on machines with longer ones too: the compiler makes no good code of these for them, and a
    // core reads no faster by them from anything but its first cache.
    #[target_feature(enable = "avx2")]
    pub fn sum_middle(words: &[u64]) -> u64 {
        sum_of(words)
    }

    #[target_feature(enable = "avx2")]
    pub fn copy_middle(from: &[u64], to: &mut [u64]) {
        copy_of(from, to);
    }

    /// Without fused multiply-adds: a product and a sum.
    #[target_feature(enable = "sse2")]
    pub fn narrow(rounds: usize) -> f32 {
        let (a, b) = (_mm_set1_ps(black_box(0.999)), _mm_set1_ps(black_box(0.001)));
        let mut sums = [_mm_set1_ps(1.0); 12];
        for _ in 0..rounds {
            for sum in &mut sums {
                *sum = _mm_add_ps(_mm_mul_ps(*sum, a), b);
            }
        }
        sums.iter().map(|&sum| _mm_cvtss_f32(sum)).sum()
    }
}

/// So many rounds of twelve independent chains of vector multiply-adds; gives the operations done.
#[cfg(target_arch = "x86_64")]
fn multiply_adds(rounds: usize) -> f64 {
    let (result, lanes) = if is_x86_feature_detected!("avx512f") {
        // SAFETY: the machine has the instructions.
        (unsafe { instructions::wide(rounds) }, 16)
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the machine has the instructions.
        (unsafe { instructions::middle(rounds) }, 8)
    } else {
        // SAFETY: every x86-64 machine has the instructions.
        (unsafe { instructions::narrow(rounds) }, 4)
    };
    black_box(result);
    (2 * 12 * lanes * rounds) as f64
}

#[cfg(target_arch = "x86_64")]
fn sum(words: &[u64]) -> u64 {
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the machine has the instructions.
        unsafe { instructions::sum_middle(words) }
    } else {
        sum_of(words)
    }
}

#[cfg(target_arch = "x86_64")]
fn copy(from: &[u64], to: &mut [u64]) {
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the machine has the instructions.
        unsafe { instructions::copy_middle(from, to) }
    } else {
        copy_of(from, to);
    }
}

/// So many rounds of independent chains of multiply-adds in vectors of four; gives the operations done.
#[cfg(not(target_arch = "x86_64"))]
fn multiply_adds(rounds: usize) -> f64 {
    const CHAINS: usize = 16;
    let (a, b) = (black_box(0.999f32), black_box(0.001f32));
    let mut sums = [[1.0f32; 4]; CHAINS];
    for _ in 0..rounds {
        for sum in sums.iter_mut().flatten() {
            *sum = sum.mul_add(a, b);
        }
    }
    black_box(sums);
    (2 * 4 * CHAINS * rounds) as f64
}

#[cfg(not(target_arch = "x86_64"))]
fn sum(words: &[u64]) -> u64 {
    sum_of(words)
}

#[cfg(not(target_arch = "x86_64"))]
fn copy(from: &[u64], to: &mut [u64]) {
    copy_of(from, to);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        let speed = |threads: usize, times: f64| Speed {
            threads,
            flops: 100.0 * times,
            levels: vec![
                Level { bytes: 10 * threads, read: 50.0 * times, copy: 20.0 * times },
                Level { bytes: 1000 * threads, read: 10.0, copy: 5.0 },
            ],
        };
        Machine { cpu: "x".to_owned(), speeds: vec![speed(1, 1.0), speed(4, 3.0)] }
    }

    #[test]
    fn the_best_that_was_measured_is_kept() {
        let mut known = machine();
        let level = |bytes: usize, read: f64, copy: f64| Level { bytes, read, copy };
        known.improve(Speed { threads: 1, flops: 90.0, levels: vec![level(10, 60.0, 10.0), level(70, 1.0, 1.0)] });
        let levels = vec![level(10, 60.0, 20.0), level(70, 1.0, 1.0)];
        assert_eq!(known.on(1), Speed { threads: 1, flops: 100.0, levels });
        assert_eq!((known.speeds.len(), known.on(4)), (2, machine().on(4)));
        known.improve(Speed { threads: 2, flops: 150.0, levels: Vec::new() });
        assert_eq!(known.on(2).flops, 150.0);
    }

    #[test]
    fn the_longer_of_arithmetic_and_memory_counts() {
        let one = machine().on(1);
        assert_eq!(one.least_seconds(500, 0, 0), 10.0);
        assert_eq!(one.least_seconds(500, 100, 0), 10.0);
        assert_eq!(one.least_seconds(0, 100, 0), 2.0);
        assert_eq!(one.least_seconds(0, 1500, 3500), 1500.0 / 5.0 + 2000.0 / 10.0, "memory out of the cache");
        assert_eq!(one.least_seconds(0, 20, 10), 10.0 / 20.0 + 10.0 / 50.0);
    }

    #[test]
    fn more_threads_are_faster_up_to_all() {
        let machine = machine();
        let flops = [1, 2, 3, 4, 9].map(|threads| machine.on(threads).flops);
        assert_eq!(flops, [100.0, 200.0, 300.0, 300.0, 300.0]);
        assert_eq!(machine.on(2).levels[1], Level { bytes: 4000, read: 10.0, copy: 5.0 });
        assert_eq!([0, 1, 2, 9].map(|threads| machine.on(threads).threads), [0, 1, 2, 9]);
    }

    #[test]
    fn what_is_measured_later_counts() {
        let mut machine = machine();
        let speed = |threads, flops| Speed { threads, flops, levels: Vec::new() };
        machine.put(speed(2, 150.0));
        machine.put(speed(1, 90.0));
        let flops = [1, 2, 3, 4, 9].map(|threads| machine.on(threads).flops);
        assert_eq!(flops, [90.0, 150.0, 225.0, 300.0, 300.0]);
        assert_eq!((machine.on(4).memory(), machine.on(1).memory()), (10.0, 0.0));
    }

    #[test]
    fn a_machine_has_speeds() {
        let found = rate(2, || (), |()| multiply_adds(10));
        assert!(found.is_finite() && found > 0.0);
        assert_eq!(sum(&[3; 64]), 192);
        assert!(!cpu().is_empty());
    }
}
