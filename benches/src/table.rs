//! Tables on stdout.

use std::time::Duration;

use crate::stats::{Series, Spread};

/// A table: aligned columns, the first one to the left.
#[derive(Debug)]
pub struct Table {
    title: String,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table with these columns.
    pub fn new(title: impl Into<String>, columns: &[&str]) -> Self {
        Self {
            title: title.into(),
            rows: vec![columns.iter().map(|column| (*column).to_owned()).collect()],
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// How long what follows takes, beside what it follows: a table of both.
    pub fn of_two(title: &str, first: &Series, second: &Series, times: &str) -> Self {
        let mut table = Self::new(title, &["", "n", "median", "p99", times]);
        for series in [first, second] {
            table.row([
                series.name.clone(),
                count(series.ops() as f64),
                duration(series.latency(0.5)),
                duration(series.latency(0.99)),
                Spread::faster(first, series).to_string(),
            ]);
        }
        table
    }

    /// Prints it.
    #[allow(clippy::print_stdout, reason = "a bench is a program")]
    pub fn print(&self) {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        println!("\n{}", self.title);
        for row in &self.rows {
            let cells = row.iter().zip(&widths).enumerate();
            let line: Vec<String> = cells
                .map(|(column, (cell, width))| match column {
                    0 => format!("{cell:<width$}"),
                    _ => format!("{cell:>width$}"),
                })
                .collect();
            println!("  {}", line.join("  ").trim_end());
        }
    }
}

/// A line below a table.
#[allow(clippy::print_stdout, reason = "a bench is a program")]
pub fn note(line: &str) {
    println!("  {line}");
}

/// A duration in the unit that suits it, or nothing.
pub fn duration(duration: Option<Duration>) -> String {
    match duration {
        None => String::new(),
        Some(duration) if duration < Duration::from_millis(10) => {
            format!("{:.1} µs", duration.as_secs_f64() * 1e6)
        }
        Some(duration) => format!("{:.2} ms", duration.as_secs_f64() * 1e3),
    }
}

/// A count or a rate.
pub fn count(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
