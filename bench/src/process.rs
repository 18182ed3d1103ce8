//! What a process has used so far, from /proc.

use std::fs;

use anyhow::{Context as _, Result};

#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// User and system time of all its threads.
    pub cpu_seconds: f64,
    pub rss_bytes: u64,
    pub rss_peak_bytes: u64,
    /// Bytes it caused to be sent to the disk (dirtied pages count when they are dirtied).
    pub write_bytes: u64,
}

impl Usage {
    pub fn of(pid: u32) -> Result<Self> {
        let read = |file: &str| {
            let path = format!("/proc/{pid}/{file}");
            fs::read_to_string(&path).with_context(|| path)
        };
        let status = read("status")?;
        let rss_bytes = 1024 * field(&status, "VmRSS:").context("VmRSS")?;
        let rss_peak_bytes = 1024 * field(&status, "VmHWM:").context("VmHWM")?;
        let write_bytes = field(&read("io")?, "write_bytes:").context("write_bytes")?;
        let ticks = cpu_ticks(&read("stat")?).context("CPU times")?;
        let cpu_seconds = ticks as f64 / rustix::param::clock_ticks_per_second() as f64;
        Ok(Self {
            cpu_seconds,
            rss_bytes,
            rss_peak_bytes,
            write_bytes,
        })
    }
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// utime + stime, fields 14 and 15; the name in field 2 may hold anything but ends with the last `)`.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_itself() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.rss_bytes > 0 && usage.rss_peak_bytes >= usage.rss_bytes);
    }

    #[test]
    fn finds_the_times_behind_a_strange_name() {
        let stat = "1 (a) b) S 1 1 1 0 -1 4194560 1 2 3 4 70 30 5 6 20 0 1 0 1 1 1";
        assert_eq!(cpu_ticks(stat), Some(100));
    }
}
