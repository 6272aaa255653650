//! How tools name a policy.

use crate::config::{FieldValue, HostKey};
use schemars::JsonSchema;
use serde::Deserialize;

/// What may be done to a host.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum PolicyWord {
    Rw,
    NoDestructive,
    Ro,
}

impl PolicyWord {
    /// As a field of the hosts file.
    pub(super) fn field(self) -> (HostKey, Option<FieldValue>) {
        let word = match self {
            Self::Rw => "rw",
            Self::NoDestructive => "no_destructive",
            Self::Ro => "ro",
        };
        (HostKey::POLICY, Some(FieldValue::Text(word.to_owned())))
    }
}
