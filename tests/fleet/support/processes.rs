//! The processes of a host, seen from outside it.

use std::fs;
use std::path::Path;

use regex::Regex;
use rustix::process::{Pid, Signal, kill_process};

/// A process of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id on this machine.
    pub pid: u32,
    /// Its parent's id on this machine.
    pub parent: u32,
    /// Its short name.
    pub name: String,
    /// Its command line, words parted by spaces.
    pub command: String,
    /// When it started, in clock ticks since boot: with the id this names it for good.
    pub started: u64,
}

impl Process {
    fn read(pid: u32) -> Option<Self> {
        let dir = Path::new("/proc").join(pid.to_string());
        let stat = fs::read_to_string(dir.join("stat")).ok()?;
        // the name stands in parentheses and may itself hold spaces and parentheses
        let (front, back) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = back.split(' ').collect();
        let raw = fs::read(dir.join("cmdline")).ok()?;
        let command = String::from_utf8_lossy(&raw).replace('\0', " ").trim().to_owned();
        (*fields.first()? != "Z").then_some(())?;
        Some(Self {
            pid,
            parent: fields.get(1)?.parse().ok()?,
            name: front.split_once('(')?.1.to_owned(),
            command,
            started: fields.get(19)?.parse().ok()?,
        })
    }

    /// Whether this very process still lives.
    pub fn lives(&self) -> bool {
        Self::read(self.pid).is_some_and(|now| now.started == self.started)
    }

    fn is_sshd(&self) -> bool {
        self.name.starts_with("sshd")
    }

    fn is_listener(&self) -> bool {
        self.is_sshd() && self.command.contains("[listener]")
    }
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").expect("/proc is there");
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn all() -> impl Iterator<Item = Process> {
    pids().filter_map(Process::read)
}

/// The members of the process namespace that `init` leads. Containers have further
/// namespaces of their own, so their processes are not among them.
pub fn of_namespace(init: u32) -> Vec<Process> {
    let space = |pid: u32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let Some(wanted) = space(init) else {
        return Vec::new();
    };
    all().filter(|process| space(process.pid).as_ref() == Some(&wanted)).collect()
}

/// `root` and all that descends from it, containers included.
pub fn descendants(root: u32) -> Vec<Process> {
    let all: Vec<Process> = all().collect();
    let mut found: Vec<Process> = all.iter().filter(|process| process.pid == root).cloned().collect();
    let mut next = 0;
    while let Some(parent) = found.get(next).map(|process| process.pid) {
        found.extend(all.iter().filter(|process| process.parent == parent).cloned());
        next += 1;
    }
    found
}

/// Processes of this machine whose command line contains `text`.
pub fn mentioning(text: &str) -> Vec<Process> {
    all().filter(|process| process.command.contains(text)).collect()
}

/// Processes of this machine with `text` in their command line or in their environment: so are
/// found those that have lost their parent.
pub fn naming(text: &str) -> Vec<Process> {
    let has = |raw: &[u8]| String::from_utf8_lossy(raw).contains(text);
    let environment = |pid: u32| fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    all().filter(|process| process.command.contains(text) || has(&environment(process.pid))).collect()
}

/// A child, as the kernel tells it of one that is about to end and of one that has ended, too.
pub struct Child {
    pub pid: u32,
    pub name: String,
    /// It has ended, and its parent has not waited for it.
    pub unreaped: bool,
}

/// The children of `parent`.
pub fn children(parent: u32) -> Vec<Child> {
    let child = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (front, back) = stat.rsplit_once(") ")?;
        let mut fields = back.split(' ');
        let (state, of) = (fields.next()?, fields.next()?);
        let name = front.split_once('(')?.1.to_owned();
        (of == parent.to_string()).then(|| Child { pid, name, unreaped: state == "Z" })
    };
    pids().filter_map(child).collect()
}

/// Those whose command line matches the regular expression.
pub fn matching(processes: &[Process], pattern: &str) -> Vec<Process> {
    let pattern = Regex::new(pattern).unwrap_or_else(|error| panic!("{error}"));
    processes.iter().filter(|process| pattern.is_match(&process.command)).cloned().collect()
}

/// The processes that serve established ssh connections: for a user other than root there
/// are two to a connection, the monitor and the one that runs as the user.
pub fn ssh_sessions(processes: &[Process]) -> Vec<Process> {
    let of_session = |process: &&Process| process.is_sshd() && !process.is_listener();
    processes.iter().filter(of_session).cloned().collect()
}

/// One process for each established ssh connection.
pub fn ssh_connections(processes: &[Process]) -> Vec<Process> {
    let sessions = ssh_sessions(processes);
    let below_another = |process: &Process| sessions.iter().any(|other| other.pid == process.parent);
    sessions.iter().filter(|process| !below_another(process)).cloned().collect()
}

/// The sessions, and all processes that were started in one, now or before.
pub fn from_ssh(processes: &[Process]) -> Vec<Process> {
    let mut found = ssh_sessions(processes);
    let started_by_ssh = |process: &&Process| {
        let variables = fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
        variables.split(|byte| *byte == 0).any(|variable| variable.starts_with(b"SSH_CONNECTION="))
    };
    found.extend(processes.iter().filter(|process| !process.is_sshd()).filter(started_by_ssh).cloned());
    found
}

/// Ends them without warning.
pub fn end(processes: &[Process]) {
    for process in processes {
        let pid = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid.filter(|_| process.lives()) {
            // gone meanwhile is as good
            kill_process(pid, Signal::KILL).unwrap_or_default();
        }
    }
}
