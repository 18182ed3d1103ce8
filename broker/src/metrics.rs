//! What the broker counts, served on `/metrics` in the OpenMetrics text format.
//!
//! One table gives each metric its field, type, name and help. Per-API metrics are made once for
//! every row of the list of APIs, so counting a request looks nothing up.

use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::api::{self, APIS};

/// Label of the per-API metrics.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ApiLabel {
    /// Kafka's name of the API.
    pub api: &'static str,
}

/// Makes histograms of seconds from 0.1 ms to 13 s.
#[derive(Debug, Clone, Copy)]
pub struct Seconds;

impl MetricConstructor<Histogram> for Seconds {
    fn new_metric(&self) -> Histogram {
        Histogram::new((0..18).map(|power| 0.0001 * f64::from(1 << power)))
    }
}

type Latency = Family<ApiLabel, Histogram, Seconds>;

macro_rules! metrics {
    ($($field:ident: $type:ty = $make:expr, $name:literal, $help:literal;)+) => {
        /// Every metric of the broker.
        #[derive(Debug)]
        pub struct Metrics {
            $(#[doc = $help] pub $field: $type,)+
            /// Counter and histogram of each row of [`APIS`].
            per_api: Vec<(Counter, Histogram)>,
            registry: Mutex<Registry>,
        }

        impl Default for Metrics {
            fn default() -> Self {
                let mut registry = Registry::with_prefix("tidelog");
                $(
                    let $field: $type = $make;
                    registry.register($name, $help, $field.clone());
                )+
                let per_api = Vec::new();
                let mut metrics = Self { $($field,)+ per_api, registry: Mutex::new(registry) };
                metrics.per_api = per_api_of(&metrics.requests, &metrics.request_seconds);
                metrics
            }
        }
    };
}

metrics! {
    requests: Family<ApiLabel, Counter> = Family::default(),
        "requests", "Requests whose reply was made";
    request_seconds: Latency = Family::new_with_constructor(Seconds),
        "request_seconds", "Time from a request's arrival until its reply was made";
    connections: Gauge = Gauge::default(),
        "connections", "Open connections of Kafka clients";
    bytes_in: Counter = Counter::default(),
        "bytes_in", "Bytes of requests read";
    bytes_out: Counter = Counter::default(),
        "bytes_out", "Bytes of replies written";
    memory_used_bytes: Gauge = Gauge::default(),
        "memory_used_bytes", "Bytes taken from the memory budget";
    memory_budget_bytes: Gauge = Gauge::default(),
        "memory_budget_bytes", "The memory budget";
    rows_built: Counter = Counter::default(),
        "rows_built", "Rows made of records of tables";
    records_undecodable: Counter = Counter::default(),
        "records_undecodable", "Records of tables that are no rows; Kafka clients read them as ever";
    rows_files: Counter = Counter::default(),
        "rows_files", "Rows files written";
    rows_held_bytes: Gauge = Gauge::default(),
        "rows_held_bytes", "Bytes of rows in memory, not in a file yet";
    rows_lag_records: Gauge = Gauge::default(),
        "rows_lag_records", "Records of all tables that are no rows yet";
    rows_lag_ms: Gauge = Gauge::default(),
        "rows_lag_ms", "Most milliseconds that the rows of a partition are behind its records";
    filter_blocks_read: Counter = Counter::default(),
        "filter_blocks_read", "Blocks of rows decoded to test rows by a reader's filter";
    filter_blocks_skipped: Counter = Counter::default(),
        "filter_blocks_skipped", "Blocks of which statistics told whether a filter wants none or all";
    filter_rows_tested: Counter = Counter::default(),
        "filter_rows_tested", "Rows tested by a reader's filter";
    filter_rows_matched: Counter = Counter::default(),
        "filter_rows_matched", "Rows that a reader's filter wanted";
    lake_commits: Counter = Counter::default(),
        "lake_commits", "Commits of rows to lake tables";
    lake_rows: Counter = Counter::default(),
        "lake_rows", "Rows committed to lake tables";
    lake_bytes: Counter = Counter::default(),
        "lake_bytes", "Bytes of the data files of those commits";
    lake_undecodable: Counter = Counter::default(),
        "lake_undecodable", "Records that stay out of lake tables because they do not decode";
    lake_dead_letters: Counter = Counter::default(),
        "lake_dead_letters", "Records committed to dead-letter tables";
    lake_dead_letters_retried: Counter = Counter::default(),
        "lake_dead_letters_retried", "Dead letters that became rows when they were tried again";
    lake_lost_offsets: Counter = Counter::default(),
        "lake_lost_offsets", "Offsets that went from the log before they came to the lake";
}

fn per_api_of(
    requests: &Family<ApiLabel, Counter>,
    seconds: &Latency,
) -> Vec<(Counter, Histogram)> {
    let labels = APIS.iter().map(|api| ApiLabel { api: api.name });
    labels
        .map(|label| {
            (
                requests.get_or_create(&label).clone(),
                seconds.get_or_create(&label).clone(),
            )
        })
        .collect()
}

/// The counters of the lake, for its tasks to keep.
#[derive(Debug, Clone)]
pub struct LakeMetrics {
    pub commits: Counter,
    pub rows: Counter,
    pub bytes: Counter,
    pub undecodable: Counter,
    pub dead_letters: Counter,
    pub dead_letters_retried: Counter,
    pub lost_offsets: Counter,
}

impl Metrics {
    /// Counts of the lake; what is counted there shows here.
    pub fn lake(&self) -> LakeMetrics {
        LakeMetrics {
            commits: self.lake_commits.clone(),
            rows: self.lake_rows.clone(),
            bytes: self.lake_bytes.clone(),
            undecodable: self.lake_undecodable.clone(),
            dead_letters: self.lake_dead_letters.clone(),
            dead_letters_retried: self.lake_dead_letters_retried.clone(),
            lost_offsets: self.lake_lost_offsets.clone(),
        }
    }

    /// Counts one reply of the API with this key, made `elapsed` after its request arrived.
    pub fn answered(&self, key: i16, elapsed: Duration) {
        if let Some((count, seconds)) =
            api::position(APIS, key).and_then(|row| self.per_api.get(row))
        {
            count.inc();
            seconds.observe(elapsed.as_secs_f64());
        }
    }

    /// The text of every metric.
    ///
    /// # Errors
    /// Only if a metric cannot write itself as text.
    pub fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry.lock())?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_api_has_its_counters_from_the_start() {
        let metrics = Metrics::default();
        metrics.answered(18, Duration::from_millis(3));
        let text = metrics.encode().unwrap();
        assert!(
            text.contains("tidelog_requests_total{api=\"ApiVersions\"} 1"),
            "{text}"
        );
        assert!(
            text.contains("tidelog_request_seconds_count{api=\"ApiVersions\"} 1"),
            "{text}"
        );
        assert!(text.contains("tidelog_connections 0"), "{text}");
        for api in APIS {
            assert!(text.contains(&format!("{{api=\"{}\"}}", api.name)));
        }
    }
}
