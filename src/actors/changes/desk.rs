//! The client side of changes: where wishes are brought, and where what became of them is asked.

use super::live::Live;
use super::rollout::{NewRollout, Rollout, Rollouts};
use crate::actors::host::{HostError, HostHandle, Session};
use crate::actors::journal::JournalHandle;
use crate::actors::reaper::ReaperHandle;
use crate::domain::change::{Asker, Bound, Change};
use crate::domain::host::HostId;
use crate::domain::operation::OperationId;
use crate::domain::saga::{Course, Ending, OnFailure, Why};
use crate::journal::record::{
    Agreement, AuditEntry, ChangeRecord, ChangeState, Entry, NewChange, Receipt, Verdict,
};
use crate::journal::{JournalError, Page};
use crate::runtime::clock::Clock;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Changes of one host that are not over: more would only wait, as callers beyond this number would.
const OPEN_ON_HOST: usize = 128;

/// Somebody wants something changed.
#[derive(Debug, Clone)]
pub struct Wish {
    /// What.
    pub change: Change,
    /// What it may be made to, of what was there before it; `None` when that was not looked at.
    pub bound: Option<Bound>,
    /// The agreement that it is made by, where one was wanted.
    pub agreement: Option<Agreement>,
    /// Who asks.
    pub asker: Asker,
    /// The client's idempotency key.
    pub key: Option<String>,
    /// The call's arguments for the audit, secrets masked.
    pub arguments: Value,
}

/// Why a wish did not become a change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// The host cannot be worked on.
    #[error(transparent)]
    Host(#[from] HostError),
    /// It cannot be put on record.
    #[error("nothing was changed: {0}")]
    Journal(#[from] JournalError),
    /// Its key belongs to another wish.
    #[error("the idempotency key belongs to operation {0}, whose arguments were others; nothing was changed")]
    KeyTaken(OperationId),
    /// A person agreed to it once.
    #[error("what was agreed to has been begun already; nothing more was changed")]
    Spent,
}

/// A change as it is found.
enum Found {
    /// It is not over.
    Live(Arc<Live>),
    /// It is, or it is being taken in at this moment.
    Over(Box<ChangeRecord>),
}

/// The client side of changes; clones share them.
#[derive(Clone)]
pub struct ChangeDesk {
    journal: JournalHandle,
    reaper: ReaperHandle,
    clock: Clock,
    doubt: Duration,
    live: Arc<Mutex<BTreeMap<OperationId, Arc<Live>>>>,
    /// Every change that this service began or took in.
    met: Arc<Mutex<BTreeSet<OperationId>>>,
    rollouts: Rollouts,
}

impl ChangeDesk {
    /// No changes yet.
    pub(in crate::actors) fn new(
        journal: JournalHandle,
        reaper: ReaperHandle,
        clock: Clock,
        doubt: Duration,
    ) -> Self {
        Self {
            journal,
            reaper,
            clock,
            doubt,
            live: Arc::default(),
            met: Arc::default(),
            rollouts: Rollouts::default(),
        }
    }

    /// Has a rollout seen to, which no longer needs whoever asked for it.
    pub fn roll_out(&self, new: NewRollout) -> Arc<Rollout> {
        let rollout = self.rollouts.enter(new, self.clock.now());
        self.reaper.attend();
        rollout
    }

    /// The rollouts.
    pub fn rollouts(&self) -> &Rollouts {
        &self.rollouts
    }

    /// The journal.
    pub fn journal(&self) -> &JournalHandle {
        &self.journal
    }

    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    pub(super) fn doubt(&self) -> Duration {
        self.doubt
    }

    /// Puts a wish on record and has it seen to; returns when it is on disk. The same wish returns the change it
    /// began: [`Receipt`] says which. Once it is on its way it no longer needs whoever brought it. It is bound to
    /// the machine at the other end of `session`.
    pub async fn begin(
        &self,
        host: &HostHandle,
        session: &Session,
        wish: Wish,
    ) -> Result<(OperationId, Receipt), ChangeError> {
        let of_host = |live: &&Arc<Live>| live.record().machine.host == host.spec().id;
        if self.open().iter().filter(of_host).count() >= OPEN_ON_HOST {
            return Err(HostError::from(host.operations().overloaded()).into());
        }
        let Wish { change, bound, agreement, asker, key, arguments } = wish;
        let machine = session.machine(&host.spec().id);
        let id = OperationId::fresh();
        let new = NewChange { id, change, machine, bound, agreement, asker, key, arguments };
        let live = Arc::new(Live::new(new, self.clock.now()));
        let id = live.id();
        // Before it is on record, so that it is known whatever the recovery reads.
        self.met().insert(id);
        self.rows().insert(id, Arc::clone(&live));
        self.reaper.attend();
        match live.begun().await? {
            Receipt::Written => Ok((id, Receipt::Written)),
            receipt @ Receipt::Joined(known) => Ok((known, receipt)),
            Receipt::KeyTaken(known) => Err(ChangeError::KeyTaken(known)),
            Receipt::Spent => Err(ChangeError::Spent),
        }
    }

    /// The change that `asker` began with this key within a day, when it was this one on this host.
    pub async fn begun(
        &self,
        asker: &Asker,
        key: &str,
        change: &Change,
        host: &HostId,
    ) -> Result<Option<OperationId>, ChangeError> {
        let reader = self.journal.reader().await?;
        match reader.begun(&asker.principal, key, change, host, self.clock.now()).await? {
            Some((id, true)) => Ok(Some(id)),
            Some((id, false)) => Err(ChangeError::KeyTaken(id)),
            None => Ok(None),
        }
    }

    /// Puts on the audit that a call was given the change of an equal one.
    pub async fn join(
        &self,
        id: OperationId,
        asker: &Asker,
        tool: &str,
        host: &HostId,
        arguments: Value,
    ) -> Result<(), JournalError> {
        let entry = AuditEntry {
            asker: asker.clone(),
            tool: tool.to_owned(),
            host: Some(host.to_string()),
            arguments,
            verdict: Verdict::Joined,
            words: None,
            operation: Some(id),
        };
        self.journal.write("audit", vec![Entry::Audit(Box::new(entry))]).await.map(drop)
    }

    /// Puts a change on record that is to begin; `false` when it does not begin.
    pub(super) async fn record(&self, live: &Live) -> bool {
        while let Some(new) = live.unrecorded() {
            let written = self.journal.write("begin", vec![Entry::Begin(Box::new(new))]).await;
            let receipt = written.map(|receipts| receipts.first().copied().unwrap_or(Receipt::Written));
            match receipt {
                Ok(Receipt::Written) => live.tell(Ok(Receipt::Written)),
                // Sent again to a writer that had put it on record and could not say so.
                Ok(Receipt::Joined(known)) if known == live.id() => live.tell(Ok(Receipt::Written)),
                Err(JournalError::Restarting) => {
                    // It may be on record. Whoever brought it is told that it is not done, so it is not.
                    live.cancel();
                    live.tell(Err(JournalError::Restarting));
                }
                outcome => {
                    live.tell(outcome);
                    return false;
                }
            }
        }
        true
    }

    /// Waits until a change is over, at most so long; returns what is on record then. `None` when there is no
    /// such change.
    pub async fn wait(&self, id: OperationId, limit: Duration) -> Result<Option<ChangeRecord>, JournalError> {
        self.watch(id, limit, |_| {}).await
    }

    /// As [`Self::wait`]; meanwhile tells what is on record, with each change and now and then.
    pub async fn watch(
        &self,
        id: OperationId,
        limit: Duration,
        told: impl Fn(&ChangeRecord),
    ) -> Result<Option<ChangeRecord>, JournalError> {
        Ok(match self.find(id).await? {
            Some(Found::Live(live)) => Some(live.wait(limit, told).await),
            Some(Found::Over(record)) => Some(*record),
            None => None,
        })
    }

    /// A change: one that is not over is taken in, if it was not yet.
    async fn find(&self, id: OperationId) -> Result<Option<Found>, JournalError> {
        if let Some(live) = self.get(id) {
            return Ok(Some(Found::Live(live)));
        }
        let Some(record) = self.journal.reader().await?.change(id).await? else { return Ok(None) };
        if !record.state.is_final() {
            self.meet(record.clone()).await?;
        }
        let live = self.get(id).map(Found::Live);
        Ok(live.or_else(|| Some(Found::Over(Box::new(record)))))
    }

    /// Changes, the newest first, as they are now.
    pub async fn list(&self, page: &Page) -> Result<Vec<ChangeRecord>, JournalError> {
        let mut records = self.journal.reader().await?.changes(page).await?;
        for record in &mut records {
            if let Some(live) = self.get(record.id) {
                *record = live.record();
            }
        }
        Ok(records)
    }

    /// Asks for the end of a change at its next step, and for undoing what can be undone; one that is over
    /// stays as it is.
    pub async fn cancel(&self, id: OperationId, asker: &Asker) -> Result<(), JournalError> {
        let Some(Found::Live(live)) = self.find(id).await? else { return Ok(()) };
        // On record before it is done: a service after this one takes it back too.
        let entries = vec![wanted_by(&live, asker, "job_cancel"), Entry::Back(id, Why::Cancelled)];
        self.put(&live, "cancel", entries).await?;
        live.cancel();
        Ok(())
    }

    /// Leaves a change as it is: nothing more is found out about it, and nothing undone.
    pub async fn give_up(&self, id: OperationId, asker: &Asker) -> Result<(), JournalError> {
        let Some(Found::Live(live)) = self.find(id).await? else { return Ok(()) };
        let host = live.record().machine.host;
        let words = format!("given up by a person; what became of it on {host} is not known");
        let entries =
            vec![wanted_by(&live, asker, "job_give_up"), Entry::State(id, ChangeState::Unknown, Some(words))];
        self.put(&live, "give up", entries).await?;
        live.cancel();
        Ok(())
    }

    /// Looks once more what became of a change that ended in doubt, and gets it to its end.
    pub async fn resume(&self, id: OperationId, asker: &Asker) -> Result<(), JournalError> {
        let found = self.journal.reader().await?.change(id).await?;
        if let Some(record) = found.filter(|record| record.state == ChangeState::Unknown) {
            if self.get(record.id).is_some() {
                return Err(JournalError::Busy { operation: record.id.to_string() });
            }
            let (id, (live, mut entries)) = (record.id, Live::recovered(record, self.clock.now()));
            entries.insert(0, wanted_by(&live, asker, "job_resume"));
            self.met().insert(id);
            self.rows().insert(id, Arc::new(live));
            self.attend_recovered(id, entries).await?;
        }
        Ok(())
    }

    /// The changes that are not over, the oldest first.
    pub fn open(&self) -> Vec<Arc<Live>> {
        self.rows().values().cloned().collect()
    }

    /// Takes in what a service before this one did not get to its end.
    pub(in crate::actors) async fn recover(&self) -> Result<(), JournalError> {
        for record in self.journal.reader().await?.open_changes().await? {
            self.meet(record).await?;
        }
        Ok(())
    }

    /// Takes in a change that a service before this one began. What this one has met is not taken in again, be it
    /// over since it was read.
    async fn meet(&self, record: ChangeRecord) -> Result<(), JournalError> {
        let id = record.id;
        let (live, entries) = Live::recovered(record, self.clock.now());
        {
            // At once: whoever finds it met finds it alive.
            let mut met = self.met();
            if !met.insert(id) {
                return Ok(());
            }
            self.rows().insert(id, Arc::new(live));
        }
        self.attend_recovered(id, entries).await
    }

    async fn attend_recovered(&self, id: OperationId, entries: Vec<Entry>) -> Result<(), JournalError> {
        if let Err(error) = self.journal.write("recover", entries).await {
            self.rows().remove(&id);
            self.met().remove(&id);
            return Err(error);
        }
        tracing::info!(operation = %id, "recovering");
        self.reaper.attend();
        Ok(())
    }

    /// Ends a change for which nothing is to be done on its host any more.
    pub(super) async fn end(&self, live: &Live, course: Course, ending: Ending) -> Result<(), JournalError> {
        let record = live.record();
        let (state, words) = closing(&record, ending);
        let mut entries = vec![Entry::State(record.id, state, words)];
        if let Course::Back(why) = course {
            entries.insert(0, Entry::Back(record.id, why));
        }
        self.put(live, "end", entries).await
    }

    async fn put(&self, live: &Live, point: &str, entries: Vec<Entry>) -> Result<(), JournalError> {
        self.journal.write(point, entries.clone()).await?;
        live.apply(&entries, self.clock.now());
        Ok(())
    }

    /// A change is over, or never began. Another that was taken in again under its name stays.
    pub(super) fn over(&self, live: &Arc<Live>) {
        let mut rows = self.rows();
        if rows.get(&live.id()).is_some_and(|known| Arc::ptr_eq(known, live)) {
            rows.remove(&live.id());
        }
    }

    fn get(&self, id: OperationId) -> Option<Arc<Live>> {
        self.rows().get(&id).cloned()
    }

    fn met(&self) -> MutexGuard<'_, BTreeSet<OperationId>> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rows(&self) -> MutexGuard<'_, BTreeMap<OperationId, Arc<Live>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For the audit: somebody wants something done about a change.
fn wanted_by(live: &Live, asker: &Asker, tool: &str) -> Entry {
    Entry::Audit(Box::new(AuditEntry {
        asker: asker.clone(),
        tool: tool.to_owned(),
        host: Some(live.record().machine.host.to_string()),
        arguments: Value::Null,
        verdict: Verdict::Accepted,
        words: None,
        operation: Some(live.id()),
    }))
}

/// The state that an ending means, with what is to be known about it.
pub(super) fn closing(record: &ChangeRecord, ending: Ending) -> (ChangeState, Option<String>) {
    let told =
        record.steps.iter().filter_map(|step| Some(format!("{}: {}", step.name, step.words.as_ref()?)));
    let lost = record.lost().map(|name| format!("{name} and what was in it are gone"));
    let told: Vec<String> = told.chain(lost).collect();
    match ending {
        Ending::Done => (ChangeState::Done, None),
        Ending::Failed => (ChangeState::Failed, joined(&told)),
        Ending::Cancelled => (ChangeState::Cancelled, joined(&told)),
        Ending::RolledBack => {
            let why = if record.steps.is_empty() {
                "it waited longer than it may take, and nothing was done"
            } else if record.change.plan().on_failure == OnFailure::Unwind {
                "it was interrupted and not gone on with; what could be undone was undone"
            } else {
                "it was interrupted and not gone on with; what was done stays"
            };
            (ChangeState::RolledBack, joined(&[vec![why.to_owned()], told].concat()))
        }
    }
}

fn joined(words: &[String]) -> Option<String> {
    (!words.is_empty()).then(|| words.join("; "))
}
