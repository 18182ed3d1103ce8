//! How a record is printed: `%k`, `%v` and others in a text, after kcat's; or as JSON.

use std::io::{self, Write};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tidelog_records::Record;

/// A text with places for parts of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Part(Part),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Topic,
    Partition,
    Offset,
    Timestamp,
    Key,
    Value,
    Headers,
    KeyLength,
    ValueLength,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            let part = match (letter, letter == '%' || letter == '\\') {
                (_, false) => {
                    plain.push(letter);
                    continue;
                }
                ('%', _) => match letters.next() {
                    Some('%') => {
                        plain.push('%');
                        continue;
                    }
                    Some('t') => Part::Topic,
                    Some('p') => Part::Partition,
                    Some('o') => Part::Offset,
                    Some('T') => Part::Timestamp,
                    Some('k') => Part::Key,
                    Some('v' | 's') => Part::Value,
                    Some('h') => Part::Headers,
                    Some('K') => Part::KeyLength,
                    Some('S') => Part::ValueLength,
                    _ => return Err("after % comes one of t p o T k v h K S %".to_owned()),
                },
                _ => {
                    plain.push(match letters.next() {
                        Some('n') => '\n',
                        Some('t') => '\t',
                        Some('0') => '\0',
                        Some('\\') => '\\',
                        _ => return Err("after \\ comes one of n t 0 \\".to_owned()),
                    });
                    continue;
                }
            };
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Part(part));
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }
}

impl Format {
    /// Writes a record; keys and values as their bytes, null as nothing.
    ///
    /// # Errors
    /// The reader went away.
    pub fn write(
        &self,
        out: &mut impl Write,
        (topic, partition): (&str, i32),
        record: &Record<'_>,
    ) -> io::Result<()> {
        let length = |bytes: Option<&[u8]>| {
            bytes.map_or(-1, |bytes| i64::try_from(bytes.len()).unwrap_or(i64::MAX))
        };
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => out.write_all(text.as_bytes())?,
                Piece::Part(Part::Topic) => out.write_all(topic.as_bytes())?,
                Piece::Part(Part::Partition) => write!(out, "{partition}")?,
                Piece::Part(Part::Offset) => write!(out, "{}", record.offset)?,
                Piece::Part(Part::Timestamp) => write!(out, "{}", record.timestamp)?,
                Piece::Part(Part::Key) => out.write_all(record.key.unwrap_or_default())?,
                Piece::Part(Part::Value) => out.write_all(record.value.unwrap_or_default())?,
                Piece::Part(Part::KeyLength) => write!(out, "{}", length(record.key))?,
                Piece::Part(Part::ValueLength) => write!(out, "{}", length(record.value))?,
                Piece::Part(Part::Headers) => headers(out, record)?,
            }
        }
        Ok(())
    }
}

/// `a=1,b=2`, in their order.
fn headers(out: &mut impl Write, record: &Record<'_>) -> io::Result<()> {
    for (at, (name, value)) in record.headers.clone().enumerate() {
        if at > 0 {
            out.write_all(b",")?;
        }
        out.write_all(name)?;
        out.write_all(b"=")?;
        out.write_all(value.unwrap_or(b"NULL"))?;
    }
    Ok(())
}

/// A record as one JSON object.
pub fn as_json((topic, partition): (&str, i32), record: &Record<'_>) -> Value {
    let headers = record.headers.clone();
    let headers: Vec<_> = headers
        .map(|(name, value)| json!([bytes(Some(name)), bytes(value)]))
        .collect();
    json!({
        "topic": topic,
        "partition": partition,
        "offset": record.offset,
        "timestamp": record.timestamp,
        "key": bytes(record.key),
        "value": bytes(record.value),
        "headers": headers,
    })
}

/// Text where bytes are text, else `{"base64": …}`; null is null.
pub fn bytes(of: Option<&[u8]>) -> Value {
    match of.map(std::str::from_utf8) {
        None => Value::Null,
        Some(Ok(text)) => Value::from(text),
        Some(Err(_)) => json!({"base64": STANDARD.encode(of.unwrap_or_default())}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidelog_records::{BatchBuilder, Records};

    fn one<T>(then: impl FnOnce(&Record<'_>) -> T) -> T {
        let mut batch = BatchBuilder::new().base_offset(7);
        let headers: [(&[u8], Option<&[u8]>); 2] = [(b"a", Some(b"1")), (b"b", None)];
        batch
            .append(99, Some(b"key"), Some(&[0xff]), headers)
            .expect("room");
        let records = Records::open(&batch.finish().expect("a batch"), 1 << 20).expect("records");
        let record = records.iter().next().expect("one").expect("sound");
        then(&record)
    }

    #[test]
    fn every_place_is_filled() {
        let format: Format = "%t/%p@%o %T %k %K %S %h%%\\t%v\\n"
            .parse()
            .expect("a format");
        let mut out = Vec::new();
        one(|record| format.write(&mut out, ("orders", 3), record)).expect("memory");
        assert_eq!(out, b"orders/3@7 99 key 3 1 a=1,b=NULL%\t\xff\n");
        for wrong in ["%", "%x", "\\", "\\q"] {
            assert!(wrong.parse::<Format>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_base64() {
        let json = one(|record| as_json(("orders", 3), record));
        assert_eq!(json["value"], json!({"base64": "/w=="}));
        assert_eq!(json["headers"], json!([["a", "1"], ["b", null]]));
    }
}
