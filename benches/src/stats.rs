//! Figures: medians over rounds, never a single run; ratios within one round only, so that a noisy
//! machine spoils both sides alike.

use std::time::Duration;

/// What was measured in one round.
#[derive(Debug, Clone, Default)]
pub struct Phase {
    /// How many operations.
    pub ops: u64,
    /// From the first one's start to the last one's end.
    pub elapsed: Duration,
    /// Of each operation.
    pub latencies: Vec<Duration>,
}

impl Phase {
    /// Operations per second.
    pub fn rate(&self) -> f64 {
        self.ops as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// A quantile of its latencies; `None` when none were taken.
    pub fn latency(&self, quantile: f64) -> Option<Duration> {
        quantile_of(self.latencies.iter(), quantile)
    }
}

/// One side of a comparison, over all rounds.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// What it is called in the table.
    pub name: String,
    /// Its rounds, in order.
    pub phases: Vec<Phase>,
}

impl Series {
    /// An empty series.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            phases: Vec::new(),
        }
    }

    /// All operations.
    pub fn ops(&self) -> u64 {
        self.phases.iter().map(|phase| phase.ops).sum()
    }

    /// The median round's operations per second.
    pub fn rate(&self) -> f64 {
        Spread::of(self.phases.iter().map(Phase::rate)).median
    }

    /// A quantile of the latencies of all rounds; `None` when none were taken.
    pub fn latency(&self, quantile: f64) -> Option<Duration> {
        let phases = self.phases.iter();
        quantile_of(phases.flat_map(|phase| &phase.latencies), quantile)
    }
}

fn quantile_of<'a>(
    latencies: impl Iterator<Item = &'a Duration>,
    quantile: f64,
) -> Option<Duration> {
    let mut all: Vec<Duration> = latencies.copied().collect();
    let index = ((all.len().saturating_sub(1)) as f64 * quantile).round() as usize;
    if index >= all.len() {
        return None;
    }
    let (_, found, _) = all.select_nth_unstable(index);
    Some(*found)
}

/// A median and how far apart its rounds were.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// The middle round.
    pub median: f64,
    /// The lowest one.
    pub min: f64,
    /// The highest one.
    pub max: f64,
}

impl Spread {
    /// Of these values; zero when there are none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        let at = |index: usize| values.get(index).copied().unwrap_or_default();
        let median = match values.len() % 2 {
            0 => (at(middle.saturating_sub(1)) + at(middle)) / 2.0,
            _ => at(middle),
        };
        Self {
            median,
            min: at(0),
            max: at(values.len().saturating_sub(1)),
        }
    }

    /// `a` over `b`, round by round.
    pub fn of_ratios(a: &[f64], b: &[f64]) -> Self {
        Self::of(a.iter().zip(b).map(|(a, b)| a / b.max(1e-12)))
    }

    /// How many times faster `a` was than `b`, round by round.
    pub fn faster(a: &Series, b: &Series) -> Self {
        let rates = |series: &Series| series.phases.iter().map(Phase::rate).collect::<Vec<_>>();
        Self::of_ratios(&rates(a), &rates(b))
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = if self.median.abs() < 10.0 { 2 } else { 0 };
        write!(
            f,
            "{:.digits$} ({:.digits$} to {:.digits$})",
            self.median, self.min, self.max
        )
    }
}

#[cfg(test)]
mod tests;
