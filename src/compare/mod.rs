//! What two networks differ in, and what each difference can change.
//!
//! Takes two [`Network`]s, gives a [`Comparison`]: layers are paired by an alignment of the two lists, so that a renamed or
//! an added layer does not make all that follow it differ. Nothing is run; where the numbers part if both are, what is
//! known of that place is in [`Comparison::at`].

mod align;
mod settings;

use crate::check::{Layer, LayerId, LayerKind, Network, Train};
use align::align;
use settings::{crop, init, recipe, resize, settings};
use std::collections::{BTreeMap, BTreeSet};

/// Everything that two networks differ in.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Names of the networks.
    pub names: [String; 2],
    /// What differs, in the order of the layers, then of the networks as a whole.
    pub differences: Vec<Difference>,
    /// Layers that have a partner.
    pub paired: usize,
    /// All layers of both in order, each with its partner.
    pub pairs: Vec<Pair>,
    /// Parameters of each.
    pub params: [u64; 2],
    /// Multiply-adds for an image of each.
    pub macs: [u64; 2],
}

/// A layer of each network, or of one of them what the other has none of.
pub type Pair = [Option<LayerId>; 2];

/// One difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The layer, or `input`, `train`, `preprocess`, `classes`; both names where they differ.
    pub place: String,
    /// Which setting, as `padding`; `layer` if only one of them has the layer.
    pub setting: String,
    /// What it is in each; empty where there is nothing.
    pub sides: [String; 2],
    /// What it can change.
    pub effect: Effect,
}

/// What a difference can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Nothing that is computed: a name, or another way to write the same.
    Nothing,
    /// What is learned; the same weights give the same results.
    Training,
    /// What an image file becomes before the network sees it.
    Images,
    /// Results, from the same weights and the same numbers in.
    Results,
    /// Shapes, so that the weights of one do not fit the other.
    Shapes,
}

impl Effect {
    /// A word for a table.
    pub fn word(self) -> &'static str {
        match self {
            Effect::Nothing => "nothing",
            Effect::Training => "training only",
            Effect::Images => "images in",
            Effect::Results => "results",
            Effect::Shapes => "shapes",
        }
    }
}

/// Compares two networks.
pub fn compare(a: &Network, b: &Network) -> Comparison {
    let lists = [a, b].map(|network| network.layers().collect::<Vec<(LayerId, &Layer)>>());
    let pairs = align(&lists[0], &lists[1]);
    let partner: BTreeMap<LayerId, LayerId> =
        pairs.iter().filter_map(|&(i, j)| Some((lists[0][i?].0, lists[1][j?].0))).collect();
    let partners: BTreeSet<LayerId> = partner.values().copied().collect();
    let mut differences = Vec::new();
    for &(i, j) in &pairs {
        match (i.map(|i| lists[0][i]), j.map(|j| lists[1][j])) {
            (Some((x, left)), Some((y, right))) => {
                let fed = [(a, x), (b, y)].map(|(network, id)| shapes(network, id));
                layers(&mut differences, a, left, b, right, fed[0] == fed[1]);
                wiring(&mut differences, (a, x), (b, y), &partner, &partners);
            }
            (Some((id, layer)), None) => differences.push(alone(a, id, layer, 0)),
            (None, Some((id, layer))) => differences.push(alone(b, id, layer, 1)),
            (None, None) => {}
        }
    }
    moved(&mut differences, a, b);
    whole(&mut differences, a, b);
    Comparison {
        names: [a.name.clone(), b.name.clone()],
        differences,
        paired: partner.len(),
        pairs: pairs.iter().map(|&(i, j)| [i.map(|i| lists[0][i].0), j.map(|j| lists[1][j].0)]).collect(),
        params: [a, b].map(Network::param_count),
        macs: [a, b].map(Network::macs),
    }
}

impl Comparison {
    /// The differences that may be why two layers of a pair give other numbers though all before them give the same: their
    /// own, those of what only one network has on the way to them, and for the input those of the images.
    pub fn at(&self, networks: [&Network; 2], layers: [LayerId; 2]) -> Vec<&Difference> {
        let [left, right] = [0, 1].map(|side| networks[side].layer(layers[side]));
        let mut places = BTreeSet::from([place(left, right)]);
        if left.kind == LayerKind::Input {
            places.insert("preprocess".to_string());
        }
        for (side, network) in networks.into_iter().enumerate() {
            let paired: BTreeSet<LayerId> =
                self.pairs.iter().filter_map(|&[i, j]| [i?, j?].get(side).copied()).collect();
            let mut ahead = network.inputs(layers[side]);
            while let Some(id) = ahead.pop() {
                if !paired.contains(&id) && places.insert(network.layer(id).name.clone()) {
                    ahead.extend(network.inputs(id));
                }
            }
        }
        let telling = |d: &&Difference| d.effect > Effect::Training && places.contains(&d.place);
        self.differences.iter().filter(telling).collect()
    }
}

fn place(left: &Layer, right: &Layer) -> String {
    if left.name == right.name { left.name.clone() } else { format!("{} / {}", left.name, right.name) }
}

/// Shapes of what a layer reads.
fn shapes(network: &Network, id: LayerId) -> Vec<&[usize]> {
    network.inputs(id).into_iter().map(|source| network.layer(source).shape.as_slice()).collect()
}

/// What two layers of a pair differ in. `alike`: whether they are fed the same shapes; another shape of what they give is
/// only told where it begins.
fn layers(differences: &mut Vec<Difference>, a: &Network, left: &Layer, b: &Network, right: &Layer, alike: bool) {
    let place = place(left, right);
    let mut push = |setting: &str, sides: [String; 2], effect: Effect| {
        if sides[0] != sides[1] {
            differences.push(Difference { place: place.clone(), setting: setting.to_string(), sides, effect });
        }
    };
    push("name", [left.name.clone(), right.name.clone()], Effect::Nothing);
    let (old, new) = (settings(a, left), settings(b, right));
    for (x, y) in old.iter().zip(&new) {
        let effect = if x.same == y.same { Effect::Nothing } else { x.effect };
        push(x.name, [x.text.clone(), y.text.clone()], effect);
    }
    let weights = |layer: &Layer| layer.params.iter().map(|p| p.shape.clone()).collect::<Vec<_>>();
    let effect = if weights(left) == weights(right) { Effect::Results } else { Effect::Shapes };
    if alike && left.kind != LayerKind::Input {
        push("output", [left, right].map(|layer| sizes(&layer.shape)), effect);
    }
    for (p, q) in left.params.iter().zip(&right.params) {
        push(&format!("init {}", p.name), [p, q].map(|p| init(&p.init)), Effect::Training);
        push(&format!("lr_mult {}", p.name), [p, q].map(|p| p.lr_mult.to_string()), Effect::Training);
        push(&format!("decay_mult {}", p.name), [p, q].map(|p| p.decay_mult.to_string()), Effect::Training);
    }
}

/// What two layers read, if it is not the same.
fn wiring(
    differences: &mut Vec<Difference>,
    (a, x): (&Network, LayerId),
    (b, y): (&Network, LayerId),
    partner: &BTreeMap<LayerId, LayerId>,
    partners: &BTreeSet<LayerId>,
) {
    let seen = |network: &Network, id: LayerId| sources(network, id);
    let (left, right) = (seen(a, x), seen(b, y));
    if passes_through(a, x) {
        return;
    }
    let same = left.len() == right.len() && left.iter().zip(&right).all(|(i, j)| partner.get(i) == Some(j));
    // A layer that only one of them has is told as such.
    let known = |j: &LayerId| partners.contains(j);
    let one = left.len() == 1 && right.len() == 1;
    if same || one && (!left.iter().all(|i| partner.contains_key(i)) || !right.iter().all(known)) {
        return;
    }
    let names = |network: &Network, ids: &[LayerId]| {
        ids.iter().map(|&id| network.layer(id).name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let mut sorted = [left.iter().filter_map(|i| partner.get(i).copied()).collect::<Vec<_>>(), right.clone()];
    sorted.iter_mut().for_each(|ids| ids.sort());
    // The order of what is added does not matter but for rounding; that of what is joined does.
    let added = a.layer(x).kind == LayerKind::Add && sorted[0] == sorted[1];
    differences.push(Difference {
        place: place(a.layer(x), b.layer(y)),
        setting: "from".to_string(),
        sides: [names(a, &left), names(b, &right)],
        effect: if added { Effect::Nothing } else { Effect::Results },
    });
}

/// Whether a layer changes no number in inference.
fn passes_through(network: &Network, id: LayerId) -> bool {
    let layer = network.layer(id);
    match layer.kind {
        LayerKind::Dropout { .. } | LayerKind::Flatten => true,
        LayerKind::AdaptiveAvgPool { .. } => shapes(network, id).first() == Some(&layer.shape.as_slice()),
        _ => false,
    }
}

/// What a layer reads, layers that change nothing in inference left out.
fn sources(network: &Network, id: LayerId) -> Vec<LayerId> {
    let through = |mut id: LayerId| {
        while let (true, [source]) = (passes_through(network, id), network.inputs(id).as_slice()) {
            id = *source;
        }
        id
    };
    network.inputs(id).into_iter().map(through).collect()
}

/// Makes one difference of a layer that both have, but in different places.
fn moved(differences: &mut Vec<Difference>, a: &Network, b: &Network) {
    let after = |network: &Network, name: &str| {
        let id = network.layers().find(|(_, layer)| layer.name == name).map(|(id, _)| id);
        let names = id.map_or(Vec::new(), |id| network.inputs(id));
        let names: Vec<&str> = names.into_iter().map(|id| network.layer(id).name.as_str()).collect();
        format!("after {}", names.join(", "))
    };
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut twice = Vec::new();
    for (at, d) in differences.iter().enumerate().filter(|(_, d)| d.setting == "layer") {
        match seen.get(&d.place) {
            Some(&first) if differences[first].sides.concat() == d.sides.concat() => twice.push((first, at)),
            _ => drop(seen.insert(d.place.clone(), at)),
        }
    }
    for &(first, _) in &twice {
        let place = differences[first].place.clone();
        let sides = [after(a, &place), after(b, &place)];
        let effect = differences[first].effect.min(Effect::Results);
        differences[first] = Difference { place, setting: "order".to_string(), sides, effect };
    }
    let gone: BTreeSet<usize> = twice.into_iter().map(|(_, second)| second).collect();
    let mut at = 0;
    differences.retain(|_| {
        at += 1;
        !gone.contains(&(at - 1))
    });
}

/// A layer that only one of the networks has.
fn alone(network: &Network, id: LayerId, layer: &Layer, side: usize) -> Difference {
    let effect = match &layer.kind {
        LayerKind::Dropout { .. } => Effect::Training,
        _ if passes_through(network, id) => Effect::Nothing,
        _ if !layer.params.is_empty() => Effect::Shapes,
        _ => Effect::Results,
    };
    let mut sides = [String::new(), String::new()];
    let shown: Vec<String> = settings(network, layer).into_iter().map(|s| format!("{} {}", s.name, s.text)).collect();
    sides[side] = format!("{} {}", layer.kind.word(), shown.join(", ")).trim_end().to_string();
    Difference { place: layer.name.clone(), setting: "layer".to_string(), sides, effect }
}

/// What is not said of a layer: classes, images, the recipe.
fn whole(differences: &mut Vec<Difference>, a: &Network, b: &Network) {
    let mut push = |place: &str, setting: &str, sides: [String; 2], effect: Effect| {
        if sides[0] != sides[1] {
            let (place, setting) = (place.to_string(), setting.to_string());
            differences.push(Difference { place, setting, sides, effect });
        }
    };
    push("network", "name", [a.name.clone(), b.name.clone()], Effect::Nothing);
    push("classes", "names", [a, b].map(|n| n.classes.join(", ")), Effect::Nothing);
    let image = |n: &Network| {
        let p = &n.preprocess;
        let g = &p.geometry;
        [
            ("resize", resize(g), Effect::Images),
            ("crop", crop(g), Effect::Images),
            ("flip", g.flip.to_string(), Effect::Training),
            ("channels", if g.bgr { "bgr" } else { "rgb" }.to_string(), Effect::Images),
            ("range", if p.unit_range { "1" } else { "255" }.to_string(), Effect::Images),
            ("mean", format!("{:?}", p.mean), Effect::Images),
            ("std", format!("{:?}", p.std), Effect::Images),
        ]
    };
    for ((setting, left, effect), (_, right, _)) in image(a).into_iter().zip(image(b)) {
        push("preprocess", setting, [left, right], effect);
    }
    let lines = |train: &Option<Train>| train.as_ref().map_or(Vec::new(), recipe);
    let (left, right) = (lines(&a.train), lines(&b.train));
    if left.is_empty() || right.is_empty() {
        let said = |lines: &[(&'static str, String)]| if lines.is_empty() { "" } else { "a recipe" }.to_string();
        push("train", "section", [said(&left), said(&right)], Effect::Training);
    }
    if !left.is_empty() && !right.is_empty() {
        let of = |lines: &[(&'static str, String)], key: &str| {
            lines.iter().find(|(setting, _)| *setting == key).map_or(String::new(), |(_, text)| text.clone())
        };
        let others = right.iter().filter(|(key, _)| left.iter().all(|(known, _)| known != key));
        for (key, _) in left.iter().chain(others) {
            push("train", key, [of(&left, key), of(&right, key)], Effect::Training);
        }
    }
}

/// A shape as `96×55×55`.
pub fn sizes(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("×")
}
