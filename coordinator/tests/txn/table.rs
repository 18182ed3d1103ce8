//! Every command in every state, by clients of both versions.

use super::script::Stage;

/// The state an id is put into; the present producer is 5:3, its transaction began with it or, once
/// ended in version 2, under epoch 2.
const STATES: [(&str, &str); 7] = [
    ("nothing", ""),
    ("Empty", "0 place tx Empty 5:3"),
    ("Ongoing", "0 place tx Ongoing 5:3 t/0"),
    (
        "PrepareCommit",
        "0 place tx PrepareCommit 5:3 held=2 v2 t/0",
    ),
    ("PrepareAbort", "0 place tx PrepareAbort 5:3 held=2 v2 t/0"),
    ("CompleteCommit", "0 place tx CompleteCommit 5:3 held=2 v2"),
    ("CompleteAbort", "0 place tx CompleteAbort 5:3 held=2 v2"),
];

/// What `command` comes to in each state of [`STATES`], in their order.
fn check(command: &str, expected: [&str; 7]) {
    for ((state, place), expected) in STATES.iter().zip(expected) {
        let mut stage = Stage::new();
        if !place.is_empty() {
            stage.step(place);
        }
        let got = stage.step(&format!("1 {command}"));
        assert_eq!(got, expected, "{command} in {state}");
    }
}

const MISMATCH: &str = "ProducerIdMismatch";
const FENCED: &str = "Fenced";
const LATER: &str = "Concurrent";
const INVALID: &str = "InvalidState";
const EMPTIED: &str = "write tx PrepareAbort 5:4 ; write tx CompleteAbort 5:4 ; 5:4";

#[test]
fn init_producer_id() {
    let next = "write tx Empty 5:4 ; 5:4";
    let new = "write tx Empty 1:0 ; 1:0";
    let aborted = "write tx PrepareAbort 5:4 [t/0] ; Concurrent";
    check("init tx", [new, next, aborted, LATER, LATER, next, next]);
    check(
        "init tx held=5:3",
        [new, next, aborted, LATER, LATER, next, next],
    );
    let again = "write tx Empty 5:3 ; 5:3";
    let missed_its_end = [new, FENCED, aborted, LATER, LATER, again, again];
    check("init tx held=5:2", missed_its_end);
    let stale = [new, FENCED, aborted, LATER, LATER, FENCED, FENCED];
    check("init tx held=5:1", stale);
    let stranger = [new, FENCED, FENCED, FENCED, FENCED, FENCED, FENCED];
    check("init tx held=6:3", stranger);
}

#[test]
fn add_partitions() {
    let begun = "write tx Ongoing 5:3 [u/1] ; ok";
    let joined = "write tx Ongoing 5:3 [t/0 u/1] ; ok";
    let all = [MISMATCH, begun, joined, LATER, LATER, begun, begun];
    check("add tx 5:3 u/1", all);
    check("add tx 5:3 u/1 v2", all);
    let known = "write tx Ongoing 5:3 [t/0] ; ok";
    check(
        "add tx 5:3 t/0",
        [MISMATCH, known, "ok", LATER, LATER, known, known],
    );
    check(
        "add tx 5:2 u/1",
        [MISMATCH, FENCED, FENCED, FENCED, FENCED, FENCED, FENCED],
    );
    check(
        "add tx 5:4 u/1",
        [MISMATCH, FENCED, FENCED, FENCED, FENCED, FENCED, FENCED],
    );
    check("add tx 6:3 u/1", [MISMATCH; 7]);
}

#[test]
fn verify_partitions() {
    let unknown = "t/0 NotInTransaction";
    check(
        "verify tx 5:3 t/0",
        [MISMATCH, unknown, "t/0 ok", LATER, LATER, unknown, unknown],
    );
    check(
        "verify tx 5:2 t/0",
        [MISMATCH, FENCED, FENCED, FENCED, FENCED, FENCED, FENCED],
    );
    check("verify tx 6:3 t/0", [MISMATCH; 7]);
}

#[test]
fn end_before_version_2() {
    let commit = "write tx PrepareCommit 5:3 [t/0] ; 5:3";
    let abort = "write tx PrepareAbort 5:3 [t/0] ; 5:3";
    check(
        "commit tx 5:3",
        [MISMATCH, INVALID, commit, LATER, INVALID, "5:3", INVALID],
    );
    check(
        "abort tx 5:3",
        [MISMATCH, INVALID, abort, INVALID, LATER, INVALID, "5:3"],
    );
    for other in [
        "commit tx 5:2",
        "abort tx 5:2",
        "commit tx 5:4",
        "abort tx 5:4",
    ] {
        check(
            other,
            [MISMATCH, FENCED, FENCED, FENCED, FENCED, FENCED, FENCED],
        );
    }
    check("commit tx 6:3", [MISMATCH; 7]);
}

#[test]
fn end_in_version_2() {
    let commit = "write tx PrepareCommit 5:4 [t/0] ; 5:4";
    let abort = "write tx PrepareAbort 5:4 [t/0] ; 5:4";
    check(
        "commit tx 5:3 v2",
        [MISMATCH, INVALID, commit, LATER, LATER, INVALID, INVALID],
    );
    check(
        "abort tx 5:3 v2",
        [MISMATCH, EMPTIED, abort, LATER, LATER, EMPTIED, EMPTIED],
    );
    check(
        "commit tx 5:2 v2",
        [MISMATCH, FENCED, FENCED, LATER, INVALID, "5:3", INVALID],
    );
    check(
        "abort tx 5:2 v2",
        [MISMATCH, FENCED, FENCED, INVALID, LATER, INVALID, "5:3"],
    );
    for other in ["commit tx 5:1 v2", "abort tx 5:4 v2"] {
        check(
            other,
            [MISMATCH, FENCED, FENCED, FENCED, FENCED, FENCED, FENCED],
        );
    }
    check("commit tx 6:3 v2", [MISMATCH; 7]);
}

#[test]
fn end_in_version_2_of_a_client_that_was_replaced() {
    // The present client took over with InitProducerId, so nobody's epoch 2 was ended.
    for state in ["CompleteCommit", "CompleteAbort"] {
        for end in ["commit", "abort"] {
            let mut stage = Stage::new();
            stage.step(&format!("0 place tx {state} 5:3"));
            assert_eq!(stage.step(&format!("0 {end} tx 5:2 v2")), FENCED);
        }
    }
}

#[test]
fn markers_written() {
    let commit = "write tx CompleteCommit 5:3 ; noted";
    let abort = "write tx CompleteAbort 5:3 ; noted";
    let nothing = "noted";
    check(
        "written tx 5:3 t/0",
        [nothing, nothing, nothing, commit, abort, nothing, nothing],
    );
    check("written tx 5:2 t/0", [nothing; 7]);
    check("written tx 5:3 u/0", [nothing; 7]);
}
