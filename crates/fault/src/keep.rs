//! What a broken promise was seen on, kept for who looks into it.
//!
//! Which commands share a commit is the machine's, so a seed makes similar sessions, not the same ones:
//! the number of a call need not lead to the same image again. So the image itself is kept, and what
//! the client knew. Called by the parts that open images, where [`KEEP_VARIABLE`] names a directory; the
//! whole harness (`cargo xtask faults`) sets it to `target/faults/kept`.

use std::{
    fmt::Debug,
    fs,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use crate::{
    report::{Doing, HarnessError, Violation},
    settings::KEEP_VARIABLE,
};

/// The most that one run of a part keeps: the first ones tell as much as all.
const KEPT_MAX: usize = 8;

/// Seen so far in this process.
static SEEN: AtomicUsize = AtomicUsize::new(0);

/// A state directory as it was opened.
pub(crate) struct Seen<'a> {
    /// The part, which begins the name of the place.
    pub(crate) part: &'a str,
    /// What made it.
    pub(crate) at: &'a str,
    /// What `runtime.redb` held.
    pub(crate) store: &'a [u8],
    /// What `head` held, if it was there.
    pub(crate) head: Option<&'a [u8]>,
    /// What the client knew; `()` where the part's seed says it all.
    pub(crate) journal: &'a dyn Debug,
}

/// Keeps it, unless nobody wants that or there is enough: a directory that `worker-runtime --state`
/// opens, with the broken promises and the journal beside the store.
pub(crate) fn keep(seen: &Seen<'_>, violations: &[Violation]) -> Result<(), HarnessError> {
    let Some(keep) = std::env::var_os(KEEP_VARIABLE) else {
        return Ok(());
    };
    let number = SEEN.fetch_add(1, Ordering::Relaxed);
    if number >= KEPT_MAX {
        return Ok(());
    }
    let pid = std::process::id();
    let place = Path::new(&keep).join(format!("{}-{pid}-{number}", seen.part));
    let doing = "keep what a broken promise was seen on";
    fs::create_dir_all(&place).doing(doing)?;
    fs::write(place.join("runtime.redb"), seen.store).doing(doing)?;
    if let Some(head) = seen.head {
        fs::write(place.join("head"), head).doing(doing)?;
    }
    let told: String = violations
        .iter()
        .map(|violation| format!("{}: {}\n", violation.promise, violation.detail))
        .collect();
    fs::write(place.join("broken.txt"), format!("{}\n{told}", seen.at)).doing(doing)?;
    fs::write(place.join("journal.txt"), format!("{:#?}\n", seen.journal)).doing(doing)
}
