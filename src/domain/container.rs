//! A container's name.

use super::host::InvalidName;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A container's name or identifier as Docker defines them.
///
/// Parsed at the edge because an engine's client puts it into a URL's path as it is: with
/// `../images` a caller would reach another endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerName(String);

impl ContainerName {
    /// The text itself, without a leading slash.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ContainerName {
    type Err = InvalidName;

    /// Reads a name, also with the slash the Engine API writes in front.
    fn from_str(text: &str) -> Result<Self, InvalidName> {
        let name = text.strip_prefix('/').unwrap_or(text);
        let rest = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.chars().all(rest)
            && name.len() <= 255
        {
            return Ok(Self(name.to_owned()));
        }
        Err(InvalidName::new(
            "container",
            text,
            "names are letters, digits, '_', '.' and '-', starting with a letter or digit; container_list shows them",
        ))
    }
}

impl TryFrom<String> for ContainerName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, InvalidName> {
        text.parse()
    }
}

impl From<ContainerName> for String {
    fn from(name: ContainerName) -> Self {
        name.0
    }
}

impl fmt::Display for ContainerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_no_path() {
        for good in ["web", "/web", "stack-web_1.x", "4f2a"] {
            assert!(good.parse::<ContainerName>().is_ok(), "{good}");
        }
        for bad in ["", "/", "..", "../images", "web/json?x=", "a b", "%2e%2e", ".web", "a\n"] {
            assert!(bad.parse::<ContainerName>().is_err(), "{bad}");
        }
    }
}
