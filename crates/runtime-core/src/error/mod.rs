//! What can go wrong, one enum per family of operations. Each names its [`Code`](crate::Code); the
//! domain knows neither HTTP statuses nor exit codes.

mod common;
mod create;
mod lease;
mod lifecycle;
mod operation;
mod read;
mod scope;
mod sink;
mod submit;

pub use common::{FieldInvalid, Unavailable, WorkerError};
pub use create::CreateError;
pub use lease::{LeaseError, NoLease};
pub use lifecycle::{LifecycleError, ManageError, RunError};
pub use operation::NoOperation;
pub use read::{OpenError, ReadError};
pub use scope::{AllocationError, FenceError, ScopeRefusal};
pub use sink::SinkError;
pub use submit::{SubmitError, describe_incapable};
