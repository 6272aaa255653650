//! A change that is not over, as everybody in this process may see it.

use crate::actors::journal::JournalHandle;
use crate::domain::change::Change;
use crate::domain::operation::OperationId;
use crate::domain::saga::{Course, Why};
use crate::journal::JournalError;
use crate::journal::record::{ChangeRecord, ChangeState, Entry, NewChange, Receipt, StepRecord};
use jiff::Timestamp;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// Whoever waits hears at least this often that there is something to wait for.
pub(super) const TELL_EVERY: Duration = Duration::from_secs(5);

/// A change at work, or in doubt.
pub struct Live {
    record: watch::Sender<ChangeRecord>,
    /// What is to be done, secrets and all; what was read back from the journal may lack them.
    change: Change,
    cancel: CancellationToken,
    /// Held by whoever drives it.
    driving: tokio::sync::Mutex<()>,
    /// What has happened and is not on record yet, with its point.
    owed: tokio::sync::Mutex<Option<(String, Vec<Entry>)>>,
    /// What is to be put on record first; none for one that was read back from there.
    new: Option<NewChange>,
    /// What became of that.
    begun: watch::Sender<Option<Result<Receipt, JournalError>>>,
}

impl Live {
    /// One that is to begin.
    pub(super) fn new(new: NewChange, now: Timestamp) -> Self {
        let (masked, whole) = new.change.masked();
        let record = ChangeRecord {
            id: new.id,
            change: masked,
            whole,
            machine: new.machine.clone(),
            bound: new.bound.clone(),
            asker: new.asker.clone(),
            key: new.key.clone(),
            limit: new.change.limit(),
            state: ChangeState::Running,
            course: Course::Forward,
            words: None,
            started: now,
            ended: None,
            steps: vec![],
        };
        let change = new.change.clone();
        Self { new: Some(new), ..Self::of(record, change) }
    }

    /// One that a service before this one did not get to its end. It is gone back from when what it needs is not
    /// on record.
    pub(super) fn recovered(mut record: ChangeRecord, now: Timestamp) -> (Self, Vec<Entry>) {
        let words = "it was interrupted; what became of it is being found out".to_owned();
        let mut entries = vec![Entry::State(record.id, ChangeState::Recovering, Some(words))];
        if record.course == Course::Forward && !record.whole {
            entries.push(Entry::Back(record.id, Why::Interrupted));
        }
        for entry in &entries {
            apply(&mut record, entry, now);
        }
        let change = record.change.clone();
        (Self::of(record, change), entries)
    }

    fn of(record: ChangeRecord, change: Change) -> Self {
        Self {
            record: watch::Sender::new(record),
            change,
            cancel: CancellationToken::new(),
            driving: tokio::sync::Mutex::new(()),
            owed: tokio::sync::Mutex::default(),
            new: None,
            begun: watch::Sender::new(None),
        }
    }

    /// What is to be put on record before anything is done, while that has not happened.
    pub(super) fn unrecorded(&self) -> Option<NewChange> {
        match *self.begun.borrow() {
            Some(Ok(Receipt::Written)) => None,
            _ => self.new.clone(),
        }
    }

    /// Tells whoever waits what became of putting it on record.
    pub(super) fn tell(&self, begun: Result<Receipt, JournalError>) {
        self.begun.send_replace(Some(begun));
    }

    /// Waits until it is known.
    pub(super) async fn begun(&self) -> Result<Receipt, JournalError> {
        let mut begun = self.begun.subscribe();
        let told = begun.wait_for(Option::is_some).await;
        // The sender lives as long as this.
        told.ok().and_then(|told| told.clone()).unwrap_or(Err(JournalError::Restarting))
    }

    /// Waits until nobody drives it, and keeps others from it.
    pub(super) async fn drive(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.driving.lock().await
    }

    /// Takes in what has happened and is to be put on record.
    pub(super) async fn owe(&self, point: &str, entries: Vec<Entry>) {
        *self.owed.lock().await = Some((point.to_owned(), entries));
    }

    /// Puts on record what is owed. Dropped half-way it is owed still; twice on record it is once.
    pub(super) async fn pay(&self, journal: &JournalHandle, now: Timestamp) -> Result<(), JournalError> {
        let mut owed = self.owed.lock().await;
        if let Some((point, entries)) = &*owed {
            journal.write(point, entries.clone()).await?;
            self.apply(entries, now);
            *owed = None;
        }
        Ok(())
    }

    /// Its name.
    pub fn id(&self) -> OperationId {
        self.record.borrow().id
    }

    /// What is on record about it.
    pub fn record(&self) -> ChangeRecord {
        self.record.borrow().clone()
    }

    /// What is to be done.
    pub(super) fn change(&self) -> &Change {
        &self.change
    }

    /// Asks for its end at its next step, and for undoing what can be undone.
    pub(super) fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Whether somebody asked for its end.
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Waits until somebody asks for its end.
    pub(super) async fn cancelled(&self) {
        self.cancel.cancelled().await;
    }

    /// Waits until it is over, at most so long; returns what is on record then. Meanwhile tells what is on record,
    /// with each change and now and then.
    pub async fn wait(&self, limit: Duration, told: impl Fn(&ChangeRecord)) -> ChangeRecord {
        let mut records = self.record.subscribe();
        let until = Instant::now() + limit;
        loop {
            let record = records.borrow_and_update().clone();
            if record.state.is_final() || Instant::now() >= until {
                return record;
            }
            told(&record);
            let again = until.min(Instant::now() + TELL_EVERY);
            // Late is told again; the sender lives as long as this.
            let _ = timeout_at(again, records.changed()).await;
        }
    }

    /// What was put on record.
    pub(super) fn apply(&self, entries: &[Entry], now: Timestamp) {
        self.record.send_modify(|record| {
            for entry in entries {
                apply(record, entry, now);
            }
        });
    }

    /// Says what it waits for; not on record, because it changes with the host.
    pub(super) fn say(&self, words: String) {
        self.record.send_if_modified(|record| {
            let is_new = !record.state.is_final() && record.words.as_deref() != Some(&*words);
            if is_new {
                record.words = Some(words);
            }
            is_new
        });
    }
}

/// The record after an entry, as the journal keeps it.
fn apply(record: &mut ChangeRecord, entry: &Entry, now: Timestamp) {
    match entry {
        Entry::Intend(_, position, name, before) if *position == record.steps.len() => {
            record.steps.push(StepRecord {
                name: name.clone(),
                state: crate::domain::saga::StepState::Intended,
                before: before.clone(),
                made: crate::domain::change::Made::default(),
                words: None,
                began: now,
                ended: None,
            });
        }
        Entry::Settle(_, position, state, made, words) => {
            if let Some(step) = record.steps.get_mut(*position) {
                step.state = *state;
                step.made = made.clone();
                step.words.clone_from(words);
                step.ended = Some(now);
            }
        }
        Entry::Back(_, why) if record.course == Course::Forward => record.course = Course::Back(*why),
        // What is over stays over.
        Entry::State(_, state, words) if record.ended.is_none() || record.state == ChangeState::Unknown => {
            record.state = *state;
            record.words.clone_from(words);
            record.ended = state.is_final().then_some(now);
        }
        _ => {}
    }
}
