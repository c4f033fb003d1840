//! The `netc` command.

use std::process::ExitCode;

/// The compiler's trees are many small allocations, for which this allocator is faster than the system's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    netc::cli::main()
}
