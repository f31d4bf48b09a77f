//! Every path of a small tree, listed, and sets of them.
//!
//! Targets lie at most three deep and leave out one name, so that each has a child and a grandchild that
//! no rule names: what holds of this tree holds of the endless one.

/// Names that rules use. `ab` begins like `a`: who compares texts instead of names mixes them up.
const NAMED: [&str; 2] = ["a", "ab"];
const UNNAMED: &str = "x";
/// How deep targets are at most, and how deep the tree is.
const TARGET_DEPTH_MAX: usize = 3;
const DEPTH: usize = TARGET_DEPTH_MAX + 2;

/// 1 + 3 + 9 + 27 + 81 + 243 paths.
const WORDS: usize = 6;

/// Any odd number with many bits.
const SOME_SEED: u64 = 0x9E37_79B9_7F4A_7C15;

/// A set of paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Paths([u64; WORDS]);

/// A path, by its place in the list of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Path(usize);

/// The whole tree.
pub(super) struct Tree {
    texts: Vec<String>,
    targets: Vec<Path>,
    /// By path: itself and its direct children, and it and all below.
    near: Vec<Paths>,
    all: Vec<Paths>,
}

impl Paths {
    fn insert(&mut self, Path(path): Path) {
        if let Some(word) = self.0.get_mut(path / 64) {
            *word |= 1 << (path % 64);
        }
    }

    fn by_word(self, other: Self, of: fn(u64, u64) -> u64) -> Self {
        let mut words = self.0;
        for (word, other) in words.iter_mut().zip(other.0) {
            *word = of(*word, other);
        }
        Self(words)
    }

    pub(super) fn or(self, other: Self) -> Self {
        self.by_word(other, |a, b| a | b)
    }

    pub(super) fn and(self, other: Self) -> Self {
        self.by_word(other, |a, b| a & b)
    }

    pub(super) fn minus(self, other: Self) -> Self {
        self.by_word(other, |a, b| a & !b)
    }

    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }

    pub(super) fn is_within(self, other: Self) -> bool {
        self.minus(other).is_empty()
    }

    pub(super) fn has(self, Path(path): Path) -> bool {
        let word = self.0.get(path / 64).copied().unwrap_or_default();
        word >> (path % 64) & 1 == 1
    }
}

impl Tree {
    pub(super) fn new() -> Self {
        let mut paths: Vec<Vec<&str>> = vec![Vec::new()];
        let mut deepest = paths.clone();
        for _ in 0..DEPTH {
            let below = |path: &Vec<&'static str>| {
                let names = NAMED.into_iter().chain([UNNAMED]);
                let below = names.map(|name| [path.as_slice(), &[name]].concat());
                below.collect::<Vec<_>>()
            };
            deepest = deepest.iter().flat_map(below).collect();
            paths.extend(deepest.iter().cloned());
        }
        let set = |is_in: &dyn Fn(&Vec<&str>) -> bool| {
            let mut set = Paths::default();
            let within = paths.iter().enumerate().filter(|(_, path)| is_in(path));
            within.for_each(|(index, _)| set.insert(Path(index)));
            set
        };
        let near = |target: &Vec<&str>| {
            set(&|path| path.starts_with(target) && path.len() <= target.len().saturating_add(1))
        };
        let all = |target: &Vec<&str>| set(&|path| path.starts_with(target));
        let is_target =
            |path: &Vec<&str>| path.len() <= TARGET_DEPTH_MAX && !path.contains(&UNNAMED);
        let indexed = paths.iter().enumerate();
        let targets = indexed.filter(|(_, path)| is_target(path));
        let text = |path: &Vec<&str>| path.iter().map(|name| format!("/{name}")).collect();
        Self {
            targets: targets.map(|(index, _)| Path(index)).collect(),
            near: paths.iter().map(near).collect(),
            all: paths.iter().map(all).collect(),
            texts: paths.iter().map(text).collect(),
        }
    }

    /// Every path that a rule may have for its target.
    pub(super) fn targets(&self) -> &[Path] {
        &self.targets
    }

    /// The path above all others.
    pub(super) fn top(&self) -> Path {
        Path(0)
    }

    /// Every target, a child of it that no rule names, and a grandchild.
    pub(super) fn near_targets(&self) -> impl Iterator<Item = Path> {
        let is_near = |path: &Path| {
            let text = self.text(*path);
            let named = text.trim_end_matches(&["/", UNNAMED].concat());
            text.len().saturating_sub(named.len()) <= 2 * (UNNAMED.len() + 1)
                && !named.split('/').any(|name| name == UNNAMED)
                && named.matches('/').count() <= TARGET_DEPTH_MAX
        };
        (0..self.texts.len()).map(Path).filter(is_near)
    }

    /// A few paths of a set, chosen by what is in it.
    pub(super) fn some(&self, of: Paths) -> impl Iterator<Item = Path> {
        let mixed = of.0.iter().fold(SOME_SEED, |mixed, word| {
            (mixed ^ word).wrapping_mul(SOME_SEED).rotate_left(23)
        });
        let count = self.texts.len();
        let first = usize::try_from(mixed % count.max(1) as u64).unwrap_or_default();
        let paths = (first..count).chain(0..first).map(Path);
        paths.filter(move |path| of.has(*path)).take(2)
    }

    /// Some of a set, for people.
    pub(super) fn in_words(&self, of: Paths) -> String {
        let paths = (0..self.texts.len()).map(Path);
        let within: Vec<&str> = paths
            .filter(|path| of.has(*path))
            .map(|path| self.text(path))
            .collect();
        match within.as_slice() {
            [] => "no path".to_owned(),
            [first, ..] => format!("{} paths, as {first:?}", within.len()),
        }
    }

    /// A path as it is compared: each name with a `/` before it.
    pub(super) fn text(&self, Path(path): Path) -> &str {
        self.texts.get(path).map_or("", String::as_str)
    }

    /// A path and its direct children.
    pub(super) fn near(&self, Path(path): Path) -> Paths {
        self.near.get(path).copied().unwrap_or_default()
    }

    /// A path and all below.
    pub(super) fn all(&self, Path(path): Path) -> Paths {
        self.all.get(path).copied().unwrap_or_default()
    }
}
