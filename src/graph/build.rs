//! Builds graphs: infers the types of results, makes names unique, numbers values in order of definition.

use super::shapes::{Type, result_types};
use super::{Def, Graph, Node, NodeId, Op, State, StateId, Value, ValueId};
use crate::source::Span;
use netc_runtime::program::StateRole;
use std::collections::BTreeSet;

/// A graph under construction, or one that is being extended.
///
/// Values may be added in any order that defines operands first; [`Builder::finish`] numbers them anew.
#[derive(Debug, Clone)]
pub struct Builder {
    graph: Graph,
    names: BTreeSet<String>,
    layer: String,
    span: Span,
}

impl Builder {
    /// An empty function over `states`, none of which is read yet.
    pub fn new(name: &str, states: &[State]) -> Self {
        let states = states.iter().map(|s| State { value: None, ..s.clone() }).collect();
        Builder::extend(Graph {
            name: name.to_owned(),
            values: vec![],
            inputs: vec![],
            states,
            nodes: vec![],
            outputs: vec![],
            updates: vec![],
        })
    }

    /// Goes on with a finished graph.
    pub fn extend(graph: Graph) -> Self {
        let names = graph.values.iter().map(|v| v.name.clone()).collect();
        Builder { graph, names, layer: String::new(), span: Span::default() }
    }

    /// The graph so far. Its values are not yet in order.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Nodes added from here on belong to this layer.
    pub fn at(&mut self, layer: &str, span: Span) {
        layer.clone_into(&mut self.layer);
        self.span = span;
    }

    /// Adds an input behind those there are.
    pub fn input(&mut self, name: &str, of: Type) -> ValueId {
        let index = self.graph.inputs.len() as u32;
        let id = self.value(name, of, Def::Input(index));
        self.graph.inputs.push(id);
        id
    }

    /// Adds an input at place `index`.
    pub fn input_at(&mut self, index: usize, name: &str, of: Type) -> ValueId {
        let id = self.input(name, of);
        let index = index.min(self.graph.inputs.len() - 1);
        self.graph.inputs.pop();
        self.graph.inputs.insert(index, id);
        for (i, &input) in self.graph.inputs.iter().enumerate() {
            self.graph.values[input.0 as usize].def = Def::Input(i as u32);
        }
        id
    }

    /// The input called `name`.
    pub fn find_input(&self, name: &str) -> Option<ValueId> {
        self.graph.inputs.iter().copied().find(|&v| self.graph.value(v).name == name)
    }

    /// Adds a state.
    pub fn state(&mut self, name: &str, shape: impl Into<Vec<usize>>, role: StateRole) -> StateId {
        self.graph.states.push(State { name: name.to_owned(), shape: shape.into(), role, value: None });
        StateId(self.graph.states.len() as u32 - 1)
    }

    /// The contents of a state at the function's start.
    pub fn read(&mut self, state: StateId) -> ValueId {
        let entry = &self.graph.states[state.0 as usize];
        if let Some(value) = entry.value {
            return value;
        }
        let (name, of) = (entry.name.clone(), Type::f32(entry.shape.clone()));
        let id = self.value(&name, of, Def::State(state));
        self.graph.states[state.0 as usize].value = Some(id);
        id
    }

    /// Adds a node and names its results `name` (the first) and `name` without its last word followed by the result's
    /// own word (`index`, `mean`, …). An [`Op::MaxPool`] gets one result here; see [`Builder::pool_index`].
    ///
    /// `shape` is needed where [`result_types`] needs it.
    ///
    /// # Errors
    /// What [`result_types`] says, with the name of the value.
    pub fn try_node(
        &mut self,
        op: Op,
        inputs: &[ValueId],
        shape: Option<&[usize]>,
        name: &str,
    ) -> Result<Vec<ValueId>, String> {
        let operands: Vec<Type> = inputs.iter().map(|&v| self.graph.value(v).into()).collect();
        let mut types = result_types(&op, &operands, shape).map_err(|e| format!("{name}: {}: {e}", op.mnemonic()))?;
        if matches!(op, Op::MaxPool(_)) {
            types.truncate(1);
        }
        let node = NodeId(self.graph.nodes.len() as u32);
        let words = op.result_words();
        let mut outputs = Vec::with_capacity(types.len());
        for (i, of) in types.into_iter().enumerate() {
            let name = if i == 0 { name.to_owned() } else { sibling(name, words[i]) };
            outputs.push(self.value(&name, of, Def::Node(node, i as u32)));
        }
        let (layer, span) = (self.layer.clone(), self.span);
        self.graph.nodes.push(Node { op, inputs: inputs.to_vec(), outputs: outputs.clone(), layer, span });
        Ok(outputs)
    }

    /// Gives a value another name.
    pub fn rename(&mut self, value: ValueId, name: &str) {
        let name = self.unique(name);
        let old = std::mem::replace(&mut self.graph.values[value.0 as usize].name, name);
        self.names.remove(&old);
    }

    /// The index result of a max-pooling node, added if it has none yet.
    ///
    /// # Errors
    /// If `node` is no max-pooling.
    pub fn pool_index(&mut self, node: NodeId) -> Result<ValueId, String> {
        let entry = &self.graph.nodes[node.0 as usize];
        match (&entry.op, &entry.outputs[..]) {
            (Op::MaxPool(_), &[_, index]) => Ok(index),
            (Op::MaxPool(_), &[y]) => {
                let y = self.graph.value(y);
                let (name, of) = (sibling(&y.name, "index"), Type::i32(y.shape.clone()));
                let index = self.value(&name, of, Def::Node(node, 1));
                self.graph.nodes[node.0 as usize].outputs.push(index);
                Ok(index)
            }
            _ => Err(format!("{} has no index", entry.op.mnemonic())),
        }
    }

    /// Hands a value back to the caller.
    pub fn output(&mut self, name: &str, value: ValueId) {
        self.graph.outputs.push((name.to_owned(), value));
    }

    /// Assigns a state when the function is done.
    pub fn update(&mut self, state: StateId, value: ValueId) {
        self.graph.updates.push((state, value));
    }

    /// The finished graph, its values in order of definition.
    pub fn finish(self) -> Graph {
        renumber(self.graph)
    }

    fn value(&mut self, name: &str, of: Type, def: Def) -> ValueId {
        let name = self.unique(name);
        self.graph.values.push(Value { name, dtype: of.dtype, shape: of.shape, def });
        ValueId(self.graph.values.len() as u32 - 1)
    }

    /// `name` in the letters that value names have, with a number behind it if it is taken.
    fn unique(&mut self, name: &str) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '.' { c } else { '_' };
        let base: String = if name.is_empty() { "v".to_owned() } else { name.chars().map(plain).collect() };
        let mut candidate = base.clone();
        let mut number = 2;
        while !self.names.insert(candidate.clone()) {
            candidate = format!("{base}.{number}");
            number += 1;
        }
        candidate
    }
}

/// `conv1.y` and `index` make `conv1.index`.
fn sibling(name: &str, word: &str) -> String {
    match name.rsplit_once('.') {
        Some((stem, _)) => format!("{stem}.{word}"),
        None => format!("{name}.{word}"),
    }
}

/// The same graph with its values in order of definition, those that nothing defines left out.
pub fn renumber(mut graph: Graph) -> Graph {
    let mut order: Vec<ValueId> = graph.inputs.clone();
    order.extend(graph.states.iter().filter_map(|s| s.value));
    order.extend(graph.nodes.iter().flat_map(|n| n.outputs.iter().copied()));
    let mut new = vec![ValueId(u32::MAX); graph.values.len()];
    for (i, old) in order.iter().enumerate() {
        new[old.0 as usize] = ValueId(i as u32);
    }
    let to = |v: &mut ValueId| *v = new[v.0 as usize];
    graph.values = order.iter().map(|v| graph.values[v.0 as usize].clone()).collect();
    for (i, input) in graph.inputs.iter_mut().enumerate() {
        to(input);
        graph.values[input.0 as usize].def = Def::Input(i as u32);
    }
    for (i, state) in graph.states.iter_mut().enumerate() {
        if let Some(value) = &mut state.value {
            to(value);
            graph.values[value.0 as usize].def = Def::State(StateId(i as u32));
        }
    }
    for (n, node) in graph.nodes.iter_mut().enumerate() {
        node.inputs.iter_mut().for_each(to);
        for (k, output) in node.outputs.iter_mut().enumerate() {
            to(output);
            graph.values[output.0 as usize].def = Def::Node(NodeId(n as u32), k as u32);
        }
    }
    graph.outputs.iter_mut().for_each(|(_, v)| to(v));
    graph.updates.iter_mut().for_each(|(_, v)| to(v));
    graph
}
