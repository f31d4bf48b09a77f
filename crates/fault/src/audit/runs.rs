//! What the events of inputs and runs change, and when they may not come (I4).

use worker_runtime_core::{
    BlockId, Event, EventType,
    run::{Outcome, OutcomeKind, Usage},
};

use super::{
    apply::{Applied, Data, LIVES, ONE_OUTCOME, broken, must},
    world::{LastRun, Life},
};

pub(super) fn apply_input(life: &mut Life, event: &Event, data: &Data) -> Applied {
    let input_id = data.text("input_id");
    if event.kind == EventType::INPUT_ACCEPTED {
        let before = life.accepted.insert(input_id.clone(), event.position);
        must(
            before.is_none(),
            "I5 an input is accepted once",
            event,
            &input_id,
        )?;
        life.queue.push_back(input_id);
        return Ok(());
    }
    let waited = life.queue.iter().position(|waiting| *waiting == input_id);
    must(
        waited.is_some(),
        ONE_OUTCOME,
        event,
        format!("{input_id} does not wait"),
    )?;
    life.queue.retain(|waiting| *waiting != input_id);
    let outcome: Option<Outcome> = data.read("outcome");
    let kind = outcome.map(|outcome| outcome.kind);
    must(
        kind == Some(OutcomeKind::Cancelled),
        ONE_OUTCOME,
        event,
        "it never ran, and was not cancelled",
    )?;
    end(life, input_id, event)
}

fn end(life: &mut Life, input_id: String, event: &Event) -> Applied {
    let detail = format!("{input_id} has two outcomes");
    must(life.ended.insert(input_id), ONE_OUTCOME, event, detail)
}

pub(super) fn apply_run(life: &mut Life, event: &Event, data: &Data) -> Applied {
    let Some(run) = &mut life.run else {
        return Err(broken(ONE_OUTCOME, event, "nothing runs"));
    };
    let action_id = data.text("action_id");
    match event.kind.as_str() {
        "run.requires_action" => {
            must(!run.is_lost, ONE_OUTCOME, event, "its Runtime is gone")?;
            let action = (
                data.read("options").unwrap_or_default(),
                data.read("deadline"),
            );
            let before = run.actions.insert(action_id, action);
            must(before.is_none(), LIVES, event, "it is open already")
        }
        "run.action_answered" => {
            let action = run.actions.remove(&action_id);
            let Some((options, deadline)) = action else {
                return Err(broken(LIVES, event, "it is not open"));
            };
            let chosen: Option<String> = data.read("option");
            let fits = match &chosen {
                Some(chosen) => options.is_empty() || options.contains(chosen),
                None => deadline.is_some_and(|deadline| deadline <= event.at),
            };
            must(
                fits,
                LIVES,
                event,
                format!("{chosen:?} of {options:?} until {deadline:?}"),
            )
        }
        "run.cancel_requested" => {
            let before = run.cancel.replace(data.text("cause"));
            must(
                before.is_none(),
                LIVES,
                event,
                "its end was asked for before",
            )
        }
        "run.finished" => finish(life, event, data),
        _ => Ok(()),
    }
}

fn finish(life: &mut Life, event: &Event, data: &Data) -> Applied {
    let Some(run) = life.run.take() else {
        return Err(broken(ONE_OUTCOME, event, "nothing runs"));
    };
    let Some(outcome) = data.read::<Outcome>("outcome") else {
        return Err(broken(ONE_OUTCOME, event, "there is none"));
    };
    let input_id = data.text("input_id");
    let is_its = input_id == run.input_id && data.number("generation") == Some(run.generation);
    must(
        is_its,
        ONE_OUTCOME,
        event,
        format!("{input_id} does not run"),
    )?;
    if run.is_lost {
        let kind = match run.cancel.as_deref() {
            None | Some("runtime_ends") => OutcomeKind::Interrupted,
            Some("timeout") => OutcomeKind::Failed,
            Some(_) => OutcomeKind::Cancelled,
        };
        must(
            outcome.kind == kind,
            ONE_OUTCOME,
            event,
            format!("{:?}, and its Runtime was gone", outcome.kind),
        )?;
    }
    life.usage = life
        .usage
        .plus(data.read::<Usage>("usage").unwrap_or_default());
    life.last_run = Some(LastRun {
        run_id: run.run_id,
        input_id: input_id.clone(),
        at: event.at,
        outcome,
    });
    end(life, input_id, event)
}

/// Output, and what else a backend tells.
pub(super) fn apply_told(life: &mut Life, event: &Event, data: &Data) -> Applied {
    if event.kind == EventType::DIAGNOSTIC {
        return Err(broken(
            "I7 nothing is damaged",
            event,
            data.value().to_string(),
        ));
    }
    let Some(run) = &mut life.run else {
        return Err(broken(ONE_OUTCOME, event, "nothing runs"));
    };
    if event.kind == EventType::BLOCK_FINISHED {
        let block: Option<BlockId> = data.read("block");
        let is_new = block
            .is_some_and(|block| block.generation.0 == run.generation && run.blocks.insert(block));
        return must(is_new, "I2 a block ends once", event, data.text("block"));
    }
    must(!run.is_lost, ONE_OUTCOME, event, "its Runtime is gone")
}
