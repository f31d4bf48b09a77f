//! An append-only file of JSON lines: the client's own memory, which the store knows nothing of.
//!
//! A line that a kill tore was never noted: it is cut off before the next one is written.

#![allow(dead_code, reason = "the host writes, the test only reads")]

use std::{
    fs::{self, File},
    io::{self, Write},
    marker::PhantomData,
    path::Path,
};

use serde::{Serialize, de::DeserializeOwned};

/// A journal that is written.
pub(crate) struct Journal<T> {
    file: File,
    notes: PhantomData<T>,
}

impl<T: Serialize + DeserializeOwned> Journal<T> {
    /// Opens a journal, and tells what is in it.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Vec<T>)> {
        let (notes, whole_bytes) = read_whole(path)?;
        let file = File::options().create(true).append(true).open(path)?;
        file.set_len(whole_bytes)?;
        let notes_of = PhantomData;
        Ok((
            Self {
                file,
                notes: notes_of,
            },
            notes,
        ))
    }

    /// Notes something; it is on disk when this returns.
    pub(crate) fn note(&mut self, note: &T) -> io::Result<()> {
        let mut line = serde_json::to_vec(note)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.sync_data()
    }
}

/// What is in a journal; one that does not exist is empty.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> io::Result<Vec<T>> {
    read_whole(path).map(|(notes, _)| notes)
}

fn read_whole<T: DeserializeOwned>(path: &Path) -> io::Result<(Vec<T>, u64)> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), 0)),
        other => other?,
    };
    let mut notes = Vec::new();
    let mut whole_bytes = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        if line.ends_with(b"\n") {
            notes.push(serde_json::from_slice(line)?);
            whole_bytes += line.len() as u64;
        }
    }
    Ok((notes, whole_bytes))
}
