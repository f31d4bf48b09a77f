use worker_runtime_core::Position;

use super::*;

const LEAST: Promises = Promises {
    position: Position(7),
    texts: 2,
    trimmed_to: Position(3),
    leases: 1,
};

#[test]
fn an_image_is_looked_at_again_whatever_is_promised_beyond_what_was() {
    let more = [
        Promises {
            position: Position(8),
            ..LEAST
        },
        Promises { texts: 3, ..LEAST },
        Promises { leases: 2, ..LEAST },
        Promises {
            trimmed_to: Position(4),
            ..LEAST
        },
    ];
    for promises in more {
        let mut known = Known::default();
        assert_eq!(known.novelty(1, LEAST), Novelty::Image);
        assert_eq!(known.novelty(1, LEAST), Novelty::None);
        assert_eq!(known.novelty(1, promises), Novelty::Promises);
        assert_eq!(known.novelty(1, LEAST), Novelty::None);
        assert_eq!(known.novelty(1, promises), Novelty::None);
        assert_eq!(known.novelty(2, promises), Novelty::Image);
    }
}
