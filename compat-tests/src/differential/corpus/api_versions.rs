//! ApiVersions: what is listed, and the way down from versions that are too new (KIP-511).

use std::time::Duration;

use serde_json::json;

use super::super::line::header;
use super::super::talk::{Outcome, Talk};
use super::{Script, script};

pub const SCRIPTS: &[Script] = &[
    script("api-versions/versions", versions),
    script("api-versions/names", names),
    script("api-versions/too-new", too_new),
];

fn versions(talk: &mut Talk) -> Outcome {
    let body = json!({"client_software_name": "differential", "client_software_version": "1.0"});
    talk.sweep("listed", "ApiVersions", |_| body.clone())
}

fn names(talk: &mut Talk) -> Outcome {
    for (name, version) in [
        ("", "1"),
        ("a", ""),
        ("", ""),
        ("a b", "1"),
        ("a", "1 0"),
        ("-a", "1"),
        ("a-", "1"),
        ("a.", "1"),
        ("a.b-c", "1.0-rc"),
        ("ä", "1"),
        ("a_b", "1"),
        ("a", "v1.2.3"),
    ] {
        let body = json!({"client_software_name": name, "client_software_version": version});
        talk.ask(&format!("{name:?} {version:?}"), "ApiVersions", 3, body)?;
    }
    Ok(())
}

fn too_new(talk: &mut Talk) -> Outcome {
    let compact = [0, 2, b'a', 2, b'1', 0];
    for (case, version, body) in [
        ("v5", 5, &compact[..]),
        ("v99", 99, &compact[..]),
        ("v99 without a body", 99, &[][..]),
        ("v99 with a body nobody knows", 99, &[0xff; 9][..]),
        ("v-1", -1, &[][..]),
    ] {
        let content = [header(18, version, 3, Some("c")), body.to_vec()].concat();
        let mut bytes = (content.len() as i32).to_be_bytes().to_vec();
        bytes.extend(content);
        talk.raw(
            case,
            &bytes,
            Some(("ApiVersions", 0)),
            Duration::from_secs(2),
        )?;
    }
    Ok(())
}
