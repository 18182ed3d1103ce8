//! Who wrote a value, and how it is read.
//!
//! The values of a topic are of one format that never changes (bare JSON), or each is of a schema
//! that its writer registered. For the second kind a table keeps one [`Plan`] for each writer it has
//! met: the way from that writer's fields to the table's columns. Decoding stops in front of a value
//! whose writer is not known; the caller finds the schema, puts a plan here, and goes on.
//!
//! ```text
//! value  = 0x00 schema id (4 bytes, big-endian) [message indexes] payload     Confluent's frame
//! header = "__value_schema_id": 0x01 GUID (16 bytes) [message indexes]        the value is bare then
//! ```
//! Message indexes stand in front of Protobuf payloads only.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use parking_lot::RwLock;
use tidelog_records::Record;

use crate::column::Group;
use crate::protobuf::{self, parse_message_indexes};
use crate::{Growth, Reason, avro, infer, json};

/// Name of the header that names a value's schema.
pub const VALUE_SCHEMA_HEADER: &str = "__value_schema_id";

/// First byte of a framed value.
const MAGIC_ID: u8 = 0;
/// First byte of the header.
const MAGIC_GUID: u8 = 1;

/// A schema as a value names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SchemaRef {
    /// Its id in the registry.
    Id(i32),
    /// Its unique id, big-endian.
    Guid([u8; 16]),
    /// The newest of the topic's subject: values do not say.
    Latest,
}

impl fmt::Display for SchemaRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "schema {id}"),
            Self::Guid(guid) => write!(f, "schema {:032x}", u128::from_be_bytes(*guid)),
            Self::Latest => f.write_str("the newest schema"),
        }
    }
}

/// What stands in front of a value to name its schema.
pub(crate) fn frame(schema_id: i32) -> [u8; 5] {
    let [a, b, c, d] = schema_id.to_be_bytes();
    [MAGIC_ID, a, b, c, d]
}

/// What wrote a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WrittenBy {
    pub schema: SchemaRef,
    /// Which message of a Protobuf schema: its index, then those of the nested ones inside. Empty for
    /// other formats, and for a schema whose format is not known yet.
    pub message: Vec<i32>,
}

/// The way from a writer's fields to a table's columns.
#[derive(Debug)]
pub enum Plan {
    /// JSON objects, as an inline schema takes them.
    Json,
    /// JSON objects in a table that was inferred from such ([`crate::infer`]).
    Inferred(Growth),
    Avro(avro::Plan),
    Protobuf(protobuf::Plan),
}

/// How values are found to be of a schema.
#[derive(Debug, Clone)]
enum Framing {
    /// Every value says it.
    Framed,
    /// None does: all are of the newest.
    Latest,
    /// There is one for all.
    Bare(Arc<Plan>),
}

/// What is known of a schema.
#[derive(Debug, Clone)]
pub enum Known {
    /// Its values are read so.
    Plan(Arc<Plan>),
    /// It has messages, each with a plan of its own.
    Messages(HashMap<Vec<i32>, Result<Arc<Plan>, Arc<str>>>),
    /// Its values cannot be read, and why: no such schema, or none of this table.
    Unusable(Arc<str>),
}

/// The writers a table has met under one of its schemas.
#[derive(Debug)]
pub struct Writers {
    framing: Framing,
    known: RwLock<HashMap<SchemaRef, Known>>,
}

/// A value's plan and payload, or why there is none.
pub(crate) enum Found<'a> {
    Read(Arc<Plan>, &'a [u8]),
    /// Ask for this writer, then come again.
    Unknown(WrittenBy),
    Refused(Reason),
}

impl Writers {
    /// Of a table whose values name their schemas; none is known yet.
    pub fn framed() -> Self {
        Self::new(Framing::Framed)
    }

    /// Of a table whose values are bare and of the newest schema, which is not known yet: learn it as
    /// [`SchemaRef::Latest`].
    pub fn latest() -> Self {
        Self::new(Framing::Latest)
    }

    /// Of a table whose values all are of one plan.
    pub fn bare(plan: Arc<Plan>) -> Self {
        Self::new(Framing::Bare(plan))
    }

    /// Whether each value says of which schema it is.
    pub fn is_framed(&self) -> bool {
        matches!(self.framing, Framing::Framed)
    }

    fn new(framing: Framing) -> Self {
        Self {
            framing,
            known: RwLock::default(),
        }
    }

    /// What is known of a schema.
    pub fn known(&self, schema: SchemaRef) -> Option<Known> {
        self.known.read().get(&schema).cloned()
    }

    /// Says how the values of a schema are read from now on.
    pub fn learn(&self, schema: SchemaRef, known: Known) {
        self.known.write().insert(schema, known);
    }

    /// Says how the values of one message of a schema are read.
    pub fn learn_message(
        &self,
        schema: SchemaRef,
        message: Vec<i32>,
        plan: Result<Arc<Plan>, Arc<str>>,
    ) {
        let mut known = self.known.write();
        let entry = known
            .entry(schema)
            .or_insert_with(|| Known::Messages(HashMap::new()));
        if let Known::Messages(messages) = entry {
            messages.insert(message, plan);
        }
    }

    /// Forgets what was unusable, so that it is asked for anew.
    pub fn forget_unusable(&self) {
        self.known.write().retain(|_, known| match known {
            Known::Plan(_) => true,
            Known::Messages(messages) => {
                messages.retain(|_, plan| plan.is_ok());
                true
            }
            Known::Unusable(_) => false,
        });
    }

    /// How `value` is read; `header` gives the value of [`VALUE_SCHEMA_HEADER`], if the record has one.
    pub(crate) fn find<'a>(
        &self,
        header: impl FnOnce() -> Option<&'a [u8]>,
        value: &'a [u8],
    ) -> Found<'a> {
        let named = match &self.framing {
            Framing::Bare(plan) => return Found::Read(Arc::clone(plan), value),
            // The plan is of one message.
            Framing::Latest => Some(Named {
                schema: SchemaRef::Latest,
                rest: value,
                apart: None,
            }),
            Framing::Framed => named(header(), value),
        };
        let Some(Named {
            schema,
            rest,
            apart,
        }) = named
        else {
            return Found::Refused(Reason::NoSchemaId);
        };
        let known = self.known.read();
        match known.get(&schema) {
            None => Found::Unknown(WrittenBy {
                schema,
                message: Vec::new(),
            }),
            Some(Known::Plan(plan)) => Found::Read(Arc::clone(plan), apart.unwrap_or(rest)),
            Some(Known::Unusable(why)) => Found::Refused(Reason::Schema(Arc::clone(why))),
            Some(Known::Messages(messages)) => {
                let Ok((message, rest)) = parse_message_indexes(rest) else {
                    return Found::Refused(Reason::NoMessageIndexes);
                };
                match messages.get(&message) {
                    None => Found::Unknown(WrittenBy { schema, message }),
                    Some(Ok(plan)) => Found::Read(Arc::clone(plan), apart.unwrap_or(rest)),
                    Some(Err(why)) => Found::Refused(Reason::Schema(Arc::clone(why))),
                }
            }
        }
    }
}

impl Plan {
    /// Appends one row; on an error the columns are as before.
    pub(crate) fn append(
        &self,
        columns: &mut Group,
        rows: usize,
        value: &[u8],
    ) -> Result<(), Reason> {
        match self {
            Self::Json => json::append(columns, rows, value),
            Self::Inferred(growth) => infer::append(columns, rows, value, *growth),
            Self::Avro(plan) => plan.append(columns, rows, value),
            Self::Protobuf(plan) => plan.append(columns, rows, value),
        }
    }
}

/// The schema that a record's value, or its [`VALUE_SCHEMA_HEADER`], names; and the message indexes that
/// follow, if these bytes can be some.
pub fn written_by(record: &Record<'_>) -> Option<(SchemaRef, Option<Vec<i32>>)> {
    let named = named(schema_header(record), record.value?)?;
    let indexes = parse_message_indexes(named.rest).ok();
    Some((named.schema, indexes.map(|(indexes, _)| indexes)))
}

/// The value of [`VALUE_SCHEMA_HEADER`]; the last one counts, as for Kafka's clients.
pub(crate) fn schema_header<'r>(record: &Record<'r>) -> Option<&'r [u8]> {
    let is_named = |(key, _): &(&[u8], _)| *key == VALUE_SCHEMA_HEADER.as_bytes();
    let named = record.headers.clone().filter(is_named);
    named.last().and_then(|(_, value)| value)
}

/// A schema as a value names it.
struct Named<'a> {
    schema: SchemaRef,
    /// Begins with message indexes, if the schema has messages.
    rest: &'a [u8],
    /// The payload, where it does not follow in `rest`.
    apart: Option<&'a [u8]>,
}

/// The schema a value names, if it does.
fn named<'a>(header: Option<&'a [u8]>, value: &'a [u8]) -> Option<Named<'a>> {
    if let Some((&MAGIC_GUID, rest)) = header.and_then(<[u8]>::split_first) {
        let (guid, rest) = rest.split_first_chunk()?;
        return Some(Named {
            schema: SchemaRef::Guid(*guid),
            rest,
            apart: Some(value),
        });
    }
    let framed = match header {
        Some(header) if header.first() == Some(&MAGIC_ID) => header,
        _ => value,
    };
    let (&MAGIC_ID, rest) = framed.split_first()? else {
        return None;
    };
    let (id, rest) = rest.split_first_chunk()?;
    Some(Named {
        schema: SchemaRef::Id(i32::from_be_bytes(*id)),
        rest,
        apart: (!std::ptr::eq(framed, value)).then_some(value),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unknown(header: Option<&[u8]>, value: &[u8]) -> WrittenBy {
        match Writers::framed().find(|| header, value) {
            Found::Unknown(writer) => writer,
            _ => panic!("a writer nobody knows"),
        }
    }

    #[test]
    fn a_value_or_its_header_names_the_schema() {
        let framed = [0, 0, 0, 1, 2, b'{', b'}'];
        let id = WrittenBy {
            schema: SchemaRef::Id(258),
            message: Vec::new(),
        };
        assert_eq!(unknown(None, &framed), id);
        assert_eq!(unknown(Some(&framed[..5]), b"{}"), id);
        let mut header = vec![1];
        header.extend([7; 16]);
        let guid = SchemaRef::Guid([7; 16]);
        assert_eq!(unknown(Some(&header), b"{}").schema, guid);
        for value in [&b""[..], b"{}", &[0, 0, 0, 1], &[1, 0, 0, 0, 1]] {
            let found = Writers::framed().find(|| None, value);
            assert!(matches!(found, Found::Refused(Reason::NoSchemaId)));
        }
    }

    #[test]
    fn what_was_learned_is_used() {
        let writers = Writers::framed();
        let framed = [0, 0, 0, 0, 9, 4, 2, 6, b'x'];
        writers.learn(SchemaRef::Id(9), Known::Plan(Arc::new(Plan::Json)));
        let found = writers.find(|| None, &framed);
        assert!(matches!(found, Found::Read(_, b"\x04\x02\x06x")));
        writers.learn(SchemaRef::Id(9), Known::Messages(HashMap::new()));
        match writers.find(|| None, &framed) {
            Found::Unknown(writer) => assert_eq!(writer.message, [1, 3]),
            _ => panic!("a message nobody knows"),
        }
        writers.learn_message(SchemaRef::Id(9), vec![1, 3], Ok(Arc::new(Plan::Json)));
        assert!(matches!(
            writers.find(|| None, &framed),
            Found::Read(_, b"x")
        ));
        let why: Arc<str> = "not of this table".into();
        writers.learn(SchemaRef::Id(9), Known::Unusable(why));
        assert!(matches!(writers.find(|| None, &framed), Found::Refused(_)));
        writers.forget_unusable();
        assert!(matches!(writers.find(|| None, &framed), Found::Unknown(_)));
    }
}
