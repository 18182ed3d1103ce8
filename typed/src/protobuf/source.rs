//! A schema as it is registered: `.proto` text, or the base64 of a `FileDescriptorProto`, which is
//! what some clients register instead.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use prost_reflect::{DescriptorPool, FileDescriptor};
use protox::Compiler;
use protox::file::{File, FileResolver, GoogleFileResolver};
use thiserror::Error;

use super::{MessageChoice, Writer};

/// Deepest nesting of brackets in a text: the parser recurses with it.
const BRACKETS_MAX: usize = 64;
/// Most places in a text that errors are told with.
const POSITIONS_MAX: usize = 10_000;

/// The files that Confluent's clients import without registering them.
const CONFLUENT: [(&str, &str); 2] = [
    (
        "confluent/meta.proto",
        r#"syntax = "proto3"; package confluent;
        import "google/protobuf/descriptor.proto";
        message Meta { string doc = 1; map<string, string> params = 2; repeated string tags = 3; }
        extend google.protobuf.FileOptions { Meta file_meta = 1088; }
        extend google.protobuf.MessageOptions { Meta message_meta = 1088; }
        extend google.protobuf.FieldOptions { Meta field_meta = 1088; }
        extend google.protobuf.EnumOptions { Meta enum_meta = 1088; }
        extend google.protobuf.EnumValueOptions { Meta enum_value_meta = 1088; }"#,
    ),
    (
        "confluent/type/decimal.proto",
        r#"syntax = "proto3"; package confluent.type;
        message Decimal { bytes value = 1; uint32 precision = 2; int32 scale = 3; }"#,
    ),
];

/// A compiled schema: the file that was registered and everything it imports. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Source {
    file: FileDescriptor,
}

/// Why a text is no schema of messages.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BadSchema {
    #[error(
        "the schema and what it imports have {bytes} bytes, more than {}",
        Source::TEXT_BYTES_MAX
    )]
    TooLong { bytes: usize },
    #[error("more than {} references", Source::REFERENCES_MAX)]
    TooManyReferences,
    #[error("two references are named {0}")]
    ReferenceTwice(String),
    /// `file` is the reference's name; empty for the schema itself.
    #[error("{}brackets are nested deeper than {BRACKETS_MAX}", in_file(file))]
    TooDeep { file: String },
    /// In the compiler's words, with file, line and column where it has them.
    #[error("not a Protobuf schema: {0}")]
    NotProtobuf(String),
    #[error("the schema has no message {0}")]
    NoMessage(String),
    /// A message that cannot be a table; `at` is the path of fields.
    #[error("message {message}, {at}: {what}")]
    Unmappable {
        message: String,
        at: String,
        what: String,
    },
}

impl Source {
    /// Most bytes of the schema's text and its references' together.
    pub const TEXT_BYTES_MAX: usize = 512 << 10;
    /// Most references, direct and indirect.
    pub const REFERENCES_MAX: usize = 256;
    /// The name the schema itself is compiled under; imports have the names of their references.
    pub(super) const ROOT: &str = "tidelog/schema.proto";

    /// Compiles a schema. `references` are (name, text), the names being those its imports use, with
    /// all that they import in turn; `google/protobuf/*.proto`, `confluent/meta.proto` and
    /// `confluent/type/decimal.proto` are there without being named.
    ///
    /// # Errors
    /// [`BadSchema`] for texts that are no schema, not complete, or larger than the limits.
    pub fn parse(text: &str, references: &[(String, String)]) -> Result<Self, BadSchema> {
        let files = Files::new(text, references)?;
        let mut compiler = Compiler::with_file_resolver(files);
        compiler.include_imports(true);
        let compiled = compiler.open_file(Self::ROOT).map(|_| ());
        compiled.map_err(|error| BadSchema::NotProtobuf(described(&error)))?;
        Self::of_pool(&compiler.descriptor_pool())
    }

    /// One message type of the schema as a writer's.
    ///
    /// # Errors
    /// [`BadSchema`] when there is no such message or it cannot be a table.
    pub fn writer(&self, choice: &MessageChoice) -> Result<Writer, BadSchema> {
        Writer::new(choice.find(&self.file)?)
    }

    pub(super) fn file(&self) -> &FileDescriptor {
        &self.file
    }

    fn of_pool(pool: &DescriptorPool) -> Result<Self, BadSchema> {
        match pool.get_file_by_name(Self::ROOT) {
            Some(file) => Ok(Self { file }),
            None => Err(BadSchema::NotProtobuf("nothing was compiled".to_owned())),
        }
    }
}

/// What the compiler takes badly in a descriptor.
#[derive(Debug, Error)]
enum BadDescriptor {
    /// It would panic.
    #[error("syntax \"{0}\" is neither proto2 nor proto3")]
    Syntax(String),
    /// It would look through all of them for every error it finds.
    #[error("more than {POSITIONS_MAX} source positions")]
    Positions,
}

/// The files of one compilation, by the names that imports use.
struct Files {
    texts: HashMap<String, String>,
    google: GoogleFileResolver,
}

impl Files {
    fn new(text: &str, references: &[(String, String)]) -> Result<Self, BadSchema> {
        let bytes = references
            .iter()
            .map(|(name, text)| name.len() + text.len());
        let bytes = text.len() + bytes.sum::<usize>();
        if bytes > Source::TEXT_BYTES_MAX {
            return Err(BadSchema::TooLong { bytes });
        }
        if references.len() > Source::REFERENCES_MAX {
            return Err(BadSchema::TooManyReferences);
        }
        check_depth("", text)?;
        let mut texts = HashMap::from([(Source::ROOT.to_owned(), text.to_owned())]);
        for (name, text) in references {
            check_depth(name, text)?;
            if texts.insert(name.clone(), text.clone()).is_some() {
                return Err(BadSchema::ReferenceTwice(name.clone()));
            }
        }
        Ok(Self {
            texts,
            google: GoogleFileResolver::new(),
        })
    }
}

impl FileResolver for Files {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        // Google's first: what they mean here must not change with a reference.
        if let Ok(file) = self.google.open_file(name) {
            return Ok(file);
        }
        let Some(text) = self.texts.get(name) else {
            return match CONFLUENT.iter().find(|(known, _)| *known == name) {
                Some((_, text)) => compiled(name, text),
                None => Err(protox::Error::file_not_found(name)),
            };
        };
        let Some(bytes) = descriptor_bytes(text) else {
            return compiled(name, text);
        };
        let file = File::decode_file_descriptor_proto(&named(bytes, name)[..])
            .map_err(protox::Error::new)?;
        let descriptor = file.file_descriptor_proto();
        let positions = descriptor.source_code_info.as_ref();
        if positions.is_some_and(|positions| positions.location.len() > POSITIONS_MAX) {
            return Err(protox::Error::new(BadDescriptor::Positions));
        }
        match descriptor.syntax() {
            "" | "proto2" | "proto3" => Ok(file),
            other => Err(protox::Error::new(BadDescriptor::Syntax(other.to_owned()))),
        }
    }
}

/// A text's syntax. A large text loses its positions: the compiler looks through all of them for
/// every error it finds.
fn compiled(name: &str, text: &str) -> Result<File, protox::Error> {
    let file = File::from_source(name, text)?;
    let mut descriptor = file.file_descriptor_proto().clone();
    let positions = descriptor
        .source_code_info
        .take_if(|positions| positions.location.len() > POSITIONS_MAX);
    Ok(match positions {
        Some(_) => File::from_file_descriptor_proto(descriptor),
        None => file,
    })
}

/// The bytes of a descriptor registered as base64; no `.proto` text is base64, since none does
/// without a blank or a bracket.
fn descriptor_bytes(text: &str) -> Option<Vec<u8>> {
    let bytes = BASE64.decode(text.trim_ascii()).ok()?;
    (!bytes.is_empty()).then_some(bytes)
}

/// The descriptor under another name: the last occurrence of field 1 is the one that counts.
fn named(mut descriptor: Vec<u8>, name: &str) -> Vec<u8> {
    descriptor.push(1 << 3 | 2);
    let mut len = name.len();
    while len >= 0x80 {
        descriptor.push(len as u8 | 0x80);
        len >>= 7;
    }
    descriptor.push(len as u8);
    descriptor.extend_from_slice(name.as_bytes());
    descriptor
}

/// Refuses brackets nested too deep, those in comments and strings not counted: a closing one there
/// would hide an opening one.
fn check_depth(file: &str, text: &str) -> Result<(), BadSchema> {
    let mut depth = 0_usize;
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = match (first, tail.first()) {
            (b'/', Some(b'/')) | (b'#', _) => after(tail, b"\n"),
            (b'/', Some(b'*')) => after(&tail[1..], b"*/"),
            (b'"' | b'\'', _) => after_string(tail, *first),
            _ => tail,
        };
        match first {
            b'{' | b'[' | b'(' | b'<' => depth += 1,
            b'}' | b']' | b')' | b'>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > BRACKETS_MAX {
            let file = file.to_owned();
            return Err(BadSchema::TooDeep { file });
        }
    }
    Ok(())
}

/// What follows the first `mark`; nothing without one.
fn after<'a>(text: &'a [u8], mark: &[u8]) -> &'a [u8] {
    let found = text.windows(mark.len()).position(|window| window == mark);
    found.map_or(&[], |at| &text[at + mark.len()..])
}

/// What follows a string; one that does not end before its line does is an error of the parser's,
/// and what follows the line counts again.
fn after_string(text: &[u8], quote: u8) -> &[u8] {
    let mut escaped = false;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'\n' => return &text[at + 1..],
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            byte if *byte == quote => return &text[at + 1..],
            _ => {}
        }
    }
    &[]
}

/// The compiler's message with file, line and column; the schema itself has no name.
fn described(error: &protox::Error) -> String {
    // Only the debug form says where in the file.
    let text = match error.file() {
        Some(_) => format!("{error:?}"),
        None => error.to_string(),
    };
    text.replace(&format!("{}:", Source::ROOT), "")
        .trim()
        .to_owned()
}

fn in_file(file: &str) -> String {
    match file {
        "" => String::new(),
        file => format!("{file}: "),
    }
}
