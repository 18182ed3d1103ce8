use std::collections::HashMap;

use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use iceberg::spec::Schema;
use iceberg::{NamespaceIdent, TableCreation, TableRequirement, TableUpdate};
use serde_json::{Value, json};
use tower::ServiceExt;
use uuid::Uuid;

use super::keys::{namespace_key, version_of};
use super::*;
use crate::env::SystemEnv;
use crate::files::LocalFiles;
use crate::schema::{ValueLayout, lake_schema};

struct Fixture {
    catalog: Arc<Catalog>,
    pointers: Arc<MemoryPointers>,
    directory: tempfile::TempDir,
}

async fn fixture() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let pointers = Arc::new(MemoryPointers::default());
    let warehouse = format!("file://{}/", directory.path().display());
    let catalog = Catalog::new(
        pointers.clone(),
        LocalFiles::file_io(directory.path()),
        &warehouse,
        Arc::new(SystemEnv),
    );
    catalog
        .create_namespace(&namespace("ns"), BTreeMap::new())
        .await
        .unwrap();
    Fixture {
        catalog: Arc::new(catalog),
        pointers,
        directory,
    }
}

fn namespace(name: &str) -> NamespaceIdent {
    NamespaceIdent::new(name.to_owned())
}

fn table(name: &str) -> TableIdent {
    TableIdent::new(namespace("ns"), name.to_owned())
}

fn schema() -> Schema {
    lake_schema(&ValueLayout::KeyValue).unwrap()
}

fn creation() -> TableCreation {
    TableCreation::builder()
        .name("t".to_owned())
        .schema(schema())
        .build()
}

fn set(key: &str, value: &str) -> CommitRequest {
    let updates = HashMap::from([(key.to_owned(), value.to_owned())]);
    CommitRequest {
        requirements: Vec::new(),
        updates: vec![TableUpdate::SetProperties { updates }],
    }
}

#[tokio::test]
async fn metadata_files_are_numbered_and_the_oldest_go() {
    let Fixture {
        catalog, directory, ..
    } = fixture().await;
    let created = catalog.create_table(&table("t"), creation()).await.unwrap();
    assert_eq!(version_of(&created.metadata_location), 0);
    for (key, value) in [
        ("write.metadata.previous-versions-max", "2"),
        ("write.metadata.delete-after-commit.enabled", "true"),
        ("a", "1"),
        ("a", "2"),
        ("a", "3"),
    ] {
        catalog
            .commit_table(&table("t"), set(key, value))
            .await
            .unwrap();
    }
    let loaded = catalog.load_table(&table("t")).await.unwrap();
    assert_eq!(version_of(&loaded.metadata_location), 5);
    assert_eq!(loaded.metadata.properties()["a"], "3");
    let location = loaded.metadata.location().strip_prefix("file://").unwrap();
    assert!(location.starts_with(directory.path().to_str().unwrap()));
    let mut versions: Vec<_> = std::fs::read_dir(format!("{location}/metadata"))
        .unwrap()
        .map(|entry| version_of(entry.unwrap().path().to_str().unwrap()))
        .collect();
    versions.sort_unstable();
    assert_eq!(versions, [3, 4, 5]);
}

#[tokio::test]
async fn a_table_created_by_commit_keeps_its_field_ids() {
    let Fixture { catalog, .. } = fixture().await;
    let location = format!("{}/ns/t", catalog.warehouse());
    let request = CommitRequest {
        requirements: vec![TableRequirement::NotExist],
        updates: vec![
            TableUpdate::AssignUuid {
                uuid: Uuid::from_u128(5),
            },
            TableUpdate::AddSchema { schema: schema() },
            TableUpdate::SetCurrentSchema { schema_id: -1 },
            TableUpdate::SetLocation { location },
        ],
    };
    let created = catalog
        .commit_table(&table("t"), request.clone())
        .await
        .unwrap();
    assert_eq!(
        created.metadata.current_schema().as_struct(),
        schema().as_struct()
    );
    assert_eq!(created.metadata.uuid(), Uuid::from_u128(5));
    let again = catalog
        .commit_table(&table("t"), request.clone())
        .await
        .unwrap_err();
    assert!(matches!(again, CatalogError::Conflict(_)), "{again}");
    for missing in [0, 1, 3] {
        let mut request = request.clone();
        request.updates.remove(missing);
        let error = catalog
            .commit_table(&table("u"), request)
            .await
            .unwrap_err();
        assert!(matches!(error, CatalogError::BadRequest(_)), "{error}");
    }
}

#[tokio::test]
async fn nothing_outside_the_warehouse_is_touched() {
    let Fixture { catalog, .. } = fixture().await;
    let warehouse = catalog.warehouse().to_owned();
    let outside = [
        "/etc".to_owned(),
        format!("{warehouse}/../x"),
        format!("{warehouse}x/t"),
        warehouse.clone(),
        format!("{warehouse}//t"),
    ];
    catalog.create_table(&table("t"), creation()).await.unwrap();
    for location in outside {
        let mut elsewhere = creation();
        elsewhere.location = Some(location.clone());
        let moving = CommitRequest {
            requirements: Vec::new(),
            updates: vec![TableUpdate::SetLocation {
                location: location.clone(),
            }],
        };
        for result in [
            catalog.create_table(&table("u"), elsewhere).await,
            catalog.commit_table(&table("t"), moving).await,
            catalog.register_table(&table("u"), &location).await,
        ] {
            assert!(
                matches!(result, Err(CatalogError::BadRequest(_))),
                "{location}"
            );
        }
    }
    for name in ["", "..", "a/b", "a\u{1f}b"] {
        assert!(
            catalog
                .create_table(&table(name), creation())
                .await
                .is_err(),
            "{name:?}"
        );
    }
}

#[tokio::test]
async fn a_namespace_that_just_got_a_table_is_not_dropped() {
    let Fixture {
        catalog, pointers, ..
    } = fixture().await;
    let key = namespace_key(&namespace("ns"));
    let seen_empty = pointers.get(&key).await.unwrap().unwrap();
    catalog.create_table(&table("t"), creation()).await.unwrap();
    let drop = vec![Change::delete(key, seen_empty)];
    assert!(matches!(
        pointers.compare_and_set(drop).await,
        Err(PointerError::Mismatch { .. })
    ));
    let error = catalog.drop_namespace(&namespace("ns")).await.unwrap_err();
    assert_eq!(error, CatalogError::NamespaceNotEmpty("ns".to_owned()));
}

async fn call(
    catalog: &Arc<Catalog>,
    method: Method,
    path: &str,
    body: Value,
) -> (StatusCode, Value) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("X-Iceberg-Access-Delegation", "vended-credentials")
        .body(Body::from(body.to_string()))
        .unwrap();
    let response = http::router(catalog.clone())
        .oneshot(request)
        .await
        .unwrap();
    let status = response.status();
    let bytes = to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (
        status,
        serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    )
}

/// Method, path, body, status, and a piece of the answer ("" for none).
#[tokio::test]
async fn the_rest_routes_answer_as_specified() {
    let Fixture { catalog, .. } = fixture().await;
    let create = json!({"name": "t", "schema": schema(), "properties": {"format-version": "2"}});
    let staged = json!({"name": "s", "schema": schema(), "stage-create": true});
    let rename = json!({
        "source": {"namespace": ["ns"], "name": "t"},
        "destination": {"namespace": ["ns", "in"], "name": "u"},
    });
    let uuid = json!({"type": "assert-table-uuid", "uuid": Uuid::nil()});
    let wrong_base = json!({"requirements": [uuid], "updates": []});
    let inner = json!({"namespace": ["ns", "in"]});
    let change = |name: &str| {
        let identifier = json!({"namespace": ["ns"], "name": name});
        json!({"table-changes": [{"identifier": identifier, "requirements": [], "updates": []}]})
    };
    let (get, post, delete, head) = (Method::GET, Method::POST, Method::DELETE, Method::HEAD);
    let t = "/v1/namespaces/ns/tables/t";
    let u = "/v1/namespaces/ns%1Fin/tables/u";
    for (method, path, body, status, piece) in [
        (
            &get,
            "/v1/config?warehouse=x",
            Value::Null,
            200,
            "/endpoints/0",
        ),
        (&post, "/v1/namespaces", inner.clone(), 200, "/namespace/1"),
        (
            &post,
            "/v1/namespaces",
            inner,
            409,
            "AlreadyExistsException",
        ),
        (
            &get,
            "/v1/namespaces?pageToken=&pageSize=10",
            Value::Null,
            200,
            "/namespaces/0",
        ),
        (
            &get,
            "/v1/namespaces?parent=ns",
            Value::Null,
            200,
            "/namespaces/0/1",
        ),
        (
            &get,
            "/v1/namespaces?parent=no",
            Value::Null,
            404,
            "NoSuchNamespaceException",
        ),
        (&head, "/v1/namespaces/ns%1Fin", Value::Null, 204, ""),
        (&head, "/v1/namespaces/no", Value::Null, 404, ""),
        (
            &post,
            "/v1/namespaces/ns/tables",
            staged,
            200,
            "/metadata/table-uuid",
        ),
        (&head, "/v1/namespaces/ns/tables/s", Value::Null, 404, ""),
        (
            &post,
            "/v1/namespaces/ns/tables",
            create.clone(),
            200,
            "/metadata-location",
        ),
        (
            &post,
            "/v1/namespaces/ns/tables",
            create,
            409,
            "AlreadyExistsException",
        ),
        (
            &post,
            "/v1/namespaces/ns/tables",
            json!({"x": 1}),
            400,
            "BadRequestException",
        ),
        (
            &get,
            "/v1/namespaces/ns/tables",
            Value::Null,
            200,
            "/identifiers/0/name",
        ),
        (&get, t, Value::Null, 200, "/metadata/schemas/0"),
        (&head, t, Value::Null, 204, ""),
        (&post, t, wrong_base, 409, "CommitFailedException"),
        (
            &post,
            t,
            json!({"requirements": [], "updates": []}),
            200,
            "/metadata",
        ),
        (&post, "/v1/transactions/commit", change("t"), 204, ""),
        (
            &post,
            "/v1/transactions/commit",
            change("no"),
            404,
            "NoSuchTableException",
        ),
        (
            &delete,
            "/v1/namespaces/ns",
            Value::Null,
            409,
            "NamespaceNotEmptyException",
        ),
        (&post, "/v1/tables/rename", rename, 204, ""),
        (&get, t, Value::Null, 404, "NoSuchTableException"),
        (
            &delete,
            &format!("{u}?purgeRequested=True"),
            Value::Null,
            406,
            "UnsupportedOperationException",
        ),
        (
            &delete,
            &format!("{u}?purgeRequested=false"),
            Value::Null,
            204,
            "",
        ),
        (&delete, u, Value::Null, 404, "NoSuchTableException"),
        (&delete, "/v1/namespaces/ns%1Fin", Value::Null, 204, ""),
        (&get, "/v1/views", Value::Null, 404, "NotFoundException"),
    ] {
        let (got, answer) = call(&catalog, method.clone(), path, body).await;
        assert_eq!(got.as_u16(), status, "{method} {path}: {answer}");
        if piece.starts_with('/') {
            assert!(
                answer.pointer(piece).is_some(),
                "{method} {path}: no {piece} in {answer}"
            );
        } else if !piece.is_empty() {
            assert_eq!(answer["error"]["type"], piece, "{method} {path}");
            assert_eq!(answer["error"]["code"], status, "{method} {path}");
        }
    }
}
