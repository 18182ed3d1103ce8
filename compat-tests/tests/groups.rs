//! Two members share a topic, one leaves, the group restarts and resumes exactly where it stood.

use tidelog_compat_tests::broker::Broker;
use tidelog_compat_tests::foreign::Client;
use tidelog_compat_tests::{test_clients, test_full_clients};

#[track_caller]
fn check(client: Client) {
    let broker = Broker::start().expect("broker");
    client.expect(&broker.address(), &["group"]);
}

test_full_clients!(check);
test_clients!(check; confluent_of_2022: CONFLUENT_OLD, kafka_go: KAFKA_GO, kcat: KCAT);
