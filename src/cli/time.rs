//! `netc time`: how long a network takes, in total and by layer, and how near to the machine's limit that is.

use super::arguments::{Format, Mode, Time};
use super::output::{Output, counted, duration};
use super::profile::{Profile, Spread, nanoseconds, seconds};
use crate::driver::{self, Cache, Failure};
use crate::picture;
use netc_runtime::random::Stream;
use netc_runtime::session::Session;
use std::path::Path;
use std::time::Instant;

/// Measures the network on initial weights and an input of random numbers.
pub fn time(arguments: &Time, output: &mut Output) -> Result<(), Failure> {
    let machine = &arguments.machine;
    machine.device()?;
    let checked = driver::check(driver::read(&arguments.spec.path, &arguments.spec.sets)?)?;
    let train = arguments.mode == Mode::Train;
    let options =
        super::compile::options(&checked, Some(arguments.mode), arguments.batch, "cpu", arguments.machine.algorithm)?;
    let network = checked.network;
    let function = if train { "train" } else { "infer" };
    let forecast = driver::forecast(&network, &options)?;
    let effort = forecast.function(function).ok_or_else(|| Failure::Bug(format!("no forecast of {function}")))?;
    // Before the threads of the session are there, which would be in the way.
    let speed = driver::measure_on(&Cache::at(machine.cache.as_deref())?, machine.threads());
    let mut session = machine.session(&network, &options)?;
    session.init(0)?;
    let mut stream = Stream::new(0, [0; 3]);
    for x in session.batch_mut(function)? {
        *x = 2.0 * stream.unit() - 1.0;
    }
    let manifest = session.program().function(function)?;
    let symbols: Vec<String> = manifest.kernels.iter().map(|kernel| kernel.symbol.clone()).collect();
    let told = effort.steps.iter().map(|step| format!("{}_{}", manifest.symbol, step.name));
    if !told.eq(symbols.iter().cloned()) {
        return Err(Failure::Bug(format!("the kernels of {function} are not those of its forecast")));
    }
    let region = session.pool().empty_region();
    let (whole, kernels) = measure(&mut session, function, symbols.len(), arguments.repeat)?;
    let layers = network.layers().map(|(_, layer)| layer.name.as_str());
    let profile = Profile::new(layers, &effort.steps, kernels, whole, &speed);
    let least = effort.least_seconds(&speed);
    let heading =
        format!("{} {function}, batch {}, {}", network.name, options.batch, counted(machine.threads(), "thread"));
    let summary = [
        format!(
            "median {} (min {}, max {} of {}); {:.1} images/s",
            duration(seconds(whole.median)),
            duration(seconds(whole.min)),
            duration(seconds(whole.max)),
            arguments.repeat,
            options.batch as f64 / seconds(whole.median.max(1))
        ),
        format!(
            "peak {:.0} GF/s, memory {:.0} GB/s (measured now, {})",
            speed.flops / 1e9,
            speed.memory() / 1e9,
            counted(speed.threads, "thread")
        ),
        format!(
            "an empty parallel region takes {} (measured now, {})",
            duration(region.as_secs_f64()),
            counted(machine.threads(), "thread")
        ),
        format!(
            "at least {} by arithmetic and memory at full speed: {:.0} % of that",
            duration(least),
            100.0 * least / seconds(whole.median.max(1))
        ),
    ];
    let mut svg = None;
    if let Some(path) = &arguments.picture {
        let drawn = picture::chart_svg(&picture::chart(&profile.bars(&heading, &summary)));
        if path == Path::new("-") {
            svg = Some(drawn);
        } else {
            driver::write_text(path, &drawn)?;
        }
    }
    match arguments.spec.format {
        Format::Json => {
            let mut value = profile.json();
            value["network"] = network.name.as_str().into();
            value["mode"] = function.into();
            value["batch"] = options.batch.into();
            value["threads"] = machine.threads().into();
            value["repeat"] = arguments.repeat.into();
            value["memory_bytes"] = session.memory_bytes().into();
            value["least_seconds"] = least.into();
            value["empty_region_ns"] = nanoseconds(region).into();
            for (kernel, symbol) in value["kernels"].as_array_mut().into_iter().flatten().zip(symbols) {
                kernel["symbol"] = symbol.into();
            }
            if let Some(svg) = svg {
                value["svg"] = svg.into();
            }
            output.json(&value)
        }
        Format::Text => {
            if let Some(svg) = svg {
                return output.write(&svg);
            }
            output.write(&if arguments.kernels { profile.kernel_table(train) } else { profile.table(train) })?;
            output.write("\n")?;
            output.write(&format!("{heading}: "))?;
            summary.iter().try_for_each(|line| output.line(line))
        }
    }
}

/// Times of the whole function and of each of its kernels, taken in turn, so that both meet the machine in the same state.
fn measure(
    session: &mut Session,
    function: &str,
    kernels: usize,
    repeat: usize,
) -> Result<(Spread, Vec<Spread>), Failure> {
    // The first call takes memory from the system and warms caches; it does not count.
    call(session, function, 0)?;
    let mut whole = Vec::new();
    let mut times = vec![Vec::new(); kernels];
    for step in 1..=repeat {
        let start = Instant::now();
        call(session, function, step as u64)?;
        whole.push(nanoseconds(start.elapsed()));
        session.run_kernels(function, |index, time| {
            if let Some(times) = times.get_mut(index) {
                times.push(nanoseconds(time));
            }
        })?;
    }
    Ok((Spread::of(whole), times.into_iter().map(Spread::of).collect()))
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
