//! Which exit code the page of an error names: the program's own pages, as a user is shown them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{place::Place, ran::Ran};
use crate::report::{HarnessError, Violation};

/// The exit codes that pages name, looked up once each.
#[derive(Debug, Default)]
pub(super) struct Documented(BTreeMap<String, Option<i32>>);

impl Documented {
    /// A call that failed says so with a code, and ends as that code's page says.
    pub(super) fn failed_well(
        &mut self,
        place: &Place,
        ran: &Ran,
    ) -> Result<Result<(), Violation>, HarnessError> {
        if let (None, Some(summary)) = (ran.error(), ran.summary()) {
            let told = summary.get("exit_code").and_then(Value::as_i64);
            let is_so = told == ran.exit.map(i64::from);
            let why = || Violation::new("exit codes are as documented", ran.to_string());
            return Ok(if is_so { Ok(()) } else { Err(why()) });
        }
        let Some((code, _)) = ran.error() else {
            let why = format!("no code of an error: {ran}");
            return Ok(Err(Violation::new("every error has a code", why)));
        };
        let known = match self.0.get(&code) {
            Some(known) => *known,
            None => {
                let found = look_up(place, &code)?;
                self.0.insert(code.clone(), found);
                found
            }
        };
        Ok(if known == ran.exit {
            Ok(())
        } else {
            let why = format!("{code} is documented to end with {known:?}: {ran}");
            Err(Violation::new("exit codes are as documented", why))
        })
    }
}

fn look_up(place: &Place, code: &str) -> Result<Option<i32>, HarnessError> {
    let page = place.call(&["errors", "explain", code])?;
    let line = page.stdout.lines().find(|line| line.contains("Exit code:"));
    let number = line.and_then(|line| {
        let mut digits = line.split(|c: char| !c.is_ascii_digit());
        digits.find(|part| !part.is_empty())?.parse().ok()
    });
    Ok(number)
}
