//! Compiled programs by content: the same spec for the same machine is compiled once.
//!
//! A program's folder appears in the cache by a rename, so it is complete or not there, whatever interrupts netc and
//! however many of it run at a time. Deleting any of it, or all, is always safe.

use super::Failure;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// A folder of compiled programs.
#[derive(Debug, Clone)]
pub struct Cache {
    root: PathBuf,
}

impl Cache {
    /// The folder that all programs are in.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The cache at `folder`, else where the user's caches are.
    pub fn at(folder: Option<&Path>) -> Result<Cache, Failure> {
        let variable = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let root = match folder {
            Some(folder) => folder.to_owned(),
            None => match (variable("XDG_CACHE_HOME"), variable("HOME")) {
                (Some(cache), _) => cache.join("netc"),
                (None, Some(home)) => home.join(".cache/netc"),
                (None, None) => {
                    return Err(Failure::Environment(
                        "neither HOME nor XDG_CACHE_HOME is set: name a folder for compiled programs with --cache DIR"
                            .to_owned(),
                    ));
                }
            },
        };
        Ok(Cache { root })
    }

    /// The folder of the program called `key`; if there is none, `make` fills it.
    pub fn folder(&self, key: &str, make: impl FnOnce(&Path) -> Result<(), Failure>) -> Result<PathBuf, Failure> {
        let path = self.root.join(key);
        if path.is_dir() {
            return Ok(path);
        }
        std::fs::create_dir_all(&self.root).map_err(|e| Failure::file("make the folder", &self.root, &e))?;
        let making = tempfile::Builder::new()
            .prefix("unfinished-")
            .tempdir_in(&self.root)
            .map_err(|e| Failure::file("make a folder in", &self.root, &e))?;
        make(making.path())?;
        match std::fs::rename(making.path(), &path) {
            Ok(()) => {
                // Renamed: nothing is left to clean up.
                let _ = making.keep();
                Ok(path)
            }
            // Another netc was faster; its program is the same.
            Err(_) if path.is_dir() => Ok(path),
            Err(e) => Err(Failure::file("make the folder", &path, &e)),
        }
    }
}

/// A key made of parts, each kept apart from the next.
pub fn key(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().take(16).map(|b| format!("{b:02x}")).collect()
}

/// This build of netc: another build may compile the same spec to other code.
pub fn build() -> String {
    let identity = std::env::current_exe().and_then(std::fs::metadata).map(|file| {
        let changed = file.modified().ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
        format!("{} {:?}", file.len(), changed)
    });
    format!("netc {} {}", env!("CARGO_PKG_VERSION"), identity.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_kept_apart() {
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_eq!(key(&["ab", "c"]).len(), 32);
    }

    #[test]
    fn a_program_is_made_once_and_never_half() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(Some(&folder.path().join("new"))).unwrap();
        let failed = cache.folder("k", |path| {
            std::fs::write(path.join("half"), "x").unwrap();
            Err(Failure::Bug("stopped".to_owned()))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read_dir(folder.path().join("new")).unwrap().count(), 0, "nothing half made is left");
        let made = cache
            .folder("k", |path| {
                std::fs::write(path.join("whole"), "x").unwrap();
                Ok(())
            })
            .unwrap();
        assert!(made.join("whole").is_file());
        let again = cache.folder("k", |_| Err(Failure::Bug("made twice".to_owned()))).unwrap();
        assert_eq!(made, again);
    }
}
