//! What a broker answered in a script, and the files in which it is kept.
//!
//! A file is JSON with one answer per line; versions that were answered alike share a line.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::normal::canonical;
use super::schema::parse_versions;

/// The answer to one request of one version, normalised. In place of a tree there may be one of the
/// texts [`CLOSED`], [`SILENCE`] and [`NOT_SERVED`].
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub step: String,
    pub api: String,
    pub version: i16,
    pub answer: Value,
}

/// The broker closed the connection.
pub const CLOSED: &str = "closed";
/// The broker did not answer in time.
pub const SILENCE: &str = "silence";
/// The broker does not list the API in this version, so it was not asked.
pub const NOT_SERVED: &str = "not served";

/// One script's answers, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Transcript {
    pub entries: Vec<Entry>,
    /// Why the script ended early.
    pub stopped: Option<String>,
}

impl Transcript {
    pub fn find(&self, step: &str, api: &str, version: i16) -> Option<&Entry> {
        let mut entries = self.entries.iter();
        entries.find(|entry| entry.step == step && entry.api == api && entry.version == version)
    }
}

/// Transcripts by the name of their script.
pub type Transcripts = BTreeMap<String, Transcript>;

/// Reads all files of a folder.
pub fn read(folder: &Path) -> Result<Transcripts> {
    let mut all = Transcripts::new();
    for file in std::fs::read_dir(folder).with_context(|| format!("{}", folder.display()))? {
        let path = file?.path();
        let text = std::fs::read_to_string(&path)?;
        let place = || format!("{}", path.display());
        for (script, lines) in parse(&text).with_context(place)? {
            all.insert(script, lines);
        }
    }
    Ok(all)
}

/// Writes one file per family, which is what a script's name has before `/`.
pub fn write(folder: &Path, all: &Transcripts) -> Result<()> {
    let mut families: BTreeMap<&str, String> = BTreeMap::new();
    for (script, transcript) in all {
        let family = script.split('/').next().unwrap_or(script);
        let text = families.entry(family).or_insert_with(|| "{".to_owned());
        let comma = if text.len() > 1 { "," } else { "" };
        write!(text, "{comma}\n{}: [", json!(script))?;
        let lines: Vec<String> = lines(transcript).iter().map(canonical).collect();
        write!(text, "\n  {}\n]", lines.join(",\n  "))?;
    }
    std::fs::create_dir_all(folder)?;
    for (family, text) in families {
        std::fs::write(folder.join(format!("{family}.json")), text + "\n}\n")?;
    }
    Ok(())
}

fn lines(transcript: &Transcript) -> Vec<Value> {
    let mut lines: Vec<(i16, i16, &Entry)> = Vec::new();
    for entry in &transcript.entries {
        match lines.last_mut() {
            Some((_, last, first))
                if (&first.step, &first.api, &first.answer)
                    == (&entry.step, &entry.api, &entry.answer)
                    && *last + 1 == entry.version =>
            {
                *last = entry.version;
            }
            _ => lines.push((entry.version, entry.version, entry)),
        }
    }
    let line = |(first, last, entry): (i16, i16, &Entry)| {
        let versions = match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        };
        let (step, api, answer) = (&entry.step, &entry.api, &entry.answer);
        json!({"step": step, "api": api, "versions": versions, "answer": answer})
    };
    lines.into_iter().map(line).collect()
}

fn parse(text: &str) -> Result<Transcripts> {
    let file: BTreeMap<String, Vec<Value>> = serde_json::from_str(text)?;
    let mut transcripts = Transcripts::new();
    for (script, lines) in file {
        let mut transcript = Transcript::default();
        for line in lines {
            let text = |field: &str| line[field].as_str().context("a text is missing");
            for version in parse_versions(text("versions")?, &(0..=i16::MAX))? {
                transcript.entries.push(Entry {
                    step: text("step")?.to_owned(),
                    api: text("api")?.to_owned(),
                    version,
                    answer: line["answer"].clone(),
                });
            }
        }
        transcripts.insert(script, transcript);
    }
    Ok(transcripts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_what_was_written() {
        let entry = |version, code| Entry {
            step: "s".into(),
            api: "A".into(),
            version,
            answer: json!({ "code": code }),
        };
        let entries = vec![entry(0, 1), entry(1, 1), entry(2, 5)];
        let transcript = Transcript {
            entries,
            stopped: None,
        };
        assert_eq!(lines(&transcript).len(), 2);
        let all = Transcripts::from([("x/y".to_owned(), transcript)]);
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &all).unwrap();
        assert_eq!(read(folder.path()).unwrap(), all);
    }
}
