//! Classic consumers in groups of the new protocol, and groups that change their kind.

use super::stage::check;

#[test]
fn a_classic_group_is_upgraded_by_the_first_new_member() {
    check(
        "
        set delay=0
        0     topics t=2                |
        0     cjoin x t                 | x: e1 range
        0     csync x x->t:0,1          | x: [t:0,1]
        0     group                     | classic gen=1 x[t:0,1]
        1     join a t                  | a: e2 []
        1     group                     | consumer epoch=2 members=2
        1     describe                  | Reconciling 2/2 uniform a e2 []→[t:1], x classic e1 [t:0,1]→[t:0]
        2     cbeat x                   | x: RebalanceInProgress
        3     cjoin x t own=t:0,1       | x: e1 range
        3     csync x                   | x: [t:0]
        4     cbeat x                   | x: RebalanceInProgress
        5     cjoin x t own=t:0         | x: e2 range
        5     csync x                   | x: [t:0]
        6     cbeat x                   | x: ok
        6     beat a                    | a: e2 [t:1]
        7     commit x                  | x: ok
        7     commit x e=1              | x: ok
        7     commit x e=0              | x: IllegalGeneration
        ",
    );
}

#[test]
fn eager_clients_let_go_by_joining() {
    check(
        "
        set delay=0
        0  topics t=2                   |
        0  cjoin x t                    | x: e1 range
        0  csync x x->t:0,1             | x: [t:0,1]
        1  join a t                     | a: e2 []
        2  cbeat x                      | x: RebalanceInProgress
        3  csync x                      | x: RebalanceInProgress
        3  cjoin x t                    | x: e2 range
        3  csync x protocol=other       | x: InconsistentProtocol
        3  csync x                      | x: [t:0]
        4  beat a                       | a: e2 [t:1]
        ",
    );
}

#[test]
fn who_is_parked_in_a_classic_group_is_asked_to_join_again() {
    check(
        "
        set delay=0
        0  topics t=2                   |
        0  cjoin x t                    | x: e1 range
        0  csync x x->t:0,1             | x: [t:0,1]
        1  cjoin y t                    |
        2  join a t                     | y: RebalanceInProgress ; a: e2 []
        3  cjoin y t                    | y: e3 range
        3  csync y                      | y: []
        4  cjoin x t                    | x: e3 range
        4  csync x                      | x: [t:0]
        5  beat a                       | a: e3 [t:1]
        ",
    );
}

#[test]
fn what_a_cooperative_client_still_owns_is_not_given_away() {
    check(
        "
        set delay=0
        0  topics t=2                   |
        0  cjoin x t own=               | x: e1 range
        0  csync x x->t:0,1             | x: [t:0,1]
        1  cjoin y t own=               |
        1  cjoin x t own=t:0,1          | x: e2 range ; y: e2 range
        1  csync y                      |
        2  cjoin z t own=               | y: RebalanceInProgress
        3  cjoin x t own=t:0,1          |
        4  join a t                     | x: RebalanceInProgress ; z: RebalanceInProgress ; a: e3 []
        4  describe                     | Reconciling 3/3 uniform a e3 []→[t:1], x classic e2 [t:0,1]→[t:0], y classic e2 []→[], z-00000000-0000-0000-0000-000000000004 classic e2 []→[]
        ",
    );
}

#[test]
fn only_consumers_are_upgraded_and_only_if_allowed() {
    check(
        "
        set delay=0
        0  topics t=1                   |
        0  cjoin x t type=connect       | x: e1 range
        0  join a t                     | a: NotUpgraded NoConsumers
        ",
    );
    check(
        "
        set delay=0 migration=downgrade
        0  topics t=1                   |
        0  cjoin x t                    | x: e1 range
        0  join a t                     | a: NotUpgraded Disabled
        ",
    );
    check(
        "
        set delay=0 size=0
        0  topics t=1                   |
        0  cjoin x t                    | x: e1 range
        0  join a t                     | a: NotUpgraded TooLarge
        ",
    );
}

/// librdkafka's cooperative-sticky assignor carries data through its assignments from the second
/// generation on; Kafka refuses these, too.
#[test]
fn what_a_server_side_assignor_would_lose_is_not_upgraded() {
    check(
        "
        set delay=0
        0  topics t=2                   |
        0  cjoin x t                    | x: e1 range
        0  csync x x->t:0,1 data=       | x: [t:0,1]
        0  join a t                     | a: e2 []
        ",
    );
    check(
        "
        set delay=0
        0  topics t=2                   |
        0  cjoin x t                    | x: e1 range
        0  csync x x->t:0,1 data=gen    | x: [t:0,1]
        0  join a t                     | a: NotUpgraded CustomAssignor
        0  group                        | classic gen=1 x[t:0,1]
        ",
    );
    check(
        "
        set delay=0
        0  topics t=2                   |
        0  cjoin x t metadata=x         | x: e1 range
        0  csync x x->t:0,1             | x: [t:0,1]
        0  join a t                     | a: NotUpgraded Malformed
        ",
    );
}

#[test]
fn empty_groups_take_the_kind_of_who_comes() {
    check(
        "
        set delay=0
        0  topics t=1                   |
        0  cjoin x t                    | x: e1 range
        0  cleave x                     | x: ok
        0  group                        | classic gen=2
        0  join a t                     | a: e1 [t:0]
        0  group                        | consumer epoch=1 members=1
        0  leave a                      | a: e-1
        0  cjoin x t                    | x: UnknownMember
        0  cjoin x t id=new             | x: e1 range
        0  group                        | nothing
        0  csync x x->t:0               | x: [t:0]
        0  group                        | classic gen=1 x[t:0]
        ",
    );
}

#[test]
fn a_group_is_classic_again_when_the_last_new_member_goes() {
    check(
        "
        set delay=0
        0     topics t=2                |
        0     join a t                  | a: e1 [t:0,1]
        0     cjoin x t known           | x: again
        0     cjoin x t                 | x: e2 range
        0     csync x                   | x: []
        1     beat a                    | a: e1 [t:0]
        1     beat a own=t:0            | a: e2
        1     cbeat x                   | x: RebalanceInProgress
        1     cjoin x t                 | x: e2 range
        1     csync x                   | x: [t:1]
        2     leave a                   | a: e-1
        2     group                     | classic gen=3 x[t:1]
        2     cbeat x                   | x: RebalanceInProgress
        3     cjoin x t                 | x: e3 range
        3     csync x x->t:0,1          | x: [t:0,1]
        3     group                     | classic gen=3 x[t:0,1]
        ",
    );
}

#[test]
fn a_group_stays_of_the_new_protocol_if_it_must() {
    check(
        "
        set delay=0 migration=upgrade
        0     topics t=1                |
        0     join a t                  | a: e1 [t:0]
        0     cjoin x t                 | x: e2 range
        1     leave a                   | a: e-1
        1     group                     | consumer epoch=3 members=1
        1     cbeat x                   | x: RebalanceInProgress
        1     cjoin x t                 | x: e3 range
        1     csync x                   | x: [t:0]
        ",
    );
}

#[test]
fn a_static_member_goes_from_one_protocol_to_the_other_and_back() {
    check(
        "
        set delay=0
        0     topics t=2                |
        0     cjoin x t instance=i      | x: e1 range
        0     csync x x->t:0,1 instance=i | x: [t:0,1]
        1     join a t instance=i       | a: e2 [t:0,1]
        1     cbeat x instance=i        | x: FencedInstance
        1     group                     | consumer epoch=2 members=1
        2     cjoin y t                 | y: e3 range
        2     csync y                   | y: []
        3     beat a                    | a: e2 [t:0]
        3     beat a own=t:0            | a: e3
        3     cjoin y t                 | y: e3 range
        4     cjoin z t instance=i      |
        4     group                     | classic gen=4 y[t:1]
        4     beat a                    | a: GroupNotFound
        5     cjoin y t                 | z: e4 range ; y: e4 range
        ",
    );
}

#[test]
fn classic_members_have_clocks_too() {
    check(
        "
        set delay=0
        0      topics t=2               |
        0      join a t                 | a: e1 [t:0,1]
        0      cjoin x t                | x: e2 range
        9999   cbeat x                  | x: ok
        10000  csync x                  | x: []
        19999  group                    | consumer epoch=2 members=2
        20000  group                    | consumer epoch=3 members=1
        ",
    );
}

#[test]
fn who_does_not_join_again_in_time_is_removed() {
    check(
        "
        set delay=0
        0      topics t=2               |
        0      cjoin x t                | x: e1 range
        0      csync x x->t:0,1         | x: [t:0,1]
        0      join a t                 | a: e2 []
        1000   cbeat x                  | x: RebalanceInProgress
        10000  cbeat x                  | x: RebalanceInProgress
        19000  cbeat x                  | x: RebalanceInProgress
        28000  cbeat x                  | x: RebalanceInProgress
        30999  cbeat x                  | x: RebalanceInProgress
        31000  cbeat x                  | x: UnknownMember
        31000  beat a                   | a: e3 [t:0,1]
        ",
    );
}

#[test]
fn classic_members_must_fit() {
    check(
        "
        0  topics t=2                   |
        0  join a t                     | a: e1 [t:0,1]
        0  cjoin x t                    | x: e2 range
        0  cjoin y t protocol=other     | y: InconsistentProtocol
        0  cjoin y t type=connect       | y: InconsistentProtocol
        0  cjoin y t metadata=?         | y: InconsistentProtocol
        0  cjoin y t id=y instance=i    | y: UnknownMember
        0  cbeat a e=1                  | a: UnknownMember
        0  csync a e=1                  | a: UnknownMember
        0  cleave y                     | y: UnknownMember
        ",
    );
}

#[test]
fn a_restart_in_the_middle_of_a_migration_goes_on() {
    check(
        "
        set delay=0
        0      topics t=2               |
        0      cjoin x t                | x: e1 range
        0      csync x x->t:0,1         | x: [t:0,1]
        1      join a t                 | a: e2 []
        2      restart                  |
        3      cbeat x                  | x: RebalanceInProgress
        3      beat a                   | a: e2
        3      cjoin x t                | x: e2 range
        3      csync x                  | x: [t:0]
        4      beat a                   | a: e2 [t:1]
        5      leave a                  | a: e-1
        6      restart                  |
        6      cbeat x                  | x: IllegalGeneration
        6      cjoin x t                | x: e4 range
        ",
    );
}
