//! A successor takes over from a running server without closing its socket.
//!
//! The running server listens on a Unix socket that is named after its data directory. A successor
//! connects to it and gets a copy of the TCP socket that clients connect to. It says that it is
//! ready; then the running server ends its requests and closes its data, and the successor opens
//! them. Clients that connect meanwhile wait in the backlog of the TCP socket, which is never
//! closed.
//!
//! The Unix socket has an abstract name: it leaves no file behind, neither for a copy of the data
//! nor after a crash. Any user can connect to such a name or take it, so each side checks the
//! other's user.
//!
//! ```text
//! successor                      running server
//!     | ── connects ──────────────────▶ |
//!     | ◀── greeting, with the socket ─ |
//!     | ── go ────────────────────────▶ |  stops
//!     | ◀── closes the connection ───── |  its data are free
//! ```

use std::fs;
use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{
    SocketAddr, UnixListener as StdUnixListener, UnixStream as StdUnixStream,
};
use std::path::Path;
use std::time::Duration;

use nix::unistd::{Uid, geteuid};
use rustix::net::sockopt::socket_peercred;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::io::AsyncReadExt as _;
use tokio::net::{UnixListener, UnixStream};

/// Names the protocol. A server that speaks another one is not taken over from.
const GREETING: &[u8] = b"leasehold takeover 1\n";
const GO: &[u8] = b"go\n";
/// How long a successor may take from its connection to its `go`.
const GO_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the running server may take to say or do something. It promises to stop in five
/// seconds.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// Why the socket of a running server could not be taken over.
#[derive(Debug, thiserror::Error)]
pub(super) enum TakeoverError {
    #[error("the running server cannot be taken over from: {0}")]
    Io(#[from] io::Error),
    #[error("the running server speaks another protocol of takeovers")]
    Foreign,
    #[error("user {0} listens where the running server should")]
    Stranger(Uid),
    #[error("the running server did not stop within {} s", STOP_TIMEOUT.as_secs())]
    Runs,
}

/// Takes the socket over from the server that runs on this data directory, and waits until that
/// server has let go of its data. `None` if no server offers its socket.
///
/// # Errors
/// If the running server speaks another protocol, or does not stop.
pub(super) fn take_over(data_dir: &Path) -> Result<Option<TcpListener>, TakeoverError> {
    let Ok(mut running) = name(data_dir).and_then(|name| StdUnixStream::connect_addr(&name)) else {
        return Ok(None);
    };
    let user = user_of(&running)?;
    if !is_trusted(user) {
        return Err(TakeoverError::Stranger(user));
    }
    running.set_read_timeout(Some(STOP_TIMEOUT))?;
    let listener = TcpListener::from(receive(&running)?);
    running.write_all(GO)?;
    match running.read(&mut [0]) {
        Ok(0) => {}
        Ok(_) => return Err(TakeoverError::Foreign),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(TakeoverError::Runs),
        Err(error) => return Err(error.into()),
    }
    Ok(Some(listener))
}

/// A server's offer to be taken over from. Dropping it withdraws it.
pub(super) struct Offer(UnixListener);

/// The successor that takes over. It waits until this is dropped.
#[derive(Debug)]
pub(super) struct Successor(#[expect(dead_code, reason = "dropping it is its purpose")] UnixStream);

impl Offer {
    /// Offers to be taken over from in a data directory that this server has for itself.
    pub(super) fn new(data_dir: &Path) -> io::Result<Self> {
        let listener = StdUnixListener::bind_addr(&name(data_dir)?)?;
        listener.set_nonblocking(true)?;
        Ok(Self(UnixListener::from_std(listener)?))
    }

    /// Resolves when a successor takes over. It has a copy of `socket` then. A successor that ends
    /// before changes nothing.
    pub(super) async fn taken(self, socket: &TcpListener) -> Successor {
        loop {
            match self.next(socket).await {
                Ok(successor) => return successor,
                Err(error) => tracing::warn!(%error, "a successor did not take over"),
            }
        }
    }

    async fn next(&self, socket: &TcpListener) -> io::Result<Successor> {
        let (mut stream, _) = self.0.accept().await?;
        let user = user_of(&stream)?;
        if !is_trusted(user) {
            return Err(io::Error::other(format!("user {user} may not take over")));
        }
        stream.writable().await?;
        send(&stream, socket)?;
        let mut said = [0; GO.len()];
        tokio::time::timeout(GO_TIMEOUT, stream.read_exact(&mut said)).await??;
        if said != GO {
            return Err(io::Error::other("it speaks another protocol"));
        }
        Ok(Successor(stream))
    }
}

/// The name of the Unix socket of a data directory.
fn name(data_dir: &Path) -> io::Result<SocketAddr> {
    let directory = fs::metadata(data_dir)?;
    SocketAddr::from_abstract_name(format!("leasehold/{}/{}", directory.dev(), directory.ino()))
}

fn user_of(peer: impl AsFd) -> io::Result<Uid> {
    Ok(Uid::from_raw(socket_peercred(peer)?.uid.as_raw()))
}

fn is_trusted(user: Uid) -> bool {
    user == geteuid() || user.is_root()
}

/// Sends the greeting and a copy of the TCP socket.
fn send(stream: &UnixStream, socket: &TcpListener) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let sockets = [socket.as_fd()];
    if !ancillary.push(SendAncillaryMessage::ScmRights(&sockets)) {
        return Err(io::Error::other("the socket cannot be passed"));
    }
    let greeting = [IoSlice::new(GREETING)];
    let sent = sendmsg(stream, &greeting, &mut ancillary, SendFlags::NOSIGNAL)?;
    if sent == GREETING.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Reads the greeting and the TCP socket.
fn receive(stream: &StdUnixStream) -> Result<OwnedFd, TakeoverError> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut greeting = [0; GREETING.len()];
    let mut into = [IoSliceMut::new(&mut greeting)];
    let got = recvmsg(stream, &mut into, &mut ancillary, RecvFlags::CMSG_CLOEXEC)
        .map_err(io::Error::from)?;
    let socket = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut sockets) => sockets.next(),
        _ => None,
    });
    if got.bytes != GREETING.len() || greeting != *GREETING {
        return Err(TakeoverError::Foreign);
    }
    socket.ok_or(TakeoverError::Foreign)
}
