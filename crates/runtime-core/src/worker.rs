//! What a Worker is made from, and what is asked of its life.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{
    AsJson, Digest, InputId, Scope, WorkerId, input::SubmitInput, profile::ProfileSelector,
};

/// What a Worker is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Intent {
    /// Talks with somebody.
    Assistant {
        /// About what.
        #[cfg_attr(feature = "schema", schemars(length(max = crate::limits::INTENT_BYTES_MAX)))]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        purpose: Option<String>,
    },
    /// Reaches one objective.
    Task {
        /// Which; must not be empty.
        #[cfg_attr(feature = "schema", schemars(length(min = 1, max = crate::limits::INTENT_BYTES_MAX), regex(pattern = crate::schema::SAID)))]
        objective: String,
    },
    /// Fills a role among others.
    Role {
        /// Which; must not be empty.
        #[cfg_attr(feature = "schema", schemars(length(min = 1, max = crate::limits::INTENT_BYTES_MAX), regex(pattern = crate::schema::SAID)))]
        role: String,
        /// To what end.
        #[cfg_attr(feature = "schema", schemars(length(max = crate::limits::INTENT_BYTES_MAX)))]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        purpose: Option<String>,
    },
}

/// A named bundle of configuration, at one exact content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BundleRef {
    /// Its name.
    pub id: String,
    /// The digest of its content.
    pub digest: String,
}

/// A place that a Worker is told about, by the operator's name for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct MountRef {
    /// The mount's name.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = crate::scope::MOUNT_NAME_MAX_BYTES), regex(pattern = crate::schema::MOUNT)))]
    pub mount: String,
    /// A path below it.
    #[cfg_attr(feature = "schema", schemars(length(max = crate::scope::PATH_MAX_BYTES), regex(pattern = crate::schema::PATH)))]
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
}

/// Which execution backend runs a Worker's input, and with what configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BackendSelection {
    /// The name under which a factory was registered.
    pub name: String,
    /// Its configuration: resolved once at creation by the factory, then kept.
    #[serde(default)]
    pub config: AsJson<serde_json::Value>,
}

/// What is asked for at a creation. The same `worker_id` with an equal request gives the first
/// receipt again; with another one it is refused (I5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct CreateWorker {
    /// The caller's id for it; minted when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_id: Option<WorkerId>,
    /// A name for people.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = crate::limits::TEXT_BYTES_MAX), regex(pattern = crate::schema::LINE)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Free labels.
    #[cfg_attr(feature = "schema", schemars(schema_with = "crate::schema::labels"))]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What it may touch; granted in the same transaction, or the creation is refused.
    #[serde(default, skip_serializing_if = "Scope::is_empty")]
    pub scope: Scope,
    /// What it may hand on to Workers below it, whether it may touch that itself or not.
    #[serde(default, skip_serializing_if = "Scope::is_empty")]
    pub delegation: Scope,
    /// What runs its input; without one it is kept but refuses input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<BackendSelection>,
    /// Its first input, accepted in the same transaction. Without an `input_id` it has the id
    /// `initial`, so that the same request again gives its receipt again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_input: Option<SubmitInput>,
    /// Why it is made, for the record of the operation. It is no part of what is compared.
    #[cfg_attr(feature = "schema", schemars(length(max = crate::limits::REASON_BYTES_MAX)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What it is for and what it needs.
    #[serde(flatten)]
    pub spec: WorkerSpecFields,
}

/// What a Worker is for and what it needs, as it was asked for.
pub type WorkerSpec = AsJson<WorkerSpecFields>;

/// The fields of a [`WorkerSpec`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WorkerSpecFields {
    /// What it is for.
    pub intent: Intent,
    /// Which profile; resolved once and kept.
    #[serde(default)]
    pub profile: ProfileSelector,
    /// A bundle of configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<BundleRef>,
    /// Capabilities that it asks for; without a bundle and without any it is tools-less.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = crate::limits::CAPABILITIES_MAX), inner(length(min = 1, max = crate::limits::TEXT_BYTES_MAX), regex(pattern = crate::schema::LINE))))]
    pub capabilities: Vec<String>,
    /// Where it works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspace: Option<MountRef>,
    /// Further places it is told about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = crate::limits::MOUNTS_MAX)))]
    pub mounts: Vec<MountRef>,
    /// The Worker that it answers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<WorkerId>,
    /// Workers that it may know of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(feature = "schema", schemars(length(max = crate::limits::PEERS_MAX)))]
    pub peers: Vec<WorkerId>,
}

impl CreateWorker {
    /// The least that makes a Worker: its intent. It takes no input until it has a backend.
    pub fn new(intent: Intent) -> Self {
        Self {
            worker_id: None,
            display_name: None,
            labels: BTreeMap::new(),
            scope: Scope::default(),
            delegation: Scope::default(),
            backend: None,
            initial_input: None,
            reason: None,
            spec: WorkerSpecFields {
                intent,
                profile: ProfileSelector::default(),
                bundle: None,
                capabilities: Vec::new(),
                workspace: None,
                mounts: Vec::new(),
                parent: None,
                peers: Vec::new(),
            },
        }
    }

    /// The id of the initial input, when there is one.
    pub(crate) fn initial_input_id(&self) -> Option<InputId> {
        let initial = self.initial_input.as_ref()?;
        initial
            .input_id
            .clone()
            .or_else(|| InputId::new("initial").ok())
    }

    /// What a repeated creation is compared by: the digest of the request as canonical JSON.
    ///
    /// # Errors
    /// When the request can't be written as JSON.
    pub fn fingerprint(&self) -> Result<Digest, serde_json::Error> {
        // `to_value` sorts the keys of objects, so the order in which a client sent them is gone.
        let mut value = serde_json::to_value(self)?;
        if let Some(fields) = value.as_object_mut() {
            fields.remove("worker_id");
            fields.remove("reason");
        }
        Ok(Digest::of(value.to_string().as_bytes()))
    }
}

/// The two ways a Worker ends. The first that is asked for in an epoch wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum EndKind {
    /// Its run is cancelled, queued input is cancelled; `restore` can start it again.
    Stop,
    /// The same, and it can't be restored.
    Cancel,
}

/// A change of what a Worker is called; absent fields stay.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct UpdateWorker {
    /// Another name.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = crate::limits::TEXT_BYTES_MAX), regex(pattern = crate::schema::LINE)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Labels to set; one with the value `null` is removed.
    #[cfg_attr(
        feature = "schema",
        schemars(schema_with = "crate::schema::label_changes")
    )]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, Option<String>>,
    /// Why, for the record of the operation.
    #[cfg_attr(feature = "schema", schemars(length(max = crate::limits::REASON_BYTES_MAX)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[cfg(test)]
mod tests;
