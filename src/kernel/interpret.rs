//! Runs a kernel the slow and obvious way: every loop serially, one element at a time. The oracle of generated code.
//!
//! It hides no mistake that generated code would show: every access is checked against its buffer, scratch and
//! registers hold garbage at the start of every iteration of the parallel loop, and parallel and vector loops can run
//! backwards ([`Order::Reversed`]). Both operands of a select are evaluated, as vector code does.

use super::{Binary, BufferId, Compare, DType, Expr, Index, Kernel, LoopKind, Space, Stmt, Unary, Var};
use netc_runtime::random;

/// The contents of a buffer.
#[derive(Debug, Clone, PartialEq)]
pub enum Memory {
    /// Of [`DType::F32`].
    F32(Vec<f32>),
    /// Of [`DType::I32`].
    I32(Vec<i32>),
    /// Of [`DType::U8`].
    U8(Vec<u8>),
}

impl Memory {
    /// Zeros.
    pub fn zeros(dtype: DType, len: usize) -> Memory {
        match dtype {
            DType::F32 => Memory::F32(vec![0.0; len]),
            DType::I32 => Memory::I32(vec![0; len]),
            DType::U8 => Memory::U8(vec![0; len]),
        }
    }

    /// Contents that no kernel can use by accident: NaN, or large odd numbers.
    pub fn garbage(dtype: DType, len: usize) -> Memory {
        match dtype {
            DType::F32 => Memory::F32(vec![f32::NAN; len]),
            DType::I32 => Memory::I32(vec![0x5bad_f00d; len]),
            DType::U8 => Memory::U8(vec![0xa5; len]),
        }
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        match self {
            Memory::F32(_) => DType::F32,
            Memory::I32(_) => DType::I32,
            Memory::U8(_) => DType::U8,
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Memory::F32(x) => x.len(),
            Memory::I32(x) => x.len(),
            Memory::U8(x) => x.len(),
        }
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn load(&self, at: usize) -> Option<Value> {
        match self {
            Memory::F32(x) => x.get(at).map(|x| Value::F32(*x)),
            Memory::I32(x) => x.get(at).map(|x| Value::I32(*x)),
            Memory::U8(x) => x.get(at).map(|x| Value::I32(i32::from(*x))),
        }
    }

    fn store(&mut self, at: usize, value: Value) -> Result<(), String> {
        match (self, value) {
            (Memory::F32(x), Value::F32(v)) => *x.get_mut(at).ok_or("outside of its buffer")? = v,
            (Memory::I32(x), Value::I32(v)) => *x.get_mut(at).ok_or("outside of its buffer")? = v,
            (Memory::U8(x), Value::I32(v)) => *x.get_mut(at).ok_or("outside of its buffer")? = v as u8,
            (m, v) => return Err(format!("stores {v:?} to {:?}", m.dtype())),
        }
        Ok(())
    }
}

/// In which order parallel and vector loops run. The result is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Ascending.
    Forward,
    /// Descending.
    Reversed,
}

/// Runs `kernel` on its global buffers, in their order. An error is a bug in whatever made the kernel; the buffers are
/// then half done.
pub fn run(kernel: &Kernel, buffers: &mut [Memory]) -> Result<(), String> {
    run_in_order(kernel, buffers, Order::Forward)
}

/// [`run`] with parallel and vector loops in the given order.
pub fn run_in_order(kernel: &Kernel, buffers: &mut [Memory], order: Order) -> Result<(), String> {
    let globals = kernel.buffers.iter().take_while(|b| matches!(b.space, Space::Global(_))).count();
    if buffers.len() != globals {
        return Err(format!("{}: {globals} global buffers, {} given", kernel.name, buffers.len()));
    }
    for (buffer, memory) in kernel.buffers.iter().zip(buffers.iter()) {
        if buffer.dtype != memory.dtype() || buffer.len != memory.len() {
            return Err(format!(
                "{}: {} is {:?}[{}], given {:?}[{}]",
                kernel.name,
                buffer.name,
                buffer.dtype,
                buffer.len,
                memory.dtype(),
                memory.len()
            ));
        }
    }
    let mut machine = Machine {
        kernel,
        globals: buffers,
        private: Vec::new(),
        vars: vec![None; kernel.vars.len()],
        locals: vec![None; kernel.locals as usize],
        order,
    };
    machine.forget();
    machine.block(&kernel.body).map_err(|e| format!("{}: {e}", kernel.name))
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Value {
    F32(f32),
    I32(i32),
    Bool(bool),
}

struct Machine<'a> {
    kernel: &'a Kernel,
    globals: &'a mut [Memory],
    /// Scratch and registers.
    private: Vec<Memory>,
    vars: Vec<Option<i64>>,
    locals: Vec<Option<Value>>,
    order: Order,
}

impl Machine<'_> {
    /// Fills scratch and registers with garbage.
    fn forget(&mut self) {
        let private = self.kernel.buffers.iter().skip(self.globals.len());
        self.private = private.map(|b| Memory::garbage(b.dtype, b.len)).collect();
    }

    fn block(&mut self, block: &[Stmt]) -> Result<(), String> {
        for stmt in block {
            match stmt {
                Stmt::For { var, begin, end, kind, body } => self.iterate(*var, begin, end, *kind, body)?,
                Stmt::Let { local, value } => {
                    let value = self.value(value)?;
                    *self.locals.get_mut(local.0 as usize).ok_or("no such local")? = Some(value);
                }
                Stmt::Store { buffer, index, value } => {
                    let value = self.value(value)?;
                    let at = self.index(index)?;
                    let place = usize::try_from(at).unwrap_or(usize::MAX);
                    let stored = self.memory(*buffer)?.store(place, value);
                    stored.map_err(|e| format!("store to {}[{at}]: {e}", self.name(*buffer)))?;
                }
                Stmt::Prefetch { .. } => {}
            }
        }
        Ok(())
    }

    fn iterate(&mut self, var: Var, begin: &Index, end: &Index, kind: LoopKind, body: &[Stmt]) -> Result<(), String> {
        let (begin, end) = (self.index(begin)?, self.index(end)?);
        for step in 0..(end - begin).max(0) {
            let value = match (kind, self.order) {
                (LoopKind::Parallel | LoopKind::Vector, Order::Reversed) => end - 1 - step,
                _ => begin + step,
            };
            if kind == LoopKind::Parallel {
                self.forget();
            }
            *self.vars.get_mut(var.0 as usize).ok_or("no such variable")? = Some(value);
            self.block(body)?;
        }
        if let Some(v) = self.vars.get_mut(var.0 as usize) {
            *v = None;
        }
        Ok(())
    }

    fn name(&self, buffer: BufferId) -> &str {
        self.kernel.buffers.get(buffer.0 as usize).map_or("?", |b| &b.name)
    }

    fn memory(&mut self, buffer: BufferId) -> Result<&mut Memory, String> {
        let at = buffer.0 as usize;
        let globals = self.globals.len();
        let memory = if at < globals { self.globals.get_mut(at) } else { self.private.get_mut(at - globals) };
        memory.ok_or_else(|| "no such buffer".to_owned())
    }

    fn index(&self, index: &Index) -> Result<i64, String> {
        Ok(match index {
            Index::Const(c) => *c,
            Index::Var(v) => {
                let value = self.vars.get(v.0 as usize).copied().flatten();
                value.ok_or_else(|| format!("variable {} outside of its loop", v.0))?
            }
            Index::Add(a, b) => self.index(a)? + self.index(b)?,
            Index::Mul(a, f) => self.index(a)? * f,
            Index::Div(a, d) => self.index(a)?.checked_div_euclid(*d).ok_or("division by zero")?,
            Index::Rem(a, d) => self.index(a)?.checked_rem_euclid(*d).ok_or("division by zero")?,
            Index::Min(a, b) => self.index(a)?.min(self.index(b)?),
            Index::Max(a, b) => self.index(a)?.max(self.index(b)?),
        })
    }

    fn load(&mut self, buffer: BufferId, at: i64) -> Result<Value, String> {
        let value = usize::try_from(at).ok().and_then(|at| self.memory(buffer).ok()?.load(at));
        value.ok_or_else(|| format!("load of {}[{at}]: outside of its buffer", self.name(buffer)))
    }

    fn value(&mut self, expr: &Expr) -> Result<Value, String> {
        Ok(match expr {
            Expr::F32(x) => Value::F32(*x),
            Expr::I32(x) => Value::I32(*x),
            Expr::Local(l) => {
                let value = self.locals.get(l.0 as usize).copied().flatten();
                value.ok_or_else(|| format!("local {} is not bound", l.0))?
            }
            Expr::Load(buffer, index) => {
                let at = self.index(index)?;
                self.load(*buffer, at)?
            }
            Expr::Gather(buffer, index, offset) => {
                let offset = self.i32(offset)?;
                let at = self.index(index)? + i64::from(offset);
                self.load(*buffer, at)?
            }
            Expr::Index(index) => Value::I32(self.index(index)? as i32),
            Expr::Unary(op, x) => unary(*op, self.value(x)?)?,
            Expr::Binary(op, a, b) => binary(*op, self.value(a)?, self.value(b)?)?,
            Expr::MulAdd(a, b, c) => match (self.value(a)?, self.value(b)?, self.value(c)?) {
                (Value::F32(a), Value::F32(b), Value::F32(c)) => Value::F32(a.mul_add(b, c)),
                operands => return Err(format!("multiply-add of {operands:?}")),
            },
            Expr::Compare(op, a, b) => match (self.value(a)?, self.value(b)?) {
                (Value::F32(a), Value::F32(b)) => Value::Bool(compare(*op, &a, &b)),
                (Value::I32(a), Value::I32(b)) => Value::Bool(compare(*op, &a, &b)),
                operands => return Err(format!("comparison of {operands:?}")),
            },
            Expr::Select(condition, a, b) => match (self.value(condition)?, self.value(a)?, self.value(b)?) {
                (Value::Bool(condition), a, b) => {
                    if condition {
                        a
                    } else {
                        b
                    }
                }
                operands => return Err(format!("select of {operands:?}")),
            },
            Expr::Random { key, counter, word } => {
                let mut words = [0u32; 6];
                for (word, expr) in words.iter_mut().zip(key.iter().chain(counter.iter())) {
                    *word = self.i32(expr)? as u32;
                }
                let [k0, k1, c0, c1, c2, c3] = words;
                let drawn = random::philox([k0, k1], [c0, c1, c2, c3]);
                Value::I32(*drawn.get(*word as usize).ok_or("random word outside of 0..4")? as i32)
            }
        })
    }

    fn i32(&mut self, expr: &Expr) -> Result<i32, String> {
        match self.value(expr)? {
            Value::I32(x) => Ok(x),
            other => Err(format!("{other:?} where an i32 belongs")),
        }
    }
}

fn unary(op: Unary, operand: Value) -> Result<Value, String> {
    let rounded = |f: fn(f64) -> f64, x: f32| Value::F32(f(f64::from(x)) as f32);
    Ok(match (op, operand) {
        (Unary::Neg, Value::F32(x)) => Value::F32(-x),
        (Unary::Neg, Value::I32(x)) => Value::I32(x.wrapping_neg()),
        (Unary::Sqrt, Value::F32(x)) => Value::F32(x.sqrt()),
        (Unary::Exp, Value::F32(x)) => rounded(f64::exp, x),
        (Unary::Log, Value::F32(x)) => rounded(f64::ln, x),
        (Unary::Tanh, Value::F32(x)) => rounded(f64::tanh, x),
        (Unary::Sigmoid, Value::F32(x)) => rounded(|x| 1.0 / (1.0 + (-x).exp()), x),
        (Unary::CosTurn, Value::F32(x)) => rounded(|x| (2.0 * std::f64::consts::PI * x).cos(), x),
        (Unary::ToF32, Value::I32(x)) => Value::F32(x as f32),
        (Unary::UnitInterval, Value::I32(x)) => Value::F32(random::unit_interval(x as u32)),
        (op, operand) => return Err(format!("{op:?} of {operand:?}")),
    })
}

fn binary(op: Binary, a: Value, b: Value) -> Result<Value, String> {
    Ok(match (op, a, b) {
        (Binary::Add, Value::F32(a), Value::F32(b)) => Value::F32(a + b),
        (Binary::Sub, Value::F32(a), Value::F32(b)) => Value::F32(a - b),
        (Binary::Mul, Value::F32(a), Value::F32(b)) => Value::F32(a * b),
        (Binary::Div, Value::F32(a), Value::F32(b)) => Value::F32(a / b),
        (Binary::Min, Value::F32(a), Value::F32(b)) => Value::F32(if a < b { a } else { b }),
        (Binary::Max, Value::F32(a), Value::F32(b)) => Value::F32(if a > b { a } else { b }),
        (Binary::Add, Value::I32(a), Value::I32(b)) => Value::I32(a.wrapping_add(b)),
        (Binary::Sub, Value::I32(a), Value::I32(b)) => Value::I32(a.wrapping_sub(b)),
        (Binary::Mul, Value::I32(a), Value::I32(b)) => Value::I32(a.wrapping_mul(b)),
        (op, a, b) => return Err(format!("{op:?} of {a:?} and {b:?}")),
    })
}

fn compare<T: PartialOrd>(op: Compare, a: &T, b: &T) -> bool {
    match op {
        Compare::Eq => a == b,
        Compare::Ne => a != b,
        Compare::Lt => a < b,
        Compare::Le => a <= b,
        Compare::Gt => a > b,
        Compare::Ge => a >= b,
    }
}

#[cfg(test)]
mod tests {
    use super::super::build::Builder;
    use super::super::{Access, Expr};
    use super::*;

    fn sums_rows() -> Kernel {
        let mut b = Builder::new("sum_rows", 4);
        let x = b.global("x", DType::F32, 12, Access::Read);
        let y = b.global("y", DType::F32, 3, Access::Write);
        let s = b.scratch("s", DType::F32, 1);
        b.parallel("row", 3, |b, row| {
            b.store(s, 0usize, 0.0);
            b.serial("column", 4usize, |b, column| {
                let sum = Expr::load(s, 0usize) + Expr::load(x, row.clone() * 4 + column);
                b.store(s, 0usize, sum);
            });
            b.store(y, row, Expr::load(s, 0usize));
        });
        b.finish()
    }

    #[test]
    fn runs_in_either_order() {
        for order in [Order::Forward, Order::Reversed] {
            let x = (0..12).map(|i| i as f32).collect();
            let mut buffers = [Memory::F32(x), Memory::garbage(DType::F32, 3)];
            run_in_order(&sums_rows(), &mut buffers, order).unwrap();
            assert_eq!(buffers[1], Memory::F32(vec![6.0, 22.0, 38.0]));
        }
    }

    #[test]
    fn scratch_does_not_outlive_an_iteration() {
        let mut kernel = sums_rows();
        let Stmt::For { body, .. } = &mut kernel.body[0] else { panic!("a loop") };
        body.remove(0);
        let mut buffers = [Memory::zeros(DType::F32, 12), Memory::zeros(DType::F32, 3)];
        run(&kernel, &mut buffers).unwrap();
        let Memory::F32(y) = &buffers[1] else { panic!("f32") };
        assert!(y.iter().all(|y| y.is_nan()));
    }

    #[test]
    fn refuses_what_generated_code_could_not_do() {
        let mut buffers = [Memory::zeros(DType::F32, 12), Memory::zeros(DType::F32, 2)];
        assert!(run(&sums_rows(), &mut buffers).unwrap_err().contains("y is F32[3], given F32[2]"));
        let mut b = Builder::new("outside", 4);
        let x = b.global("x", DType::F32, 2, Access::ReadWrite);
        b.serial("i", 3usize, |b, i| b.store(x, i, 1.0));
        let error = run(&b.finish(), &mut [Memory::zeros(DType::F32, 2)]).unwrap_err();
        assert_eq!(error, "outside: store to x[2]: outside of its buffer");
    }
}
