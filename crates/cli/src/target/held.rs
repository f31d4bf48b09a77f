//! What is held, read from a store or from a server, the same both ways.

use worker_runtime_core::{
    Code, LeaseId, Mounts, Scope, WorkerId,
    error::{AllocationError, ScopeRefusal},
    view::{
        AllocationList, AllocationView, FenceVerified, LeaseList, LeaseVerified, LeaseView, Place,
        PlaceHolders, ScopeOwner, VerifyFence,
    },
};
use worker_runtime_http::{client::ClientError, wire::CheckAllocation};

use super::{About, ReadTarget, Server, Target, here, reads::PAGE_MAX};
use crate::{args::Global, config::Config, error::CliError, here::Here, suggest::Suggestion};

/// What somebody might ask to hold.
pub(crate) struct Asked {
    pub(crate) scope: Scope,
    pub(crate) delegation: Scope,
    pub(crate) parent: Option<WorkerId>,
}

impl Target {
    /// The directory of this process, by a name that whoever is asked knows.
    ///
    /// # Errors
    /// As [`here`].
    pub(crate) fn here(&self, global: &Global) -> Result<Here, CliError> {
        match self {
            Self::Store(_) => here(global, None),
            Self::Server(server) => here(global, Some(server)),
        }
    }

    /// What is held, oldest grant first, paged.
    ///
    /// # Errors
    /// When the server can't be asked.
    pub(crate) fn allocations(
        &self,
        offset: usize,
        count_max: usize,
    ) -> Result<AllocationList, CliError> {
        match self {
            Self::Store(store) => Ok(store.observation.allocations(offset, count_max)),
            Self::Server(server) => server.allocations(offset, count_max),
        }
    }

    /// What one Worker holds.
    ///
    /// # Errors
    /// When it holds nothing, or there is no such Worker.
    pub(crate) fn allocation(&self, worker_id: WorkerId) -> Result<AllocationView, CliError> {
        match self {
            Self::Store(store) => {
                if let Some(held) = store.observation.allocation(worker_id) {
                    return Ok(held);
                }
                store.observation.worker(worker_id)?;
                Err(AllocationError::NotHeld(worker_id).into())
            }
            Self::Server(server) => {
                let call = server.remote.client.allocation(worker_id);
                server.ask(About::worker(worker_id), call)
            }
        }
    }

    /// What others than Workers hold, oldest grant first, paged.
    ///
    /// # Errors
    /// When the server can't be asked.
    pub(crate) fn leases(&self, offset: usize, count_max: usize) -> Result<LeaseList, CliError> {
        match self {
            Self::Store(store) => Ok(store.observation.leases(offset, count_max)),
            Self::Server(server) => server.leases(offset, count_max),
        }
    }

    /// What one lease holds.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn lease(&self, lease_id: LeaseId) -> Result<LeaseView, CliError> {
        match self {
            Self::Store(store) => Ok(store.observation.lease(lease_id)?),
            Self::Server(server) => {
                let about = About::RUNTIME.lease(lease_id);
                server.ask(about, server.remote.client.lease(lease_id))
            }
        }
    }

    /// Whether a lease's fence is current and its holder may touch a place.
    ///
    /// # Errors
    /// When it is not, or may not.
    pub(crate) fn verify_lease(
        &self,
        lease_id: LeaseId,
        asked: &VerifyFence,
        global: &Global,
    ) -> Result<LeaseVerified, CliError> {
        match self {
            Self::Store(store) => {
                let mounts = store.mounts(global)?;
                Ok(store.observation.verify_lease(&mounts, lease_id, asked)?)
            }
            Self::Server(server) => {
                let about = About::RUNTIME.of(&["lock", "verify"]).lease(lease_id);
                server.ask(about, server.remote.client.verify_lease(lease_id, asked))
            }
        }
    }

    /// Who holds a place, and what lies below it.
    ///
    /// # Errors
    /// When the place can't be taken.
    pub(crate) fn who(&self, place: &Place, global: &Global) -> Result<PlaceHolders, CliError> {
        match self {
            Self::Store(store) => {
                let mounts = store.mounts(global)?;
                let who = store.observation.who(&mounts, place.clone());
                who.map_err(|error| in_help(error.into(), &["lock", "who"]))
            }
            Self::Server(server) => {
                let about = About::RUNTIME.of(&["lock", "who"]);
                server.ask(about, server.remote.client.who(place))
            }
        }
    }

    /// Who keeps somebody from a scope; nobody when it would be granted.
    ///
    /// # Errors
    /// When it would be refused for anything else.
    pub(crate) fn in_the_way(
        &self,
        asked: Asked,
        global: &Global,
    ) -> Result<Vec<ScopeOwner>, CliError> {
        let Asked {
            scope,
            delegation,
            parent,
        } = asked;
        match self {
            Self::Store(store) => {
                let mounts = store.mounts(global)?;
                let observation = &store.observation;
                match observation.check_scope(&mounts, &scope, &delegation, parent) {
                    Ok(()) => Ok(Vec::new()),
                    Err(AllocationError::Refused(ScopeRefusal::Conflict { owners })) => {
                        Ok(owners.named)
                    }
                    Err(error) => Err(in_help(error.into(), &["lock", "conflicts"])),
                }
            }
            Self::Server(server) => {
                let asked = CheckAllocation {
                    scope,
                    delegation,
                    parent,
                };
                let remote = &server.remote;
                server.wait_for(async {
                    match remote.client.check_allocation(&asked).await {
                        Ok(()) => Ok(Vec::new()),
                        Err(ClientError::Refused(problem))
                            if problem.code == Code::ScopeConflict =>
                        {
                            Ok(problem.owners)
                        }
                        Err(error) => {
                            let about = About::RUNTIME.of(&["lock", "conflicts"]);
                            Err(remote.told_of(error, about).await)
                        }
                    }
                })
            }
        }
    }

    /// Whether a fence is current and its run may touch a place.
    ///
    /// # Errors
    /// When it is not, or may not.
    pub(crate) fn verify(
        &self,
        worker_id: WorkerId,
        asked: &VerifyFence,
        global: &Global,
    ) -> Result<FenceVerified, CliError> {
        match self {
            Self::Store(store) => {
                let mounts = store.mounts(global)?;
                Ok(store.observation.verify(&mounts, worker_id, asked)?)
            }
            Self::Server(server) => {
                let about = About::worker(worker_id).of(&["lock", "verify"]);
                server.ask(about, server.remote.client.verify_fence(worker_id, asked))
            }
        }
    }
}

/// What is wrong with a scope or a place itself is told with what the command takes.
fn in_help(mut error: CliError, command: &[&str]) -> CliError {
    if error.code == Code::ScopeInvalid {
        error.hints = vec![Suggestion::help(command)];
    }
    error
}

impl ReadTarget {
    /// Every name for a place that the next Runtime of this store would know.
    fn mounts(&self, global: &Global) -> Result<Mounts, CliError> {
        let mounts = Here::current()?.mounts(&self.loaded)?;
        Ok(Config::load(global)?.options(mounts)?.mounts)
    }
}

impl Server {
    /// As [`allocations`](Self::allocations).
    fn leases(&self, offset: usize, count_max: usize) -> Result<LeaseList, CliError> {
        let client = &self.remote.client;
        let mut held: Vec<LeaseView> = Vec::new();
        loop {
            let begin = offset.saturating_add(held.len());
            let wanted = count_max.saturating_sub(held.len()).min(PAGE_MAX);
            let page = self.ask(About::RUNTIME, client.leases(begin, wanted))?;
            held.extend(page.leases.into_iter().take(wanted));
            if page.next.is_some() && held.len() < count_max {
                continue;
            }
            let end = offset.saturating_add(held.len());
            return Ok(LeaseList {
                next: (end < page.total && !held.is_empty()).then_some(end),
                leases: held,
                total: page.total,
                cursor: page.cursor,
            });
        }
    }

    /// As many as were asked for, page after page. Between two pages something may have changed.
    fn allocations(&self, offset: usize, count_max: usize) -> Result<AllocationList, CliError> {
        let client = &self.remote.client;
        let mut held: Vec<AllocationView> = Vec::new();
        loop {
            let begin = offset.saturating_add(held.len());
            let wanted = count_max.saturating_sub(held.len()).min(PAGE_MAX);
            let page = self.ask(About::RUNTIME, client.allocations(begin, wanted))?;
            held.extend(page.allocations.into_iter().take(wanted));
            if page.next.is_some() && held.len() < count_max {
                continue;
            }
            let end = offset.saturating_add(held.len());
            return Ok(AllocationList {
                next: (end < page.total && !held.is_empty()).then_some(end),
                allocations: held,
                total: page.total,
                cursor: page.cursor,
            });
        }
    }
}
