//! Joining, reconciling, leaving, being fenced.

use super::stage::check;

#[test]
fn the_first_member_gets_everything_at_once() {
    check(
        "
        0     topics t=3                |
        0     join a t                  | a: e1 [t:0,1,2]
        0     describe                  | Stable 1/1 uniform a e1 [t:0,1,2]→[t:0,1,2]
        0     list                      | g:consumer:consumer:Stable
        0     list type=Classic         |
        0     list type=CONSUMER        | g:consumer:consumer:Stable
        0     list state=reconciling    |
        0     cdescribe                 | Dead
        5000  beat a                    | a: e1
        5000  beat a own=t:0,1,2        | a: e1
        ",
    );
}

#[test]
fn partitions_move_when_their_owner_has_let_go() {
    check(
        "
        0  topics t=4                   |
        0  join a t                     | a: e1 [t:0,1,2,3]
        1  join b t                     | b: e2 []
        1  describe                     | Reconciling 2/2 uniform a e1 [t:0,1,2,3]→[t:0,1], b e2 []→[t:2,3]
        2  beat b                       | b: e2
        3  beat a                       | a: e1 [t:0,1]
        3  describe                     | Reconciling 2/2 uniform a e1 [t:0,1,2,3]→[t:0,1], b e2 []→[t:2,3]
        4  beat a own=t:0,1,2           | a: e1
        5  beat b own=                  | b: e2
        6  beat a own=t:0,1             | a: e2
        7  beat b                       | b: e2 [t:2,3]
        8  describe                     | Stable 2/2 uniform a e2 [t:0,1]→[t:0,1], b e2 [t:2,3]→[t:2,3]
        ",
    );
}

#[test]
fn a_full_request_is_answered_in_full() {
    check(
        "
        0  topics t=2                                   |
        0  join a t                                     | a: e1 [t:0,1]
        1  beat a rebalance=60000 topics=t own=t:0,1    | a: e1 [t:0,1]
        1  beat a rebalance=60000 own=t:0,1             | a: e1
        ",
    );
}

#[test]
fn a_member_that_missed_an_answer_may_be_one_epoch_behind() {
    check(
        "
        0  topics t=2 u=2               |
        0  join a t                     | a: e1 [t:0,1]
        1  beat a topics=t,u            | a: e2 [t:0,1;u:0,1]
        2  beat a e=1                   | a: FencedMemberEpoch
        2  beat a e=1 own=t:0,1         | a: e2
        3  beat a topics=u              | a: e2 [u:0,1]
        3  beat a own=u:0,1             | a: e3
        4  beat a e=2 own=t:0           | a: FencedMemberEpoch
        4  beat a e=1 own=              | a: FencedMemberEpoch
        4  beat a e=7                   | a: FencedMemberEpoch
        ",
    );
}

#[test]
fn a_member_may_always_begin_anew() {
    check(
        "
        0  topics t=4                   |
        0  join a t                     | a: e1 [t:0,1,2,3]
        1  join b t                     | b: e2 []
        2  beat a                       | a: e1 [t:0,1]
        3  join a t                     | a: e2 [t:0,1]
        4  beat b                       | b: e2 [t:2,3]
        ",
    );
}

#[test]
fn strangers_and_bad_requests_are_refused() {
    check(
        "
        0  topics t=1                   |
        0  beat a e=1                   | a: GroupNotFound
        0  leave a                      | a: GroupNotFound
        0  join a t                     | a: e1 [t:0]
        0  beat b e=1                   | b: UnknownMember
        0  beat b e=1 instance=i        | b: UnknownMember
        0  leave b                      | b: UnknownMember
        0  beat a e=-3                  | a: InvalidRequest
        0  away a                       | a: InvalidRequest
        0  beat a e=0                   | a: InvalidRequest
        0  beat a e=0 rebalance=1 own=  | a: InvalidRequest
        0  join b t own=t:0             | b: InvalidRequest
        0  join b t instance=           | b: InvalidRequest
        0  join b t rack=               | b: InvalidRequest
        0  join b t group=              | b: InvalidRequest
        0  join b t assignor=sticky     | b: UnsupportedAssignor
        0  describe                     | Stable 1/1 uniform a e1 [t:0]→[t:0]
        ",
    );
}

#[test]
fn members_of_version_0_are_given_an_id() {
    check(
        "
        0  topics t=1                   |
        0  join a t v0                  | a: 00000000-0000-0000-0000-000000000000 e1 [t:0]
        0  beat a e=1 v0                | a: InvalidRequest
        ",
    );
}

#[test]
fn a_group_has_a_largest_size() {
    check(
        "
        set size=1
        0  topics t=1                   |
        0  join a t                     | a: e1 [t:0]
        0  join b t                     | b: GroupFull
        0  join a t                     | a: e1 [t:0]
        ",
    );
}

#[test]
fn those_left_share_what_a_member_leaves() {
    check(
        "
        0  topics t=2                   |
        0  join a t                     | a: e1 [t:0,1]
        1  join b t                     | b: e2 []
        2  beat a                       | a: e1 [t:0]
        2  beat a own=t:0               | a: e2
        2  beat b                       | b: e2 [t:1]
        3  leave a                      | a: e-1
        3  describe                     | Assigning 3/2 uniform b e2 [t:1]→[t:1]
        4  beat b                       | b: e3 [t:0,1]
        5  leave b                      | b: e-1
        5  describe                     | Empty 4/3 uniform
        5  delete                       | ok
        5  group                        | nothing
        5  describe                     | GroupNotFound
        ",
    );
}

#[test]
fn silence_ends_a_session() {
    check(
        "
        0      topics t=2               |
        0      join a t                 | a: e1 [t:0,1]
        10000  join b t                 | b: e2 []
        44999  describe                 | Reconciling 2/2 uniform a e1 [t:0,1]→[t:0], b e2 []→[t:1]
        45000  describe                 | Assigning 3/2 uniform b e2 []→[t:1]
        45000  beat a                   | a: UnknownMember
        50000  beat b                   | b: e3 [t:0,1]
        95000  group                    | consumer epoch=4 members=0
        ",
    );
}

#[test]
fn a_group_may_have_times_of_its_own() {
    check(
        "
        0      topics t=2               |
        0      times session=9000 beat=3000 |
        0      join a t                 | a: e1 [t:0,1]
        1000   join b t                 | b: e2 []
        8000   beat a                   | a: e1 [t:0]
        10500  beat a own=t:0           | a: e3
        10600  beat a                   | a: e3 [t:0,1]
        11000  times                    |
        12000  beat a own=t:0,1         | a: e3
        50000  beat a                   | a: e3
        51000  times session=2000 beat=1000 |
        52000  beat a                   | a: e3
        54000  beat a                   | a: UnknownMember
        ",
    );
}

#[test]
fn who_does_not_let_go_in_time_is_removed() {
    check(
        "
        0      topics t=2               |
        0      join a t rebalance=5000  | a: e1 [t:0,1]
        0      join b t                 | b: e2 []
        1000   beat a own=t:0,1         | a: e1 [t:0]
        5999   beat a own=t:0,1         | a: e1
        6000   beat a own=t:0           | a: UnknownMember
        6000   beat b                   | b: e3 [t:0,1]
        ",
    );
}

#[test]
fn letting_go_stops_the_clock() {
    check(
        "
        0      topics t=2               |
        0      join a t rebalance=5000  | a: e1 [t:0,1]
        0      join b t                 | b: e2 []
        1000   beat a                   | a: e1 [t:0]
        5000   beat a own=t:0           | a: e2
        20000  beat a                   | a: e2
        20000  beat b                   | b: e2 [t:1]
        ",
    );
}

#[test]
fn static_members_come_back_to_what_they_had() {
    check(
        "
        0  topics t=2                   |
        0  join a t instance=i          | a: e1 [t:0,1]
        1  join b t instance=j          | b: e2 []
        2  beat a                       | a: e1 [t:0]
        2  beat a own=t:0               | a: e2
        2  beat b                       | b: e2 [t:1]
        3  join c t instance=i          | c: UnreleasedInstance
        4  away a instance=j            | a: FencedInstance
        4  away a instance=k            | a: UnknownMember
        4  away a instance=i            | a: e-2
        4  describe                     | Reconciling 2/2 uniform a e-2 [t:0]→[t:0], b e2 [t:1]→[t:1]
        5  beat b                       | b: e2
        6  join c t instance=i          | c: e2 [t:0]
        6  beat a e=2 instance=i        | a: FencedInstance
        6  beat a e=2                   | a: UnknownMember
        7  describe                     | Stable 2/2 uniform b e2 [t:1]→[t:1], c e2 [t:0]→[t:0]
        8  leave c instance=i           | c: e-1
        9  beat b                       | b: e3 [t:0,1]
        ",
    );
}

#[test]
fn a_static_member_that_stays_away_is_removed() {
    check(
        "
        0      topics t=2               |
        0      join a t instance=i      | a: e1 [t:0,1]
        0      join b t                 | b: e2 []
        1000   away a instance=i        | a: e-2
        44000  beat b                   | b: e2
        45000  beat b                   | b: e3 [t:0,1]
        ",
    );
}

#[test]
fn an_administrator_removes_members() {
    check(
        "
        0  topics t=1                   |
        0  join b t                     | b: e1 [t:0]
        0  cleave b                     | b: ok
        0  beat b                       | b: UnknownMember
        0  join a t instance=i          | a: e3 [t:0]
        0  cleave x instance=i          | x: ok
        0  beat a                       | a: UnknownMember
        0  cleave x instance=i          | x: UnknownMember
        ",
    );
}

#[test]
fn new_partitions_and_topics_are_shared_out() {
    check(
        "
        0  topics t=1                   |
        0  join a t,u                   | a: e1 [t:0]
        1  topics t=2                   |
        1  beat a                       | a: e2 [t:0,1]
        2  topics t=2 u=1               |
        2  beat a                       | a: e3 [t:0,1;u:0]
        3  topics t=2 u=1 v=1           |
        3  beat a                       | a: e3
        4  topics u=1                   |
        4  beat a                       | a: e3 [u:0]
        4  beat a own=u:0               | a: e4
        5  topics t+1=1 u=1             |
        5  beat a                       | a: e5 [t:0;u:0]
        6  topics t+2=1 u=1             |
        6  beat a                       | a: e5 [u:0]
        6  beat a own=u:0               | a: e6 [t:0;u:0]
        ",
    );
}

#[test]
fn regular_expressions_follow_the_topics() {
    check(
        "
        0  topics ta=1 tb=1 u=1         |
        0  join a regex=t.              | a: e1 [ta:0;tb:0]
        1  topics ta=1 tb=1 u=1 v=1     |
        1  beat a                       | a: e1
        2  topics ta=1 tb=1 tc=1 u=1    |
        2  beat a                       | a: e2 [ta:0;tb:0;tc:0]
        3  topics ta=1 tc=1 u=1         |
        3  beat a                       | a: e2 [ta:0;tc:0]
        3  beat a own=ta:0;tc:0         | a: e3
        4  beat a regex= topics=u       | a: e3 []
        4  beat a own=                  | a: e4 [u:0]
        5  join b regex=t.c             | b: e5 []
        5  join c regex=a)|(b           | c: InvalidRegex
        5  beat b regex=(               | b: InvalidRegex
        5  beat b regex=.*c topics=u    | b: e6 [tc:0]
        ",
    );
}

#[test]
fn names_and_an_expression_add_up() {
    check(
        "
        0  topics ta=1 tb=1 u=1         |
        0  join a u regex=tb            | a: e1 [tb:0;u:0]
        1  join b ta regex=tb           | b: e2 [ta:0]
        ",
    );
}

#[test]
fn most_wishes_choose_the_assignor() {
    check(
        "
        0  topics t=2 u=2               |
        0  join a t,u assignor=range    | a: e1 [t:0,1;u:0,1]
        1  join b t,u                   | b: e2 []
        1  describe                     | Reconciling 2/2 range a e1 [t:0,1;u:0,1]→[t:0;u:0], b e2 []→[t:1;u:1]
        2  beat b assignor=uniform      | b: e2
        2  join c t,u assignor=uniform  | c: e3 []
        2  describe                     | Reconciling 3/3 uniform a e1 [t:0,1;u:0,1]→[t:0;u:0], b e2 []→[t:1], c e3 []→[u:1]
        ",
    );
}

#[test]
fn a_restart_costs_nobody_anything() {
    check(
        "
        0      topics t=2               |
        0      join a t                 | a: e1 [t:0,1]
        1      join b t rebalance=9000  | b: e2 []
        2      beat a                   | a: e1 [t:0]
        3      restart                  |
        4      beat b                   | b: e2
        4      beat a own=t:0           | a: e2
        5      beat b                   | b: e2 [t:1]
        6      restart                  |
        7      beat a                   | a: e2
        7      describe                 | Stable 2/2 uniform a e2 [t:0]→[t:0], b e2 [t:1]→[t:1]
        45005  beat a                   | a: e2
        45006  describe                 | Assigning 3/2 uniform a e2 [t:0]→[t:0]
        ",
    );
}

#[test]
fn offsets_are_committed_in_the_members_epoch() {
    check(
        "
        0  topics t=1                   |
        0  commit x e=-1                | x: ok
        0  join a t                     | a: e1 [t:0]
        0  commit a                     | a: ok
        0  commit x e=-1                | x: UnknownMember
        0  commit a e=0                 | a: StaleMemberEpoch
        0  fetch a                      | a: ok
        0  fetch a e=2                  | a: StaleMemberEpoch
        0  fetch x e=1                  | x: UnknownMember
        0  drop t                       | t: SubscribedToTopic
        0  delete                       | NonEmptyGroup
        0  leave a                      | a: e-1
        0  commit x e=-1                | x: ok
        0  commit a e=1                 | a: UnknownMember
        0  drop t                       | t: ok
        0  group                        | consumer epoch=2 members=0
        ",
    );
}

/// KIP-1251: a commit that was on its way when the epoch changed.
#[test]
fn commits_of_older_epochs_count_for_partitions_held_since_then() {
    check(
        "
        0  topics t=2                   |
        0  join a t                     | a: e1 [t:0,1]
        1  join b t                     | b: e2 []
        2  beat a                       | a: e1 [t:0]
        3  beat a own=t:0               | a: e2
        4  commit a e=1                 | a: ok
        4  commit a e=0                 | a: StaleMemberEpoch
        4  commit a e=3                 | a: StaleMemberEpoch
        4  commit b e=1                 | b: StaleMemberEpoch
        4  fetch a e=1                  | a: StaleMemberEpoch
        5  beat b                       | b: e2 [t:1]
        6  restart                      |
        7  commit a e=1                 | a: ok
        8  leave a                      | a: e-1
        9  beat b                       | b: e3 [t:0,1]
        9  commit b e=2                 | b: StaleMemberEpoch
        9  commit b e=3                 | b: ok
        ",
    );
}

#[test]
fn offsets_expire_by_their_commit_unless_subscribed_to() {
    check(
        "
        set retention=10000 sweep=4000
        0      topics t=1               |
        0      join a t                 | a: e1 [t:0]
        0      commit a                 | a: ok
        20000  beat a                   | a: e1
        20000  group                    | consumer epoch=1 members=1 + offsets
        20000  leave a                  | a: e-1
        24000  group                    | nothing
        ",
    );
}
