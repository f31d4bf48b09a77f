//! Obeys requests, one after the other. SIGTERM closes the Runtime, as it does in a well-behaved
//! host.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    signal::unix::Signal,
};
use tokio_stream::StreamExt;
use worker_runtime_core::{
    Code, EndOptions, InputId, ObserveOptions, Observed, Runtime, Stream, WorkerId,
    cursor::From as Start,
};

use crate::{
    Result,
    order::{Answer, Request},
    say,
};

/// What takes longer hangs; told as a refusal, so that the test can say what it waited for.
const WAIT_MAX: Duration = Duration::from_secs(20);

pub(crate) async fn serve(runtime: Runtime, mut terminate: Signal) -> Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    loop {
        let line = tokio::select! {
            _ = terminate.recv() => break,
            line = lines.next_line() => line?,
        };
        let Some(line) = line else {
            // Whoever asked is gone; a signal ends this life, or a kill.
            terminate.recv().await;
            break;
        };
        let request = serde_json::from_str(&line)?;
        if matches!(request, Request::Close) {
            break;
        }
        say(&answer(&runtime, request).await)?;
    }
    runtime.close().await?;
    Ok(())
}

async fn answer(runtime: &Runtime, request: Request) -> Answer {
    let catalog = runtime.catalog();
    match request {
        Request::Create(create) => match catalog.create(*create).await {
            Ok(receipt) => done(&receipt),
            Err(error) => refused(error.code(), &error),
        },
        Request::Send(worker_id, input) => {
            match runtime.interaction().send_input(worker_id, input).await {
                Ok(receipt) => done(&receipt),
                Err(error) => refused(error.code(), &error),
            }
        }
        Request::CancelRun(worker_id) => cancel_run(runtime, worker_id).await,
        Request::Stop(worker_id) => match catalog.stop(worker_id, EndOptions::default()).await {
            Ok(receipt) => done(&receipt),
            Err(error) => refused(error.code(), &error),
        },
        Request::Show(worker_id) => match runtime.observation().worker(worker_id) {
            Ok(view) => done(&view),
            Err(error) => refused(error.code(), &error),
        },
        Request::Until(worker_id, kind, input_id) => {
            let wait = until(runtime, worker_id, &kind, input_id.as_ref());
            match tokio::time::timeout(WAIT_MAX, wait).await {
                Ok(Ok(data)) => Answer::Done(data),
                Ok(Err(error)) => refused(Code::Bug, &error),
                Err(_) => refused(Code::Bug, &format!("no {kind} within {WAIT_MAX:?}")),
            }
        }
        Request::Close => Answer::Done(Value::Null),
    }
}

async fn cancel_run(runtime: &Runtime, worker_id: WorkerId) -> Answer {
    let view = match runtime.observation().worker(worker_id) {
        Ok(view) => view,
        Err(error) => return refused(error.code(), &error),
    };
    let Some(run_id) = view.activity.run_id else {
        return refused(Code::RunUnknown, &"nothing runs");
    };
    match runtime.interaction().cancel_run(worker_id, run_id).await {
        Ok(receipt) => done(&receipt),
        Err(error) => refused(error.code(), &error),
    }
}

async fn until(
    runtime: &Runtime,
    worker_id: WorkerId,
    kind: &str,
    input_id: Option<&InputId>,
) -> Result<Value> {
    let stream = Stream::Worker(worker_id);
    let options = ObserveOptions::default();
    let mut stream = runtime
        .observation()
        .observe(stream, Start::Beginning, options)?;
    while let Some(item) = stream.next().await {
        let Observed::Event(_, event) = item? else {
            continue;
        };
        let data: Value = serde_json::from_slice(&event.data)?;
        let about = data.get("input_id").and_then(Value::as_str);
        if event.kind.as_str() == kind
            && input_id.is_none_or(|input_id| about == Some(input_id.as_str()))
        {
            return Ok(data);
        }
    }
    Err("the stream ended".into())
}

fn done(receipt: &impl Serialize) -> Answer {
    match serde_json::to_value(receipt) {
        Ok(value) => Answer::Done(value),
        Err(error) => refused(Code::Bug, &error),
    }
}

fn refused(code: Code, message: &impl ToString) -> Answer {
    Answer::Refused {
        code: code.as_str().to_owned(),
        message: message.to_string(),
    }
}
