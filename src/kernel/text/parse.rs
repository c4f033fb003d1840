//! Reads the text form.

use super::super::{
    Access, Binary, Buffer, BufferId, Compare, DType, Expr, Index, Kernel, Local, LoopKind, Space, Stmt, Unary, Var,
};
use std::fmt;
use std::sync::Arc;

/// Reads a kernel. The error names the line.
pub fn parse(text: &str) -> Result<Kernel, String> {
    let mut parser = Parser {
        tokens: tokens(text)?,
        at: 0,
        kernel: Kernel { name: String::new(), buffers: Vec::new(), vars: Vec::new(), locals: 0, body: Vec::new() },
        scope: Vec::new(),
    };
    match parser.kernel() {
        Ok(()) => Ok(parser.kernel),
        Err(error) => {
            let at = parser.at.min(parser.tokens.len().saturating_sub(1));
            let (line, token) = parser.tokens.get(at).cloned().unwrap_or((0, Token::End));
            Err(format!("line {line}, at `{token}`: {error}"))
        }
    }
}

const UNARY: [(&str, Unary); 9] = [
    ("neg", Unary::Neg),
    ("sqrt", Unary::Sqrt),
    ("exp", Unary::Exp),
    ("log", Unary::Log),
    ("tanh", Unary::Tanh),
    ("sigmoid", Unary::Sigmoid),
    ("cos_turn", Unary::CosTurn),
    ("to_f32", Unary::ToF32),
    ("unit_interval", Unary::UnitInterval),
];

#[derive(Debug, Clone, PartialEq)]
enum Token {
    /// A name; a variable's number after a dot belongs to it.
    Word(String),
    /// An integer as written.
    Integer(String),
    /// A float as written.
    Float(String),
    Sign(&'static str),
    End,
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Token::Word(s) | Token::Integer(s) | Token::Float(s) => f.write_str(s),
            Token::Sign(s) => f.write_str(s),
            Token::End => f.write_str("end of text"),
        }
    }
}

const SIGNS: [&str; 24] = [
    "..", "==", "!=", "<=", ">=", "<", ">", "=", "+", "-", "*", "/", "%", "(", ")", "[", "]", "{", "}", ",", ":", ";",
    ".", "\n",
];

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, String> {
    let mut out = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line_number = number + 1;
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let (len, token) = if first.is_ascii_alphabetic() || first == '_' {
                word(rest)
            } else if first.is_ascii_digit() {
                numeral(rest)
            } else {
                let sign = SIGNS.iter().find(|s| rest.starts_with(**s));
                let sign = *sign.ok_or_else(|| format!("line {line_number}: unexpected `{first}`"))?;
                (sign.len(), Token::Sign(sign))
            };
            out.push((line_number, token));
            rest = rest[len..].trim_start();
        }
    }
    out.push((text.lines().count(), Token::End));
    Ok(out)
}

fn word(text: &str) -> (usize, Token) {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut len = text.find(|c| !part(c)).unwrap_or(text.len());
    if let Some(tail) = text[len..].strip_prefix('.') {
        let digits = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
        if digits > 0 {
            len += 1 + digits;
        }
    }
    (len, Token::Word(text[..len].to_owned()))
}

fn numeral(text: &str) -> (usize, Token) {
    let bytes = text.as_bytes();
    if text.starts_with("0x") {
        let len = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
        return (len, Token::Integer(text[..len].to_owned()));
    }
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let mut len = digits(0);
    let mut float = false;
    // Not the range in `0..4`.
    if bytes.get(len) == Some(&b'.') && bytes.get(len + 1).is_some_and(u8::is_ascii_digit) {
        len += 1 + digits(len + 1);
        float = true;
    }
    if bytes.get(len) == Some(&b'e') {
        let sign = usize::from(bytes.get(len + 1) == Some(&b'-'));
        len += 1 + sign + digits(len + 1 + sign);
        float = true;
    }
    let text = text[..len].to_owned();
    (len, if float { Token::Float(text) } else { Token::Integer(text) })
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    at: usize,
    kernel: Kernel,
    /// Variables in scope as written.
    scope: Vec<(String, Var)>,
}

impl Parser {
    fn peek(&self) -> &Token {
        self.tokens.get(self.at).map_or(&Token::End, |(_, t)| t)
    }

    fn next(&mut self) -> Token {
        let token = self.peek().clone();
        self.at += 1;
        token
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Token::Sign(s) if *s == sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.take(sign) { Ok(()) } else { Err(format!("expected `{sign}`")) }
    }

    fn word(&mut self) -> Result<String, String> {
        match self.peek().clone() {
            Token::Word(word) => {
                self.at += 1;
                Ok(word)
            }
            _ => Err("expected a name".to_owned()),
        }
    }

    fn integer<T: std::str::FromStr>(&mut self) -> Result<T, String> {
        let sign = if self.take("-") { "-" } else { "" };
        let Token::Integer(digits) = self.peek() else { return Err("expected an integer".to_owned()) };
        let value = format!("{sign}{digits}").parse().map_err(|_| "integer out of range".to_owned())?;
        self.at += 1;
        Ok(value)
    }

    fn kernel(&mut self) -> Result<(), String> {
        if self.word()? != "kernel" {
            return Err("expected `kernel`".to_owned());
        }
        self.kernel.name = self.word()?;
        self.expect("{")?;
        while let Token::Word(word) = self.peek() {
            let space = match word.as_str() {
                "global" => Space::Global(Access::Read),
                "scratch" => Space::Scratch,
                "register" => Space::Register,
                _ => break,
            };
            self.at += 1;
            let buffer = self.buffer(space)?;
            self.kernel.buffers.push(buffer);
        }
        self.kernel.body = self.block()?;
        match self.peek() {
            Token::End => Ok(()),
            _ => Err("text after the kernel".to_owned()),
        }
    }

    fn buffer(&mut self, space: Space) -> Result<Buffer, String> {
        let name = self.word()?;
        self.expect(":")?;
        let dtype = match self.word()?.as_str() {
            "f32" => DType::F32,
            "i32" => DType::I32,
            "u8" => DType::U8,
            other => return Err(format!("no element type `{other}`")),
        };
        self.expect("[")?;
        let len = self.integer()?;
        self.expect("]")?;
        let space = match space {
            Space::Global(_) => Space::Global(match self.word()?.as_str() {
                "read" => Access::Read,
                "write" => Access::Write,
                "readwrite" => Access::ReadWrite,
                other => return Err(format!("no access `{other}`")),
            }),
            other => other,
        };
        Ok(Buffer { name, dtype, len, space })
    }

    /// Statements up to and with the closing brace.
    fn block(&mut self) -> Result<Vec<Stmt>, String> {
        let mut block = Vec::new();
        while !self.take("}") {
            let word = self.word()?;
            // A buffer may be called `let` or `serial`: a store is told by its bracket.
            let store = matches!(self.peek(), Token::Sign("["));
            block.push(match word.as_str() {
                _ if store => {
                    let buffer = self.buffer_named(&word)?;
                    self.expect("[")?;
                    let index = self.index()?;
                    self.expect("]")?;
                    self.expect("=")?;
                    Stmt::Store { buffer, index, value: self.expr()? }
                }
                "serial" => self.for_loop(LoopKind::Serial)?,
                "parallel" => self.for_loop(LoopKind::Parallel)?,
                "unrolled" => self.for_loop(LoopKind::Unrolled)?,
                "vector" => self.for_loop(LoopKind::Vector)?,
                "prefetch" => {
                    let name = self.word()?;
                    let buffer = self.buffer_named(&name)?;
                    self.expect("[")?;
                    let index = self.index()?;
                    self.expect("]")?;
                    Stmt::Prefetch { buffer, index }
                }
                "let" => {
                    let local = self.local()?;
                    let count = local.0.checked_add(1).ok_or("integer out of range")?;
                    self.kernel.locals = self.kernel.locals.max(count);
                    self.expect("=")?;
                    Stmt::Let { local, value: self.expr()? }
                }
                other => return Err(format!("no statement begins with `{other}`")),
            });
        }
        Ok(block)
    }

    fn for_loop(&mut self, kind: LoopKind) -> Result<Stmt, String> {
        let written = self.word()?;
        if self.word()? != "in" {
            return Err("expected `in`".to_owned());
        }
        let begin = self.index()?;
        self.expect("..")?;
        let end = self.index()?;
        self.expect("{")?;
        let var = Var(self.kernel.vars.len() as u32);
        self.kernel.vars.push(written.split('.').next().unwrap_or_default().to_owned());
        self.scope.push((written, var));
        let body = self.block()?;
        self.scope.pop();
        Ok(Stmt::For { var, begin, end, kind, body })
    }

    fn local(&mut self) -> Result<Local, String> {
        self.expect("%")?;
        Ok(Local(self.integer()?))
    }

    fn buffer_named(&self, name: &str) -> Result<BufferId, String> {
        let at = self.kernel.buffers.iter().position(|b| b.name == name);
        at.map(|at| BufferId(at as u32)).ok_or_else(|| format!("no buffer `{name}`"))
    }

    fn index(&mut self) -> Result<Index, String> {
        let mut sum = self.index_product()?;
        loop {
            if self.take("+") {
                sum = Index::Add(Arc::new(sum), Arc::new(self.index_product()?));
            } else if self.take("-") {
                let constant: u64 = self.integer()?;
                let constant = 0i64.checked_sub_unsigned(constant).ok_or("integer out of range")?;
                sum = Index::Add(Arc::new(sum), Arc::new(Index::Const(constant)));
            } else {
                return Ok(sum);
            }
        }
    }

    fn index_product(&mut self) -> Result<Index, String> {
        let mut product = self.index_operand()?;
        loop {
            if self.take("*") {
                product = Index::Mul(Arc::new(product), self.integer()?);
            } else if self.take("/") {
                product = Index::Div(Arc::new(product), self.integer()?);
            } else if self.take("%") {
                product = Index::Rem(Arc::new(product), self.integer()?);
            } else {
                return Ok(product);
            }
        }
    }

    fn index_operand(&mut self) -> Result<Index, String> {
        match self.peek().clone() {
            Token::Integer(_) | Token::Sign("-") => Ok(Index::Const(self.integer()?)),
            Token::Sign("(") => {
                self.at += 1;
                let index = self.index()?;
                self.expect(")")?;
                Ok(index)
            }
            Token::Word(word) => {
                self.at += 1;
                if (word == "min" || word == "max") && self.take("(") {
                    let a = Arc::new(self.index()?);
                    self.expect(",")?;
                    let b = Arc::new(self.index()?);
                    self.expect(")")?;
                    return Ok(if word == "min" { Index::Min(a, b) } else { Index::Max(a, b) });
                }
                let var = self.scope.iter().rev().find(|(name, _)| *name == word);
                var.map(|(_, v)| Index::Var(*v)).ok_or_else(|| format!("no variable `{word}` here"))
            }
            _ => Err("expected an index".to_owned()),
        }
    }

    fn expr(&mut self) -> Result<Expr, String> {
        let a = self.sum()?;
        let op = match self.peek() {
            Token::Sign("==") => Compare::Eq,
            Token::Sign("!=") => Compare::Ne,
            Token::Sign("<") => Compare::Lt,
            Token::Sign("<=") => Compare::Le,
            Token::Sign(">") => Compare::Gt,
            Token::Sign(">=") => Compare::Ge,
            _ => return Ok(a),
        };
        self.at += 1;
        Ok(a.compare(op, self.sum()?))
    }

    fn sum(&mut self) -> Result<Expr, String> {
        let mut sum = self.product()?;
        loop {
            if self.take("+") {
                sum = sum + self.product()?;
            } else if self.take("-") {
                sum = sum - self.product()?;
            } else {
                return Ok(sum);
            }
        }
    }

    fn product(&mut self) -> Result<Expr, String> {
        let mut product = self.operand()?;
        loop {
            if self.take("*") {
                product = product * self.operand()?;
            } else if self.take("/") {
                product = product / self.operand()?;
            } else {
                return Ok(product);
            }
        }
    }

    fn operand(&mut self) -> Result<Expr, String> {
        let negative = matches!(self.peek(), Token::Sign("-"));
        match self.tokens.get(self.at + usize::from(negative)).map(|(_, t)| t.clone()) {
            Some(Token::Float(digits)) => {
                self.at += 1 + usize::from(negative);
                let value: f32 = digits.parse().map_err(|_| "not a number".to_owned())?;
                Ok(Expr::F32(if negative { -value } else { value }))
            }
            Some(Token::Integer(_)) => Ok(Expr::I32(self.integer()?)),
            Some(Token::Sign("%")) => Ok(Expr::Local(self.local()?)),
            Some(Token::Sign("(")) => {
                self.at += 1;
                let expr = self.expr()?;
                self.expect(")")?;
                Ok(expr)
            }
            Some(Token::Word(word)) => {
                self.at += 1;
                if self.take("[") {
                    return self.load(&word);
                }
                self.expect("(")?;
                let expr = self.call(&word)?;
                self.expect(")")?;
                Ok(expr)
            }
            _ => Err("expected a value".to_owned()),
        }
    }

    fn load(&mut self, name: &str) -> Result<Expr, String> {
        let buffer = self.buffer_named(name)?;
        let index = self.index()?;
        let expr = if self.take(";") {
            Expr::Gather(buffer, index, Box::new(self.expr()?))
        } else {
            Expr::Load(buffer, index)
        };
        self.expect("]")?;
        Ok(expr)
    }

    fn call(&mut self, name: &str) -> Result<Expr, String> {
        if let Some((_, op)) = UNARY.iter().find(|(n, _)| *n == name) {
            return Ok(self.expr()?.unary(*op));
        }
        if let Some(word) = name.strip_prefix("random.") {
            let word = word.parse().map_err(|_| "no such random word".to_owned())?;
            let key = Box::new(self.words()?);
            self.expect(",")?;
            return Ok(Expr::Random { key, counter: Box::new(self.words()?), word });
        }
        match name {
            "index" => Ok(Expr::Index(self.index()?)),
            "bits" => {
                let Token::Integer(digits) = self.next() else { return Err("expected bits".to_owned()) };
                let bits = digits.strip_prefix("0x").and_then(|d| u32::from_str_radix(d, 16).ok());
                Ok(Expr::F32(f32::from_bits(bits.ok_or("expected bits")?)))
            }
            "min" | "max" => {
                let [a, b] = self.operands()?;
                Ok(a.binary(if name == "min" { Binary::Min } else { Binary::Max }, b))
            }
            "fma" => {
                let [a, b, c] = self.operands()?;
                Ok(a.mul_add(b, c))
            }
            "select" => {
                let [condition, a, b] = self.operands()?;
                Ok(condition.select(a, b))
            }
            other => Err(format!("no function `{other}`")),
        }
    }

    fn words<const N: usize>(&mut self) -> Result<[Expr; N], String> {
        self.expect("[")?;
        let words = self.operands()?;
        self.expect("]")?;
        Ok(words)
    }

    fn operands<const N: usize>(&mut self) -> Result<[Expr; N], String> {
        let mut operands = Vec::with_capacity(N);
        for i in 0..N {
            if i > 0 {
                self.expect(",")?;
            }
            operands.push(self.expr()?);
        }
        operands.try_into().map_err(|_| format!("expected {N} operands"))
    }
}
