//! The state machine of a host, without an actor or a clock of its own: inputs in, effects out.
//!
//! A *series* is what a caller's request is worth: up to three attempts with short waits. It is
//! shared by all callers that arrive while it runs. When it fails, they get every attempt's cause,
//! and the machine goes on alone with growing waits. Callers that come then are answered at once.

use crate::domain::fault::{Fault, FaultKind, Recovery};
use crate::domain::phase::{EngineInfo, Phase};
use crate::domain::retry::ConnectPolicy;
use crate::runtime::backoff::Backoff;
use jiff::Timestamp;
use std::time::Duration;

/// While held, what could cure the host is looked at this often: a look costs a few `stat`, and now and then
/// an `ssh -G`.
const EVIDENCE_EVERY: Duration = Duration::from_secs(2);

/// A failed attempt of a series.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// When it failed.
    pub at: Timestamp,
    /// Why.
    pub fault: Fault,
}

/// Why a caller does not get the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unavailable {
    /// The host's state when the answer was given.
    pub phase: Phase,
    /// Since when it has been in trouble.
    pub since: Timestamp,
    /// The attempts of the series the caller waited for; empty when it was answered at once.
    pub attempts: Vec<Attempt>,
}

/// A timer; one that is not the latest is stale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimerId(u64);

/// What happens to the machine. `W` is a waiting caller, `S` a session.
#[derive(Debug)]
pub(crate) enum Input<W, S> {
    /// The actor has started, or the host was enabled.
    Start,
    /// The host was disabled.
    Disable,
    /// A caller wants the line.
    Ensure(W),
    /// Somebody wants a waiting or held host tried now.
    Wake,
    /// An attempt has ended.
    Connected { epoch: u64, outcome: Result<(S, EngineInfo), Fault> },
    /// A link has ended.
    LinkDown { epoch: u64, fault: Fault },
    /// A timer has run out.
    TimerDue(TimerId),
    /// What could cure a held host, as a number that changes with it.
    Evidence { epoch: u64, stamp: u64 },
}

/// What the actor is to do.
#[derive(Debug)]
pub(crate) enum Effect<W, S> {
    /// Start an attempt.
    Connect { epoch: u64 },
    /// Watch the link that has just been made.
    Hold { epoch: u64 },
    /// End whatever attempt or link there is.
    Drop,
    /// Send `TimerDue` after the delay.
    Arm { timer: TimerId, delay: Duration },
    /// Send `Evidence` for this epoch.
    Examine { epoch: u64 },
    /// Answer a caller.
    Answer(W, Result<S, Unavailable>),
}

#[derive(Debug)]
enum State<W, S> {
    Disabled,
    Disconnected,
    Connecting {
        waiters: Vec<W>,
        series: Option<Vec<Attempt>>,
    },
    Ready {
        session: S,
        engine: EngineInfo,
        since: Timestamp,
    },
    /// Between the attempts of a series (`Some`), or alone in the background (`None`).
    Backoff {
        timer: TimerId,
        retry_at: Timestamp,
        cause: Fault,
        waiters: Vec<W>,
        series: Option<Vec<Attempt>>,
    },
    Held {
        timer: Option<TimerId>,
        look: TimerId,
        until: Option<Timestamp>,
        cause: Fault,
        stamp: Option<u64>,
    },
}

/// What a host was held for when its actor crashed.
#[derive(Debug)]
struct Hold {
    until: Option<Timestamp>,
    cause: Fault,
    since: Timestamp,
}

/// The machine.
#[derive(Debug)]
pub(crate) struct Machine<W, S> {
    policy: ConnectPolicy,
    state: State<W, S>,
    /// Since when the host has been in its state, or in its trouble.
    since: Timestamp,
    /// Failed attempts since the last good link.
    failures: u32,
    /// What went wrong last, until a link is good again.
    trouble: Option<Fault>,
    /// Whether the one retry after a refused login is spent.
    auth_retried: bool,
    /// The hold of a former life, which a crash does not end.
    former: Option<Hold>,
    epoch: u64,
    timers: u64,
    series_waits: Backoff,
    background: Backoff,
}

impl<W, S: Clone> Machine<W, S> {
    /// A machine that has not started; `seed` decides about the jitter of its waits.
    pub(crate) fn new(policy: ConnectPolicy, seed: u64, now: Timestamp) -> Self {
        Self {
            policy,
            state: State::Disconnected,
            since: now,
            failures: 0,
            trouble: None,
            auth_retried: false,
            former: None,
            epoch: 0,
            timers: 0,
            series_waits: Backoff::new(policy.series, seed),
            background: Backoff::new(policy.background, seed.wrapping_add(1)),
        }
    }

    /// The same, of a host whose last life ended in this `phase`, in which it had been since then: one
    /// that was held starts by being held.
    pub(crate) fn after(mut self, phase: &Phase, since: Timestamp) -> Self {
        if let Phase::Held { until, cause } = phase {
            self.former = Some(Hold { until: *until, cause: cause.clone(), since });
        }
        self
    }

    /// The state as everybody may see it.
    pub(crate) fn phase(&self) -> Phase {
        match &self.state {
            State::Disabled => Phase::Disabled,
            State::Disconnected => Phase::Disconnected,
            State::Connecting { .. } => {
                Phase::Connecting { attempt: self.failures + 1, last: self.trouble.clone() }
            }
            State::Ready { engine, .. } => Phase::Ready(engine.clone()),
            State::Backoff { retry_at, cause, .. } => {
                Phase::Backoff { attempt: self.failures, retry_at: *retry_at, cause: cause.clone() }
            }
            State::Held { until, cause, .. } => Phase::Held { until: *until, cause: cause.clone() },
        }
    }

    /// Since when the host has been in its state; attempts and waits in a row are one trouble.
    pub(crate) fn since(&self) -> Timestamp {
        self.since
    }

    /// The session of a ready host.
    pub(crate) fn session(&self) -> Option<&S> {
        match &self.state {
            State::Ready { session, .. } => Some(session),
            _ => None,
        }
    }

    /// Takes an input at the time `now`; the effects are to be carried out in order.
    pub(crate) fn step(&mut self, input: Input<W, S>, now: Timestamp) -> Vec<Effect<W, S>> {
        match input {
            Input::Start => self.start(now),
            Input::Disable => self.disable(now),
            Input::Ensure(waiter) => self.ensure(waiter, now),
            Input::Wake => self.wake(now),
            Input::Connected { epoch, outcome } if epoch == self.epoch => self.connected(outcome, now),
            Input::LinkDown { epoch, fault } if epoch == self.epoch => self.link_down(fault, now),
            Input::TimerDue(timer) => self.timer_due(timer),
            Input::Evidence { epoch, stamp } if epoch == self.epoch => self.evidence(stamp),
            // An outcome of an attempt or a link that is no longer ours.
            Input::Connected { .. } | Input::LinkDown { .. } | Input::Evidence { .. } => vec![],
        }
    }

    fn start(&mut self, now: Timestamp) -> Vec<Effect<W, S>> {
        match self.state {
            State::Disabled | State::Disconnected => match self.former.take() {
                Some(Hold { until, cause, since }) if until.is_none_or(|until| until > now) => {
                    self.since = since;
                    self.failures = 1;
                    self.trouble = Some(cause.clone());
                    let left = until.map(|until| until.duration_since(now).try_into().unwrap_or_default());
                    self.hold(left, cause, now)
                }
                _ => {
                    self.since = now;
                    self.connect(vec![], Some(vec![]))
                }
            },
            _ => vec![],
        }
    }

    fn disable(&mut self, now: Timestamp) -> Vec<Effect<W, S>> {
        let before = std::mem::replace(&mut self.state, State::Disabled);
        self.since = now;
        self.failures = 0;
        self.trouble = None;
        // Whatever is under way is no longer ours.
        self.epoch += 1;
        let mut effects = vec![Effect::Drop];
        if let State::Connecting { waiters, .. } | State::Backoff { waiters, .. } = before {
            effects.extend(self.refuse(waiters, &[]));
        }
        effects
    }

    fn ensure(&mut self, waiter: W, now: Timestamp) -> Vec<Effect<W, S>> {
        match &mut self.state {
            State::Ready { session, .. } => vec![Effect::Answer(waiter, Ok(session.clone()))],
            State::Connecting { waiters, .. } | State::Backoff { waiters, series: Some(_), .. } => {
                waiters.push(waiter);
                vec![]
            }
            State::Disconnected => {
                self.since = now;
                self.connect(vec![waiter], Some(vec![]))
            }
            State::Disabled | State::Backoff { series: None, .. } | State::Held { .. } => {
                self.refuse(vec![waiter], &[])
            }
        }
    }

    fn wake(&mut self, now: Timestamp) -> Vec<Effect<W, S>> {
        let harmless = |cause: &Fault| match cause.kind.recovery() {
            Recovery::Retry | Recovery::Hold => true,
            // The server would count another refused login; the agent's "no" it never sees.
            Recovery::RetryOnceThenHold => cause.kind == FaultKind::AgentRefused,
            Recovery::HoldForPerson => false,
        };
        match &mut self.state {
            State::Disconnected => self.start(now),
            State::Backoff { cause, waiters, series, .. } if harmless(cause) => {
                let (waiters, series) = (std::mem::take(waiters), series.take());
                self.connect(waiters, series)
            }
            State::Held { cause, .. } if harmless(cause) => self.connect(vec![], None),
            _ => vec![],
        }
    }

    fn connected(&mut self, outcome: Result<(S, EngineInfo), Fault>, now: Timestamp) -> Vec<Effect<W, S>> {
        let State::Connecting { waiters, series } = &mut self.state else { return vec![] };
        let (waiters, series) = (std::mem::take(waiters), series.take());
        match outcome {
            Ok((session, engine)) => {
                self.failures = 0;
                self.trouble = None;
                self.auth_retried = false;
                self.since = now;
                let mut effects = vec![Effect::Hold { epoch: self.epoch }];
                effects.extend(waiters.into_iter().map(|waiter| Effect::Answer(waiter, Ok(session.clone()))));
                self.state = State::Ready { session, engine, since: now };
                effects
            }
            Err(fault) => self.failed(fault, waiters, series, now),
        }
    }

    /// After a failed attempt: wait within the series, wait in the background, or hold.
    fn failed(
        &mut self,
        fault: Fault,
        waiters: Vec<W>,
        series: Option<Vec<Attempt>>,
        now: Timestamp,
    ) -> Vec<Effect<W, S>> {
        self.failures += 1;
        self.trouble = Some(fault.clone());
        let recovery = fault.kind.recovery();
        let in_series = series.is_some();
        let mut attempts = series.unwrap_or_default();
        attempts.push(Attempt { at: now, fault: fault.clone() });
        let goes_on = in_series
            && recovery == Recovery::Retry
            && attempts.len() < usize::try_from(self.policy.attempts).unwrap_or(usize::MAX);
        if goes_on {
            let delay = self.series_waits.next_wait();
            return self.back_off(delay, fault, waiters, Some(attempts), now);
        }
        self.series_waits.reset();
        let mut effects = match recovery {
            Recovery::Retry => {
                let delay = self.background.next_wait();
                self.back_off(delay, fault, vec![], None, now)
            }
            Recovery::RetryOnceThenHold if !self.auth_retried => {
                self.auth_retried = true;
                self.back_off(self.policy.auth_retry, fault, vec![], None, now)
            }
            Recovery::RetryOnceThenHold | Recovery::Hold => self.hold(Some(self.policy.hold), fault, now),
            Recovery::HoldForPerson => self.hold(None, fault, now),
        };
        effects.extend(self.refuse(waiters, &attempts));
        effects
    }

    fn link_down(&mut self, fault: Fault, now: Timestamp) -> Vec<Effect<W, S>> {
        let State::Ready { since, .. } = &self.state else { return vec![] };
        let held_for: Duration = now.duration_since(*since).try_into().unwrap_or_default();
        self.since = now;
        self.trouble = Some(fault.clone());
        // Where only the engine is gone, the login stays for the next attempt.
        let mut effects = if fault.kind.spares_the_login() { vec![] } else { vec![Effect::Drop] };
        if held_for >= self.policy.stable_after {
            // A link that was well broke: the network hiccuped or the host restarts. Try at once.
            self.background.reset();
            self.series_waits.reset();
            effects.extend(self.connect(vec![], Some(vec![])));
        } else {
            // Up and down again: a wait that grows keeps it from becoming a storm.
            self.epoch += 1;
            let delay = self.background.next_wait();
            effects.extend(self.back_off(delay, fault, vec![], Some(vec![]), now));
        }
        effects
    }

    fn timer_due(&mut self, due: TimerId) -> Vec<Effect<W, S>> {
        match &mut self.state {
            State::Backoff { timer, waiters, series, .. } if *timer == due => {
                let (waiters, series) = (std::mem::take(waiters), series.take());
                self.connect(waiters, series)
            }
            State::Held { timer: Some(timer), .. } if *timer == due => self.connect(vec![], None),
            State::Held { look, .. } if *look == due => {
                let epoch = self.epoch;
                let look = self.next_timer();
                if let State::Held { look: current, .. } = &mut self.state {
                    *current = look;
                }
                vec![Effect::Examine { epoch }, Effect::Arm { timer: look, delay: EVIDENCE_EVERY }]
            }
            _ => vec![],
        }
    }

    fn evidence(&mut self, stamp: u64) -> Vec<Effect<W, S>> {
        let State::Held { stamp: known, .. } = &mut self.state else { return vec![] };
        match known {
            None => {
                *known = Some(stamp);
                vec![]
            }
            Some(known) if *known == stamp => vec![],
            Some(_) => {
                self.auth_retried = false;
                self.connect(vec![], None)
            }
        }
    }

    fn connect(&mut self, waiters: Vec<W>, series: Option<Vec<Attempt>>) -> Vec<Effect<W, S>> {
        self.epoch += 1;
        self.state = State::Connecting { waiters, series };
        vec![Effect::Connect { epoch: self.epoch }]
    }

    fn back_off(
        &mut self,
        delay: Duration,
        cause: Fault,
        waiters: Vec<W>,
        series: Option<Vec<Attempt>>,
        now: Timestamp,
    ) -> Vec<Effect<W, S>> {
        let timer = self.next_timer();
        let retry_at = now.saturating_add(delay).unwrap_or(Timestamp::MAX);
        self.state = State::Backoff { timer, retry_at, cause, waiters, series };
        vec![Effect::Arm { timer, delay }]
    }

    fn hold(&mut self, term: Option<Duration>, cause: Fault, now: Timestamp) -> Vec<Effect<W, S>> {
        self.epoch += 1;
        let look = self.next_timer();
        let mut effects =
            vec![Effect::Examine { epoch: self.epoch }, Effect::Arm { timer: look, delay: EVIDENCE_EVERY }];
        let timer = term.map(|delay| {
            let timer = self.next_timer();
            effects.push(Effect::Arm { timer, delay });
            timer
        });
        let until = term.and_then(|term| now.saturating_add(term).ok());
        self.state = State::Held { timer, look, until, cause, stamp: None };
        effects
    }

    fn refuse(&self, waiters: Vec<W>, attempts: &[Attempt]) -> Vec<Effect<W, S>> {
        let refusal = || Unavailable { phase: self.phase(), since: self.since, attempts: attempts.to_vec() };
        waiters.into_iter().map(|waiter| Effect::Answer(waiter, Err(refusal()))).collect()
    }

    fn next_timer(&mut self) -> TimerId {
        self.timers += 1;
        TimerId(self.timers)
    }
}

#[cfg(test)]
mod tests;
