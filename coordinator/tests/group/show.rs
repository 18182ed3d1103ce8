//! How scripts write what the machine writes and answers.

use bytes::Bytes;
use tidelog_coordinator::group::{
    DescribedMember, FetchedOffset, GroupError, GroupRecord, GroupReply, Joined, ListedGroup,
    MemberMetadata, PartitionOutcome, Synced, TxnGuard, TxnOffset, TxnOffsetsError,
};
use tidelog_coordinator::producer::Producer;
use uuid::Uuid;

/// A generated member id as scripts write it.
fn short(member_id: &str) -> String {
    let split = member_id.len().checked_sub(37);
    let made = split.and_then(|at| Uuid::parse_str(member_id.get(at + 1..)?).ok());
    match (split, made) {
        (Some(at), Some(made)) => format!("{}.{}", &member_id[..at], made.as_u128()),
        _ => member_id.to_owned(),
    }
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn producer(producer: Producer) -> String {
    format!("{}:{}", producer.id, producer.epoch)
}

/// A record, as a script expects it.
pub fn record(written: &GroupRecord) -> String {
    match written {
        GroupRecord::Offset {
            topic,
            partition,
            value: Some(value),
            ..
        } => {
            format!("write {topic}/{partition}={}", value.offset)
        }
        GroupRecord::Offset {
            topic,
            partition,
            value: None,
            ..
        } => {
            format!("write {topic}/{partition} gone")
        }
        GroupRecord::TxnOffset(offset) => {
            let producer = producer(offset.producer);
            let TxnOffset {
                topic,
                partition,
                value,
                ..
            } = offset;
            format!("write {topic}/{partition}={} by {producer}", value.offset)
        }
        GroupRecord::TxnEnd(end) => {
            let outcome = format!("{:?}", end.outcome).to_lowercase();
            format!("write {outcome} of {}", producer(end.producer))
        }
        GroupRecord::Group { group, value: None } => format!("write {group} gone"),
        GroupRecord::Group {
            group,
            value: Some(value),
        } if value.members.is_empty() => {
            format!("write {group} gen={} empty", value.generation)
        }
        GroupRecord::Group {
            group,
            value: Some(value),
        } => {
            let member = |member: &MemberMetadata| {
                format!("{}={}", short(&member.member_id), text(&member.assignment))
            };
            let members: Vec<_> = value.members.iter().map(member).collect();
            let leader = short(value.leader.as_deref().unwrap_or("nobody"));
            format!(
                "write {group} gen={} leader={leader} [{}]",
                value.generation,
                members.join(" ")
            )
        }
        other => format!("{other:?}"),
    }
}

/// An answer, as a script expects it.
pub fn reply(answer: &GroupReply) -> String {
    match answer {
        GroupReply::Join(result) => or_error(result, joined),
        GroupReply::Sync(result) => or_error(
            result,
            |Synced {
                 protocol,
                 assignment,
                 ..
             }| {
                let protocol = protocol.as_deref().unwrap_or("none");
                format!("synced {protocol} {}", text(assignment))
                    .trim_end()
                    .to_owned()
            },
        ),
        GroupReply::Heartbeat(result) => or_error(result, |()| "ok".to_owned()),
        GroupReply::Leave(result) => or_error(result, |left| {
            let left = left
                .iter()
                .map(|left| or_error(&left.result, |()| "left".to_owned()));
            left.collect::<Vec<_>>().join(" ")
        }),
        GroupReply::CommitOffsets(result) | GroupReply::DeleteOffsets(result) => {
            or_error(result, |outcomes| partition_outcomes(outcomes))
        }
        GroupReply::BeginTxnOffsets(TxnGuard::Open) => "open".to_owned(),
        GroupReply::BeginTxnOffsets(TxnGuard::Confirm(_)) => "to confirm".to_owned(),
        GroupReply::CommitTxnOffsets(Ok(outcomes)) => partition_outcomes(outcomes),
        GroupReply::EndTransaction(Ok(())) => "ended".to_owned(),
        GroupReply::CommitTxnOffsets(Err(error)) | GroupReply::EndTransaction(Err(error)) => {
            match error {
                TxnOffsetsError::Group(error) => {
                    or_error::<()>(&Err(error.clone()), |()| unreachable!("an error"))
                }
                other => format!("{other:?}"),
            }
        }
        GroupReply::FetchOffsets(offsets) => {
            let offset = |fetched: &FetchedOffset| {
                let committed = fetched.committed.as_ref();
                let offset = committed.map_or("none".to_owned(), |committed| {
                    let metadata = match committed.metadata.as_str() {
                        "" => String::new(),
                        metadata => format!("~{metadata}"),
                    };
                    let epoch = match committed.leader_epoch {
                        -1 => String::new(),
                        epoch => format!("@{epoch}"),
                    };
                    format!("{}{epoch}{metadata}", committed.offset)
                });
                let unstable = if fetched.unstable { "?" } else { "" };
                format!("{}/{}={offset}{unstable}", fetched.topic, fetched.partition)
            };
            let offsets: Vec<_> = offsets.iter().map(offset).collect();
            if offsets.is_empty() {
                "no offsets".to_owned()
            } else {
                offsets.join(" ")
            }
        }
        GroupReply::Describe(groups) => {
            let group = &groups[0];
            let member = |member: &DescribedMember| {
                let metadata = if member.metadata.is_empty() { "" } else { "+" };
                format!(
                    "{}{metadata}={}",
                    short(&member.member_id),
                    text(&member.assignment)
                )
            };
            let members: Vec<_> = group.members.iter().map(member).collect();
            let (protocol_type, protocol) = (&group.protocol_type, &group.protocol);
            format!(
                "{} {protocol_type}:{protocol} [{}]",
                group.state.name(),
                members.join(" ")
            )
        }
        GroupReply::List(groups) => {
            let group = |group: &ListedGroup| {
                format!(
                    "{}:{}:{}",
                    group.group,
                    group.protocol_type,
                    group.state.name()
                )
            };
            let groups: Vec<_> = groups.iter().map(group).collect();
            if groups.is_empty() {
                "no groups".to_owned()
            } else {
                groups.join(" ")
            }
        }
        GroupReply::DeleteGroups(results) => or_error(&results[0].1, |()| "deleted".to_owned()),
        GroupReply::TopicDeleted => "ok".to_owned(),
        other => format!("{other:?}"),
    }
}

fn partition_outcomes(outcomes: &[PartitionOutcome]) -> String {
    let outcome = |outcome: &PartitionOutcome| {
        let result = or_error(&outcome.result, |()| "ok".to_owned());
        format!("{}/{} {result}", outcome.topic, outcome.partition)
    };
    outcomes.iter().map(outcome).collect::<Vec<_>>().join(" ")
}

fn joined(joined: &Joined) -> String {
    let members: Vec<_> = joined
        .members
        .iter()
        .map(|member| short(&member.member_id))
        .collect();
    let members = if members.is_empty() {
        String::new()
    } else {
        format!(" [{}]", members.join(" "))
    };
    let skip = if joined.skip_assignment { " skip" } else { "" };
    format!(
        "{} gen={} {} leader={}{members}{skip}",
        short(&joined.member_id),
        joined.generation,
        joined.protocol.as_deref().unwrap_or("none"),
        short(&joined.leader)
    )
}

fn or_error<T>(result: &Result<T, GroupError>, show: impl FnOnce(&T) -> String) -> String {
    match result {
        Ok(value) => show(value),
        Err(GroupError::MemberIdRequired { member_id }) => format!("use {}", short(member_id)),
        Err(error) => {
            let name = format!("{error:?}");
            name.split(' ').next().unwrap_or_default().to_owned()
        }
    }
}
