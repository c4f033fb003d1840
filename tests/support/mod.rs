//! What several suites need: small random tensors, and running a kernel as compiled code.

#![allow(dead_code, reason = "each suite uses a part")]
#![allow(unsafe_code, reason = "calls generated code")]
#![allow(clippy::unwrap_used, reason = "tests")]

pub mod compiled;
pub mod convolution;
pub mod guarded;

use guarded::{Guarded, Side};
use netc::kernel::interpret::Memory;
use netc::kernel::{DType, Kernel, Space};
use netc::plan::{Buffer, BufferId, Layout, Place, Plan, Step, Work};
use netc::target::Target;
use netc_runtime::program::{Context, EntryPoint};
use netc_runtime::random::Stream;

/// `len` numbers in [−1, 1) that depend on `seed` alone.
pub fn numbers(seed: u64, len: usize) -> Vec<f32> {
    let mut stream = Stream::new(seed, [0, 0, 0]);
    (0..len).map(|_| stream.unit() * 2.0 - 1.0).collect()
}

/// Asserts that two sequences agree to `tolerance` of the largest magnitude.
pub fn assert_close(what: &str, actual: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(actual.len(), expected.len(), "{what}: lengths");
    let scale = expected.iter().fold(1e-30f32, |m, x| m.max(x.abs()));
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        let fine = (a - e).abs() <= tolerance * scale || (a.is_nan() && e.is_nan());
        assert!(fine, "{what}: element {i} is {a}, expected {e} (largest {scale})");
    }
}

/// Compiles `kernel` for `target`, loads it and runs it on `buffers` on one thread, with pages that nobody may touch
/// before them and behind them.
pub fn run_compiled(kernel: &Kernel, buffers: &mut [Memory], target: &Target) {
    let globals: Vec<_> = kernel.buffers.iter().filter(|b| matches!(b.space, Space::Global(_))).collect();
    assert_eq!(globals.len(), buffers.len());
    let plan = Plan {
        function: "test".into(),
        inputs: Vec::new(),
        outputs: Vec::new(),
        buffers: globals
            .iter()
            .enumerate()
            .map(|(i, b)| Buffer {
                name: b.name.clone(),
                dtype: match b.dtype {
                    DType::F32 => netc::graph::DType::F32,
                    DType::I32 => netc::graph::DType::I32,
                    DType::U8 => netc::graph::DType::U8,
                },
                dims: vec![b.len],
                layout: Layout::Rows,
                place: Place::Port(i),
                part_of: None,
            })
            .collect(),
        steps: vec![Step {
            name: "step".into(),
            layers: Vec::new(),
            macs: 0,
            done: 0,
            work: Work::Copy,
            inputs: (0..globals.len() as u32).map(BufferId).collect(),
            outputs: Vec::new(),
        }],
        stacks: Vec::new(),
        not_fused: Vec::new(),
        arena_bytes: 0,
        state_bytes: 0,
    };
    let kernels = [kernel.clone()];
    let functions = [netc::codegen::Function { plan: &plan, kernels: &kernels }];
    let code = netc::codegen::compile("unit", &functions, "{}", target, &netc::codegen::NoStore);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("unit.so");
    netc::codegen::link_shared(&code, folder.path(), &path).unwrap();
    let results = [Side::Before, Side::After].map(|side| {
        let mut ports: Vec<Guarded> = buffers.iter().map(|memory| Guarded::of(&bytes(memory), side)).collect();
        let mut scratch = Guarded::new(kernel.scratch_bytes().next_multiple_of(64), side);
        let pointers: Vec<*mut u8> = ports.iter_mut().map(Guarded::pointer).collect();
        let context = Context {
            arena: std::ptr::null_mut(),
            state: std::ptr::null_mut(),
            scratch: scratch.pointer(),
            scratch_stride: 0,
            ports: pointers.as_ptr(),
            parallel_for: None,
            pool: std::ptr::null_mut(),
        };
        // SAFETY: the library was just made from a verified kernel; ports and scratch are as large as its buffers.
        let status = unsafe {
            let library = libloading::Library::new(&path).unwrap();
            let entry: libloading::Symbol<EntryPoint> = library.get(b"unit_test").unwrap();
            entry(&context)
        };
        assert_eq!(status, 0);
        ports
    });
    let [before, after] = &results;
    assert!(before.iter().zip(after).all(|(a, b)| a.bytes() == b.bytes()), "{} depends on places", kernel.name);
    for (memory, port) in buffers.iter_mut().zip(after) {
        *memory = with_bytes(memory, port.bytes());
    }
}

/// Its elements as bytes.
pub fn bytes(memory: &Memory) -> Vec<u8> {
    match memory {
        Memory::F32(x) => x.iter().flat_map(|x| x.to_ne_bytes()).collect(),
        Memory::I32(x) => x.iter().flat_map(|x| x.to_ne_bytes()).collect(),
        Memory::U8(x) => x.clone(),
    }
}

/// Memory of the same type with elements of these bytes.
fn with_bytes(memory: &Memory, bytes: &[u8]) -> Memory {
    let words = bytes.chunks_exact(4).map(|word| word.try_into().unwrap());
    match memory {
        Memory::F32(_) => Memory::F32(words.map(f32::from_ne_bytes).collect()),
        Memory::I32(_) => Memory::I32(words.map(i32::from_ne_bytes).collect()),
        Memory::U8(_) => Memory::U8(bytes.to_vec()),
    }
}
