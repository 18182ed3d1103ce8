//! What goes wrong, drawn from a seed. Choosing is pure; `world.rs` strikes.

use std::time::Duration;

use rand::Rng;

/// One stroke. Times are how long it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blow {
    /// kill -9 of the broker.
    Kill(Duration),
    /// SIGTERM, then a start.
    Restart(Duration),
    /// SIGSTOP and SIGCONT.
    Stop(Duration),
    /// The broker's disk loses power.
    PowerCut(Duration),
    /// Every connection is cut, or about every second one.
    CutAll,
    CutSome,
    /// Connections stay and nothing passes.
    Freeze(Duration),
    /// Each frame takes this much longer.
    Slow {
        by: Duration,
        lasts: Duration,
    },
    /// Everybody is cut and nobody may come back.
    Refuse(Duration),
    /// So many frames are torn in two.
    Tear(i32),
    /// kill -9 of one family's program; its next life begins at once.
    KillClient(usize),
}

/// The next stroke.
pub fn next(random: &mut impl Rng, may_cut_power: bool, families: usize) -> Blow {
    let mut ms = |low, high| Duration::from_millis(random.random_range(low..high));
    let (short, long, by) = (ms(0, 1500), ms(200, 8000), ms(1, 150));
    match random.random_range(0..100) {
        0..20 => Blow::Kill(short),
        20..30 if may_cut_power => Blow::PowerCut(short),
        20..40 => Blow::Restart(short),
        40..52 => Blow::Stop(long),
        52..60 => Blow::CutAll,
        60..68 => Blow::CutSome,
        68..76 => Blow::Freeze(long),
        76..82 => Blow::Slow { by, lasts: long },
        82..86 => Blow::Refuse(short),
        86..94 => Blow::Tear(random.random_range(1..6)),
        _ => Blow::KillClient(random.random_range(0..families)),
    }
}

/// How long all is well between two strokes.
pub fn pause(random: &mut impl Rng) -> Duration {
    Duration::from_millis(random.random_range(500..5000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    #[test]
    fn a_seed_repeats_its_blows() {
        let draw = || {
            let mut random = StdRng::seed_from_u64(7);
            (0..50)
                .map(|_| next(&mut random, true, 3))
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(), draw());
    }

    #[test]
    fn power_is_only_cut_where_it_may() {
        let mut random = StdRng::seed_from_u64(7);
        let blows: Vec<_> = (0..500).map(|_| next(&mut random, false, 3)).collect();
        assert!(!blows.iter().any(|blow| matches!(blow, Blow::PowerCut(_))));
    }
}
