//! The management plane: the Runtime itself.

use super::{command::Command, handle::Runtime};
use crate::{
    Position,
    backend::BackendCapabilities,
    error::{ManageError, Unavailable},
    limits::Limits,
    profile::{ResolvedProfile, builtin_profiles},
    view::{Diagnostic, RuntimeStatus},
};

/// The Runtime itself: status, diagnostics, stop and start.
#[derive(Clone)]
pub struct Management {
    runtime: Runtime,
}

impl Management {
    pub(crate) fn new(runtime: Runtime) -> Self {
        Self { runtime }
    }

    /// What the Runtime says of itself, and the cursor at which it is true.
    pub fn status(&self) -> RuntimeStatus {
        self.runtime.observation().runtime()
    }

    /// What an operator should know, each with the command that helps.
    pub fn diagnostics(&self) -> Vec<Diagnostic> {
        self.runtime.observation().diagnostics()
    }

    /// Every limit in force.
    pub fn limits(&self) -> &Limits {
        &self.runtime.inner().shared.limits
    }

    /// The execution backends there are, and what they can do.
    pub fn backends(&self) -> Vec<(String, BackendCapabilities)> {
        let backends = &self.runtime.inner().shared.backends;
        let named = backends.names().into_iter();
        named
            .filter_map(|name| {
                backends
                    .get(&name)
                    .map(|factory| (name.clone(), factory.capabilities()))
            })
            .collect()
    }

    /// The profiles that ship with the Runtime.
    pub fn profiles(&self) -> Vec<ResolvedProfile> {
        builtin_profiles()
    }

    /// Ends what runs and takes no input until [`start`](Self::start), also over a restart.
    /// Inputs that wait still wait; those that run are `interrupted`. Stopping twice changes
    /// nothing.
    ///
    /// # Errors
    /// [`ManageError`].
    ///
    /// # Durability
    /// Survives a crash when it returns `Ok`.
    pub async fn stop(&self, reason: Option<String>) -> Result<Position, ManageError> {
        self.halt(true, reason).await
    }

    /// As [`stop`](Self::stop), but lets what runs go on to its end.
    ///
    /// # Errors
    /// [`ManageError`].
    ///
    /// # Durability
    /// Survives a crash when it returns `Ok`.
    pub async fn drain(&self, reason: Option<String>) -> Result<Position, ManageError> {
        self.halt(false, reason).await
    }

    async fn halt(&self, end_runs: bool, reason: Option<String>) -> Result<Position, ManageError> {
        self.runtime.inner().check_reason(reason.as_ref())?;
        let halted = self.runtime.ask(|reply| Command::StopRuntime {
            end_runs,
            reason,
            reply,
        });
        Ok(halted.await?)
    }

    /// Says that an operator knows that acknowledged state is gone: status and diagnostics tell it
    /// until then, over any restart. Without anything to acknowledge it changes nothing.
    ///
    /// # Errors
    /// [`Unavailable`].
    ///
    /// # Durability
    /// Survives a crash when it returns `Ok`.
    pub async fn acknowledge_went_back(&self) -> Result<Position, Unavailable> {
        self.runtime.ask(Command::AcknowledgeWentBack).await
    }

    /// Takes input again and dispatches what waits.
    ///
    /// # Errors
    /// [`Unavailable`].
    ///
    /// # Durability
    /// Survives a crash when it returns `Ok`.
    pub async fn start(&self) -> Result<Position, Unavailable> {
        self.runtime.ask(Command::StartRuntime).await
    }
}
