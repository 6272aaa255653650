//! The supervisor's decisions, without an actor in sight: events in, commands out.

use super::spec::{ChildSpec, Excess, Restart};
use crate::domain::retry::BackoffPolicy;
use crate::runtime::backoff::Backoff;
use crate::runtime::restart_window::{RestartIntensity, RestartWindow};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

/// A child that ran this long counts as well again: its waits start small, its quarantines too.
const STABLE_AFTER: Duration = Duration::from_secs(60);

/// What the shell is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Command {
    /// Start this incarnation.
    Start { name: String, incarnation: u64 },
    /// Send `RestartDue` for this incarnation after `delay`.
    Arm { name: String, incarnation: u64, delay: Duration },
    /// Stop the running actor, with its grace.
    Stop { name: String },
    /// The child stays down for `delay`.
    Quarantined { name: String, delay: Duration },
    /// Give up.
    Meltdown { name: String },
}

/// What a child is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChildPhase {
    /// It runs.
    Running,
    /// It crashed and waits to be started.
    Waiting,
    /// It crashed too often and is kept down.
    Quarantined,
    /// It was told to stop and has not ended yet.
    Stopping,
}

impl ChildPhase {
    /// The stable word for output.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Quarantined => "quarantined",
            Self::Stopping => "stopping",
        }
    }
}

/// The numbers of a spec that decisions need.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) restart: Restart,
    pub(super) intensity: RestartIntensity,
    pub(super) excess: Excess,
    pub(super) backoff: BackoffPolicy,
}

impl From<&ChildSpec> for Rules {
    fn from(spec: &ChildSpec) -> Self {
        Self { restart: spec.restart, intensity: spec.intensity, excess: spec.excess, backoff: spec.backoff }
    }
}

#[derive(Debug)]
struct Child {
    rules: Rules,
    phase: ChildPhase,
    /// Start again once it has stopped: it was added anew while stopping.
    again: bool,
    incarnation: u64,
    started: Instant,
    due: Option<Instant>,
    window: RestartWindow,
    backoff: Backoff,
    quarantines: u32,
}

/// All children of a supervisor.
#[derive(Debug)]
pub(super) struct Core {
    children: BTreeMap<String, Child>,
    seed: u64,
}

impl Core {
    /// No children yet; `seed` decides about the jitter of their waits.
    pub(super) fn new(seed: u64) -> Self {
        Self { children: BTreeMap::new(), seed }
    }

    /// A child is wanted. One that is there already stays as it is; one that is stopping starts
    /// again with the new rules once it has ended.
    pub(super) fn add(&mut self, name: &str, rules: Rules, now: Instant) -> Option<Command> {
        if let Some(child) = self.children.get_mut(name) {
            if child.phase == ChildPhase::Stopping {
                child.rules = rules;
                child.again = true;
            }
            return None;
        }
        self.seed = self.seed.wrapping_add(1);
        let child = Child {
            rules,
            phase: ChildPhase::Running,
            again: false,
            incarnation: 1,
            started: now,
            due: None,
            window: RestartWindow::new(rules.intensity),
            backoff: Backoff::new(rules.backoff, self.seed),
            quarantines: 0,
        };
        self.children.insert(name.to_owned(), child);
        Some(Command::Start { name: name.to_owned(), incarnation: 1 })
    }

    /// A child is no longer wanted.
    pub(super) fn remove(&mut self, name: &str) -> Option<Command> {
        let child = self.children.get_mut(name)?;
        child.again = false;
        match child.phase {
            ChildPhase::Running => {
                child.phase = ChildPhase::Stopping;
                Some(Command::Stop { name: name.to_owned() })
            }
            ChildPhase::Waiting | ChildPhase::Quarantined => {
                self.children.remove(name);
                None
            }
            ChildPhase::Stopping => None,
        }
    }

    /// An incarnation has ended. One that is not the running one is old news.
    pub(super) fn exited(
        &mut self,
        name: &str,
        incarnation: u64,
        abnormal: bool,
        now: Instant,
    ) -> Option<Command> {
        let child = self.children.get_mut(name).filter(|child| child.incarnation == incarnation)?;
        match child.phase {
            ChildPhase::Stopping if child.again => {
                child.again = false;
                child.window = RestartWindow::new(child.rules.intensity);
                Some(child.start(name, now))
            }
            ChildPhase::Stopping => {
                self.children.remove(name);
                None
            }
            ChildPhase::Running => {
                let wanted = match child.rules.restart {
                    Restart::Permanent => true,
                    Restart::Transient => abnormal,
                    Restart::Temporary => false,
                };
                if wanted {
                    return Some(child.restart(name, now));
                }
                self.children.remove(name);
                None
            }
            ChildPhase::Waiting | ChildPhase::Quarantined => None,
        }
    }

    /// A wait is over. One for another incarnation, or for a child that no longer waits, is stale.
    pub(super) fn due(&mut self, name: &str, incarnation: u64, now: Instant) -> Option<Command> {
        let child = self.children.get_mut(name).filter(|child| child.incarnation == incarnation)?;
        matches!(child.phase, ChildPhase::Waiting | ChildPhase::Quarantined).then(|| child.start(name, now))
    }

    /// What a child is doing; `None` when there is none of this name.
    pub(super) fn phase(&self, name: &str) -> Option<ChildPhase> {
        self.children.get(name).map(|child| child.phase)
    }

    /// Start a waiting or quarantined child now.
    pub(super) fn resume(&mut self, name: &str, now: Instant) -> Option<Command> {
        let child = self.children.get_mut(name)?;
        let incarnation = child.incarnation;
        if child.phase == ChildPhase::Quarantined {
            // Somebody has looked: it begins anew.
            child.window.clear();
        }
        self.due(name, incarnation, now)
    }

    /// Name, phase, incarnation, restarts in the window and the next start of every child.
    pub(super) fn overview(
        &self,
        now: Instant,
    ) -> impl Iterator<Item = (&str, ChildPhase, u64, usize, Option<Instant>)> {
        self.children.iter().map(move |(name, child)| {
            (name.as_str(), child.phase, child.incarnation, child.window.count(now), child.due)
        })
    }
}

impl Child {
    fn start(&mut self, name: &str, now: Instant) -> Command {
        self.phase = ChildPhase::Running;
        self.incarnation += 1;
        self.started = now;
        self.due = None;
        Command::Start { name: name.to_owned(), incarnation: self.incarnation }
    }

    fn restart(&mut self, name: &str, now: Instant) -> Command {
        if now.duration_since(self.started) >= STABLE_AFTER {
            self.backoff.reset();
            self.quarantines = 0;
        }
        let name = name.to_owned();
        let delay = self.backoff.next_wait();
        // Counted at the time it will happen: that is when a restart in a row does its harm.
        if self.window.admit(now + delay) {
            self.phase = ChildPhase::Waiting;
            self.due = Some(now + delay);
            return Command::Arm { name, incarnation: self.incarnation, delay };
        }
        match self.rules.excess {
            Excess::Meltdown => Command::Meltdown { name },
            Excess::Quarantine { first, longest } => {
                let delay = first.saturating_mul(1 << self.quarantines.min(16)).min(longest);
                self.quarantines += 1;
                // A new window begins, with the restart that ends the quarantine in it.
                self.window.clear();
                self.window.admit(now + delay);
                self.phase = ChildPhase::Quarantined;
                self.due = Some(now + delay);
                Command::Quarantined { name, delay }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules {
        restart: Restart::Permanent,
        intensity: RestartIntensity { intensity: 3, period: Duration::from_secs(60) },
        excess: Excess::Quarantine { first: Duration::from_secs(300), longest: Duration::from_secs(3600) },
        backoff: BackoffPolicy::SERIES,
    };

    struct Lab {
        core: Core,
        now: Instant,
    }

    impl Lab {
        fn new() -> Self {
            let mut lab = Self { core: Core::new(1), now: Instant::now() };
            lab.core.add("a", RULES, lab.now);
            lab
        }

        fn crash(&mut self, incarnation: u64) -> Option<Command> {
            self.core.exited("a", incarnation, true, self.now)
        }

        fn crash_and_wait(&mut self, incarnation: u64) {
            let Some(Command::Arm { delay, .. }) = self.crash(incarnation) else { panic!("no restart") };
            self.now += delay;
            assert!(matches!(self.core.due("a", incarnation, self.now), Some(Command::Start { .. })));
        }
    }

    #[tokio::test]
    async fn d1_a_crash_is_followed_by_a_later_restart_of_the_next_incarnation() {
        let mut lab = Lab::new();
        lab.crash_and_wait(1);
        assert_eq!(lab.crash(1), None, "old news");
        lab.crash_and_wait(2);
    }

    #[tokio::test]
    async fn d1_too_many_crashes_put_that_child_alone_in_quarantine_with_growing_terms() {
        let mut lab = Lab::new();
        for incarnation in 1..=3 {
            lab.crash_and_wait(incarnation);
        }
        let term = |command| match command {
            Some(Command::Quarantined { delay, .. }) => delay.as_secs(),
            other => panic!("{other:?}"),
        };
        assert_eq!(term(lab.crash(4)), 300);
        assert!(matches!(lab.core.resume("a", lab.now), Some(Command::Start { incarnation: 5, .. })));
        for incarnation in 5..=7 {
            lab.crash_and_wait(incarnation);
        }
        assert_eq!(term(lab.crash(8)), 600);
    }

    #[tokio::test]
    async fn d1_a_removed_child_is_never_started_again() {
        let mut lab = Lab::new();
        lab.crash(1);
        lab.core.remove("a");
        assert_eq!(lab.core.due("a", 1, lab.now), None);
        assert_eq!(lab.core.resume("a", lab.now), None);
    }

    #[tokio::test]
    async fn d1_the_return_from_quarantine_is_a_restart_like_any_other() {
        let mut lab = Lab::new();
        let mut starts = 0;
        let mut incarnation = 1;
        // Three restarts, the quarantine, and as many restarts as its period bears.
        let returned = loop {
            match lab.core.exited("a", incarnation, true, lab.now) {
                Some(Command::Arm { delay, .. }) => lab.now += delay,
                Some(Command::Quarantined { delay, .. }) if starts == 0 => {
                    lab.now += delay;
                    starts = 1;
                    let start = lab.core.due("a", incarnation, lab.now);
                    assert!(start.is_some());
                    incarnation += 1;
                    continue;
                }
                Some(Command::Quarantined { .. }) => break starts,
                other => panic!("{other:?}"),
            }
            assert!(lab.core.due("a", incarnation, lab.now).is_some());
            incarnation += 1;
            starts += usize::from(starts > 0);
        };
        assert_eq!(returned, RULES.intensity.intensity);
    }

    #[tokio::test]
    async fn d1_a_child_added_while_it_stops_starts_once_it_has_ended() {
        let mut lab = Lab::new();
        assert_eq!(lab.core.remove("a"), Some(Command::Stop { name: "a".into() }));
        assert_eq!(lab.core.add("a", RULES, lab.now), None);
        assert!(matches!(
            lab.core.exited("a", 1, false, lab.now),
            Some(Command::Start { incarnation: 2, .. })
        ));
    }

    #[tokio::test]
    async fn d1_restart_types_decide_about_a_normal_exit() {
        for (restart, starts) in
            [(Restart::Permanent, true), (Restart::Transient, false), (Restart::Temporary, false)]
        {
            let mut core = Core::new(1);
            let now = Instant::now();
            core.add("a", Rules { restart, ..RULES }, now);
            assert_eq!(core.exited("a", 1, false, now).is_some(), starts, "{restart:?}");
        }
    }

    #[tokio::test]
    async fn d1_excess_at_the_root_is_a_meltdown() {
        let mut core = Core::new(1);
        let now = Instant::now();
        let intensity = RestartIntensity { intensity: 0, period: Duration::from_secs(60) };
        core.add("a", Rules { intensity, excess: Excess::Meltdown, ..RULES }, now);
        assert_eq!(core.exited("a", 1, true, now), Some(Command::Meltdown { name: "a".into() }));
    }
}
