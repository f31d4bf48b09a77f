//! A backend that the operator configured and gave a name: whoever makes a Worker chooses the name, and
//! nothing else.
//!
//! So a client may run what the operator wrote down without being trusted with a command line of its
//! own. Everything beside the configuration is the inner backend's.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use worker_runtime_core::{
    backend::{
        BackendCapabilities, BackendError, BackendErrorKind, BackendFactory, ExecutionBackend,
        IncapableReason, Proof, Restored, StartWorker,
    },
    record::ProcessRecord,
};

/// A named backend with the operator's configuration.
pub struct PresetFactory {
    name: String,
    config: Value,
    inner: Arc<dyn BackendFactory>,
}

impl PresetFactory {
    /// `inner` under a name of its own, with this configuration.
    ///
    /// # Errors
    /// [`BackendErrorKind::Config`] when `inner` does not take the configuration: so it is told when the
    /// program starts, not when somebody makes a Worker.
    pub fn new(
        name: impl Into<String>,
        config: Value,
        inner: Arc<dyn BackendFactory>,
    ) -> Result<Self, BackendError> {
        inner.resolve(&config)?;
        Ok(Self {
            name: name.into(),
            config,
            inner,
        })
    }
}

impl std::fmt::Debug for PresetFactory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The configuration may hold what is nobody's business.
        f.debug_struct("PresetFactory")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl BackendFactory for PresetFactory {
    fn name(&self) -> &str {
        &self.name
    }

    fn resolve(&self, config: &Value) -> Result<Value, BackendError> {
        let is_none = match config {
            Value::Null => true,
            Value::Object(fields) => fields.is_empty(),
            _ => false,
        };
        if !is_none {
            let message = format!(
                "backend {:?} is configured by the operator and takes no configuration",
                self.name
            );
            return Err(BackendError::new(BackendErrorKind::Config, message));
        }
        self.inner.resolve(&self.config)
    }

    fn input_capable(&self, config: &Value) -> Result<(), IncapableReason> {
        self.inner.input_capable(config)
    }

    fn capabilities(&self) -> BackendCapabilities {
        self.inner.capabilities()
    }

    async fn start(&self, start: StartWorker) -> Result<Box<dyn ExecutionBackend>, BackendError> {
        self.inner.start(start).await
    }

    async fn restore(&self, start: StartWorker, resume: &[u8]) -> Result<Restored, BackendError> {
        self.inner.restore(start, resume).await
    }

    fn prove_dead(&self, process: &ProcessRecord) -> Proof {
        self.inner.prove_dead(process)
    }
}

#[cfg(all(test, feature = "exec", target_os = "linux"))]
mod tests;
