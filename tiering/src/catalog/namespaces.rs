//! Namespaces: properties by name, and a generation that fences dropping against table creation.

use std::collections::BTreeMap;

use iceberg::NamespaceIdent;
use serde::{Deserialize, Serialize};

use super::keys::{LEVEL, NAMESPACE_PREFIX, check_name, levels, namespace_key, namespace_of};
use super::{Catalog, CatalogError, Change, PointerError};

/// What a pointer store keeps for a namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NamespaceRecord {
    properties: BTreeMap<String, String>,
    /// Grows whenever a table appears in it, so that a drop which saw it empty loses the race.
    generation: u64,
}

impl Catalog {
    /// The namespaces directly below `parent`, or at the top.
    pub async fn list_namespaces(
        &self,
        parent: Option<&NamespaceIdent>,
    ) -> Result<Vec<NamespaceIdent>, CatalogError> {
        if let Some(parent) = parent {
            self.namespace(parent).await?;
        }
        let depth = parent.map_or(0, |parent| parent.len()) + 1;
        let below = parent.map_or(String::new(), |parent| format!("{}{LEVEL}", levels(parent)));
        let prefix = format!("{NAMESPACE_PREFIX}{below}");
        let found = self.pointers.list(&prefix).await?;
        let parse = |key: &str| namespace_of(key.strip_prefix(NAMESPACE_PREFIX)?);
        Ok(found
            .iter()
            .filter_map(|(key, _)| parse(key))
            .filter(|namespace| namespace.len() == depth)
            .collect())
    }

    /// Makes a namespace.
    pub async fn create_namespace(
        &self,
        namespace: &NamespaceIdent,
        properties: BTreeMap<String, String>,
    ) -> Result<(), CatalogError> {
        for level in namespace.iter() {
            check_name(level)?;
        }
        let record = NamespaceRecord {
            properties,
            generation: 0,
        };
        let change = Change::create(namespace_key(namespace), record.to_json());
        match self.pointers.compare_and_set(vec![change]).await {
            Err(PointerError::Mismatch { .. }) => {
                Err(CatalogError::NamespaceExists(levels_for_people(namespace)))
            }
            other => Ok(other?),
        }
    }

    /// A namespace's properties.
    pub async fn namespace(
        &self,
        namespace: &NamespaceIdent,
    ) -> Result<BTreeMap<String, String>, CatalogError> {
        Ok(self.namespace_record(namespace).await?.0.properties)
    }

    /// Sets and removes properties; gives the names that were to be removed and not there.
    pub async fn update_namespace(
        &self,
        namespace: &NamespaceIdent,
        removals: &[String],
        updates: BTreeMap<String, String>,
    ) -> Result<Vec<String>, CatalogError> {
        if let Some(both) = removals.iter().find(|name| updates.contains_key(*name)) {
            return Err(CatalogError::BadRequest(format!(
                "{both} is to be set and removed"
            )));
        }
        let (mut record, before) = self.namespace_record(namespace).await?;
        let missing = removals
            .iter()
            .filter(|name| record.properties.remove(*name).is_none())
            .cloned()
            .collect();
        record.properties.extend(updates);
        let change = Change::replace(namespace_key(namespace), before, record.to_json());
        self.pointers.compare_and_set(vec![change]).await?;
        Ok(missing)
    }

    /// Removes an empty namespace.
    pub async fn drop_namespace(&self, namespace: &NamespaceIdent) -> Result<(), CatalogError> {
        let (_, before) = self.namespace_record(namespace).await?;
        let inhabited = !self.list_tables(namespace).await?.is_empty()
            || !self.list_namespaces(Some(namespace)).await?.is_empty();
        if inhabited {
            return Err(CatalogError::NamespaceNotEmpty(levels_for_people(
                namespace,
            )));
        }
        let change = Change::delete(namespace_key(namespace), before);
        Ok(self.pointers.compare_and_set(vec![change]).await?)
    }

    /// The change that marks a namespace as having got a table.
    pub(super) async fn touch(&self, namespace: &NamespaceIdent) -> Result<Change, CatalogError> {
        let (mut record, before) = self.namespace_record(namespace).await?;
        record.generation += 1;
        Ok(Change::replace(
            namespace_key(namespace),
            before,
            record.to_json(),
        ))
    }

    pub(super) async fn namespace_record(
        &self,
        namespace: &NamespaceIdent,
    ) -> Result<(NamespaceRecord, String), CatalogError> {
        let json = self
            .pointers
            .get(&namespace_key(namespace))
            .await?
            .ok_or_else(|| CatalogError::NoSuchNamespace(levels_for_people(namespace)))?;
        let record = serde_json::from_str(&json).map_err(|error| {
            let name = levels_for_people(namespace);
            CatalogError::Unavailable(format!("record of namespace {name}: {error}"))
        })?;
        Ok((record, json))
    }
}

impl NamespaceRecord {
    fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }
}

fn levels_for_people(namespace: &NamespaceIdent) -> String {
    namespace.as_ref().join(".")
}
