//! Replacing a file: whole or not at all, durable, its mode and owner kept, and never over what
//! somebody else wrote in the meantime.

use crate::runtime::lock::FileLock;
use rustix::fs::{AtFlags, CWD, RenameFlags, accessat, fchmod, fchown, renameat_with};
use rustix::io::Errno;
use rustix::process::{Gid, Uid};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Why a file was left as it was.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Its owner made it read-only.
    #[error("{} is read-only, and stays as it is. Make it writable, or edit it yourself.", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// Somebody else wrote it at the same time.
    #[error("{} was changed by somebody else at the same moment; their version stays, and nothing else was changed. Try again.", path.display())]
    Conflict {
        /// The file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("cannot write {}: {source}. It stays as it is.", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Keeps other Dockmasters from a file of a person's, by its directory: nothing of ours is to lie beside
/// it. Editors do not ask for it.
pub(super) fn lock(path: &Path) -> Result<FileLock, WriteError> {
    let locked = FileLock::on_directory(path.parent().unwrap_or(Path::new("/")));
    locked.map_err(|source| WriteError::Io { path: path.to_owned(), source })
}

/// Keeps other Dockmasters from a file of ours. May be asked for while a person's file is locked, not the
/// other way round.
pub(super) fn lock_ours(path: &Path) -> Result<FileLock, WriteError> {
    let locked = FileLock::on_file(&path.with_extension("lock"));
    locked.map_err(|source| WriteError::Io { path: path.to_owned(), source })
}

/// The file that a path leads to, links followed; it need not be there.
pub(super) fn target(path: &Path) -> PathBuf {
    path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned())
}

/// Writes `new` to `path` if it still holds `base`; `None` is a file that is not there.
pub(super) fn replace(path: &Path, base: Option<&[u8]>, new: &[u8]) -> Result<(), WriteError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::ReadOnlyFilesystem => WriteError::ReadOnly { path: path.to_owned() },
        _ => WriteError::Io { path: path.to_owned(), source },
    };
    let found = base.is_some().then(|| fs::metadata(path)).transpose().map_err(failed)?;
    if found.as_ref().is_some_and(|found| is_read_only(path, found.mode())) {
        return Err(WriteError::ReadOnly { path: path.to_owned() });
    }
    let beside = Beside::new(path, new, found.as_ref()).map_err(failed)?;
    let written = match base {
        Some(base) => beside.exchange(path, base, new),
        None => match fs::hard_link(&beside.0, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            linked => linked.map(|()| true),
        },
    };
    if !written.map_err(failed)? {
        return Err(WriteError::Conflict { path: path.to_owned() });
    }
    sync_directory(path).map_err(failed)
}

/// Whether its owner meant it to stay: root, too, is told so by the mode.
fn is_read_only(path: &Path, mode: u32) -> bool {
    let access = accessat(CWD, path, rustix::fs::Access::WRITE_OK, AtFlags::EACCESS);
    mode & 0o222 == 0 || matches!(access, Err(Errno::ACCESS | Errno::ROFS | Errno::PERM))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

/// A file beside the one that is replaced; gone with this.
struct Beside(PathBuf);

impl Drop for Beside {
    fn drop(&mut self) {
        // After a plain rename it is gone already.
        let _ = fs::remove_file(&self.0);
    }
}

impl Beside {
    /// The new content, durable, with mode and owner of the file that is there.
    fn new(path: &Path, content: &[u8], like: Option<&fs::Metadata>) -> io::Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let beside = path.with_file_name(format!(".{name}.{:016x}", rand::random::<u64>()));
        let mode = if like.is_some() { 0o600 } else { 0o644 };
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
        let beside = Self(beside);
        file.write_all(content)?;
        if let Some(like) = like {
            let owned = file.metadata()?;
            if (owned.uid(), owned.gid()) != (like.uid(), like.gid()) {
                fchown(&file, Some(Uid::from_raw(like.uid())), Some(Gid::from_raw(like.gid())))?;
            }
            fchmod(&file, rustix::fs::Mode::from_raw_mode(like.mode()))?;
        }
        file.sync_all()?;
        Ok(beside)
    }

    /// Puts this in the place of `path` if that holds `base`; says whether it did. Whatever somebody
    /// else wrote last is what stands there otherwise.
    fn exchange(&self, path: &Path, base: &[u8], new: &[u8]) -> io::Result<bool> {
        match renameat_with(CWD, &self.0, CWD, path, RenameFlags::EXCHANGE) {
            Ok(()) => {}
            // A file system that cannot exchange: look, then rename.
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                let unchanged = fs::read(path)? == base;
                if unchanged {
                    fs::rename(&self.0, path)?;
                }
                return Ok(unchanged);
            }
            Err(errno) => return Err(errno.into()),
        }
        let mut displaced = fs::read(&self.0)?;
        if displaced == base {
            return Ok(true);
        }
        // Theirs goes back. If that displaces something else than what was put there before, it is newer
        // still, and goes back in turn.
        let mut there = new.to_vec();
        loop {
            renameat_with(CWD, &self.0, CWD, path, RenameFlags::EXCHANGE)?;
            let taken = fs::read(&self.0)?;
            if taken == there {
                return Ok(false);
            }
            there = std::mem::replace(&mut displaced, taken);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn only_file(dir: &Path) -> Vec<String> {
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_is_replaced_with_its_mode_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts.yml");
        replace(&path, None, b"a").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(&path, Some(1234), Some(4321)).unwrap();
        }
        let owner = |path: &Path| fs::metadata(path).map(|file| (file.uid(), file.gid())).unwrap();
        let before = owner(&path);
        replace(&path, Some(b"a"), b"b").unwrap();
        assert_eq!(owner(&path), before);
        assert_eq!(fs::read(&path).unwrap(), b"b");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
        assert_eq!(only_file(dir.path()), ["hosts.yml"]);
    }

    #[test]
    fn what_somebody_else_wrote_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts.yml");
        fs::write(&path, "theirs").unwrap();
        assert!(matches!(replace(&path, Some(b"base"), b"ours"), Err(WriteError::Conflict { .. })));
        assert!(matches!(replace(&path, None, b"ours"), Err(WriteError::Conflict { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"theirs");
        assert_eq!(only_file(dir.path()), ["hosts.yml"]);
    }

    #[test]
    fn a_read_only_file_stays_also_for_root() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts.yml");
        fs::write(&path, "a").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        assert!(matches!(replace(&path, Some(b"a"), b"b"), Err(WriteError::ReadOnly { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"a");
    }
}
