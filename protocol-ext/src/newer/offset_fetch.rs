//! The body of OffsetFetch v10: v9 with a topic's id in the place of its name.

use kafka_protocol::messages::OffsetFetchRequest;
use kafka_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use uuid::Uuid;

use crate::StrBytes;
use crate::ext::wire::message;

message! {
    /// See [`OffsetFetchRequest`].
    pub struct Body {
        pub groups: Vec<Group>,
        pub require_stable: bool,
    }

    /// A group, and who asks for it.
    pub struct Group {
        pub group_id: StrBytes,
        pub member_id: Option<StrBytes>,
        pub member_epoch: i32,
        pub topics: Option<Vec<Topic>>,
    }

    /// A topic by id.
    pub struct Topic {
        pub topic_id: Uuid,
        pub partition_indexes: Vec<i32>,
    }
}

impl From<Body> for OffsetFetchRequest {
    fn from(body: Body) -> Self {
        let topic = |topic: Topic| {
            OffsetFetchRequestTopics::default()
                .with_topic_id(topic.topic_id)
                .with_partition_indexes(topic.partition_indexes)
        };
        let group = |group: Group| {
            let topics = group.topics.map(|topics| topics.into_iter().map(topic));
            OffsetFetchRequestGroup::default()
                .with_group_id(group.group_id.into())
                .with_member_id(group.member_id)
                .with_member_epoch(group.member_epoch)
                .with_topics(topics.map(Iterator::collect))
        };
        OffsetFetchRequest::default()
            .with_groups(body.groups.into_iter().map(group).collect())
            .with_require_stable(body.require_stable)
    }
}

impl From<OffsetFetchRequest> for Body {
    fn from(request: OffsetFetchRequest) -> Self {
        let topic = |topic: OffsetFetchRequestTopics| Topic {
            topic_id: topic.topic_id,
            partition_indexes: topic.partition_indexes,
        };
        let group = |group: OffsetFetchRequestGroup| {
            let topics = group.topics.map(|topics| topics.into_iter().map(topic));
            Group {
                group_id: group.group_id.0,
                member_id: group.member_id,
                member_epoch: group.member_epoch,
                topics: topics.map(Iterator::collect),
            }
        };
        Body {
            groups: request.groups.into_iter().map(group).collect(),
            require_stable: request.require_stable,
        }
    }
}
