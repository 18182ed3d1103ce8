//! APIs of our own: tables by column. `docs/protocol-ext.md` is what clients are promised.
//!
//! ```text
//!   columnar_fetch ─▶ columns, filter (which) ─▶ source (rows files, blocks in memory, or the log itself)
//!   columnar_produce ─▶ value_form (of what topic) ─▶ sent_rows (off the reactor) ─▶ data::write
//!   describe_table ─▶ formats, marks; alter_table ─▶ the cluster image, which formats follow
//!   lookup (with prefixes), scan (with scanned_page) ─▶ key_tables ─▶ rows_of_keys
//!   tier_status, union_read_offsets ─▶ the lake
//!   import_records ─▶ log
//! ```

pub mod alter_table;
pub mod columnar_fetch;
pub mod columnar_produce;
pub mod columns;
pub mod describe_table;
mod filter;
pub mod import_records;
pub mod key_tables;
pub mod lookup;
mod prefixes;
mod rows_of_keys;
pub mod scan;
mod scanned_page;
pub mod sent_rows;
mod source;
pub mod tier_status;
pub mod union_read_offsets;
mod value_form;
