//! What a change would be made to, as it was seen when it was asked for.

use super::record::Before;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A thing on a host that a change would be made to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Affected {
    /// What it is.
    pub kind: AffectedKind,
    /// What tells it from another thing of the same name.
    pub id: String,
    /// By which people know it.
    pub name: String,
    /// Under which it is known too.
    pub other_names: Vec<String>,
    /// `running`, `exited` …, where it has a state.
    pub state: Option<String>,
    /// What it takes, in bytes, as far as the engine says.
    pub bytes: Option<i64>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The host's ports that lead to it.
    pub ports: BTreeSet<u16>,
}

impl Affected {
    /// A thing of which only that much is known.
    pub fn new(kind: AffectedKind, id: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            kind,
            id: id.into(),
            name: name.into(),
            other_names: vec![],
            state: None,
            bytes: None,
            labels: BTreeMap::new(),
            ports: BTreeSet::new(),
        }
    }
}

/// What a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AffectedKind {
    /// A container.
    Container,
    /// An image.
    Image,
    /// A volume.
    Volume,
    /// A network.
    Network,
}

impl AffectedKind {
    /// The word it is written by.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Container => "container",
            Self::Image => "image",
            Self::Volume => "volume",
            Self::Network => "network",
        }
    }
}

/// The identities that a change may be made to, and that of the machine that it takes something from. What has come
/// under one of their names since is another thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound(BTreeSet<String>);

impl Bound {
    /// To these.
    pub fn to<'a>(affected: impl IntoIterator<Item = &'a Affected>) -> Self {
        Self(affected.into_iter().map(|thing| thing.id.clone()).collect())
    }

    /// And to this one.
    #[must_use]
    pub fn and(mut self, id: Option<String>) -> Self {
        self.0.extend(id);
        self
    }

    /// Whether it is one of them.
    pub fn holds(&self, id: &str) -> bool {
        self.0.contains(id)
    }

    /// The identities, in order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// What a step was seen to be made to, without what it may not be made to; `None` when that is all of it.
    pub fn hold(&self, before: Before) -> Option<Before> {
        match before {
            Before::Container { ref id, .. } | Before::Thing { ref id } => {
                self.0.contains(id).then_some(before)
            }
            Before::Things { mut things } => {
                things.retain(|thing| self.0.contains(&thing.id));
                Some(Before::Things { things })
            }
            other => Some(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::change::Thing;

    #[test]
    fn what_was_not_seen_is_not_touched() {
        let bound = Bound::to(&[Affected::new(AffectedKind::Container, "1", "web")]);
        let container = |id: &str| Before::Container {
            id: id.into(),
            state: "running".into(),
            started_at: String::new(),
            grace: None,
        };
        assert_eq!(bound.hold(container("1")), Some(container("1")));
        assert_eq!(bound.hold(container("2")), None, "another one of the name");
        let thing = |id: &str| Thing { id: id.into(), name: id.into(), bytes: None };
        let things = Before::Things { things: vec![thing("1"), thing("2")] };
        assert_eq!(bound.hold(things), Some(Before::Things { things: vec![thing("1")] }));
        assert_eq!(bound.hold(Before::Nothing), Some(Before::Nothing));
    }
}
