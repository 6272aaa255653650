//! Files that a person has confirmed as they are: a running service believes them even where they take
//! all their hosts away, which it otherwise takes for an accident.
//!
//! They are noted in the data directory, by path and content, so that every service of this person knows
//! them and nothing has to be told to a process; and for a short while only, so that the same accident is
//! none of them later.

use super::Sources;
use super::places;
use super::read::read_bytes;
use super::write::{WriteError, lock_ours, replace, target};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Within this time every running service has looked, also where nothing tells it of changes.
const VALID_FOR: Duration = Duration::from_secs(600);

fn list(data_dir: &Path) -> PathBuf {
    data_dir.join("confirmed-files")
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// A file in a state; `None` is not there.
fn hash(path: &Path, content: Option<&[u8]>) -> String {
    let mut hasher = Sha256::new();
    hasher.update(target(path).as_os_str().as_encoded_bytes());
    hasher.update([0, u8::from(content.is_some())]);
    hasher.update(content.unwrap_or_default());
    hasher.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The states that are confirmed at the moment: `HASH SECONDS` a line.
fn valid(text: &str) -> impl Iterator<Item = (&str, u64)> {
    let oldest = now().saturating_sub(VALID_FOR.as_secs());
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.filter_map(|(hash, at)| Some((hash, at.parse().ok()?))).filter(move |(_, at)| *at >= oldest)
}

/// Notes that the file at `path` is meant with this content.
pub(super) fn note(sources: &Sources, path: &Path, content: Option<&[u8]>) -> Result<(), WriteError> {
    let Some(list) = sources.data_dir.as_deref().map(list) else { return Ok(()) };
    let _lock = lock_ours(&list)?;
    let before = std::fs::read_to_string(&list).ok();
    let mut text = String::new();
    for (hash, at) in valid(before.as_deref().unwrap_or_default()) {
        let _ = writeln!(text, "{hash} {at}");
    }
    let _ = writeln!(text, "{} {}", hash(path, content), now());
    replace(&list, before.as_deref().map(str::as_bytes), text.as_bytes())
}

/// The files of `sources` whose present state is confirmed.
pub fn confirmed(sources: &Sources) -> BTreeSet<PathBuf> {
    let known = sources.data_dir.as_deref().and_then(|dir| std::fs::read_to_string(list(dir)).ok());
    let known = known.unwrap_or_default();
    let known: BTreeSet<&str> = valid(&known).map(|(hash, _)| hash).collect();
    let is_known = |path: &PathBuf| known.contains(hash(path, read_bytes(path).ok().as_deref()).as_str());
    places::candidates(sources).into_iter().filter(is_known).collect()
}

/// Confirms the files of `sources` as they are now; returns them.
pub fn confirm(sources: &Sources) -> Result<Vec<PathBuf>, WriteError> {
    let files = places::candidates(sources);
    for path in &files {
        note(sources, path, read_bytes(path).ok().as_deref())?;
        // A running service looks at files that are touched. One that is not there, or not ours to touch,
        // is looked at within a minute.
        if let Ok(file) = std::fs::File::options().append(true).open(path) {
            let _ = file.set_modified(SystemTime::now());
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_confirmed_state_of_the_confirmed_file_is_confirmed_and_not_for_long() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts.yml");
        let sources = Sources {
            config: Some(path.clone()),
            data_dir: Some(dir.path().to_owned()),
            ..Sources::default()
        };
        let confirmed = || confirmed(&sources).contains(&path);
        std::fs::write(&path, "").unwrap();
        assert!(!confirmed());
        confirm(&sources).unwrap();
        assert!(confirmed());
        std::fs::remove_file(&path).unwrap();
        assert!(!confirmed(), "an empty file is not a missing one");
        confirm(&sources).unwrap();
        assert!(confirmed());
        note(&sources, &dir.path().join("other.yml"), Some(b"hosts: {}\n")).unwrap();
        std::fs::write(&path, "hosts: {}\n").unwrap();
        assert!(!confirmed(), "what is said of one file is not said of another");
        confirm(&sources).unwrap();
        let list = list(dir.path());
        let old = now() - VALID_FOR.as_secs() - 1;
        // The second may have passed since it was said.
        let text = (0..60).fold(std::fs::read_to_string(&list).unwrap(), |text, ago| {
            text.replace(&format!(" {}", now() - ago), &format!(" {old}"))
        });
        std::fs::write(&list, text).unwrap();
        assert!(!confirmed(), "what was said an hour ago is not said now");
    }
}
