//! One who follows a stream of server-sent events over a bare connection, and is cheap at it: what is
//! measured is the server.

use std::{str::FromStr, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};

use crate::{
    Failure,
    served::{Listening, nanoseconds},
};

/// What the system keeps for one that does not read: little, so that its server has to wait soon.
const UNREAD_BYTES_MAX: u32 = 4 << 10;
/// A bench that hangs is worse than one that fails.
const PATIENCE: Duration = Duration::from_secs(120);

/// An open stream.
pub struct Follower {
    stream: tokio::net::TcpStream,
    /// What was received and not looked at: less than a line, between two reads.
    received: Vec<u8>,
    /// The number of the event that must come next.
    next: u64,
}

impl Follower {
    /// Opens a stream of what is told from now on, where `told` events were told before.
    ///
    /// # Errors
    /// When the server does not answer with a stream.
    pub async fn open(listening: &Listening, told: u64) -> Result<Self, Failure> {
        Self::over(TcpSocket::new_v4()?, listening, "now", told).await
    }

    /// Opens a stream of what was told from the beginning on.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_at_beginning(listening: &Listening) -> Result<Self, Failure> {
        Self::over(TcpSocket::new_v4()?, listening, "beginning", 0).await
    }

    /// The same for one that won't read for long.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_idle(listening: &Listening, told: u64) -> Result<Self, Failure> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(UNREAD_BYTES_MAX)?;
        Self::over(socket, listening, "now", told).await
    }

    async fn over(
        socket: TcpSocket,
        listening: &Listening,
        from: &str,
        told: u64,
    ) -> Result<Self, Failure> {
        let mut stream = socket.connect(listening.address).await?;
        let asked = format!(
            "GET {}?from={from} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\
             Authorization: Bearer {}\r\n\r\n",
            listening.events, listening.token
        );
        stream.write_all(asked.as_bytes()).await?;
        let mut opened = Self {
            stream,
            received: Vec::with_capacity(16 << 10),
            next: told,
        };
        // From its first frame on nothing is missed.
        while !opened.has_begun()? {
            opened.receive().await?;
        }
        Ok(opened)
    }

    /// Reads until `told` events were told: each was received once and in order, and so long after its
    /// telling began.
    ///
    /// # Errors
    /// When another event came, the server told a gap or ended the stream, or it took too long.
    pub async fn follow(&mut self, told: u64) -> Result<Vec<Duration>, Failure> {
        let mut took = Vec::with_capacity(usize::try_from(told.saturating_sub(self.next))?);
        loop {
            self.take_lines(&mut took)?;
            if self.next >= told {
                return Ok(took);
            }
            let waited = tokio::time::timeout(PATIENCE, self.receive()).await;
            waited.map_err(|_| Failure::new(format!("event {} did not come", self.next)))??;
        }
    }

    async fn receive(&mut self) -> Result<(), Failure> {
        match self.stream.read_buf(&mut self.received).await? {
            0 => Err(Failure::new("the server ended a stream")),
            _ => Ok(()),
        }
    }

    /// Whether the first frame is there; what follows it is left.
    fn has_begun(&mut self) -> Result<bool, Failure> {
        let mut begun = false;
        let mut used = 0;
        while !begun && let Some(line) = line(&self.received, used)? {
            used += line.len() + 1;
            begun = line == "event: started";
        }
        self.received.drain(..used);
        Ok(begun)
    }

    /// Looks at the lines that are whole, and how long their events took. No line goes over the end of a
    /// chunk: both servers send whole frames.
    fn take_lines(&mut self, took: &mut Vec<Duration>) -> Result<(), Failure> {
        let now = nanoseconds();
        let mut used = 0;
        while let Some(line) = line(&self.received, used)? {
            used += line.len() + 1;
            if ["event: gap", "event: end", "event: busy"].contains(&line) {
                return Err(Failure::new(format!("a stream has {line:?}")));
            }
            let Some(number) = field::<u64>(line, "\"number\":") else {
                continue;
            };
            if number != self.next {
                let wanted = self.next;
                return Err(Failure::new(format!("event {number} came for {wanted}")));
            }
            self.next += 1;
            let told_at = field::<u64>(line, "\"told_at\":").unwrap_or(now);
            took.push(Duration::from_nanos(now.saturating_sub(told_at)));
        }
        self.received.drain(..used);
        Ok(())
    }
}

/// The line that begins there, once it is whole.
fn line(received: &[u8], at: usize) -> Result<Option<&str>, Failure> {
    let rest = received.get(at..).unwrap_or_default();
    let Some(length) = rest.iter().position(|byte| *byte == b'\n') else {
        return Ok(None);
    };
    Ok(Some(std::str::from_utf8(
        rest.get(..length).unwrap_or_default(),
    )?))
}

/// The number that follows a key.
pub(crate) fn field<T: FromStr>(line: &str, key: &str) -> Option<T> {
    let (_, rest) = line.split_once(key)?;
    rest.split([',', '}']).next()?.parse().ok()
}
