//! Topics, partitions, configs, cluster and groups through each admin client, and the error codes for
//! bad requests.

use tidelog_compat_tests::broker::Broker;
use tidelog_compat_tests::foreign::Client;
use tidelog_compat_tests::{test_clients, test_full_clients};

#[track_caller]
fn check(client: Client) {
    let broker = Broker::start().expect("broker");
    client.expect(&broker.address(), &["admin"]);
}

test_full_clients!(check);
test_clients!(check; kafka_go: KAFKA_GO);
