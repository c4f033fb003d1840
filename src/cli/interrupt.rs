//! Ctrl-C while there is something to save.

use crate::driver::Failure;
use signal_hook::consts::SIGINT;
use signal_hook::flag;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// From now on the first Ctrl-C sets the flag, and the second ends the process at once.
pub fn watch() -> Result<Arc<AtomicBool>, Failure> {
    let asked = Arc::new(AtomicBool::new(false));
    let code = i32::from(Failure::Interrupted(String::new()).exit_code());
    // In this order: the first signal finds the flag unset, and then sets it.
    flag::register_conditional_shutdown(SIGINT, code, Arc::clone(&asked))
        .and_then(|_| flag::register(SIGINT, Arc::clone(&asked)))
        .map_err(|e| Failure::Environment(format!("cannot watch for Ctrl-C: {e}")))?;
    Ok(asked)
}
