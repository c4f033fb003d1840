//! Where a network's time goes: kernels' times charged to layers, forward and backward.

use crate::check::report::{Column, columns};
use crate::forecast::{Pass, Payer, StepEffort};
use crate::picture::{Bar, BarRow, Bars, Unit, shortened};
use netc_runtime::speed::Speed;
use serde_json::{Value, json};
use std::time::Duration;

/// Characters of a layer's name in a table.
const NAME: usize = 40;

/// Minimum, median and maximum of some times in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    /// The shortest.
    pub min: u64,
    /// That in the middle, or in the middle of the two there.
    pub median: u64,
    /// The longest.
    pub max: u64,
}

impl Spread {
    /// Of these times.
    pub fn of(mut times: Vec<u64>) -> Spread {
        times.sort_unstable();
        let at = |i: usize| times.get(i).copied().unwrap_or(0);
        let (below, above) = (times.len().saturating_sub(1) / 2, times.len() / 2);
        Spread { min: at(0), median: at(below).midpoint(at(above)), max: at(times.len().saturating_sub(1)) }
    }

    fn json(self) -> Value {
        json!({ "min": seconds(self.min), "median": seconds(self.median), "max": seconds(self.max) })
    }
}

/// Nanoseconds as seconds.
pub fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}

/// A time as nanoseconds.
pub fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Times of a function and of its kernels, and who is charged with them.
#[derive(Debug)]
pub struct Profile<'a> {
    /// Rows in the order of the layers, then those that are no layers; each kernel is in one of them, once.
    rows: Vec<Row>,
    steps: &'a [StepEffort],
    kernels: Vec<Spread>,
    whole: Spread,
    speed: &'a Speed,
}

/// What is charged to a layer, the loss or the optimizer.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Row {
    /// Who is charged; others than layers in parentheses.
    pub name: String,
    /// In the forward pass.
    pub forward: Part,
    /// In the backward pass.
    pub backward: Part,
}

/// Some kernels together.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Part {
    /// The kernels, by index.
    pub kernels: Vec<usize>,
    /// The layers whose work they do beside that of the one that is charged.
    pub along: Vec<String>,
    /// Nanoseconds.
    pub time: u64,
    /// Seconds that the machine needs at least.
    pub least: f64,
    /// Multiply-adds by the definition.
    pub macs: u64,
    /// Multiply-adds of the products that they do.
    pub done: u64,
    /// Bytes that they read, each kernel each of its operands once.
    pub read: u64,
    /// Bytes that they write.
    pub written: u64,
}

impl Part {
    fn add(&mut self, kernel: usize, step: &StepEffort, time: u64, speed: &Speed) {
        self.kernels.push(kernel);
        for layer in &step.charge.along {
            if !self.along.contains(layer) {
                self.along.push(layer.clone());
            }
        }
        self.time += time;
        self.least += step.least_seconds(speed);
        self.macs += step.macs;
        self.done += step.done;
        self.read += step.read;
        self.written += step.written;
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.kernels.is_empty()
    }

    /// Floating-point operations a second by the definition, two for a multiply-add.
    pub fn flops(&self) -> f64 {
        2.0 * self.macs as f64 / self.seconds()
    }

    /// The part of the machine's floating-point operations that was done.
    pub fn of_peak(&self, speed: &Speed) -> f64 {
        2.0 * self.done as f64 / self.seconds() / speed.flops.max(1.0)
    }

    /// Bytes that they read and write.
    pub fn moved(&self) -> u64 {
        self.read + self.written
    }

    /// Bytes moved a second.
    pub fn bandwidth(&self) -> f64 {
        self.moved() as f64 / self.seconds()
    }

    /// The part of the memory's speed that was reached; more than all of it where caches helped.
    pub fn of_memory(&self, speed: &Speed) -> f64 {
        self.bandwidth() / speed.memory().max(1.0)
    }

    /// The part of the machine's limit that was reached.
    pub fn of_limit(&self) -> f64 {
        self.least / self.seconds()
    }

    /// Seconds, never none.
    fn seconds(&self) -> f64 {
        seconds(self.time.max(1))
    }

    fn json(&self, speed: &Speed) -> Value {
        json!({
            "time_ns": self.time,
            "least_seconds": self.least,
            "macs": self.macs,
            "done_macs": self.done,
            "read_bytes": self.read,
            "written_bytes": self.written,
            "flops_per_second": self.flops(),
            "fraction_of_peak": self.of_peak(speed),
            "bytes_per_second": self.bandwidth(),
            "fraction_of_memory": self.of_memory(speed),
            "fraction_of_limit": self.of_limit(),
        })
    }
}

impl<'a> Profile<'a> {
    /// Charges the median of each kernel's times as its step's [`Charge`](crate::forecast::Charge) says.
    pub fn new<'n>(
        layers: impl Iterator<Item = &'n str>,
        steps: &'a [StepEffort],
        kernels: Vec<Spread>,
        whole: Spread,
        speed: &'a Speed,
    ) -> Profile<'a> {
        let mut payers: Vec<Payer> = layers.map(|name| Payer::Layer(name.to_owned())).collect();
        payers.extend([Payer::Loss, Payer::Optimizer, Payer::Other]);
        let mut rows: Vec<Row> = payers.iter().map(|payer| Row { name: name(payer), ..Row::default() }).collect();
        for (kernel, (step, time)) in steps.iter().zip(&kernels).enumerate() {
            let row = payers.iter().position(|payer| *payer == step.charge.to).unwrap_or(payers.len() - 1);
            rows[row].part_mut(step.charge.pass).add(kernel, step, time.median, speed);
        }
        rows.retain(|row| !(row.forward.is_empty() && row.backward.is_empty()));
        Profile { rows, steps, kernels, whole, speed }
    }

    /// The kernels that are `chosen`, together.
    fn part(&self, chosen: impl Fn(&StepEffort) -> bool) -> Part {
        let mut part = Part::default();
        for (kernel, (step, time)) in self.steps.iter().zip(&self.kernels).enumerate() {
            if chosen(step) {
                part.add(kernel, step, time.median, self.speed);
            }
        }
        part
    }

    /// Nanoseconds of the whole that no kernel took; negative if the kernels took longer one by one.
    fn between(&self) -> i64 {
        self.whole.median as i64 - self.part(|_| true).time as i64
    }

    /// Why there is less than nothing between kernels, if so.
    fn why_between(&self) -> &'static str {
        if self.between() < 0 { "one by one, the kernels took longer than the whole" } else { "" }
    }

    /// A row a layer.
    pub fn table(&self, train: bool) -> String {
        let unit = Unit::of(self.whole.median);
        let work = [unit.name(), "GF/s", "peak", "GB/s", "memory"];
        let passes: &[&str] = if train { &["forward", "backward"] } else { &[] };
        let mut rows = Vec::new();
        if train {
            let mut heads = vec![String::new(); 3];
            passes.iter().for_each(|pass| heads.extend([pass, "", "", "", ""].map(str::to_owned)));
            rows.push(heads);
        }
        let mut heads = vec!["layer", unit.name(), "share"];
        if train {
            passes.iter().for_each(|_| heads.extend(work))
        } else {
            heads.extend(&work[1..])
        }
        heads.push("takes along");
        rows.push(heads.into_iter().map(str::to_owned).collect());
        let line = |name: &str, time: i64, parts: [&Part; 2], along: String| {
            let mut cells = vec![shortened(name, NAME)];
            cells.extend(self.time_cells(time, unit));
            for part in &parts[..if train { 2 } else { 1 }] {
                if train {
                    cells.push(if part.is_empty() { String::new() } else { unit.number(part.time as f64) });
                }
                cells.extend(self.speed_cells(part));
            }
            cells.push(along);
            cells
        };
        for row in &self.rows {
            let time = (row.forward.time + row.backward.time) as i64;
            rows.push(line(&row.name, time, [&row.forward, &row.backward], row.along()));
        }
        let passes = [Pass::Forward, Pass::Backward].map(|pass| self.part(|step| step.charge.pass == pass));
        rows.push(line("(between kernels)", self.between(), [&Part::default(); 2], self.why_between().to_owned()));
        rows.push(line("total", self.whole.median as i64, [&passes[0], &passes[1]], String::new()));
        let mut sides = vec![Column::Right; if train { 14 } else { 8 }];
        sides[0] = Column::Left;
        if let Some(last) = sides.last_mut() {
            *last = Column::Left;
        }
        columns(&rows, &sides)
    }

    /// A row a kernel, or some that do alike.
    pub fn kernel_table(&self, train: bool) -> String {
        let unit = Unit::of(self.whole.median);
        let heads = ["kernel", "charged to", unit.name(), "share", "GF/s", "peak", "GB/s", "memory", "work"];
        let mut rows = vec![heads.map(str::to_owned).to_vec()];
        let line = |name: String, payer: String, time: i64, part: &Part, work: &str| {
            let mut cells = vec![name, payer];
            cells.extend(self.time_cells(time, unit));
            cells.extend(self.speed_cells(part));
            cells.push(work.to_owned());
            cells
        };
        for (kernel, step) in self.steps.iter().enumerate().filter(|(kernel, step)| step.alike == *kernel) {
            let part = self.part(|step| step.alike == kernel);
            let times = if part.kernels.len() > 1 { format!(" ×{}", part.kernels.len()) } else { String::new() };
            let back = if train && step.charge.pass == Pass::Backward { ", backward" } else { "" };
            let payer = format!("{}{back}", shortened(&name(&step.charge.to), NAME));
            rows.push(line(format!("{}{times}", step.name), payer, part.time as i64, &part, &step.work));
        }
        let none = Part::default();
        rows.push(line("(between kernels)".to_owned(), String::new(), self.between(), &none, self.why_between()));
        rows.push(line("total".to_owned(), String::new(), self.whole.median as i64, &self.part(|_| true), ""));
        use Column::{Left, Right};
        columns(&rows, &[Left, Left, Right, Right, Right, Right, Right, Right, Left])
    }

    /// A time and its share of the whole.
    fn time_cells(&self, time: i64, unit: Unit) -> [String; 2] {
        let share = 100.0 * time as f64 / self.whole.median.max(1) as f64;
        [unit.number(time as f64), format!("{share:.1} %")]
    }

    fn speed_cells(&self, part: &Part) -> [String; 4] {
        let known = |known: bool, text: String| if known { text } else { String::new() };
        [
            known(part.macs > 0, format!("{:.1}", part.flops() / 1e9)),
            known(part.done > 0, format!("{:.0} %", 100.0 * part.of_peak(self.speed))),
            known(part.moved() > 0, format!("{:.1}", part.bandwidth() / 1e9)),
            known(part.moved() > 0, format!("{:.0} %", 100.0 * part.of_memory(self.speed))),
        ]
    }

    /// The layers' times as a picture, under a heading and the lines that say what was measured.
    pub fn bars(&self, title: &str, notes: &[String]) -> Bars {
        let bar = |part: &Part| (!part.is_empty()).then_some(Bar { time: part.time, least: Some(1e9 * part.least) });
        let mut rows: Vec<BarRow> = self
            .rows
            .iter()
            .map(|row| BarRow {
                name: row.name.clone(),
                along: marked(&row.forward.along),
                forward: bar(&row.forward),
                backward: bar(&row.backward),
            })
            .collect();
        if let Ok(time) = u64::try_from(self.between()) {
            let between = Some(Bar { time, least: None });
            let (name, along) = ("(between kernels)".to_owned(), String::new());
            rows.push(BarRow { name, along, forward: between, backward: None });
        }
        Bars { title: title.to_owned(), notes: notes.to_vec(), rows, whole: self.whole.median }
    }

    /// For programs: both tables, and what they are of.
    pub fn json(&self) -> Value {
        let layers: Vec<Value> = self.rows.iter().map(|row| row.json(self.speed)).collect();
        let kernels = self.steps.iter().zip(&self.kernels).enumerate().map(|(kernel, (step, time))| {
            let mut part = Part::default();
            part.add(kernel, step, time.median, self.speed);
            let mut value = part.json(self.speed);
            value["name"] = json!(step.name);
            value["layers"] = json!(step.layers);
            value["work"] = json!(step.work);
            value["charged_to"] = json!(name(&step.charge.to));
            value["pass"] = json!(pass(step.charge.pass));
            value["alike"] = json!(step.alike);
            value["seconds"] = time.json();
            value
        });
        json!({
            "step_seconds": self.whole.json(),
            "step_ns": self.whole.median,
            "between_kernels_ns": self.between(),
            "peak_flops_per_second": self.speed.flops,
            "peak_bytes_per_second": self.speed.memory(),
            "layers": layers,
            "kernels": kernels.collect::<Vec<_>>(),
        })
    }
}

impl Row {
    fn part_mut(&mut self, pass: Pass) -> &mut Part {
        match pass {
            Pass::Forward => &mut self.forward,
            Pass::Backward => &mut self.backward,
        }
    }

    /// What was taken along: `+relu1`, and in the backward pass.
    fn along(&self) -> String {
        match (marked(&self.forward.along), marked(&self.backward.along)) {
            (forward, backward) if backward.is_empty() => forward,
            (forward, backward) if forward.is_empty() => format!("backward {backward}"),
            (forward, backward) => format!("{forward}, backward {backward}"),
        }
    }

    fn json(&self, speed: &Speed) -> Value {
        let part = |part: &Part| {
            let mut value = part.json(speed);
            value["along"] = json!(part.along);
            value["kernels"] = json!(part.kernels);
            value
        };
        let pass = |p: &Part| if p.is_empty() { Value::Null } else { part(p) };
        json!({ "name": self.name, "forward": pass(&self.forward), "backward": pass(&self.backward) })
    }
}

fn name(payer: &Payer) -> String {
    match payer {
        Payer::Layer(name) => name.clone(),
        Payer::Loss => "(loss)".to_owned(),
        Payer::Optimizer => "(optimizer)".to_owned(),
        Payer::Other => "(other)".to_owned(),
    }
}

/// Layers that were taken along: `+relu1 +pool1`.
fn marked(layers: &[String]) -> String {
    let marked: Vec<String> = layers.iter().map(|layer| format!("+{layer}")).collect();
    marked.join(" ")
}

fn pass(pass: Pass) -> &'static str {
    match pass {
        Pass::Forward => "forward",
        Pass::Backward => "backward",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forecast::Charge;
    use netc_runtime::speed::Level;

    fn step(name: &str, to: Payer, pass: Pass, along: &[&str], alike: usize) -> StepEffort {
        let along = along.iter().map(|layer| (*layer).to_owned()).collect();
        StepEffort {
            name: name.to_owned(),
            layers: Vec::new(),
            macs: 3000,
            done: 1000,
            read: 400,
            written: 100,
            work: "work".to_owned(),
            charge: Charge { to, pass, along },
            alike,
        }
    }

    fn steps() -> Vec<StepEffort> {
        let layer = |name: &str| Payer::Layer(name.to_owned());
        vec![
            step("c1_conv", layer("c1"), Pass::Forward, &["r1"], 0),
            step("c1_conv_2", layer("c1"), Pass::Forward, &["r1"], 0),
            step("loss", Payer::Loss, Pass::Forward, &[], 2),
            step("c1_grad", layer("c1"), Pass::Backward, &["r0"], 3),
            step("r1_grad", layer("r1"), Pass::Backward, &[], 4),
            step("adam", Payer::Optimizer, Pass::Backward, &[], 5),
            step("odd", Payer::Other, Pass::Forward, &[], 6),
        ]
    }

    const TIMES: [u64; 7] = [1000, 2001, 30_003, 400_007, 5_000_011, 60_000_013, 7];

    fn speed() -> Speed {
        Speed { threads: 1, flops: 2e12, levels: vec![Level { bytes: 1, read: 1e12, copy: 5e11 }] }
    }

    fn profile<'a>(steps: &'a [StepEffort], speed: &'a Speed, whole: u64) -> Profile<'a> {
        let kernels = TIMES.iter().map(|&time| Spread::of(vec![time])).collect();
        Profile::new(["image", "r0", "c1", "r1"].into_iter(), steps, kernels, Spread::of(vec![whole]), speed)
    }

    #[test]
    fn rows_and_what_is_between_kernels_add_up_to_the_whole() {
        let (steps, speed) = (steps(), speed());
        for whole in [70_000_000, 1, 60_000_000] {
            let profile = profile(&steps, &speed, whole);
            let rows: u64 = profile.rows.iter().map(|row| row.forward.time + row.backward.time).sum();
            assert_eq!(rows as i64 + profile.between(), whole as i64);
            let mut kernels: Vec<usize> = Vec::new();
            for row in &profile.rows {
                kernels.extend(row.forward.kernels.iter().chain(&row.backward.kernels));
            }
            kernels.sort_unstable();
            assert_eq!(kernels, [0, 1, 2, 3, 4, 5, 6], "each kernel once");
            let bars = profile.bars("t", &[]);
            let drawn: u64 =
                bars.rows.iter().flat_map(|row| [row.forward, row.backward]).flatten().map(|b| b.time).sum();
            assert_eq!(drawn, whole.max(rows));
        }
    }

    #[test]
    fn rows_stand_in_the_order_of_layers_and_name_what_was_taken_along() {
        let (steps, speed) = (steps(), speed());
        let profile = profile(&steps, &speed, 70_000_000);
        let rows: Vec<(&str, String)> = profile.rows.iter().map(|row| (row.name.as_str(), row.along())).collect();
        let told = [("c1", "+r1, backward +r0"), ("r1", ""), ("(loss)", ""), ("(optimizer)", ""), ("(other)", "")];
        assert_eq!(rows, told.map(|(name, along)| (name, along.to_owned())));
    }

    #[test]
    fn fractions_are_of_what_was_measured() {
        let (steps, speed) = (steps(), speed());
        let part = profile(&steps, &speed, 70_000_000).rows[0].forward.clone();
        assert_eq!((part.time, part.macs, part.done, part.moved()), (3001, 6000, 2000, 1000));
        assert!((part.flops() - 12000.0 / 3.001e-6).abs() < 1.0);
        assert!((part.of_peak(&speed) - 4000.0 / 3.001e-6 / 2e12).abs() < 1e-12);
        assert!((part.of_memory(&speed) - 1000.0 / 3.001e-6 / 1e12).abs() < 1e-12);
        assert_eq!(part.least, 2.0 * 1e-9);
    }

    #[test]
    fn tables_line_up() {
        let (steps, speed) = (steps(), speed());
        let profile = profile(&steps, &speed, 70_000_000);
        for (table, columns) in [(profile.table(true), 13), (profile.table(false), 7), (profile.kernel_table(true), 8)]
        {
            let lines: Vec<Vec<char>> = table.lines().map(|line| line.chars().collect()).collect();
            // A column of blanks before the right edge of every column of numbers, in all lines.
            let blank = |at: usize| lines.iter().all(|line| line.get(at).is_none_or(|c| *c == ' '));
            let longest = lines.iter().map(Vec::len).max().unwrap_or(0);
            let gaps = (1..longest).filter(|&at| blank(at) && !blank(at - 1)).count();
            assert!(gaps >= columns - 1, "{gaps} gaps:\n{table}");
            assert!(lines.iter().all(|line| line.last() != Some(&' ')), "{table}");
        }
        let kernels = profile.kernel_table(true);
        assert!(kernels.contains("c1_conv ×2 ") && !kernels.contains("c1_conv_2"), "{kernels}");
        assert!(kernels.contains("c1, backward"), "{kernels}");
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Spread::of(vec![3, 1, 2]), Spread { min: 1, median: 2, max: 3 });
        assert_eq!(Spread::of(vec![4, 1, 2, 3]), Spread { min: 1, median: 2, max: 4 });
        assert_eq!(Spread::of(vec![5]), Spread { min: 5, median: 5, max: 5 });
        assert_eq!(Spread::of(Vec::new()), Spread { min: 0, median: 0, max: 0 });
    }
}
