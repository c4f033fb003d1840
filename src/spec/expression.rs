//! Arithmetic in a spec: `width*2`, `(depth + 1)//2`.
//!
//! Numbers, parameters, `+ − * /`, `//` (rounds down), parentheses and signs. A quotient of whole numbers that is whole
//! stays whole. Text is arithmetic only if it reads as such throughout; anything else stays the word that it is.

use super::Data;
use crate::diag::{Code, Diagnostic, Fix, closest};
use crate::source::Span;
use std::collections::BTreeMap;

/// Values by parameter.
pub(super) type Scope = BTreeMap<String, Data>;

/// Nested parentheses and signs.
const DEEPEST: usize = 40;
/// Parameters among which the one that was meant is sought.
const MOST_GUESSED: usize = 200;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Number {
    Whole(i64),
    Real(f64),
}

#[derive(Debug, Clone, PartialEq)]
enum Token<'a> {
    Number(Number),
    Word(&'a str),
    /// One of `+ - * / ( )`, or `%` for `//`.
    Sign(char),
}

/// The value of `text` if it is arithmetic or the name of a parameter; `Ok(None)` if it is just a word.
pub(super) fn evaluate(text: &str, span: Span, scope: &Scope) -> Result<Option<Data>, Box<Diagnostic>> {
    let Some(tokens) = tokens(text) else { return Ok(None) };
    if let [Token::Word(word)] = tokens.as_slice() {
        return Ok(scope.get(*word).cloned());
    }
    if tokens.len() < 3 && !tokens.iter().any(|t| matches!(t, Token::Word(_))) || !well_formed(&tokens) {
        return Ok(None);
    }
    let words: Vec<&str> = tokens.iter().filter_map(|t| if let Token::Word(w) = t { Some(*w) } else { None }).collect();
    if let Some(unknown) = words.iter().find(|w| !scope.contains_key(**w)) {
        let meant =
            words.iter().any(|w| scope.contains_key(*w)) || tokens.iter().any(|t| matches!(t, Token::Number(_)));
        if !meant {
            return Ok(None);
        }
        let at = text.find(unknown).filter(|_| (span.end - span.start) as usize == text.len());
        let offset = |bytes: usize| span.start.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        let span = at.map_or(span, |at| Span { start: offset(at), end: offset(at + unknown.len()) });
        let message = format!("there is no parameter `{unknown}`");
        let mut diagnostic = Diagnostic::error(Code::UnknownParameter, span, message);
        diagnostic = match closest(unknown, scope.keys().take(MOST_GUESSED).map(String::as_str)) {
            Some(known) if at.is_some() => diagnostic.fix(Fix::maybe(format!("did you mean `{known}`?"), span, known)),
            Some(known) => diagnostic.note(format!("did you mean `{known}`?")),
            None => diagnostic.note("parameters are defined in the section `params`"),
        };
        return Err(Box::new(diagnostic));
    }
    let mut parser = Parser { tokens: &tokens, at: 0, scope };
    match parser.sum(0) {
        Ok(Number::Whole(n)) => Ok(Some(Data::Integer(n))),
        Ok(Number::Real(x)) => Ok(Some(Data::Real(x))),
        Err(message) => Err(Box::new(Diagnostic::error(Code::BadExpression, span, message))),
    }
}

/// Every word of a text that could be arithmetic.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    tokens(text).into_iter().flatten().filter_map(|token| match token {
        Token::Word(word) => Some(word),
        Token::Number(_) | Token::Sign(_) => None,
    })
}

fn tokens(text: &str) -> Option<Vec<Token<'_>>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '0'..='9' | '.' => {
                let mut length = 0;
                let bytes = rest.as_bytes();
                while length < bytes.len() {
                    let exponent = matches!(bytes[length], b'+' | b'-') && matches!(bytes[length - 1], b'e' | b'E');
                    if !(bytes[length].is_ascii_alphanumeric() || bytes[length] == b'.' || exponent) {
                        break;
                    }
                    length += 1;
                }
                let word = &rest[..length];
                let whole = word.bytes().all(|b| b.is_ascii_digit());
                let number = match whole {
                    true => Number::Whole(word.parse().ok()?),
                    false => Number::Real(word.parse().ok()?),
                };
                tokens.push(Token::Number(number));
                length
            }
            'a'..='z' | 'A'..='Z' | '_' => {
                let length = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
                tokens.push(Token::Word(&rest[..length]));
                length
            }
            '/' if rest.starts_with("//") => {
                tokens.push(Token::Sign('%'));
                2
            }
            '+' | '-' | '*' | '/' | '(' | ')' => {
                tokens.push(Token::Sign(first));
                1
            }
            _ => return None,
        };
        rest = rest[length..].trim_start();
    }
    Some(tokens)
}

/// Whether operands and operators alternate and parentheses match.
fn well_formed(tokens: &[Token<'_>]) -> bool {
    let mut depth = 0usize;
    let mut signs = 0usize;
    let mut operand_next = true;
    for token in tokens {
        match (token, operand_next) {
            (Token::Number(_) | Token::Word(_), true) => operand_next = false,
            (Token::Sign('('), true) => depth += 1,
            (Token::Sign('-' | '+'), true) => signs += 1,
            (Token::Sign(')'), false) => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return false,
            },
            (Token::Sign('+' | '-' | '*' | '/' | '%'), false) => operand_next = true,
            _ => return false,
        }
        if depth + signs > DEEPEST {
            return false;
        }
    }
    depth == 0 && !operand_next
}

struct Parser<'a> {
    tokens: &'a [Token<'a>],
    at: usize,
    scope: &'a Scope,
}

type Result1 = Result<Number, String>;

impl Parser<'_> {
    fn sign(&mut self, signs: &str) -> Option<char> {
        match self.tokens.get(self.at) {
            Some(Token::Sign(sign)) if signs.contains(*sign) => {
                self.at += 1;
                Some(*sign)
            }
            _ => None,
        }
    }

    fn sum(&mut self, depth: usize) -> Result1 {
        let mut left = self.product(depth)?;
        while let Some(sign) = self.sign("+-") {
            left = apply(sign, left, self.product(depth)?)?;
        }
        Ok(left)
    }

    fn product(&mut self, depth: usize) -> Result1 {
        let mut left = self.operand(depth)?;
        while let Some(sign) = self.sign("*/%") {
            left = apply(sign, left, self.operand(depth)?)?;
        }
        Ok(left)
    }

    fn operand(&mut self, depth: usize) -> Result1 {
        if depth > 2 * DEEPEST {
            return Err("this is nested too deeply".to_string());
        }
        match self.sign("(+-") {
            Some('(') => {
                let inner = self.sum(depth + 1)?;
                self.sign(")");
                return Ok(inner);
            }
            Some('-') => return apply('-', Number::Whole(0), self.operand(depth + 1)?),
            Some(_) => return self.operand(depth + 1),
            None => {}
        }
        let token = self.tokens.get(self.at);
        self.at += 1;
        match token {
            Some(Token::Number(number)) => Ok(*number),
            Some(Token::Word(word)) => match self.scope.get(*word) {
                Some(Data::Integer(n)) => Ok(Number::Whole(*n)),
                Some(Data::Real(x)) => Ok(Number::Real(*x)),
                Some(other) => Err(format!("`{word}` is {}, no number", other.describe())),
                None => Err(format!("there is no parameter `{word}`")),
            },
            _ => Err("a number is missing here".to_string()),
        }
    }
}

fn apply(sign: char, a: Number, b: Number) -> Result1 {
    let real = |n: Number| match n {
        Number::Whole(n) => n as f64,
        Number::Real(x) => x,
    };
    if matches!(sign, '/' | '%') && real(b) == 0.0 {
        return Err("this divides by 0".to_string());
    }
    if let (Number::Whole(a), Number::Whole(b)) = (a, b) {
        let whole = match sign {
            '+' => a.checked_add(b),
            '-' => a.checked_sub(b),
            '*' => a.checked_mul(b),
            '/' if a.checked_rem(b) != Some(0) => return Ok(Number::Real(a as f64 / b as f64)),
            '/' => a.checked_div(b),
            _ => a.checked_div_euclid(b).map(|q| if b < 0 && a.rem_euclid(b) != 0 { q - 1 } else { q }),
        };
        return whole.map(Number::Whole).ok_or_else(|| "this is too large for a number".to_string());
    }
    let (a, b) = (real(a), real(b));
    let result = match sign {
        '+' => a + b,
        '-' => a - b,
        '*' => a * b,
        '/' => a / b,
        _ => (a / b).floor(),
    };
    if result.is_finite() { Ok(Number::Real(result)) } else { Err("this is too large for a number".to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Result<Option<Data>, Code> {
        let scope = Scope::from([
            ("width".to_string(), Data::Integer(96)),
            ("rate".to_string(), Data::Real(0.5)),
            ("word".to_string(), Data::Text("same".into())),
        ]);
        evaluate(text, Span { start: 0, end: text.len() as u32 }, &scope).map_err(|d| d.code)
    }

    #[test]
    fn arithmetic_has_the_usual_rules() {
        for (text, expected) in [
            ("width", Data::Integer(96)),
            ("width*2", Data::Integer(192)),
            ("2 + 3*width", Data::Integer(290)),
            ("(2 + 3)*-width", Data::Integer(-480)),
            ("width/2/2", Data::Integer(24)),
            ("width/5", Data::Real(19.2)),
            ("width//5", Data::Integer(19)),
            ("-7//2", Data::Integer(-4)),
            ("7//-2", Data::Integer(-4)),
            ("width*rate", Data::Real(48.0)),
            ("1e-3*2", Data::Real(0.002)),
            ("word", Data::Text("same".into())),
        ] {
            assert_eq!(value(text), Ok(Some(expected)), "{text}");
        }
    }

    #[test]
    fn words_stay_words() {
        for text in
            ["same", "kaiming_normal", "kaiming-normal", "5", "-5", "T-shirt/top", "", "a b", "1 2", "2*", "(3", "x)"]
        {
            assert_eq!(value(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn wrong_arithmetic_is_refused() {
        assert_eq!(value("widht*2"), Err(Code::UnknownParameter));
        assert_eq!(value("width + depth"), Err(Code::UnknownParameter));
        assert_eq!(value("width/0"), Err(Code::BadExpression));
        assert_eq!(value("word*2"), Err(Code::BadExpression));
        assert_eq!(value("9223372036854775807*2"), Err(Code::BadExpression));
        assert_eq!(value(&format!("{}1{}", "(".repeat(30_000), ")".repeat(30_000))), Ok(None));
        assert_eq!(value(&format!("width*{}1", "-".repeat(30_000))), Ok(None));
    }
}
