//! Versions of Kafka's messages that the `kafka-protocol` crate does not have: it was made from
//! Kafka 4.1, and leaves out what was not stable there.
//!
//! Each type here is the crate's message with newer versions on top. Older versions go through the
//! crate; a newer one either has the same bytes as the last of those, or is written down as a
//! `message!` of its own. To drop one, once the crate has the version: delete its file and its lines
//! here, and name the crate's type where it is used.

mod add_raft_voter;
mod describe_log_dirs;
mod offset_commit;
mod offset_fetch;
mod write_txn_markers;

use std::ops::{Deref, DerefMut};

use anyhow::anyhow;
use bytes::Buf;
use kafka_protocol::messages;
use kafka_protocol::protocol::buf::{ByteBuf, ByteBufMut};
use kafka_protocol::protocol::{
    Decodable, Encodable, HeaderVersion, Message, Request, VersionRange,
};

pub use write_txn_markers::WriteTxnMarkersRequest;

use crate::ext::Wire;
use crate::primitives::{Reader, Writer};

/// Declares a message of the crate with versions up to `$last`. `as $version`: newer ones have the
/// bytes of that version. `by $body`: they have those of `$body`, which converts both ways.
macro_rules! newer {
    ($($(#[$about:meta])* $name:ident up to $last:literal $how:ident $what:tt;)*) => {$(
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct $name(pub messages::$name);

        impl Deref for $name {
            type Target = messages::$name;

            fn deref(&self) -> &Self::Target {
                &self.0
            }
        }

        impl DerefMut for $name {
            fn deref_mut(&mut self) -> &mut Self::Target {
                &mut self.0
            }
        }

        impl From<messages::$name> for $name {
            fn from(message: messages::$name) -> Self {
                Self(message)
            }
        }

        impl Message for $name {
            const VERSIONS: VersionRange = VersionRange {
                min: messages::$name::VERSIONS.min,
                max: $last,
            };
            const DEPRECATED_VERSIONS: Option<VersionRange> = None;
        }

        impl HeaderVersion for $name {
            fn header_version(version: i16) -> i16 {
                messages::$name::header_version(version)
            }
        }

        newer!($how $name $what);
    )*};
    (as $name:ident $version:literal) => {
        impl Decodable for $name {
            fn decode<B: ByteBuf>(buf: &mut B, version: i16) -> anyhow::Result<Self> {
                messages::$name::decode(buf, version.min($version)).map(Self)
            }
        }

        impl Encodable for $name {
            fn encode<B: ByteBufMut>(&self, buf: &mut B, version: i16) -> anyhow::Result<()> {
                self.0.encode(buf, version.min($version))
            }

            fn compute_size(&self, version: i16) -> anyhow::Result<usize> {
                self.0.compute_size(version.min($version))
            }
        }
    };
    (by $name:ident ($body:ty)) => {
        impl Decodable for $name {
            fn decode<B: ByteBuf>(buf: &mut B, version: i16) -> anyhow::Result<Self> {
                match is_newer::<messages::$name>(version) {
                    true => get::<$body>(buf).map(|body| Self(body.into())),
                    false => messages::$name::decode(buf, version).map(Self),
                }
            }
        }

        impl Encodable for $name {
            fn encode<B: ByteBufMut>(&self, buf: &mut B, version: i16) -> anyhow::Result<()> {
                match is_newer::<messages::$name>(version) {
                    true => put(&<$body>::from(self.0.clone()), buf),
                    false => self.0.encode(buf, version),
                }
            }

            fn compute_size(&self, version: i16) -> anyhow::Result<usize> {
                match is_newer::<messages::$name>(version) {
                    true => Ok(written(&<$body>::from(self.0.clone())).len()),
                    false => self.0.compute_size(version),
                }
            }
        }
    };
}

newer! {
    /// ListOffsets v11 (KIP-1023) knows one more special time; its bytes are those of v10.
    ListOffsetsRequest up to 11 as 10;
    /// Answers a [`ListOffsetsRequest`].
    ListOffsetsResponse up to 11 as 10;
    /// OffsetCommit v10 (KIP-848) names topics by id.
    OffsetCommitRequest up to 10 by (offset_commit::Body);
    /// OffsetFetch v10 (KIP-848) names topics by id.
    OffsetFetchRequest up to 10 by (offset_fetch::Body);
    /// DescribeLogDirs v5 (KIP-1066) asks as v4 does.
    DescribeLogDirsRequest up to 5 as 4;
    /// DescribeLogDirs v5 says of each directory whether it is cordoned; ours never are.
    DescribeLogDirsResponse up to 5 by (describe_log_dirs::Body);
    /// AddRaftVoter v1 may ask to wait for less.
    AddRaftVoterRequest up to 1 by (add_raft_voter::Body);
    /// Answers a [`WriteTxnMarkersRequest`].
    WriteTxnMarkersResponse up to 2 as 1;
    /// Answers an [`AddRaftVoterRequest`].
    AddRaftVoterResponse up to 1 as 0;
}

macro_rules! requests {
    ($($key:literal $request:ident => $response:ty;)*) => {$(
        impl Request for $request {
            const KEY: i16 = $key;
            type Response = $response;
        }
    )*};
}

requests! {
    2 ListOffsetsRequest => ListOffsetsResponse;
    8 OffsetCommitRequest => messages::OffsetCommitResponse;
    9 OffsetFetchRequest => messages::OffsetFetchResponse;
    27 WriteTxnMarkersRequest => WriteTxnMarkersResponse;
    35 DescribeLogDirsRequest => DescribeLogDirsResponse;
    80 AddRaftVoterRequest => AddRaftVoterResponse;
}

/// Bodies here are of one version each.
const ONE: i16 = 0;

/// Whether the crate's message does not reach `version`.
fn is_newer<T: Message>(version: i16) -> bool {
    version > T::VERSIONS.max
}

fn get<T: Wire>(buf: &mut impl ByteBuf) -> anyhow::Result<T> {
    let bytes = buf.peek_bytes(0..buf.remaining());
    let mut reader = Reader::new(bytes);
    let value = T::get(&mut reader, ONE).map_err(|(field, fault)| anyhow!("{field}: {fault}"))?;
    buf.advance(reader.position());
    Ok(value)
}

fn put(value: &impl Wire, buf: &mut impl ByteBufMut) -> anyhow::Result<()> {
    for chunk in written(value).into_chunks()? {
        buf.put_slice(&chunk);
    }
    Ok(())
}

fn written(value: &impl Wire) -> Writer {
    let mut writer = Writer::new();
    value.put(&mut writer, ONE);
    writer
}
