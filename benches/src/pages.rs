//! One who reads pages over a bare connection that is kept open.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{Failure, served::Listening};

/// A connection.
pub struct Pages {
    stream: TcpStream,
    token: String,
    received: Vec<u8>,
}

impl Pages {
    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn open(listening: &Listening) -> Result<Self, Failure> {
        Ok(Self {
            stream: TcpStream::connect(listening.address).await?,
            token: listening.token.clone(),
            received: Vec::new(),
        })
    }

    /// Asks for a page; how many events it has that were told, numbered from `number` on, and its `next`.
    ///
    /// # Errors
    /// When the answer is none, or an event is missing, twice there or out of order.
    pub async fn page(&mut self, target: &str, number: u64) -> Result<(u64, String), Failure> {
        let asked = format!(
            "GET {target} HTTP/1.1\r\nHost: localhost\r\nAccept: application/json\r\n\
             Authorization: Bearer {}\r\n\r\n",
            self.token
        );
        self.stream.write_all(asked.as_bytes()).await?;
        let body = self.answer().await?;
        let mut next_number = number;
        for rest in body.split("\"number\":").skip(1) {
            let found = rest.split([',', '}']).next().unwrap_or_default();
            if found.parse() != Ok(next_number) {
                return Err(Failure::new(format!(
                    "event {found} came for {next_number}"
                )));
            }
            next_number += 1;
        }
        let next = body.rsplit_once("\"next\":\"");
        let next = next.and_then(|(_, rest)| rest.split('"').next());
        let next = next.ok_or_else(|| Failure::new("a page does not say where it ends"))?;
        Ok((next_number - number, next.to_owned()))
    }

    /// The body of the next answer.
    async fn answer(&mut self) -> Result<String, Failure> {
        self.received.clear();
        let (head, length) = loop {
            self.receive().await?;
            let end = self
                .received
                .windows(4)
                .position(|four| four == b"\r\n\r\n");
            let Some(end) = end else { continue };
            let head = self.received.get(..end).unwrap_or_default();
            break (end + 4, length_of(std::str::from_utf8(head)?)?);
        };
        while self.received.len() < head + length {
            self.receive().await?;
        }
        let body = self.received.get(head..head + length).unwrap_or_default();
        Ok(std::str::from_utf8(body)?.to_owned())
    }

    async fn receive(&mut self) -> Result<(), Failure> {
        match self.stream.read_buf(&mut self.received).await? {
            0 => Err(Failure::new("the server ended a connection")),
            _ => Ok(()),
        }
    }
}

fn length_of(head: &str) -> Result<usize, Failure> {
    let ill = || Failure::new(format!("this is no page: {head}"));
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(ill());
    }
    let mut lengths = head.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim())
    });
    Ok(lengths.next_back().ok_or_else(ill)?.parse()?)
}
