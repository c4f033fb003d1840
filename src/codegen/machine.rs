//! Target machines: the host's, and named ones.

use crate::target::Target;
use inkwell::OptimizationLevel;
use inkwell::targets::{CodeModel, InitializationConfig, RelocMode, TargetMachine, TargetTriple};
use std::sync::Once;

/// Why a target cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// LLVM has no such CPU.
    #[error("unknown CPU `{0}`; `native` is this machine's, `x86-64`, `x86-64-v3` and `x86-64-v4` are general levels")]
    UnknownCpu(String),
}

fn initialize() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let config = InitializationConfig::default();
        inkwell::targets::Target::initialize_x86(&config);
        inkwell::targets::Target::initialize_aarch64(&config);
    });
}

/// The machine netc runs on.
pub fn host() -> Target {
    initialize();
    let triple = TargetMachine::get_default_triple();
    let triple = TargetMachine::normalize_triple(&triple).as_str().to_string_lossy().into_owned();
    let cpu = TargetMachine::get_host_cpu_name().to_string();
    let features = TargetMachine::get_host_cpu_features().to_string();
    with_registers(triple, cpu, features)
}

/// A CPU by its LLVM name (`znver3`, `x86-64-v3`, `native`) on this machine's architecture and system.
pub fn named(cpu: &str) -> Result<Target, TargetError> {
    let host = host();
    if cpu == "native" {
        return Ok(host);
    }
    let Some((_, features)) = KNOWN.iter().find(|(name, _)| *name == cpu) else {
        return Err(TargetError::UnknownCpu(cpu.to_owned()));
    };
    Ok(with_registers(host.triple, cpu.to_owned(), (*features).to_owned()))
}

/// CPUs that can be named, and the features that decide the register file.
const KNOWN: &[(&str, &str)] = &[
    ("x86-64", "+sse2"),
    ("x86-64-v2", "+sse4.2"),
    ("x86-64-v3", "+avx2,+fma"),
    ("x86-64-v4", "+avx2,+fma,+avx512f,+avx512vl,+avx512bw,+avx512dq,+avx512cd"),
    ("haswell", "+avx2,+fma"),
    ("skylake", "+avx2,+fma"),
    ("skylake-avx512", "+avx2,+fma,+avx512f,+avx512vl,+avx512bw,+avx512dq,+avx512cd"),
    ("icelake-server", "+avx2,+fma,+avx512f,+avx512vl,+avx512bw,+avx512dq,+avx512cd"),
    ("sapphirerapids", "+avx2,+fma,+avx512f,+avx512vl,+avx512bw,+avx512dq,+avx512cd"),
    ("znver1", "+avx2,+fma"),
    ("znver2", "+avx2,+fma"),
    ("znver3", "+avx2,+fma"),
    ("znver4", "+avx2,+fma,+avx512f,+avx512vl,+avx512bw,+avx512dq,+avx512cd"),
    ("znver5", "+avx2,+fma,+avx512f,+avx512vl,+avx512bw,+avx512dq,+avx512cd"),
    ("generic", "+neon"),
    ("neoverse-n1", "+neon"),
    ("neoverse-v1", "+neon"),
    ("apple-m1", "+neon"),
];

fn with_registers(triple: String, cpu: String, features: String) -> Target {
    let has = |name: &str| features.split(',').any(|f| f.strip_prefix('+') == Some(name));
    let (lanes, registers, fused) = if triple.starts_with("aarch64") {
        (4, 32, true)
    } else if has("avx512f") && has("avx512vl") {
        (16, 32, true)
    } else if has("avx2") && has("fma") {
        (8, 16, true)
    } else {
        (4, 16, false)
    };
    Target { triple, cpu, features, lanes, registers, fused }
}

/// LLVM's machine for a target.
pub(super) fn machine(target: &Target) -> TargetMachine {
    initialize();
    let triple = TargetTriple::create(&target.triple);
    inkwell::targets::Target::from_triple(&triple)
        .ok()
        .and_then(|backend| {
            backend.create_target_machine(
                &triple,
                &target.cpu,
                &target.features,
                OptimizationLevel::Default,
                RelocMode::PIC,
                CodeModel::Default,
            )
        })
        .unwrap_or_else(|| panic!("bug in netc: target {target:?} was accepted but LLVM does not know it"))
}
