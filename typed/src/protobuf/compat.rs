//! Whether a reader with one schema understands what was written with another.
//!
//! The rules are those of Confluent's registry, so that a schema that is accepted there is accepted
//! here: fields are compared by number, messages by name, and what Protobuf's wire format makes safe
//! is safe. Two steps are stricter than a decoder: a changed package, and messages that went away.

use std::collections::{BTreeMap, HashSet};

use prost_reflect::{Cardinality, FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor};

use super::Source;
use super::mapping::declared;

pub use super::canonical::canonical;

/// Why a reader with the schema `reader` does not understand what was written with `writer`; empty
/// when it does. One text a difference, `{errorType:"…", description:"…"}` with the names that
/// Confluent's registry gives them, and the place in the schemas: messages by name, fields by number.
pub fn backward(reader: &Source, writer: &Source) -> Vec<String> {
    let mut diff = Diff::default();
    let (old, new) = (writer.file(), reader.file());
    if old.package_name() != new.package_name() {
        diff.report(
            "PACKAGE_CHANGED",
            &format!("package \"{}\"", old.package_name()),
            &format!("package \"{}\"", new.package_name()),
        );
    }
    diff.types(&by_name(old.messages()), &by_name(new.messages()));
    diff.found
}

/// The walk over both schemas, `old` the writer's and `new` the reader's.
#[derive(Default)]
struct Diff {
    path: Vec<String>,
    found: Vec<String>,
    /// Pairs of imported messages that were compared, or are being compared.
    compared: HashSet<(String, String)>,
}

/// What kinds of fields a decoder cannot tell apart.
#[derive(PartialEq)]
enum Family {
    Map,
    Message,
    Scalar(Encoding),
}

/// How scalars are encoded, as far as one may be read as another.
#[derive(PartialEq)]
enum Encoding {
    Varint,
    Zigzag,
    Bytes,
    Fixed32,
    Fixed64,
    Float,
    Double,
}

impl Diff {
    fn types(
        &mut self,
        old: &BTreeMap<String, MessageDescriptor>,
        new: &BTreeMap<String, MessageDescriptor>,
    ) {
        for (name, old) in old {
            self.path.push(name.clone());
            match new.get(name) {
                Some(new) => self.message(old, new),
                None => self.report("MESSAGE_REMOVED", "a message", "none"),
            }
            self.path.pop();
        }
    }

    fn message(&mut self, old: &MessageDescriptor, new: &MessageDescriptor) {
        self.oneofs(old, new);
        for field in declared(old) {
            let Some(updated) = new.get_field(field.number()) else {
                self.removed(&field, new);
                continue;
            };
            self.path.push(field.number().to_string());
            self.field(&field, &updated);
            self.path.pop();
        }
        for field in declared(new) {
            if old.get_field(field.number()).is_none() && is_required(&field) {
                self.at(&field, |diff| {
                    diff.report("REQUIRED_FIELD_ADDED", "no such field", "a required one");
                });
            }
        }
        self.types(
            &by_name(old.child_messages()),
            &by_name(new.child_messages()),
        );
    }

    /// A oneof lets one of its fields be set: fields that could be set together must not become
    /// members of one.
    fn oneofs(&mut self, old: &MessageDescriptor, new: &MessageDescriptor) {
        for oneof in new.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            let before = oneof
                .fields()
                .filter_map(|field| old.get_field(field.number()));
            let (inside, outside): (Vec<_>, Vec<_>) = before
                .map(|field| oneof_of(&field))
                .partition(Option::is_some);
            let origins: HashSet<_> = inside
                .into_iter()
                .flatten()
                .map(|oneof| oneof.name().to_owned())
                .collect();
            if origins.len() + outside.len() < 2 {
                continue;
            }
            let what = match outside.len() {
                ..2 => "FIELD_MOVED_TO_EXISTING_ONEOF",
                2.. => "MULTIPLE_FIELDS_MOVED_TO_ONEOF",
            };
            self.path.push(oneof.name().to_owned());
            self.report(
                what,
                "fields that may be set together",
                "members of one oneof",
            );
            self.path.pop();
        }
    }

    fn removed(&mut self, field: &FieldDescriptor, new: &MessageDescriptor) {
        // A oneof may go as a whole.
        let left_oneof = oneof_of(field).filter(|oneof| {
            new.oneofs().any(|kept| kept.name() == oneof.name())
                || oneof
                    .fields()
                    .any(|member| new.get_field(member.number()).is_some())
        });
        if left_oneof.is_some() {
            self.at(field, |diff| {
                diff.report(
                    "ONEOF_FIELD_REMOVED",
                    "a member of a oneof",
                    "no such field",
                );
            });
        } else if is_required(field) {
            self.at(field, |diff| {
                diff.report("REQUIRED_FIELD_REMOVED", "a required field", "none");
            });
        }
    }

    fn field(&mut self, old: &FieldDescriptor, new: &FieldDescriptor) {
        if is_required(new) && !is_required(old) {
            self.report(
                "REQUIRED_FIELD_ADDED",
                "a field that may be absent",
                "a required one",
            );
        }
        let numeric =
            matches!(family(new), Family::Scalar(encoding) if encoding != Encoding::Bytes);
        self.kinds(&old.kind(), family(old), &new.kind(), family(new));
        if numeric && family(old) == family(new) && old.is_list() != new.is_list() {
            self.report("FIELD_NUMERIC_LABEL_CHANGED", label(old), label(new));
        }
    }

    fn kinds(&mut self, old: &Kind, old_family: Family, new: &Kind, new_family: Family) {
        match (old_family, new_family, old, new) {
            (Family::Map, Family::Map, Kind::Message(old), Kind::Message(new)) => {
                for part in [1, 2] {
                    if let (Some(old), Some(new)) = (old.get_field(part), new.get_field(part)) {
                        self.kinds(&old.kind(), family(&old), &new.kind(), family(&new));
                    }
                }
            }
            (Family::Message, Family::Message, Kind::Message(old), Kind::Message(new)) => {
                self.named(old, new);
            }
            (Family::Scalar(before), Family::Scalar(after), old, new) => {
                if before != after {
                    let (old, new) = (format!("{old:?}"), format!("{new:?}"));
                    self.report("FIELD_SCALAR_KIND_CHANGED", &old, &new);
                }
            }
            (_, _, old, new) => {
                let (old, new) = (format!("{old:?}"), format!("{new:?}"));
                self.report("FIELD_KIND_CHANGED", &old, &new);
            }
        }
    }

    /// Two fields of message types. Messages of the schemas themselves are compared where they
    /// stand; imported ones, here.
    fn named(&mut self, old: &MessageDescriptor, new: &MessageDescriptor) {
        if local_name(old) != local_name(new) {
            self.report("FIELD_NAMED_TYPE_CHANGED", old.full_name(), new.full_name());
            return;
        }
        let is_own = |message: &MessageDescriptor| message.parent_file().name() == Source::ROOT;
        let pair = (old.full_name().to_owned(), new.full_name().to_owned());
        if is_own(old) && is_own(new) || !self.compared.insert(pair) {
            return;
        }
        let before = self.found.len();
        self.message(old, new);
        if self.found.len() > before {
            self.report(
                "FIELD_NAMED_TYPE_CHANGED",
                old.full_name(),
                "one that differs",
            );
        }
    }

    /// Reports with the place of a field.
    fn at(&mut self, field: &FieldDescriptor, report: impl FnOnce(&mut Self)) {
        self.path.push(field.number().to_string());
        report(self);
        self.path.pop();
    }

    fn report(&mut self, what: &str, old: &str, new: &str) {
        let path = self.path.join("/");
        self.found.push(format!(
            "{{errorType:\"{what}\", description:\"at '#/{path}' the old schema has {old}, the new one {new}\"}}"
        ));
    }
}

/// The messages of one place, those that the compiler makes for maps left out.
fn by_name(
    messages: impl Iterator<Item = MessageDescriptor>,
) -> BTreeMap<String, MessageDescriptor> {
    messages
        .filter(|message| !message.is_map_entry())
        .map(|message| (message.name().to_owned(), message))
        .collect()
}

/// The oneof that a schema's author put a field in; `optional` makes one that does not count.
fn oneof_of(field: &FieldDescriptor) -> Option<OneofDescriptor> {
    field
        .containing_oneof()
        .filter(|oneof| !oneof.is_synthetic())
}

fn is_required(field: &FieldDescriptor) -> bool {
    field.cardinality() == Cardinality::Required
}

/// A message's name within its package.
fn local_name(message: &MessageDescriptor) -> &str {
    let name = message.full_name();
    let local = name.strip_prefix(message.package_name());
    local.map_or(name, |local| local.trim_start_matches('.'))
}

fn family(field: &FieldDescriptor) -> Family {
    match field.kind() {
        Kind::Message(_) if field.is_map() => Family::Map,
        Kind::Message(_) => Family::Message,
        Kind::Int32 | Kind::Int64 | Kind::Uint32 | Kind::Uint64 | Kind::Bool | Kind::Enum(_) => {
            Family::Scalar(Encoding::Varint)
        }
        Kind::Sint32 | Kind::Sint64 => Family::Scalar(Encoding::Zigzag),
        Kind::String | Kind::Bytes => Family::Scalar(Encoding::Bytes),
        Kind::Fixed32 | Kind::Sfixed32 => Family::Scalar(Encoding::Fixed32),
        Kind::Fixed64 | Kind::Sfixed64 => Family::Scalar(Encoding::Fixed64),
        Kind::Float => Family::Scalar(Encoding::Float),
        Kind::Double => Family::Scalar(Encoding::Double),
    }
}

fn label(field: &FieldDescriptor) -> &'static str {
    if field.is_list() {
        "a repeated field"
    } else {
        "a single one"
    }
}
