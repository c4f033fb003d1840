//! Variants of a spec: the product of axes, each a path as `--set` takes it with the values to try, or layers that are
//! there or left out.
//!
//! Takes a spec and its [`axes`], or those of the command line ([`axis`]), gives each variant as a spec of its own
//! ([`variant`]), whose values point at where the axis is written. The spec itself stays as it is.

use super::expand::{expand, input_name, rename};
use super::format::flow;
use super::read::SECTIONS;
use super::set::{is_block, is_inner, meant, set, words};
use super::{Data, LayerEntry, Name, Setting, Spec, Value, recover};
use crate::diag::{Code, Diagnostic, Fix, closest};
use crate::source::{Sources, Span};
use std::collections::BTreeMap;

/// Variants that a spec may have.
pub const MOST_VARIANTS: usize = 1_000;

const FORM: &str = "an axis is `layer.field: [values]`, `section.field: [values]`, or `layer: [on, off]` with a layer or a \
                    kind of layer";

/// One thing that varies.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// What: a path, or a layer or kind of layers that is there or not.
    pub path: Name,
    /// The values to try.
    pub values: Vec<Value>,
    /// Whether it is layers that are there or not.
    pub switch: bool,
}

/// The axes in the section `vary`, and what is wrong with it. The first value of each axis has been tried.
pub fn axes(spec: &Spec) -> (Vec<Axis>, Vec<Diagnostic>) {
    let mut problems = Vec::new();
    let Some(section) = spec.sections.get("vary") else { return (Vec::new(), problems) };
    let Data::Map(map) = &section.value.data else {
        let message = format!("`vary` must be lists of values by path, but is {}", section.value.data.describe());
        return (Vec::new(), vec![wrong(section.value.span, message).note(FORM)]);
    };
    let kinds = Kinds::of(spec);
    let mut found = Vec::new();
    for Setting { key, value } in &map.entries {
        match kinds.axis(key, value).and_then(|axis| tried(spec, &axis).map(|()| axis)) {
            Ok(axis) => found.push(axis),
            Err(more) => problems.extend(more),
        }
    }
    if let Err(diagnostic) = count(&found) {
        problems.push(*diagnostic);
    }
    (found, problems)
}

/// The axis that a `--vary` argument gives: `conv1.stride=2,4`. The argument is added to `sources` as `--vary`.
pub fn axis(spec: &Spec, sources: &mut Sources, argument: &str) -> Result<Axis, Vec<Diagnostic>> {
    let whole = sources.add("--vary", argument);
    let Some((path, text)) = argument.split_once('=') else {
        return Err(vec![wrong(whole, "this has no `=`").note("as `--vary conv1.stride=2,4`")]);
    };
    let equals = whole.start.saturating_add(u32::try_from(path.len()).unwrap_or(u32::MAX));
    let key = Name { text: path.to_string(), span: Span { start: whole.start, end: equals } };
    // A list whose bracket stands where the `=` is.
    let (value, problems) = recover::read_all(&format!("[{text}]"), equals).map_err(|diagnostic| {
        // The brackets are not the user's, so what is wrong is better told without them.
        vec![*recover::read_all(text, equals.saturating_add(1)).err().unwrap_or(diagnostic)]
    })?;
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut value = value.unwrap_or(Value { data: Data::List(Vec::new()), span: whole });
    value.span = Span { start: equals.saturating_add(1), end: whole.end };
    let axis = Kinds::of(spec).axis(&key, &value)?;
    tried(spec, &axis).map(|()| axis)
}

/// How many variants the axes give, if they are not too many.
pub fn count(axes: &[Axis]) -> Result<usize, Box<Diagnostic>> {
    let mut product = 1usize;
    for axis in axes {
        product = product.saturating_mul(axis.values.len());
        if product > MOST_VARIANTS {
            let span = axis.path.span;
            let message = format!("with this axis there are more than {MOST_VARIANTS} variants");
            return Err(Box::new(wrong(span, message)));
        }
    }
    Ok(if axes.is_empty() { 0 } else { product })
}

/// The values of the variant number `index` as text. The last axis changes fastest.
pub fn values(axes: &[Axis], index: usize) -> Vec<String> {
    let text = |(axis, value): (&Axis, &Value)| if axis.switch { on_off(value) } else { flow(value) };
    chosen(axes, index).into_iter().map(text).collect()
}

/// The variant number `index`, counted from 0, as a spec of its own without a section `vary`.
pub fn variant(spec: &Spec, axes: &[Axis], index: usize) -> Result<Spec, Vec<Diagnostic>> {
    derive(spec, &chosen(axes, index))
}

fn chosen(axes: &[Axis], index: usize) -> Vec<(&Axis, &Value)> {
    let mut rest = index;
    let mut chosen = Vec::new();
    for axis in axes.iter().rev() {
        let Some(value) = axis.values.get(rest % axis.values.len().max(1)) else { continue };
        rest /= axis.values.len();
        chosen.push((axis, value));
    }
    chosen.reverse();
    chosen
}

fn wrong(span: Span, message: impl Into<String>) -> Diagnostic {
    Diagnostic::error(Code::InvalidVary, span, message)
}

fn is_on(value: &Value) -> Option<bool> {
    match &value.data {
        Data::Flag(on) => Some(*on),
        Data::Text(word) => match word.as_str() {
            "on" => Some(true),
            "off" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

fn on_off(value: &Value) -> String {
    if is_on(value) == Some(false) { "off".to_string() } else { "on".to_string() }
}

/// Makes sure that the axis leads somewhere.
fn tried(spec: &Spec, axis: &Axis) -> Result<(), Vec<Diagnostic>> {
    if axis.switch {
        return axis.values.iter().try_for_each(|value| derive(spec, &[(axis, value)]).map(drop));
    }
    axis.values.first().map_or(Ok(()), |value| derive(spec, &[(axis, value)]).map(drop))
}

/// What layers there are.
struct Kinds {
    names: Vec<String>,
    kinds: Vec<String>,
    params: Vec<String>,
}

impl Kinds {
    fn of(spec: &Spec) -> Kinds {
        let expanded = expand(spec);
        let all = || spec.layers.iter().chain(&expanded.layers);
        let params = match spec.sections.get("params").map(|s| &s.value.data) {
            Some(Data::Map(map)) => map.entries.iter().map(|s| s.key.text.clone()).collect(),
            _ => Vec::new(),
        };
        Kinds {
            names: all().map(|l| l.name.text.clone()).filter(|name| !name.is_empty()).collect(),
            kinds: all().map(|l| l.kind.text.clone()).filter(|kind| !kind.is_empty()).collect(),
            params,
        }
    }

    /// The axis that a setting of `vary` gives.
    fn axis(&self, path: &Name, value: &Value) -> Result<Axis, Vec<Diagnostic>> {
        let one = |diagnostic: Diagnostic| Err(vec![diagnostic]);
        let Data::List(values) = &value.data else {
            let message =
                format!("`{}` must have a list of values to try, but this is {}", path.text, value.data.describe());
            let mut diagnostic = wrong(value.span, message).note(FORM);
            if matches!(value.data, Data::Flag(_) | Data::Integer(_) | Data::Real(_) | Data::Text(_)) {
                let list = format!("[{}]", flow(value));
                diagnostic = diagnostic.fix(Fix::maybe(list.clone(), value.span, list));
            }
            return one(diagnostic);
        };
        if values.is_empty() {
            return one(wrong(value.span, format!("`{}` has no values to try", path.text)));
        }
        let layer = self.names.contains(&path.text);
        let switch = layer || self.kinds.contains(&path.text);
        if !switch && !path.text.contains('.') && !SECTIONS.contains(&path.text.as_str()) {
            let message = format!("there is no layer, kind of layer or section `{}`", path.text);
            let known = self.names.iter().chain(&self.kinds).map(String::as_str);
            let mut diagnostic = Diagnostic::error(Code::InvalidVary, path.span, message);
            if self.params.contains(&path.text) {
                let title = format!("to vary the parameter: `params.{}`", path.text);
                diagnostic = diagnostic.fix(Fix::maybe(title, path.span, format!("params.{}", path.text)));
            } else if let Some(word) = closest(&path.text, known.chain(SECTIONS.iter().copied())) {
                diagnostic = meant(diagnostic, Some(path), word);
            } else {
                diagnostic = diagnostic.note(FORM);
            }
            return one(diagnostic);
        }
        if matches!(path.text.as_str(), "vary" | "layers") || path.text.starts_with("vary.") {
            return one(wrong(path.span, format!("`{}` cannot vary", path.text)));
        }
        if let Some(other) = values.iter().find(|value| switch && is_on(value).is_none()) {
            let what = if layer { "a layer" } else { "a kind of layer" };
            let message =
                format!("`{}` is {what}: it can be `on` or `off`, but this is {}", path.text, other.data.describe());
            return one(wrong(other.span, message));
        }
        for (i, value) in values.iter().enumerate() {
            if let Some(first) = values[..i].iter().find(|earlier| flow(earlier) == flow(value)) {
                let diagnostic = wrong(value.span, format!("`{}` has the value {} twice", path.text, flow(value)));
                let before = values[..i].last().map_or(value.span.start, |before| before.span.end);
                let removed = Span { start: before, end: value.span.end };
                let fix = Fix::maybe("remove the second", removed, "");
                return one(diagnostic.at("again here").label(first.span, "first here").fix(fix));
            }
        }
        Ok(Axis { path: path.clone(), values: values.clone(), switch })
    }
}

/// The spec with each axis at its value.
fn derive(spec: &Spec, chosen: &[(&Axis, &Value)]) -> Result<Spec, Vec<Diagnostic>> {
    let mut out = spec.clone();
    out.sections.entries.retain(|s| s.key.text != "vary");
    let off: Vec<&Name> =
        chosen.iter().filter(|(a, v)| a.switch && is_on(v) == Some(false)).map(|(a, _)| &a.path).collect();
    let sets = chosen.iter().filter(|(axis, _)| !axis.switch).copied();
    // Parameters are set before blocks are unfolded, what is within blocks after.
    let (inner, outer): (Vec<_>, Vec<_>) =
        sets.partition(|(axis, _)| is_inner(&mut out, &words(&axis.path.text, axis.path.span)));
    let put = |out: &mut Spec, (axis, value): (&Axis, &Value)| {
        set(out, &axis.path.text, axis.path.span, value.clone()).map_err(told_of_vary)
    };
    outer.into_iter().try_for_each(|one| put(&mut out, one))?;
    let input = input_name(&out);
    let sections = out.sections.clone();
    let named = |entry: &LayerEntry, name: &Name| entry.name.text == name.text || entry.kind.text == name.text;
    let gone = |entry: &LayerEntry| off.iter().copied().find(|name| named(entry, name));
    let mut uses_left_out = Vec::new();
    if !off.is_empty() && !out.expanded {
        let block = |entry: &LayerEntry| gone(entry).filter(|_| is_block(entry, &sections));
        uses_left_out.extend(out.layers.iter().filter(|e| block(e).is_some()).map(|e| format!("{}.", e.name.text)));
        leave_out(&mut out.layers, &input, block)?;
    }
    for one in inner {
        if !uses_left_out.iter().any(|prefix| one.0.path.text.starts_with(prefix)) {
            put(&mut out, one)?;
        }
    }
    if !off.is_empty() {
        out = expand(&out);
        leave_out(&mut out.layers, &input, gone)?;
    }
    Ok(out)
}

/// Problems of a path as those of an axis.
fn told_of_vary(problems: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let told = |mut problem: Diagnostic| {
        if problem.code == Code::InvalidSet {
            problem.code = Code::InvalidVary;
            problem.notes.retain(|note| !note.contains("--set") && !note.starts_with("write `layer.field"));
            if problem.notes.is_empty() && problem.fixes.is_empty() {
                problem.notes.push(FORM.to_string());
            }
        }
        problem
    };
    problems.into_iter().map(told).collect()
}

/// Removes the layers for which `gone` names the axis; whoever reads one of them reads what it read.
fn leave_out<'a>(
    layers: &mut Vec<LayerEntry>,
    input: &str,
    gone: impl Fn(&LayerEntry) -> Option<&'a Name>,
) -> Result<(), Vec<Diagnostic>> {
    let mut sources: BTreeMap<String, String> = BTreeMap::new();
    let mut before = input;
    for entry in layers.iter() {
        if let Some(axis) = gone(entry) {
            let source = match entry.settings.get("from").map(|s| &s.value.data) {
                None => before.to_string(),
                Some(Data::Text(name)) => name.clone(),
                Some(_) => {
                    let message = format!("{} cannot be left out: it reads several layers", entry.name.text);
                    return Err(vec![wrong(axis.span, message).label(entry.span, "this layer")]);
                }
            };
            sources.insert(entry.name.text.clone(), source);
        }
        before = &entry.name.text;
    }
    let resolve = |name: &str| {
        let mut name = name;
        // Layers that read each other in a circle have no source.
        for _ in 0..=sources.len() {
            match sources.get(name) {
                Some(source) => name = source,
                None => break,
            }
        }
        name.to_string()
    };
    let (mut before, mut kept) = (input.to_string(), input.to_string());
    layers.retain_mut(|entry| {
        let name = entry.name.text.clone();
        let read = std::mem::replace(&mut before, name.clone());
        if sources.contains_key(&name) {
            return false;
        }
        match entry.settings.entries.iter_mut().find(|s| s.key.text == "from") {
            Some(from) => rename(&mut from.value, &resolve),
            None if resolve(&read) != kept => {
                let span = entry.kind.span;
                let value = Value { data: Data::Text(resolve(&read)), span };
                entry.settings.entries.push(Setting { key: Name { text: "from".to_string(), span }, value });
            }
            None => {}
        }
        kept = name;
        true
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{parse, print};

    const SPEC: &str = "net: t\ninput: {shape: [3, 8, 8]}\nparams: {width: 4}\nblocks:\n  twice:\n    params: {channels: width}\n    layers:\n      - conv: {name: a, kernels: channels, kernel_size: 1}\n      - relu\nlayers:\n  - conv: {name: c, kernels: width}\n  - lrn\n  - relu\n  - twice: {name: t1}\n  - conv: {name: d, kernels: 2, from: lrn1}\n  - add: {from: [relu1, t1]}\n";

    fn read(text: &str) -> Spec {
        let spec = parse(&mut Sources::new(), "t.yaml", text);
        assert_eq!(spec.problems, []);
        spec
    }

    /// Each variant's values and layers.
    fn variants(vary: &str) -> Vec<(String, String)> {
        let spec = read(&format!("{SPEC}vary: {vary}\n"));
        let (axes, problems) = axes(&spec);
        assert_eq!(problems, []);
        let all = (0..count(&axes).unwrap()).map(|i| (values(&axes, i), variant(&spec, &axes, i).unwrap()));
        all.map(|(values, spec)| {
            let expanded = print(&expand(&spec));
            let layers: Vec<&str> = expanded.lines().filter_map(|l| l.strip_prefix("  - ")).collect();
            (values.join(" "), layers.join("\n"))
        })
        .collect()
    }

    fn refused(vary: &str) -> String {
        let (_, problems) = axes(&read(&format!("{SPEC}vary: {vary}\n")));
        assert!(problems.iter().all(|d| d.code == Code::InvalidVary && !d.labels.is_empty()), "{problems:?}");
        problems.iter().map(|d| d.message.as_str()).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_last_axis_changes_fastest() {
        let found = variants("{c.kernel_size: [1, 3], params.width: [5, 6, 7]}");
        let values: Vec<&str> = found.iter().map(|(values, _)| values.as_str()).collect();
        assert_eq!(values, ["1 5", "1 6", "1 7", "3 5", "3 6", "3 7"]);
        assert!(found[4].1.starts_with("conv: {name: c, kernels: 6, kernel_size: 3}\n"), "{}", found[4].1);
        assert!(found[4].1.contains("conv: {name: t1.a, kernels: 6, kernel_size: 1}\n"), "{}", found[4].1);
    }

    #[test]
    fn readers_of_a_layer_that_is_off_read_what_it_read() {
        let without = |vary: &str| variants(vary).pop().unwrap().1;
        assert_eq!(
            without("{lrn: [on, off]}"),
            "conv: {name: c, kernels: 4}\nrelu: {name: relu1}\nconv: {name: t1.a, kernels: 4, kernel_size: 1}\n\
             relu: {name: t1.relu1}\nconv: {name: d, from: c, kernels: 2}\nadd: {from: [relu1, t1.relu1]}"
                .replace("relu: {name: relu1}", "relu")
        );
        assert_eq!(
            without("{relu: [on, off], c: [off]}"),
            "lrn\nconv: {name: t1.a, kernels: 4, kernel_size: 1}\nconv: {name: d, from: lrn1, kernels: 2}\n\
             add: {from: [lrn1, t1.a]}"
        );
        assert_eq!(
            without("{twice: [off], t1.a.stride: [2]}"),
            "conv: {name: c, kernels: 4}\nlrn\nrelu\nconv: {name: d, from: lrn1, kernels: 2}\nadd: {from: [relu1, relu1]}"
        );
        assert!(without("{d: [off], t1.a.stride: [2]}").ends_with(
            "conv: {name: t1.a, kernels: 4, kernel_size: 1, stride: 2}\nrelu: {name: t1.relu1}\n\
             add: {from: [relu1, t1.relu1]}"
        ));
    }

    #[test]
    fn a_reader_by_default_is_told_whom_to_read() {
        let spec = read(
            "net: t\ninput: {name: x, shape: [4]}\nlayers:\n  - relu\n  - tanh: {from: x}\n  - sigmoid: {from: relu1}\n  - softmax\nvary: {sigmoid: [off]}\n",
        );
        let (axes, _) = axes(&spec);
        let text = print(&variant(&spec, &axes, 0).unwrap());
        assert!(text.ends_with("  - relu\n  - tanh: {from: x}\n  - softmax: {from: relu1}\n"), "{text}");
    }

    #[test]
    fn axes_that_lead_nowhere_are_refused() {
        for (vary, message) in [
            ("[1]", "`vary` must be lists of values by path, but is a list"),
            ("{c.stride: 2}", "`c.stride` must have a list of values to try, but this is a whole number"),
            ("{c.stride: []}", "`c.stride` has no values to try"),
            ("{c.stride: [2, 2]}", "`c.stride` has the value 2 twice"),
            ("{lrn: [1, 2]}", "`lrn` is a kind of layer: it can be `on` or `off`, but this is a whole number"),
            ("{e: [on]}", "there is no layer, kind of layer or section `e`"),
            ("{e.stride: [2]}", "there is no layer or section `e`"),
            ("{add: [on, off]}", "add1 cannot be left out: it reads several layers"),
            ("{params.depth: [1]}", "the spec has no parameter `depth`"),
            ("{vary: [1]}", "`vary` cannot vary"),
            ("{width: [1]}", "there is no layer, kind of layer or section `width`"),
        ] {
            assert_eq!(refused(vary), message, "{vary}");
        }
        let many: Vec<String> = (1..=40).map(|n| n.to_string()).collect();
        let many = many.join(", ");
        let text = format!("{{c.kernels: [{many}], c.stride: [{many}]}}");
        assert_eq!(refused(&text), "with this axis there are more than 1000 variants");
    }

    #[test]
    fn an_argument_gives_an_axis() {
        let spec = read(SPEC);
        let mut sources = Sources::new();
        let found = axis(&spec, &mut sources, "c.padding=[1,2],same,3").unwrap();
        let text = "c.padding=[1,2],same,3";
        let places: Vec<&str> =
            found.values.iter().map(|v| &text[v.span.start as usize..v.span.end as usize]).collect();
        assert_eq!(places, ["[1,2]", "same", "3"]);
        let refused = |argument: &str| axis(&spec, &mut Sources::new(), argument).unwrap_err()[0].message.clone();
        assert_eq!(refused("c.stride"), "this has no `=`");
        assert_eq!(refused("c.stride="), "`c.stride` has no values to try");
        assert_eq!(refused("c.stride=[1"), "this `[` is not closed");
        assert_eq!(refused("x.stride=1"), "there is no layer or section `x`");
    }
}
