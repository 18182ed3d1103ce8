//! Members come, share the work, and go: two members with a rebalance, static membership, and the
//! codes that tell members where they stand. Raw requests against a broker in this process.

mod support;

use kafka_protocol::messages::leave_group_request::MemberIdentity;
use kafka_protocol::messages::{
    DeleteGroupsRequest, DescribeGroupsRequest, LeaveGroupRequest, ListGroupsRequest,
    SyncGroupRequest,
};
use support::TestBroker;
use support::group::*;

const UNKNOWN_MEMBER_ID: i16 = 25;
const ILLEGAL_GENERATION: i16 = 22;
const REBALANCE_IN_PROGRESS: i16 = 27;
const FENCED_INSTANCE_ID: i16 = 82;

#[tokio::test]
async fn two_members_share_and_one_leaves() {
    let broker = TestBroker::start(QUICK).await;
    let mut a = Member::connect(&broker, "g").await;
    let joined = a.join().await;
    assert_eq!((joined.error_code, joined.generation_id), (0, 1));
    assert_eq!(joined.leader, joined.member_id);
    assert!(a.id.starts_with("test-"), "{}", a.id);
    assert_eq!(
        a.sync(&[(&a.id.clone(), "all")]).await.assignment,
        "all".as_bytes()
    );
    assert_eq!(a.heartbeat().await, 0);

    let mut b = Member::connect(&broker, "g").await;
    let (b, ()) = tokio::join!(
        async {
            assert_eq!(b.join().await.generation_id, 2);
            b
        },
        async {
            // The newcomer waits until the other member has heard of it and joined again.
            while a.heartbeat().await != REBALANCE_IN_PROGRESS {}
            let joined = a.join().await;
            assert_eq!((joined.error_code, joined.generation_id), (0, 2));
            assert_eq!(
                (joined.leader.to_string(), joined.members.len()),
                (a.id.clone(), 2)
            );
            assert_eq!(joined.members[0].metadata, subscription(&["events"]));
        }
    );
    let mut b = b;
    let (a_id, b_id) = (a.id.clone(), b.id.clone());
    let assignments = [(a_id.as_str(), "left"), (b_id.as_str(), "right")];
    let (to_a, to_b) = tokio::join!(a.sync(&assignments), b.sync(&[]));
    assert_eq!(to_a.assignment, "left".as_bytes());
    assert_eq!(to_b.assignment, "right".as_bytes());
    assert_eq!(to_b.protocol_name.as_deref(), Some("range"));

    assert_eq!(a.leave().await, (0, 0));
    assert_eq!(a.leave().await, (0, UNKNOWN_MEMBER_ID));
    assert_eq!(b.heartbeat().await, REBALANCE_IN_PROGRESS);
    let joined = b.join().await;
    assert_eq!((joined.generation_id, joined.members.len()), (3, 1));
}

#[tokio::test]
async fn a_restarted_static_member_takes_its_place_without_a_rebalance() {
    let broker = TestBroker::start(QUICK).await;
    let mut first = Member::connect(&broker, "g").await;
    first.instance_id = Some("one".to_owned());
    assert_eq!(first.join().await.generation_id, 1);
    first.sync(&[(&first.id.clone(), "all")]).await;

    let mut second = Member::connect(&broker, "g").await;
    second.instance_id = first.instance_id.clone();
    let joined = second.join().await;
    assert_eq!((joined.error_code, joined.generation_id), (0, 1));
    assert!(joined.skip_assignment, "the assignment stays");
    assert_ne!(first.id, second.id);
    assert_eq!(second.sync(&[]).await.assignment, "all".as_bytes());

    assert_eq!(first.heartbeat().await, FENCED_INSTANCE_ID);
    assert_eq!(
        first.commit("events", 0, 1).await,
        3,
        "the topic does not exist"
    );
    broker.make_topic("events").await;
    assert_eq!(first.commit("events", 0, 1).await, FENCED_INSTANCE_ID);
    assert_eq!(second.commit("events", 0, 1).await, 0);

    // An administrator removes it by its instance id alone.
    let member = MemberIdentity::default().with_group_instance_id(Some(text("one")));
    let removal = LeaveGroupRequest::default()
        .with_group_id(group_id("g"))
        .with_members(vec![member]);
    let left = second.client.call(5, &removal).await;
    assert_eq!((left.error_code, left.members[0].error_code), (0, 0));
    assert_eq!(second.heartbeat().await, UNKNOWN_MEMBER_ID);
}

#[tokio::test]
async fn members_learn_where_they_stand() {
    let broker = TestBroker::start(QUICK).await;
    broker.make_topic("events").await;
    let mut member = Member::connect(&broker, "g").await;
    assert_eq!(member.heartbeat().await, UNKNOWN_MEMBER_ID);
    assert_eq!(member.leave().await, (0, UNKNOWN_MEMBER_ID));

    for (timeout_ms, code) in [(5_999, 26), (1_800_001, 26)] {
        let request = member.join_request().with_session_timeout_ms(timeout_ms);
        assert_eq!(member.client.call(9, &request).await.error_code, code);
    }
    let nameless = member.join_request().with_group_id(group_id(""));
    assert_eq!(member.client.call(9, &nameless).await.error_code, 24);
    let stranger = member.join_request().with_member_id(text("nobody"));
    let refused = member.client.call(9, &stranger).await;
    assert_eq!(
        (refused.error_code, refused.generation_id),
        (UNKNOWN_MEMBER_ID, -1)
    );
    assert_eq!(refused.member_id.as_str(), "nobody");
    assert_eq!(refused.protocol_name, None);
    // Before version 7 the name of the protocol cannot be null.
    let refused = member.client.call(6, &stranger).await;
    assert_eq!(refused.protocol_name.as_deref(), Some(""));

    member.join().await;
    assert_eq!(member.commit("events", 0, 5).await, REBALANCE_IN_PROGRESS);
    member.sync(&[(&member.id.clone(), "all")]).await;
    let other = member.join_request().with_protocol_type(text("connect"));
    let other = other.with_member_id(text(""));
    assert_eq!(member.client.call(3, &other).await.error_code, 23);
    let unnamed = SyncGroupRequest::default()
        .with_group_id(group_id("g"))
        .with_generation_id(member.generation)
        .with_member_id(text(&member.id));
    assert_eq!(member.client.call(5, &unnamed).await.error_code, 23);
    assert_eq!(member.client.call(4, &unnamed).await.error_code, 0);
    member.generation += 1;
    assert_eq!(member.heartbeat().await, ILLEGAL_GENERATION);
    assert_eq!(member.commit("events", 0, 5).await, ILLEGAL_GENERATION);
    member.generation -= 1;
    assert_eq!(member.commit("events", 0, 5).await, 0);
}

#[tokio::test]
async fn a_member_of_the_first_version_joins_at_once() {
    let broker = TestBroker::start(QUICK).await;
    let mut member = Member::connect(&broker, "g").await;
    // No rebalance timeout, no second round for the member id.
    let request = member.join_request().with_rebalance_timeout_ms(-1);
    let joined = member.client.call(0, &request).await;
    assert_eq!((joined.error_code, joined.generation_id), (0, 1));
    let request = LeaveGroupRequest::default()
        .with_group_id(group_id("g"))
        .with_member_id(joined.member_id);
    assert_eq!(member.client.call(0, &request).await.error_code, 0);
    assert_eq!(
        member.client.call(2, &request).await.error_code,
        UNKNOWN_MEMBER_ID
    );
}

#[tokio::test]
async fn a_lost_connection_does_not_keep_a_join_waiting() {
    // A delay long enough for the connection to go while the join is parked.
    let broker = TestBroker::start(&["group.initial.rebalance.delay.ms=700"]).await;
    let mut lost = Member::connect(&broker, "g").await;
    let request = lost.join_request();
    lost.client.send(3, &request).await;
    drop(lost);
    let mut member = Member::connect(&broker, "g").await;
    let joined = member.join().await;
    assert_eq!(joined.error_code, 0);
    assert_eq!(joined.members.len(), 1, "only those still there take part");
}

#[tokio::test]
async fn groups_are_listed_described_and_deleted() {
    let broker = TestBroker::start(QUICK).await;
    broker.make_topic("events").await;
    let mut client = broker.client().await;
    let listed = client.call(5, &ListGroupsRequest::default()).await;
    assert_eq!((listed.error_code, listed.groups.len()), (0, 0));

    let mut member = Member::connect(&broker, "live").await;
    member.join().await;
    member.sync(&[(&member.id.clone(), "all")]).await;
    client
        .call(9, &commit_request("idle", "events", 0, 3))
        .await;

    let listed = client.call(5, &ListGroupsRequest::default()).await;
    let mut lines: Vec<_> = listed
        .groups
        .iter()
        .map(|g| {
            (
                g.group_id.as_str(),
                g.group_state.as_str(),
                g.protocol_type.as_str(),
            )
        })
        .collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [("idle", "Empty", ""), ("live", "Stable", "consumer")]
    );
    assert!(
        listed
            .groups
            .iter()
            .all(|g| g.group_type.as_str() == "classic")
    );
    let stable = ListGroupsRequest::default().with_states_filter(vec![text("stable")]);
    let listed = client.call(4, &stable).await;
    assert_eq!(listed.groups.len(), 1);
    let modern = ListGroupsRequest::default().with_types_filter(vec![text("consumer")]);
    assert_eq!(client.call(5, &modern).await.groups.len(), 0);

    let names = ["live", "idle", "none"].map(group_id).to_vec();
    let describe = DescribeGroupsRequest::default().with_groups(names.clone());
    let mut described = client.call(6, &describe).await.groups;
    described.sort_by_key(|group| group.group_id.to_string());
    let [idle, live, none] = described.as_slice() else {
        panic!("three answers")
    };
    assert_eq!((idle.error_code, idle.group_state.as_str()), (0, "Empty"));
    assert_eq!(
        (live.group_state.as_str(), live.protocol_data.as_str()),
        ("Stable", "range")
    );
    assert_eq!(live.authorized_operations, i32::MIN);
    let shown = &live.members[0];
    assert_eq!(
        (shown.client_id.as_str(), shown.client_host.as_str()),
        ("test", "/127.0.0.1")
    );
    assert_eq!(shown.member_assignment, "all".as_bytes());
    assert_eq!((none.error_code, none.group_state.as_str()), (69, "Dead"));
    assert!(none.error_message.is_some());
    let describe = describe.with_include_authorized_operations(true);
    let described = client.call(5, &describe).await.groups;
    let none = described
        .iter()
        .find(|g| g.group_id.as_str() == "none")
        .unwrap();
    assert_eq!((none.error_code, none.group_state.as_str()), (0, "Dead"));
    assert!(described.iter().all(|g| g.authorized_operations == 3400));

    let delete = DeleteGroupsRequest::default().with_groups_names([names.clone(), names].concat());
    let mut results = client.call(2, &delete).await.results;
    results.sort_by_key(|result| result.group_id.to_string());
    let codes: Vec<_> = results
        .iter()
        .map(|r| (r.group_id.as_str(), r.error_code))
        .collect();
    assert_eq!(codes, [("idle", 0), ("live", 68), ("none", 69)]);
    assert_eq!(fetch(&mut client, "idle", "events", 0).await.0, -1);
}
