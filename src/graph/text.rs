//! The text form of a graph: printing, and parsing back without loss.
//!
//! ```text
//! graph infer {
//!   input %image: f32[1,3,8,8]
//!   state parameter conv1.weight: f32[4,3,3,3] -> %conv1.weight
//!   %conv1.y: f32[1,4,6,6] = conv{stride=[1,1], padding=[0,0,0,0], dilation=[1,1], groups=1}(%image, %conv1.weight) @conv1:40-68
//!   output output = %conv1.y
//! }
//! ```
//!
//! One item a line: inputs, states (with `->` and the value if the function reads them), nodes, outputs, updates
//! (`update NAME = %VALUE`). `@` names the layer, behind it the bytes of its source. Names that are more than letters,
//! digits, `_`, `.` and `-` stand in quotes. `#` starts a comment.

use super::{Graph, NodeId, ValueId};
use crate::source::Span;
use netc_runtime::program::StateRole;
use std::fmt;

pub use super::parse::{ParseError, parse};

/// What a line of the text form shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The graph as a whole.
    Graph,
    /// An input, by place.
    Input(usize),
    /// A state, by place.
    State(usize),
    /// An operation.
    Node(NodeId),
    /// An output, by place.
    Output(usize),
    /// An update, by place.
    Update(usize),
}

/// The text form line by line. Prints graphs that do not verify, too.
pub fn lines(graph: &Graph) -> Vec<(Place, String)> {
    let mut out = vec![(Place::Graph, format!("graph {} {{", word(&graph.name)))];
    for (i, &v) in graph.inputs.iter().enumerate() {
        out.push((Place::Input(i), format!("  input {}", typed(graph, v))));
    }
    for (i, s) in graph.states.iter().enumerate() {
        let sizes: Vec<String> = s.shape.iter().map(usize::to_string).collect();
        let mut line = format!("  state {} {}: f32[{}]", role_name(s.role), word(&s.name), sizes.join(","));
        if let Some(v) = s.value {
            line += &format!(" -> {}", value_name(graph, v));
        }
        out.push((Place::State(i), line));
    }
    for (i, node) in graph.nodes.iter().enumerate() {
        let results: Vec<String> = node.outputs.iter().map(|&v| typed(graph, v)).collect();
        let operands: Vec<String> = node.inputs.iter().map(|&v| value_name(graph, v)).collect();
        let attributes: Vec<String> = node.op.attributes().iter().map(|(k, v)| format!("{k}={v}")).collect();
        let braces = if attributes.is_empty() { String::new() } else { format!("{{{}}}", attributes.join(", ")) };
        let mut line = format!("  {} = {}{braces}({})", results.join(", "), node.op.mnemonic(), operands.join(", "));
        if !node.layer.is_empty() || node.span != Span::default() {
            line += &format!(" @{}", word(&node.layer));
        }
        if node.span != Span::default() {
            line += &format!(":{}-{}", node.span.start, node.span.end);
        }
        out.push((Place::Node(NodeId(i as u32)), line));
    }
    for (i, (name, v)) in graph.outputs.iter().enumerate() {
        out.push((Place::Output(i), format!("  output {} = {}", word(name), value_name(graph, *v))));
    }
    for (i, (state, v)) in graph.updates.iter().enumerate() {
        let name = graph.states.get(state.0 as usize).map_or_else(|| format!("?{}", state.0), |s| word(&s.name));
        out.push((Place::Update(i), format!("  update {name} = {}", value_name(graph, *v))));
    }
    out.push((Place::Graph, "}".to_owned()));
    out
}

impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        lines(self).iter().try_for_each(|(_, line)| writeln!(f, "{line}"))
    }
}

/// `%name`, or `%?7` for a value that does not exist.
pub fn value_name(graph: &Graph, value: ValueId) -> String {
    match graph.values.get(value.0 as usize) {
        Some(v) => format!("%{}", v.name),
        None => format!("%?{}", value.0),
    }
}

fn typed(graph: &Graph, value: ValueId) -> String {
    match graph.values.get(value.0 as usize) {
        Some(v) => format!("%{}: {}", v.name, super::Type::from(v)),
        None => format!("%?{}", value.0),
    }
}

/// The word for a role.
pub(super) fn role_name(role: StateRole) -> &'static str {
    match role {
        StateRole::Parameter => "parameter",
        StateRole::Buffer => "buffer",
        StateRole::Optimizer => "optimizer",
    }
}

/// Whether a character may stand in a name without quotes.
pub(super) fn is_word_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-')
}

/// A name, in quotes if it is no plain word.
fn word(name: &str) -> String {
    let plain = !name.is_empty() && name.chars().all(is_word_char);
    if plain {
        name.to_owned()
    } else {
        format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
    }
}
