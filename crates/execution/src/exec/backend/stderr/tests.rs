use super::*;

#[test]
fn the_end_is_kept_and_what_is_gone_is_counted() {
    let tail = StderrTail::new(4);
    tail.push(b"abc");
    tail.push(b"defgh");
    let kept = std::mem::take(&mut *tail.locked());
    assert_eq!(Vec::from(kept.bytes), b"efgh");
    assert_eq!(kept.truncated_bytes, 4);
    tail.push(b"i");
    assert_eq!(tail.locked().truncated_bytes, 0);
}
