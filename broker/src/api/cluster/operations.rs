//! What a client may do, as the bit set Metadata and DescribeCluster answer (KIP-430).
//!
//! Without an authorizer everybody may do everything: every operation the kind of resource has.

/// Numbers of Kafka's `AclOperation`; each is a bit.
const READ: u32 = 3;
const WRITE: u32 = 4;
const CREATE: u32 = 5;
const DELETE: u32 = 6;
const ALTER: u32 = 7;
const DESCRIBE: u32 = 8;
const CLUSTER_ACTION: u32 = 9;
const DESCRIBE_CONFIGS: u32 = 10;
const ALTER_CONFIGS: u32 = 11;
const IDEMPOTENT_WRITE: u32 = 12;

/// Everything that can be done to a topic.
pub const TOPIC: i32 = bits(&[
    READ,
    WRITE,
    CREATE,
    DELETE,
    ALTER,
    DESCRIBE,
    DESCRIBE_CONFIGS,
    ALTER_CONFIGS,
]);

/// Everything that can be done to the cluster.
pub const CLUSTER: i32 = bits(&[
    CREATE,
    ALTER,
    DESCRIBE,
    CLUSTER_ACTION,
    DESCRIBE_CONFIGS,
    ALTER_CONFIGS,
    IDEMPOTENT_WRITE,
]);

/// The answer when nobody asked.
pub const NOT_ASKED: i32 = i32::MIN;

const fn bits(operations: &[u32]) -> i32 {
    let (mut set, mut at) = (0, 0);
    while at < operations.len() {
        set |= 1 << operations[at];
        at += 1;
    }
    set
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_sets_kafka_answers() {
        assert_eq!(super::TOPIC, 3576);
        assert_eq!(super::CLUSTER, 8096);
    }
}
