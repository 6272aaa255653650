//! One writer at a time: a lock on a data directory, and who holds it.

use super::JournalError;
use crate::runtime::lock::FileLock;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};

/// The lock's name in the data directory; it holds a [`Holder`].
const LOCK: &str = "journal.lock";

/// Who writes a journal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process.
    pub pid: u32,
    /// Where it takes requests, in words.
    #[serde(default)]
    pub front: String,
    /// The socket at which other processes of the same user reach it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub socket: Option<PathBuf>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.pid, self.front.as_str()) {
            (0, _) => f.write_str("it has not said which"),
            (pid, "") => write!(f, "process {pid}"),
            (pid, front) => write!(f, "process {pid}, {front}"),
        }
    }
}

/// The right to write the journal of a data directory; given back when dropped.
#[derive(Debug)]
pub struct JournalLock {
    dir: PathBuf,
    _lock: FileLock,
}

impl JournalLock {
    /// Takes it, or tells who has it.
    pub fn take(dir: &Path) -> Result<Self, JournalError> {
        let path = dir.join(LOCK);
        let lock = FileLock::try_on_file(&path).map_err(|error| JournalError::io(&path, &error))?;
        let Some(lock) = lock else {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let holder = serde_json::from_str(&text).unwrap_or_default();
            return Err(JournalError::Held { dir: dir.to_owned(), holder });
        };
        // Who held it before is of no interest; whoever asks now has to wait until this one has said who it is.
        std::fs::write(&path, "").map_err(|error| JournalError::io(&path, &error))?;
        Ok(Self { dir: dir.to_owned(), _lock: lock })
    }

    /// Says who holds it.
    pub fn say(&self, holder: &Holder) -> Result<(), JournalError> {
        let path = self.dir.join(LOCK);
        let text = serde_json::to_string(holder).unwrap_or_default();
        std::fs::write(&path, text).map_err(|error| JournalError::io(&path, &error))
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it_and_the_next_is_told_who() {
        let dir = tempfile::tempdir().unwrap();
        let lock = JournalLock::take(dir.path()).unwrap();
        let refused = JournalLock::take(dir.path()).unwrap_err();
        assert!(refused.to_string().contains("it has not said which"), "{refused}");
        let front = "serving http://127.0.0.1:8000/mcp".to_owned();
        lock.say(&Holder { pid: std::process::id(), front, socket: None }).unwrap();
        let refused = JournalLock::take(dir.path()).unwrap_err().to_string();
        let told = format!("process {}, serving http://127.0.0.1:8000/mcp", std::process::id());
        assert!(refused.contains(&told), "{refused}");
        drop(lock);
        JournalLock::take(dir.path()).unwrap();
    }
}
