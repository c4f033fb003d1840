//! The text form of a kernel, out and in. Printing and parsing back gives the same kernel.
//!
//! ```text
//! kernel scale {
//!   global x: f32[24] read
//!   global y: f32[24] write
//!   register factor: f32[8]
//!   parallel n in 0..3 {
//!     vector lane in 0..8 {
//!       let %0 = x[n*8 + lane]
//!       y[n*8 + lane] = select(%0 > 0.0, %0*0.5, 0.0)
//!     }
//!   }
//! }
//! ```
//!
//! Indices: `+ - * / %`, `min(a, b)`, `max(a, b)`; quotients round down. Values: the same operators on values,
//! functions named after the operation, `fma(a, b, c)` for a·b + c rounded once, `x[index; offset]` for a gather,
//! `index(i)` for an index as a value, `random.0([k, k], [c, c, c, c])`. A variable whose name is not unique is written
//! `name.number`. Variables and locals are numbered in the order of their loops and lets.

mod parse;

pub use parse::parse;

use super::{Access, Binary, BufferId, Compare, DType, Expr, Index, Kernel, LoopKind, Space, Stmt, Unary, Var};
use std::fmt::{self, Write};

/// Prints a kernel.
pub fn print(kernel: &Kernel) -> String {
    let mut printer = Printer { kernel, out: String::new() };
    // Writing to a String does not fail.
    let _ = printer.kernel();
    printer.out
}

/// Prints one index in the words of its kernel.
pub fn print_index(kernel: &Kernel, index: &Index) -> String {
    let mut printer = Printer { kernel, out: String::new() };
    let _ = printer.index(index, 0);
    printer.out
}

fn unary_name(op: Unary) -> &'static str {
    match op {
        Unary::Neg => "neg",
        Unary::Sqrt => "sqrt",
        Unary::Exp => "exp",
        Unary::Log => "log",
        Unary::Tanh => "tanh",
        Unary::Sigmoid => "sigmoid",
        Unary::CosTurn => "cos_turn",
        Unary::ToF32 => "to_f32",
        Unary::UnitInterval => "unit_interval",
    }
}

fn compare_sign(op: Compare) -> &'static str {
    match op {
        Compare::Eq => "==",
        Compare::Ne => "!=",
        Compare::Lt => "<",
        Compare::Le => "<=",
        Compare::Gt => ">",
        Compare::Ge => ">=",
    }
}

fn dtype_name(dtype: DType) -> &'static str {
    match dtype {
        DType::F32 => "f32",
        DType::I32 => "i32",
        DType::U8 => "u8",
    }
}

fn kind_name(kind: LoopKind) -> &'static str {
    match kind {
        LoopKind::Serial => "serial",
        LoopKind::Parallel => "parallel",
        LoopKind::Unrolled => "unrolled",
        LoopKind::Vector => "vector",
    }
}

struct Printer<'a> {
    kernel: &'a Kernel,
    out: String,
}

impl Printer<'_> {
    fn kernel(&mut self) -> fmt::Result {
        writeln!(self.out, "kernel {} {{", self.kernel.name)?;
        for buffer in &self.kernel.buffers {
            let (space, access) = match buffer.space {
                Space::Global(Access::Read) => ("global", " read"),
                Space::Global(Access::Write) => ("global", " write"),
                Space::Global(Access::ReadWrite) => ("global", " readwrite"),
                Space::Scratch => ("scratch", ""),
                Space::Register => ("register", ""),
            };
            let dtype = dtype_name(buffer.dtype);
            writeln!(self.out, "  {space} {}: {dtype}[{}]{access}", buffer.name, buffer.len)?;
        }
        self.block(&self.kernel.body, 1)?;
        writeln!(self.out, "}}")
    }

    fn block(&mut self, block: &[Stmt], depth: usize) -> fmt::Result {
        for stmt in block {
            write!(self.out, "{:1$}", "", depth * 2)?;
            match stmt {
                Stmt::For { var, begin, end, kind, body } => {
                    write!(self.out, "{} ", kind_name(*kind))?;
                    self.var(*var)?;
                    write!(self.out, " in ")?;
                    self.index(begin, 0)?;
                    write!(self.out, "..")?;
                    self.index(end, 0)?;
                    writeln!(self.out, " {{")?;
                    self.block(body, depth + 1)?;
                    writeln!(self.out, "{:1$}}}", "", depth * 2)?;
                }
                Stmt::Let { local, value } => {
                    write!(self.out, "let %{} = ", local.0)?;
                    self.expr(value, 0)?;
                    writeln!(self.out)?;
                }
                Stmt::Store { buffer, index, value } => {
                    self.place(*buffer, index)?;
                    write!(self.out, "] = ")?;
                    self.expr(value, 0)?;
                    writeln!(self.out)?;
                }
                Stmt::Prefetch { buffer, index } => {
                    write!(self.out, "prefetch ")?;
                    self.place(*buffer, index)?;
                    writeln!(self.out, "]")?;
                }
            }
        }
        Ok(())
    }

    fn var(&mut self, var: Var) -> fmt::Result {
        let names = &self.kernel.vars;
        match names.get(var.0 as usize) {
            Some(name) if names.iter().filter(|n| *n == name).count() == 1 => self.out.write_str(name),
            Some(name) => write!(self.out, "{name}.{}", var.0),
            None => write!(self.out, "?.{}", var.0),
        }
    }

    /// `buffer[index`, without the closing bracket.
    fn place(&mut self, buffer: BufferId, index: &Index) -> fmt::Result {
        let name = self.kernel.buffers.get(buffer.0 as usize).map_or("?", |b| &b.name);
        write!(self.out, "{name}[")?;
        self.index(index, 0)
    }

    /// `level` is how tightly the context binds: 0 anything, 1 no sums, 2 operands only.
    fn index(&mut self, index: &Index, level: u8) -> fmt::Result {
        match index {
            Index::Const(c) => write!(self.out, "{c}"),
            Index::Var(v) => self.var(*v),
            Index::Add(a, b) => {
                self.open(level > 0)?;
                self.index(a, 0)?;
                match **b {
                    Index::Const(c) if c < 0 => write!(self.out, " - {}", c.unsigned_abs())?,
                    _ => {
                        write!(self.out, " + ")?;
                        self.index(b, 1)?;
                    }
                }
                self.close(level > 0)
            }
            Index::Mul(a, f) => self.scaled(a, "*", *f, level),
            Index::Div(a, d) => self.scaled(a, " / ", *d, level),
            Index::Rem(a, d) => self.scaled(a, " % ", *d, level),
            Index::Min(a, b) => self.pair("min", a, b),
            Index::Max(a, b) => self.pair("max", a, b),
        }
    }

    fn scaled(&mut self, operand: &Index, sign: &str, constant: i64, level: u8) -> fmt::Result {
        self.open(level > 1)?;
        self.index(operand, 1)?;
        write!(self.out, "{sign}{constant}")?;
        self.close(level > 1)
    }

    fn pair(&mut self, name: &str, a: &Index, b: &Index) -> fmt::Result {
        write!(self.out, "{name}(")?;
        self.index(a, 0)?;
        write!(self.out, ", ")?;
        self.index(b, 0)?;
        write!(self.out, ")")
    }

    fn open(&mut self, parenthesis: bool) -> fmt::Result {
        if parenthesis { self.out.write_char('(') } else { Ok(()) }
    }

    fn close(&mut self, parenthesis: bool) -> fmt::Result {
        if parenthesis { self.out.write_char(')') } else { Ok(()) }
    }

    /// `level` is how tightly the context binds: 0 anything, 1 no comparisons, 2 no sums, 3 operands only.
    fn expr(&mut self, expr: &Expr, level: u8) -> fmt::Result {
        match expr {
            Expr::F32(x) if x.is_finite() => write!(self.out, "{x:?}"),
            Expr::F32(x) => write!(self.out, "bits({:#010x})", x.to_bits()),
            Expr::I32(x) => write!(self.out, "{x}"),
            Expr::Local(l) => write!(self.out, "%{}", l.0),
            Expr::Load(buffer, index) => {
                self.place(*buffer, index)?;
                write!(self.out, "]")
            }
            Expr::Gather(buffer, index, offset) => {
                self.place(*buffer, index)?;
                write!(self.out, "; ")?;
                self.expr(offset, 0)?;
                write!(self.out, "]")
            }
            Expr::Index(index) => {
                write!(self.out, "index(")?;
                self.index(index, 0)?;
                write!(self.out, ")")
            }
            Expr::Unary(op, x) => self.call(unary_name(*op), &[x]),
            Expr::Binary(op, a, b) => match op {
                Binary::Add => self.infix(a, " + ", b, 1, level),
                Binary::Sub => self.infix(a, " - ", b, 1, level),
                Binary::Mul => self.infix(a, "*", b, 2, level),
                Binary::Div => self.infix(a, " / ", b, 2, level),
                Binary::Min => self.call("min", &[a, b]),
                Binary::Max => self.call("max", &[a, b]),
            },
            Expr::MulAdd(a, b, c) => self.call("fma", &[a, b, c]),
            Expr::Compare(op, a, b) => {
                self.open(level > 0)?;
                self.expr(a, 1)?;
                write!(self.out, " {} ", compare_sign(*op))?;
                self.expr(b, 1)?;
                self.close(level > 0)
            }
            Expr::Select(condition, a, b) => self.call("select", &[condition, a, b]),
            Expr::Random { key, counter, word } => {
                write!(self.out, "random.{word}([")?;
                self.list(&key.iter().collect::<Vec<_>>())?;
                write!(self.out, "], [")?;
                self.list(&counter.iter().collect::<Vec<_>>())?;
                write!(self.out, "])")
            }
        }
    }

    /// A left-associative operator that binds at `own`.
    fn infix(&mut self, a: &Expr, sign: &str, b: &Expr, own: u8, level: u8) -> fmt::Result {
        self.open(level > own)?;
        self.expr(a, own)?;
        write!(self.out, "{sign}")?;
        self.expr(b, own + 1)?;
        self.close(level > own)
    }

    fn call(&mut self, name: &str, operands: &[&Expr]) -> fmt::Result {
        write!(self.out, "{name}(")?;
        self.list(operands)?;
        write!(self.out, ")")
    }

    fn list(&mut self, operands: &[&Expr]) -> fmt::Result {
        for (i, operand) in operands.iter().enumerate() {
            if i > 0 {
                write!(self.out, ", ")?;
            }
            self.expr(operand, 0)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Buffer;
    use super::*;

    /// Every construct once.
    const ALL: &str = "\
kernel all {
  global x: f32[240] readwrite
  global label: i32[4] read
  global image: u8[64] write
  scratch row: f32[40]
  register acc: f32[8]
  parallel n in 0..4 {
    serial i.1 in max(0, 2 + n*-3)..min(3, 9 + n*-3) {
      unrolled i.2 in 0..8 {
        acc[i.2] = -0.0
      }
      vector lane in 0..8 {
        let %0 = x[(n*8 + i.1) % 5 + lane]*0.1 + (acc[lane] - 1e-20*3.4028235e38) / 2.0
        let %1 = select(%0 < 0.0, neg(sqrt(%0)), min(max(%0, bits(0xff800000)), exp(-1.5)))
        row[lane + (n + i.1) - 1] = fma(%1, -2.0, x[n; label[n / 2]])
        image[lane] = random.3([label[0], label[1]], [index(lane*8), 0, -7, 2147483647])
      }
      x[n*60 - 0] = to_f32(-2147483648) - (unit_interval(label[n]) - log(tanh(sigmoid(cos_turn(0.5)))))
    }
  }
}
";

    #[test]
    fn print_and_parse_are_inverse() {
        let text = ALL.replace("n*60 - 0", "n*60 + 0");
        let kernel = parse(&text).unwrap();
        assert_eq!(print(&kernel), text);
        assert_eq!(parse(&print(&kernel)).unwrap(), kernel);
        assert_eq!(kernel.locals, 2);
        assert_eq!(kernel.vars, ["n", "i", "i", "lane"]);
    }

    #[test]
    fn every_float_comes_back() {
        let mut bits = 1u32;
        for _ in 0..2000 {
            bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let stmt = Stmt::Store { buffer: BufferId(0), index: Index::Const(-3), value: f32::from_bits(bits).into() };
            let buffer = Buffer { name: "x".into(), dtype: DType::F32, len: 1, space: Space::Scratch };
            let kernel = Kernel { name: "k".into(), buffers: vec![buffer], vars: vec![], locals: 0, body: vec![stmt] };
            let back = parse(&print(&kernel)).unwrap();
            let Stmt::Store { value: Expr::F32(x), .. } = back.body[0] else { panic!("a store") };
            assert_eq!(x.to_bits(), bits);
        }
    }

    #[test]
    fn damaged_text_is_an_error_or_another_kernel() {
        let mut bits = 7u32;
        let mut draw = |below: usize| {
            bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (bits >> 8) as usize % below
        };
        let mut parsed = 0;
        for _ in 0..5000 {
            let mut text = ALL.as_bytes().to_vec();
            let at = draw(text.len());
            match draw(3) {
                0 => drop(text.remove(at)),
                1 => text.insert(at, b" .09eax%[](){}-+*/,;:\n\xc3\xa7"[draw(24)]),
                _ => text.truncate(at),
            }
            if let Ok(kernel) = parse(&String::from_utf8_lossy(&text)) {
                parsed += 1;
                assert_eq!(print(&parse(&print(&kernel)).unwrap()), print(&kernel));
            }
        }
        assert!(parsed > 100);
    }

    #[test]
    fn errors_name_the_line() {
        let error = |text: &str| parse(text).unwrap_err();
        assert_eq!(error(&ALL.replace("readwrite", "both")), "line 3, at `global`: no access `both`");
        assert!(error(&ALL.replace("row[lane", "raw[lane")).contains("no buffer `raw`"));
        assert!(error(&ALL.replace("[lane*8", "[k*8").replace("lane*8", "k")).contains("no variable `k` here"));
        assert!(error("kernel k {\n  §").starts_with("line 2: unexpected"));
        assert!(error("kernel k {").contains("end of text"));
        assert!(error("").contains("end of text"));
    }
}
