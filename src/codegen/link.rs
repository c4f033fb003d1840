//! From object files to a shared library, by the system's linker.

use super::Code;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Why linking failed.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// No compiler driver.
    #[error("cannot run `{program}` to link the library ({source}); install a C compiler (Debian: gcc) or set CC")]
    NoLinker {
        /// What was tried.
        program: String,
        /// Why it did not start.
        source: std::io::Error,
    },
    /// The linker said no.
    #[error("`{program}` could not link the library: {message}")]
    Failed {
        /// What ran.
        program: String,
        /// What it printed.
        message: String,
    },
    /// Writing the objects failed.
    #[error("cannot write {path}: {source}")]
    Io {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// Links `code` into the shared library `library`, and joins it into the one object file `object`; intermediate files go
/// to the folder `scratch`.
///
/// # Errors
/// As [`link_shared`].
pub fn link(code: &Code, scratch: &Path, library: &Path, object: &Path) -> Result<(), LinkError> {
    let parts = Parts::write(code, scratch)?;
    std::thread::scope(|scope| {
        let joined = scope.spawn(|| parts.link(object, &["-r", "-nostdlib"], &[]));
        let linked = parts.link(library, &SHARED, &["-lm"]);
        linked.and(joined.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Links `code` into the shared library `output`; intermediate files go to the folder `scratch`.
///
/// # Errors
/// If there is no linker, it fails, or the objects cannot be written.
pub fn link_shared(code: &Code, scratch: &Path, output: &Path) -> Result<(), LinkError> {
    Parts::write(code, scratch)?.link(output, &SHARED, &["-lm"])
}

/// The kernels refer to each other only; symbols are bound once and for all, and the same input gives the same bytes.
const SHARED: [&str; 5] = ["-shared", "-nostartfiles", "-Wl,--build-id=none", "-Wl,-Bsymbolic", "-Wl,-z,noexecstack"];

/// Object files while they are linked.
struct Parts(Vec<PathBuf>);

impl Parts {
    fn write(code: &Code, scratch: &Path) -> Result<Parts, LinkError> {
        let mut parts = Parts(Vec::new());
        for (i, object) in code.objects.iter().enumerate() {
            let path = scratch.join(format!("part{i}.o"));
            let written = std::fs::write(&path, object);
            parts.0.push(path.clone());
            written.map_err(|source| LinkError::Io { path: path.display().to_string(), source })?;
        }
        Ok(parts)
    }

    fn link(&self, output: &Path, flags: &[&str], libraries: &[&str]) -> Result<(), LinkError> {
        let (program, options) = compiler(std::env::var("CC").ok().as_deref());
        let run = Command::new(&program)
            .args(options)
            .args(flags)
            .arg("-o")
            .arg(output)
            .args(&self.0)
            .args(libraries)
            .output()
            .map_err(|source| LinkError::NoLinker { program: program.clone(), source })?;
        if run.status.success() {
            Ok(())
        } else {
            Err(LinkError::Failed { program, message: String::from_utf8_lossy(&run.stderr).trim().to_owned() })
        }
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        for part in &self.0 {
            // A leftover in a scratch folder harms nobody.
            let _ = std::fs::remove_file(part);
        }
    }
}

/// The compiler driver and its first arguments: the words of the variable `CC` (`ccache gcc`, `gcc -m64`), or `cc`.
fn compiler(cc: Option<&str>) -> (String, Vec<String>) {
    let mut words = cc.unwrap_or_default().split_whitespace().map(str::to_owned);
    let program = words.next().unwrap_or_else(|| "cc".to_owned());
    (program, words.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiler_is_what_cc_says_in_words() {
        let is = |cc: Option<&str>| compiler(cc).1.iter().fold(compiler(cc).0, |all, word| format!("{all}|{word}"));
        assert_eq!(is(None), "cc");
        assert_eq!(is(Some("")), "cc");
        assert_eq!(is(Some(" \t ")), "cc");
        assert_eq!(is(Some("clang")), "clang");
        assert_eq!(is(Some("ccache  gcc")), "ccache|gcc");
        assert_eq!(is(Some(" gcc -m64 -B. ")), "gcc|-m64|-B.");
    }
}
