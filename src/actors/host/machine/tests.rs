//! The machine driven by hand.

use super::*;

type TestMachine = Machine<u32, &'static str>;

/// Drives a machine by hand and remembers what it asked for.
struct Lab {
    machine: TestMachine,
    now: Timestamp,
    epoch: u64,
    timer: Option<(TimerId, Duration)>,
    answers: Vec<(u32, Result<&'static str, usize>)>,
    connects: usize,
}

impl Lab {
    fn new() -> Self {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let machine = Machine::new(ConnectPolicy::default(), 1, now);
        let mut lab = Self { machine, now, epoch: 0, timer: None, answers: vec![], connects: 0 };
        lab.input(Input::Start);
        lab
    }

    fn input(&mut self, input: Input<u32, &'static str>) {
        for effect in self.machine.step(input, self.now) {
            match effect {
                Effect::Connect { epoch } => {
                    self.epoch = epoch;
                    self.connects += 1;
                }
                Effect::Examine { epoch } => self.epoch = epoch,
                Effect::Arm { timer, delay } => self.timer = Some((timer, delay)),
                Effect::Answer(waiter, answer) => {
                    self.answers.push((waiter, answer.map_err(|refused| refused.attempts.len())));
                }
                Effect::Hold { .. } | Effect::Drop => {}
            }
        }
    }

    fn fail(&mut self, kind: FaultKind) {
        self.input(Input::Connected { epoch: self.epoch, outcome: Err(Fault::new(kind, "x")) });
    }

    fn succeed(&mut self) {
        let engine = EngineInfo {
            id: None,
            product: "Docker",
            version: "1".into(),
            api: "1.41".into(),
            platform: "p".into(),
        };
        self.input(Input::Connected { epoch: self.epoch, outcome: Ok(("line", engine)) });
    }

    fn wait(&mut self) -> Duration {
        let (timer, delay) = self.timer.take().unwrap();
        self.now += delay;
        self.input(Input::TimerDue(timer));
        delay
    }

    fn word(&self) -> &'static str {
        self.machine.phase().word()
    }
}

#[test]
fn s3_a_hundred_callers_share_one_attempt() {
    let mut lab = Lab::new();
    (0..100).for_each(|caller| lab.input(Input::Ensure(caller)));
    lab.succeed();
    assert_eq!((lab.connects, lab.answers.len()), (1, 100));
    assert!(lab.answers.iter().all(|(_, answer)| *answer == Ok("line")));
    lab.input(Input::Ensure(100));
    assert_eq!((lab.connects, lab.answers.len()), (1, 101));
}

#[test]
fn s4_a_series_is_three_attempts_and_its_callers_get_every_cause() {
    let mut lab = Lab::new();
    lab.input(Input::Ensure(1));
    lab.fail(FaultKind::Refused);
    assert!(lab.wait() <= Duration::from_millis(1500));
    lab.input(Input::Ensure(2));
    lab.fail(FaultKind::Timeout);
    assert!(lab.answers.is_empty());
    lab.wait();
    lab.fail(FaultKind::Refused);
    assert_eq!((lab.connects, lab.answers.as_slice()), (3, &[(1, Err(3)), (2, Err(3))][..]));
    // From here on callers are answered at once and the machine goes on alone.
    lab.input(Input::Ensure(3));
    assert_eq!(lab.answers.last(), Some(&(3, Err(0))));
    lab.wait();
    lab.succeed();
    assert_eq!((lab.connects, lab.word()), (4, "ready"));
}

#[test]
fn s4_waits_in_the_background_grow_to_a_minute_and_start_small_only_after_a_stable_link() {
    let mut lab = Lab::new();
    let mut last = Duration::ZERO;
    for _ in 0..14 {
        lab.fail(FaultKind::Timeout);
        last = lab.wait();
    }
    assert!(last >= Duration::from_secs(30) && last <= Duration::from_secs(60), "{last:?}");
    lab.succeed();
    lab.now += Duration::from_secs(5);
    lab.input(Input::LinkDown { epoch: lab.epoch, fault: Fault::new(FaultKind::LinkLost, "") });
    assert_eq!(lab.word(), "backoff");
    assert!(lab.wait() >= Duration::from_secs(30), "a flapping link keeps its long waits");
    lab.succeed();
    lab.now += Duration::from_secs(60);
    lab.input(Input::LinkDown { epoch: lab.epoch, fault: Fault::new(FaultKind::LinkLost, "") });
    assert_eq!(lab.word(), "connecting");
    assert!(lab.machine.phase().cause().is_some(), "what broke is still told");
    for _ in 0..3 {
        lab.fail(FaultKind::Timeout);
    }
    let (_, delay) = lab.timer.unwrap();
    assert!(delay <= Duration::from_secs(2), "{delay:?}");
}

#[test]
fn s4_a_refused_login_is_tried_twice_and_then_held() {
    let mut lab = Lab::new();
    lab.input(Input::Ensure(1));
    lab.fail(FaultKind::AuthRefused);
    assert_eq!(lab.answers, [(1, Err(1))]);
    assert_eq!(lab.wait(), Duration::from_secs(60));
    lab.fail(FaultKind::AuthRefused);
    assert_eq!((lab.word(), lab.connects), ("held", 2));
    lab.input(Input::Wake);
    lab.input(Input::Ensure(2));
    assert_eq!(lab.connects, 2, "nobody can make it log in");
    let until = lab.machine.phase().next_try().unwrap();
    assert_eq!(until.duration_since(lab.now).as_secs(), 600);
}

#[test]
fn s4_a_changed_host_key_is_held_until_something_changes() {
    let mut lab = Lab::new();
    lab.fail(FaultKind::HostKeyChanged);
    assert_eq!((lab.word(), lab.machine.phase().next_try()), ("held", None));
    lab.input(Input::Evidence { epoch: lab.epoch, stamp: 7 });
    for _ in 0..1000 {
        lab.wait();
        lab.input(Input::Evidence { epoch: lab.epoch, stamp: 7 });
    }
    assert_eq!(lab.connects, 1);
    lab.input(Input::Evidence { epoch: lab.epoch, stamp: 8 });
    assert_eq!((lab.word(), lab.connects), ("connecting", 2));
}

#[test]
fn s4_half_open_one_attempt_decides_for_all_who_came_meanwhile() {
    let mut lab = Lab::new();
    for _ in 0..3 {
        lab.fail(FaultKind::Timeout);
        lab.wait();
    }
    assert_eq!((lab.word(), lab.connects), ("connecting", 4));
    (1..=3).for_each(|caller| lab.input(Input::Ensure(caller)));
    assert!(lab.answers.is_empty(), "the attempt may still succeed");
    lab.fail(FaultKind::Timeout);
    assert_eq!((lab.word(), lab.connects), ("backoff", 4));
    assert_eq!(lab.answers, [(1, Err(1)), (2, Err(1)), (3, Err(1))]);
    lab.wait();
    lab.input(Input::Ensure(4));
    lab.succeed();
    assert_eq!(lab.answers.last(), Some(&(4, Ok("line"))));
}

#[test]
fn s4_a_hold_outlives_the_life_it_began_in() {
    let mut before = Lab::new();
    before.fail(FaultKind::HostKeyChanged);
    let (phase, since) = (before.machine.phase(), before.machine.since());
    let now = before.now + Duration::from_secs(5);
    let machine = Machine::new(ConnectPolicy::default(), 1, now).after(&phase, since);
    let mut lab = Lab { machine, now, epoch: 0, timer: None, answers: vec![], connects: 0 };
    lab.input(Input::Start);
    lab.input(Input::Ensure(1));
    assert_eq!((lab.machine.phase(), lab.machine.since(), lab.connects), (phase, since, 0));
    assert_eq!(lab.answers, [(1, Err(0))]);
    lab.input(Input::Evidence { epoch: lab.epoch, stamp: 1 });
    lab.input(Input::Evidence { epoch: lab.epoch, stamp: 2 });
    assert_eq!((lab.word(), lab.connects), ("connecting", 1));
    // One whose time was over meanwhile is tried.
    let over = Phase::Held { until: Some(now), cause: Fault::new(FaultKind::AuthRefused, "") };
    lab.machine = Machine::new(ConnectPolicy::default(), 1, now).after(&over, since);
    lab.input(Input::Start);
    assert_eq!(lab.word(), "connecting");
}

#[test]
fn outcomes_of_former_attempts_change_nothing() {
    let mut lab = Lab::new();
    lab.input(Input::Ensure(1));
    lab.input(Input::Disable);
    assert_eq!((lab.answers.as_slice(), lab.word()), (&[(1, Err(0))][..], "disabled"));
    lab.succeed();
    assert_eq!(lab.word(), "disabled");
    lab.input(Input::Start);
    lab.input(Input::LinkDown { epoch: 1, fault: Fault::new(FaultKind::LinkLost, "") });
    assert_eq!(lab.word(), "connecting");
}

#[test]
fn the_age_of_a_trouble_is_not_the_age_of_its_last_retry() {
    let mut lab = Lab::new();
    lab.succeed();
    lab.now += Duration::from_secs(100);
    let broke = lab.now;
    lab.input(Input::LinkDown { epoch: lab.epoch, fault: Fault::new(FaultKind::LinkLost, "") });
    for _ in 0..5 {
        lab.fail(FaultKind::Timeout);
        lab.wait();
    }
    assert_eq!(lab.machine.since(), broke);
}

/// An outage that ends finds no host in step with the others: of a hundred, a fifth at most in the same tenth
/// of the time that their attempts are spread over.
#[test]
fn s4_after_an_outage_of_all_hosts_their_attempts_are_spread() {
    let now = Timestamp::from_second(1_000_000).unwrap();
    let mut delays: Vec<Duration> = (0..100)
        .map(|seed| {
            let machine = Machine::new(ConnectPolicy::default(), seed, now);
            let mut lab = Lab { machine, ..Lab::new() };
            lab.input(Input::Start);
            for _ in 0..8 {
                lab.fail(FaultKind::Unreachable);
                lab.wait();
            }
            lab.fail(FaultKind::Unreachable);
            lab.wait()
        })
        .collect();
    delays.sort_unstable();
    let (first, spread) = (delays[0], delays[delays.len() - 1].saturating_sub(delays[0]));
    assert!(spread > Duration::from_secs(20), "{first:?} and {spread:?} more");
    for tenth in 0..10 {
        let from = first + spread * tenth / 10;
        let crowd = delays.iter().filter(|delay| (from..from + spread / 10).contains(delay)).count();
        assert!(crowd <= 20, "{crowd} of 100 within a tenth of {spread:?} from {from:?}");
    }
}
