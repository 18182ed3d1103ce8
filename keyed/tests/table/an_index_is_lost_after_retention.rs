//! The index directory is deleted after retention removed most of the log: the checkpoint and what
//! is left of the log still make the same table.

use crate::engines::{Fjall, MortalStore};
use crate::world::World;
use tidelog_keyed::Start;

/// A partition whose log was trimmed to the older of two checkpoints.
fn trimmed() -> World<Fjall> {
    let mut world = World::new(1, Fjall::new());
    for _ in 0..3 {
        for _ in 0..60 {
            world.append();
        }
        world.stable_end = world.log_end;
        world.table().advance(world.stable_end);
        world.table().flush().unwrap();
        world.checkpoint();
    }
    world.trim();
    for _ in 0..20 {
        world.append();
    }
    assert!(world.log_start > world.log_end / 3);
    world
}

#[test]
fn the_newest_checkpoint_and_the_log_make_it() {
    let mut world = trimmed();
    world.stores.delete();
    let newest = world.checkpoints[1].file;
    world.lose_index();
    assert!(
        matches!(world.last_start, Start::Rebuilt { checkpoint: Some(file), .. } if file == newest)
    );
    world.check_engine();
    for _ in 0..50 {
        world.look_up();
    }
}

#[test]
fn the_older_checkpoint_makes_it_if_the_newest_is_rotten() {
    let mut world = trimmed();
    let older = world.checkpoints[0].file;
    world.lose_index_and_checkpoint();
    assert!(
        matches!(world.last_start, Start::Rebuilt { checkpoint: Some(file), .. } if file == older)
    );
    // The rotten one is named no longer, and another was written in its place.
    assert_eq!(world.checkpoints[0].file, older);
    assert_eq!(world.checkpoints.len(), 2);
    for _ in 0..50 {
        world.look_up();
    }
}

#[test]
fn a_whole_index_goes_on_where_it_was() {
    let mut world = trimmed();
    world.kill();
    assert_eq!(world.last_start, Start::Resumed);
    world.look_up();
}
