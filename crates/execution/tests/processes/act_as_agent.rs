//! A command in lines mode that does what its input says.
//!
//! An input's text is a script, one step a line: `!…` is one of the steps below, all else is printed
//! as it is, with `$RUN` replaced by the run's id.

use std::{
    io::{BufRead as _, Stdin, Write as _},
    process::ExitCode,
};

use serde_json::{Value, json};

pub(crate) const ROLE: &str = "act-as-agent";

/// What it does at the start, and whether it takes up conversations: `plain`, `silent`, `newer`,
/// `restores`, `forgets`.
pub(crate) fn run() -> ExitCode {
    let manner = std::env::args().nth(2).unwrap_or_default();
    let mut agent = Agent {
        stdin: std::io::stdin(),
        last: Value::Null,
    };
    if manner == "silent" {
        while agent.read() {}
        return ExitCode::SUCCESS;
    }
    let protocol = if manner == "newer" { 7 } else { 1 };
    let resume = ["restores", "forgets"].contains(&manner.as_str());
    print(&json!({ "type": "hello", "protocol": protocol, "resume": resume }).to_string());
    assert!(agent.read_until("hello"));
    let hello = agent.last.clone();
    if hello.get("resume").is_some() {
        let outcome = if manner == "restores" {
            "restored"
        } else {
            "lost"
        };
        print(&json!({ "type": "restored", "outcome": outcome }).to_string());
    }
    while agent.read() {
        match agent.last["type"].as_str() {
            Some("input") => {
                if let Some(code) = agent.perform(&hello) {
                    return code;
                }
            }
            Some("shutdown") => return ExitCode::SUCCESS,
            _ => {}
        }
    }
    ExitCode::SUCCESS
}

struct Agent {
    stdin: Stdin,
    last: Value,
}

impl Agent {
    fn read(&mut self) -> bool {
        let mut line = String::new();
        let read = self.stdin.lock().read_line(&mut line).unwrap();
        self.last = serde_json::from_str(&line).unwrap_or_default();
        read > 0
    }

    fn read_until(&mut self, kind: &str) -> bool {
        while self.read() {
            if self.last["type"] == kind {
                return true;
            }
        }
        false
    }

    fn perform(&mut self, hello: &Value) -> Option<ExitCode> {
        let run = self.last["run_id"].as_str().unwrap().to_owned();
        let script = self.last["input"]["segments"][0]["text"]
            .as_str()
            .unwrap()
            .to_owned();
        for step in script.lines() {
            let Some(step) = step.strip_prefix('!') else {
                print(&step.replace("$RUN", &run));
                continue;
            };
            let (step, argument) = step.split_once(' ').unwrap_or((step, ""));
            match step {
                // Ends at once.
                "exit" => return Some(ExitCode::from(argument.parse::<u8>().unwrap())),
                // Reads until such a line came; ends with the stream.
                "wait" => {
                    if !self.read_until(argument) {
                        return Some(ExitCode::SUCCESS);
                    }
                }
                // Says the last line that it read, as a block.
                "say-last" => say(&run, &self.last.to_string()),
                "say-hello" => say(&run, &hello.to_string()),
                "say-pid" => say(&run, &std::process::id().to_string()),
                // One line of so many bytes.
                "long" => print(&"x".repeat(argument.parse().unwrap())),
                "bytes" => {
                    let mut stdout = std::io::stdout().lock();
                    stdout
                        .write_all(b"{\"type\":\"delta\",\"run_id\":\"")
                        .unwrap();
                    stdout.write_all(run.as_bytes()).unwrap();
                    stdout
                        .write_all(b"\",\"block\":\"b\",\"text\":\"a\xffb\"}\n")
                        .unwrap();
                    stdout.flush().unwrap();
                }
                // Says nothing more and reads nothing more.
                "hang" => loop {
                    std::thread::park();
                },
                "stderr" => {
                    std::io::stderr().write_all(argument.as_bytes()).unwrap();
                }
                "end" => print(
                    &json!({ "type": "end", "run_id": run, "reason": "end_turn" }).to_string(),
                ),
                other => panic!("no step {other}"),
            }
        }
        None
    }
}

fn say(run: &str, text: &str) {
    for message in [
        json!({ "type": "block_start", "run_id": run, "block": "said", "kind": "text" }),
        json!({ "type": "delta", "run_id": run, "block": "said", "text": text }),
        json!({ "type": "block_end", "run_id": run, "block": "said" }),
    ] {
        print(&message.to_string());
    }
}

fn print(line: &str) {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").unwrap();
    stdout.flush().unwrap();
}
