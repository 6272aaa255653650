//! Trials: async tests that each get a fleet for themselves, and a process of their own.

use std::any::Any;
use std::cmp::Reverse;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial as Entry};
use rustix::process::{Signal, set_parent_process_death_signal};

use super::fleet::Fleet;
use super::places::{self, Places};
use super::wait::BUSY;
use super::{Background, leaks};

/// A trial waits for hosts most of its time, so two more run beside it. `--test-threads`
/// says otherwise.
const SIDE_BY_SIDE: usize = 3;

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

    /// A trial that may take `limit`, times [`BUSY`].
    pub fn limited<F>(name: &str, limit: Duration, body: F) -> Self
    where
        F: AsyncFn(&Fleet) + Send + 'static,
    {
        // the first part is the binary's own name
        let name = name.split_once("::").map_or(name, |(_, rest)| rest).to_owned();
        let limit = limit * BUSY;
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

/// Runs the trials the command line selects, each on a fleet of `hosts` hosts; in a process that
/// was started for one trial, that one.
pub fn run(hosts: usize, mut trials: Vec<Trial>) -> ExitCode {
    if let Some(name) = places::chosen() {
        return run_alone(&name, trials);
    }
    let mut arguments = Arguments::from_args();
    let threads = *arguments.test_threads.get_or_insert(SIDE_BY_SIDE);
    let unavailable = if arguments.list { None } else { Fleet::check().err() };
    if let Some(reason) = &unavailable {
        if std::env::var_os("DOCKMASTER_REQUIRE_FLEET").is_some_and(|value| value == "1") {
            eprintln!("no fleet, and DOCKMASTER_REQUIRE_FLEET=1 demands one: {reason}");
            return ExitCode::FAILURE;
        }
        eprintln!("no fleet, so its tests are ignored: {reason}");
    }
    let places = Arc::new(Places::new(hosts, threads));
    let entry = |Trial { name, limit, .. }| {
        let (places, trial) = (Arc::clone(&places), name.clone());
        Entry::test(name, move || places.run(&trial, limit)).with_ignored_flag(unavailable.is_some())
    };
    // a long one at the end would run beside nothing
    trials.sort_by_key(|trial| Reverse(trial.limit));
    let conclusion = libtest_mimic::run(&arguments, trials.into_iter().map(entry).collect());
    places.release();
    conclusion.exit_code()
}

/// Runs one trial on the fleet of the environment, which is up and as a trial should meet it.
fn run_alone(name: &str, trials: Vec<Trial>) -> ExitCode {
    // who started this judges it, and alone knows what else runs on the fleet
    set_parent_process_death_signal(Some(Signal::KILL)).expect("the kernel takes the wish");
    let fleet = Fleet::found();
    let trial = trials.into_iter().find(|trial| trial.name == name).expect("a name from the list");
    // with its first runtime tokio opens a pair of sockets for signals, and keeps them for good: the
    // trial is not to be blamed for them
    drop(Background::start());
    let outcome = leaks::guarded(&fleet, LEFT_BEHIND, || caught("", || (trial.body)(&fleet)));
    let Err(failed) = outcome.and_then(|()| caught("after the trial: ", || fleet.clear())) else {
        return ExitCode::SUCCESS;
    };
    eprintln!("{}", failed.message().unwrap_or_default());
    ExitCode::FAILURE
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
