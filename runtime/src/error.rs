//! What can go wrong while running a program, sorted by who can put it right.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Any failure of the runtime.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused to read or write.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted: `read`, `write`, `create`, …
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The system has no memory left.
    #[error("cannot allocate {bytes} bytes for {what}: {source}")]
    Memory {
        /// What it was for.
        what: String,
        /// How much.
        bytes: usize,
        /// Why not.
        source: io::Error,
    },
    /// The system gives no more threads.
    #[error("cannot start thread {index}: {source}")]
    Thread {
        /// Which one.
        index: usize,
        /// Why not.
        source: io::Error,
    },
    /// A file given by the user is missing, damaged or of the wrong kind.
    #[error("{}{}: {cause}", path.display(), At(*offset))]
    File {
        /// The file.
        path: PathBuf,
        /// Where in the (decompressed) file, in bytes, when that is known.
        offset: Option<u64>,
        /// What is wrong.
        cause: String,
    },
    /// A weights file or checkpoint does not fit the program.
    #[error("{} does not fit {program}:{}", path.display(), Lines(problems))]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// The program's name.
        program: String,
        /// Every difference found.
        problems: Vec<String>,
    },
    /// What is asked for is impossible with this program, data or run folder.
    #[error("{0}")]
    Request(String),
    /// Training ran into a loss or weights that are no numbers.
    #[error("{what} at step {step} (learning rate {learning_rate}): training diverged\n  = {advice}")]
    Diverged {
        /// What is not finite: `the loss is NaN`.
        what: String,
        /// The step, counted from 1 since the start of training.
        step: u64,
        /// The rate of that step.
        learning_rate: f64,
        /// What to try, and which checkpoint is the last good one.
        advice: String,
    },
    /// The observer broke off the work.
    #[error("stopped")]
    Stopped,
    /// The program broke its contract: a bug in whatever made it.
    #[error("program {program}: {cause}")]
    Contract {
        /// The program's name or path.
        program: String,
        /// What it did.
        cause: String,
    },
}

/// Result with [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Who can put an error right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The user: data, weights or request.
    User,
    /// The environment: disk, memory, permissions.
    Environment,
    /// The compiler that made the program.
    Compiler,
}

impl Error {
    /// Who can put it right.
    pub fn blame(&self) -> Blame {
        match self {
            Error::Io { .. } | Error::Memory { .. } | Error::Thread { .. } => Blame::Environment,
            Error::File { .. }
            | Error::Mismatch { .. }
            | Error::Request(_)
            | Error::Diverged { .. }
            | Error::Stopped => Blame::User,
            Error::Contract { .. } => Blame::Compiler,
        }
    }

    /// A wrong file, no known place in it.
    pub(crate) fn file(path: &Path, cause: impl Into<String>) -> Error {
        Error::File { path: path.to_owned(), offset: None, cause: cause.into() }
    }

    /// A wrong file, wrong at `offset`.
    pub(crate) fn file_at(path: &Path, offset: u64, cause: impl Into<String>) -> Error {
        Error::File { path: path.to_owned(), offset: Some(offset), cause: cause.into() }
    }

    /// A failed write or other action on a path of the runtime's own choosing.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Error {
        Error::Io { action, path: path.to_owned(), source }
    }

    /// A failed read of a path that the user named: missing files are the user's, the rest the environment's.
    pub(crate) fn read(path: &Path, source: io::Error) -> Error {
        match source.kind() {
            io::ErrorKind::NotFound => Error::file(path, "no such file or folder"),
            io::ErrorKind::IsADirectory => Error::file(path, "is a folder; a file is needed"),
            io::ErrorKind::NotADirectory => Error::file(path, "a part of the path is a file and no folder"),
            _ => Error::io("read", path, source),
        }
    }
}

struct At(Option<u64>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(offset) => write!(f, ", byte {offset}"),
            None => Ok(()),
        }
    }
}

struct Lines<'a>(&'a [String]);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| write!(f, "\n  = {line}"))
    }
}
