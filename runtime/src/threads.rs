//! The thread pool behind [`ParallelFor`]: fixed workers, the caller takes part, short spin and then sleep.
//!
//! A region's iterations are cut into one contiguous slice a thread; each thread works through its own slice in
//! pieces and then helps with the others. So in the usual case a thread touches the same part of a tensor in every
//! kernel, and a thread that is late (busy machine, more threads than cores) holds nobody up: a region waits only for
//! workers that took a piece. Results do not depend on any of this; the compiler sees to that.
#![allow(unsafe_code, reason = "shares a region's job and scratch blocks with the workers")]

use crate::error::{Error, Result};
use crate::program::{Context, ParallelBody, ParallelFor};
use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{JoinHandle, Thread};
use std::time::{Duration, Instant};

/// More threads than this are refused: no machine has them, and the gate counts in 16 bits.
pub const MAX_THREADS: usize = 4096;

/// How often an idle thread looks again before it sleeps: some tenths of a millisecond, which is longer than the last piece
/// of a region takes, and than waking up.
const SPINS: u32 = 20_000;

/// Into how many pieces a thread's slice is cut, so that others can help with the rest.
const PIECES: i64 = 8;

/// The gate's low 16 bits count the workers inside a region; bit 16 says that it is open; the rest is the region's number.
const OPEN: u64 = 1 << 16;
const INSIDE: u64 = OPEN - 1;
const REGION: u64 = OPEN << 1;

/// A fixed set of threads.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

/// One thread's slice of the running region, on cache lines of its own.
#[repr(align(128))]
struct Slice {
    next: AtomicI64,
    end: AtomicI64,
}

/// A worker's bed: whether it sleeps, or is about to.
#[repr(align(128))]
struct Bed {
    asleep: AtomicBool,
}

/// What the workers are to do.
#[derive(Clone, Copy)]
struct Job {
    context: *const Context,
    body: ParallelBody,
    piece: i64,
}

struct Shared {
    /// See [`OPEN`], [`INSIDE`], [`REGION`].
    gate: AtomicU64,
    quit: AtomicBool,
    spins: u32,
    /// Written by the caller while the gate is closed and nobody is inside; read by those inside.
    job: UnsafeCell<Option<Job>>,
    slices: Vec<Slice>,
    beds: Vec<Bed>,
    /// Held by the caller for the length of a region, so that two callers do not mix.
    turn: Mutex<()>,
    /// Who waits for the last worker to leave.
    caller: Mutex<Option<Thread>>,
}

// SAFETY: `job` is guarded by the gate as its doc says (`run_region` and `work` keep to it); the pointers in it are
// valid for as long as the gate is open or a worker is inside, since `run_region` returns only after that.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// A pool of `threads` threads, the caller's included; 0 means one for each core.
    pub fn new(threads: usize) -> Result<Pool> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let threads = if threads == 0 { cores.min(MAX_THREADS) } else { threads };
        if threads > MAX_THREADS {
            return Err(Error::Request(format!("{threads} threads are more than the {MAX_THREADS} supported")));
        }
        let shared = Arc::new(Shared {
            gate: AtomicU64::new(0),
            quit: AtomicBool::new(false),
            // With more threads than cores, a spinning thread only keeps another from working.
            spins: if threads <= cores { SPINS } else { 0 },
            job: UnsafeCell::new(None),
            slices: (0..threads).map(|_| Slice { next: AtomicI64::new(0), end: AtomicI64::new(0) }).collect(),
            beds: (0..threads).map(|_| Bed { asleep: AtomicBool::new(false) }).collect(),
            turn: Mutex::new(()),
            caller: Mutex::new(None),
        });
        let mut pool = Pool { shared, workers: Vec::with_capacity(threads - 1) };
        for index in 1..threads {
            let shared = Arc::clone(&pool.shared);
            // On failure the pool is dropped, which ends the workers started so far.
            let worker = std::thread::Builder::new()
                .name(format!("netc-{index}"))
                .spawn(move || shared.work(index))
                .map_err(|source| Error::Thread { index, source })?;
            pool.workers.push(worker);
        }
        Ok(pool)
    }

    /// Threads, the caller's included.
    pub fn threads(&self) -> usize {
        self.shared.slices.len()
    }

    /// What goes into [`Context::parallel_for`] and [`Context::pool`]; both are valid as long as `self` lives.
    pub fn contract(&self) -> (ParallelFor, *mut c_void) {
        (parallel_for, std::ptr::from_ref(self).cast_mut().cast())
    }

    /// How long a region takes that every thread enters and in which there is nothing to do: the middle one of some windows
    /// of regions that follow each other, as kernels do.
    pub fn empty_region(&self) -> Duration {
        const WINDOWS: usize = 101;
        const REGIONS: u32 = 32;
        // A machine that is busy elsewhere does not let all threads in at once; then fewer windows have to do.
        const LONGEST: Duration = Duration::from_millis(100);
        let meeting = Meeting { threads: self.threads(), arrived: AtomicUsize::new(0) };
        let (parallel_for, pool) = self.contract();
        let context = Context {
            arena: std::ptr::null_mut(),
            state: std::ptr::from_ref(&meeting).cast_mut().cast(),
            scratch: std::ptr::null_mut(),
            scratch_stride: 0,
            ports: std::ptr::null(),
            parallel_for: Some(parallel_for),
            pool,
        };
        let started = Instant::now();
        let mut times = Vec::with_capacity(WINDOWS);
        while times.is_empty() || (times.len() < WINDOWS && started.elapsed() < LONGEST) {
            let start = Instant::now();
            for _ in 0..REGIONS {
                // SAFETY: `state` is the meeting that the body wants, for as many threads; it uses no scratch.
                unsafe { self.run_region(&context, meeting.threads as i64, meet) };
            }
            times.push(start.elapsed() / REGIONS);
        }
        times.sort_unstable();
        times[times.len() / 2]
    }

    /// Runs a region.
    ///
    /// # Safety
    /// `context` is valid, with a scratch block for each thread of this pool, and `body` may be called on it from any
    /// thread for disjoint ranges within `0..count`. Regions do not nest.
    unsafe fn run_region(&self, context: *const Context, count: i64, body: ParallelBody) {
        let shared = &*self.shared;
        let threads = shared.slices.len() as i64;
        if count <= 0 {
            return;
        }
        if threads == 1 || count == 1 {
            // SAFETY: the contract; thread 0 owns the first scratch block.
            unsafe { body(context, scratch_of(context, 0), 0, count) };
            return;
        }
        let turn = locked(&shared.turn);
        let (each, more) = (count / threads, count % threads);
        let mut begin = 0;
        for (slice, index) in shared.slices.iter().zip(0..) {
            let end = begin + each + i64::from(index < more);
            slice.next.store(begin, Ordering::Relaxed);
            slice.end.store(end, Ordering::Relaxed);
            begin = end;
        }
        let job = Job { context, body, piece: (each / PIECES).max(1) };
        // SAFETY: the gate is closed and nobody is inside (the last region's caller, who held `turn`, saw to it).
        unsafe { *shared.job.get() = Some(job) };
        // Publishes slices and job; sequentially consistent against `asleep`, see `work`.
        let gate = shared.gate.load(Ordering::Relaxed);
        shared.gate.store((gate & !INSIDE & !OPEN).wrapping_add(REGION) | OPEN, Ordering::SeqCst);
        for (bed, worker) in shared.beds[1..].iter().zip(&self.workers) {
            if bed.asleep.load(Ordering::SeqCst) {
                worker.thread().unpark();
            }
        }
        // SAFETY: thread 0 is the caller.
        unsafe { shared.do_pieces(&job, 0) };
        // Nobody enters from here on; those inside finish the piece they have.
        if shared.gate.fetch_and(!OPEN, Ordering::AcqRel) & INSIDE != 0 {
            shared.wait_until_left();
        }
        drop(turn);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.quit.store(true, Ordering::SeqCst);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker cannot panic: it runs generated code and this file.
            let _ = worker.join();
        }
    }
}

impl Shared {
    /// A worker's life.
    fn work(&self, index: usize) {
        let mut last_region = 0;
        while let Some(region) = self.next_region(index, last_region) {
            last_region = region;
            // SAFETY: this thread is inside, so the job is published and does not change until it leaves.
            if let Some(job) = unsafe { *self.job.get() } {
                // SAFETY: `run_region`'s contract; `index` is this thread alone.
                unsafe { self.do_pieces(&job, index) };
            }
            let gate = self.gate.fetch_sub(1, Ordering::AcqRel) - 1;
            if gate & (OPEN | INSIDE) == 0 {
                // The caller may be asleep in `wait_until_left`. If it is not, or has gone on, it takes no harm.
                if let Some(caller) = &*locked(&self.caller) {
                    caller.unpark();
                }
            }
        }
    }

    /// Waits for a region newer than `last`, enters it and gives its number; `None` when the pool ends.
    fn next_region(&self, index: usize, last: u64) -> Option<u64> {
        let asleep = &self.beds[index].asleep;
        let mut spins = 0;
        loop {
            if self.quit.load(Ordering::Relaxed) {
                return None;
            }
            let gate = self.gate.load(Ordering::Relaxed);
            let region = gate / REGION;
            if gate & OPEN != 0 && region != last {
                if self.gate.compare_exchange_weak(gate, gate + 1, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                    return Some(region);
                }
            } else if spins < self.spins {
                spins += 1;
                std::hint::spin_loop();
            } else {
                asleep.store(true, Ordering::SeqCst);
                // Either this load sees the gate opened, or the caller's load sees `asleep`: no wake-up is lost.
                let gate = self.gate.load(Ordering::SeqCst);
                let nothing_new = gate & OPEN == 0 || gate / REGION == last;
                if nothing_new && !self.quit.load(Ordering::SeqCst) {
                    std::thread::park();
                }
                asleep.store(false, Ordering::Relaxed);
                spins = 0;
            }
        }
    }

    /// Waits until no worker is inside.
    fn wait_until_left(&self) {
        for _ in 0..self.spins {
            if self.gate.load(Ordering::Acquire) & INSIDE == 0 {
                return;
            }
            std::hint::spin_loop();
        }
        *locked(&self.caller) = Some(std::thread::current());
        // The last worker to leave takes the lock after it left: if it did so before the caller was stored, then this
        // load, which comes after the lock, sees that it left.
        while self.gate.load(Ordering::Acquire) & INSIDE != 0 {
            std::thread::park();
        }
        *locked(&self.caller) = None;
    }

    /// Does pieces of its own slice and then of the others', until all are taken.
    ///
    /// # Safety
    /// As [`Pool::run_region`], and no other thread uses `index`.
    unsafe fn do_pieces(&self, job: &Job, index: usize) {
        // SAFETY: the context is valid.
        let scratch = unsafe { scratch_of(job.context, index) };
        let threads = self.slices.len();
        for turn in 0..threads {
            let slice = &self.slices[(index + turn) % threads];
            let end = slice.end.load(Ordering::Relaxed);
            while slice.next.load(Ordering::Relaxed) < end {
                let begin = slice.next.fetch_add(job.piece, Ordering::Relaxed);
                if begin >= end {
                    break;
                }
                // SAFETY: `fetch_add` gives each piece to one thread.
                unsafe { (job.body)(job.context, scratch, begin, end.min(begin + job.piece)) };
            }
        }
    }
}

/// Where the threads of an empty region wait for each other. Otherwise the first would do all iterations by itself.
struct Meeting {
    threads: usize,
    /// In all regions so far.
    arrived: AtomicUsize,
}

/// The body of an empty region: an iteration for each thread, all of which are at work at the same time.
///
/// # Safety
/// The context's `state` is a [`Meeting`].
unsafe extern "C" fn meet(context: *const Context, _: *mut u8, _: i64, _: i64) {
    // SAFETY: the contract.
    let meeting = unsafe { &*(*context).state.cast::<Meeting>() };
    let all = (meeting.arrived.fetch_add(1, Ordering::AcqRel) / meeting.threads + 1) * meeting.threads;
    let mut spins = 0;
    while meeting.arrived.load(Ordering::Acquire) < all {
        spins += 1;
        // A thread that is not there by then has no core.
        if spins < 1500 { std::hint::spin_loop() } else { std::thread::yield_now() }
    }
}

/// # Safety
/// `context` is valid and has more than `thread` scratch blocks.
unsafe fn scratch_of(context: *const Context, thread: usize) -> *mut u8 {
    // SAFETY: the contract.
    unsafe { (*context).scratch.wrapping_add(thread * (*context).scratch_stride) }
}

/// [`ParallelFor`] over a [`Pool`].
///
/// # Safety
/// `pool` comes from [`Pool::contract`] of a living pool; the rest as [`Pool::run_region`].
unsafe extern "C" fn parallel_for(pool: *mut c_void, context: *const Context, count: i64, body: ParallelBody) {
    // SAFETY: the contract.
    unsafe { (*pool.cast::<Pool>()).run_region(context, count, body) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    /// Counts how often each index was done, and that scratch blocks are not shared.
    struct Ledger {
        done: Vec<AtomicU32>,
        collisions: AtomicU32,
    }

    unsafe extern "C" fn tick(context: *const Context, scratch: *mut u8, begin: i64, end: i64) {
        // SAFETY: the test's context: `state` is the ledger, scratch blocks hold one counter.
        unsafe {
            let ledger = &*(*context).state.cast::<Ledger>();
            let users = &*scratch.cast::<AtomicU32>();
            if users.fetch_add(1, Ordering::AcqRel) != 0 {
                ledger.collisions.fetch_add(1, Ordering::Relaxed);
            }
            for i in begin..end {
                ledger.done[i as usize].fetch_add(1, Ordering::Relaxed);
            }
            users.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn run(pool: &Pool, count: i64) -> Ledger {
        let ledger = Ledger { done: (0..count).map(|_| AtomicU32::new(0)).collect(), collisions: AtomicU32::new(0) };
        let mut scratch = vec![0u64; pool.threads() * 8];
        let (parallel_for, data) = pool.contract();
        let context = Context {
            arena: std::ptr::null_mut(),
            state: std::ptr::from_ref(&ledger).cast_mut().cast(),
            scratch: scratch.as_mut_ptr().cast(),
            scratch_stride: 64,
            ports: std::ptr::null(),
            parallel_for: Some(parallel_for),
            pool: data,
        };
        // SAFETY: the context outlives the call and has a scratch block for each thread.
        unsafe { parallel_for(data, &context, count, tick) };
        ledger
    }

    #[test]
    fn every_index_is_done_once_with_private_scratch() {
        for threads in [1, 2, 3, 8] {
            let pool = Pool::new(threads).unwrap();
            assert_eq!(pool.threads(), threads);
            for count in [0, 1, 2, 3, 7, 8, 100, 1001] {
                for _ in 0..20 {
                    let ledger = run(&pool, count);
                    assert!(ledger.done.iter().all(|n| n.load(Ordering::Relaxed) == 1), "{threads} {count}");
                    assert_eq!(ledger.collisions.load(Ordering::Relaxed), 0);
                }
            }
        }
    }

    #[test]
    fn a_pool_wakes_from_sleep_and_serves_several_callers() {
        let pool = Pool::new(3).unwrap();
        for _ in 0..5 {
            std::thread::sleep(std::time::Duration::from_millis(2));
            assert!(run(&pool, 50).done.iter().all(|n| n.load(Ordering::Relaxed) == 1));
        }
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        assert!(run(&pool, 37).done.iter().all(|n| n.load(Ordering::Relaxed) == 1));
                    }
                });
            }
        });
    }

    #[test]
    fn empty_regions_are_measured_between_others() {
        for threads in [1, 2, 3] {
            let pool = Pool::new(threads).unwrap();
            // Whatever it is: a machine that is busy may take any time.
            pool.empty_region();
            assert!(run(&pool, 50).done.iter().all(|n| n.load(Ordering::Relaxed) == 1));
        }
    }

    #[test]
    fn absurd_thread_counts_are_refused() {
        assert!(matches!(Pool::new(MAX_THREADS + 1), Err(Error::Request(_))));
        assert!(Pool::new(0).unwrap().threads() >= 1);
    }
}
