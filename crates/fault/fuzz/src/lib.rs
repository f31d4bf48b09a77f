//! Fuzz targets. Each is a function of bytes that panics when a promise is broken; `fuzz_targets/` hands
//! it to libFuzzer, and `seeds` writes what each begins with.
//!
//! - [`records`]: stored values, keys, packs, seals (I7)
//! - [`cursors`]: tokens of clients
//! - [`scopes`]: rules as JSON, and the algebra against a list of every path (I6)
//! - [`lines`]: what a command writes (I9)
//! - [`state`]: a state directory with changed bytes, read and opened (I7, I12)

pub mod cursors;
pub mod lines;
pub mod records;
pub mod scopes;
pub mod state;

/// Takes numbers off the front of the fuzzer's bytes; zeros when there are none left.
pub struct Choices<'a>(pub &'a [u8]);

impl<'a> Choices<'a> {
    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    /// The next four, as a number.
    pub fn number(&mut self) -> usize {
        u32::from_le_bytes(self.array()) as usize
    }

    /// The next bytes.
    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut array = [0; N];
        let count = N.min(self.0.len());
        let (head, rest) = self.0.split_at(count);
        array[..count].copy_from_slice(head);
        self.0 = rest;
        array
    }

    /// Whether there are any left.
    pub fn any(&self) -> bool {
        !self.0.is_empty()
    }
}
