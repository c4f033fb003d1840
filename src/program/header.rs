//! The C header: how to call a program without the runtime.

use super::usage::usage;
use crate::check::Preprocess;
use crate::codegen;
use netc_runtime::program::{DType, Function, Manifest, Port};
use std::collections::BTreeSet;
use std::fmt::Write;

/// The header of a program.
pub(super) fn header(manifest: &Manifest, arithmetic: &Preprocess) -> String {
    let prefix = macro_name(&manifest.name);
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "/* {name}: compiled by netc for {target}.\n   Program {hash}.\n\n{usage}*/\n\
         #ifndef NETC_{prefix}_H\n#define NETC_{prefix}_H\n#include <stddef.h>\n#include <stdint.h>\n\
         #ifdef __cplusplus\nextern \"C\" {{\n#endif\n\n{CONTEXT}\n\
         #define {prefix}_BATCH {batch}\n#define {prefix}_STATE_BYTES {state}u\n\
         /* The largest of all functions. */\n#define {prefix}_ARENA_BYTES {arena}u\n\
         #define {prefix}_SCRATCH_BYTES {scratch}u\n",
        usage = usage(manifest, arithmetic, &prefix),
        arena = largest(manifest, |f| f.arena_bytes),
        scratch = largest(manifest, |f| f.scratch_bytes),
        name = manifest.name,
        target = manifest.target,
        hash = manifest.hash,
        batch = manifest.batch,
        state = manifest.state_bytes,
    );
    out.push_str("\n/* Where each tensor lies in the state block, in bytes; float, row-major. */\n");
    let mut taken = BTreeSet::new();
    for state in &manifest.states {
        // `a.b` and `A_b` are the same as a macro: the second gets a number.
        let name = macro_name(&state.name);
        let names = std::iter::once(name.clone()).chain((2..).map(|number| format!("{name}_{number}")));
        for name in names {
            if taken.insert(name.clone()) {
                let (offset, sizes) = (state.offset, sizes(&state.shape));
                let _ = writeln!(out, "#define {prefix}_{name}_OFFSET {offset}u /* {} {sizes} */", state.name);
                break;
            }
        }
    }
    for function in &manifest.functions {
        function_text(&mut out, &prefix, function);
    }
    let symbol = codegen::symbol(&manifest.name, "manifest");
    let _ = write!(out, "\n/* The manifest as JSON, NUL-terminated. */\nextern const char {symbol}[];\n");
    out.push_str("\n#ifdef __cplusplus\n}\n#endif\n#endif\n");
    out
}

/// The most that any function takes, in whole blocks of 64 bytes and at least one of them.
fn largest(manifest: &Manifest, bytes: impl Fn(&Function) -> usize) -> usize {
    manifest.functions.iter().map(bytes).max().unwrap_or(0).max(1).next_multiple_of(64)
}

/// A name in the letters of macros.
fn macro_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

const CONTEXT: &str = "\
#ifndef NETC_CONTEXT
#define NETC_CONTEXT
typedef struct netc_context netc_context;
/* Does iterations begin..end of a parallel region with the scratch block of the thread that runs it. */
typedef void (*netc_body)(const netc_context *context, uint8_t *scratch, int64_t begin, int64_t end);
struct netc_context {
  uint8_t *arena;         /* *_ARENA_BYTES of the function */
  uint8_t *state;         /* *_STATE_BYTES */
  uint8_t *scratch;       /* *_SCRATCH_BYTES for each thread t, at scratch + t*scratch_stride */
  size_t scratch_stride;  /* from one thread's block to the next; a multiple of 64 */
  uint8_t *const *ports;  /* inputs, then outputs, in the order given below */
  /* Calls body so that each index in 0..count is done once; NULL: one thread. */
  void (*parallel_for)(void *pool, const netc_context *context, int64_t count, netc_body body);
  void *pool;             /* handed to parallel_for */
};
#endif
";

fn function_text(out: &mut String, prefix: &str, function: &Function) {
    let name = function.name.to_ascii_uppercase();
    let ports: Vec<String> = function.inputs.iter().chain(&function.outputs).map(port).collect();
    let ports = if ports.is_empty() { "none".to_owned() } else { ports.join(", ") };
    let _ = write!(
        out,
        "\n/* Ports: {}. Returns 0. */\n#define {prefix}_{name}_ARENA_BYTES {}u\n#define {prefix}_{name}_SCRATCH_BYTES {}u\n\
         int32_t {}(const netc_context *context);\n",
        ports, function.arena_bytes, function.scratch_bytes, function.symbol
    );
}

fn port(port: &Port) -> String {
    let element = match port.dtype {
        DType::F32 => "float",
        DType::I32 => "int32_t",
        DType::U8 => "uint8_t",
    };
    match port.shape.as_slice() {
        [] => format!("{} one {element}", port.name),
        shape => format!("{} {element} {}", port.name, sizes(shape)),
    }
}

fn sizes(shape: &[usize]) -> String {
    format!("[{}]", shape.iter().map(usize::to_string).collect::<Vec<_>>().join("]["))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_without_a_shape_is_one_number() {
        let port_of =
            |shape: &[usize]| port(&Port { name: "rate".to_owned(), dtype: DType::F32, shape: shape.to_vec() });
        assert_eq!(port_of(&[]), "rate one float");
        assert_eq!(port_of(&[2, 3]), "rate float [2][3]");
    }
}
