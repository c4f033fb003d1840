//! Loads a program: a shared library and its manifest.
#![allow(unsafe_code, reason = "dlopen and calls into generated code")]

use crate::error::{Error, Result};
use crate::program::{Context, EntryPoint, Function, Manifest, Port, VERSION};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The manifest's file name in a program folder.
pub const MANIFEST_FILE: &str = "program.json";

/// The symbol of a library under which the manifest's bytes lie, ended by a NUL.
const MANIFEST_SYMBOL: &CStr = c"netc_manifest";

/// A program in memory, checked against its contract as far as that is possible from outside.
pub struct Program {
    manifest: Manifest,
    path: PathBuf,
    entries: BTreeMap<String, EntryPoint>,
    /// Keeps the code mapped as long as `entries` are callable.
    _library: libloading::Library,
}

impl Program {
    /// Loads the library at `path`, or the only library (`*.so`, `*.dylib`) of the folder `path`. The manifest comes
    /// from the library's symbol `netc_manifest` or else from `program.json` beside it.
    ///
    /// Loading a library runs its code: load only what netc compiled.
    pub fn load(path: &Path) -> Result<Program> {
        let path = find_library(path)?;
        check_complete(&path)?;
        // SAFETY: the caller vouches for the library (see above); netc's libraries have no initialisers.
        let library = unsafe { libloading::Library::new(&path) }
            .map_err(|e| Error::file(&path, format!("is no library that this machine can load: {}", chain(&e))))?;
        let manifest = match embedded_manifest(&library) {
            Some(text) => parse_manifest(&path, &text)?,
            None => {
                let beside = path.with_file_name(MANIFEST_FILE);
                let text = std::fs::read(&beside).map_err(|e| match e.kind() {
                    std::io::ErrorKind::NotFound => Error::file(
                        &path,
                        format!("has no symbol `netc_manifest` and no {MANIFEST_FILE} beside it: not made by netc?"),
                    ),
                    _ => Error::read(&beside, e),
                })?;
                parse_manifest(&beside, &text)?
            }
        };
        verify(&manifest)
            .map_err(|cause| Error::file(&path, format!("has a manifest that makes no sense: {cause}")))?;
        let mut entries = BTreeMap::new();
        let symbols = manifest
            .functions
            .iter()
            .flat_map(|f| std::iter::once(&f.symbol).chain(f.kernels.iter().map(|kernel| &kernel.symbol)));
        for symbol in symbols {
            // SAFETY: the manifest, which comes from the same compiler, says that the symbol is an entry point.
            let entry = unsafe { library.get::<EntryPoint>(symbol.as_bytes()) }
                .map_err(|_| Error::file(&path, format!("lacks the symbol `{symbol}` that its manifest names")))?;
            entries.insert(symbol.clone(), *entry);
        }
        Ok(Program { manifest, path, entries, _library: library })
    }

    /// What the program says about itself.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The library's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The function called `name`, or the error that says which there are.
    pub fn function(&self, name: &str) -> Result<&Function> {
        self.manifest.function(name).ok_or_else(|| {
            let have: Vec<&str> = self.manifest.functions.iter().map(|f| f.name.as_str()).collect();
            let why = match name {
                "train" => "; compile it with --mode train",
                "preprocess" => "; it takes only tensors that are already preprocessed",
                _ => "",
            };
            Error::Request(format!(
                "program {} has no function `{name}` (it has {}){why}",
                self.manifest.name,
                have.join(", ")
            ))
        })
    }

    /// Calls the entry point `symbol`.
    ///
    /// # Safety
    /// `symbol` is that of a function F of the manifest or of one of its kernels, and `context` holds what
    /// [`Context`] promises for F: blocks of F's sizes, and one port for each of F's inputs and outputs, all aligned,
    /// writable, distinct and unused by anyone else for the time of the call.
    pub(crate) unsafe fn call(&self, symbol: &str, context: &Context) -> Result<()> {
        let broken = |cause| Error::Contract { program: self.manifest.name.clone(), cause };
        let entry = self.entries.get(symbol).ok_or_else(|| broken(format!("no entry point `{symbol}`")))?;
        // SAFETY: the contract of this function.
        match unsafe { entry(context) } {
            0 => Ok(()),
            code => Err(broken(format!("`{symbol}` returned {code}, not 0"))),
        }
    }
}

/// The library that `path` means.
fn find_library(path: &Path) -> Result<PathBuf> {
    let about = std::fs::metadata(path).map_err(|e| Error::read(path, e))?;
    if !about.is_dir() {
        // A bare file name would make the loader search the system's folders.
        return std::path::absolute(path).map_err(|e| Error::read(path, e));
    }
    let mut libraries = Vec::new();
    for entry in std::fs::read_dir(path).map_err(|e| Error::read(path, e))? {
        let file = entry.map_err(|e| Error::read(path, e))?.path();
        if file.extension().is_some_and(|e| e == "so" || e == "dylib") {
            libraries.push(file);
        }
    }
    libraries.sort();
    match libraries.as_slice() {
        [one] => std::path::absolute(one).map_err(|e| Error::read(path, e)),
        [] => Err(Error::file(path, "holds no compiled program (no *.so)")),
        several => {
            let names: Vec<String> = several.iter().map(|p| p.display().to_string()).collect();
            Err(Error::file(path, format!("holds several programs; name one: {}", names.join(", "))))
        }
    }
}

/// Refuses what is no complete ELF file: mapping a truncated one ends the process with a bus error.
fn check_complete(path: &Path) -> Result<()> {
    let mut file = File::open(path).map_err(|e| Error::read(path, e))?;
    let length = file.metadata().map_err(|e| Error::read(path, e))?.len();
    let mut header = [0u8; 64];
    let mut have = 0;
    while have < header.len() {
        match file.read(&mut header[have..]).map_err(|e| Error::read(path, e))? {
            0 => break,
            n => have += n,
        }
    }
    if length == 0 {
        return Err(Error::file(path, "is empty"));
    }
    if cfg!(target_os = "macos") {
        return Ok(());
    }
    if have < header.len() || !header.starts_with(b"\x7fELF") {
        return Err(Error::file_at(path, 0, "is no ELF library"));
    }
    let at = |offset: usize, bytes: usize| {
        header[offset..offset + bytes].iter().rev().fold(0u64, |value, &b| (value << 8) | u64::from(b))
    };
    // Section headers come last in what linkers write: e_shoff + e_shentsize · e_shnum, for 64-bit little-endian.
    let is_64_bit_little_endian = header[4] == 2 && header[5] == 1;
    let end = at(40, 8).saturating_add(at(58, 2) * at(60, 2));
    if is_64_bit_little_endian && end > length {
        return Err(Error::file_at(path, length, format!("is truncated: {length} bytes, its header speaks of {end}")));
    }
    Ok(())
}

fn embedded_manifest(library: &libloading::Library) -> Option<Vec<u8>> {
    // SAFETY: the contract says that the symbol, if present, is a NUL-terminated constant array of bytes; `get` gives
    // the symbol's address as the pointer asked for, and the library stays mapped while the bytes are copied.
    unsafe {
        let address = library.get::<*const std::ffi::c_char>(MANIFEST_SYMBOL).ok()?;
        Some(CStr::from_ptr(*address).to_bytes().to_vec())
    }
}

fn parse_manifest(path: &Path, text: &[u8]) -> Result<Manifest> {
    let unreadable = |e: serde_json::Error| Error::file(path, format!("has an unreadable manifest: {e}"));
    // The version first: another version may have other fields.
    let value: serde_json::Value = serde_json::from_slice(text).map_err(unreadable)?;
    match value.get("version").and_then(serde_json::Value::as_u64) {
        Some(version) if version == u64::from(VERSION) => serde_json::from_value(value).map_err(unreadable),
        Some(version) => Err(Error::file(
            path,
            format!("follows version {version} of the program contract, this runtime {VERSION}: compile it again"),
        )),
        None => Err(Error::file(path, "has a manifest without a version")),
    }
}

/// Checks that no size overflows, every state lies inside the state block and names are unique.
fn verify(manifest: &Manifest) -> std::result::Result<(), String> {
    if manifest.batch == 0 {
        return Err("a batch of 0".to_owned());
    }
    let mut names = BTreeSet::new();
    let mut spans = Vec::new();
    for state in &manifest.states {
        let end = elements(&state.shape).and_then(|n| n.checked_mul(4)).and_then(|n| n.checked_add(state.offset));
        match end {
            Some(end) if end <= manifest.state_bytes && state.offset % 4 == 0 => spans.push((state.offset, end, state)),
            _ => return Err(format!("state `{}` lies outside the state block", state.name)),
        }
        if !names.insert(&state.name) {
            return Err(format!("two states are called `{}`", state.name));
        }
    }
    spans.sort_by_key(|&(begin, end, _)| (begin, end));
    if let Some(pair) = spans.windows(2).find(|pair| pair[0].1 > pair[1].0) {
        return Err(format!("states `{}` and `{}` overlap", pair[0].2.name, pair[1].2.name));
    }
    let mut functions = BTreeSet::new();
    for function in &manifest.functions {
        if !functions.insert(&function.name) {
            return Err(format!("two functions are called `{}`", function.name));
        }
        for port in function.inputs.iter().chain(&function.outputs) {
            if port_bytes(port).is_none() {
                return Err(format!("port `{}` of `{}` is too large", port.name, function.name));
            }
        }
    }
    Ok(())
}

/// The product of `shape`, if it fits.
pub(crate) fn elements(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).filter(|&n| n <= isize::MAX as usize)
}

/// Bytes of a port, if they fit.
pub(crate) fn port_bytes(port: &Port) -> Option<usize> {
    elements(&port.shape)?.checked_mul(port.dtype.bytes()).filter(|&n| n <= isize::MAX as usize)
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
