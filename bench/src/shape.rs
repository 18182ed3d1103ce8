//! What the rows of a columnar run look like.

use std::fmt::Write as _;

use anyhow::Result;
use clap::ValueEnum;
use serde_json::json;

use crate::orders;

/// Bytes of a text column of [`Shape::Wide`].
const WIDE_TEXT_BYTES: usize = 190;
/// Bytes of a text column of [`Shape::Many`].
const MANY_TEXT_BYTES: usize = 12;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// Orders of 20 columns, some 420 bytes of JSON
    Orders,
    /// 20 columns: 5 ints, 5 longs, 10 texts; some 2 KB of JSON
    Wide,
    /// 110 columns: 20 ints, 30 longs, 10 doubles, 50 texts; some 2.5 KB of JSON
    Many,
}

impl Shape {
    /// Name and type of each column. Types take turns, so that any first few are mixed.
    pub fn columns(self) -> Vec<(String, &'static str)> {
        let of = |count: usize, kinds: &[&'static str]| {
            let column = |at: usize| (format!("column_{at}"), kinds[at % kinds.len()]);
            (0..count).map(column).collect()
        };
        match self {
            Self::Orders => {
                let owned = |(name, of): &(&str, &'static str)| ((*name).to_owned(), *of);
                orders::COLUMNS.iter().map(owned).collect()
            }
            Self::Wide => of(20, &["long", "string", "int", "string"]),
            Self::Many => of(
                110,
                &[
                    "long", "string", "int", "string", "long", "string", "double", "string", "int",
                    "long", "string",
                ],
            ),
        }
    }

    /// The topic configs that make a table of it.
    pub fn configs(self) -> Result<Vec<(String, String)>> {
        let fields: Vec<_> = self
            .columns()
            .iter()
            .map(|(name, of)| json!({"name": name, "type": of}))
            .collect();
        let schema = serde_json::to_string(&json!({ "fields": fields }))?;
        Ok(vec![
            ("tidelog.table.mode".into(), "inline".into()),
            ("tidelog.table.schema".into(), schema),
        ])
    }

    /// Row `n` as JSON, the same each time.
    pub fn row(self, n: u64) -> String {
        let text_bytes = match self {
            Self::Orders => return orders::order(n).to_string(),
            Self::Wide => WIDE_TEXT_BYTES,
            Self::Many => MANY_TEXT_BYTES,
        };
        let mut out = String::from("{");
        for (at, (name, kind)) in self.columns().iter().enumerate() {
            let mixed = mix(n, at as u64);
            let comma = if at > 0 { "," } else { "" };
            let _ = write!(out, "{comma}\"{name}\":");
            // Writing to a string does not fail.
            let _ = match *kind {
                "int" => write!(out, "{}", mixed >> 44),
                "long" => write!(out, "{}", mixed >> 24),
                "double" => write!(out, "{}.25", mixed >> 40),
                _ => write!(out, "\"{}\"", text(mixed, text_bytes)),
            };
        }
        out.push('}');
        out
    }
}

/// Letters that compress about as well as words do.
fn text(mut seed: u64, bytes: usize) -> String {
    const WORDS: [&str; 16] = [
        "amber", "basin", "coral", "delta", "ember", "fjord", "grove", "haven", "inlet", "jetty",
        "kelp", "lagoon", "mist", "north", "ocean", "pier",
    ];
    let mut out = String::with_capacity(bytes + 8);
    while out.len() < bytes {
        seed = mix(seed, 1);
        out.push_str(WORDS[(seed >> 60) as usize]);
        let _ = write!(out, "{:x}", (seed >> 40) & 0xff);
    }
    out.truncate(bytes);
    out
}

/// The finisher of SplitMix64.
fn mix(n: u64, by: u64) -> u64 {
    let mut z = n.wrapping_add((by + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
