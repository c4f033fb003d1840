//! Packs plans, kernels and code into what the runtime, or a C program, uses.
//!
//! Takes a network with its planned functions, gives a [`Program`]: manifest, C header, objects. [`Program::write`] makes
//! a folder `NAME.so`, `NAME.o`, `NAME.h`, `program.json`; the library carries the manifest too. The same input gives the
//! same bytes.

mod header;
mod manifest;
mod usage;

pub use manifest::manifest;

use crate::check::Network;
use crate::codegen::{self, Code, KernelStore, LinkError};
use crate::graph::Functions;
use crate::kernel::Kernel;
use crate::plan::Plan;
use crate::target::Target;
use netc_runtime::files;
use netc_runtime::program::Manifest;
use std::path::{Path, PathBuf};

/// A compiled network.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    /// What the runtime knows about it.
    pub manifest: Manifest,
    /// Declarations for C.
    pub header: String,
    /// Object files.
    pub code: Code,
    /// File names start with this.
    pub stem: String,
}

/// Why a program could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Linking failed.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// A file or folder could not be written.
    #[error(transparent)]
    File(#[from] netc_runtime::error::Error),
    /// There is no room for intermediate files.
    #[error("cannot make a temporary folder in {folder}: {source}")]
    Scratch {
        /// Where.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// Generates the code of a network's functions. `plans` and `kernels` belong to `functions.graphs`, one each. Kernels
/// that `store` has are taken from there.
pub fn program(
    network: &Network,
    functions: &Functions,
    plans: &[Plan],
    kernels: &[Vec<Kernel>],
    target: &Target,
    store: &dyn KernelStore,
) -> Program {
    let manifest = manifest(network, functions, plans, kernels, target);
    let text = manifest::json(&manifest);
    let parts: Vec<codegen::Function> =
        plans.iter().zip(kernels).map(|(plan, kernels)| codegen::Function { plan, kernels }).collect();
    let code = codegen::compile(&network.name, &parts, &text, target, store);
    let header = header::header(&manifest, &network.preprocess);
    Program { manifest, header, code, stem: codegen::symbol(&network.name, "").trim_end_matches('_').to_owned() }
}

impl Program {
    /// Writes the program into `folder`, all of its files or none; returns the files.
    ///
    /// # Errors
    /// If the folder cannot be made, a file cannot be written, or the linker is missing or fails.
    pub fn write(&self, folder: &Path) -> Result<Vec<PathBuf>, WriteError> {
        files::create_folder(folder)?;
        let scratch = tempfile::Builder::new()
            .prefix(".netc-link-")
            .tempdir_in(folder)
            .map_err(|source| WriteError::Scratch { folder: folder.to_owned(), source })?;
        let library = scratch.path().join("program.so");
        let object = scratch.path().join("program.o");
        codegen::link(&self.code, scratch.path(), &library, &object)?;
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| LinkError::Io { path: path.display().to_string(), source })
        };
        let (library, object) = (read(&library)?, read(&object)?);
        let about = manifest::json(&self.manifest);
        let named = |suffix: &str| folder.join(format!("{}.{suffix}", self.stem));
        let files: [(PathBuf, &[u8]); 4] = [
            (named("so"), &library),
            (named("o"), &object),
            (named("h"), self.header.as_bytes()),
            (folder.join("program.json"), about.as_bytes()),
        ];
        files::write_together(&files)?;
        Ok(files.map(|(path, _)| path).to_vec())
    }
}
