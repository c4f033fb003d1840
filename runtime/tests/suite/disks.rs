//! Folders that cannot be written and disks that are full.

use crate::files::write_idx;
use crate::fixture::{Softmax, session};
use netc_runtime::checkpoint::{Position, save_checkpoint};
use netc_runtime::data::open;
use netc_runtime::error::Blame;
use netc_runtime::library::Program;
use netc_runtime::observer::Silent;
use netc_runtime::train::{TrainOptions, train};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

#[test]
fn folders_that_cannot_be_written_are_the_environments_fault() {
    let folder = tempfile::tempdir().unwrap();
    write_idx(folder.path(), "train", 30);
    let program = Softmax::default().program();
    let data = open(folder.path(), program.manifest()).unwrap();
    let mut session = session(&program, 1);
    // A file in the way, and a file system that is never written, whoever asks.
    std::fs::write(folder.path().join("file"), b"x").unwrap();
    for out in [folder.path().join("file/run"), "/proc/netc/run".into()] {
        let error = train(&mut session, &data, &TrainOptions::new(out.clone()), &mut Silent).unwrap_err();
        assert_eq!(error.blame(), Blame::Environment, "{error}");
        assert!(error.to_string().contains(&out.display().to_string()), "{error}");
    }
}

/// Set for the child process that may write only small files.
const FULL: &str = "NETC_TEST_FULL_DISK";

#[test]
fn a_full_disk_leaves_the_old_checkpoint() {
    if let Some(folder) = std::env::var_os(FULL) {
        let folder = Path::new(&folder);
        let program = Arc::new(Program::load(&folder.join("softmax.so")).unwrap());
        let error = save_checkpoint(&session(&program, 1), &folder.join("c"), &Position::default()).unwrap_err();
        assert_eq!(error.blame(), Blame::Environment, "{error}");
        assert!(error.to_string().contains("cannot write"), "{error}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let softmax = Softmax { input: [3, 64, 64], classes: 10, ..Softmax::default() };
    softmax.build(folder.path(), Some(&serde_json::to_string(&softmax.manifest()).unwrap()));
    let old = folder.path().join("c");
    std::fs::write(&old, b"the old one").unwrap();
    let before = netc_runtime::files::list(folder.path()).unwrap();
    // The checkpoint has 960 KiB; a limit of 64 blocks fails as a full disk does, in the middle of a write.
    let child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "disks::a_full_disk_leaves_the_old_checkpoint", "--test-threads=1"])
        .env(FULL, folder.path())
        .output()
        .unwrap();
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    assert!(String::from_utf8_lossy(&child.stdout).contains("1 passed"));
    assert_eq!(std::fs::read(&old).unwrap(), b"the old one");
    assert_eq!(netc_runtime::files::list(folder.path()).unwrap(), before, "nothing is left over");
}
