//! The configuration as it is taken, for a person: every value with where it comes from, and the files
//! that are looked at.

use super::{Settings, Sourced, Sources, places};
use crate::domain::host::{Endpoint, HostSpec};
use crate::domain::policy::Policy;
use crate::domain::text::clean;
use std::fmt::{self, Display};

/// Every value with its origin, one a line, hosts last.
pub fn values(settings: &Settings) -> String {
    let Settings { host, port, log_level, allowed_hosts, watch, confirm_fallback, hosts, warnings: _ } =
        settings;
    let mut lines = vec![
        line("server.host", host.value, host),
        line("server.port", port.value, port),
        line("server.log_level", log_level.value, log_level),
        line("server.allowed_hosts", list(&allowed_hosts.value), allowed_hosts),
        line("server.watch", watch.value, watch),
        line("server.confirm_fallback", confirm_fallback.value, confirm_fallback),
    ];
    for (id, host) in hosts {
        lines.push(line(&format!("hosts.{id}"), Words(&host.value), host));
    }
    lines.concat()
}

/// The files that are looked at, the one that counts most first, and whether each is there.
pub fn files(sources: &Sources) -> String {
    let lines = places::candidates(sources).into_iter().rev().map(|path| {
        let there = if path.exists() { "there" } else { "not there" };
        format!("{}  ({there})\n", path.display())
    });
    lines.collect()
}

fn line<T>(name: &str, value: impl Display, from: &Sourced<T>) -> String {
    // Descriptions and tags may hold anything.
    let value = clean(&value.to_string()).replace(['\n', '\t'], " ");
    format!("{name} = {value}  ({})\n", from.origin)
}

fn list(words: &[String]) -> String {
    format!("[{}]", words.join(", "))
}

/// A host in a line: where it is, and what was said about it.
struct Words<'a>(&'a HostSpec);

impl Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HostSpec {
            id: _,
            endpoint,
            description,
            tags,
            compose_path,
            appdata_path,
            docker_context,
            enabled,
            policy,
            protected,
            local_socket,
        } = self.0;
        f.write_str(&endpoint.url())?;
        if let Endpoint::Ssh(target) = endpoint {
            if target.alias.is_some() {
                write!(f, " ({})", target.place())?;
            }
            if let Some(key) = &target.identity_file {
                write!(f, ", identity_file: {}", key.display())?;
            }
            if let Some(socket) = &target.socket {
                write!(f, ", socket: {socket}")?;
            }
            if target.sudo {
                f.write_str(", sudo: true")?;
            }
        }
        if let Endpoint::Tcp(target) = endpoint {
            match &target.certificates {
                Some(directory) => write!(f, ", cert_path: {}", directory.display())?,
                None => f.write_str(", tls: false")?,
            }
        }
        if !enabled {
            f.write_str(", enabled: false")?;
        }
        if *policy != Policy::default() {
            write!(f, ", policy: {policy}")?;
        }
        if !protected.is_empty() {
            let patterns: Vec<String> = protected.iter().map(ToString::to_string).collect();
            write!(f, ", protected: {}", list(&patterns))?;
        }
        if let Some(flag) = local_socket {
            write!(f, ", local_socket: {flag}")?;
        }
        if !tags.is_empty() {
            write!(f, ", tags: {}", list(tags))?;
        }
        let context = docker_context.as_ref().map(ToString::to_string);
        let rest = [
            ("description", Some(description).filter(|text| !text.is_empty())),
            ("compose_path", compose_path.as_ref()),
            ("appdata_path", appdata_path.as_ref()),
            ("docker_context", context.as_ref()),
        ];
        rest.iter()
            .filter_map(|(key, value)| Some((key, (*value)?)))
            .try_for_each(|(key, value)| write!(f, ", {key}: {value}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Environment, load};

    #[test]
    fn s2_every_value_is_shown_with_where_it_comes_from() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("hosts.yml");
        let text = "server: {port: 9000}\nhosts:\n  nas: {hostname: nas.lan, user: ops, port: 2201, tags: [home, big], compose_path: /data, protected: [db*]}\n  old: {hostname: old, enabled: false}\n";
        std::fs::write(&file, text).unwrap();
        let environment = Environment::of([("HOME", "/nonexistent"), ("LOG_LEVEL", "DEBUG")]);
        let sources = Sources { config: Some(file.clone()), environment, ..Sources::default() };
        let shown = values(&load(&sources).unwrap());
        let file = file.display();
        let expected = format!(
            "server.host = 127.0.0.1  (default)\n\
             server.port = 9000  ({file})\n\
             server.log_level = DEBUG  (environment variable LOG_LEVEL)\n\
             server.allowed_hosts = []  (default)\n\
             server.watch = auto  (default)\n\
             server.confirm_fallback = plan  (default)\n\
             hosts.nas = ssh://ops@nas.lan:2201, protected: [db*], tags: [home, big], compose_path: /data  ({file})\n\
             hosts.old = ssh://old, enabled: false  ({file})\n"
        );
        assert_eq!(shown, expected);
        let files = files(&sources);
        assert!(files.starts_with(&format!("{file}  (there)\n")), "{files}");
        assert!(files.ends_with("/nonexistent/.config/docker-mcp/hosts.yml  (not there)\n"), "{files}");
    }
}
