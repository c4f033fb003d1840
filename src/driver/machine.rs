//! The machine's speeds: measured when asked for, and kept in the cache.

use super::Cache;
use super::cache::key;
use netc_runtime::files;
use netc_runtime::speed::{self, Machine, Speed};
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

/// Measures the speeds of this machine, and keeps them.
pub fn measure(cache: &Cache) -> Machine {
    let machine = speed::measure();
    keep(cache, &machine);
    machine
}

/// Measures the speed of this machine on so many threads now. What is kept is the best that was ever reached, since a
/// moment at which others keep the machine busy says nothing of the machine; [`measure`] begins anew.
pub fn measure_on(cache: &Cache, threads: usize) -> Speed {
    let mut machine = measured(cache).unwrap_or_else(speed::measure);
    let speed = speed::measure_on(threads);
    machine.improve(speed.clone());
    keep(cache, &machine);
    speed
}

/// If the speeds cannot be kept, they are measured again the next time.
fn keep(cache: &Cache, machine: &Machine) {
    if let Ok(text) = serde_json::to_vec_pretty(machine)
        && std::fs::create_dir_all(cache.root()).is_ok()
    {
        let _ = files::write_atomically(&path(cache), |file| file.write_all(&text));
    }
}

/// A file for this processor with this number of cores, and this way of measuring: a netc that is not optimised finds less.
fn path(cache: &Cache) -> PathBuf {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let build = if cfg!(debug_assertions) { "debug" } else { "release" };
    let key = key(&["2", build, &speed::cpu(), &threads.to_string()]);
    cache.root().join(format!("machine-{key}.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_measured_once_or_when_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(Some(&folder.path().join("new"))).unwrap();
        assert_eq!(measured(&cache), None);
        let found = machine(&cache);
        assert_eq!((measured(&cache), machine(&cache)), (Some(found.clone()), found));
        let before = measured(&cache).unwrap().on(1);
        let speed = measure_on(&cache, 1);
        let found = measured(&cache).unwrap();
        assert_eq!(found.on(1).flops, speed.flops.max(before.flops));
        assert!(found.on(usize::MAX).flops > 0.0);
        std::fs::write(path(&cache), "damaged").unwrap();
        assert_eq!(measured(&cache), None);
    }
}
