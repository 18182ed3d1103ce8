//! `tidelog table`.

use std::sync::Arc;

use anyhow::{Result, bail};
use arrow_schema::{DataType, Field, TimeUnit};
use clap::Subcommand;
use serde_json::{Value, json};
use tidelog_client::wire::{Ours, said, text};
use tidelog_client::{BrokerError, TableInfo};
use tidelog_protocol_ext::ext::alter_table::{self as wire, AlterTableRequest, ColumnChange};

use crate::create::Shape;
use crate::server::{CHANGE_WAIT, CHANGE_WAIT_MS, Server};
use crate::word::Pair;
use crate::{Misuse, Out, columns, keyed};

/// Where Arrow fields carry the ids of columns.
const FIELD_ID: &str = "PARQUET:field_id";

#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Create a table: a topic whose values are JSON objects with these columns
    Create {
        name: String,
        /// Such as "id long not null, city string, price decimal(12,2), tags list<string>"
        #[arg(long, value_name = "COLUMNS", value_parser = columns::schema)]
        columns: String,
        #[command(flatten)]
        shape: Shape,
    },
    /// Show schemas, keys and sizes of a table
    Describe { name: String },
    /// Read the rows of a keyed table, each key's latest
    Scan(keyed::Scan),
    /// Count the rows of a keyed table
    Count(keyed::Rows),
    /// Sums, smallest and greatest values of a keyed table's rows
    Total(keyed::Total),
    /// Change columns of a table; rows that were written stay as they are
    Alter {
        name: String,
        #[command(subcommand)]
        change: Change,
        /// Only say whether it could be done
        #[arg(long, global = true)]
        dry_run: bool,
    },
}

/// One change of one column, which is a dotted path, or # and a field id.
#[derive(Debug, Clone, Subcommand)]
pub enum Change {
    /// Add a column, which is null in rows there are
    Add {
        column: String,
        #[arg(value_name = "TYPE")]
        of: String,
    },
    /// Give a column a wider type
    Widen {
        column: String,
        #[arg(value_name = "TYPE")]
        to: String,
    },
    /// Call a column something else
    Rename { column: String, name: String },
    /// Let a column be null
    Optional { column: String },
    /// Leave a column out of later rows
    Drop { column: String },
}

impl Command {
    pub async fn run(self, server: &Server) -> Result<()> {
        match self {
            Self::Create {
                name,
                columns,
                shape,
            } => {
                let configs = vec![
                    Pair::new("tidelog.table.mode", "inline"),
                    Pair::new("tidelog.table.schema", columns),
                ];
                shape.create(server, &name, configs).await
            }
            Self::Describe { name } => describe(server, &name).await,
            Self::Scan(scan) => scan.run(server).await,
            Self::Count(rows) => rows.count(server).await,
            Self::Total(total) => total.run(server).await,
            Self::Alter {
                name,
                change,
                dry_run,
            } => alter(server, &name, &change, dry_run).await,
        }
    }
}

impl Change {
    fn wire(&self) -> Result<ColumnChange> {
        let kind = |of: &str| -> Result<_> {
            let kind = columns::column_type(of).map_err(Misuse)?;
            // A plain type by its name, one with others inside as JSON.
            let kind = kind
                .as_str()
                .map_or_else(|| kind.to_string(), str::to_owned);
            Ok(Some(text(&kind)))
        };
        let change = |action, path: &str| ColumnChange {
            action,
            path: text(path),
            ..ColumnChange::default()
        };
        Ok(match self {
            Self::Add { column, of } => ColumnChange {
                column_type: kind(of)?,
                ..change(wire::ACTION_ADD, column)
            },
            Self::Widen { column, to } => ColumnChange {
                column_type: kind(to)?,
                ..change(wire::ACTION_WIDEN, column)
            },
            Self::Rename { column, name } => ColumnChange {
                new_name: Some(text(name)),
                ..change(wire::ACTION_RENAME, column)
            },
            Self::Optional { column } => change(wire::ACTION_MAKE_OPTIONAL, column),
            Self::Drop { column } => change(wire::ACTION_DROP, column),
        })
    }
}

async fn alter(server: &Server, name: &str, change: &Change, dry_run: bool) -> Result<()> {
    let request = Ours(AlterTableRequest {
        timeout_ms: CHANGE_WAIT_MS,
        name: Some(text(name)),
        schema_id: -1,
        validate_only: dry_run,
        changes: vec![change.wire()?],
        ..AlterTableRequest::default()
    });
    let client = server.connect().await?;
    let leader = client
        .topic(name)
        .await?
        .leaders
        .into_values()
        .flatten()
        .next();
    let Some(leader) = leader else {
        bail!("topic {name} has no leader now; try again");
    };
    // Once: a second attempt would find a column added or renamed by the first.
    let answer = client
        .link(&leader.address)
        .call(&request, CHANGE_WAIT)
        .await?;
    BrokerError::check("AlterTable", answer.error_code, || {
        said(&format!("table {name}"), answer.error_message.as_deref())
    })
    .map_err(tidelog_client::Error::from)?;
    let mut out = Out::new();
    match (server.json, dry_run) {
        (true, _) => out.json(&json!({
            "table": name, "schema_id": answer.schema_id, "dry_run": dry_run,
        }))?,
        (false, true) => out.line(&format!("{name} can be altered so; nothing was done"))?,
        (false, false) => out.line(&format!("altered {name}: schema {}", answer.schema_id))?,
    }
    out.done()
}

async fn describe(server: &Server, name: &str) -> Result<()> {
    let client = server.connect().await?;
    let table = client.table(name).await?;
    let Some(info) = table.info() else {
        bail!(
            "topic {name} has no columns (yet): tidelog.table.mode makes it a table, and an inferred \
             table needs records first"
        );
    };
    let mut out = Out::new();
    match server.json {
        true => out.json(&as_json(name, &table.topic_id().to_string(), &info))?,
        false => print(&mut out, name, &info)?,
    }
    out.done()
}

fn as_json(name: &str, id: &str, info: &TableInfo) -> Value {
    let columns = |field: &Arc<Field>| shown(field).json();
    let schemas = info.schemas.iter().map(|schema| {
        let columns: Vec<_> = schema.arrow.fields().iter().map(columns).collect();
        json!({"id": schema.id, "columns": columns})
    });
    let partitions = info.partitions.iter().map(|one| {
        json!({
            "partition": one.partition, "start": one.log_start_offset, "stable_end": one.stable_end,
            "rows_to": one.rows_to, "rows": one.row_count,
            "index": one.index.as_ref().map(keyed::index_json),
        })
    });
    let lake = info.lake.as_ref();
    json!({
        "name": name,
        "id": id,
        "mode": info.mode,
        "key": info.key_columns,
        "merge_engine": info.merge_engine,
        "partitioner": info.partitioner,
        "lake": lake.map(|lake| json!({"namespace": lake.namespace, "name": lake.name})),
        "schema_id": info.current_schema_id,
        "schemas": schemas.collect::<Vec<_>>(),
        "partitions": partitions.collect::<Vec<_>>(),
    })
}

fn print(out: &mut Out, name: &str, info: &TableInfo) -> Result<()> {
    out.line(&format!("{name}  mode {}", info.mode))?;
    if !info.key_columns.is_empty() {
        let engine = info.merge_engine.as_deref().unwrap_or("unknown");
        let rule = info.partitioner.as_deref().unwrap_or("not settled yet");
        let key = info.key_columns.join(", ");
        out.line(&format!(
            "  key {key}; merge engine {engine}; partitioner {rule}"
        ))?;
    }
    if let Some(lake) = &info.lake {
        out.line(&format!("  lake table {}.{}", lake.namespace, lake.name))?;
    }
    for schema in info.schemas.iter().rev() {
        let current = match schema.id == info.current_schema_id {
            true => "in force",
            false => "older rows",
        };
        out.line(&format!("schema {} ({current})", schema.id))?;
        let columns = schema.arrow.fields().iter().map(|field| {
            let column = shown(field);
            let null = if column.nullable { "" } else { "not null" };
            vec![
                column.id.unwrap_or_default(),
                column.name,
                column.kind,
                null.to_owned(),
            ]
        });
        out.table(&["ID", "COLUMN", "TYPE", ""], &columns.collect::<Vec<_>>())?;
    }
    if info.partitions.iter().any(|one| one.index.is_some()) {
        return keyed::print_partitions(out, &info.partitions);
    }
    let rows = info.partitions.iter().map(|one| {
        let rows = one
            .row_count
            .map_or_else(|| "unknown".to_owned(), |rows| rows.to_string());
        let numbers = [
            i64::from(one.partition),
            one.log_start_offset,
            one.stable_end,
            one.rows_to,
        ];
        let numbers = numbers.iter().map(ToString::to_string);
        numbers.chain([rows]).collect()
    });
    let heads = ["PARTITION", "START", "STABLE END", "COLUMNS TO", "ROWS"];
    out.table(&heads, &rows.collect::<Vec<_>>())?;
    Ok(())
}

/// A column as it is shown.
struct Column {
    id: Option<String>,
    name: String,
    kind: String,
    nullable: bool,
}

impl Column {
    fn json(&self) -> Value {
        let id = self.id.as_ref().and_then(|id| id.parse::<i32>().ok());
        json!({"id": id, "name": self.name, "type": self.kind, "nullable": self.nullable})
    }
}

fn shown(field: &Arc<Field>) -> Column {
    Column {
        id: field.metadata().get(FIELD_ID).cloned(),
        name: field.name().clone(),
        kind: kind_name(field.data_type()),
        nullable: field.is_nullable(),
    }
}

/// A type as [`columns`] reads it.
fn kind_name(of: &DataType) -> String {
    match of {
        DataType::Boolean => "bool".to_owned(),
        DataType::Int32 => "int".to_owned(),
        DataType::Int64 => "long".to_owned(),
        DataType::Float32 => "float".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        DataType::Utf8 => "string".to_owned(),
        DataType::Binary => "binary".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Time64(_) => "time".to_owned(),
        DataType::Timestamp(unit, zone) => {
            let local = if zone.is_some() { "" } else { "local_" };
            let unit = match unit {
                TimeUnit::Second => "s",
                TimeUnit::Millisecond => "ms",
                TimeUnit::Microsecond => "us",
                TimeUnit::Nanosecond => "ns",
            };
            format!("{local}timestamp({unit})")
        }
        DataType::List(element) => format!("list<{}>", kind_name(element.data_type())),
        DataType::Map(entries, _) => {
            let DataType::Struct(fields) = entries.data_type() else {
                return of.to_string();
            };
            let inner: Vec<_> = fields
                .iter()
                .map(|field| kind_name(field.data_type()))
                .collect();
            format!("map<{}>", inner.join(", "))
        }
        DataType::Struct(members) => {
            let members = members.iter().map(|member| {
                let null = if member.is_nullable() {
                    ""
                } else {
                    " not null"
                };
                format!("{} {}{null}", member.name(), kind_name(member.data_type()))
            });
            format!("struct<{}>", members.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tidelog_typed::{RowSchema, TableSchema};

    #[test]
    fn types_are_shown_as_they_are_written() {
        let columns = "a decimal(12,2), b list<struct<x long not null, y string>>, c map<int, double>, \
                       d timestamp(ms), e local_timestamp(us), f time, g date, h binary";
        let schema = columns::schema(columns).expect("columns");
        let rows = RowSchema::typed(TableSchema::parse(&schema).expect("a schema"));
        let arrow = rows.value_arrow().expect("columns");
        let shown: Vec<_> = arrow
            .fields()
            .iter()
            .map(|field| format!("{} {}", field.name(), kind_name(field.data_type())))
            .collect();
        assert_eq!(shown.join(", "), columns);
    }
}
