//! Where the server listens, and who is told of it.
//!
//! Clients on this machine send the access token of the state directory to the address that stands in
//! its lock's file. So it stands there only while this process has the port (I11).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsFd, OwnedFd},
};

use tokio::net::{TcpListener, TcpSocket};
use worker_runtime_core::store::StoreError;
use worker_runtime_persist::PublicAddress;

/// Takes the address, and does not listen yet.
pub(super) fn take(bind: SocketAddr) -> io::Result<TcpSocket> {
    let socket = match bind {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // Or a server could not be started again while the system remembers its last connections.
    socket.set_reuseaddr(true)?;
    socket.bind(bind)?;
    Ok(socket)
}

/// Where clients on this machine find the server.
pub(super) fn url_of(address: SocketAddr) -> String {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    format!("http://{}", SocketAddr::new(ip, address.port()))
}

/// The address, told to others or about to be.
pub(super) struct Told {
    public: PublicAddress,
    /// Keeps the port taken.
    port: OwnedFd,
}

impl Told {
    /// # Errors
    /// When the system has no descriptor left.
    pub(super) fn new(public: PublicAddress, listener: &TcpListener) -> io::Result<Self> {
        let port = listener.as_fd().try_clone_to_owned()?;
        Ok(Self { public, port })
    }

    /// Tells it: somebody listens there by now.
    ///
    /// # Errors
    /// When it can't be written.
    pub(super) fn publish(&self, address: SocketAddr) -> Result<(), StoreError> {
        self.public.publish(&url_of(address))
    }

    /// Takes it back while the server still listens.
    pub(super) fn withdraw(self) {
        if self.public.withdraw().is_err() {
            // It is still told of, so nobody else may listen there before this process has ended.
            std::mem::forget(self.port);
        }
    }
}
