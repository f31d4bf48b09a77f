//! What of a run is printed as it comes: its text and its standard error for people, its events for
//! programs. Called by the loop alone.

use serde_json::Value;
use worker_runtime_core::{BlockId, Code, Delta, store::BlockKind, view::UnfinishedBlock};

use super::{Follow, Picture};
use crate::{
    error::{CliError, Failure},
    output::write_words,
};

impl Follow<'_> {
    pub(super) fn block(&mut self, data: &Value) {
        let field = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default();
        let is_text = field("kind") == "text";
        if let (true, true, Ok(block)) = (
            self.prints_text(),
            is_text,
            field("block").parse::<BlockId>(),
        ) {
            let rest = self.blocks.finished(block, field("text"));
            self.piece.push_str(&rest);
        }
    }

    /// What the command wrote to its standard error goes to ours.
    pub(super) fn stderr_of_command(&self, data: &Value) {
        let field = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default();
        if self.prints_text() && field("stream") == "stderr" {
            write_words(field("text"));
        }
    }

    pub(super) fn delta(&mut self, delta: &Delta) {
        let is_ours = self.is_our_run(Some(delta.run_id));
        if is_ours && self.prints_text() && delta.kind == BlockKind::Text {
            let rest = self.blocks.preview(delta);
            self.piece.push_str(&rest);
        }
    }

    /// What a server's blocks have so far, if nothing was seen since.
    pub(super) fn picture(&mut self, picture: Option<Picture>) {
        match picture {
            None => self.previews = None,
            Some(picture) if picture.after == self.cursor => self.unfinished(picture.blocks),
            Some(_) => {}
        }
    }

    /// What blocks of our run have so far.
    pub(super) fn unfinished(&mut self, blocks: Vec<UnfinishedBlock>) {
        let is_shown = self.run_id.is_some() && self.prints_text();
        for block in blocks {
            if is_shown && block.kind == BlockKind::Text {
                let rest = self.blocks.picture(block.block, &block.text);
                self.piece.push_str(&rest);
            }
        }
    }

    pub(super) fn prints_text(&self) -> bool {
        !self.printer.format().is_json()
    }

    /// A line of JSON on its way to stdout.
    pub(super) fn object(&mut self, value: &impl serde::Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value).map_err(|error| {
            let message = format!("a bug: an event can't be written as JSON: {error}");
            CliError::new(Code::Bug, message)
        })?;
        self.piece.push_str(&text);
        self.piece.push('\n');
        Ok(())
    }
}
