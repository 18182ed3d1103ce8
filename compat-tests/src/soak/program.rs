//! The soak programs of the client families; each writes a history.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};
use std::{fmt, thread};

use anyhow::{Context as _, Result};

use crate::workspace;

/// How long a program may take to end when asked.
const END_WAIT: Duration = Duration::from_secs(60);

/// (name, program, library)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    pub name: &'static str,
    program: &'static str,
    library: &'static str,
}

pub const FAMILIES: [Family; 3] = [
    Family {
        name: "py",
        program: "python/run.sh",
        library: "confluent",
    },
    Family {
        name: "java",
        program: "java/run.sh",
        library: "current",
    },
    Family {
        name: "go",
        program: "go/run.sh",
        library: "franz",
    },
];

/// A running program. Dropping it kills it.
pub struct Program {
    pub family: Family,
    /// The history's file is `NAME.jsonl`.
    pub name: String,
    process: Child,
    commands: Option<ChildStdin>,
}

impl Program {
    /// Life number `life` of a family's program.
    pub fn start(family: Family, life: u32, bootstrap: &str, folder: &Path) -> Result<Self> {
        Self::start_as(family, format!("{}-{life}", family.name), bootstrap, folder)
    }

    /// One that only reads, from the start.
    pub fn start_final(family: Family, bootstrap: &str, folder: &Path) -> Result<Self> {
        Self::start_as(family, format!("final-{}", family.name), bootstrap, folder)
    }

    fn start_as(family: Family, name: String, bootstrap: &str, folder: &Path) -> Result<Self> {
        let said = File::create(folder.join(format!("{name}.said")))?;
        let program = workspace()
            .join("compat-tests/clients")
            .join(family.program);
        // The scripts become the programs: killing the child kills those.
        let mut process = Command::new(program)
            .args([family.library, bootstrap, "soak"])
            .arg(folder.join(format!("{name}.jsonl")))
            .stdin(Stdio::piped())
            .stdout(said.try_clone()?)
            .stderr(said)
            .spawn()
            .with_context(|| format!("running {}", family.program))?;
        let commands = process.stdin.take();
        Ok(Self {
            family,
            name,
            process,
            commands,
        })
    }

    /// Ends its writers.
    pub fn stop(&mut self) -> Result<()> {
        let commands = self.commands.as_mut().context("it was told to end")?;
        Ok(writeln!(commands, "stop")?)
    }

    /// kill -9.
    pub fn kill(mut self) -> Result<()> {
        self.process.kill()?;
        self.process.wait()?;
        Ok(())
    }

    /// Lets it end; whether it did so well.
    pub fn end(mut self) -> Result<bool> {
        drop(self.commands.take());
        let deadline = Instant::now() + END_WAIT;
        while Instant::now() < deadline {
            if let Some(status) = self.process.try_wait()? {
                return Ok(status.success());
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(false)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
