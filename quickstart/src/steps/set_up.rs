//! Data folder, Python, broker and topics.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use tidelog_client::Client;

use crate::Options;
use crate::broker::{Broker, quoted};
use crate::python::Python;
use crate::receipt::Receipt;
use crate::show::Show;
use crate::stage::{Home, Stage};

const PARTITIONS: &str = "4";
/// The shortest there is.
const LAKE_TARGET_LAG_MS: &str = "1000";

#[derive(Debug, Serialize)]
pub(crate) struct Made {
    data_dir: PathBuf,
    versions: BTreeMap<String, String>,
    /// Columns of the schema of both topics.
    pub(crate) columns: u64,
}

#[derive(Debug, Deserialize)]
struct Topics {
    columns: u64,
}

pub(crate) async fn run(
    options: &Options,
    tidelog: PathBuf,
    show: &Show,
    receipt: &mut Receipt,
) -> Result<(Stage, Made)> {
    let home = Home::make(&options.data_dir)?;
    receipt.keep_at(home.receipt());
    let python = Python::unpack(&options.python, &home)?;
    show.progress("looking for librdkafka, DuckDB and PyIceberg");
    let versions: BTreeMap<String, String> = python
        .run("versions.py", &[], |_| ())
        .await
        .with_context(|| missing(&python))?;
    let library = |name: &str| versions.get(name).map_or("?", String::as_str);
    show.line(&format!(
        "clients   librdkafka {}, DuckDB {}, PyIceberg {}, each in a process of its own",
        library("librdkafka"),
        library("duckdb"),
        library("pyiceberg")
    ));

    let broker = Broker::start(tidelog, &home).await?;
    let client = Client::connect(&broker.kafka).await?;
    let arguments = [&broker.kafka, PARTITIONS, LAKE_TARGET_LAG_MS];
    let topics: Topics = python.run("topics.py", &arguments, |_| ()).await?;
    show.line(&format!(
        "broker    kafka {}, catalog {}; topics orders ({PARTITIONS} partitions, {} columns) and \
         orders_by_id (keyed)",
        broker.kafka, broker.catalog, topics.columns
    ));
    let made = Made {
        data_dir: home.path().to_owned(),
        versions,
        columns: topics.columns,
    };
    let stage = Stage {
        home,
        broker,
        python,
        client,
        show: Show::new(),
    };
    Ok((stage, made))
}

fn missing(python: &Python) -> String {
    let interpreter = quoted(&python.interpreter);
    format!(
        "{interpreter} has not all it needs; make a virtual environment, install the packages with\n  \
         {interpreter} -m pip install -r {}\nand give its interpreter with --python",
        quoted(&python.program("requirements.txt"))
    )
}
