//! The requests sent here, ours and Kafka's, behind one trait.
//!
//! Kafka's answers are walked along their shape before the generated decoder sees them, because it
//! allocates by the counts it reads.

use bytes::Bytes;
use kafka_protocol::messages::{
    ApiVersionsRequest, FetchRequest, ListOffsetsRequest, MetadataRequest,
};
use kafka_protocol::protocol::{Decodable, Request, StrBytes};
use tidelog_protocol_ext::header::RequestHeader;
use tidelog_protocol_ext::shape::{
    Kind, Shape, Span, array, array_of, boolean, bytes, check, int16, int32, int64, string,
    structure, uuid,
};
use tidelog_protocol_ext::{WireError, ext, frame};

/// A request and how its answer is read.
pub trait Call: Send + Sync {
    const KEY: i16;
    const NAME: &'static str;
    /// Versions spoken here.
    const VERSIONS: Span;
    type Answer: Send;

    /// The whole frame as chunks.
    fn frame(
        &self,
        version: i16,
        correlation_id: i32,
        client_id: &str,
    ) -> Result<Vec<Bytes>, WireError>;

    /// The answer from the body of its frame.
    fn answer(version: i16, body: Bytes) -> Result<Self::Answer, WireError>;
}

/// One of the requests with keys of 16000 and up.
#[derive(Debug)]
pub struct Ours<R>(pub R);

impl<R> Call for Ours<R>
where
    R: ext::Request + Send + Sync,
    R::Response: Send,
{
    const KEY: i16 = R::KEY;
    const NAME: &'static str = R::NAME;
    const VERSIONS: Span = R::VERSIONS;
    type Answer = R::Response;

    fn frame(
        &self,
        version: i16,
        correlation_id: i32,
        client_id: &str,
    ) -> Result<Vec<Bytes>, WireError> {
        ext::encode_request(version, correlation_id, Some(client_id), &self.0)
    }

    fn answer(version: i16, body: Bytes) -> Result<R::Response, WireError> {
        ext::decode_response::<R>(version, body)
    }
}

macro_rules! kafka {
    ($($request:ty => $shape:ident;)*) => {$(
        impl Call for $request {
            const KEY: i16 = $shape.key;
            const NAME: &'static str = $shape.name;
            const VERSIONS: Span = $shape.versions;
            type Answer = <$request as Request>::Response;

            fn frame(
                &self,
                version: i16,
                correlation_id: i32,
                client_id: &str,
            ) -> Result<Vec<Bytes>, WireError> {
                let header = RequestHeader {
                    api_key: $shape.key,
                    api_version: version,
                    correlation_id,
                    client_id: Some(StrBytes::from_string(client_id.to_owned())),
                };
                Ok(vec![frame::request(&header, self)?])
            }

            fn answer(version: i16, mut body: Bytes) -> Result<Self::Answer, WireError> {
                check(&$shape, version, &body)?;
                Self::Answer::decode(&mut body, version).map_err(|error| WireError::Decode {
                    api: $shape.name,
                    version,
                    reason: error.to_string(),
                })
            }
        }
    )*};
}

mod admin;

kafka! {
    ApiVersionsRequest => API_VERSIONS;
    MetadataRequest => METADATA;
    ListOffsetsRequest => LIST_OFFSETS;
    FetchRequest => FETCH;
}

/// Version 0, which every broker answers and which lists all that is asked here.
const API_VERSIONS: Shape = Shape::new(18, "ApiVersions", 0, 0).fields(&[
    int16("error_code"),
    array(
        "api_keys",
        &[int16("api_key"), int16("min_version"), int16("max_version")],
    ),
]);

/// From 4 on a client may say that it does not want topics created.
const METADATA: Shape = Shape::new(3, "Metadata", 4, 12).flexible_from(9).fields(&[
    int32("throttle_time_ms"),
    array(
        "brokers",
        &[
            int32("node_id"),
            string("host"),
            int32("port"),
            string("rack").nullable(),
        ],
    ),
    string("cluster_id").nullable(),
    int32("controller_id"),
    array(
        "topics",
        &[
            int16("error_code"),
            string("name").nullable_since(12),
            uuid("topic_id").since(10),
            boolean("is_internal"),
            array(
                "partitions",
                &[
                    int16("error_code"),
                    int32("partition_index"),
                    int32("leader_id"),
                    int32("leader_epoch").since(7),
                    array_of("replica_nodes", &Kind::Int32),
                    array_of("isr_nodes", &Kind::Int32),
                    array_of("offline_replicas", &Kind::Int32).since(5),
                ],
            ),
            int32("topic_authorized_operations").since(8),
        ],
    ),
    int32("cluster_authorized_operations").since(8).until(10),
]);

/// From 2 on a client may ask for the last stable offset.
const LIST_OFFSETS: Shape = Shape::new(2, "ListOffsets", 2, 7)
    .flexible_from(6)
    .fields(&[
        int32("throttle_time_ms"),
        array(
            "topics",
            &[
                string("name"),
                array(
                    "partitions",
                    &[
                        int32("partition_index"),
                        int16("error_code"),
                        int64("timestamp"),
                        int64("offset"),
                        int32("leader_epoch").since(4),
                    ],
                ),
            ],
        ),
    ]);

/// Up to 12 topics go by name, which every broker of any age understands.
const FETCH: Shape = Shape::new(1, "Fetch", 4, 12).flexible_from(12).fields(&[
    int32("throttle_time_ms"),
    int16("error_code").since(7),
    int32("session_id").since(7),
    array(
        "responses",
        &[
            string("topic"),
            array(
                "partitions",
                &[
                    int32("partition_index"),
                    int16("error_code"),
                    int64("high_watermark"),
                    int64("last_stable_offset"),
                    int64("log_start_offset").since(5),
                    array(
                        "aborted_transactions",
                        &[int64("producer_id"), int64("first_offset")],
                    )
                    .nullable(),
                    int32("preferred_read_replica").since(11),
                    bytes("records").nullable(),
                    structure("diverging_epoch", &[int32("epoch"), int64("end_offset")])
                        .since(12)
                        .tagged(0),
                    structure(
                        "current_leader",
                        &[int32("leader_id"), int32("leader_epoch")],
                    )
                    .since(12)
                    .tagged(1),
                    structure("snapshot_id", &[int64("end_offset"), int32("epoch")])
                        .since(12)
                        .tagged(2),
                ],
            ),
        ],
    ),
]);
