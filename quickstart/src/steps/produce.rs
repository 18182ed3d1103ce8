//! librdkafka produces the orders; what was acknowledged is what all later steps are judged by.

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use crate::Options;
use crate::show::{bytes, count, rate};
use crate::stage::{ORDERS, Stage};
use crate::tally::Tally;

/// What the producer told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Produced {
    pub(crate) seconds: f64,
    pub(crate) tally: Tally,
}

pub(crate) async fn run(stage: &Stage, options: &Options) -> Result<Produced> {
    let orders = options.orders.to_string();
    let arguments = ["placed", &stage.broker.kafka, ORDERS];
    let more = ["--seed", &options.seed, "--count", &orders];
    let produced: Produced = stage
        .python
        .run("produce.py", &[&arguments[..], &more].concat(), |done| {
            let of = count(options.orders);
            stage
                .show
                .progress(&format!("produce   {} of {of}", count(done)));
        })
        .await?;
    let tally = &produced.tally;
    ensure!(
        tally.records == options.orders,
        "{} of {} orders were acknowledged",
        tally.records,
        options.orders
    );
    stage.show.line(&format!(
        "produce   {} JSON orders acknowledged, {} in {:.1} s, {}",
        count(tally.records),
        bytes(tally.bytes),
        produced.seconds,
        rate(tally.records, produced.seconds)
    ));
    Ok(produced)
}
