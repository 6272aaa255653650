//! Rollouts: changes of many hosts, some at a time. Each is a change of its own, on the record and attended to whatever
//! becomes of the rollout. That itself does not outlive the service: what has begun gets to its end, and nothing more
//! begins without somebody who has seen how it stands.

use super::desk::{ChangeDesk, Wish};
use super::live::TELL_EVERY;
use crate::actors::directory::HostDirectory;
use crate::domain::change::{Asker, Bound, Change};
use crate::domain::host::HostId;
use crate::domain::operation::OperationId;
use crate::domain::rollout::{Fate, Next, Pace};
use crate::journal::record::ChangeState;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;

/// A host's line is waited for so long.
const LINE_LIMIT: Duration = Duration::from_secs(30);

/// So long the end of a change is waited for before it is asked after again.
const ASK_AGAIN: Duration = Duration::from_secs(600);

/// Rollouts that are over and can still be looked at.
const KEPT: usize = 50;

/// What is to be done to one container.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where.
    pub host: HostId,
    /// The container's name.
    pub name: String,
    /// What.
    pub change: Change,
    /// To what it was seen to be.
    pub bound: Bound,
}

/// A rollout that is to begin.
#[derive(Debug, Clone)]
pub struct NewRollout {
    /// What is done, in words.
    pub what: String,
    /// To what, in the order in which they come.
    pub targets: Vec<Target>,
    /// What else was meant and is left out, and why.
    pub left_out: Vec<String>,
    /// How fast.
    pub pace: Pace,
    /// Who asked.
    pub asker: Asker,
    /// The call's arguments for the audit.
    pub arguments: Value,
}

/// How a rollout stands.
#[derive(Debug, Clone)]
pub struct RolloutRecord {
    /// Its name.
    pub id: OperationId,
    /// Its state.
    pub state: ChangeState,
    /// What is to be known about that.
    pub words: Option<String>,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// How far each of its targets is.
    pub parts: Vec<Part>,
}

/// How far one target is.
#[derive(Debug, Clone)]
pub struct Part {
    /// In short.
    pub fate: Fate,
    /// Its change.
    pub job: Option<OperationId>,
    /// Why it failed.
    pub words: Option<String>,
}

/// A rollout, as everybody in this process may see it.
pub struct Rollout {
    new: NewRollout,
    record: watch::Sender<RolloutRecord>,
    cancel: CancellationToken,
}

impl Rollout {
    /// What was to be done.
    pub fn plan(&self) -> &NewRollout {
        &self.new
    }

    /// How it stands.
    pub fn record(&self) -> RolloutRecord {
        self.record.borrow().clone()
    }

    /// Its name.
    pub fn id(&self) -> OperationId {
        self.record.borrow().id
    }

    /// No further batch begins; what has begun gets to its end.
    pub fn cancel(&self) {
        self.cancel.cancel();
    }

    /// Waits until it is over, at most so long; returns how it stands then. Meanwhile tells how it stands, with each
    /// change and every now and then.
    pub async fn wait(&self, limit: Duration, told: impl Fn(&RolloutRecord)) -> RolloutRecord {
        let (mut records, until) = (self.record.subscribe(), Instant::now() + limit);
        loop {
            let record = records.borrow_and_update().clone();
            if record.state.is_final() || Instant::now() >= until {
                return record;
            }
            told(&record);
            // Late is told again; the sender lives as long as this.
            let _ = timeout_at(until.min(Instant::now() + TELL_EVERY), records.changed()).await;
        }
    }

    fn fates(&self) -> Vec<Fate> {
        self.record.borrow().parts.iter().map(|part| part.fate).collect()
    }

    fn set(&self, at: usize, part: Part) {
        self.record.send_modify(|record| record.parts[at] = part);
    }

    fn fail(&self, at: usize, words: String) {
        self.record.send_modify(|record| {
            let part = &mut record.parts[at];
            (part.fate, part.words) = (Fate::Failed, Some(words));
        });
    }

    fn end(&self, state: ChangeState, words: Option<String>, now: Timestamp) {
        self.record.send_modify(|record| {
            (record.state, record.words, record.ended) = (state, words, Some(now));
        });
    }
}

/// The rollouts of this process; clones share them.
#[derive(Clone, Default)]
pub struct Rollouts(Arc<Mutex<BTreeMap<OperationId, Arc<Rollout>>>>);

impl Rollouts {
    /// Enters one that is to begin.
    pub(super) fn enter(&self, new: NewRollout, now: Timestamp) -> Arc<Rollout> {
        let part = Part { fate: Fate::Waits, job: None, words: None };
        let record = RolloutRecord {
            id: OperationId::fresh(),
            state: ChangeState::Running,
            words: None,
            started: now,
            ended: None,
            parts: vec![part; new.targets.len()],
        };
        let (id, record, cancel) = (record.id, watch::Sender::new(record), CancellationToken::new());
        let rollout = Arc::new(Rollout { new, record, cancel });
        let mut rows = self.rows();
        let over: Vec<OperationId> =
            rows.iter().filter(|(_, row)| row.record().state.is_final()).map(|(id, _)| *id).collect();
        for old in over.iter().take(over.len().saturating_sub(KEPT - 1)) {
            rows.remove(old);
        }
        rows.insert(id, Arc::clone(&rollout));
        rollout
    }

    /// The one of this name.
    pub fn get(&self, id: OperationId) -> Option<Arc<Rollout>> {
        self.rows().get(&id).cloned()
    }

    /// All that are known, the newest first.
    pub fn all(&self) -> Vec<Arc<Rollout>> {
        self.rows().values().rev().cloned().collect()
    }

    /// Those that are not over.
    pub fn open(&self) -> Vec<Arc<Rollout>> {
        self.all().into_iter().filter(|rollout| !rollout.record().state.is_final()).collect()
    }

    fn rows(&self) -> MutexGuard<'_, BTreeMap<OperationId, Arc<Rollout>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gets a rollout to its end. One that was left in the middle is gone on with where it was.
pub(in crate::actors) async fn roll_out(rollout: Arc<Rollout>, directory: HostDirectory) {
    let (desk, pace) = (directory.changes(), rollout.new.pace);
    loop {
        let fates = rollout.fates();
        let next = pace.next(&fates);
        let now = directory.clock().now();
        match next {
            Next::Await(at) => settle(&rollout, desk, at).await,
            Next::Begin(_) if rollout.cancel.is_cancelled() => {
                return rollout.end(ChangeState::Cancelled, Some("it was cancelled".to_owned()), now);
            }
            Next::Begin(range) => {
                if range.start > 0 {
                    tokio::select! {
                        () = sleep(pace.pause) => {}
                        () = rollout.cancel.cancelled() => continue,
                    }
                }
                for at in range {
                    begin(&rollout, &directory, at).await;
                }
            }
            Next::Stop => {
                let failed = fates.iter().filter(|fate| **fate == Fate::Failed).count();
                let left = fates.iter().filter(|fate| **fate == Fate::Waits).count();
                let words = format!("{failed} failed, and {left} were not begun");
                return rollout.end(ChangeState::Failed, Some(words), now);
            }
            Next::End => {
                let failed = fates.contains(&Fate::Failed);
                let state = if failed { ChangeState::Failed } else { ChangeState::Done };
                return rollout.end(state, None, now);
            }
        }
    }
}

async fn begin(rollout: &Rollout, directory: &HostDirectory, at: usize) {
    let NewRollout { targets, asker, arguments, .. } = &rollout.new;
    let Target { host: id, change, bound, .. } = &targets[at];
    let policy = directory.policy(id);
    if !change.is_permitted(policy) {
        return rollout.fail(at, format!("{id} is held to {policy} by now"));
    }
    let begun = async {
        let host = directory.host(id.as_str()).map_err(|error| error.to_string())?;
        let session = host.session(LINE_LIMIT).await.map_err(|error| error.to_string())?;
        let wish = Wish {
            change: change.clone(),
            bound: Some(bound.clone()),
            agreement: None,
            asker: asker.clone(),
            key: None,
            arguments: arguments.clone(),
        };
        let begun = directory.changes().begin(&host, &session, wish).await;
        begun.map(|(job, _)| job).map_err(|error| error.to_string())
    };
    match begun.await {
        Ok(job) => rollout.set(at, Part { fate: Fate::AtWork, job: Some(job), words: None }),
        Err(words) => rollout.fail(at, words),
    }
}

async fn settle(rollout: &Rollout, desk: &ChangeDesk, at: usize) {
    let Some(job) = rollout.record.borrow().parts[at].job else {
        return rollout.fail(at, "it was not begun".to_owned());
    };
    match desk.wait(job, ASK_AGAIN).await {
        Ok(Some(record)) if record.state == ChangeState::Done => {
            rollout.set(at, Part { fate: Fate::Well, job: Some(job), words: None });
        }
        Ok(Some(record)) if record.state.is_final() => {
            rollout.fail(at, record.words.unwrap_or_else(|| record.state.word().to_owned()));
        }
        // Not yet.
        Ok(Some(_)) => {}
        Ok(None) => rollout.fail(at, "nothing is on record about it".to_owned()),
        // What it is waits in the journal; that is tried again.
        Err(_) => sleep(LINE_LIMIT).await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[tokio::test(start_paused = true)]
    async fn who_waits_hears_every_now_and_then_that_there_is_something_to_wait_for() {
        let pace = Pace { batch: 1, pause: Duration::ZERO, max_failures: 1 };
        let asker = Asker { principal: "owner".into(), client: "test".into() };
        let new = NewRollout {
            what: "restart a".into(),
            targets: vec![],
            left_out: vec![],
            pace,
            asker,
            arguments: Value::Null,
        };
        let rollout = Rollouts::default().enter(new, Timestamp::UNIX_EPOCH);
        let heard = Cell::new(0);
        rollout.wait(Duration::from_secs(61), |_| heard.set(heard.get() + 1)).await;
        assert_eq!(heard.get(), 13);
    }
}
