//! The table `stream`: what was trimmed from the front of each stream, where its newest pack begins, which
//! gaps are on record.

use std::{collections::BTreeMap, ops::ControlFlow};

use worker_runtime_core::{Position, Stream, WorkerId, store::StoreError};

use super::{
    finding::Finding,
    look::{Counting, LAST_KEY, Look, Meta},
};
use crate::{
    codec::{self, Damage},
    cut::Cut,
    engine::{End, Rows},
    layout::stream::{Base, RecordedGap, TABLE},
    store::tails::load_base,
};

/// What is on record of one stream.
#[derive(Debug, Default)]
pub(super) struct OnRecord {
    pub(super) base: Base,
    pub(super) newest: Option<Position>,
    pub(super) gaps: Vec<(Position, RecordedGap)>,
}

/// What is on record of all.
#[derive(Debug, Default)]
pub(super) struct Streams {
    pub(super) runtime: OnRecord,
    pub(super) by_worker: BTreeMap<WorkerId, OnRecord>,
}

enum Named {
    Base,
    Gap(Position),
    Newest,
}

fn parse(key: &[u8]) -> Result<(Stream, Named), Damage> {
    let mut cut = Cut::new(key);
    let tag = cut.u8()?;
    let id: [u8; 16] = cut.array()?;
    let stream = match tag {
        0 => Stream::Runtime,
        1 => Stream::Worker(WorkerId::from_bytes(id)),
        _ => return Err("a key is of no stream".into()),
    };
    let named = match cut.u8()? {
        0 => Named::Base,
        1 => Named::Gap(Position(cut.key_u64()?)),
        2 => Named::Newest,
        _ => return Err("a key names nothing of a stream".into()),
    };
    cut.end().map(|()| (stream, named))
}

/// Looks at the whole table.
pub(super) fn read(
    rows: &mut impl Rows,
    meta: &Meta,
    look: &mut Look<'_>,
) -> Result<Streams, StoreError> {
    let (mut streams, mut counting) = (Streams::default(), Counting::new(TABLE));
    let mut damaged_bases: Vec<(Stream, Damage)> = Vec::new();
    rows.scan(TABLE, (&[], &LAST_KEY), End::First, &mut |key, value| {
        counting.add(value, look);
        let (stream, named) = match parse(key) {
            Ok(parsed) => parsed,
            Err(damage) => {
                counting.damaged();
                look.tell(Finding::record_lost(TABLE, damage.to_string()));
                return Ok(ControlFlow::Continue(()));
            }
        };
        let of = match stream {
            Stream::Runtime => &mut streams.runtime,
            Stream::Worker(worker_id) => streams.by_worker.entry(worker_id).or_default(),
        };
        let read = match named {
            Named::Base => codec::open_record(TABLE, key, value).map(|base| of.base = base),
            Named::Gap(from) => {
                codec::open_record(TABLE, key, value).map(|gap| of.gaps.push((from, gap)))
            }
            Named::Newest => {
                codec::open_record(TABLE, key, value).map(|newest| of.newest = Some(newest))
            }
        };
        if let Err(damage) = read {
            counting.damaged();
            match named {
                Named::Base => damaged_bases.push((stream, damage)),
                // The packs themselves say where they begin and what they follow on.
                Named::Gap(_) | Named::Newest => tell(stream, damage.to_string(), true, look),
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    for (stream, damage) in damaged_bases {
        let base = load_base(rows, stream);
        let detail = format!("the record of what was trimmed: {damage}");
        tell(stream, detail, base.is_ok(), look);
        let of = match stream {
            Stream::Runtime => &mut streams.runtime,
            Stream::Worker(worker_id) => streams.by_worker.entry(worker_id).or_default(),
        };
        match base {
            Ok(base) => of.base = base,
            Err(StoreError::Damaged { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    counting.end(&meta.state, Finding::record_lost, look);
    Ok(streams)
}

fn tell(stream: Stream, detail: String, follows: bool, look: &mut Look<'_>) {
    let mut finding = match follows {
        true => Finding::derived(TABLE, detail),
        false => Finding::record_lost(TABLE, detail),
    };
    if let Stream::Worker(worker_id) = stream {
        finding.worker_id = Some(worker_id);
    }
    look.tell(finding);
}
