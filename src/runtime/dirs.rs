//! The directories Dockmaster keeps for itself.

use rustix::fs::{FileType, Mode};
use sha2::{Digest as _, Sha256};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A socket's path has at most 107 bytes, of which OpenSSH takes 17 while it binds its own, and a
/// link's directory and name a dozen.
const LONGEST_RUN_DIR: usize = 76;

/// A directory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirError {
    /// It could not be created or read.
    #[error("cannot use the directory {}: {source}", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It belongs to somebody else, is open to others, or is a symbolic link.
    #[error("{} must be a directory of your own with mode 0700; it is not. Remove it or set {variable} to another place.", path.display())]
    Foreign {
        /// The directory.
        path: PathBuf,
        /// The variable that names another place.
        variable: &'static str,
    },
    /// Sockets in it would have names longer than the system allows.
    #[error("{} is too long a name for sockets: at most {LONGEST_RUN_DIR} bytes. Set DOCKMASTER_RUNTIME_DIR to a shorter one.", path.display())]
    TooLong {
        /// The directory.
        path: PathBuf,
    },
    /// No home directory is known, so there is no place for data.
    #[error("no home directory is known. Set DOCKMASTER_DATA_DIR to a directory of your own.")]
    NoHome,
}

/// The directory for sockets and other things that die with the process, removed on drop.
///
/// Its path is short because OpenSSH adds up to 17 characters to a control socket's name and a
/// socket's path ends at 108.
#[derive(Debug, Clone)]
pub struct RunDir(Arc<OwnedRunDir>);

#[derive(Debug)]
struct OwnedRunDir {
    path: PathBuf,
    next: AtomicU64,
}

impl Drop for OwnedRunDir {
    fn drop(&mut self) {
        // Best effort: the next start removes what is left of processes that are gone.
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl RunDir {
    /// Makes this process's own directory below `DOCKMASTER_RUNTIME_DIR`, else
    /// `$XDG_RUNTIME_DIR/dockmaster`, else `/run/dockmaster` for root, else
    /// `/tmp/dockmaster-UID`, and removes those of processes that no longer run.
    pub fn create() -> Result<Self, DirError> {
        Self::create_in(&runtime_dir())
    }

    /// Makes this process's own directory below `parent`.
    pub fn create_in(parent: &Path) -> Result<Self, DirError> {
        own_private_dir(parent, "DOCKMASTER_RUNTIME_DIR")?;
        remove_stale(parent);
        let path = parent.join(std::process::id().to_string());
        let path = if path.exists() { unused(&path) } else { path };
        if path.as_os_str().len() > LONGEST_RUN_DIR {
            return Err(DirError::TooLong { path });
        }
        own_private_dir(&path, "DOCKMASTER_RUNTIME_DIR")?;
        Ok(Self(Arc::new(OwnedRunDir { path, next: AtomicU64::new(1) })))
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// A fresh private directory inside; the caller removes it.
    pub fn fresh(&self) -> io::Result<PathBuf> {
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let path = self.0.path.join(number.to_string());
        fs::DirBuilder::new().mode(0o700).create(&path)?;
        Ok(path)
    }
}

/// Where this user's Dockmasters keep what dies with them.
fn runtime_dir() -> PathBuf {
    let uid = rustix::process::getuid();
    let env = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    env("DOCKMASTER_RUNTIME_DIR")
        .or_else(|| env("XDG_RUNTIME_DIR").filter(|dir| dir.is_dir()).map(|dir| dir.join("dockmaster")))
        .or_else(|| uid.is_root().then(|| PathBuf::from("/run/dockmaster")))
        .unwrap_or_else(|| PathBuf::from(format!("/tmp/dockmaster-{}", uid.as_raw())))
}

/// The directory of the hosts' local sockets, made with mode 0700: one place, whichever process serves
/// them, so that other tools find them again.
pub fn sockets_dir() -> Result<PathBuf, DirError> {
    let parent = runtime_dir();
    own_private_dir(&parent, "DOCKMASTER_RUNTIME_DIR")?;
    let sockets = parent.join("s");
    own_private_dir(&sockets, "DOCKMASTER_RUNTIME_DIR")?;
    Ok(sockets)
}

/// The socket of the service that works from `data_dir`, in a directory of this user alone.
pub fn control_socket(data_dir: &Path) -> Result<PathBuf, DirError> {
    let parent = runtime_dir();
    own_private_dir(&parent, "DOCKMASTER_RUNTIME_DIR")?;
    let doors = parent.join("c");
    own_private_dir(&doors, "DOCKMASTER_RUNTIME_DIR")?;
    let absolute = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    let digest = Sha256::digest(absolute.as_os_str().as_bytes());
    let [a, b, c, d] = [digest[0], digest[1], digest[2], digest[3]];
    Ok(doors.join(format!("{:08x}.sock", u32::from_be_bytes([a, b, c, d]))))
}

/// Several instances in one process (tests) get a directory each: `PID`, `PID.1`, `PID.2` …
fn unused(path: &Path) -> PathBuf {
    static INSTANCE: AtomicU64 = AtomicU64::new(1);
    path.with_extension(INSTANCE.fetch_add(1, Ordering::Relaxed).to_string())
}

/// Creates `path` with mode 0700, or checks that it is such a directory of ours already.
fn own_private_dir(path: &Path, variable: &'static str) -> Result<(), DirError> {
    let io = |source| DirError::Io { path: path.to_owned(), source };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(io)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(io(error)),
        _ => {}
    }
    let found = rustix::fs::lstat(path).map_err(|errno| io(errno.into()))?;
    let ours = FileType::from_raw_mode(found.st_mode) == FileType::Directory
        && found.st_uid == rustix::process::getuid().as_raw()
        && is_private(found.st_mode);
    if ours { Ok(()) } else { Err(DirError::Foreign { path: path.to_owned(), variable }) }
}

/// Whether neither group nor others may do anything.
fn is_private(mode: u32) -> bool {
    !Mode::from_raw_mode(mode).intersects(Mode::RWXG | Mode::RWXO)
}

/// Removes the directories of processes that are gone. A live process of the same number keeps
/// one more until it ends; that is harmless.
fn remove_stale(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_string_lossy().split('.').next().and_then(|pid| pid.parse::<u32>().ok());
        let gone = pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists());
        if gone && Path::new("/proc/self").exists() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Where data that outlives the process lies: `DOCKMASTER_DATA_DIR`, else
/// `$XDG_DATA_HOME/dockmaster`, else `~/.local/share/dockmaster`. Created with mode 0700.
pub fn data_dir() -> Result<PathBuf, DirError> {
    let env = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let path = env("DOCKMASTER_DATA_DIR")
        .or_else(|| env("XDG_DATA_HOME").map(|dir| dir.join("dockmaster")))
        .or_else(|| etcetera::home_dir().ok().map(|home| home.join(".local/share/dockmaster")))
        .ok_or(DirError::NoHome)?;
    own_private_dir(&path, "DOCKMASTER_DATA_DIR")?;
    Ok(path)
}

/// The home directory that programs take which do not ask the environment, such as ssh: the one of the
/// user's entry in `/etc/passwd`, else `$HOME`.
pub fn login_home() -> Option<PathBuf> {
    let uid = rustix::process::getuid().as_raw().to_string();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let entry = users
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|entry| entry.get(2) == Some(&&*uid));
    let home = entry.and_then(|entry| entry.get(5).map(PathBuf::from)).filter(|home| home.is_absolute());
    home.or_else(|| etcetera::home_dir().ok())
}

/// Whether the file at `path` belongs to this user and nobody else may read it.
pub fn is_private_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|found| {
        found.is_file() && found.uid() == rustix::process::getuid().as_raw() && is_private(found.mode())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_directory_is_private_and_goes_with_its_owner() {
        let parent = tempfile::tempdir().unwrap();
        let stale = parent.path().join("dm/4194305"); // above the kernel's largest process number
        fs::create_dir_all(&stale).unwrap();
        fs::set_permissions(parent.path().join("dm"), fs::Permissions::from_mode(0o700)).unwrap();

        let run = RunDir::create_in(&parent.path().join("dm")).unwrap();
        assert!(!stale.exists());
        let path = run.path().to_owned();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);
        assert_ne!(run.fresh().unwrap(), run.fresh().unwrap());
        drop(run);
        assert!(!path.exists());
    }

    #[test]
    fn a_name_too_long_for_sockets_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let long = parent.path().join("x".repeat(80));
        assert!(matches!(RunDir::create_in(&long), Err(DirError::TooLong { .. })));
    }

    #[test]
    fn a_directory_open_to_others_or_a_link_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        let open = parent.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(RunDir::create_in(&open), Err(DirError::Foreign { .. })));

        let target = parent.path().join("target");
        fs::DirBuilder::new().mode(0o700).create(&target).unwrap();
        let link = parent.path().join("link");
        std::os::unix::fs::symlink(&target, &link).unwrap();
        assert!(matches!(RunDir::create_in(&link), Err(DirError::Foreign { .. })));
    }
}
