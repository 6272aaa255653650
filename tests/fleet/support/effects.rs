//! What was done to containers, by the engine's own log of events: it knows nothing of our journal.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::Host;

/// An engine keeps this many events; a window with as many may have lost some.
const KEPT: usize = 256;

/// What happened to one container in a window of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// It was made.
    pub created: usize,
    /// It was started.
    pub started: usize,
    /// Its program ended.
    pub died: usize,
    /// It was removed.
    pub removed: usize,
}

impl Effects {
    /// Nothing.
    pub const NONE: Self = Self { created: 0, started: 0, died: 0, removed: 0 };

    /// How many there are.
    pub fn count(self) -> usize {
        self.created + self.started + self.died + self.removed
    }
}

/// The log of one host's engine, read window by window without a gap.
#[derive(Debug)]
pub struct EffectLog<'a> {
    host: &'a Host,
    until: Duration,
}

impl<'a> EffectLog<'a> {
    /// What happens from now on.
    pub fn from_now(host: &'a Host) -> Self {
        Self { host, until: now() }
    }

    /// What has happened since it was asked last, by the names of containers.
    pub fn read(&mut self) -> BTreeMap<String, Effects> {
        let since = std::mem::replace(&mut self.until, now());
        let [since, until] =
            [since, self.until].map(|at| format!("{}.{:09}", at.as_secs(), at.subsec_nanos()));
        let window = ["--since", &since, "--until", &until, "--filter", "type=container"];
        let said = self.host.docker(&[&["events", "--format", "{{json .}}"], window.as_slice()].concat());
        assert!(said.lines().count() < KEPT, "{} keeps no more events than these", self.host.name());
        let mut found: BTreeMap<String, Effects> = BTreeMap::new();
        for line in said.lines() {
            let event: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("no event: {line}"));
            let name = event["Actor"]["Attributes"]["name"].as_str().expect("a container has a name");
            let effects = found.entry(name.to_owned()).or_default();
            match event["Action"].as_str().expect("an event has a name") {
                "create" => effects.created += 1,
                "start" => effects.started += 1,
                "die" => effects.died += 1,
                "destroy" => effects.removed += 1,
                // signals, and what sums up those above
                _ => {}
            }
        }
        found
    }
}

/// Hosts have this machine's clock.
fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970")
}
