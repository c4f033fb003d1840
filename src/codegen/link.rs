//! From object files to a shared library, by the system's linker.

use super::Code;
use std::path::Path;
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

/// Links `code` into the shared library `output`; intermediate objects go to the folder `scratch`.
///
/// # Errors
/// If there is no linker, it fails, or the objects cannot be written.
pub fn link_shared(code: &Code, scratch: &Path, output: &Path) -> Result<(), LinkError> {
    // The kernels refer to each other only; symbols are bound once and for all, and the same input gives the same bytes.
    let flags = ["-shared", "-nostartfiles", "-Wl,--build-id=none", "-Wl,-Bsymbolic", "-Wl,-z,noexecstack"];
    link(code, scratch, output, &flags, &["-lm"])
}

/// Joins `code` into the one object file `output`.
///
/// # Errors
/// As [`link_shared`].
pub fn link_object(code: &Code, scratch: &Path, output: &Path) -> Result<(), LinkError> {
    link(code, scratch, output, &["-r", "-nostdlib"], &[])
}

fn link(code: &Code, scratch: &Path, output: &Path, flags: &[&str], libraries: &[&str]) -> Result<(), LinkError> {
    let mut objects = Vec::new();
    for (i, object) in code.objects.iter().enumerate() {
        let path = scratch.join(format!("part{i}.o"));
        std::fs::write(&path, object).map_err(|source| LinkError::Io { path: path.display().to_string(), source })?;
        objects.push(path);
    }
    let (program, options) = compiler(std::env::var("CC").ok().as_deref());
    let run = Command::new(&program)
        .args(options)
        .args(flags)
        .arg("-o")
        .arg(output)
        .args(&objects)
        .args(libraries)
        .output()
        .map_err(|source| LinkError::NoLinker { program: program.clone(), source })?;
    for object in objects {
        // A leftover in a scratch folder harms nobody.
        let _ = std::fs::remove_file(object);
    }
    if run.status.success() {
        Ok(())
    } else {
        Err(LinkError::Failed { program, message: String::from_utf8_lossy(&run.stderr).trim().to_owned() })
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
