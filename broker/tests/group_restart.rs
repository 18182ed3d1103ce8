//! The broker restarts under a working group: members go on in the same generation, as if nothing
//! had happened, and offsets are where they were. Raw requests; the same directory for both lives.

mod support;

use std::time::{Duration, Instant};

use kafka_protocol::messages::{DescribeGroupsRequest, JoinGroupRequest};
use support::TestBroker;
use support::group::*;

#[tokio::test]
async fn a_stable_group_outlives_the_broker() {
    let broker = TestBroker::start(QUICK).await;
    broker.make_topic("events").await;
    let mut member = Member::connect(&broker, "g").await;
    member.join().await;
    member.sync(&[(&member.id.clone(), "all")]).await;
    assert_eq!(member.commit("events", 0, 41).await, 0);
    assert_eq!(member.commit("events", 0, 42).await, 0);

    let broker = broker.restart().await;
    member.reconnect(&broker).await;
    assert_eq!(member.heartbeat().await, 0, "no rebalance");
    assert_eq!(member.sync(&[]).await.assignment, "all".as_bytes());
    let found = fetch(&mut member.client, "g", "events", 0).await;
    assert_eq!(found, (42, "note".to_owned()));
    assert_eq!(member.commit("events", 0, 43).await, 0);

    let broker = broker.restart().await;
    member.reconnect(&broker).await;
    assert_eq!(fetch(&mut member.client, "g", "events", 0).await.0, 43);
    assert_eq!(member.leave().await, (0, 0));
    member.id.clear();
    assert_eq!(
        member.join().await.generation_id,
        3,
        "empty was a generation too"
    );
}

#[tokio::test]
async fn a_generation_without_assignment_is_lost() {
    let broker = TestBroker::start(QUICK).await;
    let mut member = Member::connect(&broker, "g").await;
    member.join().await;
    let broker = broker.restart().await;
    member.reconnect(&broker).await;
    assert_eq!(member.heartbeat().await, 25, "join again");
    member.id.clear();
    assert_eq!(member.join().await.error_code, 0);
}

#[tokio::test]
async fn groups_time_out_without_being_asked_for() {
    let set = ["group.min.session.timeout.ms=1"];
    let broker = TestBroker::start(&[QUICK, &set].concat()).await;
    let mut member = Member::connect(&broker, "g").await;
    let request = member.join_request().with_session_timeout_ms(300);
    let joined = member.client.call(0, &request).await;
    member.id = joined.member_id.to_string();
    member.generation = joined.generation_id;
    member.sync(&[]).await;

    let broker = broker.restart().await;
    let mut client = broker.client().await;
    let describe = DescribeGroupsRequest::default().with_groups(vec![group_id("g")]);
    let described = client.call(5, &describe).await;
    assert_eq!(described.groups[0].group_state.as_str(), "Stable");
    let since = Instant::now();
    while client.call(5, &describe).await.groups[0]
        .group_state
        .as_str()
        != "Empty"
    {
        assert!(
            since.elapsed() < support::PATIENCE,
            "the session never ends"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_parked_member_does_not_hold_up_the_stop() {
    let broker = TestBroker::start(&["group.initial.rebalance.delay.ms=60000"]).await;
    let mut member = Member::connect(&broker, "g").await;
    let request = member.join_request();
    member.client.send(3, &request).await;
    // The join is on its way; whether it is parked yet makes no difference to the promise.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let since = Instant::now();
    let (_, refused) = tokio::join!(
        broker.restart(),
        member.client.receive::<JoinGroupRequest>(3)
    );
    assert_eq!(refused.error_code, 15, "find the coordinator again");
    assert!(
        since.elapsed() < Duration::from_secs(5),
        "{:?}",
        since.elapsed()
    );
}
