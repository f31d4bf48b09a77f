//! A host on a small disk of its own, filled by itself and from outside, and freed (I1, I4, I9, I11).
//!
//! While the disk is full, new work is refused with its code before anything of it is written, what
//! is known already is answered, and what ends still ends. With room the same host goes on. Nothing
//! that was acknowledged is lost, also when it is killed on the full disk.
//!
//! The disk is a tmpfs in a mount namespace of its own, so this program starts itself again in one.

mod client;

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::{Duration, Instant},
};

use client::{Receipts, TALKS, are_kept, create, send, show, until};
use serde_json::Value;
use worker_runtime_core::{Code, WorkerId};

use super::{
    documented::Documented,
    host::{Host, Kept, Lives},
    log::Log,
    order::{Answer, Part, Request},
    place::Place,
    ran::DEADLINE,
    script::{healthy, hold, ran_nothing_twice},
};
use crate::{
    report::{Doing, HarnessError, Outcome, Violation},
    settings::{Settings, Size},
};

const PART: &str = "disk-full";
/// Names the small disk to this program when it was started again.
const DISK_VARIABLE: &str = "WORKER_RUNTIME_FAULT_DISK";
const DISK_BYTES: u64 = 16 << 20;
/// What the store keeps back: the default would be all of the disk.
const BALLAST_BYTES: u64 = 4 << 20;
/// Kept free of the store's own work, to be freed later.
const SPARE_BYTES: usize = 3 << 20;
/// The disk could not be made.
const NOT_PERMITTED: i32 = 77;
/// A disk is full long before so many inputs.
const INPUTS_MAX: u32 = 300;

/// Fills small disks.
///
/// # Errors
/// When a small disk can't be made here, or processes can't be started.
pub fn run(settings: &Settings) -> Result<Outcome, HarnessError> {
    match std::env::var_os(DISK_VARIABLE) {
        Some(disk) => on_disk(settings, Path::new(&disk)),
        None => again_on_a_disk(settings),
    }
}

/// Starts this program again where it can have a small disk of its own.
fn again_on_a_disk(settings: &Settings) -> Result<Outcome, HarnessError> {
    let home = settings.scratch()?;
    let disk = home.path().join("disk");
    fs::create_dir(&disk).doing("make a directory")?;
    let found = home.path().join("found.jsonl");
    let own_user = ["--user", "--map-root-user", "--mount"];
    let mut output = unshared(settings, &own_user, &disk, &found)?;
    if was_not_permitted(&output) {
        // The root of a machine without user namespaces has no need of them.
        output = unshared(settings, &["--mount"], &disk, &found)?;
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if was_not_permitted(&output) {
        let permit = "permit user namespaces (sysctl kernel.unprivileged_userns_clone=1, \
            kernel.apparmor_restrict_unprivileged_userns=0), or run it as root";
        let why = format!("{}; {permit}", said.trim());
        return Err(HarnessError::new("make a small disk", why));
    }
    let line = fs::read_to_string(&found).unwrap_or_default();
    serde_json::from_str(&line).map_err(|_| {
        let why = format!("{:?}: {}", output.status, said.trim());
        HarnessError::new("run on a small disk", why)
    })
}

fn was_not_permitted(output: &Output) -> bool {
    output.status.code() == Some(NOT_PERMITTED)
        || String::from_utf8_lossy(&output.stderr).contains("unshare:")
}

fn unshared(
    settings: &Settings,
    namespaces: &[&str],
    disk: &Path,
    found: &Path,
) -> Result<Output, HarnessError> {
    let script = format!(
        "mount -t tmpfs -o size={DISK_BYTES} none \"$1\" || exit {NOT_PERMITTED}; \
         export {DISK_VARIABLE}=\"$1\"; shift; exec \"$@\""
    );
    let size = settings.size.pick("catch", "quick", "full");
    Command::new("unshare")
        .args(namespaces)
        .args(["sh", "-c", &script, "sh"])
        .arg(disk)
        .arg(std::env::current_exe().doing("find its own program")?)
        .args([PART, "--size", size, "--seed", &settings.seed.to_string()])
        .arg("--json")
        .arg(found)
        .output()
        .doing("start unshare (of the package util-linux)")
}

fn on_disk(settings: &Settings, disk: &Path) -> Result<Outcome, HarnessError> {
    let mut outcome = Outcome::new(PART, settings.seed);
    let rounds = settings.size.pick(2, 4, 40);
    let progress = settings.progress(PART, rounds);
    for round in 0..rounds {
        let round = Round {
            disk: disk.to_owned(),
            from_outside: round % 2 == 0,
            killed: round % 4 >= 2 || settings.size == Size::Catch,
        };
        let place = Place::with_state(settings.scratch()?, disk.join("state"))?;
        let kept = round.run(&place, &mut outcome)?;
        if let Err(violation) = kept {
            let at = format!("seed {}, {round:?}", settings.seed);
            outcome.violated(at, violation);
        }
        round.empty()?;
        progress.add(1);
    }
    Ok(outcome)
}

#[derive(Debug)]
struct Round {
    disk: PathBuf,
    /// Filled by others, not by its own work.
    from_outside: bool,
    /// Killed while the disk is full, and opened again on it.
    killed: bool,
}

impl Round {
    fn filler(&self) -> PathBuf {
        self.disk.join("filler")
    }

    fn empty(&self) -> Result<(), HarnessError> {
        for name in ["state", "other"] {
            let _ = fs::remove_dir_all(self.disk.join(name));
        }
        fs::remove_file(self.filler()).or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(HarnessError::new("free the disk", error)),
        })
    }

    fn run(&self, place: &Place, outcome: &mut Outcome) -> Kept<()> {
        hold!(self.too_small_for_a_store(place)?);
        let lives = Lives::new(place, Some(BALLAST_BYTES))?;
        let mut host = lives.start(Part::Serve)?;
        hold!(host.opened()?);
        let talker = hold!(create(&mut host, TALKS, "talk")?);
        let holder = hold!(create(&mut host, "sleep 60", "hold")?);
        let mut receipts = Receipts::new();
        hold!(send(&mut host, holder, "held", &mut receipts)?);
        hold!(until(&mut host, holder, "run.started", "held")?);
        let first = hold!(send(&mut host, talker, "first", &mut receipts)?);
        if let Some(code) = first {
            let why = format!("{code} on an empty disk");
            return Ok(Err(Violation::new("I9 room is used", why)));
        }
        hold!(until(&mut host, talker, "run.finished", "first")?);
        if self.from_outside {
            fill(&self.filler(), None)?;
        } else {
            fill(&self.filler(), Some(SPARE_BYTES))?;
        }
        hold!(work_until_full(&mut host, talker, &mut receipts)?);
        hold!(while_full(&mut host, (talker, holder), &receipts, outcome)?);
        if self.killed {
            host.kill()?;
            let log = hold!(Log::read(place)?);
            hold!(are_kept(&receipts, &log));
            host = lives.start(Part::Serve)?;
            hold!(host.opened()?);
            hold!(place.nothing_left_of(lives.round()));
            outcome.count("openings on a full disk", 1);
        }
        fs::remove_file(self.filler()).doing("free the disk")?;
        hold!(goes_on(&mut host, talker, &mut receipts)?);
        host.signal(nix::sys::signal::Signal::SIGTERM)?;
        let ended = host.ended()?;
        if !ended.success() {
            let why = ended.to_string();
            return Ok(Err(Violation::new("a host closes", why)));
        }
        hold!(place.nothing_left());
        let log = hold!(Log::read(place)?);
        hold!(are_kept(&receipts, &log));
        hold!(ran_nothing_twice(place, &log));
        hold!(log.names_no_path(place));
        outcome.count("disks filled and freed", 1);
        outcome.count("inputs acknowledged", receipts.len() as u64);
        healthy(place)
    }

    /// Where not even the reserve fits, the command makes no store and says why.
    fn too_small_for_a_store(&self, place: &Place) -> Kept<()> {
        let other = self.disk.join("other");
        let other = other.display().to_string();
        let ran = place.call(&["--state", &other, "run", "--", "true"])?;
        hold!(ran.ended_well());
        let code = ran.error().map(|(code, _)| code);
        if code.as_deref() != Some(Code::StorageFull.as_str()) {
            let why = ran.to_string();
            return Ok(Err(Violation::new("I9 a full disk has its code", why)));
        }
        let documented = Documented::default().failed_well(place, &ran)?;
        let _ = fs::remove_dir_all(&other);
        Ok(documented)
    }
}

/// Fills the disk with a file, whole or by so many bytes.
fn fill(path: &Path, bytes: Option<usize>) -> Result<(), HarnessError> {
    let mut file = File::create(path).doing("fill the disk")?;
    if let Some(bytes) = bytes {
        return file.write_all(&vec![7; bytes]).doing("fill the disk");
    }
    for size in [64 << 10, 1] {
        while file.write_all(&vec![7; size]).is_ok() {}
    }
    Ok(())
}

/// Sends inputs until one is refused: then the disk is full.
fn work_until_full(host: &mut Host, worker: WorkerId, receipts: &mut Receipts) -> Kept<()> {
    for number in 0..INPUTS_MAX {
        let id = format!("fill-{number:03}");
        match hold!(send(host, worker, &id, receipts)?) {
            None => hold!(until_run_or_full(host, worker, &id)?),
            Some(code) if code == Code::StorageFull.as_str() => return Ok(Ok(())),
            Some(code) => {
                let why = format!("{id} was refused with {code}");
                return Ok(Err(Violation::new("I9 a full disk has its code", why)));
            }
        }
    }
    let why = format!("{INPUTS_MAX} inputs fit on a disk of {DISK_BYTES} bytes");
    Ok(Err(Violation::new("I9 a full disk refuses", why)))
}

/// Waits for the outcome of an input, unless the disk is full: then it may wait, too.
fn until_run_or_full(host: &mut Host, worker: WorkerId, id: &str) -> Kept<()> {
    let began = Instant::now();
    loop {
        let view = hold!(show(host, worker)?);
        let waits = view.pointer("/activity/phase") == Some(&Value::from("queued"));
        let is_idle = view.pointer("/activity/phase") == Some(&Value::Null);
        if is_idle || (waits && began.elapsed() > Duration::from_secs(2)) {
            return Ok(Ok(()));
        }
        if began.elapsed() > DEADLINE {
            let why = format!("{id}: {view}");
            return Ok(Err(Violation::new("I4 every input has its outcome", why)));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn while_full(
    host: &mut Host,
    (talker, holder): (WorkerId, WorkerId),
    receipts: &Receipts,
    outcome: &mut Outcome,
) -> Kept<()> {
    let mut known = receipts.clone();
    for number in 0..20 {
        let id = format!("refused-{number}");
        let code = hold!(send(host, talker, &id, &mut known)?);
        if code.as_deref() != Some(Code::StorageFull.as_str()) {
            let why = format!("{id} got {code:?} on a full disk");
            return Ok(Err(Violation::new("I9 a full disk has its code", why)));
        }
        outcome.count("inputs refused on a full disk", 1);
        hold!(show(host, talker)?);
        hold!(until(host, talker, "run.finished", "first")?);
        outcome.count("reads on a full disk", 2);
    }
    for (id, _) in receipts {
        let worker = if id == "held" { holder } else { talker };
        if let Some(code) = hold!(send(host, worker, id, &mut known)?) {
            let why = format!("{id} again: {code}");
            return Ok(Err(Violation::new("I5 the first receipt again", why)));
        }
        outcome.count("receipts repeated on a full disk", 1);
    }
    // What ends, ends, and frees what it held.
    let stopped = hold!(host.ask(&Request::Stop(holder))?);
    if !matches!(stopped, Answer::Done(_)) {
        let why = format!("a stop got {stopped:?}");
        return Ok(Err(Violation::new("I9 what ends still ends", why)));
    }
    hold!(until(host, holder, "run.finished", "held")?);
    outcome.count("Workers ended on a full disk", 1);
    Ok(Ok(()))
}

/// With room the same host takes inputs again, and runs what waited.
fn goes_on(host: &mut Host, talker: WorkerId, receipts: &mut Receipts) -> Kept<()> {
    let began = Instant::now();
    while let Some(code) = hold!(send(host, talker, "after", receipts)?) {
        if code != Code::StorageFull.as_str() || began.elapsed() > DEADLINE {
            let why = format!("{code} after {:?} with room", began.elapsed());
            return Ok(Err(Violation::new("I9 room is used again", why)));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    until(host, talker, "run.finished", "after")
}
