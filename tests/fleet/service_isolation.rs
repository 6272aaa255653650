//! What one host does is no other host's trouble, and passes by itself.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::host::Part;
use crate::support::recorder::EngineRecorder;
use crate::support::trials::Trial;
use crate::support::{Fleet, Host, Service, ServiceConfig, ToolAnswer, eventually, temp_dir, wait_for};
use crate::trials;

const HOSTS: [&str; 3] = ["h1", "h2", "h3"];

/// ssh notices a silent host within 15 s; attempts and waits come on top.
const NOTICED: Duration = Duration::from_secs(30);

/// An attempt on a silent host takes 10 s, and waits have grown by then.
const HEALED: Duration = Duration::from_secs(60);

pub fn trials() -> Vec<Trial> {
    trials![
        a_host_without_power_is_named_and_comes_back => 150,
        a_cut_network_is_named_and_heals => 150,
        a_hung_engine_is_named_and_goes_on => 150,
        a_dead_engine_is_named_and_comes_back => 100,
        a_killed_session_takes_one_login_more,
        a_killed_session_on_the_detour_is_a_broken_line,
        what_ssh_said_at_the_login_is_not_why_the_line_broke,
    ]
}

/// The recorders of the hosts that are well, and what has been asked of them.
struct Witnesses<'a> {
    hosts: Vec<(&'a str, EngineRecorder)>,
    calls: usize,
}

impl<'a> Witnesses<'a> {
    fn install(fleet: &'a Fleet, without: &str) -> Self {
        let well = fleet.hosts().iter().filter(|host| host.name() != without);
        Self { hosts: well.map(|host| (host.name(), host.record_engine())).collect(), calls: 0 }
    }

    fn clear(&mut self) {
        self.calls = 0;
        self.hosts.iter().for_each(|(_, recorder)| recorder.clear());
    }

    /// Lists all containers: the rows of the hosts that are well must come from a request
    /// made after the call began.
    async fn list(&mut self, service: &Service) -> ToolAnswer {
        let started = Instant::now();
        let answer = service.call("container_list", json!({})).await;
        assert!(!answer.is_error, "{}", answer.text);
        self.calls += 1;
        for (name, recorder) in &self.hosts {
            assert_eq!(answer.failure(name), Value::Null, "{}", answer.structured);
            let last = recorder.requests().last().cloned();
            assert!(last.is_some_and(|last| last.at > started), "{name} was not asked");
        }
        answer
    }

    /// They were asked exactly as often as the service was.
    fn assert_counts(&self) {
        for (name, recorder) in &self.hosts {
            let lists = recorder.requests();
            assert!(lists.iter().all(|request| request.path.contains("/containers/json")), "{lists:?}");
            assert_eq!(lists.len(), self.calls, "{name}");
        }
    }
}

/// A failure as every reader needs it: which host, what, why, when last seen, what to do.
fn assert_told(failure: &Value, host: &str) {
    assert_eq!(failure["host"], host, "{failure}");
    let message = failure["message"].as_str().unwrap_or_default();
    assert!(message.contains(host), "{failure}");
    assert!(failure["last_seen"].is_string(), "{failure}");
    assert!(failure["hint"].as_str().is_some_and(|hint| hint.len() > 20), "{failure}");
}

/// Lists again and again until the host's failure is as wanted; each answer is complete for
/// the others and says all about this one.
async fn list_until(
    service: &Service,
    witnesses: &mut Witnesses<'_>,
    host: &str,
    limit: Duration,
    what: &str,
    wanted: impl Fn(&Value) -> bool,
) -> Vec<Value> {
    let mut failures = Vec::new();
    let start = Instant::now();
    loop {
        let answer = witnesses.list(service).await;
        let failure = answer.failure(host);
        assert_told(&failure, host);
        let done = wanted(&failure);
        failures.push(failure);
        if done {
            return failures;
        }
        assert!(start.elapsed() < limit, "after {limit:?} still not true: {what}: {failures:#?}");
    }
}

fn is_down(failure: &Value) -> bool {
    let text = failure["message"].as_str().unwrap_or_default();
    failure["kind"] == "host_unreachable" && failure["since"].is_string() && text.contains("is down for")
}

async fn a_host_without_power_is_named_and_comes_back(fleet: &Fleet) {
    let mut witnesses = Witnesses::install(fleet, "h3");
    let service = Service::start(&ServiceConfig::all(fleet));
    service.wait_ready(&HOSTS).await;
    let (pid, since) = (service.pid(), service.row("h3").await["since"].clone());
    witnesses.clear();
    fleet.host("h3").power_off();
    let failures =
        list_until(&service, &mut witnesses, "h3", NOTICED, "h3 is told to be down", is_down).await;
    assert_eq!(failures[0]["kind"], "timeout", "before anybody could know: {failures:#?}");
    // the first call that got no answer has the line looked at; ssh alone would take many more
    assert!(failures.len() <= 4, "{failures:#?}");
    // some more while it is tried again
    for _ in 0..10 {
        assert_told(&witnesses.list(&service).await.failure("h3"), "h3");
    }
    witnesses.assert_counts();
    assert_host_row_tells(&service.row("h3").await, &["timeout", "link_lost", "unreachable"]);
    fleet.host("h3").boot();
    service.wait_ready_within(&["h3"], HEALED).await;
    assert_eq!(witnesses.list(&service).await.structured["errors"], json!([]));
    assert_ne!(service.row("h3").await["since"], since);
    assert_eq!(service.pid(), pid);
    assert_nothing_was_restarted(&service);
}

/// Nothing crashed on the way: the supervisors had nothing to do.
fn assert_nothing_was_restarted(service: &Service) {
    let log = service.log();
    let bad = ["child failed", "restarting", "panicked", "outlived", "quarantine"];
    let found: Vec<&String> = log.iter().filter(|line| bad.iter().any(|word| line.contains(word))).collect();
    assert!(found.is_empty(), "{found:#?}");
}

fn assert_host_row_tells(row: &Value, causes: &[&str]) {
    assert_ne!(row["phase"], "ready", "{row}");
    assert!(causes.iter().any(|cause| row["cause"] == *cause), "{row}");
    for key in ["since", "last_seen", "message", "hint"] {
        assert!(row[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {row}");
    }
}

async fn a_cut_network_is_named_and_heals(fleet: &Fleet) {
    let host = fleet.host("h2");
    let mut witnesses = Witnesses::install(fleet, "h2");
    let service = Service::start(&ServiceConfig::all(fleet));
    service.wait_ready(&HOSTS).await;
    let logins = host.ssh_logins();
    witnesses.clear();
    host.partition();
    list_until(&service, &mut witnesses, "h2", NOTICED, "h2 is told to be down", is_down).await;
    witnesses.assert_counts();
    host.heal();
    service.wait_ready_within(&["h2"], HEALED).await;
    assert_eq!(witnesses.list(&service).await.structured["errors"], json!([]));
    assert_eq!(host.ssh_logins(), logins + 1);
    assert_nothing_was_restarted(&service);
}

async fn a_hung_engine_is_named_and_goes_on(fleet: &Fleet) {
    let host = fleet.host("h2");
    let mut witnesses = Witnesses::install(fleet, "h2");
    let service = Service::start(&ServiceConfig::all(fleet));
    service.wait_ready(&HOSTS).await;
    witnesses.clear();
    host.hang(Part::Engine);
    let failures =
        list_until(&service, &mut witnesses, "h2", NOTICED, "h2 is told to be down", is_down).await;
    assert_eq!(failures[0]["kind"], "timeout", "{failures:#?}");
    // whichever way it is looked at, it is the engine that does not answer
    eventually("three attempts on the hung engine", HEALED, async || {
        let given_up = |line: &&String| line.contains("\"h2\"") && line.contains("\"to\":\"backoff\"");
        service.log().iter().filter(given_up).count() >= 3
    })
    .await;
    assert_host_row_tells(&service.row("h2").await, &["engine_down"]);
    let failure = witnesses.list(&service).await.failure("h2");
    assert!(failure["hint"].as_str().unwrap_or_default().contains("systemctl"), "{failure}");
    witnesses.assert_counts();
    assert_no_heap(host);
    host.resume(Part::Engine);
    service.wait_ready_within(&["h2"], HEALED).await;
    assert_eq!(witnesses.list(&service).await.structured["errors"], json!([]));
    assert_nothing_was_restarted(&service);
    wait_for("no probe is left on the host", NOTICED, || host.processes_matching("dial-stdio").is_empty());
}

/// Attempts in a row may leave one probe on its way out, and not one each.
fn assert_no_heap(host: &Host) {
    let left = host.processes_matching("^docker.* dial-stdio");
    assert!(left.len() <= 1, "{left:#?}");
}

async fn a_dead_engine_is_named_and_comes_back(fleet: &Fleet) {
    let host = fleet.host("h2");
    let mut witnesses = Witnesses::install(fleet, "h2");
    let service = Service::start(&ServiceConfig::all(fleet));
    service.wait_ready(&HOSTS).await;
    witnesses.clear();
    host.kill_engine();
    list_until(&service, &mut witnesses, "h2", NOTICED, "h2 is told to be down", is_down).await;
    witnesses.assert_counts();
    eventually("the cause is the engine", NOTICED, async || {
        service.row("h2").await["cause"] == "engine_down"
    })
    .await;
    assert_host_row_tells(&service.row("h2").await, &["engine_down"]);
    host.start_engine();
    service.wait_ready_within(&["h2"], HEALED).await;
    assert_eq!(witnesses.list(&service).await.structured["errors"], json!([]));
    assert_nothing_was_restarted(&service);
}

async fn a_killed_session_takes_one_login_more(fleet: &Fleet) {
    let host = fleet.host("h2");
    let mut witnesses = Witnesses::install(fleet, "h2");
    let service = Service::start(&ServiceConfig::all(fleet));
    service.wait_ready(&HOSTS).await;
    let others = [fleet.host("h1"), fleet.host("h3")].map(Host::ssh_logins);
    let (logins, attempts) = (host.ssh_logins(), host.ssh_attempts());
    witnesses.clear();
    host.kill_ssh_sessions();
    wait_for("the new login", NOTICED, || host.ssh_logins() > logins);
    service.wait_ready(&["h2"]).await;
    for _ in 0..20 {
        assert_eq!(witnesses.list(&service).await.structured["errors"], json!([]));
    }
    witnesses.assert_counts();
    assert_eq!((host.ssh_logins(), host.ssh_attempts()), (logins + 1, attempts + 1));
    assert_eq!([fleet.host("h1"), fleet.host("h3")].map(Host::ssh_logins), others);
    assert_nothing_was_restarted(&service);
}

/// ssh has complained about the refused forward long before: that is not why the line broke.
async fn a_killed_session_on_the_detour_is_a_broken_line(fleet: &Fleet) {
    let host = fleet.host("h2");
    host.sshd_options(&["AllowStreamLocalForwarding no"]);
    let service = Service::start(&ServiceConfig::all(fleet));
    service.wait_ready(&HOSTS).await;
    assert_a_killed_session_is_a_broken_line(&service, host).await;
}

/// A key that is not there is no trouble while another one is.
async fn what_ssh_said_at_the_login_is_not_why_the_line_broke(fleet: &Fleet) {
    let dir = temp_dir();
    let ssh_config = dir.path().join("ssh_config");
    let theirs = std::fs::read_to_string(fleet.ssh_config()).unwrap();
    std::fs::write(&ssh_config, format!("IdentityFile /nowhere/id_ed25519\n{theirs}")).unwrap();
    let host = fleet.host("h2");
    let service = Service::start(&ServiceConfig::none(fleet).with(host, &[]).ssh_config(&ssh_config));
    service.wait_ready(&["h2"]).await;
    assert_a_killed_session_is_a_broken_line(&service, host).await;
}

async fn assert_a_killed_session_is_a_broken_line(service: &Service, host: &Host) {
    let logins = host.ssh_logins();
    host.kill_ssh_sessions();
    wait_for("the new login", NOTICED, || host.ssh_logins() > logins);
    service.wait_ready(&["h2"]).await;
    let log = service.log();
    let broke = log.iter().find(|line| line.contains("\"h2\"") && line.contains("\"from\":\"ready\""));
    assert!(broke.is_some_and(|line| line.contains("the connection broke")), "{broke:?}");
    assert_eq!(host.ssh_logins(), logins + 1);
}
