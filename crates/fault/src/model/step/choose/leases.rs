//! What is done next with what others than Workers hold: chosen so that some leases are held to the end of
//! their time.

use fastrand::Rng;

use super::super::{LeaseStep, Shows};
use crate::model::{held::TARGETS, play::Game, world::LEASES_MAX};

/// Times for which leases are held: looks that lie close, on the grid and off it, and far apart.
const TTLS_MS: [u64; 5] = [1_000, 1_000, 1_018, 4_000, 20_000];

/// How many rules there are to choose from.
pub(super) fn rules() -> u8 {
    u8::try_from(4 * TARGETS.len()).unwrap_or(u8::MAX)
}

pub(super) fn choose(rng: &mut Rng, game: &Game) -> LeaseStep {
    let held = game.plain.leases.len();
    let nth = match held {
        0 => held,
        _ if rng.u8(0..8) == 0 => held,
        _ => rng.usize(0..held),
    };
    let shows = match rng.u8(0..7) {
        0..=2 => Shows::Last,
        3..=4 => Shows::Before,
        5 => Shows::Next,
        _ => Shows::Other,
    };
    let ttl_ms = rng.choice(TTLS_MS);
    let kinds = match held {
        0 if rng.u8(0..6) > 0 => 0..6,
        LEASES_MAX => 5..18,
        _ => 0..18,
    };
    match rng.u8(kinds) {
        0..=5 => LeaseStep::Acquire {
            id: (rng.u8(0..4) > 0).then(|| rng.u8(0..6)),
            rule: rng.u8(0..rules()),
            deny: (rng.u8(0..5) == 0).then(|| rng.u8(0..rules())),
            ttl_ms: ttl_ms.unwrap_or(1_000),
        },
        6..=7 => LeaseStep::AcquireAgain {
            nth,
            differs: rng.u8(0..3) == 0,
        },
        8..=11 => LeaseStep::Renew {
            nth,
            shows,
            ttl_ms: ttl_ms.filter(|_| rng.u8(0..4) == 0),
        },
        12..=13 => LeaseStep::Release { nth, shows },
        15.. if game.may_wait() => LeaseStep::Outlast { nth },
        _ => LeaseStep::Take { nth },
    }
}
