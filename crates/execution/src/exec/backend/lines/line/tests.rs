use super::*;

/// Cuts what comes in pieces of this many bytes.
fn cut(bytes: &[u8], piece: usize, bytes_max: usize) -> Vec<Line> {
    let mut buffer = LineBuffer::new(bytes_max);
    let mut lines = Vec::new();
    for piece in bytes.chunks(piece) {
        buffer.push(piece);
        lines.extend(std::iter::from_fn(|| buffer.pop()));
        assert!(buffer.bytes.len() <= bytes_max + 1, "it gathers too much");
    }
    lines.extend(buffer.finish());
    lines
}

fn text(text: &str) -> Line {
    Line::Text(text.to_owned())
}

#[test]
fn lines_are_the_same_however_they_come() {
    let bytes = b"one\r\n\n  \ntwo\nthr\xffee";
    for piece in 1..=bytes.len() {
        let lines = cut(bytes, piece, 100);
        assert_eq!(lines, [text("one"), text("two"), text("thr\u{fffd}ee")]);
    }
}

#[test]
fn a_line_that_is_too_long_is_skipped_and_the_next_one_is_read() {
    let bytes = b"123456789\nnext\n1234\r\n12345\r\n";
    for piece in 1..=4 {
        let lines = cut(bytes, piece, 4);
        let too_long = |bytes| Line::TooLong { bytes };
        assert_eq!(
            lines,
            [too_long(9), text("next"), text("1234"), too_long(6)],
            "by {piece}"
        );
    }
}

#[test]
fn a_long_line_without_an_end_is_told_at_the_end() {
    assert_eq!(cut(&[b'x'; 50], 7, 4), [Line::TooLong { bytes: 50 }]);
}
