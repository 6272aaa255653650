//! Locks between processes: a file that one of them holds at a time.

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// While this lives no other process of ours holds the same lock.
#[derive(Debug)]
pub struct FileLock(#[expect(dead_code, reason = "held, not used")] File);

impl FileLock {
    /// Waits for a lock on a directory, which need not be ours.
    pub fn on_directory(path: &Path) -> io::Result<Self> {
        Self::on(File::open(path)?)
    }

    /// Waits for a lock on a file of our own, made for that with mode 0600.
    pub fn on_file(path: &Path) -> io::Result<Self> {
        Self::on(OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?)
    }

    /// A lock on a file of our own, unless another process holds it.
    pub fn try_on_file(path: &Path) -> io::Result<Option<Self>> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self(file))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    fn on(file: File) -> io::Result<Self> {
        match flock(&file, FlockOperation::LockExclusive) {
            // A file system without locks: what else guards against a clash still does.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOLCK | Errno::NOSYS) => Ok(Self(file)),
            Err(errno) => Err(errno.into()),
        }
    }
}
