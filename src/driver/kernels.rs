//! The object code of kernels by content: what another network, or the same one before an edit, had is not compiled again.
//!
//! One file a kernel, in the cache's folder `kernels`: the SHA-256 of the code, then the code. A file that is not what its
//! hash says is as good as none. Nothing here fails: without room or rights kernels are compiled each time.

use super::Cache;
use super::cache::{build, key};
use crate::codegen::KernelStore;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

/// Bytes of a hash.
const HASH: usize = 32;

/// The kernels of a cache, and how many of them a compilation found.
pub(super) struct Kernels {
    /// Where they are; nowhere if there is no cache.
    folder: Option<PathBuf>,
    /// The netc whose code they are.
    build: String,
    compiled: AtomicUsize,
    reused: AtomicUsize,
}

impl Kernels {
    /// Those of `cache`.
    pub(super) fn of(cache: Option<&Cache>) -> Kernels {
        let folder = cache.map(Cache::kernels).filter(|folder| std::fs::create_dir_all(folder).is_ok());
        Kernels { folder, build: build(), compiled: AtomicUsize::new(0), reused: AtomicUsize::new(0) }
    }

    /// Kernels compiled, and kernels found.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.compiled.load(Ordering::Relaxed), self.reused.load(Ordering::Relaxed))
    }

    fn path(&self, content: &str) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(key(&[&self.build, content])))
    }
}

impl KernelStore for Kernels {
    fn find(&self, key: &str) -> Option<Vec<u8>> {
        let path = self.path(key)?;
        let bytes = std::fs::read(&path).ok()?;
        let (hash, code) = bytes.split_at_checked(HASH)?;
        if Sha256::digest(code).as_slice() != hash {
            return None;
        }
        touch(&path);
        self.reused.fetch_add(1, Ordering::Relaxed);
        Some(code.to_vec())
    }

    fn keep(&self, key: &str, object: &[u8]) {
        self.compiled.fetch_add(1, Ordering::Relaxed);
        let (Some(path), Some(folder)) = (self.path(key), &self.folder) else { return };
        // Not synced: what a power cut leaves half is found out by its hash.
        let written = tempfile::NamedTempFile::new_in(folder).and_then(|mut file| {
            file.write_all(&Sha256::digest(object))?;
            file.write_all(object)?;
            Ok(file)
        });
        if let Ok(file) = written {
            let _ = file.persist(path);
        }
    }
}

/// Notes that a file or folder of the cache was used now: those not used for the longest time go first.
pub(super) fn touch(path: &Path) {
    if let Ok(file) = std::fs::File::open(path) {
        let _ = file.set_modified(SystemTime::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_found_if_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(Some(folder.path())).unwrap();
        let kernels = Kernels::of(Some(&cache));
        assert_eq!(kernels.find("a"), None);
        kernels.keep("a", b"code");
        assert_eq!(kernels.find("a").as_deref(), Some(&b"code"[..]));
        assert_eq!(kernels.find("b"), None);
        let path = kernels.path("a").unwrap();
        for damaged in [&b""[..], b"short", &std::fs::read(&path).unwrap()[..HASH + 3]] {
            std::fs::write(&path, damaged).unwrap();
            assert_eq!(kernels.find("a"), None);
        }
        kernels.keep("a", b"code");
        assert_eq!(kernels.find("a").as_deref(), Some(&b"code"[..]));
        assert_eq!(kernels.counts(), (2, 2));
        assert_eq!(std::fs::read_dir(cache.kernels()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn without_a_folder_every_kernel_is_compiled() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("kernels"), "a file").unwrap();
        for kernels in [Kernels::of(None), Kernels::of(Some(&Cache::at(Some(folder.path())).unwrap()))] {
            kernels.keep("a", b"code");
            assert_eq!((kernels.find("a"), kernels.counts()), (None, (1, 0)));
        }
    }
}
