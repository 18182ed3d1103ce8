//! The topic under load.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail, ensure};
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic};
use kafka_protocol::messages::{CreateTopicsRequest, ListOffsetsRequest, TopicName};
use kafka_protocol::protocol::StrBytes;
use tidelog_protocol_ext::ErrorCode;

use crate::connection::Connection;

const CREATE_TOPICS_VERSION: i16 = 7;
const LIST_OFFSETS_VERSION: i16 = 7;
const LEADERS_WAIT: Duration = Duration::from_secs(30);
const LATEST: i64 = -1;

pub fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

/// Creates the topic unless it is there and waits until all its partitions answer.
pub fn ensure(connection: &mut Connection, topic: &str, partitions: i32) -> Result<()> {
    ensure_with(connection, topic, partitions, Vec::new())
}

/// The same with configs, besides one that keeps everything.
pub fn ensure_with(
    connection: &mut Connection,
    topic: &str,
    partitions: i32,
    mut configs: Vec<(String, String)>,
) -> Result<()> {
    configs.push(("retention.ms".into(), "-1".into()));
    let configs = configs.into_iter().map(|(name, value)| {
        CreatableTopicConfig::default()
            .with_name(StrBytes::from_string(name))
            .with_value(Some(StrBytes::from_string(value)))
    });
    let wanted = CreatableTopic::default()
        .with_name(name(topic))
        .with_num_partitions(partitions)
        .with_replication_factor(1)
        .with_configs(configs.collect());
    let request = CreateTopicsRequest::default()
        .with_topics(vec![wanted])
        .with_timeout_ms(30_000);
    let answer = connection.call(CREATE_TOPICS_VERSION, &request)?;
    let made = answer.topics.into_iter().next().unwrap_or_default();
    let (code, said) = (made.error_code, made.error_message.unwrap_or_default());
    let exists = ErrorCode::TopicAlreadyExists.code();
    ensure!(
        code == 0 || code == exists,
        "creating {topic}: error code {code}: {said}"
    );

    let all: Vec<_> = (0..partitions).collect();
    let deadline = Instant::now() + LEADERS_WAIT;
    while try_ends(connection, topic, &all)?.is_err() {
        if Instant::now() > deadline {
            bail!("{topic} has no {partitions} partitions with leaders after {LEADERS_WAIT:?}");
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// The end offset of each of the partitions.
pub fn ends(connection: &mut Connection, topic: &str, partitions: &[i32]) -> Result<Vec<i64>> {
    try_ends(connection, topic, partitions)?
        .map_err(|code| anyhow!("ends of {topic}: error code {code}"))
}

pub fn is_retriable(code: i16) -> bool {
    ErrorCode::from_code(code).is_some_and(ErrorCode::is_retriable)
}

/// The ends, or the error code of a partition that is not ready yet.
fn try_ends(
    connection: &mut Connection,
    topic: &str,
    partitions: &[i32],
) -> Result<Result<Vec<i64>, i16>> {
    let asked = partitions
        .iter()
        .map(|&index| {
            ListOffsetsPartition::default()
                .with_partition_index(index)
                .with_timestamp(LATEST)
        })
        .collect();
    let topics = vec![
        ListOffsetsTopic::default()
            .with_name(name(topic))
            .with_partitions(asked),
    ];
    let request = ListOffsetsRequest::default()
        .with_replica_id((-1).into())
        .with_topics(topics);
    let answer = connection.call(LIST_OFFSETS_VERSION, &request)?;
    let mut ends = vec![0; partitions.len()];
    for found in answer.topics.into_iter().flat_map(|topic| topic.partitions) {
        match found.error_code {
            0 => {}
            code if is_retriable(code) => return Ok(Err(code)),
            code => bail!(
                "end of partition {}: error code {code}",
                found.partition_index
            ),
        }
        if let Some(at) = partitions
            .iter()
            .position(|&index| index == found.partition_index)
        {
            ends[at] = found.offset;
        }
    }
    Ok(Ok(ends))
}
