//! What is found while a document is read: faults and unknown keys, each at its node.

use super::document::{Entry, Id, Kind, Node};
use super::error::{ConfigFault, Spot};
use super::load::Warning;
use crate::domain::suggest::did_you_mean;
use crate::domain::text::clean;
use std::collections::BTreeSet;
use std::path::Path;

/// A file with more faults than this is shown the first of them.
const MOST_SHOWN: usize = 20;

/// Faults and warnings of one document.
#[derive(Debug, Default)]
pub(super) struct Findings {
    faults: Vec<(Id, String)>,
    warnings: Vec<(Id, String)>,
    /// The keys that lead to where the reader is.
    path: Vec<String>,
}

impl Findings {
    /// How many faults there are so far.
    pub(super) fn faults(&self) -> usize {
        self.faults.len()
    }

    /// Notes a fault at a node.
    pub(super) fn fault(&mut self, at: Id, message: impl Into<String>) {
        self.faults.push((at, message.into()));
    }

    /// Notes that something else than `wanted` stands at `node`.
    pub(super) fn wrong_type(&mut self, node: &Node, wanted: &str) {
        let name = self.path.join(".");
        let of = if name.is_empty() { "the file".to_owned() } else { name };
        self.fault(node.id, format!("{of} must be {wanted}; here stands {}", node.described()));
    }

    /// Notes something that works but is hardly meant.
    pub(super) fn warn(&mut self, at: Id, message: impl Into<String>) {
        self.warnings.push((at, message.into()));
    }

    /// Notes a key that nobody reads, with the nearest known one.
    pub(super) fn unknown_key(&mut self, key: &Node, name: &str, known: &[&str]) {
        let path = self.path.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(".");
        let near = did_you_mean(name, known.iter().copied());
        self.warn(key.id, format!("the key {path} is unknown and ignored.{near}"));
    }

    /// Reads what stands below `key`.
    pub(super) fn within<T>(&mut self, key: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(key.to_owned());
        let value = read(self);
        self.path.pop();
        value
    }

    /// Reads the item of a list at the key it stands under.
    pub(super) fn within_item<T>(&mut self, at: usize, read: impl FnOnce(&mut Self) -> T) -> T {
        let list = self.path.pop().unwrap_or_default();
        let value = self.within(&format!("{list}[{at}]"), read);
        self.path.push(list);
        value
    }

    /// The entries of a mapping by name, each name once; `None` when it is none, which is a fault unless
    /// nothing stands there.
    pub(super) fn entries<'a>(&mut self, node: &'a Node, wanted: &str) -> Option<Vec<(&'a str, &'a Entry)>> {
        if node.is_null() {
            return Some(vec![]);
        }
        let Kind::Map(entries) = &node.kind else {
            self.wrong_type(node, wanted);
            return None;
        };
        let (mut named, mut seen) = (Vec::new(), BTreeSet::new());
        for entry in entries {
            match entry.key.as_str() {
                None => {
                    let what = entry.key.described();
                    self.fault(
                        entry.key.id,
                        format!("a key is a text; here stands {what}: put it in quotes"),
                    );
                }
                Some(name) if !seen.insert(name) => {
                    self.fault(
                        entry.key.id,
                        format!("{name:?} stands here twice; keep one, or give one another name"),
                    );
                }
                Some(name) => named.push((name, entry)),
            }
        }
        Some(named)
    }

    /// The warnings, and the faults, at their places in `text`, the file at `path`. Beside a fault a
    /// warning is told as one more: a misspelt key is often what the fault comes from.
    pub(super) fn placed(mut self, path: &Path, text: &str) -> (Vec<Warning>, Vec<ConfigFault>) {
        if !self.faults.is_empty() {
            self.faults.append(&mut self.warnings);
        }
        self.faults.sort_by_key(|(id, _)| *id);
        self.warnings.sort_by_key(|(id, _)| *id);
        let more = |all: usize| all.checked_sub(MOST_SHOWN).filter(|more| *more > 0);
        let (more_faults, more_warnings) = (more(self.faults.len()), more(self.warnings.len()));
        let mut faults: Vec<ConfigFault> = self
            .faults
            .into_iter()
            .take(MOST_SHOWN)
            .map(|(id, message)| Spot::new(path, text, Node::place(text, id), &message))
            .map(|spot| ConfigFault::Invalid(Box::new(spot)))
            .collect();
        if let Some(more) = more_faults {
            let spot = Spot::new(path, text, None, &format!("{more} more faults"));
            faults.push(ConfigFault::Invalid(Box::new(spot)));
        }
        let place = |id| match Node::place(text, id) {
            Some((line, column)) => format!("{}:{line}:{column}", path.display()),
            None => path.display().to_string(),
        };
        let mut warnings: Vec<Warning> = self
            .warnings
            .into_iter()
            .take(MOST_SHOWN)
            .map(|(id, message)| {
                Warning(format!("{}: {}", place(id), clean(&message).replace(['\n', '\t'], " ")))
            })
            .collect();
        warnings
            .extend(more_warnings.map(|more| Warning(format!("{}: {more} more warnings", path.display()))));
        (warnings, faults)
    }
}
