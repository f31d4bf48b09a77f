//! An execution backend that plays a recorded turn of an agent that speaks the Agent Client
//! Protocol: what the agent said is told to the sink, and what the client said is waited for.

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use worker_runtime_core::{
    ActionId, BlockId, EventType, RunId, RunSink, backend::*, error::SinkError, run::StopReason,
    store::BlockKind,
};

/// The name under which Workers choose it.
pub(super) const NAME: &str = "acp-recording";

type Told = Result<(), SinkError>;

/// The factory and its backend in one.
#[derive(Clone)]
pub(super) struct Player {
    recording: &'static str,
    /// What became of each message of the agent.
    told: mpsc::UnboundedSender<Told>,
    /// What the client said, for the lines that wait for it.
    answered: watch::Sender<Option<ActionAnswer>>,
    cancelled: watch::Sender<bool>,
    quiet: watch::Sender<bool>,
}

impl Player {
    pub(super) fn new(recording: &'static str) -> (Self, mpsc::UnboundedReceiver<Told>) {
        let (told, results) = mpsc::unbounded_channel();
        let player = Self {
            recording,
            told,
            answered: watch::Sender::new(None),
            cancelled: watch::Sender::new(false),
            quiet: watch::Sender::new(false),
        };
        (player, results)
    }

    /// Plays to the end of the recording, whatever the sink says.
    async fn play(self, sink: RunSink) {
        let mut thought = None;
        for line in self.recording.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let message = &line["message"];
            if line["from"] == "client" {
                self.wait_for(message).await;
            } else {
                let _ = self
                    .told
                    .send(self.tell(&sink, message, &mut thought).await);
            }
        }
    }

    async fn wait_for(&self, message: &Value) {
        if message["method"] == "session/cancel" {
            let _ = self.cancelled.subscribe().wait_for(|said| *said).await;
        } else if let Some(option) = message["result"]["outcome"]["optionId"].as_str() {
            let chosen = Some(ActionAnswer::Chosen(option.to_owned()));
            let _ = self
                .answered
                .subscribe()
                .wait_for(|said| *said == chosen)
                .await;
        }
    }

    async fn tell(&self, sink: &RunSink, message: &Value, thought: &mut Option<BlockId>) -> Told {
        let update = &message["params"]["update"];
        if update["sessionUpdate"] == "agent_thought_chunk" {
            let block = match *thought {
                Some(block) => block,
                None => *thought.insert(sink.open_block(BlockKind::Thinking, None)?),
            };
            let text = update["content"]["text"].as_str().unwrap_or_default();
            return sink.append(block, text).await;
        }
        if message["result"]["stopReason"] == "cancelled" {
            let ended = sink.finish(StopReason::Cancelled, None).await;
            self.quiet.send_replace(true);
            return ended;
        }
        if let Some(block) = thought.take() {
            sink.finish_block(block).await?;
        }
        if message["method"] == "session/request_permission" {
            return ask(sink, message).await;
        }
        let over = update["status"] == "completed" || update["status"] == "failed";
        let kind = match update["sessionUpdate"].as_str() {
            Some("tool_call") => EventType::TOOL_CALL,
            Some("tool_call_update") if over => EventType::TOOL_RESULT,
            Some("tool_call_update") => EventType::TOOL_UPDATE,
            _ => return sink.raw_message(&message.to_string()).await.map(drop),
        };
        sink.event(kind, update).await.map(drop)
    }
}

async fn ask(sink: &RunSink, message: &Value) -> Told {
    let offered = message["params"]["options"].as_array().unwrap().iter();
    let options = offered.map(|option| option["optionId"].as_str().unwrap().to_owned());
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

    async fn start(&self, _: StartWorker) -> Result<Box<dyn ExecutionBackend>, BackendError> {
        Ok(Box::new(self.clone()))
    }
}

#[async_trait]
impl ExecutionBackend for Player {
    async fn submit(&self, _: RunRequest, sink: RunSink) -> Submitted {
        tokio::spawn(self.clone().play(sink));
        Submitted::Accepted
    }

    async fn respond(
        &self,
        _: RunId,
        _: ActionId,
        answer: ActionAnswer,
    ) -> Result<(), BackendError> {
        let _ = self.answered.send(Some(answer));
        Ok(())
    }

    async fn cancel(&self, _: RunId) -> Result<Cancelled, BackendError> {
        self.cancelled.send_replace(true);
        let _ = self.quiet.subscribe().wait_for(|quiet| *quiet).await;
        Ok(Cancelled::Confirmed)
    }

    async fn stop(&self) -> Result<(), BackendError> {
        Ok(())
    }
}
