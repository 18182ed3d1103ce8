//! The way in.

use std::time::Duration;

use pyo3::prelude::*;

use crate::arguments::Settings;
use crate::pending::Pending;
use crate::table::Table;

/// A connected client.
#[pyclass(frozen, module = "tidelog._native")]
pub struct Client {
    client: tidelog_client::Client,
    retry_for: Duration,
}

/// A `Client`, when one of the addresses has answered.
#[pyfunction]
pub fn connect(bootstrap: String, settings: Settings) -> PyResult<Pending> {
    let config = settings.config()?;
    let retry_for = config.retry_for;
    Ok(Pending::new(async move {
        let client = tidelog_client::Client::connect_with(&bootstrap, config).await?;
        Ok(Client { client, retry_for })
    }))
}

#[pymethods]
impl Client {
    /// A `Table`; `value_schema` is for brokers that have no columns.
    fn table(&self, topic: String, value_schema: Option<String>) -> Pending {
        let (client, retry_for) = (self.client.clone(), self.retry_for);
        Pending::new(async move {
            let mut table = client.table(&topic).await?;
            if let Some(schema) = value_schema {
                table = table.decode_json(&schema)?;
            }
            Ok(Table::new(table, retry_for))
        })
    }
}
