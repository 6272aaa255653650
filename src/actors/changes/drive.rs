//! Driving a change over one line: what is on record decides what comes next.

use super::desk::closing;
use super::live::Live;
use super::means::Bench;
use crate::actors::directory::HostDirectory;
use crate::actors::host::HostError;
use crate::actors::journal::JournalHandle;
use crate::actors::operation::Operation;
use crate::changes::{Earlier, Found, Hands, Look};
use crate::domain::change::{Before, Made, Step};
use crate::domain::policy::Policy;
use crate::domain::saga::{Course, Ending, Move, StepState, Why};
use crate::engine::EngineError;
use crate::journal::JournalError;
use crate::journal::record::{ChangeRecord, ChangeState, Entry, Machine, StepRecord};
use crate::runtime::clock::{Clock, age};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// So often it is looked whether the engine is still at it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// An engine that fails at undoing, such as one that is busy with the same, is asked so often.
const UNDO_TRIES: u32 = 3;

/// Why a change did not get to its end over this line.
#[derive(Debug, thiserror::Error)]
pub(super) enum Stopped {
    /// The line, or the engine behind it, did not do what it was asked to.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The host is another machine by now.
    #[error("{host} is another machine by now: it was {was}, and is {is}", host = .0.host, was = engine(.0), is = engine(.1))]
    Elsewhere(Box<Machine>, Box<Machine>),
    /// The intention could not be put on record, so nothing was done.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// What was done could not be put on record: [`Live`] owes it.
    #[error("what was done cannot be put on record yet: {0}")]
    Owes(JournalError),
}

fn engine(machine: &Machine) -> String {
    let name = machine.engine.as_deref().unwrap_or("a nameless one");
    let key = machine.host_key.as_ref().map(|key| format!(", host key {key}")).unwrap_or_default();
    format!("engine {name} at {}{key}", machine.endpoint)
}

impl From<EngineError> for Stopped {
    fn from(error: EngineError) -> Self {
        Self::Host(error.into())
    }
}

/// A change on its way over one line.
pub(super) struct Drive {
    pub(super) live: Arc<Live>,
    pub(super) operation: Operation,
    pub(super) journal: JournalHandle,
    pub(super) directory: HostDirectory,
    pub(super) clock: Clock,
    /// How long it is waited, at most, for an engine that may still be at it.
    pub(super) doubt: Duration,
}

impl Drive {
    /// Goes on until the change is over.
    pub(super) async fn run(&self) -> Result<(), Stopped> {
        // One that an attendant left which has crashed goes on below its host.
        let _alone = self.live.drive().await;
        self.live.pay(&self.journal, self.clock.now()).await.map_err(Stopped::Owes)?;
        let (bound, here) = (self.live.record().machine, self.operation.machine());
        if bound != here {
            return Err(Stopped::Elsewhere(Box::new(bound), Box::new(here)));
        }
        let change = self.live.change();
        let (steps, plan) = (change.steps(), change.plan());
        let means =
            Bench::new(self.operation.clone(), change.source(), self.live.record().bound, &self.directory);
        loop {
            let record = self.live.record();
            if record.state.is_final() {
                return Ok(());
            }
            let going = plan.next(&record.states(), record.course);
            if record.course == Course::Forward
                && let Some(why) = self.turns_back(&record, going)
            {
                self.put("back", vec![Entry::Back(record.id, why)]).await?;
                continue;
            }
            // The host leaves or the service stops: what is on record is gone on with later.
            self.operation.checkpoint().map_err(HostError::from)?;
            let done = record.steps.iter().filter(|step| step.state == StepState::Done);
            let earlier = done.map(|step| Earlier {
                step: step.name.clone(),
                before: step.before.clone(),
                made: step.made.clone(),
            });
            let earlier = earlier.collect();
            let (engine, now) = (self.operation.engine(), self.clock.now());
            let hands = Hands { engine, operation: record.id, means: &means, earlier, now };
            match going {
                Move::Begin(at) => self.begin(&hands, at, &steps[at]).await?,
                Move::Settle(at) => {
                    let before = record.steps[at].before.clone();
                    self.settle(&hands, at, &steps[at], before, record.course).await?;
                }
                Move::Undo(at) => self.undo(&hands, at, &steps[at], &record.steps[at]).await?,
                Move::End(ending) => self.end(ending).await?,
            }
        }
    }

    /// Whether the policies of its hosts permit it still: they may have been tightened since.
    fn is_permitted(&self) -> bool {
        let change = self.live.change();
        let taken = change.source().is_none_or(|host| change.may_take_from(self.directory.policy(host)));
        taken && change.is_permitted(self.directory.policy(&self.live.record().machine.host))
    }

    /// Why a change does not go on: somebody wants its end, or its time is over.
    fn turns_back(&self, record: &ChangeRecord, going: Move) -> Option<Why> {
        match going {
            Move::Begin(_) | Move::Settle(_) if !self.is_permitted() => Some(Why::Interrupted),
            Move::Begin(_) if self.live.is_cancelled() => Some(Why::Cancelled),
            Move::Begin(_) | Move::Settle(_)
                if age(self.clock.now(), record.started) > record.allowance() =>
            {
                Some(Why::Interrupted)
            }
            _ => None,
        }
    }

    async fn begin(&self, hands: &Hands<'_>, at: usize, step: &Step) -> Result<(), Stopped> {
        let id = hands.operation;
        let intend = |before: &Before| Entry::Intend(id, at, step.to_string(), before.clone());
        let look = self.remote("look", step, &Before::Nothing, hands.look(step)).await;
        match self.refusal(look)? {
            Err(Refusal { words, .. }) => {
                let failed = Entry::Settle(id, at, StepState::Failed, Made::default(), Some(words));
                self.put(&format!("failed {step}"), vec![intend(&Before::Nothing), failed]).await?;
            }
            Ok(Look::Already(before, made)) => {
                let done = Entry::Settle(id, at, StepState::Done, made, None);
                self.put(&format!("already {step}"), vec![intend(&before), done]).await?;
            }
            Ok(Look::Todo(before)) => match self.free(hands, step, before).await? {
                Ok(before) => {
                    let entries = vec![intend(&before)];
                    self.journal.write(&format!("intend {step}"), entries.clone()).await?;
                    self.live.apply(&entries, self.clock.now());
                    self.act(hands, at, step, &before).await?;
                }
                Err(words) => {
                    let failed = Entry::Settle(id, at, StepState::Failed, Made::default(), Some(words));
                    self.put(&format!("failed {step}"), vec![intend(&Before::Nothing), failed]).await?;
                }
            },
        }
        Ok(())
    }

    /// What the step may be made to: only what was seen when the change was permitted.
    fn held(&self, step: &Step, before: Before) -> Result<Before, String> {
        match self.live.record().bound {
            Some(bound) if step.is_bound() => bound.hold(before).ok_or_else(|| {
                "there is another one of that name since this was asked for; it was left alone".to_owned()
            }),
            _ => Ok(before),
        }
    }

    /// The same without what is protected: labels and the configuration may say so since.
    async fn free(
        &self,
        hands: &Hands<'_>,
        step: &Step,
        before: Before,
    ) -> Result<Result<Before, String>, Stopped> {
        let before = match self.held(step, before) {
            Ok(before) if step.is_bound() && !self.live.change().is_permitted(Policy::NoDestructive) => {
                before
            }
            held => return Ok(held),
        };
        let found =
            match self.refusal(self.remote("guard", step, &before, hands.affected(step, &before)).await)? {
                Ok(found) => found,
                Err(Refusal { words, .. }) => return Ok(Err(words)),
            };
        let protection = self.directory.protection(&self.live.record().machine.host);
        let protected = found.into_iter().filter_map(|thing| protection.of(&thing).map(|why| (thing, why)));
        let protected: Vec<_> = protected.collect();
        Ok(match (before, protected.first()) {
            // Chosen by itself, it is left out.
            (Before::Things { mut things }, _) => {
                things.retain(|thing| !protected.iter().any(|(kept, _)| kept.id == thing.id));
                Ok(Before::Things { things })
            }
            (_, Some((thing, why))) => Err(format!(
                "the {} {} is protected: {why}; it was left alone",
                thing.kind.word(),
                thing.name
            )),
            (before, None) => Ok(before),
        })
    }

    /// Makes a step that is on record as intended.
    async fn act(&self, hands: &Hands<'_>, at: usize, step: &Step, before: &Before) -> Result<(), Stopped> {
        let act = self.remote("act", step, before, hands.act(step, before));
        let acted = tokio::select! {
            acted = act => acted,
            // What ends with its connection can be broken off; of all else the end is waited for.
            () = self.live.cancelled(), if step.ends_with_its_connection() => {
                let undone = Entry::Settle(hands.operation, at, StepState::Undone, Made::default(), None);
                let entries = vec![undone, Entry::Back(hands.operation, Why::Cancelled)];
                return self.put(&format!("settle {step}"), entries).await;
            }
        };
        let (state, made, words) = match self.refusal(acted)? {
            // A build may repeat what it was told.
            Ok(Some(made)) => {
                let log = made.log.map(|log| self.live.change().hide(&log));
                (StepState::Done, Made { log, ..made }, None)
            }
            // It was made; that nobody could look afterwards is no reason to think otherwise.
            Ok(None) => {
                (StepState::Done, self.remote("after", step, before, hands.after(step, before)).await?, None)
            }
            Err(Refusal { words, is_clear: true }) => (StepState::Failed, Made::default(), Some(words)),
            // An engine that fails may have done it all the same.
            Err(Refusal { words, .. }) => {
                match self.remote("probe", step, before, hands.probe(step, before)).await? {
                    Found::Made(made) => (StepState::Done, made, None),
                    Found::NotYet | Found::Gone(_) => (StepState::Failed, Made::default(), Some(words)),
                }
            }
        };
        let settled = Entry::Settle(hands.operation, at, state, made, words);
        self.put(&format!("settle {step}"), vec![settled]).await
    }

    /// Finds out what became of a step, and makes it when it is known not to have been made and the change
    /// goes on.
    async fn settle(
        &self,
        hands: &Hands<'_>,
        at: usize,
        step: &Step,
        before: Before,
        course: Course,
    ) -> Result<(), Stopped> {
        let until = Instant::now() + step.lasts(&before).min(self.doubt);
        let (state, made, words) = loop {
            // Only what was seen is an answer: an engine that fails to look has told nothing.
            match self.remote("probe", step, &before, hands.probe(step, &before)).await? {
                Found::Made(made) => break (StepState::Done, made, None),
                Found::Gone(words) => break (StepState::Failed, Made::default(), Some(words)),
                Found::NotYet if Instant::now() < until => {
                    self.operation.checkpoint().map_err(HostError::from)?;
                    if self.live.record().state.is_final() {
                        return Ok(());
                    }
                    sleep(LOOK_EVERY.min(until - Instant::now())).await;
                }
                Found::NotYet if course == Course::Forward && !self.live.is_cancelled() => {
                    match self.free(hands, step, before).await? {
                        Ok(before) => return self.act(hands, at, step, &before).await,
                        Err(words) => break (StepState::Failed, Made::default(), Some(words)),
                    }
                }
                Found::NotYet => break (StepState::Undone, Made::default(), None),
            }
        };
        let mut entries = vec![Entry::Settle(hands.operation, at, state, made, words)];
        if state == StepState::Undone && course == Course::Forward {
            entries.push(Entry::Back(hands.operation, Why::Cancelled));
        }
        self.put(&format!("settle {step}"), entries).await
    }

    async fn undo(
        &self,
        hands: &Hands<'_>,
        at: usize,
        step: &Step,
        on_record: &StepRecord,
    ) -> Result<(), Stopped> {
        let mut tries = 1..UNDO_TRIES;
        let undone = loop {
            let undone =
                self.remote("undo", step, &on_record.before, hands.undo(step, &on_record.before)).await;
            match self.refusal(undone)? {
                Err(Refusal { is_clear: false, .. }) if tries.next().is_some() => sleep(LOOK_EVERY).await,
                undone => break undone,
            }
        };
        let entry = match undone {
            Ok(()) => Entry::Settle(hands.operation, at, StepState::Undone, on_record.made.clone(), None),
            Err(Refusal { words, .. }) => {
                let words = format!(
                    "{step} could not be undone: {words}. Look at what bears the label {}={}",
                    crate::changes::OPERATION_LABEL,
                    hands.operation
                );
                Entry::State(hands.operation, ChangeState::Unknown, Some(words))
            }
        };
        self.put(&format!("undo {step}"), vec![entry]).await
    }

    async fn end(&self, ending: Ending) -> Result<(), Stopped> {
        let record = self.live.record();
        let (state, words) = closing(&record, ending);
        self.put("end", vec![Entry::State(record.id, state, words)]).await
    }

    /// What the engine refused; everything else leaves in doubt what happened.
    fn refusal<T>(&self, outcome: Result<T, Stopped>) -> Result<Result<T, Refusal>, Stopped> {
        let (error, is_clear) = match outcome {
            Ok(answer) => return Ok(Ok(answer)),
            Err(Stopped::Host(HostError::Engine(
                error @ (EngineError::NotFound(_) | EngineError::Unfit(_)),
            ))) => (error, true),
            Err(Stopped::Host(HostError::Engine(error @ EngineError::Refused { status: ..500, .. }))) => {
                (error, true)
            }
            Err(Stopped::Host(HostError::Engine(
                error @ (EngineError::Refused { .. } | EngineError::Failed(_)),
            ))) => (error, false),
            Err(other) => return Err(other),
        };
        Ok(Err(Refusal { words: self.live.change().hide(&error.to_string()), is_clear }))
    }

    /// What is asked of the host, within the step's time.
    async fn remote<T>(
        &self,
        what: &str,
        step: &Step,
        before: &Before,
        asked: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, Stopped> {
        let failpoints = self.journal.failpoints();
        failpoints.pass(|| format!("before {what} {step}")).await;
        let limit = step.limit(before);
        let answer = timeout(limit, asked).await.map_err(|_| HostError::Deadline { limit })??;
        failpoints.pass(|| format!("after {what} {step}")).await;
        Ok(answer)
    }

    /// Puts on record what has happened. It has, whether it can be written or not: what cannot be is owed,
    /// and nothing more is done until it is paid.
    async fn put(&self, point: &str, entries: Vec<Entry>) -> Result<(), Stopped> {
        self.live.owe(point, entries).await;
        self.live.pay(&self.journal, self.clock.now()).await.map_err(Stopped::Owes)
    }
}

/// What an engine refused.
struct Refusal {
    /// Its words, without what the change keeps secret.
    words: String,
    /// Whether it looked at the request and said no, rather than failing at it.
    is_clear: bool,
}
