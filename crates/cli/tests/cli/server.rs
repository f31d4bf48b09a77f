//! A server of a place's store, as a process of its own.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, ChildStderr, Command, Stdio},
};

use rustix::process::{Pid, Signal};

use crate::support::{Place, Ran};

/// The program while it serves.
pub(crate) struct Server {
    child: Child,
    stderr: BufReader<ChildStderr>,
    pub(crate) url: String,
}

impl Server {
    /// Serves at a port that the system chooses.
    pub(crate) fn start(place: &Place) -> Self {
        Self::at(place, "127.0.0.1:0")
    }

    /// Serves here; returns when it is ready.
    pub(crate) fn at(place: &Place, bind: &str) -> Self {
        Self::of(place.command(&["serve", "--bind", bind]))
    }

    /// The same with more options.
    pub(crate) fn with(place: &Place, options: &[&str]) -> Self {
        let mut command = place.command(&["serve", "--bind", "127.0.0.1:0"]);
        command.args(options);
        Self::of(command)
    }

    fn of(mut command: Command) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut told = String::new();
        let url = loop {
            let mut line = String::new();
            assert_ne!(stderr.read_line(&mut line).unwrap(), 0, "it ended: {told}");
            if let Some(rest) = line.strip_prefix("serving: ") {
                break rest.split(',').next().unwrap().to_owned();
            }
            told.push_str(&line);
        };
        Self { child, stderr, url }
    }

    /// Where it listens, without the scheme.
    pub(crate) fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    /// Ends it in order.
    pub(crate) fn end(mut self) {
        self.signal(Signal::TERM);
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0), "{rest}");
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(mut self) {
        self.signal(Signal::KILL);
        assert_eq!(self.child.wait().unwrap().code(), None);
    }

    fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Of a test that failed; one that ended it already does nothing here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What was told on stderr but for who was asked, which is the one line that differs by design.
pub(crate) fn words(ran: &Ran) -> String {
    let lines = ran.stderr.lines();
    let lines = lines.filter(|line| {
        !line.starts_with("asking the server at ") && !line.starts_with("nobody runs it: ")
    });
    lines.map(|line| format!("{line}\n")).collect()
}
