//! What Runtime and monitor say to each other, and monitor and starter.
//!
//! Messages are JSON, one per packet of a sequenced-packet socket: whole or not at all, and the end of
//! one side is the end of the stream at the other. File descriptors travel beside a message, so nobody
//! here ever makes one from a number, and none is open by accident in the command.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair,
};
use rustix::process::WaitIdStatus;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Grows when a message changes so that an older side would misread it.
pub(super) const PROTOCOL: u32 = 2;

/// Every message is far below this; what is longer is refused, not cut.
const MESSAGE_BYTES_MAX: usize = 4096;

/// Standard input, output and error of the command, and what it is enclosed in.
const DESCRIPTORS_MAX: usize = 4;

/// From the Runtime to the monitor.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Order {
    /// Execute the command; its standard input, output and error come along, and what it is to be
    /// enclosed in, if it is.
    Go { enclosed: bool },
    /// TERM now, KILL after the grace.
    Cancel { term_grace_ms: u64 },
}

/// From the monitor to the Runtime.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Report {
    /// The monitor holds its tree and waits for [`Order::Go`].
    Ready { protocol: u32 },
    /// The kernel keeps the command to where it may write.
    Enclosed { landlock_version: u32 },
    /// The command executes.
    Started { pid: i32, start_time_ticks: u64 },
    /// The command was never executed.
    NotStarted(StartFailure),
    /// The command itself ended; others of its tree may still run.
    Exited { exit: Exit },
    /// Nothing of the tree is left.
    Quiet,
}

/// Why the command was never executed: the step that failed, and the reason of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StartFailure {
    pub(super) step: StartStep,
    pub(super) errno: i32,
}

impl StartFailure {
    pub(super) fn new(step: StartStep, error: &io::Error) -> Self {
        let fallback = rustix::io::Errno::INVAL.raw_os_error();
        Self {
            step,
            errno: error.raw_os_error().unwrap_or(fallback),
        }
    }

    pub(super) fn source(self) -> io::Error {
        io::Error::from_raw_os_error(self.errno)
    }
}

/// The steps from *go* to the executing command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum StartStep {
    /// The monitor or the starter could not prepare.
    Prepare,
    WorkingDirectory,
    /// The command could not be kept to where it may write.
    Enclose,
    Execute,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Exit {
    /// It ended by itself with this code.
    Code(i32),
    /// It was ended by this signal.
    Signal(i32),
    /// It ended, and the system did not keep how (the Runtime was started with SIGCHLD ignored).
    Unknown,
}

impl Exit {
    pub(super) fn of(status: &WaitIdStatus) -> Self {
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Self::Code(code),
            (None, Some(signal)) => Self::Signal(signal),
            (None, None) => Self::Unknown,
        }
    }
}

/// A connected pair of packet sockets, closed on execution.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// Sends one message with the descriptors that belong to it; blocks only if the socket does.
pub(super) fn send<M: Serialize>(
    socket: impl AsFd,
    message: &M,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "more descriptors than one message carries",
        ));
    }
    // Without NOSIGNAL a peer that is gone would end an embedder that restored SIGPIPE.
    sendmsg(
        socket,
        &[IoSlice::new(&bytes)],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

/// Receives one message with its descriptors; `None` when the peer is gone.
pub(super) fn receive<M: DeserializeOwned>(
    socket: impl AsFd,
) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
    let mut bytes = [0; MESSAGE_BYTES_MAX];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = match recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut bytes)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    ) {
        Ok(received) => received,
        // What the peer had not read when it died shows here as a reset: it is gone all the same.
        Err(rustix::io::Errno::CONNRESET) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let descriptors = ancillary
        .drain()
        .flat_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect(),
            _ => Vec::new(),
        })
        .collect();
    if received.bytes == 0 {
        return Ok(None);
    }
    let malformed = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    if received
        .flags
        .intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC)
    {
        return Err(malformed(format!(
            "a message is longer than {MESSAGE_BYTES_MAX} bytes or carries too many descriptors"
        )));
    }
    let message = bytes.get(..received.bytes).unwrap_or_default();
    let message = serde_json::from_slice(message)
        .map_err(|error| malformed(format!("a message is not understood: {error}")))?;
    Ok(Some((message, descriptors)))
}

#[cfg(test)]
mod tests;
