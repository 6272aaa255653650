//! Hosts behind sshd: one foreground `ssh` per host, the *anchored link*.
//!
//! The system's own ssh is used so that `~/.ssh/config`, `known_hosts`, agents, hardware keys and
//! jump hosts work as in the user's shell. It runs as our child, never as a daemon, so it ends
//! with us. Its remote command, the anchor, prints what we need to know and then echoes: it
//! proves that the login gives a shell, finds the engine's socket, answers probes, and makes sshd
//! set `TCP_NODELAY` (it does so for sessions only; without it every answer waits 40 ms).
//! Everything else (engine streams, commands) is multiplexed over that one login.

mod access;
pub mod aliases;
mod anchor;
mod budget;
mod classify;
mod dialstdio;
mod hello;
mod hold;
pub mod hostkeys;
mod link;
mod mux;
mod options;
mod stderr;

use super::{Connection, process};
use crate::domain::fault::Fault;
use crate::domain::host::SshTarget;
use crate::runtime::dirs::RunDir;
use crate::runtime::permits::LoginPermits;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

pub use options::SshSettings;

/// Makes ssh links.
#[derive(Debug, Clone)]
pub struct SshConnector {
    settings: SshSettings,
    run_dir: RunDir,
    logins: LoginPermits,
    /// What OpenSSH made of targets lately, for looks that come every few seconds.
    resolved: Arc<Mutex<HashMap<SshTarget, (Instant, String)>>>,
}

/// A change of ssh's configuration itself is noticed this late while a host is held.
const RESOLVED_FOR: Duration = Duration::from_secs(15);

impl SshConnector {
    /// A connector that keeps its sockets in `run_dir` and bounds its logins in flight by `logins`.
    pub fn new(settings: SshSettings, run_dir: RunDir, logins: LoginPermits) -> Self {
        Self { settings, run_dir, logins, resolved: Arc::default() }
    }

    /// Logs in to `target`.
    pub async fn connect(&self, target: &SshTarget) -> Result<Connection, Fault> {
        let resolved = self.resolve(target).await;
        let login = anchor::Anchor::cast(&self.settings, target, &self.run_dir);
        match self.logins.run(options::jump_host(&resolved), login).await {
            Ok(anchor) => Ok(access::connection(anchor, target)),
            Err(fault) => Err(hostkeys::with_known_key(fault).await),
        }
    }

    /// A number that changes with the files that decide about a login to `target`: ssh's
    /// configuration, known hosts and keys, as OpenSSH itself resolves them.
    pub async fn evidence(&self, target: &SshTarget) -> u64 {
        let resolved = self.resolved_lately(target).await;
        process::stamp(options::deciding_files(&resolved).chain(self.settings.config.clone()).chain(agent()))
    }

    async fn resolved_lately(&self, target: &SshTarget) -> String {
        let fresh = |(at, _): &(Instant, String)| at.elapsed() < RESOLVED_FOR;
        let lately = || self.resolved.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, resolved)) = lately().get(target).filter(|found| fresh(found)) {
            return resolved.clone();
        }
        let resolved = self.resolve(target).await;
        let mut known = lately();
        known.retain(|_, found| fresh(found));
        known.insert(target.clone(), (Instant::now(), resolved.clone()));
        resolved
    }

    /// What OpenSSH itself makes of `target` (`ssh -G`); empty when it cannot be asked, which the login
    /// then tells the reason of.
    async fn resolve(&self, target: &SshTarget) -> String {
        let mut argv = vec!["ssh".to_owned(), "-G".to_owned()];
        argv.extend(options::destination(&self.settings, target));
        let resolved = process::run(&super::Command::new(argv)).await;
        resolved.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
    }
}

fn agent() -> Option<PathBuf> {
    std::env::var_os("SSH_AUTH_SOCK").map(PathBuf::from)
}
