//! What the kernel lets a command write that is confined to its scope: real commands, a real kernel, a
//! real file system. Needs a kernel with Landlock, version 3 or newer.
//!
//! - here: the ground that they stand on
//! - `kernel`: what the kernel answers; `told`: what is told of it

mod kernel;
mod told;

use std::fs;

use libtest_mimic::Trial;
use serde_json::{Value, json};
use worker_runtime_core::{
    EndOptions, Mounts, Permission, Scope, ScopeRule, WorkerId, worker::CreateWorker,
};
use worker_runtime_execution::exec::ExecOptions;

use super::support::*;
use crate::act_as_writer;

/// What the kernel answers to what Landlock refuses: to a link or a move also that it crosses devices.
const EACCES: &str = "13";
const EXDEV: &str = "18";

pub(crate) fn trials() -> Vec<Trial> {
    [kernel::trials(), told::trials()]
        .into_iter()
        .flatten()
        .collect()
}

/// A place with a scope in it, and what lies around that.
struct Ground {
    directory: tempfile::TempDir,
    host: Host,
}

impl Ground {
    async fn new(options: ExecOptions) -> Self {
        let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let top = directory.path();
        for made in ["in", "in/deep", "out", "tmp"] {
            fs::create_dir(top.join(made)).unwrap();
        }
        for made in ["in/file", "in/deep/file", "out/file"] {
            fs::write(top.join(made), "as it was").unwrap();
        }
        let mut mounts = Mounts::default();
        mounts.set("here", top.canonicalize().unwrap()).unwrap();
        let options = ExecOptions {
            temporary: top.join("tmp"),
            ..options
        };
        let host = Host::open_with(options, mounts).await;
        Self { directory, host }
    }

    fn path(&self, below: &str) -> String {
        let path = self.directory.path().canonicalize().unwrap().join(below);
        path.to_str().unwrap().to_owned()
    }

    async fn create(&self, request: CreateWorker) -> WorkerId {
        let created = self.host.runtime.catalog().create(request).await;
        created.unwrap().worker_id
    }

    /// Ends a Worker, and with it what it holds.
    async fn end(&self, worker: WorkerId) {
        let catalog = self.host.runtime.catalog();
        let cursor = catalog.get(worker).unwrap().cursor;
        catalog.stop(worker, EndOptions::default()).await.unwrap();
        let ended = self
            .host
            .until(worker, cursor, |kind, _| kind == "worker.stopped");
        ended.await;
    }

    async fn confined(&self, scope: Scope) -> WorkerId {
        self.create(holding(writer(), scope)).await
    }

    /// Does the steps, each `DEPTH STEP PATH [PATH]` with paths below the place, and gives back what
    /// the system answered to each.
    async fn answers(&self, worker: WorkerId, steps: &[&str]) -> Vec<String> {
        let line = |step: &&str| {
            let mut words = step.split(' ');
            let mut line = format!("{} {}", words.next().unwrap(), words.next().unwrap());
            for word in words {
                line.push(' ');
                line.push_str(&self.path(word));
            }
            line
        };
        let lines: Vec<String> = steps.iter().map(line).collect();
        let told = self.host.run(worker, &lines.join("\n")).await;
        assert_eq!(told.outcome()["kind"], "completed", "{told:?}");
        let text = told.text();
        let answers = text.lines().map(|line| line.rsplit_once(' ').unwrap().1);
        let answers: Vec<String> = answers.map(str::to_owned).collect();
        assert_eq!(answers.len(), steps.len(), "{text}");
        answers
    }

    async fn expect(&self, worker: WorkerId, steps: &[(&str, &[&str])]) {
        let asked: Vec<&str> = steps.iter().map(|(step, _)| *step).collect();
        let answers = self.answers(worker, &asked).await;
        for ((step, wanted), answer) in steps.iter().zip(answers) {
            assert!(wanted.contains(&answer.as_str()), "{step}: {answer}");
        }
    }

    fn confinement(&self, worker: WorkerId) -> Value {
        let view = self.host.runtime.catalog().get(worker).unwrap();
        view.status.get("confinement").cloned().unwrap_or_default()
    }

    fn read(&self, below: &str) -> String {
        fs::read_to_string(self.path(below)).unwrap()
    }

    fn is_there(&self, below: &str) -> bool {
        fs::symlink_metadata(self.path(below)).is_ok()
    }
}

fn writer() -> Value {
    let program = std::env::current_exe().unwrap();
    json!({ "argv": [program, act_as_writer::ROLE], "confine": "on" })
}

fn holding(config: Value, scope: Scope) -> CreateWorker {
    CreateWorker {
        scope,
        ..Host::request(config)
    }
}

fn rule(path: &str) -> ScopeRule {
    ScopeRule {
        mount: "here".to_owned(),
        path: path.to_owned(),
        permission: Permission::Write,
        recursive: true,
    }
}

fn write(path: &str) -> Scope {
    Scope {
        allow: vec![rule(path)],
        deny: Vec::new(),
    }
}

/// The run fails, nothing was executed, and the Worker says why.
async fn expect_refused(ground: &Ground, worker: WorkerId, why: &str) {
    let told = ground
        .host
        .run(worker, &format!("0 make {}", ground.path("in/new")))
        .await;
    assert_eq!(told.outcome()["kind"], "failed");
    let stop = &told.outcome()["stop"];
    assert_eq!(stop["code"], "WR-CONFINEMENT-UNAVAILABLE", "{stop}");
    let message = stop["message"].as_str().unwrap();
    assert!(message.contains(why), "{message}");
    assert!(!message.contains(&ground.path("")), "{message}");
    assert!(!ground.is_there("in/new"));
    assert_eq!(told.text(), "");
    let confinement = ground.confinement(worker);
    assert_eq!(confinement["state"], "unavailable");
    assert_eq!(confinement["reason"], stop["message"]);
    assert_eq!(fs::read_dir(ground.path("tmp")).unwrap().count(), 0);
}
