//! What can be wrong with bytes from the network, and with a message we are asked to send.

/// A fault in received bytes and where it was met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{fault} at byte {at}")]
pub struct Malformed {
    /// Byte position within the header or body that was being read.
    pub at: usize,
    pub fault: Fault,
}

/// The ways in which bytes fail to be the value expected at their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("{needed} bytes needed, {left} left")]
    Truncated { needed: usize, left: usize },
    #[error("length {0} is negative")]
    NegativeLength(i32),
    #[error("null where a value is required")]
    Null,
    #[error("text is not UTF-8")]
    NotUtf8,
    #[error("text of {0} bytes exceeds 32767")]
    TextTooLong(usize),
    #[error("variable-length integer exceeds 32 bits")]
    VarintTooLong,
    #[error("array of {count} elements claimed with {left} bytes left")]
    CountExceedsBytes { count: usize, left: usize },
    #[error("more elements than one body may hold")]
    TooManyElements,
    #[error("tag {0} is not valid in this version")]
    TagNotValid(u32),
    #[error("tag {tag} claims {claimed} bytes and holds {held}")]
    TagSize {
        tag: u32,
        claimed: usize,
        held: usize,
    },
    #[error("presence marker {0} is neither 1 nor -1")]
    Presence(i8),
}

/// Why a frame could not be read or written.
///
/// For a reader every variant means the same: answer nothing and close the connection, as Kafka does.
/// The one exception is made before decoding: an ApiVersions request of a version we do not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("frame size {0} is negative")]
    FrameNegative(i32),
    #[error("frame of {size} bytes exceeds the limit of {limit}")]
    FrameTooLarge { size: usize, limit: usize },
    #[error("header: {0}")]
    Header(Malformed),
    #[error("API key {0} is unknown")]
    UnknownApi(i16),
    #[error("{api} has no version {version}")]
    UnsupportedVersion { api: &'static str, version: i16 },
    #[error("{api} v{version}, field {field}: {malformed}")]
    Body {
        api: &'static str,
        version: i16,
        field: &'static str,
        malformed: Malformed,
    },
    /// The generated decoder refused a body whose shape was right.
    #[error("{api} v{version}: {reason}")]
    Decode {
        api: &'static str,
        version: i16,
        reason: String,
    },
    /// The message cannot be expressed in this version: our fault, not the peer's.
    #[error("{api} v{version} cannot be encoded: {reason}")]
    Encode {
        api: &'static str,
        version: i16,
        reason: String,
    },
    /// A length we were asked to write does not fit its prefix.
    #[error("{what} of {length} bytes or elements does not fit its length prefix")]
    TooLong { what: &'static str, length: usize },
}
