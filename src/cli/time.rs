//! `netc time`: how long a network takes, in total and by kernel.

use super::arguments::{Format, Mode, Time};
use super::output::{Output, counted, duration};
use crate::driver::{self, Cache, Failure};
use netc_runtime::random::Stream;
use netc_runtime::session::Session;
use std::time::{Duration, Instant};

/// Minimum, median and maximum of some times in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    fn of(mut seconds: Vec<f64>) -> Spread {
        seconds.sort_by(f64::total_cmp);
        let at = |i: usize| seconds.get(i).copied().unwrap_or(0.0);
        let (below, above) = (seconds.len().saturating_sub(1) / 2, seconds.len() / 2);
        Spread { min: at(0), median: (at(below) + at(above)) / 2.0, max: at(seconds.len().saturating_sub(1)) }
    }

    fn json(self) -> serde_json::Value {
        serde_json::json!({ "min": self.min, "median": self.median, "max": self.max })
    }
}

/// Measures the network on initial weights and an input of random numbers.
pub fn time(arguments: &Time, output: &mut Output) -> Result<(), Failure> {
    let machine = &arguments.machine;
    machine.device()?;
    let checked = driver::check(driver::read(&arguments.spec.path, &arguments.spec.sets)?)?;
    let train = arguments.mode == Mode::Train;
    let options =
        super::compile::options(&checked, Some(arguments.mode), arguments.batch, "cpu", arguments.machine.algorithm)?;
    let network = checked.network;
    // Before the threads of the session are there, which would be in the way.
    let speed = driver::machine(&Cache::at(machine.cache.as_deref())?).on(machine.threads());
    let forecast = driver::forecast(&network, &options)?;
    let mut session = machine.session(&network, &options)?;
    session.init(0)?;
    let function = if train { "train" } else { "infer" };
    let least = forecast.function(function).map_or(0.0, |effort| effort.least_seconds(&speed));
    let mut stream = Stream::new(0, [0; 3]);
    for x in session.batch_mut(function)? {
        *x = 2.0 * stream.unit() - 1.0;
    }
    // The first call takes memory from the system and warms caches; it does not count.
    call(&mut session, function, 0)?;
    let mut totals = Vec::new();
    for step in 1..=arguments.repeat {
        let start = Instant::now();
        call(&mut session, function, step as u64)?;
        totals.push(start.elapsed().as_secs_f64());
    }
    let total = Spread::of(totals);
    let prefix = format!("{}_", session.program().function(function)?.symbol);
    let kernels = session.program().function(function)?.kernels.clone();
    let mut times = vec![Vec::new(); kernels.len()];
    for _ in 0..arguments.repeat {
        session.run_kernels(function, |index, time: Duration| {
            if let Some(times) = times.get_mut(index) {
                times.push(time.as_secs_f64());
            }
        })?;
    }
    let times: Vec<Spread> = times.into_iter().map(Spread::of).collect();
    match arguments.spec.format {
        Format::Json => {
            let rows: Vec<serde_json::Value> = kernels
                .iter()
                .zip(&times)
                .map(|(kernel, time)| {
                    serde_json::json!({
                        "symbol": kernel.symbol, "layers": kernel.layers, "macs": kernel.macs, "seconds": time.json(),
                    })
                })
                .collect();
            output.json(&serde_json::json!({
                "network": network.name,
                "mode": function,
                "batch": options.batch,
                "threads": machine.threads(),
                "repeat": arguments.repeat,
                "memory_bytes": session.memory_bytes(),
                "step_seconds": total.json(),
                "least_seconds": least,
                "kernels": rows,
            }))
        }
        Format::Text => {
            let sum: f64 = times.iter().map(|t| t.median).sum();
            output.line(&format!("{:36} {:>11} {:>6} {:>9}  {}", "kernel", "median", "share", "GFLOP/s", "layers"))?;
            for (kernel, time) in kernels.iter().zip(&times) {
                let name = kernel.symbol.strip_prefix(&prefix).unwrap_or(&kernel.symbol);
                let speed = 2.0 * kernel.macs as f64 / time.median.max(1e-9) / 1e9;
                let speed = if kernel.macs == 0 { "-".to_owned() } else { format!("{speed:.1}") };
                let share = 100.0 * time.median / sum.max(1e-12);
                output.line(&format!(
                    "{name:36} {:>11} {share:>5.1}% {speed:>9}  {}",
                    duration(time.median),
                    kernel.layers.join(", ")
                ))?;
            }
            output.line(&format!(
                "{} {function}, batch {}, {}: median {} (min {}, max {} of {}); {:.1} images/s",
                network.name,
                options.batch,
                counted(machine.threads(), "thread"),
                duration(total.median),
                duration(total.min),
                duration(total.max),
                arguments.repeat,
                options.batch as f64 / total.median.max(1e-12)
            ))?;
            output.line(&format!(
                "at least {} by arithmetic and memory at full speed: {:.0} % of that",
                duration(least),
                100.0 * least / total.median.max(1e-12)
            ))
        }
    }
}

fn call(session: &mut Session, function: &str, step: u64) -> Result<(), Failure> {
    if function == "train" {
        // A rate of 0 leaves the weights as they are, so that every step does the same work.
        session.train(0.0, step, 0)?;
    } else {
        session.infer()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Spread::of(vec![3.0, 1.0, 2.0]), Spread { min: 1.0, median: 2.0, max: 3.0 });
        assert_eq!(Spread::of(vec![4.0, 1.0, 2.0, 3.0]), Spread { min: 1.0, median: 2.5, max: 4.0 });
        assert_eq!(Spread::of(vec![5.0]), Spread { min: 5.0, median: 5.0, max: 5.0 });
    }
}
