//! The docker client: a process to each call.

use crate::contestant::{Call, Contestant, load, names};
use crate::service::Service;
use crate::site::{Line, Site};
use anyhow::{Context as _, Result, ensure};
use dockmaster::transport::BoxFuture;
use std::ffi::OsString;
use std::process::Stdio;
use tokio::process::Command;

/// The docker client with one `DOCKER_HOST` to a host.
pub(crate) struct Cli {
    name: &'static str,
    hosts: Vec<String>,
    path: Option<OsString>,
}

impl Cli {
    /// At the engines' own sockets.
    pub(crate) fn direct(site: &Site) -> Self {
        let hosts = site.hosts.iter().map(|host| format!("unix://{}", host.socket.display())).collect();
        Self { name: names::DOCKER_DIRECT, hosts, path: None }
    }

    /// At the local sockets of a running service.
    pub(crate) async fn through(site: &Site, service: &Service) -> Result<Self> {
        let mut hosts = Vec::new();
        for host in &site.hosts {
            hosts.push(service.docker_host(&host.name).await?);
        }
        Ok(Self { name: names::DOCKER_OURS, hosts, path: None })
    }

    /// Over ssh, with a login to each call.
    pub(crate) fn ssh(site: &Site, line: Line) -> Self {
        Self { name: names::DOCKER_SSH, hosts: urls(site, line), path: None }
    }

    /// Over ssh, with a `ControlMaster` that is running already.
    pub(crate) async fn multiplexed(site: &Site, line: Line) -> Result<Self> {
        for host in 0..site.hosts.len() {
            site.start_master(line, host).await?;
        }
        let name = names::DOCKER_MASTER;
        Ok(Self { name, hosts: urls(site, line), path: Some(site.multiplexed_path()?) })
    }
}

fn urls(site: &Site, line: Line) -> Vec<String> {
    (0..site.hosts.len()).map(|host| format!("ssh://{}", site.alias(line, host))).collect()
}

impl Contestant for Cli {
    fn name(&self) -> &'static str {
        self.name
    }

    fn can(&self, _: Call) -> bool {
        true
    }

    fn hosts(&self) -> usize {
        self.hosts.len()
    }

    fn call(&self, call: Call, host: usize) -> BoxFuture<'_, Result<usize>> {
        Box::pin(async move {
            let tail = load::TAIL.to_string();
            let words: &[&str] = match call {
                // The client has no bare ping; this is its shortest question.
                Call::Ping => &["version", "--format", "{{.Server.Version}}"],
                Call::List => &["ps", "--all", "--quiet"],
                Call::Inspect => &["inspect", load::LOGGER],
                Call::Logs => &["logs", "--tail", &tail, load::LOGGER],
                Call::ComposePs => &["compose", "--project-name", load::PROJECT, "ps", "--quiet"],
            };
            let mut command = Command::new("docker");
            command.args(words).env("DOCKER_HOST", self.hosts.get(host).context("no such host")?);
            if let Some(path) = &self.path {
                command.env("PATH", path);
            }
            let ran = command.stdin(Stdio::null()).kill_on_drop(true).output().await.context("docker")?;
            let complaint = String::from_utf8_lossy(&ran.stderr);
            ensure!(ran.status.success(), "docker {}: {}", words.join(" "), complaint.trim());
            let lines = String::from_utf8_lossy(&ran.stdout).lines().count();
            Ok(if call == Call::Inspect { 1 } else { lines })
        })
    }
}
