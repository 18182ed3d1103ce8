//! The command line. Flag names and the `ready` line are stable: scripts depend on them.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tracing::{info, warn};

use crate::api;
use crate::logging::{self, LogFormat};
use crate::settings::{self, Inert, Loader, Settings, SettingsError};
use crate::start::{StartError, start};

#[derive(Debug, Parser)]
#[command(
    name = "tidelog",
    version,
    about = "A Kafka-wire-compatible broker whose topics are tables"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the broker until SIGTERM or Ctrl-C
    Serve(Serve),
    /// Show the whole story on a broker of its own: produce, consume, columns, keys, lake
    Quickstart(tidelog_quickstart::Options),
    /// Copy topics and group offsets from another Kafka-compatible cluster
    Migrate(tidelog_migrate::Options),
    #[command(flatten)]
    Console(tidelog_console::Command),
    /// Show the settings of the broker
    #[command(subcommand)]
    Config(Config),
    /// Show the APIs of the broker
    #[command(subcommand, hide = true)]
    Api(Docs),
}

#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one to a process")]
enum Config {
    /// List every setting with its value and where it was written
    List {
        #[command(flatten)]
        sources: Sources,
        /// Print JSON, one array of objects
        #[arg(long)]
        json: bool,
    },
    /// Print docs/CONFIG.md
    #[command(hide = true)]
    Docs,
}

#[derive(Debug, Subcommand)]
enum Docs {
    /// Print docs/APIS.md
    Docs,
}

#[derive(Debug, Args)]
struct Serve {
    #[command(flatten)]
    sources: Sources,
    /// Form of the log on stderr; RUST_LOG chooses what is logged
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

/// Where settings come from: file, then flags, then `--set`.
#[derive(Debug, Args)]
struct Sources {
    /// Settings file in Kafka's server.properties form
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Directory of everything the broker keeps [tidelog.data.dir]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// Address for Kafka clients; port 0 takes a free one [listeners]
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Address told to Kafka clients, if it differs [advertised.listeners]
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<String>,
    /// Address for metrics and health [tidelog.admin.listen]
    #[arg(long, value_name = "HOST:PORT|off")]
    admin: Option<String>,
    /// Address of the Iceberg REST catalog [tidelog.catalog.listen]
    #[arg(long, value_name = "HOST:PORT|off")]
    catalog: Option<String>,
    /// Address of the schema registry [tidelog.registry.listen]
    #[arg(long, value_name = "HOST:PORT|off")]
    registry: Option<String>,
    /// What topics nobody configured become [tidelog.table.mode.default]
    #[arg(long, value_name = "auto|disabled")]
    tables: Option<String>,
    /// Any setting; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl Sources {
    fn load(&self) -> Result<(Settings, Vec<Inert>), SettingsError> {
        let mut loader = Loader::default();
        if let Some(path) = &self.config {
            loader.file(path)?;
        }
        let flags = [
            ("--data-dir", "tidelog.data.dir", &self.data_dir),
            ("--listen", "listeners", &self.listen),
            ("--advertise", "advertised.listeners", &self.advertise),
            ("--admin", "tidelog.admin.listen", &self.admin),
            ("--catalog", "tidelog.catalog.listen", &self.catalog),
            ("--registry", "tidelog.registry.listen", &self.registry),
            ("--tables", "tidelog.table.mode.default", &self.tables),
        ];
        for (flag, name, value) in flags {
            if let Some(value) = value {
                loader.flag(flag, name, value)?;
            }
        }
        self.set.iter().try_for_each(|text| loader.set(text))?;
        loader.finish()
    }
}

/// The exit code of a command that makes no sense, as of one that cannot be parsed.
const MISUSED: u8 = 2;

/// Runs the command of this process and gives its exit code.
pub async fn run() -> ExitCode {
    match Cli::parse().command.run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // stderr may be closed; the exit code still tells.
            let _ = writeln!(io::stderr(), "tidelog: {error}");
            match error.is::<tidelog_console::Misuse>() {
                true => ExitCode::from(MISUSED),
                false => ExitCode::FAILURE,
            }
        }
    }
}

impl Command {
    async fn run(self) -> anyhow::Result<()> {
        match self {
            Command::Serve(serve) => serve.run().await?,
            Command::Quickstart(options) => {
                let tidelog = std::env::current_exe().context("where is this program?")?;
                let shown = tidelog_quickstart::run(options, tidelog).await;
                // With its causes, which errors of `serve` say themselves.
                shown.map_err(|error| anyhow::anyhow!("{error:#}"))?;
            }
            Command::Migrate(options) => {
                let migrated = tidelog_migrate::run(options).await;
                // With its causes, as above.
                migrated.map_err(|error| anyhow::anyhow!("{error:#}"))?;
            }
            Command::Console(command) => tidelog_console::run(command).await?,
            Command::Config(Config::List { sources, json }) => list_settings(&sources, json)?,
            Command::Config(Config::Docs) => print(&settings::docs::markdown()),
            Command::Api(Docs::Docs) => print(&api::docs::markdown()),
        }
        Ok(())
    }
}

impl Serve {
    async fn run(self) -> Result<(), StartError> {
        logging::start(self.log_format);
        let (settings, inert) = self.sources.load()?;
        for Inert {
            name,
            origin,
            reason,
        } in inert
        {
            warn!(%name, %origin, reason, "setting has no effect");
        }
        // Before `ready`, so that whoever waits for the line can stop the broker at once.
        let mut stop = StopSignals::listen();
        let cluster_id = uuid::Uuid::new_v4().simple().to_string();
        let running = start(settings, &cluster_id).await?;
        print(&format!("{}\n", running.ready_line()));
        stop.received().await;
        info!("stopping");
        running.stop().await;
        Ok(())
    }
}

/// SIGTERM and SIGINT.
struct StopSignals(Vec<tokio::signal::unix::Signal>);

impl StopSignals {
    /// Takes the signals over. One that cannot be taken over keeps its usual effect.
    fn listen() -> Self {
        let kinds = [SignalKind::terminate(), SignalKind::interrupt()];
        Self(
            kinds
                .into_iter()
                .filter_map(|kind| signal(kind).ok())
                .collect(),
        )
    }

    async fn received(&mut self) {
        let received = self.0.iter_mut().map(|signal| Box::pin(signal.recv()));
        futures::future::select_all(received).await;
    }
}

fn list_settings(sources: &Sources, as_json: bool) -> Result<(), StartError> {
    let (settings, _) = sources.load()?;
    let lines = settings.describe().map(|setting| {
        (
            setting.row.name,
            setting.value.unwrap_or_default(),
            setting.source.to_string(),
        )
    });
    if as_json {
        let list: Vec<_> = lines
            .map(|(name, value, source)| json!({"name": name, "value": value, "source": source}))
            .collect();
        print(&format!("{}\n", json!(list)));
    } else {
        let text: String = lines
            .map(|(name, value, source)| format!("{name}={value}  # {source}\n"))
            .collect();
        print(&text);
    }
    Ok(())
}

/// Writes to stdout at once. A reader that went away is its own business.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
