//! Trials: async tests that get the fleet for themselves, one after the other.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial as Entry};

use super::fleet::{Fleet, Unavailable};
use super::{Background, leaks};

/// How long what a trial has used may take to end: sshd notices its client's end at once, and the
/// machine may be busy.
const LEFT_BEHIND: Duration = Duration::from_secs(20);

type Body = Box<dyn FnOnce(&Fleet) + Send>;

/// A test on the fleet.
pub struct Trial {
    name: String,
    limit: Duration,
    body: Body,
}

impl Trial {
    /// A trial with the usual limit of a minute. The [`trials!`](crate::trials) macro calls this.
    pub fn new<F>(name: &str, body: F) -> Self
    where
        F: AsyncFn(&Fleet) + Send + 'static,
    {
        Self::limited(name, Duration::from_secs(60), body)
    }

    /// A trial that may take `limit`.
    pub fn limited<F>(name: &str, limit: Duration, body: F) -> Self
    where
        F: AsyncFn(&Fleet) + Send + 'static,
    {
        // the first part is the binary's own name
        let name = name.split_once("::").map_or(name, |(_, rest)| rest).to_owned();
        let body = Box::new(move |fleet: &Fleet| run_within(limit, body(fleet)));
        Self { name, limit, body }
    }
}

/// Lists async functions of one `&Fleet` as trials, named by their paths. A function that
/// needs another limit than a minute says so: `trials![one, two => 120]` (in seconds).
#[macro_export]
macro_rules! trials {
    ($($name:ident $(=> $seconds:literal)?),* $(,)?) => {
        vec![$($crate::trials!(@one $name $($seconds)?)),*]
    };
    (@one $name:ident) => {
        $crate::support::trials::Trial::new(concat!(module_path!(), "::", stringify!($name)), $name)
    };
    (@one $name:ident $seconds:literal) => {
        $crate::support::trials::Trial::limited(
            concat!(module_path!(), "::", stringify!($name)),
            std::time::Duration::from_secs($seconds),
            $name,
        )
    };
}

/// Runs a trial's future on this thread, with workers beside it: the blocking verbs of a
/// host hold up the trial alone, not the tasks it has spawned.
fn run_within(limit: Duration, body: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime for a trial");
    let ended = runtime.block_on(async { tokio::time::timeout(limit, body).await });
    runtime.shutdown_timeout(Duration::from_secs(1));
    assert!(ended.is_ok(), "the trial ran into its limit of {limit:?}");
}

/// Whether the trials are wanted that take longer than those of every day.
pub fn are_long() -> bool {
    std::env::var_os("DOCKMASTER_LONG").is_some_and(|value| value == "1")
}

/// Runs the trials the command line selects on `hosts` hosts.
pub fn run(hosts: usize, trials: Vec<Trial>) -> ExitCode {
    let mut arguments = Arguments::from_args();
    // they share the hosts
    arguments.test_threads = Some(1);
    let unavailable = if arguments.list { None } else { Fleet::check().err() };
    if let Some(reason) = &unavailable {
        if std::env::var_os("DOCKMASTER_REQUIRE_FLEET").is_some_and(|value| value == "1") {
            eprintln!("no fleet, and DOCKMASTER_REQUIRE_FLEET=1 demands one: {reason}");
            return ExitCode::FAILURE;
        }
        eprintln!("no fleet, so its tests are ignored: {reason}");
    }
    let shared = Arc::new(Shared::new(hosts));
    let entries = trials.into_iter().map(|trial| shared.entry(trial, unavailable.is_some())).collect();
    let conclusion = libtest_mimic::run(&arguments, entries);
    shared.release();
    conclusion.exit_code()
}

/// The fleet, brought up by the first trial that is really run.
struct Shared {
    hosts: usize,
    fleet: Mutex<Option<Result<Fleet, Unavailable>>>,
}

impl Shared {
    fn new(hosts: usize) -> Self {
        Self { hosts, fleet: Mutex::new(None) }
    }

    fn entry(self: &Arc<Self>, trial: Trial, ignored: bool) -> Entry {
        let shared = Arc::clone(self);
        let name = trial.name.clone();
        Entry::test(name, move || shared.run(trial)).with_ignored_flag(ignored)
    }

    fn run(&self, trial: Trial) -> Result<(), Failed> {
        let mut slot = self.fleet.lock().unwrap_or_else(PoisonError::into_inner);
        let fleet = slot.get_or_insert_with(|| {
            // with its first runtime tokio opens a pair of sockets for signals, and keeps them for
            // good: no trial is to be blamed for them
            drop(Background::start());
            Fleet::acquire(self.hosts)
        });
        let fleet = fleet.as_ref()?;
        let limit = trial.limit;
        caught("before the trial: ", || fleet.reset())?;
        let body = || watched(&trial.name, limit, || caught("", || (trial.body)(fleet)));
        let outcome = leaks::guarded(fleet, LEFT_BEHIND, body);
        let healed = caught("after the trial: ", || fleet.reset());
        outcome.and(healed)
    }

    fn release(&self) {
        self.fleet.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

/// Runs `body`; a panic becomes a failure with its words.
pub fn caught(when: &str, body: impl FnOnce()) -> Result<(), Failed> {
    catch_unwind(AssertUnwindSafe(body))
        .map_err(|panic| Failed::from(format!("{when}{}", message(panic.as_ref()))))
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words")
}

/// The limit within [`run_within`] cannot end a trial that blocks its thread. Nothing can,
/// and the next trial must not meet it on the hosts: past a second limit all ends here.
fn watched<T>(name: &str, limit: Duration, body: impl FnOnce() -> T) -> T {
    let (done, waiting) = std::sync::mpsc::channel::<()>();
    let name = name.to_owned();
    let hard = limit * 2 + Duration::from_secs(60);
    let watchdog = std::thread::spawn(move || {
        if waiting.recv_timeout(hard) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            eprintln!("{name} has blocked its thread for {hard:?}: giving up on the whole run");
            std::process::exit(101);
        }
    });
    let result = body();
    drop(done);
    watchdog.join().expect("the watchdog only waits");
    result
}
