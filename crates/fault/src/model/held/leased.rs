//! What others than Workers hold, by what was told of it: they lie below and above nobody.

use serde_json::{Value, json};
use worker_runtime_core::{Event, Fence, LeaseId, Permission, Scope, view::Holder};

use super::{Asked, Family, left_at};

/// What a lease holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Leased {
    asked: Asked,
    fence: Fence,
}

impl Family {
    /// What a lease holds, and with which fence.
    pub(in crate::model) fn leased(&self, id: LeaseId) -> Option<(&Scope, Fence)> {
        let leased = self.leases.get(&id)?;
        Some((&leased.asked.scope, leased.fence))
    }

    /// How many leases there are.
    pub(in crate::model) fn lease_count(&self) -> usize {
        self.leases.len()
    }

    /// What each lease leaves its holder at a place.
    pub(in crate::model) fn lessees_at(
        &self,
        place: &str,
    ) -> impl Iterator<Item = (LeaseId, Permission)> {
        let leases = self.leases.iter();
        leases.filter_map(move |(id, leased)| Some((*id, left_at(&leased.asked.scope, place)?)))
    }

    /// Who has a lease that keeps others from some of this.
    pub(super) fn lessees_of(&self, asked: &Asked) -> impl Iterator<Item = Holder> {
        let rivals = self.leases.iter();
        let rivals = rivals.filter(|(_, leased)| leased.asked.both_write(asked).is_some());
        rivals.map(|(id, _)| (*id).into())
    }

    /// Goes on by an event of a lease.
    pub(super) fn follow_lease(&mut self, event: &Event) -> Result<(), String> {
        let data: Value = serde_json::from_slice(&event.data).unwrap_or_default();
        let field = |name: &str| data.get(name).cloned().unwrap_or_default();
        let id = field("lease_id").as_str().and_then(|id| id.parse().ok());
        let fence = field("fence").as_u64().map(Fence);
        let (Some(id), Some(fence)) = (id, fence) else {
            return Err("it names no lease, or no fence".to_owned());
        };
        let before = self.leases.remove(&id);
        match (event.kind.as_str(), before) {
            ("lease.granted", before) => {
                let rules = json!({ "allow": field("allow"), "deny": field("deny") });
                let scope = serde_json::from_value(rules).map_err(|error| error.to_string())?;
                let delegation = Scope::default();
                let asked = Asked { scope, delegation };
                let renewed = field("renewed").as_u64().map(Fence);
                let fits = match &before {
                    None => renewed.is_none(),
                    Some(before) => {
                        before.asked == asked
                            && before.fence < fence
                            && renewed.is_some_and(|renewed| renewed <= before.fence)
                    }
                };
                if !fits {
                    return Err(format!("before it {before:?} was held"));
                }
                self.leases.insert(id, Leased { asked, fence });
                Ok(())
            }
            ("lease.released" | "lease.expired", Some(before)) if before.fence == fence => Ok(()),
            (_, before) => Err(format!("before it {before:?} was held")),
        }
    }

    /// No lease overlaps another one, or what a Worker holds, in write.
    pub(super) fn is_nobody_beside_leases(&self) -> Result<(), String> {
        for (id, leased) in &self.leases {
            let workers = self.held.iter().map(|(id, held)| (id.to_string(), held));
            let workers = workers.map(|(other, held)| (other, &held.asked));
            let later = self.leases.range(id..).skip(1);
            let later = later.map(|(other, others)| (other.to_string(), &others.asked));
            for (other, asked) in workers.chain(later) {
                if let Some(place) = leased.asked.both_write(asked) {
                    return Err(format!("lease {id} and {other} may both write {place:?}"));
                }
            }
        }
        Ok(())
    }
}
