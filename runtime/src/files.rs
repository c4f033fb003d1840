//! Writing files so that a crash, a full disk or a kill leaves either the old file or the new one.

use crate::error::{Error, Result};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// End of the names of files that are still being written.
const PARTIAL: &str = ".partial";

/// Writes `path` through `fill`: into a temporary file in the same folder, synced, then renamed over `path`.
pub fn write_atomically(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    write_aside(path, fill)?.persist(path).map_err(|e| Error::io("write", path, e.error))?;
    sync_folder(&folder_of(path))
}

/// Writes several files that belong together: each is aside and synced before the first takes its name, so a full disk
/// leaves all of them as they were.
pub fn write_together(files: &[(PathBuf, &[u8])]) -> Result<()> {
    let mut aside = Vec::new();
    for (path, bytes) in files {
        aside.push((path, write_aside(path, |w| w.write_all(bytes))?));
    }
    for (path, partial) in aside {
        partial.persist(path).map_err(|e| Error::io("write", path, e.error))?;
    }
    let mut folders: Vec<PathBuf> = files.iter().map(|(path, _)| folder_of(path)).collect();
    folders.sort();
    folders.dedup();
    folders.iter().try_for_each(|folder| sync_folder(folder))
}

/// A temporary file beside `path`, filled and synced.
fn write_aside(path: &Path, fill: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<tempfile::NamedTempFile> {
    let failed = |source| Error::io("write", path, source);
    let folder = folder_of(path);
    let name = path
        .file_name()
        .ok_or_else(|| failed(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file")))?
        .to_string_lossy();
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As any new file: the umask takes from it.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let partial = builder.prefix(&format!(".{name}.")).suffix(PARTIAL).tempfile_in(&folder).map_err(failed)?;
    let mut writer = BufWriter::with_capacity(1 << 20, partial);
    fill(&mut writer).map_err(failed)?;
    let partial = writer.into_inner().map_err(|e| failed(e.into_error()))?;
    partial.as_file().sync_all().map_err(failed)?;
    Ok(partial)
}

/// Makes renames and new files in `folder` durable.
pub fn sync_folder(folder: &Path) -> Result<()> {
    let synced = File::open(folder).and_then(|f| f.sync_all());
    match synced {
        // Some file systems cannot sync a folder; the rename was atomic all the same.
        Err(e) if e.kind() == io::ErrorKind::InvalidInput || e.kind() == io::ErrorKind::Unsupported => Ok(()),
        other => other.map_err(|e| Error::io("sync", folder, e)),
    }
}

/// Creates `folder` and what is missing above it.
pub fn create_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io("create folder", folder, e))
}

/// Removes what killed writers left in `folder`.
pub fn remove_partial(folder: &Path) -> Result<()> {
    for path in list(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with('.') && name.ends_with(PARTIAL) {
            std::fs::remove_file(&path).map_err(|e| Error::io("remove", &path, e))?;
        }
    }
    Ok(())
}

/// The entries of `folder`, sorted by name.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(|e| Error::read(folder, e))? {
        paths.push(entry.map_err(|e| Error::read(folder, e))?.path());
    }
    paths.sort();
    Ok(paths)
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) => parent.to_owned(),
        None => PathBuf::from("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        write_atomically(&path, |w| w.write_all(b"old")).unwrap();
        let error = write_atomically(&path, |w| {
            w.write_all(b"new")?;
            Err(io::ErrorKind::StorageFull.into())
        })
        .unwrap_err();
        assert_eq!(error.blame(), crate::error::Blame::Environment);
        assert!(error.to_string().contains("weights"), "{error}");
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(list(folder.path()).unwrap(), [path]);
    }

    #[test]
    fn files_that_belong_together_are_all_new_or_all_old() {
        let folder = tempfile::tempdir().unwrap();
        let (library, header) = (folder.path().join("a.so"), folder.path().join("a.h"));
        let write = |library: &Path, header: &Path, text: &[u8]| {
            write_together(&[(library.to_owned(), text), (header.to_owned(), text)])
        };
        write(&library, &header, b"old").unwrap();
        write(&library, &folder.path().join("no/such/a.h"), b"new").unwrap_err();
        assert_eq!(std::fs::read(&library).unwrap(), b"old");
        assert_eq!(list(folder.path()).unwrap(), [header.clone(), library.clone()], "nothing is left aside");
        write(&library, &header, b"new").unwrap();
        assert_eq!(std::fs::read(&library).unwrap(), b"new");
        assert_eq!(std::fs::read(&header).unwrap(), b"new");
    }

    #[test]
    fn missing_folders_are_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = write_atomically(&folder.path().join("no/such"), |_| Ok(())).unwrap_err();
        assert!(matches!(error, Error::Io { action: "write", .. }));
    }

    #[test]
    fn leftovers_of_killed_writers_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".w.abc.partial"), b"half").unwrap();
        std::fs::write(folder.path().join("kept"), b"x").unwrap();
        remove_partial(folder.path()).unwrap();
        assert_eq!(list(folder.path()).unwrap(), [folder.path().join("kept")]);
    }
}
