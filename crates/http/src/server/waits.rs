//! How many long-polls wait and streams are open at a time (I9): of everybody, and of one access token, so
//! that who may only read can't keep everybody else from it.
//!
//! Called by the handlers of events.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use worker_runtime_core::Code;

use super::{app::HttpLimits, refusal::Refusal};

/// The long-polls that wait now, and the streams that are open. Clones are the same.
#[derive(Clone)]
pub(super) struct Waits(Arc<Parts>);

struct Parts {
    all_max: usize,
    per_token_max: usize,
    now: Mutex<Now>,
}

#[derive(Default)]
struct Now {
    all: usize,
    /// By the id of their token; one that has none is not here.
    by_token: HashMap<String, usize>,
}

/// One of them, for as long as it is held.
pub(super) struct Waiting {
    waits: Waits,
    token_id: String,
}

impl Waits {
    pub(super) fn new(limits: &HttpLimits) -> Self {
        Self(Arc::new(Parts {
            all_max: limits.waiting_max,
            per_token_max: limits.waiting_per_token_max,
            now: Mutex::default(),
        }))
    }

    /// One more that waits.
    ///
    /// # Errors
    /// When there are as many as may be.
    pub(super) fn begin(&self, token_id: &str) -> Result<Waiting, Refusal> {
        let mut now = self.now();
        let of_token = now.by_token.get(token_id).copied().unwrap_or_default();
        let busy = |whose: &str| {
            let detail = format!(
                "as many long-polls and streams {whose} are open as may; ask without `wait`, or later"
            );
            Err(Refusal::new(Code::ServerBusy, detail))
        };
        if of_token >= self.0.per_token_max {
            return busy("of this access token");
        }
        if now.all >= self.0.all_max {
            return busy("of all clients");
        }
        now.all = now.all.saturating_add(1);
        now.by_token
            .insert(token_id.to_owned(), of_token.saturating_add(1));
        Ok(Waiting {
            waits: self.clone(),
            token_id: token_id.to_owned(),
        })
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.0.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut now = self.waits.now();
        now.all = now.all.saturating_sub(1);
        match now.by_token.get_mut(&self.token_id) {
            Some(count) if *count > 1 => *count = count.saturating_sub(1),
            _ => {
                now.by_token.remove(&self.token_id);
            }
        }
    }
}
