//! Checks that a kernel is one: what code generation and the runtime rely on.

mod disjoint;
mod range;
mod trace;

use super::text::print_index;
use super::{Access, Binary, BufferId, DType, Expr, Index, Kernel, Local, LoopKind, Space, Stmt, Unary, Var};
use disjoint::{Touch, disjoint};
use range::{Affine, Loop};
use std::collections::BTreeSet;

/// Checks the invariants of a kernel; the errors say where each is broken.
///
/// 1. Names of the kernel, its buffers and variables are C identifiers; buffers' names are unique, global buffers come
///    first, no buffer is empty. Registers are f32.
/// 2. Variables and locals are numbered in the order of their loops and lets, each belongs to one, and is used only in
///    its loop's body or in the rest of its let's block.
/// 3. Values have types: f32, i32 or bool. Operands and stores agree with what [`Unary`], [`Binary`] and
///    [`Stmt::Store`] say.
/// 4. Divisors of indices are positive. Every load and store lies in its buffer for all values of the loops around it.
///    (Of a gather only the index without its offset can be checked.)
/// 5. Buffers of [`Access::Read`] are not stored to; those of [`Access::Write`] are, and are loaded only if so.
/// 6. A parallel loop is the only root statement, has constant bounds and holds no parallel loop; no iteration touches
///    an element of a global buffer that another one writes.
/// 7. Unrolled loops have constant bounds.
/// 8. Vector loops are as [`LoopKind::Vector`] says; no lane touches an element that another one writes; the index of
///    every access grows by a constant from lane to lane, and those of stores by one that is not 0.
/// 9. Indices of registers are constant once unrolled loops are expanded but for the variable of a vector loop, in
///    which they have coefficient 1.
///
/// Invariants 4, 6 and 8 are proved by algebra; where that fails, by looking at every access, or in long kernels at
/// those of the corners of the loops.
pub fn verify(kernel: &Kernel) -> Result<(), Vec<String>> {
    let mut verifier = Verifier {
        kernel,
        loops: Vec::new(),
        kinds: Vec::new(),
        scope: Vec::new(),
        seen_vars: 0,
        seen_locals: 0,
        accesses: Vec::new(),
        errors: Vec::new(),
    };
    verifier.declarations();
    verifier.block(&kernel.body);
    verifier.counts();
    if verifier.errors.is_empty() && !verifier.proves_accesses() {
        verifier.errors = trace::trace(kernel);
    }
    if verifier.errors.is_empty() { Ok(()) } else { Err(verifier.errors) }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    F32,
    I32,
    Bool,
}

struct Place<'k> {
    buffer: BufferId,
    index: &'k Index,
    store: bool,
    gather: bool,
    loops: Vec<Loop<'k>>,
    kinds: Vec<LoopKind>,
}

struct Verifier<'k> {
    kernel: &'k Kernel,
    /// Loops around the current place, outermost first, and their kinds.
    loops: Vec<Loop<'k>>,
    kinds: Vec<LoopKind>,
    /// Locals in scope.
    scope: Vec<(Local, Option<Type>)>,
    seen_vars: u32,
    seen_locals: u32,
    accesses: Vec<Place<'k>>,
    errors: Vec<String>,
}

fn identifier(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn constant(index: &Index) -> Option<i64> {
    match index {
        Index::Const(c) => Some(*c),
        _ => {
            let sum = Affine::new(index);
            sum.terms.is_empty().then_some(sum.constant)
        }
    }
}

impl<'k> Verifier<'k> {
    fn error(&mut self, what: impl std::fmt::Display) {
        let mut place = String::new();
        for around in &self.loops {
            place.push_str(self.kernel.vars.get(around.var.0 as usize).map_or("?", |n| n));
            place.push_str(": ");
        }
        self.errors.push(format!("{}: {place}{what}", self.kernel.name));
    }

    fn declarations(&mut self) {
        let kernel = self.kernel;
        if !identifier(&kernel.name) {
            self.error("its name is no identifier");
        }
        let mut names = BTreeSet::new();
        let mut private = false;
        for buffer in &kernel.buffers {
            let name = &buffer.name;
            if !identifier(name) {
                self.error(format!("buffer name `{name}` is no identifier"));
            }
            if !names.insert(name) {
                self.error(format!("two buffers are called `{name}`"));
            }
            if buffer.len == 0 {
                self.error(format!("buffer `{name}` is empty"));
            }
            let global = matches!(buffer.space, Space::Global(_));
            if global && private {
                self.error(format!("global buffer `{name}` comes after scratch or registers"));
            }
            private |= !global;
            if buffer.space == Space::Register && buffer.dtype != DType::F32 {
                self.error(format!("register `{name}` is not f32"));
            }
        }
        for name in kernel.vars.iter().filter(|n| !identifier(n)) {
            self.error(format!("variable name `{name}` is no identifier"));
        }
    }

    fn counts(&mut self) {
        if self.seen_vars as usize != self.kernel.vars.len() {
            self.error(format!("{} variables, {} loops", self.kernel.vars.len(), self.seen_vars));
        }
        if self.seen_locals != self.kernel.locals {
            self.error(format!("{} locals, {} lets", self.kernel.locals, self.seen_locals));
        }
        for at in 0..self.kernel.buffers.len() {
            let buffer = &self.kernel.buffers[at];
            let of = |p: &&Place| p.buffer.0 as usize == at;
            let stored = self.accesses.iter().filter(of).any(|p| p.store);
            match buffer.space {
                Space::Global(Access::Read) if stored => {
                    self.error(format!("stores to `{}`, which is only read", buffer.name));
                }
                Space::Global(Access::Write) if !stored => {
                    self.error(format!("never stores to `{}`", buffer.name));
                }
                _ => {}
            }
        }
    }

    fn block(&mut self, block: &'k [Stmt]) {
        let bound = self.scope.len();
        for stmt in block {
            match stmt {
                Stmt::For { var, begin, end, kind, body } => {
                    self.index(begin);
                    self.index(end);
                    self.loop_rules(*var, begin, end, *kind, block.len());
                    self.loops.push(Loop { var: *var, begin, end });
                    self.kinds.push(*kind);
                    self.block(body);
                    self.loops.pop();
                    self.kinds.pop();
                }
                Stmt::Let { local, value } => {
                    let of = self.value(value);
                    if local.0 != self.seen_locals {
                        self.error(format!("local %{} is number {} of its kernel", local.0, self.seen_locals));
                    }
                    self.seen_locals += 1;
                    self.scope.push((*local, of));
                }
                Stmt::Store { buffer, index, value } => {
                    let of = self.value(value);
                    let expected = self.element(*buffer);
                    if let (Some(of), Some(expected)) = (of, expected)
                        && of != expected
                    {
                        let index = print_index(self.kernel, index);
                        self.error(format!("stores {of:?} to {}[{index}]", self.name(*buffer)));
                    }
                    self.place(*buffer, index, true, false);
                }
                Stmt::Prefetch { buffer, index } => {
                    self.index(index);
                    let space = self.kernel.buffers.get(buffer.0 as usize).map(|b| b.space);
                    if matches!(space, None | Some(Space::Register)) {
                        self.error(format!("prefetches {}, which is not in memory", self.name(*buffer)));
                    }
                }
            }
        }
        self.scope.truncate(bound);
    }

    fn loop_rules(&mut self, var: Var, begin: &Index, end: &Index, kind: LoopKind, siblings: usize) {
        let name = self.kernel.vars.get(var.0 as usize).map_or("?", |n| n.as_str());
        if var.0 != self.seen_vars {
            self.error(format!("`{name}` has number {}, but its loop is number {}", var.0, self.seen_vars));
        }
        self.seen_vars += 1;
        let bounds = (constant(begin), constant(end));
        if kind != LoopKind::Serial && (bounds.0.is_none() || bounds.1.is_none()) {
            self.error(format!("the bounds of {kind:?} loop `{name}` are not constant"));
        }
        if kind == LoopKind::Parallel && (!self.loops.is_empty() || siblings != 1) {
            self.error(format!("parallel loop `{name}` is not the only root statement"));
        }
        if kind == LoopKind::Vector && (bounds.0 != Some(0) || bounds.1.is_some_and(|end| end < 1)) {
            self.error(format!("vector loop `{name}` does not run from 0 to a positive number"));
        }
        let vector = self.loops.iter().zip(&self.kinds).find(|(_, k)| **k == LoopKind::Vector).map(|(l, _)| l.var);
        if let Some(vector) = vector {
            if !matches!(kind, LoopKind::Serial | LoopKind::Unrolled) {
                self.error(format!("{kind:?} loop `{name}` in a vector loop"));
            }
            if begin.mentions(vector) || end.mentions(vector) {
                self.error(format!("the bounds of `{name}` differ from lane to lane"));
            }
        }
    }

    fn name(&self, buffer: BufferId) -> &'k str {
        self.kernel.buffers.get(buffer.0 as usize).map_or("?", |b| &b.name)
    }

    fn element(&mut self, buffer: BufferId) -> Option<Type> {
        let Some(memory) = self.kernel.buffers.get(buffer.0 as usize) else {
            self.error(format!("no buffer {}", buffer.0));
            return None;
        };
        Some(match memory.dtype {
            DType::F32 => Type::F32,
            DType::I32 | DType::U8 => Type::I32,
        })
    }

    /// Variables in scope, positive divisors.
    fn index(&mut self, index: &'k Index) {
        match index {
            Index::Const(_) => {}
            Index::Var(v) => {
                if !self.loops.iter().any(|l| l.var == *v) {
                    let name = self.kernel.vars.get(v.0 as usize).map_or("?", |n| n.as_str());
                    self.error(format!("variable `{name}` outside of its loop"));
                }
            }
            Index::Add(a, b) | Index::Min(a, b) | Index::Max(a, b) => {
                self.index(a);
                self.index(b);
            }
            Index::Mul(a, _) => self.index(a),
            Index::Div(a, d) | Index::Rem(a, d) => {
                if *d <= 0 {
                    self.error(format!("divisor {d} in an index"));
                }
                self.index(a);
            }
        }
    }

    /// An index within a vector loop: by how much it grows from lane to lane, 0 outside of vector loops.
    fn lane_step(&mut self, index: &Index) -> i64 {
        let vector = self.loops.iter().zip(&self.kinds).find(|(_, k)| **k == LoopKind::Vector).map(|(l, _)| l.var);
        let Some(vector) = vector else { return 0 };
        index.coefficient(vector).unwrap_or_else(|| {
            let index = print_index(self.kernel, index);
            self.error(format!("index {index} does not grow evenly from lane to lane"));
            1
        })
    }

    fn place(&mut self, buffer: BufferId, index: &'k Index, store: bool, gather: bool) {
        self.index(index);
        let step = self.lane_step(index);
        let in_vector = self.kinds.contains(&LoopKind::Vector);
        if store && in_vector && step == 0 {
            let index = print_index(self.kernel, index);
            self.error(format!("all lanes store to {}[{index}]", self.name(buffer)));
        }
        if self.kernel.buffers.get(buffer.0 as usize).is_some_and(|b| b.space == Space::Register) {
            self.register_rules(buffer, index, gather);
        }
        let (loops, kinds) = (self.loops.clone(), self.kinds.clone());
        self.accesses.push(Place { buffer, index, store, gather, loops, kinds });
    }

    fn register_rules(&mut self, buffer: BufferId, index: &Index, gather: bool) {
        if gather {
            self.error(format!("gathers from registers {}", self.name(buffer)));
        }
        for at in 0..self.loops.len() {
            let (around, kind) = (self.loops[at], self.kinds[at]);
            let allowed = match kind {
                LoopKind::Unrolled => true,
                LoopKind::Vector => index.coefficient(around.var).is_some_and(|c| c == 0 || c == 1),
                LoopKind::Serial | LoopKind::Parallel => !index.mentions(around.var),
            };
            if !allowed {
                let index = print_index(self.kernel, index);
                self.error(format!("register {}[{index}] is not fixed", self.name(buffer)));
            }
        }
    }

    fn value(&mut self, value: &'k Expr) -> Option<Type> {
        let of = match value {
            Expr::F32(_) => Type::F32,
            Expr::I32(_) => Type::I32,
            Expr::Local(local) => {
                let bound = self.scope.iter().find(|(l, _)| l == local).map(|(_, t)| *t);
                match bound {
                    Some(of) => return of,
                    None => self.error(format!("local %{} is not in scope", local.0)),
                }
                return None;
            }
            Expr::Load(buffer, index) => {
                self.place(*buffer, index, false, false);
                return self.element(*buffer);
            }
            Expr::Gather(buffer, index, offset) => {
                self.expect(offset, Type::I32);
                self.place(*buffer, index, false, true);
                return self.element(*buffer);
            }
            Expr::Index(index) => {
                self.index(index);
                Type::I32
            }
            Expr::Unary(op, a) => match op {
                Unary::Neg => {
                    let of = self.value(a)?;
                    if of == Type::Bool {
                        self.error("Neg of a bool");
                    }
                    of
                }
                Unary::ToF32 | Unary::UnitInterval => {
                    self.expect(a, Type::I32);
                    Type::F32
                }
                Unary::Sqrt | Unary::Exp | Unary::Log | Unary::Tanh | Unary::Sigmoid | Unary::CosTurn => {
                    self.expect(a, Type::F32);
                    Type::F32
                }
            },
            Expr::Binary(op, a, b) => {
                let of = self.alike(a, b)?;
                let real = matches!(op, Binary::Div | Binary::Min | Binary::Max);
                if of == Type::Bool || (real && of != Type::F32) {
                    self.error(format!("{op:?} of {of:?}"));
                }
                of
            }
            Expr::MulAdd(a, b, c) => {
                self.expect(a, Type::F32);
                self.expect(b, Type::F32);
                self.expect(c, Type::F32);
                Type::F32
            }
            Expr::Compare(op, a, b) => {
                if self.alike(a, b)? == Type::Bool {
                    self.error(format!("{op:?} of bools"));
                }
                Type::Bool
            }
            Expr::Select(condition, a, b) => {
                self.expect(condition, Type::Bool);
                self.alike(a, b)?
            }
            Expr::Random { key, counter, word } => {
                for operand in key.iter().chain(counter.iter()) {
                    self.expect(operand, Type::I32);
                }
                if *word > 3 {
                    self.error(format!("random word {word}"));
                }
                Type::I32
            }
        };
        Some(of)
    }

    fn expect(&mut self, value: &'k Expr, expected: Type) {
        if let Some(of) = self.value(value)
            && of != expected
        {
            self.error(format!("{of:?} where {expected:?} belongs"));
        }
    }

    fn alike(&mut self, a: &'k Expr, b: &'k Expr) -> Option<Type> {
        let (a, b) = (self.value(a), self.value(b));
        if let (Some(a), Some(b)) = (a, b)
            && a != b
        {
            self.error(format!("operands of types {a:?} and {b:?}"));
        }
        a.or(b)
    }

    /// Whether algebra proves that accesses stay in their buffers and iterations apart. Errors that are certain without
    /// looking at accesses are recorded.
    fn proves_accesses(&mut self) -> bool {
        let inside = self.accesses.iter().all(|place| {
            let len = self.kernel.buffers[place.buffer.0 as usize].len as i64;
            let (low, high) = range::range(&Affine::new(place.index), &place.loops);
            low > high || (low >= 0 && high < len)
        });
        let mut races: Vec<(LoopKind, Var)> = Vec::new();
        for place in self.accesses.iter().filter(|p| p.store) {
            for (around, kind) in place.loops.iter().zip(&place.kinds) {
                let race = (*kind, around.var);
                if matches!(kind, LoopKind::Parallel | LoopKind::Vector) && !races.contains(&race) {
                    races.push(race);
                }
            }
        }
        let apart = races.into_iter().all(|(kind, var)| self.keeps_apart(kind, var));
        inside && apart
    }

    fn keeps_apart(&self, kind: LoopKind, var: Var) -> bool {
        let within: Vec<&Place> = self.accesses.iter().filter(|p| p.loops.iter().any(|l| l.var == var)).collect();
        let Some(around) = within.first().and_then(|p| p.loops.iter().find(|l| l.var == var)) else { return true };
        let (Some(begin), Some(end)) = (constant(around.begin), constant(around.end)) else { return false };
        (0..self.kernel.buffers.len()).all(|buffer| {
            let global = matches!(self.kernel.buffers[buffer].space, Space::Global(_));
            let here: Vec<&&Place> = within.iter().filter(|p| p.buffer.0 as usize == buffer).collect();
            if (kind == LoopKind::Parallel && !global) || !here.iter().any(|p| p.store) {
                return true;
            }
            let touches = here.iter().map(|p| Touch { index: Affine::new(p.index), loops: p.loops.clone() });
            !here.iter().any(|p| p.gather) && disjoint(touches.collect(), var, begin, end)
        })
    }
}

#[cfg(test)]
mod tests;
