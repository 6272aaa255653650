//! Where trials run: fleets side by side, on each one trial at a time in a process of its own.
//!
//! So what a trial leaves behind in its process is its own affair, and one that blocks or ends its
//! process takes no other with it.

use std::io::{Read as _, Seek as _};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use libtest_mimic::Failed;

use super::fleet::{Fleet, Unavailable};
use super::mark_of;
use super::processes;
use super::script::Script;
use super::trials::caught;
use super::wait::holds_within;

/// Names the one trial a process is to run.
const CHOSEN: &str = "FLEET_TRIAL";

/// The trial this process was started for.
pub fn chosen() -> Option<String> {
    std::env::var(CHOSEN).ok()
}

/// The fleets that no trial uses at the moment. Each is brought up by the first trial that needs it.
pub struct Places {
    hosts: usize,
    free: Mutex<Vec<Place>>,
}

enum Place {
    Untouched(Script),
    Tried(Result<Fleet, Unavailable>),
}

impl Places {
    /// As many as trials may run at a time.
    pub fn new(hosts: usize, count: usize) -> Self {
        let script = Script::from_env();
        // the first one is on top: the fleet that somebody may have brought up
        let places = (0..count).rev().map(|number| Place::Untouched(script.numbered(number)));
        Self { hosts, free: Mutex::new(places.collect()) }
    }

    /// Runs the trial of that name on one that is free.
    pub fn run(&self, trial: &str, limit: Duration) -> Result<(), Failed> {
        let tried = self.take();
        let outcome = match &tried {
            Ok(fleet) => run_on(fleet, trial, limit),
            Err(unavailable) => Err(unavailable.into()),
        };
        self.free().push(Place::Tried(tried));
        outcome
    }

    /// In order and one after the other, so that two test runs never each hold what the other waits for.
    fn take(&self) -> Result<Fleet, Unavailable> {
        let mut free = self.free();
        if let Some(Place::Untouched(script)) = free.last() {
            let tried = Fleet::acquire_as(script.clone(), self.hosts);
            free.pop();
            return tried;
        }
        match free.pop() {
            Some(Place::Tried(tried)) => tried,
            _ => panic!("there are as many places as threads"),
        }
    }

    /// Lets all of them go.
    pub fn release(&self) {
        self.free().clear();
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Vec<Place>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn run_on(fleet: &Fleet, trial: &str, limit: Duration) -> Result<(), Failed> {
    let program = std::env::current_exe()?;
    let mut command = Command::new(program);
    command.env(CHOSEN, trial).envs(fleet.script().environment());
    // the limit within the process cannot end a trial that blocks its thread
    let outcome = judged(trial, &mut command, limit * 2 + Duration::from_secs(60));
    let Err(failed) = &outcome else {
        return outcome;
    };
    // the next trial must not meet what this one has left
    match caught("after the trial: ", || fleet.reset()) {
        Ok(()) => outcome,
        Err(more) => Err(format!("{}\n{}", words(failed), words(&more)).into()),
    }
}

/// Runs a process to its end, or kills it after `limit`. Failure is its exit status, told by what
/// it has said; then all that bears its mark ends with it.
pub fn judged(name: &str, command: &mut Command, limit: Duration) -> Result<(), Failed> {
    // a file: who reads a pipe would wait for what the process leaves behind
    let mut said = tempfile::tempfile()?;
    command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said.try_clone()?);
    let mut child = command.spawn()?;
    let mut status = None;
    if !holds_within(limit, || {
        status = child.try_wait().expect("a child can be asked");
        status.is_some()
    }) {
        child.kill()?;
        child.wait()?;
    }
    let mut text = Vec::new();
    said.rewind()?;
    said.read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text);
    if status.is_some_and(|status| status.success()) {
        if !text.is_empty() {
            eprintln!("{name}:\n{}", text.trim_end());
        }
        return Ok(());
    }
    let left = processes::naming(&format!("/tmp/{}", mark_of(child.id())));
    processes::end(&left);
    let how = status.map_or_else(|| format!("killed after {limit:?}"), |status| status.to_string());
    Err(format!("{}\n({how})", text.trim_end()).into())
}

fn words(failed: &Failed) -> &str {
    failed.message().unwrap_or_default()
}
