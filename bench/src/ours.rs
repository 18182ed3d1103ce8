//! Tidelog's own requests over a blocking connection.

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use tidelog_protocol_ext::ext::describe_table::{DescribeTableRequest, Table, TableName};
use tidelog_protocol_ext::ext::{self, Request};
use tidelog_protocol_ext::{StrBytes, header};

use crate::connection::Connection;

/// All of them have one version so far.
const VERSION: i16 = 0;

/// One request, one answer, and the frame it came in.
pub fn call<R: Request>(connection: &mut Connection, request: &R) -> Result<(R::Response, Bytes)> {
    let chunks = ext::encode_request(VERSION, 0, Some("tidelog-bench"), request)?;
    connection.send(&chunks.concat())?;
    let (_, frame) = connection.receive()?;
    let (_, body) = header::parse_response(R::KEY, VERSION, frame.clone())?;
    Ok((ext::decode_response::<R>(VERSION, body)?, frame))
}

/// What there is to know of a table.
pub fn table(connection: &mut Connection, topic: &str) -> Result<Table> {
    let name = TableName {
        name: Some(StrBytes::from_string(topic.to_owned())),
        ..TableName::default()
    };
    let request = DescribeTableRequest { topics: vec![name] };
    let (answer, _) = call(connection, &request)?;
    let table = answer.topics.into_iter().next().context("no table")?;
    ensure!(
        table.error_code == 0,
        "{topic}: error code {}",
        table.error_code
    );
    Ok(table)
}
