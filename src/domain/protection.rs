//! What on a host is left alone whatever its policy: to such a thing is done what `no_destructive` permits and
//! nothing else.

use super::change::Affected;
use super::pattern::Pattern;
use std::collections::BTreeSet;
use std::fmt;

/// Labels by which the owner of a container, a volume or a network protects it.
pub const LABELS: [&str; 2] = ["dockmaster.protected", "mcp.protected"];

/// What protects things on a host.
#[derive(Debug, Clone, Default)]
pub struct Protection {
    /// Names and labels, as the configuration has them.
    pub patterns: Vec<Pattern>,
    /// The container that Dockmaster itself runs in, by its full identifier.
    pub own_container: Option<String>,
    /// The ports of the host through which its lines go.
    pub own_ports: BTreeSet<u16>,
}

/// Why a thing is protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protected {
    /// By a label that it bears.
    Label(String),
    /// By the configuration.
    Configured(String),
    /// Dockmaster runs in it.
    OwnContainer,
    /// The line to the host goes through it.
    OwnLine(u16),
}

impl Protection {
    /// Why `thing` is protected, if it is.
    pub fn of(&self, thing: &Affected) -> Option<Protected> {
        let label = |key: &str| thing.labels.get(key);
        let says_no = |value: &String| matches!(&*value.to_lowercase(), "false" | "no" | "off" | "0");
        let labelled = LABELS.into_iter().find(|key| label(key).is_some_and(|value| !says_no(value)));
        if let Some(key) = labelled {
            return Some(Protected::Label(key.to_owned()));
        }
        let names = || std::iter::once(&thing.name).chain(&thing.other_names);
        let is_meant = |pattern: &&Pattern| names().any(|name| pattern.admits(name, label));
        if let Some(pattern) = self.patterns.iter().find(is_meant) {
            return Some(Protected::Configured(pattern.to_string()));
        }
        if self.own_container.as_ref() == Some(&thing.id) {
            return Some(Protected::OwnContainer);
        }
        self.own_ports.intersection(&thing.ports).next().copied().map(Protected::OwnLine)
    }
}

impl Protected {
    /// What a person can do who wants it done all the same.
    pub fn way_out(&self) -> String {
        match self {
            Self::Label(key) => {
                format!("A person can do it on the host, or make it anew without the label {key}.")
            }
            Self::Configured(_) => "A person can take it out of protected: in the hosts file.".to_owned(),
            Self::OwnContainer | Self::OwnLine(_) => "A person can do it on the host itself.".to_owned(),
        }
    }
}

impl fmt::Display for Protected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(key) => write!(f, "its label {key} protects it"),
            Self::Configured(pattern) => write!(f, "the hosts file protects {pattern}"),
            Self::OwnContainer => f.write_str("Dockmaster runs in it"),
            Self::OwnLine(port) => write!(f, "Dockmaster's line to the host goes through its port {port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::change::AffectedKind;

    fn thing(name: &str, labels: &[(&str, &str)]) -> Affected {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Affected { labels, ..Affected::new(AffectedKind::Container, format!("id of {name}"), name) }
    }

    #[test]
    fn each_reason_protects_and_nothing_else_does() {
        let patterns = vec!["db*".parse().unwrap(), "label=tier=prod".parse().unwrap()];
        let (own_container, own_ports) = (Some("id of me".to_owned()), [22].into());
        let protection = Protection { patterns, own_container, own_ports };
        let of = |name, labels: &[_]| protection.of(&thing(name, labels));
        assert_eq!(of("web", &[]), None);
        assert_eq!(of("web", &[("mcp.protected", "false"), ("tier", "test")]), None);
        assert_eq!(of("web", &[("mcp.protected", "")]), Some(Protected::Label("mcp.protected".into())));
        assert_eq!(
            of("web", &[("dockmaster.protected", "true")]),
            Some(Protected::Label("dockmaster.protected".into()))
        );
        assert_eq!(of("db-1", &[]), Some(Protected::Configured("db*".into())));
        assert_eq!(of("web", &[("tier", "prod")]), Some(Protected::Configured("label=tier=prod".into())));
        assert_eq!(of("me", &[]), Some(Protected::OwnContainer));
        let sshd = Affected { ports: [22, 80].into(), ..thing("sshd", &[]) };
        assert_eq!(protection.of(&sshd), Some(Protected::OwnLine(22)));
        assert_eq!(Protection::default().of(&thing("db-1", &[])), None);
    }
}
