//! What a power cut may leave: walked forward over the calls, so that an image costs what is
//! pending and not what came before.

use std::{fmt, sync::Arc};

use fastrand::Rng;

use super::{
    image::Image,
    pages::Pages,
    tape::{Call, SyncResult, Tape},
};

const SECTOR_BYTES: usize = 512;

/// What of the calls that no sync has covered is on the disk. Calls are numbered among the
/// pending ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Variant {
    /// None of them.
    None,
    /// All of them.
    All,
    /// All but one.
    Drop(usize),
    /// Only one.
    Only(usize),
    /// Each or not.
    Subset(u64),
    /// Some, in another order.
    Reordered(u64),
    /// A write that was cut at a sector; those before it are there, and those after it if `rest`.
    Torn {
        /// Which.
        call: usize,
        /// Where it was cut.
        at_bytes: usize,
        /// Which part is there.
        keep: Keep,
        /// Whether those after it are there.
        rest: bool,
    },
}

impl Variant {
    /// The figure in which images of its kind are counted.
    pub const fn figure(self) -> &'static str {
        match self {
            Self::None => "images with none",
            Self::All => "images with all",
            Self::Drop(_) => "images with one left out",
            Self::Only(_) => "images with one alone",
            Self::Subset(_) => "images with a subset",
            Self::Reordered(_) => "images in another order",
            Self::Torn { .. } => "images with a torn write",
        }
    }
}

/// The part of a torn write that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// What is before the cut.
    Head,
    /// What is after the cut.
    Tail,
}

/// What a power cut leaves of `head`, which is never synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadChoice {
    /// As it was then.
    AsOfThen,
    /// As it was one change before.
    OneBefore,
    /// Nothing.
    Missing,
}

impl HeadChoice {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::AsOfThen, Self::OneBefore, Self::Missing];
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

/// A walk over the crash points of a tape.
#[derive(Debug)]
pub struct Explorer<'a> {
    tape: &'a Tape,
    index: usize,
    files: Vec<OnDisk>,
    /// The file that is certain to be in the place of `runtime.redb`, whatever was renamed since.
    named: usize,
    head_before: Option<Arc<[u8]>>,
}

#[derive(Debug, Clone)]
struct OnDisk {
    pages: Pages,
    /// Calls of the tape that no sync has covered.
    pending: Vec<usize>,
}

impl<'a> Explorer<'a> {
    pub(super) fn new(tape: &'a Tape) -> Self {
        Self {
            tape,
            index: 0,
            files: on_disk(tape),
            named: tape.standing(0).installed,
            head_before: tape.standing(0).head.clone(),
        }
    }

    /// Goes to the point after `index` calls. Going forward costs the calls between; going back
    /// starts over.
    pub fn goto(&mut self, index: usize) {
        if index < self.index {
            *self = Self::new(self.tape);
        }
        while self.index < index {
            let Some(recorded) = self.tape.calls.get(self.index) else {
                return;
            };
            if let Some(file) = self.files.get_mut(recorded.file) {
                file.step(self.tape, self.index, &recorded.call);
            }
            if recorded.call == Call::SyncDirectory {
                self.named = recorded.before.installed;
            }
            let before = &recorded.before.head;
            self.index += 1;
            if *before != self.tape.standing(self.index).head {
                self.head_before.clone_from(before);
            }
        }
    }

    /// A power cut here.
    pub fn crash(&self) -> Crash<'a> {
        self.crash_with(self.tape.standing(self.index).installed)
    }

    /// The same power cut when it takes back a rename, where one is not certain to be on the disk.
    pub fn crash_without_rename(&self) -> Option<Crash<'a>> {
        let installed = self.tape.standing(self.index).installed;
        (self.named != installed).then(|| self.crash_with(self.named))
    }

    fn crash_with(&self, file: usize) -> Crash<'a> {
        let standing = self.tape.standing(self.index);
        let file = self.files.get(file);
        Crash {
            tape: self.tape,
            index: self.index,
            base: file.map(|file| file.pages.clone()).unwrap_or_default(),
            pending: file.map(|file| file.pending.clone()).unwrap_or_default(),
            head: standing.head.clone(),
            head_before: self.head_before.clone(),
        }
    }
}

fn on_disk(tape: &Tape) -> Vec<OnDisk> {
    let bases = tape.bases.iter().cloned();
    bases
        .map(|pages| OnDisk {
            pages,
            pending: Vec::new(),
        })
        .collect()
}

impl OnDisk {
    fn step(&mut self, tape: &Tape, number: usize, call: &Call) {
        match call {
            Call::Write { .. } | Call::SetLength { .. } => self.pending.push(number),
            Call::Sync(SyncResult::Done) => {
                for number in self.pending.drain(..) {
                    if let Some(recorded) = tape.calls.get(number) {
                        apply(&mut self.pages, &recorded.call);
                    }
                }
            }
            Call::Sync(SyncResult::Lost) => self.pending.retain(|number| {
                let call = tape.calls.get(*number).map(|recorded| &recorded.call);
                matches!(call, Some(Call::SetLength { .. }))
            }),
            Call::Sync(SyncResult::Refused) | Call::SyncDirectory | Call::Refused => {}
        }
    }
}

fn apply(pages: &mut Pages, call: &Call) {
    match call {
        Call::Write { offset, data } => pages.write(*offset, data),
        Call::SetLength { length_bytes } => pages.set_length(*length_bytes),
        Call::Sync(_) | Call::SyncDirectory | Call::Refused => {}
    }
}

/// A power cut at one point.
#[derive(Debug)]
pub struct Crash<'a> {
    tape: &'a Tape,
    index: usize,
    base: Pages,
    pending: Vec<usize>,
    head: Option<Arc<[u8]>>,
    head_before: Option<Arc<[u8]>>,
}

impl Crash<'_> {
    /// After how many calls.
    pub fn index(&self) -> usize {
        self.index
    }

    /// How many calls no sync has covered.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// At most so many variants: none, all, and then, as they come, each left out, each alone, and a
    /// sample of the rest. However few are wanted, or looked at from the first on, those of the sample
    /// have their share.
    pub fn variants(&self, rng: &mut Rng, how_many: usize) -> Vec<Variant> {
        let count = self.pending.len();
        let mut variants = vec![Variant::None];
        if count == 0 {
            return variants;
        }
        variants.push(Variant::All);
        let more = how_many.saturating_sub(variants.len());
        let mut others = Vec::new();
        if count > 1 {
            others.extend((0..count).flat_map(|call| [Variant::Drop(call), Variant::Only(call)]));
            rng.shuffle(&mut others);
            others.truncate(more.div_ceil(2));
        }
        while others.len() < more {
            others.push(self.sample(rng));
        }
        rng.shuffle(&mut others);
        variants.append(&mut others);
        variants.truncate(how_many);
        variants
    }

    fn sample(&self, rng: &mut Rng) -> Variant {
        match rng.u8(0..4) {
            // Of a single call these are none and all of it.
            0 if self.pending.len() > 1 => Variant::Subset(rng.u64(..)),
            1 if self.pending.len() > 1 => Variant::Reordered(rng.u64(..)),
            _ => {
                let call = rng.usize(..self.pending.len().max(1));
                let sectors = match self.call(call) {
                    Some(Call::Write { data, .. }) => data.len() / SECTOR_BYTES,
                    _ => 0,
                };
                Variant::Torn {
                    call,
                    at_bytes: rng.usize(..=sectors) * SECTOR_BYTES,
                    keep: if rng.bool() { Keep::Head } else { Keep::Tail },
                    rest: rng.bool(),
                }
            }
        }
    }

    fn call(&self, pending: usize) -> Option<&Call> {
        let number = self.pending.get(pending)?;
        self.tape.calls.get(*number).map(|recorded| &recorded.call)
    }

    /// What is in the directory after it.
    pub fn image(&self, variant: Variant, head: HeadChoice) -> Image {
        let head = match head {
            HeadChoice::AsOfThen => self.head.clone(),
            HeadChoice::OneBefore => self.head_before.clone(),
            HeadChoice::Missing => None,
        };
        Image {
            pages: self.pages(variant),
            head,
        }
    }

    fn pages(&self, variant: Variant) -> Pages {
        let mut pages = self.base.clone();
        let all = 0..self.pending.len();
        match variant {
            Variant::None => {}
            Variant::All => self.apply_all(&mut pages, all),
            Variant::Drop(dropped) => {
                self.apply_all(&mut pages, all.filter(|call| *call != dropped));
            }
            Variant::Only(kept) => self.apply_all(&mut pages, [kept]),
            Variant::Subset(seed) => {
                let mut rng = Rng::with_seed(seed);
                self.apply_all(&mut pages, all.filter(|_| rng.bool()));
            }
            Variant::Reordered(seed) => {
                let mut rng = Rng::with_seed(seed);
                let mut order: Vec<_> = all.collect();
                rng.shuffle(&mut order);
                order.truncate(rng.usize(1..=self.pending.len().max(1)));
                self.apply_all(&mut pages, order);
            }
            Variant::Torn {
                call,
                at_bytes,
                keep,
                rest,
            } => {
                self.apply_all(&mut pages, 0..call);
                self.apply_torn(&mut pages, call, at_bytes, keep);
                if rest {
                    self.apply_all(&mut pages, call + 1..self.pending.len());
                }
            }
        }
        pages
    }

    fn apply_all(&self, pages: &mut Pages, calls: impl IntoIterator<Item = usize>) {
        for call in calls {
            if let Some(call) = self.call(call) {
                apply(pages, call);
            }
        }
    }

    fn apply_torn(&self, pages: &mut Pages, call: usize, at_bytes: usize, keep: Keep) {
        let Some(Call::Write { offset, data }) = self.call(call) else {
            return;
        };
        let (before, after) = data.split_at(at_bytes.min(data.len()));
        match keep {
            Keep::Head if before.is_empty() => {}
            Keep::Head => pages.write(*offset, before),
            Keep::Tail if after.is_empty() => {}
            Keep::Tail => pages.write(*offset + before.len() as u64, after),
        }
    }
}
