//! One script per rule.

use tidelog_coordinator::txn::IdPattern;

use super::script::check;

#[test]
fn a_transaction_from_begin_to_end() {
    check(
        "
        0   init tx                       | write tx Empty 1:0 ; 1:0
        0   work anew                     |
        10  add tx 1:0 t/0                | write tx Ongoing 1:0 [t/0] ; ok
        20  add tx 1:0 t/0                | ok
        20  add tx 1:0 t/0 u/3            | write tx Ongoing 1:0 [t/0 u/3] ; ok
        30  commit tx 1:0                 | write tx PrepareCommit 1:0 [t/0 u/3] ; 1:0 ; work: commit tx 1:0 [t/0 u/3]
        30  commit tx 1:0                 | Concurrent
        30  abort tx 1:0                  | InvalidState
        30  work                          |
        40  written tx 1:0 u/3            | noted
        50  written tx 1:0 t/0            | write tx CompleteCommit 1:0 ; noted
        50  written tx 1:0 t/0            | noted
        60  commit tx 1:0                 | 1:0
        60  describe tx                   | CompleteCommit 1:0 timeout=60000 started=10 []
        70  add tx 1:0 t/1                | write tx Ongoing 1:0 [t/1] ; ok
        80  abort tx 1:0                  | write tx PrepareAbort 1:0 [t/1] ; 1:0 ; work: abort tx 1:0 [t/1]
        80  written tx 1:0 t/1            | write tx CompleteAbort 1:0 ; noted
        ",
    );
}

#[test]
fn in_version_2_every_end_raises_the_epoch() {
    check(
        "
        0  init tx                        | write tx Empty 1:0 ; 1:0
        0  work anew                      |
        0  add tx 1:0 t/0 v2              | write tx Ongoing 1:0 [t/0] ; ok
        0  commit tx 1:0 v2               | write tx PrepareCommit 1:1 [t/0] ; 1:1 ; work: commit tx 1:1 [t/0]
        0  commit tx 1:0 v2               | Concurrent
        0  commit tx 1:1 v2               | Concurrent
        0  add tx 1:1 t/0 v2              | Concurrent
        0  written tx 1:0 t/0             | noted
        0  written tx 1:1 t/0             | write tx CompleteCommit 1:1 ; noted
        0  commit tx 1:0 v2               | 1:1
        0  abort tx 1:0 v2                | InvalidState
        0  add tx 1:0 t/0 v2              | Fenced
        0  add tx 1:1 t/0 v2              | write tx Ongoing 1:1 [t/0] ; ok
        ",
    );
}

#[test]
fn version_2_aborts_what_was_never_begun() {
    check(
        "
        0  init tx                        | write tx Empty 1:0 ; 1:0
        5  abort tx 1:0 v2                | write tx PrepareAbort 1:1 ; write tx CompleteAbort 1:1 ; 1:1
        5  describe tx                    | CompleteAbort 1:1 timeout=60000 started=5 []
        5  abort tx 1:0 v2                | 1:1
        6  abort tx 1:1 v2                | write tx PrepareAbort 1:2 ; write tx CompleteAbort 1:2 ; 1:2
        6  commit tx 1:2 v2               | InvalidState
        ",
    );
}

#[test]
fn a_new_client_fences_the_one_before() {
    check(
        "
        0  init tx                        | write tx Empty 1:0 ; 1:0
        0  init tx                        | write tx Empty 1:1 ; 1:1
        0  add tx 1:0 t/0                 | Fenced
        0  verify tx 1:0 t/0              | Fenced
        0  abort tx 1:0                   | Fenced
        0  abort tx 1:0 v2                | Fenced
        0  init tx held=1:0               | Fenced
        0  add tx 2:1 t/0                 | ProducerIdMismatch
        0  abort tx 2:1                   | ProducerIdMismatch
        0  init tx held=2:1               | Fenced
        0  add other 1:1 t/0              | ProducerIdMismatch
        0  commit other 1:1               | ProducerIdMismatch
        0  init tx timeout=9              | write tx Empty 1:2 ; 1:2
        0  describe tx                    | Empty 1:2 timeout=9 started=-1 []
        ",
    );
}

#[test]
fn a_new_client_aborts_what_is_under_way_and_asks_again() {
    check(
        "
        0  init tx                        | write tx Empty 1:0 ; 1:0
        0  work anew                      |
        0  add tx 1:0 t/0                 | write tx Ongoing 1:0 [t/0] ; ok
        0  init tx                        | write tx PrepareAbort 1:1 [t/0] ; Concurrent ; work: abort tx 1:1 [t/0]
        0  init tx                        | Concurrent
        0  commit tx 1:0                  | Fenced
        0  written tx 1:1 t/0             | write tx CompleteAbort 1:1 ; noted
        0  init tx                        | write tx Empty 1:2 ; 1:2
        ",
    );
}

#[test]
fn before_version_2_fencing_is_the_same_for_the_clients() {
    check(
        "
        set version=0
        0  init tx                        | write tx Empty 1:0 ; 1:0
        0  add tx 1:0 t/0                 | write tx Ongoing 1:0 [t/0] ; ok
        0  init tx                        | write tx PrepareAbort 1:1 [t/0] ; Concurrent
        0  commit tx 1:0                  | Fenced
        0  work anew                      | work: abort tx 1:1 [t/0]
        0  written tx 1:1 t/0             | write tx CompleteAbort 1:1 ; noted
        0  init tx held=1:0               | Fenced
        0  init tx                        | write tx Empty 1:2 ; 1:2
        ",
    );
}

#[test]
fn a_client_that_held_the_id_goes_on_under_the_next_epoch() {
    check(
        "
        0  init tx held=9:3               | write tx Empty 1:0 ; 1:0
        0  init tx held=1:0               | write tx Empty 1:1 ; 1:1
        0  init tx held=1:0               | write tx Empty 1:1 ; 1:1
        0  restart                        |
        0  init tx held=1:0               | write tx Empty 1:1 ; 1:1
        0  init tx held=1:1               | write tx Empty 1:2 ; 1:2
        0  init tx held=1:0               | Fenced
        0  init other                     | NoProducerIds
        0  grant 500 2                    | granted
        0  init other                     | write other Empty 500:0 ; 500:0
        0  skip 600                       | skipped
        0  init third                     | NoProducerIds
        0  grant 599 3                    | granted
        0  init third                     | write third Empty 600:0 ; 600:0
        ",
    );
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    check(
        r#"
        set max=1000
        0  init ""                        | InvalidTransactionalId
        0  add "" 1:0 t/0                 | InvalidTransactionalId
        0  verify "" 1:0 t/0              | InvalidTransactionalId
        0  commit "" 1:0                  | InvalidTransactionalId
        0  describe ""                    | InvalidTransactionalId
        0  init tx timeout=0              | InvalidTimeout 1000
        0  init tx timeout=-1             | InvalidTimeout 1000
        0  init tx timeout=1001           | InvalidTimeout 1000
        0  init tx timeout=1000           | write tx Empty 1:0 ; 1:0
        "#,
    );
}

#[test]
fn partitions_are_verified_one_by_one() {
    check(
        "
        0  init tx                        | write tx Empty 1:0 ; 1:0
        0  verify tx 1:0 t/0              | t/0 NotInTransaction
        0  add tx 1:0 t/0                 | write tx Ongoing 1:0 [t/0] ; ok
        0  verify tx 1:0 t/0 t/1 u/0      | t/0 ok t/1 NotInTransaction u/0 NotInTransaction
        0  verify tx 2:0 t/0              | ProducerIdMismatch
        0  commit tx 1:0                  | write tx PrepareCommit 1:0 [t/0] ; 1:0
        0  verify tx 1:0 t/0              | Concurrent
        0  written tx 1:0 t/0             | write tx CompleteCommit 1:0 ; noted
        0  verify tx 1:0 t/0              | t/0 NotInTransaction
        ",
    );
}

#[test]
fn a_transaction_that_takes_too_long_is_aborted() {
    check(
        "
        0      init tx timeout=100          | write tx Empty 1:0 ; 1:0
        0      work anew                    |
        10     add tx 1:0 t/0               | write tx Ongoing 1:0 [t/0] ; ok
        60     add tx 1:0 t/1               | write tx Ongoing 1:0 [t/0 t/1] ; ok
        110                                 |
        111                                 | write tx PrepareAbort 1:1 [t/0 t/1] ; work: abort tx 1:1 [t/0 t/1]
        112    commit tx 1:0                | Fenced
        112    add tx 1:0 t/2               | Fenced
        113    written tx 1:1 t/0 t/1       | write tx CompleteAbort 1:1 ; noted
        99999                               |
        ",
    );
}

#[test]
fn a_restart_offers_open_markers_again_and_keeps_the_clock_of_the_transaction() {
    check(
        "
        0    init tx timeout=100          | write tx Empty 1:0 ; 1:0
        0    init ty timeout=100          | write ty Empty 2:0 ; 2:0
        0    add tx 1:0 t/0 t/1           | write tx Ongoing 1:0 [t/0 t/1] ; ok
        50   add ty 2:0 t/0               | write ty Ongoing 2:0 [t/0] ; ok
        50   commit tx 1:0                | write tx PrepareCommit 1:0 [t/0 t/1] ; 1:0
        50   work                         | work: commit tx 1:0 [t/0 t/1]
        50   work                         |
        50   work anew                    | work:  ; work: commit tx 1:0 [t/0 t/1]
        50   written tx 1:0 t/0           | noted
        50   work anew                    | work: commit tx 1:0 [t/1]
        60   restart                      |
        60   work anew                    | work: commit tx 1:0 [t/0 t/1]
        151                               | write ty PrepareAbort 2:1 [t/0]
        151  work                         | work: abort ty 2:1 [t/0]
        151  written tx 1:0 t/1 t/0       | write tx CompleteCommit 1:0 ; noted
        ",
    );
}

#[test]
fn when_the_epochs_run_out_a_new_producer_id_follows() {
    check(
        "
        0  place tx Empty 9:32765
        0  init tx                        | write tx Empty 9:32766 ; 9:32766
        0  init tx                        | write tx Empty 1:0 ; 1:0
        0  place tx Empty 9:32766
        0  init tx held=9:32766           | write tx Empty 2:0 ; 2:0
        0  init tx held=9:32766           | write tx Empty 2:0 ; 2:0
        0  init tx held=9:32765           | Fenced
        0  place tx Empty 9:32766 held=32765
        0  init tx held=9:32765           | write tx Empty 9:32766 ; 9:32766
        ",
    );
}

#[test]
fn the_last_epoch_of_an_id_ends_its_transaction_and_the_next_id_takes_over() {
    check(
        "
        0  place tx Ongoing 9:32766 v2 t/0
        0  work anew                      |
        0  commit tx 9:32766 v2           | write tx PrepareCommit 9:32767 then 1 [t/0] ; 1:0 ; work: commit tx 9:32767 [t/0]
        0  commit tx 9:32766 v2           | Concurrent
        0  commit tx 1:0 v2               | ProducerIdMismatch
        0  written tx 9:32767 t/0         | write tx CompleteCommit 1:0 ; noted
        0  commit tx 9:32766 v2           | 1:0
        0  abort tx 9:32766 v2            | InvalidState
        0  commit tx 9:32765 v2           | ProducerIdMismatch
        0  add tx 1:0 t/0 v2              | write tx Ongoing 1:0 [t/0] ; ok
        0  commit tx 9:32766 v2           | ProducerIdMismatch
        ",
    );
}

#[test]
fn an_abort_at_the_last_epoch_waits_for_a_producer_id() {
    check(
        "
        0      place tx Ongoing 9:32766 v2 t/0
        0      restart                    |
        0      work anew                  |
        60000                             |
        60001                             | work: ids wanted
        60500                             |
        60600  work                       |
        60600  init tx                    | NoProducerIds
        60600  grant 500 2                | granted
        61001                             | write tx PrepareAbort 9:32767 then 500 [t/0] ; work: abort tx 9:32767 [t/0]
        61001  written tx 9:32767 t/0     | write tx CompleteAbort 500:0 ; noted
        61001  init tx held=9:32766       | write tx Empty 500:0 ; 500:0
        ",
    );
}

#[test]
fn ids_that_nobody_uses_are_forgotten() {
    check(
        "
        set keep=1000 sweep=100
        0     init tx                     | write tx Empty 1:0 ; 1:0
        0     init ty                     | write ty Empty 2:0 ; 2:0
        0     init tz timeout=900000      | write tz Empty 3:0 ; 3:0
        500   add ty 2:0 t/0              | write ty Ongoing 2:0 [t/0] ; ok
        600   commit ty 2:0               | write ty PrepareCommit 2:0 [t/0] ; 2:0
        700   add tz 3:0 t/0              | write tz Ongoing 3:0 [t/0] ; ok
        999                               |
        1000                              | write tx gone
        1700  written ty 2:0 t/0          | write ty CompleteCommit 2:0 ; noted
        1750  list                        | [ty:2:CompleteCommit tz:3:Ongoing]
        2650                              |
        2700                              | write ty gone
        2700  init tx                     | write tx Empty 4:0 ; 4:0
        2700  describe ty                 | UnknownTransactionalId
        ",
    );
}

#[test]
fn transactions_are_listed_by_state_producer_age_and_id() {
    check(
        "
        0    init a-1                     | write a-1 Empty 1:0 ; 1:0
        0    init a-2                     | write a-2 Empty 2:0 ; 2:0
        0    init b-1                     | write b-1 Empty 3:0 ; 3:0
        100  add a-2 2:0 t/0              | write a-2 Ongoing 2:0 [t/0] ; ok
        200  add b-1 3:0 t/0              | write b-1 Ongoing 3:0 [t/0] ; ok
        300  list                         | [a-1:1:Empty a-2:2:Ongoing b-1:3:Ongoing]
        300  list state=Ongoing           | [a-2:2:Ongoing b-1:3:Ongoing]
        300  list state=Dead              | []
        300  list state=ongoing           | [unknown ongoing]
        300  list pid=3                   | [b-1:3:Ongoing]
        300  list state=Ongoing longer=100  | [a-2:2:Ongoing]
        300  list state=Ongoing longer=200  | []
        300  list like=a-.*               | [a-1:1:Empty a-2:2:Ongoing]
        300  list like=a                  | []
        300  list like=a|b-1              | [b-1:3:Ongoing]
        300  describe a-2                 | Ongoing 2:0 timeout=60000 started=100 [t/0]
        300  describe nope                | UnknownTransactionalId
        ",
    );
    assert!(IdPattern::parse("(").is_err());
    assert!(IdPattern::parse("a)|(b").is_err());
    assert!(IdPattern::parse("(x{1000}){1000}").is_err());
}
