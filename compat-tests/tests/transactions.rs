//! Aborted records stay unseen, an open transaction holds back what follows it, positions and records are
//! committed together, and the second producer of a name shuts the first out; through each client.

use tidelog_compat_tests::broker::Broker;
use tidelog_compat_tests::foreign::Client;
use tidelog_compat_tests::{test_clients, test_full_clients};

#[track_caller]
fn check(client: Client) {
    let broker = Broker::start().expect("broker");
    client.expect(&broker.address(), &["transactions"]);
}

test_full_clients!(check);
test_clients!(check; confluent_of_2022: CONFLUENT_OLD);
