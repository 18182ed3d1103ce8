//! A batch without records for clients: it says that nothing follows up to some offset.
//!
//! Kafka has such batches where compaction took all records, and clients differ in what they make of an
//! empty one: kafkajs steps through it offset by offset, librdkafka takes it for a batch that did not fit
//! and asks for more. What every client passes over, wherever it stands, is the marker of a committed
//! transaction: so this is one.

use bytes::Bytes;
use tidelog_records::BuildError;
use tidelog_records::control::{Outcome, TxnMarker};
use tidelog_storage::ids::Offset;

/// Of a marker that ends nobody's transaction.
const NOBODY: i64 = -1;
const NO_TIME: i64 = -1;

/// The batch at `offset`, the last one without a record.
///
/// # Errors
/// None in practice: the batch is of one small record.
pub fn filler(offset: Offset, leader_epoch: i32) -> Result<Bytes, BuildError> {
    let marker = TxnMarker {
        outcome: Outcome::Commit,
        coordinator_epoch: 0,
    };
    marker.to_batch(NOBODY, -1, offset, leader_epoch, NO_TIME)
}
