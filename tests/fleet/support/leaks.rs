//! What a trial leaves behind: a look before it, looks after it until all is as it was.
//!
//! Everything has a name by which it is known again, so that one thing that went and another one
//! that came do not cancel out. Looked at are
//!
//! * this process: descriptors, threads (a tokio runtime that still runs is its workers and its
//!   epoll descriptor), children with their descendants, also those nobody has waited for,
//! * this machine: processes and entries of `/tmp` that bear [`mark`], which outlive their parents,
//!   and connections to the fleet's addresses that somebody here still holds,
//! * each host: what came by ssh and what it left running, `dial-stdio`, files of ours in its
//!   `/tmp`, and whether `docker.sock` leads to its engine.
//!
//! Allowed is
//!
//! * what was there before: the fleet's lock, the harness, tokio's sockets for signals, which it opens
//!   once and keeps, an earlier trial's leak, which is told there,
//! * `/dev/null`, which the client of ssh's multiplexing opens once for all commands and keeps,
//! * what the kernel alone still holds: a connection in its last states belongs to nobody,
//! * the ssh sessions of a host that was cut off in the trial: their goodbye was lost, and TCP says
//!   it again as late as it likes. That nobody here holds them is seen at this end,
//! * what is in the engines: each trial begins with empty ones.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;

use super::processes::{self, Child, Process};
use super::trials::caught;
use super::wait::holds_within;
use super::{Fleet, Host, mark};

/// Established, and closed by the other side alone: the states of a socket that a process holds.
const HELD: [&str; 2] = ["01", "08"];

/// All that is there at a moment: names, and what to tell about each.
#[derive(Clone, Debug)]
pub struct Level(BTreeMap<String, String>);

impl Level {
    /// As it is now. The hosts must run.
    pub fn of(fleet: &Fleet) -> Self {
        let mut level = Self(BTreeMap::new());
        level.this_process();
        level.this_machine(&fleet.script().net);
        fleet.hosts().iter().for_each(|host| level.host(host));
        level
    }

    /// What is here and was not there.
    pub fn beyond(&self, before: &Self) -> Vec<String> {
        let new = self.0.iter().filter(|(name, _)| !before.0.contains_key(*name));
        new.map(|(name, about)| format!("{name} {about}").trim_end().to_owned()).collect()
    }

    fn note(&mut self, name: String, about: impl Into<String>) {
        self.0.insert(name, about.into());
    }

    fn processes(&mut self, place: &str, found: &[Process]) {
        for process in found {
            let Process { pid, started, .. } = process;
            self.note(
                format!("{place}: process {pid} of tick {started}"),
                format!("({}) {}", process.name, process.command),
            );
        }
    }

    fn this_process(&mut self) {
        let me = std::process::id();
        let own = format!("/proc/{me}/fd");
        for entry in entries(&own) {
            let Ok(target) = fs::read_link(Path::new(&own).join(&entry)) else { continue };
            // the look itself, and ssh's way to nowhere
            if target != Path::new(&own) && target != Path::new("/dev/null") {
                self.note(format!("here: descriptor {entry} of {}", target.display()), "");
            }
        }
        for thread in entries("/proc/self/task") {
            // a thread takes its name some time after it has started
            let comm = fs::read_to_string(format!("/proc/self/task/{thread}/comm")).unwrap_or_default();
            self.note(format!("here: thread {thread}"), comm.trim());
        }
        let mut children = processes::descendants(me);
        children.retain(|process| process.pid != me);
        self.processes("here", &children);
        for Child { pid, name, .. } in processes::children(me).into_iter().filter(|child| child.unreaped) {
            self.note(format!("here: child {pid}"), format!("({name}) has ended and nobody waited for it"));
        }
    }

    fn this_machine(&mut self, net: &str) {
        let path = format!("/tmp/{}", mark());
        self.processes("this machine", &processes::naming(&path));
        for entry in entries("/tmp").into_iter().filter(|entry| entry.starts_with(&mark())) {
            self.note(format!("this machine: /tmp/{entry}"), "");
        }
        for (local, remote) in held_connections(net) {
            self.note(format!("this machine: connection from {local} to {remote}"), "");
        }
    }

    fn host(&mut self, host: &Host) {
        let (name, all) = (host.name(), host.processes());
        if !host.was_cut_off() {
            self.processes(name, &processes::from_ssh(&all));
        }
        self.processes(name, &processes::matching(&all, "dial-stdio"));
        let root = format!("/proc/{}/root", host.pid());
        let ours = |entry: &String| entry.starts_with("dockmaster");
        for entry in entries(&format!("{root}/tmp")).into_iter().filter(ours) {
            self.note(format!("{name}: /tmp/{entry}"), "");
        }
        let door = fs::read_link(format!("{root}/run/docker.sock")).unwrap_or_default();
        if door != Path::new("engine.sock") {
            self.note(format!("{name}: /run/docker.sock"), "does not lead to the engine");
        }
    }
}

/// Runs `body`, undoes the faults it has left, and waits until all else is as it was before; what
/// is not after `patience` is the failure. A body that fails has told what is wrong: what it leaves
/// is not looked at.
pub fn guarded(
    fleet: &Fleet,
    patience: Duration,
    body: impl FnOnce() -> Result<(), Failed>,
) -> Result<(), Failed> {
    let before = Level::of(fleet);
    body()?;
    // a host that hangs or is off cannot let go of anything
    caught("after the trial: ", || fleet.heal_all())?;
    let mut left = Vec::new();
    let start = Instant::now();
    let regained = holds_within(patience, || {
        left = Level::of(fleet).beyond(&before);
        left.is_empty()
    });
    if regained {
        return Ok(());
    }
    let mut text = format!("the trial passed, and {:?} later this is left of it:", start.elapsed());
    for thing in &left {
        write!(text, "\n    {thing}").expect("a string takes all");
    }
    Err(Failed::from(text))
}

/// The names in a directory; none when it is gone.
fn entries(dir: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else {
        return Vec::new();
    };
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}

/// The connections of this machine to the network that a process here has not closed.
fn held_connections(net: &str) -> Vec<(String, String)> {
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let rows = table.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
    let held = rows.filter(|row| row.get(3).is_some_and(|state| HELD.contains(state)));
    held.filter_map(|row| Some((address(row.get(1)?)?, address(row.get(2)?)?)))
        .filter(|(_, remote)| remote.starts_with(&format!("{net}.")))
        .collect()
}

/// `0B00510A:0016` is 10.81.0.11:22: the address as this machine keeps it in memory.
fn address(hex: &str) -> Option<String> {
    let (address, port) = hex.split_once(':')?;
    let [a, b, c, d] = u32::from_str_radix(address, 16).ok()?.to_ne_bytes();
    Some(format!("{a}.{b}.{c}.{d}:{}", u16::from_str_radix(port, 16).ok()?))
}
