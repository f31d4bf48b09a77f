//! What a command writes in lines mode: any bytes, in any pieces.

use worker_runtime_execution::exec::fuzzing::lines;

use crate::Choices;

/// The first bytes say how it comes and how long a line may be.
pub fn check(bytes: &[u8]) {
    let mut choices = Choices(bytes);
    let piece = usize::from(choices.byte()) + 1;
    let bytes_max = match choices.byte() {
        long if long > 200 => 1 << 20,
        short => usize::from(short),
    };
    lines(choices.0, piece, bytes_max);
}
