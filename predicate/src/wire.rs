//! A predicate as bytes, as `docs/protocol-ext.md` describes them.

use crate::ast::{Comparison, Literal, Predicate, TooComplex};
use crate::{BYTES_MAX, DEPTH_MAX, Decimal, Pattern, PatternError};

/// First byte of the form described here.
const VERSION: u8 = 1;

/// What begins a predicate.
mod kind {
    pub(super) const FALSE: u8 = 0;
    pub(super) const TRUE: u8 = 1;
    pub(super) const COMPARE: u8 = 2;
    pub(super) const IN: u8 = 3;
    pub(super) const LIKE: u8 = 4;
    pub(super) const IS_NULL: u8 = 5;
    pub(super) const NOT: u8 = 6;
    pub(super) const AND: u8 = 7;
    pub(super) const OR: u8 = 8;
}

/// What begins a literal.
mod literal {
    pub(super) const FALSE: u8 = 0;
    pub(super) const TRUE: u8 = 1;
    pub(super) const INTEGER: u8 = 2;
    pub(super) const DECIMAL: u8 = 3;
    pub(super) const DOUBLE: u8 = 4;
    pub(super) const TEXT: u8 = 5;
    pub(super) const BYTES: u8 = 6;
    pub(super) const DATE: u8 = 7;
    pub(super) const TIMESTAMP: u8 = 8;
}

/// By their number on the wire.
const COMPARISONS: [Comparison; 6] = [
    Comparison::Equal,
    Comparison::NotEqual,
    Comparison::Less,
    Comparison::LessOrEqual,
    Comparison::Greater,
    Comparison::GreaterOrEqual,
];

/// Why bytes are no predicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("a predicate of version {0}, which is not known here")]
    Version(u8),
    #[error(transparent)]
    TooComplex(#[from] TooComplex),
    #[error(transparent)]
    Pattern(#[from] PatternError),
    #[error("the bytes are no predicate: {0}")]
    Malformed(&'static str),
}

impl Predicate {
    /// The bytes of the wire.
    ///
    /// # Errors
    /// [`TooComplex`], so that whatever is sent can be read.
    pub fn encode(&self) -> Result<Vec<u8>, TooComplex> {
        self.check_depth()?;
        let mut out = vec![VERSION];
        put(self, &mut out);
        (out.len() <= BYTES_MAX).then_some(out).ok_or(TooComplex)
    }

    /// Reads what [`encode`](Self::encode) wrote, from whomever.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        if bytes.len() > BYTES_MAX {
            return Err(TooComplex.into());
        }
        let mut input = Input(bytes);
        let version = input.byte()?;
        if version != VERSION {
            return Err(DecodeError::Version(version));
        }
        let predicate = input.predicate(DEPTH_MAX)?;
        match input.0.is_empty() {
            true => Ok(predicate),
            false => Err(DecodeError::Malformed("more follows it")),
        }
    }
}

fn put(predicate: &Predicate, out: &mut Vec<u8>) {
    match predicate {
        Predicate::Constant(false) => out.push(kind::FALSE),
        Predicate::Constant(true) => out.push(kind::TRUE),
        Predicate::Compare {
            column,
            op,
            literal,
        } => {
            out.push(kind::COMPARE);
            put_bytes(column.as_bytes(), out);
            let op = COMPARISONS.iter().position(|own| own == op);
            // All of them are in the list.
            out.push(op.unwrap_or_default() as u8);
            put_literal(literal, out);
        }
        Predicate::In { column, literals } => {
            out.push(kind::IN);
            put_bytes(column.as_bytes(), out);
            put_count(literals.len(), out);
            literals
                .iter()
                .for_each(|literal| put_literal(literal, out));
        }
        Predicate::Like { column, pattern } => {
            out.push(kind::LIKE);
            put_bytes(column.as_bytes(), out);
            put_bytes(pattern.text().as_bytes(), out);
            let escape = pattern.escape().map(String::from).unwrap_or_default();
            put_bytes(escape.as_bytes(), out);
        }
        Predicate::IsNull(column) => {
            out.push(kind::IS_NULL);
            put_bytes(column.as_bytes(), out);
        }
        Predicate::Not(part) => {
            out.push(kind::NOT);
            put(part, out);
        }
        Predicate::And(parts) => put_chain(kind::AND, parts, out),
        Predicate::Or(parts) => put_chain(kind::OR, parts, out),
    }
}

fn put_chain(kind: u8, parts: &[Predicate], out: &mut Vec<u8>) {
    out.push(kind);
    put_count(parts.len(), out);
    parts.iter().for_each(|part| put(part, out));
}

fn put_literal(literal: &Literal, out: &mut Vec<u8>) {
    match literal {
        Literal::Bool(false) => out.push(literal::FALSE),
        Literal::Bool(true) => out.push(literal::TRUE),
        Literal::Integer(integer) => put_fixed(literal::INTEGER, &integer.to_be_bytes(), out),
        Literal::Decimal(decimal) => {
            put_fixed(literal::DECIMAL, &[decimal.scale()], out);
            out.extend_from_slice(&decimal.unscaled().to_be_bytes());
        }
        Literal::Double(double) => put_fixed(literal::DOUBLE, &double.to_be_bytes(), out),
        Literal::Text(text) => {
            out.push(literal::TEXT);
            put_bytes(text.as_bytes(), out);
        }
        Literal::Bytes(bytes) => {
            out.push(literal::BYTES);
            put_bytes(bytes, out);
        }
        Literal::Date(days) => put_fixed(literal::DATE, &days.to_be_bytes(), out),
        Literal::Timestamp(micros) => put_fixed(literal::TIMESTAMP, &micros.to_be_bytes(), out),
    }
}

fn put_fixed(kind: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(kind);
    out.extend_from_slice(bytes);
}

fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_count(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// An unsigned varint: seven bits a byte, the lowest first.
fn put_count(mut count: usize, out: &mut Vec<u8>) {
    while count >= 0x80 {
        out.push(count as u8 | 0x80);
        count >>= 7;
    }
    out.push(count as u8);
}

/// What is left to read.
struct Input<'a>(&'a [u8]);

type Read<T> = Result<T, DecodeError>;

impl<'a> Input<'a> {
    fn predicate(&mut self, depth: usize) -> Read<Predicate> {
        let below = depth.checked_sub(1).ok_or(TooComplex)?;
        Ok(match self.byte()? {
            kind::FALSE => Predicate::Constant(false),
            kind::TRUE => Predicate::Constant(true),
            kind::COMPARE => {
                let column = self.text()?;
                let op = COMPARISONS.get(usize::from(self.byte()?));
                let op = *op.ok_or(DecodeError::Malformed("a comparison that is not known"))?;
                let literal = self.literal()?;
                Predicate::Compare {
                    column,
                    op,
                    literal,
                }
            }
            kind::IN => Predicate::In {
                column: self.text()?,
                literals: self.many(Self::literal)?,
            },
            kind::LIKE => Predicate::Like {
                column: self.text()?,
                pattern: self.pattern()?,
            },
            kind::IS_NULL => Predicate::IsNull(self.text()?),
            kind::NOT => self.predicate(below)?.not(),
            kind::AND => Predicate::And(self.many(|input| input.predicate(below))?),
            kind::OR => Predicate::Or(self.many(|input| input.predicate(below))?),
            _ => return Err(DecodeError::Malformed("a kind that is not known")),
        })
    }

    fn literal(&mut self) -> Read<Literal> {
        Ok(match self.byte()? {
            literal::FALSE => Literal::Bool(false),
            literal::TRUE => Literal::Bool(true),
            literal::INTEGER => Literal::Integer(i64::from_be_bytes(self.fixed()?)),
            literal::DECIMAL => {
                let [scale] = self.fixed()?;
                let decimal = Decimal::new(i128::from_be_bytes(self.fixed()?), scale);
                let fault = DecodeError::Malformed("a decimal of more than 38 digits");
                Literal::Decimal(decimal.ok_or(fault)?)
            }
            literal::DOUBLE => Literal::Double(f64::from_be_bytes(self.fixed()?)),
            literal::TEXT => Literal::Text(self.text()?),
            literal::BYTES => Literal::Bytes(self.bytes()?.to_vec()),
            literal::DATE => Literal::Date(i32::from_be_bytes(self.fixed()?)),
            literal::TIMESTAMP => Literal::Timestamp(i64::from_be_bytes(self.fixed()?)),
            _ => {
                return Err(DecodeError::Malformed(
                    "a literal of a kind that is not known",
                ));
            }
        })
    }

    fn pattern(&mut self) -> Read<Pattern> {
        let (text, escape) = (self.text()?, self.text()?);
        let mut escape = escape.chars();
        match (escape.next(), escape.next()) {
            (escape, None) => Ok(Pattern::new(text, escape)?),
            _ => Err(DecodeError::Malformed("an escape of several characters")),
        }
    }

    /// A count and so many. Memory is taken as they are read: each is a byte at least.
    fn many<T>(&mut self, mut one: impl FnMut(&mut Self) -> Read<T>) -> Read<Vec<T>> {
        let count = self.count()?;
        (0..count).map(|_| one(self)).collect()
    }

    fn text(&mut self) -> Read<String> {
        let text = str::from_utf8(self.bytes()?);
        let text = text.map_err(|_| DecodeError::Malformed("a text that is no UTF-8"))?;
        Ok(text.to_owned())
    }

    fn bytes(&mut self) -> Read<&'a [u8]> {
        let count = self.count()?;
        self.take(count)
    }

    fn byte(&mut self) -> Read<u8> {
        self.fixed().map(|[byte]| byte)
    }

    fn fixed<const N: usize>(&mut self) -> Read<[u8; N]> {
        let bytes = self.take(N)?;
        // Just so many were taken.
        bytes.try_into().map_err(|_| CUT_SHORT)
    }

    fn take(&mut self, count: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(CUT_SHORT)?;
        self.0 = rest;
        Ok(taken)
    }

    fn count(&mut self) -> Read<usize> {
        let mut count = 0;
        // Three groups of seven bits hold every count that fits.
        for shift in [0, 7, 14] {
            let byte = self.byte()?;
            count |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(count);
            }
        }
        Err(DecodeError::Malformed("a count that is too large"))
    }
}

const CUT_SHORT: DecodeError = DecodeError::Malformed("they end too early");
