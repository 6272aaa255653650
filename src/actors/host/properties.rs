//! The host's machine against a plain model, over generated histories.

use super::machine::{Effect, Input, Machine, TimerId};
use crate::domain::fault::{Fault, FaultKind, Recovery};
use crate::domain::phase::{EngineInfo, Phase};
use crate::domain::retry::ConnectPolicy;
use jiff::Timestamp;
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use std::collections::BTreeSet;
use std::time::Duration;

#[derive(Debug, Clone)]
enum Event {
    Start,
    Disable,
    /// A new caller.
    Ensure,
    Wake,
    /// The attempt under way ends, well or not.
    Attempt(Result<(), FaultKind>),
    /// The link breaks.
    Break(FaultKind),
    /// An outcome of a former attempt, or the end of a former link, comes late.
    LateOutcome,
    /// One of the timers that were armed runs out, the latest or an older one.
    Timer(prop::sample::Index),
    /// What could cure a held host is looked at.
    Look(u64),
    Pass(u64),
}

/// The model: how many callers have come. The rest is the machine's own business.
struct Callers;

impl ReferenceStateMachine for Callers {
    type State = u32;
    type Transition = Event;

    fn init_state() -> BoxedStrategy<u32> {
        Just(0).boxed()
    }

    fn transitions(_: &u32) -> BoxedStrategy<Event> {
        let kind = || prop::sample::select(FaultKind::ALL.to_vec());
        prop_oneof![
            1 => Just(Event::Start),
            1 => Just(Event::Disable),
            5 => Just(Event::Ensure),
            2 => Just(Event::Wake),
            3 => Just(Event::Attempt(Ok(()))),
            6 => kind().prop_map(|kind| Event::Attempt(Err(kind))),
            2 => kind().prop_map(Event::Break),
            1 => Just(Event::LateOutcome),
            6 => any::<prop::sample::Index>().prop_map(Event::Timer),
            2 => (0_u64..3).prop_map(Event::Look),
            2 => (0_u64..120).prop_map(Event::Pass),
        ]
        .boxed()
    }

    fn apply(callers: u32, event: &Event) -> u32 {
        callers + u32::from(matches!(event, Event::Ensure))
    }
}

struct Host {
    machine: Machine<u32, u64>,
    now: Timestamp,
    /// The attempt under way, or the link that is up.
    attempt: Option<u64>,
    link: Option<u64>,
    examine: Option<u64>,
    timers: Vec<TimerId>,
    waiting: BTreeSet<u32>,
    came: u32,
    highest_epoch: u64,
}

impl Host {
    /// Gives the machine an input, keeps the books, and returns whether it started an attempt.
    fn step(&mut self, input: Input<u32, u64>) -> bool {
        let mut started = false;
        for effect in self.machine.step(input, self.now) {
            match effect {
                Effect::Connect { epoch } => {
                    assert!(epoch > self.highest_epoch, "an epoch came twice");
                    assert!(self.link.is_none(), "an attempt beside a living link");
                    (self.highest_epoch, self.attempt, started) = (epoch, Some(epoch), true);
                }
                Effect::Hold { epoch } => {
                    assert_eq!(Some(epoch), self.link, "a link is held that was not just made");
                }
                Effect::Drop => (self.attempt, self.link) = (None, None),
                Effect::Arm { timer, delay } => {
                    assert!(delay <= Duration::from_secs(600), "a wait of {delay:?}");
                    self.timers.push(timer);
                }
                Effect::Examine { epoch } => self.examine = Some(epoch),
                Effect::Answer(caller, answer) => {
                    assert!(self.waiting.remove(&caller), "caller {caller} was answered twice");
                    assert_eq!(answer.is_ok(), self.link.is_some(), "an answer that is not the truth");
                }
            }
        }
        started
    }

    fn held_for_a_person(&self) -> bool {
        match self.machine.phase() {
            Phase::Held { cause, .. } => cause.kind.recovery() == Recovery::HoldForPerson,
            _ => false,
        }
    }
}

struct MachineTest;

impl StateMachineTest for MachineTest {
    type SystemUnderTest = Host;
    type Reference = Callers;

    fn init_test(_: &u32) -> Host {
        let now = Timestamp::from_second(1_000_000).unwrap();
        Host {
            machine: Machine::new(ConnectPolicy::default(), 3, now),
            now,
            attempt: None,
            link: None,
            examine: None,
            timers: vec![],
            waiting: BTreeSet::new(),
            came: 0,
            highest_epoch: 0,
        }
    }

    fn apply(mut host: Host, _: &u32, event: Event) -> Host {
        let held = host.held_for_a_person();
        match event {
            Event::Start => drop(host.step(Input::Start)),
            Event::Disable => drop(host.step(Input::Disable)),
            Event::Ensure => {
                let caller = host.came;
                host.came += 1;
                host.waiting.insert(caller);
                assert!(!host.step(Input::Ensure(caller)) || !held, "a caller made a held host try");
            }
            Event::Wake => assert!(!host.step(Input::Wake) || !held, "a held host was woken"),
            Event::Attempt(outcome) => {
                if let Some(epoch) = host.attempt.take() {
                    host.link = outcome.is_ok().then_some(epoch);
                    let engine = EngineInfo {
                        id: None,
                        product: "Docker",
                        version: "1".into(),
                        api: "1.41".into(),
                        platform: "p".into(),
                    };
                    let outcome = outcome.map(|()| (epoch, engine)).map_err(|kind| Fault::new(kind, "x"));
                    host.step(Input::Connected { epoch, outcome });
                }
            }
            Event::Break(kind) => {
                if let Some(epoch) = host.link.take() {
                    host.step(Input::LinkDown { epoch, fault: Fault::new(kind, "x") });
                }
            }
            Event::LateOutcome => {
                let phase = host.machine.phase();
                for epoch in 0..host.highest_epoch {
                    let fault = || Fault::new(FaultKind::LinkLost, "late");
                    host.step(Input::Connected { epoch, outcome: Err(fault()) });
                    host.step(Input::LinkDown { epoch, fault: fault() });
                }
                assert_eq!(phase, host.machine.phase(), "old news changed the phase");
            }
            Event::Timer(index) => {
                if !host.timers.is_empty() {
                    let timer = *index.get(&host.timers);
                    assert!(!host.step(Input::TimerDue(timer)) || !held, "time made a held host try");
                }
            }
            Event::Look(stamp) => {
                if let Some(epoch) = host.examine {
                    host.step(Input::Evidence { epoch, stamp });
                }
            }
            Event::Pass(seconds) => host.now += Duration::from_secs(seconds),
        }
        host
    }

    fn check_invariants(host: &Host, came: &u32) {
        assert_eq!(host.came, *came);
        let phase = host.machine.phase();
        match phase {
            Phase::Ready(_) => assert!(host.link.is_some() && host.machine.session().is_some()),
            Phase::Connecting { .. } => assert!(host.attempt.is_some(), "connecting without an attempt"),
            _ => assert!(host.link.is_none() && host.machine.session().is_none()),
        }
        // Whoever still waits has something to wait for that will end.
        if !matches!(phase, Phase::Connecting { .. } | Phase::Backoff { .. }) {
            assert!(host.waiting.is_empty(), "callers are forgotten in {}", phase.word());
        }
        if matches!(phase, Phase::Backoff { .. } | Phase::Held { .. }) {
            assert!(!host.timers.is_empty(), "waiting without a timer");
        }
    }
}

prop_state_machine! {
    #[test]
    fn d2_callers_are_answered_once_and_a_held_host_is_left_alone(sequential 1..150 => MachineTest);
}
