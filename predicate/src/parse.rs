//! From the text of a `WHERE` clause to a predicate.
//!
//! ```text
//! or     := and (OR and)*
//! and    := not (AND not)*
//! not    := NOT not | ( or ) | TRUE | FALSE | test
//! test   := column                            true of a boolean column that is true
//!         | column op literal | literal op column
//!         | column [NOT] IN ( literal, … ) | column [NOT] BETWEEN literal AND literal
//!         | column [NOT] LIKE 'pattern' [ESCAPE 'c'] | column IS [NOT] NULL
//! column := name (. name)* | #id              a name is a word or in double quotes
//! ```

use std::fmt;

use crate::lexer::{self, Token};
use crate::{BYTES_MAX, Comparison, DEPTH_MAX, Decimal, Literal, Pattern, Predicate, calendar};

/// Words with a meaning of their own; a column called so needs quotes.
pub(crate) const KEYWORDS: [&str; 10] = [
    "AND", "BETWEEN", "ESCAPE", "FALSE", "IN", "IS", "LIKE", "NOT", "NULL", "OR",
];
/// The one keyword more.
pub(crate) const TRUE: &str = "TRUE";

/// Why a text is no predicate, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    text: String,
    at: usize,
    what: String,
}

impl ParseError {
    /// The place, in bytes from the beginning of the text.
    pub fn at(&self) -> usize {
        self.at
    }
}

/// The reason, then the line of the text with a mark under the place.
impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN_MAX: usize = 60;
        let before = &self.text[..self.at];
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let shown: Vec<char> = before[start..].chars().rev().take(SHOWN_MAX).collect();
        let after = self.text[self.at..].chars().take_while(|one| *one != '\n');
        let line = shown.iter().rev().copied().chain(after.take(SHOWN_MAX));
        let line: String = line.collect();
        write!(f, "{}\n  {line}\n  {:>2$}", self.what, '^', shown.len() + 1)
    }
}

impl std::error::Error for ParseError {}

/// Reads the condition of a `WHERE` clause, without the word.
///
/// # Errors
/// [`ParseError`] for what is none, or is longer than [`BYTES_MAX`] or deeper than [`DEPTH_MAX`].
pub fn parse(text: &str) -> Result<Predicate, ParseError> {
    let fail = |(at, what): (usize, String)| ParseError {
        text: text.to_owned(),
        at,
        what,
    };
    if text.len() > BYTES_MAX {
        return Err(ParseError {
            text: String::new(),
            at: 0,
            what: format!("a predicate has at most {BYTES_MAX} bytes"),
        });
    }
    let tokens = lexer::tokens(text).map_err(|(at, what)| fail((at, what.to_owned())))?;
    let mut parser = Parser { tokens, next: 0 };
    // Brackets around a chain take two levels of the grammar and one of the tree.
    let predicate = parser.or(2 * DEPTH_MAX + 2).and_then(|predicate| {
        parser.expect_end()?;
        let too_deep = |_| (0, TOO_DEEP.to_owned());
        predicate.check_depth().map_err(too_deep)?;
        Ok(predicate)
    });
    predicate.map_err(fail)
}

const TOO_DEEP: &str = "the predicate is nested too deep";

type Parsed<T> = Result<T, (usize, String)>;

struct Parser {
    /// Ends with [`Token::End`], which is never passed.
    tokens: Vec<(Token, usize)>,
    next: usize,
}

impl Parser {
    fn or(&mut self, depth: usize) -> Parsed<Predicate> {
        self.chain("OR", depth, Self::and, Predicate::Or)
    }

    fn and(&mut self, depth: usize) -> Parsed<Predicate> {
        self.chain("AND", depth, Self::not, Predicate::And)
    }

    /// Parts with `word` between them; one alone is itself.
    fn chain(
        &mut self,
        word: &str,
        depth: usize,
        part: fn(&mut Self, usize) -> Parsed<Predicate>,
        join: fn(Vec<Predicate>) -> Predicate,
    ) -> Parsed<Predicate> {
        let below = self.deeper(depth)?;
        let first = part(self, below)?;
        if !self.is_word(word) {
            return Ok(first);
        }
        let mut parts = vec![first];
        while self.take_word(word) {
            parts.push(part(self, below)?);
        }
        Ok(join(parts))
    }

    fn not(&mut self, depth: usize) -> Parsed<Predicate> {
        if self.take_word("NOT") {
            let below = self.deeper(depth)?;
            return Ok(self.not(below)?.not());
        }
        if self.take_symbol("(") {
            let inner = self.or(depth)?;
            self.expect_symbol(")")?;
            return Ok(inner);
        }
        if !self.is_literal_ahead() {
            return self.test();
        }
        let literal = self.literal()?;
        match (self.comparison(), literal) {
            (Some(op), literal) => Ok(Predicate::compare(self.column()?, op.flipped(), literal)),
            (None, Literal::Bool(truth)) => Ok(Predicate::Constant(truth)),
            (None, _) => self.fail("a comparison with a column is missing"),
        }
    }

    fn test(&mut self) -> Parsed<Predicate> {
        let column = self.column()?;
        if let Some(op) = self.comparison() {
            return Ok(Predicate::compare(column, op, self.literal()?));
        }
        if self.take_word("IS") {
            let is_not = self.take_word("NOT");
            if !self.take_word("NULL") {
                return self.fail("NULL is missing here");
            }
            return Ok(negated(Predicate::IsNull(column), is_not));
        }
        let is_not = self.take_word("NOT");
        let test = if self.take_word("IN") {
            let literals = self.list()?;
            Predicate::In { column, literals }
        } else if self.take_word("BETWEEN") {
            let low = self.literal()?;
            if !self.take_word("AND") {
                return self.fail("AND and an upper bound are missing here");
            }
            Predicate::between(column, low, self.literal()?)
        } else if self.take_word("LIKE") {
            let pattern = self.pattern()?;
            Predicate::Like { column, pattern }
        } else if is_not {
            return self.fail("IN, BETWEEN or LIKE is missing here");
        } else {
            Predicate::compare(column, Comparison::Equal, Literal::Bool(true))
        };
        Ok(negated(test, is_not))
    }

    fn column(&mut self) -> Parsed<String> {
        if let Token::Id(id) = self.peek() {
            let id = id.clone();
            self.next += 1;
            return Ok(id);
        }
        let mut path = self.name()?;
        while self.take_symbol(".") {
            path.push('.');
            path.push_str(&self.name()?);
        }
        Ok(path)
    }

    fn name(&mut self) -> Parsed<String> {
        let name = match self.peek() {
            Token::Word(word) if !is_keyword(word) => word.clone(),
            Token::Quoted(name) if name.contains('.') || name.starts_with('#') => {
                return self
                    .fail("a name with a point, or # before it, goes by its field id (#17)");
            }
            Token::Quoted(name) if !name.is_empty() => name.clone(),
            _ => return self.fail("the name of a column is missing here"),
        };
        self.next += 1;
        Ok(name)
    }

    fn comparison(&mut self) -> Option<Comparison> {
        let Token::Symbol(symbol) = self.peek() else {
            return None;
        };
        let op = match *symbol {
            "=" => Comparison::Equal,
            "<>" | "!=" => Comparison::NotEqual,
            "<" => Comparison::Less,
            "<=" => Comparison::LessOrEqual,
            ">" => Comparison::Greater,
            ">=" => Comparison::GreaterOrEqual,
            _ => return None,
        };
        self.next += 1;
        Some(op)
    }

    fn list(&mut self) -> Parsed<Vec<Literal>> {
        self.expect_symbol("(")?;
        let mut literals = Vec::new();
        if self.take_symbol(")") {
            return Ok(literals);
        }
        loop {
            literals.push(self.literal()?);
            if !self.take_symbol(",") {
                self.expect_symbol(")")?;
                return Ok(literals);
            }
        }
    }

    fn pattern(&mut self) -> Parsed<Pattern> {
        let at = self.at();
        let text = self.text()?;
        let escape = match self.take_word("ESCAPE") {
            false => None,
            true => {
                let text = self.text()?;
                let mut chars = text.chars();
                match (chars.next(), chars.next()) {
                    (Some(one), None) => Some(one),
                    _ => return Err((at, "ESCAPE names one character".to_owned())),
                }
            }
        };
        Pattern::new(text, escape).map_err(|error| (at, error.to_string()))
    }

    fn text(&mut self) -> Parsed<String> {
        let Token::Text(text) = self.peek() else {
            return self.fail("a text in single quotes is missing here");
        };
        let text = text.clone();
        self.next += 1;
        Ok(text)
    }

    /// Whether a literal, and no column, comes next.
    fn is_literal_ahead(&self) -> bool {
        match self.peek() {
            Token::Number(_) | Token::Text(_) | Token::Bytes(_) => true,
            Token::Symbol(symbol) => matches!(*symbol, "-" | "+"),
            Token::Word(word) if is_one_of(word, &["TRUE", "FALSE"]) => true,
            Token::Word(word) => is_typed(word) && matches!(self.peek_second(), Token::Text(_)),
            _ => false,
        }
    }

    fn literal(&mut self) -> Parsed<Literal> {
        let at = self.at();
        let sign = match (self.take_symbol("-"), self.take_symbol("+")) {
            (true, _) => Some("-"),
            (_, true) => Some(""),
            _ => None,
        };
        let token = self.peek().clone();
        self.next += usize::from(token != Token::End);
        let literal = match (token, sign) {
            (Token::Number(digits), sign) => number(&format!("{}{digits}", sign.unwrap_or(""))),
            (Token::Text(text), None) => Ok(Literal::Text(text)),
            (Token::Bytes(bytes), None) => Ok(Literal::Bytes(bytes)),
            (Token::Word(word), None) if is_word(&word, "TRUE") => Ok(Literal::Bool(true)),
            (Token::Word(word), None) if is_word(&word, "FALSE") => Ok(Literal::Bool(false)),
            (Token::Word(word), None) if is_typed(&word) => typed(&word, &self.text()?),
            (Token::Word(word), None) if is_word(&word, "NULL") => {
                Err("nothing is equal to NULL: say IS NULL or IS NOT NULL")
            }
            _ => Err("a value is missing here"),
        };
        literal.map_err(|what| (at, what.to_owned()))
    }

    fn peek(&self) -> &Token {
        let last = self.tokens.len() - 1;
        &self.tokens[self.next.min(last)].0
    }

    fn peek_second(&self) -> &Token {
        let last = self.tokens.len() - 1;
        &self.tokens[(self.next + 1).min(last)].0
    }

    fn at(&self) -> usize {
        let last = self.tokens.len() - 1;
        self.tokens[self.next.min(last)].1
    }

    fn is_word(&self, wanted: &str) -> bool {
        matches!(self.peek(), Token::Word(word) if is_word(word, wanted))
    }

    fn take_word(&mut self, wanted: &str) -> bool {
        let is_there = self.is_word(wanted);
        self.next += usize::from(is_there);
        is_there
    }

    fn take_symbol(&mut self, wanted: &str) -> bool {
        let is_there = matches!(self.peek(), Token::Symbol(symbol) if *symbol == wanted);
        self.next += usize::from(is_there);
        is_there
    }

    fn expect_symbol(&mut self, wanted: &str) -> Parsed<()> {
        match self.take_symbol(wanted) {
            true => Ok(()),
            false => self.fail(&format!("{wanted} is missing here")),
        }
    }

    fn expect_end(&mut self) -> Parsed<()> {
        match self.peek() {
            Token::End => Ok(()),
            _ => self.fail("AND, OR or the end is missing here"),
        }
    }

    fn deeper(&self, depth: usize) -> Parsed<usize> {
        match depth.checked_sub(1) {
            Some(below) => Ok(below),
            None => self.fail(TOO_DEEP),
        }
    }

    fn fail<T>(&self, what: &str) -> Parsed<T> {
        Err((self.at(), what.to_owned()))
    }
}

fn negated(predicate: Predicate, is_not: bool) -> Predicate {
    match is_not {
        true => predicate.not(),
        false => predicate,
    }
}

fn is_word(word: &str, wanted: &str) -> bool {
    word.eq_ignore_ascii_case(wanted)
}

fn is_one_of(word: &str, wanted: &[&str]) -> bool {
    wanted.iter().any(|one| is_word(word, one))
}

pub(crate) fn is_keyword(word: &str) -> bool {
    is_word(word, TRUE) || is_one_of(word, &KEYWORDS)
}

/// Whether the word says the type of the text behind it.
fn is_typed(word: &str) -> bool {
    is_one_of(word, &["DATE", "TIMESTAMP", "DOUBLE"])
}

fn typed(word: &str, text: &str) -> Result<Literal, &'static str> {
    if is_word(word, "DATE") {
        let days = calendar::parse_date(text).ok_or("a date is written 2026-01-31")?;
        return Ok(Literal::Date(days));
    }
    if is_word(word, "TIMESTAMP") {
        let micros = calendar::parse_timestamp(text)
            .ok_or("a timestamp is written 2026-01-31T12:00:00.5Z")?;
        return Ok(Literal::Timestamp(micros));
    }
    match text {
        "NaN" => Ok(Literal::Double(f64::NAN)),
        "Infinity" => Ok(Literal::Double(f64::INFINITY)),
        "-Infinity" => Ok(Literal::Double(f64::NEG_INFINITY)),
        _ => Err("a double in quotes is NaN, Infinity or -Infinity"),
    }
}

/// Digits alone are an integer, with a point a decimal, with an exponent a double.
fn number(text: &str) -> Result<Literal, &'static str> {
    if text.contains(['e', 'E']) {
        let double = text.parse::<f64>().ok().filter(|double| double.is_finite());
        return double
            .map(Literal::Double)
            .ok_or("this number is too large for a double");
    }
    if !text.contains('.')
        && let Ok(integer) = text.parse()
    {
        return Ok(Literal::Integer(integer));
    }
    Decimal::parse(text)
        .map(Literal::Decimal)
        .ok_or("a number has at most 38 digits")
}
