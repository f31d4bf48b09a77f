//! The witness: what was last acknowledged, kept outside the store so that a store that went back
//! can be told from one that never went further.
//!
//! `head` is one 512-byte sector with two slots, each with its own checksum. The writer fills them
//! in turn, after the commit and before anything is published, with one positioned write and no
//! sync: it costs a microsecond, a killed process loses nothing, and after a power cut an older or
//! broken witness is merely no witness. It must never be written for a commit whose outcome is
//! unknown, or it would testify to something that may not have happened (I1).
//!
//! A slot of 256 bytes, little-endian; the rest of it is zero:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 8 | `wr-head` and format 1 |
//! | 8 | 8 | turn: grows with every write, the greater one is newer (a position may go back at a fork) |
//! | 16 | 8 | position |
//! | 24 | 16 | chain |
//! | 40 | 8 | incarnation |
//! | 48 | 8 | XXH3-64 of the bytes before |

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::Path;

use twox_hash::XxHash3_64;

use super::dir::{StateDir, private_file};
use super::lock::WriterLock;

#[cfg(test)]
mod tests;

const SECTOR_BYTES: usize = 512;
const SLOT_BYTES: usize = 256;
const SEALED_BYTES: usize = 48;
const USED_BYTES: usize = SEALED_BYTES + 8;
const MAGIC: [u8; 8] = *b"wr-head\x01";

/// What was acknowledged last: every event up to `position`, with `chain` over all commits so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Witness {
    pub(crate) position: u64,
    pub(crate) chain: u128,
    pub(crate) incarnation: u64,
}

/// What `head` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeadRead {
    /// The newest witness that verifies.
    Valid(Witness),
    Invalid(Invalid),
}

/// Why there is no witness. None of these is an error: they say nothing about the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Invalid {
    Missing,
    /// Shorter than a sector.
    CutOff,
    /// Made, and never written.
    Blank,
    /// Neither slot verifies.
    BothBad,
}

impl Invalid {
    /// What is damaged; `None` where there was nothing yet.
    pub(crate) fn damage(self) -> Option<&'static str> {
        match self {
            Self::Missing | Self::Blank => None,
            Self::CutOff => Some("it is cut off"),
            Self::BothBad => Some("no slot of it is what it was written as"),
        }
    }
}

/// The witness as the writer keeps it.
#[derive(Debug)]
pub(crate) struct HeadFile {
    file: File,
    turn: u64,
}

impl HeadFile {
    /// Opens the witness for writing, and goes on after what is there; makes it when missing.
    ///
    /// # Errors
    /// When the file can't be made, read or sized.
    pub(crate) fn open(dir: &StateDir, _lock: &WriterLock) -> io::Result<Self> {
        let file = private_file()
            .create(true)
            .truncate(false)
            .open(dir.head())?;
        if file.metadata()?.len() != SECTOR_BYTES as u64 {
            file.set_len(SECTOR_BYTES as u64)?;
        }
        let turn = newest(&read_sector(&file)?).map_or(0, |(turn, _)| turn);
        Ok(Self { file, turn })
    }

    /// Records what is about to be acknowledged, over the older slot.
    ///
    /// # Errors
    /// The write's. The store itself is not harmed then, but from here on the witness is behind.
    ///
    /// # Durability
    /// Survives the process, not the machine.
    pub(crate) fn record(&mut self, witness: &Witness) -> io::Result<()> {
        let turn = self.turn.wrapping_add(1);
        let offset = (turn % 2) * SLOT_BYTES as u64;
        self.file.write_all_at(&encode(turn, witness), offset)?;
        self.turn = turn;
        Ok(())
    }

    /// Reads the witness without opening anything for writing (I12).
    ///
    /// # Errors
    /// When the file is there and can't be read.
    pub(crate) fn read(dir: &StateDir) -> io::Result<HeadRead> {
        Self::read_at(&dir.head())
    }

    fn read_at(path: &Path) -> io::Result<HeadRead> {
        let sector = match File::open(path).and_then(|file| read_sector(&file)) {
            Ok(sector) => sector,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(HeadRead::Invalid(Invalid::Missing));
            }
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                // Made, and not written yet: what ended the process right then is no damage.
                let invalid = match std::fs::metadata(path)?.len() {
                    0 => Invalid::Blank,
                    _ => Invalid::CutOff,
                };
                return Ok(HeadRead::Invalid(invalid));
            }
            Err(error) => return Err(error),
        };
        Ok(match newest(&sector) {
            Some((_, witness)) => HeadRead::Valid(witness),
            None if sector.iter().all(|byte| *byte == 0) => HeadRead::Invalid(Invalid::Blank),
            None => HeadRead::Invalid(Invalid::BothBad),
        })
    }
}

fn read_sector(file: &File) -> io::Result<[u8; SECTOR_BYTES]> {
    let mut sector = [0; SECTOR_BYTES];
    file.read_exact_at(&mut sector, 0)?;
    Ok(sector)
}

fn newest(sector: &[u8; SECTOR_BYTES]) -> Option<(u64, Witness)> {
    let (first, second) = sector.split_at(SLOT_BYTES);
    let slots = [decode(first), decode(second)];
    slots.into_iter().flatten().max_by_key(|(turn, _)| *turn)
}

fn encode(turn: u64, witness: &Witness) -> [u8; USED_BYTES] {
    let mut slot = [0; USED_BYTES];
    let (sealed, check) = slot.split_at_mut(SEALED_BYTES);
    let fields: [&[u8]; 5] = [
        &MAGIC,
        &turn.to_le_bytes(),
        &witness.position.to_le_bytes(),
        &witness.chain.to_le_bytes(),
        &witness.incarnation.to_le_bytes(),
    ];
    let mut rest = &mut *sealed;
    for field in fields {
        let (place, after) = rest.split_at_mut(field.len());
        place.copy_from_slice(field);
        rest = after;
    }
    check.copy_from_slice(&XxHash3_64::oneshot(sealed).to_le_bytes());
    slot
}

fn decode(slot: &[u8]) -> Option<(u64, Witness)> {
    let (sealed, rest) = slot.split_at_checked(SEALED_BYTES)?;
    let (check, _) = rest.split_first_chunk()?;
    if XxHash3_64::oneshot(sealed) != u64::from_le_bytes(*check) {
        return None;
    }
    let (magic, sealed) = sealed.split_first_chunk()?;
    let (turn, sealed) = sealed.split_first_chunk()?;
    let (position, sealed) = sealed.split_first_chunk()?;
    let (chain, sealed) = sealed.split_first_chunk()?;
    let (incarnation, _) = sealed.split_first_chunk()?;
    if *magic != MAGIC {
        return None;
    }
    let witness = Witness {
        position: u64::from_le_bytes(*position),
        chain: u128::from_le_bytes(*chain),
        incarnation: u64::from_le_bytes(*incarnation),
    };
    Some((u64::from_le_bytes(*turn), witness))
}
