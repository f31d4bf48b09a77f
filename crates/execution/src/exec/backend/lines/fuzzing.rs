//! What the fuzz target of lines mode calls (`--cfg fuzzing` only; `crates/fault/fuzz`): the line reader
//! and the parser on any bytes, against a plain cut at each `\n` (I9).

use super::{
    line::{Line, LineBuffer},
    message::{FromCommand, Parsed, parse},
};

/// What a line of the command must become.
fn expected(line: &[u8], is_last: bool, bytes_max: usize) -> Option<Line> {
    let bytes = line.len() as u64;
    if is_last && bytes == 0 {
        return None;
    }
    let text = line.strip_suffix(b"\r").unwrap_or(line);
    if text.len() > bytes_max {
        return Some(Line::TooLong { bytes });
    }
    let text = String::from_utf8_lossy(text).into_owned();
    (!text.trim().is_empty()).then_some(Line::Text(text))
}

/// Reads these bytes as they come in pieces: every line is given, told as too long, or empty; no more
/// than a line is held; and no line is too odd to be parsed or refused.
///
/// # Panics
/// When that does not hold.
pub fn lines(bytes: &[u8], piece: usize, bytes_max: usize) {
    let mut buffer = LineBuffer::new(bytes_max);
    let mut found = Vec::new();
    for piece in bytes.chunks(piece.max(1)) {
        buffer.push(piece);
        found.extend(std::iter::from_fn(|| buffer.pop()));
        assert!(
            buffer.held() <= bytes_max.saturating_add(1),
            "{} bytes of a line of {bytes_max} are held",
            buffer.held()
        );
    }
    found.extend(buffer.finish());
    let count = bytes.split(|byte| *byte == b'\n').count();
    let cut = bytes.split(|byte| *byte == b'\n').zip(1..);
    let wanted: Vec<Line> = cut
        .filter_map(|(line, number)| expected(line, number == count, bytes_max))
        .collect();
    assert_eq!(found, wanted, "every byte is in a line or told");
    for line in &found {
        if let Line::Text(text) = line
            && let Parsed::Message {
                message: FromCommand::End(end),
                ..
            } = parse(text)
        {
            let _ = end.stop_reason();
        }
    }
}
