use std::time::Duration;

use super::Text;

#[test]
fn it_tells_how_far_how_fast_and_how_long() {
    let text = |done_mib: u64, all_mib: u64, elapsed_s| {
        let text = Text {
            done_bytes: done_mib << 20,
            all_bytes: all_mib << 20,
            elapsed: Duration::from_secs(elapsed_s),
        };
        text.to_string()
    };
    assert_eq!(
        text(300, 1200, 3),
        "checked 25 % of 1200 MiB, 100 MiB/s, 9 s left"
    );
    assert_eq!(text(0, 0, 0), "checked 0 % of 0 MiB, 0 MiB/s, 0 s left");
}
