//! Request and response headers.
//!
//! ```text
//! request   v1  api_key i16 | api_version i16 | correlation_id i32 | client_id nullable string
//!           v2  the same, then tagged fields; the client id stays a classic (i16-prefixed) string
//! response  v0  correlation_id i32
//!           v1  the same, then tagged fields
//! ```
//!
//! Which version goes with which request is decided in [`api_key`].

use bytes::Bytes;
use kafka_protocol::protocol::StrBytes;

use crate::api_key;
use crate::error::{Malformed, WireError};
use crate::primitives::{Reader, Writer};

/// What a client says before the body of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeader {
    pub api_key: i16,
    pub api_version: i16,
    /// Echoed in the response header.
    pub correlation_id: i32,
    /// The client's name for itself. Bytes that are not UTF-8 are replaced, as Kafka does.
    pub client_id: Option<StrBytes>,
}

/// Splits a request frame (without its size) into header and body; the body shares the frame.
///
/// The version is not compared with what we answer: that is the caller's table.
///
/// # Errors
/// [`WireError::UnknownApi`], since without the key the header's own version is unknown, or
/// [`WireError::Header`] for a frame too short or a length that lies.
pub fn parse_request(frame: Bytes) -> Result<(RequestHeader, Bytes), WireError> {
    let mut reader = Reader::new(frame);
    let (api_key, api_version) = parse_key(&mut reader).map_err(WireError::Header)?;
    let header_version = api_key::request_header_version(api_key, api_version)
        .ok_or(WireError::UnknownApi(api_key))?;
    let (correlation_id, client_id) =
        parse_sender(&mut reader, header_version).map_err(WireError::Header)?;
    let header = RequestHeader {
        api_key,
        api_version,
        correlation_id,
        client_id,
    };
    Ok((header, reader.into_rest()))
}

/// Splits a response frame (without its size) into correlation id and body, for clients.
///
/// # Errors
/// As [`parse_request`]; the key and version are those of the request being answered.
pub fn parse_response(key: i16, version: i16, frame: Bytes) -> Result<(i32, Bytes), WireError> {
    let header_version =
        api_key::response_header_version(key, version).ok_or(WireError::UnknownApi(key))?;
    let mut reader = Reader::new(frame);
    let correlation_id = reader.i32().map_err(WireError::Header)?;
    if header_version == 1 {
        reader.skip_tags().map_err(WireError::Header)?;
    }
    Ok((correlation_id, reader.into_rest()))
}

/// Writes a request header, for clients.
///
/// # Errors
/// [`WireError::UnknownApi`].
pub fn write_request(writer: &mut Writer, header: &RequestHeader) -> Result<(), WireError> {
    let header_version = api_key::request_header_version(header.api_key, header.api_version)
        .ok_or(WireError::UnknownApi(header.api_key))?;
    writer.i16(header.api_key);
    writer.i16(header.api_version);
    writer.i32(header.correlation_id);
    if header_version >= 1 {
        writer.text(false, header.client_id.as_deref());
    }
    if header_version == 2 {
        writer.no_tags();
    }
    Ok(())
}

/// Writes a response header.
///
/// # Errors
/// [`WireError::UnknownApi`].
pub fn write_response(
    writer: &mut Writer,
    key: i16,
    version: i16,
    correlation_id: i32,
) -> Result<(), WireError> {
    let header_version =
        api_key::response_header_version(key, version).ok_or(WireError::UnknownApi(key))?;
    writer.i32(correlation_id);
    if header_version == 1 {
        writer.no_tags();
    }
    Ok(())
}

fn parse_key(reader: &mut Reader) -> Result<(i16, i16), Malformed> {
    Ok((reader.i16()?, reader.i16()?))
}

fn parse_sender(
    reader: &mut Reader,
    header_version: i16,
) -> Result<(i32, Option<StrBytes>), Malformed> {
    let correlation_id = reader.i32()?;
    let client_id = match header_version {
        0 => None,
        _ => reader.text_len(false)?,
    };
    let client_id = match client_id {
        Some(length) => Some(lossy_text(reader.take(length)?)),
        None => None,
    };
    if header_version == 2 {
        reader.skip_tags()?;
    }
    Ok((correlation_id, client_id))
}

fn lossy_text(bytes: Bytes) -> StrBytes {
    StrBytes::from_utf8(bytes.clone())
        .unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into())
}

#[cfg(test)]
mod tests;
