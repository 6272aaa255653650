//! Who is at the other end: the owner's own processes on this machine, or whoever has the token.

use crate::runtime::dirs::is_private_file;
use rand::Rng as _;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use subtle::ConstantTimeEq as _;

/// Bytes of randomness in a token.
const TOKEN_BYTES: usize = 32;

/// The secret that clients present as `Authorization: Bearer …`. Never shown.
#[derive(Clone)]
pub struct Token(Arc<str>);

/// A token that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file cannot be read or written.
    #[error("cannot use the token file {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others can read it.
    #[error("{} must be a file of your own with mode 0600: run chmod 600 on it, or remove it to get a new token", path.display())]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// It is too short to be a secret.
    #[error("{} holds fewer than 32 characters; remove it to get a new token", path.display())]
    Short {
        /// The file.
        path: PathBuf,
    },
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(***)")
    }
}

impl Token {
    /// The token in the file at `path`; made, with mode 0600, when there is none.
    pub fn load_or_create(path: &Path) -> Result<Self, TokenError> {
        let io = |source| TokenError::Io { path: path.to_owned(), source };
        if !path.exists() {
            let mut text = String::new();
            for byte in rand::rng().random::<[u8; TOKEN_BYTES]>() {
                // Writing to a string cannot fail.
                let _ = write!(text, "{byte:02x}");
            }
            let created = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
            match created {
                Ok(mut file) => file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io)?,
                // Another process was quicker; its token counts.
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(io(error)),
            }
        }
        if !is_private_file(path) {
            return Err(TokenError::Open { path: path.to_owned() });
        }
        let text = std::fs::read_to_string(path).map_err(io)?;
        let text = text.trim();
        if text.len() < TOKEN_BYTES {
            return Err(TokenError::Short { path: path.to_owned() });
        }
        Ok(Self(text.into()))
    }

    /// Whether an `Authorization` header presents this token; takes as long for a near miss as for a
    /// far one.
    pub(super) fn is_presented_by(&self, authorization: Option<&[u8]>) -> bool {
        let presented = authorization.and_then(|header| {
            let (scheme, rest) = header.split_at_checked(7)?;
            scheme.eq_ignore_ascii_case(b"bearer ").then_some(rest)
        });
        presented.is_some_and(|presented| bool::from(presented.ct_eq(self.0.as_bytes())))
    }
}

/// Whether the connection from `peer` to `local` was opened by a process of this user on this
/// machine: the kernel's table of connections names the user of each end.
pub(super) fn is_own_process(peer: SocketAddr, local: SocketAddr) -> bool {
    if !peer.ip().is_loopback() {
        return false;
    }
    let own = rustix::process::getuid().as_raw();
    let table = if peer.is_ipv4() { procfs::net::tcp() } else { procfs::net::tcp6() };
    // Unknown is not own: without the table only the token helps.
    table.is_ok_and(|table| {
        table.iter().any(|entry| {
            entry.local_address == peer && entry.remote_address.port() == local.port() && entry.uid == own
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_made_once_private_and_never_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let token = Token::load_or_create(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(token.is_presented_by(Some(format!("Bearer {text}").as_bytes())));
        assert!(
            Token::load_or_create(&path).unwrap().is_presented_by(Some(format!("bearer {text}").as_bytes()))
        );
        for wrong in [None, Some(""), Some("Bearer "), Some("Bearer x"), Some(text.as_str())] {
            assert!(!token.is_presented_by(wrong.map(str::as_bytes)), "{wrong:?}");
        }
        assert!(!format!("{token:?}").contains(&text));
    }

    #[test]
    fn a_token_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        std::fs::write(&path, "0".repeat(64)).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Token::load_or_create(&path), Err(TokenError::Open { .. })));
        std::fs::write(&path, "short").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(Token::load_or_create(&path), Err(TokenError::Short { .. })));
    }

    #[test]
    fn a_connection_of_our_own_is_recognised() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let local = listener.local_addr().unwrap();
        let client = std::net::TcpStream::connect(local).unwrap();
        let peer = client.local_addr().unwrap();
        assert!(is_own_process(peer, local));
        assert!(!is_own_process("127.0.0.1:1".parse().unwrap(), local));
        assert!(!is_own_process("10.0.0.1:1".parse().unwrap(), local));
    }
}
