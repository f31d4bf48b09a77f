//! Text of blocks that never ended: what was checkpointed by then is kept, and what is kept was
//! said (I1, and what `append` promises).

use std::collections::BTreeMap;

use worker_runtime_core::{BlockId, Event, EventType, RunId};

use super::{apply::Data, world::World};
use crate::{report::Violation, workload::Journal, workload::journal::Block};

const TEXT: &str = "I1 checkpointed text is kept, and nothing else";

/// Checks the blocks that an opening after a crash made events of: those of runs that had not
/// ended in `before`. `after` are the events of that opening.
pub(super) fn check_texts(
    journal: &Journal,
    before: &World,
    after: &[&Event],
    index: u64,
    found: &mut Vec<Violation>,
) {
    let mut told: BTreeMap<(RunId, BlockId), String> = BTreeMap::new();
    for event in after {
        if event.kind != EventType::BLOCK_FINISHED {
            continue;
        }
        let data = Data::of(event);
        let (Some(run_id), Some(block)) = (event.run_id, data.read::<BlockId>("block")) else {
            continue;
        };
        let marks: Vec<String> = data.read("marks").unwrap_or_default();
        if marks.is_empty() {
            let detail = format!("block {block} of {run_id} is not marked as unfinished");
            found.push(Violation::new(TEXT, detail));
        }
        told.insert((run_id, block), data.text("text"));
    }
    let runs = before.workers.values().filter_map(|life| life.run.as_ref());
    for run in runs {
        let first = BlockId {
            generation: worker_runtime_core::Generation(0),
            index: 0,
        };
        let blocks = journal.blocks.range((run.run_id, first)..);
        let own = blocks.take_while(|((run_id, _), _)| *run_id == run.run_id);
        for (place, block) in own.filter(|((_, block), _)| !run.blocks.contains(block)) {
            if let Err(detail) = check_text(block, told.remove(place).as_deref(), index) {
                let (run_id, block) = place;
                let detail = format!("block {block} of {run_id}: {detail}");
                found.push(Violation::new(TEXT, detail));
            }
        }
    }
    for (run_id, block) in told.keys() {
        let detail = format!("block {block} of {run_id} was never opened, or had ended");
        found.push(Violation::new(TEXT, detail));
    }
}

fn check_text(block: &Block, told: Option<&str>, index: u64) -> Result<(), String> {
    let kept = block.kept.iter().rev().find(|kept| kept.since <= index);
    let (first, bytes_min) = kept.map_or((0, 0), |kept| (kept.text, kept.bytes_min));
    let told = told.unwrap_or_default();
    if told.is_empty() && bytes_min == 0 {
        return Ok(());
    }
    let mut is_same = true;
    for (number, text) in block.texts.iter().enumerate().skip(first) {
        if text.asked_at > index {
            break;
        }
        is_same &= number == first || !text.replaced;
        let is_enough = !is_same || told.len() >= bytes_min;
        if text.text.starts_with(told) && is_enough {
            return Ok(());
        }
    }
    let said = block.texts.last().map_or("", |last| &last.text);
    Err(format!(
        "{bytes_min} bytes at least were to be kept, and it is {told:?}; the last of {} texts is {said:?}",
        block.texts.len()
    ))
}
