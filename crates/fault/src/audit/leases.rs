//! What events tell of leases, and when none of them may come: whoever is no Worker holds what nobody else
//! holds, under a fence of the same row as all others, until it is told to be over (I6).

use std::sync::Arc;

use worker_runtime_core::{
    Event, LeaseId, Position, Timestamp,
    lease::TTL_MIN,
    view::{Holder, LeaseView},
};

use super::{
    apply::{Applied, Data, SCOPES, broken, must},
    scopes::may_both_write,
    world::{Held, World},
};

/// A lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leased {
    /// Who took it.
    pub holder: String,
    /// What for.
    pub reason: Option<String>,
    /// What it keeps others from.
    pub held: Held,
    /// The fence that was shown for its own.
    pub renewed: Option<u64>,
    /// How long it lasted when its fence was granted.
    pub ttl_ms: u64,
    /// When it was granted first.
    pub granted_at: Timestamp,
    /// Where its fence was granted, and when.
    pub fenced: (Position, Timestamp),
}

impl Leased {
    /// Whether it is shown as it was told, but for its time.
    pub(super) fn is_shown_as(&self, view: &LeaseView) -> bool {
        let scope = (&view.scope.allow, &view.scope.deny);
        (view.fence.0, scope) == (self.held.fence, (&self.held.allow, &self.held.deny))
            && (&view.holder, &view.reason) == (&self.holder, &self.reason)
            && view.granted_at == self.granted_at
    }

    fn told(event: &Event, data: &Data, before: Option<&Self>) -> Self {
        Self {
            holder: data.text("holder"),
            reason: data.read("reason"),
            held: Held {
                fence: data.number("fence").unwrap_or_default(),
                allow: data.read("allow").unwrap_or_default(),
                deny: data.read("deny").unwrap_or_default(),
                lends: Vec::new(),
                parent: None,
            },
            renewed: data.number("renewed"),
            ttl_ms: data.number("ttl_ms").unwrap_or_default(),
            granted_at: before.map_or(event.at, |before| before.granted_at),
            fenced: (event.position, event.at),
        }
    }

    /// Whether this is the same with the next fence: for one that an opening voided, shown by its holder.
    fn goes_on_as(&self, next: &Self, void_to: u64) -> bool {
        let what = |of_it: &Self| (of_it.held.allow.clone(), of_it.held.deny.clone());
        let is_holders = next.renewed == Some(self.held.fence)
            || next.renewed.is_some() && next.renewed == self.renewed;
        self.held.fence <= void_to
            && is_holders
            && what(self) == what(next)
            && (&self.holder, &self.reason) == (&next.holder, &next.reason)
    }
}

impl World {
    pub(super) fn apply_lease(&mut self, event: &Event, data: &Data) -> Applied {
        let Some(id) = data.read::<LeaseId>("lease_id") else {
            return Err(broken(SCOPES, event, "it names no lease"));
        };
        let before = self.leases.remove(&id);
        if event.kind.as_str() != "lease.granted" {
            let fence = data.number("fence");
            let is_held = before.as_ref().map(|held| held.held.fence) == fence && fence.is_some();
            let detail = format!("{id} was held as {before:?}");
            must(is_held, SCOPES, event, detail)?;
            let since = before.map_or(event.at, |held| held.fenced.1);
            let is_over = event.kind.as_str() != "lease.expired" || since.plus(TTL_MIN) <= event.at;
            return must(
                is_over,
                SCOPES,
                event,
                format!("{id} is held since {since}"),
            );
        }
        let leased = Leased::told(event, data, before.as_deref());
        let goes_on = match &before {
            None => leased.renewed.is_none(),
            Some(before) => before.goes_on_as(&leased, self.void_to),
        };
        let detail = format!("{id} was held as {before:?}");
        must(goes_on, SCOPES, event, detail)?;
        self.take_fence(leased.held.fence, event)?;
        let rival = self.rivals(None, &leased.held).next();
        self.leases.insert(id, Arc::new(leased));
        match rival {
            None => Ok(()),
            Some(rival) => {
                let detail = format!("{rival:?} may write there too");
                Err(broken(SCOPES, event, detail))
            }
        }
    }

    /// Whose lease keeps some of this from whoever would hold it: a lease is nobody's family.
    pub(super) fn lessees<'a>(&'a self, held: &'a Held) -> impl Iterator<Item = Holder> + 'a {
        let leases = self.leases.iter();
        let rivals = leases.filter(|(_, leased)| may_both_write(&leased.held, held));
        rivals.map(|(id, _)| (*id).into())
    }
}
