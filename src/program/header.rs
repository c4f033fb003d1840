//! The C header: how to call a program without the runtime.

use netc_runtime::program::{DType, Function, Manifest, Port};
use std::fmt::Write;

/// The header of a program.
pub(super) fn header(manifest: &Manifest) -> String {
    let prefix: String =
        manifest.name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "/* {name}: compiled by netc for {target}.\n   Program {hash}.\n\n   \
         A function reads and writes memory that the caller owns: the state block (one for all functions), an arena and\n   \
         scratch of its own size, and its ports. Blocks and ports are aligned to 64 bytes. Only libc and libm are needed. */\n\
         #ifndef NETC_{prefix}_H\n#define NETC_{prefix}_H\n#include <stddef.h>\n#include <stdint.h>\n\
         #ifdef __cplusplus\nextern \"C\" {{\n#endif\n\n{CONTEXT}\n\
         #define {prefix}_BATCH {batch}\n#define {prefix}_STATE_BYTES {state}u\n",
        name = manifest.name,
        target = manifest.target,
        hash = manifest.hash,
        batch = manifest.batch,
        state = manifest.state_bytes,
    );
    out.push_str("\n/* Where each tensor lies in the state block, in bytes; float, row-major. */\n");
    for state in &manifest.states {
        let name: String =
            state.name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
        let _ = writeln!(out, "#define {prefix}_{name}_OFFSET {}u /* {} */", state.offset, sizes(&state.shape));
    }
    for function in &manifest.functions {
        function_text(&mut out, &prefix, function);
    }
    out.push_str("\n/* The manifest as JSON, NUL-terminated. */\nextern const char netc_manifest[];\n");
    out.push_str("\n#ifdef __cplusplus\n}\n#endif\n#endif\n");
    out
}

const CONTEXT: &str = "\
#ifndef NETC_CONTEXT
#define NETC_CONTEXT
typedef struct netc_context netc_context;
/* Does iterations begin..end of a parallel region with the scratch block at `scratch`. */
typedef void (*netc_body)(const netc_context *context, uint8_t *scratch, int64_t begin, int64_t end);
struct netc_context {
  uint8_t *arena;         /* *_ARENA_BYTES of the function */
  uint8_t *state;         /* *_STATE_BYTES */
  uint8_t *scratch;       /* a block of *_SCRATCH_BYTES for every thread */
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
    let _ = write!(
        out,
        "\n/* Ports: {}. Returns 0. */\n#define {prefix}_{name}_ARENA_BYTES {}u\n#define {prefix}_{name}_SCRATCH_BYTES {}u\n\
         int32_t {}(const netc_context *context);\n",
        ports.join(", "),
        function.arena_bytes,
        function.scratch_bytes,
        function.symbol
    );
}

fn port(port: &Port) -> String {
    let element = match port.dtype {
        DType::F32 => "float",
        DType::I32 => "int32_t",
        DType::U8 => "uint8_t",
    };
    format!("{} {element} {}", port.name, sizes(&port.shape))
}

fn sizes(shape: &[usize]) -> String {
    format!("[{}]", shape.iter().map(usize::to_string).collect::<Vec<_>>().join("]["))
}
