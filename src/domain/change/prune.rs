//! What may be pruned.

use serde::{Deserialize, Serialize};

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
