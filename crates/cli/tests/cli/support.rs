//! A place of its own for each test, and the program started in it.

use std::{
    collections::BTreeMap,
    fmt, fs,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant, SystemTime},
};

use tempfile::TempDir;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_worker-runtime");

/// A directory to work in, and a state directory that does not exist yet.
pub(crate) struct Place {
    directory: TempDir,
}

/// What a call typed, printed, and ended with.
pub(crate) struct Ran {
    typed: String,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: Option<i32>,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("project")).unwrap();
        Self { directory }
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    pub(crate) fn project(&self) -> PathBuf {
        self.directory.path().join("project")
    }

    /// The program, in the project directory, with nothing of this environment but its `PATH`.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .args(args)
            .current_dir(self.project())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", self.directory.path())
            .env("WORKER_RUNTIME_STATE", self.state())
            .stdin(Stdio::null());
        command
    }

    /// The same, ended by Ctrl-C also where whoever runs the tests ignores that, as a job in the background does
    /// and lets all that it starts do.
    pub(crate) fn interruptible(&self, args: &[&str]) -> Command {
        let plain = self.command(args);
        let mut command = Command::new("env");
        command
            .args(["--default-signal=INT", PROGRAM])
            .args(args)
            .current_dir(self.project())
            .env_clear()
            .envs(
                plain
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        let output = self.command(args).output().unwrap();
        Ran::new(args, &output)
    }

    /// The same with a text on standard input.
    pub(crate) fn run_with_input(&self, args: &[&str], input: &str) -> Ran {
        let mut command = self.command(args);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let written = child.stdin.take().unwrap().write_all(input.as_bytes());
        // A call that is refused may end before it reads.
        let is_refused = |error: &std::io::Error| error.kind() == std::io::ErrorKind::BrokenPipe;
        assert!(written.as_ref().err().is_none_or(is_refused), "{written:?}");
        Ran::new(args, &child.wait_with_output().unwrap())
    }

    /// The id of the only Worker of this name.
    pub(crate) fn worker_id(&self, name: &str) -> String {
        let ran = self.run(&["worker", "show", name, "-o", "name"]);
        assert_eq!(ran.code, Some(0), "{ran}");
        ran.stdout.trim().to_owned()
    }

    /// How a Worker's last run ended.
    pub(crate) fn last_outcome(&self, name: &str) -> String {
        let ran = self.run(&["worker", "show", name, "-o", "json"]);
        let view: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        view.pointer("/last_run/outcome/kind")
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Every file of the state directory with its bytes and its time of change.
    pub(crate) fn files(&self) -> BTreeMap<PathBuf, (Option<Vec<u8>>, SystemTime)> {
        let mut files = BTreeMap::new();
        collect(&self.state(), &mut files);
        files
    }

    fn hide(&self, text: &str) -> String {
        text.replace(self.directory.path().to_str().unwrap(), "[DIR]")
    }
}

fn collect(path: &Path, files: &mut BTreeMap<PathBuf, (Option<Vec<u8>>, SystemTime)>) {
    let found = fs::metadata(path).unwrap();
    let bytes = found.is_file().then(|| fs::read(path).unwrap());
    files.insert(path.to_owned(), (bytes, found.modified().unwrap()));
    if found.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            collect(&entry.unwrap().path(), files);
        }
    }
}

impl Ran {
    pub(crate) fn new(args: &[&str], output: &Output) -> Self {
        let quoted = args
            .iter()
            .map(|arg| match arg.contains([' ', '\'']) || arg.is_empty() {
                true => format!("'{arg}'"),
                false => (*arg).to_owned(),
            });
        Self {
            typed: quoted.collect::<Vec<_>>().join(" "),
            stdout: String::from_utf8(output.stdout.clone()).unwrap(),
            stderr: String::from_utf8(output.stderr.clone()).unwrap(),
            code: output.status.code(),
        }
    }

    /// The same, as if something else had been typed.
    pub(crate) fn hide_typed(mut self, typed: &str, shown: &str) -> Self {
        self.typed = self.typed.replace(typed, shown);
        self
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"))
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self
            .code
            .map_or("a signal".to_owned(), |code| code.to_string());
        writeln!(f, "$ worker-runtime {}", self.typed)?;
        writeln!(f, "exit: {code}")?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                writeln!(f, "--- {name}\n{}", text.trim_end_matches('\n'))?;
            }
        }
        Ok(())
    }
}

/// Compares calls with the snapshot of this name; what differs from run to run is hidden.
pub(crate) fn snapshot(place: &Place, name: &str, calls: &[Ran]) {
    let text: Vec<String> = calls
        .iter()
        .map(|ran| place.hide(&ran.to_string()))
        .collect();
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for (pattern, shown) in [
        (
            r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}",
            "[ID]",
        ),
        // A shortened one, at the start of a row.
        (r"(?m)^[0-9a-f]{8}-[0-9a-f]{4}[0-9a-f-]*", "[ID]"),
        (r"c1[0-9a-f]{48}", "[CURSOR]"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "[TIME]"),
        (r"after (\d+ ms|\d+\.\d s)", "after [DURATION]"),
        (r#""duration_ms": ?\d+"#, r#""duration_ms": [NUMBER]"#),
        (r"(project|gone)-[0-9a-f]{8}", "$1-[DIGEST]"),
        (r"\b(\d+)\.[0-9a-f]{8}\b", "$1.[INCARNATION]"),
        (r"\d+ rows of \d+ bytes", "[ROWS] rows of [BYTES] bytes"),
        (r"process \d+", "process [PID]"),
        (r"\(pid \d+\)", "(pid [PID])"),
        (r"127\.0\.0\.1:[1-9]\d+", "[ADDRESS]"),
        (r"ps -fp \d+", "ps -fp [PID]"),
        (
            r"(?m)^((?:runtime\.redb|ballast|head|lock) +)\d+$",
            "$1[BYTES]",
        ),
    ] {
        settings.add_filter(pattern, shown);
    }
    settings.bind(|| insta::assert_snapshot!(name, text.join("\n")));
}

/// The program while it runs.
pub(crate) struct Running {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    stderr: BufReader<std::process::ChildStderr>,
    /// What it said on stderr so far.
    said: String,
}

impl Running {
    pub(crate) fn start(place: &Place, args: &[&str]) -> Self {
        Self::of(place.command(args))
    }

    /// Starts this command.
    pub(crate) fn of(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        Self {
            lines: BufReader::new(child.stdout.take().unwrap()).lines(),
            stderr: BufReader::new(child.stderr.take().unwrap()),
            said: String::new(),
            child,
        }
    }

    /// Reads stderr until this was said there.
    pub(crate) fn until_said(&mut self, text: &str) {
        while !self.said.contains(text) {
            let read = self.stderr.read_line(&mut self.said).unwrap();
            assert!(read > 0, "it ended and did not say {text:?}: {}", self.said);
        }
    }

    /// The next line that it prints.
    pub(crate) fn line(&mut self) -> String {
        self.lines.next().unwrap().unwrap()
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Whether it hears Ctrl-C itself, as the system tells.
    pub(crate) fn hears_signals(&self) -> bool {
        self.has_interrupt_in("SigCgt:")
    }

    /// Whether Ctrl-C does nothing to it.
    pub(crate) fn ignores_ctrl_c(&self) -> bool {
        self.has_interrupt_in("SigIgn:")
    }

    fn has_interrupt_in(&self, field: &str) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let signals = status.lines().find_map(|line| line.strip_prefix(field));
        let signals = u64::from_str_radix(signals.unwrap().trim(), 16).unwrap();
        let interrupt = rustix::process::Signal::INT.as_raw();
        signals & (1 << (interrupt - 1)) != 0
    }

    /// Waits for its end: exit code, the rest of stdout, stderr.
    pub(crate) fn wait(self) -> (Option<i32>, Vec<String>, String) {
        let Self {
            mut child,
            lines,
            mut stderr,
            mut said,
        } = self;
        // Both at once, or one that is full would keep the other from being written.
        let words = std::thread::spawn(move || {
            stderr.read_to_string(&mut said).unwrap();
            said
        });
        let rest: Vec<String> = lines.map(Result::unwrap).collect();
        let code = child.wait().unwrap().code();
        (code, rest, words.join().unwrap())
    }
}

/// Whether a process of this id is there.
pub(crate) fn is_alive(pid: &str) -> bool {
    let pid = rustix::process::Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    rustix::process::test_kill_process(pid).is_ok()
}

/// Waits for a condition that no pipe tells.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not within a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
}
