//! What a backend asks before it touches something for its run: an in-process backend has no other way
//! to know that its fence is still good (I6).

use super::{super::Observation, RunSink};
use crate::{
    Permission, ScopeRule,
    error::FenceError,
    view::{FenceVerified, VerifyFence},
    worker::MountRef,
};

impl RunSink {
    /// Whether this run still goes on and may touch a place just now: its own fence against the scope
    /// that its Worker holds at this moment, without what Workers below it hold to write. It reads the
    /// file system, as a place is known by what it stands for.
    ///
    /// # Errors
    /// [`FenceError::Stale`] when the run or its Runtime is over, also for a backend that never let
    /// go of its sink: touch nothing more. [`FenceError::Denied`] when its Worker may not do this there, or held nothing
    /// when the run began.
    pub fn verify(
        &self,
        place: &MountRef,
        permission: Permission,
    ) -> Result<FenceVerified, FenceError> {
        let worker_id = self.worker_id();
        let holder = worker_id.into();
        let Some(fence) = self.0.fence else {
            let rule = ScopeRule {
                mount: place.mount.clone(),
                path: place.path.clone(),
                permission,
                recursive: false,
            };
            return Err(FenceError::Denied { holder, rule });
        };
        if self.is_cut_off() {
            return Err(FenceError::Stale { holder, fence });
        }
        let asked = VerifyFence {
            fence,
            place: place.clone(),
            permission,
        };
        let path = &self.0.path;
        Observation::new(path.shared.clone()).verify(&path.mounts, worker_id, &asked)
    }
}
