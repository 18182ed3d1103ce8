//! The exact lines with which to go on by hand.

use serde::Serialize;

use crate::broker::quoted;
use crate::stage::{LAKE_NAMESPACE, ORDERS, Stage};

/// Commands for a shell, with the addresses and the folder of this run.
#[derive(Debug, Serialize)]
pub(crate) struct Lines {
    serve: String,
    kcat: String,
    duckdb: String,
    pyiceberg: String,
}

pub(crate) fn lines(stage: &Stage) -> Lines {
    let broker = &stage.broker;
    let python = quoted(&stage.python.interpreter);
    let url = broker.catalog_url();
    Lines {
        serve: format!(
            "{} serve --data-dir {} --listen {} --catalog {} --registry {} --admin {}",
            quoted(&broker.program),
            quoted(&stage.home.broker()),
            broker.kafka,
            broker.catalog,
            broker.registry,
            broker.admin
        ),
        kcat: format!("kcat -b {} -C -t {ORDERS} -o beginning -c 3", broker.kafka),
        duckdb: format!(
            "{python} {} {url} \"SELECT country, count(*) AS orders, sum(total) AS total \
             FROM lake.{LAKE_NAMESPACE}.{ORDERS} GROUP BY ALL ORDER BY ALL\"",
            quoted(&stage.python.program("sql.py"))
        ),
        pyiceberg: format!(
            "{python} -c \"from pyiceberg.catalog.rest import RestCatalog; \
             print(RestCatalog('lake', uri='{url}').load_table('{LAKE_NAMESPACE}.{ORDERS}')\
             .scan(limit=5).to_arrow().to_pylist())\""
        ),
    }
}

/// The lines for people.
pub(crate) fn text(stage: &Stage) -> String {
    let Lines {
        serve,
        kcat,
        duckdb,
        pyiceberg,
    } = lines(stage);
    format!(
        "data      {}\n\nTo go on, start the broker on this data again:\n  {serve}\n\
         and in another terminal\n  {kcat}\n  {duckdb}\n  {pyiceberg}\n",
        stage.home.path().display()
    )
}
