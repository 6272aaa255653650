//! The directory of hosts: what everybody may read without asking an actor.
//!
//! An entry outlives its host's actor: while that one is restarted, the entry still tells the last
//! status and which life comes next.

use super::changes::ChangeDesk;
use super::host::{HostError, HostHandle, HostMessage, LastAnswer, Published, Session, Shelf};
use super::journal::JournalHandle;
use super::operation::Operations;
use super::reaper::ReaperHandle;
use super::slot::Slot;
use super::supervision::SupervisorHandle;
use crate::domain::host::{HostId, HostSpec};
use crate::domain::phase::{HostStatus, Phase};
use crate::domain::policy::{Engine, EngineIdentity, Policy, of_one_engine, strictest};
use crate::domain::protection::Protection;
use crate::domain::selector::{HostSelector, SelectorError, unknown_host};
use crate::runtime::clock::Clock;
use crate::runtime::container;
use futures_util::future::join_all;
use ractor::ActorRef;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::watch;

/// All hosts by id; clones share them.
#[derive(Clone)]
pub struct HostDirectory {
    entries: Arc<RwLock<BTreeMap<HostId, Entry>>>,
    clock: Clock,
    /// Who starts the hosts' actors.
    supervisor: Slot<SupervisorHandle>,
    /// Who lets go of what their operations leave behind.
    reaper: ReaperHandle,
    /// What is done to them on the record.
    changes: ChangeDesk,
}

/// What the directory keeps for a host.
#[derive(Clone)]
struct Entry {
    spec: Arc<HostSpec>,
    published: Arc<watch::Sender<Published>>,
    known: Shelf,
    actor: Arc<watch::Sender<Option<ActorRef<HostMessage>>>>,
    /// When a call was answered last.
    answered: Arc<LastAnswer>,
    operations: Operations,
}

/// A host with the engine it leads to and what it says about it.
type Known = (HostId, EngineIdentity, Policy);

fn of_engine(identity: &EngineIdentity, known: &[Known]) -> Option<Policy> {
    strictest(identity, known.iter().map(|(_, identity, policy)| (identity, *policy)))
}

impl Entry {
    fn identity(&self) -> EngineIdentity {
        let status = &self.published.borrow().status;
        let engine = match &status.engine_id {
            Some(name) => Engine::Named(name.clone()),
            None if status.last_seen.is_some() => Engine::Nameless,
            None => Engine::Unknown,
        };
        EngineIdentity { place: self.spec.endpoint.place(), engine }
    }
}

impl HostDirectory {
    /// An empty directory whose times are `clock`'s.
    pub fn new(clock: Clock) -> Self {
        Self::with_journal(clock, JournalHandle::none(), Duration::MAX)
    }

    /// An empty directory whose changes go on record in `journal`. For an engine that may still be at one it is
    /// waited at most `doubt`.
    pub fn with_journal(clock: Clock, journal: JournalHandle, doubt: Duration) -> Self {
        let reaper = ReaperHandle::new(journal.clone());
        let changes = ChangeDesk::new(journal, reaper.clone(), clock, doubt);
        Self { entries: Arc::default(), clock, supervisor: Slot::default(), reaper, changes }
    }

    /// The clock all statuses are written by.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The hosts' supervisor, whichever incarnation lives.
    pub fn supervisor(&self) -> &Slot<SupervisorHandle> {
        &self.supervisor
    }

    /// The Reaper.
    pub fn reaper(&self) -> &ReaperHandle {
        &self.reaper
    }

    /// What is done to hosts on the record.
    pub fn changes(&self) -> &ChangeDesk {
        &self.changes
    }

    /// Enters a host, or gives an entered one its new specification.
    pub fn enter(&self, spec: Arc<HostSpec>) {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        let id = spec.id.clone();
        entries.entry(id.clone()).and_modify(|entry| entry.spec = Arc::clone(&spec)).or_insert_with(|| {
            let phase = if spec.enabled { Phase::Disconnected } else { Phase::Disabled };
            let status =
                HostStatus { id, phase, since: now, last_seen: None, engine_id: None, incarnation: 0 };
            Entry {
                spec,
                published: Arc::new(watch::Sender::new(Published { status, session: None })),
                known: Shelf::default(),
                actor: Arc::new(watch::Sender::new(None)),
                answered: Arc::new(LastAnswer::new(self.clock)),
                operations: Operations::default(),
            }
        });
    }

    /// Forgets a host.
    pub fn leave(&self, id: &HostId) {
        let left = self.entries.write().unwrap_or_else(PoisonError::into_inner).remove(id);
        if let Some(entry) = left {
            entry.operations.close();
        }
    }

    /// The specifications of all hosts, by id.
    pub fn specs(&self) -> Vec<Arc<HostSpec>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.values().map(|entry| Arc::clone(&entry.spec)).collect()
    }

    /// The client side of a host.
    pub fn host(&self, id: &str) -> Result<HostHandle, SelectorError> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.get(id);
        entry
            .map(|entry| self.handle(entry))
            .ok_or_else(|| unknown_host(id, entries.keys().map(HostId::as_str)))
    }

    /// The client sides of all hosts, disabled ones included, by id.
    pub fn all(&self) -> Vec<HostHandle> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.values().map(|entry| self.handle(entry)).collect()
    }

    /// The client sides of the selected hosts, by id.
    pub fn select(&self, selector: &HostSelector) -> Result<Vec<HostHandle>, SelectorError> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let selected = selector.select(entries.values().map(|entry| entry.spec.as_ref()))?;
        Ok(selected
            .into_iter()
            .filter_map(|spec| entries.get(&spec.id))
            .map(|entry| self.handle(entry))
            .collect())
    }

    /// What may be done to a host over MCP: the strictest that any entry of its engine says. A host that
    /// is not there may be nothing done to.
    pub fn policy(&self, id: &HostId) -> Policy {
        let identities = self.identities(|_| true);
        let found = identities.iter().find(|(entry, ..)| entry == id);
        found.and_then(|(_, identity, _)| of_engine(identity, &identities)).unwrap_or(Policy::ReadOnly)
    }

    /// The names of a host's engine that hold it to something, the strictest first; of equal ones its own.
    pub fn holders(&self, id: &HostId) -> Vec<(HostId, Policy)> {
        let identities = self.identities(|_| true);
        let Some((_, identity, _)) = identities.iter().find(|(entry, ..)| entry == id) else { return vec![] };
        let names = identities.iter().map(|(name, identity, policy)| (identity, (name.clone(), *policy)));
        let mut held = of_one_engine(identity, names);
        held.retain(|(_, policy)| *policy > Policy::ReadWrite);
        held.sort_by_key(|(name, policy)| (std::cmp::Reverse(*policy), name != id));
        held
    }

    /// What is left alone on a host: what any entry of its engine names, and what Dockmaster itself needs.
    pub fn protection(&self, id: &HostId) -> Protection {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = entries.get(id) else { return Protection::default() };
        let all: Vec<_> = entries.values().map(|other| (other.identity(), &other.spec)).collect();
        let said = of_one_engine(&entry.identity(), all.iter().map(|(identity, spec)| (identity, *spec)));
        Protection {
            patterns: said.iter().flat_map(|spec| spec.protected.iter().cloned()).collect(),
            own_container: container::own(),
            own_ports: said.iter().filter_map(|spec| spec.endpoint.port()).collect(),
        }
    }

    /// The strictest policy of the entries that may lead to the engine `identity`: one whose own engine is
    /// not known yet may be any.
    pub fn policy_of_any_that_may_be(&self, identity: &EngineIdentity) -> Option<Policy> {
        let all = self.identities(|_| true);
        let may_be = all.iter().filter(|(_, entry, _)| entry.may_be_same(identity));
        may_be.map(|(.., policy)| *policy).chain(of_engine(identity, &all)).max()
    }

    /// A host that would be held to less if the host `gone` were not there.
    pub fn loosened_without(&self, gone: &HostId) -> Option<HostId> {
        let (with, without) = (self.identities(|_| true), self.identities(|id| id != gone));
        let names_more = self.host(gone.as_str()).is_ok_and(|gone| !gone.spec().protected.is_empty());
        let looser = |(id, identity, _): &&Known| {
            let is_same = |known: &Known| known.0 == *gone && known.1.is_same(identity);
            let is_held_to_less = of_engine(identity, &without) < of_engine(identity, &with);
            id != gone && (is_held_to_less || (names_more && with.iter().any(is_same)))
        };
        without.iter().find(looser).map(|(id, ..)| id.clone())
    }

    /// Which engine a host leads to, as far as that is known.
    pub fn identity(&self, id: &HostId) -> Option<EngineIdentity> {
        self.identities(|other| other == id).into_iter().next().map(|(_, identity, _)| identity)
    }

    fn identities(&self, which: impl Fn(&HostId) -> bool) -> Vec<Known> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let which = entries.iter().filter(|(id, _)| which(id));
        which.map(|(id, entry)| (id.clone(), entry.identity(), entry.spec.policy)).collect()
    }

    /// The lines of several hosts, connected first where need be, all at once and each within `limit`: for
    /// every host its line, or why there is none. The logins in flight are bounded below; one host's failure
    /// is no other's.
    pub async fn sessions(
        &self,
        hosts: &[HostHandle],
        limit: Duration,
    ) -> BTreeMap<HostId, Result<Arc<Session>, HostError>> {
        let each = hosts.iter().map(async |host| (host.spec().id.clone(), host.session(limit).await));
        join_all(each).await.into_iter().collect()
    }

    /// The Docker contexts of several hosts, all at once and each within `limit` (the mission's
    /// `batch_ensure_contexts`): for every host the name of its context, or why there is none. One host's
    /// failure is no other's.
    pub async fn ensure_contexts(
        &self,
        hosts: &[HostHandle],
        limit: Duration,
    ) -> BTreeMap<HostId, Result<String, HostError>> {
        let each = hosts.iter().map(async |host| (host.spec().id.clone(), host.ensure_context(limit).await));
        join_all(each).await.into_iter().collect()
    }

    /// What is configured about `id`, and where its actor publishes; `None` once the host has left.
    pub(super) fn publisher(
        &self,
        id: &HostId,
    ) -> Option<(Arc<HostSpec>, Arc<watch::Sender<Published>>, Shelf)> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.get(id)?;
        Some((Arc::clone(&entry.spec), Arc::clone(&entry.published), Arc::clone(&entry.known)))
    }

    /// Makes `actor` the one that handles reach.
    pub(super) fn attach(&self, id: &HostId, actor: ActorRef<HostMessage>) {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get(id) {
            entry.actor.send_replace(Some(actor));
        }
    }

    fn handle(&self, entry: &Entry) -> HostHandle {
        HostHandle {
            spec: Arc::clone(&entry.spec),
            published: entry.published.subscribe(),
            known: entry.known.subscribe(),
            actor: entry.actor.subscribe(),
            answered: Arc::clone(&entry.answered),
            operations: entry.operations.clone(),
            reaper: self.reaper.clone(),
            supervisor: self.supervisor.clone(),
        }
    }

    /// Shows a host whose actor is kept down for `term`.
    pub fn quarantine(&self, id: &str, term: Duration) {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = entries.get(id) else { return };
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
    /// Whether a host has or had an actor.
    pub(crate) fn has_actor(&self, id: &str) -> bool {
        self.host(id).is_ok_and(|host| host.actor.borrow().is_some())
    }

    /// Kills the actor of a host, as a crash would.
    pub(crate) fn kill(&self, id: &str) {
        let entries = self.entries.read().unwrap();
        entries[id].actor.borrow().as_ref().unwrap().kill();
    }
}
