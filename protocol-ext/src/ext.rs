//! Our own messages: API keys 16000 and up, framed and encoded as Kafka's are.
//!
//! All are flexible from version 0: header v2 before requests, v1 before responses, compact lengths,
//! a tagged section after every struct. Each file here holds one API; the same fields, for authors of
//! clients in other languages, stand in `messages/*.json` and `docs/protocol-ext.md`, and a test keeps
//! the three lists equal.
//!
//! A struct declared with `message!` *is* its wire format: fields travel in the order in which they
//! stand, each by its type, from the version on that it came in. Payloads are [`Rope`](crate::Rope)s, sent uncopied and received as
//! slices of the frame. Bytes after the last field are ignored, as in Kafka's messages.
//!
//! Decoding is as safe on hostile bytes as [`decode`](crate::decode): see [`Reader`].

use bytes::Bytes;

use crate::error::WireError;
use crate::frame;
use crate::header::RequestHeader;
use crate::primitives::Reader;
use crate::shape::Span;

pub mod alter_table;
pub mod columnar_fetch;
pub mod columnar_produce;
pub mod describe_table;
pub mod import_records;
pub mod lookup;
pub mod scan;
pub mod tier_status;
pub mod union_read_offsets;
pub(crate) mod wire;

pub use wire::{Misread, Wire};

/// A request of ours and what goes with it.
pub trait Request: Wire {
    /// The API key.
    const KEY: i16;
    /// The name of the API.
    const NAME: &'static str;
    /// The versions this build speaks.
    const VERSIONS: Span;
    /// What answers it.
    type Response: Wire;

    /// The oldest version that carries all this request says.
    fn needs(&self) -> i16 {
        Self::VERSIONS.first
    }
}

/// Keys, names and versions of the APIs here, for the table a broker advertises.
pub const APIS: &[(i16, &str, Span)] = &[
    api::<columnar_fetch::ColumnarFetchRequest>(),
    api::<columnar_produce::ColumnarProduceRequest>(),
    api::<lookup::LookupRequest>(),
    api::<union_read_offsets::UnionReadOffsetsRequest>(),
    api::<describe_table::DescribeTableRequest>(),
    api::<alter_table::AlterTableRequest>(),
    api::<scan::ScanRequest>(),
    api::<tier_status::TierStatusRequest>(),
    api::<import_records::ImportRecordsRequest>(),
];

/// A whole request frame as chunks for one vectored write.
///
/// # Errors
/// [`WireError::UnsupportedVersion`], also for a version that does not carry all of the request;
/// [`WireError::TooLong`].
pub fn encode_request<R: Request>(
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
    request: &R,
) -> Result<Vec<Bytes>, WireError> {
    check_version::<R>(version)?;
    if version < request.needs() {
        return Err(unsupported::<R>(version));
    }
    let mut writer = frame::request_writer(&RequestHeader {
        api_key: R::KEY,
        api_version: version,
        correlation_id,
        client_id: client_id.map(|id| id.to_owned().into()),
    })?;
    request.put(&mut writer, version);
    frame::seal(writer)
}

/// A whole response frame as chunks for one vectored write.
///
/// # Errors
/// As [`encode_request`].
pub fn encode_response<R: Request>(
    version: i16,
    correlation_id: i32,
    response: &R::Response,
) -> Result<Vec<Bytes>, WireError> {
    check_version::<R>(version)?;
    let mut writer = frame::response_writer(R::KEY, version, correlation_id)?;
    response.put(&mut writer, version);
    frame::seal(writer)
}

/// Decodes a request from the body that [`parse_request`](crate::header::parse_request) left.
///
/// # Errors
/// [`WireError::UnsupportedVersion`] or [`WireError::Body`].
pub fn decode_request<R: Request>(version: i16, body: Bytes) -> Result<R, WireError> {
    decode_body::<R, R>(version, body)
}

/// Decodes a response from the body that [`parse_response`](crate::header::parse_response) left.
///
/// # Errors
/// As [`decode_request`].
pub fn decode_response<R: Request>(version: i16, body: Bytes) -> Result<R::Response, WireError> {
    decode_body::<R, R::Response>(version, body)
}

fn decode_body<R: Request, T: Wire>(version: i16, body: Bytes) -> Result<T, WireError> {
    check_version::<R>(version)?;
    let mut reader = Reader::new(body);
    T::get(&mut reader, version).map_err(|(field, malformed)| WireError::Body {
        api: R::NAME,
        version,
        field,
        malformed,
    })
}

fn check_version<R: Request>(version: i16) -> Result<(), WireError> {
    match R::VERSIONS.contains(version) {
        true => Ok(()),
        false => Err(unsupported::<R>(version)),
    }
}

const fn unsupported<R: Request>(version: i16) -> WireError {
    WireError::UnsupportedVersion {
        api: R::NAME,
        version,
    }
}

const fn api<R: Request>() -> (i16, &'static str, Span) {
    (R::KEY, R::NAME, R::VERSIONS)
}
