//! librdkafka consumes all orders back: the same bytes at the same offsets.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::metrics::bytes_out;
use crate::show::{bytes, count, rate};
use crate::stage::{ORDERS, Stage};
use crate::steps::produce::Produced;
use crate::tally::Tally;

#[derive(Debug, Serialize)]
pub(crate) struct Consumed {
    #[serde(flatten)]
    told: Told,
    /// Bytes that the broker sent meanwhile.
    pub(crate) sent_bytes: u64,
}

/// What the consumer told.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    seconds: f64,
    tally: Tally,
}

pub(crate) async fn run(stage: &Stage, produced: &Produced) -> Result<Consumed> {
    let before = bytes_out(&stage.broker.admin).await?;
    let ends = json!(produced.tally.ends()).to_string();
    let arguments = [stage.broker.kafka.as_str(), ORDERS, &ends];
    let told: Told = stage
        .python
        .run("consume.py", &arguments, |done| {
            let of = count(produced.tally.records);
            stage
                .show
                .progress(&format!("consume   {} of {of}", count(done)));
        })
        .await?;
    let sent_bytes = bytes_out(&stage.broker.admin).await? - before;
    produced
        .tally
        .check_same(&told.tally)
        .context("consumed records differ from those acknowledged")?;
    stage.show.line(&format!(
        "consume   {} records byte-identical in {} partitions, {} sent in {:.1} s, {} (librdkafka in \
         Python, hashing)",
        count(told.tally.records),
        told.tally.partitions.len(),
        bytes(sent_bytes),
        told.seconds,
        rate(told.tally.records, told.seconds)
    ));
    Ok(Consumed { told, sent_bytes })
}
