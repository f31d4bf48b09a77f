//! A temporary state directory, and the hosts that live on it one after the other.

use std::{
    cell::Cell,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;
use worker_runtime_core::{
    AsJson, InputId, WorkerId,
    input::SubmitInput,
    worker::{BackendSelection, CreateWorker, Intent},
};
use worker_runtime_persist::{CheckDepth, CheckWatcher, Finding, ReadStore, check};

use super::{
    order::{Answer, Order, Part, Request, Said},
    processes::{kill_tagged, nothing_left_of},
};

/// What takes longer hangs.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A state directory, a side directory for what commands note, and one for journals.
pub(crate) struct Place {
    directory: TempDir,
    pub(crate) tag: String,
    round: Cell<u64>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in ["side", "journals"] {
            std::fs::create_dir(directory.path().join(name)).unwrap();
        }
        let name = directory.path().file_name().unwrap();
        let tag = name.to_string_lossy().into_owned();
        Self {
            directory,
            tag,
            round: Cell::new(0),
        }
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    pub(crate) fn side(&self) -> PathBuf {
        self.directory.path().join("side")
    }

    pub(crate) fn journals(&self) -> PathBuf {
        self.directory.path().join("journals")
    }

    pub(crate) fn round(&self) -> u64 {
        self.round.get()
    }

    /// What the next life of a host is told.
    pub(crate) fn order(&self, part: Part) -> Order {
        self.round.set(self.round.get() + 1);
        Order {
            state: self.state(),
            side: self.side(),
            tag: self.tag.clone(),
            round: self.round.get(),
            ballast_bytes: None,
            part,
        }
    }

    pub(crate) fn start(&self, part: Part) -> HostProcess {
        HostProcess::spawn(&mut host_command(), &self.order(part))
    }

    /// A serving host that is open, and of whose earlier lives nothing is left.
    pub(crate) fn serve(&self) -> HostProcess {
        let mut host = self.start(Part::Serve);
        host.opened();
        nothing_left_of(&self.tag, self.round());
        host
    }

    /// How often the command of this input began.
    pub(crate) fn executions(&self, input_id: &str) -> usize {
        match std::fs::read_to_string(self.side().join(input_id)) {
            Ok(text) => text.lines().filter(|line| *line == input_id).count(),
            Err(_) => 0,
        }
    }

    /// Waits until a command has made this file.
    pub(crate) fn until_noted(&self, name: &str) {
        let path = self.side().join(name);
        wait_until(&format!("{name} to be noted"), || path.exists());
    }

    /// The store, read as it is; whatever ended its last process, nothing of it is damaged.
    pub(crate) fn read(&self) -> ReadStore {
        assert_clean(&self.state());
        ReadStore::open(&self.state()).unwrap()
    }
}

/// That a check of a stopped store finds nothing, to whatever depth.
#[track_caller]
fn assert_clean(state: &Path) {
    struct Told(Vec<Finding>);
    impl CheckWatcher for Told {
        fn found(&mut self, finding: Finding) {
            self.0.push(finding);
        }
    }
    for depth in [CheckDepth::Quick, CheckDepth::Full] {
        let mut told = Told(Vec::new());
        check(state, depth, &mut told).unwrap();
        assert_eq!(told.0, [], "{depth:?}");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A test that failed may have left some.
        kill_tagged(&self.tag, |_| true);
    }
}

/// The host program.
pub(crate) fn host_command() -> Command {
    Command::new(host_program())
}

pub(crate) fn host_program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_crash-host"))
}

/// Looks again and again; there is no other way to hear of what another process does.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited {DEADLINE:?} for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// One life of a host. Killed when it is dropped.
pub(crate) struct HostProcess {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
}

impl HostProcess {
    pub(crate) fn spawn(command: &mut Command, order: &Order) -> Self {
        let mut child = command
            .arg(serde_json::to_string(order).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            stdin: child.stdin.take(),
            child,
            lines,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    fn line<T: DeserializeOwned>(&self, within: Duration) -> Option<T> {
        match self.lines.recv_timeout(within) {
            Ok(line) => Some(serde_json::from_str(&line).unwrap()),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => panic!("the host ended without a word"),
        }
    }

    /// The next thing that it says.
    pub(crate) fn said(&self) -> Said {
        self.line(DEADLINE).expect("the host says something")
    }

    pub(crate) fn opened(&mut self) {
        assert_eq!(self.said(), Said::Opening);
        assert_eq!(self.said(), Said::Open);
    }

    /// What it says instead of having opened: a code, and words.
    pub(crate) fn not_opened(mut self) -> (String, String) {
        assert_eq!(self.said(), Said::Opening);
        let said = self.said();
        let Said::Failed { code, message } = said else {
            panic!("{said:?}");
        };
        assert!(self.child.wait().unwrap().success(), "it ends by itself");
        (code, message)
    }

    /// Sends a request and does not wait.
    pub(crate) fn tell(&mut self, request: &Request) {
        let mut line = serde_json::to_vec(request).unwrap();
        line.push(b'\n');
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(&line).unwrap();
        stdin.flush().unwrap();
    }

    pub(crate) fn ask(&mut self, request: &Request) -> Answer {
        self.tell(request);
        self.line(DEADLINE).expect("the host answers")
    }

    /// Asks for what must be done.
    pub(crate) fn done(&mut self, request: &Request) -> Value {
        match self.ask(request) {
            Answer::Done(value) => value,
            Answer::Refused { code, message } => panic!("{request:?}: {code} {message}"),
        }
    }

    /// Asks for what must be refused.
    pub(crate) fn refused(&mut self, request: &Request) -> (String, String) {
        match self.ask(request) {
            Answer::Done(value) => panic!("{request:?} was done: {value}"),
            Answer::Refused { code, message } => (code, message),
        }
    }

    pub(crate) fn create(&mut self, create: CreateWorker) -> WorkerId {
        let receipt = self.done(&Request::Create(Box::new(create)));
        serde_json::from_value(receipt["worker_id"].clone()).unwrap()
    }

    pub(crate) fn send(&mut self, worker_id: WorkerId, input: SubmitInput) -> Value {
        self.done(&Request::Send(worker_id, input))
    }

    /// Waits for an event; its data.
    pub(crate) fn until(&mut self, worker_id: WorkerId, kind: &str, about: Option<&str>) -> Value {
        let about = about.map(|about| InputId::new(about).unwrap());
        self.done(&Request::Until(worker_id, kind.to_owned(), about))
    }

    /// SIGKILL, and waits until the kernel has taken it away.
    pub(crate) fn kill(mut self) {
        self.kill_now();
    }

    fn kill_now(&mut self) {
        let _ = self.child.kill();
        self.child.wait().unwrap();
    }

    /// SIGTERM, and how it ended.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::TERM).unwrap();
        self.ended()
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        let mut ended = None;
        wait_until("the host to end", || {
            ended = self.child.try_wait().unwrap();
            ended.is_some()
        });
        ended.unwrap()
    }
}

impl Drop for HostProcess {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            self.kill_now();
        }
    }
}

/// A Worker whose command is this shell script.
pub(crate) fn shell(script: &str, term_grace_ms: u64) -> CreateWorker {
    let config = json!({ "argv": ["sh", "-c", script], "term_grace_ms": term_grace_ms });
    CreateWorker {
        backend: Some(BackendSelection {
            name: "exec".to_owned(),
            config: AsJson(config),
        }),
        ..CreateWorker::new(Intent::Assistant { purpose: None })
    }
}
