//! The fleet's other engines: each answers where its clients look, and the usual one comes back.

use std::path::Path;
use std::time::Duration;

use crate::support::host::Engine;
use crate::support::script::{Ran, run};
use crate::support::trials::Trial;
use crate::support::{Fleet, Host, IMAGE, wait_for};
use crate::trials;

const SOON: Duration = Duration::from_secs(20);

const DEFAULT_DOOR: &str = "/run/docker.sock";

pub fn trials() -> Vec<Trial> {
    trials![
        a_newer_docker,
        podman_speaks_the_docker_api,
        an_engine_in_the_runtime_directory_of_a_user,
        an_engine_on_tcp_wants_certificates,
        another_engine_outlives_its_death_and_a_boot,
    ]
}

async fn a_newer_docker(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.docker(&["run", "-d", "--name", "usual", IMAGE, "true"]);
    host.engine(Engine::Docker26);
    assert_eq!(host.door(), DEFAULT_DOOR);
    let version = seen_by("ops", host, "version -f '{{.Server.Version}} {{.Server.APIVersion}}'");
    assert!(version.stdout.starts_with("26.1.") && version.stdout.trim().ends_with(" 1.45"), "{version:?}");
    assert_eq!(host.docker(&["ps", "-aq"]), "", "it has data of its own");
    containers_run(host);
    host.docker(&["network", "create", "left"]);
    fleet.heal_all();
    assert_usual(host);
    let networks = host.docker(&["network", "ls", "--format", "{{.Name}}"]);
    assert!(!networks.contains("left"), "{networks}");
    assert_eq!(host.docker(&["ps", "-a", "--format", "{{.Names}}"]), "usual", "the usual data is as it was");
    host.docker(&["rm", "usual"]);
    assert_eq!(host.exec(&["ls", "/var/lib/docker-26"]), "", "and what the other one held is gone");
}

async fn podman_speaks_the_docker_api(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.engine(Engine::Podman);
    assert_eq!(host.door(), "/run/podman/podman.sock");
    let ping = host.ssh("ops", &[], &ping(&host.door()));
    assert_eq!(ping.stdout, "OK", "{ping:?}");
    assert!(!host.ssh("guest", &[], &self::ping(&host.door())).ok());
    let components =
        host.docker(&["version", "-f", "{{range .Server.Components}}{{.Name}} {{.Version}};{{end}}"]);
    assert!(components.contains("Podman Engine 4."), "{components}");
    // nothing of Docker is to be seen
    for user in ["ops", "root"] {
        assert!(!host.ssh(user, &[], "command -v docker").ok());
    }
    assert!(!host.ssh("root", &[], &format!("test -e {DEFAULT_DOOR}")).ok());
    containers_run(host);
    let recorder = host.record_engine();
    host.ssh("ops", &[], &self::ping(&host.door()));
    assert_eq!(recorder.requests().len(), 1, "a recorder finds its door");
    drop(recorder);
    fleet.heal_all();
    assert_usual(host);
    assert!(!host.ssh("root", &[], "test -e /run/podman").ok());
}

async fn an_engine_in_the_runtime_directory_of_a_user(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.engine(Engine::Rootless);
    let door = host.door();
    let expected = host.ssh("ops", &[], "echo /run/user/$(id -u)/docker.sock").stdout;
    assert_eq!(door, expected.trim());
    assert!(!host.ssh("ops", &[], "docker ps").ok(), "nothing is at the usual place");
    assert!(seen_by("ops", host, &format!("-H unix://{door} ps")).ok());
    assert!(!seen_by("guest", host, &format!("-H unix://{door} ps")).ok());
    assert_eq!(host.ssh("ops", &[], &format!("stat -Lc %U {door}")).stdout, "ops\n");
    fleet.heal_all();
    assert_usual(host);
}

async fn an_engine_on_tcp_wants_certificates(fleet: &Fleet) {
    let host = fleet.host("h1");
    let id = host.run_container(&["--restart", "always", IMAGE, "sleep", "1000"]);
    host.engine(Engine::Tls);
    assert_eq!(host.docker(&["ps", "-q", "--no-trunc"]), id, "it is the usual engine, with what it had");
    let (right, wrong) = (fleet.tls_dir(), fleet.wrong_tls_dir());
    let version = over_tls(host, &right, &right);
    assert!(version.ok() && version.stdout.starts_with(char::is_numeric), "{version:?}");
    let stranger = over_tls(host, &right, &wrong);
    assert!(stranger.stderr.contains("bad certificate"), "{stranger:?}");
    let distrust = over_tls(host, &wrong, &right);
    assert!(distrust.stderr.contains("unknown authority"), "{distrust:?}");
    fleet.heal_all();
    assert_usual(host);
    assert!(!over_tls(host, &right, &right).ok());
}

async fn another_engine_outlives_its_death_and_a_boot(fleet: &Fleet) {
    let host = fleet.host("h2");
    host.engine(Engine::Podman);
    host.run_container(&[IMAGE, "sleep", "1000"]);
    host.kill_engine();
    assert!(!host.ssh("ops", &[], &ping(&host.door())).ok());
    host.start_engine();
    assert_eq!(host.docker(&["ps", "-q"]).lines().count(), 1, "podman's containers need no engine");
    host.power_off();
    host.boot();
    assert_eq!(host.ssh("ops", &[], &ping(&host.door())).stdout, "OK");
    assert_eq!(host.docker(&["ps", "-aq"]).lines().count(), 1, "its disk is the same");
    host.kill_engine();
    fleet.heal_all();
    assert_usual(host);
}

/// The state of a host that nobody has changed.
fn assert_usual(host: &Host) {
    assert_eq!(host.door(), DEFAULT_DOOR);
    let version = seen_by("ops", host, "version -f '{{.Server.Version}}'");
    let usual = host.exec(&["dockerd", "--version"]);
    assert!(
        version.ok() && usual.contains(&format!("version {},", version.stdout.trim())),
        "{version:?} {usual}"
    );
    assert!(!host.ssh("root", &[], "test -e /run/user").ok());
}

fn containers_run(host: &Host) {
    let id = host.run_container(&["-p", "8099:80", IMAGE, "httpd", "-f", "-p", "80"]);
    assert_eq!(host.docker(&["exec", &id, "echo", "hello"]), "hello");
    // port 80, as the kernel writes it
    let listens = ["exec", &id, "sh", "-c", "cat /proc/net/tcp* | grep -q ':0050 '"];
    wait_for("it listens", SOON, || host.try_docker(&listens).is_ok());
    let url = format!("http://{}:8099/", host.address());
    // there is no page, but there is someone to say so
    let answer = run(
        "curl",
        &["-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", &url],
        Duration::from_secs(8),
    );
    assert_eq!(answer.stdout, "404", "{answer:?}");
}

/// The docker CLI on the host.
fn seen_by(user: &str, host: &Host, arguments: &str) -> Ran {
    host.ssh(user, &[], &format!("docker {arguments}"))
}

/// A command that asks an engine without any client of Docker's.
fn ping(socket: &str) -> String {
    format!("curl -s -m 5 --unix-socket {socket} http://engine/_ping")
}

/// The docker CLI on this machine, which trusts the one authority and shows the other certificate.
fn over_tls(host: &Host, trusted: &Path, shown: &Path) -> Ran {
    let file = |flag: &str, dir: &Path, name: &str| format!("--{flag}={}", dir.join(name).display());
    let address = format!("--host=tcp://{}", host.tls_address());
    let authority = file("tlscacert", trusted, "ca.pem");
    let (cert, key) = (file("tlscert", shown, "cert.pem"), file("tlskey", shown, "key.pem"));
    let args = [&address, "--tlsverify", &authority, &cert, &key, "version", "-f", "{{.Server.Version}}"];
    run("docker", &args, Duration::from_secs(20))
}
