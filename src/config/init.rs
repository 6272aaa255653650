//! `dockmaster init`: a first hosts file, the hosts of the ssh configuration to choose from, and how
//! to add Dockmaster to an assistant.

use super::{Environment, Sources, places};
use crate::domain::host::{HostId, Hostname};
use crate::transport::ssh::SshSettings;
use crate::transport::ssh::aliases::{Alias, aliases, resolve};
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
pub async fn run(
    sources: &Sources,
    ssh: &SshSettings,
    wanted: &[String],
    all: bool,
) -> Result<String, InitError> {
    let path = sources
        .config
        .clone()
        .or_else(|| places::own_user_file(&sources.environment))
        .ok_or(InitError::NoHome)?;
    if path.exists() {
        return Err(InitError::Exists { path });
    }
    let offered = offered(ssh, &sources.environment).await;
    let chosen = choose(&offered, wanted, all)?;
    write_new(&path, &hosts_file(&chosen))
        .map_err(|source| InitError::Write { path: path.clone(), source })?;
    Ok(report(&path, &offered, &chosen))
}

/// The hosts of the ssh configuration, each resolved by ssh itself.
async fn offered(ssh: &SshSettings, environment: &Environment) -> Vec<Alias> {
    let file = ssh
        .config
        .clone()
        .or_else(|| environment.get("HOME").map(|home| Path::new(home).join(".ssh/config")));
    let Some(file) = file else { return vec![] };
    let mut offered = Vec::new();
    for name in aliases(&file) {
        offered.extend(resolve(ssh, &name).await);
    }
    offered
}

fn choose<'a>(offered: &'a [Alias], wanted: &[String], all: bool) -> Result<Vec<&'a Alias>, InitError> {
    if all {
        return Ok(offered.iter().collect());
    }
    let find = |alias: &String| {
        offered.iter().find(|known| known.name.as_str() == alias).ok_or_else(|| {
            let known = || offered.iter().map(|known| known.name.as_str());
            InitError::UnknownAlias {
                alias: alias.clone(),
                suggestion: crate::domain::suggest::did_you_mean(alias, known()),
                known: known().collect::<Vec<_>>().join(", "),
            }
        })
    };
    wanted.iter().map(find).collect()
}

const HEADER: &str = "\
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

fn hosts_file(chosen: &[&Alias]) -> String {
    let mut text = HEADER.to_owned();
    if chosen.is_empty() {
        text.push_str("hosts: {}\n");
        return text;
    }
    text.push_str("hosts:\n");
    for alias in chosen {
        // Every value is of a validated type, or a number: nothing needs quoting that is not quoted.
        let Alias { name, hostname, user, port } = alias;
        let _ = write!(
            text,
            "  {}:\n    ssh_alias: \"{name}\"\n    hostname: \"{hostname}\"\n    user: \"{}\"\n",
            host_id(name),
            user.as_str().replace('\\', "\\\\")
        );
        if *port != 22 {
            let _ = writeln!(text, "    port: {port}");
        }
        text.push_str("    tags: [imported, ssh-config]\n");
    }
    text
}

/// An alias as a host id: almost always itself.
fn host_id(alias: &Hostname) -> String {
    if alias.as_str().parse::<HostId>().is_ok() {
        return alias.to_string();
    }
    let plain: String =
        alias.as_str().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    format!("host-{}", plain.trim_matches('-').chars().take(50).collect::<String>())
}

fn write_new(path: &Path, text: &str) -> std::io::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn report(path: &Path, offered: &[Alias], chosen: &[&Alias]) -> String {
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
        let names: Vec<&str> = offered.iter().map(|alias| alias.name.as_str()).collect();
        let _ = writeln!(out, "Your ssh configuration knows: {}.", names.join(", "));
        out.push_str("Take some with: dockmaster init ALIAS… (remove the file first), or all with --all.\n");
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
        let sources = Sources { config: Some(path.clone()), environment, ..Sources::default() };

        let report = run(&sources, &ssh, &[], true).await.unwrap();
        assert!(report.contains("3 hosts") && report.contains("claude mcp add"), "{report}");
        let settings = super::super::load(&sources).unwrap();
        assert_eq!(settings.warnings, []);
        let hosts: Vec<String> =
            settings.hosts.iter().map(|(id, host)| format!("{id} {}", host.value.endpoint.url())).collect();
        assert_eq!(hosts, ["backup ssh://backup", "host-odd ssh://_odd", "nas ssh://nas"]);

        assert!(matches!(run(&sources, &ssh, &[], true).await, Err(InitError::Exists { .. })));
    }

    #[tokio::test]
    async fn an_unknown_alias_writes_nothing_and_names_the_nearest() {
        let dir = tempfile::tempdir().unwrap();
        let ssh_config = dir.path().join("ssh_config");
        std::fs::write(&ssh_config, "Host proxmox\n  HostName p.lan\n").unwrap();
        let path = dir.path().join("hosts.yml");
        let sources = Sources { config: Some(path.clone()), ..Sources::default() };
        let error = run(&sources, &SshSettings { config: Some(ssh_config) }, &["promox".into()], false)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("Did you mean \"proxmox\"?") && !path.exists(), "{error}");
    }
}
