//! Which tools are offered: groups of them, single ones, and what they may do to the world.

use super::suggest::did_you_mean;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// A group of tools that are offered together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Toolset {
    /// Looking at hosts.
    Hosts,
    /// Adding and removing hosts.
    HostsAdmin,
    /// Questions to all hosts at once.
    Fleet,
    /// Containers.
    Containers,
    /// Commands and files inside containers.
    Exec,
    /// Images.
    Images,
    /// Volumes.
    Storage,
    /// Networks.
    Networks,
    /// Compose stacks.
    Stacks,
    /// Jobs, and what concerns a whole engine.
    System,
    /// The predecessor's tools, which are the others by old names.
    Compat,
}

impl Toolset {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Hosts,
        Self::HostsAdmin,
        Self::Fleet,
        Self::Containers,
        Self::Exec,
        Self::Images,
        Self::Storage,
        Self::Networks,
        Self::Stacks,
        Self::System,
        Self::Compat,
    ];

    /// What is offered when nothing is said: what most people want, in as few words to the model as that takes.
    const DEFAULT: [Self; 6] =
        [Self::Hosts, Self::Fleet, Self::Containers, Self::Images, Self::Stacks, Self::System];

    /// The word it is written by.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Hosts => "hosts",
            Self::HostsAdmin => "hosts_admin",
            Self::Fleet => "fleet",
            Self::Containers => "containers",
            Self::Exec => "exec",
            Self::Images => "images",
            Self::Storage => "storage",
            Self::Networks => "networks",
            Self::Stacks => "stacks",
            Self::System => "system",
            Self::Compat => "compat",
        }
    }
}

impl fmt::Display for Toolset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Several toolsets, as they are written: `default`, `all`, or names with commas between them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Toolsets(BTreeSet<Toolset>);

/// A word that names no toolset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no toolset {word:?}.{near} They are: default, all, {}", Toolset::ALL.map(Toolset::word).join(", "))]
pub struct UnknownToolset {
    word: String,
    near: String,
}

impl Toolsets {
    /// Whether it names none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn all() -> Self {
        Self(Toolset::ALL.into())
    }
}

impl FromStr for Toolsets {
    type Err = UnknownToolset;

    fn from_str(text: &str) -> Result<Self, UnknownToolset> {
        let mut toolsets = BTreeSet::new();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                "all" => toolsets.extend(Toolset::ALL),
                "default" => toolsets.extend(Toolset::DEFAULT),
                word => {
                    let found = Toolset::ALL.into_iter().find(|toolset| toolset.word() == word);
                    toolsets.insert(found.ok_or_else(|| UnknownToolset {
                        word: word.to_owned(),
                        near: did_you_mean(word, Toolset::ALL.map(Toolset::word)),
                    })?);
                }
            }
        }
        Ok(Self(toolsets))
    }
}

/// What somebody offers of the tools there are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Offer {
    /// These groups; when nothing is said, the usual ones, or all but old names when nothing can be changed.
    pub toolsets: Option<Toolsets>,
    /// These tools too.
    pub tools: BTreeSet<String>,
    /// Not these.
    pub exclude: BTreeSet<String>,
    /// Only what changes nothing.
    pub read_only: bool,
    /// Nothing that loses data, configuration or availability.
    pub no_destructive: bool,
}

impl Offer {
    /// Everything.
    pub fn all() -> Self {
        Self { toolsets: Some(Toolsets::all()), ..Self::default() }
    }

    /// Whether the tool is offered that belongs to `toolset`.
    pub fn has(&self, name: &str, toolset: Toolset, read_only: bool, destructive: bool) -> bool {
        let is_grouped = match &self.toolsets {
            Some(toolsets) => toolsets.0.contains(&toolset),
            None if self.read_only => toolset != Toolset::Compat,
            None => self.tools.is_empty() && Toolset::DEFAULT.contains(&toolset),
        };
        (is_grouped || self.tools.contains(name)) && self.allows(name, read_only, destructive)
    }

    /// Whether the tool may be offered, by whatever name and in whatever group.
    pub fn allows(&self, name: &str, read_only: bool, destructive: bool) -> bool {
        let is_allowed = (read_only || !self.read_only) && !(destructive && self.no_destructive);
        is_allowed && !self.exclude.contains(name)
    }

    /// The names in it, which ought to be names of tools.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tools.iter().chain(&self.exclude).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toolsets_are_read_as_they_are_written() {
        let read = |text: &str| text.parse::<Toolsets>();
        assert_eq!(read("images, hosts").unwrap().0, [Toolset::Hosts, Toolset::Images].into());
        assert_eq!(read("default,networks").unwrap().0.len(), Toolset::DEFAULT.len() + 1);
        assert_eq!(read("all").unwrap(), Toolsets::all());
        assert_eq!(read("").unwrap().0, [].into());
        let told = read("image").unwrap_err().to_string();
        assert!(told.contains("\"image\"") && told.contains("images"), "{told}");
        for toolset in Toolset::ALL {
            assert_eq!(serde_json::to_value(toolset).unwrap(), toolset.word());
        }
    }

    #[test]
    fn what_is_offered_is_wanted_and_allowed() {
        let usual = Offer::default();
        assert!(
            usual.has("a", Toolset::Containers, false, true)
                && !usual.has("a", Toolset::Networks, false, true)
        );
        let harmless = Offer { read_only: true, ..Offer::default() };
        assert!(harmless.has("a", Toolset::Networks, true, false), "what changes nothing is offered whole");
        assert!(!harmless.has("a", Toolset::Containers, false, false));
        assert!(!harmless.has("a", Toolset::Compat, true, false), "old names are for who asks for them");
        assert!(
            !usual.has("a", Toolset::Compat, true, false)
                && Offer::all().has("a", Toolset::Compat, true, false)
        );
        let kept = Offer { no_destructive: true, ..Offer::default() };
        assert!(
            kept.has("a", Toolset::Containers, false, false)
                && !kept.has("a", Toolset::Containers, false, true)
        );
        let single = Offer { tools: ["a".to_owned()].into(), ..Offer::default() };
        assert!(
            single.has("a", Toolset::Networks, false, true) && !single.has("b", Toolset::Hosts, true, false)
        );
        let more = Offer { toolsets: "hosts".parse().ok(), ..single };
        assert!(more.has("a", Toolset::Networks, false, true) && more.has("b", Toolset::Hosts, true, false));
        let less = Offer { exclude: ["a".to_owned()].into(), ..Offer::all() };
        assert!(!less.has("a", Toolset::Hosts, true, false) && less.has("b", Toolset::Networks, false, true));
    }
}
