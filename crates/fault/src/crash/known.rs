//! Which images were audited, and against how much.
//!
//! The same bytes may be what is left at many calls. What is promised grows from call to call, so an
//! image that was right at one must be looked at again at a later one.

use std::collections::{HashMap, hash_map::Entry};

use crate::audit::Promises;

/// Images by their fingerprint, each with the promises that it was last audited against.
#[derive(Debug, Default)]
pub(super) struct Known(HashMap<u128, Promises>);

/// What an audit of an image would bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Novelty {
    /// Nobody has looked at it.
    Image,
    /// It was looked at when less was promised.
    Promises,
    /// Nothing.
    None,
}

impl Novelty {
    /// The figure that it is counted in: only distinct images count as images.
    pub(super) const fn figure(self, distinct: &'static str) -> &'static str {
        match self {
            Self::Image => distinct,
            Self::Promises | Self::None => "images audited again when more was promised",
        }
    }
}

impl Known {
    /// Notes an image that is about to be audited.
    pub(super) fn novelty(&mut self, fingerprint: u128, promises: Promises) -> Novelty {
        match self.0.entry(fingerprint) {
            Entry::Vacant(entry) => {
                entry.insert(promises);
                Novelty::Image
            }
            // Threads take calls out of order: what is promised least is no news.
            Entry::Occupied(mut entry) => {
                let most = entry.get().and(promises);
                match most == *entry.get() {
                    true => Novelty::None,
                    false => {
                        entry.insert(most);
                        Novelty::Promises
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
