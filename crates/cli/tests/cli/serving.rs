//! A server of the real binary, and a client of it.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::PathBuf,
    process::{Child, ChildStderr, Command, Stdio},
};

use rustix::process::Signal;
use worker_runtime_http::client::{Client, ClientOptions};

use crate::support::{Place, Ran};

/// `serve` at a port that the system chose.
pub(crate) struct Serving {
    child: Child,
    stderr: BufReader<ChildStderr>,
    /// What it said until it was ready.
    pub(crate) said: String,
    pub(crate) url: String,
}

impl Serving {
    /// Starts it and waits until it says that it serves.
    pub(crate) fn start(place: &Place) -> Self {
        Self::at(place, "127.0.0.1:0")
    }

    /// Starts it at this address.
    pub(crate) fn at(place: &Place, bind: &str) -> Self {
        Self::with(place, &["--bind", bind])
    }

    /// Starts it with these options.
    pub(crate) fn with(place: &Place, args: &[&str]) -> Self {
        Self::of(place.command(&[&["serve"], args].concat()))
    }

    /// Starts this command, which serves.
    pub(crate) fn of(mut command: Command) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains("serving") {
            let read = stderr.read_line(&mut said).unwrap();
            assert!(read > 0, "it ended: {said}");
        }
        let from = said.find("http://").unwrap();
        let url = said[from..].split([',', '"']).next().unwrap().to_owned();
        Self {
            child,
            stderr,
            said,
            url,
        }
    }

    /// Where it listens, without the scheme.
    pub(crate) fn address(&self) -> &str {
        self.url.strip_prefix("http://").unwrap()
    }

    /// How many long-polls wait there, as it counts them.
    pub(crate) fn waiting(&self, place: &Place) -> u32 {
        let mut answer = String::new();
        let mut asked = self.ask(place, "/metrics", "text/plain");
        asked.read_to_string(&mut answer).unwrap();
        let series = "worker_runtime_http_long_polls_waiting ";
        let count = answer.lines().find_map(|line| line.strip_prefix(series));
        count.unwrap_or_else(|| panic!("{answer}")).parse().unwrap()
    }

    /// The frames of a stream of server-sent events, until everything there was is told.
    pub(crate) fn streamed(&self, place: &Place, path: &str) -> String {
        let mut told = String::new();
        let mut asked = BufReader::new(self.ask(place, path, "text/event-stream"));
        while !told.contains("event: up_to_date") {
            let read = asked.read_line(&mut told).unwrap();
            assert!(read > 0, "it ended: {told}");
        }
        told
    }

    /// A request with the token of whoever may read the state directory; its answer is still to be read.
    fn ask(&self, place: &Place, path: &str, accept: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address()).unwrap();
        let (address, token) = (self.address(), local_token(place));
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        stream
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// The next line that it says.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.stderr.read_line(&mut line).unwrap();
        line
    }

    /// Waits for its end: exit code, and what it said since it was ready.
    pub(crate) fn wait(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }

    /// Ends it in order: what it said since it was ready.
    pub(crate) fn end(self) -> String {
        self.signal(Signal::TERM);
        let (code, said) = self.wait();
        assert_eq!(code, Some(0), "{said}");
        said
    }

    /// Ends it as a power cut would, as far as processes go.
    pub(crate) fn kill(self) {
        self.signal(Signal::KILL);
        assert_eq!(self.wait().0, None);
    }

    /// A client with a token, or with none.
    pub(crate) fn client(&self, token: Option<&str>) -> Client {
        Client::new(&ClientOptions::new(&self.url, token.map(str::to_owned))).unwrap()
    }

    /// A client that may do everything.
    pub(crate) fn admin(&self, place: &Place) -> Client {
        self.client(Some(&local_token(place)))
    }

    /// The call, with what differs from one server to the next hidden.
    pub(crate) fn hide(&self, ran: Ran) -> Ran {
        let mut ran = ran;
        let address = self.address();
        let port = address.rsplit(':').next().unwrap().to_owned();
        for text in [&mut ran.stdout, &mut ran.stderr] {
            *text = text
                .replace(address, "[ADDRESS]")
                .replace(&format!(":{port}"), ":[PORT]");
        }
        ran.hide_typed(address, "[ADDRESS]")
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Of a test that failed; one that ended it already does nothing here.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The token of whoever may read the state directory.
pub(crate) fn local_token(place: &Place) -> String {
    std::fs::read_to_string(token_file(place))
        .unwrap()
        .trim()
        .to_owned()
}

pub(crate) fn token_file(place: &Place) -> PathBuf {
    place.state().join("access-token")
}

/// Runs a call of a client.
pub(crate) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    tokio.unwrap().block_on(future)
}
