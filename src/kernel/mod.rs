//! The loop IR: loops, tiles, vectors, buffers.
//!
//! Takes a [`Plan`](crate::plan::Plan), gives a [`Kernel`] a step. A kernel is a scalar loop nest whose loops carry
//! *how* they run ([`LoopKind`]); dropping every kind (running all loops serially, one element at a time) does not
//! change what it computes. That is what makes the [interpreter](interpret) short, and it is what [`verify`] checks.
//! Never names LLVM: `codegen` translates it.
//!
//! Indices are integer expressions over loop variables ([`Index`]), values are scalar expressions ([`Expr`]). Within
//! a vector loop every value that depends on the loop's variable is a vector with one lane an iteration.

pub mod build;
mod emit;
pub mod interpret;
pub mod schedule;
pub mod text;
pub mod verify;

pub use emit::{kernels, scratch_bytes};

use std::ops::{Add, Div, Mul, Rem, Sub};
use std::sync::Arc;

/// A loop nest over buffers.
#[derive(Debug, Clone, PartialEq)]
pub struct Kernel {
    /// Its name: a valid C identifier, unique in its function.
    pub name: String,
    /// Global buffers first, in the order in which the plan binds them; then scratch and registers.
    pub buffers: Vec<Buffer>,
    /// Names of loop variables, by [`Var`]; each variable belongs to one loop.
    pub vars: Vec<String>,
    /// Number of [`Local`]s.
    pub locals: u32,
    /// What it does. If it has a parallel loop, that loop is the only root statement.
    pub body: Vec<Stmt>,
}

impl Kernel {
    /// Whether another kernel is this one by another name, as those of a stack's groups are.
    pub fn is_as(&self, other: &Kernel) -> bool {
        (self.locals, &self.buffers, &self.body) == (other.locals, &other.buffers, &other.body)
    }

    /// Bytes of scratch a thread that it needs: its scratch buffers one after the other, each aligned to 64 bytes.
    pub fn scratch_bytes(&self) -> usize {
        self.buffers.iter().filter(|b| b.space == Space::Scratch).map(Buffer::aligned_bytes).sum()
    }
}

/// Names a buffer of a kernel. Displays as its name in the text form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BufferId(pub u32);

/// Names a loop variable of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Var(pub u32);

/// Names a value bound by [`Stmt::Let`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Local(pub u32);

/// Memory of a kernel. Distinct buffers never overlap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buffer {
    /// Its name, unique in the kernel.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Number of elements.
    pub len: usize,
    /// Where it lives.
    pub space: Space,
}

impl Buffer {
    /// Its bytes, filled up to a multiple of 64.
    pub fn aligned_bytes(&self) -> usize {
        let bytes = match self.dtype {
            DType::F32 | DType::I32 => 4 * self.len,
            DType::U8 => self.len,
        };
        bytes.next_multiple_of(64)
    }
}

/// Element types in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DType {
    /// IEEE single.
    F32,
    /// Two's complement, 32 bits; also used as plain 32-bit words by the random number generator.
    I32,
    /// Unsigned byte; loads as I32.
    U8,
}

/// Where a buffer lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Space {
    /// Bound by the caller.
    Global(Access),
    /// In the thread's scratch block; contents undefined at the start of every iteration of the parallel loop.
    Scratch,
    /// In vector registers: every index is constant once unrolled loops are expanded, but for the variable of a vector
    /// loop, in which it has coefficient 1.
    Register,
}

/// What a kernel does to a global buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Loads only.
    Read,
    /// Stores only, or loads of what it stored itself.
    Write,
    /// Loads what was there before.
    ReadWrite,
}

/// A statement.
#[derive(Debug, Clone, PartialEq)]
pub enum Stmt {
    /// `for var in begin..end`, step 1; no iteration if end ≤ begin.
    For {
        /// The loop's variable, in scope in the body.
        var: Var,
        /// First value.
        begin: Index,
        /// One past the last value.
        end: Index,
        /// How it runs.
        kind: LoopKind,
        /// What it repeats.
        body: Vec<Stmt>,
    },
    /// Binds a value, in scope in the rest of the enclosing block.
    Let {
        /// The name.
        local: Local,
        /// The value, computed once.
        value: Expr,
    },
    /// Writes an element.
    Store {
        /// Where to.
        buffer: BufferId,
        /// Element.
        index: Index,
        /// An f32 for F32 buffers, else an i32 (truncated for U8).
        value: Expr,
    },
    /// Asks for the cache line of an element that is read soon or, of a buffer that is written, stored soon. Changes
    /// nothing, wherever the element lies.
    Prefetch {
        /// A buffer in memory.
        buffer: BufferId,
        /// Element; may be outside of the buffer.
        index: Index,
    },
}

/// How a loop runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LoopKind {
    /// One iteration after the other.
    Serial,
    /// Iterations in any order, on any thread: no iteration touches what another one writes.
    Parallel,
    /// Expanded by code generation; constant bounds.
    Unrolled,
    /// All iterations at once, one a lane; bounds are constants and begin is 0. The body holds no loops but unrolled
    /// ones and serial ones whose bounds do not depend on the variable.
    Vector,
}

/// An integer expression over loop variables; the unit of buffer indices is the element.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Index {
    /// A number.
    Const(i64),
    /// A loop variable.
    Var(Var),
    /// Sum.
    Add(Arc<Index>, Arc<Index>),
    /// Product with a constant.
    Mul(Arc<Index>, i64),
    /// Quotient rounded down; the divisor is positive.
    Div(Arc<Index>, i64),
    /// Remainder of [`Index::Div`], never negative.
    Rem(Arc<Index>, i64),
    /// The smaller.
    Min(Arc<Index>, Arc<Index>),
    /// The larger.
    Max(Arc<Index>, Arc<Index>),
}

/// A value: f32, i32 or bool.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// An f32 constant.
    F32(f32),
    /// An i32 constant.
    I32(i32),
    /// A bound value.
    Local(Local),
    /// An element of a buffer: f32 of F32 buffers, else i32.
    Load(BufferId, Index),
    /// An element at a place known only at run time, `index + offset` (a class chosen by its label); an i32 offset.
    Gather(BufferId, Index, Box<Expr>),
    /// An index as an i32.
    Index(Index),
    /// Of one operand.
    Unary(Unary, Box<Expr>),
    /// Of two operands of one type.
    Binary(Binary, Box<Expr>, Box<Expr>),
    /// a·b + c rounded once.
    MulAdd(Box<Expr>, Box<Expr>, Box<Expr>),
    /// A comparison of two operands of one type; bool. Any comparison with NaN but `Ne` is false.
    Compare(Compare, Box<Expr>, Box<Expr>),
    /// `cond ? a : b`.
    Select(Box<Expr>, Box<Expr>, Box<Expr>),
    /// One of the four words of Philox4x32-10 (see [`netc_runtime::random::philox`]); i32.
    Random {
        /// Two i32 words.
        key: Box<[Expr; 2]>,
        /// Four i32 words.
        counter: Box<[Expr; 4]>,
        /// Which of the four results: 0..4.
        word: u8,
    },
}

/// Operations of one operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unary {
    /// −x (f32 or i32).
    Neg,
    /// √x, correctly rounded.
    Sqrt,
    /// eˣ to 2 ulp.
    Exp,
    /// ln x to 2 ulp for normal x > 0; −∞ at 0; NaN below.
    Log,
    /// tanh x to 4 ulp.
    Tanh,
    /// 1/(1 + e⁻ˣ) to 4 ulp.
    Sigmoid,
    /// cos 2πx for x in [0, 1], absolute error 1e-6.
    CosTurn,
    /// i32 to f32.
    ToF32,
    /// The upper 24 bits of an i32 word over 2^24: an f32 in [0, 1).
    UnitInterval,
}

/// Operations of two operands; f32 but where said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Binary {
    /// Sum (f32 or i32, wrapping).
    Add,
    /// Difference (f32 or i32, wrapping).
    Sub,
    /// Product (f32 or i32, wrapping).
    Mul,
    /// Quotient.
    Div,
    /// `a < b ? a : b`: b if either is NaN.
    Min,
    /// `a > b ? a : b`: b if either is NaN.
    Max,
}

/// Comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compare {
    /// =
    Eq,
    /// ≠
    Ne,
    /// <
    Lt,
    /// ≤
    Le,
    /// >
    Gt,
    /// ≥
    Ge,
}

impl From<i64> for Index {
    fn from(value: i64) -> Self {
        Index::Const(value)
    }
}

impl From<usize> for Index {
    fn from(value: usize) -> Self {
        Index::Const(value as i64)
    }
}

impl From<Var> for Index {
    fn from(value: Var) -> Self {
        Index::Var(value)
    }
}

impl<T: Into<Index>> Add<T> for Index {
    type Output = Index;
    fn add(self, other: T) -> Index {
        match (self, other.into()) {
            (Index::Const(a), Index::Const(b)) => Index::Const(a + b),
            (Index::Const(0), x) | (x, Index::Const(0)) => x,
            (Index::Add(a, b), Index::Const(c)) => match *b {
                Index::Const(b) => Arc::unwrap_or_clone(a) + (b + c),
                _ => Index::Add(Arc::new(Index::Add(a, b)), Arc::new(Index::Const(c))),
            },
            (c @ Index::Const(_), x) => x + c,
            (a, b) => Index::Add(Arc::new(a), Arc::new(b)),
        }
    }
}

impl<T: Into<Index>> Sub<T> for Index {
    type Output = Index;
    fn sub(self, other: T) -> Index {
        self + other.into() * -1
    }
}

impl Mul<i64> for Index {
    type Output = Index;
    fn mul(self, factor: i64) -> Index {
        match (self, factor) {
            (_, 0) => Index::Const(0),
            (x, 1) => x,
            (Index::Const(a), f) => Index::Const(a * f),
            (Index::Mul(x, a), f) => Arc::unwrap_or_clone(x) * (a * f),
            (x, f) => Index::Mul(Arc::new(x), f),
        }
    }
}

impl Div<i64> for Index {
    type Output = Index;
    fn div(self, divisor: i64) -> Index {
        match (self, divisor) {
            (x, 1) => x,
            (Index::Const(a), d) => Index::Const(a.div_euclid(d)),
            (x, d) => Index::Div(Arc::new(x), d),
        }
    }
}

impl Rem<i64> for Index {
    type Output = Index;
    fn rem(self, divisor: i64) -> Index {
        match (self, divisor) {
            (_, 1) => Index::Const(0),
            (Index::Const(a), d) => Index::Const(a.rem_euclid(d)),
            (x, d) => Index::Rem(Arc::new(x), d),
        }
    }
}

impl Index {
    /// The smaller of two.
    pub fn min(self, other: impl Into<Index>) -> Index {
        match (self, other.into()) {
            (Index::Const(a), Index::Const(b)) => Index::Const(a.min(b)),
            (a, b) => Index::Min(Arc::new(a), Arc::new(b)),
        }
    }

    /// The larger of two.
    pub fn max(self, other: impl Into<Index>) -> Index {
        match (self, other.into()) {
            (Index::Const(a), Index::Const(b)) => Index::Const(a.max(b)),
            (a, b) => Index::Max(Arc::new(a), Arc::new(b)),
        }
    }

    /// Its value for given loop variables.
    pub fn evaluate(&self, vars: &impl Fn(Var) -> i64) -> i64 {
        match self {
            Index::Const(c) => *c,
            Index::Var(v) => vars(*v),
            Index::Add(a, b) => a.evaluate(vars) + b.evaluate(vars),
            Index::Mul(a, f) => a.evaluate(vars) * f,
            Index::Div(a, d) => a.evaluate(vars).div_euclid(*d),
            Index::Rem(a, d) => a.evaluate(vars).rem_euclid(*d),
            Index::Min(a, b) => a.evaluate(vars).min(b.evaluate(vars)),
            Index::Max(a, b) => a.evaluate(vars).max(b.evaluate(vars)),
        }
    }

    /// By how much it grows when `var` grows by one, if that is the same everywhere.
    pub fn coefficient(&self, var: Var) -> Option<i64> {
        match self {
            Index::Const(_) => Some(0),
            Index::Var(v) => Some(i64::from(*v == var)),
            Index::Add(a, b) => Some(a.coefficient(var)? + b.coefficient(var)?),
            Index::Mul(a, f) => Some(a.coefficient(var)? * f),
            Index::Div(a, _) | Index::Rem(a, _) => (!a.mentions(var)).then_some(0),
            Index::Min(a, b) | Index::Max(a, b) => (!a.mentions(var) && !b.mentions(var)).then_some(0),
        }
    }

    /// Whether `var` occurs in it.
    pub fn mentions(&self, var: Var) -> bool {
        match self {
            Index::Const(_) => false,
            Index::Var(v) => *v == var,
            Index::Add(a, b) | Index::Min(a, b) | Index::Max(a, b) => a.mentions(var) || b.mentions(var),
            Index::Mul(a, _) | Index::Div(a, _) | Index::Rem(a, _) => a.mentions(var),
        }
    }
}

impl Stmt {
    /// Calls `visit` with every buffer that it loads from or stores to, as often as it does.
    pub fn each_buffer(&self, visit: &mut impl FnMut(BufferId)) {
        match self {
            Stmt::For { body, .. } => body.iter().for_each(|statement| statement.each_buffer(visit)),
            Stmt::Let { value, .. } => value.each_load(&mut |buffer, _, _| visit(buffer)),
            Stmt::Store { buffer, value, .. } => {
                value.each_load(&mut |buffer, _, _| visit(buffer));
                visit(*buffer);
            }
            Stmt::Prefetch { .. } => {}
        }
    }
}

impl Expr {
    /// Calls `visit` with buffer, index and whether it is a gather's, for every load in the value.
    pub fn each_load<'k>(&'k self, visit: &mut impl FnMut(BufferId, &'k Index, bool)) {
        match self {
            Expr::F32(_) | Expr::I32(_) | Expr::Local(_) | Expr::Index(_) => {}
            Expr::Load(buffer, index) => visit(*buffer, index, false),
            Expr::Gather(buffer, index, offset) => {
                offset.each_load(visit);
                visit(*buffer, index, true);
            }
            Expr::Unary(_, a) => a.each_load(visit),
            Expr::Binary(_, a, b) | Expr::Compare(_, a, b) => [a, b].into_iter().for_each(|e| e.each_load(visit)),
            Expr::MulAdd(a, b, c) | Expr::Select(a, b, c) => [a, b, c].into_iter().for_each(|e| e.each_load(visit)),
            Expr::Random { key, counter, .. } => key.iter().chain(counter.iter()).for_each(|e| e.each_load(visit)),
        }
    }
}

/// Shorthand for building expressions.
impl Expr {
    /// A load.
    pub fn load(buffer: BufferId, index: impl Into<Index>) -> Expr {
        Expr::Load(buffer, index.into())
    }

    /// `op self`.
    pub fn unary(self, op: Unary) -> Expr {
        Expr::Unary(op, Box::new(self))
    }

    /// `self op other`.
    pub fn binary(self, op: Binary, other: Expr) -> Expr {
        Expr::Binary(op, Box::new(self), Box::new(other))
    }

    /// `self · b + c`, rounded once.
    pub fn mul_add(self, b: Expr, c: Expr) -> Expr {
        Expr::MulAdd(Box::new(self), Box::new(b), Box::new(c))
    }

    /// `self op other`, a bool.
    pub fn compare(self, op: Compare, other: Expr) -> Expr {
        Expr::Compare(op, Box::new(self), Box::new(other))
    }

    /// `self ? a : b`.
    pub fn select(self, a: Expr, b: Expr) -> Expr {
        Expr::Select(Box::new(self), Box::new(a), Box::new(b))
    }
}

impl From<f32> for Expr {
    fn from(value: f32) -> Self {
        Expr::F32(value)
    }
}

impl From<Local> for Expr {
    fn from(value: Local) -> Self {
        Expr::Local(value)
    }
}

impl Add<Expr> for Expr {
    type Output = Expr;
    fn add(self, other: Expr) -> Expr {
        self.binary(Binary::Add, other)
    }
}

impl Sub<Expr> for Expr {
    type Output = Expr;
    fn sub(self, other: Expr) -> Expr {
        self.binary(Binary::Sub, other)
    }
}

impl Mul<Expr> for Expr {
    type Output = Expr;
    fn mul(self, other: Expr) -> Expr {
        self.binary(Binary::Mul, other)
    }
}

impl Div<Expr> for Expr {
    type Output = Expr;
    fn div(self, other: Expr) -> Expr {
        self.binary(Binary::Div, other)
    }
}
