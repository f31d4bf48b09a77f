//! Leases: whoever is no Worker takes them, holds them on, gives them back, loses them by force, or lets
//! their time pass (I6).

use std::time::Duration;

use worker_runtime_core::{
    Clock, Fence, LeaseId, Permission, Runtime, Scope, ScopeRule, SeededEntropy,
    lease::{AcquireLease, RenewLease},
    view::{LeaseReceipt, LeaseView},
};

use super::{
    asked::{Answer, Asked, Done},
    client::Client,
    limits::{MOUNT, clock},
};
use crate::report::Violation;

/// Places that Workers leave alone, so that there are always some to be had.
const PATHS: [&str; 4] = ["h", "h/i", "j", "k/l"];

/// Leases that are held at a time: there is room for those that are taken on purpose.
const HELD_MAX: usize = 4;

/// Of how many looks the time of a lease is made.
const LOOKS: u64 = 10;

/// And in how many it must be over: one may be taken up by what comes later than it was asked for.
const LOOKS_MAX: u64 = 2 * LOOKS;

/// Later than it is due: looks of several leases are taken together.
const LOOK_LATE_MS: u64 = 50;

/// What is asked of a lease.
#[derive(Debug, Clone)]
pub enum LeaseChange {
    /// To have it.
    Acquire(Box<AcquireLease>),
    /// To hold it on, with this fence; from now on for so many milliseconds.
    Renew(Fence, Option<u64>),
    /// To give it back, with this fence.
    Release(Fence),
    /// To take it from its holder.
    Take,
}

impl From<LeaseReceipt> for Done {
    fn from(receipt: LeaseReceipt) -> Self {
        let LeaseReceipt {
            lease,
            repeated,
            position,
            ..
        } = receipt;
        Self {
            position: (!repeated).then_some(position),
            durable_to: repeated.then_some(position),
            repeated,
            leased: Some(Box::new(lease)),
            ..Self::default()
        }
    }
}

/// Asks the Runtime.
pub(super) async fn change_lease(
    runtime: &Runtime,
    lease_id: LeaseId,
    change: LeaseChange,
) -> Answer {
    let allocations = runtime.allocations();
    let ended = match change {
        LeaseChange::Acquire(request) => {
            return Answer::of(allocations.acquire(*request).await, Done::from);
        }
        LeaseChange::Renew(fence, ttl_ms) => {
            let asked = RenewLease { fence, ttl_ms };
            let renewed = allocations.renew(lease_id, &asked).await;
            // That nothing was granted does not say that it was asked for before.
            return Answer::of(renewed, |receipt| Done {
                repeated: false,
                ..Done::from(receipt)
            });
        }
        LeaseChange::Release(fence) => allocations.release_lease(lease_id, fence, None).await,
        LeaseChange::Take => {
            let reason = "needed elsewhere".to_owned();
            allocations.release_lease_by_force(lease_id, reason).await
        }
    };
    Answer::of(ended, |released| Done {
        position: Some(released.position),
        ..Done::default()
    })
}

impl Client {
    fn leases(&self) -> Vec<LeaseView> {
        let seen = self.observation();
        seen.map_or_else(Vec::new, |seen| seen.leases(0, usize::MAX).leases)
    }

    /// The next thing to ask of a lease.
    pub(super) fn choose_lease(&mut self) -> Option<Asked> {
        let held = self.leases();
        let one = self.rng.choice(&held).cloned();
        let (one, roll) = match (one, self.rng.u8(0..100)) {
            (Some(one), roll) if roll >= 38 || held.len() >= HELD_MAX => (one, self.rng.u8(0..100)),
            (_, 0..12) => {
                let is_acquire =
                    |asked: &Asked| matches!(asked, Asked::Lease(_, LeaseChange::Acquire(_)));
                return self.choose_again(is_acquire);
            }
            _ => {
                let (scope, ttl_ms) = (self.choose_leased(), self.choose_ttl());
                return Some(self.acquire(scope, ttl_ms));
            }
        };
        // Now and then one that nobody has any more, and a fence that is nobody's.
        let lease_id = match self.rng.u8(0..12) {
            0 => self.choose_gone().unwrap_or(one.lease_id),
            _ => one.lease_id,
        };
        let fence = match self.rng.u8(0..12) {
            0 => Fence(one.fence.0.saturating_sub(1)),
            _ => one.fence,
        };
        let change = match roll {
            0..24 => LeaseChange::Renew(fence, None),
            24..60 => LeaseChange::Renew(fence, Some(self.choose_ttl())),
            60..86 => LeaseChange::Release(fence),
            _ => LeaseChange::Take,
        };
        Some(Asked::Lease(lease_id, change))
    }

    fn choose_gone(&mut self) -> Option<LeaseId> {
        let entries = self.journal.entries.iter();
        let asked = entries.filter_map(|entry| entry.asked.lease_id());
        self.rng.choice(asked.collect::<Vec<_>>())
    }

    fn choose_ttl(&mut self) -> u64 {
        match self.rng.u8(0..4) {
            0 => self.rng.u64(60_000..600_000),
            _ => self.rng.u64(1_000..4_000),
        }
    }

    fn choose_leased(&mut self) -> Scope {
        let scope = match self.rng.u8(0..3) {
            0 => self.choose_scope(),
            _ => Scope::default(),
        };
        match scope.is_empty() {
            true => write_below(self.rng.choice(PATHS).unwrap_or_default()),
            false => scope,
        }
    }

    fn acquire(&mut self, scope: Scope, ttl_ms: u64) -> Asked {
        let number = self.number();
        let mut entropy = SeededEntropy::new(self.options.seed ^ number << 20);
        let lease_id = LeaseId::mint(Clock::now(&clock()), &mut entropy);
        let request = AcquireLease {
            lease_id: Some(lease_id),
            holder: format!("holder {number}"),
            scope,
            ttl_ms,
            reason: self.rng.bool().then(|| self.words(30)),
        };
        Asked::Lease(lease_id, LeaseChange::Acquire(Box::new(request)))
    }

    /// Takes so many leases for a long time, each of a place of its own.
    pub async fn take_leases(&mut self, count: usize) {
        for number in 0..count {
            let scope = write_below(&format!("m/{number}"));
            let mut asked = self.acquire(scope, 3_600_000);
            if let Asked::Lease(_, LeaseChange::Acquire(request)) = &mut asked {
                // Some room in the store's file.
                request.reason = Some(self.words(700));
            }
            self.ask_all(vec![asked]).await;
        }
        self.catch_up().await;
    }

    /// Lets the time of a lease pass, if there is one: at the end of it nobody holds it any more.
    pub(super) async fn let_a_lease_end(&mut self) {
        let soonest = self.leases().into_iter().min_by_key(|held| held.ttl_ms);
        let Some(held) = soonest else {
            return;
        };
        let failures = self.failures();
        self.doubt_checkpoints();
        let step = Duration::from_millis(held.ttl_ms.div_ceil(LOOKS) + LOOK_LATE_MS);
        for _ in 0..LOOKS_MAX {
            if !self.is_leased(&held) {
                break;
            }
            self.skip(step).await;
            // It was looked at what is due before this is answered, or will be with the next step.
            self.ask_all(vec![self.ask_nothing()]).await;
        }
        self.catch_up().await;
        self.check_deadlines().await;
        if self.is_leased(&held) && failures == Some(0) && self.failures() == Some(0) {
            let detail = format!("{held:?} is held after {LOOKS_MAX} looks");
            let promise = "I6 a lease ends when its time is over";
            let broken = Violation::new(promise, detail);
            self.journal.violations.push(broken);
        }
    }

    fn is_leased(&self, held: &LeaseView) -> bool {
        let mut leases = self.leases().into_iter();
        leases.any(|it| (it.lease_id, it.fence) == (held.lease_id, held.fence))
    }

    /// Moves the Runtime's clock, and the timers of its tasks as far, at once.
    async fn skip(&self, by: Duration) {
        self.options.clock.advance(by);
        tokio::time::pause();
        tokio::time::advance(by).await;
        tokio::time::resume();
        tokio::task::yield_now().await;
    }
}

/// A scope of all that lies there.
pub fn write_below(path: &str) -> Scope {
    Scope {
        allow: vec![ScopeRule {
            mount: MOUNT.to_owned(),
            path: path.to_owned(),
            permission: Permission::Write,
            recursive: true,
        }],
        deny: Vec::new(),
    }
}
