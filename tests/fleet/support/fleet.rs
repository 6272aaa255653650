//! The fleet as a value: up while it lives, for one test process at a time.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::host::Host;
use super::script::Script;

/// Making hosts may include fetching packages, once.
const UP: Duration = Duration::from_secs(600);
const VERB: Duration = Duration::from_secs(90);

/// Why there can be no fleet on this machine.
#[derive(Clone, Debug)]
pub struct Unavailable(pub String);

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Some hosts, up. Dropped, they go down if they were brought up for this value.
#[derive(Debug)]
pub struct Fleet {
    script: Script,
    client: PathBuf,
    state: PathBuf,
    hosts: Vec<Host>,
    brought_up: bool,
    _lock: Option<File>,
}

impl Fleet {
    /// Whether this machine can have a fleet; quick, and changes nothing.
    pub fn check() -> Result<(), Unavailable> {
        let ran = Script::from_env().try_verb(&["check"], VERB);
        // 1 says that packages are missing, which `up` installs
        if ran.code == 0 || ran.code == 1 {
            return Ok(());
        }
        Err(Unavailable(ran.stderr.trim().to_owned()))
    }

    /// The fleet of the environment (`FLEET_NAME`, `FLEET_NET`), which whoever started this process
    /// holds for it.
    pub fn found() -> Self {
        Self::of(Script::from_env(), None, false)
    }

    /// A fleet with at least `count` hosts. One that runs already is used and left running.
    pub fn acquire_as(script: Script, count: usize) -> Result<Self, Unavailable> {
        Self::check()?;
        let lock = lock(&script)?;
        let brought_up = !script.try_verb(&["status"], VERB).ok();
        let up = script.try_verb(&["up", &count.to_string()], UP);
        if !up.ok() {
            return Err(Unavailable(format!("`fleet.sh up` failed: {}", up.stderr.trim())));
        }
        let fleet = Self::of(script, Some(lock), brought_up);
        if !fleet.brought_up {
            fleet.reset();
        }
        Ok(fleet)
    }

    fn of(script: Script, lock: Option<File>, brought_up: bool) -> Self {
        let env = environment(&script);
        let state = PathBuf::from(&env["FLEET_STATE"]);
        let hosts = env["FLEET_HOSTS"]
            .split_whitespace()
            .map(|name| Host::new(script.clone(), name, &state))
            .collect();
        Self { client: PathBuf::from(&env["FLEET_CLIENT"]), state, hosts, brought_up, script, _lock: lock }
    }

    /// The host of that name; panics when there is none.
    pub fn host(&self, name: &str) -> &Host {
        self.hosts
            .iter()
            .find(|host| host.name() == name)
            .unwrap_or_else(|| panic!("the fleet has no host {name}"))
    }

    /// All hosts, in order.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// Where the client's keys, `known_hosts`, `ssh_config` and `hosts.yml` lie.
    pub fn client_dir(&self) -> &Path {
        &self.client
    }

    /// A configuration for `ssh -F` that knows every host.
    pub fn ssh_config(&self) -> PathBuf {
        self.client.join("ssh_config")
    }

    /// A client's certificate for engines on tcp, as the docker CLI wants it: `ca.pem`, `cert.pem`,
    /// `key.pem`.
    pub fn tls_dir(&self) -> PathBuf {
        self.client.join("tls")
    }

    /// One of another authority, which no engine trusts.
    pub fn wrong_tls_dir(&self) -> PathBuf {
        self.client.join("tls-wrong")
    }

    /// The directory that holds all of the fleet.
    pub fn state_dir(&self) -> &Path {
        &self.state
    }

    /// Docker's compose plugin, as hosts have it.
    pub fn compose_plugin(&self) -> PathBuf {
        PathBuf::from(&environment(&self.script)["FLEET_CACHE"]).join("plugins/docker-compose")
    }

    /// The script with this fleet's settings.
    pub fn script(&self) -> &Script {
        &self.script
    }

    /// Undoes every fault on every host; quick when there is none.
    pub fn heal_all(&self) {
        self.script.verb(&["heal-all"], VERB);
    }

    /// What happens after each trial, when all faults are undone: nobody is logged in, nothing runs
    /// that was started by ssh, and the engines hold what they hold from the start.
    pub fn clear(&self) {
        self.hosts.iter().for_each(Host::end_ssh);
        self.script.verb(&["empty"], VERB);
    }

    /// The same, whatever state the hosts are in and whoever has used them.
    pub fn reset(&self) {
        self.heal_all();
        self.clear();
    }

    /// Takes the fleet down now, whoever brought it up.
    pub fn take_down(mut self) {
        self.brought_up = false;
        self.script.verb(&["down"], VERB);
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        if self.brought_up {
            let down = self.script.try_verb(&["down"], VERB);
            if !down.ok() {
                eprintln!("the fleet did not go down: {}", down.stderr.trim());
            }
        }
    }
}

/// One test process at a time uses a fleet; the next one waits here.
fn lock(script: &Script) -> Result<File, Unavailable> {
    let path = std::env::temp_dir().join(format!("{}.in-use", script.name));
    let failed = |error: std::io::Error| Unavailable(format!("{}: {error}", path.display()));
    let file = File::create(&path).map_err(failed)?;
    if file.try_lock().is_err() {
        eprintln!("waiting for the test run that holds {}", path.display());
        file.lock().map_err(failed)?;
    }
    Ok(file)
}

fn environment(script: &Script) -> HashMap<String, String> {
    script
        .verb(&["env"], VERB)
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.trim_matches('\'').to_owned()))
        .collect()
}
