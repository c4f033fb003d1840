//! Who reads whom: names, `from`, the order of execution.

use super::layers::{DEFINITIONS, Definition, Inputs};
use super::reader::{self, listed};
use super::remedy;
use super::sections::good_layer_name;
use crate::diag::{Code, Diagnostic, Edit, Fix, closest};
use crate::source::Span;
use crate::spec::{Data, LayerEntry, Name, Spec};
use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};
use std::collections::{BTreeMap, BTreeSet};

/// Problems for which the word that was meant is sought among all names: more are not read one by one.
const MOST_GUESSED: usize = 100;

/// Layers that may be what a layer should read, too.
const MOST_PARTNERS: usize = 24;

/// Layers of a spec by number, the input being 0 and the n-th entry n.
pub(super) struct Wiring {
    /// The kind of each entry, if it is known. Index 0 is the first entry.
    pub definitions: Vec<Option<&'static Definition>>,
    /// What each entry reads, in operand order, or `None` if that is wrong. Index 0 is the first entry.
    pub operands: Vec<Option<Vec<usize>>>,
    /// Entries in execution order. Those of a cycle, or after one, come last in the order of the spec.
    pub order: Vec<usize>,
}

/// Resolves the names of a spec whose input is called `input`.
pub(super) fn wire(spec: &Spec, input: &Name, problems: &mut Vec<Diagnostic>) -> Wiring {
    let before = problems.len();
    block_names(spec, problems);
    let names = names(spec, input, problems);
    let definitions: Vec<_> = spec.layers.iter().map(|entry| definition(spec, entry, problems)).collect();
    let mut graph: DiGraph<usize, usize> = DiGraph::new();
    let nodes: Vec<NodeIndex> = (0..=spec.layers.len()).map(|i| graph.add_node(i)).collect();
    let mut operands = Vec::new();
    for i in 0..spec.layers.len() {
        let sources = sources(spec, i, definitions[i], &names, problems);
        for (position, &source) in sources.iter().flatten().enumerate() {
            graph.add_edge(nodes[source], nodes[i + 1], position);
        }
        operands.push(sources);
    }
    cycles(spec, &graph, problems);
    // What a layer reads that could not be read itself is not known.
    if problems.len() == before && spec.layers.iter().all(|entry| !entry.kind.text.is_empty()) {
        unread(spec, input, &graph, problems);
    }
    Wiring { definitions, order: execution_order(&operands), operands }
}

/// Blocks cannot be called as a kind of layer is.
fn block_names(spec: &Spec, problems: &mut Vec<Diagnostic>) {
    let Some(Data::Map(blocks)) = spec.sections.get("blocks").map(|s| &s.value.data) else { return };
    for block in &blocks.entries {
        if DEFINITIONS.iter().any(|d| d.word == block.key.text) {
            let message = format!("a block cannot be called `{}`: that is a kind of layer", block.key.text);
            problems.push(Diagnostic::error(Code::InvalidName, block.key.span, message));
        }
    }
}

/// Numbers by name. Of two layers with one name the first has it. An empty name stands for any that is not known.
fn names<'a>(spec: &'a Spec, input: &'a Name, problems: &mut Vec<Diagnostic>) -> BTreeMap<&'a str, (usize, Span)> {
    let mut names = BTreeMap::from([(input.text.as_str(), (0, input.span))]);
    for (i, entry) in spec.layers.iter().enumerate() {
        // A layer that could not be read is still one that others may read.
        if entry.kind.text.is_empty() {
            let known = Some(entry.name.text.as_str()).filter(|name| !name.ends_with('.'));
            names.entry(known.unwrap_or("")).or_insert((i + 1, entry.name.span));
            continue;
        }
        if entry.named && !good_layer_name(&entry.name, false, problems) {
            if let Some(fix) = problems.last_mut().and_then(|d| d.fixes.first_mut()) {
                rename_readers(spec, entry, fix);
            }
            continue;
        }
        if let Some(setting) = entry.settings.get("name") {
            let message = format!("`name` must be a word, but is {}", setting.value.data.describe());
            let span = setting.value.span;
            let better = match setting.value.data {
                Data::Integer(n @ 0..) => Some(format!("{}{n}", entry.kind.text)),
                _ => None,
            };
            let free = better.filter(|name| spec.layers.iter().all(|e| e.name.text != *name));
            let fix = free.map(|name| Fix::maybe(name.clone(), span, name));
            problems.push(Diagnostic::error(Code::WrongType, span, message).fixes(fix));
        }
        match names.get(entry.name.text.as_str()) {
            Some(&(_, first)) => {
                let message = format!("two layers are called `{}`", entry.name.text);
                let diagnostic = Diagnostic::error(Code::DuplicateName, entry.name.span, message);
                let taken = |name: &str| name == input.text || spec.layers.iter().any(|e| e.name.text == name);
                let fix = (problems.len() < MOST_GUESSED && entry.named).then(|| {
                    let free = remedy::free_name(&entry.name.text, taken);
                    let before = entry.name.text.len() - remedy::written(&entry.name.text, entry.name.span).len();
                    let free = free.get(before..).unwrap_or(&free).to_string();
                    Fix::maybe(free.clone(), entry.name.span, free)
                });
                problems.push(diagnostic.at("again here").label(first, "first here").fixes(fix));
            }
            None => {
                names.insert(&entry.name.text, (i + 1, entry.name.span));
            }
        }
    }
    names
}

/// Adds to a fix that gives a layer another name that whoever reads the layer says so.
fn rename_readers(spec: &Spec, entry: &LayerEntry, fix: &mut Fix) {
    let Some(name) = fix.edits.first().map(|edit| edit.text.clone()) else { return };
    let references = spec.layers.iter().flat_map(remedy::references);
    for (_, span) in references.filter(|(read, _)| *read == entry.name.text) {
        if fix.edits.iter().all(|edit| edit.span != span) {
            fix.edits.push(Edit { span, text: name.clone() });
        }
    }
}

fn definition(spec: &Spec, entry: &LayerEntry, problems: &mut Vec<Diagnostic>) -> Option<&'static Definition> {
    let word = entry.kind.text.as_str();
    if let Some(definition) = DEFINITIONS.iter().find(|d| d.word == word) {
        return Some(definition);
    }
    if word.is_empty() {
        return None;
    }
    let lower = word.to_ascii_lowercase();
    let synonym = DEFINITIONS.iter().find(|d| d.word == lower || d.synonyms.contains(&lower.as_str())).map(|d| d.word);
    let mut diagnostic = Diagnostic::error(Code::UnknownLayer, entry.kind.span, format!("there is no layer `{word}`"));
    let mut words: Vec<&str> = DEFINITIONS.iter().map(|d| d.word).collect();
    if let Some(Data::Map(blocks)) = spec.sections.get("blocks").map(|s| &s.value.data)
        && problems.len() < MOST_GUESSED
    {
        words.extend(blocks.entries.iter().map(|s| s.key.text.as_str()));
    }
    diagnostic = match (synonym, closest(word, words.iter().copied())) {
        (Some(known), _) => diagnostic.fix(Fix::maybe(format!("the word is `{known}`"), entry.kind.span, known)),
        (None, Some(known)) => diagnostic.fix(Fix::maybe(format!("did you mean `{known}`?"), entry.kind.span, known)),
        (None, None) => diagnostic.note(format!("layers are {}", listed(&words))),
    };
    problems.push(diagnostic);
    None
}

/// What the entry reads.
fn sources(
    spec: &Spec,
    index: usize,
    definition: Option<&Definition>,
    names: &BTreeMap<&str, (usize, Span)>,
    problems: &mut Vec<Diagnostic>,
) -> Option<Vec<usize>> {
    let entry = &spec.layers[index];
    let before = || match index.checked_sub(1) {
        Some(before) => Some(spec.layers[before].name.text.as_str()),
        None => names.iter().find(|(_, (number, _))| *number == 0).map(|(name, _)| *name),
    };
    let setting = entry.settings.get("from");
    let items: Vec<(&str, Span)> = match setting.map(|s| (&s.value.data, s.value.span)) {
        None => Vec::new(),
        Some((Data::Text(text), span)) => vec![(text.as_str(), span)],
        Some((Data::List(values), span)) => {
            let mut items = Vec::new();
            for value in values {
                let Data::Text(text) = &value.data else {
                    let message = format!("`from` names layers, but this is {}", value.data.describe());
                    problems.push(Diagnostic::error(Code::WrongType, value.span, message));
                    return None;
                };
                items.push((text.as_str(), value.span));
            }
            if items.is_empty() {
                let message = format!("{} reads nothing", entry.name.text);
                let fix = before()
                    .filter(|name| !name.contains('.'))
                    .map(|name| Fix::maybe(format!("from: {name}"), span, name));
                problems.push(Diagnostic::error(Code::InputCount, span, message).fixes(fix));
                return None;
            }
            items
        }
        Some((other, span)) => {
            let message = format!("`from` must name a layer or several, but is {}", other.describe());
            problems.push(Diagnostic::error(Code::WrongType, span, message));
            return None;
        }
    };
    let count = items.len().max(1);
    let span = setting.map_or(entry.kind.span, |s| s.value.span);
    let expected = match definition.map(|d| d.inputs) {
        Some(Inputs::One) if count != 1 => Some("reads one layer"),
        Some(Inputs::Many) if count < 2 => Some("reads two layers or more"),
        _ => None,
    };
    if let Some(expected) = expected {
        let message = format!("{} {expected}, but is given {count}", entry.name.text);
        let mut diagnostic = Diagnostic::error(Code::InputCount, span, message);
        diagnostic = match definition.map(|d| d.inputs) {
            Some(Inputs::Many) => diagnostic.note("say which: `from: [first, second]`"),
            _ => diagnostic.note("`add` and `concat` join layers"),
        };
        let given: Vec<&str> =
            if items.is_empty() { before().into_iter().collect() } else { items.iter().map(|i| i.0).collect() };
        let others = || {
            let earlier = spec.layers[..index].iter().rev().map(|e| e.name.text.as_str());
            earlier.filter(|name| !given.contains(name)).take(MOST_PARTNERS)
        };
        let plain = |name: &&str| !name.is_empty() && !name.contains('.');
        let choices: Vec<String> = match definition.map(|d| d.inputs) {
            Some(Inputs::Many) if given.iter().all(plain) => {
                others().filter(plain).map(|other| format!("[{}, {other}]", given.join(", "))).collect()
            }
            Some(Inputs::One) => given.iter().copied().filter(plain).map(str::to_string).collect(),
            _ => Vec::new(),
        };
        let choices = choices.into_iter().filter(|_| problems.len() < MOST_GUESSED);
        let fixes = choices.map(|from| {
            let edit = reader::edit(&entry.settings, entry.kind.span, "from", &from);
            remedy::fix(format!("from: {from}"), edit)
        });
        let fixes: Vec<Fix> = fixes.collect();
        problems.push(diagnostic.fixes(fixes));
        return None;
    }
    if items.is_empty() {
        return Some(vec![index]);
    }
    let mut sources = Some(Vec::new());
    for (name, span) in items {
        match names.get(name).or_else(|| names.get("")) {
            Some(&(source, _)) => {
                if let Some(sources) = &mut sources {
                    sources.push(source);
                }
            }
            None => {
                let mut diagnostic =
                    Diagnostic::error(Code::UnknownFrom, span, format!("there is no layer called `{name}`"));
                let known = if problems.len() < MOST_GUESSED { closest(name, names.keys().copied()) } else { None };
                if let Some(known) = known {
                    diagnostic = diagnostic.fix(Fix::maybe(format!("did you mean `{known}`?"), span, known));
                }
                problems.push(diagnostic);
                sources = None;
            }
        }
    }
    sources
}

fn cycles(spec: &Spec, graph: &DiGraph<usize, usize>, problems: &mut Vec<Diagnostic>) {
    for mut component in kosaraju_scc(graph) {
        let itself = component.first().is_some_and(|&n| graph.contains_edge(n, n));
        if component.len() < 2 && !itself {
            continue;
        }
        component.sort();
        let entries: Vec<&LayerEntry> =
            component.iter().filter_map(|&n| spec.layers.get(graph[n].checked_sub(1)?)).collect();
        let Some(first) = entries.first() else { continue };
        let names: Vec<&str> = entries.iter().map(|e| e.name.text.as_str()).collect();
        let message = match names.len() {
            1 => format!("{} reads its own result", names[0]),
            _ => format!("{} read each other's results in a circle", names.join(", ")),
        };
        let at = |e: &LayerEntry| e.settings.get("from").map_or(e.name.span, |s| s.value.span);
        let mut diagnostic = Diagnostic::error(Code::Cycle, at(first), message);
        for entry in entries.iter().skip(1).take(8) {
            diagnostic = diagnostic.label(at(entry), format!("{} reads this", entry.name.text));
        }
        let own = |(name, _): &(&str, Span)| *name == first.name.text;
        let itself = remedy::references(first).into_iter().find(|item| names.len() == 1 && own(item));
        let before = spec.layers.iter().position(|e| e.name.text == first.name.text).and_then(|at| at.checked_sub(1));
        let before = before.map(|at| spec.layers[at].name.text.as_str()).filter(|name| !name.contains('.'));
        let fix = itself.zip(before).map(|((_, span), before)| Fix::maybe(format!("from: {before}"), span, before));
        problems.push(diagnostic.at(format!("{} reads this", first.name.text)).fixes(fix));
    }
}

/// Layers that lead nowhere. The last entry's result is the network's.
fn unread(spec: &Spec, input: &Name, graph: &DiGraph<usize, usize>, problems: &mut Vec<Diagnostic>) {
    let mut removal = None;
    for node in graph.node_indices() {
        let number = graph[node];
        if number == spec.layers.len() || graph.neighbors(node).next().is_some() {
            continue;
        }
        let (name, span) = match number.checked_sub(1) {
            None => (&input.text, input.span),
            Some(i) => (&spec.layers[i].name.text, spec.layers[i].name.span),
        };
        let diagnostic = Diagnostic::error(Code::UnreadLayer, span, format!("nothing reads the result of {name}"));
        let edit = number.checked_sub(1).and_then(|i| removal.get_or_insert_with(|| remedy::Removal::new(spec)).of(i));
        let fix = edit.map(|edit| remedy::fix(format!("remove {name}"), edit));
        let note = "the network's result is that of the last layer; every other must be read by one";
        problems.push(diagnostic.note(note).fixes(fix));
    }
}

/// Every entry after what it reads; where there is a choice, in the order of the spec.
fn execution_order(operands: &[Option<Vec<usize>>]) -> Vec<usize> {
    let mut waiting: Vec<usize> = Vec::new();
    let mut readers: Vec<Vec<usize>> = vec![Vec::new(); operands.len() + 1];
    for (i, sources) in operands.iter().enumerate() {
        let sources = sources.as_deref().unwrap_or_default();
        waiting.push(sources.len());
        for &source in sources {
            readers[source].push(i);
        }
    }
    let mut ready: BTreeSet<usize> = (0..operands.len()).filter(|&i| waiting[i] == 0).collect();
    let mut order = Vec::new();
    let mut done = vec![false; operands.len()];
    let finish = |source: usize, waiting: &mut Vec<usize>, ready: &mut BTreeSet<usize>| {
        for &reader in &readers[source] {
            waiting[reader] -= 1;
            if waiting[reader] == 0 {
                ready.insert(reader);
            }
        }
    };
    finish(0, &mut waiting, &mut ready);
    while let Some(i) = ready.pop_first() {
        order.push(i);
        done[i] = true;
        finish(i + 1, &mut waiting, &mut ready);
    }
    order.extend((0..operands.len()).filter(|&i| !done[i]));
    order
}
