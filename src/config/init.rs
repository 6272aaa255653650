//! `dockmaster init`: a first hosts file, the hosts of the ssh configuration to choose from, and how
//! to add Dockmaster to an assistant.

use super::edit::{HostEdit, Inexpressible, apply};
use super::import::{self, Candidate, Offered};
use super::{Sources, json_schema, places};
use crate::domain::suggest::did_you_mean;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Why no file was written.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// There is one already.
    #[error("{} exists already and stays as it is. Edit it, or name another file with --config.", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// An alias that was asked for is none.
    #[error("{alias:?} is no host of your ssh configuration.{suggestion} There are: {known}")]
    UnknownAlias {
        /// As given.
        alias: String,
        /// " Did you mean …?" or nothing.
        suggestion: String,
        /// Those there are.
        known: String,
    },
    /// There is no place for it.
    #[error("no home directory is known. Name a file with --config.")]
    NoHome,
}

/// Writes the file and returns what to tell its reader.
pub async fn run(sources: &Sources, wanted: &[String], all: bool) -> Result<String, InitError> {
    let path = sources
        .config
        .clone()
        .or_else(|| places::own_user_file(&sources.environment))
        .ok_or(InitError::NoHome)?;
    if path.exists() {
        return Err(InitError::Exists { path });
    }
    let offered = match import::own_file(sources) {
        Some(file) => import::offered(&file, |_| true).await,
        None => Offered::default(),
    };
    let names: Vec<String> = offered.aliases.iter().map(|alias| alias.name.to_string()).collect();
    let candidates = offered.candidates(&BTreeMap::new(), true).0;
    let chosen = choose(candidates, wanted, all)?;
    let text = hosts_file(&chosen).map_err(|why| InitError::Write {
        path: path.clone(),
        source: std::io::Error::other(why.to_string()),
    })?;
    write_new(&path, &text).map_err(|source| InitError::Write { path: path.clone(), source })?;
    // For editors; an older one is replaced, and without it everything works as well.
    let schema = path.with_file_name(SCHEMA);
    std::fs::write(&schema, format!("{:#}\n", json_schema()))
        .map_err(|source| InitError::Write { path: schema.clone(), source })?;
    Ok(report(&path, &names, &chosen))
}

/// Those of `candidates` whose aliases are `wanted`, or all.
pub fn choose(candidates: Vec<Candidate>, wanted: &[String], all: bool) -> Result<Vec<Candidate>, InitError> {
    let name = |candidate: &Candidate| candidate.alias.name.to_string();
    let names: Vec<String> = candidates.iter().map(name).collect();
    if let Some(unknown) = wanted.iter().find(|wanted| !names.contains(wanted)) {
        return Err(InitError::UnknownAlias {
            alias: unknown.clone(),
            suggestion: did_you_mean(unknown, names.iter().map(String::as_str)),
            known: names.join(", "),
        });
    }
    Ok(candidates.into_iter().filter(|candidate| all || wanted.contains(&name(candidate))).collect())
}

/// The schema's file, which the first line of the hosts file names.
const SCHEMA: &str = "hosts.schema.json";

const HEADER: &str = "\
# yaml-language-server: $schema=hosts.schema.json
# Hosts that Dockmaster keeps a line to. `dockmaster serve` notices changes by itself.
#
# hosts:
#   nas:                                # the name tools use
#     hostname: nas.lan                 # DNS name, address, or an alias of ~/.ssh/config
#     user: ops                         # must be able to use the engine's socket (group docker)
#     port: 22
#     identity_file: ~/.ssh/id_ed25519  # left out: what ssh would take
#     description: storage and media
#     tags: [home]                      # select with @home
#     compose_path: /opt/stacks         # holds one folder per compose stack
#     enabled: true
#   this-machine:
#     kind: unix                        # the engine of this machine
#
# server:
#   host: 127.0.0.1                     # any other address asks every client for the token
#   port: 8000
#   log_level: INFO

";

fn hosts_file(chosen: &[Candidate]) -> Result<String, Inexpressible> {
    if chosen.is_empty() {
        return Ok(format!("{HEADER}hosts: {{}}\n"));
    }
    chosen.iter().try_fold(HEADER.to_owned(), |text, Candidate { id, fields, .. }| {
        apply(&text, &HostEdit::Add { id: id.clone(), fields: fields.clone() })
    })
}

fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn report(path: &Path, offered: &[String], chosen: &[Candidate]) -> String {
    let mut out = format!("Wrote {}", path.display());
    match chosen.len() {
        0 => out.push_str(" without hosts: this machine's own engine is used until you name some.\n"),
        count => {
            let _ = writeln!(
                out,
                " with {count} host{} of your ssh configuration.",
                if count == 1 { "" } else { "s" }
            );
        }
    }
    if chosen.is_empty() && !offered.is_empty() {
        let _ = writeln!(out, "Your ssh configuration knows: {}.", offered.join(", "));
        out.push_str("Take some with: dockmaster hosts import ALIAS…, or all with --all.\n");
    }
    out.push_str(CLIENTS);
    out
}

const CLIENTS: &str = r#"
Start the service:    dockmaster serve
Add it to Claude Code: claude mcp add --transport http docker http://127.0.0.1:8000/mcp
Add it to Codex:      codex mcp add docker -- dockmaster stdio
VS Code (.vscode/mcp.json):
  {"servers": {"docker": {"type": "http", "url": "http://127.0.0.1:8000/mcp"}}}
Cursor (~/.cursor/mcp.json):
  {"mcpServers": {"docker": {"command": "dockmaster", "args": ["stdio"]}}}"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Environment;
    use crate::transport::ssh::SshSettings;

    #[tokio::test]
    async fn the_file_loads_with_the_hosts_of_the_ssh_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let ssh_config = dir.path().join("ssh_config");
        std::fs::write(
            &ssh_config,
            "Host nas backup\n  HostName nas.lan\n  User ops\n  Port 2201\nHost *.lan !x\n  User y\nHost bare\n  User z\nHost _odd\n  HostName 10.0.0.9\n",
        )
        .unwrap();
        let ssh = SshSettings { config: Some(ssh_config) };
        let path = dir.path().join("new/hosts.yml");
        let environment = Environment::of([("HOME", dir.path().to_str().unwrap())]);
        let sources = Sources { config: Some(path.clone()), environment, ssh, ..Sources::default() };

        let report = run(&sources, &[], true).await.unwrap();
        assert!(report.contains("3 hosts") && report.contains("claude mcp add"), "{report}");
        let settings = super::super::load(&sources).unwrap();
        assert_eq!(settings.warnings, []);
        let hosts: Vec<String> =
            settings.hosts.iter().map(|(id, host)| format!("{id} {}", host.value.endpoint.url())).collect();
        assert_eq!(hosts, ["backup ssh://backup", "host-odd ssh://_odd", "nas ssh://nas"]);

        assert!(matches!(run(&sources, &[], true).await, Err(InitError::Exists { .. })));
    }

    #[tokio::test]
    async fn an_unknown_alias_writes_nothing_and_names_the_nearest() {
        let dir = tempfile::tempdir().unwrap();
        let ssh_config = dir.path().join("ssh_config");
        std::fs::write(&ssh_config, "Host proxmox\n  HostName p.lan\n").unwrap();
        let path = dir.path().join("hosts.yml");
        let ssh = SshSettings { config: Some(ssh_config) };
        let sources = Sources { config: Some(path.clone()), ssh, ..Sources::default() };
        let error = run(&sources, &["promox".into()], false).await.unwrap_err();
        assert!(error.to_string().contains("Did you mean \"proxmox\"?") && !path.exists(), "{error}");
    }
}
