//! The types a setting may have: how each is read from text, shown again and described.
//!
//! `parse(render(v)) == v` for every value; `render` gives the form an administrator would write.

use std::fmt;
use std::path::PathBuf;

/// A type as Kafka's `DescribeConfigs` names it (KIP-569); the discriminant is its wire number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i8)]
pub enum Kind {
    Boolean = 1,
    String = 2,
    Int = 3,
    Long = 5,
    Double = 6,
    List = 7,
}

/// What the values of a setting must satisfy beyond their type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limits {
    /// Every value of the type.
    Any,
    /// A number of at least this.
    AtLeast(i64),
    /// A number from the first to the second, both included.
    Between(i64, i64),
}

impl Limits {
    /// Whether `number` is allowed; values that are not numbers have no limits.
    pub fn allow(self, number: Option<i64>) -> bool {
        match (self, number) {
            (Limits::Any, _) | (_, None) => true,
            (Limits::AtLeast(low), Some(n)) => n >= low,
            (Limits::Between(low, high), Some(n)) => (low..=high).contains(&n),
        }
    }
}

impl fmt::Display for Limits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limits::Any => Ok(()),
            Limits::AtLeast(low) => write!(f, "at least {low}"),
            Limits::Between(low, high) => write!(f, "from {low} to {high}"),
        }
    }
}

/// A Rust type that can be the type of a setting.
pub trait Value: Sized {
    const KIND: Kind;

    /// The accepted form in words, used after "expected".
    fn form() -> String;

    /// Reads a value; `None` when `text` does not have the accepted form.
    fn parse(text: &str) -> Option<Self>;

    fn render(&self) -> String;

    /// The number that [`Limits`] look at.
    fn number(&self) -> Option<i64> {
        None
    }
}

impl Value for bool {
    const KIND: Kind = Kind::Boolean;

    fn form() -> String {
        "true or false".into()
    }

    fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        }
    }

    fn render(&self) -> String {
        self.to_string()
    }
}

macro_rules! number_value {
    ($type:ty, $kind:expr) => {
        impl Value for $type {
            const KIND: Kind = $kind;

            fn form() -> String {
                "a whole number".into()
            }

            fn parse(text: &str) -> Option<Self> {
                text.parse().ok()
            }

            fn render(&self) -> String {
                self.to_string()
            }

            fn number(&self) -> Option<i64> {
                Some(i64::from(*self))
            }
        }
    };
}

number_value!(i32, Kind::Int);
number_value!(i64, Kind::Long);

/// A number that may be left out, written as the empty text.
impl Value for Option<i64> {
    const KIND: Kind = Kind::Long;

    fn form() -> String {
        "a whole number, or nothing".into()
    }

    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            Some(None)
        } else {
            text.parse().ok().map(Some)
        }
    }

    fn render(&self) -> String {
        self.map_or_else(String::new, |n| n.to_string())
    }

    fn number(&self) -> Option<i64> {
        *self
    }
}

/// A directory. Kafka's `log.dirs` may be a list; we keep one directory and refuse a comma.
impl Value for PathBuf {
    const KIND: Kind = Kind::String;

    fn form() -> String {
        "the path of one directory".into()
    }

    fn parse(text: &str) -> Option<Self> {
        (!text.is_empty() && !text.contains(',')).then(|| PathBuf::from(text))
    }

    fn render(&self) -> String {
        self.display().to_string()
    }
}

/// A directory that may be left out, written as the empty text; `file://` before it is taken off.
impl Value for Option<PathBuf> {
    const KIND: Kind = Kind::String;

    fn form() -> String {
        "the path of one directory, or nothing".into()
    }

    fn parse(text: &str) -> Option<Self> {
        let path = match text.strip_prefix("file://") {
            Some(path) => path.starts_with('/').then_some(path)?,
            None => text,
        };
        // Another scheme is a place this broker cannot write to.
        let known = !path.contains("://");
        known.then(|| (!path.is_empty()).then(|| PathBuf::from(path)))
    }

    fn render(&self) -> String {
        let path = self.as_ref();
        path.map_or_else(String::new, |path| path.display().to_string())
    }
}

/// `HOST:PORT`. An empty host means every interface of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    pub host: String,
    pub port: u16,
}

impl Address {
    /// What to give to `bind`: an empty host becomes the IPv4 wildcard.
    pub fn bind_target(&self) -> (&str, u16) {
        (
            if self.host.is_empty() {
                "0.0.0.0"
            } else {
                &self.host
            },
            self.port,
        )
    }

    /// Whether the host names every interface, so that no client could connect to it by name.
    pub fn is_wildcard(&self) -> bool {
        matches!(self.host.as_str(), "" | "0.0.0.0" | "::")
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Value for Address {
    const KIND: Kind = Kind::String;

    fn form() -> String {
        "HOST:PORT".into()
    }

    fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok()?;
        let bracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host = bracketed.unwrap_or(host);
        // Without brackets it would be unclear where an IPv6 address ends.
        let legal = !host.contains(['/', '[', ']', ' ', ',']);
        let legal = legal && (bracketed.is_some() || !host.contains(':'));
        legal.then(|| Address {
            host: host.to_owned(),
            port,
        })
    }

    fn render(&self) -> String {
        self.to_string()
    }
}

/// An address, or `off` for a port that is not opened.
impl Value for Option<Address> {
    const KIND: Kind = Kind::String;

    fn form() -> String {
        "HOST:PORT or off".into()
    }

    fn parse(text: &str) -> Option<Self> {
        if text == "off" {
            Some(None)
        } else {
            Address::parse(text).map(Some)
        }
    }

    fn render(&self) -> String {
        self.as_ref()
            .map_or_else(|| "off".to_owned(), Address::to_string)
    }
}

/// One entry of `listeners`: a name and an address, written `NAME://HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    pub name: String,
    pub address: Address,
}

impl Endpoint {
    /// The name a listener has when none is written.
    pub const DEFAULT_NAME: &'static str = "PLAINTEXT";

    /// Reads `NAME://HOST:PORT`, or `HOST:PORT` under the default name.
    fn parse(text: &str) -> Option<Self> {
        let (name, address) = text.split_once("://").unwrap_or((Self::DEFAULT_NAME, text));
        // These names promise encryption or a login that a plain listener would not give.
        let plain = !matches!(name, "SSL" | "SASL_PLAINTEXT" | "SASL_SSL");
        let named = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        (plain && named).then_some(())?;
        Some(Endpoint {
            name: name.to_owned(),
            address: Address::parse(address)?,
        })
    }
}

/// A list of endpoints with distinct names, separated by commas. An endpoint named `CONTROLLER`
/// is left out: files written for KRaft have one, and a broker of one process needs none.
impl Value for Vec<Endpoint> {
    const KIND: Kind = Kind::List;

    fn form() -> String {
        "HOST:PORT or NAME://HOST:PORT (without SSL or SASL), separated by commas".into()
    }

    fn parse(text: &str) -> Option<Self> {
        let mut endpoints: Vec<Endpoint> = Vec::new();
        for part in text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let endpoint = Endpoint::parse(part)?;
            if endpoints.iter().any(|other| other.name == endpoint.name) {
                return None;
            }
            endpoints.push(endpoint);
        }
        endpoints.retain(|endpoint| endpoint.name != "CONTROLLER");
        Some(endpoints)
    }

    fn render(&self) -> String {
        let parts: Vec<_> = self
            .iter()
            .map(|e| format!("{}://{}", e.name, e.address))
            .collect();
        parts.join(",")
    }
}

/// A closed set of words as an enum whose text forms stand beside its variants.
macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl Value for $name {
            const KIND: Kind = Kind::String;

            fn form() -> String {
                [$($text),+].join(" | ")
            }

            fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }

            fn render(&self) -> String {
                self.as_str().to_owned()
            }
        }
    };
}

choice! {
    /// When a record counts as written.
    FlushMode {
        /// After the disk confirmed a sync.
        Sync = "sync",
        /// After the operating system took the bytes.
        Os = "os",
    }
}

choice! {
    /// What to do with a replication factor that one broker cannot give.
    ReplicationPolicy {
        /// Create the topic with one replica.
        Clamp = "clamp",
        /// Answer INVALID_REPLICATION_FACTOR.
        Refuse = "refuse",
    }
}

choice! {
    /// Which way groups may move between the classic and the new protocol.
    GroupMigration {
        Bidirectional = "bidirectional",
        Upgrade = "upgrade",
        Downgrade = "downgrade",
        Disabled = "disabled",
    }
}

choice! {
    /// Whether topics that nobody configured become tables.
    TableMode { Disabled = "disabled", Auto = "auto" }
}

choice! {
    /// `compression.type` of topics that do not set their own.
    Compression {
        /// Keep batches as the producer sent them.
        Producer = "producer",
        Uncompressed = "uncompressed",
        Gzip = "gzip",
        Snappy = "snappy",
        Lz4 = "lz4",
        Zstd = "zstd",
    }
}

choice! {
    /// Whose clock the timestamps of records come from.
    TimestampType { CreateTime = "CreateTime", LogAppendTime = "LogAppendTime" }
}

choice! {
    /// What happens to old records of topics that do not say.
    CleanupPolicy {
        Delete = "delete",
        Compact = "compact",
        CompactDelete = "compact,delete",
        DeleteCompact = "delete,compact",
    }
}
