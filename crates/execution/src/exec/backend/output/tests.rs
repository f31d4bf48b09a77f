use super::*;

/// Decodes in pieces of this many bytes.
fn decode(bytes: &[u8], piece: usize) -> String {
    let mut decoder = Utf8Decoder::default();
    let mut text: String = bytes
        .chunks(piece)
        .map(|piece| decoder.push(piece))
        .collect();
    text.push_str(decoder.finish());
    text
}

#[test]
fn however_it_is_cut_the_text_is_the_same() {
    let cases: [&[u8]; 6] = [
        "a€🦀ü".as_bytes(),
        b"plain",
        b"a\xffb",
        b"\xe2\x82",
        b"\xe2\x82x\xf0\x9f\xa6",
        b"\xed\xa0\x80\xc0\xaf\xf5",
    ];
    for bytes in cases {
        let whole = String::from_utf8_lossy(bytes);
        for piece in 1..=bytes.len() {
            assert_eq!(decode(bytes, piece), whole, "{bytes:?} by {piece}");
        }
    }
}

#[test]
fn a_character_that_is_not_whole_waits_for_its_rest() {
    let mut decoder = Utf8Decoder::default();
    assert_eq!(decoder.push(b"x\xe2\x82"), "x");
    assert_eq!(decoder.push(b"\xacy"), "€y");
    assert_eq!(decoder.finish(), "");
}
