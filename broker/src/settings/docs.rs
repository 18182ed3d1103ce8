//! `docs/CONFIG.md`, made from the table. `tidelog config docs` prints it; a test compares it
//! with the file.

use std::fmt::Write as _;

use super::{Row, TABLE, Update};

/// The whole document.
pub fn markdown() -> String {
    let mut out = String::from(
        "# Settings\n\n\
         Written in a `.properties` file (`--config FILE`), as command line flags, or as\n\
         `--set key=value`; the later of these wins. Names that do not begin with `tidelog.` are\n\
         Kafka's. *Dynamic* settings can be changed while the broker runs. Made by\n\
         `tidelog config docs`; edit the table in `broker/src/settings/table.rs` instead.\n",
    );
    let mut section = "";
    for row in TABLE {
        if row.section != section {
            section = row.section;
            let _ = write!(
                out,
                "\n## {section}\n\n| Name | Default | Accepts | What it does |\n|---|---|---|---|\n"
            );
        }
        out.push_str(&line(row));
    }
    out
}

fn line(row: &Row) -> String {
    let aliases: String = row
        .aliases
        .iter()
        .map(|alias| format!(", `{alias}`"))
        .collect();
    let default = if row.default.is_empty() {
        String::new()
    } else {
        format!("`{}`", row.default)
    };
    let dynamic = if row.update == Update::Dynamic {
        " *Dynamic.*"
    } else {
        ""
    };
    let accepted = row.accepted().replace('|', "\\|");
    format!(
        "| `{}`{aliases} | {default} | {accepted} | {}{dynamic} |\n",
        row.name, row.doc
    )
}
