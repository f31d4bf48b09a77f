//! The server that is followed, whichever it is by now: where a state directory is meant, another one may
//! take the place of one that has ended, at another address and with another access token.

use std::{
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
};

use worker_runtime_core::Code;
use worker_runtime_persist::{Held, ReadStore, held};

use super::{ReadTarget, Remote, server::Found};
use crate::{args::Global, config::Config, error::CliError};

/// The server that is asked now. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Current(Arc<RwLock<Remote>>);

/// Who has the state directory by now.
pub(crate) enum Now {
    /// The server that was asked, as far as can be told.
    Same,
    /// Another one, which is asked from here on.
    Another,
    /// The server that was asked, and it serves nobody any more.
    Ending,
    /// A process that serves nobody.
    Held(Option<u32>),
    /// Nobody.
    Nobody,
}

impl Current {
    pub(crate) fn new(remote: Remote) -> Self {
        Self(Arc::new(RwLock::new(remote)))
    }

    /// The server that is asked now.
    pub(crate) fn remote(&self) -> Remote {
        let remote = self.0.read().unwrap_or_else(PoisonError::into_inner);
        remote.clone()
    }

    /// Looks who has the state directory, and goes over to another server. Of a server that was named
    /// nothing else tells than its answers.
    ///
    /// # Errors
    /// When there is another server, and its access token can't be had.
    pub(crate) async fn look(&self) -> Result<Now, CliError> {
        let remote = self.remote();
        let Found::Holds { path, pid, global } = remote.found else {
            return Ok(Now::Same);
        };
        let looking = {
            let path = path.clone();
            move || held(&path)
        };
        let serving = match tokio::task::spawn_blocking(looking).await {
            Ok(Ok(Held::Free)) => return Ok(Now::Nobody),
            Ok(Ok(Held::Otherwise { pid: holder })) => {
                let is_same = holder.is_some() && holder == pid;
                return Ok(if is_same {
                    Now::Ending
                } else {
                    Now::Held(holder)
                });
            }
            Ok(Ok(Held::Serves(serving))) => serving,
            // What is wrong with the directory is not known to be wrong with the server.
            Ok(Err(_)) | Err(_) => return Ok(Now::Same),
        };
        if serving.pid == pid && serving.address == remote.client.address() {
            return Ok(Now::Same);
        }
        let another = Remote::serving(global, path, &serving)?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = another;
        Ok(Now::Another)
    }

    /// Reads the store that nobody runs by now; `None` when somebody has it again. It is held for no
    /// longer than that: a server that starts would have to wait.
    ///
    /// # Errors
    /// When it can't be read, or as `read`.
    pub(crate) async fn read_stopped<T: Send + 'static>(
        &self,
        read: impl FnOnce(&ReadTarget) -> Result<T, CliError> + Send + 'static,
    ) -> Result<Option<T>, CliError> {
        let Found::Holds { path, global, .. } = self.remote().found else {
            return Ok(None);
        };
        let reading = move || read(&open(path, &global)?);
        let read = tokio::task::spawn_blocking(reading).await;
        let read = read.map_err(|error| {
            CliError::new(
                Code::Bug,
                format!("a bug: reading the store panicked: {error}"),
            )
        })?;
        match read {
            Err(error) if error.code == Code::StateLocked => Ok(None),
            read => read.map(Some),
        }
    }
}

fn open(path: PathBuf, global: &Global) -> Result<ReadTarget, CliError> {
    let store = ReadStore::open(&path)?;
    ReadTarget::new(path, store, &Config::load(global)?)
}
