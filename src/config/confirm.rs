//! Contents of files that a person has confirmed: a running service believes them even where they take
//! all hosts of a file away, which it otherwise takes for an accident.
//!
//! They lie in the data directory as hashes, so that every service of this person knows them, and so
//! that nothing has to be told to a process.

use super::Sources;
use super::places;
use super::write::{WriteError, lock_ours, replace};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// More than this are older than anything that is still to be read.
const MOST_KEPT: usize = 64;

fn list(data_dir: &Path) -> PathBuf {
    data_dir.join("confirmed-files")
}

fn hash(content: &[u8]) -> String {
    Sha256::digest(content).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Notes that a file with this content is meant as it is.
pub(super) fn note(sources: &Sources, content: &[u8]) -> Result<(), WriteError> {
    let Some(path) = sources.data_dir.as_deref().map(list) else { return Ok(()) };
    let _lock = lock_ours(&path)?;
    let before = std::fs::read_to_string(&path).ok();
    let new = hash(content);
    let mut hashes: Vec<&str> =
        before.iter().flat_map(|text| text.lines()).filter(|line| *line != new).collect();
    hashes.push(&new);
    let kept = &hashes[hashes.len().saturating_sub(MOST_KEPT)..];
    replace(&path, before.as_deref().map(str::as_bytes), format!("{}\n", kept.join("\n")).as_bytes())
}

/// The files of `sources` whose present content is confirmed; one that is not there is empty.
pub fn confirmed(sources: &Sources) -> BTreeSet<PathBuf> {
    let known = sources.data_dir.as_deref().and_then(|dir| std::fs::read_to_string(list(dir)).ok());
    let known = known.unwrap_or_default();
    let known: BTreeSet<&str> = known.lines().collect();
    let is_known = |path: &PathBuf| known.contains(hash(&std::fs::read(path).unwrap_or_default()).as_str());
    places::candidates(sources).into_iter().filter(is_known).collect()
}

/// Confirms the files of `sources` as they are now; returns them.
pub fn confirm(sources: &Sources) -> Result<Vec<PathBuf>, WriteError> {
    let files = places::candidates(sources);
    for path in &files {
        note(sources, &std::fs::read(path).unwrap_or_default())?;
        // A running service looks at files that are touched. One that is not there, or not ours to touch,
        // is looked at within a minute.
        if let Ok(file) = std::fs::File::options().append(true).open(path) {
            let _ = file.set_modified(std::time::SystemTime::now());
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_confirmed_content_is_confirmed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts.yml");
        let sources = Sources {
            config: Some(path.clone()),
            data_dir: Some(dir.path().to_owned()),
            ..Sources::default()
        };
        std::fs::write(&path, "hosts: {}\n").unwrap();
        assert!(confirmed(&sources).is_empty());
        confirm(&sources).unwrap();
        for _ in 0..2 * MOST_KEPT {
            note(&sources, &rand::random::<[u8; 8]>()).unwrap();
        }
        assert!(confirmed(&sources).is_empty(), "the oldest are forgotten");
        confirm(&sources).unwrap();
        assert_eq!(confirmed(&sources), BTreeSet::from([path.clone()]));
        std::fs::write(&path, "hosts:\n").unwrap();
        assert!(confirmed(&sources).is_empty());
    }
}
