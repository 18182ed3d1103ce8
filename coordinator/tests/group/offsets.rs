//! Committed offsets, and looking at groups from outside.

use super::script::check;

#[test]
fn anybody_commits_to_a_group_without_members() {
    check(
        "
        0  fetch t/0                             | t/0=none
        0  fetch                                 | no offsets
        0  commit t/0=5 t/1=6 epoch=3 meta=note  | write t/0=5 ; write t/1=6 ; t/0 ok t/1 ok
        0  fetch t/1 t/0 t/2                     | t/1=6@3~note t/0=5@3~note t/2=none
        0  fetch                                 | t/0=5@3~note t/1=6@3~note
        0  fetch group=other                     | no offsets
        0  describe                              | Empty : []
        0  list                                  | g::Empty
        0  restart                               |
        0  fetch                                 | t/0=5@3~note t/1=6@3~note
        0  commit gen=3 t/0=1 group=other        | GroupNotFound
        0  commit a.1 gen=3 t/0=1                | UnknownMember
        ",
    );
}

#[test]
fn members_commit_in_their_generation_only() {
    check(
        "
        set delay=0
        0  join a                        | a: use a.1
        0  commit t/0=1                  | write t/0=1 ; t/0 ok
        0  join a.1                      | a.1: a.1 gen=1 range leader=a.1 [a.1]
        0  commit a.1 gen=1 t/0=2        | RebalanceInProgress
        0  sync a.1 gen=1 a.1=x          | write g gen=1 leader=a.1 [a.1=x] ; a.1: synced range x
        0  commit a.1 gen=1 t/0=3        | write t/0=3 ; t/0 ok
        0  commit a.1 gen=0 t/0=4        | IllegalGeneration
        0  commit a.1 gen=-1 t/0=4       | IllegalGeneration
        0  commit t/0=4                  | UnknownMember
        0  commit b.9 gen=1 t/0=4        | UnknownMember
        0  join b old                    |
        0  commit a.1 gen=1 t/0=5        | write t/0=5 ; t/0 ok
        0  fetch t/0                     | t/0=5
        ",
    );
}

#[test]
fn commit_metadata_is_limited_in_characters() {
    check(
        "
        0  commit t/0=1 meta=4097        | t/0 OffsetMetadataTooLarge
        0  commit t/0=1 meta=4096        | write t/0=1 ; t/0 ok
        ",
    );
}

#[test]
fn offsets_of_an_empty_group_expire_after_it_became_empty() {
    check(
        "
        set delay=0 retention=50000 sweep=1000
        0       join a old               | a: a.1 gen=1 range leader=a.1 [a.1]
        0       sync a.1 gen=1 a.1=x     | write g gen=1 leader=a.1 [a.1=x] ; a.1: synced range x
        0       commit a.1 gen=1 t/0=3   | write t/0=3 ; t/0 ok
        9000    leave a.1                | write g gen=2 empty ; left
        58999                            |
        59000                            | write t/0 gone ; write g gone
        59000   list                     | no groups
        59000   describe                 | Dead : []
        ",
    );
}

#[test]
fn simple_offsets_expire_after_their_commit_or_their_own_retention() {
    check(
        "
        set retention=50000 sweep=1000
        0       commit t/0=3                   | write t/0=3 ; t/0 ok
        20000   commit t/1=4                   | write t/1=4 ; t/1 ok
        20000   commit t/2=5 retention=100000  | write t/2=5 ; t/2 ok
        20000   restart                        |
        69999                                  | write t/0 gone
        70000                                  | write t/1 gone
        119999                                 |
        120000                                 | write t/2 gone
        120000  list                           | no groups
        ",
    );
}

#[test]
fn a_stable_group_loses_only_offsets_of_topics_it_dropped() {
    check(
        "
        set delay=0 retention=5000 sweep=1000
        0     join a old protocols=range:t  | a: a.1 gen=1 range leader=a.1 [a.1]
        0     sync a.1 gen=1 a.1=x          | write g gen=1 leader=a.1 [a.1=x] ; a.1: synced range x
        0     commit a.1 gen=1 t/0=3 u/0=4  | write t/0=3 ; write u/0=4 ; t/0 ok u/0 ok
        4999                                |
        5000                                | write u/0 gone
        9000  fetch                         | t/0=3
        ",
    );
}

#[test]
fn offsets_of_an_opaque_protocol_stay_while_it_has_members() {
    check(
        "
        set delay=0 retention=5000 sweep=1000
        0     join w old type=connect    | w: w.1 gen=1 range leader=w.1 [w.1]
        0     sync w.1 gen=1 w.1=x       | write g gen=1 leader=w.1 [w.1=x] ; w.1: synced range x
        0     commit w.1 gen=1 t/0=3     | write t/0=3 ; t/0 ok
        9000  fetch                      | t/0=3
        9000  drop t/0                   | NonEmptyGroup
        9000  delete                     | NonEmptyGroup
        ",
    );
}

#[test]
fn an_empty_group_without_offsets_dies_at_the_next_sweep() {
    check(
        "
        set delay=0 sweep=1000
        0     join a old                 | a: a.1 gen=1 range leader=a.1 [a.1]
        0     leave a.1                  | write g gen=2 empty ; left
        0     list                       | g:consumer:Empty
        1000  list                       | write g gone ; no groups
        ",
    );
}

#[test]
fn subscribed_topics_keep_their_offsets_from_being_deleted() {
    check(
        "
        set delay=0
        0  drop t/0                      | GroupNotFound
        0  join a old protocols=range:t  | a: a.1 gen=1 range leader=a.1 [a.1]
        0  sync a.1 gen=1 a.1=x          | write g gen=1 leader=a.1 [a.1=x] ; a.1: synced range x
        0  commit a.1 gen=1 t/0=3 u/0=4  | write t/0=3 ; write u/0=4 ; t/0 ok u/0 ok
        0  drop t/0 u/0 u/1              | write u/0 gone ; t/0 SubscribedToTopic u/0 ok u/1 ok
        0  leave a.1                     | write g gen=2 empty ; left
        0  drop t/0                      | write t/0 gone ; t/0 ok
        ",
    );
}

#[test]
fn a_deleted_topic_takes_its_offsets_along() {
    check(
        "
        0  commit t/0=3 u/0=4            | write t/0=3 ; write u/0=4 ; t/0 ok u/0 ok
        0  commit t/1=5 group=h          | write t/1=5 ; t/1 ok
        0  topic-gone t                  | write t/0 gone ; write t/1 gone ; ok
        0  fetch                         | u/0=4
        0  list                          | g::Empty
        ",
    );
}

#[test]
fn only_groups_without_members_are_deleted() {
    check(
        "
        set delay=0
        0  delete                        | GroupNotFound
        0  join a old                    | a: a.1 gen=1 range leader=a.1 [a.1]
        0  delete                        | NonEmptyGroup
        0  leave a.1                     | write g gen=2 empty ; left
        0  commit t/0=3                  | write t/0=3 ; t/0 ok
        0  join b                        | b: use b.2
        0  delete                        | write t/0 gone ; write g gone ; deleted
        0  list                          | no groups
        0  join b.2                      | b.2: UnknownMember
        0  delete                        | GroupNotFound
        ",
    );
}

#[test]
fn groups_are_listed_by_state_and_type() {
    check(
        "
        set delay=0
        0  join a old                    | a: a.1 gen=1 range leader=a.1 [a.1]
        0  commit t/0=3 group=h          | write t/0=3 ; t/0 ok
        0  list                          | g:consumer:CompletingRebalance h::Empty
        0  list state=empty              | h::Empty
        0  list state=Unknown            | no groups
        0  list type=Classic             | g:consumer:CompletingRebalance h::Empty
        0  list type=share               | no groups
        ",
    );
}
