//! Checks that a graph is well formed. The invariants:
//!
//! 1. Every [`ValueId`] and [`StateId`] in the graph exists.
//! 2. Values are numbered in order of definition: inputs, contents of states in the order of the states, results of
//!    nodes in the order of the nodes. Each value's [`Def`] names the place that defines it; each is defined once.
//! 3. Names of values are unique and made of letters, digits, `_` and `.`; names of states, of outputs are unique.
//! 4. Every size is at least 1, and a tensor has fewer than 2⁴⁸ elements.
//! 5. The contents of a state are f32 and have its shape.
//! 6. Every operand is defined before the node that takes it.
//! 7. Every result has the type that [`result_types`] gives. A node has all the results that its operation has; only a
//!    max-pooling may leave out its index.
//! 8. A state is updated once at most, with a value of its type.
//!
//! A graph that breaks one is a bug in netc, never of the user.

use super::text::{Place, lines};
use super::{DType, Def, Graph, Node, NodeId, Op, StateId, Type, ValueId, result_types};
use std::collections::BTreeSet;
use std::fmt;

/// A graph with what is wrong with it; displays as the text form with each error under its line.
#[derive(Debug, Clone, PartialEq)]
pub struct Malformed {
    /// The errors, in order of the text.
    pub errors: Vec<(Place, String)>,
    text: Vec<(Place, String)>,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (place, line)) in self.text.iter().enumerate() {
            writeln!(f, "{line}")?;
            if *place == Place::Graph && i > 0 {
                continue;
            }
            for (_, message) in self.errors.iter().filter(|(at, _)| at == place) {
                writeln!(f, "  ^ error: {message}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Malformed {}

/// Checks every invariant.
///
/// # Errors
/// All that are broken.
pub fn verify(graph: &Graph) -> Result<(), Malformed> {
    let mut check = Check { graph, errors: vec![], defined: 0 };
    check.names();
    check.definitions();
    check.results();
    if check.errors.is_empty() {
        return Ok(());
    }
    Err(Malformed { errors: check.errors, text: lines(graph) })
}

struct Check<'a> {
    graph: &'a Graph,
    errors: Vec<(Place, String)>,
    /// Values below this number are defined.
    defined: usize,
}

impl Check<'_> {
    fn error(&mut self, place: Place, message: impl Into<String>) {
        self.errors.push((place, message.into()));
    }

    fn names(&mut self) {
        let mut seen = BTreeSet::new();
        for value in &self.graph.values {
            let name = &value.name;
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
            if name.is_empty() || !name.chars().all(plain) {
                self.error(self.place(value.def), format!("\"{name}\" is no name for a value"));
            }
            if !seen.insert(name) {
                self.error(self.place(value.def), format!("two values are called %{name}"));
            }
            if value.shape.contains(&0) {
                self.error(self.place(value.def), format!("%{name} has a size of 0"));
            }
            if elements(&value.shape).is_none() {
                self.error(self.place(value.def), format!("%{name} is too large"));
            }
        }
        let mut seen = BTreeSet::new();
        for (i, state) in self.graph.states.iter().enumerate() {
            if !seen.insert(&state.name) {
                self.error(Place::State(i), format!("two states are called {}", state.name));
            }
            if state.shape.contains(&0) {
                self.error(Place::State(i), "a size is 0");
            }
        }
        let mut seen = BTreeSet::new();
        for (i, (name, _)) in self.graph.outputs.iter().enumerate() {
            if !seen.insert(name) {
                self.error(Place::Output(i), format!("two outputs are called {name}"));
            }
        }
    }

    fn place(&self, def: Def) -> Place {
        match def {
            Def::Input(i) => Place::Input(i as usize),
            Def::State(s) => Place::State(s.0 as usize),
            Def::Node(n, _) => Place::Node(n),
        }
    }

    fn definitions(&mut self) {
        let graph = self.graph;
        for (i, &v) in graph.inputs.iter().enumerate() {
            self.define(Place::Input(i), v, Def::Input(i as u32));
        }
        for (i, state) in graph.states.iter().enumerate() {
            let Some(v) = state.value else { continue };
            self.define(Place::State(i), v, Def::State(StateId(i as u32)));
            if let Some(value) = graph.values.get(v.0 as usize) {
                let (got, want) = (Type::from(value), Type::f32(state.shape.clone()));
                if got != want {
                    self.error(Place::State(i), format!("its contents are {got}, not {want}"));
                }
            }
        }
        for (n, node) in graph.nodes.iter().enumerate() {
            let id = NodeId(n as u32);
            for &v in &node.inputs {
                self.use_of(Place::Node(id), v);
            }
            for (k, &v) in node.outputs.iter().enumerate() {
                self.define(Place::Node(id), v, Def::Node(id, k as u32));
            }
        }
        if self.defined < graph.values.len() {
            let name = graph.values[self.defined].name.clone();
            self.error(Place::Graph, format!("nothing defines %{name}"));
        }
        for (i, (_, v)) in graph.outputs.iter().enumerate() {
            self.use_of(Place::Output(i), *v);
        }
        self.updates();
    }

    fn updates(&mut self) {
        let graph = self.graph;
        let mut seen = BTreeSet::new();
        for (i, (s, v)) in graph.updates.iter().enumerate() {
            self.use_of(Place::Update(i), *v);
            let Some(state) = graph.states.get(s.0 as usize) else {
                self.error(Place::Update(i), "there is no such state");
                continue;
            };
            if !seen.insert(s) {
                self.error(Place::Update(i), "the state is updated twice");
            }
            if let Some(value) = graph.values.get(v.0 as usize) {
                let (got, want) = (Type::from(value), Type::f32(state.shape.clone()));
                if got != want {
                    self.error(Place::Update(i), format!("the value is {got}, not {want}"));
                }
            }
        }
    }

    fn define(&mut self, place: Place, v: ValueId, def: Def) {
        let Some(value) = self.graph.values.get(v.0 as usize) else {
            return self.error(place, format!("value {} does not exist", v.0));
        };
        if value.def != def {
            self.error(place, format!("%{} names another place as its definition", value.name));
        }
        if v.0 as usize != self.defined {
            self.error(place, format!("%{} is value {}, out of order", value.name, v.0));
        }
        self.defined = self.defined.max(v.0 as usize + 1);
    }

    fn use_of(&mut self, place: Place, v: ValueId) {
        match self.graph.values.get(v.0 as usize) {
            None => self.error(place, format!("value {} does not exist", v.0)),
            Some(value) if v.0 as usize >= self.defined => {
                self.error(place, format!("%{} is used before it is defined", value.name));
            }
            Some(_) => {}
        }
    }

    fn results(&mut self) {
        for (n, node) in self.graph.nodes.iter().enumerate() {
            if let Err(message) = self.node(node) {
                self.error(Place::Node(NodeId(n as u32)), message);
            }
        }
    }

    fn node(&self, node: &Node) -> Result<(), String> {
        let types = |ids: &[ValueId]| -> Option<Vec<Type>> {
            ids.iter().map(|v| self.graph.values.get(v.0 as usize).map(Type::from)).collect()
        };
        let (Some(operands), Some(results)) = (types(&node.inputs), types(&node.outputs)) else {
            return Ok(());
        };
        if operands.iter().chain(&results).any(|t| elements(&t.shape).is_none()) {
            return Ok(());
        }
        let shape = results.first().filter(|t| t.dtype == DType::F32).map(|t| t.shape.as_slice());
        let wanted = result_types(&node.op, &operands, shape)?;
        let may_leave_out = usize::from(matches!(node.op, Op::MaxPool(_)));
        if results.len() > wanted.len() || results.len() + may_leave_out < wanted.len() {
            return Err(format!("{} results and not {}", results.len(), wanted.len()));
        }
        for (got, want) in results.iter().zip(&wanted) {
            if got != want {
                return Err(format!("the result is {got}, not {want}"));
            }
        }
        Ok(())
    }
}

/// The number of elements, unless there are too many to count.
fn elements(shape: &[usize]) -> Option<usize> {
    let product = shape.iter().try_fold(1_usize, |product, &size| product.checked_mul(size))?;
    (product < 1 << 48).then_some(product)
}
