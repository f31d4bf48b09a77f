//! The disk itself: a file that was written before, bytes in place, one `fdatasync` per batch. No
//! durable append can be faster on the same disk.

use std::{fs::File, io::Read, os::unix::fs::FileExt, path::Path, time::Instant};

use rustix::fs::Advice;

use crate::{Failure, payload::Payload, stats::Phase};

/// A pre-written file.
pub struct RawFile {
    file: File,
    len_bytes: u64,
    at: u64,
}

impl RawFile {
    /// Writes the file once, so that later writes change no metadata.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn create(path: &Path, len_bytes: u64) -> Result<Self, Failure> {
        let file = File::options()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(path)?;
        let zeros = vec![0; 1 << 20];
        let mut at = 0;
        while at < len_bytes {
            file.write_all_at(&zeros, at)?;
            at += zeros.len() as u64;
        }
        file.sync_all()?;
        Ok(Self {
            file,
            len_bytes: at,
            at: 0,
        })
    }

    /// Writes a batch in place and syncs it.
    ///
    /// # Errors
    /// When the disk does.
    pub fn write(&mut self, batch: &[u8]) -> Result<(), Failure> {
        if self.at + batch.len() as u64 > self.len_bytes {
            self.at = 0;
        }
        self.file.write_all_at(batch, self.at)?;
        self.file.sync_data()?;
        self.at += batch.len() as u64;
        Ok(())
    }

    /// `ops` payloads in batches of `in_flight`.
    ///
    /// # Errors
    /// When the disk does.
    pub fn measure(&mut self, ops: u64, in_flight: u64) -> Result<Phase, Failure> {
        let mut latencies = Vec::new();
        let mut batch = Vec::new();
        let started = Instant::now();
        let mut done = 0;
        while done < ops {
            let size = in_flight.min(ops - done);
            let began = Instant::now();
            batch.clear();
            for op in done..done + size {
                serde_json::to_writer(&mut batch, &Payload::new(op as u32 % 1_000, op))?;
            }
            self.write(&batch)?;
            let took = began.elapsed();
            latencies.extend((0..size).map(|_| took));
            done += size;
        }
        Ok(Phase {
            ops,
            elapsed: started.elapsed(),
            latencies,
        })
    }
}

/// Reads a file from front to end in pieces, as fast as the system gives it.
///
/// # Errors
/// When the disk does.
pub fn read_all(path: &Path, mut each: impl FnMut(&[u8])) -> Result<u64, Failure> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    let mut total = 0;
    loop {
        let len = file.read(&mut buffer)?;
        if len == 0 {
            return Ok(total);
        }
        total += len as u64;
        each(buffer.get(..len).unwrap_or_default());
    }
}

/// Has the system forget what it holds of every file below a directory, so that the next read goes
/// to the disk. The disk's own cache stays.
///
/// # Errors
/// When a file can't be opened.
pub fn forget_cached(dir: &Path) -> Result<(), Failure> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            forget_cached(&entry.path())?;
        } else if entry.file_type()?.is_file() {
            let file = File::open(entry.path())?;
            file.sync_all()?;
            rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?;
        }
    }
    Ok(())
}

/// The bytes that the files below a directory take on the disk.
///
/// # Errors
/// When one can't be looked at.
pub fn disk_bytes(dir: &Path) -> Result<u64, Failure> {
    use std::os::unix::fs::MetadataExt;
    let mut total = 0;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        total += if entry.file_type()?.is_dir() {
            disk_bytes(&entry.path())?
        } else {
            entry.metadata()?.blocks() * 512
        };
    }
    Ok(total)
}
