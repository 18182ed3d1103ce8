//! From a request body to the message struct of the `kafka-protocol` crate.

use bytes::Bytes;
use kafka_protocol::protocol::Decodable;

use crate::error::WireError;
use crate::{shape, shapes};

/// Decodes the body of a Kafka request after walking its shape.
///
/// Strings and payloads in the result are slices of `body`. Bytes after the last field are ignored.
///
/// # Errors
/// - [`WireError::UnknownApi`] for a key without a shape.
/// - [`WireError::UnsupportedVersion`] for a version that cannot be decoded. Answer an ApiVersions
///   request of a version above ours before coming here.
/// - [`WireError::Body`] or [`WireError::Decode`] for bytes that are not such a message.
pub fn decode<T: Decodable>(key: i16, version: i16, mut body: Bytes) -> Result<T, WireError> {
    let shape = shapes::find(key).ok_or(WireError::UnknownApi(key))?;
    shape::check(shape, version, &body)?;
    T::decode(&mut body, version).map_err(|error| WireError::Decode {
        api: shape.name,
        version,
        reason: error.to_string(),
    })
}
