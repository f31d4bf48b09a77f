//! The execution backends of this Runtime, by name.

use std::{collections::BTreeMap, panic::AssertUnwindSafe, sync::Arc};

use crate::{
    backend::{BackendFactory, IncapableReason},
    error::OpenError,
    worker::BackendSelection,
};

/// Named factories, as the operator configured them.
#[derive(Default)]
pub(crate) struct Backends(BTreeMap<String, Arc<dyn BackendFactory>>);

impl Backends {
    pub(crate) fn new(factories: Vec<Arc<dyn BackendFactory>>) -> Result<Self, OpenError> {
        let mut backends = BTreeMap::new();
        for factory in factories {
            let name = factory.name().to_owned();
            if backends.insert(name.clone(), factory).is_some() {
                return Err(OpenError::BackendTwice { name });
            }
        }
        Ok(Self(backends))
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<dyn BackendFactory>> {
        self.0.get(name)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    /// Whether a Worker with this selection takes input (I8).
    pub(crate) fn input_capable(
        &self,
        selection: Option<&BackendSelection>,
    ) -> Result<(), IncapableReason> {
        let selection = selection.ok_or(IncapableReason::NoBackend)?;
        match self.0.get(&selection.name) {
            Some(factory) => {
                // Asked on the writer's thread, which must outlive a backend that panics.
                let asked = AssertUnwindSafe(|| factory.input_capable(&selection.config));
                std::panic::catch_unwind(asked).unwrap_or_else(|_| {
                    let detail = "its execution backend panicked when it was asked".to_owned();
                    Err(IncapableReason::ProviderMissing { detail })
                })
            }
            None => Err(IncapableReason::BackendMissing {
                name: selection.name.clone(),
            }),
        }
    }
}
