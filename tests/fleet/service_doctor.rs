//! The way to a host looked at by hand, and host keys accepted by a person.

use std::time::Duration;

use crate::support::service::{Ended, Home};
use crate::support::trials::Trial;
use crate::support::{Fleet, Host, Service, ServiceConfig, eventually};
use crate::trials;

const NOTICED: Duration = Duration::from_secs(20);

pub fn trials() -> Vec<Trial> {
    trials![
        the_doctor_names_the_step_that_fails_and_what_to_do,
        a_host_key_is_accepted_only_with_its_fingerprint,
    ]
}

/// A configuration whose known hosts are a file of its own.
pub fn with_known_hosts(fleet: &Fleet, home: &std::path::Path) -> ServiceConfig {
    let text = std::fs::read_to_string(fleet.ssh_config()).unwrap();
    // Of an option given twice ssh takes the first.
    let own = format!("UserKnownHostsFile {}\n{text}", home.join("known_hosts").display());
    let path = home.join("ssh_config");
    std::fs::write(&path, own).unwrap();
    ServiceConfig::none(fleet).ssh_config(path)
}

fn run(home: &Home, args: &[&str]) -> Ended {
    home.run(&home.hosts_file(), args)
}

async fn the_doctor_names_the_step_that_fails_and_what_to_do(fleet: &Fleet) {
    let host = fleet.host("h1");
    let address = format!("hostname: {}", host.address());
    // No name server is asked about a label that is too long for the system.
    let nameless = format!("hostname: {}.invalid", "a".repeat(64));
    let config = ServiceConfig::none(fleet)
        .with(host, &[])
        .entry("closed", &[&address, "user: ops", "port: 2"])
        .entry("guest", &[&address, "user: guest"])
        .entry("noname", &[&nameless]);
    let home = Home::new(&config);
    let logins = host.ssh_logins();
    let told = run(&home, &["doctor", "h1"]);
    assert!(told.status.success(), "{}{}", told.stdout, told.stderr);
    for step in ["dns", "tcp", "sshd", "ssh_login", "shell", "engine_socket", "engine_ping", "compose"] {
        assert!(told.stdout.contains(&format!("ok      {step}")), "{step}: {}", told.stdout);
    }
    assert_eq!(host.ssh_logins(), logins + 1, "one login is enough");

    let told = run(&home, &["doctor"]);
    assert_eq!(told.status.code(), Some(1));
    for failure in
        ["FAILED  tcp           nothing listens", "FAILED  engine_socket", "FAILED  dns", "--sudo true"]
    {
        assert!(told.stdout.contains(failure), "{failure}: {}", told.stdout);
    }
    assert!(run(&home, &["doctor", "hh1"]).stderr.contains("Did you mean \"h1\"?"));
}

async fn a_host_key_is_accepted_only_with_its_fingerprint(fleet: &Fleet) {
    let (host, scratch) = (fleet.host("h1"), crate::support::temp_dir());
    let service = Service::start(&with_known_hosts(fleet, scratch.path()).with(host, &[]));
    accept(&service, host, "host_key_unknown", scratch.path()).await;
    host.change_host_key();
    host.kill_ssh_sessions();
    accept(&service, host, "host_key_changed", scratch.path()).await;
    fleet.heal_all();
}

/// The host is held for `cause` until its key is accepted, which needs the fingerprint.
pub async fn accept(service: &Service, host: &Host, cause: &str, scratch: &std::path::Path) {
    eventually(cause, NOTICED, async || service.row("h1").await["cause"] == cause).await;
    let keys_offered = || host.sshd_log().matches("publickey").count();
    let offered = keys_offered();
    let before = std::fs::read(scratch.join("known_hosts")).unwrap_or_default();
    let shown = run(service.home(), &["hosts", "trust", "h1"]).stdout;
    let fingerprint = shown.lines().next().unwrap().rsplit(' ').next().unwrap();
    let own = host.exec(&["ssh-keygen", "-lf", "/etc/fleet/ssh_host_key"]);
    assert!(fingerprint.starts_with("SHA256:") && own.contains(fingerprint), "{shown}\n{own}");
    assert_eq!(shown.contains("CHANGED"), cause == "host_key_changed", "{shown}");
    let wrong = run(service.home(), &["hosts", "trust", "h1", "--fingerprint", "SHA256:x"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert_eq!(
        std::fs::read(scratch.join("known_hosts")).unwrap_or_default(),
        before,
        "nothing was accepted"
    );
    assert_eq!(keys_offered(), offered, "no key is offered to a host that nobody knows");

    let done = run(service.home(), &["hosts", "trust", "h1", "--fingerprint", fingerprint]);
    assert!(done.status.success(), "{}", done.stderr);
    service.wait_ready(&["h1"]).await;
}
