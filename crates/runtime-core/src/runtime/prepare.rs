//! Checks of a request on the caller's thread, before the writer sees it: names resolved, scope
//! normalised, input encoded and hashed. What passes makes no event and no record that is too large
//! (I9); the checks of single fields are in `fields`.
//!
//! Called by the planes.

mod fields;

use std::sync::Arc;

pub(super) use fields::check_ttl;
use fields::{EVENT_SPARE_BYTES, check_count, check_intent, check_labels, check_len, check_text};

use super::handle::Inner;
use crate::{
    AsJson, HeldScope, InputId, LeaseId, RunId, Scope, ScopeError,
    backend::BackendErrorKind,
    error::{CreateError, FieldInvalid, LeaseError, SubmitError, Unavailable},
    input::{Input, KnownSegment, Segment, SubmitInput},
    lease::AcquireLease,
    operation::Operator,
    state::{CheckedCreate, Grant, PreparedCreate, PreparedInput, PreparedLease},
    worker::{BackendSelection, CreateWorker, UpdateWorker},
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
        self.check_reason(request.reason.as_ref())?;
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
        self.check_places_and_company(request)?;
        let profile = self.profiles.resolve(&request.spec.profile)?;
        self.check_created_event(request, &profile.name)?;
        let backend = request
            .backend
            .as_ref()
            .map(|selection| self.resolve_backend(selection))
            .transpose()?;
        let grant = self.prepare_grant(&request.scope, &request.delegation)?;
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
            grant,
            input,
        })
    }

    /// Takes in what somebody asks to hold; `None` when it is nothing.
    pub(super) fn prepare_grant(
        &self,
        scope: &Scope,
        delegation: &Scope,
    ) -> Result<Option<Grant>, ScopeError> {
        let scope = self.mounts.enter(scope)?;
        Ok(Grant::new(scope, self.mounts.enter(delegation)?))
    }

    fn check_places_and_company(&self, request: &CreateWorker) -> Result<(), CreateError> {
        let (limits, spec) = (&self.shared.limits, &request.spec);
        check_count(
            "capabilities",
            spec.capabilities.len(),
            limits.capabilities_max,
        )?;
        for capability in &spec.capabilities {
            check_text("capabilities", capability, limits.text_bytes_max)?;
        }
        check_count("peers", spec.peers.len(), limits.peers_max)?;
        check_count("mounts", spec.mounts.len(), limits.mounts_max)?;
        for place in spec.workspace.iter().chain(&spec.mounts) {
            self.mounts.resolve(&place.mount, &place.path)?;
        }
        Ok(())
    }

    /// That what is told of the creation fits into an event.
    fn check_created_event(
        &self,
        request: &CreateWorker,
        profile: &str,
    ) -> Result<(), CreateError> {
        let told = (&request.display_name, &request.labels, &request.spec);
        // What is held is told again when it is granted.
        let told = (told, &request.scope, &request.delegation, profile);
        let bytes = serde_json::to_vec(&told).map_err(|error| bug(&error))?;
        let bytes_max = self.event_bytes_max();
        Ok(check_len("request", bytes.len(), bytes_max)?)
    }

    /// What of a request an event of the Runtime's own can hold, beside its other fields.
    fn event_bytes_max(&self) -> usize {
        let limits = &self.shared.limits;
        limits.event_bytes_max.saturating_sub(EVENT_SPARE_BYTES)
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

    /// Takes in what somebody who is no Worker asks to hold for a time.
    pub(super) fn prepare_lease(&self, request: AcquireLease) -> Result<PreparedLease, LeaseError> {
        let fingerprint = request.fingerprint().map_err(|error| bug(&error))?;
        let checked = self.check_lease(&request);
        Ok(PreparedLease {
            request,
            fingerprint,
            checked,
        })
    }

    fn check_lease(&self, request: &AcquireLease) -> Result<HeldScope, LeaseError> {
        let limits = &self.shared.limits;
        if request.lease_id.is_some_and(LeaseId::is_nil) {
            return Err(FieldInvalid {
                field: "lease_id",
                reason: "it is the UUID that names nothing; leave it out, or mint one".to_owned(),
            }
            .into());
        }
        check_text("holder", &request.holder, limits.text_bytes_max)?;
        check_ttl(request.ttl_ms)?;
        self.check_reason(request.reason.as_ref())?;
        let scope = self.mounts.enter(&request.scope)?;
        if scope.allow.is_empty() {
            return Err(FieldInvalid {
                field: "scope",
                reason: "it allows nothing; say what is to be held".to_owned(),
            }
            .into());
        }
        let bytes = serde_json::to_vec(request).map_err(|error| bug(&error))?;
        check_len("request", bytes.len(), self.event_bytes_max())?;
        Ok(scope)
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
        let limits = &self.shared.limits;
        let bytes_max = limits.input_bytes_max.min(self.event_bytes_max());
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

    /// Why somebody asks for an end.
    pub(super) fn check_reason(&self, reason: Option<&String>) -> Result<(), FieldInvalid> {
        let bytes_max = self.shared.limits.reason_bytes_max;
        check_len("reason", reason.map_or(0, String::len), bytes_max)
    }

    pub(super) fn check_operator(&self, by: &Operator) -> Result<(), FieldInvalid> {
        check_text("by", by.name(), self.shared.limits.text_bytes_max)
    }

    /// An answer to an action, whatever that offers.
    pub(super) fn check_answer(&self, option: &str) -> Result<(), FieldInvalid> {
        let bytes_max = self.shared.limits.answer_bytes_max;
        check_len("option", option.len(), bytes_max)
    }

    pub(super) fn check_update(&self, update: &UpdateWorker) -> Result<(), FieldInvalid> {
        let limits = &self.shared.limits;
        if let Some(name) = &update.display_name {
            check_text("display_name", name, limits.text_bytes_max)?;
        }
        self.check_reason(update.reason.as_ref())?;
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
