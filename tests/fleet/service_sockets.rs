//! The local socket with the real docker client on it: its commands do what they do on the host itself,
//! and all of them together take the one login there is.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::support::script::run;
use crate::support::trials::Trial;
use crate::support::{Docker, Fleet, Host, IMAGE, Service, ServiceConfig, eventually, processes};
use crate::trials;

const SOON: Duration = Duration::from_secs(10);

pub fn trials() -> Vec<Trial> {
    trials![
        containers_are_run_read_and_removed,
        exec_attach_and_terminals_carry_input_and_exit_status,
        files_images_and_builds_pass_unharmed,
        events_are_told_as_they_happen,
        compose_brings_a_stack_up_and_down,
    ]
}

/// The service keeps as many idle connections of its own to an engine, and opens them as it needs them.
const POOLED: usize = 4;

/// A service, and docker at the socket of its host h1.
struct Desk<'a> {
    host: &'a Host,
    docker: Docker,
    logins: usize,
    sessions: usize,
    connections: usize,
    service: Service,
}

impl<'a> Desk<'a> {
    async fn open(fleet: &'a Fleet) -> Self {
        let host = fleet.host("h1");
        let logins = host.ssh_logins();
        let service = Service::start(&ServiceConfig::none(fleet).with(host, &[]));
        service.wait_ready(&["h1"]).await;
        let docker = Docker::through(service.home(), "h1").with_compose(fleet);
        let sessions = processes::from_ssh(&host.processes()).len();
        let connections = host.engine_connections();
        Self { host, docker, logins, sessions, connections, service }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.service.home().path().join(name)
    }

    /// It was one login, and the idle line holds what it held before.
    async fn close(self) {
        assert_eq!(self.host.ssh_logins(), self.logins + 1);
        eventually("no session is left on the line", SOON, async || {
            processes::from_ssh(&self.host.processes()).len() <= self.sessions
        })
        .await;
        eventually("no connection to the engine is left", SOON, async || {
            self.host.engine_connections() <= self.connections.max(POOLED)
        })
        .await;
        assert_eq!(self.host.ssh_connections(), 1);
    }
}

async fn containers_are_run_read_and_removed(fleet: &Fleet) {
    let desk = Desk::open(fleet).await;
    let Desk { host, docker, .. } = &desk;
    host.run_container(&["--name", "neighbour", IMAGE, "sleep", "1000"]);
    let page = "mkdir -p /www && echo hello >/www/index.html && exec httpd -f -p 80 -h /www";
    let run_web = ["run", "-d", "-p", "8098:80", IMAGE, "sh", "-c", page];
    let web = docker.ok(&run_web);
    let url = format!("http://{}:8098/", host.address());
    eventually("the published port answers", SOON, async || {
        run("curl", &["-s", "-m", "5", &url], Duration::from_secs(8)).stdout == "hello\n"
    })
    .await;
    let listed = docker.ok(&["ps", "--no-trunc", "--format", "{{.ID}} {{.Names}}"]);
    assert!(listed.contains(&web) && listed.contains(" neighbour"), "{listed}");
    let inspected: Value = serde_json::from_str(&docker.ok(&["inspect", &web])).unwrap();
    assert_eq!(inspected[0]["State"]["Running"], true, "{inspected}");
    docker.ok(&["rm", "-f", &web]);
    assert!(!host.docker(&["ps", "-a", "-q", "--no-trunc"]).contains(&web));

    // the log is followed for as long as the container writes, and no longer
    let words = "echo one; until test -e /go; do usleep 10000; done; echo two";
    let talker = docker.ok(&["run", "-d", IMAGE, "sh", "-c", words]);
    let mut followed = docker.start(&["logs", "-f", &talker]);
    eventually("the first word", SOON, async || followed.text() == "one\n").await;
    assert_eq!(followed.ended(), None);
    host.docker(&["exec", &talker, "touch", "/go"]);
    eventually("the log ends with the container", SOON, async || followed.ended() == Some(0)).await;
    assert_eq!(followed.text(), "one\ntwo\n");
    drop(followed);
    desk.close().await;
}

async fn exec_attach_and_terminals_carry_input_and_exit_status(fleet: &Fleet) {
    let desk = Desk::open(fleet).await;
    let Desk { host, docker, .. } = &desk;
    let id = host.run_container(&[IMAGE, "sleep", "1000"]);
    let ran = docker.run(&["exec", &id, "sh", "-c", "echo out; echo err >&2; exit 3"]);
    assert_eq!((ran.code, &*ran.stdout, &*ran.stderr), (3, "out\n", "err\n"));
    // the end of the input passes, and what is said after it comes back
    let ran = docker.run_with_input(&["exec", "-i", &id, "sh", "-c", "cat; echo after; exit 4"], "in\n");
    assert_eq!((ran.code, &*ran.stdout), (4, "in\nafter\n"), "{ran:?}");
    let long = "0123456789abcdef".repeat(1 << 16);
    let ran = docker.run_with_input(&["exec", "-i", &id, "wc", "-c"], &long);
    assert_eq!(ran.stdout.trim(), long.len().to_string(), "{ran:?}");

    let create = ["create", "-i", IMAGE, "sh", "-c", "cat; echo after; exit 5"];
    let reader = docker.ok(&create);
    docker.ok(&["start", &reader]);
    let ran = docker.run_with_input(&["attach", &reader], "in\n");
    assert_eq!((ran.code, &*ran.stdout), (5, "in\nafter\n"), "{ran:?}");

    let typed = "tty; echo a$((1+1))b; exit 6\n";
    let ran = docker.run_in_terminal(&["exec", "-it", &id, "sh"], typed);
    assert!(ran.stdout.contains("/dev/pts/") && ran.stdout.contains("a2b"), "{ran:?}");
    assert_eq!(ran.code, 6, "{ran:?}");
    desk.close().await;
}

/// Bytes that no text conversion and no cut leaves as they are.
fn noise(size: usize) -> Vec<u8> {
    let blocks = (0_u64..).flat_map(|number| Sha256::digest(number.to_le_bytes()).to_vec());
    blocks.take(size).collect()
}

async fn files_images_and_builds_pass_unharmed(fleet: &Fleet) {
    let desk = Desk::open(fleet).await;
    let Desk { host, docker, .. } = &desk;
    let id = host.run_container(&[IMAGE, "sleep", "1000"]);
    let bytes = noise(3_000_001);
    let sum = |bytes: &[u8]| format!("{:x}", Sha256::digest(bytes));
    fs::create_dir(desk.file("context")).unwrap();
    fs::write(desk.file("context/noise"), &bytes).unwrap();
    docker.ok(&["cp", "context/noise", &format!("{id}:/there")]);
    let told = host.docker(&["exec", &id, "sha256sum", "/there"]);
    assert!(told.starts_with(&sum(&bytes)), "{told}");
    docker.ok(&["cp", &format!("{id}:/there"), "back"]);
    assert_eq!(sum(&fs::read(desk.file("back")).unwrap()), sum(&bytes));

    let recipe = format!("FROM {IMAGE}\nCOPY noise /noise\nRUN sha256sum /noise >/sum\nCMD cat /sum\n");
    fs::write(desk.file("context/Dockerfile"), recipe).unwrap();
    let build = ["build", "-t", BUILT, "--rm", "context"];
    let told = docker.ok(&build);
    assert!(told.contains("Successfully tagged"), "{told}");
    let run_it = ["run", "--rm", BUILT];
    let said = docker.ok(&run_it);
    assert!(said.starts_with(&sum(&bytes)), "{said}");

    let image = docker.ok(&["image", "inspect", "-f", "{{.Id}}", BUILT]);
    docker.ok(&["save", "-o", "image.tar", BUILT]);
    docker.ok(&["rmi", BUILT]);
    host.try_docker(&["image", "inspect", BUILT]).expect_err("it is removed");
    assert!(docker.ok(&["load", "-i", "image.tar"]).contains(BUILT));
    assert_eq!(host.docker(&["image", "inspect", "-f", "{{.Id}}", BUILT]), image);
    assert_eq!(docker.ok(&run_it), said);
    desk.close().await;
}

const BUILT: &str = "trial/built:1";

async fn events_are_told_as_they_happen(fleet: &Fleet) {
    let desk = Desk::open(fleet).await;
    let Desk { host, docker, .. } = &desk;
    let begin = now();
    let id = host.run_container(&[IMAGE, "sleep", "1000"]);
    let of_it = ["--filter", &format!("container={id}"), "--format", "{{.Action}}", "--since", &begin];
    let past = docker.ok(&[&["events", "--until", &now()], &of_it[..]].concat());
    assert_eq!(past, "create\nstart");
    let mut live = docker.start(&[&["events"], &of_it[..]].concat());
    eventually("the past", SOON, async || live.text() == "create\nstart\n").await;
    host.docker(&["pause", &id]);
    eventually("the present", SOON, async || live.text() == "create\nstart\npause\n").await;
    host.docker(&["unpause", &id]);
    eventually("what came later", SOON, async || live.text().ends_with("unpause\n")).await;
    assert_eq!(live.ended(), None);
    // its end here is its end at the engine, which `close` looks at
    drop(live);
    desk.close().await;
}

/// As the engine's clock has it, which is this machine's.
fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    format!("{}.{:09}", since.as_secs(), since.subsec_nanos())
}

/// A stack that goes with this, whatever became of the trial.
struct Stack<'a>(&'a Host, &'static str);

impl Drop for Stack<'_> {
    fn drop(&mut self) {
        self.0.clean_up(&["docker", "compose", "-p", self.1, "down", "-t", "0"]);
    }
}

async fn compose_brings_a_stack_up_and_down(fleet: &Fleet) {
    let desk = Desk::open(fleet).await;
    let Desk { host, docker, .. } = &desk;
    let _stack = Stack(host, "socketed");
    let service = |name: &str, command: &str| {
        json!({"image": IMAGE, "command": ["sh", "-c", command],
        "stop_grace_period": "0s", "container_name": format!("trial-{name}")})
    };
    let file = json!({"services": {
        "a": service("a", "echo a speaks; exec sleep 1000"),
        "b": service("b", "echo b speaks; exec sleep 1000"),
    }});
    fs::write(desk.file("stack.yml"), file.to_string()).unwrap();
    let compose =
        |words: &[&str]| docker.ok(&[&["compose", "-p", "socketed", "-f", "stack.yml"], words].concat());
    compose(&["up", "-d"]);
    let running = compose(&["ps", "--services", "--status", "running"]);
    assert_eq!(running.lines().count(), 2, "{running}");
    let asked = ["ps", "-q", "--filter", "label=com.docker.compose.project=socketed"];
    assert_eq!(host.docker(&asked).lines().count(), 2);
    eventually("both have spoken", SOON, async || {
        let said = compose(&["logs", "--no-color"]);
        said.contains("a speaks") && said.contains("b speaks")
    })
    .await;
    compose(&["down", "-t", "0"]);
    assert_eq!(host.docker(&["ps", "-aq", "--filter", asked[3]]), "");
    assert_eq!(host.docker(&["network", "ls", "-q", "--filter", asked[3]]), "");
    desk.close().await;
}
