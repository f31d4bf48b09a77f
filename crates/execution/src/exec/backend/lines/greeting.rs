//! The first lines that command and host exchange, before the command gets its first run.

use tracing::debug;
use worker_runtime_core::{EventType, patience::within, run::StopReason};

use super::super::text::persistently;
use super::{
    line::Line,
    message::{FromCommand, PROTOCOL, Parsed, RestoreOutcome, ToCommand, parse},
    session::Reader,
};

impl Reader {
    /// Exchanges the first lines.
    ///
    /// # Errors
    /// Why the run that waits for it fails.
    pub(super) async fn greet(&mut self) -> Result<(), StopReason> {
        let hello = match self.next_within_hello().await? {
            FromCommand::Hello(hello) => hello,
            _ => {
                return Err(failed(
                    "hello_expected",
                    "the command's first line is no hello",
                ));
            }
        };
        if hello.protocol != PROTOCOL {
            let message = format!(
                "the command speaks protocol {}, this Runtime {PROTOCOL}",
                hello.protocol
            );
            return Err(failed("protocol_unsupported", &message));
        }
        let memory = self.parts.memory.clone();
        let had_context = memory.had_context();
        let reference = memory.reference().filter(|_| hello.resume);
        self.out.send(&ToCommand::Hello {
            protocol: PROTOCOL,
            worker_id: memory.worker_id,
            profile: &memory.profile,
            spec: &memory.spec,
            resume: reference.as_deref(),
        });
        let is_restored = match reference {
            None => false,
            Some(_) => match self.next_within_hello().await? {
                FromCommand::Restored { outcome } => outcome == RestoreOutcome::Restored,
                _ => {
                    let message = "the command does not say whether it took up its conversation";
                    return Err(failed("restored_expected", message));
                }
            },
        };
        memory.greeted();
        let nothing = serde_json::json!({});
        if had_context
            && !is_restored
            && let Some(turn) = &self.turn
        {
            let told = persistently(|| turn.sink.event(EventType::CONTEXT_LOST, &nothing));
            if let Err(error) = told.await {
                debug!(%error, "a lost context was not told");
            }
        }
        Ok(())
    }

    async fn next_within_hello(&mut self) -> Result<FromCommand, StopReason> {
        let limit = self.parts.options.hello_within;
        match within(limit, self.lines.next()).await {
            None => {
                let message = format!("no hello within {} ms", limit.as_millis());
                Err(failed("hello_timeout", &message))
            }
            Some(None) => Err(StopReason::NoTerminator),
            Some(Some(Line::TooLong { bytes })) => Err(self.too_long(bytes)),
            Some(Some(Line::Text(line))) => match parse(&line) {
                Parsed::Message { message, .. } => Ok(message),
                Parsed::Malformed { fault, .. } => Err(failed("hello_expected", &fault)),
                Parsed::Garbage => {
                    let message = "the command's first line is no message";
                    Err(failed("hello_expected", message))
                }
            },
        }
    }

    pub(super) fn too_long(&self, bytes: u64) -> StopReason {
        let bytes_max = self.parts.options.line_bytes_max;
        let message = format!("a line of the command has {bytes} bytes, more than {bytes_max}");
        failed("line_too_long", &message)
    }
}

pub(super) fn failed(code: &str, message: &str) -> StopReason {
    StopReason::Error {
        code: Some(code.to_owned()),
        message: message.to_owned(),
    }
}
