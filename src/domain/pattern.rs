//! Which things are meant: by a glob of their names, or by a label.

use globset::{Glob, GlobMatcher};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// What a thing must be like.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    text: String,
    wants: Wants,
}

#[derive(Debug, Clone)]
enum Wants {
    /// Its name.
    Name(GlobMatcher),
    /// A label, and the value when one is given.
    Label(String, Option<String>),
}

/// A text that is no pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}; write a glob such as web*, or label=key[=value]")]
pub struct InvalidPattern(String);

impl TryFrom<String> for Pattern {
    type Error = InvalidPattern;

    fn try_from(text: String) -> Result<Self, InvalidPattern> {
        text.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.text
    }
}

impl FromStr for Pattern {
    type Err = InvalidPattern;

    /// Reads a glob (`*`, `?`, `[…]`, `{a,b}`), or `label=key[=value]`.
    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let wants = match text.strip_prefix("label=").map(|pair| pair.split_once('=').ok_or(pair)) {
            Some(Ok((key, value))) => Wants::Label(key.to_owned(), Some(value.to_owned())),
            Some(Err(key)) => Wants::Label(key.to_owned(), None),
            None => {
                let glob = Glob::new(text).map_err(|error| InvalidPattern::of(&error))?;
                Wants::Name(glob.compile_matcher())
            }
        };
        Ok(Self { text: text.to_owned(), wants })
    }
}

impl InvalidPattern {
    /// What a glob is not.
    pub fn of(error: &globset::Error) -> Self {
        Self(error.to_string())
    }
}

impl Pattern {
    /// The label it is about, if it is about one.
    pub fn label(&self) -> Option<&str> {
        match &self.wants {
            Wants::Label(key, _) => Some(key),
            Wants::Name(_) => None,
        }
    }

    /// Whether something of this name is meant, whose labels `label` tells by their key.
    pub fn admits<'a>(&self, name: &str, label: impl Fn(&str) -> Option<&'a String>) -> bool {
        match &self.wants {
            Wants::Name(glob) => glob.is_match(name),
            Wants::Label(key, value) => {
                label(key).is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Equal is what is written equally.
impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn names_and_labels_are_told_apart() {
        let labels = BTreeMap::from([("a".to_owned(), "b=c".to_owned())]);
        let admits = |text: &str| text.parse::<Pattern>().unwrap().admits("web-1", |key| labels.get(key));
        for text in ["web*", "*-[0-9]", "label=a", "label=a=b=c"] {
            assert!(admits(text), "{text}");
        }
        for text in ["web", "label=b", "label=a=b", "a=b=c"] {
            assert!(!admits(text), "{text}");
        }
        assert!("[".parse::<Pattern>().is_err());
    }
}
