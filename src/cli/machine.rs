//! What the machine's options come to.

use super::arguments::Machine;
use crate::check::Network;
use crate::driver::{self, Cache, Failure, Options};
use netc_runtime::session::Session;
use std::path::PathBuf;

/// Refuses what is not there, before anything is compiled for it.
pub fn present<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> Result<(), Failure> {
    for path in paths {
        if let Err(e) = std::fs::metadata(path)
            && e.kind() == std::io::ErrorKind::NotFound
        {
            return Err(Failure::Data(format!("{}: no such file or folder", path.display())));
        }
    }
    Ok(())
}

/// The cores of this machine.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl Machine {
    /// Threads to run on.
    pub fn threads(&self) -> usize {
        match self.threads {
            Some(threads) => usize::from(threads),
            None => cores(),
        }
    }

    /// The network as a program at work, compiled if the cache does not have it.
    pub fn session(&self, network: &Network, options: &Options) -> Result<Session, Failure> {
        self.start(|cache| driver::cached(network, options, cache))
    }

    /// As [`Machine::session`], for inference that gives every layer's result.
    pub fn session_with_layers(&self, network: &Network, batch: usize) -> Result<Session, Failure> {
        let options = Options { batch, train: false, target: driver::target("cpu")?, algorithm: self.algorithm.into() };
        self.start(|cache| driver::cached_with_layers(network, &options, cache))
    }

    fn start(&self, program: impl FnOnce(&Cache) -> Result<PathBuf, Failure>) -> Result<Session, Failure> {
        let cache = Cache::at(self.cache.as_deref())?;
        let folder = program(&cache).map_err(|failure| match failure {
            Failure::Environment(text) if text.contains(&*cache.root().to_string_lossy()) => {
                Failure::Environment(format!("{text}; name another folder for compiled programs with --cache DIR"))
            }
            other => other,
        })?;
        driver::session(&folder, self.threads())
    }

    /// Makes sure that the device exists.
    pub fn device(&self) -> Result<(), Failure> {
        let cuda = self
            .device
            .strip_prefix("cuda")
            .is_some_and(|rest| rest.is_empty() || rest.strip_prefix(':').is_some_and(|n| n.parse::<u32>().is_ok()));
        match self.device.as_str() {
            "cpu" => Ok(()),
            _ if cuda => Err(Failure::Environment(format!(
                "device {}: this netc is built without CUDA; --device cpu is what it can run on",
                self.device
            ))),
            other => Err(Failure::Usage(format!("unknown device `{other}`: there is cpu, and cuda:N"))),
        }
    }
}
