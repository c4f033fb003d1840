//! Compiled programs by content: the same spec for the same machine is compiled once. Their kernels are kept too, see
//! [`kernels`](super::kernels).
//!
//! A program's folder appears in the cache by a rename, so it is complete or not there, whatever interrupts netc and
//! however many of it run at a time. Deleting or damaging any of it, or all, is always safe: a program whose files are
//! not those that its list of hashes names is compiled again.

use super::Failure;
use super::kernels::touch;
use netc_runtime::files;
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The file in a program's folder that lists the hashes of the others.
const HASHES: &str = "hashes";

/// Names of folders that are being filled begin with this.
const UNFINISHED: &str = "unfinished-";

/// Unfinished folders of this age belong to nobody any more: no compilation takes that long.
const ABANDONED: Duration = Duration::from_secs(24 * 60 * 60);

/// The folder of kernels.
const KERNELS: &str = "kernels";

/// Bytes that the cache may take; what has not been used for the longest time goes first.
const LARGEST: u64 = 2 << 30;

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

    /// The folder of the program called `key`; if there is none, or it is damaged, `make` fills it.
    pub fn folder(&self, key: &str, make: impl FnOnce(&Path) -> Result<(), Failure>) -> Result<PathBuf, Failure> {
        let path = self.root.join(key);
        if whole(&path) {
            touch(&path);
            return Ok(path);
        }
        std::fs::create_dir_all(&self.root).map_err(|e| Failure::file("make the folder", &self.root, &e))?;
        self.sweep();
        let making = self.aside()?;
        make(making.path())?;
        let hashes = hashes(making.path()).map_err(|e| Failure::file("read back", making.path(), &e))?;
        // Syncs the folder too: after a power cut the renamed folder is not there or has its files.
        files::write_atomically(&making.path().join(HASHES), |file| file.write_all(hashes.as_bytes()))?;
        if whole(&path) {
            // Another netc was faster; its program is the same.
            return Ok(path);
        }
        let damaged = self.aside()?;
        if path.exists() {
            std::fs::rename(&path, damaged.path().join("damaged"))
                .map_err(|e| Failure::file("move away the damaged", &path, &e))?;
        }
        match std::fs::rename(making.path(), &path) {
            Ok(()) => {
                // Renamed: nothing is left to clean up.
                let _ = making.keep();
                files::sync_folder(&self.root)?;
                Ok(path)
            }
            Err(_) if whole(&path) => Ok(path),
            Err(e) => Err(Failure::file("make the folder", &path, &e)),
        }
    }

    /// The folder of kernels.
    pub(super) fn kernels(&self) -> PathBuf {
        self.root.join(KERNELS)
    }

    /// Removes programs and kernels until the rest is no larger than the cache may be. What cannot be removed does no
    /// harm.
    pub(super) fn trim(&self) {
        self.trim_to(LARGEST);
    }

    fn trim_to(&self, limit: u64) {
        let kernels = self.kernels();
        let programs = files::list(&self.root).unwrap_or_default();
        let programs = programs.into_iter().filter(|path| {
            let unfinished = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(UNFINISHED));
            *path != kernels && !unfinished && path.is_dir()
        });
        let all = programs.chain(files::list(&kernels).unwrap_or_default());
        let mut entries: Vec<(SystemTime, PathBuf, u64)> = all
            .filter_map(|path| {
                let used = path.metadata().and_then(|about| about.modified()).ok()?;
                let size = size(&path);
                Some((used, path, size))
            })
            .collect();
        entries.sort();
        let mut total: u64 = entries.iter().map(|entry| entry.2).sum();
        for (_, path, size) in entries {
            if total <= limit {
                break;
            }
            let _ = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            total -= size;
        }
    }

    /// A new folder, which is removed again unless it is kept.
    fn aside(&self) -> Result<tempfile::TempDir, Failure> {
        tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempdir_in(&self.root)
            .map_err(|e| Failure::file("make a folder in", &self.root, &e))
    }

    /// Removes what killed compilations left. What cannot be removed does no harm.
    fn sweep(&self) {
        for path in files::list(&self.root).unwrap_or_default() {
            let unfinished = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(UNFINISHED));
            let changed = path.metadata().and_then(|about| about.modified());
            let old = changed.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > ABANDONED));
            if unfinished && old {
                let _ = std::fs::remove_dir_all(&path);
            }
        }
    }
}

/// Whether `folder` has the files that its list names, byte for byte, and no others.
fn whole(folder: &Path) -> bool {
    let listed = std::fs::read_to_string(folder.join(HASHES));
    listed.is_ok_and(|listed| hashes(folder).is_ok_and(|found| found == listed))
}

/// The files of `folder` with their SHA-256, as `sha256sum` lists them.
fn hashes(folder: &Path) -> std::io::Result<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        names.push(entry?.file_name());
    }
    names.sort();
    let mut text = String::new();
    for name in names.iter().filter(|name| *name != HASHES) {
        let hash = Sha256::digest(std::fs::read(folder.join(name))?);
        let hash: String = hash.iter().map(|b| format!("{b:02x}")).collect();
        let _ = writeln!(text, "{hash}  {}", name.to_string_lossy());
    }
    Ok(text)
}

/// Bytes of a file, or of the files in a folder.
fn size(path: &Path) -> u64 {
    let bytes = |path: &Path| path.metadata().map_or(0, |about| about.len());
    if path.is_dir() { files::list(path).unwrap_or_default().iter().map(|file| bytes(file)).sum() } else { bytes(path) }
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

    #[test]
    fn a_damaged_program_is_made_again() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(Some(folder.path())).unwrap();
        let make = |path: &Path| {
            std::fs::write(path.join("a.so"), "code").unwrap();
            std::fs::write(path.join("a.h"), "text").unwrap();
            Ok(())
        };
        let made = cache.folder("k", make).unwrap();
        let damages: [&dyn Fn(); 6] = [
            &|| std::fs::write(made.join("a.so"), "co").unwrap(),
            &|| std::fs::write(made.join("a.so"), "cold").unwrap(),
            &|| std::fs::remove_file(made.join("a.so")).unwrap(),
            &|| std::fs::remove_file(made.join(HASHES)).unwrap(),
            &|| std::fs::remove_dir_all(&made).unwrap(),
            &|| {
                std::fs::remove_dir_all(&made).unwrap();
                std::fs::write(&made, "a file").unwrap();
            },
        ];
        for damage in damages {
            damage();
            assert_eq!(cache.folder("k", make).unwrap(), made);
            assert_eq!(std::fs::read(made.join("a.so")).unwrap(), b"code");
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
        }
    }

    #[test]
    fn what_was_not_used_for_the_longest_time_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(Some(folder.path())).unwrap();
        let make = |path: &Path| {
            std::fs::write(path.join("a.so"), [0; 1000]).unwrap();
            Ok(())
        };
        for key in ["first", "second"] {
            cache.folder(key, make).unwrap();
        }
        std::fs::create_dir(cache.kernels()).unwrap();
        std::fs::write(cache.kernels().join("third"), [0; 1000]).unwrap();
        std::fs::create_dir(folder.path().join("unfinished-1")).unwrap();
        for (age, name) in [(3, "first"), (2, "second"), (1, "kernels/third")] {
            let then = SystemTime::now() - Duration::from_secs(100 * age);
            std::fs::File::open(folder.path().join(name)).unwrap().set_modified(then).unwrap();
        }
        cache.folder("first", make).unwrap();
        let there =
            || ["first", "second", "kernels/third", "unfinished-1"].map(|name| folder.path().join(name).exists());
        cache.trim_to(4000);
        assert_eq!(there(), [true; 4]);
        cache.trim_to(2500);
        assert_eq!(there(), [true, false, true, true]);
        cache.trim_to(1500);
        assert_eq!(there(), [true, false, false, true]);
    }

    #[test]
    fn only_old_unfinished_folders_are_swept() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(Some(folder.path())).unwrap();
        let (old, new) = (folder.path().join("unfinished-old"), folder.path().join("unfinished-new"));
        for path in [&old, &new] {
            std::fs::create_dir(path).unwrap();
        }
        let day_before = std::time::SystemTime::now() - 2 * ABANDONED;
        std::fs::File::open(&old).unwrap().set_modified(day_before).unwrap();
        cache.folder("k", |_| Ok(())).unwrap();
        assert!(!old.exists() && new.exists());
    }
}
