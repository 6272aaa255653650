//! Watching for changes of configuration files.
//!
//! The directories are watched, never the files: editors rename over a file, and mounted
//! configuration swaps a link beside it. An event is a hint to read again and nothing more; it names
//! whatever it likes.

use super::fields::WatchMode;
use super::load::Sources;
use super::places;
use super::read::read_bytes;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// An editor's save is a burst of events; one reading after it is enough.
const SETTLE: Duration = Duration::from_millis(200);

/// Read again this often without an event: shares and mounts do not always send them.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// The same where nothing is told at all. A look reads the files and compares.
const POLL_EVERY: Duration = Duration::from_secs(2);

/// Calls `look` after each change of a file that `sources` may read, and every minute; every two seconds
/// where `mode` says so. Ends never.
pub async fn watch(sources: &Sources, mode: WatchMode, look: impl Fn()) {
    if mode == WatchMode::Poll {
        loop {
            sleep(POLL_EVERY).await;
            look();
        }
    }
    let (hint, mut hints) = mpsc::channel(1);
    loop {
        // Anew each time: a directory may be another one by now, and its old watch deaf, even where the
        // file system gave it the same number again.
        let (sources, hint) = (sources.clone(), hint.clone());
        // Files may lie on a share that hangs; a thread may wait for it.
        let armed = tokio::task::spawn_blocking(move || arm(&directories(&sources), &hint));
        let _watcher = armed.await.ok().flatten();
        // What changed while nobody watched.
        look();
        if let Ok(Some(())) = timeout(LOOK_EVERY, hints.recv()).await {
            sleep(SETTLE).await;
            while hints.try_recv().is_ok() {}
        }
    }
}

/// A number that changes with what the files of `sources` hold, or with the engine that is offered where
/// they name none: while it stays, reading them again tells nothing new.
pub fn stamp(sources: &Sources) -> u64 {
    let mut hasher = DefaultHasher::new();
    crate::transport::local::find_socket().hash(&mut hasher);
    for file in places::candidates(sources) {
        // What cannot be read is told by the reading.
        (read_bytes(&file).ok(), file).hash(&mut hasher);
    }
    hasher.finish()
}

/// The directories that hold, or would hold, a configuration file, and where links lead; of one that is
/// missing, the nearest parent, in which it would appear.
fn directories(sources: &Sources) -> BTreeSet<PathBuf> {
    let nearest = |file: &PathBuf| file.ancestors().skip(1).find(|dir| dir.is_dir()).map(PathBuf::from);
    let mut directories = BTreeSet::new();
    for file in places::candidates(sources) {
        // `hosts.yml` alone has no parent to find.
        let Ok(file) = std::path::absolute(file) else { continue };
        directories.extend(nearest(&file));
        directories.extend(file.canonicalize().ok().as_ref().and_then(nearest));
    }
    directories.retain(|dir| dir.parent().is_some());
    directories
}

fn arm(directories: &BTreeSet<PathBuf>, hint: &mpsc::Sender<()>) -> Option<RecommendedWatcher> {
    let hint = hint.clone();
    let tell = move |event: notify::Result<notify::Event>| {
        // Reading is an event too; our own would never end. A full channel holds a hint already.
        if event.is_ok_and(|event| !event.kind.is_access()) {
            let _ = hint.try_send(());
        }
    };
    let mut watcher = notify::recommended_watcher(tell)
        .map_err(
            |error| tracing::warn!(%error, "configuration files are not watched, only read every minute"),
        )
        .ok()?;
    for directory in directories {
        if let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive) {
            tracing::warn!(%error, directory = %directory.display(), "not watched, only read every minute");
        }
    }
    Some(watcher)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s10_the_stamp_changes_with_the_content_and_with_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts.yml");
        let sources = Sources { config: Some(path.clone()), ..Sources::default() };
        let missing = stamp(&sources);
        std::fs::write(&path, "hosts: {}\n").unwrap();
        let there = stamp(&sources);
        assert_ne!(missing, there);
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "hosts: {}\n").unwrap();
        assert_eq!(stamp(&sources), there, "another file, the same content");
        std::fs::write(&path, "hosts: { }\n").unwrap();
        assert_ne!(stamp(&sources), there);
    }

    #[test]
    fn s10_a_file_named_without_a_directory_is_watched_where_it_lies() {
        let sources = Sources { config: Some("hosts.yml".into()), ..Sources::default() };
        assert_eq!(directories(&sources), BTreeSet::from([std::env::current_dir().unwrap()]));
    }
}
