//! Keeps this process, and all that it becomes and starts, to an [`Enclosure`]: by the kernel, and for
//! good (I6).
//!
//! What is handled is writing: to make, remove, rename, link, truncate and open for writing. Each
//! version of Landlock handles more of that, and the newest one of this kernel is taken: what was
//! enforced is told, and the Runtime says what that leaves open. Called by the starter alone.

use std::error::Error;
use std::io;

use landlock::{
    ABI, AccessFs, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus,
};
use rustix::io::Errno;

use super::super::enclosure::{Enclosure, open_plain};

/// From the newest.
const VERSIONS: [(u32, ABI); 3] = [(3, ABI::V3), (2, ABI::V2), (1, ABI::V1)];

/// What every process may write to, wherever it is kept: it changes nothing that others find.
const DEVICES: [&str; 8] = [
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
    "/dev/tty",
    "/dev/ptmx",
    "/dev/pts",
];

/// Encloses this process; the version of Landlock that does it.
///
/// # Errors
/// `EOPNOTSUPP` when this kernel has no Landlock, `ELOOP` when there is a symlink on the way to a path,
/// `ENOENT` when a path is gone. The process must then not go on as the command.
pub(super) fn enclose(enclosure: &Enclosure) -> io::Result<u32> {
    let usable = VERSIONS
        .into_iter()
        .filter(|(version, _)| *version <= enclosure.landlock_version_max);
    let (version, abi) = usable
        .into_iter()
        .find(|(_, abi)| ruleset(*abi).is_ok())
        .ok_or(Errno::OPNOTSUPP)?;
    let (writes, to_files) = (AccessFs::from_write(abi), AccessFs::from_file(abi));
    let mut created = ruleset(abi).and_then(Ruleset::create).map_err(reason)?;
    for path in &enclosure.write_below {
        let (place, is_directory) = open_plain(path)?;
        let writes = if is_directory {
            writes
        } else {
            writes & to_files
        };
        let rule = PathBeneath::new(place, writes);
        created = created.add_rule(rule).map_err(reason)?;
    }
    for device in DEVICES {
        // One that is not there is nothing that could be written to.
        if let Ok(device) = PathFd::new(device) {
            let rule = PathBeneath::new(device, writes & to_files);
            created = created.add_rule(rule).map_err(reason)?;
        }
    }
    let status = created.restrict_self().map_err(reason)?;
    match status.ruleset {
        RulesetStatus::FullyEnforced => Ok(version),
        RulesetStatus::PartiallyEnforced | RulesetStatus::NotEnforced => {
            Err(Errno::OPNOTSUPP.into())
        }
    }
}

fn ruleset(abi: ABI) -> Result<Ruleset, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_write(abi))
}

/// The system's own reason, where it gave one.
fn reason(error: RulesetError) -> io::Error {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(error) = cause {
        let system = error.downcast_ref::<io::Error>();
        if let Some(errno) = system.and_then(io::Error::raw_os_error) {
            return io::Error::from_raw_os_error(errno);
        }
        cause = error.source();
    }
    io::Error::other(error)
}
