//! Target machines: the host's, and named ones.

use crate::target::Target;
use inkwell::OptimizationLevel;
use inkwell::targets::{CodeModel, InitializationConfig, RelocMode, TargetMachine, TargetTriple};
use std::sync::Once;

/// Why a target cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// No such CPU.
    #[error("unknown CPU `{cpu}`; there are {}", known(.architecture))]
    UnknownCpu {
        /// As asked for.
        cpu: String,
        /// The machine's architecture.
        architecture: String,
    },
    /// A CPU of another architecture than the machine's.
    #[error("CPU `{cpu}` is of {other}, this machine of {architecture}; there are {}", known(.architecture))]
    OtherArchitecture {
        /// As asked for.
        cpu: String,
        /// Its architecture.
        other: String,
        /// The machine's architecture.
        architecture: String,
    },
}

/// The CPUs of an architecture, for a message.
fn known(architecture: &str) -> String {
    let fitting = KNOWN.iter().filter(|(of, ..)| *of == architecture).map(|(_, name, _)| *name);
    std::iter::once("native").chain(fitting).collect::<Vec<_>>().join(", ")
}

/// Only code generation needs LLVM's back ends: telling what the host is does not wait for them.
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
    let triple = TargetMachine::get_default_triple();
    let triple = TargetMachine::normalize_triple(&triple).as_str().to_string_lossy().into_owned();
    let cpu = TargetMachine::get_host_cpu_name().to_string();
    let features = TargetMachine::get_host_cpu_features().to_string();
    with_registers(triple, cpu, features)
}

/// A CPU by its LLVM name (`znver3`, `x86-64-v3`, `native`) on this machine's architecture and system.
pub fn named(cpu: &str) -> Result<Target, TargetError> {
    on(host(), cpu)
}

/// A CPU by its name on the architecture and system of `host`.
fn on(host: Target, cpu: &str) -> Result<Target, TargetError> {
    if cpu == "native" {
        return Ok(host);
    }
    let own = host.triple.split('-').next().unwrap_or_default().to_owned();
    let cpu = cpu.to_owned();
    match KNOWN.iter().find(|(_, name, _)| *name == cpu) {
        None => Err(TargetError::UnknownCpu { cpu, architecture: own }),
        Some((of, ..)) if *of != own => {
            Err(TargetError::OtherArchitecture { cpu, other: (*of).to_owned(), architecture: own })
        }
        Some((_, _, features)) => Ok(with_registers(host.triple, cpu, (*features).to_owned())),
    }
}

const X86: &str = "x86_64";
const ARM: &str = "aarch64";

/// CPUs that can be named: architecture, name, and the features that decide the register file.
const KNOWN: &[(&str, &str, &str)] = &[
    (X86, "x86-64", "+sse2"),
    (X86, "x86-64-v2", "+sse4.2"),
    (X86, "x86-64-v3", "+avx2,+fma"),
    (X86, "x86-64-v4", AVX512),
    (X86, "haswell", "+avx2,+fma"),
    (X86, "skylake", "+avx2,+fma"),
    (X86, "skylake-avx512", AVX512),
    (X86, "icelake-server", AVX512),
    (X86, "sapphirerapids", AVX512),
    (X86, "znver1", "+avx2,+fma"),
    (X86, "znver2", "+avx2,+fma"),
    (X86, "znver3", "+avx2,+fma"),
    (X86, "znver4", AVX512),
    (X86, "znver5", AVX512),
    (ARM, "generic", "+neon"),
    (ARM, "neoverse-n1", "+neon"),
    (ARM, "neoverse-v1", "+neon"),
    (ARM, "apple-m1", "+neon"),
];

const AVX512: &str = "+avx2,+fma,+avx512f,+avx512vl,+avx512bw,+avx512dq,+avx512cd";

/// Of servers' last caches, which many cores share, what two threads can have.
const CACHE: usize = 24 << 20;

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
    Target { triple, cpu, features, lanes, registers, cache: CACHE, fused }
}

/// LLVM's machine for a target, and how much work it puts into code.
pub(super) fn machine(target: &Target, level: OptimizationLevel) -> TargetMachine {
    initialize();
    let triple = TargetTriple::create(&target.triple);
    inkwell::targets::Target::from_triple(&triple)
        .ok()
        .and_then(|backend| {
            backend.create_target_machine(
                &triple,
                &target.cpu,
                &target.features,
                level,
                RelocMode::PIC,
                CodeModel::Default,
            )
        })
        .unwrap_or_else(|| panic!("bug in netc: target {target:?} was accepted but LLVM does not know it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host_of(triple: &str) -> Target {
        with_registers(triple.to_owned(), "native-cpu".to_owned(), String::new())
    }

    #[test]
    fn a_cpu_must_be_of_the_machines_architecture() {
        let (x86, arm) = (host_of("x86_64-unknown-linux-gnu"), host_of("aarch64-unknown-linux-gnu"));
        for (of, cpu, _) in KNOWN {
            let (own, other) = if *of == X86 { (&x86, &arm) } else { (&arm, &x86) };
            assert_eq!(on(own.clone(), cpu).unwrap().cpu, *cpu);
            machine(&on(own.clone(), cpu).unwrap(), OptimizationLevel::Default);
            assert!(on(other.clone(), cpu).is_err(), "{cpu}");
        }
        assert_eq!(on(arm.clone(), "native").unwrap(), arm);
        assert_eq!(
            on(arm, "znver3").unwrap_err().to_string(),
            "CPU `znver3` is of x86_64, this machine of aarch64; there are native, generic, neoverse-n1, neoverse-v1, \
             apple-m1"
        );
        let unknown = on(x86, "pentium").unwrap_err().to_string();
        assert!(unknown.starts_with("unknown CPU `pentium`; there are native, x86-64, x86-64-v2, "), "{unknown}");
        assert!(!unknown.contains("apple"), "{unknown}");
    }
}
