//! The Runtime's end of a control socket, for tokio.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram as StdUnixDatagram;

use tokio::io::Interest;
use tokio::net::UnixDatagram;

use super::wire::{self, Order, Report};

/// Closing it tells the monitor that the Runtime is gone.
///
/// tokio has no type of its own for sequenced packets, and its wrapper for any descriptor takes
/// `unsafe`; here its datagram socket only waits until the descriptor is ready.
#[derive(Debug)]
pub(super) struct Channel {
    socket: UnixDatagram,
}

impl Channel {
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        let socket = StdUnixDatagram::from(socket);
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket: UnixDatagram::from_std(socket)?,
        })
    }

    pub(super) async fn send(
        &self,
        order: &Order,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        self.socket
            .async_io(Interest::WRITABLE, || {
                wire::send(&self.socket, order, descriptors)
            })
            .await
    }

    /// The next report; `None` when the monitor is gone. Nothing is lost if the future is dropped.
    pub(super) async fn receive(&self) -> io::Result<Option<Report>> {
        let received = self
            .socket
            .async_io(Interest::READABLE, || wire::receive(&self.socket))
            .await?;
        Ok(received.map(|(report, _)| report))
    }
}
