//! Keys of the pointer store, and what may be a name.

use iceberg::{NamespaceIdent, TableIdent};
use uuid::Uuid;

use super::CatalogError;

/// Separates levels of a namespace in keys, as the REST specification does in paths.
pub(super) const LEVEL: char = '\u{1f}';

pub(super) const NAMESPACE_PREFIX: &str = "namespace/";

pub(super) fn namespace_key(namespace: &NamespaceIdent) -> String {
    format!("{NAMESPACE_PREFIX}{}", levels(namespace))
}

pub(super) fn table_prefix(namespace: &NamespaceIdent) -> String {
    format!("table/{}/", levels(namespace))
}

pub(super) fn table_key(table: &TableIdent) -> String {
    format!("{}{}", table_prefix(table.namespace()), table.name())
}

pub(super) fn levels(namespace: &NamespaceIdent) -> String {
    namespace.as_ref().join(&LEVEL.to_string())
}

/// The namespace whose levels are written with unit separators.
pub(super) fn namespace_of(levels: &str) -> Option<NamespaceIdent> {
    NamespaceIdent::from_strs(levels.split(LEVEL)).ok()
}

/// Names become parts of keys and of paths in the warehouse.
pub(super) fn check_name(name: &str) -> Result<(), CatalogError> {
    let fits = !name.is_empty()
        && name.len() <= 255
        && !matches!(name, "." | "..")
        && !name.contains(|c: char| c == '/' || c == '\\' || c.is_control());
    if fits {
        return Ok(());
    }
    Err(CatalogError::BadRequest(format!(
        "{name:?} cannot be a name"
    )))
}

/// The number a metadata file's name begins with; 0 for files named by others' rules.
pub(super) fn version_of(metadata_location: &str) -> u64 {
    let file = metadata_location.rsplit('/').next().unwrap_or_default();
    file.split_once('-')
        .filter(|(_, rest)| rest.strip_suffix(".metadata.json").is_some_and(is_uuid))
        .and_then(|(version, _)| version.parse().ok())
        .unwrap_or(0)
}

fn is_uuid(text: &str) -> bool {
    Uuid::parse_str(text).is_ok()
}
