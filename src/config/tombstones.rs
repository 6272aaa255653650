//! Policies of engines whose hosts were removed, or pointed elsewhere, over MCP: an assistant that adds
//! such an engine again gets no more than it had. A person lifts them by the command line.

use super::write::{WriteError, lock_ours, replace};
use crate::domain::policy::{Engine, EngineIdentity, Policy};
use std::io;
use std::path::{Path, PathBuf};

/// One removed host.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Tombstone {
    place: String,
    engine: Option<String>,
    /// It was connected to, and its engine tells no name.
    #[serde(default)]
    nameless: bool,
    policy: String,
}

impl Tombstone {
    fn new(identity: &EngineIdentity, policy: Policy) -> Self {
        let (engine, nameless) = match &identity.engine {
            Engine::Named(name) => (Some(name.clone()), false),
            Engine::Nameless => (None, true),
            Engine::Unknown => (None, false),
        };
        Self { place: identity.place.clone(), engine, nameless, policy: policy.word().to_owned() }
    }

    fn identity(&self) -> EngineIdentity {
        let engine = match (&self.engine, self.nameless) {
            (Some(name), _) => Engine::Named(name.clone()),
            (None, true) => Engine::Nameless,
            (None, false) => Engine::Unknown,
        };
        EngineIdentity { place: self.place.clone(), engine }
    }

    /// A word that a newer version wrote is taken for the strictest.
    fn policy(&self) -> Policy {
        self.policy.parse().unwrap_or(Policy::ReadOnly)
    }
}

fn list(data_dir: &Path) -> PathBuf {
    data_dir.join("removed-hosts.json")
}

/// What is remembered, and the file it was read from; an error when that cannot be read: then nobody
/// knows what was promised.
fn read(data_dir: &Path) -> io::Result<(Option<Vec<u8>>, Vec<Tombstone>)> {
    match std::fs::read(list(data_dir)) {
        Ok(bytes) => {
            let stones = serde_json::from_slice(&bytes)?;
            Ok((Some(bytes), stones))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((None, vec![])),
        Err(error) => Err(error),
    }
}

fn change(data_dir: &Path, change: impl FnOnce(&mut Vec<Tombstone>)) -> Result<(), WriteError> {
    let path = list(data_dir);
    let _lock = lock_ours(&path)?;
    let (before, mut stones) =
        read(data_dir).map_err(|source| WriteError::Io { path: path.clone(), source })?;
    change(&mut stones);
    let text = serde_json::to_vec_pretty(&stones).unwrap_or_default();
    if before.as_ref() == Some(&text) {
        return Ok(());
    }
    replace(&path, before.as_deref(), &text)
}

/// The removed hosts and what they were held to. Where that cannot be read, one entry that is every engine
/// and held to reading.
pub fn buried(data_dir: &Path) -> Vec<(EngineIdentity, Policy)> {
    match read(data_dir) {
        Ok((_, stones)) => stones.iter().map(|stone| (stone.identity(), stone.policy())).collect(),
        Err(_) => vec![(EngineIdentity { place: String::new(), engine: Engine::Unknown }, Policy::ReadOnly)],
    }
}

/// Remembers what a host that goes was held to; one that was held to nothing leaves nothing. Says whether
/// that is new.
pub fn bury(data_dir: &Path, identity: &EngineIdentity, policy: Policy) -> Result<bool, WriteError> {
    if policy == Policy::ReadWrite {
        return Ok(false);
    }
    let stone = Tombstone::new(identity, policy);
    let mut is_new = false;
    change(data_dir, |stones| {
        is_new = !stones.contains(&stone);
        if is_new {
            stones.push(stone);
        }
    })?;
    Ok(is_new)
}

/// Takes back one burial: the host did not go after all.
pub fn unbury(data_dir: &Path, identity: &EngineIdentity, policy: Policy) -> Result<(), WriteError> {
    let stone = Tombstone::new(identity, policy);
    change(data_dir, |stones| stones.retain(|known| *known != stone))
}

/// Forgets what was remembered of an engine: a person has decided about it.
pub fn lift(data_dir: &Path, identity: &EngineIdentity) -> Result<(), WriteError> {
    if !list(data_dir).exists() {
        return Ok(());
    }
    change(data_dir, |stones| stones.retain(|stone| !stone.identity().is_same(identity)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_hosts_policy_is_remembered_until_a_person_lifts_it() {
        let data = tempfile::tempdir().unwrap();
        let identity =
            |place: &str| EngineIdentity { place: place.into(), engine: Engine::Named("E".into()) };
        let nas = identity("nas:22");
        assert!(!bury(data.path(), &nas, Policy::ReadWrite).unwrap());
        assert!(bury(data.path(), &nas, Policy::ReadOnly).unwrap());
        assert!(!bury(data.path(), &nas, Policy::ReadOnly).unwrap());
        assert_eq!(buried(data.path()), [(nas.clone(), Policy::ReadOnly)]);
        unbury(data.path(), &nas, Policy::ReadOnly).unwrap();
        assert_eq!(buried(data.path()), []);
        bury(data.path(), &nas, Policy::NoDestructive).unwrap();
        lift(data.path(), &identity("10.0.0.2:22")).unwrap();
        assert_eq!(buried(data.path()), []);
    }

    #[test]
    fn what_cannot_be_read_holds_everything_back_and_stays() {
        let data = tempfile::tempdir().unwrap();
        std::fs::write(list(data.path()), "[{").unwrap();
        assert!(
            matches!(buried(data.path()).as_slice(), [(any, Policy::ReadOnly)] if any.engine == Engine::Unknown)
        );
        let nas = EngineIdentity { place: "nas:22".into(), engine: Engine::Nameless };
        assert!(bury(data.path(), &nas, Policy::ReadOnly).is_err());
        assert_eq!(std::fs::read(list(data.path())).unwrap(), b"[{");
    }
}
