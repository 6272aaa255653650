//! Every kind of engine and login a host may have: found by itself, or told what to do.

use serde_json::{Value, json};

use crate::support::host::Engine;
use crate::support::service::READY;
use crate::support::trials::Trial;
use crate::support::{Fleet, Host, IMAGE, Service, ServiceConfig, eventually};
use crate::trials;

pub fn trials() -> Vec<Trial> {
    trials![
        a_newer_engine_is_spoken_to_in_its_own_version,
        podman_is_found_by_itself,
        a_rootless_engine_is_found_by_itself,
        sudo_reaches_an_engine_whose_socket_is_closed,
        a_forced_command_carries_the_engine_and_nothing_else,
        of_two_engines_none_is_guessed,
        an_engine_at_a_port_wants_certificates_that_it_trusts,
    ]
}

/// The service on one host, ready.
async fn ready(config: &ServiceConfig) -> Service {
    let service = Service::start(config);
    service.wait_ready(&["h1"]).await;
    service
}

/// The names of the containers that a list tells.
async fn names(service: &Service) -> Vec<String> {
    let listed = service.structured("container_list", json!({"state": "all"})).await;
    assert_eq!(listed["errors"], json!([]), "{listed}");
    let rows = listed["containers"].as_array().unwrap();
    rows.iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
}

async fn cause_becomes(service: &Service, cause: &str) -> Value {
    let what = format!("h1 is told to be in trouble by {cause}");
    eventually(&what, READY, async || service.row("h1").await["cause"] == cause).await;
    service.row("h1").await
}

async fn is_listed(service: &Service, host: &Host) {
    host.run_container(&["--name", "seen-by-all", IMAGE, "sleep", "1000"]);
    assert_eq!(names(service).await, ["seen-by-all"]);
    eventually("its events tell it", READY, async || service.row("h1").await["containers"]["running"] == 1)
        .await;
    host.docker(&["rm", "-f", "seen-by-all"]);
    eventually("they tell its end", READY, async || service.row("h1").await["containers"].is_null()).await;
}

async fn a_newer_engine_is_spoken_to_in_its_own_version(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.engine(Engine::Docker26);
    let service = ready(&ServiceConfig::none(fleet).with(host, &[])).await;
    let engine = service.row("h1").await["engine"].clone();
    assert_eq!(
        (engine["product"].as_str(), engine["api"].as_str()),
        (Some("Docker"), Some("1.45")),
        "{engine}"
    );
    is_listed(&service, host).await;
    fleet.heal_all();
}

async fn podman_is_found_by_itself(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.engine(Engine::Podman);
    let service = ready(&ServiceConfig::none(fleet).with(host, &[])).await;
    let tested = service.structured("host_test", json!({"host": "h1"})).await;
    assert_eq!(tested["steps"][2]["detail"], "/run/podman/podman.sock", "{tested}");
    assert_eq!(service.row("h1").await["engine"]["product"], "Podman");
    assert_eq!(names(&service).await, [""; 0]);
    fleet.heal_all();
}

async fn a_rootless_engine_is_found_by_itself(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.engine(Engine::Rootless);
    let service = ready(&ServiceConfig::none(fleet).with(host, &[])).await;
    let tested = service.structured("host_test", json!({"host": "h1"})).await;
    assert_eq!(tested["steps"][2]["detail"], host.door(), "{tested}");
    is_listed(&service, host).await;
    fleet.heal_all();
}

async fn sudo_reaches_an_engine_whose_socket_is_closed(fleet: &Fleet) {
    let host = fleet.host("h1");
    let address = format!("hostname: {}", host.address());
    let config = |more: &str| ServiceConfig::none(fleet).entry("h1", &[&address, "user: guest", more]);

    let service = Service::start(&config("sudo: false"));
    let row = cause_becomes(&service, "socket_denied").await;
    assert!(row["hint"].as_str().unwrap().contains("--sudo true"), "{row}");
    drop(service);

    let service = Service::start(&config("sudo: true"));
    let row = cause_becomes(&service, "sudo_refused").await;
    assert!(row["hint"].as_str().unwrap().contains("NOPASSWD: /usr/bin/docker"), "{row}");
    drop(service);

    host.sudo(true);
    let logins = host.ssh_logins();
    let service = ready(&config("sudo: true")).await;
    is_listed(&service, host).await;
    let tested = service.structured("host_test", json!({"host": "h1"})).await;
    assert_eq!((&tested["carrier"], &tested["ok"]), (&json!("dial_stdio"), &json!(true)), "{tested}");
    assert_eq!(host.ssh_logins(), logins + 1);
    fleet.heal_all();
}

async fn a_forced_command_carries_the_engine_and_nothing_else(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.forced_command(true);
    let logins = host.ssh_logins();
    let service = ready(&ServiceConfig::none(fleet).with(host, &[])).await;
    is_listed(&service, host).await;
    let tested = service.structured("host_test", json!({"host": "h1"})).await;
    let compose = &tested["steps"][4];
    assert_eq!((&compose["ok"], &compose["cause"]), (&json!(false), &json!("no_shell")), "{tested}");
    // The anchor is the engine's own stream: a line whose sshd hangs is found dead all the same.
    assert_eq!(host.ssh_logins(), logins + 1);
    host.kill_ssh_sessions();
    eventually("a new line", READY, async || host.ssh_logins() == logins + 2 && service.is_ready("h1").await)
        .await;
    is_listed(&service, host).await;
    fleet.heal_all();
}

/// A socket that nobody listens on looks like an engine's all the same.
async fn of_two_engines_none_is_guessed(fleet: &Fleet) {
    let host = fleet.host("h1");
    let bind = "import os,socket; os.makedirs('/run/podman', exist_ok=True); p='/run/podman/podman.sock'; \
                socket.socket(socket.AF_UNIX).bind(p); os.chmod(p, 0o666)";
    host.exec(&["python3", "-c", bind]);
    let service = Service::start(&ServiceConfig::none(fleet).with(host, &[]));
    let row = cause_becomes(&service, "engines_ambiguous").await;
    let told = row["message"].as_str().unwrap();
    assert!(told.contains("/var/run/docker.sock") && told.contains("/run/podman/podman.sock"), "{row}");
    drop(service);
    let service = ready(&ServiceConfig::none(fleet).with(host, &["socket: /var/run/docker.sock"])).await;
    is_listed(&service, host).await;
    host.exec(&["rm", "-r", "/run/podman"]);
}

async fn an_engine_at_a_port_wants_certificates_that_it_trusts(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.engine(Engine::Tls);
    let address = host.tls_address();
    let config = |certificates: &str| {
        let place = [format!("hostname: {}", address.ip()), format!("port: {}", address.port())];
        ServiceConfig::none(fleet).entry("h1", &["kind: tcp", &place[0], &place[1], certificates])
    };
    let right = format!("cert_path: {}", fleet.tls_dir().display());
    let logins = host.ssh_attempts();
    let service = ready(&config(&right)).await;
    is_listed(&service, host).await;
    let tested = service.structured("host_test", json!({"host": "h1"})).await;
    assert_eq!(tested["carrier"], "tcp", "{tested}");
    // Nobody asks: the engine's silence is found all the same.
    host.kill_engine();
    cause_becomes(&service, "refused").await;
    host.start_engine();
    service.wait_ready(&["h1"]).await;
    drop(service);
    assert_eq!(host.ssh_attempts(), logins, "there is no login");

    for wrong in
        [format!("cert_path: {}", fleet.wrong_tls_dir().display()), "cert_path: /nonexistent".to_owned()]
    {
        let service = Service::start(&config(&wrong));
        cause_becomes(&service, "tls_failed").await;
    }
    let service = Service::start(&config("tls: false"));
    cause_becomes(&service, "no_engine").await;
    fleet.heal_all();
}
