//! What a client asks of a host on a small disk, and what it keeps of the answers.

use serde_json::{Value, json};
use worker_runtime_core::{
    AsJson, InputId, Permission, Scope, ScopeRule, WorkerId,
    input::{InputReceipt, SubmitInput},
    worker::{BackendSelection, CreateWorker, Intent},
};

use crate::{
    process::{
        host::{Host, Kept},
        log::{Log, has_absolute_path},
        order::{Answer, MOUNT, Request},
        script::hold,
    },
    report::{Doing, Violation},
};

/// Notes that it began, and says some 200 KiB.
pub(super) const TALKS: &str = "read -r id; echo \"$id\" >> \"$SIDE/$id\"; n=0; while [ $n -lt 2000 ]; do \
    n=$((n+1)); echo \"$id $n ..............................................................................\"; \
    done";

/// An input that was acknowledged, and where.
pub(super) type Receipts = Vec<(String, (u64, u64))>;

/// Makes a Worker of a script, with a scope of its own.
pub(super) fn create(host: &mut Host, script: &str, part: &str) -> Kept<WorkerId> {
    let config = json!({ "argv": ["sh", "-c", script], "term_grace_ms": 100 });
    let rule = ScopeRule {
        mount: MOUNT.to_owned(),
        path: part.to_owned(),
        permission: Permission::Write,
        recursive: true,
    };
    let create = CreateWorker {
        scope: Scope {
            allow: vec![rule],
            deny: Vec::new(),
        },
        backend: Some(BackendSelection {
            name: "exec".to_owned(),
            config: AsJson(config),
        }),
        ..CreateWorker::new(Intent::Assistant { purpose: None })
    };
    let answer = hold!(host.ask(&Request::Create(Box::new(create)))?);
    let Answer::Done(receipt) = answer else {
        let why = format!("{answer:?}");
        return Ok(Err(Violation::new("I9 room is used", why)));
    };
    let worker_id = receipt.get("worker_id").cloned().unwrap_or_default();
    serde_json::from_value(worker_id)
        .doing("read a receipt")
        .map(Ok)
}

/// Sends an input; the code of its refusal, if it was refused.
pub(super) fn send(
    host: &mut Host,
    worker: WorkerId,
    id: &str,
    receipts: &mut Receipts,
) -> Kept<Option<String>> {
    let input_id = InputId::new(id).doing("name an input")?;
    let input = SubmitInput::text(id).with_id(input_id).queued();
    Ok(match hold!(host.ask(&Request::Send(worker, input))?) {
        Answer::Done(receipt) => {
            let receipt: InputReceipt = serde_json::from_value(receipt).doing("read a receipt")?;
            let place = (receipt.accepted.seq.0, receipt.accepted.position.0);
            let known = receipts.iter().find(|(known, _)| known == id);
            let fits = match known {
                Some((_, first)) => receipt.repeated && *first == place,
                None => !receipt.repeated,
            };
            if !fits {
                let why = format!("{id}: {receipt:?}, first {known:?}");
                return Ok(Err(Violation::new("I5 the first receipt again", why)));
            }
            if known.is_none() {
                receipts.push((id.to_owned(), place));
            }
            Ok(None)
        }
        Answer::Refused { code, message } if has_absolute_path(&message) => {
            let why = format!("{code}: {message}");
            Err(Violation::new("I11 no error names a path of the host", why))
        }
        Answer::Refused { code, .. } => Ok(Some(code)),
    })
}

/// Waits for an event about an input.
pub(super) fn until(host: &mut Host, worker: WorkerId, kind: &str, id: &str) -> Kept<()> {
    let input_id = InputId::new(id).doing("name an input")?;
    let request = Request::Until(worker, kind.to_owned(), Some(input_id));
    Ok(match hold!(host.ask(&request)?) {
        Answer::Done(_) => Ok(()),
        refused @ Answer::Refused { .. } => {
            let why = format!("{kind} of {id}: {refused:?}");
            Err(Violation::new("I4 every input has its outcome", why))
        }
    })
}

/// A Worker, as it is.
pub(super) fn show(host: &mut Host, worker: WorkerId) -> Kept<Value> {
    Ok(match hold!(host.ask(&Request::Show(worker))?) {
        Answer::Done(view) => Ok(view),
        refused @ Answer::Refused { .. } => {
            let why = format!("{refused:?}");
            Err(Violation::new("I9 reads go on", why))
        }
    })
}

/// Every acknowledged input is there, where its receipt says, with an outcome.
pub(super) fn are_kept(receipts: &Receipts, log: &Log) -> Result<(), Violation> {
    for (id, receipt) in receipts {
        let told = log.inputs.iter().find(|((_, input), _)| input == id);
        let accepted = told.and_then(|(_, told)| told.accepted);
        if accepted != Some(*receipt) {
            let there = log.events.iter().find(|event| event.position == receipt.1);
            let why = format!("{id} had {receipt:?}, found {accepted:?}, there is {there:?}");
            return Err(Violation::new("I1 what was acknowledged is kept", why));
        }
    }
    Ok(())
}
