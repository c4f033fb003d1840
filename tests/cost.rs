//! What it costs to check a spec grows with its length and no faster: counted in allocations and their bytes, which no
//! other load on the machine changes.

#![allow(unsafe_code, reason = "an allocator that counts is unsafe by its trait")]
#![allow(clippy::print_stdout, reason = "the counts are what the test is for")]

use netc::diag::{Style, json, render};
use netc::source::Sources;
use netc::{check, spec};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static COUNT: Cell<[u64; 2]> = const { Cell::new([0; 2]) };
}

// SAFETY: all is done by the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|count| {
            let [calls, bytes] = count.get();
            count.set([calls + 1, bytes + layout.size() as u64]);
        });
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations and their bytes for reading, checking and reporting on a spec; and how many problems it has.
fn cost(name: &str, text: &str) -> ([u64; 2], usize) {
    let before = COUNT.get();
    let mut sources = Sources::new();
    let parsed = spec::parse(&mut sources, name, text);
    let problems = match check::check(&parsed) {
        Ok((network, warnings)) => {
            drop(check::report::table(&network, 80));
            warnings
        }
        Err(errors) => errors,
    };
    drop(json(&problems, &sources).to_string());
    drop(render(&problems[..problems.len().min(3)], &sources, Style::Plain));
    let after = COUNT.get();
    ([after[0] - before[0], after[1] - before[1]], problems.len())
}

const HEAD: &str = "net: long\ninput: {name: image, shape: [8, 16, 16]}\n";

fn yaml(count: usize, line: impl Fn(usize) -> String) -> String {
    format!("{HEAD}layers:\n{}", (0..count).map(line).collect::<String>())
}

/// Specs of about `n` layers or `n` errors.
fn specs(n: usize) -> Vec<(&'static str, String)> {
    let before = |i: usize| if i == 0 { "image".to_owned() } else { format!("l{}", i - 1) };
    let netc = "net long\ninput image [8, 16, 16]\n";
    let joined = |kind: &str| {
        let names: Vec<String> = (0..n - 1).map(|i| format!("l{i}")).collect();
        yaml(n - 1, |i| format!("  - relu: {{name: l{i}, from: image}}\n"))
            + &format!("  - {kind}: {{from: [{}]}}\n", names.join(", "))
    };
    let block = |uses: usize, repeat: usize| {
        let uses: String = (0..uses).map(|_| format!("  - pair: {{channels: 8, repeat: {repeat}}}\n")).collect();
        format!(
            "{HEAD}blocks:\n  pair:\n    params: {{channels: null}}\n    layers:\n      - conv: {{name: c, kernels: channels, \
             kernel_size: 1}}\n      - add: {{from: [c, input]}}\nlayers:\n{uses}"
        )
    };
    vec![
        ("chain.yaml", yaml(n, |_| "  - conv: {kernels: 8, kernel_size: 3, padding: 1}\n".into())),
        ("chain.netc", netc.to_owned() + &"conv(8, 3, padding: 1) -> relu\n".repeat(n / 2)),
        ("named.yaml", yaml(n, |i| format!("  - relu: {{name: l{i}, from: {}}}\n", before(i)))),
        (
            "numbered.yaml",
            yaml(n / 2, |i| format!("  - relu: {{name: relu{}}}\n", i + n / 2)) + &"  - relu\n".repeat(n / 2),
        ),
        ("residual.netc", netc.to_owned() + &"conv(8, 1)\nrelu\n".repeat(n / 2)),
        ("add.yaml", joined("add")),
        ("concat.yaml", joined("concat")),
        ("repeated.yaml", block(1, n / 2)),
        ("used.yaml", block(n / 2, 1)),
        ("unknown-from.yaml", yaml(n, |i| format!("  - relu: {{name: l{i:05}, from: lay{i:05}}}\n"))),
        ("unknown-layer.yaml", yaml(n, |_| "  - rleu\n".into())),
        ("unknown-key.yaml", yaml(n, |_| "  - relu: {slope: 1}\n".into())),
        ("unknown-parameter.yaml", yaml(n, |_| "  - conv: {kernels: width*2, kernel_size: [1, 1]}\n".into())),
        ("wrong-type.yaml", yaml(n, |_| "  - conv: {kernels: many, kernel_size: no}\n".into())),
        ("duplicate-name.yaml", yaml(n, |_| "  - relu: {name: same}\n".into())),
        ("unread-layer.yaml", yaml(n, |_| "  - relu: {from: image}\n".into())),
        ("shape.yaml", yaml(n, |_| "  - maxpool: {kernel_size: 3, stride: 2, from: image}\n".into())),
        ("syntax.netc", netc.to_owned() + &"conv(8, 3\nrelu 5\n".repeat(n / 2)),
    ]
}

#[test]
fn cost_grows_with_length() {
    let mut steep = Vec::new();
    for ((name, short), (_, long)) in specs(1_000).into_iter().zip(specs(10_000)) {
        let (a, b) = (cost(name, &short), cost(name, &long));
        let growth = [0, 1].map(|i| b.0[i] as f64 / a.0[i] as f64);
        let line = format!(
            "{name:24} {:>6} to {:>6} problems, {:>8} to {:>9} allocations: ×{:.1}, bytes ×{:.1}",
            a.1, b.1, a.0[0], b.0[0], growth[0], growth[1]
        );
        println!("{line}");
        // Ten times the length; vectors that double may have doubled once more.
        if growth[0] > 11.0 || growth[1] > 16.0 {
            steep.push(line);
        }
    }
    assert!(steep.is_empty(), "{}", steep.join("\n"));
}

/// The longest specs that there may be are right.
#[test]
fn ten_thousand_layers_are_read() {
    for (name, text) in specs(10_000).into_iter().take(9) {
        let network = check::network_from_text(name, &text);
        let layers = network.map(|(network, _)| network.layers().count());
        assert!(matches!(layers, Ok(10_000..)), "{name}: {layers:?}");
    }
}
