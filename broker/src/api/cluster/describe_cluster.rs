//! DescribeCluster (key 60): the cluster's id and brokers. Agrees with Metadata in all it says.

use kafka_protocol::messages::describe_cluster_response::DescribeClusterBroker;
use kafka_protocol::messages::{DescribeClusterRequest, DescribeClusterResponse};
use tidelog_protocol_ext::{ErrorCode, StrBytes};

use super::operations;
use crate::api::context::{Context, Outcome};
use crate::api::error::Failure;

/// Endpoint types (KIP-919).
const BROKERS: i8 = 1;
const CONTROLLERS: i8 = 2;

/// Why a kind of endpoint is not described.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WrongEndpoint {
    #[error("this is an endpoint of brokers, not of controllers: ask for endpoint type 1")]
    Controllers,
    #[error("endpoint type {0} does not exist: ask for endpoint type 1")]
    Unknown(i8),
}

pub async fn handle(ctx: &Context, request: DescribeClusterRequest) -> Outcome {
    let wrong = match request.endpoint_type {
        BROKERS => return ctx.answer(&described(ctx, &request)),
        CONTROLLERS => WrongEndpoint::Controllers,
        other => WrongEndpoint::Unknown(other),
    };
    let failure = Failure::from(&wrong);
    let response = DescribeClusterResponse::default()
        .with_error_code(failure.code.code())
        .with_error_message(Some(failure.message));
    ctx.answer(&response)
}

fn described(ctx: &Context, request: &DescribeClusterRequest) -> DescribeClusterResponse {
    let address = &ctx.listener.advertised;
    let node_id = ctx.broker.node_id().into();
    let this_broker = DescribeClusterBroker::default()
        .with_broker_id(node_id)
        .with_host(StrBytes::from_string(address.host.clone()))
        .with_port(address.port.into());
    DescribeClusterResponse::default()
        .with_error_code(ErrorCode::None.code())
        .with_error_message(None)
        .with_endpoint_type(BROKERS)
        .with_cluster_id(StrBytes::from_string(ctx.broker.cluster_id().to_owned()))
        .with_controller_id(node_id)
        .with_brokers(vec![this_broker])
        .with_cluster_authorized_operations(match request.include_cluster_authorized_operations {
            true => operations::CLUSTER,
            false => operations::NOT_ASKED,
        })
}
