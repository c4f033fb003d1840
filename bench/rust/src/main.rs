//! A process that holds one peer in Rust and measures it when told to, as `worker.py` does; see there.

mod burn;
mod candle;
mod network;
mod tract;

use anyhow::{Context, Result, bail, ensure};
use network::{Weights, floats};
use serde::Deserialize;
use std::path::PathBuf;
use std::time::Instant;

/// A work as `compare.py` describes it.
#[derive(Deserialize)]
struct Work {
    peer: String,
    mode: String,
    batch: usize,
    threads: usize,
    folder: PathBuf,
    output: PathBuf,
}

#[derive(Deserialize)]
struct Question {
    seconds: f64,
    calls: usize,
}

/// What is measured.
trait Peer {
    /// Words for what was chosen.
    fn settings(&self) -> String;
    /// What the clock is on.
    fn run(&mut self) -> Result<()>;
    /// The last run's logits.
    fn output(&self) -> Result<Vec<f32>>;
}

/// Seconds of each call, after a warm-up of a tenth of the time and a call at least.
fn measure(peer: &mut dyn Peer, question: &Question) -> Result<Vec<f64>> {
    let start = Instant::now();
    loop {
        peer.run()?;
        if start.elapsed().as_secs_f64() >= question.seconds / 10.0 {
            break;
        }
    }
    let mut taken = Vec::new();
    let start = Instant::now();
    let mut last = start;
    while (last - start).as_secs_f64() < question.seconds || taken.len() < question.calls {
        peer.run()?;
        let now = Instant::now();
        taken.push((now - last).as_secs_f64());
        last = now;
    }
    Ok(taken)
}

fn main() -> Result<()> {
    let path = std::env::args().nth(1).context("usage: peers WORK.json")?;
    let work: Work = serde_json::from_slice(&std::fs::read(&path).with_context(|| path.clone())?)?;
    ensure!(work.mode == "infer", "{} is measured in inference only", work.peer);
    // The peers that share rayon's own pool take its number of threads from the environment too.
    rayon::ThreadPoolBuilder::new().num_threads(work.threads).build_global()?;
    let values = floats(&std::fs::read(work.folder.join("images.f32"))?);
    let images = Weights { shape: vec![work.batch, 3, 224, 224], values };
    let mut peer: Box<dyn Peer> = match work.peer.as_str() {
        "tract" => Box::new(tract::Run::new(&work.folder, &images, work.threads)?),
        "candle" => Box::new(candle::Run::new(&work.folder, &images)?),
        "burn" => Box::new(burn::Run::new(&work.folder, &images)?),
        other => bail!("no peer {other}"),
    };
    peer.run()?;
    std::fs::write(&work.output, peer.output()?.iter().flat_map(|logit| logit.to_le_bytes()).collect::<Vec<_>>())?;
    println!("{}", serde_json::json!({"ready": true, "settings": peer.settings()}));
    for line in std::io::stdin().lines() {
        let taken = measure(&mut *peer, &serde_json::from_str(&line?)?)?;
        println!("{}", serde_json::json!({"seconds": taken}));
    }
    Ok(())
}
