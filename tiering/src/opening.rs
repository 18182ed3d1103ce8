//! A table of a topic, made if it is not there.

use iceberg::TableIdent;
use iceberg::spec::Schema;

use crate::env::Env;
use crate::mark::{Suspension, TopicIdentity};
use crate::pass::PassError;
use crate::port::{CommitPort, LoadedTable, PortError};
use crate::table::{self, Kind};

/// Loads a table, after making it (and its namespace) for `identity` unless it is there. Whether a
/// table that is there is the topic's, its ledger has to say; and of which kind it is, the table.
pub(crate) async fn load_or_make(
    port: &dyn CommitPort,
    env: &dyn Env,
    ident: &TableIdent,
    kind: Kind,
    identity: TopicIdentity,
    wanted: &Schema,
) -> Result<LoadedTable, PassError> {
    match port.load(ident).await {
        Err(PortError::NotFound(_)) => {}
        loaded => return Ok(loaded?),
    }
    port.ensure_namespace(ident).await?;
    let location = port.location_for(ident);
    let request = table::creation(identity, kind, wanted, env.uuid(), location);
    let request = request.map_err(Suspension::from)?;
    match port.commit(ident, request).await {
        // Another tierer of this topic was faster, or our first try had gone through: what matters
        // is what the table says, and every pass asks it.
        Err(PortError::Conflict(_) | PortError::AlreadyExists(_)) => Ok(port.load(ident).await?),
        made => Ok(made?),
    }
}
