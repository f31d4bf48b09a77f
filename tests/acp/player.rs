//! An execution backend that plays a recorded turn of an agent that speaks the Agent Client
//! Protocol: what the agent said is told to the sink, and what the client said is waited for.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::{Mutex, mpsc, watch};
use worker_runtime_core::{
    ActionId, BlockId, EventType, RunId, RunSink,
    backend::{
        ActionAnswer, BackendCapabilities, BackendError, BackendFactory, Cancelled,
        ExecutionBackend, RunRequest, StartWorker, Submitted,
    },
    error::SinkError,
    run::StopReason,
    store::BlockKind,
};

/// The name under which Workers choose it.
pub(super) const NAME: &str = "acp-recording";

/// One direction of one line of the recording.
pub(super) struct Recording(pub(super) &'static str);

/// The factory, and where it says what became of each message of the agent.
#[derive(Clone)]
pub(super) struct Player {
    recording: Arc<Recording>,
    told: mpsc::UnboundedSender<Result<(), SinkError>>,
    wire: Arc<Wire>,
}

/// What the client said, for the lines that wait for it.
struct Wire {
    answers: (
        mpsc::UnboundedSender<ActionAnswer>,
        Mutex<mpsc::UnboundedReceiver<ActionAnswer>>,
    ),
    cancelled: watch::Sender<bool>,
    quiet: watch::Sender<bool>,
}

impl Player {
    pub(super) fn new(
        recording: Recording,
    ) -> (Self, mpsc::UnboundedReceiver<Result<(), SinkError>>) {
        let (told, results) = mpsc::unbounded_channel();
        let (answer, answers) = mpsc::unbounded_channel();
        let wire = Arc::new(Wire {
            answers: (answer, Mutex::new(answers)),
            cancelled: watch::Sender::new(false),
            quiet: watch::Sender::new(false),
        });
        let recording = Arc::new(recording);
        (
            Self {
                recording,
                told,
                wire,
            },
            results,
        )
    }

    /// Plays to the end of the recording, whatever the sink says.
    async fn play(self, sink: RunSink) {
        let mut thought = None;
        for line in self.recording.0.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let message = &line["message"];
            if line["from"] == "client" {
                self.wait_for(message).await;
            } else {
                let result = self.tell(&sink, message, &mut thought).await;
                let _ = self.told.send(result);
            }
        }
    }

    async fn wait_for(&self, message: &Value) {
        if message["method"] == "session/cancel" {
            let _ = self
                .wire
                .cancelled
                .subscribe()
                .wait_for(|cancelled| *cancelled)
                .await;
        } else if let Some(option) = message["result"]["outcome"]["optionId"].as_str() {
            let answer = self.wire.answers.1.lock().await.recv().await;
            assert_eq!(answer, Some(ActionAnswer::Chosen(option.to_owned())));
        }
    }

    async fn tell(
        &self,
        sink: &RunSink,
        message: &Value,
        thought: &mut Option<BlockId>,
    ) -> Result<(), SinkError> {
        let params = &message["params"];
        let update = &params["update"];
        if update["sessionUpdate"] == "agent_thought_chunk" {
            let block = match *thought {
                Some(block) => block,
                None => *thought.insert(sink.open_block(BlockKind::Thinking, None)?),
            };
            let text = update["content"]["text"].as_str().unwrap_or_default();
            return sink.append(block, text).await;
        }
        if let Some(reason) = message["result"]["stopReason"].as_str() {
            let ended = sink.finish(stop_reason(reason), None).await;
            self.wire.quiet.send_replace(true);
            return ended;
        }
        if let Some(block) = thought.take() {
            sink.finish_block(block).await?;
        }
        if message["method"] == "session/request_permission" {
            return ask(sink, message).await;
        }
        let ends = ["completed", "failed"];
        let kind = match update["sessionUpdate"].as_str() {
            Some("tool_call") => EventType::TOOL_CALL,
            Some("tool_call_update") if ends.iter().any(|end| update["status"] == *end) => {
                EventType::TOOL_RESULT
            }
            Some("tool_call_update") => EventType::TOOL_UPDATE,
            _ => return sink.raw_message(&message.to_string()).await.map(drop),
        };
        sink.event(kind, update).await.map(drop)
    }
}

fn stop_reason(reason: &str) -> StopReason {
    match reason {
        "cancelled" => StopReason::Cancelled,
        "end_turn" => StopReason::EndTurn,
        other => StopReason::Other {
            reason: other.to_owned(),
        },
    }
}

async fn ask(sink: &RunSink, message: &Value) -> Result<(), SinkError> {
    let offered = message["params"]["options"].as_array();
    let options = offered.into_iter().flatten();
    let options = options.filter_map(|option| Some(option["optionId"].as_str()?.to_owned()));
    let action_id = ActionId::new(message["id"].to_string()).unwrap();
    let detail = message["params"]["toolCall"].clone();
    let asked = sink.request_action(action_id, options.collect(), None, detail);
    asked.await.map(drop)
}

#[async_trait]
impl BackendFactory for Player {
    fn name(&self) -> &str {
        NAME
    }

    fn resolve(&self, config: &Value) -> Result<Value, BackendError> {
        Ok(config.clone())
    }

    fn capabilities(&self) -> BackendCapabilities {
        BackendCapabilities {
            actions: true,
            ..BackendCapabilities::default()
        }
    }

    async fn start(&self, _start: StartWorker) -> Result<Box<dyn ExecutionBackend>, BackendError> {
        Ok(Box::new(self.clone()))
    }
}

#[async_trait]
impl ExecutionBackend for Player {
    async fn submit(&self, _run: RunRequest, sink: RunSink) -> Submitted {
        tokio::spawn(self.clone().play(sink));
        Submitted::Accepted
    }

    async fn respond(
        &self,
        _: RunId,
        _: ActionId,
        answer: ActionAnswer,
    ) -> Result<(), BackendError> {
        let _ = self.wire.answers.0.send(answer);
        Ok(())
    }

    async fn cancel(&self, _run_id: RunId) -> Result<Cancelled, BackendError> {
        self.wire.cancelled.send_replace(true);
        let _ = self.wire.quiet.subscribe().wait_for(|quiet| *quiet).await;
        Ok(Cancelled::Confirmed)
    }

    async fn stop(&self) -> Result<(), BackendError> {
        Ok(())
    }
}
