//! Who is told that the state directory was synced: nobody, but for tests of faults. A power cut may
//! undo a rename until then, and a storage below the engine sees no directory.

use std::{fmt, sync::Arc};

/// What is called after each sync of the state directory.
#[doc(hidden)]
pub type DirectorySynced = Arc<dyn Fn() + Send + Sync>;

#[derive(Clone, Default)]
pub(crate) struct Synced(pub(crate) Option<DirectorySynced>);

impl Synced {
    pub(super) fn tell(&self) {
        if let Some(told) = &self.0 {
            told();
        }
    }
}

impl fmt::Debug for Synced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Synced").finish_non_exhaustive()
    }
}
