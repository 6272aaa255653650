//! Policies of engines whose hosts were removed, or pointed elsewhere, over MCP: an assistant that adds
//! such an engine again gets no more than it had. A person lifts them by the command line.

use super::write::{WriteError, lock_ours, replace};
use crate::domain::policy::{EngineIdentity, Policy, strictest};
use std::path::{Path, PathBuf};

/// One removed host.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct Tombstone {
    place: String,
    engine: Option<String>,
    policy: String,
}

impl Tombstone {
    fn identity(&self) -> EngineIdentity {
        EngineIdentity { place: self.place.clone(), engine: self.engine.clone() }
    }

    /// A word that a newer version wrote is taken for the strictest.
    fn policy(&self) -> Policy {
        self.policy.parse().unwrap_or(Policy::ReadOnly)
    }
}

fn list(data_dir: &Path) -> PathBuf {
    data_dir.join("removed-hosts.json")
}

fn read(data_dir: &Path) -> (Option<Vec<u8>>, Vec<Tombstone>) {
    let bytes = std::fs::read(list(data_dir)).ok();
    let stones = bytes.as_ref().and_then(|bytes| serde_json::from_slice(bytes).ok());
    (bytes, stones.unwrap_or_default())
}

fn change(data_dir: &Path, change: impl FnOnce(&mut Vec<Tombstone>)) -> Result<(), WriteError> {
    let path = list(data_dir);
    let _lock = lock_ours(&path)?;
    let (before, mut stones) = read(data_dir);
    change(&mut stones);
    let text = serde_json::to_vec_pretty(&stones).unwrap_or_default();
    if before.as_ref() == Some(&text) {
        return Ok(());
    }
    replace(&path, before.as_deref(), &text)
}

/// What an engine was held to when its host was removed.
pub fn buried(data_dir: &Path, identity: &EngineIdentity) -> Option<Policy> {
    let (_, stones) = read(data_dir);
    let entries: Vec<_> = stones.iter().map(|stone| (stone.identity(), stone.policy())).collect();
    strictest(identity, entries.iter().map(|(identity, policy)| (identity, *policy)))
}

/// Remembers what a host that goes was held to; one that was held to nothing leaves nothing.
pub fn bury(data_dir: &Path, identity: &EngineIdentity, policy: Policy) -> Result<(), WriteError> {
    if policy == Policy::ReadWrite {
        return Ok(());
    }
    let stone = Tombstone {
        place: identity.place.clone(),
        engine: identity.engine.clone(),
        policy: policy.word().to_owned(),
    };
    change(data_dir, |stones| {
        stones.retain(|known| *known != stone);
        stones.push(stone);
    })
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
        let nas = EngineIdentity { place: "nas:22".into(), engine: Some("E".into()) };
        bury(data.path(), &nas, Policy::ReadWrite).unwrap();
        assert_eq!(buried(data.path(), &nas), None);
        bury(data.path(), &nas, Policy::ReadOnly).unwrap();
        bury(data.path(), &nas, Policy::NoDestructive).unwrap();
        let elsewhere = EngineIdentity { place: "10.0.0.2:22".into(), engine: Some("E".into()) };
        assert_eq!(buried(data.path(), &elsewhere), Some(Policy::ReadOnly));
        lift(data.path(), &elsewhere).unwrap();
        assert_eq!(buried(data.path(), &nas), None);
    }
}
