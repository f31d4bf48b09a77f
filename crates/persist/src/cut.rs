//! Reading fields off the front of a slice, without a panic when it is too short. Used by the
//! layouts of keys and packs, which are fixed and not made by the record codec.

use crate::codec::Damage;

/// What is left to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cut<'a>(&'a [u8]);

impl<'a> Cut<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        let (head, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or("the value is too short")?;
        self.0 = rest;
        Ok(*head)
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Damage> {
        let (head, rest) = self
            .0
            .split_at_checked(len)
            .ok_or("the value is too short")?;
        self.0 = rest;
        Ok(head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Damage> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Damage> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Damage> {
        self.array().map(u64::from_le_bytes)
    }

    /// Keys are big-endian, so that they sort like their numbers.
    pub(crate) fn key_u32(&mut self) -> Result<u32, Damage> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn key_u64(&mut self) -> Result<u64, Damage> {
        self.array().map(u64::from_be_bytes)
    }

    /// Nothing may follow.
    pub(crate) fn end(self) -> Result<(), Damage> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err("there are bytes after the last field".into())
        }
    }
}

/// A key put together from its parts, on the stack.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    bytes: [u8; 40],
    len: usize,
}

impl Key {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: [0; 40],
            len: 0,
        }
    }

    /// Appends; a key never has more than 40 bytes.
    #[must_use]
    pub(crate) fn with(mut self, part: &[u8]) -> Self {
        for (to, from) in self.bytes.iter_mut().skip(self.len).zip(part) {
            *to = *from;
        }
        self.len = (self.len + part.len()).min(self.bytes.len());
        self
    }

    #[must_use]
    pub(crate) fn with_u64(self, number: u64) -> Self {
        self.with(&number.to_be_bytes())
    }

    #[must_use]
    pub(crate) fn with_u32(self, number: u32) -> Self {
        self.with(&number.to_be_bytes())
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}
