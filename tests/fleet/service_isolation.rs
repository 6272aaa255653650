//! What one host does is no other host's trouble, and passes by itself.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::host::Part;
use crate::support::processes::{self, Process};
use crate::support::trials::Trial;
use crate::support::witnesses::{Witnesses, assert_nothing_was_restarted, assert_told, is_down};
use crate::support::{Fleet, Host, Service, ServiceConfig, eventually, temp_dir, wait_for};
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
        a_killed_ssh_process_takes_one_login_more,
        a_killed_sshd_costs_the_line_only_with_its_session,
        a_killed_session_on_the_detour_is_a_broken_line,
        what_ssh_said_at_the_login_is_not_why_the_line_broke,
    ]
}

/// All hosts but one, which are well.
fn witnesses<'a>(fleet: &'a Fleet, without: &str) -> Witnesses<'a> {
    Witnesses::install(fleet.hosts().iter().filter(|host| host.name() != without))
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

async fn a_host_without_power_is_named_and_comes_back(fleet: &Fleet) {
    let mut witnesses = witnesses(fleet, "h3");
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

fn assert_host_row_tells(row: &Value, causes: &[&str]) {
    assert_ne!(row["phase"], "ready", "{row}");
    assert!(causes.iter().any(|cause| row["cause"] == *cause), "{row}");
    for key in ["since", "last_seen", "message", "hint"] {
        assert!(row[key].as_str().is_some_and(|text| !text.is_empty()), "{key}: {row}");
    }
}

async fn a_cut_network_is_named_and_heals(fleet: &Fleet) {
    let host = fleet.host("h2");
    let mut witnesses = witnesses(fleet, "h2");
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
    let mut witnesses = witnesses(fleet, "h2");
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
    let mut witnesses = witnesses(fleet, "h2");
    let service = Service::start(&ServiceConfig::all(fleet));
    service.wait_ready(&HOSTS).await;
    let (pid, logins, tried) = (service.pid(), host.ssh_logins(), attempts_in_log(&service));
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
    assert!(attempts_in_log(&service) > tried);
    assert_eq!(host.ssh_logins(), logins, "the login is good all the same");
    witnesses.assert_counts();
    assert_eq!(service.pid(), pid);
    assert_nothing_was_restarted(&service);
}

/// How often the service says that it has begun to connect to h2.
fn attempts_in_log(service: &Service) -> usize {
    let begun = |line: &&String| line.contains("\"h2\"") && line.contains("\"to\":\"connecting\"");
    service.log().iter().filter(begun).count()
}

async fn a_killed_session_takes_one_login_more(fleet: &Fleet) {
    let host = fleet.host("h2");
    let mut witnesses = witnesses(fleet, "h2");
    let service = Service::start(&ServiceConfig::all(fleet));
    service.wait_ready(&HOSTS).await;
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
    assert_nothing_was_restarted(&service);
}

/// The service's own child, killed on this side.
async fn a_killed_ssh_process_takes_one_login_more(fleet: &Fleet) {
    let host = fleet.host("h2");
    let mut witnesses = witnesses(fleet, "h2");
    let service = Service::start(&ServiceConfig::all(fleet));
    service.wait_ready(&HOSTS).await;
    let pid = service.pid();
    for _ in 0..2 {
        let (logins, attempts) = (host.ssh_logins(), host.ssh_attempts());
        let line = line_to(&service, host);
        witnesses.clear();
        processes::end(std::slice::from_ref(&line));
        // nobody asks for it
        wait_for("the new login", NOTICED, || host.ssh_logins() > logins);
        service.wait_ready(&["h2"]).await;
        assert_ne!(line_to(&service, host), line);
        wait_for("the end of the old session", NOTICED, || host.ssh_connections() == 1);
        for _ in 0..5 {
            assert_eq!(witnesses.list(&service).await.structured["errors"], json!([]));
        }
        witnesses.assert_counts();
        assert_eq!((host.ssh_logins(), host.ssh_attempts()), (logins + 1, attempts + 1));
    }
    assert_eq!(service.pid(), pid);
    assert_nothing_was_restarted(&service);
}

/// The one ssh process of the service that holds the line to a host.
fn line_to(service: &Service, host: &Host) -> Process {
    let address = host.address().to_string();
    let mut children = processes::descendants(service.pid());
    children.retain(|child| child.name == "ssh" && child.command.split(' ').any(|word| word == address));
    assert_eq!(children.len(), 1, "{children:?}");
    children.remove(0)
}

async fn a_killed_sshd_costs_the_line_only_with_its_session(fleet: &Fleet) {
    let host = fleet.host("h2");
    let mut witnesses = witnesses(fleet, "h2");
    let recorder = host.record_engine();
    let service = Service::start(&ServiceConfig::all(fleet));
    service.wait_ready(&HOSTS).await;
    let (pid, since) = (service.pid(), service.row("h2").await["since"].clone());
    let (logins, attempts) = (host.ssh_logins(), host.ssh_attempts());
    witnesses.clear();
    recorder.clear();
    host.refuse();
    for _ in 0..5 {
        assert_eq!(witnesses.list(&service).await.structured["errors"], json!([]));
    }
    assert_eq!(recorder.requests().len(), 5, "the line needs no listener");
    assert_eq!(service.row("h2").await["since"], since);
    host.kill_ssh_sessions();
    list_until(&service, &mut witnesses, "h2", NOTICED, "nobody listens", |failure| {
        is_down(failure) && failure["message"].as_str().is_some_and(|text| text.contains("nothing listens"))
    })
    .await;
    assert_host_row_tells(&service.row("h2").await, &["refused"]);
    assert_eq!((host.ssh_logins(), host.ssh_attempts()), (logins, attempts));
    host.accept();
    service.wait_ready_within(&["h2"], HEALED).await;
    assert_eq!(witnesses.list(&service).await.structured["errors"], json!([]));
    witnesses.assert_counts();
    assert_eq!((host.ssh_logins(), host.ssh_attempts()), (logins + 1, attempts + 1));
    assert_eq!(service.pid(), pid);
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
