//! What the server says of itself on stderr: lines for people, or JSON objects beside those of the log.

use serde_json::{Value, json};

use crate::{
    logging::LogFormat,
    output::{Printer, write_words},
};

/// Says what happens to the server.
pub(super) struct Voice<'a> {
    pub(super) format: LogFormat,
    pub(super) printer: &'a Printer,
}

impl Voice<'_> {
    /// That it is ready, whatever the format of data: whoever started it waits for this line.
    pub(super) fn ready(&self, url: &str, runtime_id: &str, token_file: &str) {
        let fields = json!({ "url": url, "runtime_id": runtime_id, "token_file": token_file });
        match self.format {
            LogFormat::Human => write_words(&format!(
                "serving: {url}, Runtime {runtime_id}; access token: {token_file}\n"
            )),
            LogFormat::Json => json_line("INFO", "serving", fields),
        }
    }

    /// That a step is done.
    pub(super) fn good(&self, word: &str, text: &str) {
        match self.format {
            LogFormat::Human => self.printer.good(&format!("{word}:"), text),
            LogFormat::Json => json_line("INFO", word, json!({ "detail": text })),
        }
    }

    /// That something is left undone.
    pub(super) fn bad(&self, word: &str, text: &str) {
        match self.format {
            LogFormat::Human => self.printer.bad(&format!("{word}:"), text),
            LogFormat::Json => json_line("WARN", word, json!({ "detail": text })),
        }
    }

    /// Something that whoever operates it should know.
    pub(super) fn warn(&self, text: &str) {
        match self.format {
            LogFormat::Human => self.printer.warn(text),
            LogFormat::Json => json_line("WARN", "warning", json!({ "detail": text })),
        }
    }
}

/// In the shape of the log's own lines.
fn json_line(level: &str, message: &str, mut fields: Value) {
    if let Some(fields) = fields.as_object_mut() {
        fields.insert("message".to_owned(), json!(message));
    }
    let line = json!({ "level": level, "fields": fields, "target": "worker_runtime::serve" });
    write_words(&format!("{line}\n"));
}
