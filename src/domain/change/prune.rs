//! What may be pruned.

use crate::domain::pattern::Pattern;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What of the unused things stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sieve {
    /// What is not older than so many seconds, or does not tell its age.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub older_than: Option<u64>,
    /// What is so named or labelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<Pattern>,
}

impl Sieve {
    /// Whether a thing goes: `created` and `now` are in seconds since the epoch.
    pub fn passes(
        &self,
        name: &str,
        labels: &BTreeMap<String, String>,
        created: Option<i64>,
        now: i64,
    ) -> bool {
        let is_old = self.older_than.is_none_or(|age| {
            let age = i64::try_from(age).unwrap_or(i64::MAX);
            created.is_some_and(|created| now.saturating_sub(created) > age)
        });
        is_old && self.keep.as_ref().is_none_or(|keep| !keep.admits(name, |key| labels.get(key)))
    }
}

/// A kind of things that may be unused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PruneKind {
    /// Containers that have ended.
    Containers,
    /// Networks without containers.
    Networks,
    /// Images without a name that no container uses.
    Images,
    /// Volumes without a name that no container uses.
    Volumes,
    /// Records of the build cache.
    BuildCache,
}

impl PruneKind {
    /// All of them, in the order in which one frees what another holds.
    pub const ALL: [Self; 5] =
        [Self::Containers, Self::Networks, Self::Images, Self::Volumes, Self::BuildCache];

    /// The word it is written by.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Containers => "containers",
            Self::Networks => "networks",
            Self::Images => "images",
            Self::Volumes => "volumes",
            Self::BuildCache => "build_cache",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_young_or_wanted_stays() {
        let labels = BTreeMap::from([("keep".to_owned(), "me".to_owned())]);
        let sieve = Sieve { older_than: Some(100), keep: Some("db*".parse().unwrap()) };
        let passes = |name: &str, created| sieve.passes(name, &BTreeMap::new(), created, 1000);
        assert!(passes("web", Some(899)) && !passes("web", Some(900)) && !passes("web", None));
        assert!(!passes("db-1", Some(0)));
        let labelled = Sieve { older_than: None, keep: Some("label=keep".parse().unwrap()) };
        assert!(
            !labelled.passes("web", &labels, None, 0) && labelled.passes("web", &BTreeMap::new(), None, 0)
        );
    }
}
