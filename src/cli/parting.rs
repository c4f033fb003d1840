//! `netc diff --run`: where the numbers of two networks part.

use super::diff::{Diff, cut, wrapped};
use super::machine::present;
use super::output::counted;
use super::progress::Quiet;
use crate::check::report::{Column, columns};
use crate::check::{Layer, Network};
use crate::compare::{Comparison, Difference, Pair, sizes};
use crate::driver::Failure;
use crate::graph::layer_output;
use netc_runtime::Error;
use netc_runtime::checkpoint::load_weights;
use netc_runtime::contrast::{Distance, Images, contrast};
use netc_runtime::session::Session;
use serde_json::{Value, json};
use std::path::Path;

/// Images of a random batch.
const RANDOM: usize = 4;

/// Images in a batch at most.
const BATCH: usize = 16;

/// Relative distances up to this are put down to rounding.
const ROUNDING: f64 = 1e-5;

/// What running two networks showed.
pub(super) struct Parting<'a> {
    /// On what they ran, with which weights.
    conditions: String,
    images: usize,
    /// The layers of both in order.
    rows: Vec<Row<'a>>,
    /// The first row whose numbers are not all the same, be it by rounding.
    unequal: Option<usize>,
    /// The first row whose numbers or shapes are others.
    first: Option<usize>,
    /// Where the reasons are looked for: at `first`; if no difference is there, at `unequal`.
    reason: Option<usize>,
    /// The differences there.
    causes: Vec<&'a Difference>,
}

/// A layer with its partner.
struct Row<'a> {
    layers: [Option<&'a Layer>; 2],
    /// Whether the other network has it at another place.
    moved: bool,
    /// None where there is no partner, or one of another shape.
    distance: Option<Distance>,
}

/// Runs two networks on the images that the command line asks for.
pub(super) fn run<'a>(
    arguments: &Diff,
    networks: [&'a Network; 2],
    found: &'a Comparison,
) -> Result<Parting<'a>, Failure> {
    let (machine, seed) = (&arguments.machine, arguments.seed.unwrap_or(0));
    machine.device()?;
    present(arguments.weights.iter().chain(&arguments.inputs))?;
    let random = arguments.inputs.is_empty();
    let batch = if random { RANDOM } else { arguments.inputs.len().min(BATCH) };
    let [a, b] = networks.map(|network| machine.session_with_layers(network, batch));
    let (mut a, mut b) = (a?, b?);
    match &arguments.weights {
        Some(weights) => {
            load(&mut a, weights, "A", &arguments.a)?;
            load(&mut b, weights, "B", &arguments.b)?;
        }
        None => {
            a.init(seed)?;
            b.init(seed)?;
        }
    }
    let row = |pair: &Pair| {
        let layers = [0, 1].map(|side| pair[side].map(|id| networks[side].layer(id)));
        let moved = |d: &Difference| d.setting == "order" && layers.iter().flatten().any(|layer| layer.name == d.place);
        Row { layers, moved: found.differences.iter().any(moved), distance: None }
    };
    let mut rows: Vec<Row<'a>> = found.pairs.iter().map(row).collect();
    if arguments.weights.is_none() {
        rows.iter().filter_map(Row::both).for_each(|pair| share(&a, &mut b, pair));
    }
    let images = if random { Images::Random(seed) } else { Images::Files(&arguments.inputs) };
    let mut comparable: Vec<&mut Row<'a>> = rows.iter_mut().filter(|row| row.of_one_shape()).collect();
    let names: Vec<[String; 2]> = comparable.iter().filter_map(|row| row.both()).map(outputs).collect();
    let (images, distances) = contrast([&mut a, &mut b], &images, &names, &mut Quiet::default())?;
    for (row, distance) in comparable.iter_mut().zip(distances) {
        row.distance = Some(distance);
    }
    let first = rows.iter().position(Row::parts);
    let unequal = rows.iter().position(|row| !row.same() && row.both().is_some());
    let at = |row: usize| match found.pairs[row] {
        [Some(x), Some(y)] => found.at(networks, [x, y]),
        _ => Vec::new(),
    };
    let reason = first.filter(|&first| !at(first).is_empty()).or(unequal);
    let causes = reason.map_or(Vec::new(), at);
    let seen = match random {
        true => format!("{} (seed {seed})", counted(images, "random image")),
        false => counted(images, "image"),
    };
    let weights = match &arguments.weights {
        Some(path) => format!("the weights of {}", path.display()),
        None => format!("A's initial weights (seed {seed}) in both"),
    };
    let conditions = format!("run on {seen} with {weights}");
    Ok(Parting { conditions, images, rows, unequal, first, reason, causes })
}

fn outputs(pair: [&Layer; 2]) -> [String; 2] {
    pair.map(|layer| layer_output(&layer.name))
}

/// Loads a weights file and says of one that does not fit for which network it was wanted.
fn load(session: &mut Session, weights: &Path, side: &str, spec: &Path) -> Result<(), Failure> {
    load_weights(session, weights).map_err(|error| match error {
        Error::Mismatch { .. } => {
            Failure::Data(format!("{error}\n  = both networks take these weights; this is {side}, {}", spec.display()))
        }
        other => other.into(),
    })
}

/// Gives the second of two layers the weights of the first, as far as they have the same shapes.
fn share(a: &Session, b: &mut Session, [left, right]: [&Layer; 2]) {
    for p in &left.params {
        let partner = right.params.iter().find(|q| q.name == p.name && q.shape == p.shape);
        let from = a.state(&format!("{}.{}", left.name, p.name));
        let to = partner.and_then(|q| b.state_mut(&format!("{}.{}", right.name, q.name)));
        if let (Some(from), Some(to)) = (from, to) {
            to.copy_from_slice(from);
        }
    }
}

impl<'a> Row<'a> {
    fn both(&self) -> Option<[&'a Layer; 2]> {
        Some([self.layers[0]?, self.layers[1]?])
    }

    fn of_one_shape(&self) -> bool {
        self.both().is_some_and(|[left, right]| left.shape == right.shape)
    }

    fn same(&self) -> bool {
        self.distance.is_some_and(|distance| distance.same)
    }

    /// Whether the numbers or shapes of a pair are others.
    fn parts(&self) -> bool {
        match self.distance {
            Some(distance) => distance.relative() > ROUNDING,
            None => self.both().is_some(),
        }
    }

    /// The layer's name: both where they differ, with `between` between them.
    fn name(&self, between: &str) -> String {
        joined(self.layers.map(|layer| layer.map(|layer| layer.name.clone())), between)
    }

    fn cells(&self) -> Vec<String> {
        let shape = joined(self.layers.map(|layer| layer.map(|layer| sizes(&layer.shape))), " / ");
        let (largest, relative) = match (self.distance, self.layers) {
            (Some(distance), _) if distance.same => ("same".to_string(), String::new()),
            (Some(distance), _) => (number(distance.largest), number(distance.relative())),
            (None, [Some(_), Some(_)]) => ("other shape".to_string(), String::new()),
            (None, [Some(_), None]) if self.moved => ("elsewhere in B".to_string(), String::new()),
            (None, [None, _]) if self.moved => ("elsewhere in A".to_string(), String::new()),
            (None, [Some(_), None]) => ("only in A".to_string(), String::new()),
            (None, [None, _]) => ("only in B".to_string(), String::new()),
        };
        vec![cut(&self.name(" / ")), shape, largest, relative]
    }

    fn json(&self) -> Value {
        let [a, b] = self.layers;
        let name = |layer: Option<&Layer>| layer.map(|layer| layer.name.clone());
        let shape = |layer: Option<&Layer>| layer.map(|layer| layer.shape.clone());
        json!({
            "a": name(a),
            "b": name(b),
            "shapes": [shape(a), shape(b)],
            "same": self.same(),
            "largest": self.distance.map(|distance| distance.largest),
            "relative_rms": self.distance.map(|distance| distance.relative()),
        })
    }
}

/// Two digits of a number of any size.
fn number(x: f64) -> String {
    if !(1e-3..1e3).contains(&x) {
        return format!("{x:.1e}");
    }
    let decimals = 1 - x.log10().floor() as i32;
    format!("{x:.*}", decimals.max(0) as usize)
}

/// One text for both sides if they agree or only one has any.
fn joined(sides: [Option<String>; 2], between: &str) -> String {
    match sides {
        [Some(a), Some(b)] if a != b => format!("{a}{between}{b}"),
        [Some(one), _] | [None, Some(one)] => one,
        [None, None] => String::new(),
    }
}

impl Parting<'_> {
    /// For people: a row a layer, and a sentence.
    pub(super) fn text(&self) -> String {
        let mut rows = vec![["layer", "output", "largest apart", "relative rms"].map(String::from).to_vec()];
        rows.extend(self.rows.iter().map(Row::cells));
        let table = columns(&rows, &[Column::Left, Column::Left, Column::Right, Column::Right]);
        format!("\n{}\n{table}\n{}", wrapped(&self.conditions), wrapped(&self.sentence()))
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let rows: Vec<Value> = self.rows.iter().map(Row::json).collect();
        let causes: Vec<Value> = self
            .causes
            .iter()
            .map(|d| json!({ "place": d.place, "setting": d.setting, "a": d.sides[0], "b": d.sides[1] }))
            .collect();
        json!({
            "images": self.images,
            "layers": rows,
            "first_unequal": self.unequal.map(|row| self.rows[row].json()),
            "first": self.first.map(|row| self.rows[row].json()),
            "causes": causes,
            "verdict": self.sentence(),
        })
    }

    /// Where the numbers part, and what differs there.
    fn sentence(&self) -> String {
        let Some(unequal) = self.unequal.map(|row| &self.rows[row]) else {
            return "The numbers are the same in every layer that both have.".to_string();
        };
        let causes = |row: &Row<'_>| {
            let name = row.name(" / ");
            let mut told: Vec<String> = self.causes.iter().map(|d| cause(d, &name)).collect();
            told.extend(row.both().and_then(own_weights));
            if told.is_empty() { "no difference is listed there".to_string() } else { told.join("; ") }
        };
        let Some(first) = self.first.map(|row| &self.rows[row]) else {
            let relative = |row: &Row<'_>| row.distance.map_or(0.0, |distance| distance.relative());
            let farthest = self.rows.iter().map(|row| (relative(row), row)).max_by(|x, y| x.0.total_cmp(&y.0));
            let (most, at) = farthest.map_or((0.0, unequal), |farthest| farthest);
            return format!(
                "The numbers differ by no more than rounding: by {} of their rms at most, at {}, and first at {}: {}.",
                number(most),
                at.name(" / "),
                unequal.name(" / "),
                causes(unequal)
            );
        };
        let what = if first.of_one_shape() { "numbers" } else { "shapes" };
        let parted = format!("The {what} first part at {}", first.name(" / "));
        if self.reason == self.first {
            return format!("{parted}: {}.", causes(first));
        }
        format!("{parted}, and differ by less from {} on: {}.", unequal.name(" / "), causes(unequal))
    }
}

/// A difference in words, at the layer called `place`.
fn cause(d: &Difference, place: &str) -> String {
    let [a, b] = d.sides.each_ref().map(|side| if side.is_empty() { "not set" } else { side });
    match (d.setting.as_str(), d.sides[0].is_empty()) {
        ("layer", false) => format!("only A has {} ({a})", d.place),
        ("layer", true) => format!("only B has {} ({b})", d.place),
        ("order", _) => format!("{} stands {a} in A, {b} in B", d.place),
        ("from", _) => format!("it reads {a} in A, {b} in B"),
        (setting, _) if d.place == place => format!("{setting} is {a} in A, {b} in B"),
        (setting, _) => format!("{setting} of {} is {a} in A, {b} in B", d.place),
    }
}

/// What is said of layers whose weights cannot be the same.
fn own_weights([left, right]: [&Layer; 2]) -> Option<String> {
    let partner = |name: &str| right.params.iter().find(|q| q.name == name);
    let (p, q) = left.params.iter().find_map(|p| Some((p, partner(&p.name).filter(|q| q.shape != p.shape)?)))?;
    Some(format!(
        "so {} is {} in A, {} in B, and cannot hold the same numbers",
        p.name,
        sizes(&p.shape),
        sizes(&q.shape)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_two_digits() {
        for (x, text) in [(5.66, "5.7"), (0.0213, "0.021"), (10.2, "10"), (3.04e-7, "3.0e-7"), (12345.0, "1.2e4")] {
            assert_eq!(number(x), text);
        }
    }
}
