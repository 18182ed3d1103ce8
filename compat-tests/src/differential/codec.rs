//! Messages between JSON and the wire, field by field along a [`schema`](super::schema).
//!
//! A request may leave fields out, which then have their default, and may hold fields that its version
//! does not have, so that one body serves all versions. A name no version has is an error. Bytes and
//! ids are written in hex; record batches of an answer become a [description](super::batch::describe).
//! An answer must end where its last field does.

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Map, Value};

use super::batch;
use super::schema::{Api, Field, Kind};

/// The body of a request.
pub fn encode_request(api: &Api, version: i16, body: &Value) -> Result<Vec<u8>> {
    let mut writer = Writer {
        bytes: Vec::new(),
        version,
        flexible: api.is_flexible(version),
    };
    writer
        .structure(&api.request, body)
        .with_context(|| format!("{} v{version}", api.name))?;
    Ok(writer.bytes)
}

/// Reads the body of an answer.
pub fn decode_response(api: &Api, version: i16, body: &[u8]) -> Result<Value> {
    let mut reader = Reader {
        rest: body,
        version,
        flexible: api.is_flexible(version),
    };
    let value = reader.structure(&api.response)?;
    ensure!(
        reader.rest.is_empty(),
        "{} bytes behind the end",
        reader.rest.len()
    );
    Ok(value)
}

/// Bytes as a JSON string.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    ensure!(
        text.len().is_multiple_of(2) && text.is_ascii(),
        "not hex: {text}"
    );
    (0..text.len())
        .step_by(2)
        .map(|at| Ok(u8::from_str_radix(&text[at..at + 2], 16)?))
        .collect()
}

/// The unsigned variable-length integer of flexible versions.
pub fn put_varint(bytes: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

struct Writer {
    bytes: Vec<u8>,
    version: i16,
    flexible: bool,
}

impl Writer {
    fn structure(&mut self, fields: &[Field], value: &Value) -> Result<()> {
        let object = value.as_object().context("an object is wanted")?;
        for name in object.keys() {
            let known = fields.iter().any(|field| field.name == *name);
            ensure!(known, "no field is called {name}");
        }
        let given = |field: &Field| object.get(&field.name).unwrap_or(&field.default).clone();
        let mut tagged = Vec::new();
        let version = self.version;
        for field in fields.iter().filter(|field| field.is_in(version)) {
            let value = given(field);
            match field.tag {
                None => self
                    .field(field, &value)
                    .with_context(|| field.name.clone())?,
                Some(tag) if value != field.default => tagged.push((tag, field, value)),
                Some(_) => {}
            }
        }
        if self.flexible {
            tagged.sort_by_key(|(tag, ..)| *tag);
            put_varint(&mut self.bytes, tagged.len() as u32);
            for (tag, field, value) in tagged {
                let before = std::mem::take(&mut self.bytes);
                self.field(field, &value)?;
                let content = std::mem::replace(&mut self.bytes, before);
                put_varint(&mut self.bytes, tag);
                put_varint(&mut self.bytes, content.len() as u32);
                self.bytes.extend(content);
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &Field, value: &Value) -> Result<()> {
        // A null where the version has none is sent all the same: that is a case to test.
        match (&field.kind, value) {
            (Kind::Struct(_), Value::Null) => self.bytes.push(0xff),
            (Kind::Struct(fields), value) => {
                if field.is_nullable(self.version) {
                    self.bytes.push(1);
                }
                self.structure(fields, value)?;
            }
            (kind, Value::Null) => self.null(kind)?,
            (kind, value) => self.value(kind, value)?,
        }
        Ok(())
    }

    fn null(&mut self, kind: &Kind) -> Result<()> {
        match (self.flexible, kind) {
            (true, _) => self.bytes.push(0),
            (false, Kind::String) => self.bytes.extend((-1i16).to_be_bytes()),
            (false, Kind::Bytes | Kind::Records | Kind::Array(_)) => {
                self.bytes.extend((-1i32).to_be_bytes());
            }
            (false, kind) => bail!("{kind:?} cannot be null"),
        }
        Ok(())
    }

    fn value(&mut self, kind: &Kind, value: &Value) -> Result<()> {
        let number = || {
            value
                .as_i64()
                .with_context(|| format!("{value} is no number"))
        };
        let text = || {
            value
                .as_str()
                .with_context(|| format!("{value} is no text"))
        };
        match kind {
            Kind::Bool => self
                .bytes
                .push(value.as_bool().context("no truth value")?.into()),
            Kind::Int8 => self.bytes.extend(i8::try_from(number()?)?.to_be_bytes()),
            Kind::Int16 => self.bytes.extend(i16::try_from(number()?)?.to_be_bytes()),
            Kind::Uint16 => self.bytes.extend(u16::try_from(number()?)?.to_be_bytes()),
            Kind::Int32 => self.bytes.extend(i32::try_from(number()?)?.to_be_bytes()),
            Kind::Int64 => self.bytes.extend(number()?.to_be_bytes()),
            Kind::Float64 => {
                let number = value.as_f64().context("no number")?;
                self.bytes.extend(number.to_be_bytes());
            }
            Kind::Uuid => self.bytes.extend(unhex(text()?)?),
            Kind::String => {
                let text = text()?;
                match self.flexible {
                    true => put_varint(&mut self.bytes, text.len() as u32 + 1),
                    false => self.bytes.extend(i16::try_from(text.len())?.to_be_bytes()),
                }
                self.bytes.extend(text.as_bytes());
            }
            Kind::Bytes | Kind::Records => {
                let content = unhex(text()?)?;
                self.length(content.len());
                self.bytes.extend(content);
            }
            Kind::Array(element) => {
                let elements = value.as_array().context("an array is wanted")?;
                self.length(elements.len());
                for value in elements {
                    self.value(element, value)?;
                }
            }
            Kind::Struct(fields) => self.structure(fields, value)?,
        }
        Ok(())
    }

    fn length(&mut self, length: usize) {
        match self.flexible {
            true => put_varint(&mut self.bytes, length as u32 + 1),
            false => self.bytes.extend((length as i32).to_be_bytes()),
        }
    }
}

struct Reader<'a> {
    rest: &'a [u8],
    version: i16,
    flexible: bool,
}

impl<'a> Reader<'a> {
    fn structure(&mut self, fields: &[Field]) -> Result<Value> {
        let mut object = Map::new();
        let version = self.version;
        for field in fields.iter().filter(|field| field.is_in(version)) {
            let value = match field.tag {
                None => self.field(field).with_context(|| field.name.clone())?,
                Some(_) => field.default.clone(),
            };
            object.insert(field.name.clone(), value);
        }
        if self.flexible {
            self.tags(fields, &mut object)?;
        }
        Ok(Value::Object(object))
    }

    fn tags(&mut self, fields: &[Field], object: &mut Map<String, Value>) -> Result<()> {
        let mut last = None;
        for _ in 0..self.varint()? {
            let tag = self.varint()?;
            ensure!(last < Some(tag), "tag {tag} stands behind {last:?}");
            last = Some(tag);
            let size = self.varint()? as usize;
            let content = self.take(size)?;
            let known = fields
                .iter()
                .find(|field| field.tag == Some(tag) && field.is_in(self.version));
            match known {
                Some(field) => {
                    let mut inner = Reader {
                        rest: content,
                        ..*self
                    };
                    let value = inner.field(field).with_context(|| field.name.clone())?;
                    ensure!(inner.rest.is_empty(), "tag {tag} is longer than its field");
                    object.insert(field.name.clone(), value);
                }
                None => {
                    object.insert(format!("tag {tag}"), hex(content).into());
                }
            }
        }
        Ok(())
    }

    fn field(&mut self, field: &Field) -> Result<Value> {
        let nullable = field.is_nullable(self.version);
        let value = match &field.kind {
            Kind::Struct(fields) if nullable => match self.take(1)? {
                [0xff] => Value::Null,
                _ => self.structure(fields)?,
            },
            kind => self.value(kind)?,
        };
        // Shown as it is, so that it is a difference and not a failure.
        match value {
            Value::Null if !nullable => Ok("null where none is allowed".into()),
            value => Ok(value),
        }
    }

    fn value(&mut self, kind: &Kind) -> Result<Value> {
        Ok(match kind {
            Kind::Bool => (self.array::<1>()? != [0]).into(),
            Kind::Int8 => i8::from_be_bytes(self.array()?).into(),
            Kind::Int16 => i16::from_be_bytes(self.array()?).into(),
            Kind::Uint16 => u16::from_be_bytes(self.array()?).into(),
            Kind::Int32 => i32::from_be_bytes(self.array()?).into(),
            Kind::Int64 => i64::from_be_bytes(self.array()?).into(),
            Kind::Float64 => f64::from_be_bytes(self.array()?).into(),
            Kind::Uuid => hex(self.take(16)?).into(),
            Kind::String => {
                let length = match self.flexible {
                    true => i64::from(self.varint()?) - 1,
                    false => i16::from_be_bytes(self.array()?).into(),
                };
                match self.content(length)? {
                    Some(text) => std::str::from_utf8(text)?.into(),
                    None => Value::Null,
                }
            }
            Kind::Bytes => {
                let length = self.length()?;
                self.content(length)?.map(hex).into()
            }
            Kind::Records => {
                let length = self.length()?;
                match self.content(length)? {
                    Some(batches) => batch::describe(batches),
                    None => Value::Null,
                }
            }
            Kind::Array(element) => {
                let count = self.length()?;
                if count < 0 {
                    return Ok(Value::Null);
                }
                (0..count)
                    .map(|_| self.value(element))
                    .collect::<Result<_>>()?
            }
            Kind::Struct(fields) => self.structure(fields)?,
        })
    }

    fn length(&mut self) -> Result<i64> {
        Ok(match self.flexible {
            true => i64::from(self.varint()?) - 1,
            false => i32::from_be_bytes(self.array()?).into(),
        })
    }

    /// `None` for a length below zero.
    fn content(&mut self, length: i64) -> Result<Option<&'a [u8]>> {
        match usize::try_from(length) {
            Ok(length) => self.take(length).map(Some),
            Err(_) => Ok(None),
        }
    }

    fn varint(&mut self) -> Result<u32> {
        let mut value = 0u64;
        for shift in (0..35).step_by(7) {
            let [byte] = self.array()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(u32::try_from(value)?);
            }
        }
        bail!("a number of more than five bytes");
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        Ok(self.take(N)?.try_into()?)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .with_context(|| format!("{length} bytes wanted, {} there", self.rest.len()))?;
        self.rest = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::schema::Messages;
    use super::*;

    #[test]
    fn a_request_is_written_by_version() {
        let messages = Messages::kafka().unwrap();
        let api = messages.by_name("Metadata").unwrap();
        let body = json!({"topics": [{"name": "t"}], "allow_auto_topic_creation": false});
        assert_eq!(
            encode_request(api, 1, &body).unwrap(),
            [0, 0, 0, 1, 0, 1, b't']
        );
        assert_eq!(
            encode_request(api, 9, &body).unwrap(),
            [2, 2, b't', 0, 0, 0, 0, 0]
        );
        assert!(encode_request(api, 1, &json!({"topic": 1})).is_err());
    }

    #[test]
    fn an_answer_is_read_to_its_end() {
        let messages = Messages::kafka().unwrap();
        let api = messages.by_name("Heartbeat").unwrap();
        let body = [0, 0, 0, 0, 0, 27, 1, 9, 1, 0xab];
        let tree = json!({"throttle_time_ms": 0, "error_code": 27, "tag 9": "ab"});
        assert_eq!(decode_response(api, 4, &body).unwrap(), tree);
        assert!(decode_response(api, 1, &body).is_err());
        assert!(decode_response(api, 4, &body[..8]).is_err());
    }
}
