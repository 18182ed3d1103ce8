//! Reads and writes Tidelog tables by column, and knows only the wire (and, with the feature `lake`, the files
//! of Iceberg tables).
//!
//! ```no_run
//! # async fn read() -> tidelog_client::Result<()> {
//! use tidelog_client::{Client, Start};
//!
//! let client = Client::connect("localhost:9092").await?;
//! let orders = client.table("orders").await?;
//! let scan = orders.scan().columns(["customer_id", "address.city"]).filter("amount > 10");
//! let mut rows = scan.from(Start::Earliest).until_end().open().await?;
//! while let Some(rows) = rows.next().await? {
//!     println!("{}: {} rows", rows.partition, rows.batch.num_rows());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! ```text
//! Client ─► Table ─► Scan ─► RowStream ─► Rows { partition, offsets, Arrow batch }
//!   │         │                  ├ columnar: ColumnarFetch, columns as they were stored
//!   │         │                  └ plain:    Fetch, records decoded here (feature `decode`)
//!   │         ├─► Lookup ─► Found          rows by primary key
//!   │         ├─► Producer ─► Written      rows in, as columns
//!   │         ├─► PrefixLookup ─► FoundPrefixes   rows whose keys begin alike
//!   │         ├─► TableScan ─► TableRows   all rows of a keyed table at one offset, or totals of them
//!   │         ├─► UnionPlan ─► Scan        the log from where the lake ends
//!   │         └─► UnionRead ─► UnionStream   lake and log, each row once (feature `lake`)
//!   ├─► GroupReader ─► Event       several readers share partitions, and go on where the group stands
//!   └ Link ─► Connection                   one for each broker, made anew when lost
//! ```
//!
//! Promises:
//! - **Exact offsets.** Each committed row comes once and in the order of its partition;
//!   [`Rows::next_offset`] is where to go on, and everything below it has been answered for.
//! - **One schema.** All batches of a stream have the schema it was opened with, whatever schemas
//!   the rows were written under: cast where a column was widened, null where it did not exist.
//! - **One meaning of a filter.** Rows are told apart by the broker where it can, otherwise here, by
//!   the same code; which of them it was shows in the bytes that travel only.
//! - **Proven bytes.** Columns are compared with the checksums made when they were written, records
//!   with those of their batches. What does not match is an error and is not handed out.
//!   Parquet files of the lake have no such checksums; their row counts must be those recorded.
//! - **At least once in a group.** Several readers share partitions, and what one has read and not committed
//!   comes again to whoever has the partition next.
//! - **Bounded.** One answer for each broker is being decoded while another waits to be taken; sizes
//!   in answers are believed only as far as [`Config`] allows.
//!
//! The wire is described in `docs/protocol-ext.md`.

mod api;
mod client;
mod columnar;
mod columns;
mod committed;
mod config;
mod conform;
mod connection;
mod error;
mod fault;
mod filter;
mod group;
#[cfg(feature = "lake")]
mod lake;
#[cfg(feature = "lake")]
mod lake_schema;
#[cfg(feature = "lake")]
mod lease;
mod link;
mod lookup;
mod offsets;
#[cfg(feature = "decode")]
mod plain;
mod prefix_lookup;
mod prepare;
mod produce;
mod scan;
mod source;
mod stream;
mod table;
mod table_info;
mod table_scan;
mod union;
#[cfg(feature = "lake")]
mod union_read;

pub use client::Client;
pub use config::Config;
pub use error::{BrokerError, Error, Result};
pub use fault::RowsFault;
pub use filter::Filter;
pub use group::{Event, GroupOptions, GroupReader, GroupRows, TopicPartition};
pub use lookup::{Found, KeyRow, Lookup};
pub use prefix_lookup::{FoundPrefixes, PrefixLookup, PrefixRows};
pub use produce::{Producer, Written};
pub use scan::{Scan, Start};
pub use stream::{RowStream, Rows};
pub use table::Table;
pub use table_info::{IndexInfo, IndexState, LakeTable, PartitionInfo, TableInfo, TableSchema};
pub use table_scan::{KeyedRows, TableRows, TableScan};
pub use tidelog_arrow_messages::Compression;
pub use tidelog_predicate::{
    Comparison, Decimal, Function, Literal, ParseError, Pattern, Predicate, Total,
};
pub use tidelog_protocol_ext::ErrorCode;
pub use union::{Cut, Lease, UnionPlan};
#[cfg(feature = "lake")]
pub use union_read::{UnionCount, UnionRead, UnionStream};

/// One request at a time, for programs that need no tables: Kafka's requests and ours, each in the
/// newest version both sides know, and answers that were walked before they are believed.
pub mod wire {
    pub use crate::api::{Call, Ours};
    pub use crate::client::{Leader, TopicView, text};
    pub use crate::committed::{Batch, committed};
    pub use crate::error::said;
    pub use crate::link::Link;
}
