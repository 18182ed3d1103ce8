//! Every version of every API with nothing but defaults in its request.

use serde_json::json;

use super::super::talk::{Outcome, Talk};
use super::{Script, script};

pub const SCRIPTS: &[Script] = &[script("defaults/empty", empty)];

/// Without an answer (acks=0), or answered by what other scripts do at the time.
const LEFT_OUT: &[&str] = &[
    "Produce",
    "DescribeClientQuotas",
    "DescribeUserScramCredentials",
    "DescribeTopicPartitions",
];

fn empty(talk: &mut Talk) -> Outcome {
    talk.only_own();
    for name in talk.apis() {
        if !LEFT_OUT.contains(&name.as_str()) {
            talk.sweep("empty", &name, |_| json!({}))?;
        }
    }
    Ok(())
}
