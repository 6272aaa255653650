//! Hosts of an ssh configuration, as entries of a hosts file.

use super::edit::{FieldValue, Fields, HostKey};
use super::{Sourced, Sources};
use crate::domain::host::{Endpoint, HostId, HostSpec, Hostname, InvalidName};
use crate::domain::target::HostTarget;
use crate::runtime::dirs::login_home;
use crate::transport::ssh::SshSettings;
use crate::transport::ssh::aliases::{Alias, aliases, resolve};
use futures_util::StreamExt as _;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// `ssh -G` takes 40 ms; this many run at once.
const RESOLVED_AT_ONCE: usize = 4;

/// An alias that is not taken, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Its name.
    pub alias: String,
    /// Why.
    pub reason: String,
}

/// The hosts of an ssh configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offered {
    /// Those that can be taken, in the order of the file.
    pub aliases: Vec<Alias>,
    /// The others.
    pub skipped: Vec<Skipped>,
}

/// A host to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The name it gets.
    pub id: HostId,
    /// The alias it comes from.
    pub alias: Alias,
    /// What is written about it.
    pub fields: Fields,
}

/// The ssh configuration that logins use: the one that is named, else the user's own.
pub fn own_file(sources: &Sources) -> Option<PathBuf> {
    sources.ssh.config.clone().or_else(|| Some(ssh_dir()?.join("config")))
}

/// Where ssh itself looks for the user's files, whatever `HOME` says.
fn ssh_dir() -> Option<PathBuf> {
    login_home().map(|home| home.join(".ssh"))
}

/// The hosts of the ssh configuration `file` whose names are `wanted`, each resolved by ssh itself.
pub async fn offered(file: &Path, wanted: impl Fn(&str) -> bool) -> Offered {
    let ssh_dir = ssh_dir().unwrap_or_default();
    // The user's own file is read by ssh without being told, and the system's after it.
    let told = *file != ssh_dir.join("config");
    let settings = SshSettings { config: told.then(|| file.to_owned()) };
    let read = file.to_owned();
    let listed = tokio::task::spawn_blocking(move || aliases(&read, &ssh_dir)).await.unwrap_or_default();
    let listed: Vec<_> = listed.into_iter().filter(|listed| wanted(listed.name.as_str())).collect();
    let resolving: Vec<_> = listed.iter().map(|listed| resolve(&settings, listed)).collect();
    let resolved: Vec<_> = futures_util::stream::iter(resolving).buffered(RESOLVED_AT_ONCE).collect().await;
    let mut offered = Offered::default();
    for (listed, resolved) in listed.iter().zip(resolved) {
        match resolved {
            Ok(alias) => offered.aliases.push(alias),
            Err(reason) => offered.skipped.push(Skipped { alias: listed.name.to_string(), reason }),
        }
    }
    offered
}

impl Offered {
    /// Those of the aliases that are no hosts yet. Where ssh itself does not read the file they come from
    /// (`keep_alias` is false), a host is written with what its alias means, which cannot tell a jump host.
    pub fn candidates(
        self,
        hosts: &BTreeMap<HostId, Sourced<HostSpec>>,
        keep_alias: bool,
    ) -> (Vec<Candidate>, Vec<Skipped>) {
        let (mut candidates, mut skipped) = (Vec::<Candidate>::new(), self.skipped);
        for alias in self.aliases {
            let id = match host_id(&alias.name) {
                Ok(id) => id,
                Err(error) => {
                    skipped.push(Skipped { alias: alias.name.to_string(), reason: error.to_string() });
                    continue;
                }
            };
            let known = hosts.values().find(|host| leads_to(&host.value.endpoint, &alias));
            let reason = if let Some(known) = known {
                Some(format!("it is the host {} already", known.value.id))
            } else if hosts.contains_key(&id) || candidates.iter().any(|other| other.id == id) {
                Some(format!("there is a host {id} already"))
            } else if alias.proxied && !keep_alias {
                Some("it is reached through a proxy, which only ssh's own configuration can say: include the file there".to_owned())
            } else {
                None
            };
            match reason {
                Some(reason) => skipped.push(Skipped { alias: alias.name.to_string(), reason }),
                None => candidates.push(Candidate { id, fields: fields(&alias, keep_alias), alias }),
            }
        }
        (candidates, skipped)
    }

    /// The alias of this name.
    pub fn find(&self, name: &Hostname) -> Option<&Alias> {
        self.aliases.iter().find(|alias| alias.name == *name)
    }
}

fn leads_to(endpoint: &Endpoint, alias: &Alias) -> bool {
    let Endpoint::Ssh(target) = endpoint else { return false };
    let same_place = target.hostname == alias.hostname && target.port.unwrap_or(22) == alias.port;
    target.alias.as_ref() == Some(&alias.name) || (target.alias.is_none() && same_place && !alias.proxied)
}

/// An alias as a host id: almost always itself.
fn host_id(alias: &Hostname) -> Result<HostId, InvalidName> {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let made = || -> String { alias.as_str().chars().map(plain).take(50).collect() };
    alias.as_str().parse().or_else(|_| format!("host-{}", made().trim_matches('-')).parse())
}

/// What is written about an alias.
fn fields(alias: &Alias, keep_alias: bool) -> Fields {
    let mut fields = place(alias, keep_alias);
    fields
        .insert(HostKey::TAGS, Some(FieldValue::List(vec!["imported".to_owned(), "ssh-config".to_owned()])));
    fields
}

/// Where an alias leads, as keys of a host; those that say nothing are taken away.
fn place(alias: &Alias, keep_alias: bool) -> Fields {
    let text = |text: &dyn ToString| Some(FieldValue::Text(text.to_string()));
    let key = alias.identity_file.as_ref().filter(|_| !keep_alias).map(|path| path.display());
    Fields::from([
        (HostKey::KIND, None),
        (HostKey::SOCKET, None),
        (HostKey::SSH_ALIAS, if keep_alias { text(&alias.name) } else { None }),
        (HostKey::HOSTNAME, text(&alias.hostname)),
        (HostKey::USER, text(&alias.user)),
        (HostKey::PORT, Some(alias.port).filter(|port| *port != 22).map(FieldValue::Number)),
        (HostKey::IDENTITY_FILE, key.and_then(|path| text(&path))),
    ])
}

/// Where `target` leads, as keys of a host: a bare name that the user's ssh configuration knows is taken
/// for that alias.
pub async fn place_of(target: &HostTarget, sources: &Sources) -> Fields {
    if let HostTarget::Ssh { user: None, hostname, port: None } = target
        && let Some(file) = own_file(sources)
        && let Some(alias) = offered(&file, |name| name == hostname.as_str()).await.find(hostname)
    {
        return place(alias, true);
    }
    let text = |text: String| Some(FieldValue::Text(text));
    let mut fields = Fields::from(
        [HostKey::KIND, HostKey::SOCKET, HostKey::SSH_ALIAS, HostKey::HOSTNAME, HostKey::USER, HostKey::PORT]
            .map(|key| (key, None)),
    );
    match target {
        HostTarget::Ssh { user, hostname, port } => {
            fields.insert(HostKey::HOSTNAME, text(hostname.to_string()));
            fields.insert(HostKey::USER, user.as_ref().and_then(|user| text(user.to_string())));
            fields.insert(HostKey::PORT, port.map(FieldValue::Number));
        }
        HostTarget::Tcp { hostname, port } => {
            fields.insert(HostKey::KIND, text("tcp".to_owned()));
            fields.insert(HostKey::HOSTNAME, text(hostname.to_string()));
            fields.insert(HostKey::PORT, port.map(FieldValue::Number));
        }
        HostTarget::Unix(socket) => {
            fields.insert(HostKey::KIND, text("unix".to_owned()));
            fields.insert(HostKey::SOCKET, socket.as_ref().and_then(|path| text(path.display().to_string())));
        }
    }
    fields
}
