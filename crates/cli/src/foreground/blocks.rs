//! Which text of a block is still to be printed.
//!
//! A block comes twice: as deltas while it grows, and whole when it has ended. What is on the screen
//! can't be taken back, so of each only what goes beyond is printed; a block whose text became
//! another one is printed anew when it has ended.

use std::collections::{HashMap, HashSet};

use worker_runtime_core::{BlockId, Delta, DeltaOp};

/// The blocks of one run that were begun.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// What was printed of each that has not ended.
    printed: HashMap<BlockId, String>,
    /// Those that have: previews and events come on two ways, so a preview may come late.
    finished: HashSet<BlockId>,
}

impl Blocks {
    /// What a preview adds.
    pub(super) fn preview(&mut self, delta: &Delta) -> String {
        if self.finished.contains(&delta.block) {
            return String::new();
        }
        match &delta.op {
            DeltaOp::Replace { text } => self.picture(delta.block, text),
            DeltaOp::Append { offset_bytes, text } => {
                let printed = self.printed.entry(delta.block).or_default();
                let at = usize::try_from(*offset_bytes).unwrap_or(usize::MAX);
                // From a later offset: something is not here yet, and the block's end brings it.
                let seen = printed.len().checked_sub(at);
                let rest = seen.and_then(|seen| text.get(seen..)).unwrap_or_default();
                printed.push_str(rest);
                rest.to_owned()
            }
        }
    }

    /// What the whole text that a block has so far adds.
    pub(super) fn picture(&mut self, block: BlockId, text: &str) -> String {
        if self.finished.contains(&block) {
            return String::new();
        }
        let printed = self.printed.entry(block).or_default();
        let rest = text.strip_prefix(printed.as_str()).unwrap_or_default();
        printed.push_str(rest);
        rest.to_owned()
    }

    /// What the whole block adds.
    pub(super) fn finished(&mut self, block: BlockId, text: &str) -> String {
        self.finished.insert(block);
        let printed = self.printed.remove(&block).unwrap_or_default();
        match text.strip_prefix(printed.as_str()) {
            Some(rest) => rest.to_owned(),
            None => format!("\n{text}"),
        }
    }
}

#[cfg(test)]
mod tests;
