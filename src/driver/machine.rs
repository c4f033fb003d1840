//! The machine's speeds: measured once, then kept in the cache.

use super::Cache;
use super::cache::key;
use netc_runtime::files;
use netc_runtime::speed::{self, Machine};
use std::path::PathBuf;

/// The speeds of this machine, if they have been measured.
pub fn measured(cache: &Cache) -> Option<Machine> {
    let text = std::fs::read(path(cache)).ok()?;
    serde_json::from_slice(&text).ok()
}

/// The speeds of this machine, measured if they have not been, which takes half a second.
pub fn machine(cache: &Cache) -> Machine {
    measured(cache).unwrap_or_else(|| measure(cache))
}

/// Measures the speeds of this machine. If they cannot be kept, they are measured again the next time.
pub fn measure(cache: &Cache) -> Machine {
    let machine = speed::measure();
    if let Ok(text) = serde_json::to_vec_pretty(&machine)
        && std::fs::create_dir_all(cache.root()).is_ok()
    {
        let _ = files::write_atomically(&path(cache), |file| file.write_all(&text));
    }
    machine
}

/// A file for this processor with this number of cores, and this way of measuring: a netc that is not optimised finds less.
fn path(cache: &Cache) -> PathBuf {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    let key = key(&["1", build, &speed::cpu(), &threads.to_string()]);
    cache.root().join(format!("machine-{key}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_measured_once() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(Some(&folder.path().join("new"))).unwrap();
        assert_eq!(measured(&cache), None);
        let found = machine(&cache);
        assert_eq!((measured(&cache), machine(&cache)), (Some(found.clone()), found));
        std::fs::write(path(&cache), "damaged").unwrap();
        assert_eq!(measured(&cache), None);
    }
}
