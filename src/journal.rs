//! Floor 3: the journal, a database in the data directory, by way of `SQLite`. The only floor that names `sqlx`.
//!
//! * one process writes, which holds the lock; anybody of the same user may read
//! * what [`Store::commit`] returned without an error is on disk (WAL, `synchronous=FULL`)
//! * what cannot be opened is left as it is and told: there is no silent fresh start

mod fingerprint;
mod lock;
mod read;
pub mod record;
mod store;
#[cfg(test)]
mod tests;

pub use lock::{Holder, JournalLock};
pub use read::{Page, Reader, Recalled};
pub use store::Store;
#[cfg(test)]
pub(crate) use store::occupy;

use std::path::{Path, PathBuf};

/// The database's name in the data directory.
const FILE: &str = "journal.db";

/// Why the journal does not do what it is asked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// There is none: the program that started the service gave it no place.
    #[error("this service keeps no journal, so it changes nothing")]
    None,
    /// There is none in the data directory.
    #[error("there is no journal {}: nothing was changed from there yet", path.display())]
    Absent {
        /// The database.
        path: PathBuf,
    },
    /// Another process writes it.
    #[error("the journal in {} is held by another Dockmaster: {holder}", dir.display())]
    Held {
        /// The data directory.
        dir: PathBuf,
        /// Who.
        holder: Holder,
    },
    /// Another program writes it at the moment.
    #[error("the journal {} is locked by another program", path.display())]
    Locked {
        /// The database.
        path: PathBuf,
    },
    /// A newer Dockmaster wrote it.
    #[error("the journal {} was written by a newer Dockmaster; use that one, or move the file away", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
    },
    /// It is damaged.
    #[error("the journal {} is damaged ({words}); move it away and keep it, then start again", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// The database's words.
        words: String,
    },
    /// The fingerprints' key is not one.
    #[error("{} is no key of a journal; move it and the journal beside it away", path.display())]
    Key {
        /// The key's file.
        path: PathBuf,
    },
    /// The disk is full.
    #[error("the disk that the journal {} lies on is full", path.display())]
    Full {
        /// The database.
        path: PathBuf,
    },
    /// It may not be written.
    #[error("the journal {} may not be written ({words})", path.display())]
    ReadOnly {
        /// The database.
        path: PathBuf,
        /// The system's words.
        words: String,
    },
    /// The system or the database failed.
    #[error("the journal {} cannot be used: {words}", path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// The reason.
        words: String,
    },
    /// Somebody is still at the operation.
    #[error("operation {operation} is still being seen to; try again when its step has ended")]
    Busy {
        /// Which.
        operation: String,
    },
    /// Its writer is being started again.
    #[error("the journal's writer is being restarted; try again in a moment")]
    Restarting,
}

impl JournalError {
    fn io(path: &Path, error: &std::io::Error) -> Self {
        let (path, words) = (path.to_owned(), error.to_string());
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full { path },
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                Self::ReadOnly { path, words }
            }
            _ => Self::Failed { path, words },
        }
    }

    /// By the primary result codes of `SQLite`.
    /// Whether nothing at all can be written, whatever it is.
    pub fn is_of_all(&self) -> bool {
        matches!(self, Self::Locked { .. } | Self::Full { .. } | Self::ReadOnly { .. } | Self::Damaged { .. })
    }

    fn sql(path: &Path, error: &sqlx::Error) -> Self {
        let (path, words) = (path.to_owned(), error.to_string());
        let code = error.as_database_error().and_then(|error| error.code()?.parse::<u32>().ok());
        match code.map(|code| code & 0xff) {
            Some(5 | 6) => Self::Locked { path },
            Some(13) => Self::Full { path },
            Some(3 | 8 | 14 | 23) => Self::ReadOnly { path, words },
            Some(11 | 26) => Self::Damaged { path, words },
            _ => Self::Failed { path, words },
        }
    }
}
