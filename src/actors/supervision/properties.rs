//! The supervisor's core against a plain model, over generated histories.

use super::core::{Command, Core, Rules};
use super::spec::{Excess, Restart};
use crate::domain::retry::BackoffPolicy;
use crate::runtime::restart_window::RestartIntensity;
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

const NAMES: [&str; 3] = ["a", "b", "c"];
const PERIOD: Duration = Duration::from_secs(60);
const INTENSITY: usize = 3;

const RULES: Rules = Rules {
    restart: Restart::Permanent,
    intensity: RestartIntensity { intensity: INTENSITY, period: PERIOD },
    excess: Excess::Quarantine { first: Duration::from_secs(300), longest: Duration::from_secs(3600) },
    backoff: BackoffPolicy::SERIES,
};

#[derive(Debug, Clone)]
enum Event {
    Add(&'static str),
    Remove(&'static str),
    /// The live incarnation ends.
    Exit(&'static str, bool),
    /// An end of a former incarnation is told late.
    LateExit(&'static str, u64),
    /// The wait of the child runs out.
    Due(&'static str),
    /// A timer of a former incarnation runs out.
    LateDue(&'static str, u64),
    Resume(&'static str),
    Pass(u64),
}

/// The model: which children are wanted. Nothing else matters to whoever relies on a supervisor.
struct Wanted;

impl ReferenceStateMachine for Wanted {
    type State = BTreeSet<&'static str>;
    type Transition = Event;

    fn init_state() -> BoxedStrategy<Self::State> {
        Just(BTreeSet::new()).boxed()
    }

    fn transitions(_: &Self::State) -> BoxedStrategy<Event> {
        let name = || prop::sample::select(NAMES.to_vec());
        prop_oneof![
            2 => name().prop_map(Event::Add),
            1 => name().prop_map(Event::Remove),
            6 => (name(), any::<bool>()).prop_map(|(name, abnormal)| Event::Exit(name, abnormal)),
            1 => (name(), 1_u64..4).prop_map(|(name, back)| Event::LateExit(name, back)),
            6 => name().prop_map(Event::Due),
            1 => (name(), 1_u64..4).prop_map(|(name, back)| Event::LateDue(name, back)),
            1 => name().prop_map(Event::Resume),
            3 => (0_u64..90_000).prop_map(Event::Pass),
        ]
        .boxed()
    }

    fn apply(mut wanted: Self::State, event: &Event) -> Self::State {
        match event {
            Event::Add(name) => drop(wanted.insert(name)),
            Event::Remove(name) => drop(wanted.remove(name)),
            _ => {}
        }
        wanted
    }
}

/// The core with a shell that only keeps books.
struct Shell {
    core: Core,
    now: Instant,
    live: BTreeMap<String, u64>,
    stopping: BTreeSet<String>,
    armed: BTreeMap<String, (u64, Instant)>,
    latest: BTreeMap<String, u64>,
    /// Starts that followed a crash, until a person intervened.
    restarts: BTreeMap<String, Vec<Instant>>,
}

impl Shell {
    fn carry_out(&mut self, command: Option<Command>, about: &str, wanted: &BTreeSet<&'static str>) {
        match command {
            None => {}
            Some(Command::Start { name, incarnation }) => {
                assert_eq!(name, about, "an event of one child started another");
                assert!(wanted.contains(name.as_str()), "{name} was removed and is started");
                assert!(!self.live.contains_key(&name), "{name} has two live incarnations");
                assert!(
                    self.latest.get(&name).is_none_or(|latest| incarnation > *latest) || incarnation == 1
                );
                self.armed.remove(&name);
                self.latest.insert(name.clone(), incarnation);
                self.live.insert(name, incarnation);
            }
            Some(Command::Arm { name, incarnation, delay }) => {
                assert_eq!(name, about);
                self.armed.insert(name, (incarnation, self.now + delay));
            }
            Some(Command::Quarantined { name, delay }) => {
                assert_eq!(name, about);
                assert!(delay >= Duration::from_secs(300));
                let incarnation = self.latest[&name];
                self.armed.insert(name, (incarnation, self.now + delay));
            }
            Some(Command::Stop { name }) => drop(self.stopping.insert(name)),
            Some(Command::Meltdown { name }) => panic!("{name} melted down the supervisor"),
        }
    }

    fn count_restart(&mut self, name: &str) {
        let times = self.restarts.entry(name.to_owned()).or_default();
        times.push(self.now);
        let recent = times.iter().filter(|at| self.now.duration_since(**at) < PERIOD).count();
        assert!(recent <= INTENSITY, "{name} was restarted {recent} times within a period");
    }
}

struct CoreTest;

impl StateMachineTest for CoreTest {
    type SystemUnderTest = Shell;
    type Reference = Wanted;

    fn init_test(_: &BTreeSet<&'static str>) -> Shell {
        Shell {
            core: Core::new(7),
            now: Instant::now(),
            live: BTreeMap::new(),
            stopping: BTreeSet::new(),
            armed: BTreeMap::new(),
            latest: BTreeMap::new(),
            restarts: BTreeMap::new(),
        }
    }

    fn apply(mut shell: Shell, wanted: &BTreeSet<&'static str>, event: Event) -> Shell {
        let now = shell.now;
        match event {
            Event::Add(name) => {
                let command = shell.core.add(name, RULES, now);
                shell.carry_out(command, name, wanted);
            }
            Event::Remove(name) => {
                let command = shell.core.remove(name);
                shell.armed.remove(name);
                shell.restarts.remove(name);
                shell.carry_out(command, name, wanted);
            }
            Event::Exit(name, abnormal) => {
                if let Some(incarnation) = shell.live.remove(name) {
                    shell.stopping.remove(name);
                    let command = shell.core.exited(name, incarnation, abnormal, now);
                    shell.carry_out(command, name, wanted);
                }
            }
            Event::LateExit(name, back) => {
                if let Some(incarnation) = shell.latest.get(name).and_then(|latest| latest.checked_sub(back))
                {
                    assert_eq!(shell.core.exited(name, incarnation, true, now), None);
                }
            }
            Event::Due(name) => {
                if let Some((incarnation, at)) = shell.armed.get(name).copied() {
                    let earlier = shell.armed.values().any(|(_, other)| *other < at);
                    if earlier {
                        return shell;
                    }
                    shell.now = shell.now.max(at);
                    let command = shell.core.due(name, incarnation, shell.now);
                    assert!(command.is_some(), "{name} waited and was not started");
                    shell.count_restart(name);
                    shell.carry_out(command, name, wanted);
                }
            }
            Event::LateDue(name, back) => {
                if let Some(incarnation) = shell.latest.get(name).and_then(|latest| latest.checked_sub(back))
                {
                    assert_eq!(shell.core.due(name, incarnation, now), None);
                }
            }
            Event::Resume(name) => {
                let command = shell.core.resume(name, now);
                shell.restarts.remove(name);
                shell.carry_out(command, name, wanted);
            }
            Event::Pass(milliseconds) => {
                // Timers are prompt: time does not pass a wait that nobody has been told is over.
                let due = shell.armed.values().map(|(_, at)| *at).min();
                let then = shell.now + Duration::from_millis(milliseconds);
                shell.now = due.map_or(then, |due| then.min(due)).max(shell.now);
            }
        }
        shell
    }

    fn check_invariants(shell: &Shell, wanted: &BTreeSet<&'static str>) {
        for name in NAMES {
            let (live, armed) = (shell.live.contains_key(name), shell.armed.contains_key(name));
            if wanted.contains(name) {
                assert!(live || armed, "{name} is wanted, and nobody will ever start it");
            } else {
                assert!(!armed && (!live || shell.stopping.contains(name)), "{name} is not wanted and stays");
            }
        }
    }
}

prop_state_machine! {
    #[test]
    fn d1_children_live_once_come_back_and_stay_away_when_removed(sequential 1..120 => CoreTest);
}
