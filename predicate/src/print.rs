//! A predicate as text that reads back as the same predicate.

use std::fmt;

use crate::lexer::{is_word, is_word_start};
use crate::parse::is_keyword;
use crate::{Literal, Predicate, calendar};

impl fmt::Display for Predicate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(truth) => f.write_str(if *truth { "TRUE" } else { "FALSE" }),
            Self::Compare {
                column,
                op,
                literal,
            } => write!(f, "{} {} {literal}", Name(column), op.symbol()),
            Self::In { column, literals } => write!(f, "{} IN ({})", Name(column), List(literals)),
            Self::Like { column, pattern } => {
                write!(f, "{} LIKE {}", Name(column), Quoted(pattern.text(), '\''))?;
                match pattern.escape() {
                    Some(escape) => write!(f, " ESCAPE {}", Quoted(&escape.to_string(), '\'')),
                    None => Ok(()),
                }
            }
            Self::IsNull(column) => write!(f, "{} IS NULL", Name(column)),
            Self::Not(part) => not(part, f),
            Self::And(parts) => chain(parts, "AND", "TRUE", f),
            Self::Or(parts) => chain(parts, "OR", "FALSE", f),
        }
    }
}

/// A negation in the place SQL has for it.
fn not(part: &Predicate, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match part {
        Predicate::IsNull(column) => write!(f, "{} IS NOT NULL", Name(column)),
        Predicate::In { column, literals } => {
            write!(f, "{} NOT IN ({})", Name(column), List(literals))
        }
        part => write!(f, "NOT {}", Part(part)),
    }
}

/// Parts with `word` between them. One part, or none, is written as a chain that is equal.
fn chain(
    parts: &[Predicate],
    word: &str,
    neutral: &str,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    match parts {
        [] => f.write_str(neutral),
        [only] => write!(f, "{only}"),
        [first, others @ ..] => {
            write!(f, "{}", Part(first))?;
            others
                .iter()
                .try_for_each(|part| write!(f, " {word} {}", Part(part)))
        }
    }
}

/// A part of a larger predicate, in brackets where it is a chain itself.
struct Part<'a>(&'a Predicate);

impl fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            part @ (Predicate::And(_) | Predicate::Or(_)) => write!(f, "({part})"),
            part => part.fmt(f),
        }
    }
}

/// A column's path or id.
struct Name<'a>(&'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.starts_with('#') {
            return f.write_str(self.0);
        }
        for (place, name) in self.0.split('.').enumerate() {
            if place > 0 {
                f.write_str(".")?;
            }
            let is_plain =
                name.starts_with(is_word_start) && name.chars().all(is_word) && !is_keyword(name);
            match is_plain {
                true => f.write_str(name)?,
                false => Quoted(name, '"').fmt(f)?,
            }
        }
        Ok(())
    }
}

struct List<'a>(&'a [Literal]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, literal) in self.0.iter().enumerate() {
            let comma = if place > 0 { ", " } else { "" };
            write!(f, "{comma}{literal}")?;
        }
        Ok(())
    }
}

struct Quoted<'a>(&'a str, char);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quote = self.1.to_string();
        write!(
            f,
            "{quote}{}{quote}",
            self.0.replace(&quote, &quote.repeat(2))
        )
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(truth) => f.write_str(if *truth { "TRUE" } else { "FALSE" }),
            Self::Integer(integer) => integer.fmt(f),
            Self::Decimal(decimal) => decimal.fmt(f),
            Self::Double(double) if double.is_nan() => f.write_str("DOUBLE 'NaN'"),
            Self::Double(double) if double.is_infinite() => {
                let sign = if *double < 0.0 { "-" } else { "" };
                write!(f, "DOUBLE '{sign}Infinity'")
            }
            Self::Double(double) => write!(f, "{double:e}"),
            Self::Text(text) => Quoted(text, '\'').fmt(f),
            Self::Bytes(bytes) => {
                f.write_str("x'")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str("'")
            }
            Self::Date(days) => write!(f, "DATE '{}'", calendar::format_date(*days)),
            Self::Timestamp(micros) => {
                write!(f, "TIMESTAMP '{}'", calendar::format_timestamp(*micros))
            }
        }
    }
}
