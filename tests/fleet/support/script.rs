//! Running programs with a time limit, and `fleet.sh` among them.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How a program ended.
#[derive(Debug)]
pub struct Ran {
    /// Its exit code; -1 when a signal or the time limit ended it.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// How long it ran.
    pub took: Duration,
}

impl Ran {
    /// Whether it ended with code 0.
    pub fn ok(&self) -> bool {
        self.code == 0
    }
}

/// Runs a program to its end, or kills it after `limit`. Reads no input.
pub fn run(program: impl AsRef<OsStr>, args: &[&str], limit: Duration) -> Ran {
    run_with(program, args, &[], limit)
}

fn run_with(program: impl AsRef<OsStr>, args: &[&str], env: &[(&str, &str)], limit: Duration) -> Ran {
    let start = Instant::now();
    // timeout(1) signals the whole group it leads: what the program started ends with it
    let output = Command::new("timeout")
        .args(["--signal=KILL", &format!("{}", limit.as_secs_f64())])
        .arg(program.as_ref())
        .args(args)
        .envs(env.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("cannot run timeout(1): {error}"));
    Ran {
        code: output.status.code().filter(|code| *code != 137).unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        took: start.elapsed(),
    }
}

/// A program that runs until this is dropped. What it says is thrown away.
#[derive(Debug)]
pub struct Running(Child);

impl Running {
    /// Starts it, with an input that stays open.
    pub fn start(program: &str, args: &[String]) -> Self {
        let child = Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            // not this process's own: who reads that would wait for a child left behind
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {program}: {error}"));
        Self(child)
    }

    /// Whether it has ended by itself.
    pub fn ended(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(Some(_)))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// `fleet.sh` with the settings of one fleet.
#[derive(Clone, Debug)]
pub struct Script {
    /// The fleet's name, which all its namespaces and links bear.
    pub name: String,
    /// The first three numbers of its addresses.
    pub net: String,
}

impl Script {
    /// The fleet the environment names, by the script's own defaults.
    pub fn from_env() -> Self {
        let var = |key, default: &str| std::env::var(key).unwrap_or_else(|_| default.to_owned());
        Self { name: var("FLEET_NAME", "dmfleet"), net: var("FLEET_NET", "10.77.0") }
    }

    /// Settings of a fleet that can live beside this one and those that are [numbered](Self::numbered).
    pub fn sibling(&self) -> Self {
        self.beside("x", 100)
    }

    /// Settings of the fleets beside this one, which itself is number 0.
    pub fn numbered(&self, number: usize) -> Self {
        let step = u8::try_from(number).expect("few fleets fit on a machine");
        if step == 0 { self.clone() } else { self.beside(&step.to_string(), step) }
    }

    fn beside(&self, suffix: &str, step: u8) -> Self {
        let name = format!("{}{suffix}", &self.name[..self.name.len().min(10 - suffix.len())]);
        let mut numbers: Vec<u8> = self.net.split('.').filter_map(|n| n.parse().ok()).collect();
        if let Some(last) = numbers.last_mut() {
            *last = last.wrapping_add(step);
        }
        let net = numbers.iter().map(u8::to_string).collect::<Vec<_>>().join(".");
        Self { name, net }
    }

    fn path() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fleet/fleet.sh")
    }

    /// Runs a verb, whatever comes of it.
    pub fn try_verb(&self, args: &[&str], limit: Duration) -> Ran {
        self.run(&Self::path(), args, &[], limit)
    }

    /// Runs another program on this fleet: it finds the fleet in its environment, beside `env`.
    pub fn run(&self, program: &Path, args: &[&str], env: &[(&str, &str)], limit: Duration) -> Ran {
        let own = self.environment();
        let own = own.iter().map(|(key, value)| (*key, value.as_str()));
        run_with(program, args, &own.chain(env.iter().copied()).collect::<Vec<_>>(), limit)
    }

    /// The variables by which a program finds this fleet.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let mut all = vec![("FLEET_NAME", self.name.clone()), ("FLEET_NET", self.net.clone())];
        // a state directory set by hand is that of the fleet of the environment alone
        if self.name != Self::from_env().name {
            all.push(("FLEET_STATE", format!("/var/tmp/{}", self.name)));
        }
        all
    }

    /// Runs a verb and gives its output; panics with all it said when it fails.
    pub fn verb(&self, args: &[&str], limit: Duration) -> String {
        let ran = self.try_verb(args, limit);
        assert!(
            ran.ok(),
            "`fleet.sh {}` ended with {} after {:?}\n{}{}",
            args.join(" "),
            ran.code,
            ran.took,
            ran.stdout,
            ran.stderr
        );
        ran.stdout
    }
}
