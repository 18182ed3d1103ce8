//! `docs/APIS.md`, made from the list of APIs. `tidelog api docs` prints it; a test compares it
//! with the file.

use std::fmt::Write as _;

use super::APIS;

/// The whole document.
pub fn markdown() -> String {
    let mut out = String::from(
        "# APIs\n\n\
         Every request the broker answers, by API key. Requests with another key or version close\n\
         the connection, as in Kafka. Made by `tidelog api docs`; edit the list in\n\
         `broker/src/api/mod.rs` instead.\n\n\
         | Key | API | Versions | Advertised | Before login | Note |\n|---|---|---|---|---|---|\n",
    );
    for api in APIS {
        let before_login = if api.before_login { "yes" } else { "" };
        let _ = writeln!(
            out,
            "| {} | {} | {}–{} | {}–{} | {before_login} | {} |",
            api.key, api.name, api.min, api.max, api.advertised_min, api.max, api.note
        );
    }
    out
}
