//! Walks a graph from its loss to its parameters.

use super::rules;
use crate::graph::{Bug, Builder, Def, Graph, NodeId, Op, ValueId};

/// Adds the gradient of `loss` for each of the values `of` that it depends on, and calls `done(builder, i, gradient)`
/// with each as soon as it is complete, before older operations are differentiated.
///
/// `loss` is the first result of a loss operation.
///
/// # Errors
/// If an operation on the way has no rule: a bug.
pub fn gradients(
    b: &mut Builder,
    loss: ValueId,
    of: &[ValueId],
    mut done: impl FnMut(&mut Builder, usize, ValueId) -> Result<(), Bug>,
) -> Result<(), Bug> {
    let Def::Node(last, 0) = b.graph().value(loss).def else {
        return Err(Bug("the loss is no first result of an operation".to_owned()));
    };
    let mut walk = Walk::new(b.graph(), of, last);
    for n in (0..=last.0).rev() {
        let node = b.graph().nodes[n as usize].clone();
        if !node.inputs.iter().any(|&v| walk.needs[v.0 as usize]) {
            continue;
        }
        b.at(&node.layer, node.span);
        let mut incoming = vec![];
        for &output in &node.outputs {
            incoming.push(walk.total(b, output)?);
        }
        if n == last.0 || incoming.iter().any(Option::is_some) {
            let wanted: Vec<Option<String>> =
                node.inputs.iter().map(|&v| walk.name_of_piece(b.graph(), v, NodeId(n))).collect();
            let pieces = rules::pull_back(b, NodeId(n), &node, &incoming, &wanted)?;
            for (&operand, piece) in node.inputs.iter().zip(pieces) {
                if walk.needs[operand.0 as usize] {
                    walk.pieces[operand.0 as usize].extend(piece);
                }
            }
        }
        for (i, &v) in of.iter().enumerate() {
            if walk.first_use[v.0 as usize] == Some(NodeId(n))
                && let Some(gradient) = walk.total(b, v)?
            {
                done(b, i, gradient)?;
            }
        }
    }
    Ok(())
}

/// What is known about the values of the forward pass, by value.
struct Walk {
    /// Whether it depends on one of the values asked for.
    needs: Vec<bool>,
    /// The operation that uses it first, and so is differentiated last.
    first_use: Vec<Option<NodeId>>,
    /// How many operands it is.
    uses: Vec<usize>,
    /// Contributions to its gradient, the latest user's first.
    pieces: Vec<Vec<ValueId>>,
}

impl Walk {
    fn new(graph: &Graph, of: &[ValueId], last: NodeId) -> Self {
        let count = graph.values.len();
        let mut walk = Walk {
            needs: vec![false; count],
            first_use: vec![None; count],
            uses: vec![0; count],
            pieces: vec![vec![]; count],
        };
        for v in of {
            walk.needs[v.0 as usize] = true;
        }
        for (n, node) in graph.nodes.iter().enumerate().take(last.0 as usize + 1) {
            for v in &node.inputs {
                walk.first_use[v.0 as usize].get_or_insert(NodeId(n as u32));
                walk.uses[v.0 as usize] += 1;
            }
            if node.inputs.iter().any(|v| walk.needs[v.0 as usize]) {
                node.outputs.iter().for_each(|v| walk.needs[v.0 as usize] = true);
            }
        }
        walk
    }

    /// The name for a contribution of `user` to the gradient of `v`; none if nobody needs it.
    fn name_of_piece(&self, graph: &Graph, v: ValueId, user: NodeId) -> Option<String> {
        let index = v.0 as usize;
        let name = &graph.value(v).name;
        if !self.needs[index] {
            return None;
        }
        if self.uses[index] == 1 {
            return Some(format!("{name}.grad"));
        }
        let user = &graph.nodes[user.0 as usize];
        let by = if user.layer.is_empty() { user.op.mnemonic() } else { &user.layer };
        Some(format!("{name}.grad.{by}"))
    }

    /// The sum of the contributions so far, which replaces them; none if there are none.
    fn total(&mut self, b: &mut Builder, v: ValueId) -> Result<Option<ValueId>, Bug> {
        let pieces = std::mem::take(&mut self.pieces[v.0 as usize]);
        let Some((&first, rest)) = pieces.split_first() else { return Ok(None) };
        let name = format!("{}.grad", b.graph().value(v).name);
        let mut sum = first;
        for &piece in rest {
            sum = b.try_node(Op::Add, &[sum, piece], None, &name).map_err(Bug)?[0];
        }
        self.pieces[v.0 as usize] = vec![sum];
        Ok(Some(sum))
    }
}
