//! Files that were damaged on purpose, each compared with what was in them before. What a check says of each
//! must be enough: where it says nothing, everything that is read is what was written.

use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    sync::Mutex,
    sync::atomic::{AtomicUsize, Ordering},
};

use worker_runtime_core::Code;

use super::{
    CheckDepth, Structure, Told, check, check_structure,
    fill::{Export, Filled, Left, export, filled},
};

const PAGE_BYTES: usize = 4096;
/// How many bits are flipped in each page, each in a file of its own.
const FLIPS_PER_PAGE: usize = 1;

/// What became of a damaged store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// A reader is told, and so is who checks.
    OnRead,
    /// Only who checks is told.
    ByCheck,
    /// Nobody is told, and everything is as it was.
    Harmless,
    /// Nobody is told, and something is not as it was.
    Silent,
    /// A reader is told, and a check finds nothing.
    Missed,
}

#[derive(Debug)]
struct Damage {
    kind: &'static str,
    place: usize,
    bytes: Vec<u8>,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:#x}", self.kind, self.place)
    }
}

/// A whole store, and what a reader gets of it.
struct Truth {
    filled: Filled,
    bytes: Vec<u8>,
    head: Vec<u8>,
    export: Export,
}

impl Truth {
    fn of(left: Left) -> Self {
        let filled = filled(left);
        let read = |name| std::fs::read(filled.path().join(name)).unwrap();
        let (bytes, head) = (read("runtime.redb"), read("head"));
        let export = export(filled.path(), &filled.ids).unwrap();
        assert!(!export.tells);
        Self {
            filled,
            bytes,
            head,
            export,
        }
    }

    fn edited(&self, kind: &'static str, place: usize, edit: impl FnOnce(&mut Vec<u8>)) -> Damage {
        let mut bytes = self.bytes.clone();
        edit(&mut bytes);
        Damage { kind, place, bytes }
    }

    /// Pages that hold something.
    fn pages(&self) -> Vec<usize> {
        let starts = (0..self.bytes.len()).step_by(PAGE_BYTES);
        let is_used = |at: &usize| {
            let page = &self.bytes[*at..self.bytes.len().min(at + PAGE_BYTES)];
            page.iter().any(|byte| *byte != 0)
        };
        starts.filter(is_used).collect()
    }

    fn damages(&self, seed: u64) -> Vec<Damage> {
        let mut random = Random(seed);
        let pages = self.pages();
        let mut damages = Vec::new();
        for (index, page) in pages.iter().copied().enumerate() {
            for _ in 0..FLIPS_PER_PAGE {
                let (at, bit) = (page + random.below(PAGE_BYTES), random.below(8));
                damages.push(self.edited("a flipped bit", at, |bytes| bytes[at] ^= 1 << bit));
            }
            let end = page + PAGE_BYTES;
            match index % 3 {
                0 => damages.push(self.edited("a zeroed page", page, |bytes| {
                    bytes[page..end].fill(0);
                })),
                1 => {
                    let other = pages[random.below(pages.len())];
                    damages.push(self.edited("swapped pages", page, |bytes| {
                        let first = bytes[page..end].to_vec();
                        bytes.copy_within(other..other + PAGE_BYTES, page);
                        bytes[other..other + PAGE_BYTES].copy_from_slice(&first);
                    }));
                }
                _ => {}
            }
            if let Some(old) = self.filled.older.get(page..end)
                && old != &self.bytes[page..end]
            {
                damages.push(self.edited("an old page", page, |bytes| {
                    bytes[page..end].copy_from_slice(old);
                }));
            }
            if index % 3 == 2 {
                damages.push(self.edited("a cut", page, |bytes| bytes.truncate(page)));
            }
        }
        for at in (0..320).step_by(8) {
            damages.push(self.edited("a broken header", at, |bytes| bytes[at] ^= 0xff));
        }
        damages.push(self.edited("an older file", 0, |bytes| {
            bytes.clone_from(&self.filled.older);
        }));
        damages
    }

    /// What becomes of it; also that nothing changed, and that the engine's panics were held.
    fn judge(&self, damage: &Damage) -> (Outcome, String) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let file = path.join("runtime.redb");
        std::fs::write(&file, &damage.bytes).unwrap();
        std::fs::write(path.join("head"), &self.head).unwrap();
        let modified = |file: &Path| std::fs::metadata(file).unwrap().modified().unwrap();
        let before = modified(&file);
        let mut told = Told::default();
        check(path, CheckDepth::Full, &mut told).unwrap();
        let structure = check_structure(path).unwrap();
        assert_eq!(modified(&file), before, "{damage}");
        assert!(std::fs::read(&file).unwrap() == damage.bytes, "{damage}");
        // What is wrong is in the file, and nothing else kept anybody from looking.
        assert!(
            !told.codes().contains(&Code::CheckUnfinished),
            "{damage}: {told:?}"
        );
        assert!(
            !matches!(structure, Structure::Unread(_)),
            "{damage}: {structure:?}"
        );
        let read = export(path, &self.filled.ids);
        let is_found = !told.0.is_empty() || structure != Structure::Whole;
        let is_told = read.as_ref().map_or(true, |read| read.tells);
        let is_same = read.as_ref().is_ok_and(|read| *read == self.export);
        let outcome = match (is_found, is_told, is_same) {
            (true, true, _) => Outcome::OnRead,
            (true, false, _) => Outcome::ByCheck,
            (false, true, _) => Outcome::Missed,
            (false, false, true) => Outcome::Harmless,
            (false, false, false) => Outcome::Silent,
        };
        (
            outcome,
            format!("{structure:?} {:?} {:?}", told.0, read.err()),
        )
    }
}

/// Choices that follow from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % end
    }
}

#[test]
fn no_damage_of_the_file_is_silent() {
    let seed: u64 = std::env::var("CHECK_SEED").map_or(1, |seed| seed.parse().unwrap());
    let mut table: BTreeMap<(Left, &str), BTreeMap<Outcome, usize>> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut count = 0;
    for left in [Left::Closed, Left::Killed] {
        let truth = Truth::of(left);
        let damages = truth.damages(seed);
        count += damages.len();
        let (next, judged) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while let Some(damage) = damages.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let outcome = truth.judge(damage);
                        judged.lock().unwrap().push((damage, outcome));
                    }
                });
            }
        });
        for (damage, (outcome, told)) in judged.into_inner().unwrap() {
            let of_kind = table.entry((left, damage.kind)).or_default();
            *of_kind.entry(outcome).or_default() += 1;
            if matches!(outcome, Outcome::Silent | Outcome::Missed) {
                wrong.push(format!("{left:?}, {damage}: {outcome:?}: {told}"));
            }
        }
    }
    for ((left, kind), outcomes) in &table {
        println!("{left:?}, {kind}: {outcomes:?}");
    }
    println!("seed {seed}: {count} damaged stores");
    assert!(count >= 300, "{count}");
    assert!(wrong.is_empty(), "seed {seed}: {wrong:#?}");
}
