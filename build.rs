//! How netc is linked when LLVM is inside it (`--features static-llvm`): C++'s and the compression libraries inside as
//! well, and at a fixed address, so that nothing of LLVM's 90,000 pointers is adjusted each time netc starts.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_STATIC_LLVM").is_none() || env::var("CARGO_CFG_TARGET_OS").as_deref() != Ok("linux") {
        return;
    }
    println!("cargo:rustc-link-arg-bins=-no-pie");
    // The linker takes the shared library where a folder has both: it gets a folder with the archives alone, before others.
    let folder = env::var("OUT_DIR").expect("cargo sets OUT_DIR");
    for name in ["libstdc++.a", "libz.a", "libzstd.a", "libffi.a"] {
        let found = Command::new("cc").arg(format!("-print-file-name={name}")).output();
        let found = found.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
        if Path::new(&found).is_absolute() {
            let link = Path::new(&folder).join(name);
            let _ = fs::remove_file(&link);
            std::os::unix::fs::symlink(&found, &link).expect("a link to an archive is made");
        }
    }
    println!("cargo:rustc-link-search=native={folder}");
}
