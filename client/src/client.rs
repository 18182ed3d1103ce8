//! The way in: knows brokers and who leads what.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{MetadataRequest, MetadataResponse, TopicName};
use kafka_protocol::protocol::StrBytes;
use uuid::Uuid;

use crate::api::Call;
use crate::config::{Config, Retry};
use crate::error::{BrokerError, Error, Result};
use crate::group::{GroupOptions, GroupReader};
use crate::link::Link;
use crate::offsets;
use crate::scan::Scan;
use crate::table::Table;

/// A client of one cluster. Clones share its connections: one for each broker.
#[derive(Debug, Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Arc<Config>,
    bootstrap: Vec<String>,
    links: Mutex<HashMap<String, Arc<Link>>>,
}

/// A topic as its cluster sees it now.
#[derive(Debug, Clone)]
pub struct TopicView {
    /// Nil where the broker gives topics none.
    pub id: Uuid,
    /// By partition; `None` while a leader is being elected.
    pub leaders: BTreeMap<i32, Option<Leader>>,
}

/// Who leads a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leader {
    /// `host:port`.
    pub address: String,
    pub epoch: i32,
}

impl Client {
    /// Connects to the first of `bootstrap` (`host:port`, separated by commas) that answers.
    ///
    /// # Errors
    /// The last address's error if none does; each is tried once.
    pub async fn connect(bootstrap: &str) -> Result<Self> {
        Self::connect_with(bootstrap, Config::default()).await
    }

    /// As [`connect`](Self::connect), with other settings.
    pub async fn connect_with(bootstrap: &str, config: Config) -> Result<Self> {
        let addresses = bootstrap.split(',').map(str::trim);
        let shared = Shared {
            config: Arc::new(config),
            bootstrap: addresses
                .filter(|address| !address.is_empty())
                .map(str::to_owned)
                .collect(),
            links: Mutex::default(),
        };
        let client = Self {
            shared: Arc::new(shared),
        };
        client
            .call_any(&MetadataRequest::default().with_topics(Some(Vec::new())))
            .await?;
        Ok(client)
    }

    /// The table of a topic: its schemas and keys, ready to be read.
    ///
    /// # Errors
    /// [`Error::Broker`] with UNKNOWN_TOPIC_OR_PARTITION if there is none; [`Error::Unsupported`]
    /// if the broker has no columns to offer and this build cannot decode records itself.
    pub async fn table(&self, name: &str) -> Result<Table> {
        Table::open(self.clone(), name).await
    }

    /// Becomes a member of a consumer group that reads these tables: each by what its scan says of
    /// columns, filter and sizes, and where the group has committed nothing from where that starts.
    ///
    /// ```no_run
    /// # async fn read(client: tidelog_client::Client) -> tidelog_client::Result<()> {
    /// use tidelog_client::{Event, GroupOptions};
    ///
    /// let orders = client.table("orders").await?.scan().columns(["id", "city"]).filter("amount > 10");
    /// let payments = client.table("payments").await?.scan();
    /// let mut reader = client.subscribe("billing", [orders, payments], GroupOptions::default()).await?;
    /// loop {
    ///     match reader.next().await? {
    ///         Event::Rows(of) => println!("{} {}: {}", of.topic, of.rows.partition, of.rows.batch.num_rows()),
    ///         Event::Revoked(gone) | Event::Lost(gone) => println!("{} partitions less", gone.len()),
    ///         Event::Assigned(new) => println!("{} partitions more", new.len()),
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the broker does not know ConsumerGroupHeartbeat (Apache Kafka does
    /// from 4.0 on); [`Error::Subscription`] for scans with partitions, offsets or an end, and for a
    /// table that is there twice; [`Error::Group`] if the coordinator refuses.
    pub async fn subscribe(
        &self,
        group: &str,
        scans: impl IntoIterator<Item = Scan>,
        options: GroupOptions,
    ) -> Result<GroupReader> {
        GroupReader::join(self.clone(), group, scans, options).await
    }

    /// Where `partitions` of a topic stand at `timestamp`, in milliseconds since 1970, or -2 for
    /// their first offset and -1 for the end of what was committed. Later than all records is the
    /// end.
    ///
    /// # Errors
    /// [`Error::Broker`] for what the topic does not have.
    pub async fn offsets(
        &self,
        topic: &str,
        partitions: &[i32],
        timestamp: i64,
    ) -> Result<BTreeMap<i32, i64>> {
        offsets::at(self, topic, partitions, timestamp).await
    }

    pub(crate) fn config(&self) -> &Config {
        &self.shared.config
    }

    /// The connection to a broker, `host:port`, for one attempt at a request.
    pub fn link(&self, address: &str) -> Arc<Link> {
        let mut links = self.links();
        let new = || {
            Arc::new(Link::new(
                address.to_owned(),
                Arc::clone(&self.shared.config),
            ))
        };
        Arc::clone(links.entry(address.to_owned()).or_insert_with(new))
    }

    /// A connection to a broker beside the one that all share.
    pub(crate) fn own_link(&self, address: String) -> Arc<Link> {
        Arc::new(Link::new(address, Arc::clone(&self.shared.config)))
    }

    /// Looks a topic up, trying on while the failure is transient.
    ///
    /// # Errors
    /// [`Error::Broker`] with UNKNOWN_TOPIC_OR_PARTITION if there is none.
    pub async fn topic(&self, name: &str) -> Result<TopicView> {
        let topic = MetadataRequestTopic::default().with_name(Some(TopicName(text(name))));
        let request = MetadataRequest::default()
            .with_topics(Some(vec![topic]))
            .with_allow_auto_topic_creation(false);
        let mut retry = Retry::new();
        loop {
            match self
                .call_any(&request)
                .await
                .and_then(|answer| view(name, &answer))
            {
                Ok(view) => return Ok(view),
                Err(error @ Error::Broker(_)) if is_missing(&error) => return Err(error),
                Err(error) => retry.wait(self.config(), error).await?,
            }
        }
    }

    /// Sends a request to a broker that may wait for `wait`, trying on while the failure is
    /// transient: nothing for requests that must not be carried out twice.
    ///
    /// # Errors
    /// The last.
    pub async fn call<C: Call>(
        &self,
        address: &str,
        request: &C,
        wait: Duration,
    ) -> Result<C::Answer> {
        let mut retry = Retry::new();
        loop {
            match self.link(address).call(request, wait).await {
                Ok(answer) => return Ok(answer),
                Err(error) => retry.wait(self.config(), error).await?,
            }
        }
    }

    /// One attempt at each known broker until one answers.
    ///
    /// # Errors
    /// The last broker's.
    pub async fn call_any<C: Call>(&self, request: &C) -> Result<C::Answer> {
        let mut addresses = self.shared.bootstrap.clone();
        let known: Vec<_> = self.links().keys().cloned().collect();
        addresses.extend(
            known
                .into_iter()
                .filter(|one| !self.shared.bootstrap.contains(one)),
        );
        let mut last = Error::Connect {
            address: self.shared.bootstrap.join(","),
            reason: "no address".to_owned(),
        };
        for address in addresses {
            match self.link(&address).call(request, Duration::ZERO).await {
                Ok(answer) => return Ok(answer),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn links(&self) -> MutexGuard<'_, HashMap<String, Arc<Link>>> {
        // Nothing done under the lock leaves the map half changed.
        self.shared
            .links
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A text as messages hold it.
pub fn text(of: &str) -> StrBytes {
    StrBytes::from_string(of.to_owned())
}

/// A broker's address as the cluster tells it.
pub(crate) fn host_and_port(host: &str, port: i32) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

/// Kafka calls a missing topic retriable, since it may be on its way; a reader wants to know.
fn is_missing(error: &Error) -> bool {
    use tidelog_protocol_ext::ErrorCode::UnknownTopicOrPartition;
    error.error_code() == Some(UnknownTopicOrPartition)
}

fn view(name: &str, answer: &MetadataResponse) -> Result<TopicView> {
    let address = |node| {
        let broker = answer
            .brokers
            .iter()
            .find(|broker| broker.node_id == node)?;
        Some(host_and_port(&broker.host, broker.port))
    };
    let named = |topic: &&kafka_protocol::messages::metadata_response::MetadataResponseTopic| {
        topic.name.as_ref().is_some_and(|own| own.as_str() == name)
    };
    let topic = answer
        .topics
        .iter()
        .find(named)
        .ok_or_else(|| BrokerError {
            api: "Metadata",
            code: tidelog_protocol_ext::ErrorCode::UnknownServerError.code(),
            message: format!("topic {name}, which is not in the answer"),
        })?;
    BrokerError::check("Metadata", topic.error_code, || format!("topic {name}"))?;
    let leaders = topic.partitions.iter().map(|partition| {
        let leader = address(partition.leader_id).map(|address| Leader {
            address,
            epoch: partition.leader_epoch,
        });
        (partition.partition_index, leader)
    });
    Ok(TopicView {
        id: topic.topic_id,
        leaders: leaders.collect(),
    })
}
