//! Logins that end early, and logins that do not end.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::processes;
use crate::support::trials::Trial;
use crate::support::{Fleet, Service, ServiceConfig, SlowProxy, eventually, wait_for};
use crate::trials;

const SOON: Duration = Duration::from_secs(10);
const HEALED: Duration = Duration::from_secs(60);

pub fn trials() -> Vec<Trial> {
    trials![
        a_session_that_ends_before_its_shell_answers_is_a_broken_line => 120,
        an_sshd_that_grants_no_session_is_told_and_forgiven => 120,
        silent_hosts_do_not_hold_up_the_login_to_a_good_one => 120,
    ]
}

/// The login has worked and the connection ends before the shell's first word: a host that shuts
/// down or flaps, not one without a shell, which would be held for ten minutes.
async fn a_session_that_ends_before_its_shell_answers_is_a_broken_line(fleet: &Fleet) {
    let host = fleet.host("h2");
    // a shell that takes its time, until there is a file: what is killed has no word of it
    host.sshd_options(&[
        "ForceCommand test -e /run/open || exec sleep 1005; exec sh -c \"$SSH_ORIGINAL_COMMAND\"",
    ]);
    let open = format!("/proc/{}/root/run/open", host.pid());
    let service = Service::start(&ServiceConfig::none(fleet).with(host, &[]));
    wait_for("its shell", SOON, || !host.processes_matching("^sleep 1005$").is_empty());
    std::fs::write(&open, "").unwrap();
    processes::end(&processes::ssh_sessions(&host.processes()));
    processes::end(&host.processes_matching("^sleep 1005$"));
    // the log keeps it, where the row of a host that comes back does not
    let told = || service.log().into_iter().find(|line| line.contains(r#""to":"backoff""#));
    eventually("the cause", SOON, async || told().is_some()).await;
    assert!(told().unwrap().contains("the connection broke"), "{:?}", told());
    service.wait_ready_within(&["h2"], HEALED).await;
    std::fs::remove_file(open).unwrap();
}

/// `MaxSessions 0` is no login without a shell either.
async fn an_sshd_that_grants_no_session_is_told_and_forgiven(fleet: &Fleet) {
    let host = fleet.host("h2");
    host.sshd_options(&["MaxSessions 0"]);
    let service = Service::start(&ServiceConfig::none(fleet).with(host, &[]));
    eventually("the cause", SOON, async || service.row("h2").await["cause"].is_string()).await;
    let row = service.row("h2").await;
    assert_eq!(row["cause"], "sessions_exhausted", "{row}");
    host.sshd_options(&[]);
    service.wait_ready_within(&["h2"], HEALED).await;
}

/// As many hosts as there are permits for logins take connections and say nothing. A good host does not wait until the
/// first of them is given up.
async fn silent_hosts_do_not_hold_up_the_login_to_a_good_one(fleet: &Fleet) {
    let good = fleet.host("h1");
    let proxy = SlowProxy::start(good.ssh_address(), Duration::ZERO);
    proxy.stall();
    let port = format!("port: {}", proxy.addr().port());
    let permits = std::thread::available_parallelism().map_or(4, |cores| (cores.get() * 4).min(16));
    let silent: Vec<String> = (0..permits).map(|number| format!("a{number}")).collect();
    let config = silent.iter().fold(ServiceConfig::none(fleet), |config, id| {
        config.entry(id, &["hostname: 127.0.0.1", &port, "user: ops"])
    });
    let before = good.ssh_attempts();
    let service = Service::start(&config.with(good, &[]));
    wait_for("its login has begun", SOON, || good.ssh_attempts() > before);
    let listed = service.structured("host_list", json!({})).await;
    let given_up: Vec<&Value> =
        listed["hosts"].as_array().unwrap().iter().filter(|row| row["cause"].is_string()).collect();
    assert!(given_up.is_empty(), "h1 had to wait for {given_up:#?}");
}
