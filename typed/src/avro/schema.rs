//! An Avro schema that was read: types in one arena, by index, so that types may refer to each
//! other in circles.

use crate::json_tree::{Member, Tree};

/// A schema of an Avro value. Every [`TypeId`] in it is one of its own.
#[derive(Debug, Clone)]
pub(super) struct Schema {
    types: Vec<Type>,
    root: TypeId,
}

/// A type's place in its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TypeId(usize);

#[derive(Debug, Clone)]
pub(super) struct Type {
    pub(super) form: Form,
    /// Only if the specification allows it on this form; else it is a mere property.
    pub(super) logical: Option<Logical>,
    /// What the specification does not reserve, `logicalType` and its parameters among it.
    pub(super) properties: Vec<Member>,
}

/// What the binary encoding depends on.
#[derive(Debug, Clone)]
pub(super) enum Form {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Array(TypeId),
    Map(TypeId),
    Union(Vec<TypeId>),
    Record(Record),
    Enum(Enum),
    Fixed(Fixed),
}

/// What record, enum and fixed have in common.
#[derive(Debug, Clone)]
pub(super) struct Named {
    pub(super) name: FullName,
    pub(super) aliases: Vec<FullName>,
    pub(super) doc: Option<String>,
    /// Defined in a reference, not in the schema itself.
    pub(super) foreign: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Record {
    pub(super) named: Named,
    /// Written as `error` instead of `record`.
    pub(super) is_error: bool,
    pub(super) fields: Vec<RecordField>,
}

#[derive(Debug, Clone)]
pub(super) struct RecordField {
    pub(super) name: String,
    pub(super) aliases: Vec<String>,
    pub(super) doc: Option<String>,
    pub(super) of: TypeId,
    pub(super) default: Option<Tree>,
    pub(super) order: Order,
    pub(super) properties: Vec<Member>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Ascending,
    Descending,
    Ignore,
}

#[derive(Debug, Clone)]
pub(super) struct Enum {
    pub(super) named: Named,
    pub(super) symbols: Vec<String>,
    /// One of the symbols.
    pub(super) default: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Fixed {
    pub(super) named: Named,
    /// In bytes.
    pub(super) size: usize,
}

/// Logical types of Avro 1.12.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Logical {
    Decimal { precision: u32, scale: u32 },
    BigDecimal,
    Uuid,
    Date,
    TimeMillis,
    TimeMicros,
    TimestampMillis,
    TimestampMicros,
    TimestampNanos,
    LocalTimestampMillis,
    LocalTimestampMicros,
    LocalTimestampNanos,
    Duration,
}

/// A name with its namespace: `com.example.Order`, or `Order` without one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FullName(String);

impl Schema {
    /// Both are as the parser made them: every id in `types` and `root` points into `types`.
    pub(super) fn new(types: Vec<Type>, root: TypeId) -> Self {
        Self { types, root }
    }

    pub(super) fn root(&self) -> TypeId {
        self.root
    }

    /// All types, those of references first.
    pub(super) fn ids(&self) -> impl Iterator<Item = TypeId> {
        (0..self.types.len()).map(TypeId)
    }

    pub(super) fn get(&self, id: TypeId) -> &Type {
        &self.types[id.0]
    }

    pub(super) fn form(&self, id: TypeId) -> &Form {
        &self.types[id.0].form
    }
}

impl TypeId {
    pub(super) fn new(index: usize) -> Self {
        Self(index)
    }

    pub(super) fn index(self) -> usize {
        self.0
    }
}

impl Form {
    /// The type's name in a schema's text.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Int => "int",
            Self::Long => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::Bytes => "bytes",
            Self::String => "string",
            Self::Array(_) => "array",
            Self::Map(_) => "map",
            Self::Union(_) => "union",
            Self::Record(record) if record.is_error => "error",
            Self::Record(_) => "record",
            Self::Enum(_) => "enum",
            Self::Fixed(_) => "fixed",
        }
    }

    /// The primitive type of this name.
    pub(super) fn primitive(name: &str) -> Option<Self> {
        Some(match name {
            "null" => Self::Null,
            "boolean" => Self::Boolean,
            "int" => Self::Int,
            "long" => Self::Long,
            "float" => Self::Float,
            "double" => Self::Double,
            "bytes" => Self::Bytes,
            "string" => Self::String,
            _ => return None,
        })
    }

    pub(super) fn named(&self) -> Option<&Named> {
        match self {
            Self::Record(Record { named, .. })
            | Self::Enum(Enum { named, .. })
            | Self::Fixed(Fixed { named, .. }) => Some(named),
            _ => None,
        }
    }

    /// What a branch of a union is called, and no two branches are called alike: the full name of
    /// a named type, else the type's. Avro's JSON encoding has the same labels.
    pub(super) fn label(&self) -> &str {
        self.named()
            .map_or_else(|| self.name(), |named| named.name.as_str())
    }
}

impl Order {
    /// As a field's `order` has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ascending => "ascending",
            Self::Descending => "descending",
            Self::Ignore => "ignore",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        [Self::Ascending, Self::Descending, Self::Ignore]
            .into_iter()
            .find(|order| order.name() == name)
    }
}

impl FullName {
    /// `name` alone if it has a dot or `space` is empty, else within `space`. `None` if a part of
    /// it is no name: a letter or `_`, then letters, digits and `_`. Letters and digits are
    /// Unicode's, as Java's parser has it.
    pub(super) fn new(name: &str, space: Option<&str>) -> Option<Self> {
        let full = match space {
            Some(space) if !space.is_empty() && !name.contains('.') => format!("{space}.{name}"),
            _ => name.to_owned(),
        };
        full.split('.').all(is_name).then_some(Self(full))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The namespace.
    pub(super) fn space(&self) -> Option<&str> {
        self.0.rsplit_once('.').map(|(space, _)| space)
    }

    /// The name without its namespace.
    pub(super) fn short(&self) -> &str {
        self.0.rsplit_once('.').map_or(&*self.0, |(_, name)| name)
    }
}

/// True for what fields and symbols may be called, and the parts of a full name.
pub(super) fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    let begins = |first: char| first.is_alphabetic() || first == '_';
    chars.next().is_some_and(begins) && chars.all(|next| next.is_alphanumeric() || next == '_')
}
