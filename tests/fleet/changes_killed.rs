//! The service dies at any moment, and each change is made once all the same, and told as it ended.
//!
//! What was done is counted in the engines' own logs of events, not in the journal that the service keeps.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::seq::{IndexedMutRandom as _, IndexedRandom as _, SliceRandom as _};
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};

use crate::support::effects::{EffectLog, Effects};
use crate::support::mcp_client::McpClient;
use crate::support::service::Home;
use crate::support::trials::{Trial, are_long};
use crate::support::{Fleet, Host, IMAGE, Service, ServiceConfig, ToolAnswer};
use crate::trials;

/// Variables that ask for more kills, or for those of another seed.
const KILLS: &str = "DOCKMASTER_KILLS";
const SEED: &str = "DOCKMASTER_SEED";

/// No hosts yet, and nobody to be asked: what has to be agreed to is made at once.
fn unasked(fleet: &Fleet) -> ServiceConfig {
    ServiceConfig::none(fleet).server("confirm_fallback: allow")
}

const HOSTS: [&str; 2] = ["h1", "h2"];
/// An image in the registry of every host, under a tag for each call of a round.
const LOADED: &str = "127.0.0.1:5000/load";
const TAGS: usize = 8;

/// Containers of a host that changes are made to.
const WITNESSES: usize = 10;
/// And that no change is ever made to.
const BYSTANDERS: usize = 2;

/// A kill comes within one of these times after the first call was sent: while most changes begin, or while
/// most are at work.
const KILLED_WITHIN: [u64; 2] = [400, 1500];
/// Calls of a round are sent within this time.
const SENT_WITHIN: u64 = 400;
/// After a restart no change is active any more within this time.
const STUCK: Duration = Duration::from_secs(60);

pub fn trials() -> Vec<Trial> {
    let mut trials = trials![
        one_that_goes_when_it_stops_was_stopped_before_the_crash,
        what_is_used_after_a_crash_is_not_told_as_removed,
    ];
    trials.push(kill9());
    trials
}

/// For `make test-long` and `make soak`.
pub fn long_trials() -> Vec<Trial> {
    let mut trials = trials![a_crash_at_each_point_on_a_real_engine => 180];
    trials.push(kill9());
    trials
}

fn kill9() -> Trial {
    let name = concat!(module_path!(), "::kill9_at_random_moments_of_mixed_load");
    Trial::limited(name, Duration::from_secs(60 + 10 * kills()), kill9_at_random_moments_of_mixed_load)
}

fn kills() -> u64 {
    number(KILLS, if are_long() { 200 } else { 10 })
}

fn number(variable: &str, default: u64) -> u64 {
    let Ok(text) = std::env::var(variable) else { return default };
    text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number"))
}

/// A call that begins a job.
#[derive(Debug)]
struct Call {
    tool: &'static str,
    host: &'static str,
    /// The containers it is about, of which no other call of the round is.
    targets: Vec<String>,
    arguments: Value,
    key: Option<String>,
    /// The job it began, as far as somebody was told.
    job: Option<String>,
}

impl Call {
    /// What a job is told to be done to.
    fn target(&self) -> String {
        match self.tool {
            "image_pull" => self.arguments["image"].as_str().expect("an image").to_owned(),
            "prune" => "containers".to_owned(),
            _ => self.targets.join(", "),
        }
    }

    fn is_of(&self, job: &Value) -> bool {
        job["tool"] == self.tool && job["host"] == self.host && job["target"] == self.target()
    }

    /// With `wait` or the tool's own.
    fn arguments(&self, wait: Option<u64>) -> Value {
        let mut arguments = self.arguments.clone();
        if let Some(key) = &self.key {
            arguments["idempotency_key"] = key.as_str().into();
        }
        if let Some(wait) = wait {
            arguments["wait"] = wait.into();
        }
        arguments
    }

    /// The job in its answer.
    fn told(&self, answer: &ToolAnswer) -> String {
        assert!(!answer.is_error, "{self:?}: {}", answer.text);
        let told = &answer.structured;
        let job = match self.tool {
            "image_pull" => &told["jobs"][0],
            _ => told,
        };
        job["job"].as_str().unwrap_or_else(|| panic!("{self:?}: {told}")).to_owned()
    }

    /// It is sent again, to another life of the service: who was told a job is told the same one.
    async fn repeat(&mut self, service: &Service) {
        let answer = service.call(self.tool, self.arguments(Some(0))).await;
        let told = self.told(&answer);
        if let Some(known) = &self.job {
            assert_eq!(&told, known, "a key finds its job again: {self:?}");
        }
        self.job = Some(told);
    }

    /// What it does to a target when it is made once, by whether that ran.
    fn effects(&self, ran: bool) -> Effects {
        let died = usize::from(ran);
        match self.tool {
            "container_restart" => Effects { died, started: 1, ..Effects::NONE },
            "container_stop" => Effects { died, ..Effects::NONE },
            "container_start" => Effects { started: usize::from(!ran), ..Effects::NONE },
            "container_remove" => Effects { died, removed: 1, ..Effects::NONE },
            "prune" => Effects { removed: 1, ..Effects::NONE },
            "container_run" => Effects { created: 1, started: 1, ..Effects::NONE },
            "container_recreate" => Effects { created: 1, started: 1, died: 1, removed: 1 },
            other => panic!("{other} is done to no container"),
        }
    }

    /// What is wrong about what was done to a target, when its job ended in `state`.
    fn judge(&self, state: Option<&str>, ran: bool, found: Effects) -> Option<String> {
        let well = match (self.tool, state) {
            (_, None) => found == Effects::NONE,
            (_, Some("done")) => found == self.effects(ran),
            // it has a secret, which is not on record: it cannot be gone on with
            ("container_run", Some("rolled_back")) => {
                found.created <= 1 && found.removed == found.created && found.started <= 1
            }
            // the old one is back: what was made has gone, and what had stopped runs
            ("container_recreate", Some("failed" | "rolled_back")) => {
                found.created <= 1
                    && found.removed == found.created
                    && found.died <= 2
                    && found.started == found.died
            }
            _ => false,
        };
        (!well).then(|| format!("ended as {state:?}, and the engine tells {found:?}: {self:?}"))
    }
}

/// A container as the engine shows it.
#[derive(Debug)]
struct Seen {
    /// None when it does not run.
    pid: u32,
    operation: String,
}

/// All containers of a host by name.
fn look(host: &Host) -> BTreeMap<String, Seen> {
    let listed = host.docker(&["ps", "-aq", "--no-trunc"]);
    let ids: Vec<&str> = listed.split_whitespace().collect();
    if ids.is_empty() {
        return BTreeMap::new();
    }
    let format = "{{.Name}} {{.State.Pid}} {{index .Config.Labels \"dockmaster.operation\"}}";
    let told = host.docker(&[&["inspect", "-f", format], ids.as_slice()].concat());
    let seen = told.lines().map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let operation = words.get(2).copied().unwrap_or_default().to_owned();
        let pid = words[1].parse().expect("a process number");
        (words[0].trim_start_matches('/').to_owned(), Seen { pid, operation })
    });
    seen.collect()
}

/// What is counted over all rounds.
#[derive(Debug, Default)]
struct Figures {
    calls: usize,
    acknowledged: usize,
    never_on_record: usize,
    repeats: usize,
    /// By their tools and ends.
    jobs: BTreeMap<String, usize>,
    recovered: usize,
    effects: usize,
    longest: Duration,
}

/// A host of the load, with what is there.
struct Loaded<'a> {
    host: &'a Host,
    name: &'static str,
    log: EffectLog<'a>,
    seen: BTreeMap<String, Seen>,
}

impl<'a> Loaded<'a> {
    fn set_up(fleet: &'a Fleet, name: &'static str) -> Self {
        let host = fleet.host(name);
        host.registry(true);
        for number in 0..TAGS {
            let tag = format!("{LOADED}:{number}");
            host.docker(&["tag", IMAGE, &tag]);
            host.docker(&["push", "-q", &tag]);
            host.docker(&["rmi", &tag]);
        }
        for number in 0..WITNESSES {
            let name = format!("witness-{number}");
            // one takes all the time it gets, the next ends when asked to
            let program = ["exec sleep 1000000", "trap 'exit 0' TERM; sleep 1000000 & wait"][number % 2];
            host.run_container(&["--name", &name, "--stop-timeout", "1", IMAGE, "sh", "-c", program]);
        }
        for number in 0..BYSTANDERS {
            host.run_container(&["--name", &format!("bystander-{number}"), IMAGE, "sleep", "1000000"]);
        }
        Self { host, name, log: EffectLog::from_now(host), seen: look(host) }
    }

    fn names(&self, prefix: &str, running: bool) -> Vec<String> {
        let wanted =
            self.seen.iter().filter(|(name, seen)| name.starts_with(prefix) && (seen.pid != 0) == running);
        wanted.map(|(name, _)| name.clone()).collect()
    }

    /// The images that it has from its registry, which it is rid of then.
    fn pulled(&self) -> BTreeSet<String> {
        let has = self.host.docker(&["images", LOADED, "--format", "{{.Repository}}:{{.Tag}}"]);
        let has: BTreeSet<String> = has.lines().map(ToOwned::to_owned).collect();
        if !has.is_empty() {
            let names: Vec<&str> = has.iter().map(String::as_str).collect();
            self.host.docker(&[&["rmi"], names.as_slice()].concat());
        }
        has
    }

    /// Things to prune, and nothing else that a prune would take.
    fn litter(&mut self, round: u64) -> Vec<String> {
        let stopped = self.names("witness-", false);
        if !stopped.is_empty() {
            let names: Vec<&str> = stopped.iter().map(String::as_str).collect();
            self.host.docker(&[&["start"], names.as_slice()].concat());
        }
        let litter: Vec<String> = (0..3).map(|number| format!("litter-{round}-{number}")).collect();
        for name in &litter {
            self.host.docker(&["create", "--name", name, IMAGE, "true"]);
        }
        for (name, effects) in self.log.read() {
            assert!(stopped.contains(&name) || litter.contains(&name), "{name} between rounds: {effects:?}");
        }
        self.seen = look(self.host);
        // and that of a prune that was never on record
        self.names("litter-", false)
    }
}

/// The calls of a round: each container is the target of at most one.
fn plan(rng: &mut StdRng, round: u64, hosts: &mut [Loaded<'_>]) -> Vec<Call> {
    let mut calls = Vec::new();
    let count = rng.random_range(4..=8);
    let mut pools = Vec::new();
    let swept = rng.random_bool(0.4).then(|| *HOSTS.choose(rng).expect("hosts"));
    for loaded in hosts.iter_mut() {
        let sweeps = swept == Some(loaded.name);
        if sweeps {
            let targets = loaded.litter(round);
            let arguments = json!({"host": loaded.name, "what": ["containers"], "dry_run": false});
            calls.push(call("prune", loaded.name, targets, arguments));
        }
        let mut pool = [("witness-", true), ("witness-", false), ("run-", true)]
            .map(|(prefix, running)| loaded.names(prefix, running));
        for names in &mut pool {
            names.shuffle(rng);
        }
        pools.push((loaded.name, sweeps, pool));
    }
    for number in calls.len()..count {
        let chosen = pools.choose_weighted_mut(rng, |(_, sweeps, _)| if *sweeps { 1 } else { 3 });
        let (host, sweeps, [running, stopped, earlier]) = chosen.expect("hosts");
        // what is stopped or not yet started for a moment, a prune at the same time would take
        let tools: &[&str] = if *sweeps {
            &["container_remove", "container_remove", "image_pull"]
        } else {
            &[
                "container_restart",
                "container_restart",
                "container_restart",
                "container_stop",
                "container_stop",
                "container_start",
                "container_start",
                "container_run",
                "container_run",
                "container_remove",
                "container_recreate",
                "image_pull",
            ]
        };
        let tool = *tools.choose(rng).expect("some");
        let fresh = format!("{round}-{number}");
        let mut some = |names: &mut Vec<String>| {
            let count = if rng.random_bool(0.3) { 2 } else { 1 };
            names.split_off(names.len().saturating_sub(count))
        };
        let (tool, targets) = match tool {
            "container_restart" | "container_stop" if !running.is_empty() => (tool, some(running)),
            "container_recreate" if !running.is_empty() => (tool, running.pop().into_iter().collect()),
            "container_start" if !stopped.is_empty() => (tool, some(stopped)),
            "container_remove" if !earlier.is_empty() => (tool, some(earlier)),
            "image_pull" => (tool, vec![]),
            _ if *sweeps => ("image_pull", vec![]),
            _ => ("container_run", vec![format!("run-{fresh}")]),
        };
        let arguments = match tool {
            "container_restart" | "container_stop" => {
                let timeout = *[1, 1, 3].choose(rng).expect("some");
                let mut arguments = json!({"host": host, "containers": targets, "timeout": timeout});
                if tool == "container_restart" {
                    arguments["wait_healthy"] = json!(0);
                }
                arguments
            }
            "container_start" => json!({"host": host, "containers": targets}),
            "container_remove" => json!({"host": host, "containers": targets, "force": true}),
            "container_recreate" => {
                json!({"host": host, "container": targets[0], "image": format!("{LOADED}:{number}")})
            }
            // one that is not there, and one that is
            "image_pull" if rng.random_bool(0.3) => {
                json!({"hosts": host, "image": format!("127.0.0.1:1/none:{fresh}")})
            }
            "image_pull" => json!({"hosts": host, "image": format!("{LOADED}:{number}")}),
            _ => {
                let env = if rng.random_bool(0.5) { json!({"PASSWORD": "swordfish"}) } else { json!({}) };
                json!({"host": host, "image": IMAGE, "name": targets[0], "command": ["sleep", "1000000"],
                    "env": env})
            }
        };
        calls.push(call(tool, host, targets, arguments));
    }
    for (number, call) in calls.iter_mut().enumerate() {
        call.key = rng.random_bool(0.7).then(|| format!("key-{round}-{number}"));
    }
    calls.shuffle(rng);
    calls
}

fn call(tool: &'static str, host: &'static str, targets: Vec<String>, arguments: Value) -> Call {
    Call { tool, host, targets, arguments, key: None, job: None }
}

/// Sends the calls, each when its time has come, and kills the service at its own.
async fn kill_under_load(service: Service, calls: &mut [Call], rng: &mut StdRng) -> Home {
    let client = service.client().address();
    let mut sent = Vec::new();
    for (number, call) in calls.iter().enumerate() {
        let after = if number == 0 { 0 } else { rng.random_range(0..SENT_WITHIN) };
        let (tool, arguments) =
            (call.tool, call.arguments([Some(0), Some(1), None].choose(rng).copied().flatten()));
        sent.push(tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(after)).await;
            McpClient::new(client).try_call(tool, arguments).await
        }));
    }
    // the random moment itself is what is tried here
    let within = *KILLED_WITHIN.choose(rng).expect("some");
    tokio::time::sleep(Duration::from_millis(rng.random_range(0..=within))).await;
    let home = service.kill();
    for (call, answer) in calls.iter_mut().zip(join_all(sent).await) {
        call.job = answer.expect("a call does not panic").map(|answer| call.told(&answer));
    }
    home
}

/// Waits until no change is active any more.
async fn settled(service: &Service) {
    let idle = async {
        loop {
            let listed = service.structured("job_list", json!({})).await;
            let Some(job) = listed["jobs"].get(0) else { break };
            service.structured("job_get", json!({"job": job["job"], "wait": 45})).await;
        }
    };
    let in_time = tokio::time::timeout(STUCK, idle).await.is_ok();
    assert!(in_time, "stuck: {}", service.structured("job_list", json!({})).await);
}

/// The jobs that are not among `known`, the newest of all.
async fn new_jobs(service: &Service, known: &mut BTreeSet<String>) -> Vec<Value> {
    let listed = service.structured("job_list", json!({"state": "all", "limit": 100})).await;
    let mut jobs = listed["jobs"].as_array().expect("jobs").clone();
    jobs.retain(|job| known.insert(job["job"].as_str().expect("a name").to_owned()));
    jobs
}

/// What was done to a container that was made anew is told under names that it had meanwhile.
fn by_name(told: BTreeMap<String, Effects>) -> BTreeMap<String, Effects> {
    let mut found: BTreeMap<String, Effects> = BTreeMap::new();
    for (name, effects) in told {
        let plain = name.split_once("-dockmaster-").map_or(&*name, |(plain, _)| plain);
        let sum = found.entry(plain.to_owned()).or_default();
        sum.created += effects.created;
        sum.started += effects.started;
        sum.died += effects.died;
        sum.removed += effects.removed;
    }
    found
}

/// What is wrong with a host after a round, by its engine.
fn wrongs(loaded: &mut Loaded<'_>, calls: &[Call], jobs: &[Value], figures: &mut Figures) -> Vec<String> {
    let mut wrongs = Vec::new();
    let mut effects = by_name(loaded.log.read());
    let pulled = loaded.pulled();
    let seen = look(loaded.host);
    let before = std::mem::replace(&mut loaded.seen, seen);
    let runs = |seen: Option<&Seen>| seen.is_some_and(|seen| seen.pid != 0);
    for call in calls.iter().filter(|call| call.host == loaded.name) {
        let job = jobs.iter().find(|job| call.is_of(job));
        let state = job.and_then(|job| job["state"].as_str());
        if call.tool == "image_pull" {
            let image = call.target();
            let (has, can) = (pulled.contains(&image), image.starts_with(LOADED));
            if state.is_some_and(|state| (state == "done") != can) || has != (state == Some("done")) {
                wrongs.push(format!("it has {pulled:?} after {state:?}: {call:?} {job:?}"));
            }
        }
        for target in &call.targets {
            let found = effects.remove(target).unwrap_or_default();
            figures.effects += found.count();
            let ran = runs(before.get(target));
            wrongs.extend(call.judge(state, ran, found).map(|wrong| format!("{target} {wrong} {job:?}")));
            let (is, there) = (loaded.seen.get(target), loaded.seen.contains_key(target));
            let as_told = match (call.tool, state) {
                ("container_run" | "container_recreate", Some("done")) => {
                    runs(is) && is.is_some_and(|is| is.operation == job.expect("it has a state")["job"])
                }
                ("container_run", _) | ("container_remove" | "prune", Some("done")) => !there,
                ("container_restart" | "container_start", Some("done")) => runs(is),
                ("container_stop", Some("done")) => there && !runs(is),
                _ => runs(is) == ran,
            };
            if !as_told {
                wrongs.push(format!("{target} is {is:?} after {state:?}: {call:?}"));
            }
        }
    }
    wrongs.extend(effects.iter().map(|(name, effects)| format!("{name} is no target, and had {effects:?}")));
    let targets: BTreeSet<&String> =
        calls.iter().filter(|call| call.host == loaded.name).flat_map(|call| &call.targets).collect();
    for (name, was) in before.iter().filter(|(name, _)| !targets.contains(name)) {
        let is = loaded.seen.get(name);
        if is.map(|is| is.pid) != Some(was.pid) {
            wrongs.push(format!("{name} is no target, was {was:?} and is {is:?}"));
        }
    }
    let mut operations = BTreeSet::new();
    for (name, seen) in loaded.seen.iter().filter(|(_, seen)| !seen.operation.is_empty()) {
        if !operations.insert(&seen.operation) {
            wrongs.push(format!("{name} is the second container of {}", seen.operation));
        }
    }
    wrongs.into_iter().map(|wrong| format!("{}: {wrong}", loaded.name)).collect()
}

async fn kill9_at_random_moments_of_mixed_load(fleet: &Fleet) {
    let (kills, seed) = (kills(), number(SEED, 20_260_728));
    eprintln!("{kills} kills with {SEED}={seed}");
    let rng = &mut StdRng::seed_from_u64(seed);
    let began = Instant::now();
    let mut hosts = HOSTS.map(|name| Loaded::set_up(fleet, name));
    let config = hosts.iter().fold(unasked(fleet), |config, loaded| config.with(loaded.host, &[]));
    let mut service = Service::start(&config);
    let (mut figures, mut known, mut acknowledged) = (Figures::default(), BTreeSet::new(), Vec::new());
    for round in 0..kills {
        service.wait_ready(&HOSTS).await;
        let mut calls = plan(rng, round, &mut hosts);
        let home = kill_under_load(service, &mut calls, rng).await;
        let killed = Instant::now();
        figures.calls += calls.len();
        figures.acknowledged += calls.iter().filter(|call| call.job.is_some()).count();
        service = Service::start_in(home);
        let recovering = service.structured("job_list", json!({})).await;
        figures.recovered += recovering["jobs"].as_array().expect("jobs").len();
        // some clients ask again at once, some when all is over
        for share in [0.4, 0.2] {
            for call in calls.iter_mut().filter(|call| call.key.is_some()) {
                if rng.random_bool(share) {
                    call.repeat(&service).await;
                    figures.repeats += 1;
                }
            }
            settled(&service).await;
        }
        figures.longest = figures.longest.max(killed.elapsed());

        let jobs = new_jobs(&service, &mut known).await;
        let mut wrong = Vec::new();
        for job in &jobs {
            let of: Vec<&Call> = calls.iter().filter(|call| call.is_of(job)).collect();
            if of.len() != 1 {
                wrong.push(format!("{} calls began {job}", of.len()));
            }
            let end = format!("{} {}", job["tool"], job["state"]).replace('"', "");
            *figures.jobs.entry(end).or_default() += 1;
        }
        for call in &calls {
            let of: Vec<&Value> = jobs.iter().filter(|job| call.is_of(job)).collect();
            figures.never_on_record += usize::from(of.is_empty());
            let lost =
                call.job.as_ref().is_some_and(|told| of.first().is_none_or(|job| job["job"] != **told));
            if of.len() > 1 || lost {
                wrong.push(format!("{call:?} began {of:?}"));
            }
        }
        for loaded in &mut hosts {
            wrong.extend(wrongs(loaded, &calls, &jobs, &mut figures));
        }
        assert!(wrong.is_empty(), "{SEED}={seed}, round {round}:\n{}", wrong.join("\n"));
        acknowledged.extend(calls.into_iter().filter_map(|call| call.job));
    }
    for job in &acknowledged {
        let got = service.structured("job_get", json!({"job": job})).await;
        let is_final =
            ["done", "failed", "cancelled", "rolled_back"].contains(&got["state"].as_str().unwrap());
        assert!(is_final, "{SEED}={seed}: {got}");
    }
    for loaded in &mut hosts {
        assert_eq!(loaded.log.read(), BTreeMap::new(), "nothing comes late");
    }
    service.stop();
    for loaded in &hosts {
        loaded.host.registry(false);
    }
    eprintln!("{kills} kills in {:.1?}: {figures:#?}", began.elapsed());
}

/// Points of restarting CONTAINER.
const OF_RESTART: [&str; 8] = [
    "after begin",
    "before look restart CONTAINER",
    "after intend restart CONTAINER",
    "before act restart CONTAINER",
    "after act restart CONTAINER",
    "before settle restart CONTAINER",
    "after settle restart CONTAINER",
    "before end",
];

/// Points of running a container.
const OF_RUN: [&str; 10] = [
    "after begin",
    "after already fetch fleet/busybox:1",
    "after intend create",
    "before act create",
    "after act create",
    "before settle create",
    "after intend start",
    "after act start",
    "before settle start",
    "before end",
];

/// Points of running a container that is given a secret: it cannot be gone on with, because secrets are not on
/// record.
const OF_SECRET_RUN: [&str; 5] =
    ["after begin", "after intend create", "before settle create", "after intend start", "before end"];

/// The service dies at a point of one change, and its next life gets that to its end.
struct Crash {
    point: String,
    call: Call,
    home: Option<Home>,
}

impl Crash {
    fn of_restart(host: &Host, number: usize, point: &str) -> Self {
        let name = format!("again-{number}");
        host.run_container(&["--name", &name, IMAGE, "sleep", "1000000"]);
        let arguments = json!({"host": "h1", "containers": [name], "timeout": 1, "wait_healthy": 0});
        let point = point.replace("CONTAINER", &name);
        Self { point, call: call("container_restart", "h1", vec![name], arguments), home: None }
    }

    fn of_run(number: usize, point: &str, env: &Value) -> Self {
        let name = format!("{}-{number}", if env.get("PASSWORD").is_some() { "secret" } else { "run" });
        let arguments = json!({"host": "h1", "image": IMAGE, "name": name, "command": ["sleep", "1000000"],
            "env": env});
        Self { point: point.to_owned(), call: call("container_run", "h1", vec![name], arguments), home: None }
    }

    async fn die(&mut self, config: &ServiceConfig) {
        let service = Service::start(&config.clone().variable("DOCKMASTER_FAILPOINT", &self.point));
        service.wait_ready(&["h1"]).await;
        let client = McpClient::new(service.address());
        let (tool, arguments) = (self.call.tool, self.call.arguments(None));
        let answer = tokio::spawn(async move { client.try_call(tool, arguments).await });
        let (status, mut home) = service.ended();
        assert_eq!(status.signal(), Some(6), "it dies at `{}`", self.point);
        let answer = answer.await.expect("a call does not panic");
        assert!(answer.is_none(), "`{}` comes before the answer: {answer:?}", self.point);
        home.forget_variables();
        self.home = Some(home);
    }
}

async fn a_crash_at_each_point_on_a_real_engine(fleet: &Fleet) {
    let host = fleet.host("h1");
    let config = unasked(fleet).with(host, &[]);
    let restarts =
        OF_RESTART.iter().enumerate().map(|(number, point)| Crash::of_restart(host, number, point));
    let runs = OF_RUN.iter().enumerate().map(|(number, point)| Crash::of_run(number, point, &json!({})));
    let secret = json!({"PASSWORD": "swordfish"});
    let secrets =
        OF_SECRET_RUN.iter().enumerate().map(|(number, point)| Crash::of_run(number, point, &secret));
    let mut crashes: Vec<Crash> = restarts.chain(runs).chain(secrets).collect();
    let mut log = EffectLog::from_now(host);
    for crash in &mut crashes {
        crash.die(&config).await;
    }
    // together: some wait as long as the engine might still be at it
    let homes = crashes.iter_mut().map(|crash| crash.home.take().expect("it has died"));
    let services: Vec<Service> = homes.map(Service::start_in).collect();
    join_all(services.iter().map(settled)).await;
    let (effects, seen) = (log.read(), look(host));
    for (crash, service) in crashes.iter().zip(services) {
        let jobs = new_jobs(&service, &mut BTreeSet::new()).await;
        let (name, ran) = (&crash.call.targets[0], crash.call.tool == "container_restart");
        // before its end everything was made, and nothing needs the secret any more
        let goes_on = !name.starts_with("secret") || crash.point == "before end";
        let end = if goes_on { "done" } else { "rolled_back" };
        assert!(matches!(&*jobs, [job] if job["state"] == end), "`{}`: {jobs:?}", crash.point);
        let found = effects.get(name).copied().unwrap_or_default();
        assert_eq!(crash.call.judge(Some(end), ran, found), None, "`{}`", crash.point);
        let is = seen.get(name);
        assert_eq!(is.is_some_and(|is| is.pid != 0), goes_on, "`{}`: {name} is {is:?}", crash.point);
        assert!(goes_on || is.is_none(), "`{}`: {is:?} is left", crash.point);
        service.stop();
    }
    assert_eq!(log.read(), BTreeMap::new(), "nothing comes late");
}

async fn one_that_goes_when_it_stops_was_stopped_before_the_crash(fleet: &Fleet) {
    let host = fleet.host("h1");
    let config = unasked(fleet).with(host, &[]);
    host.run_container(&["--rm", "--name", "passing", IMAGE, "sleep", "1000000"]);
    let arguments = json!({"host": "h1", "containers": ["passing"], "timeout": 1});
    let call = call("container_stop", "h1", vec!["passing".to_owned()], arguments);
    let mut crash = Crash { point: "before settle stop passing".to_owned(), call, home: None };
    crash.die(&config).await;
    let service = Service::start_in(crash.home.expect("it has died"));
    settled(&service).await;
    let jobs = new_jobs(&service, &mut BTreeSet::new()).await;
    let told = (&jobs[0]["state"], &jobs[0]["results"][0]["after"]);
    assert_eq!(told, (&json!("done"), &json!("removed")), "as it is told without a crash: {jobs:?}");
}

async fn what_is_used_after_a_crash_is_not_told_as_removed(fleet: &Fleet) {
    let host = fleet.host("h1");
    let config = unasked(fleet).with(host, &[]);
    for name in ["unused", "used-again"] {
        host.docker(&["create", "--name", name, IMAGE, "sleep", "1000000"]);
    }
    let arguments = json!({"host": "h1", "what": ["containers"], "dry_run": false});
    let call = call("prune", "h1", vec![], arguments);
    let mut crash = Crash { point: "before act prune containers".to_owned(), call, home: None };
    crash.die(&config).await;
    host.docker(&["start", "used-again"]);
    host.docker(&["rm", "unused"]);
    let service = Service::start_in(crash.home.expect("it has died"));
    settled(&service).await;
    let jobs = new_jobs(&service, &mut BTreeSet::new()).await;
    let (removed, left) = (&jobs[0]["results"][0]["removed"], &jobs[0]["results"][0]["left"][0]);
    assert_eq!(removed, &json!(["unused"]), "{jobs:?}");
    assert!(left.as_str().is_some_and(|words| words.starts_with("used-again: ")), "{jobs:?}");
    assert_eq!(look(host).keys().collect::<Vec<_>>(), ["used-again"]);
}
