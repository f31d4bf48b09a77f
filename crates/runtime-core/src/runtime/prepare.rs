//! Checks of a request on the caller's thread, before the writer sees it: names resolved, scope
//! normalised, input encoded and hashed.

use std::sync::Arc;

use super::handle::Inner;
use crate::{
    AsJson, InputId, RunId,
    backend::BackendErrorKind,
    error::{CreateError, FieldInvalid, SubmitError, Unavailable},
    input::{Input, KnownSegment, Segment, SubmitInput},
    state::{CheckedCreate, PreparedCreate, PreparedInput},
    worker::{BackendSelection, CreateWorker, Intent, UpdateWorker},
};

impl Inner {
    pub(super) fn prepare_create(
        &self,
        request: CreateWorker,
    ) -> Result<PreparedCreate, CreateError> {
        let fingerprint = request.fingerprint().map_err(|error| bug(&error))?;
        let checked = self.check_create(&request);
        Ok(PreparedCreate {
            request,
            fingerprint,
            checked,
        })
    }

    fn check_create(&self, request: &CreateWorker) -> Result<CheckedCreate, CreateError> {
        let limits = &self.shared.limits;
        check_intent(&request.spec.intent, limits.intent_bytes_max)?;
        if let Some(name) = &request.display_name {
            check_text("display_name", name, limits.text_bytes_max)?;
        }
        check_labels(
            request.labels.iter().map(|(key, value)| (key, Some(value))),
            limits.labels_max,
            limits.text_bytes_max,
        )?;
        if let Some(bundle) = &request.spec.bundle {
            return Err(CreateError::BundleUnknown {
                id: bundle.id.clone(),
            });
        }
        if let Some(workspace) = &request.spec.workspace {
            self.mounts.resolve(&workspace.mount, &workspace.path)?;
        }
        let profile = self.profiles.resolve(&request.spec.profile)?;
        let backend = request
            .backend
            .as_ref()
            .map(|selection| self.resolve_backend(selection))
            .transpose()?;
        let scope = match request.scope.is_empty() {
            true => None,
            false => Some(Arc::new(self.mounts.enter(&request.scope)?)),
        };
        let input = request
            .initial_input
            .clone()
            .map(|input| SubmitInput {
                input_id: request.initial_input_id(),
                ..input
            })
            .map(|input| self.prepare_input(input))
            .transpose()?;
        Ok(CheckedCreate {
            profile,
            backend,
            scope,
            input,
        })
    }

    fn resolve_backend(
        &self,
        selection: &BackendSelection,
    ) -> Result<BackendSelection, CreateError> {
        let name = selection.name.clone();
        let Some(factory) = self.shared.backends.get(&name) else {
            return Err(CreateError::BackendUnknown {
                name,
                known: self.shared.backends.names(),
            });
        };
        let config =
            factory
                .resolve(&selection.config)
                .map_err(|error| CreateError::BackendConfig {
                    name: name.clone(),
                    error,
                })?;
        if config.to_string().len() > self.shared.limits.config_bytes_max {
            let error =
                crate::backend::BackendError::new(BackendErrorKind::Config, "it is too large");
            return Err(CreateError::BackendConfig { name, error });
        }
        Ok(BackendSelection {
            name,
            config: AsJson(config),
        })
    }

    pub(super) fn prepare_input(&self, input: SubmitInput) -> Result<PreparedInput, SubmitError> {
        if input.segments.iter().all(is_empty) {
            return Err(SubmitError::Empty);
        }
        if let Some(fault) = input.segments.iter().find_map(Segment::fault) {
            let (field, reason) = ("segments", fault.to_owned());
            return Err(FieldInvalid { field, reason }.into());
        }
        let input_id = match input.input_id {
            Some(input_id) => input_id,
            None => self.mint_input_id()?,
        };
        let segments = AsJson(input.segments);
        let bytes = serde_json::to_vec(&segments)
            .map_err(|error| bug(&error))?
            .len();
        let bytes_max = self.shared.limits.input_bytes_max;
        if bytes > bytes_max {
            return Err(SubmitError::TooLarge { bytes, bytes_max });
        }
        let kept = Input {
            input_id,
            kind: input.kind,
            segments,
            budget: AsJson(input.budget),
        };
        let digest = kept.content_digest().map_err(|error| bug(&error))?;
        Ok(PreparedInput {
            input: Arc::new(kept),
            mode: input.mode,
            digest,
        })
    }

    fn mint_input_id(&self) -> Result<InputId, SubmitError> {
        let mut entropy = self
            .entropy
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        // Any UUIDv7 does: it is a key, not an identity.
        let minted = RunId::mint(self.clock.now(), &mut **entropy).to_string();
        InputId::new(minted).map_err(|error| {
            Unavailable::Bug {
                invariant: error.to_string(),
            }
            .into()
        })
    }

    pub(super) fn check_update(&self, update: &UpdateWorker) -> Result<(), FieldInvalid> {
        let limits = &self.shared.limits;
        if let Some(name) = &update.display_name {
            check_text("display_name", name, limits.text_bytes_max)?;
        }
        check_labels(
            update
                .labels
                .iter()
                .map(|(key, value)| (key, value.as_ref())),
            limits.labels_max,
            limits.text_bytes_max,
        )
    }
}

fn bug(error: &serde_json::Error) -> Unavailable {
    Unavailable::Bug {
        invariant: format!("a request can't be written as JSON: {error}"),
    }
}

fn is_empty(segment: &Segment) -> bool {
    matches!(segment, Segment::Known(KnownSegment::Text { text }) if text.is_empty())
}

fn check_intent(intent: &Intent, bytes_max: usize) -> Result<(), CreateError> {
    let (field, text, required) = match intent {
        Intent::Assistant { purpose } => ("purpose", purpose.as_deref(), false),
        Intent::Task { objective } => ("objective", Some(objective.as_str()), true),
        Intent::Role { role, .. } => ("role", Some(role.as_str()), true),
    };
    let text = text.unwrap_or_default();
    if required && text.trim().is_empty() {
        return Err(CreateError::ObjectiveEmpty { field });
    }
    if text.len() > bytes_max {
        return Err(FieldInvalid {
            field,
            reason: format!("it has {} bytes and the limit is {bytes_max}", text.len()),
        }
        .into());
    }
    Ok(())
}

fn check_text(field: &'static str, text: &str, bytes_max: usize) -> Result<(), FieldInvalid> {
    let reason = if text.trim().is_empty() {
        "it is empty".to_owned()
    } else if text.len() > bytes_max {
        format!("it has {} bytes and the limit is {bytes_max}", text.len())
    } else if text.chars().any(char::is_control) {
        "it has a control character".to_owned()
    } else {
        return Ok(());
    };
    Err(FieldInvalid { field, reason })
}

fn check_labels<'a>(
    labels: impl ExactSizeIterator<Item = (&'a String, Option<&'a String>)>,
    count_max: usize,
    bytes_max: usize,
) -> Result<(), FieldInvalid> {
    if labels.len() > count_max {
        return Err(FieldInvalid {
            field: "labels",
            reason: format!("there are {} and the limit is {count_max}", labels.len()),
        });
    }
    for (key, value) in labels {
        check_text("labels", key, bytes_max)?;
        if let Some(value) =
            value.filter(|value| value.len() > bytes_max || value.chars().any(char::is_control))
        {
            let start: String = value.chars().take(32).collect();
            return Err(FieldInvalid {
                field: "labels",
                reason: format!(
                    "the value {start:?} of {key:?} is too long or has a control character"
                ),
            });
        }
    }
    Ok(())
}
