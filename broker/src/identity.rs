//! Who a data directory belongs to: `meta.properties` with the cluster id and the broker's number.
//!
//! Written once, before anything else; a broker whose `node.id` differs does not start on it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::settings::parse_properties;

const FILE: &str = "meta.properties";
const FILE_NEW: &str = "meta.properties.new";

/// The lasting identity of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Opaque text that every Metadata answer carries.
    pub cluster_id: String,
    pub node_id: i32,
}

#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("{} belongs to broker {found}, not {node_id}; set node.id={found} or choose another --data-dir", .path.display())]
    OtherNode {
        path: PathBuf,
        found: String,
        node_id: i32,
    },
    #[error("{} does not name a cluster; restore the file or choose another --data-dir", .path.display())]
    Damaged { path: PathBuf },
    #[error("{}: {error}", .path.display())]
    Io { path: PathBuf, error: io::Error },
}

impl Identity {
    /// Reads the identity of `dir`, or gives an empty directory the id `fresh_cluster_id`.
    ///
    /// # Errors
    /// The file is of another broker, damaged, or cannot be read or written.
    pub fn open(dir: &Path, node_id: i32, fresh_cluster_id: &str) -> Result<Self, IdentityError> {
        let path = dir.join(FILE);
        match fs::read_to_string(&path) {
            Ok(text) => Self::read(&text, node_id, path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let identity = Self {
                    cluster_id: fresh_cluster_id.to_owned(),
                    node_id,
                };
                identity
                    .write(dir)
                    .map_err(|error| IdentityError::Io { path, error })?;
                Ok(identity)
            }
            Err(error) => Err(IdentityError::Io { path, error }),
        }
    }

    fn read(text: &str, node_id: i32, path: PathBuf) -> Result<Self, IdentityError> {
        let entries = parse_properties(text).unwrap_or_default();
        let value = |key: &str| {
            let found = entries
                .iter()
                .find(|entry| entry.key == key && !entry.value.is_empty());
            found.map(|entry| entry.value.clone())
        };
        let (Some(cluster_id), Some(found)) = (value("cluster.id"), value("node.id")) else {
            return Err(IdentityError::Damaged { path });
        };
        if found != node_id.to_string() {
            return Err(IdentityError::OtherNode {
                path,
                found,
                node_id,
            });
        }
        Ok(Self {
            cluster_id,
            node_id,
        })
    }

    /// Written beside its place, synced, renamed, and the directory synced: never half there.
    fn write(&self, dir: &Path) -> io::Result<()> {
        let new = dir.join(FILE_NEW);
        let mut file = File::create(&new)?;
        let Self {
            cluster_id,
            node_id,
        } = self;
        writeln!(
            file,
            "version=1\ncluster.id={cluster_id}\nnode.id={node_id}"
        )?;
        file.sync_all()?;
        fs::rename(&new, dir.join(FILE))?;
        File::open(dir)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_start_decides() {
        let dir = tempfile::tempdir().unwrap();
        let first = Identity::open(dir.path(), 1, "one").unwrap();
        assert_eq!(
            first,
            Identity {
                cluster_id: "one".into(),
                node_id: 1
            }
        );
        assert_eq!(Identity::open(dir.path(), 1, "two").unwrap(), first);
        assert!(matches!(
            Identity::open(dir.path(), 2, "two"),
            Err(IdentityError::OtherNode { .. })
        ));
    }

    #[test]
    fn a_damaged_file_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        for text in [
            "",
            "cluster.id=\nnode.id=1\n",
            "node.id=1",
            "cluster.id=\\u1",
        ] {
            fs::write(dir.path().join(FILE), text).unwrap();
            let opened = Identity::open(dir.path(), 1, "x");
            assert!(
                matches!(opened, Err(IdentityError::Damaged { .. })),
                "{text:?}"
            );
        }
    }
}
