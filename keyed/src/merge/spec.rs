//! A table's settings for merging, as somebody wrote them, and what they mean for its columns.
//!
//! | setting | values | default |
//! |---|---|---|
//! | engine | `last_row`, `first_row`, `versioned`, `aggregation` | |
//! | `merge` | `full`, `partial`; `last_row` only | `full` |
//! | `deletes` | `allow`, `ignore`, `disable` | `last_row`: `allow`; others: `ignore` |
//! | `image` | `full`, `wal` | `full` |
//! | `version.column` | name of a column; `versioned` only, which needs it | |
//! | `agg.<column>` | a [`Function`]; `aggregation` only | `last_value_ignore_nulls` |

use std::collections::BTreeMap;

use arrow_schema::DataType;

use super::function::{Function, UnknownFunction};
use super::rule::{Deletes, Engine, Image, Rule, RuleColumn};
use super::value::{FieldId, Kind};

const AGGREGATE: &str = "agg.";

/// Settings that are right in themselves; whether they fit a table is [`bind`](Self::bind)'s to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineSpec {
    pub engine: EngineChoice,
    pub deletes: Deletes,
    pub image: Image,
}

/// An engine, with columns by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineChoice {
    LastRow,
    PartialRow,
    FirstRow,
    Versioned {
        column: String,
    },
    Aggregation {
        functions: BTreeMap<String, Function>,
    },
}

/// A column of the table the engine is to merge.
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    pub id: FieldId,
    pub name: String,
    pub data_type: DataType,
    pub nullable: bool,
    /// Part of the primary key: taken from the record, never merged, never cleared.
    pub key: bool,
}

/// What is wrong with settings.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    #[error("{0} is no merge engine: last_row, first_row, versioned, aggregation")]
    Engine(String),
    #[error("{value} is no value of {option}: {expected}")]
    Value {
        option: &'static str,
        value: String,
        expected: &'static str,
    },
    #[error("the engine {engine} has no option {option}")]
    Option { engine: String, option: String },
    #[error("the engine versioned needs version.column")]
    NoVersion,
    #[error("{option}: {source}")]
    Function {
        option: String,
        source: UnknownFunction,
    },
    #[error("there is no column {0}")]
    NoColumn(String),
    #[error("the column {0} is part of the key: it is not merged")]
    KeyColumn(String),
    #[error(
        "the version column {column} is of type {data_type}; it has to be int, long or timestamp"
    )]
    VersionType { column: String, data_type: DataType },
    #[error("{function} does not take the column {column} of type {data_type}")]
    FunctionType {
        column: String,
        function: Function,
        data_type: DataType,
    },
    #[error("the column {column} of type {data_type} cannot be merged")]
    Unmergeable { column: String, data_type: DataType },
    #[error("the column {0} has to be nullable: a record may set other columns only")]
    NotNullable(String),
}

impl EngineSpec {
    /// Reads the engine's name and its options.
    ///
    /// # Errors
    /// [`SpecError`] for the first option that is unknown, or not of this engine.
    pub fn parse(engine: &str, options: &BTreeMap<String, String>) -> Result<Self, SpecError> {
        let mut choice = match engine {
            "last_row" => EngineChoice::LastRow,
            "first_row" => EngineChoice::FirstRow,
            "versioned" => EngineChoice::Versioned {
                column: options
                    .get("version.column")
                    .ok_or(SpecError::NoVersion)?
                    .clone(),
            },
            "aggregation" => EngineChoice::Aggregation {
                functions: BTreeMap::new(),
            },
            other => return Err(SpecError::Engine(other.to_owned())),
        };
        let mut deletes = match choice {
            EngineChoice::LastRow => Deletes::Allow,
            _ => Deletes::Ignore,
        };
        let mut image = Image::Full;
        for (option, value) in options {
            match (option.as_str(), &mut choice) {
                ("deletes", _) => deletes = parse_deletes(value)?,
                ("image", _) => image = parse_image(value)?,
                ("merge", EngineChoice::LastRow | EngineChoice::PartialRow) => {
                    choice = parse_merge(value)?;
                }
                ("version.column", EngineChoice::Versioned { .. }) => {}
                (option, EngineChoice::Aggregation { functions })
                    if option.starts_with(AGGREGATE) =>
                {
                    let function = value.parse().map_err(|source| SpecError::Function {
                        option: option.to_owned(),
                        source,
                    })?;
                    functions.insert(option[AGGREGATE.len()..].to_owned(), function);
                }
                _ => {
                    return Err(SpecError::Option {
                        engine: engine.to_owned(),
                        option: option.clone(),
                    });
                }
            }
        }
        Ok(Self {
            engine: choice,
            deletes,
            image,
        })
    }

    /// The rule these settings are for a table with these columns.
    ///
    /// # Errors
    /// [`SpecError`] if a named column is missing, or a column does not suit its part.
    pub fn bind(&self, columns: &[Column]) -> Result<Rule, SpecError> {
        let engine = match &self.engine {
            EngineChoice::LastRow => Engine::LastRow,
            EngineChoice::PartialRow => Engine::PartialRow,
            EngineChoice::FirstRow => Engine::FirstRow,
            EngineChoice::Versioned { column } => Engine::Versioned {
                column: version_column(find(columns, column)?)?,
            },
            EngineChoice::Aggregation { functions } => {
                for (name, function) in functions {
                    check_function(find(columns, name)?, function)?;
                }
                Engine::Aggregation
            }
        };
        let rule = |columns| Rule {
            engine,
            deletes: self.deletes,
            image: self.image,
            columns,
        };
        if rule(Vec::new()).keeps_values() {
            return Ok(rule(Vec::new()));
        }
        let bound = columns.iter().map(|column| self.bind_column(column));
        Ok(rule(bound.collect::<Result<_, _>>()?))
    }

    fn bind_column(&self, column: &Column) -> Result<RuleColumn, SpecError> {
        let kind = kind_of(column)?;
        let some_only = matches!(
            self.engine,
            EngineChoice::PartialRow | EngineChoice::Aggregation { .. }
        );
        if some_only && !column.key && !column.nullable {
            return Err(SpecError::NotNullable(column.name.clone()));
        }
        let function = match &self.engine {
            EngineChoice::Aggregation { functions } if !column.key => {
                functions.get(&column.name).cloned().unwrap_or_default()
            }
            _ => Function::LastValue,
        };
        Ok(RuleColumn {
            id: column.id,
            name: column.name.clone(),
            kind,
            key: column.key,
            function,
        })
    }
}

fn parse_deletes(value: &str) -> Result<Deletes, SpecError> {
    match value {
        "allow" => Ok(Deletes::Allow),
        "ignore" => Ok(Deletes::Ignore),
        "disable" => Ok(Deletes::Disable),
        _ => Err(SpecError::Value {
            option: "deletes",
            value: value.to_owned(),
            expected: "allow, ignore, disable",
        }),
    }
}

fn parse_image(value: &str) -> Result<Image, SpecError> {
    match value {
        "full" => Ok(Image::Full),
        "wal" => Ok(Image::Wal),
        _ => Err(SpecError::Value {
            option: "image",
            value: value.to_owned(),
            expected: "full, wal",
        }),
    }
}

fn parse_merge(value: &str) -> Result<EngineChoice, SpecError> {
    match value {
        "full" => Ok(EngineChoice::LastRow),
        "partial" => Ok(EngineChoice::PartialRow),
        _ => Err(SpecError::Value {
            option: "merge",
            value: value.to_owned(),
            expected: "full, partial",
        }),
    }
}

fn find<'a>(columns: &'a [Column], name: &str) -> Result<&'a Column, SpecError> {
    let column = columns.iter().find(|column| column.name == name);
    let column = column.ok_or_else(|| SpecError::NoColumn(name.to_owned()))?;
    if column.key {
        return Err(SpecError::KeyColumn(name.to_owned()));
    }
    Ok(column)
}

fn kind_of(column: &Column) -> Result<Kind, SpecError> {
    Kind::from_arrow(&column.data_type).ok_or_else(|| SpecError::Unmergeable {
        column: column.name.clone(),
        data_type: column.data_type.clone(),
    })
}

fn version_column(column: &Column) -> Result<FieldId, SpecError> {
    match kind_of(column)? {
        Kind::Int | Kind::Long | Kind::Timestamp { .. } => Ok(column.id),
        _ => Err(SpecError::VersionType {
            column: column.name.clone(),
            data_type: column.data_type.clone(),
        }),
    }
}

fn check_function(column: &Column, function: &Function) -> Result<(), SpecError> {
    if function.takes(kind_of(column)?) {
        return Ok(());
    }
    Err(SpecError::FunctionType {
        column: column.name.clone(),
        function: function.clone(),
        data_type: column.data_type.clone(),
    })
}

#[cfg(test)]
mod tests;
