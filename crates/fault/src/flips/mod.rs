//! The part `flips`: what is damaged is never served, and what is missing is told (I2, I7, I10); reading
//! changes nothing (I12).
//!
//! A store that a session left is read once as it is: that is the truth. Then one byte of it is changed,
//! in each page in turn, or its file is cut off, or an older copy is put back, and it is read again. What
//! is read must be as it was, or missing and told. Every reading is of a stopped store, and must leave
//! every byte and modification time of the directory.
//!
//! - `made`: the stores
//! - `reading`: all that can be read, and what of it was told
//! - `compare`: a reading beside the truth

mod compare;
mod made;
mod reading;

use std::{
    path::Path,
    sync::{
        Arc,
        mpsc::{RecvTimeoutError, channel},
    },
    thread,
    time::Duration,
};

use fastrand::Rng;

use self::{
    made::{Files, Made},
    reading::{Opened, Reading},
};
use crate::{
    report::{Doing, HarnessError, Outcome, Violation},
    settings::Settings,
};

/// The part's name.
const PART: &str = "flips";

const PAGE_BYTES: usize = 4096;

/// How long a reading may take: a hundred times as long as it does.
const WITHIN: Duration = Duration::from_secs(10);

/// How long making a store may take: a hundred times as long as it does.
const MADE_WITHIN: Duration = Duration::from_secs(100);

/// What is done to the store's file.
#[derive(Debug, Clone, Copy)]
enum Harm {
    /// One byte is another one.
    Flip { offset: usize, mask: u8 },
    /// The file ends there.
    CutOff { len: usize },
}

/// Runs it.
///
/// # Errors
/// When the harness can't do its work.
pub fn run(settings: &Settings) -> Result<Outcome, HarnessError> {
    let stores = settings.size.pick(1_u64, 4, 40);
    let flips_per_page = settings.size.pick(2, 8, 64);
    let mut outcome = Outcome::new(PART, settings.seed);
    for number in 0..stores {
        let seed = settings.seed.wrapping_add(number);
        let made = make_in_time(settings, seed)?;
        for broken in &made.broken {
            outcome.violated(format!("seed {seed}, no harm"), broken.clone());
        }
        let truth = Arc::new(truth_of(settings, &made.last)?);
        outcome.count("leases", truth.leases.len() as u64);
        older_copy(settings, seed, &made, &mut outcome)?;
        let mut rng = Rng::with_seed(seed);
        let harms = harms(&made, flips_per_page, &mut rng);
        let progress = settings.progress(PART, harms.len() as u64);
        let threads = settings.threads.max(1);
        let found = std::thread::scope(|scope| {
            let shares = harms.chunks(harms.len().div_ceil(threads).max(1));
            let running: Vec<_> = shares
                .map(|share| {
                    scope.spawn(|| explore(settings, seed, &made, &truth, share, &progress))
                })
                .collect();
            let ended = running.into_iter().map(|thread| {
                thread
                    .join()
                    .map_err(|_| HarnessError::new("explore", "a thread panicked"))?
            });
            ended.collect::<Result<Vec<Outcome>, HarnessError>>()
        })?;
        found.into_iter().for_each(|found| outcome.merge(found));
        if settings.until_violation && outcome.violations > 0 {
            break;
        }
    }
    Ok(outcome)
}

fn harms(made: &Made, flips_per_page: usize, rng: &mut Rng) -> Vec<Harm> {
    let len = made.last.store.len();
    let mut harms = Vec::new();
    for page in 0..len.div_ceil(PAGE_BYTES) {
        let from = page * PAGE_BYTES;
        for _ in 0..flips_per_page {
            let offset = rng.usize(from..len.min(from + PAGE_BYTES));
            let mask = rng.u8(1..);
            harms.push(Harm::Flip { offset, mask });
        }
        if page % 8 == 0 {
            harms.push(Harm::CutOff {
                len: rng.usize(from..len),
            });
        }
    }
    rng.shuffle(&mut harms);
    harms
}

fn truth_of(settings: &Settings, files: &Files) -> Result<Reading, HarnessError> {
    let directory = settings.scratch()?;
    files.put(directory.path())?;
    match read_in_time(directory.path(), None) {
        Ok(Opened::Read(reading)) if reading.is_whole() => Ok(*reading),
        Ok(Opened::Read(reading)) => Err(HarnessError::new("read the truth", reading.told())),
        Ok(Opened::Refused(why)) => Err(HarnessError::new("read the truth", why)),
        Err(why) => Err(HarnessError::new("read the truth", why)),
    }
}

fn explore(
    settings: &Settings,
    seed: u64,
    made: &Made,
    truth: &Arc<Reading>,
    harms: &[Harm],
    progress: &crate::settings::Progress,
) -> Result<Outcome, HarnessError> {
    let mut outcome = Outcome::new(PART, settings.seed);
    let directory = settings.scratch()?;
    made.last.put(directory.path())?;
    for harm in harms {
        let at = format!("seed {seed}, {harm:?} of {} bytes", made.last.store.len());
        let file = made::harm(directory.path(), *harm)?;
        let before = Files::look(directory.path())?;
        let known = outcome.kept.len();
        let read = read_in_time(directory.path(), Some(truth));
        let after = Files::look(directory.path())?;
        match harm {
            Harm::Flip { .. } => outcome.count("changed bytes", 1),
            Harm::CutOff { .. } => outcome.count("truncations", 1),
        }
        judge(&mut outcome, &at, truth, &read);
        if before != after {
            let detail = "a file of the stopped store is not as it was before it was read";
            outcome.violated(&at, Violation::new("I12 reading never writes", detail));
        }
        let broken = outcome.kept.get(known..).unwrap_or_default();
        if !broken.is_empty() {
            made::keep(directory.path(), &at, broken)?;
        }
        if matches!(read, Err(HANGS)) {
            // The directory is that reading's now.
            break;
        }
        made.last.undo(&file, *harm)?;
        progress.add(1);
        if settings.until_violation && outcome.violations > 0 {
            break;
        }
    }
    Ok(outcome)
}

/// A reading in a thread of its own, which is left alone when it does not end.
fn read_in_time(directory: &Path, truth: Option<&Arc<Reading>>) -> Result<Opened, &'static str> {
    let (directory, truth) = (directory.to_owned(), truth.map(Arc::clone));
    let read = in_time(WITHIN, move || reading::read(&directory, truth.as_deref()));
    read.map_err(|error| match error {
        RecvTimeoutError::Timeout => HANGS,
        RecvTimeoutError::Disconnected => "reading the store panicked",
    })
}

/// The same for a store that is made: what hangs there is told, and does not stop the harness.
fn make_in_time(settings: &Settings, seed: u64) -> Result<Made, HarnessError> {
    let settings = settings.clone();
    let made = in_time(MADE_WITHIN, move || made::make(&settings, seed));
    made.map_err(|error| match error {
        RecvTimeoutError::Timeout => "it does not end",
        RecvTimeoutError::Disconnected => "it panicked",
    })
    .map_err(|why| HarnessError::new("make a store", format!("seed {seed}: {why}")))?
}

fn in_time<T: Send + 'static>(
    within: Duration,
    doing: impl FnOnce() -> T + Send + 'static,
) -> Result<T, RecvTimeoutError> {
    let (sender, receiver) = channel();
    thread::spawn(move || sender.send(doing()));
    receiver.recv_timeout(within)
}

const HANGS: &str = "reading the store does not end";

fn judge(outcome: &mut Outcome, at: &str, truth: &Reading, read: &Result<Opened, &'static str>) {
    match read {
        Ok(Opened::Refused(_)) => outcome.count("refused at the opening", 1),
        Ok(Opened::Read(reading)) => {
            let what = match reading.is_whole() {
                true => "read as if nothing had happened",
                false => "told while reading",
            };
            outcome.count(what, 1);
            for violation in compare::compare(truth, reading) {
                outcome.violated(at, violation);
            }
        }
        Err(why) => outcome.violated(at, Violation::new("I7 damage is an error", *why)),
    }
}

/// An older copy of the store beside the witness of the newest: it must say that it went back.
fn older_copy(
    settings: &Settings,
    seed: u64,
    made: &Made,
    outcome: &mut Outcome,
) -> Result<(), HarnessError> {
    let directory = settings.scratch()?;
    let mixed = Files {
        store: made.older.store.clone(),
        head: made.last.head.clone(),
    };
    mixed.put(directory.path())?;
    outcome.count("older copies put back", 1);
    let said = match read_in_time(directory.path(), None) {
        Ok(Opened::Read(reading)) => reading.went_back,
        Ok(Opened::Refused(_)) => true,
        Err(why) => return Err(HarnessError::new("read the older copy", why)),
    };
    if !said {
        let detail = "an older copy was put back, and nothing says so";
        let at = format!("seed {seed}, the older copy");
        outcome.violated(at, Violation::new("I7 an older copy is told", detail));
    }
    Ok(())
}

/// A file of the directory.
fn store_file(directory: &Path) -> std::path::PathBuf {
    directory.join("runtime.redb")
}

fn open_file(path: &Path) -> Result<std::fs::File, HarnessError> {
    let open = std::fs::File::options().read(true).write(true).open(path);
    open.doing("open the store's file")
}
