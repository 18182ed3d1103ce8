//! Frames: a big-endian i32 size, then that many bytes.

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::Encodable;

use crate::error::WireError;
use crate::primitives::Writer;
use crate::{api_key, header};

/// Bytes of the size before every frame.
pub const SIZE_BYTES: usize = 4;

/// Kafka's default for the largest request (`socket.request.max.bytes`).
pub const REQUEST_BYTES_MAX: usize = 104_857_600;

/// The largest request of a client that has not authenticated (`sasl.server.max.receive.size`).
pub const UNAUTHENTICATED_REQUEST_BYTES_MAX: usize = 524_288;

/// The size of the frame that follows, not counting these four bytes.
///
/// # Errors
/// [`WireError::FrameNegative`] or [`WireError::FrameTooLarge`]; Kafka closes the connection on either.
pub fn parse_size(prefix: [u8; SIZE_BYTES], limit: usize) -> Result<usize, WireError> {
    let size = i32::from_be_bytes(prefix);
    match usize::try_from(size) {
        Ok(size) if size > limit => Err(WireError::FrameTooLarge { size, limit }),
        Ok(size) => Ok(size),
        Err(_) => Err(WireError::FrameNegative(size)),
    }
}

/// A whole response frame (size, header, body) in one buffer, for answers without large payloads.
///
/// # Errors
/// [`WireError::Encode`] if the message holds a field this version cannot carry.
pub fn response<T: Encodable>(
    key: i16,
    version: i16,
    correlation_id: i32,
    body: &T,
) -> Result<Bytes, WireError> {
    let writer = response_writer(key, version, correlation_id)?;
    with_body(key, version, writer, body)
}

/// A whole request frame (size, header, body) in one buffer, for clients.
///
/// # Errors
/// As [`response`].
pub fn request<T: Encodable>(header: &header::RequestHeader, body: &T) -> Result<Bytes, WireError> {
    let writer = request_writer(header)?;
    with_body(header.api_key, header.api_version, writer, body)
}

/// A writer that stands after the header of a response frame; end it with [`seal`].
///
/// # Errors
/// [`WireError::UnknownApi`].
pub fn response_writer(key: i16, version: i16, correlation_id: i32) -> Result<Writer, WireError> {
    let mut writer = unsized_frame();
    header::write_response(&mut writer, key, version, correlation_id)?;
    Ok(writer)
}

/// A writer that stands after the header of a request frame; end it with [`seal`].
///
/// # Errors
/// [`WireError::UnknownApi`].
pub fn request_writer(header: &header::RequestHeader) -> Result<Writer, WireError> {
    let mut writer = unsized_frame();
    header::write_request(&mut writer, header)?;
    Ok(writer)
}

/// Fills in the size and yields the frame as chunks for one vectored write.
///
/// # Errors
/// [`WireError::TooLong`] if the frame or a part of it does not fit its length prefix.
///
/// # Panics
/// If the writer did not come from [`response_writer`] or [`request_writer`].
pub fn seal(mut writer: Writer) -> Result<Vec<Bytes>, WireError> {
    let size = size_of(writer.len())?;
    writer.patch_i32(0, size);
    writer.into_chunks()
}

fn unsized_frame() -> Writer {
    let mut writer = Writer::new();
    writer.i32(0);
    writer
}

/// What the prefix of a frame says that is `length` bytes long with its prefix.
fn size_of(length: usize) -> Result<i32, WireError> {
    let length = length - SIZE_BYTES;
    i32::try_from(length).map_err(|_| WireError::TooLong {
        what: "frame",
        length,
    })
}

fn with_body<T: Encodable>(
    key: i16,
    version: i16,
    head: Writer,
    body: &T,
) -> Result<Bytes, WireError> {
    let body_bytes = body
        .compute_size(version)
        .map_err(|error| refused(key, version, error))?;
    let mut frame = BytesMut::with_capacity(head.len() + body_bytes);
    for chunk in head.into_chunks()? {
        frame.extend_from_slice(&chunk);
    }
    body.encode(&mut frame, version)
        .map_err(|error| refused(key, version, error))?;
    let size = size_of(frame.len())?;
    frame[..SIZE_BYTES].copy_from_slice(&size.to_be_bytes());
    Ok(frame.freeze())
}

fn refused(key: i16, version: i16, error: impl ToString) -> WireError {
    WireError::Encode {
        api: api_key::name(key),
        version,
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::{ApiVersionsResponse, FindCoordinatorRequest};
    use kafka_protocol::protocol::Decodable;

    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(parse_size([0, 0, 1, 0], 256), Ok(256));
        assert_eq!(
            parse_size([0, 0, 1, 1], 256),
            Err(WireError::FrameTooLarge {
                size: 257,
                limit: 256
            })
        );
        assert_eq!(
            parse_size([0xff; 4], 256),
            Err(WireError::FrameNegative(-1))
        );
    }

    #[test]
    fn a_response_is_size_header_body() {
        let body = ApiVersionsResponse::default().with_throttle_time_ms(9);
        let frame = response(api_key::API_VERSIONS, 3, 77, &body).unwrap();
        let size = parse_size(*frame.first_chunk().unwrap(), 1000).unwrap();
        assert_eq!(size, frame.len() - SIZE_BYTES);
        let (correlation_id, mut rest) =
            header::parse_response(api_key::API_VERSIONS, 3, frame.slice(SIZE_BYTES..)).unwrap();
        assert_eq!(correlation_id, 77);
        assert_eq!(ApiVersionsResponse::decode(&mut rest, 3).unwrap(), body);
        assert!(rest.is_empty());
    }

    #[test]
    fn a_request_comes_back_through_our_own_door() {
        let header = header::RequestHeader {
            api_key: 10,
            api_version: 3,
            correlation_id: 1,
            client_id: None,
        };
        let body = FindCoordinatorRequest::default().with_key("group".into());
        let frame = request(&header, &body).unwrap();
        let (parsed, rest) = header::parse_request(frame.slice(SIZE_BYTES..)).unwrap();
        assert_eq!(parsed, header);
        assert_eq!(
            crate::decode::<FindCoordinatorRequest>(10, 3, rest),
            Ok(body)
        );
    }

    #[test]
    fn a_field_newer_than_the_version_is_refused() {
        let body = FindCoordinatorRequest::default().with_key_type(1);
        let header = header::RequestHeader {
            api_key: 10,
            api_version: 0,
            correlation_id: 1,
            client_id: None,
        };
        let error = request(&header, &body).unwrap_err();
        assert!(matches!(
            error,
            WireError::Encode {
                api: "FindCoordinator",
                ..
            }
        ));
    }
}
