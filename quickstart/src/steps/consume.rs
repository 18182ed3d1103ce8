//! librdkafka consumes all orders back: the same bytes at the same offsets.

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::show::{bytes, count, rate};
use crate::stage::{ORDERS, Stage};
use crate::steps::produce::Produced;
use crate::tally::Tally;

/// What the consumer consumed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Consumed {
    seconds: f64,
    tally: Tally,
}

pub(crate) async fn run(stage: &Stage, produced: &Produced) -> Result<Consumed> {
    let ends = json!(produced.tally.ends()).to_string();
    let arguments = [stage.broker.kafka.as_str(), ORDERS, &ends];
    let consumed: Consumed = stage
        .python
        .run("consume.py", &arguments, |done| {
            let of = count(produced.tally.records);
            stage
                .show
                .progress(&format!("consume   {} of {of}", count(done)));
        })
        .await?;
    produced
        .tally
        .check_same(&consumed.tally)
        .context("consumed records differ from those acknowledged")?;
    stage.show.line(&format!(
        "consume   {} records byte-identical in {} partitions, {} in {:.1} s, {}",
        count(consumed.tally.records),
        consumed.tally.partitions.len(),
        bytes(consumed.tally.bytes),
        consumed.seconds,
        rate(consumed.tally.records, consumed.seconds)
    ));
    Ok(consumed)
}
