//! The catalog over HTTP: the routes of the Iceberg REST specification that tables need.
//!
//! What is not here is not in the list `GET /v1/config` answers, so that clients do without:
//! views, scan planning, OAuth. Listings come whole; page tokens are
//! accepted and never given. Credentials are not vended: `X-Iceberg-Access-Delegation` is ignored,
//! and readers reach the warehouse by their own means. There is no access control in here either:
//! whoever serves the router puts it in front.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use iceberg::spec::{FormatVersion, Schema, SortOrder, TableMetadata, UnboundPartitionSpec};
use iceberg::{NamespaceIdent, TableCreation, TableIdent};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::keys::namespace_of;
use super::{Catalog, CatalogError};
use crate::port::{CommitRequest, LoadedTable};

/// A commit carries a schema and a few snapshots; nothing sensible is larger.
const BODY_BYTES_MAX: usize = 16 << 20;

/// What `GET /v1/config` says this server can do.
const ENDPOINTS: [&str; 17] = [
    "GET /v1/{prefix}/namespaces",
    "POST /v1/{prefix}/namespaces",
    "GET /v1/{prefix}/namespaces/{namespace}",
    "HEAD /v1/{prefix}/namespaces/{namespace}",
    "DELETE /v1/{prefix}/namespaces/{namespace}",
    "POST /v1/{prefix}/namespaces/{namespace}/properties",
    "GET /v1/{prefix}/namespaces/{namespace}/tables",
    "POST /v1/{prefix}/namespaces/{namespace}/tables",
    "POST /v1/{prefix}/namespaces/{namespace}/register",
    "GET /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "HEAD /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "POST /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "DELETE /v1/{prefix}/namespaces/{namespace}/tables/{table}",
    "POST /v1/{prefix}/tables/rename",
    "POST /v1/{prefix}/transactions/commit",
    "GET /v1/config",
    "HEAD /v1/config",
];

type Shared = State<Arc<Catalog>>;
type Answer = Result<Response, CatalogError>;

/// The routes, to be served as they are or nested below a path.
pub fn router(catalog: Arc<Catalog>) -> Router {
    Router::new()
        .route("/v1/config", get(config))
        .route(
            "/v1/namespaces",
            get(list_namespaces).post(create_namespace),
        )
        .route(
            "/v1/namespaces/{namespace}",
            get(load_namespace)
                .head(namespace_exists)
                .delete(drop_namespace),
        )
        .route(
            "/v1/namespaces/{namespace}/properties",
            post(update_namespace),
        )
        .route(
            "/v1/namespaces/{namespace}/tables",
            get(list_tables).post(create_table),
        )
        .route("/v1/namespaces/{namespace}/register", post(register_table))
        .route(
            "/v1/namespaces/{namespace}/tables/{table}",
            get(load_table)
                .head(table_exists)
                .post(commit_table)
                .delete(drop_table),
        )
        .route("/v1/tables/rename", post(rename_table))
        .route("/v1/transactions/commit", post(commit_transaction))
        .fallback(no_such_route)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .with_state(catalog)
}

async fn config(State(catalog): Shared) -> Response {
    json_answer(json!({
        "defaults": {},
        "overrides": {"warehouse": catalog.warehouse()},
        "endpoints": ENDPOINTS,
    }))
}

async fn no_such_route() -> Response {
    error_answer(StatusCode::NOT_FOUND, "NotFoundException", "no such route")
}

#[derive(Deserialize)]
struct ListQuery {
    parent: Option<String>,
}

async fn list_namespaces(State(catalog): Shared, Query(query): Query<ListQuery>) -> Answer {
    let parent = match query.parent.as_deref() {
        None | Some("") => None,
        Some(levels) => Some(parse_namespace(levels)?),
    };
    let namespaces = catalog.list_namespaces(parent.as_ref()).await?;
    Ok(json_answer(
        json!({"namespaces": namespaces, "next-page-token": null}),
    ))
}

#[derive(Deserialize)]
struct CreateNamespace {
    namespace: NamespaceIdent,
    #[serde(default)]
    properties: BTreeMap<String, String>,
}

async fn create_namespace(State(catalog): Shared, body: Bytes) -> Answer {
    let request: CreateNamespace = parse(&body)?;
    catalog
        .create_namespace(&request.namespace, request.properties.clone())
        .await?;
    let answer = json!({"namespace": request.namespace, "properties": request.properties});
    Ok(json_answer(answer))
}

async fn load_namespace(State(catalog): Shared, Path(namespace): Path<String>) -> Answer {
    let namespace = parse_namespace(&namespace)?;
    let properties = catalog.namespace(&namespace).await?;
    Ok(json_answer(
        json!({"namespace": namespace, "properties": properties}),
    ))
}

async fn namespace_exists(State(catalog): Shared, Path(namespace): Path<String>) -> Answer {
    catalog.namespace(&parse_namespace(&namespace)?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn drop_namespace(State(catalog): Shared, Path(namespace): Path<String>) -> Answer {
    catalog
        .drop_namespace(&parse_namespace(&namespace)?)
        .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Deserialize)]
struct UpdateNamespace {
    #[serde(default)]
    removals: Vec<String>,
    #[serde(default)]
    updates: BTreeMap<String, String>,
}

async fn update_namespace(
    State(catalog): Shared,
    Path(namespace): Path<String>,
    body: Bytes,
) -> Answer {
    let request: UpdateNamespace = parse(&body)?;
    let namespace = parse_namespace(&namespace)?;
    let updated: Vec<String> = request.updates.keys().cloned().collect();
    let missing = catalog
        .update_namespace(&namespace, &request.removals, request.updates)
        .await?;
    let removed: Vec<_> = request
        .removals
        .iter()
        .filter(|name| !missing.contains(name))
        .collect();
    Ok(json_answer(
        json!({"updated": updated, "removed": removed, "missing": missing}),
    ))
}

async fn list_tables(State(catalog): Shared, Path(namespace): Path<String>) -> Answer {
    let tables = catalog.list_tables(&parse_namespace(&namespace)?).await?;
    Ok(json_answer(
        json!({"identifiers": tables, "next-page-token": null}),
    ))
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct CreateTable {
    name: String,
    location: Option<String>,
    schema: Schema,
    partition_spec: Option<UnboundPartitionSpec>,
    write_order: Option<SortOrder>,
    #[serde(default)]
    stage_create: bool,
    properties: Option<HashMap<String, String>>,
}

async fn create_table(
    State(catalog): Shared,
    Path(namespace): Path<String>,
    body: Bytes,
) -> Answer {
    let request: CreateTable = parse(&body)?;
    let table = TableIdent::new(parse_namespace(&namespace)?, request.name.clone());
    let stage = request.stage_create;
    let creation = request.into_creation()?;
    if stage {
        catalog.namespace(table.namespace()).await?;
        if catalog.table_exists(&table).await? {
            return Err(CatalogError::TableExists(table.to_string()));
        }
        let metadata = catalog.stage_table(&table, creation)?;
        catalog.prepare_location(metadata.location()).await?;
        return Ok(table_answer(None, &metadata));
    }
    let loaded = catalog.create_table(&table, creation).await?;
    Ok(loaded_answer(&loaded))
}

impl CreateTable {
    /// The format version comes as a property, which is reserved and not kept.
    fn into_creation(self) -> Result<TableCreation, CatalogError> {
        let mut properties = self.properties.unwrap_or_default();
        let format_version = match properties.remove("format-version").as_deref() {
            None | Some("2") => FormatVersion::V2,
            Some("3") => FormatVersion::V3,
            Some(other) => {
                return Err(CatalogError::Unsupported(format!("format version {other}")));
            }
        };
        Ok(TableCreation {
            name: self.name,
            location: self
                .location
                .map(|location| location.trim_end_matches('/').to_owned()),
            schema: self.schema,
            partition_spec: self.partition_spec,
            sort_order: self.write_order,
            properties,
            format_version,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RegisterTable {
    name: String,
    metadata_location: String,
    #[serde(default)]
    overwrite: bool,
}

async fn register_table(
    State(catalog): Shared,
    Path(namespace): Path<String>,
    body: Bytes,
) -> Answer {
    let request: RegisterTable = parse(&body)?;
    if request.overwrite {
        return Err(CatalogError::Unsupported(
            "registering over a table".to_owned(),
        ));
    }
    let table = TableIdent::new(parse_namespace(&namespace)?, request.name);
    let loaded = catalog
        .register_table(&table, &request.metadata_location)
        .await?;
    Ok(loaded_answer(&loaded))
}

async fn load_table(State(catalog): Shared, Path(path): Path<(String, String)>) -> Answer {
    let loaded = catalog.load_table(&parse_table(path)?).await?;
    Ok(loaded_answer(&loaded))
}

async fn table_exists(State(catalog): Shared, Path(path): Path<(String, String)>) -> Answer {
    let table = parse_table(path)?;
    if !catalog.table_exists(&table).await? {
        return Err(CatalogError::NoSuchTable(table.to_string()));
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn commit_table(
    State(catalog): Shared,
    Path(path): Path<(String, String)>,
    body: Bytes,
) -> Answer {
    let table = parse_table(path)?;
    let request: CommitRequest = parse(&body)?;
    let loaded = Box::pin(catalog.commit_table(&table, request)).await?;
    Ok(json_answer(json!({
        "metadata-location": loaded.metadata_location,
        "metadata": loaded.metadata.as_ref(),
    })))
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct CommitTransaction {
    table_changes: Vec<TableChange>,
}

#[derive(Deserialize)]
struct TableChange {
    identifier: TableIdent,
    #[serde(flatten)]
    request: CommitRequest,
}

async fn commit_transaction(State(catalog): Shared, body: Bytes) -> Answer {
    let request: CommitTransaction = parse(&body)?;
    let changes = request.table_changes.into_iter();
    let changes = changes.map(|change| (change.identifier, change.request));
    Box::pin(catalog.commit_tables(changes.collect())).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DropQuery {
    purge_requested: Option<String>,
}

async fn drop_table(
    State(catalog): Shared,
    Path(path): Path<(String, String)>,
    Query(query): Query<DropQuery>,
) -> Answer {
    if query
        .purge_requested
        .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    {
        return Err(CatalogError::Unsupported(
            "purging; drop without it".to_owned(),
        ));
    }
    catalog.drop_table(&parse_table(path)?).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

#[derive(Deserialize)]
struct RenameTable {
    source: TableIdent,
    destination: TableIdent,
}

async fn rename_table(State(catalog): Shared, body: Bytes) -> Answer {
    let request: RenameTable = parse(&body)?;
    catalog
        .rename_table(&request.source, &request.destination)
        .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, CatalogError> {
    serde_json::from_slice(body).map_err(|error| CatalogError::BadRequest(error.to_string()))
}

fn parse_namespace(levels: &str) -> Result<NamespaceIdent, CatalogError> {
    namespace_of(levels)
        .filter(|namespace| namespace.iter().all(|level| !level.is_empty()))
        .ok_or_else(|| CatalogError::BadRequest(format!("{levels:?} cannot be a namespace")))
}

fn parse_table((namespace, name): (String, String)) -> Result<TableIdent, CatalogError> {
    Ok(TableIdent::new(parse_namespace(&namespace)?, name))
}

fn loaded_answer(table: &LoadedTable) -> Response {
    table_answer(Some(&table.metadata_location), &table.metadata)
}

fn table_answer(metadata_location: Option<&str>, metadata: &TableMetadata) -> Response {
    let mut answer = json!({"metadata": metadata, "config": {}});
    if let Some(location) = metadata_location {
        answer["metadata-location"] = Value::from(location);
    }
    json_answer(answer)
}

fn json_answer(value: Value) -> Response {
    axum::Json(value).into_response()
}

fn error_answer(status: StatusCode, kind: &str, message: &str) -> Response {
    let code = status.as_u16();
    let body = json!({"error": {"message": message, "type": kind, "code": code}});
    (status, axum::Json(body)).into_response()
}

/// The one place that chooses status codes and exception names.
impl IntoResponse for CatalogError {
    fn into_response(self) -> Response {
        let (status, kind) = match &self {
            Self::NoSuchNamespace(_) => (StatusCode::NOT_FOUND, "NoSuchNamespaceException"),
            Self::NoSuchTable(_) => (StatusCode::NOT_FOUND, "NoSuchTableException"),
            Self::NamespaceExists(_) | Self::TableExists(_) => {
                (StatusCode::CONFLICT, "AlreadyExistsException")
            }
            Self::NamespaceNotEmpty(_) => (StatusCode::CONFLICT, "NamespaceNotEmptyException"),
            Self::Conflict(_) => (StatusCode::CONFLICT, "CommitFailedException"),
            Self::BadRequest(_) => (StatusCode::BAD_REQUEST, "BadRequestException"),
            Self::Unsupported(_) => (StatusCode::NOT_ACCEPTABLE, "UnsupportedOperationException"),
            Self::Unknown(_) => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "CommitStateUnknownException",
            ),
            Self::Unavailable(_) => (
                StatusCode::SERVICE_UNAVAILABLE,
                "ServiceUnavailableException",
            ),
        };
        error_answer(status, kind, &self.to_string())
    }
}
