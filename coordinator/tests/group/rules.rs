//! Membership: joining, syncing, beating, leaving, and the clocks behind them.

use super::script::check;

#[test]
fn a_new_member_is_sent_back_for_its_id() {
    check(
        "
        0     join a                   | a: use a.1
        0     join a.1                 |
        2999                           |
        3000                           | a.1: a.1 gen=1 range leader=a.1 [a.1]
        3000  sync a.1 gen=1 a.1=x     | write g gen=1 leader=a.1 [a.1=x] ; a.1: synced range x
        ",
    );
}

#[test]
fn old_clients_and_static_members_join_at_once() {
    check(
        "
        set delay=0
        0  join a old                  | a: a.1 gen=1 range leader=a.1 [a.1]
        0  join s instance=i group=h   | s: i.2 gen=1 range leader=i.2 [i.2]
        ",
    );
}

#[test]
fn a_pending_id_is_good_for_one_session_timeout() {
    check(
        "
        0      join a session=6000     | a: use a.1
        5999   list                    | g::Empty
        6000   list                    | no groups
        6000   join a.1                | a.1: UnknownMember
        7000   join a session=6000     | a: use a.2
        7000   leave a.2               | left
        7000   join a.2                | a.2: UnknownMember
        ",
    );
}

#[test]
fn anonymous_joins_cannot_pile_up() {
    check(
        "
        set pending=1
        0  join a                      | a: use a.1
        0  join b                      | b: GroupFull
        ",
    );
}

#[test]
fn unknown_members_and_bad_requests_are_refused() {
    check(
        "
        0  join a.7                    | a.7: UnknownMember
        0  join a group=               | a: InvalidGroupId
        0  join a session=5999         | a: InvalidSessionTimeout
        0  join a session=1800001      | a: InvalidSessionTimeout
        0  join a protocols=           | a: InconsistentProtocol
        0  join a type=                | a: InconsistentProtocol
        0  beat a.7 gen=1              | a.7: UnknownMember
        0  sync a.7 gen=1              | a.7: UnknownMember
        0  leave a.7                   | UnknownMember
        0  list                        | no groups
        ",
    );
}

#[test]
fn the_initial_delay_is_renewed_by_latecomers_within_the_rebalance_timeout() {
    check(
        "
        0      join a old rebalance=7000    |
        2000   join b old rebalance=7000    |
        3000                                |
        5000   join c old rebalance=7000    |
        6999                                |
        7000                                | a: a.1 gen=1 range leader=a.1 [a.1 b.2 c.3] ; b: b.2 gen=1 range leader=a.1 ; c: c.3 gen=1 range leader=a.1
        ",
    );
}

#[test]
fn a_second_member_makes_the_first_join_again() {
    check(
        "
        set delay=0
        0     join a old                    | a: a.1 gen=1 range leader=a.1 [a.1]
        0     sync a.1 gen=1 a.1=xy         | write g gen=1 leader=a.1 [a.1=xy] ; a.1: synced range xy
        1000  join b old                    |
        1000  beat a.1 gen=1                | a.1: RebalanceInProgress
        1000  sync a.1 gen=1                | a.1: RebalanceInProgress
        1000  describe                      | PreparingRebalance consumer: [a.1=xy b.2=]
        2000  join a.1                      | a.1: a.1 gen=2 range leader=a.1 [a.1 b.2] ; b: b.2 gen=2 range leader=a.1
        2000  beat b.2 gen=2                | b.2: ok
        2000  beat b.2 gen=1                | b.2: IllegalGeneration
        2000  sync b.2 gen=2                |
        2000  describe                      | CompletingRebalance consumer: [a.1=xy b.2=]
        2000  sync a.1 gen=2 a.1=x b.2=y    | write g gen=2 leader=a.1 [a.1=x b.2=y] ; a.1: synced range x ; b.2: synced range y
        2000  beat b.2 gen=2                | b.2: ok
        2000  sync b.2 gen=2                | b.2: synced range y
        ",
    );
}

#[test]
fn a_member_the_leader_forgot_gets_an_empty_assignment() {
    check(
        "
        0     join a old                    |
        0     join b old                    |
        6000                                | a: a.1 gen=1 range leader=a.1 [a.1 b.2] ; b: b.2 gen=1 range leader=a.1
        6000  sync a.1 gen=1 a.1=x z.9=w    | write g gen=1 leader=a.1 [a.1=x b.2=] ; a.1: synced range x
        6000  sync b.2 gen=1                | b.2: synced range
        ",
    );
}

#[test]
fn who_does_not_join_again_in_time_is_dropped() {
    check(
        "
        set delay=0
        0      join a old session=30000 rebalance=20000  | a: a.1 gen=1 range leader=a.1 [a.1]
        0      sync a.1 gen=1 a.1=x    | write g gen=1 leader=a.1 [a.1=x] ; a.1: synced range x
        1000   join b old rebalance=15000  |
        20999                          |
        21000                          | b: b.2 gen=2 range leader=b.2 [b.2]
        21000  beat a.1 gen=1          | a.1: UnknownMember
        ",
    );
}

#[test]
fn who_does_not_sync_in_time_is_dropped() {
    check(
        "
        0      join a old session=30000 rebalance=10000  |
        0      join b old session=30000 rebalance=10000  |
        6000                           | a: a.1 gen=1 range leader=a.1 [a.1 b.2] ; b: b.2 gen=1 range leader=a.1
        6000   sync a.1 gen=1 a.1=x    | write g gen=1 leader=a.1 [a.1=x b.2=] ; a.1: synced range x
        16000  beat a.1 gen=1          | a.1: RebalanceInProgress
        16000  join a.1                | a.1: a.1 gen=2 range leader=a.1 [a.1]
        16000  sync b.2 gen=1          | b.2: UnknownMember
        ",
    );
}

#[test]
fn a_missing_leader_keeps_followers_waiting_no_longer_than_the_rebalance_timeout() {
    check(
        "
        0      join a old session=30000 rebalance=10000  |
        0      join b old session=30000 rebalance=10000  |
        6000                           | a: a.1 gen=1 range leader=a.1 [a.1 b.2] ; b: b.2 gen=1 range leader=a.1
        6000   sync b.2 gen=1          |
        16000                          | b.2: RebalanceInProgress
        16000  join b.2                | b.2: b.2 gen=2 range leader=b.2 [b.2]
        ",
    );
}

#[test]
fn a_session_ends_without_heartbeats() {
    check(
        "
        set delay=0
        0      join a old              | a: a.1 gen=1 range leader=a.1 [a.1]
        0      sync a.1 gen=1 a.1=x    | write g gen=1 leader=a.1 [a.1=x] ; a.1: synced range x
        9000   beat a.1 gen=1          | a.1: ok
        18000  commit a.1 gen=1 t/0=5  | write t/0=5 ; t/0 ok
        27999  describe                | Stable consumer:range [a.1+=x]
        28000                          | write g gen=2 empty
        28000  describe                | Empty consumer: []
        28000  beat a.1 gen=1          | a.1: UnknownMember
        ",
    );
}

#[test]
fn a_member_parked_in_join_outlives_its_session() {
    check(
        "
        set delay=0
        0      join a old session=6000 rebalance=100000  | a: a.1 gen=1 range leader=a.1 [a.1]
        0      sync a.1 gen=1 a.1=x    | write g gen=1 leader=a.1 [a.1=x] ; a.1: synced range x
        1000   join b old session=30000 rebalance=100000 |
        1000   join a.1 session=6000 rebalance=100000    | a.1: a.1 gen=2 range leader=a.1 [a.1 b.2] ; b: b.2 gen=2 range leader=a.1
        1000   sync a.1 gen=2 a.1=x b.2=y  | write g gen=2 leader=a.1 [a.1=x b.2=y] ; a.1: synced range x
        1000   sync b.2 gen=2          | b.2: synced range y
        2000   join a.1 session=6000 rebalance=100000    |
        29000  beat b.2 gen=2          | b.2: RebalanceInProgress
        30000  join b.2                | a.1: a.1 gen=3 range leader=a.1 [a.1 b.2] ; b.2: b.2 gen=3 range leader=a.1
        ",
    );
}

#[test]
fn a_first_join_is_given_up_after_five_minutes() {
    check(
        "
        set delay=0
        0       join a old session=1800000 rebalance=900000  | a: a.1 gen=1 range leader=a.1 [a.1]
        0       sync a.1 gen=1 a.1=x   | write g gen=1 leader=a.1 [a.1=x] ; a.1: synced range x
        0       join b old rebalance=900000  |
        299999                         |
        300000                         | b: UnknownMember
        ",
    );
}

#[test]
fn a_cancelled_caller_is_not_answered_and_its_session_runs() {
    check(
        "
        set delay=0
        0      join a old              | a: a.1 gen=1 range leader=a.1 [a.1]
        0      sync a.1 gen=1 a.1=x    | write g gen=1 leader=a.1 [a.1=x] ; a.1: synced range x
        0      join b                  | b: use b.2
        0      join b.2                |
        1000   cancel b.2              |
        9000   beat a.1 gen=1          | a.1: RebalanceInProgress
        11000  join a.1                | a.1: a.1 gen=2 range leader=a.1 [a.1]
        ",
    );
}

#[test]
fn a_retried_join_displaces_the_earlier_one() {
    check(
        "
        0     join a                   | a: use a.1
        0     join a.1                 |
        1000  join a.1                 | a.1: RebalanceInProgress
        3000                           | a.1: a.1 gen=1 range leader=a.1 [a.1]
        ",
    );
}

#[test]
fn followers_join_again_without_a_rebalance_unless_something_changed() {
    check(
        "
        0     join a old               |
        0     join b old               |
        6000                           | a: a.1 gen=1 range leader=a.1 [a.1 b.2] ; b: b.2 gen=1 range leader=a.1
        6000  join b.2                 | b.2: b.2 gen=1 range leader=a.1
        6000  join a.1                 | a.1: a.1 gen=1 range leader=a.1 [a.1 b.2]
        6000  sync a.1 gen=1 a.1=x b.2=y  | write g gen=1 leader=a.1 [a.1=x b.2=y] ; a.1: synced range x
        6000  sync b.2 gen=1           | b.2: synced range y
        7000  join b.2                 | b.2: b.2 gen=1 range leader=a.1
        7000  beat a.1 gen=1           | a.1: ok
        7000  join b.2 protocols=range:t+u  |
        7000  beat a.1 gen=1           | a.1: RebalanceInProgress
        7000  join a.1                 | a.1: a.1 gen=2 range leader=a.1 [a.1 b.2] ; b.2: b.2 gen=2 range leader=a.1
        7000  join b.2 protocols=range:t  |
        7000  join a.1                 | a.1: a.1 gen=3 range leader=a.1 [a.1 b.2] ; b.2: b.2 gen=3 range leader=a.1
        ",
    );
}

#[test]
fn a_leader_that_joins_again_starts_a_rebalance() {
    check(
        "
        set delay=0
        0     join a old               | a: a.1 gen=1 range leader=a.1 [a.1]
        0     sync a.1 gen=1 a.1=x     | write g gen=1 leader=a.1 [a.1=x] ; a.1: synced range x
        1000  join a.1                 | a.1: a.1 gen=2 range leader=a.1 [a.1]
        ",
    );
}

#[test]
fn a_change_while_completing_sends_waiting_syncs_back() {
    check(
        "
        0     join a old               |
        0     join b old               |
        6000                           | a: a.1 gen=1 range leader=a.1 [a.1 b.2] ; b: b.2 gen=1 range leader=a.1
        6000  sync b.2 gen=1           |
        7000  join c old               | b.2: RebalanceInProgress
        7000  join b.2                 |
        7000  join a.1                 | a.1: a.1 gen=2 range leader=a.1 [a.1 b.2 c.3] ; b.2: b.2 gen=2 range leader=a.1 ; c: c.3 gen=2 range leader=a.1
        ",
    );
}

#[test]
fn the_protocol_is_chosen_by_vote_among_those_all_share() {
    check(
        "
        0     join a old protocols=sticky,range,rr   |
        0     join b old protocols=rr,range          |
        0     join c old protocols=x,rr,range        |
        6000                           | a: a.1 gen=1 rr leader=a.1 [a.1 b.2 c.3] ; b: b.2 gen=1 rr leader=a.1 ; c: c.3 gen=1 rr leader=a.1
        6000  join d old protocols=x,sticky          | d: InconsistentProtocol
        6000  join d old type=connect protocols=rr   | d: InconsistentProtocol
        6000  sync a.1 gen=1 protocol=range          | a.1: InconsistentProtocol
        6000  sync a.1 gen=1 type=connect            | a.1: InconsistentProtocol
        6000  sync b.2 gen=1 type=consumer protocol=rr  |
        ",
    );
}

#[test]
fn any_protocol_type_will_do() {
    check(
        "
        set delay=0
        0  join w type=connect protocols=compatible:config old  | w: w.1 gen=1 compatible leader=w.1 [w.1]
        0  sync w.1 gen=1 w.1=tasks    | write g gen=1 leader=w.1 [w.1=tasks] ; w.1: synced compatible tasks
        0  describe                    | Stable connect:compatible [w.1+=tasks]
        0  leave w.1                   | write g gen=2 empty ; left
        0  join a old                  | a: a.2 gen=3 range leader=a.2 [a.2]
        ",
    );
}

#[test]
fn a_full_group_takes_nobody() {
    check(
        "
        set delay=0 size=1
        0     join a old               | a: a.1 gen=1 range leader=a.1 [a.1]
        0     join b old               | b: GroupFull
        0     sync a.1 gen=1 a.1=x     | write g gen=1 leader=a.1 [a.1=x] ; a.1: synced range x
        0     join b old               | b: GroupFull
        0     join a.1                 | a.1: a.1 gen=2 range leader=a.1 [a.1]
        ",
    );
}

#[test]
fn only_the_first_to_come_find_room_while_members_gather() {
    check(
        "
        set size=1
        0     join a                   | a: use a.1
        0     join b                   | b: use b.2
        0     join a.1                 |
        0     join b.2                 | b.2: GroupFull
        3000                           | a.1: a.1 gen=1 range leader=a.1 [a.1]
        ",
    );
}

#[test]
fn leaving_rebalances_the_rest_at_once() {
    check(
        "
        0     join a old               |
        0     join b old               |
        6000                           | a: a.1 gen=1 range leader=a.1 [a.1 b.2] ; b: b.2 gen=1 range leader=a.1
        6000  sync b.2 gen=1           |
        6000  leave a.1 z.9            | b.2: RebalanceInProgress ; left UnknownMember
        6000  join b.2                 | b.2: b.2 gen=2 range leader=b.2 [b.2]
        6000  leave b.2                | write g gen=3 empty ; left
        6000  list                     | g:consumer:Empty
        ",
    );
}

#[test]
fn whoever_leaves_while_parked_is_told() {
    check(
        "
        0     join a                   | a: use a.1
        0     join a.1                 |
        0     leave a.1                | a.1: UnknownMember ; left
        3000                           | write g gen=1 empty
        ",
    );
}

#[test]
fn a_static_member_comes_back_without_a_rebalance() {
    check(
        "
        set delay=0
        0     join s instance=i        | s: i.1 gen=1 range leader=i.1 [i.1]
        0     sync i.1 gen=1 i.1=x     | write g gen=1 leader=i.1 [i.1=x] ; i.1: synced range x
        1000  join s instance=i skip   | write g gen=1 leader=i.2 [i.2=x] ; s: i.2 gen=1 range leader=i.2 [i.2] skip
        1000  sync i.2 gen=1           | i.2: synced range x
        1000  beat i.1 gen=1 instance=i  | i.1: FencedInstance
        1000  beat i.1 gen=1           | i.1: UnknownMember
        1000  sync i.1 gen=1 instance=i  | i.1: FencedInstance
        1000  commit i.1 gen=1 instance=i t/0=1  | FencedInstance
        1000  leave i.1@i              | FencedInstance
        1000  join i.1 instance=i      | i.1: FencedInstance
        2000  join s instance=i        | write g gen=1 leader=i.3 [i.3=x] ; s: i.3 gen=1 range leader=i.2
        2000  join i.3 instance=i      | i.3: i.3 gen=2 range leader=i.3 [i.3]
        ",
    );
}

#[test]
fn a_static_member_that_changes_the_vote_rebalances() {
    check(
        "
        set delay=0
        0     join s instance=i protocols=range,rr   | s: i.1 gen=1 range leader=i.1 [i.1]
        0     sync i.1 gen=1 i.1=x     | write g gen=1 leader=i.1 [i.1=x] ; i.1: synced range x
        1000  join s instance=i protocols=rr,range   | s: i.2 gen=2 rr leader=i.2 [i.2]
        1000  join s instance=i protocols=rr         | s: i.3 gen=3 rr leader=i.3 [i.3]
        ",
    );
}

#[test]
fn a_parked_static_member_is_fenced_by_its_successor() {
    check(
        "
        0     join s instance=i        |
        1000  join r instance=i        | s: FencedInstance
        6000                           | r: i.2 gen=1 range leader=i.2 [i.2]
        ",
    );
}

#[test]
fn an_absent_static_member_keeps_its_place_until_its_session_ends() {
    check(
        "
        set delay=0
        0      join s instance=i session=30000 rebalance=10000  | s: i.1 gen=1 range leader=i.1 [i.1]
        0      sync i.1 gen=1 i.1=x    | write g gen=1 leader=i.1 [i.1=x] ; i.1: synced range x
        1000   join b old session=30000 rebalance=10000  |
        11000                          | b: b.2 gen=2 range leader=b.2 [b.2 i.1]
        11000  sync b.2 gen=2 b.2=x    | write g gen=2 leader=b.2 [b.2=x i.1=] ; b.2: synced range x
        21000  beat b.2 gen=2          | b.2: RebalanceInProgress
        ",
    );
}

#[test]
fn an_administrator_removes_static_members_by_instance() {
    check(
        "
        set delay=0
        0  join s instance=i           | s: i.1 gen=1 range leader=i.1 [i.1]
        0  leave @j @i                 | write g gen=2 empty ; UnknownMember left
        ",
    );
}

#[test]
fn a_restart_causes_no_rebalance() {
    check(
        "
        0      join a old              |
        0      join b old instance=i   |
        6000                           | a: a.1 gen=1 range leader=a.1 [a.1 i.2] ; b: i.2 gen=1 range leader=a.1
        6000   sync a.1 gen=1 a.1=x i.2=y  | write g gen=1 leader=a.1 [a.1=x i.2=y] ; a.1: synced range x
        90000  restart                 |
        90000  describe                | Stable consumer:range [a.1+=x i.2+=y]
        99999  beat a.1 gen=1          | a.1: ok
        99999  sync i.2 gen=1 instance=i  | i.2: synced range y
        99999  beat i.2 gen=1 instance=i  | i.2: ok
        99999  join a.1                | 
        99999  join i.2 instance=i     | a.1: a.1 gen=2 range leader=a.1 [a.1 i.2] ; i.2: i.2 gen=2 range leader=a.1
        ",
    );
}

#[test]
fn a_generation_without_assignment_does_not_survive_a_restart() {
    check(
        "
        set delay=0
        0  join a old                  | a: a.1 gen=1 range leader=a.1 [a.1]
        0  sync a.1 gen=1 a.1=x        | write g gen=1 leader=a.1 [a.1=x] ; a.1: synced range x
        0  join a.1                    | a.1: a.1 gen=2 range leader=a.1 [a.1]
        0  restart                     |
        0  sync a.1 gen=2 a.1=x        | a.1: IllegalGeneration
        0  join a.1                    | a.1: a.1 gen=2 range leader=a.1 [a.1]
        ",
    );
}

#[test]
fn a_group_too_large_for_its_record_never_gets_stable() {
    check(
        "
        set delay=0 record=200
        0  join a old                  | a: a.1 gen=1 range leader=a.1 [a.1]
        0  sync a.1 gen=1 a.1=a-very-long-assignment-that-does-not-fit-into-the-record-of-the-group  | a.1: GroupTooLarge
        0  beat a.1 gen=1              | a.1: RebalanceInProgress
        ",
    );
}

#[test]
fn limits_of_a_join_request() {
    let many: Vec<_> = (0..129).map(|n| format!("p{n}")).collect();
    let long = "x".repeat(32_731);
    check(&format!(
        "
        set record=40
        0  join a protocols={}                      | a: TooManyProtocols
        0  join a protocols=range:t-t-t-t-t-t-t-t-t-t-t-t-t-t-t-t-t-t  | a: GroupTooLarge
        0  join {long}                              | {long}: NameTooLong
        0  list                                     | no groups
        ",
        many.join(",")
    ));
}
