//! Lake names made from topic names.
//!
//! Rules for tables: dots become underscores (a dot separates namespaces in every SQL engine);
//! everything else a Kafka topic name may hold is kept, case included (quote names with `-`); a
//! name that engines read as one of Iceberg's metadata tables gets `_topic` appended. With
//! [`Case::Lower`] the result is lowercased, for catalogs that fold case. Two topics can meet in
//! one name (`a.b` and `a_b`); the second then finds a foreign topic id in the table and suspends.

/// What becomes of capitals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Case {
    #[default]
    Keep,
    Lower,
}

/// Engines resolve `db.files` to the metadata table of `db`, even when a table has that name.
const METADATA_TABLES: [&str; 16] = [
    "all_data_files",
    "all_delete_files",
    "all_entries",
    "all_files",
    "all_manifests",
    "data_files",
    "delete_files",
    "entries",
    "files",
    "history",
    "manifests",
    "metadata_log_entries",
    "partitions",
    "position_deletes",
    "refs",
    "snapshots",
];

/// The table name of `topic`.
pub fn table_name(topic: &str, case: Case) -> String {
    let mut name = topic.replace('.', "_");
    if case == Case::Lower {
        name = name.to_lowercase();
    }
    if METADATA_TABLES.contains(&name.to_lowercase().as_str()) {
        name.push_str("_topic");
    }
    name
}

/// Behind the name of a topic's table, the name of its dead-letter table.
const DEAD_LETTERS: &str = "__dlq";

/// The name of the table for the records of `topic` that are no rows.
pub fn dead_letter_table_name(topic: &str, case: Case) -> String {
    table_name(topic, case) + DEAD_LETTERS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_names_become_table_names() {
        for (topic, case, table) in [
            ("orders", Case::Keep, "orders"),
            ("shop.Orders-v1", Case::Keep, "shop_Orders-v1"),
            ("shop.Orders-v1", Case::Lower, "shop_orders-v1"),
            ("files", Case::Keep, "files_topic"),
            ("History", Case::Keep, "History_topic"),
        ] {
            assert_eq!(table_name(topic, case), table);
        }
    }
}
