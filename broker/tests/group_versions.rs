//! Every version of every group API that is advertised is answered in that version: the answer
//! decodes to its last byte. What the answers say is told by the other stories.

mod support;

use kafka_protocol::messages::*;
use support::group::*;
use support::{Client, TestBroker};
use tidelog::api::APIS;
use tidelog_protocol_ext::newer;

/// Asks with an empty request, but for what `fill` sets in it, in all versions.
async fn ask_all<R>(client: &mut Client, fill: impl Fn(R) -> R)
where
    R: kafka_protocol::protocol::Request + Default,
{
    let api = APIS
        .iter()
        .find(|api| api.key == R::KEY)
        .expect("the API is listed");
    for version in api.min..=api.max {
        client.call(version, &fill(R::default())).await;
    }
}

#[tokio::test]
async fn every_version_is_answered() {
    let broker = TestBroker::start(QUICK).await;
    let client = &mut broker.client().await;
    ask_all(client, |request: newer::OffsetCommitRequest| request).await;
    ask_all(client, |request: newer::OffsetFetchRequest| request).await;
    ask_all(client, |request: FindCoordinatorRequest| request).await;
    ask_all(client, |request: JoinGroupRequest| request).await;
    ask_all(client, |request: HeartbeatRequest| request).await;
    ask_all(client, |request: LeaveGroupRequest| request).await;
    ask_all(client, |request: SyncGroupRequest| request).await;
    ask_all(client, |request: DescribeGroupsRequest| {
        request.with_groups(vec![group_id("g")])
    })
    .await;
    ask_all(client, |request: ListGroupsRequest| request).await;
    ask_all(client, |request: DeleteGroupsRequest| {
        request.with_groups_names(vec![group_id("g")])
    })
    .await;
    ask_all(client, |request: OffsetDeleteRequest| request).await;
}

#[tokio::test]
async fn a_coordinator_is_found_in_every_version() {
    let broker = TestBroker::start(&[]).await;
    let client = &mut broker.client().await;
    let port = i32::from(broker.address().port());
    for version in 0..=3 {
        let request = FindCoordinatorRequest::default().with_key(text("g"));
        let found = client.call(version, &request).await;
        assert_eq!(
            (found.error_code, found.node_id, found.port),
            (0, BrokerId(1), port)
        );
        assert_eq!(found.host.as_str(), "127.0.0.1");
    }
    for version in 4..=6 {
        let request =
            FindCoordinatorRequest::default().with_coordinator_keys(vec![text("g"), text("h")]);
        let found = client.call(version, &request).await.coordinators;
        let keys: Vec<_> = found.iter().map(|found| found.key.as_str()).collect();
        assert_eq!(keys, ["g", "h"]);
        assert!(
            found
                .iter()
                .all(|found| (found.error_code, found.port) == (0, port))
        );
    }
    // What has no coordinator gets a final answer that says so.
    for key_type in [2, 9] {
        let request = FindCoordinatorRequest::default()
            .with_key_type(key_type)
            .with_key(text("t"));
        let refused = client.call(3, &request).await;
        assert_eq!((refused.error_code, refused.node_id), (42, BrokerId(-1)));
        assert!(
            refused
                .error_message
                .is_some_and(|message| !message.is_empty())
        );
    }
}
