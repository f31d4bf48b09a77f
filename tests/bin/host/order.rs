//! What a crash test orders of its host, what the host notes on the client's side, and what the
//! commands of its Workers do. Compiled into both: the test orders and reads, the host obeys and
//! writes.

#![allow(
    dead_code,
    reason = "one half of it is the host's, the other is the test's"
)]

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use worker_runtime_core::{
    Cursor, Entropy, InputId, Position, RunId, SeededEntropy, Seq, Timestamp, WorkerId,
    input::SubmitInput, worker::CreateWorker,
};

/// The variable by which a test finds the processes of its own commands, whoever their parent is.
pub(crate) const TAG_VARIABLE: &str = "CRASH_TEST";
/// The variable that tells in which life of the host a command was started.
pub(crate) const ROUND_VARIABLE: &str = "CRASH_ROUND";
/// The variable that tells commands where to note that they began.
pub(crate) const SIDE_VARIABLE: &str = "SIDE";
/// The mount that scopes and workspaces are in.
pub(crate) const MOUNT: &str = "repo";

/// One life of a host.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    /// The state directory.
    pub(crate) state: PathBuf,
    /// Where commands note that they began; also the place of the mount.
    pub(crate) side: PathBuf,
    /// The value of [`TAG_VARIABLE`].
    pub(crate) tag: String,
    /// The value of [`ROUND_VARIABLE`].
    pub(crate) round: u64,
    /// The disk space that the store keeps back, where it is not the default.
    pub(crate) ballast_bytes: Option<u64>,
    pub(crate) part: Part,
}

/// What the host does when it is open.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Part {
    /// Obeys requests on its standard input, one JSON line each, answered by one JSON line each.
    Serve,
    /// Feeds Workers until it is killed.
    Feed {
        journals: PathBuf,
        seed: u64,
        workers: u64,
    },
    /// Sends everything again, waits until nothing is left to do, and closes.
    Drain { journals: PathBuf, workers: u64 },
}

/// What a serving host is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Request {
    Create(Box<CreateWorker>),
    Send(WorkerId, SubmitInput),
    /// Ends the run that the Worker has now.
    CancelRun(WorkerId),
    Stop(WorkerId),
    Show(WorkerId),
    /// Waits for an event of this type, about this input when one is named; tells its data.
    Until(WorkerId, String, Option<InputId>),
    Close,
}

/// How a serving host answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Answer {
    Done(Value),
    Refused { code: String, message: String },
}

/// What a host says by itself, each a line of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Said {
    /// It begins to open the store.
    Opening,
    /// The Runtime is open; what an earlier life left is over.
    Open,
    /// It did not open.
    Failed { code: String, message: String },
    /// Nothing is left to do at this position.
    Drained(Position),
}

/// What a client notes in its journal: before a call, and after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Noted {
    Creating(WorkerId),
    Created {
        position: Position,
        repeated: bool,
    },
    /// Before the call.
    Sending(InputId),
    /// After it: the receipt.
    Accepted {
        input_id: InputId,
        seq: Seq,
        position: Position,
        repeated: bool,
    },
    Refused {
        input_id: InputId,
        code: String,
    },
    Cancelling(RunId),
}

/// What an observer notes of each item, in one line together with where to go on: it is seen when
/// the whole line is there, and else it is seen again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum Seen {
    Event(Cursor, Value),
    Gap(Cursor, String),
    Failed(String),
}

/// What a Worker's command does with each input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A few lines at once.
    Quick,
    /// A few lines, with pauses.
    Slow,
    /// Ends with code 3.
    Failing,
    /// Ignores TERM, and leaves a child in a session of its own that does the same.
    Stubborn,
    /// Much output, then a pause before the last line.
    Bulky,
}

const BULKY_LINES: u64 = 400;
/// Makes a line of [`Kind::Bulky`] long.
const FILLING: &str =
    "................................................................................";

impl Kind {
    /// What the Worker of this number does.
    pub(crate) fn of(worker: u64) -> Self {
        match worker % 10 {
            0..=4 => Self::Quick,
            5 | 6 => Self::Slow,
            7 => Self::Failing,
            8 => Self::Stubborn,
            _ => Self::Bulky,
        }
    }

    /// A shell script that reads an input, which is its own id, and first of all notes that it runs.
    pub(crate) fn script(self) -> String {
        let begin = r#"read -r id; echo "$id" >> "$SIDE/$id""#;
        let lines = |count: u64, each: &str| {
            format!("n=0; while [ $n -lt {count} ]; do n=$((n+1)); echo \"$id $n{each}; done")
        };
        let body = match self {
            Self::Quick => lines(6, "\""),
            Self::Slow => lines(6, "\"; sleep 0.08"),
            Self::Failing => lines(2, "\"") + "; exit 3",
            Self::Stubborn => {
                format!(
                    "trap '' TERM; setsid sleep 20 & {}",
                    lines(5, "\"; sleep 0.1")
                )
            }
            Self::Bulky => {
                lines(BULKY_LINES, &format!(" {FILLING}\"")) + "; sleep 0.7; echo \"$id end\""
            }
        };
        format!("{begin}; {body}")
    }

    /// Everything that the script writes when nobody ends it.
    pub(crate) fn output(self, id: &str) -> String {
        let lines = |count: u64, end: &str| -> String {
            (1..=count).map(|n| format!("{id} {n}{end}\n")).collect()
        };
        match self {
            Self::Quick | Self::Slow => lines(6, ""),
            Self::Failing => lines(2, ""),
            Self::Stubborn => lines(5, ""),
            Self::Bulky => lines(BULKY_LINES, &format!(" {FILLING}")) + &format!("{id} end\n"),
        }
    }
}

/// The id of the Worker of this number: chosen by the client, so that a creation can be repeated.
pub(crate) fn worker_id(worker: u64) -> WorkerId {
    let at = Timestamp::from_unix_ms(1_767_312_000_000 + worker);
    WorkerId::mint(at, &mut SeededEntropy::new(worker))
}

/// Choices that a seed determines.
#[derive(Debug, Clone)]
pub(crate) struct Dice(SeededEntropy);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(SeededEntropy::new(seed))
    }

    pub(crate) fn next(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    /// A number below this one.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// True once in so many times.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}
