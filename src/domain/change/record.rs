//! What is on record about a step: what there was, and what came of it.

use serde::{Deserialize, Serialize};

/// What there was before a step was made: what its probe compares with, and what it is made to, by
/// identity and not by a name that another thing may bear by then.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "was", rename_all = "snake_case")]
pub enum Before {
    /// Nothing that matters.
    #[default]
    Nothing,
    /// A container.
    Container {
        /// Its full identifier.
        id: String,
        /// `running`, `exited` …
        state: String,
        /// When it was started last, as the engine wrote it.
        started_at: String,
        /// Seconds it gets to stop when nothing else is said, where it says so itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        grace: Option<u32>,
    },
    /// An image of the name, by identifier.
    Image {
        /// None was there.
        id: Option<String>,
    },
    /// Something else that there is one of.
    Thing {
        /// What tells it from another of its name.
        id: String,
    },
    /// The things to be removed.
    Things {
        /// By identifier, or a volume's name.
        things: Vec<Thing>,
    },
}

/// Something unused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thing {
    /// By which it is removed.
    pub id: String,
    /// By which people know it.
    pub name: String,
    /// What it takes, in bytes, as far as the engine says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<i64>,
}

/// What came of a step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// The container it was made to, by full identifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// The state before, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The state after, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// Names of what was removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<String>,
    /// What that freed, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freed: Option<i64>,
    /// Why something was left.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left: Vec<String>,
    /// The image that was used before, by identifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_image: Option<String>,
    /// The image that is used now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_image: Option<String>,
    /// What was copied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copied: Option<Copied>,
    /// The last lines that a build said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// The container's health, where it has a check.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
}

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// Bytes that went over the lines, or of a volume those of its files.
    pub bytes: u64,
    /// Files of a volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// Of a volume's files with their names, owners, modes and times, in hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// Processes of the service's own user.
pub const OWNER: &str = "owner";

/// Whoever has the token.
pub const BEARER: &str = "token";

/// Who asked for a change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asker {
    /// [`OWNER`] or [`BEARER`].
    pub principal: String,
    /// The client program, as it named itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub client: String,
}
