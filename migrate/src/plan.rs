//! What is copied: topics of the source, and their places on the target. While the command follows the source
//! it looks again, so that topics and partitions that are made there later are copied too.
//!
//! | the target's topic | what becomes of it |
//! |---|---|
//! | is not there | made, with `tidelog.import=true` and the source's configs |
//! | has `tidelog.import=true` | gone on with, if its last batches are the source's |
//! | has no records | given `tidelog.import=true` |
//! | has records, the last of them the source's | was cut over before; left alone |
//! | has others | refused |

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::{CreatePartitionsRequest, CreateTopicsRequest};
use tidelog_client::{BrokerError, Error};
use tidelog_protocol_ext::ErrorCode;

use crate::Both;
use crate::batches::Batch;
use crate::cluster::{Cluster, End, said, say, text, topic_name};
use crate::configs::{self, IMPORT};
use crate::part::{Found, Part};
use crate::verify::Verified;

const TIMEOUT_MS: i32 = 30_000;

/// A topic that is to be copied.
#[derive(Debug, Clone)]
pub struct Topic {
    pub name: String,
    pub partitions: i32,
    /// What is set for it on the source, or for all topics there.
    pub configs: BTreeMap<String, String>,
    pub is_compacted: bool,
}

/// Topics of the source that match, by name.
///
/// # Errors
/// The source cannot be asked.
pub async fn topics(both: &Both, patterns: &[String]) -> Result<Vec<Topic>> {
    let view = both.source.refresh().await?;
    let wanted = view.topics.iter().filter(|(name, topic)| {
        // Those of tools that keep their state so are named with their underscores.
        let is_internal = topic.is_internal || name.starts_with("__");
        let named = |pattern: &&String| pattern.starts_with("__") && !topic.is_internal;
        patterns
            .iter()
            .any(|pattern| matches(pattern, name) && (!is_internal || named(&pattern)))
    });
    let wanted: BTreeMap<_, _> = wanted.collect();
    let names: Vec<_> = wanted.keys().map(|name| name.as_str()).collect();
    let mut topics = Vec::new();
    for (name, configs) in configs::of_topics(&both.source, &names).await? {
        let policy = configs.get("cleanup.policy");
        topics.push(Topic {
            partitions: i32::try_from(wanted[&name].leaders.len())?,
            is_compacted: policy.is_some_and(|policy| policy.value.contains("compact")),
            configs: configs::set(&configs),
            name,
        });
    }
    Ok(topics)
}

/// Whether `name` is what `pattern` says, in which `*` is any text and `?` any character.
fn matches(pattern: &str, name: &str) -> bool {
    let mut rest = pattern.chars();
    match rest.next() {
        None => name.is_empty(),
        Some('*') => {
            let ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            let rest = rest.as_str();
            ends.into_iter().any(|at| matches(rest, &name[at..]))
        }
        Some(wanted) => {
            let mut chars = name.chars();
            let first = chars.next();
            first.is_some_and(|first| wanted == '?' || wanted == first)
                && matches(rest.as_str(), chars.as_str())
        }
    }
}

/// Makes the topic ready on the target; its partitions, or `None` if it was cut over before.
///
/// # Errors
/// It cannot be made, or holds what is not the source's.
pub async fn prepare(both: &Both, topic: &Topic) -> Result<Option<Vec<Part>>> {
    let existing = both.target.topic(&topic.name);
    if existing.is_none() {
        create(both, topic).await?;
    }
    both.target.refresh().await?;
    let Some(view) = both.target.topic(&topic.name) else {
        bail!("topic {}: made on the target, and not there", topic.name);
    };
    let count = i32::try_from(view.leaders.len())?;
    ensure!(
        count <= topic.partitions,
        "topic {}: {count} partitions on the target, {} on the source",
        topic.name,
        topic.partitions
    );
    if count < topic.partitions {
        grow(both, topic).await?;
        both.target.refresh().await?;
    }
    let mut parts: Vec<_> = (0..topic.partitions)
        .map(|index| Part {
            topic: topic.name.clone(),
            index,
            topic_id: view.id,
            is_compacted: topic.is_compacted,
            source: 0..0,
            target: 0..0,
            verified: Verified::default(),
        })
        .collect();
    list(&both.source, &mut parts, |part| &mut part.source).await?;
    list(&both.target, &mut parts, |part| &mut part.target).await?;
    let mut configs = configs::of_topics(&both.target, &[&topic.name]).await?;
    let configs = configs.remove(&topic.name).unwrap_or_default();
    let is_importing = configs::is_importing(both, &configs)?;
    let is_empty = parts.iter().all(Part::is_empty);
    for part in &parts {
        check_end(both, part, is_importing).await?;
    }
    if is_empty && !is_importing {
        configs::set_import(both, &[&topic.name], true).await?;
    }
    if !is_empty && !is_importing {
        return Ok(None);
    }
    if existing.is_some() {
        let own = configs.into_iter().filter(|(_, config)| config.is_own);
        let own = own.filter(|(name, _)| topic.configs.contains_key(name));
        let before = own.map(|(name, config)| (name, config.value)).collect();
        configs::bring(both, &topic.name, &before, &topic.configs).await?;
    }
    Ok(Some(parts))
}

/// The logs of all parts on one side.
///
/// # Errors
/// The side cannot be asked.
pub async fn list(
    side: &Cluster,
    parts: &mut [Part],
    range: impl Fn(&mut Part) -> &mut std::ops::Range<i64>,
) -> Result<()> {
    let keys: Vec<_> = parts.iter().map(Part::key).collect();
    // The end first: a log that is trimmed meanwhile must not seem to end before it starts.
    let ends = side.ends(&keys, End::High).await?;
    let starts = side.ends(&keys, End::Start).await?;
    for part in parts {
        let key = part.key();
        let (Some(&start), Some(&end)) = (starts.get(&key), ends.get(&key)) else {
            bail!(
                "{part}: the {} did not say where it begins and ends",
                side.name
            );
        };
        *range(part) = start..end.max(start);
    }
    Ok(())
}

/// Refuses a partition whose last batch is not the source's.
async fn check_end(both: &Both, part: &Part, is_importing: bool) -> Result<()> {
    if part.is_empty() {
        return Ok(());
    }
    let other = |why: String| -> Result<()> {
        let hint = match is_importing {
            true => "delete it there and begin again, or leave it out",
            false => "it is not being imported; leave it out with --topics",
        };
        bail!("{part}: the target's topic holds other records than the source's: {why}; {hint}")
    };
    // After a cut-over the target's goes on.
    let last = part.target.end.min(part.source.end) - 1;
    if is_importing && part.target.end > part.source.end {
        let (ours, theirs) = (part.target.end, part.source.end);
        return other(format!("it ends at {ours}, the source at {theirs}"));
    }
    if last < part.source.start.max(part.target.start) {
        return Ok(());
    }
    let (Found::Batches(ours), Found::Batches(theirs)) = (
        part.read(&both.target, last, 0).await?,
        part.read(&both.source, last, 0).await?,
    ) else {
        return Ok(());
    };
    let holds = |batch: &&Batch| batch.header.base_offset <= last;
    let (ours, theirs) = (ours.iter().find(holds), theirs.iter().find(holds));
    match (ours, theirs) {
        (Some(ours), Some(theirs)) if ours.is_same(theirs) => Ok(()),
        (Some(ours), _) if ours.is_filler() || part.is_compacted => Ok(()),
        _ => other(format!("the batches at offset {last} differ")),
    }
}

/// Makes the topic, without the configs that the target does not take.
async fn create(both: &Both, topic: &Topic) -> Result<()> {
    let mut configs = topic.configs.clone();
    let mut created = make(both, topic, &configs, false).await;
    if created.as_ref().is_err_and(configs::is_refused) {
        for (name, value) in &topic.configs {
            let alone = BTreeMap::from([(name.clone(), value.clone())]);
            if let Err(error) = make(both, topic, &alone, true).await {
                say(&format!(
                    "topic {}: {name}={value} is left out: {error}",
                    topic.name
                ));
                configs.remove(name);
            }
        }
        created = make(both, topic, &configs, false).await;
    }
    created?;
    Ok(())
}

async fn make(
    both: &Both,
    topic: &Topic,
    configs: &BTreeMap<String, String>,
    validate_only: bool,
) -> Result<(), Error> {
    let import = [(IMPORT, "true")];
    let set = configs
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let configs = set.chain(import).map(|(name, value)| {
        CreatableTopicConfig::default()
            .with_name(text(name))
            .with_value(Some(text(value)))
    });
    let creatable = CreatableTopic::default()
        .with_name(topic_name(&topic.name))
        .with_num_partitions(topic.partitions)
        .with_replication_factor(-1)
        .with_configs(configs.collect());
    let request = CreateTopicsRequest::default()
        .with_topics(vec![creatable])
        .with_timeout_ms(TIMEOUT_MS)
        .with_validate_only(validate_only);
    let attempt = async || {
        for made in both.target.any(&request).await?.topics {
            // The answer to an attempt before may have been lost.
            let exists = made.error_code == ErrorCode::TopicAlreadyExists.code();
            if !exists {
                BrokerError::check("CreateTopics", made.error_code, || {
                    said(&topic.name, made.error_message.as_deref())
                })?;
            }
        }
        Ok(())
    };
    both.target.patiently(attempt).await
}

async fn grow(both: &Both, topic: &Topic) -> Result<(), Error> {
    let grown = CreatePartitionsTopic::default()
        .with_name(topic_name(&topic.name))
        .with_count(topic.partitions)
        .with_assignments(None);
    let request = CreatePartitionsRequest::default()
        .with_topics(vec![grown])
        .with_timeout_ms(TIMEOUT_MS);
    let attempt = async || {
        for grown in both.target.any(&request).await?.results {
            BrokerError::check("CreatePartitions", grown.error_code, || {
                said(&topic.name, grown.error_message.as_deref())
            })?;
        }
        Ok(())
    };
    both.target.patiently(attempt).await
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("*", "orders", true),
            ("*", "", true),
            ("orders", "orders", true),
            ("orders", "orders2", false),
            ("orders-*", "orders-eu", true),
            ("*-eu", "orders-eu", true),
            ("*-eu", "orders-eu-1", false),
            ("o*s-?u", "orders-eu", true),
            ("?", "", false),
            ("ö*", "öl", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
