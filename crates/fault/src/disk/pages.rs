//! A file's bytes in pages that are shared until they are written: a copy of a whole file costs
//! one pointer a page.

use std::{
    io::{self, ErrorKind},
    sync::{Arc, OnceLock},
};

use twox_hash::XxHash3_128;

const PAGE_BYTES: usize = 4096;

/// The bytes of a file. Two that were made from one another share what is the same in both.
#[derive(Debug, Clone, Default)]
pub struct Pages {
    length_bytes: u64,
    /// `None` is a page of zeros, as a hole in a file is.
    pages: Vec<Option<Arc<Page>>>,
}

#[derive(Debug)]
struct Page {
    bytes: Vec<u8>,
    hash: OnceLock<u128>,
}

impl Clone for Page {
    /// A clone is made to be written.
    fn clone(&self) -> Self {
        Self {
            bytes: self.bytes.clone(),
            hash: OnceLock::new(),
        }
    }
}

impl Page {
    fn new() -> Self {
        Self {
            bytes: vec![0; PAGE_BYTES],
            hash: OnceLock::new(),
        }
    }
}

/// The page of an offset, and the place in it.
fn place(offset: u64) -> (usize, usize) {
    let page_bytes = PAGE_BYTES as u64;
    let page = usize::try_from(offset / page_bytes).unwrap_or(usize::MAX);
    let at = usize::try_from(offset % page_bytes).unwrap_or(0);
    (page, at)
}

impl Pages {
    /// What a file holds.
    pub fn new(bytes: &[u8]) -> Self {
        let page = |bytes: &[u8]| {
            bytes.iter().any(|byte| *byte != 0).then(|| {
                let mut page = Page::new();
                if let Some(start) = page.bytes.get_mut(..bytes.len()) {
                    start.copy_from_slice(bytes);
                }
                Arc::new(page)
            })
        };
        Self {
            length_bytes: bytes.len() as u64,
            pages: bytes.chunks(PAGE_BYTES).map(page).collect(),
        }
    }

    /// How long the file is.
    pub fn length_bytes(&self) -> u64 {
        self.length_bytes
    }

    /// Reads exactly so many bytes.
    ///
    /// # Errors
    /// `UnexpectedEof` past the end.
    pub fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(out.len() as u64);
        if end.is_none_or(|end| end > self.length_bytes) {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let mut rest = out;
        let mut offset = offset;
        while !rest.is_empty() {
            let (page, at) = place(offset);
            let (piece, after) = rest.split_at_mut(rest.len().min(PAGE_BYTES - at));
            match self.pages.get(page).and_then(Option::as_ref) {
                Some(page) => {
                    if let Some(bytes) = page.bytes.get(at..at + piece.len()) {
                        piece.copy_from_slice(bytes);
                    }
                }
                None => piece.fill(0),
            }
            offset += piece.len() as u64;
            rest = after;
        }
        Ok(())
    }

    /// Writes, and makes the file longer where that is past its end.
    pub fn write(&mut self, offset: u64, data: &[u8]) {
        let end = offset.saturating_add(data.len() as u64);
        if end > self.length_bytes {
            self.set_length(end);
        }
        let mut rest = data;
        let mut offset = offset;
        while !rest.is_empty() {
            let (page, at) = place(offset);
            let (piece, after) = rest.split_at(rest.len().min(PAGE_BYTES - at));
            if let Some(page) = self.pages.get_mut(page) {
                let page = Arc::make_mut(page.get_or_insert_with(|| Arc::new(Page::new())));
                page.hash = OnceLock::new();
                if let Some(bytes) = page.bytes.get_mut(at..at + piece.len()) {
                    bytes.copy_from_slice(piece);
                }
            }
            offset += piece.len() as u64;
            rest = after;
        }
    }

    /// Cuts the file off, or makes it longer with zeros.
    pub fn set_length(&mut self, length_bytes: u64) {
        let count = usize::try_from(length_bytes.div_ceil(PAGE_BYTES as u64)).unwrap_or(usize::MAX);
        self.pages.resize(count, None);
        let (page, at) = place(length_bytes);
        if length_bytes < self.length_bytes
            && at > 0
            && let Some(Some(page)) = self.pages.get_mut(page)
        {
            let page = Arc::make_mut(page);
            page.hash = OnceLock::new();
            if let Some(cut) = page.bytes.get_mut(at..) {
                cut.fill(0);
            }
        }
        self.length_bytes = length_bytes;
    }

    /// All of it.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(self.length_bytes).unwrap_or(0)];
        let _ = self.read(0, &mut bytes);
        bytes
    }

    /// What tells this content from any other. A page is hashed once, however many share it.
    pub fn fingerprint(&self) -> u128 {
        let start = u128::from(self.length_bytes).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let pages = (0_u64..).zip(&self.pages);
        pages.fold(start, |sum, (number, page)| match page {
            Some(page) => sum.wrapping_add(page.hash(number)),
            None => sum,
        })
    }
}

impl Page {
    /// Nothing for a page of zeros, which may be held as a page or as none.
    fn hash(&self, number: u64) -> u128 {
        *self.hash.get_or_init(|| {
            if self.bytes.iter().all(|byte| *byte == 0) {
                0
            } else {
                XxHash3_128::oneshot_with_seed(number, &self.bytes)
            }
        })
    }
}
