//! What the tests share.

mod audit;
mod backend;
mod faulty;
mod host;
mod observed;

pub(crate) use audit::audit;
pub(crate) use backend::{BACKEND, Say, Script, TakenRun};
pub(crate) use faulty::{Fault, Faults, Lost};
pub(crate) use host::{
    Host, HostOptions, action_id, assistant, input, input_id, queued, scripted, write,
};
pub(crate) use observed::{Told, data, poll_once, within};
