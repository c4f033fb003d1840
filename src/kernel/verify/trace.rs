//! Walks through a kernel's accesses one by one: the last resort where algebra proves nothing.

use super::super::{BufferId, Expr, Index, Kernel, LoopKind, Space, Stmt, Var};
use std::collections::{BTreeMap, BTreeSet};

/// Accesses and iterations looked at before loops are cut down to their corners.
const BUDGET: usize = 400_000;

/// Every fault that shows in running the loops: accesses outside of their buffer, iterations of parallel and vector
/// loops that touch what another one writes. Long kernels are sampled: the first two, middle and last two iterations
/// of each loop.
pub(super) fn trace(kernel: &Kernel) -> Vec<String> {
    for corners in [false, true] {
        let mut tracer = Tracer {
            kernel,
            vars: vec![0; kernel.vars.len()],
            races: Vec::new(),
            faults: BTreeSet::new(),
            left: BUDGET,
            corners,
        };
        tracer.block(&kernel.body);
        if tracer.left > 0 || corners || !tracer.faults.is_empty() {
            return tracer.faults.into_iter().collect();
        }
    }
    Vec::new()
}

struct Tracer<'k> {
    kernel: &'k Kernel,
    vars: Vec<i64>,
    races: Vec<Race>,
    faults: BTreeSet<String>,
    left: usize,
    corners: bool,
}

/// The iteration after `i` among the first two, the middle one and the last two.
fn next_corner(i: i64, begin: i64, end: i64) -> i64 {
    let middle = begin + (end - begin) / 2;
    let corners = [begin, begin + 1, middle, end - 2, end - 1];
    corners.into_iter().filter(|c| *c > i).min().unwrap_or(end)
}

/// A loop under way whose iterations must keep apart.
struct Race {
    kind: LoopKind,
    name: String,
    iteration: i64,
    touched: BTreeMap<(BufferId, i64), Touched>,
}

/// Which iterations touched an element.
#[derive(Clone, Copy, Default)]
struct Touched {
    writer: Option<i64>,
    reader: Option<i64>,
    readers_differ: bool,
}

impl<'k> Tracer<'k> {
    fn block(&mut self, block: &'k [Stmt]) {
        for stmt in block {
            if self.left == 0 {
                return;
            }
            match stmt {
                Stmt::For { var, begin, end, kind, body } => self.iterate(*var, begin, end, *kind, body),
                Stmt::Let { value, .. } => self.loads(value),
                Stmt::Store { buffer, index, value } => {
                    self.loads(value);
                    self.access(*buffer, index, true);
                }
                Stmt::Prefetch { .. } => {}
            }
        }
    }

    fn iterate(&mut self, var: Var, begin: &Index, end: &Index, kind: LoopKind, body: &'k [Stmt]) {
        let (begin, end) = (self.evaluate(begin), self.evaluate(end));
        let race = matches!(kind, LoopKind::Parallel | LoopKind::Vector);
        if race {
            let name = self.kernel.vars.get(var.0 as usize).cloned().unwrap_or_default();
            self.races.push(Race { kind, name, iteration: begin, touched: BTreeMap::new() });
        }
        let mut i = begin;
        while i < end {
            if let Some(value) = self.vars.get_mut(var.0 as usize) {
                *value = i;
            }
            if race && let Some(race) = self.races.last_mut() {
                race.iteration = i;
            }
            self.left = self.left.saturating_sub(1);
            self.block(body);
            if self.left == 0 {
                break;
            }
            i = if self.corners { next_corner(i, begin, end) } else { i + 1 };
        }
        if race {
            self.races.pop();
        }
    }

    fn evaluate(&self, index: &Index) -> i64 {
        index.evaluate(&|v| self.vars.get(v.0 as usize).copied().unwrap_or(0))
    }

    fn loads(&mut self, value: &'k Expr) {
        value.each_load(&mut |buffer, index, gather| {
            if !gather {
                self.access(buffer, index, false);
            }
        });
    }

    fn access(&mut self, buffer: BufferId, index: &Index, store: bool) {
        self.left = self.left.saturating_sub(1);
        let at = self.evaluate(index);
        let Some(memory) = self.kernel.buffers.get(buffer.0 as usize) else { return };
        if at < 0 || at >= memory.len as i64 {
            let what = if store { "store to" } else { "load of" };
            let index = super::super::text::print_index(self.kernel, index);
            self.faults.insert(format!("{what} {}[{index}] reaches beyond its {} elements", memory.name, memory.len));
        }
        for race in &mut self.races {
            if race.kind == LoopKind::Parallel && !matches!(memory.space, Space::Global(_)) {
                continue;
            }
            let touched = race.touched.entry((buffer, at)).or_default();
            let i = race.iteration;
            let other_wrote = touched.writer.is_some_and(|w| w != i);
            let other_read = touched.readers_differ || touched.reader.is_some_and(|r| r != i);
            if other_wrote || (store && other_read) {
                let name = &race.name;
                self.faults
                    .insert(format!("{}[{at}]: written in one iteration of `{name}`, touched in another", memory.name));
            }
            if store {
                touched.writer = Some(i);
            } else {
                touched.readers_differ |= other_read;
                touched.reader = Some(i);
            }
        }
    }
}
