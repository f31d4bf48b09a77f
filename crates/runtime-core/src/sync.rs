//! Locks, threads and tasks of the hand-over between the writer, readers and subscribers.
//!
//! They are the standard library's and tokio's. With `--cfg shuttle` they are the scheduler's, which
//! runs one thread at a time and chooses at each of these calls who goes on: so that every schedule
//! that a seed can reach is a test of this very code (I1, I10). tokio's channels stay what they are;
//! their wakers work under any executor.

#[cfg(not(shuttle))]
mod real {
    pub(crate) use std::sync::{
        Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, atomic, mpsc,
    };
    pub(crate) use std::thread;

    pub(crate) use tokio::{select, spawn, task::spawn_blocking, time::sleep};

    use tokio::sync::mpsc::Receiver;

    /// The next message, for a thread that may wait.
    pub(crate) fn blocking_recv<T>(receiver: &mut Receiver<T>) -> Option<T> {
        receiver.blocking_recv()
    }
}

#[cfg(shuttle)]
mod real {
    pub(crate) use shuttle::sync::{
        Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, atomic, mpsc,
    };
    pub(crate) use shuttle::{future::spawn, thread};

    use shuttle::future::{JoinHandle, block_on};
    use tokio::sync::mpsc::Receiver;

    /// tokio's takes a ready branch by chance of its own, which no schedule could replay.
    macro_rules! select {
        ($($branches:tt)*) => { tokio::select! { biased; $($branches)* } };
    }
    pub(crate) use select;

    pub(crate) fn spawn_blocking<T: Send + 'static>(
        act: impl FnOnce() -> T + Send + 'static,
    ) -> JoinHandle<T> {
        spawn(async move { act() })
    }

    /// Time stands still.
    pub(crate) async fn sleep(_: std::time::Duration) {
        std::future::pending().await
    }

    pub(crate) fn blocking_recv<T>(receiver: &mut Receiver<T>) -> Option<T> {
        block_on(receiver.recv())
    }
}

pub(crate) use real::*;
