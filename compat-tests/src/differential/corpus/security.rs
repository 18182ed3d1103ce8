//! Logins, access lists, credentials and tokens on a broker that asks for none of them.

use serde_json::{Value, json};

use super::super::talk::{Outcome, Talk};
use super::bodies::with;
use super::{Script, script};

pub const SCRIPTS: &[Script] = &[
    script("security/sasl", sasl),
    script("security/acls", acls),
    script("security/scram", scram),
    script("security/scram-bad", scram_bad),
    script("security/tokens", tokens),
];

fn sasl(talk: &mut Talk) -> Outcome {
    for mechanism in ["PLAIN", "NONSENSE", ""] {
        let body = json!({ "mechanism": mechanism });
        talk.sweep(&format!("{mechanism:?}"), "SaslHandshake", |_| body.clone())?;
    }
    talk.sweep(
        "a token",
        "SaslAuthenticate",
        |_| json!({"auth_bytes": "00610062"}),
    )?;
    Ok(())
}

fn acls(talk: &mut Talk) -> Outcome {
    let filter = json!({"resource_type_filter": 1, "resource_name_filter": null, "pattern_type_filter": 1,
        "principal_filter": null, "host_filter": null, "operation": 1, "permission_type": 1});
    talk.sweep("all", "DescribeAcls", |_| filter.clone())?;
    let entry = json!({"resource_type": 2, "resource_name": "t", "resource_pattern_type": 3,
        "principal": "User:a", "host": "*", "operation": 3, "permission_type": 3});
    talk.sweep("one", "CreateAcls", |_| json!({ "creations": [entry] }))?;
    let filter = json!({"resource_type_filter": 2, "resource_name_filter": "t", "pattern_type_filter": 3,
        "principal_filter": null, "host_filter": null, "operation": 1, "permission_type": 1});
    talk.sweep("one", "DeleteAcls", |_| json!({ "filters": [filter] }))?;
    Ok(())
}

fn upserted(user: &str, mechanism: i8, iterations: i32, password: &str) -> Value {
    json!({"upsertions": [{"name": user, "mechanism": mechanism, "iterations": iterations,
        "salt": "0102030405", "salted_password": password}]})
}

fn scram(talk: &mut Talk) -> Outcome {
    let user = talk.name("alice");
    let password = "ab".repeat(32);
    let api = "AlterUserScramCredentials";
    let described = json!({"users": [{"name": user}]});
    talk.ask(
        "nobody",
        "DescribeUserScramCredentials",
        0,
        described.clone(),
    )?;
    talk.ask("set", api, 0, upserted(&user, 1, 4096, &password))?;
    let there = |answer: &Value| answer["results"][0]["error_code"] == 0;
    talk.until(
        "is there",
        "DescribeUserScramCredentials",
        0,
        described.clone(),
        there,
    )?;
    talk.ask(
        "another mechanism",
        api,
        0,
        upserted(&user, 2, 8192, &password),
    )?;
    let both = |answer: &Value| {
        answer["results"][0]["credential_infos"]
            .as_array()
            .is_some_and(|all| all.len() == 2)
    };
    talk.until(
        "both are there",
        "DescribeUserScramCredentials",
        0,
        described.clone(),
        both,
    )?;
    let twice = json!({"users": [{"name": user}, {"name": user}, {"name": talk.name("bob")}]});
    talk.ask("twice and nobody", "DescribeUserScramCredentials", 0, twice)?;
    for mechanism in [1, 2] {
        let body = json!({"deletions": [{"name": user, "mechanism": mechanism}]});
        talk.ask(&format!("deleted {mechanism}"), api, 0, body)?;
    }
    let gone = |answer: &Value| answer["results"][0]["error_code"] != 0;
    talk.until(
        "is gone",
        "DescribeUserScramCredentials",
        0,
        described,
        gone,
    )?;
    Ok(())
}

fn scram_bad(talk: &mut Talk) -> Outcome {
    let user = talk.name("carol");
    let password = "ab".repeat(32);
    let api = "AlterUserScramCredentials";
    for (case, body) in [
        ("too few iterations", upserted(&user, 1, 4095, &password)),
        ("too many iterations", upserted(&user, 1, 16_385, &password)),
        ("no mechanism", upserted(&user, 0, 4096, &password)),
        ("no such mechanism", upserted(&user, 3, 4096, &password)),
        ("no user", upserted("", 1, 4096, &password)),
        ("no password", upserted(&user, 1, 4096, "")),
        (
            "no salt",
            with(
                upserted(&user, 1, 4096, &password),
                "/upsertions/0/salt",
                "",
            ),
        ),
        (
            "deleted, not there",
            json!({"deletions": [{"name": user, "mechanism": 1}]}),
        ),
        (
            "set and deleted",
            with(
                upserted(&user, 1, 4096, &password),
                "/deletions",
                json!([{"name": user, "mechanism": 1}]),
            ),
        ),
        ("nothing", json!({})),
    ] {
        talk.ask(case, api, 0, body)?;
    }
    talk.ask(
        "an empty name",
        "DescribeUserScramCredentials",
        0,
        json!({"users": [{"name": ""}]}),
    )?;
    Ok(())
}

fn tokens(talk: &mut Talk) -> Outcome {
    talk.sweep(
        "a token",
        "CreateDelegationToken",
        |_| json!({"renewers": [], "max_lifetime_ms": -1}),
    )?;
    talk.sweep(
        "a token",
        "RenewDelegationToken",
        |_| json!({"hmac": "0102", "renew_period_ms": 1}),
    )?;
    talk.sweep(
        "a token",
        "ExpireDelegationToken",
        |_| json!({"hmac": "0102", "expiry_time_period_ms": 1}),
    )?;
    talk.sweep(
        "all",
        "DescribeDelegationToken",
        |_| json!({"owners": null}),
    )?;
    Ok(())
}
