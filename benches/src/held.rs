//! A Runtime whose Workers hold as many places as the bench wants, and what it must answer about them.
//!
//! One Worker, the lead, holds all of `fleet` and may hand it on. Half of the others hold a place each below
//! it, and half hold a place each in `tree`, where nobody is above them. All of them may look at everything, as
//! those that the command makes. Nothing of it is in the file system: what is not there yet can be held, too.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::task::JoinSet;
use worker_runtime_core::{
    AsJson, Fence, Permission, RunSink, Runtime, RuntimeOptions, Scope, ScopeRule, WorkerId,
    error::{AllocationError, CreateError, ScopeRefusal},
    limits::Limits,
    run::StopReason,
    scope::HOLDERS_MAX,
    view::{Place, PlaceHolder, VerifyFence},
    worker::{BackendSelection, CreateWorker, Intent, MountRef},
};

use crate::{Failure, backend::Hold, host::Host, measured_store::StoreCounts};

const MOUNT: &str = "land";
/// How many creations wait for the writer at a time while the places are made.
const AT_ONCE: usize = 4_000;

/// A Runtime, and who holds what in it.
pub struct Held {
    runtime: Runtime,
    counts: Arc<StoreCounts>,
    dir: PathBuf,
    lead: WorkerId,
    sink: RunSink,
    fence: Fence,
    /// By number; the lead is the first.
    owners: Vec<WorkerId>,
    granted: usize,
}

impl Held {
    /// Makes a store in which this many places are held.
    ///
    /// # Errors
    /// When a Worker is refused.
    pub async fn make(dir: PathBuf, allocations: usize) -> Result<Self, Failure> {
        let (backend, mut held) = Hold::new();
        let host = Host::open_with(&dir, options(&dir, backend)?).await?;
        let runtime = host.runtime.clone();
        let mut request = worker(holding("fleet"));
        request.delegation = scope([write("fleet")]);
        request.backend = Some(BackendSelection {
            name: Hold::NAME.to_owned(),
            config: AsJson(serde_json::Value::Null),
        });
        let lead = runtime.catalog().create(request).await?.worker_id;
        let sink = host.hold_runs(&[lead], &mut held).await?.pop();
        let sink = sink.ok_or_else(|| Failure::new("the lead has no run"))?;
        let fence = runtime.observation().allocation(lead);
        let fence = fence.and_then(|allocation| allocation.fence);
        let mut owners = vec![lead];
        let numbers: Vec<usize> = (1..allocations).collect();
        for share in numbers.chunks(AT_ONCE) {
            let mut creates = JoinSet::new();
            for number in share.iter().copied() {
                let (catalog, request) = (runtime.catalog(), asks(number, lead));
                creates.spawn(async move { (number, catalog.create(request).await) });
            }
            let mut made = Vec::with_capacity(share.len());
            while let Some(create) = creates.join_next().await {
                let (number, create) = create?;
                made.push((number, create?.worker_id));
            }
            made.sort_unstable();
            owners.extend(made.into_iter().map(|(_, owner)| owner));
        }
        Ok(Self {
            runtime,
            counts: host.counts.clone(),
            dir,
            lead,
            sink,
            fence: fence.ok_or_else(|| Failure::new("the lead has no fence"))?,
            owners,
            granted: 0,
        })
    }

    /// How many places are held.
    pub fn allocations(&self) -> usize {
        self.owners.len()
    }

    /// How long its store has been at commits so far.
    pub fn committing(&self) -> Duration {
        self.counts.now().committing
    }

    /// A dry run for a place that nobody holds.
    ///
    /// # Errors
    /// When it is refused.
    pub fn check_free(&self, op: usize) -> Result<(), Failure> {
        let asked = holding(&free("tree", self.any(op), op));
        Ok(self.check(&asked, None)?)
    }

    /// A dry run for a place that somebody holds.
    ///
    /// # Errors
    /// When it isn't refused with that owner alone.
    pub fn check_held(&self, op: usize) -> Result<(), Failure> {
        let number = self.any_in("tree", op);
        let asked = holding(&format!("{}/below", place(number)));
        match self.check(&asked, None) {
            Err(AllocationError::Refused(refusal)) => self.only(number, &refusal),
            other => Err(Failure::new(format!("{asked:?} is held, not {other:?}"))),
        }
    }

    /// A dry run for a place that the lead may hand on and nobody has.
    ///
    /// # Errors
    /// When it is refused.
    pub fn check_below(&self, op: usize) -> Result<(), Failure> {
        let asked = holding(&free("fleet", self.any(op), op));
        Ok(self.check(&asked, Some(self.lead))?)
    }

    /// Who holds a place in `tree`.
    ///
    /// # Errors
    /// When it isn't its owner alone that may write.
    pub fn who_holds(&self, op: usize) -> Result<(), Failure> {
        let number = self.any_in("tree", op);
        self.who(&format!("{}/below", place(number)), number, &[])
    }

    /// Who holds a place that the lead has handed on.
    ///
    /// # Errors
    /// When it isn't its owner to write, and the lead to read.
    pub fn who_was_lent(&self, op: usize) -> Result<(), Failure> {
        let number = self.any_in("fleet", op);
        self.who(&format!("{}/below", place(number)), number, &[0])
    }

    /// Whether the lead's run may still write where it has handed on nothing.
    ///
    /// # Errors
    /// When it may not.
    pub fn verify(&self, op: usize) -> Result<(), Failure> {
        let path = free("fleet", self.any(op), op);
        let asked = VerifyFence {
            fence: self.fence,
            place: MountRef {
                mount: MOUNT.to_owned(),
                path,
            },
            permission: Permission::Write,
        };
        self.runtime.allocations().verify(self.lead, &asked)?;
        Ok(())
    }

    /// Asks the writer whether a Worker would be made with a place that somebody holds.
    ///
    /// # Errors
    /// When it isn't refused with that owner alone.
    pub async fn refused(&self, op: usize) -> Result<(), Failure> {
        let number = self.any_in("tree", op);
        let request = worker(holding(&place(number)));
        match self.runtime.catalog().create(request).await {
            Err(CreateError::ScopeRefused(refusal)) => self.only(number, &refusal),
            other => Err(Failure::new(format!("the place is held, not {other:?}"))),
        }
    }

    /// Makes a Worker with a place that nobody holds, or without any.
    ///
    /// # Errors
    /// When it is refused.
    pub async fn create(&mut self, holds: bool) -> Result<WorkerId, Failure> {
        self.granted += 1;
        let place = free("tree", self.any(self.granted), self.granted);
        let asked = match holds {
            true => holding(&place),
            false => Scope::default(),
        };
        let created = self.runtime.catalog().create(worker(asked)).await?;
        Ok(created.worker_id)
    }

    /// Ends Workers that were made beside the others.
    ///
    /// # Errors
    /// When one can't be ended.
    pub async fn end(&self, workers: Vec<WorkerId>) -> Result<(), Failure> {
        let mut ends = JoinSet::new();
        for worker_id in workers {
            let catalog = self.runtime.catalog();
            ends.spawn(async move { catalog.stop(worker_id, Default::default()).await });
        }
        while let Some(end) = ends.join_next().await {
            end??;
        }
        let held = self.runtime.observation().runtime().allocations;
        if held != self.owners.len() {
            let made = self.owners.len();
            return Err(Failure::new(format!("{held} places are held, not {made}")));
        }
        Ok(())
    }

    /// Closes the Runtime, and finds every place as it was, on the store that nobody runs.
    ///
    /// # Errors
    /// When one is missing, too many, or another's.
    pub async fn close(self) -> Result<(), Failure> {
        self.sink.finish(StopReason::EndTurn, None).await?;
        self.runtime.close().await?;
        let (backend, _held) = Hold::new();
        let host = Host::open_with(&self.dir, options(&self.dir, backend)?).await?;
        let observation = host.runtime.observation();
        let total = observation.runtime().allocations;
        if total != self.owners.len() {
            let made = self.owners.len();
            return Err(Failure::new(format!(
                "{total} places are held after a reopening, not {made}"
            )));
        }
        for (number, owner) in self.owners.iter().enumerate() {
            let held = observation.allocation(*owner);
            let rule = held.and_then(|held| held.scope.allow.first().cloned());
            if rule.as_ref().map(|rule| rule.path.as_str()) != Some(&place(number)) {
                return Err(Failure::new(format!(
                    "Worker {owner} holds {rule:?} after a reopening"
                )));
            }
        }
        Ok(host.runtime.close().await?)
    }

    fn check(&self, asked: &Scope, parent: Option<WorkerId>) -> Result<(), AllocationError> {
        let allocations = self.runtime.allocations();
        allocations.check(asked, &Scope::default(), parent)
    }

    /// One writes, and all look.
    fn who(&self, path: &str, writer: usize, also: &[usize]) -> Result<(), Failure> {
        let asked = Place {
            mount: Some(MOUNT.to_owned()),
            path: path.to_owned(),
        };
        let found = self.runtime.allocations().who(asked)?;
        let named = |number: &usize| {
            let owner = self.owners.get(*number).copied();
            let mut told = found.holders.iter().map(|it| it.holder.worker_id());
            told.any(|told| told.is_some() && told == owner)
        };
        let writes = |number: usize| {
            let owner = self
                .owners
                .get(number)
                .map(|owner| ((*owner).into(), Some(Permission::Write)));
            let first = found.holders.first();
            first.map(|first| (first.holder, first.permission)) == owner
        };
        let looks = |it: &PlaceHolder| it.permission == Some(Permission::Read);
        let right = writes(writer)
            && also.iter().all(named)
            && found.holders.iter().skip(1).all(looks)
            && found.holders.len() == self.owners.len().min(HOLDERS_MAX)
            && found.more == (self.owners.len() > HOLDERS_MAX)
            && found.below.is_empty();
        if right {
            return Ok(());
        }
        Err(Failure::new(format!(
            "{path} is not held as {found:?} says"
        )))
    }

    fn only(&self, number: usize, refusal: &ScopeRefusal) -> Result<(), Failure> {
        let named = refusal.owners().iter().map(|owner| owner.holder);
        let owner = self.owners.get(number).copied();
        if named.eq(owner.map(Into::into)) {
            return Ok(());
        }
        let place = place(number);
        Err(Failure::new(format!(
            "{place} is not held as {refusal} says"
        )))
    }

    /// One of the numbers but the lead's: each time another one, near and far in turn.
    fn any(&self, op: usize) -> usize {
        1 + op.wrapping_mul(7_919) % (self.owners.len() - 1)
    }

    fn any_in(&self, top: &str, op: usize) -> usize {
        let number = self.any(op);
        match place(number).starts_with(top) {
            true => number,
            false if number > 1 => number - 1,
            false => number + 1,
        }
    }
}

fn options(dir: &Path, backend: Arc<Hold>) -> Result<RuntimeOptions, Failure> {
    let mut options = RuntimeOptions {
        backends: vec![backend],
        limits: Limits {
            workers_max: 1_000_000,
            ..Limits::default()
        },
        ..RuntimeOptions::default()
    };
    options.mounts.set(MOUNT, dir.with_extension(MOUNT))?;
    Ok(options)
}

fn worker(scope: Scope) -> CreateWorker {
    let objective = "to hold a place".to_owned();
    let mut request = CreateWorker::new(Intent::Task { objective });
    request.scope = scope;
    request
}

/// What the Worker of this number asks for.
fn asks(number: usize, lead: WorkerId) -> CreateWorker {
    let place = place(number);
    let mut request = worker(holding(&place));
    request.spec.parent = place.starts_with("fleet").then_some(lead);
    request
}

/// What the Worker of this number holds.
fn place(number: usize) -> String {
    let top = if number.is_multiple_of(2) {
        "fleet"
    } else {
        "tree"
    };
    match number {
        0 => top.to_owned(),
        _ => format!("{top}/directory-{}/file-{number}", number / 200),
    }
}

/// A place that nobody holds, beside one that somebody may.
fn free(top: &str, number: usize, op: usize) -> String {
    format!("{top}/directory-{}/free-{op}", number / 200)
}

fn write(path: &str) -> ScopeRule {
    ScopeRule {
        mount: MOUNT.to_owned(),
        path: path.to_owned(),
        permission: Permission::Write,
        recursive: true,
    }
}

fn scope(allow: impl Into<Vec<ScopeRule>>) -> Scope {
    Scope {
        allow: allow.into(),
        deny: Vec::new(),
    }
}

/// A scope to write at one place and to look at everything.
fn holding(path: &str) -> Scope {
    let all = ScopeRule {
        permission: Permission::Read,
        ..write("")
    };
    scope([write(path), all])
}
