//! Small edits that may make a shape exact or equal: other values for the numbers that lead to it.

use crate::check::reader;
use crate::diag::Fix;
use crate::source::Span;
use crate::spec::{Data, LayerEntry, Map, Setting, Spec, Value};
use std::collections::{BTreeMap, BTreeSet};

/// An edit and how likely it is what was meant; less is likelier.
pub(super) struct Candidate {
    pub cost: u32,
    pub fix: Fix,
    /// The layer whose setting it changes, or empty.
    pub layer: String,
}

/// Numbers that may be edited or taken over: far more than any size, and ten times that is a number still.
const LARGEST: u64 = 1 << 40;

/// Layers before the failing one that are looked at.
const REACH: usize = 60;

/// Edits of the numbers of the layer at `failing` of the expanded spec and of those before it, the likeliest first.
/// `numbers`: sizes that the report speaks of, which may be the right ones.
pub(super) fn candidates(spec: &Spec, expanded: &Spec, failing: usize, numbers: &BTreeSet<i64>) -> Vec<Candidate> {
    let inner = block_uses(spec);
    let mut found = Found { written: literals(spec), seen: BTreeSet::new(), list: Vec::new() };
    let usual = usual(expanded);
    let first = failing.saturating_sub(REACH);
    for (distance, at) in (first..=failing).rev().enumerate() {
        let Some(entry) = expanded.layers.get(at) else { continue };
        let own = distance == 0;
        let away = if own { 0 } else { 14 + u32::try_from(distance).unwrap_or(99).min(60) / 4 };
        for setting in &entry.settings.entries {
            let context = Context { entry, usual: &usual, away, own, numbers };
            found.setting(&context, setting);
        }
        if own {
            found.missing(entry, &usual);
        }
        // What a block's use gives its layers is written there.
        let holds = |user: &&LayerEntry| entry.name.text.starts_with(&format!("{}.", user.name.text));
        let inside = |user: &&LayerEntry| entry.name.text.contains(&format!(".{}.", user.name.text));
        for user in spec.layers.iter().filter(holds).chain(inner.iter().filter(inside)) {
            for setting in user.settings.entries.iter().filter(|s| !matches!(s.key.text.as_str(), "repeat" | "from")) {
                let context = Context { entry: user, usual: &usual, away: away + 2, own, numbers };
                found.setting(&context, setting);
            }
        }
    }
    found.input(spec, numbers);
    found.list.sort_by_key(|candidate| candidate.cost);
    found.list
}

/// Layers of blocks that are uses of blocks themselves.
fn block_uses(spec: &Spec) -> Vec<LayerEntry> {
    let Some(Data::Map(blocks)) = spec.sections.get("blocks").map(|s| &s.value.data) else { return Vec::new() };
    let bodies = blocks.entries.iter().filter_map(|block| match &block.value.data {
        Data::Map(body) => body.get("layers"),
        _ => None,
    });
    let layers = bodies.flat_map(|layers| crate::spec::layers_of(&layers.value));
    layers.filter(|layer| blocks.get(&layer.kind.text).is_some()).collect()
}

/// Values by kind of layer and key, with how often each stands there.
type Usual = BTreeMap<(String, String), BTreeMap<i64, usize>>;

fn usual(spec: &Spec) -> Usual {
    let mut usual = Usual::new();
    for entry in &spec.layers {
        for setting in &entry.settings.entries {
            if let Data::Integer(n) = setting.value.data
                && n.unsigned_abs() <= LARGEST
            {
                let key = (entry.kind.text.clone(), setting.key.text.clone());
                *usual.entry(key).or_default().entry(n).or_default() += 1;
            }
        }
    }
    usual
}

/// Where whole numbers are written as such, and not computed.
fn literals(spec: &Spec) -> BTreeSet<Span> {
    fn within(value: &Value, spans: &mut BTreeSet<Span>) {
        match &value.data {
            Data::Integer(n) if n.unsigned_abs() <= LARGEST => drop(spans.insert(value.span)),
            Data::List(items) => items.iter().for_each(|item| within(item, spans)),
            Data::Map(Map { entries, .. }) => entries.iter().for_each(|s| within(&s.value, spans)),
            Data::Null | Data::Flag(_) | Data::Integer(_) | Data::Real(_) | Data::Text(_) => {}
        }
    }
    let mut spans = BTreeSet::new();
    let layers = spec.layers.iter().flat_map(|layer| &layer.settings.entries);
    for setting in spec.sections.entries.iter().chain(layers) {
        within(&setting.value, &mut spans);
    }
    spans
}

struct Context<'a> {
    entry: &'a LayerEntry,
    usual: &'a Usual,
    away: u32,
    own: bool,
    numbers: &'a BTreeSet<i64>,
}

struct Found {
    written: BTreeSet<Span>,
    seen: BTreeSet<(Span, String)>,
    list: Vec<Candidate>,
}

impl Found {
    fn push(&mut self, cost: u32, fix: Fix, layer: &str) {
        let Some(edit) = fix.edits.first() else { return };
        if self.seen.insert((edit.span, edit.text.clone())) {
            self.list.push(Candidate { cost, fix, layer: layer.to_string() });
        }
    }

    fn setting(&mut self, context: &Context<'_>, setting: &Setting) {
        let key = setting.key.text.as_str();
        let whole = |value: &Value, shown: String, number: i64, found: &mut Found, base: i64| {
            let title = match context.own {
                true => format!("{key}: {shown}"),
                false => format!("{} {key}: {shown}", context.entry.name.text),
            };
            let cost = context.away + cost(context, key, base, number);
            found.push(cost, Fix::maybe(title, value.span, shown), &context.entry.name.text);
        };
        match &setting.value.data {
            Data::Integer(n) if self.written.contains(&setting.value.span) => {
                for number in values(context, key, *n) {
                    whole(&setting.value, number.to_string(), number, self, *n);
                }
            }
            Data::List(items) if matches!(key, "padding" | "kernel_size" | "stride" | "output") => {
                let written: Vec<&Value> = items.iter().filter(|item| self.written.contains(&item.span)).collect();
                for item in written {
                    let Data::Integer(n) = item.data else { continue };
                    for number in [n - 1, n + 1, n - 2, n + 2, n / 2, n / 10]
                        .into_iter()
                        .filter(|&number| number >= i64::from(key != "padding"))
                    {
                        let shown: Vec<String> = items
                            .iter()
                            .map(|other| match (&other.data, other.span == item.span) {
                                (Data::Integer(_), true) => number.to_string(),
                                (Data::Integer(n), false) => n.to_string(),
                                _ => "?".to_string(),
                            })
                            .collect();
                        whole(&setting.value, format!("[{}]", shown.join(", ")), number, self, n);
                    }
                }
            }
            _ => {}
        }
    }

    /// Settings of the failing layer that are not written: padding and stride.
    fn missing(&mut self, entry: &LayerEntry, usual: &Usual) {
        let known = |key: &str| usual.get(&(entry.kind.text.clone(), key.to_string()));
        let windowed = matches!(entry.kind.text.as_str(), "conv" | "maxpool" | "avgpool");
        if !windowed {
            return;
        }
        for key in ["padding", "stride"].into_iter().filter(|key| entry.settings.get(key).is_none()) {
            let mut values: Vec<i64> = known(key).map_or(Vec::new(), |all| all.keys().copied().collect());
            values.extend([1, 2]);
            for number in values {
                let edit = reader::edit(&entry.settings, entry.kind.span, key, &number.to_string());
                let fix = reader::choice(format!("{key}: {number}"), String::new(), edit);
                self.push(12 + u32::try_from(number).unwrap_or(9), fix, &entry.name.text);
            }
        }
    }

    /// Other heights and widths of the input, and other channels.
    fn input(&mut self, spec: &Spec, numbers: &BTreeSet<i64>) {
        let Some(Data::Map(input)) = spec.sections.get("input").map(|s| &s.value.data) else { return };
        let Some(Data::List(sizes)) = input.get("shape").map(|s| &s.value.data) else { return };
        let of = |value: &Value| if let Data::Integer(n) = value.data { Some(n) } else { None };
        let near = |n: i64| [n - 1, n + 1, n - 2, n + 2, n - 3, n + 3, n - 4, n + 4, n * 2, n / 2, n * 10, n / 10];
        for (axis, value) in sizes.iter().enumerate() {
            let Some(n) = of(value).filter(|_| self.written.contains(&value.span)) else { continue };
            let common: &[i64] = if axis == 0 && sizes.len() == 3 { &[1, 3] } else { &[28, 32, 64, 224, 227] };
            // The other side of an image.
            let other =
                [None, Some(2), Some(1)].get(axis).copied().flatten().and_then(|i: usize| sizes.get(i)).and_then(of);
            for number in near(n).into_iter().chain(common.iter().copied()).chain(other).chain(numbers.iter().copied())
            {
                if number < 1 || number == n {
                    continue;
                }
                let mut shown: Vec<String> =
                    sizes.iter().map(|s| of(s).map_or("?".to_string(), |n| n.to_string())).collect();
                shown[axis] = number.to_string();
                let fix = Fix::maybe(format!("input shape [{}]", shown.join(", ")), value.span, number.to_string());
                let liked = common.contains(&number) || other == Some(number);
                self.push(if liked { 8 } else { 30 } + apart(n, number), fix, "");
            }
            // A square image stays square.
            if let (1, 3, Some(width)) = (axis, sizes.len(), sizes.get(2)) {
                for number in near(n).into_iter().chain(common.iter().copied()).filter(|&m| m > 0 && m != n) {
                    if of(width) == Some(n) {
                        let title = format!("input shape [{}, {number}, {number}]", of(&sizes[0]).unwrap_or(0));
                        let mut fix = Fix::maybe(title, value.span, number.to_string());
                        fix.edits.push(crate::diag::Edit { span: width.span, text: number.to_string() });
                        let liked = common.contains(&number);
                        let key = (fix.edits[1].span, format!("{number}, {number}"));
                        if self.seen.insert(key) {
                            let cost = if liked { 14 } else { 26 } + apart(n, number);
                            self.list.push(Candidate { cost, fix, layer: String::new() });
                        }
                    }
                }
            }
        }
    }
}

/// Values that may have been meant in the place of `n`.
fn values(context: &Context<'_>, key: &str, n: i64) -> Vec<i64> {
    let mut values = match key {
        "padding" | "stride" | "kernel_size" | "dilation" | "size" => {
            vec![n - 1, n + 1, n - 2, n + 2, n / 2, n * 2, n / 10, 1, 2, 3]
        }
        "kernels" | "features" => vec![n - 1, n + 1, n * 2, n / 2, n * 10, n / 10, (n + 8) / 16 * 16, (n + 4) / 8 * 8],
        "groups" | "output" | "repeat" => vec![1, 2, n - 1, n + 1, n / 2, n * 2],
        "name" | "from" | "p" => Vec::new(),
        _ => vec![n - 1, n + 1, n * 2, n / 2, n * 10, n / 10, (n + 8) / 16 * 16],
    };
    if key == "padding" {
        values.extend(same_padding(context.entry));
        values.push(0);
    }
    let windowed = matches!(key, "padding" | "stride" | "kernel_size" | "dilation" | "size" | "output" | "repeat");
    if !windowed {
        values.extend(context.numbers.iter().copied());
    }
    if let Some(usual) = context.usual.get(&(context.entry.kind.text.clone(), key.to_string())) {
        let mut usual: Vec<(usize, i64)> = usual.iter().map(|(&value, &times)| (times, value)).collect();
        usual.sort_by(|a, b| b.cmp(a));
        values.extend(usual.iter().take(8).map(|&(_, value)| value));
    }
    let least = i64::from(key != "padding");
    let mut seen = BTreeSet::new();
    values.retain(|&value| value >= least && value != n && seen.insert(value));
    values
}

/// The padding that keeps an image's size at stride 1.
fn same_padding(entry: &LayerEntry) -> Option<i64> {
    match entry.settings.get("kernel_size")?.value.data {
        Data::Integer(kernel) if kernel % 2 == 1 => Some(kernel / 2),
        _ => None,
    }
}

/// Whether the padding of a layer is that which keeps an image's size with a window of `kernel`.
fn pads_for(entry: &LayerEntry, kernel: i64) -> bool {
    let padding = entry.settings.get("padding").map(|s| &s.value.data);
    kernel % 2 == 1 && matches!(padding, Some(Data::Integer(padding)) if *padding == kernel / 2 && *padding > 0)
}

/// How unlikely it is that `number` was meant in the place of `n`.
fn cost(context: &Context<'_>, key: &str, n: i64, number: i64) -> u32 {
    let times = |value: i64| {
        let usual = context.usual.get(&(context.entry.kind.text.clone(), key.to_string()));
        usual.and_then(|usual| usual.get(&value)).copied().unwrap_or(0)
    };
    let mut cost = 10 + apart(n, number);
    // A value that stands elsewhere in its place, where this one does not.
    if times(number) > times(n) {
        cost = cost.saturating_sub(8);
    }
    if times(n) > 2 {
        cost += 12;
    }
    let stride = match context.entry.settings.get("stride").map(|s| &s.value.data) {
        None => 1,
        Some(Data::Integer(stride)) => *stride,
        _ => 0,
    };
    match key {
        "padding" if stride == 1 && same_padding(context.entry) == Some(number) => cost = cost.saturating_sub(10),
        "padding" if stride == 1 && same_padding(context.entry) == Some(n) => cost += 14,
        "kernel_size" if stride == 1 && pads_for(context.entry, number) => cost = cost.saturating_sub(10),
        "kernel_size" if stride == 1 && pads_for(context.entry, n) => cost += 12,
        "kernel_size" if number % 2 == 1 && n % 2 == 0 && context.entry.kind.text == "conv" => {
            cost = cost.saturating_sub(5)
        }
        "kernel_size" if number == 1 && context.entry.kind.text.ends_with("pool") => cost += 14,
        "stride" if number == 1 && context.entry.kind.text.ends_with("pool") => cost += 6,
        "kernel_size" if number % 2 == 0 => cost += 6,
        "kernels" | "features" if n % 8 != 0 && number % 8 == 0 => cost = cost.saturating_sub(6),
        "kernels" | "features" if n % 8 == 0 => cost += 4,
        _ => {}
    }
    if context.numbers.contains(&number) && matches!(key, "kernels" | "features") {
        cost = cost.saturating_sub(8);
    }
    cost
}

/// How far apart two numbers are, as mistakes go: by one or two, by a factor of 2 or 10, otherwise.
fn apart(a: i64, b: i64) -> u32 {
    let (low, high) = (a.min(b), a.max(b));
    match high - low {
        1 => 1,
        2 => 3,
        _ if high == low * 2 || high == low * 10 => 5,
        difference if difference <= 8 => 6,
        _ => 9,
    }
}
