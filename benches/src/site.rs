//! Where the run takes place: the hosts, the two lines to them, and what ssh is told.

use crate::proxy;
use anyhow::{Context as _, Result, ensure};
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::str::FromStr;
use std::time::Duration;
use tokio::process::Command;

/// What the far line adds, each way.
const ONE_WAY: Duration = Duration::from_millis(10);

/// A host of the fleet.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    /// Its name, which is also its alias in the fleet's ssh configuration.
    pub(crate) name: String,
    address: IpAddr,
    /// Its engine's socket, by a path of this machine.
    pub(crate) socket: PathBuf,
}

impl FromStr for Host {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut parts = text.splitn(3, '=');
        let mut part = |what: &str| parts.next().with_context(|| format!("{text:?} has no {what}"));
        let name = part("name")?.to_owned();
        let address = part("address")?.parse().with_context(|| format!("the address in {text:?}"))?;
        Ok(Self { name, address, socket: part("socket")?.into() })
    }
}

/// A line to the hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// As the machine has it.
    Loopback,
    /// Through a proxy that adds a round trip of 20 ms.
    Far,
}

/// The hosts and this run's own directory.
pub(crate) struct Site {
    /// All of this run's files; it is the home of every program that is started.
    pub(crate) dir: PathBuf,
    /// The program under test.
    pub(crate) program: PathBuf,
    /// The hosts.
    pub(crate) hosts: Vec<Host>,
    /// A server that echoes, on the far line.
    pub(crate) echo: SocketAddr,
}

impl Site {
    /// Starts the proxies and writes what ssh is told. `fleet_ssh` is a configuration that knows the hosts
    /// by name; `dir` is empty and private.
    pub(crate) fn prepare(
        dir: PathBuf,
        program: PathBuf,
        fleet_ssh: &Path,
        hosts: Vec<Host>,
    ) -> Result<Self> {
        ensure!(!hosts.is_empty(), "no hosts");
        let echo = proxy::start(proxy::start_echo()?, ONE_WAY)?;
        let mut far = String::new();
        for host in &hosts {
            let door = proxy::start(SocketAddr::new(host.address, 22), ONE_WAY)?;
            // Under its alias the host's key is looked for where it is known.
            writeln!(
                far,
                "Host {}-far\n HostName {}\n Port {}\n HostKeyAlias {}\n User ops",
                host.name,
                door.ip(),
                door.port(),
                host.address
            )?;
        }
        let plain = format!("{far}Host *\n Include {}\n", fleet_ssh.display());
        let masters = format!("{}/m/%C", dir.display());
        let multiplexed =
            format!("Host *\n ControlMaster auto\n ControlPath {masters}\n ControlPersist yes\n{plain}");
        for name in ["m", "state"] {
            fs::DirBuilder::new().mode(0o700).create(dir.join(name)).context("a directory")?;
        }
        install_ssh(&dir, "bin", &plain)?;
        install_ssh(&dir, "bin-multiplexed", &multiplexed)?;
        Ok(Self { dir, program, hosts, echo })
    }

    /// What ssh calls a host on a line.
    pub(crate) fn alias(&self, line: Line, host: usize) -> String {
        let name = &self.hosts[host].name;
        match line {
            Line::Loopback => name.clone(),
            Line::Far => format!("{name}-far"),
        }
    }

    /// A search path whose `ssh` shares a master.
    pub(crate) fn multiplexed_path(&self) -> Result<OsString> {
        let path = std::env::var_os("PATH").context("no PATH")?;
        let with = [self.dir.join("bin-multiplexed")].into_iter().chain(std::env::split_paths(&path));
        Ok(std::env::join_paths(with)?)
    }

    /// Starts a `ControlMaster`.
    pub(crate) async fn start_master(&self, line: Line, host: usize) -> Result<()> {
        self.multiplexed_ssh(&[&self.alias(line, host), "true"]).await
    }

    /// Ends the masters of a line.
    pub(crate) async fn end_masters(&self, line: Line) -> Result<()> {
        for host in 0..self.hosts.len() {
            self.multiplexed_ssh(&["-O", "exit", &self.alias(line, host)]).await?;
        }
        Ok(())
    }

    async fn multiplexed_ssh(&self, words: &[&str]) -> Result<()> {
        let mut ssh = Command::new(self.dir.join("bin-multiplexed/ssh"));
        ssh.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let status = ssh.status().await.context("ssh does not start")?;
        ensure!(status.success(), "ssh {} ended with {status}", words.join(" "));
        Ok(())
    }
}

/// Makes `ssh` in a directory of its own: the system's, which is told its configuration. The docker client
/// and bollard take the `ssh` of their search path and can tell it none. It costs the start of a shell.
fn install_ssh(dir: &Path, name: &str, config: &str) -> Result<()> {
    let bin = dir.join(name);
    fs::create_dir_all(&bin).with_context(|| bin.display().to_string())?;
    fs::write(bin.join("config"), config).context("an ssh configuration")?;
    let script = format!("#!/bin/sh\nexec {} -F {}/config \"$@\"\n", find_ssh(dir)?.display(), bin.display());
    fs::write(bin.join("ssh"), script).context("a script")?;
    fs::set_permissions(bin.join("ssh"), fs::Permissions::from_mode(0o700)).context("a script's mode")?;
    Ok(())
}

/// The system's own ssh.
fn find_ssh(dir: &Path) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").context("no PATH")?;
    let mut places = std::env::split_paths(&path).filter(|place| !place.starts_with(dir));
    let found = places.find_map(|place| Some(place.join("ssh")).filter(|ssh| ssh.is_file()));
    found.context("no ssh in the search path")
}
