//! Every convolution and both its gradients, by everything that could compute them, against the graph's interpreter:
//! random shapes on random machines, by the definition and by any minimal filtering, divided in any way; the kernels
//! interpreted in both orders of parallel loops, and compiled, with pages that nobody may touch around the memory (or
//! around each buffer), on one, two, three and five threads.
//!
//! Case 17 is the same whenever and wherever it is drawn. `NETC_CASES=0..3000 cargo test --test convolutions` tests
//! more of them than `cargo test` does.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failed test is a panic, a passed one prints its figures"
)]

mod support;

use netc::codegen;
use netc::graph::interpret::{Precision, interpret};
use netc::kernel::interpret::Order;
use netc::plan::{Algorithm, text};
use netc::target::Target;
use netc_runtime::random::Stream;
use netc_runtime::threads::Pool;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Instant;
use support::compiled::Planned;
use support::convolution::{Case, Way, form, largest_error, operands, same_bits, scale};
use support::guarded::{Guarded, PAGE, Side};

/// The cases to test: those of NETC_CASES, or the first few.
fn cases() -> Range<u64> {
    let Ok(range) = std::env::var("NETC_CASES") else { return 0..40 };
    let (first, end) = range.split_once("..").expect("NETC_CASES=FIRST..END");
    first.parse().unwrap()..end.parse().unwrap()
}

/// A machine with as many and as long registers, and as large a cache, as anyone may think of: tiles, blocks and parts
/// of all sizes.
fn machine(stream: &mut Stream) -> Target {
    let base = if stream.below(3) == 0 { codegen::named("x86-64").unwrap() } else { codegen::host() };
    if stream.below(3) == 0 {
        return base;
    }
    let lanes = [4, 8, 16][stream.below(3) as usize];
    let registers = 9 + stream.below(24) as usize;
    let cache = 1 << (9 + stream.below(17));
    Target { lanes, registers, cache, ..base }
}

/// Largest error over what a sum of so many terms is about, by the points of a tile's longer side; of the definition, 0.
/// The largest that the cases 3000 to 3399 have: 2.3e-6 by the definition; 1.7e-6, none, 1.0e-6, 1.3e-6, 2.4e-6, 2.8e-6,
/// 8.5e-6 and 9.6e-6 by points.
const TOLERANCE: [f64; 9] = [3e-6, 3e-6, 3e-6, 3e-6, 3e-6, 8e-6, 8e-6, 2e-5, 3e-5];

struct Tester {
    pools: Vec<Pool>,
    /// By what was used: how often, and the largest error.
    used: BTreeMap<String, (usize, f64)>,
    worst: [f64; 9],
    shapes: BTreeSet<String>,
}

impl Tester {
    fn new() -> Tester {
        let pools = [2, 3, 5].map(|threads| Pool::new(threads).unwrap());
        Tester { pools: pools.into(), used: BTreeMap::new(), worst: [0.0; 9], shapes: BTreeSet::new() }
    }

    fn check(&mut self, number: u64, way: Way) {
        let mut stream = Stream::new(number, [0x636f_6e76, way as u32, 0]);
        let most = if number % 8 == 7 { 200_000 } else { 30_000 };
        let mut case = Case::random(&mut stream, most);
        // Gradients of the input of strided convolutions are by the definition.
        while way == Way::InputGradient && number % 4 != 3 && case.stride != [1, 1] {
            case = Case::random(&mut stream, most);
        }
        let target = machine(&mut stream);
        let algorithm = match number % 5 {
            0 => Algorithm::Direct,
            1 => Algorithm::Winograd,
            _ => Algorithm::Drawn(u64::from(stream.below(u32::MAX))),
        };
        let (graph, shapes) = case.graph(way);
        let inputs = operands(&shapes, number);
        let exact = interpret(&graph, Precision::Double, &inputs, &[]).unwrap();
        let planned = Planned::by(&graph, &target, algorithm);
        let form = form(&planned.plan);
        let Target { cpu, lanes, registers, cache, .. } = &target;
        let what = format!(
            "case {number}, {way:?}: {case:?}\n{algorithm:?} on {cpu}, {lanes} lanes, {registers} registers, cache \
             {cache}\n{}",
            text::print(&planned.plan)
        );
        let points = form.map_or(0, |form| form.points()[0].max(form.points()[1]));
        let size = scale(&exact).max((case.terms(way) as f64).sqrt() / 3.0);
        let kernels = planned.interpret(&inputs, &[], Order::Forward);
        let worst = largest_error(&kernels, &exact) / size;
        assert!(worst < TOLERANCE[points], "error {worst:.2e}, {what}");
        same_bits(&format!("reversed loops: {what}"), &kernels, &planned.interpret(&inputs, &[], Order::Reversed));
        // As a program has it, or each buffer alone between pages that nobody may touch.
        let compiled = match number / 4 % 3 {
            0 => planned,
            1 => planned.apart(Side::Before),
            _ => planned.apart(Side::After),
        };
        let side = if number / 4 % 3 == 1 { Side::Before } else { Side::After };
        let code = compiled.run_between(&inputs, &[], 1, side);
        let worst = largest_error(&code, &exact) / size;
        assert!(worst < TOLERANCE[points], "error {worst:.2e} of the code, {what}");
        for parts in [2, 3, 5] {
            let split = compiled.run_between(&inputs, &[], parts, side);
            same_bits(&format!("{parts} parts, the last one first: {what}"), &code, &split);
        }
        for pool in &self.pools {
            let threaded = compiled.run_on(pool, &inputs, &[]);
            same_bits(&format!("{} threads: {what}", pool.threads()), &code, &threaded);
        }
        self.worst[points] = self.worst[points].max(worst);
        let name = form.map_or("by the definition".to_owned(), |form| {
            let ([a, b], [r, s]) = (form.outputs, form.taps);
            self.shapes.insert(format!("{:?} {:?}", form.division, form.mosaic));
            format!("F({a}×{b}, {r}×{s})")
        });
        let entry = self.used.entry(name).or_insert((0, 0.0));
        *entry = (entry.0 + 1, entry.1.max(worst));
    }
}

fn check_all(way: Way) {
    let begin = Instant::now();
    let mut tester = Tester::new();
    for number in cases() {
        tester.check(number, way);
    }
    let Tester { used, worst, shapes, .. } = &tester;
    let definition = used.get("by the definition").map_or(0, |(count, _)| *count);
    println!(
        "{way:?}: {} cases in {:.0?}, {definition} by the definition, {} filterings, {} divisions and mosaics; largest \
         errors by points {}",
        cases().count(),
        begin.elapsed(),
        used.len() - usize::from(definition > 0),
        shapes.len(),
        worst.map(|error| format!("{error:.1e}")).join(", "),
    );
    if std::env::var_os("NETC_CASES").is_none() {
        assert!(used.len() > 5 && definition > 5, "{used:#?}");
    }
}

#[test]
fn convolutions() {
    check_all(Way::Forward);
}

#[test]
fn input_gradients() {
    check_all(Way::InputGradient);
}

#[test]
fn weight_gradients() {
    check_all(Way::WeightGradient);
}

/// Whether a byte may be read: who asks the system to write it somewhere is told, and does not end.
#[allow(unsafe_code, reason = "asks about memory that may not be touched")]
fn is_readable(place: *const u8) -> bool {
    let mut ends = [0; 2];
    // SAFETY: a pipe of its own, closed at the end; the system looks at the byte, not this process.
    unsafe {
        assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
        let written = libc::write(ends[1], place.cast(), 1);
        for end in ends {
            libc::close(end);
        }
        written == 1
    }
}

#[test]
fn memory_lies_between_forbidden_pages() {
    for bytes in [4, 4096, PAGE, 3 * PAGE + 20] {
        let mut block = Guarded::new(bytes, Side::Before);
        let first = block.pointer();
        assert!(is_readable(first) && !is_readable(first.wrapping_sub(1)), "{bytes}");
        let mut block = Guarded::new(bytes, Side::After);
        let end = block.pointer().wrapping_add(bytes);
        assert!(is_readable(end.wrapping_sub(1)) && !is_readable(end), "{bytes}");
    }
    let mut block = Guarded::new(4 * PAGE, Side::Before);
    block.forbid(&(PAGE - 1..2 * PAGE + 1));
    let readable = [0, 1, 2, 3].map(|page| is_readable(block.pointer().wrapping_add(page * PAGE)));
    assert_eq!(readable, [true, false, true, true]);
}
