//! The `hosts` selector: which hosts a call is about.

use super::host::{HostId, HostSpec, InvalidName};
use super::suggest::did_you_mean;

/// A parsed selector: a comma list of host ids, `@tag`s and `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostSelector(Vec<Term>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Term {
    All,
    Tag(String),
    Host(HostId),
}

/// A selector that names nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// A term is neither `*`, `@tag` nor a host id.
    #[error("{0} Write host names, @tags or * separated by commas.")]
    Malformed(#[from] InvalidName),
    /// The text was empty.
    #[error("the selector is empty. Write host names, @tags or * separated by commas.")]
    Empty,
    /// A host that is not configured.
    #[error("no host {host:?} is configured.{suggestion} host_list shows every host.")]
    UnknownHost {
        /// The id as given.
        host: String,
        /// " Did you mean …?" or nothing.
        suggestion: String,
    },
    /// A tag that no host carries.
    #[error("no host is tagged {tag:?}.{suggestion}")]
    UnknownTag {
        /// The tag without its `@`.
        tag: String,
        /// " Did you mean …?" or nothing.
        suggestion: String,
    },
}

impl HostSelector {
    /// Every host.
    pub fn all() -> Self {
        Self(vec![Term::All])
    }

    /// Parses `name`, `a,b`, `@tag` and `*`, also mixed.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let terms = text
            .split(',')
            .map(str::trim)
            .filter(|term| !term.is_empty())
            .map(|term| match term.strip_prefix('@') {
                _ if term == "*" => Ok(Term::All),
                Some(tag) => Ok(Term::Tag(tag.to_owned())),
                None => Ok(Term::Host(term.parse()?)),
            })
            .collect::<Result<Vec<Term>, SelectorError>>()?;
        if terms.is_empty() { Err(SelectorError::Empty) } else { Ok(Self(terms)) }
    }

    /// The selected hosts in the order of `hosts`, each once. A named host or tag that does not
    /// exist is an error: a typing mistake must not look like an empty answer. `*` and tags leave
    /// disabled hosts out; a host named by its id is always in.
    pub fn select<'a>(
        &self,
        hosts: impl IntoIterator<Item = &'a HostSpec>,
    ) -> Result<Vec<&'a HostSpec>, SelectorError> {
        let hosts: Vec<&HostSpec> = hosts.into_iter().collect();
        for term in &self.0 {
            match term {
                Term::Host(id) if !hosts.iter().any(|host| host.id == *id) => {
                    return Err(unknown_host(id.as_str(), hosts.iter().map(|host| host.id.as_str())));
                }
                Term::Tag(tag) if !hosts.iter().any(|host| host.tags.contains(tag)) => {
                    let known = hosts.iter().flat_map(|host| host.tags.iter().map(String::as_str));
                    let suggestion = did_you_mean(tag, known.collect::<std::collections::BTreeSet<_>>());
                    return Err(SelectorError::UnknownTag { tag: tag.clone(), suggestion });
                }
                _ => {}
            }
        }
        Ok(hosts.into_iter().filter(|host| self.0.iter().any(|term| term.matches(host))).collect())
    }
}

impl Term {
    fn matches(&self, host: &HostSpec) -> bool {
        match self {
            Self::All => host.enabled,
            Self::Tag(tag) => host.enabled && host.tags.contains(tag),
            Self::Host(id) => host.id == *id,
        }
    }
}

/// The error for a host id that is not among the `known` ones.
pub fn unknown_host<'a>(host: &str, known: impl IntoIterator<Item = &'a str>) -> SelectorError {
    SelectorError::UnknownHost { host: host.to_owned(), suggestion: did_you_mean(host, known) }
}

#[cfg(test)]
mod tests {
    use super::super::host::Endpoint;
    use super::*;

    fn fleet() -> Vec<HostSpec> {
        let host = |id: &str, tags: &[&str], enabled| HostSpec {
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            enabled,
            ..HostSpec::new(id.parse().unwrap(), Endpoint::Unix("/x".into()))
        };
        vec![host("nas", &["home"], true), host("edge", &["vps"], true), host("old", &["home"], false)]
    }

    #[track_caller]
    fn check(selector: &str, expected: Result<&[&str], &str>) {
        let fleet = fleet();
        let got = HostSelector::parse(selector)
            .and_then(|parsed| parsed.select(&fleet))
            .map(|hosts| hosts.iter().map(|host| host.id.as_str()).collect::<Vec<_>>())
            .map_err(|error| error.to_string());
        match expected {
            Ok(ids) => assert_eq!(got.as_deref(), Ok(ids)),
            Err(part) => assert!(got.as_ref().is_err_and(|error| error.contains(part)), "{got:?}"),
        }
    }

    #[test]
    fn terms_select_what_they_say() {
        check("*", Ok(&["nas", "edge"]));
        check("@home", Ok(&["nas"]));
        check("edge, nas,edge", Ok(&["nas", "edge"]));
        check("old", Ok(&["old"]));
    }

    #[test]
    fn a_typing_mistake_is_an_error_with_the_nearest_name() {
        check("egde", Err("Did you mean \"edge\"?"));
        check("@hom", Err("Did you mean \"home\"?"));
        check("", Err("empty"));
        check("a b", Err("not valid"));
    }
}
