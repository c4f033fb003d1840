//! From a program folder to a program at work.

use super::Failure;
use netc_runtime::Error;
use netc_runtime::error::Blame;
use netc_runtime::library::Program;
use netc_runtime::session::Session;
use netc_runtime::threads::Pool;
use std::path::Path;
use std::sync::Arc;

/// Loads the program in `folder`, which netc has written, and gives it `threads` threads.
pub fn session(folder: &Path, threads: usize) -> Result<Session, Failure> {
    // Neither the spec nor the data can be the reason if that fails.
    let program = Program::load(folder).map_err(|e| Failure::Environment(e.to_string()))?;
    Ok(Session::new(Arc::new(program), Arc::new(Pool::new(threads)?))?)
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let text = error.to_string();
        match error.blame() {
            Blame::User => Failure::Data(text),
            Blame::Environment => Failure::Environment(text),
            Blame::Compiler => Failure::Bug(text),
        }
    }
}
