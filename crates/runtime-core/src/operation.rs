//! Operations: changes that somebody asked for by name, kept with who, when, why and what.
//!
//! Whoever opens a Runtime says who asks ([`Runtime::operated_by`](crate::Runtime::operated_by)); what is
//! changed through that handle is recorded in the transaction of the change itself (I3), and nothing is
//! recorded of what was refused, tried, or so already. What Workers live by is no operation: input, the
//! answer to an action, the renewal of a lease, and all that runs do.

use serde::{Deserialize, Serialize};

use crate::{Cursor, Timestamp, WorkerId, id::OperationId, view::OperationView};

/// Who asked for a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Operator {
    /// A client that showed an access token.
    Token {
        /// The token's name.
        name: String,
        /// What it may do.
        scope: String,
    },
    /// Somebody who runs a command on this machine.
    User {
        /// The name that the system knows them by.
        name: String,
        /// The process of the command.
        pid: u32,
    },
    /// A program that the Runtime is part of.
    Program {
        /// What it calls itself.
        name: String,
    },
}

impl Operator {
    /// What it is called.
    pub fn name(&self) -> &str {
        match self {
            Self::Token { name, .. } | Self::User { name, .. } | Self::Program { name } => name,
        }
    }
}

/// Who asks for what follows, and why.
#[derive(Debug, Clone)]
pub(crate) struct Attribution {
    pub(crate) by: Operator,
    pub(crate) reason: Option<String>,
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        /// What was changed. Stored by its place: a new one goes to the end.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[non_exhaustive]
        pub enum OperationKind {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl OperationKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// As it is printed and sent.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

kinds! {
    /// A Worker was made.
    WorkerCreate = "worker.create";
    /// A Worker is called something else.
    WorkerUpdate = "worker.update";
    /// Its dispatch is held.
    WorkerPause = "worker.pause";
    /// It is not held any more.
    WorkerResume = "worker.resume";
    /// Its end was asked for, so that it can be restored.
    WorkerStop = "worker.stop";
    /// Its end was asked for, for good.
    WorkerCancel = "worker.cancel";
    /// It was put away.
    WorkerArchive = "worker.archive";
    /// It lives again.
    WorkerRestore = "worker.restore";
    /// It was deleted.
    WorkerDelete = "worker.delete";
    /// The end of a run was asked for.
    RunCancel = "run.cancel";
    /// A Worker holds another scope.
    ScopeChange = "scope.change";
    /// A Worker gave up its scope, or will.
    ScopeRelease = "scope.release";
    /// Those below a Worker gave up theirs, or will.
    ScopeReclaim = "scope.reclaim";
    /// Somebody who is no Worker holds a scope.
    LeaseAcquire = "lease.acquire";
    /// That was ended.
    LeaseRelease = "lease.release";
    /// The Runtime takes no input, and what ran is ended.
    RuntimeStop = "runtime.stop";
    /// The Runtime takes no input.
    RuntimeDrain = "runtime.drain";
    /// The Runtime takes input again.
    RuntimeStart = "runtime.start";
    /// That acknowledged state is gone was acknowledged.
    RuntimeAcceptOlder = "runtime.accept_older";
}

/// Which operations are asked for.
#[derive(Debug, Clone, Default)]
pub struct OperationsRequest {
    /// Only those about this Worker.
    pub worker_id: Option<WorkerId>,
    /// Only those from then on.
    pub since: Option<Timestamp>,
    /// From which end.
    pub order: OperationOrder,
    /// Go on behind this one, in that order.
    pub after: Option<OperationId>,
    /// How many to give at most.
    pub count_max: usize,
}

/// From which end operations are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OperationOrder {
    /// Newest first.
    #[default]
    Newest,
    /// Oldest first.
    Oldest,
}

/// A page of the operations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OperationList {
    /// The operations, in the order that was asked for.
    pub operations: Vec<OperationView>,
    /// The one to go on behind; `None` when there are no more.
    pub next: Option<OperationId>,
    /// The oldest one that is kept, of any Worker: those before it are gone.
    pub kept_from: Option<OperationId>,
    /// Those whose records are damaged, or missing between others.
    pub damaged: Vec<OperationId>,
    /// Where this is true, in the Runtime's stream.
    pub cursor: Cursor,
}
