//! The broker's own count of bytes sent, from its admin port.

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const BYTES_OUT: &str = "tidelog_bytes_out_total ";

/// Bytes of all replies to Kafka clients so far.
pub(crate) async fn bytes_out(admin: &str) -> Result<u64> {
    let page = page(admin)
        .await
        .with_context(|| format!("reading http://{admin}/metrics"))?;
    let value = page.lines().find_map(|line| line.strip_prefix(BYTES_OUT));
    let value = value.with_context(|| format!("http://{admin}/metrics has no {BYTES_OUT}"))?;
    Ok(value.trim().parse()?)
}

async fn page(admin: &str) -> Result<String> {
    let mut stream = TcpStream::connect(admin).await?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut page = Vec::new();
    stream.take(1 << 24).read_to_end(&mut page).await?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}
