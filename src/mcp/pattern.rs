//! The `match` of a list: a name glob, or a label.

use super::error::ToolError;
use super::page;
use globset::GlobMatcher;

/// What a row must be like.
#[derive(Debug, Clone)]
pub(super) enum Pattern {
    /// Its name.
    Name(GlobMatcher),
    /// A label, and the value when one is given.
    Label(String, Option<String>),
}

impl Pattern {
    /// Reads a glob, or `label=key[=value]`.
    pub(super) fn parse(text: &str) -> Result<Self, ToolError> {
        Ok(match text.strip_prefix("label=").map(|pair| pair.split_once('=').ok_or(pair)) {
            Some(Ok((key, value))) => Self::Label(key.to_owned(), Some(value.to_owned())),
            Some(Err(key)) => Self::Label(key.to_owned(), None),
            None => Self::Name(page::glob(text)?),
        })
    }

    /// Whether something of this name is meant, whose labels `label` tells by their key.
    pub(super) fn admits<'a>(&self, name: &str, label: impl Fn(&str) -> Option<&'a String>) -> bool {
        match self {
            Self::Name(glob) => glob.is_match(name),
            Self::Label(key, value) => {
                label(key).is_some_and(|found| value.as_ref().is_none_or(|value| value == found))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn names_and_labels_are_told_apart() {
        let labels = BTreeMap::from([("a".to_owned(), "b=c".to_owned())]);
        let admits = |text: &str| Pattern::parse(text).unwrap().admits("web-1", |key| labels.get(key));
        for text in ["web*", "*-[0-9]", "label=a", "label=a=b=c"] {
            assert!(admits(text), "{text}");
        }
        for text in ["web", "label=b", "label=a=b", "a=b=c"] {
            assert!(!admits(text), "{text}");
        }
        assert!(Pattern::parse("[").is_err());
    }
}
