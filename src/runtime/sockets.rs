//! Listening sockets for this user alone: mode 0600 from the first moment, held by one process at a time,
//! gone with it.

use super::lock::FileLock;
use rustix::fs::{Mode, fchmod};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, listen, socket_with};
use std::io;
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use tokio::net::{UnixListener, UnixStream};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 128;

/// Why a socket is not open.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another process of ours has it.
    #[error("the socket {} is held by another Dockmaster; it is taken over when that one ends", path.display())]
    Held {
        /// The socket.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot open the socket {}: {source}", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// An open socket.
#[derive(Debug)]
pub struct PrivateSocket {
    listener: UnixListener,
    path: PathBuf,
    _lock: FileLock,
}

impl Drop for PrivateSocket {
    fn drop(&mut self) {
        // Best effort: the next holder removes what is left.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl PrivateSocket {
    /// Opens the socket at `path`, whose directory is this user's own; one that a dead process left is
    /// replaced.
    pub fn open(path: &Path) -> Result<Self, SocketError> {
        let failed = |source| SocketError::Io { path: path.to_owned(), source };
        let lock = FileLock::try_on_file(&path.with_extension("lock")).map_err(failed)?;
        let lock = lock.ok_or_else(|| SocketError::Held { path: path.to_owned() })?;
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = bind_private(path).map_err(failed)?;
        Ok(Self { listener, path: path.to_owned(), _lock: lock })
    }

    /// The next connection.
    pub async fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().await.map(|(stream, _)| stream)
    }
}

/// On Linux a socket's file gets the mode of the socket it is bound to, so that it is never wider, and no
/// other thread meets another umask. Elsewhere the directory's own mode has to do.
fn bind_private(path: &Path) -> io::Result<UnixListener> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    bind(&socket, &SocketAddrUnix::new(path)?)?;
    listen(&socket, BACKLOG)?;
    UnixListener::from_std(StdListener::from(socket))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[tokio::test]
    async fn a_socket_is_private_held_once_and_gone_with_its_holder() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nas.sock");
        std::fs::write(&path, "left by a dead process").unwrap();
        let socket = PrivateSocket::open(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(PrivateSocket::open(&path), Err(SocketError::Held { .. })));
        let (accepted, connected) = tokio::join!(socket.accept(), UnixStream::connect(&path));
        assert!(accepted.is_ok() && connected.is_ok());
        drop(socket);
        assert!(!path.exists());
        PrivateSocket::open(&path).unwrap();
    }
}
