//! `receipt.json`: what the run did and measured, step by step, and whether it passed.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::Options;

/// The receipt in the making; written anew with every step.
#[derive(Debug)]
pub(crate) struct Receipt {
    /// `None` until the data folder is there.
    path: Option<PathBuf>,
    fields: Map<String, Value>,
}

impl Receipt {
    pub(crate) fn new(options: &Options) -> Self {
        let mut fields = Map::new();
        fields.insert("passed".into(), false.into());
        fields.insert("tidelog".into(), env!("CARGO_PKG_VERSION").into());
        fields.insert("orders".into(), options.orders.into());
        fields.insert("seed".into(), options.seed.clone().into());
        Self { path: None, fields }
    }

    /// Where it is written from now on.
    pub(crate) fn keep_at(&mut self, path: PathBuf) {
        self.path = Some(path);
    }

    /// Adds what a step found.
    pub(crate) fn step(&mut self, name: &str, found: &impl Serialize) -> Result<()> {
        self.fields
            .insert(name.into(), serde_json::to_value(found)?);
        self.write()
    }

    pub(crate) fn took(&mut self, time: Duration) {
        self.fields
            .insert("seconds".into(), json!(time.as_secs_f64()));
    }

    pub(crate) fn passed(&mut self) -> Result<()> {
        self.fields.insert("passed".into(), true.into());
        self.write()
    }

    /// The failure itself is what the caller reports, so one to write is passed over.
    pub(crate) fn failed(&mut self, error: &anyhow::Error) {
        self.fields.insert("passed".into(), false.into());
        self.fields
            .insert("failure".into(), format!("{error:#}").into());
        let _ = self.write();
    }

    fn write(&self) -> Result<()> {
        let Some(path) = &self.path else {
            return Ok(());
        };
        let text = serde_json::to_string_pretty(&self.fields)?;
        std::fs::write(path, text + "\n").with_context(|| format!("writing {}", path.display()))
    }
}
