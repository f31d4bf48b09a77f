use super::*;
use crate::settings::Size;

#[test]
fn a_few_images_are_what_they_must_be() {
    let settings = Settings {
        size: Size::Catch,
        seed: 3,
        threads: 1,
        until_violation: true,
    };
    let amount = Amount {
        sessions: 1,
        batches: 8,
        images_per_session: 120,
        recoveries_per_session: 20,
    };
    let outcome = run_amount(&settings, amount).unwrap();
    assert_eq!(outcome.kept, []);
    assert!(outcome.figures["audited images"] > 100, "{outcome:?}");
    assert!(
        outcome.figures["crashes during recovery"] > 10,
        "{outcome:?}"
    );
}
