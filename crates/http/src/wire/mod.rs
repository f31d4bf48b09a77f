//! Bodies of requests and answers, beside those that are types of the core.
//!
//! - `problem`: every refusal (RFC 9457)
//! - `request`: what is asked for
//! - `answer`: what is told
//! - `frame`: what an open stream sends
//! - `token`: access tokens, their scopes, and what is told of them

mod answer;
mod frame;
mod problem;
mod request;
mod token;

pub use answer::{
    AllocationChange, AllocationReclaim, AllocationRelease, BackendView, EventBody, EventsBody,
    GapBody, LeaseRelease, NotAcquired, NotCreated, PositionBody, ReadyBody, WorkerRestore,
    WorkersBody, WouldAcquire, WouldChange, WouldCreate, WouldReclaim, WouldRelease, WouldRestore,
};
pub use frame::{BusyBody, EndBody, EndReason, EventFrame, Frame, ReachedBody, StartedBody};
pub use problem::Problem;
pub use request::{
    AnswerAction, Because, ChangeAllocation, CheckAllocation, CreateToken, EndWorker, ReleaseLease,
    StopRuntime, TakeAllocation,
};
pub use token::{AccessScope, TokenCreated, TokenView};
