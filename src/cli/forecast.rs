//! What a network will take, as `netc check` and others say it.

use super::arguments::{Algorithm, Mode};
use super::output::{Output, bytes, counted, duration};
use crate::check::report::{Column, columns, scaled};
use crate::driver::{self, Checked, Failure};
use crate::forecast::Forecast;
use netc_runtime::speed::Machine;

/// What a network takes for one purpose.
pub struct Use {
    /// To train or to run it.
    pub train: bool,
    /// Images in a batch.
    pub batch: usize,
    /// The forecast.
    pub forecast: Forecast,
}

/// What running and, if the spec says how, training takes; or one of them.
pub fn uses(checked: &Checked, mode: Option<Mode>, batch: Option<usize>) -> Result<Vec<Use>, Failure> {
    let modes = match mode {
        Some(mode) => vec![mode],
        None => {
            [Some(Mode::Infer), checked.network.train.as_ref().map(|_| Mode::Train)].into_iter().flatten().collect()
        }
    };
    let options: Vec<_> = modes
        .into_iter()
        .map(|mode| super::compile::options(checked, Some(mode), batch, "cpu", Algorithm::Auto))
        .collect::<Result<_, _>>()?;
    let forecasts = driver::forecasts(&checked.network, &options)?;
    let used = options.iter().zip(forecasts);
    Ok(used.map(|(options, forecast)| Use { train: options.train, batch: options.batch, forecast }).collect())
}

impl Use {
    /// Its word: `infer` or `train`.
    pub fn mode(&self) -> &'static str {
        if self.train { "train" } else { "infer" }
    }

    /// Multiply-adds, bytes moved and, if the machine is known, the least time.
    fn effort(&self, machine: Option<&Machine>, threads: usize) -> (u64, u64, Option<f64>) {
        self.forecast.function(self.mode()).map_or((0, 0, None), |effort| {
            let seconds = machine.map(|machine| effort.least_seconds(&machine.on(threads)));
            (effort.macs(), effort.moved(), seconds)
        })
    }

    /// The least time of a batch, if the machine is known.
    pub fn least_seconds(&self, machine: Option<&Machine>, threads: usize) -> Option<f64> {
        self.effort(machine, threads).2
    }

    /// For programs.
    pub fn json(&self, machine: Option<&Machine>, threads: usize) -> serde_json::Value {
        let (macs, moved, seconds) = self.effort(machine, threads);
        let memory = &self.forecast.memory;
        serde_json::json!({
            "mode": self.mode(),
            "batch": self.batch,
            "threads": threads,
            "bytes": memory.bytes(threads),
            "state_bytes": memory.state,
            "arena_bytes": memory.arena,
            "port_bytes": memory.ports,
            "scratch_bytes": memory.scratch * threads as u64,
            "macs": macs,
            "moved_bytes": moved,
            "least_seconds": seconds,
        })
    }
}

/// A row a use: memory, work and the least time.
pub fn table(uses: &[Use], machine: Option<&Machine>, threads: usize) -> String {
    let time = format!("time on {}", counted(threads, "thread"));
    let heads = ["", "batch", "memory", "MACs", "moved", &time];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for used in uses {
        let (macs, moved, seconds) = used.effort(machine, threads);
        rows.push(vec![
            used.mode().to_owned(),
            used.batch.to_string(),
            bytes(used.forecast.memory.bytes(threads)),
            scaled(macs),
            bytes(moved),
            seconds.map_or_else(|| "not measured".to_owned(), |seconds| format!("at least {}", duration(seconds))),
        ]);
    }
    use Column::{Left, Right};
    columns(&rows, &[Left, Right, Right, Right, Right, Right])
}

/// A row a kernel of one use, as `netc time` has them.
pub fn kernels(used: &Use, machine: Option<&Machine>, threads: usize) -> String {
    let mut rows = vec![["kernel", "MACs", "read", "written", "at least", "layers"].map(str::to_owned).to_vec()];
    for step in used.forecast.function(used.mode()).iter().flat_map(|effort| &effort.steps) {
        let seconds = machine.map(|machine| duration(step.least_seconds(&machine.on(threads))));
        rows.push(vec![
            step.name.clone(),
            if step.macs == 0 { String::new() } else { scaled(step.macs) },
            bytes(step.read),
            bytes(step.written),
            seconds.unwrap_or_default(),
            step.layers.join(", "),
        ]);
    }
    use Column::{Left, Right};
    columns(&rows, &[Left, Right, Right, Right, Right, Left])
}

/// Says how a time can be had, if none was.
pub fn hint(machine: Option<&Machine>, output: &mut Output) -> Result<(), Failure> {
    match machine {
        Some(_) => Ok(()),
        None => output.line("the speed of this machine: netc check --measure finds it out, once, in a second"),
    }
}
