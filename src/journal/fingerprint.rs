//! Telling equal arguments without keeping them: a keyed hash, so that nobody can try words against it.

use super::JournalError;
use crate::domain::change::Change;
use crate::domain::host::HostId;
use hmac::{Hmac, Mac as _};
use rand::RngCore as _;
use sha2::Sha256;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// The key's name in the data directory.
pub(super) const KEY_FILE: &str = "journal.key";

/// Bytes of the key.
const KEY_BYTES: usize = 32;

/// The key of a journal; never shown.
pub(super) struct FingerprintKey([u8; KEY_BYTES]);

impl FingerprintKey {
    /// The key in the file at `path`; made with mode 0600 when there is none. Says whether it was there.
    pub(super) fn load_or_create(path: &Path) -> Result<(Self, bool), JournalError> {
        let failed = |error: std::io::Error| JournalError::io(path, &error);
        let mut key = [0; KEY_BYTES];
        match std::fs::read(path) {
            Ok(bytes) => {
                let known: [u8; KEY_BYTES] =
                    bytes.try_into().map_err(|_| JournalError::Key { path: path.to_owned() })?;
                Ok((Self(known), true))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                rand::rng().fill_bytes(&mut key);
                // Whole or not at all: half a key would be of no use to the next start.
                let draft = path.with_extension("new");
                let mut options = OpenOptions::new();
                options.write(true).create(true).truncate(true).mode(0o600);
                let written = (|| {
                    let mut file = options.open(&draft)?;
                    file.write_all(&key)?;
                    file.sync_all()?;
                    std::fs::rename(&draft, path)
                })();
                written.map_err(failed)?;
                Ok((Self(key), false))
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// The fingerprint of a change to a host.
    pub(super) fn of_change(&self, change: &Change, host: &HostId) -> String {
        self.of(&format!("{host} {}", serde_json::to_string(change).unwrap_or_default()))
    }

    /// The fingerprint of `text`.
    pub(super) fn of(&self, text: &str) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).unwrap_or_else(|_| unreachable!("any length will do"));
        mac.update(text.as_bytes());
        mac.finalize().into_bytes().iter().fold(String::new(), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}
