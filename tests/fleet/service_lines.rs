//! The line to a host: one login, one request to a call, and nothing left behind.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::service_stacks::{Stacks, services};
use crate::support::processes::{self, Process};
use crate::support::recorder::{EngineRecorder, Recorded};
use crate::support::trials::Trial;
use crate::support::{Commands, Fleet, Host, IMAGE, Service, ServiceConfig, wait_for};
use crate::trials;

const SOON: Duration = Duration::from_secs(10);
const HOSTS: [&str; 3] = ["h1", "h2", "h3"];

pub fn trials() -> Vec<Trial> {
    trials![
        a_hundred_calls_take_one_login_to_a_host,
        a_list_is_one_request_to_each_engine,
        reading_only_reads,
        sigterm_leaves_nothing_behind,
        sigkill_leaves_nothing_on_the_hosts,
        where_sshd_forwards_nothing_dial_stdio_carries,
    ]
}

async fn a_hundred_calls_take_one_login_to_a_host(fleet: &Fleet) {
    let before: Vec<(usize, usize)> = fleet.hosts().iter().map(ssh_counts).collect();
    let service = Service::start(&ServiceConfig::all(fleet));
    service.wait_ready(&HOSTS).await;
    let mut calls = 0;
    while calls < 100 {
        calls += list_each(&service, 16).await;
        service.structured("host_list", json!({"probe": true})).await;
        service.structured("stack_list", json!({})).await;
        service.structured("host_test", json!({"host": "h1"})).await;
        calls += 3;
    }
    for (host, (logins, attempts)) in fleet.hosts().iter().zip(before) {
        assert_eq!(ssh_counts(host), (logins + 1, attempts + 1), "{}", host.name());
        assert_eq!(host.ssh_connections(), 1, "{}", host.name());
    }
}

/// So many lists of each host at once; how many calls that were. One about a single host may take longer than one about
/// several.
async fn list_each(service: &Service, times: usize) -> usize {
    let calls = HOSTS.iter().cycle().take(times * HOSTS.len());
    let calls = calls.map(|host| service.structured("container_list", json!({"hosts": host})));
    join_all(calls).await.len()
}

fn ssh_counts(host: &Host) -> (usize, usize) {
    (host.ssh_logins(), host.ssh_attempts())
}

async fn a_list_is_one_request_to_each_engine(fleet: &Fleet) {
    let recorders: Vec<_> = fleet.hosts().iter().map(Host::record_engine).collect();
    let sessions: Vec<_> = fleet.hosts().iter().map(Host::ssh_sessions).collect();
    let service = Service::start(&ServiceConfig::all(fleet));
    service.wait_ready(&HOSTS).await;
    clear(&recorders);
    for _ in 0..5 {
        service.structured("container_list", json!({})).await;
    }
    join_all((0..16).map(|_| service.structured("container_list", json!({})))).await;
    for (host, recorder) in fleet.hosts().iter().zip(&recorders) {
        let expected = format!("GET /v{}/containers/json?all=true", spoken_api(host));
        let seen = lines(&recorder.requests());
        assert!(seen.iter().all(|line| line.starts_with(&expected)), "{}: {seen:?}", host.name());
        assert_eq!(seen.len(), 21, "{}: {seen:?}", host.name());
        recorder.clear();
    }
    // nor is it a process or a session: the anchor's is all there is
    for (host, sessions) in fleet.hosts().iter().zip(sessions) {
        assert_eq!(host.ssh_sessions(), sessions + 1, "{}", host.name());
    }
    assert_eq!(processes::descendants(service.pid()).iter().filter(|child| child.name == "ssh").count(), 3);
    // where one host is asked, the others are left alone
    service.structured("container_list", json!({"hosts": "h2"})).await;
    let counts: Vec<usize> = recorders.iter().map(|recorder| recorder.requests().len()).collect();
    assert_eq!(counts, [0, 1, 0]);
    // the known state costs nobody anything
    clear(&recorders);
    service.structured("host_list", json!({})).await;
    let counts: Vec<usize> = recorders.iter().map(|recorder| recorder.requests().len()).collect();
    assert_eq!(counts, [0, 0, 0]);
}

fn clear(recorders: &[EngineRecorder]) {
    for recorder in recorders {
        recorder.clear();
    }
}

/// The engine's own version of the API, or the newest the service knows.
fn spoken_api(host: &Host) -> String {
    let theirs = host.docker(&["version", "-f", "{{.Server.APIVersion}}"]);
    let minor: u32 = theirs.strip_prefix("1.").and_then(|minor| minor.parse().ok()).expect("1.x");
    format!("1.{}", minor.min(53))
}

fn lines(requests: &[Recorded]) -> Vec<String> {
    requests.iter().map(|request| format!("{} {}", request.method, request.path)).collect()
}

/// How the commands begin that change nothing, and how they end where that matters: finding the engine, sockets, room on
/// a disk, compose's version, where a file lies, what is in it, what compose makes of it.
const READERS: [(&str, &str); 7] = [
    ("exec sh -c 'r=${XDG_RUNTIME_DIR:-", ""),
    ("grep -E -e ", ""),
    ("df -P -k ", ""),
    ("docker compose version ", ""),
    ("sh -c 'for p do case $p in ", ""),
    ("head -c 1048576 -- ", ""),
    ("docker compose --project-name shop ", " config"),
];

async fn reading_only_reads(fleet: &Fleet) {
    let host = fleet.host("h1");
    let [project, service_name] = ["com.docker.compose.project=labelled", "com.docker.compose.service=web"]
        .map(|label| ["--label", label]);
    let script = [IMAGE, "sh", "-c", "echo hello; exec sleep 1000"];
    let container = host.run_container(&[&project[..], &service_name, &script].concat());
    let mut stacks = Stacks::on(host);
    let file = stacks.write("/srv/labelled", "compose.yml", &services(&["app"]));
    stacks.up("shop", &[&file]);
    let before = host.docker(&["ps", "-a", "--no-trunc"]);
    let commands = Commands::record(host);
    let recorder = host.record_engine();
    let service = Service::start(&ServiceConfig::none(fleet).with(host, &[]));
    service.wait_ready(&["h1"]).await;
    let sections =
        ["summary", "config", "env", "mounts", "networks", "health", "limits", "processes", "changes"];
    let stack_sections = ["services", "config", "env", "networks", "volumes"];
    let image = json!({"host": "h1", "image": IMAGE, "sections": ["summary", "config", "history"]});
    let calls: [(&str, Value); 30] = [
        ("host_list", json!({"probe": true})),
        ("host_test", json!({"host": "h1"})),
        ("host_inspect", json!({"host": "h1"})),
        ("container_list", json!({"detail": "full"})),
        ("container_inspect", json!({"host": "h1", "container": container, "sections": sections})),
        ("container_logs", json!({"host": "h1", "container": container})),
        ("container_logs", json!({"host": "h1", "container": container, "since": "1h", "grep": "x"})),
        ("container_logs", json!({"host": "h1", "containers": [container, container], "follow": 1})),
        ("container_file_read", json!({"host": "h1", "container": container, "path": "/etc"})),
        ("container_stats", json!({})),
        ("port_list", json!({"check": 8080})),
        ("event_query", json!({})),
        ("fleet_status", json!({"min_severity": "info"})),
        ("fleet_search", json!({"query": "x"})),
        ("stack_list", json!({})),
        ("stack_file_read", json!({"host": "h1", "stack": "shop", "file": "compose"})),
        ("stack_file_read", json!({"host": "h1", "stack": "shop", "file": "env"})),
        ("stack_file_read", json!({"host": "h1", "stack": "shop", "file": "rendered"})),
        ("stack_inspect", json!({"host": "h1", "stack": "labelled", "sections": stack_sections})),
        ("stack_logs", json!({"host": "h1", "stack": "labelled", "follow": 1})),
        ("image_list", json!({})),
        ("image_inspect", image),
        ("image_updates", json!({})),
        ("volume_list", json!({})),
        ("network_list", json!({})),
        ("disk_usage", json!({"detail": "full"})),
        ("job_list", json!({"state": "all"})),
        ("job_get", json!({"job": "0".repeat(32)})),
        // what only tells what it would do
        (
            "prune",
            json!({"host": "h1", "what": ["containers", "networks", "images", "volumes", "build_cache"]}),
        ),
        ("container_recreate", json!({"host": "h1", "container": container, "dry_run": true})),
    ];
    let tools = service.client().tools().await;
    for tool in tools.iter().filter(|tool| tool["annotations"]["readOnlyHint"] == true) {
        assert!(calls.iter().any(|(name, _)| tool["name"] == *name), "{} is not tried here", tool["name"]);
    }
    for (tool, arguments) in calls {
        let answer = service.call(tool, arguments.clone()).await;
        let finds_none = tool == "job_get" || arguments["file"] == "env";
        assert_eq!(answer.is_error, finds_none, "{tool} {arguments}: {}", answer.text);
    }
    let seen = lines(&recorder.requests());
    assert!(seen.len() > 8, "{seen:?}");
    // a HEAD changes nothing either
    assert!(seen.iter().all(|line| line.starts_with("GET /") || line.starts_with("HEAD /")), "{seen:?}");
    let seen = commands.seen();
    let plain = |command: &String| {
        let marked =
            command.strip_prefix("env 'DOCKMASTER_OPERATION=").and_then(|rest| rest.split_once("' "));
        marked.map_or_else(|| command.clone(), |(_, command)| command.to_owned())
    };
    let seen: Vec<String> = seen.iter().map(plain).collect();
    for (begin, end) in READERS {
        let is_it = |command: &&String| command.starts_with(begin) && command.ends_with(end);
        assert!(seen.iter().any(|command| is_it(&command)), "nothing was read by {begin:?}: {seen:#?}");
    }
    let reads = |command: &&String| {
        READERS.iter().any(|(begin, end)| command.starts_with(begin) && command.ends_with(end))
    };
    assert_eq!(seen.iter().find(|command| !reads(command)), None, "{seen:#?}");
    assert_eq!(host.docker(&["ps", "-a", "--no-trunc"]).lines().count(), before.lines().count());
}

async fn sigterm_leaves_nothing_behind(fleet: &Fleet) {
    // one host on the detour, whose streams are sessions
    fleet.host("h3").sshd_options(&["AllowStreamLocalForwarding no"]);
    let service = Service::start(&ServiceConfig::all(fleet));
    service.wait_ready(&HOSTS).await;
    join_all((0..16).map(|_| service.structured("container_list", json!({})))).await;
    let children = children_of(&service);
    assert!(children.iter().filter(|child| child.name == "ssh").count() >= 3, "{children:?}");
    assert_eq!(service.home().runtime_entries(), [service.pid().to_string()]);
    let (status, home) = service.stop();
    assert_eq!(status.code(), Some(0));
    // at once: the service waits for its processes
    let left: Vec<&Process> = children.iter().filter(|child| child.lives()).collect();
    assert!(left.is_empty(), "{left:?}");
    assert_eq!(home.runtime_entries(), [""; 0]);
    wait_until_hosts_are_rid_of_us(fleet);
}

async fn sigkill_leaves_nothing_on_the_hosts(fleet: &Fleet) {
    fleet.host("h3").sshd_options(&["AllowStreamLocalForwarding no"]);
    let service = Service::start(&ServiceConfig::all(fleet));
    service.wait_ready(&HOSTS).await;
    join_all((0..16).map(|_| service.structured("container_list", json!({})))).await;
    let (pid, children) = (service.pid(), children_of(&service));
    let home = service.kill();
    wait_for("the end of its processes", SOON, || children.iter().all(|child| !child.lives()));
    wait_until_hosts_are_rid_of_us(fleet);
    // what it could not remove itself, its successor does
    assert_eq!(home.runtime_entries(), [pid.to_string()]);
    let successor = Service::start_in(home);
    assert_eq!(successor.home().runtime_entries(), [successor.pid().to_string()]);
    successor.wait_ready(&HOSTS).await;
}

/// The service's processes, itself left out.
fn children_of(service: &Service) -> Vec<Process> {
    let mut found = processes::descendants(service.pid());
    found.retain(|process| process.pid != service.pid());
    found
}

fn wait_until_hosts_are_rid_of_us(fleet: &Fleet) {
    for host in fleet.hosts() {
        let what = format!("no session and no process of ours on {}", host.name());
        wait_for(&what, SOON, || processes::from_ssh(&host.processes()).is_empty());
    }
}

async fn where_sshd_forwards_nothing_dial_stdio_carries(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.sshd_options(&["AllowStreamLocalForwarding no"]);
    let logins = host.ssh_logins();
    let recorder = host.record_engine();
    let service = Service::start(&ServiceConfig::all(fleet));
    service.wait_ready(&HOSTS).await;
    for (name, carrier) in [("h1", "dial_stdio"), ("h2", "forward")] {
        let tested = service.structured("host_test", json!({"host": name})).await;
        assert_eq!((&tested["ok"], &tested["carrier"]), (&json!(true), &json!(carrier)), "{tested}");
        let steps: Vec<&str> =
            tested["steps"].as_array().unwrap().iter().filter_map(|step| step["step"].as_str()).collect();
        assert_eq!(steps, ["ssh_login", "shell", "engine_socket", "engine_ping", "compose"], "{tested}");
    }
    recorder.clear();
    list_each(&service, 40).await;
    let seen = lines(&recorder.requests());
    assert_eq!(seen.iter().filter(|line| line.contains("/containers/json")).count(), 40, "{seen:?}");
    assert_eq!(host.ssh_logins(), logins + 1);
    // each in a session of its own, and a host grants ten
    let carrying = host.processes_matching("^docker.* dial-stdio").len();
    assert!((1..=3).contains(&carrying), "two for calls and one for events: {carrying} dial-stdio processes");
    drop(service);
    wait_until_hosts_are_rid_of_us(fleet);
}
