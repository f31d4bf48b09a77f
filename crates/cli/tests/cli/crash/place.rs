//! A state directory, and the servers that live on it one after the other, at one address.

use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use worker_runtime_http::client::{Client, ClientOptions};
use worker_runtime_persist::ReadStore;

use super::{
    order::{Dice, ROUND_VARIABLE, SIDE_VARIABLE, TAG_VARIABLE},
    processes::kill_tagged,
};
use crate::{serving::Serving, support};

/// What takes longer hangs.
const DEADLINE: Duration = Duration::from_secs(60);
/// Below the ports that the system gives to whoever names none: nobody takes it while no server runs.
const PORTS: std::ops::Range<u64> = 12_000..30_000;

pub(crate) struct Place {
    place: support::Place,
    address: String,
    pub(crate) tag: String,
    round: u64,
}

impl Place {
    pub(crate) fn new(dice: &mut Dice) -> Self {
        let place = support::Place::new();
        let home = place.project().parent().unwrap().to_owned();
        for name in ["side", "journals"] {
            std::fs::create_dir(home.join(name)).unwrap();
        }
        let address = loop {
            let port = PORTS.start + dice.below(PORTS.end - PORTS.start);
            let address = format!("127.0.0.1:{port}");
            if TcpListener::bind(&address).is_ok() {
                break address;
            }
        };
        Self {
            tag: home.file_name().unwrap().to_string_lossy().into_owned(),
            place,
            address,
            round: 0,
        }
    }

    fn home(&self) -> PathBuf {
        self.place.project().parent().unwrap().to_owned()
    }

    /// Where commands note that they began.
    pub(crate) fn side(&self) -> PathBuf {
        self.home().join("side")
    }

    pub(crate) fn journals(&self) -> PathBuf {
        self.home().join("journals")
    }

    /// Which life of a server it is.
    pub(crate) fn round(&self) -> u64 {
        self.round
    }

    fn command(&mut self) -> Command {
        self.round += 1;
        let mut command = self.place.command(&["serve", "--bind", &self.address]);
        command
            .env(TAG_VARIABLE, &self.tag)
            .env(ROUND_VARIABLE, self.round.to_string())
            .env(SIDE_VARIABLE, self.side());
        command
    }

    /// A server that may be anywhere in its opening.
    pub(crate) fn begin(&mut self) -> Child {
        let mut command = self.command();
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    }

    /// A server that serves.
    pub(crate) fn serve(&mut self) -> Serving {
        Serving::of(self.command())
    }

    /// A client that may do everything, whichever server there is.
    pub(crate) fn client(&self) -> Client {
        let token = crate::serving::local_token(&self.place);
        let url = format!("http://{}", self.address);
        Client::new(&ClientOptions::new(url, Some(token))).unwrap()
    }

    /// How often the command of this input began.
    pub(crate) fn executions(&self, input_id: &str) -> usize {
        match std::fs::read_to_string(self.side().join(input_id)) {
            Ok(text) => text.lines().filter(|line| *line == input_id).count(),
            Err(_) => 0,
        }
    }

    /// The store, read as it is.
    pub(crate) fn read(&self) -> ReadStore {
        ReadStore::open(&self.place.state()).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // A test that failed may have left some.
        kill_tagged(&self.tag, |_| true);
    }
}

/// Looks again and again; there is no other way to hear of what another process does.
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited {DEADLINE:?} for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
