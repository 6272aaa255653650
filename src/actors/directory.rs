//! The directory of hosts: what everybody may read without asking an actor.
//!
//! An entry outlives its host's actor: while that one is restarted, the entry still tells the last
//! status and which life comes next.

use super::host::{HostHandle, HostMessage, LastAnswer, Published};
use crate::domain::host::{HostId, HostSpec};
use crate::domain::phase::{HostStatus, Phase};
use crate::domain::selector::{HostSelector, SelectorError, unknown_host};
use crate::runtime::clock::Clock;
use ractor::ActorRef;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::watch;

/// All hosts by id; clones share them.
#[derive(Clone)]
pub struct HostDirectory {
    entries: Arc<RwLock<BTreeMap<HostId, Entry>>>,
    clock: Clock,
}

/// What the directory keeps for a host.
#[derive(Clone)]
struct Entry {
    spec: Arc<HostSpec>,
    published: Arc<watch::Sender<Published>>,
    actor: Arc<watch::Sender<Option<ActorRef<HostMessage>>>>,
    /// When a call was answered last.
    answered: Arc<LastAnswer>,
}

impl HostDirectory {
    /// An empty directory whose times are `clock`'s.
    pub fn new(clock: Clock) -> Self {
        Self { entries: Arc::default(), clock }
    }

    /// The clock all statuses are written by.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// Enters a host, or gives an entered one its new specification.
    pub fn enter(&self, spec: Arc<HostSpec>) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let id = spec.id.clone();
        entries.entry(id.clone()).and_modify(|entry| entry.spec = Arc::clone(&spec)).or_insert_with(|| {
            let phase = if spec.enabled { Phase::Disconnected } else { Phase::Disabled };
            let status = HostStatus { id, phase, since: now, last_seen: None, incarnation: 0 };
            Entry {
                spec,
                published: Arc::new(watch::Sender::new(Published { status, session: None })),
                actor: Arc::new(watch::Sender::new(None)),
                answered: Arc::new(LastAnswer::new(self.clock)),
            }
        });
    }

    /// Forgets a host.
    pub fn leave(&self, id: &HostId) {
        self.entries.write().unwrap_or_else(PoisonError::into_inner).remove(id);
    }

    /// The specifications of all hosts, by id.
    pub fn specs(&self) -> Vec<Arc<HostSpec>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.values().map(|entry| Arc::clone(&entry.spec)).collect()
    }

    /// The client side of a host.
    pub fn host(&self, id: &str) -> Result<HostHandle, SelectorError> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.iter().find(|(known, _)| known.as_str() == id).map(|(_, entry)| entry);
        entry.map(Entry::handle).ok_or_else(|| unknown_host(id, entries.keys().map(HostId::as_str)))
    }

    /// The client sides of the selected hosts, by id.
    pub fn select(&self, selector: &HostSelector) -> Result<Vec<HostHandle>, SelectorError> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let selected = selector.select(entries.values().map(|entry| entry.spec.as_ref()))?;
        Ok(selected.into_iter().filter_map(|spec| entries.get(&spec.id)).map(Entry::handle).collect())
    }

    /// Where the actor of `id` publishes; `None` once the host has left.
    pub(super) fn publisher(&self, id: &HostId) -> Option<Arc<watch::Sender<Published>>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.get(id).map(|entry| Arc::clone(&entry.published))
    }

    /// Makes `actor` the one that handles reach.
    pub(super) fn attach(&self, id: &HostId, actor: ActorRef<HostMessage>) {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get(id) {
            entry.actor.send_replace(Some(actor));
        }
    }

    /// Shows a host whose actor is kept down for `term`.
    pub fn quarantine(&self, id: &str, term: std::time::Duration) {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = entries.iter().find(|(known, _)| known.as_str() == id).map(|(_, entry)| entry)
        else {
            return;
        };
        let now = self.clock.now();
        let until = now.saturating_add(term).unwrap_or(jiff::Timestamp::MAX);
        entry.published.send_modify(|published| {
            published.status.phase = Phase::Quarantined { until };
            published.status.since = now;
            published.session = None;
        });
    }
}

#[cfg(test)]
impl HostDirectory {
    /// Kills the actor of a host, as a crash would.
    pub(crate) fn kill(&self, id: &str) {
        let entries = self.entries.read().unwrap();
        let entry = entries.iter().find(|(known, _)| known.as_str() == id).map(|(_, entry)| entry).unwrap();
        entry.actor.borrow().as_ref().unwrap().kill();
    }
}

impl Entry {
    fn handle(&self) -> HostHandle {
        HostHandle::new(
            Arc::clone(&self.spec),
            self.published.subscribe(),
            self.actor.subscribe(),
            Arc::clone(&self.answered),
        )
    }
}
