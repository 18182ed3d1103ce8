//! A topic as a table: what DescribeTable says of it, and what can be asked of it.

use std::sync::{Arc, PoisonError, RwLock};

use arrow_schema::SchemaRef;
use bytes::Bytes;
use uuid::Uuid;

use crate::client::Client;
use crate::columns::Columns;
use crate::config::Retry;
use crate::error::{BrokerError, Error, Result};
use crate::lookup::Lookup;
use crate::prefix_lookup::PrefixLookup;
use crate::produce::Producer;
use crate::scan::Scan;
use crate::table_info::{TableInfo, describe};
use crate::table_scan::TableScan;

/// A table that can be read. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Table {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    name: String,
    id: Uuid,
    access: Access,
}

/// How rows are had.
#[derive(Debug)]
enum Access {
    /// As columns; schemas may be added while the table is read.
    Columnar(RwLock<Arc<TableInfo>>),
    /// As records, decoded here.
    #[cfg(feature = "decode")]
    Plain(tidelog_typed::RowSchema),
}

impl Table {
    pub(crate) async fn open(client: Client, name: &str) -> Result<Self> {
        let view = client.topic(name).await?;
        let leader = view.leaders.values().flatten().next();
        let address = leader.map(|leader| leader.address.clone());
        let info = match &address {
            Some(address) => describe(&client, address, name).await?,
            None => None,
        };
        let (id, access) = match info {
            Some((id, info)) => (id, Access::Columnar(RwLock::new(Arc::new(info)))),
            #[cfg(feature = "decode")]
            None => (
                view.id,
                Access::Plain(tidelog_typed::RowSchema::key_value()),
            ),
            #[cfg(not(feature = "decode"))]
            None => {
                return Err(Error::Unsupported {
                    address: address.unwrap_or_default(),
                    api: "ColumnarFetch of this topic",
                });
            }
        };
        Ok(Self::new(client, name.to_owned(), id, access))
    }

    fn new(client: Client, name: String, id: Uuid, access: Access) -> Self {
        let shared = Shared {
            client,
            name,
            id,
            access,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// The name of the topic.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The id of the topic; nil where the broker gives topics none.
    pub fn topic_id(&self) -> Uuid {
        self.shared.id
    }

    /// Whether the broker answers columns. If not, records are fetched whole and decoded here: the
    /// same rows and offsets, more bytes.
    pub fn is_columnar(&self) -> bool {
        matches!(self.shared.access, Access::Columnar(_))
    }

    /// What the broker said of the table last; `None` if it has no columns to offer.
    pub fn info(&self) -> Option<Arc<TableInfo>> {
        match &self.shared.access {
            // A description is replaced whole.
            Access::Columnar(info) => Some(Arc::clone(
                &info.read().unwrap_or_else(PoisonError::into_inner),
            )),
            #[cfg(feature = "decode")]
            Access::Plain(_) => None,
        }
    }

    /// The Arrow schema of all columns, system columns first.
    pub fn schema(&self) -> SchemaRef {
        // There is always a first one.
        self.schemas().swap_remove(0)
    }

    /// Asks the broker again what the table is, and answers it.
    ///
    /// # Errors
    /// As [`Client::table`]; [`Error::Unsupported`] where [`info`](Self::info) is `None`.
    pub async fn refresh(&self) -> Result<Arc<TableInfo>> {
        let address = self.any_leader().await?;
        let described = describe(self.client(), &address, self.name()).await?;
        match described {
            Some((id, info)) if id == self.shared.id => {
                let info = Arc::new(info);
                match &self.shared.access {
                    Access::Columnar(kept) => {
                        let mut kept = kept.write().unwrap_or_else(PoisonError::into_inner);
                        *kept = Arc::clone(&info);
                        Ok(info)
                    }
                    #[cfg(feature = "decode")]
                    Access::Plain(_) => Err(self.unusable("it was opened without columns")),
                }
            }
            Some(_) => Err(self.unusable("the topic was deleted and made anew")),
            None => Err(unsupported(address)),
        }
    }

    /// Reads values as JSON objects under `schema` (the text of the topic setting
    /// `tidelog.table.schema`) where the broker offers no columns. Without it such a table has the
    /// value as one binary column, `value`. No effect where the broker does the decoding.
    ///
    /// Records that the schema does not allow are passed over, as in the broker's own rows.
    ///
    /// # Errors
    /// [`Error::Schema`] for a text that is no such schema.
    #[cfg(feature = "decode")]
    pub fn decode_json(self, schema: &str) -> Result<Self> {
        let values = tidelog_typed::TableSchema::parse(schema)
            .map_err(|error| self.unusable(error.to_string()))?;
        if self.is_columnar() {
            return Ok(self);
        }
        let access = Access::Plain(tidelog_typed::RowSchema::typed(values));
        let name = self.name().to_owned();
        Ok(Self::new(
            self.client().clone(),
            name,
            self.shared.id,
            access,
        ))
    }

    /// A read of rows in the order of their offsets.
    pub fn scan(&self) -> Scan {
        Scan::new(self.clone())
    }

    /// The latest rows of `keys`, each the bytes of a record key.
    pub fn lookup(&self, keys: impl IntoIterator<Item = impl Into<Bytes>>) -> Lookup {
        Lookup::new(self.clone(), keys.into_iter().map(Into::into).collect())
    }

    /// A writer of rows; it asks for nothing before it is given some.
    pub fn producer(&self) -> Producer {
        Producer::new(self.clone())
    }

    /// The latest rows of all keys whose bytes begin with one of `prefixes`.
    pub fn lookup_prefix(
        &self,
        prefixes: impl IntoIterator<Item = impl Into<Bytes>>,
    ) -> PrefixLookup {
        let prefixes = prefixes.into_iter().map(Into::into).collect();
        PrefixLookup::new(self.clone(), prefixes)
    }

    /// A read of all rows of a keyed table, each key's latest, as of one offset for each partition.
    pub fn scan_table(&self) -> TableScan {
        TableScan::new(self.clone())
    }

    pub(crate) fn client(&self) -> &Client {
        &self.shared.client
    }

    #[cfg(feature = "decode")]
    pub(crate) fn row_schema(&self) -> Option<&tidelog_typed::RowSchema> {
        match &self.shared.access {
            Access::Columnar(_) => None,
            Access::Plain(schema) => Some(schema),
        }
    }

    /// The schema in force, then the others from new to old. Never empty.
    pub(crate) fn schemas(&self) -> Vec<SchemaRef> {
        match &self.shared.access {
            Access::Columnar(info) => {
                let info = Arc::clone(&info.read().unwrap_or_else(PoisonError::into_inner));
                let (current, others): (Vec<_>, Vec<_>) = info
                    .schemas
                    .iter()
                    .rev()
                    .partition(|schema| schema.id == info.current_schema_id);
                let all = current.into_iter().chain(others);
                all.map(|schema| Arc::clone(&schema.arrow)).collect()
            }
            #[cfg(feature = "decode")]
            Access::Plain(schema) => vec![Arc::clone(schema.arrow())],
        }
    }

    /// A schema by id, asked for if it is new.
    pub(crate) async fn schema_by_id(&self, id: i32) -> Result<SchemaRef> {
        let find = |info: &TableInfo| {
            let schema = info.schemas.iter().find(|schema| schema.id == id)?;
            Some(Arc::clone(&schema.arrow))
        };
        if let Some(schema) = self.info().and_then(|info| find(&info)) {
            return Ok(schema);
        }
        let info = self.refresh().await?;
        find(&info).ok_or_else(|| self.unusable(format!("schema {id} is not among its schemas")))
    }

    pub(crate) fn columns(&self, names: Option<&[String]>) -> Result<Columns> {
        Columns::resolve(&self.schemas(), names).map_err(|column| Error::UnknownColumn {
            table: self.name().to_owned(),
            column,
        })
    }

    /// The address of a broker that leads some partition of it.
    pub(crate) async fn any_leader(&self) -> Result<String> {
        let mut retry = Retry::new();
        loop {
            let view = self.client().topic(self.name()).await?;
            if let Some(leader) = view.leaders.into_values().flatten().next() {
                return Ok(leader.address);
            }
            let error = BrokerError {
                api: "Metadata",
                code: tidelog_protocol_ext::ErrorCode::LeaderNotAvailable.code(),
                message: format!("topic {}", self.name()),
            };
            retry.wait(self.client().config(), error.into()).await?;
        }
    }

    pub(crate) fn unusable(&self, reason: impl Into<String>) -> Error {
        Error::Schema {
            table: self.name().to_owned(),
            reason: reason.into(),
        }
    }
}

fn unsupported(address: String) -> Error {
    Error::Unsupported {
        address,
        api: "DescribeTable of this topic",
    }
}
