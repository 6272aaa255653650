//! What may be done to a host over MCP.
//!
//! A policy binds to the engine, not to the name it is configured under: of several entries that lead to
//! one engine the strictest counts for all of them.

use std::fmt;
use std::str::FromStr;

/// What may be done to a host over MCP, from everything to nothing that changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Policy {
    /// Everything.
    #[default]
    ReadWrite,
    /// Nothing that loses data, configuration or availability.
    NoDestructive,
    /// Nothing that changes anything.
    ReadOnly,
}

/// A word that is no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no policy: write rw, no_destructive or ro")]
pub struct InvalidPolicy(String);

impl Policy {
    /// All of them, the loosest first.
    pub const ALL: [Self; 3] = [Self::ReadWrite, Self::NoDestructive, Self::ReadOnly];

    /// The word it is written by.
    pub const fn word(self) -> &'static str {
        match self {
            Self::ReadWrite => "rw",
            Self::NoDestructive => "no_destructive",
            Self::ReadOnly => "ro",
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Policy {
    type Err = InvalidPolicy;

    fn from_str(text: &str) -> Result<Self, InvalidPolicy> {
        let found = Self::ALL.into_iter().find(|policy| policy.word() == text);
        found.ok_or_else(|| InvalidPolicy(text.chars().take(40).collect()))
    }
}

/// What becomes of a call that a person has to agree to when the client cannot ask one. The later the stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, strum::EnumString, strum::Display)]
#[strum(serialize_all = "lowercase")]
pub enum ConfirmFallback {
    /// It is made: the client's own question is the gate.
    Allow,
    /// It is answered with what it would do, and made when it is repeated with that plan's word.
    #[default]
    Plan,
    /// It is refused.
    Deny,
}

/// What is known of an engine's own name. Clones of a machine share it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Engine {
    /// It has not been connected to yet.
    Unknown,
    /// It tells none (Podman's is another one each time).
    Nameless,
    /// This one.
    Named(String),
}

/// Which engine an entry leads to, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineIdentity {
    /// Where it is reached: `hostname:port` or a socket's path.
    pub place: String,
    /// The name the engine gives itself.
    pub engine: Engine,
}

impl EngineIdentity {
    /// Whether both lead to one engine, as far as that is known.
    pub fn is_same(&self, other: &Self) -> bool {
        self.place == other.place || (matches!(self.engine, Engine::Named(_)) && self.engine == other.engine)
    }

    /// Whether they may lead to one engine: what is not known cannot tell them apart.
    pub fn may_be_same(&self, other: &Self) -> bool {
        let told_apart = match (&self.engine, &other.engine) {
            (Engine::Named(one), Engine::Named(another)) => one != another,
            (Engine::Named(_), Engine::Nameless) | (Engine::Nameless, Engine::Named(_)) => true,
            _ => false,
        };
        self.is_same(other) || !told_apart
    }
}

/// The policy that counts for the engine `identity`: the strictest of those of `entries` that lead to it.
pub fn strictest<'a>(
    identity: &EngineIdentity,
    entries: impl IntoIterator<Item = (&'a EngineIdentity, Policy)>,
) -> Option<Policy> {
    of_one_engine(identity, entries).into_iter().max()
}

/// What those of `entries` say that lead to the engine `identity`, be it by way of others: one shares the place, and
/// that one the engine's name with a third.
pub fn of_one_engine<'a, T>(
    identity: &EngineIdentity,
    entries: impl IntoIterator<Item = (&'a EngineIdentity, T)>,
) -> Vec<T> {
    let mut others: Vec<_> = entries.into_iter().collect();
    let (mut same, mut found) = (vec![identity], vec![]);
    loop {
        let (more, rest): (Vec<_>, Vec<_>) =
            others.into_iter().partition(|(entry, _)| same.iter().any(|known| known.is_same(entry)));
        if more.is_empty() {
            return found;
        }
        for (entry, says) in more {
            same.push(entry);
            found.push(says);
        }
        others = rest;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(place: &str, engine: Option<&str>) -> EngineIdentity {
        let engine = engine.map_or(Engine::Unknown, |name| Engine::Named(name.into()));
        EngineIdentity { place: place.into(), engine }
    }

    #[test]
    fn words_are_read_as_they_are_written() {
        for policy in Policy::ALL {
            assert_eq!(policy.word().parse(), Ok(policy));
        }
        assert!("RW".parse::<Policy>().is_err());
    }

    #[test]
    fn the_strictest_entry_of_an_engine_counts_for_all_its_names() {
        let (nas, by_address, other) = (
            identity("nas.lan:22", Some("E1")),
            identity("10.0.0.2:22", Some("E1")),
            identity("pi:22", None),
        );
        let entries =
            [(&nas, Policy::ReadWrite), (&by_address, Policy::ReadOnly), (&other, Policy::NoDestructive)];
        assert_eq!(strictest(&nas, entries), Some(Policy::ReadOnly));
        assert_eq!(strictest(&other, entries), Some(Policy::NoDestructive));
        assert_eq!(strictest(&identity("new:22", None), entries), None);
        assert_eq!(strictest(&identity("new:22", Some("E1")), entries), Some(Policy::ReadOnly));
        let unseen = identity("nas.lan:22", None);
        assert_eq!(strictest(&unseen, entries), Some(Policy::ReadOnly), "by way of nas.lan");
    }

    #[test]
    fn what_is_not_known_of_engines_tells_none_apart() {
        let (named, other) = (identity("a", Some("E1")), identity("b", Some("E2")));
        let nameless = EngineIdentity { place: "c".into(), engine: Engine::Nameless };
        let unknown = identity("d", None);
        assert!(!named.may_be_same(&other) && !named.may_be_same(&nameless));
        assert!(named.may_be_same(&unknown) && nameless.may_be_same(&unknown));
        assert!(nameless.may_be_same(&EngineIdentity { place: "e".into(), ..nameless.clone() }));
    }
}
