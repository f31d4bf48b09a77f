//! `op log`.

use clap::Args;
use serde_json::json;
use worker_runtime_core::{
    Clock as _, Code, OperationId, SystemClock, Timestamp,
    operation::{OperationList, OperationOrder, OperationsRequest},
    view::{Holder, OperationView},
};

use super::{by_text, by_whole_text, change_text, target_of};
use crate::{
    args::{Format, Global},
    error::Failure,
    exit::Exit,
    output::{Printer, Table, one_line},
    suggest::Suggestion,
    target::{self, Target},
    timeout, worker_name,
};

/// How much of a reason a table has room for.
const REASON_CHARS_MAX: usize = 60;

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// Only what was done to this Worker: its id, the first digits of it, or its name
    #[arg(long, value_name = "WORKER")]
    worker: Option<String>,
    /// Only from then on: a moment such as 2026-01-31T08:00:00Z, or how long ago, such as 2h or 7d
    #[arg(long, value_name = "WHEN", value_parser = parse_since)]
    since: Option<Timestamp>,
    /// Oldest first
    #[arg(long)]
    oldest: bool,
    /// Go on behind this one
    #[arg(long, value_name = "NUMBER")]
    after: Option<u64>,
    /// How many to print at most
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    limit: usize,
}

/// A moment, or how long ago one was.
fn parse_since(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = text.parse() {
        return Ok(at);
    }
    let ago = timeout::parse_seconds(text).map_err(|_| {
        format!("{text:?} is no moment, such as 2026-01-31T08:00:00Z, and no length of time, such as 2h or 7d")
    })?;
    let now = SystemClock::default().now().unix_ms();
    let ago = ago.saturating_mul(1_000);
    Ok(Timestamp::from_unix_ms(now.saturating_sub(ago)))
}

pub(crate) fn run(args: &LogArgs, global: &Global, printer: &mut Printer) -> Result<Exit, Failure> {
    let target = target::open(global, printer)?;
    let worker = args.worker.as_deref();
    let worker = worker.map(|worker| worker_name::find_id(&target, worker));
    let list = target.operations(&OperationsRequest {
        worker_id: worker.transpose()?,
        since: args.since,
        order: match args.oldest {
            true => OperationOrder::Oldest,
            false => OperationOrder::Newest,
        },
        after: args.after.map(OperationId),
        count_max: args.limit,
    })?;
    match printer.format() {
        Format::Json => printer.json(&target.sourced(&list))?,
        Format::Jsonl => {
            let mut operations = list.operations.iter();
            operations.try_for_each(|operation| printer.json(operation))?;
            list.damaged.iter().try_for_each(|operation_id| {
                printer.json(&json!({ "type": "damaged", "operation_id": operation_id, "code": Code::RecordDamaged }))
            })?;
        }
        Format::Name => {
            let mut operations = list.operations.iter();
            operations.try_for_each(|operation| printer.line(operation.operation_id))?;
        }
        Format::Table | Format::Wide => table(&list.operations, &target, printer)?,
    }
    printer.flush()?;
    tell_rest(args, &list, printer);
    Ok(match list.damaged.is_empty() {
        true => Exit::Done,
        false => Exit::Damaged,
    })
}

fn table(
    operations: &[OperationView],
    target: &Target,
    printer: &mut Printer,
) -> Result<(), Failure> {
    let is_wide = printer.format() == Format::Wide;
    let everyone = worker_name::all(target)?;
    let ids = everyone.iter().map(|worker| worker.worker_id.into());
    let short = worker_name::short_holders(ids.chain(operations.iter().filter_map(target_of)));
    let text_of = |holder: Holder| match is_wide {
        true => worker_name::holder_id(holder),
        false => short(holder),
    };
    let mut header = vec!["NUMBER", "WHEN", "BY", "WHAT", "ON", "REASON"];
    if is_wide {
        header.extend(["POSITION", "CHANGE"]);
    }
    let mut table = Table::new(&header);
    for operation in operations {
        let reason = operation.reason.as_deref().unwrap_or_default();
        let mut cells = vec![
            operation.operation_id.to_string(),
            printer.time().text(operation.at),
            match is_wide {
                true => by_whole_text(&operation.by),
                false => by_text(&operation.by),
            },
            operation.kind.as_str().to_owned(),
            target_of(operation).map_or("the Runtime".to_owned(), text_of),
            one_line(reason, REASON_CHARS_MAX),
        ];
        if is_wide {
            cells.extend([operation.position.to_string(), change_text(operation)]);
        }
        table.row(cells);
    }
    printer.table(&table)
}

/// What there is beside what was printed.
fn tell_rest(args: &LogArgs, list: &OperationList, printer: &Printer) {
    for operation_id in &list.damaged {
        printer.warn_code(
            Code::RecordDamaged,
            format_args!(
                "the record of operation {operation_id} is damaged; it goes when newer ones take its place"
            ),
        );
    }
    match (list.operations.first(), list.next) {
        (None, _) if args.limit == 0 => {}
        (None, _) => printer.words("nobody changed anything, as far as was asked for"),
        (Some(_), Some(next)) => {
            printer.words(format_args!("--after {next} shows those behind"));
        }
        (Some(first), None) => {
            printer.hint(&Suggestion::op_show(first.operation_id));
        }
    }
}
