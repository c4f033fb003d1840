//! Reads the text form of a graph ([`text`](super::text) describes it).

use super::ops::Attribute;
use super::text::is_word_char;
use super::{DType, Def, Graph, Node, NodeId, Op, State, StateId, Type, Value, ValueId};
use crate::source::Span;
use netc_runtime::program::StateRole;
use std::collections::BTreeMap;

/// What is wrong with a text, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ParseError {
    /// From 1.
    pub line: usize,
    /// What was expected.
    pub message: String,
}

/// Reads one graph. What it accepts need not verify.
///
/// # Errors
/// At the first line that is not of the form.
pub fn parse(text: &str) -> Result<Graph, ParseError> {
    let mut reading = Reading::default();
    for (i, line) in text.lines().enumerate() {
        let mut cursor = Cursor { rest: line };
        reading.line(&mut cursor).map_err(|message| ParseError { line: i + 1, message })?;
    }
    match (reading.graph, reading.closed) {
        (Some(graph), true) => Ok(graph),
        _ => Err(ParseError { line: text.lines().count().max(1), message: "the graph does not end".to_owned() }),
    }
}

#[derive(Default)]
struct Reading {
    graph: Option<Graph>,
    closed: bool,
    values: BTreeMap<String, ValueId>,
    states: BTreeMap<String, StateId>,
}

impl Reading {
    fn line(&mut self, cursor: &mut Cursor<'_>) -> Result<(), String> {
        if cursor.at_end() {
            return Ok(());
        }
        let Some(mut graph) = self.graph.take() else {
            cursor.keyword("graph")?;
            self.graph = Some(Graph {
                name: cursor.word()?,
                values: vec![],
                inputs: vec![],
                states: vec![],
                nodes: vec![],
                outputs: vec![],
                updates: vec![],
            });
            cursor.expect('{')?;
            return cursor.end();
        };
        if self.closed {
            return Err("nothing may follow the graph".to_owned());
        }
        self.item(&mut graph, cursor)?;
        self.graph = Some(graph);
        cursor.end()
    }

    fn item(&mut self, graph: &mut Graph, cursor: &mut Cursor<'_>) -> Result<(), String> {
        if cursor.eat('}') {
            self.closed = true;
            return Ok(());
        }
        if cursor.peek() == Some('%') {
            return self.node(graph, cursor);
        }
        match cursor.word()?.as_str() {
            "input" => {
                let name = cursor.value()?;
                let of = cursor.of_type()?;
                let id = self.define(graph, name, of, Def::Input(graph.inputs.len() as u32))?;
                graph.inputs.push(id);
            }
            "state" => self.state(graph, cursor)?,
            "output" => {
                let name = cursor.word()?;
                cursor.expect('=')?;
                graph.outputs.push((name, self.operand(cursor)?));
            }
            "update" => {
                let name = cursor.word()?;
                let state = *self.states.get(&name).ok_or_else(|| format!("no state is called {name}"))?;
                cursor.expect('=')?;
                graph.updates.push((state, self.operand(cursor)?));
            }
            other => return Err(format!("{other} is no item of a graph")),
        }
        Ok(())
    }

    fn state(&mut self, graph: &mut Graph, cursor: &mut Cursor<'_>) -> Result<(), String> {
        let role = match cursor.word()?.as_str() {
            "parameter" => StateRole::Parameter,
            "buffer" => StateRole::Buffer,
            "optimizer" => StateRole::Optimizer,
            other => return Err(format!("{other} is no role of a state")),
        };
        let name = cursor.word()?;
        let of = cursor.of_type()?;
        if of.dtype != DType::F32 {
            return Err("states are f32".to_owned());
        }
        let id = StateId(graph.states.len() as u32);
        if self.states.insert(name.clone(), id).is_some() {
            return Err(format!("two states are called {name}"));
        }
        let mut value = None;
        if cursor.eat('-') {
            cursor.expect('>')?;
            value = Some(self.define(graph, cursor.value()?, of.clone(), Def::State(id))?);
        }
        graph.states.push(State { name, shape: of.shape, role, value });
        Ok(())
    }

    fn node(&mut self, graph: &mut Graph, cursor: &mut Cursor<'_>) -> Result<(), String> {
        let mut results = vec![];
        loop {
            let name = cursor.value()?;
            results.push((name, cursor.of_type()?));
            if !cursor.eat(',') {
                break;
            }
        }
        cursor.expect('=')?;
        let mnemonic = cursor.word()?;
        let attributes = if cursor.eat('{') { cursor.attributes()? } else { vec![] };
        let op = Op::from_text(&mnemonic, attributes)?;
        cursor.expect('(')?;
        let mut inputs = vec![];
        while !cursor.eat(')') {
            if !inputs.is_empty() {
                cursor.expect(',')?;
            }
            inputs.push(self.operand(cursor)?);
        }
        let mut layer = String::new();
        let mut span = Span::default();
        if cursor.eat('@') {
            layer = cursor.word()?;
            if cursor.eat(':') {
                span = cursor.span()?;
            }
        }
        let id = NodeId(graph.nodes.len() as u32);
        let mut outputs = vec![];
        for (i, (name, of)) in results.into_iter().enumerate() {
            outputs.push(self.define(graph, name, of, Def::Node(id, i as u32))?);
        }
        graph.nodes.push(Node { op, inputs, outputs, layer, span });
        Ok(())
    }

    fn define(&mut self, graph: &mut Graph, name: String, of: Type, def: Def) -> Result<ValueId, String> {
        let id = ValueId(graph.values.len() as u32);
        if self.values.insert(name.clone(), id).is_some() {
            return Err(format!("%{name} is defined twice"));
        }
        graph.values.push(Value { name, dtype: of.dtype, shape: of.shape, def });
        Ok(id)
    }

    fn operand(&self, cursor: &mut Cursor<'_>) -> Result<ValueId, String> {
        let name = cursor.value()?;
        self.values.get(&name).copied().ok_or_else(|| format!("%{name} is not defined above"))
    }
}

/// The rest of a line.
struct Cursor<'a> {
    rest: &'a str,
}

impl Cursor<'_> {
    fn peek(&mut self) -> Option<char> {
        self.rest = self.rest.trim_start();
        self.rest.chars().next()
    }

    fn eat(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        if found {
            self.rest = &self.rest[c.len_utf8()..];
        }
        found
    }

    fn expect(&mut self, c: char) -> Result<(), String> {
        if self.eat(c) { Ok(()) } else { Err(format!("expected {c} before \"{}\"", self.rest)) }
    }

    fn at_end(&mut self) -> bool {
        matches!(self.peek(), None | Some('#'))
    }

    fn end(&mut self) -> Result<(), String> {
        if self.at_end() { Ok(()) } else { Err(format!("expected the end of the line before \"{}\"", self.rest)) }
    }

    fn keyword(&mut self, word: &str) -> Result<(), String> {
        match self.word() {
            Ok(found) if found == word => Ok(()),
            _ => Err(format!("expected {word}")),
        }
    }

    /// A plain or quoted word.
    fn word(&mut self) -> Result<String, String> {
        if self.eat('"') {
            return self.quoted();
        }
        let end = self.rest.find(|c| !is_word_char(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        if word.is_empty() {
            return Err(format!("expected a name before \"{rest}\""));
        }
        self.rest = rest;
        Ok(word.to_owned())
    }

    fn quoted(&mut self) -> Result<String, String> {
        let mut word = String::new();
        let mut chars = self.rest.char_indices();
        while let Some((i, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = &self.rest[i + 1..];
                    return Ok(word);
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => word.push('\n'),
                    Some((_, other)) => word.push(other),
                    None => break,
                },
                other => word.push(other),
            }
        }
        Err("a quoted name does not end".to_owned())
    }

    /// `%name`.
    fn value(&mut self) -> Result<String, String> {
        self.expect('%')?;
        self.word()
    }

    /// `: f32[2,3]`.
    fn of_type(&mut self) -> Result<Type, String> {
        self.expect(':')?;
        let dtype = match self.word()?.as_str() {
            "f32" => DType::F32,
            "i32" => DType::I32,
            "u8" => DType::U8,
            other => return Err(format!("{other} is no element type")),
        };
        let shape = self.list()?.iter().map(|s| whole(s)).collect::<Result<_, _>>()?;
        Ok(Type { dtype, shape })
    }

    /// `[a,b]`, items as text.
    fn list(&mut self) -> Result<Vec<String>, String> {
        self.expect('[')?;
        let mut items = vec![];
        while !self.eat(']') {
            if !items.is_empty() {
                self.expect(',')?;
            }
            items.push(self.scalar()?);
        }
        Ok(items)
    }

    /// A number or a word, as text.
    fn scalar(&mut self) -> Result<String, String> {
        self.peek();
        let end = self.rest.find(|c| !(is_word_char(c) || c == '+')).unwrap_or(self.rest.len());
        let (item, rest) = self.rest.split_at(end);
        if item.is_empty() {
            return Err(format!("expected a number before \"{rest}\""));
        }
        self.rest = rest;
        Ok(item.to_owned())
    }

    /// `key=value, …}`.
    fn attributes(&mut self) -> Result<Vec<(String, Attribute)>, String> {
        let mut list = vec![];
        while !self.eat('}') {
            if !list.is_empty() {
                self.expect(',')?;
            }
            let key = self.word()?;
            self.expect('=')?;
            list.push((key, self.attribute()?));
        }
        Ok(list)
    }

    fn attribute(&mut self) -> Result<Attribute, String> {
        if self.peek() == Some('[') {
            let items = self.list()?;
            if let Ok(ints) = items.iter().map(|s| whole(s)).collect() {
                return Ok(Attribute::Ints(ints));
            }
            return items.iter().map(|s| number(s)).collect::<Result<_, _>>().map(Attribute::Floats);
        }
        let item = self.scalar()?;
        match item.as_str() {
            "true" => Ok(Attribute::Flag(true)),
            "false" => Ok(Attribute::Flag(false)),
            _ => whole(&item).map(Attribute::Int).or_else(|_| number(&item).map(Attribute::Float)),
        }
    }

    /// `12-40`.
    fn span(&mut self) -> Result<Span, String> {
        let text = self.word()?;
        let bound = |s: &str| s.parse().map_err(|_| format!("{s} is no place in a file"));
        let (start, end) = text.split_once('-').ok_or_else(|| format!("{text} is no span"))?;
        Ok(Span { start: bound(start)?, end: bound(end)? })
    }
}

fn whole(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("{text} is no whole number"))
}

fn number(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}
