//! Changes of a hosts file as text: only what is named changes; comments, order, anchors and blank
//! lines stay.
//!
//! `yaml-edit` changes the text. What it made is then read by `serde_yaml` and must differ from what
//! was there in exactly the named field; a file in which that cannot be done (a shared anchor, say) is
//! left to its owner.

use super::document::{Kind, Node};
use super::schema::host_keys;
use crate::domain::host::HostId;
use crate::domain::suggest::did_you_mean;
use serde_yaml::{Mapping, Value};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::str::FromStr;
use yaml_edit::{ScalarValue, YamlFile};

/// A key of a host in a hosts file; ordered as people write them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HostKey(&'static str);

impl Ord for HostKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let place = |key: &Self| host_keys().iter().position(|known| *known == key.0);
        place(self).cmp(&place(other))
    }
}

impl PartialOrd for HostKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// A word that is no key of a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} is no key of a host.{suggestion} There are: {}", host_keys().join(", "))]
pub struct UnknownKey {
    word: String,
    suggestion: String,
}

impl HostKey {
    /// `kind`
    pub const KIND: Self = Self("kind");
    /// `hostname`
    pub const HOSTNAME: Self = Self("hostname");
    /// `user`
    pub const USER: Self = Self("user");
    /// `port`
    pub const PORT: Self = Self("port");
    /// `identity_file`
    pub const IDENTITY_FILE: Self = Self("identity_file");
    /// `ssh_alias`
    pub const SSH_ALIAS: Self = Self("ssh_alias");
    /// `socket`
    pub const SOCKET: Self = Self("socket");
    /// `tls`
    pub const TLS: Self = Self("tls");
    /// `sudo`
    pub const SUDO: Self = Self("sudo");
    /// `description`
    pub const DESCRIPTION: Self = Self("description");
    /// `tags`
    pub const TAGS: Self = Self("tags");
    /// `enabled`
    pub const ENABLED: Self = Self("enabled");
    /// `policy`
    pub const POLICY: Self = Self("policy");

    /// Its text.
    pub fn as_str(self) -> &'static str {
        self.0
    }
}

impl FromStr for HostKey {
    type Err = UnknownKey;

    fn from_str(word: &str) -> Result<Self, UnknownKey> {
        let found = host_keys().iter().find(|key| **key == word);
        found.map(|key| Self(key)).ok_or_else(|| UnknownKey {
            word: word.chars().take(40).collect(),
            suggestion: did_you_mean(word, host_keys().iter().copied()),
        })
    }
}

/// A value of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldValue {
    /// A text.
    Text(String),
    /// A number.
    Number(u16),
    /// A truth value.
    Flag(bool),
    /// A list of texts.
    List(Vec<String>),
}

impl From<&FieldValue> for Value {
    fn from(value: &FieldValue) -> Self {
        match value {
            FieldValue::Text(text) => text.as_str().into(),
            FieldValue::Number(number) => (*number).into(),
            FieldValue::Flag(flag) => (*flag).into(),
            FieldValue::List(items) => {
                Self::Sequence(items.iter().map(|item| item.as_str().into()).collect())
            }
        }
    }
}

/// Values by key; `None` takes the key away.
pub type Fields = BTreeMap<HostKey, Option<FieldValue>>;

/// A change of a hosts file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostEdit {
    /// A new host, last in the file.
    Add {
        /// Its name, which is new.
        id: HostId,
        /// What is said about it.
        fields: Fields,
    },
    /// Some fields of a host.
    Update {
        /// The host.
        id: HostId,
        /// What changes; the rest stays.
        fields: Fields,
    },
    /// The end of a host.
    Remove {
        /// The host.
        id: HostId,
    },
}

impl HostEdit {
    /// The host.
    pub fn id(&self) -> &HostId {
        match self {
            Self::Add { id, .. } | Self::Update { id, .. } | Self::Remove { id } => id,
        }
    }
}

/// Why a text cannot be changed so that nothing else changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Inexpressible {
    /// It is no YAML that both readers understand.
    #[error("its YAML cannot be changed by a program")]
    Syntax,
    /// The host does not stand there by itself.
    #[error("the host does not stand there as a mapping of its own (it is an alias, perhaps)")]
    NotOwn,
    /// More would change.
    #[error("more would change than was asked for (an anchor that others share, perhaps)")]
    Shared,
}

/// The text after `edit`.
pub(super) fn apply(text: &str, edit: &HostEdit) -> Result<String, Inexpressible> {
    let before = value_of(text)?;
    let expected = expected(before.clone(), edit)?;
    // What says so already stays as it is written.
    if expected == before {
        return Ok(text.to_owned());
    }
    // Lines end as they did: all in CRLF, or as they are.
    let crlf = text.contains("\r\n") && text.matches('\n').count() == text.matches("\r\n").count();
    let changed = if crlf {
        changed(&text.replace("\r\n", "\n"), edit)?.replace('\n', "\r\n")
    } else {
        changed(text, edit)?
    };
    let only_own = stays_in_its_lines(text, &changed, edit.id());
    if value_of(&changed)? == expected && only_own { Ok(changed) } else { Err(Inexpressible::Shared) }
}

/// Whether a change of a host that stands in lines of its own changed no other line: an anchor, say, may
/// have been carried to where its aliases are.
fn stays_in_its_lines(before: &str, after: &str, id: &HostId) -> bool {
    let Some((first, last)) = own_lines(before, id) else { return true };
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let room = old.len().min(new.len()).saturating_sub(head);
    let tail = old.iter().rev().zip(new.iter().rev()).take(room).take_while(|(a, b)| a == b).count();
    // A blank line in front of the last host goes with it.
    let before_it = old.get(head..first - 1).unwrap_or_default();
    old == new || (before_it.iter().all(|line| line.trim().is_empty()) && old.len() - tail <= last)
}

/// The first and the last line, from 1, of a host in a block mapping; the comments and blank lines behind
/// it count as its own.
fn own_lines(text: &str, id: &HostId) -> Option<(usize, usize)> {
    let Kind::Map(sections) = Node::parse(text).ok()?.kind else { return None };
    let section = sections.into_iter().find(|entry| entry.key.as_str() == Some("hosts"))?;
    let Kind::Map(hosts) = section.value.kind else { return None };
    let host = hosts.iter().find(|entry| entry.key.as_str() == Some(id.as_str()))?;
    let (first, column) = Node::place(text, host.key.id)?;
    // Without its only host the mapping is written behind its key.
    let (mapping, _) = Node::place(text, section.key.id)?;
    let lines: Vec<&str> = text.lines().collect();
    let alone = lines.get(first - 1)?.chars().take(column - 1).all(|c| c == ' ');
    let belongs = |line: &&&str| {
        let inside = line.chars().take_while(|c| *c == ' ').count();
        line.trim().is_empty() || inside >= column || line.trim_start().starts_with('#')
    };
    let from = if hosts.len() == 1 { mapping } else { first };
    alone.then(|| (from, first + lines[first..].iter().take_while(belongs).count()))
}

fn value_of(text: &str) -> Result<Mapping, Inexpressible> {
    let root = Node::parse(text).map_err(|_| Inexpressible::Syntax)?;
    let mut root = match root.to_value() {
        Value::Null => Mapping::new(),
        Value::Mapping(root) => root,
        _ => return Err(Inexpressible::Syntax),
    };
    // `hosts:` with nothing below it means the same as an empty mapping, or none.
    let hosts = root.entry("hosts".into()).or_insert(Value::Null);
    if hosts.is_null() {
        *hosts = Value::Mapping(Mapping::new());
    }
    Ok(root)
}

/// What the file is to say after `edit`.
fn expected(mut root: Mapping, edit: &HostEdit) -> Result<Mapping, Inexpressible> {
    let hosts = root.get_mut("hosts").and_then(Value::as_mapping_mut).ok_or(Inexpressible::Syntax)?;
    match edit {
        HostEdit::Add { id, fields } => {
            let host = fields.iter().filter_map(|(key, value)| Some((key.0.into(), value.as_ref()?.into())));
            hosts.insert(id.as_str().into(), Value::Mapping(host.collect()));
        }
        HostEdit::Update { id, fields } => {
            let host = hosts.get_mut(id.as_str()).and_then(Value::as_mapping_mut);
            let host = host.ok_or(Inexpressible::NotOwn)?;
            for (key, value) in fields {
                match value {
                    Some(value) => drop(host.insert(key.0.into(), value.into())),
                    None => drop(host.remove(key.0)),
                }
            }
        }
        HostEdit::Remove { id } => drop(hosts.remove(id.as_str())),
    }
    Ok(root)
}

fn changed(text: &str, edit: &HostEdit) -> Result<String, Inexpressible> {
    if let HostEdit::Add { id, fields } = edit {
        if let Some((at, indent)) = end_of_hosts(text) {
            return Ok(inserted(text, at, &entry(id, fields, indent)));
        }
        if Node::parse(text).is_ok_and(|root| root.is_null()) {
            return Ok(inserted(text, text.len(), &format!("hosts:\n{}", entry(id, fields, 2))));
        }
    }
    let file = YamlFile::from_str(text).map_err(|_| Inexpressible::Syntax)?;
    let root = file.document().and_then(|document| document.as_mapping()).ok_or(Inexpressible::Syntax)?;
    let hosts = root.get_mapping("hosts");
    match edit {
        HostEdit::Add { id, fields } => {
            let new = YamlFile::from_str(&format!("hosts:\n{}", entry(id, fields, 2)));
            let new = new.ok().and_then(|file| file.document()?.as_mapping()?.get_mapping("hosts"));
            let new = new.ok_or(Inexpressible::Syntax)?;
            match hosts.filter(|hosts| !hosts.is_empty()) {
                Some(hosts) => {
                    hosts.set(id.as_str(), new.get_mapping(id.as_str()).ok_or(Inexpressible::Syntax)?);
                }
                None => root.set("hosts", new),
            }
        }
        HostEdit::Update { id, fields } => {
            let host = hosts.and_then(|hosts| hosts.get_mapping(id.as_str())).ok_or(Inexpressible::NotOwn)?;
            for (key, value) in fields {
                match value {
                    None => drop(host.remove(key.0)),
                    Some(FieldValue::Text(text)) if scalar(text) == *text => host.set(key.0, text.as_str()),
                    // In braces more needs quotes than the library puts in.
                    Some(FieldValue::Text(text)) => host.set(key.0, ScalarValue::double_quoted(text)),
                    Some(FieldValue::Number(number)) => host.set(key.0, i64::from(*number)),
                    Some(FieldValue::Flag(flag)) => host.set(key.0, *flag),
                    Some(FieldValue::List(items)) => {
                        let list = YamlFile::from_str(&format!("list: {}\n", flow(items)));
                        let list =
                            list.ok().and_then(|file| file.document()?.as_mapping()?.get_sequence("list"));
                        host.set(key.0, list.ok_or(Inexpressible::Syntax)?);
                    }
                }
            }
        }
        HostEdit::Remove { id } => {
            hosts.ok_or(Inexpressible::NotOwn)?.remove(id.as_str()).ok_or(Inexpressible::NotOwn)?;
        }
    }
    Ok(file.to_string())
}

/// Where the last host of a block mapping ends (a byte offset at the start of a line), comments that
/// belong to it included, and how far hosts are indented; `None` where hosts are written otherwise.
fn end_of_hosts(text: &str) -> Option<(usize, usize)> {
    let Kind::Map(sections) = Node::parse(text).ok()?.kind else { return None };
    let section = sections.into_iter().find(|entry| entry.key.as_str() == Some("hosts"))?;
    let Kind::Map(hosts) = section.value.kind else { return None };
    let ((section_line, _), (last_line, column)) =
        (Node::place(text, section.key.id)?, Node::place(text, hosts.last()?.key.id)?);
    let indent = column - 1;
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let own_line = lines.get(last_line - 1)?.chars().take(indent).all(|c| c == ' ');
    if last_line == section_line || !own_line {
        return None;
    }
    let belongs = |line: &&&str| {
        let inside = line.chars().take_while(|c| *c == ' ').count();
        let deeper = if line.trim_start().starts_with('#') { inside >= indent } else { inside > indent };
        line.trim().is_empty() || deeper
    };
    let mut end = last_line + lines[last_line..].iter().take_while(belongs).count();
    while lines[end - 1].trim().is_empty() {
        end -= 1;
    }
    Some((lines[..end].iter().map(|line| line.len()).sum(), indent))
}

/// `text` with `lines` at `at`, which may be the end of a last line that is not ended.
fn inserted(text: &str, at: usize, lines: &str) -> String {
    let (before, after) = text.split_at(at);
    let ended = before.is_empty() || before.ends_with('\n');
    format!("{before}{}{lines}{after}", if ended { "" } else { "\n" })
}

/// A host as lines, its name indented by `indent`.
fn entry(id: &HostId, fields: &Fields, indent: usize) -> String {
    let mut lines = format!("{:indent$}{}:\n", "", scalar(id.as_str()));
    let inner = indent + 2;
    for (key, value) in fields {
        let value = match value {
            None => continue,
            Some(FieldValue::Text(text)) => scalar(text),
            Some(FieldValue::Number(number)) => number.to_string(),
            Some(FieldValue::Flag(flag)) => flag.to_string(),
            Some(FieldValue::List(items)) => flow(items),
        };
        let _ = writeln!(lines, "{:inner$}{}: {value}", "", key.0);
    }
    lines
}

fn flow(items: &[String]) -> String {
    format!("[{}]", items.iter().map(|item| scalar(item)).collect::<Vec<_>>().join(", "))
}

/// A text as YAML: plain where every reader takes it for a text, else in double quotes, whose escapes
/// are JSON's.
fn scalar(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '@' | '~' | ' ' | '-');
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
        || text.strip_prefix("~/").is_some()
        || text.parse::<Ipv4Addr>().is_ok();
    let word = crate::domain::host::is_yaml_word(text);
    if starts && !word && text.chars().all(plain) && !text.ends_with(' ') {
        return text.to_owned();
    }
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod properties;
