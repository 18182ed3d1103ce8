//! APIs of the group coordinator: classic consumer groups and committed offsets.
//!
//! Each handler turns one request of any version into one domain command, asks
//! [`Groups`](crate::owners::groups::Groups) and shapes the answer. Version quirks end here.
//!
//! Strings and bytes of a request are slices of its frame. Names are copied on the way in; member
//! metadata and assignments are handed on as they are, and copied by the group that keeps them.

pub mod consumer_group_describe;
pub mod consumer_group_heartbeat;
pub mod delete_groups;
pub mod describe_groups;
pub mod find_coordinator;
pub mod heartbeat;
pub mod join_group;
pub mod leave_group;
pub mod list_groups;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod sync_group;

use tidelog_coordinator::group::MemberRef;
use tidelog_protocol_ext::{ErrorCode, StrBytes};

use crate::api::context::Context;
use crate::owners::groups::CoordinatorError;

/// Waits for an answer that may take minutes, but not beyond the end of the broker, which waits
/// for requests in hand. The member finds the coordinator again and asks once more.
async fn until_stop<T>(
    ctx: &Context,
    answer: impl Future<Output = Result<T, CoordinatorError>>,
) -> Result<T, CoordinatorError> {
    let mut stop = ctx.broker.shutdown_signal();
    tokio::select! {
        biased;
        answer = answer => answer,
        () = stop.stopping() => Err(CoordinatorError::Stopping),
    }
}

/// The member a request speaks for.
pub(super) fn member(
    member_id: &StrBytes,
    instance_id: Option<&StrBytes>,
    generation: i32,
) -> MemberRef {
    MemberRef {
        member_id: member_id.to_string(),
        instance_id: instance_id.map(ToString::to_string),
        generation,
    }
}

fn strings(texts: &[StrBytes]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

/// The code of an outcome that carries nothing else.
fn code(outcome: Result<(), impl Into<CoordinatorError>>) -> i16 {
    outcome.map_or_else(|error| refusal(error.into()), |()| ErrorCode::None.code())
}

/// The code of a refusal.
fn refusal(error: CoordinatorError) -> i16 {
    ErrorCode::from(error).code()
}

/// Collects `items`, already in the order of their topics, under one heading per run of a topic.
fn by_topic<T>(items: impl IntoIterator<Item = (String, T)>) -> Vec<(String, Vec<T>)> {
    let mut topics: Vec<(String, Vec<T>)> = Vec::new();
    for (topic, item) in items {
        match topics.last_mut() {
            Some((last, items)) if *last == topic => items.push(item),
            _ => topics.push((topic, vec![item])),
        }
    }
    topics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_collected_by_topic() {
        let items = [("a", 1), ("a", 2), ("b", 3), ("a", 4)];
        let topics = by_topic(items.map(|(topic, item)| (topic.to_owned(), item)));
        let expected = [("a", vec![1, 2]), ("b", vec![3]), ("a", vec![4])];
        assert_eq!(
            topics,
            expected.map(|(topic, items)| (topic.to_owned(), items))
        );
    }
}
