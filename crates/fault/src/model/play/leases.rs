//! What is held by others than Workers for a time: taken, renewed, given back, taken by force, and over when
//! its time is, neither before nor after (I5, I6).

use serde_json::{Value, json};
use worker_runtime_core::{
    Code, Fence, LeaseId, Position, Scope, Stream, Timestamp,
    error::LeaseError,
    lease::{AcquireLease, RenewLease},
    view::{LeaseReceipt, LeaseReleased},
};

use super::{
    Game,
    allocations::{REASON, check_refusal, code_of, scope},
};
use crate::model::{
    expect::{CHOSEN, Expect, differs},
    held::{Asked, kept},
    lease::{Found, Lease, Left},
    step::{LeaseStep, Shows},
    stop::{Played, broken, ensure},
    world::LEASES_MAX,
};

/// More than the looks that a lease's time has.
const LOOKS_MAX: usize = 16;

const GRANTED: &str = "I6 what nobody holds is granted";

fn request(lease_id: Option<LeaseId>, rule: u8, deny: Option<u8>, ttl_ms: u64) -> AcquireLease {
    AcquireLease {
        lease_id,
        holder: format!("tool {}", rule % 3),
        scope: scope(rule, deny),
        ttl_ms,
        reason: rule.is_multiple_of(2).then(|| REASON.to_owned()),
    }
}

impl Game {
    pub(super) async fn lease(&mut self, op: LeaseStep) -> Played<()> {
        match op {
            LeaseStep::Acquire {
                id,
                rule,
                deny,
                ttl_ms,
            } => {
                let id = id.map(|id| LeaseId::from_bytes([0x40 | id; 16]));
                self.acquire(request(id, rule, deny, ttl_ms)).await
            }
            LeaseStep::AcquireAgain { nth, differs } => {
                let Some(held) = self.plain.leases.get(nth) else {
                    return Ok(());
                };
                let mut again = held.request.clone();
                again.lease_id = Some(held.id);
                if differs {
                    again.holder = "somebody else".to_owned();
                }
                self.acquire(again).await
            }
            LeaseStep::Renew { nth, shows, ttl_ms } => self.renew(nth, shows, ttl_ms).await,
            LeaseStep::Release { nth, shows } => self.give_back(nth, Some(shows)).await,
            LeaseStep::Take { nth } => self.give_back(nth, None).await,
            LeaseStep::Outlast { nth } => self.outlast(nth).await,
        }
    }

    /// One that is held, or that nobody holds, and what is shown for it.
    fn lease_at(&self, nth: usize, shows: Shows) -> (LeaseId, Fence) {
        let Some(held) = self.plain.leases.get(nth) else {
            let gone = self.plain.lease_gone;
            return (gone.unwrap_or(LeaseId::from_bytes([9; 16])), Fence(1));
        };
        let fence = match shows {
            Shows::Last => held.fence,
            Shows::Before => held.shown.unwrap_or(held.fence),
            Shows::Next => Fence(self.plain.fence.saturating_add(1)),
            Shows::Other => Fence(held.fence.0.saturating_sub(1)),
        };
        (held.id, fence)
    }

    async fn acquire(&mut self, request: AcquireLease) -> Played<()> {
        let known = request.lease_id.and_then(|id| self.plain.lease(id));
        let known = known.cloned();
        let asked = Asked {
            scope: kept(&request.scope),
            delegation: Scope::default(),
        };
        let refusal = self.plain.family.refusal(&asked, None, None);
        let codes: Vec<Code> = match &known {
            Some(held) if held.is_asked_by(&request) => Vec::new(),
            Some(_) => vec![Code::LeaseExists],
            None if self.plain.leases.len() >= LEASES_MAX => vec![Code::LeaseLimit],
            None => refusal.iter().map(code_of).collect(),
        };
        self.would_acquire(&request, known.is_none(), &codes)
            .await?;
        let allocations = self.world.runtime()?.allocations();
        let asked = allocations.acquire(request.clone());
        let watchdog = &self.world.watchdog;
        let answer = watchdog.within("the answer about a lease", asked).await?;
        if let Err(LeaseError::Refused(told)) = &answer {
            check_refusal(told, refusal.as_ref())?;
        }
        if !codes.is_empty() {
            let answer = answer.map_err(|error| error.code());
            return self.refused(&codes, answer, "a lease");
        }
        let receipt = match answer {
            Ok(receipt) => receipt,
            Err(error) => return broken(GRANTED, format!("{request:?} was refused: {error}")),
        };
        match known {
            Some(held) => {
                self.count("leases acquired again");
                if held.opening != self.world.openings {
                    let (fence, ttl_ms) = (held.fence, held.ttl_ms);
                    self.fence_anew(held.id, fence, ttl_ms).await?;
                }
                self.check_lease_receipt(held.id, &receipt, true)
            }
            None => {
                let id = receipt.lease.lease_id;
                let fits = request.lease_id.is_none_or(|asked| asked == id)
                    && self.plain.lease(id).is_none();
                ensure(fits, "I5 an id is one lease", || format!("{receipt:?}"))?;
                let now = self.world.now();
                let held = Lease {
                    id,
                    ttl_ms: request.ttl_ms,
                    left: Left::whole(request.ttl_ms, now),
                    request,
                    fence: Fence(0),
                    shown: None,
                    opening: self.world.openings,
                    granted_at: now,
                };
                self.granted(held).await?;
                self.count("leases granted");
                self.check_lease_receipt(id, &receipt, false)
            }
        }
    }

    /// A dry run says what would be, and is no grant.
    async fn would_acquire(
        &self,
        request: &AcquireLease,
        is_new: bool,
        codes: &[Code],
    ) -> Played<()> {
        let allocations = self.world.runtime()?.allocations();
        let would = allocations.would_acquire(request.clone());
        let watchdog = &self.world.watchdog;
        let told = watchdog.within("the answer to a dry run", would).await?;
        let told = told.map_err(|error| error.code());
        let fits = match &told {
            Ok(told) => codes.is_empty() && *told == is_new,
            Err(code) => codes.contains(code),
        };
        ensure(fits, "I6 a dry run says what would be", || {
            format!("{told:?}; refused as {codes:?}, or {is_new}")
        })
    }

    /// What is told of a grant, and the fence that it gives.
    async fn granted(&mut self, mut held: Lease) -> Played<()> {
        let request = &held.request;
        let data = json!({
            "lease_id": held.id,
            "holder": request.holder,
            "fence": CHOSEN,
            "renewed": held.shown,
            "allow": request.scope.allow,
            "deny": request.scope.deny,
            "ttl_ms": held.ttl_ms,
            "reason": request.reason,
        });
        let told = Expect::of_runtime("lease.granted", data);
        self.events(vec![told]).await?;
        held.fence = Fence(self.plain.fence);
        let mut leases = self.plain.leases.iter_mut();
        match leases.find(|known| known.id == held.id) {
            Some(known) => *known = held,
            None => {
                let gone = self.plain.lease_gone;
                self.plain.lease_gone = gone.filter(|gone| *gone != held.id);
                self.plain.leases.push(held);
            }
        }
        Ok(())
    }

    /// The fence of another opening gives the next one, and its time begins again.
    async fn fence_anew(&mut self, id: LeaseId, shown: Fence, ttl_ms: u64) -> Played<()> {
        let Some(held) = self.plain.lease(id).cloned() else {
            return Ok(());
        };
        let anew = Lease {
            shown: Some(shown),
            ttl_ms,
            opening: self.world.openings,
            left: Left::whole(ttl_ms, self.world.now()),
            ..held
        };
        self.count("fences of leases given anew");
        self.granted(anew).await
    }

    async fn renew(&mut self, nth: usize, shows: Shows, ttl_ms: Option<u64>) -> Played<()> {
        let (id, fence) = self.lease_at(nth, shows);
        let asked = RenewLease { fence, ttl_ms };
        let allocations = self.world.runtime()?.allocations();
        let watchdog = &self.world.watchdog;
        let renewed = allocations.renew(id, &asked);
        let answer = watchdog.within("the answer to a renewal", renewed).await?;
        let answer = answer.map_err(|error| error.code());
        let held = match self.holder_with(id, fence) {
            Ok(held) => held,
            Err(code) => return self.refused(&[code], answer, "a renewal"),
        };
        let Ok(receipt) = answer else {
            return broken(
                "I6 a lease is held on for its fence",
                format!("{asked:?} of {held:?} was answered {answer:?}"),
            );
        };
        let ttl_ms = ttl_ms.unwrap_or(held.ttl_ms);
        let is_current = held.opening == self.world.openings;
        if !is_current {
            self.fence_anew(id, fence, ttl_ms).await?;
        }
        let now = self.world.now();
        if let Some(held) = self.plain.leases.iter_mut().find(|held| held.id == id) {
            held.ttl_ms = ttl_ms;
            if fence == held.fence {
                // Its holder has heard of it: the one before is nobody's.
                held.shown = None;
            }
            held.left = Left::whole(ttl_ms, now);
        }
        self.count("leases renewed");
        self.check_lease_receipt(id, &receipt, is_current)
    }

    fn holder_with(&self, id: LeaseId, fence: Fence) -> Result<Lease, Code> {
        let held = self.plain.lease(id).ok_or(Code::LeaseUnknown)?;
        match held.is_held_with(fence) {
            true => Ok(held.clone()),
            false => Err(Code::FenceStale),
        }
    }

    /// By its holder, who shows a fence, or by force.
    async fn give_back(&mut self, nth: usize, shows: Option<Shows>) -> Played<()> {
        let (id, fence) = self.lease_at(nth, shows.unwrap_or(Shows::Last));
        let by_force = shows.is_none();
        let allocations = self.world.runtime()?.allocations();
        let ended = async {
            match by_force {
                true => {
                    let reason = REASON.to_owned();
                    allocations.release_lease_by_force(id, reason).await
                }
                false => {
                    let reason = Some(REASON.to_owned());
                    allocations.release_lease(id, fence, reason).await
                }
            }
        };
        let watchdog = &self.world.watchdog;
        let answer = watchdog.within("the answer to a release", ended).await?;
        let answer = answer.map_err(|error| error.code());
        let held = match self.holder_with(id, fence) {
            Ok(held) => held,
            Err(code) => return self.refused(&[code], answer, "a release of a lease"),
        };
        let Ok(released) = answer else {
            return broken(
                "I6 a lease is given back for its fence",
                format!("{fence} of {held:?}, by force: {by_force}, was answered {answer:?}"),
            );
        };
        let data = json!({
            "lease_id": id,
            "by_force": by_force,
            "reason": REASON,
            "holder": held.request.holder,
            "fence": held.fence,
        });
        self.lease_ends(id);
        let told = Expect::of_runtime("lease.released", data);
        self.events(vec![told]).await?;
        self.count(match by_force {
            true => "leases taken by force",
            false => "leases given back",
        });
        self.check_lease_released(id, &released)
    }

    fn lease_ends(&mut self, id: LeaseId) {
        self.plain.leases.retain(|held| held.id != id);
        self.plain.lease_gone = Some(id);
    }

    /// Time passes until a lease is over, and everything is looked at between two looks of the Runtime.
    async fn outlast(&mut self, nth: usize) -> Played<()> {
        let id = self.plain.leases.get(nth).map(|held| held.id);
        for _ in 0..LOOKS_MAX {
            let held = id.and_then(|id| self.plain.lease(id));
            let Some(held) = held.filter(|_| self.may_wait()) else {
                break;
            };
            let by_ms = held.left.ms_until_look(self.world.now());
            self.advance(by_ms).await?;
            self.world.settle().await;
            self.check_quiet().await?;
            self.look_at_trims()?;
            self.check_held()?;
        }
        Ok(())
    }

    /// Whether nobody could say after this long whether the Runtime has looked at a lease.
    pub(super) fn is_lease_unsure_after(&self, by_ms: u64) -> bool {
        let at_ms = self.world.now().unix_ms().saturating_add(by_ms);
        let mut leases = self.plain.leases.iter();
        leases.any(|held| held.left.is_unsure_at(at_ms))
    }

    /// The Runtime looks at every lease: those whose time is over end, in the order of their ids.
    pub(super) fn looked_at_leases(&mut self) -> Vec<Expect> {
        let now: Timestamp = self.world.now();
        let mut stops = 0;
        for held in &mut self.plain.leases {
            let is_stop = held.left.look(now) == Found::Late;
            stops += u64::from(is_stop && !held.left.is_over());
        }
        self.outcome.count("stops that a lease outlasted", stops);
        let leases = self.plain.leases.iter();
        let over = leases.filter(|held| held.left.is_over());
        let mut over: Vec<Lease> = over.cloned().collect();
        over.sort_by_key(|held| held.id);
        let told = over.iter().map(|held| {
            let data = json!({
                "lease_id": held.id,
                "holder": held.request.holder,
                "fence": held.fence,
            });
            Expect::of_runtime("lease.expired", data)
        });
        let told = told.collect();
        for held in over {
            self.lease_ends(held.id);
            self.count("leases over");
        }
        told
    }

    /// An opening lets each lease have its whole time again; the fence of each is void.
    pub(super) fn leases_begin_again(&mut self) {
        let now = self.world.now();
        for held in &mut self.plain.leases {
            held.left = Left::whole(held.ttl_ms, now);
        }
        let kept = self.plain.leases.len() as u64;
        self.outcome.count("leases kept by an opening", kept);
    }

    /// A lease, as it must be shown.
    pub(in crate::model) fn expected_lease(&self, held: &Lease, is_live: bool) -> Value {
        json!({
            "lease_id": held.id,
            "holder": held.request.holder,
            "scope": held.request.scope,
            "fence": held.fence,
            "is_current": is_live && held.opening == self.world.openings,
            "ttl_ms": held.ttl_ms,
            "expires_at": is_live.then(|| held.left.ends_at()),
            "granted_at": held.granted_at,
            "reason": held.request.reason,
        })
    }

    fn check_lease_receipt(
        &self,
        id: LeaseId,
        receipt: &LeaseReceipt,
        repeated: bool,
    ) -> Played<()> {
        let position = self.plain.position();
        let runtime_id = self.world.observation.runtime_id();
        let fits = receipt.repeated == repeated
            && receipt.position == position
            && receipt.cursor.position() == position
            && receipt.cursor.is_of(runtime_id, Stream::Runtime);
        ensure(fits, "I1 a receipt says where it is true", || {
            format!("{receipt:?} at {position}, repeated: {repeated}")
        })?;
        let Some(held) = self.plain.lease(id) else {
            return Ok(());
        };
        let actual = serde_json::to_value(&receipt.lease).unwrap_or_default();
        match differs(&self.expected_lease(held, true), &actual, "lease") {
            Some(differs) => broken("I6 a lease is what was granted", differs),
            None => Ok(()),
        }
    }

    fn check_lease_released(&self, id: LeaseId, released: &LeaseReleased) -> Played<()> {
        let position: Position = self.plain.position();
        let runtime_id = self.world.observation.runtime_id();
        let fits = released.lease_id == id
            && released.position == position
            && released.cursor.position() == position
            && released.cursor.is_of(runtime_id, Stream::Runtime);
        ensure(fits, "I1 a receipt names its event", || {
            format!("{released:?} for the event at {position}")
        })
    }
}
