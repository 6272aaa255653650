//! Locks between processes: a file that one of them holds at a time.

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

/// Locks are held for milliseconds; whoever holds one for ten seconds hangs.
const TRIES: u32 = 1000;
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

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

    #[expect(clippy::disallowed_methods, reason = "callers are threads that may wait")]
    fn on(file: File) -> io::Result<Self> {
        for _ in 0..TRIES {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                // A file system without locks: what else guards against a clash still does.
                Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOLCK | Errno::NOSYS) => return Ok(Self(file)),
                Err(Errno::WOULDBLOCK) => std::thread::sleep(BETWEEN_TRIES),
                Err(errno) => return Err(errno.into()),
            }
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "another Dockmaster holds it and does not let go"))
    }
}
