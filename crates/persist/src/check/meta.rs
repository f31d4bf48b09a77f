//! What there is one of: the format, the state of the last commit, the Runtime's record, what was lost
//! before. Without the state nothing else can be compared with anything.

use std::ops::ControlFlow;

use serde::de::DeserializeOwned;
use worker_runtime_core::{Code, record::RuntimeRecord, store::StoreError};

use super::{
    finding::{Cost, Finding},
    look::{Counting, LAST_KEY, Look, Meta},
    store::Head,
};
use crate::{
    codec::{self, Damage},
    engine::{End, Rows},
    layout::meta::{self, Format, Loss, State, TABLE},
    store::{Witnessed, went_back},
};

fn damaged(detail: impl Into<String>) -> Finding {
    Finding::new(Code::StateDamaged, Cost::Data, TABLE.name, detail.into())
}

fn record<T: DeserializeOwned>(
    rows: &mut impl Rows,
    name: &[u8],
) -> Result<Result<Option<T>, Damage>, StoreError> {
    rows.get(TABLE, name, |value| {
        value
            .map(|value| codec::open_record(TABLE, name, value))
            .transpose()
    })
}

/// Tells what is wrong with a record, and gives it when nothing is.
fn one<T: DeserializeOwned>(
    rows: &mut impl Rows,
    name: &[u8],
    is_needed: bool,
    look: &mut Look<'_>,
) -> Result<Option<T>, StoreError> {
    let words = String::from_utf8_lossy(name);
    Ok(match record(rows, name)? {
        Ok(Some(found)) => Some(found),
        Ok(None) if !is_needed => None,
        Ok(None) => {
            look.tell(damaged(format!("record {words} is missing")));
            None
        }
        Err(damage) => {
            look.tell(damaged(format!("record {words}: {damage}")));
            None
        }
    })
}

/// Everything of `meta`; `None` when the state is damaged.
pub(super) fn read(rows: &mut impl Rows, look: &mut Look<'_>) -> Result<Option<Meta>, StoreError> {
    one::<Format>(rows, meta::FORMAT, true, look)?;
    let state: Option<State> = one(rows, meta::STATE, true, look)?;
    let runtime: Option<RuntimeRecord> = one(rows, meta::RUNTIME, true, look)?;
    let losses: Option<Vec<Loss>> = one(rows, meta::LOSSES, false, look)?;
    let known = [meta::FORMAT, meta::STATE, meta::RUNTIME, meta::LOSSES];
    let mut counting = Counting::new(TABLE);
    let mut strange = 0_u64;
    rows.scan(TABLE, (&[], &LAST_KEY), End::First, &mut |key, value| {
        counting.add(value, look);
        strange += u64::from(!known.contains(&key));
        Ok(ControlFlow::Continue(()))
    })?;
    if strange > 0 {
        look.tell(damaged(format!("{strange} records have names of none")));
    }
    Ok(state.map(|state| Meta {
        state,
        runtime,
        losses: losses.unwrap_or_default(),
    }))
}

/// Compares the newest commit with what the witness was told, and tells what was accepted never.
pub(super) fn compare_with_head(meta: &Meta, head: &Head, look: &mut Look<'_>) {
    let witnessed: Option<&Witnessed> = match head {
        Head::Witness(witnessed) => Some(witnessed),
        Head::None => None,
        Head::Damaged(detail) => {
            let code = Code::CheckDerived;
            let detail = format!("the witness says nothing: {detail}");
            look.tell(Finding::new(code, Cost::Nothing, "head", detail));
            None
        }
    };
    let state = &meta.state;
    let now = went_back(state, witnessed).map(|went| (went.witnessed, went.found));
    let earlier = meta.runtime.as_ref().and_then(|runtime| runtime.went_back);
    let earlier = earlier.map(|went| (went.witnessed, went.found));
    if let Some((witnessed, found)) = now.or(earlier) {
        let detail = if witnessed == found {
            format!("position {witnessed} is there with other events than those acknowledged")
        } else {
            format!("position {witnessed} was acknowledged, {found} is the newest that was found")
        };
        let finding = Finding::new(Code::StateWentBack, Cost::Data, "head", detail);
        look.tell(finding.at(found.next(), witnessed));
    }
}
