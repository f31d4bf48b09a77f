//! What can go wrong, one enum per family of operations. Each names its [`Code`]; the domain knows
//! neither HTTP statuses nor exit codes.

use crate::{
    ActionId, BlockId, Code, CursorError, CursorMalformed, Generation, IdError, InputId, RunId,
    ScopeError, Timestamp, WorkerId,
    backend::{BackendError, IncapableReason},
    profile::ProfileUnknown,
    record::Lifecycle,
    store::StoreError,
    view::{Phase, ScopeOwner},
};

/// Why a command could not be carried out, whatever it asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// The commit failed so that nobody knows whether it is durable. Ask again with the same id.
    #[error(
        "the outcome is unknown: the store failed while it was being written; ask again with the same id"
    )]
    OutcomeUnknown,
    /// There is no room on the store's disk. Nothing was done.
    #[error("the store's disk is full; nothing was done, and reads go on")]
    StorageFull,
    /// The Runtime was closed.
    #[error("the Runtime is closed")]
    Closed,
    /// A user stopped the Runtime.
    #[error("the Runtime is stopped; start it first")]
    Stopped,
    /// The store could not be read.
    #[error("the store can't be read: {detail}")]
    Store {
        /// What failed.
        detail: String,
    },
    /// A contradiction inside.
    #[error("a bug: {invariant}")]
    Bug {
        /// What does not hold.
        invariant: String,
    },
}

impl Unavailable {
    /// Its stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::OutcomeUnknown => Code::OutcomeUnknown,
            Self::StorageFull => Code::StorageFull,
            Self::Closed => Code::RuntimeClosed,
            Self::Stopped => Code::RuntimeStopped,
            Self::Store { .. } => Code::StateIo,
            Self::Bug { .. } => Code::Bug,
        }
    }
}

impl From<StoreError> for Unavailable {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full { .. } => Self::StorageFull,
            StoreError::OutcomeUnknown { .. } => Self::OutcomeUnknown,
            StoreError::Bug { invariant } => Self::Bug { invariant },
            other => Self::Store {
                detail: other.to_string(),
            },
        }
    }
}

/// Which Worker a call means, and why there is none that it can be about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WorkerError {
    /// No Worker has this id.
    #[error("there is no Worker {0}")]
    Unknown(WorkerId),
    /// It was deleted.
    #[error("Worker {0} was deleted")]
    Deleted(WorkerId),
    /// Its record is damaged; its events stay readable.
    #[error("the record of Worker {worker_id} is damaged: {detail}")]
    Damaged {
        /// Which.
        worker_id: WorkerId,
        /// What is wrong.
        detail: String,
    },
}

impl WorkerError {
    /// Its stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Unknown(_) => Code::WorkerUnknown,
            Self::Deleted(_) => Code::WorkerDeleted,
            Self::Damaged { .. } => Code::WorkerDamaged,
        }
    }
}

/// A field that can't be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {reason}")]
pub struct FieldInvalid {
    /// Which.
    pub field: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

/// Why no Worker was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The id is taken by a Worker that was asked for differently.
    #[error(
        "Worker {0} exists already and was asked for differently; use another id, or the first request again"
    )]
    Exists(WorkerId),
    /// The id belonged to a Worker that was deleted; an id is never used again.
    #[error("Worker {0} was deleted, and an id is never used again")]
    Deleted(WorkerId),
    /// The record under this id is damaged.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// There are as many Workers as the Runtime takes.
    #[error("there are {workers_max} Workers already, which is the limit")]
    Limit {
        /// The limit.
        workers_max: usize,
    },
    /// A task without an objective, a role without a name.
    #[error("{field} is empty; say what the Worker is for")]
    ObjectiveEmpty {
        /// `objective` or `role`.
        field: &'static str,
    },
    /// A field can't be taken.
    #[error(transparent)]
    Field(#[from] FieldInvalid),
    /// No profile has this name.
    #[error(transparent)]
    Profile(#[from] ProfileUnknown),
    /// A bundle was named, and this Runtime has none.
    #[error("there is no bundle {id:?}")]
    BundleUnknown {
        /// The bundle's name.
        id: String,
    },
    /// No execution backend has this name.
    #[error("there is no execution backend {name:?}; there are: {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") })]
    BackendUnknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The backend does not take this configuration.
    #[error("execution backend {name:?} does not take this configuration: {error}")]
    BackendConfig {
        /// Which backend.
        name: String,
        /// What is wrong.
        error: BackendError,
    },
    /// The parent is no Worker that is active here.
    #[error("parent {0} is no active Worker here")]
    ParentUnknown(WorkerId),
    /// The scope can't be taken.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// Somebody holds part of the scope.
    #[error("the scope meets what {} Worker(s) hold: {}", owners.len(), owners.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    ScopeConflict {
        /// Every owner, deepest rule first.
        owners: Vec<ScopeOwner>,
    },
    /// The initial input was refused, so no Worker was made.
    #[error("initial input: {0}")]
    Input(#[from] SubmitError),
    /// Whatever was asked for could not be done.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl CreateError {
    /// Its stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Exists(_) => Code::WorkerExists,
            Self::Deleted(_) => Code::WorkerDeleted,
            Self::Worker(error) => error.code(),
            Self::Limit { .. } => Code::WorkerLimit,
            Self::ObjectiveEmpty { .. } => Code::ObjectiveEmpty,
            Self::Field(_) => Code::FieldInvalid,
            Self::Profile(_) => Code::ProfileUnknown,
            Self::BundleUnknown { .. } => Code::BundleUnknown,
            Self::BackendUnknown { .. } => Code::BackendUnknown,
            Self::BackendConfig { .. } => Code::BackendConfig,
            Self::ParentUnknown(_) => Code::ParentUnknown,
            Self::Scope(_) => Code::ScopeInvalid,
            Self::ScopeConflict { .. } => Code::ScopeConflict,
            Self::Input(error) => error.code(),
            Self::Unavailable(error) => error.code(),
        }
    }
}

/// Why an input was not accepted. A refusal uses up no `input_id`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// There is no such Worker.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// It has ended, or is about to.
    #[error("Worker {worker_id} takes no input: it is {state}")]
    NotActive {
        /// Which.
        worker_id: WorkerId,
        /// What it is instead.
        state: &'static str,
    },
    /// Nothing can run the input (I8).
    #[error("Worker {worker_id} can't execute input: {reason}", reason = describe_incapable(reason))]
    Incapable {
        /// Which.
        worker_id: WorkerId,
        /// Why.
        reason: IncapableReason,
    },
    /// It runs or holds another input.
    #[error("Worker {worker_id} is busy with input {input_id} since {since} ({phase})")]
    Busy {
        /// Which.
        worker_id: WorkerId,
        /// With which input.
        input_id: InputId,
        /// Since when.
        since: Timestamp,
        /// How far that input is.
        phase: Phase,
    },
    /// As many inputs wait as may.
    #[error("{waiting} inputs wait for Worker {worker_id} already, which is the limit")]
    QueueFull {
        /// Which.
        worker_id: WorkerId,
        /// How many.
        waiting: usize,
    },
    /// The input is larger than the Runtime takes.
    #[error("the input has {bytes} bytes and the limit is {bytes_max}")]
    TooLarge {
        /// How large it is.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The input says nothing.
    #[error("the input is empty")]
    Empty,
    /// A segment can't be taken.
    #[error(transparent)]
    Field(#[from] FieldInvalid),
    /// The Worker has accepted as many inputs as it ever may.
    #[error(
        "Worker {worker_id} has accepted {accepted} inputs, which is the limit; create another Worker"
    )]
    Quota {
        /// Which.
        worker_id: WorkerId,
        /// How many.
        accepted: u64,
    },
    /// Whatever was asked for could not be done.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl SubmitError {
    /// Its stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Worker(error) => error.code(),
            Self::NotActive { .. } => Code::WorkerNotActive,
            Self::Incapable { .. } => Code::InputIncapable,
            Self::Busy { .. } => Code::InputBusy,
            Self::QueueFull { .. } => Code::InputQueueFull,
            Self::TooLarge { .. } => Code::InputTooLarge,
            Self::Empty => Code::InputEmpty,
            Self::Field(_) => Code::FieldInvalid,
            Self::Quota { .. } => Code::InputQuota,
            Self::Unavailable(error) => error.code(),
        }
    }
}

/// Says an [`IncapableReason`] in words.
pub fn describe_incapable(reason: &IncapableReason) -> String {
    match reason {
        IncapableReason::NoBackend => "it was created without an execution backend".to_owned(),
        IncapableReason::BackendMissing { name } => {
            format!("this Runtime has no execution backend {name:?}")
        }
        IncapableReason::ProviderMissing { detail } => format!("its provider is missing: {detail}"),
        IncapableReason::ProfileMissing { name } => format!("its profile {name:?} is missing"),
        IncapableReason::SecretMissing { name } => format!("secret {name:?} is missing"),
        IncapableReason::AuthorityMissing { detail } => format!("it has no authority: {detail}"),
        IncapableReason::Damaged => "its record is damaged".to_owned(),
    }
}

/// Why a Worker's life was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LifecycleError {
    /// There is no such Worker.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// Only an active Worker can be paused, resumed, stopped or cancelled.
    #[error("Worker {worker_id} is {state}, so it can't be {wanted}")]
    WrongState {
        /// Which.
        worker_id: WorkerId,
        /// What it is.
        state: &'static str,
        /// What was asked for.
        wanted: &'static str,
    },
    /// Only an ended Worker can be archived, restored or deleted.
    #[error("Worker {worker_id} is {state}; stop it first, then it can be {wanted}")]
    NotEnded {
        /// Which.
        worker_id: WorkerId,
        /// What it is.
        state: &'static str,
        /// What was asked for.
        wanted: &'static str,
    },
    /// The scope that it held is held by others now.
    #[error("the scope meets what {} Worker(s) hold: {}", owners.len(), owners.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    ScopeConflict {
        /// Every owner, deepest rule first.
        owners: Vec<ScopeOwner>,
    },
    /// A field can't be taken.
    #[error(transparent)]
    Field(#[from] FieldInvalid),
    /// Whatever was asked for could not be done.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl LifecycleError {
    /// Its stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Worker(error) => error.code(),
            Self::WrongState { .. } => Code::WorkerNotActive,
            Self::NotEnded { .. } => Code::WorkerNotEnded,
            Self::ScopeConflict { .. } => Code::ScopeConflict,
            Self::Field(_) => Code::FieldInvalid,
            Self::Unavailable(error) => error.code(),
        }
    }
}

/// Why a run or an action was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// There is no such Worker.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// The Worker does not run this run now.
    #[error("Worker {worker_id} does not run {run_id} now")]
    Unknown {
        /// Which Worker.
        worker_id: WorkerId,
        /// Which run.
        run_id: RunId,
    },
    /// The run waits for no such action.
    #[error("run {run_id} waits for no action {action_id:?}", action_id = action_id.as_str())]
    ActionUnknown {
        /// Which run.
        run_id: RunId,
        /// Which action.
        action_id: ActionId,
    },
    /// The action does not offer this.
    #[error("action {action_id:?} does not offer {option:?}; it offers: {}", options.join(", "), action_id = action_id.as_str())]
    ActionOption {
        /// Which action.
        action_id: ActionId,
        /// What was chosen.
        option: String,
        /// What can be.
        options: Vec<String>,
    },
    /// Whatever was asked for could not be done.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl RunError {
    /// Its stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Worker(error) => error.code(),
            Self::Unknown { .. } => Code::RunUnknown,
            Self::ActionUnknown { .. } => Code::ActionUnknown,
            Self::ActionOption { .. } => Code::ActionOption,
            Self::Unavailable(error) => error.code(),
        }
    }
}

/// Why a backend's message was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SinkError {
    /// The run is over, or another one has begun. The message was dropped and counted.
    #[error("run {run_id} of generation {generation} is over")]
    Stale {
        /// Which run.
        run_id: RunId,
        /// Its generation.
        generation: Generation,
    },
    /// There is no such open block.
    #[error("block {0} is not open")]
    BlockUnknown(BlockId),
    /// A limit was reached; the message was dropped.
    #[error("{what} reached its limit of {max}")]
    Limit {
        /// Of what.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// The message can't be taken as it is.
    #[error("the message can't be taken: {reason}")]
    Invalid {
        /// Why.
        reason: String,
    },
    /// It could not be made durable.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl SinkError {
    /// Its stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Stale { .. } => Code::RunStale,
            Self::BlockUnknown(_) | Self::Limit { .. } | Self::Invalid { .. } => Code::FieldInvalid,
            Self::Unavailable(error) => error.code(),
        }
    }
}

/// Why a read gave nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// There is no such Worker.
    #[error(transparent)]
    Worker(#[from] WorkerError),
    /// The cursor can't be followed.
    #[error(transparent)]
    Cursor(#[from] CursorError),
    /// The text is no cursor.
    #[error(transparent)]
    Malformed(#[from] CursorMalformed),
    /// The text is no id.
    #[error(transparent)]
    Id(#[from] IdError),
    /// Whatever was asked for could not be read.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl ReadError {
    /// Its stable code.
    pub const fn code(&self) -> Code {
        match self {
            Self::Worker(error) => error.code(),
            Self::Cursor(CursorError::Expired { .. }) => Code::CursorExpired,
            Self::Cursor(CursorError::Ahead { .. }) => Code::CursorAhead,
            Self::Cursor(CursorError::Foreign { .. }) => Code::CursorForeign,
            Self::Cursor(CursorError::Forked { .. }) => Code::CursorForked,
            Self::Malformed(_) => Code::CursorMalformed,
            Self::Id(_) => Code::FieldInvalid,
            Self::Unavailable(error) => error.code(),
        }
    }
}

/// Why a Runtime could not be opened over its store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Two execution backends have one name.
    #[error("two execution backends are called {name:?}")]
    BackendTwice {
        /// The name.
        name: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The writer's thread can't be started.
    #[error("the writer's thread can't be started: {0}")]
    Thread(std::io::Error),
    /// What recovery found could not be recorded.
    #[error("recovery could not be recorded: {0}")]
    Recovery(#[from] Unavailable),
}

/// How a Worker's state is called in messages.
pub(crate) const fn lifecycle_word(lifecycle: Lifecycle) -> &'static str {
    match lifecycle {
        Lifecycle::Active => "active",
        Lifecycle::Stopped => "stopped",
        Lifecycle::Cancelled => "cancelled",
        Lifecycle::Deleted => "deleted",
    }
}
