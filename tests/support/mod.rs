//! What several suites need: small random tensors, and running a kernel as compiled code.

#![allow(dead_code, reason = "each suite uses a part")]
#![allow(unsafe_code, reason = "calls generated code")]
#![allow(clippy::unwrap_used, reason = "tests")]

pub mod compiled;

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

/// Compiles `kernel` for `target`, loads it and runs it on `buffers` on one thread.
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
    let mut scratch = vec![f32::NAN; kernel.scratch_bytes() / 4 + 32];
    let start = scratch.as_ptr().align_offset(64);
    let ports: Vec<*mut u8> = buffers.iter_mut().map(memory_pointer).collect();
    let context = Context {
        arena: std::ptr::null_mut(),
        state: std::ptr::null_mut(),
        scratch: scratch[start..].as_mut_ptr().cast(),
        scratch_stride: 0,
        ports: ports.as_ptr(),
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
}

/// Address of the first element.
fn memory_pointer(memory: &mut Memory) -> *mut u8 {
    match memory {
        Memory::F32(x) => x.as_mut_ptr().cast(),
        Memory::I32(x) => x.as_mut_ptr().cast(),
        Memory::U8(x) => x.as_mut_ptr(),
    }
}
