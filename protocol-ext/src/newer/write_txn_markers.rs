//! WriteTxnMarkers v2 (KIP-1228): v1 and, for each marker, the version of transactions it was made
//! under. The crate's message has no place for that, so it stands beside each marker.

use kafka_protocol::messages;
use kafka_protocol::messages::write_txn_markers_request::{
    WritableTxnMarker, WritableTxnMarkerTopic,
};
use kafka_protocol::protocol::buf::{ByteBuf, ByteBufMut};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion, Message, VersionRange};

use super::{get, put, written};
use crate::StrBytes;
use crate::ext::wire::message;

/// First version that says it.
const VERSION_SAID_FROM: i16 = 2;

/// Markers, each with the version of transactions it was made under; 0 where the request does not say.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WriteTxnMarkersRequest {
    pub markers: Vec<(WritableTxnMarker, i8)>,
}

message! {
    /// Version 2 on the wire.
    pub struct Body {
        pub markers: Vec<Marker>,
    }

    /// The end of a transaction.
    pub struct Marker {
        pub producer_id: i64,
        pub producer_epoch: i16,
        pub transaction_result: bool,
        pub topics: Vec<Topic>,
        pub coordinator_epoch: i32,
        pub transaction_version: i8,
    }

    /// Partitions it is written to.
    pub struct Topic {
        pub name: StrBytes,
        pub partition_indexes: Vec<i32>,
    }
}

impl Decodable for WriteTxnMarkersRequest {
    fn decode<B: ByteBuf>(buf: &mut B, version: i16) -> anyhow::Result<Self> {
        if version >= VERSION_SAID_FROM {
            return get::<Body>(buf).map(Self::from);
        }
        let request = messages::WriteTxnMarkersRequest::decode(buf, version)?;
        let markers = request.markers.into_iter().map(|marker| (marker, 0));
        Ok(Self {
            markers: markers.collect(),
        })
    }
}

impl Encodable for WriteTxnMarkersRequest {
    fn encode<B: ByteBufMut>(&self, buf: &mut B, version: i16) -> anyhow::Result<()> {
        match version >= VERSION_SAID_FROM {
            true => put(&Body::from(self), buf),
            false => self.older().encode(buf, version),
        }
    }

    fn compute_size(&self, version: i16) -> anyhow::Result<usize> {
        match version >= VERSION_SAID_FROM {
            true => Ok(written(&Body::from(self)).len()),
            false => self.older().compute_size(version),
        }
    }
}

impl WriteTxnMarkersRequest {
    fn older(&self) -> messages::WriteTxnMarkersRequest {
        let markers = self.markers.iter().map(|(marker, _)| marker.clone());
        messages::WriteTxnMarkersRequest::default().with_markers(markers.collect())
    }
}

impl Message for WriteTxnMarkersRequest {
    const VERSIONS: VersionRange = VersionRange { min: 1, max: 2 };
    const DEPRECATED_VERSIONS: Option<VersionRange> = None;
}

impl HeaderVersion for WriteTxnMarkersRequest {
    fn header_version(version: i16) -> i16 {
        messages::WriteTxnMarkersRequest::header_version(version)
    }
}

impl From<Body> for WriteTxnMarkersRequest {
    fn from(body: Body) -> Self {
        let topic = |topic: Topic| {
            WritableTxnMarkerTopic::default()
                .with_name(topic.name.into())
                .with_partition_indexes(topic.partition_indexes)
        };
        let markers = body.markers.into_iter().map(|marker| {
            let topics = marker.topics.into_iter().map(topic).collect();
            let read = WritableTxnMarker::default()
                .with_producer_id(marker.producer_id.into())
                .with_producer_epoch(marker.producer_epoch)
                .with_transaction_result(marker.transaction_result)
                .with_topics(topics)
                .with_coordinator_epoch(marker.coordinator_epoch);
            (read, marker.transaction_version)
        });
        Self {
            markers: markers.collect(),
        }
    }
}

impl From<&WriteTxnMarkersRequest> for Body {
    fn from(request: &WriteTxnMarkersRequest) -> Self {
        let topic = |topic: &WritableTxnMarkerTopic| Topic {
            name: topic.name.0.clone(),
            partition_indexes: topic.partition_indexes.clone(),
        };
        let markers = request.markers.iter().map(|(marker, version)| Marker {
            producer_id: marker.producer_id.0,
            producer_epoch: marker.producer_epoch,
            transaction_result: marker.transaction_result,
            topics: marker.topics.iter().map(topic).collect(),
            coordinator_epoch: marker.coordinator_epoch,
            transaction_version: *version,
        });
        Body {
            markers: markers.collect(),
        }
    }
}
