//! Whom the local socket serves and for how long: its file, its holders, the host's faults, its policy,
//! and crowds.

use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use crate::support::docker::Streaming;
use crate::support::recorder::EngineRecorder;
use crate::support::service::{Home, mode};
use crate::support::trials::Trial;
use crate::support::{Docker, Fleet, IMAGE, Service, ServiceConfig, eventually};
use crate::trials;

const SOON: Duration = Duration::from_secs(10);

/// An attempt in vain ends after ten seconds, and the pause after it is as long at most here.
const HEALED: Duration = Duration::from_secs(40);

pub fn trials() -> Vec<Trial> {
    trials![
        the_socket_is_private_and_goes_with_its_service,
        a_second_service_waits_for_the_socket,
        the_socket_outlives_the_hosts_sessions,
        the_socket_outlives_the_hosts_power => 120,
        the_socket_outlives_the_engine => 120,
        a_host_held_to_reading_has_a_socket_on_request_alone,
        a_change_of_policy_counts_for_the_next_connection,
        forty_at_once_share_the_line,
        where_sshd_forwards_nothing_few_fit_and_the_rest_is_told_why,
    ]
}

fn socket(home: &Home, host: &str) -> PathBuf {
    home.runtime_dir().join("s").join(format!("{host}.sock"))
}

async fn open_on(fleet: &Fleet, hosts: &[(&str, &[&str])]) -> Service {
    let config = hosts
        .iter()
        .fold(ServiceConfig::none(fleet), |config, (name, more)| config.with(fleet.host(name), more));
    let service = Service::start(&config);
    let names: Vec<&str> = hosts.iter().map(|(name, _)| *name).collect();
    service.wait_ready(&names).await;
    service
}

/// How often the service has noted this.
fn told(service: &Service, words: &str) -> usize {
    service.log().iter().filter(|line| line.contains(words)).count()
}

const CONNECTION: &str = "connection to the local socket";

async fn the_socket_is_private_and_goes_with_its_service(fleet: &Fleet) {
    let service = open_on(fleet, &[("h1", &[])]).await;
    let path = socket(service.home(), "h1");
    let docker = Docker::through(service.home(), "h1");
    docker.ok(&["ps"]);
    assert!(fs::symlink_metadata(&path).unwrap().file_type().is_socket());
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    let (status, home) = service.stop();
    assert_eq!(status.code(), Some(0));
    assert!(!path.exists());

    let service = Service::start_in(home);
    service.wait_ready(&["h1"]).await;
    docker.ok(&["ps"]);
    let home = service.kill();
    // nobody listens at what is left
    assert!(path.exists());
    assert!(docker.refused(&["ps"]).contains("Cannot connect"));
    let service = Service::start_in(home);
    eventually("it is made anew", SOON, async || told(&service, "local socket open") == 1).await;
    docker.ok(&["ps"]);
    assert_eq!(mode(&path), 0o600);
    drop(service);
}

async fn a_second_service_waits_for_the_socket(fleet: &Fleet) {
    let first = open_on(fleet, &[("h1", &[])]).await;
    let docker = Docker::through(first.home(), "h1");
    let place = first.home().runtime_dir().display().to_string();
    let shared = ServiceConfig::none(fleet).variable("DOCKMASTER_RUNTIME_DIR", &place);
    let second = Service::start(&shared.with(fleet.host("h1"), &[]));
    second.wait_ready(&["h1"]).await;
    eventually("it knows of the other", SOON, async || told(&second, "held by another Dockmaster") == 1)
        .await;
    let before = told(&first, CONNECTION);
    docker.ok(&["ps"]);
    eventually("by the first", SOON, async || told(&first, CONNECTION) > before).await;
    assert_eq!(told(&second, CONNECTION), 0);
    let (_, home) = first.stop();
    eventually("the second has the socket", SOON, async || told(&second, "local socket open") == 1).await;
    docker.ok(&["ps"]);
    eventually("by the second", SOON, async || told(&second, CONNECTION) > 0).await;
    // once, however often it has asked
    assert_eq!(told(&second, "held by another Dockmaster"), 1);
    drop((second, home));
}

async fn the_socket_outlives_the_hosts_sessions(fleet: &Fleet) {
    let host = fleet.host("h1");
    let service = open_on(fleet, &[("h1", &[])]).await;
    let logins = host.ssh_logins();
    let docker = Docker::through(service.home(), "h1");
    host.docker(&["create", IMAGE]);
    let mut cut_off = docker.start(&["events", "--since", "1"]);
    eventually("a stream", SOON, async || cut_off.text().contains("create")).await;
    host.kill_ssh_sessions();
    eventually("the line is lost", SOON, async || told(&service, r#""from":"ready""#) == 1).await;
    // not told to try again: it waits for the new line
    docker.ok(&["ps"]);
    eventually("the stream's end is told", SOON, async || cut_off.ended().is_some_and(|code| code != 0))
        .await;
    assert_eq!(host.ssh_logins(), logins + 1);
    assert_eq!(told(&service, "local socket open"), 1);
}

/// A connection that was opened ahead of its need has ended with the engine, and is not given to anybody.
async fn the_socket_outlives_the_engine(fleet: &Fleet) {
    let host = fleet.host("h1");
    let service = open_on(fleet, &[("h1", &[])]).await;
    let (logins, docker) = (host.ssh_logins(), Docker::through(service.home(), "h1"));
    for _ in 0..2 {
        docker.ok(&["ps"]);
        host.kill_engine();
        host.start_engine();
        service.wait_ready(&["h1"]).await;
        docker.ok(&["ps"]);
    }
    assert_eq!(host.ssh_logins(), logins);
}

async fn the_socket_outlives_the_hosts_power(fleet: &Fleet) {
    let host = fleet.host("h1");
    let service = open_on(fleet, &[("h1", &[])]).await;
    let docker = Docker::through(service.home(), "h1");
    docker.ok(&["ps"]);
    // how long silence goes unnoticed is tried elsewhere: here the line is known to be lost
    host.refuse();
    host.kill_ssh_sessions();
    eventually("the line is lost", SOON, async || !service.is_ready("h1").await).await;
    host.power_off();
    // with the version given, docker does not ask for it first and waits a second time
    let ran = docker.clone().variable("DOCKER_API_VERSION", "1.41").run(&["ps"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stderr.contains("Dockmaster: h1: ") && ran.stderr.contains(" ssh: connect to host "),
        "{ran:?}"
    );
    host.boot();
    service.wait_ready_within(&["h1"], HEALED).await;
    docker.ok(&["ps"]);
}

async fn a_host_held_to_reading_has_a_socket_on_request_alone(fleet: &Fleet) {
    let host = fleet.host("h2");
    let id = host.run_container(&[IMAGE, "sh", "-c", "echo hello; exec sleep 1000"]);
    eventually("it has spoken", SOON, async || host.docker(&["logs", &id]) == "hello").await;
    let recorder = host.record_engine();
    let (ro, reads) = (["policy: ro"], ["policy: ro", "local_socket: true"]);
    let service = open_on(fleet, &[("h1", &ro), ("h2", &reads)]).await;
    let docker = Docker::through(service.home(), "h2");
    assert!(!socket(service.home(), "h1").exists());

    assert!(docker.ok(&["ps", "-q", "--no-trunc"]).contains(&id));
    assert_eq!(docker.ok(&["logs", &id]), "hello");
    assert_eq!(docker.ok(&["inspect", "-f", "{{.Id}}", &id]), id);
    let events =
        ["events", "--since", "1", "--filter", &format!("container={id}"), "--format", "{{.Action}}"];
    let stream = docker.start(&events);
    eventually("the past", SOON, async || stream.text().contains("start\n")).await;
    host.docker(&["pause", &id]);
    eventually("the present", SOON, async || stream.text().ends_with("pause\n")).await;
    host.docker(&["unpause", &id]);
    drop(stream);

    let before = recorder.requests().len();
    fs::create_dir(service.home().path().join("context")).unwrap();
    fs::write(service.home().path().join("context/Dockerfile"), format!("FROM {IMAGE}\n")).unwrap();
    let attempts: [&[&str]; 6] = [
        &["run", "-d", IMAGE, "true"],
        &["stop", &id],
        &["exec", &id, "true"],
        &["rm", "-f", &id],
        &["build", "context"],
        &["cp", "context/Dockerfile", &format!("{id}:/")],
    ];
    for attempt in attempts {
        let words = docker.refused(attempt);
        assert!(words.contains("Dockmaster: the host is held to reading"), "{attempt:?}: {words}");
    }
    // docker itself keeps the words of an answer to an upgrade to itself
    assert!(docker.refused(&["attach", &id]).contains("received 403"));
    assert_only_read(&recorder);
    // the clients' own reading did get there
    assert!(recorder.requests().len() > before);
    assert_eq!(host.docker(&["inspect", "-f", "{{.State.Running}}", &id]), "true");
}

fn assert_only_read(recorder: &EngineRecorder) {
    let requests = recorder.requests();
    let wrong: Vec<_> =
        requests.iter().filter(|seen| seen.method != "GET" && seen.method != "HEAD").collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

async fn a_change_of_policy_counts_for_the_next_connection(fleet: &Fleet) {
    let host = fleet.host("h1");
    let service = open_on(fleet, &[("h1", &[])]).await;
    let logins = host.ssh_logins();
    let docker = Docker::through(service.home(), "h1");
    let id = docker.ok(&["create", IMAGE, "true"]);
    let change = |more: &[&str]| {
        let new = service.home().path().join("new.yml");
        fs::write(&new, ServiceConfig::none(fleet).with(host, more).yaml()).unwrap();
        // as editors do
        fs::rename(new, service.home().hosts_file()).unwrap();
    };
    change(&["policy: ro"]);
    let path = socket(service.home(), "h1");
    eventually("the socket goes", SOON, async || !path.exists()).await;
    assert!(docker.refused(&["rm", &id]).contains("Cannot connect"));
    change(&["policy: ro", "local_socket: true"]);
    eventually("it is there again", SOON, async || docker.run(&["inspect", &id]).ok()).await;
    assert!(docker.refused(&["rm", &id]).contains("held to reading"));
    change(&["policy: rw", "local_socket: true"]);
    eventually("it lets through what changes", SOON, async || docker.run(&["rm", &id]).ok()).await;
    assert_eq!(host.ssh_logins(), logins);
}

async fn forty_at_once_share_the_line(fleet: &Fleet) {
    let host = fleet.host("h1");
    let id = host.run_container(&[IMAGE, "sleep", "1000"]);
    let logins = host.ssh_logins();
    let service = open_on(fleet, &[("h1", &[])]).await;
    let docker = Docker::through(service.home(), "h1");
    let mut all: Vec<Streaming> = (0..40).map(|_| docker.start(&["ps", "-q", "--no-trunc"])).collect();
    eventually("all have ended", SOON, async || all.iter_mut().all(|one| one.ended().is_some())).await;
    for one in &mut all {
        assert_eq!(one.ended(), Some(0), "{}", one.text());
        assert!(one.text().contains(&id), "{}", one.text());
    }
    assert_eq!(host.ssh_logins(), logins + 1);
}

async fn where_sshd_forwards_nothing_few_fit_and_the_rest_is_told_why(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.sshd_options(&["AllowStreamLocalForwarding no"]);
    let logins = host.ssh_logins();
    let service = open_on(fleet, &[("h1", &[])]).await;
    let docker = Docker::through(service.home(), "h1");
    let id = host.run_container(&[IMAGE, "sleep", "1000"]);
    assert!(docker.ok(&["ps", "-q", "--no-trunc"]).contains(&id));
    let ran = docker.run_with_input(&["exec", "-i", &id, "sh", "-c", "cat; exit 3"], "in\n");
    assert_eq!((ran.code, &*ran.stdout), (3, "in\n"), "{ran:?}");

    // streams as of tools that look on for hours
    let mut held: Vec<Streaming> = Vec::new();
    let refused = loop {
        assert!(held.len() < 8, "there is no bound");
        let mut stream = docker.start(&["logs", "-f", &id]);
        eventually("it holds its place, or is told", SOON, async || {
            let carried = host.processes_matching("^docker.* dial-stdio").len();
            stream.ended().is_some() || carried > held.len()
        })
        .await;
        if stream.ended().is_some() {
            break stream.text();
        }
        held.push(stream);
    };
    assert!(!held.is_empty());
    for words in ["Dockmaster: h1: ", "sshd forwards no sockets"] {
        assert!(refused.contains(words), "{refused}");
    }
    for _ in 0..10 {
        let listed = service.structured("container_list", json!({})).await;
        assert_eq!(listed["errors"], json!([]), "{listed}");
    }
    drop(held);
    eventually("their places are free", SOON, async || docker.run(&["ps"]).ok()).await;
    assert_eq!(host.ssh_logins(), logins + 1);
}
