//! The `netc` command.

use std::io::Write;

/// The compiler's trees are many small allocations, for which this allocator is faster than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let code = netc::cli::main();
    let _ = std::io::stdout().flush();
    // What LLVM and the allocator do at the end of a process, to give back what ends with it, takes a millisecond.
    signal_hook::low_level::exit(code.into())
}
