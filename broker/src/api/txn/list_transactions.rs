//! ListTransactions (key 66): transactional ids that pass filters (KIP-664, KIP-994, KIP-1152).

use kafka_protocol::messages::list_transactions_response::TransactionState;
use kafka_protocol::messages::{ListTransactionsRequest, ListTransactionsResponse};
use tidelog_coordinator::txn::{IdPattern, ListTransactions, TransactionList};
use tidelog_protocol_ext::{ErrorCode, StrBytes};

use super::{Told, code};
use crate::api::context::{Context, Outcome};

/// There is no older version that knows less.
const TOLD: Told = Told {
    fenced: true,
    abortable: true,
};

/// First version with a filter for the age of transactions, and with one for their ids.
const DURATION_FROM: i16 = 1;
const PATTERN_FROM: i16 = 2;

pub async fn handle(ctx: &Context, request: ListTransactionsRequest) -> Outcome {
    let filter = match filter(ctx.version(), &request) {
        Ok(filter) => filter,
        Err(code) => {
            let response = ListTransactionsResponse::default().with_error_code(code.code());
            return ctx.answer(&response);
        }
    };
    ctx.answer(&match ctx.broker.transactions().list(&filter).await {
        Ok(list) => listed(list),
        Err(error) => {
            ListTransactionsResponse::default().with_error_code(code(&error, TOLD).code())
        }
    })
}

fn filter(version: i16, request: &ListTransactionsRequest) -> Result<ListTransactions, ErrorCode> {
    let pattern = request.transactional_id_pattern.as_ref();
    // An empty one filters nothing, as in Kafka.
    let pattern = pattern.filter(|pattern| version >= PATTERN_FROM && !pattern.is_empty());
    let id_pattern = pattern.map(|pattern| IdPattern::parse(pattern)).transpose();
    Ok(ListTransactions {
        states: request
            .state_filters
            .iter()
            .map(ToString::to_string)
            .collect(),
        producer_ids: request.producer_id_filters.iter().map(|id| id.0).collect(),
        longer_than_ms: (version >= DURATION_FROM && request.duration_filter >= 0)
            .then_some(request.duration_filter),
        id_pattern: id_pattern.map_err(|_| ErrorCode::InvalidRegularExpression)?,
    })
}

fn listed(list: TransactionList) -> ListTransactionsResponse {
    let unknown = list.unknown_states.into_iter().map(StrBytes::from_string);
    let states = list.transactions.into_iter().map(|transaction| {
        TransactionState::default()
            .with_transactional_id(StrBytes::from_string(transaction.transactional_id).into())
            .with_producer_id(transaction.producer_id.into())
            .with_transaction_state(StrBytes::from_static_str(transaction.state.name()))
    });
    ListTransactionsResponse::default()
        .with_unknown_state_filters(unknown.collect())
        .with_transaction_states(states.collect())
}
