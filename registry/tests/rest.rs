//! The REST API, request by request: bodies, error codes, and what has to be so before.

mod support;

use serde_json::{Value, json};
use support::{World, avro, avro_text};

const NOTHING: Value = Value::Null;

#[tokio::test]
async fn a_schema_has_one_id_wherever_it_is_registered() {
    let world = World::new();
    assert_eq!(world.register("a", "x").await, 1);
    assert_eq!(world.register("a", "x").await, 1, "registered again");
    assert_eq!(world.register("b", "x").await, 1, "another subject");
    assert_eq!(world.register("b", "x y?").await, 2);
    let blanks = avro_text("x").replace(':', " : ");
    let again = world
        .ok("POST /subjects/a/versions", json!({"schema": blanks}))
        .await;
    assert_eq!((&again["id"], &again["version"]), (&json!(1), &json!(1)));

    assert_eq!(world.ok("GET /subjects", NOTHING).await, json!(["a", "b"]));
    assert_eq!(
        world.ok("GET /subjects/b/versions", NOTHING).await,
        json!([1, 2])
    );
    let found = world
        .ok("GET /schemas/ids/2?fetchMaxId=true", NOTHING)
        .await;
    let text: Value = serde_json::from_str(found["schema"].as_str().unwrap()).unwrap();
    let sent: Value = serde_json::from_str(&avro_text("x y?")).unwrap();
    assert_eq!(text, sent);
    assert_eq!(
        (&found["schemaType"], &found["maxId"]),
        (&json!("AVRO"), &json!(2))
    );
    assert_eq!(
        world.ok("GET /schemas/ids/1/subjects", NOTHING).await,
        json!(["a", "b"])
    );
    assert_eq!(
        world.ok("GET /schemas/ids/1/versions", NOTHING).await,
        json!([{"subject": "a", "version": 1}, {"subject": "b", "version": 1}])
    );
    let latest = world.ok("GET /subjects/b/versions/latest", NOTHING).await;
    assert_eq!((&latest["version"], &latest["id"]), (&json!(2), &json!(2)));
    assert_eq!(
        latest,
        world.ok("GET /subjects/b/versions/-1", NOTHING).await
    );
    let text = world.ok("GET /subjects/b/versions/2/schema", NOTHING).await;
    assert_eq!(text["name"], "R");
    let by_guid = format!("GET /schemas/guids/{}", latest["guid"].as_str().unwrap());
    assert_eq!(
        world.ok(&by_guid, NOTHING).await["schema"],
        latest["schema"]
    );
    let looked_up = world.ok("POST /subjects/b", avro("x y?")).await;
    assert_eq!(
        (&looked_up["version"], &looked_up["subject"]),
        (&json!(2), &json!("b"))
    );
    assert_eq!(
        world
            .ok("GET /schemas", NOTHING)
            .await
            .as_array()
            .unwrap()
            .len(),
        3
    );
    let latest_only = world
        .ok("GET /schemas?latestOnly=true&subjectPrefix=b", NOTHING)
        .await;
    assert_eq!(latest_only.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_is_not_there_and_what_is_no_request() {
    let world = World::new();
    world.register("a", "x").await;
    let huge = json!({"schema": "\"".repeat(9 << 20)});
    for (request, body, code) in [
        ("GET /subjects/none/versions", NOTHING, 40401),
        ("GET /subjects/none/versions/1", NOTHING, 40401),
        ("GET /subjects/a/versions/2", NOTHING, 40402),
        ("GET /subjects/a/versions/0", NOTHING, 42202),
        ("GET /subjects/a/versions/first", NOTHING, 42202),
        ("GET /schemas/ids/9", NOTHING, 40403),
        ("GET /schemas/ids/9/versions", NOTHING, 40403),
        ("GET /schemas/ids/x", NOTHING, 404),
        ("GET /schemas/guids/x", NOTHING, 40403),
        ("POST /subjects/none", avro("x"), 40401),
        ("POST /subjects/a", avro("y"), 40403),
        ("POST /subjects/a/versions", NOTHING, 422),
        ("POST /subjects/a/versions", json!([1]), 400),
        ("POST /subjects/a/versions", json!({"schema": "{"}), 42201),
        ("POST /subjects/new/versions", json!({"schema": ""}), 42201),
        (
            "POST /subjects/a/versions",
            json!({"schema": "1", "schemaType": "XML"}),
            42201,
        ),
        ("POST /subjects/a/versions", huge, 413),
        ("POST /subjects/:.dev:a/versions", avro("x"), 42208),
        ("POST /subjects/a%0Ab/versions", avro("x"), 42208),
        ("DELETE /subjects/none", NOTHING, 40401),
        ("DELETE /subjects/a/versions/7", NOTHING, 40402),
        ("GET /config/a", NOTHING, 40408),
        ("DELETE /config/a", NOTHING, 40401),
        ("PUT /config/a", json!({"compatibility": "SIDEWAYS"}), 42203),
        ("PUT /config", json!({"validateFields": true}), 42205),
        ("GET /mode/a", NOTHING, 40409),
        ("PUT /mode", json!({"mode": "SLEEP"}), 42204),
        ("GET /nowhere", NOTHING, 404),
        ("PATCH /subjects", NOTHING, 405),
    ] {
        assert_eq!(world.code(request, body).await, code, "{request}");
    }
    let long = json!({"schema": format!("\"{}\"", "x".repeat(1 << 20))});
    assert_eq!(world.code("POST /subjects/a/versions", long).await, 42209);
    assert_eq!(world.ok("GET /contexts", NOTHING).await, json!(["."]));
    assert_eq!(world.ok("GET /", NOTHING).await, json!({}));
}

#[tokio::test]
async fn names_with_slashes_and_the_default_context() {
    let world = World::new();
    let name = "a%2Fb.c%20%C3%A9";
    world.register(name, "x").await;
    world.register(":.:plain", "x").await;
    assert_eq!(
        world.ok("GET /subjects", NOTHING).await,
        json!(["a/b.c é", "plain"])
    );
    let found = world
        .ok(&format!("GET /subjects/{name}/versions/1"), NOTHING)
        .await;
    assert_eq!(found["subject"], "a/b.c é");
    for (prefix, names) in [
        (":*:", json!(["a/b.c é", "plain"])),
        (":.:pl", json!(["plain"])),
        (":.dev:", json!([])),
    ] {
        let request = format!("GET /subjects?subjectPrefix={prefix}");
        assert_eq!(world.ok(&request, NOTHING).await, names);
    }
}

#[tokio::test]
async fn levels_decide_what_may_follow() {
    // Level, second schema after "x y", third after both, and whether each is taken.
    for (level, second, third) in [
        ("NONE", ("z", true), ("x", true)),
        ("BACKWARD", ("x", true), ("x z", false)),
        ("BACKWARD", ("x z", false), ("x y z?", true)),
        ("FORWARD", ("x", false), ("x y z", true)),
        ("FULL", ("x y z", false), ("x y z?", true)),
        ("BACKWARD", ("x", true), ("x y?", true)),
        ("FORWARD", ("x y z", true), ("x z", false)),
        ("FULL_TRANSITIVE", ("x y z?", true), ("x y z? w", false)),
    ] {
        let world = World::new();
        world
            .ok("PUT /config/s", json!({"compatibility": level}))
            .await;
        world.register("s", "x y").await;
        for (fields, is_taken) in [second, third] {
            let test = "POST /compatibility/subjects/s/versions?verbose=true";
            let tested = world.ok(test, avro(fields)).await;
            assert_eq!(
                tested["is_compatible"], is_taken,
                "{level} {fields}: {tested}"
            );
            assert_eq!(tested["messages"] == json!([]), is_taken);
            let request = "POST /subjects/s/versions";
            match is_taken {
                true => drop(world.ok(request, avro(fields)).await),
                false => assert_eq!(world.code(request, avro(fields)).await, 409),
            }
        }
    }
}

#[tokio::test]
async fn transitive_levels_look_at_every_version() {
    for (level, code) in [("BACKWARD", None), ("BACKWARD_TRANSITIVE", Some(409))] {
        let world = World::new();
        world
            .ok("PUT /config", json!({"compatibility": level}))
            .await;
        world.register("s", "x").await;
        world.register("s", "x y?").await;
        // Version 2 always wrote y, version 1 never did.
        let request = "POST /subjects/s/versions";
        let (status, answer) = world.call(request, avro("x y")).await;
        assert_eq!(code.unwrap_or(200), status, "{answer}");
        let against = "POST /compatibility/subjects/s/versions/1";
        assert_eq!(world.ok(against, avro("x y")).await["is_compatible"], false);
        let against = "POST /compatibility/subjects/s/versions/9";
        assert_eq!(world.code(against, avro("x y")).await, 40402);
        let latest = "POST /compatibility/subjects/none/versions/latest";
        assert_eq!(world.ok(latest, avro("x y")).await["is_compatible"], true);
    }
}

#[tokio::test]
async fn deleting_hides_first_and_removes_then() {
    let world = World::new();
    world.register("s", "x").await;
    world.register("s", "x y?").await;
    let one = "DELETE /subjects/s/versions/1";
    let for_good = "DELETE /subjects/s/versions/1?permanent=true";
    assert_eq!(world.code(for_good, NOTHING).await, 40407);
    assert_eq!(world.ok(one, NOTHING).await, 1);
    assert_eq!(world.code(one, NOTHING).await, 40406);
    assert_eq!(
        world.code("GET /subjects/s/versions/1", NOTHING).await,
        40402
    );
    world
        .ok("GET /subjects/s/versions/1?deleted=true", NOTHING)
        .await;
    world.ok("GET /schemas/ids/1", NOTHING).await;
    assert_eq!(
        world.ok("GET /subjects/s/versions", NOTHING).await,
        json!([2])
    );
    let negative = "GET /subjects/s/versions?deletedAsNegative=true";
    assert_eq!(world.ok(negative, NOTHING).await, json!([-1, 2]));
    assert_eq!(world.ok(for_good, NOTHING).await, 1);
    assert_eq!(world.code("GET /schemas/ids/1", NOTHING).await, 40403);

    world
        .ok("PUT /config/s", json!({"compatibility": "FULL"}))
        .await;
    let subject = "DELETE /subjects/s";
    let for_good = "DELETE /subjects/s?permanent=true";
    assert_eq!(world.code(for_good, NOTHING).await, 40405);
    assert_eq!(world.ok(subject, NOTHING).await, json!([2]));
    assert_eq!(world.code(subject, NOTHING).await, 40404);
    assert_eq!(world.ok("GET /subjects", NOTHING).await, json!([]));
    assert_eq!(
        world.ok("GET /subjects?deleted=true", NOTHING).await,
        json!(["s"])
    );
    assert_eq!(
        world.ok("GET /subjects?deletedOnly=true", NOTHING).await,
        json!(["s"])
    );
    assert_eq!(world.ok(for_good, NOTHING).await, json!([2]));
    assert_eq!(world.code("GET /config/s", NOTHING).await, 40408);
    assert_eq!(world.register("s", "x").await, 3, "no id is given twice");
    assert_eq!(
        world.ok("GET /subjects/s/versions", NOTHING).await,
        json!([1])
    );
}

#[tokio::test]
async fn a_deleted_schema_comes_back_as_the_next_version() {
    let world = World::new();
    world.register("s", "x").await;
    world.register("s", "x y?").await;
    world.ok("DELETE /subjects/s/versions/1", NOTHING).await;
    assert_eq!(world.register("s", "x").await, 1);
    assert_eq!(
        world.ok("GET /subjects/s/versions", NOTHING).await,
        json!([2, 3])
    );
    let all = "GET /subjects/s/versions?deleted=true";
    assert_eq!(world.ok(all, NOTHING).await, json!([2, 3]), "1 gave way");
}

#[tokio::test]
async fn references_lead_somewhere_and_hold_what_they_lead_to() {
    let world = World::new();
    world.register("base", "x").await;
    let referring = |version: i32| {
        let reference = json!({"name": "R", "subject": "base", "version": version});
        json!({"schema": "[\"R\",\"null\"]", "references": [reference]})
    };
    assert_eq!(
        world
            .code("POST /subjects/user/versions", referring(2))
            .await,
        42201
    );
    let first = world
        .ok("POST /subjects/user/versions", referring(-1))
        .await;
    assert_eq!(
        first["references"][0]["version"], 1,
        "latest is what it was then"
    );
    let again = world.ok("POST /subjects/user/versions", referring(1)).await;
    assert_eq!(again["id"], first["id"]);
    let by = "GET /subjects/base/versions/1/referencedby";
    assert_eq!(world.ok(by, NOTHING).await, json!([first["id"]]));

    assert_eq!(
        world
            .code("DELETE /subjects/base/versions/1", NOTHING)
            .await,
        42206
    );
    assert_eq!(world.code("DELETE /subjects/base", NOTHING).await, 42206);
    world.ok("DELETE /subjects/user", NOTHING).await;
    assert_eq!(world.ok(by, NOTHING).await, json!([]));
    world.ok("DELETE /subjects/base", NOTHING).await;
    // The deleted schema can still be registered anew, so what it needs stays.
    let for_good = "DELETE /subjects/base?permanent=true";
    assert_eq!(world.code(for_good, NOTHING).await, 42206);
    world.ok("POST /subjects/user/versions", referring(1)).await;
}

#[tokio::test]
async fn config_is_set_merged_and_taken_back() {
    let world = World::new();
    let global = "GET /config";
    assert_eq!(
        world.ok(global, NOTHING).await,
        json!({"compatibilityLevel": "BACKWARD"})
    );
    let set = world
        .ok("PUT /config", json!({"compatibility": "full"}))
        .await;
    assert_eq!(set, json!({"compatibility": "FULL"}));
    let set = world.ok("PUT /config/s", json!({"normalize": true})).await;
    assert_eq!(set, json!({"normalize": true}));
    assert_eq!(
        world.ok("GET /config/s", NOTHING).await,
        json!({"normalize": true})
    );
    let scoped = "GET /config/s?defaultToGlobal=true";
    let merged = json!({"compatibilityLevel": "FULL", "normalize": true});
    assert_eq!(world.ok(scoped, NOTHING).await, merged);
    let taken_back = world.ok("PUT /config/s", json!({"normalize": null})).await;
    assert_eq!(taken_back, json!({}));
    assert_eq!(world.code("GET /config/s", NOTHING).await, 40408);
    let before = world.ok("DELETE /config", NOTHING).await;
    assert_eq!(before, json!({"compatibilityLevel": "FULL"}));
    assert_eq!(
        world.ok(global, NOTHING).await,
        json!({"compatibilityLevel": "BACKWARD"})
    );

    world.register("long", "x").await;
    world
        .ok("PUT /config/short", json!({"alias": "long"}))
        .await;
    assert_eq!(
        world.ok("GET /subjects/short/versions", NOTHING).await,
        json!([1])
    );
}

#[tokio::test]
async fn modes_decide_what_may_change() {
    let world = World::new();
    world.register("s", "x").await;
    assert_eq!(
        world.ok("GET /mode", NOTHING).await,
        json!({"mode": "READWRITE"})
    );
    world.ok("PUT /mode/s", json!({"mode": "READONLY"})).await;
    let register = "POST /subjects/s/versions";
    assert_eq!(world.code(register, avro("x y?")).await, 42205);
    assert_eq!(
        world.ok(register, avro("x")).await["id"],
        1,
        "nothing changes"
    );
    for request in ["DELETE /subjects/s", "DELETE /subjects/s/versions/1"] {
        assert_eq!(world.code(request, NOTHING).await, 42205);
    }
    assert_eq!(
        world.ok("DELETE /mode/s", NOTHING).await,
        json!({"mode": "READONLY"})
    );
    world
        .ok("PUT /mode", json!({"mode": "READONLY_OVERRIDE"}))
        .await;
    world.ok("PUT /mode/s", json!({"mode": "READWRITE"})).await;
    assert_eq!(
        world.code(register, avro("x y?")).await,
        42205,
        "all means all"
    );
    world.ok("PUT /mode", json!({"mode": "READWRITE"})).await;
    world.ok(register, avro("x y?")).await;
}

#[tokio::test]
async fn import_keeps_ids_and_versions() {
    let world = World::new();
    world.register("s", "x").await;
    let import = json!({"mode": "IMPORT"});
    let numbered = |fields: &str, id: i32, version: i32| json!({"schema": avro_text(fields), "id": id, "version": version});
    let register = "POST /subjects/t/versions";
    assert_eq!(world.code(register, numbered("q", 50, 3)).await, 42205);
    assert_eq!(
        world.code("PUT /mode", import.clone()).await,
        42205,
        "s has versions"
    );
    world.ok("PUT /mode/t", import).await;
    assert_eq!(
        world.code(register, avro("q")).await,
        42205,
        "not without an id"
    );
    let taken = world.ok(register, numbered("q", 50, 3)).await;
    assert_eq!((&taken["id"], &taken["version"]), (&json!(50), &json!(3)));
    assert_eq!(world.ok(register, numbered("q", 50, 3)).await["version"], 3);
    assert_eq!(world.code(register, numbered("r", 50, 4)).await, 42205);
    assert_eq!(world.code(register, numbered("q", 51, 4)).await, 42207);
    assert_eq!(world.code(register, numbered("r", 51, 3)).await, 42205);
    world.ok(register, numbered("r", 41, 1)).await;
    assert_eq!(
        world.ok("GET /subjects/t/versions", NOTHING).await,
        json!([1, 3])
    );
    assert_eq!(world.register("s", "x z?").await, 51, "above every id seen");
}

#[tokio::test]
async fn metadata_and_rules_belong_to_a_schema() {
    let world = World::new();
    let register = "POST /subjects/s/versions";
    let plain = world.ok(register, avro("x")).await;
    let mut owned = avro("x");
    owned["metadata"] = json!({"properties": {"owner": "ann"}});
    owned["ruleSet"] = json!({"domainRules": []});
    let other = world.ok(register, owned.clone()).await;
    assert_ne!(plain["id"], other["id"]);
    assert_eq!(world.ok(register, owned.clone()).await["id"], other["id"]);
    let next = world.ok(register, avro("x y?")).await;
    assert_eq!(
        next["metadata"], owned["metadata"],
        "kept from the version before"
    );
    let found = "GET /subjects/s/metadata?key=owner&value=ann";
    assert_eq!(world.ok(found, NOTHING).await["version"], 3);
    assert_eq!(
        world
            .code("GET /subjects/s/metadata?key=owner&value=bob", NOTHING)
            .await,
        40403
    );
    assert_eq!(
        world.ok("POST /subjects/s", avro("x y?")).await["version"],
        3
    );
    let unchanged = world
        .ok(register, json!({"metadata": owned["metadata"]}))
        .await;
    assert_eq!(unchanged["version"], 3, "no text: the one before");
}
