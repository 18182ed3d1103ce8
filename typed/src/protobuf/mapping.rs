//! What a message type looks like as a table.

use prost_reflect::{FieldDescriptor, Kind as ProtoKind, MessageDescriptor};

use super::json_value::JsonType;
use super::wire::Scalar;
use super::{BadSchema, MessageChoice, Source};
use crate::schema::{Draft, Field, Kind, TableSchema, TimeUnit};

/// A message type of a schema, and the table its messages make.
#[derive(Debug, Clone)]
pub struct Writer {
    message: MessageDescriptor,
    draft: Draft,
}

/// What a message type becomes.
pub(super) enum Meaning {
    /// `google.protobuf.Timestamp`.
    Timestamp,
    /// `google.protobuf.Int64Value` and its like: the scalar, or null.
    Wrapper(Scalar),
    /// `google.protobuf.Struct` and its like: JSON text.
    Json(JsonType),
    /// A message without fields: true where it is set.
    Mark,
    Struct,
}

impl Writer {
    /// Compiles a schema and takes one message type of it: [`Source::parse`] and
    /// [`Source::writer`].
    ///
    /// # Errors
    /// [`BadSchema`] for texts that are no schema, no such message, and messages that cannot be a
    /// table: recursive, nested too deep, with too many fields.
    pub fn parse(
        text: &str,
        references: &[(String, String)],
        choice: &MessageChoice,
    ) -> Result<Self, BadSchema> {
        Source::parse(text, references)?.writer(choice)
    }

    pub(super) fn new(message: MessageDescriptor) -> Result<Self, BadSchema> {
        let mut mapping = Mapping::default();
        let fields = mapping.message(&message, 0);
        let fields = fields.map_err(|what| BadSchema::Unmappable {
            message: message.full_name().to_owned(),
            at: match &mapping.path[..] {
                [] => "at the top".to_owned(),
                path => format!("field {}", path.join(".")),
            },
            what,
        })?;
        Ok(Self {
            message,
            draft: Draft { fields },
        })
    }

    /// The full name of the message type.
    pub fn message_name(&self) -> &str {
        self.message.full_name()
    }

    /// The table as this writer would have it, by the mapping in `docs/formats/typed-protobuf.md`.
    pub fn draft(&self) -> Draft {
        self.draft.clone()
    }

    pub(super) fn message(&self) -> &MessageDescriptor {
        &self.message
    }
}

impl Meaning {
    pub(super) fn of(message: &MessageDescriptor) -> Self {
        match message.full_name() {
            "google.protobuf.Timestamp" => Self::Timestamp,
            "google.protobuf.Struct" => Self::Json(JsonType::Struct),
            "google.protobuf.Value" => Self::Json(JsonType::Value),
            "google.protobuf.ListValue" => Self::Json(JsonType::List),
            name if is_wrapper(name) => match message.get_field(1).map(|field| field.kind()) {
                Some(kind) => Scalar::of(&kind).map_or(Self::Struct, Self::Wrapper),
                None => Self::Mark,
            },
            _ if message.fields().len() == 0 => Self::Mark,
            _ => Self::Struct,
        }
    }
}

fn is_wrapper(name: &str) -> bool {
    let wrapped = name
        .strip_prefix("google.protobuf.")
        .and_then(|name| name.strip_suffix("Value"));
    matches!(
        wrapped,
        Some(
            "Double"
                | "Float"
                | "Int64"
                | "UInt64"
                | "Int32"
                | "UInt32"
                | "Bool"
                | "String"
                | "Bytes"
        )
    )
}

/// The fields of a message in the order they are declared.
pub(super) fn declared(
    message: &MessageDescriptor,
) -> impl Iterator<Item = FieldDescriptor> + use<'_> {
    let fields = &message.descriptor_proto().field;
    fields
        .iter()
        .filter_map(|field| message.get_field(u32::try_from(field.number()).ok()?))
}

/// The types of a map's keys and values. A descriptor may have entries without them.
pub(super) fn entry_kinds(entry: &MessageDescriptor) -> Option<(ProtoKind, ProtoKind)> {
    Some((entry.get_field(1)?.kind(), entry.get_field(2)?.kind()))
}

/// The walk over a message type. On an error `path` is where.
#[derive(Default)]
struct Mapping {
    path: Vec<String>,
    /// Full names of the messages around.
    open: Vec<String>,
    fields: usize,
}

impl Mapping {
    fn message(&mut self, message: &MessageDescriptor, depth: usize) -> Result<Vec<Field>, String> {
        let name = message.full_name();
        if self.open.iter().any(|open| open == name) {
            return Err(format!(
                "{name} contains itself, and a table has no recursive types"
            ));
        }
        self.open.push(name.to_owned());
        let mut fields = Vec::new();
        for field in declared(message) {
            self.path.push(field.name().to_owned());
            let kind = self.field(&field, depth + 1)?;
            fields.push(Field::draft(field.name(), kind, true));
            self.path.pop();
        }
        self.open.pop();
        Ok(fields)
    }

    fn field(&mut self, field: &FieldDescriptor, depth: usize) -> Result<Kind, String> {
        self.count(depth)?;
        match field.kind() {
            ProtoKind::Message(entry) if field.is_map() => {
                let (key, value) = entry_kinds(&entry).ok_or("not the entries of a map")?;
                let key = Scalar::of(&key).ok_or("a map's key is a scalar")?;
                let key = key.key_column();
                if !key.is_map_key() {
                    return Err(format!("no key of a map is {}", key.name()));
                }
                self.count(depth + 1)?;
                let value = self.one(&value, depth + 1)?;
                Ok(Kind::map_of(key, value))
            }
            kind if field.is_list() => Ok(Kind::list_of(self.one(&kind, depth + 1)?)),
            kind => self.one(&kind, depth),
        }
    }

    /// A value that is not repeated.
    fn one(&mut self, kind: &ProtoKind, depth: usize) -> Result<Kind, String> {
        self.count(depth)?;
        let message = match kind {
            ProtoKind::Message(message) => message,
            scalar => {
                return Scalar::of(scalar)
                    .map(|scalar| scalar.column())
                    .ok_or_else(|| "neither a scalar nor a message".to_owned());
            }
        };
        Ok(match Meaning::of(message) {
            Meaning::Timestamp => Kind::Timestamp(TimeUnit::Microsecond),
            Meaning::Wrapper(scalar) => scalar.column(),
            Meaning::Json(_) => Kind::String,
            Meaning::Mark => Kind::Bool,
            Meaning::Struct => Kind::Struct(self.message(message, depth)?),
        })
    }

    /// Counts one more field; a little generously, the table's own rules come after.
    fn count(&mut self, depth: usize) -> Result<(), String> {
        self.fields += 1;
        if self.fields > 2 * TableSchema::FIELDS_MAX {
            return Err(format!(
                "more than {} fields at all depths",
                TableSchema::FIELDS_MAX
            ));
        }
        if depth > TableSchema::DEPTH_MAX {
            return Err(format!("nested deeper than {}", TableSchema::DEPTH_MAX));
        }
        Ok(())
    }
}
