//! A folder with a small spec and small data, and the command run in it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A network that compiles and trains in a moment.
pub const TINY: &str = "\
net: tiny
input: {name: image, shape: [1, 8, 8]}
classes: [left, right, both]
layers:
  - conv: {name: conv1, kernels: 4, kernel_size: 3, padding: 1}
  - relu
  - maxpool: {kernel_size: 2}
  - flatten
  - dropout: {p: 0.25}
  - linear: {name: fc, features: 3}
train:
  loss: cross_entropy
  optimizer: {sgd: {lr: 0.1, momentum: 0.9, weight_decay: 1.0e-4}}
  batch: 8
  epochs: 2
";

/// A temporary folder. The cache of compiled programs is shared by all.
pub struct Workshop {
    folder: tempfile::TempDir,
}

/// What a command did.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Done {
    pub fn from(output: Output) -> Done {
        Done {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).expect("standard output is text"),
            stderr: String::from_utf8(output.stderr).expect("standard error is text"),
        }
    }

    /// Asserts that it worked without a complaint, and gives its standard output.
    #[track_caller]
    pub fn fine(self) -> String {
        assert!(self.code == 0 && self.stderr.is_empty(), "failed: {self:#?}");
        self.stdout
    }

    /// Asserts that it failed with `code`, saying all of `words`, without results and without a panic.
    #[track_caller]
    pub fn refused(self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "another exit code: {self:#?}");
        for word in words {
            assert!(self.stderr.contains(word), "does not say `{word}`:\n{}", self.stderr);
        }
        assert!(!self.stderr.contains("panicked") && !self.stderr.contains("bug in netc"), "{}", self.stderr);
        assert!(!self.stderr.contains("os error"), "speaks of an `os error`:\n{}", self.stderr);
    }

    /// Standard output as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {self:#?}"))
    }
}

impl Workshop {
    /// An empty folder.
    pub fn empty() -> Workshop {
        Workshop { folder: tempfile::tempdir().unwrap() }
    }

    /// A folder with `tiny.yaml` and the data set `data`.
    pub fn new() -> Workshop {
        let workshop = Workshop::empty();
        workshop.write("tiny.yaml", TINY);
        workshop.images("data", 64, 16);
        workshop
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, contents).unwrap();
        path
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    /// Names of all files below a folder, sorted.
    pub fn files(&self, name: &str) -> Vec<String> {
        fn walk(folder: &Path, base: &Path, names: &mut Vec<String>) {
            let Ok(entries) = std::fs::read_dir(folder) else { return };
            for entry in entries {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(&path, base, names);
                } else {
                    names.push(path.strip_prefix(base).unwrap().to_string_lossy().into_owned());
                }
            }
        }
        let mut names = Vec::new();
        walk(&self.path(name), &self.path(name), &mut names);
        names.sort();
        names
    }

    /// A data set in MNIST's files: 8×8 images whose left half, right half or both are bright, and their classes.
    pub fn images(&self, name: &str, train: usize, test: usize) {
        for (part, count) in [("train", train), ("t10k", test)] {
            let mut images = vec![0, 0, 8, 3];
            for size in [count as u32, 8, 8] {
                images.extend(size.to_be_bytes());
            }
            let mut labels = vec![0, 0, 8, 1];
            labels.extend((count as u32).to_be_bytes());
            for i in 0..count {
                let class = i % 3;
                labels.push(class as u8);
                for pixel in 0..64 {
                    let right = pixel % 8 >= 4;
                    let bright = class == 2 || (class == 1) == right;
                    let noise = (i * 64 + pixel).wrapping_mul(2_654_435_761) >> 7 & 31;
                    images.push(if bright { 200 + noise as u8 } else { noise as u8 });
                }
            }
            self.write(&format!("{name}/{part}-images-idx3-ubyte"), images);
            self.write(&format!("{name}/{part}-labels-idx1-ubyte"), labels);
        }
    }

    /// The command, to be run in the folder.
    pub fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_netc"));
        command
            .args(arguments.split_whitespace())
            .current_dir(self.folder.path())
            .env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"))
            .env_remove("NO_COLOR")
            .env_remove("RUST_BACKTRACE")
            .stdin(Stdio::null());
        command
    }

    /// Runs `netc` with arguments that are separated by spaces.
    #[track_caller]
    pub fn netc(&self, arguments: &str) -> Done {
        Done::from(self.command(arguments).output().unwrap())
    }

    /// Runs a shell script in which `netc` is the command.
    pub fn shell(&self, script: &str) -> Done {
        let script = format!("netc() {{ '{}' \"$@\"; }}\n{script}", env!("CARGO_BIN_EXE_netc"));
        let output = Command::new("bash")
            .args(["-c", &script])
            .current_dir(self.folder.path())
            .env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Done::from(output)
    }
}

/// A file of the project.
pub fn project(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// SHA-256 of bytes, in hex.
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}
