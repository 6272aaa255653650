//! Docker contexts beside the running service: those that follow its hosts, those a person asks for, and
//! those that are somebody else's.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use serde_json::json;

use crate::support::service::{Ended, Home};
use crate::support::trials::Trial;
use crate::support::{Docker, Fleet, Host, IMAGE, Service, ServiceConfig, eventually, script};
use crate::trials;

const SOON: Duration = Duration::from_secs(10);

pub fn trials() -> Vec<Trial> {
    trials![
        a_context_is_made_again_led_back_and_goes_with_its_host,
        a_context_has_the_name_that_is_configured,
        a_foreign_context_is_named_and_left_until_adopted,
        installed_contexts_and_env_lead_through_the_socket,
        without_a_docker_client_all_else_works,
    ]
}

/// Where a context leads; nothing when there is none.
fn endpoint(docker: &Docker, name: &str) -> Option<String> {
    let ran = docker.run(&["context", "inspect", name, "-f", "{{.Endpoints.docker.Host}}"]);
    ran.ok().then(|| ran.stdout.trim().to_owned())
}

async fn leads_to(docker: &Docker, name: &str, place: &str) {
    let what = format!("{name} leads to {place}");
    eventually(&what, SOON, async || endpoint(docker, name).as_deref() == Some(place)).await;
}

fn way_to(host: &Host) -> String {
    format!("ssh://ops@{}", host.address())
}

fn told(service: &Service, words: &str) -> usize {
    service.log().iter().filter(|line| line.contains(words)).count()
}

/// Cuts the line and waits for the next one: that is when contexts are looked at.
async fn reconnect(service: &Service, host: &Host) {
    let lost = told(service, r#""from":"ready""#);
    host.kill_ssh_sessions();
    eventually("the line is lost", SOON, async || told(service, r#""from":"ready""#) == lost + 1).await;
    service.wait_ready(&[host.name()]).await;
}

fn rewrite(service: &Service, config: &ServiceConfig) {
    let new = service.home().path().join("new.yml");
    fs::write(&new, config.yaml()).unwrap();
    // as editors do
    fs::rename(new, service.home().hosts_file()).unwrap();
}

/// A command of dockmaster's own beside the service.
fn dockmaster(home: &Home, args: &[&str]) -> Ended {
    home.run(&home.hosts_file(), args)
}

fn succeeds(home: &Home, args: &[&str]) -> String {
    let ended = dockmaster(home, args);
    assert!(ended.status.success(), "{args:?}: {ended:?}");
    ended.stdout
}

async fn a_context_is_made_again_led_back_and_goes_with_its_host(fleet: &Fleet) {
    let [h1, h2] = ["h1", "h2"].map(|name| fleet.host(name));
    let both = ServiceConfig::none(fleet).with(h1, &[]).with(h2, &[]);
    let service = Service::start(&both);
    service.wait_ready(&["h1", "h2"]).await;
    let docker = Docker::of(service.home());
    leads_to(&docker, "docker-mcp-h1", &way_to(h1)).await;
    leads_to(&docker, "docker-mcp-h2", &way_to(h2)).await;

    docker.ok(&["context", "rm", "docker-mcp-h1"]);
    reconnect(&service, h1).await;
    leads_to(&docker, "docker-mcp-h1", &way_to(h1)).await;
    docker.ok(&["context", "update", "docker-mcp-h1", "--docker", "host=ssh://elsewhere"]);
    reconnect(&service, h1).await;
    leads_to(&docker, "docker-mcp-h1", &way_to(h1)).await;
    // a context is there a moment before the log says so
    eventually("what was done is told", SOON, async || {
        (told(&service, "Docker context made"), told(&service, "Docker context led back")) == (3, 1)
    })
    .await;

    rewrite(&service, &ServiceConfig::none(fleet).with(h2, &[]));
    eventually("it goes", SOON, async || endpoint(&docker, "docker-mcp-h1").is_none()).await;
    assert_eq!(endpoint(&docker, "docker-mcp-h2"), Some(way_to(h2)));
}

async fn a_context_has_the_name_that_is_configured(fleet: &Fleet) {
    let host = fleet.host("h1");
    let service = Service::start(&ServiceConfig::none(fleet).with(host, &["docker_context: lab"]));
    service.wait_ready(&["h1"]).await;
    let docker = Docker::of(service.home());
    leads_to(&docker, "lab", &way_to(host)).await;
    assert_eq!(endpoint(&docker, "docker-mcp-h1"), None);
    rewrite(&service, &ServiceConfig::none(fleet).with(host, &["docker_context: attic"]));
    eventually("the old name goes", SOON, async || endpoint(&docker, "lab").is_none()).await;
    leads_to(&docker, "attic", &way_to(host)).await;
}

async fn a_foreign_context_is_named_and_left_until_adopted(fleet: &Fleet) {
    let host = fleet.host("h1");
    let home = Home::new(&ServiceConfig::none(fleet).with(host, &[]));
    let docker = Docker::of(&home);
    docker.ok(&["context", "create", "docker-mcp-h1", "--docker", "host=ssh://elsewhere"]);
    let service = Service::start_in(home);
    service.wait_ready(&["h1"]).await;
    let named = "the Docker context docker-mcp-h1 leads to ssh://elsewhere and is not Dockmaster's";
    eventually("it is named", SOON, async || told(&service, named) == 1).await;
    reconnect(&service, host).await;
    // nobody is to have it but by an order
    succeeds(service.home(), &["context", "remove"]);
    assert_eq!(endpoint(&docker, "docker-mcp-h1").as_deref(), Some("ssh://elsewhere"));
    succeeds(service.home(), &["context", "adopt", "h1"]);
    assert_eq!(endpoint(&docker, "docker-mcp-h1"), Some(way_to(host)));
    let listed = succeeds(service.home(), &["context", "list"]);
    let row = listed.lines().find(|line| line.starts_with("docker-mcp-h1 ")).expect("its row");
    assert!(row.ends_with("dockmaster's"), "{listed}");
    // the same trouble was not told at every reconnect
    assert_eq!(told(&service, named), 1);
}

async fn installed_contexts_and_env_lead_through_the_socket(fleet: &Fleet) {
    let [h1, h2] = ["h1", "h2"].map(|name| fleet.host(name));
    let id = h1.run_container(&[IMAGE, "sleep", "1000"]);
    let service = Service::start(&ServiceConfig::none(fleet).with(h1, &[]).with(h2, &["policy: ro"]));
    service.wait_ready(&["h1", "h2"]).await;
    let logins = h1.ssh_logins();
    let home = service.home();
    let docker = Docker::of(home);
    docker.ok(&["context", "create", "mine", "--docker", "host=ssh://elsewhere"]);
    leads_to(&docker, "docker-mcp-h1", &way_to(h1)).await;

    let installed = succeeds(home, &["context", "install"]);
    // a host that has no socket needs no context on it
    assert_eq!(installed.lines().count(), 1, "{installed}");
    let socket = home.runtime_dir().join("s/h1.sock").display().to_string();
    assert_eq!(endpoint(&docker, "dockmaster-h1"), Some(format!("unix://{socket}")));
    assert_eq!(docker.ok(&["--context", "dockmaster-h1", "ps", "-q", "--no-trunc"]), id);

    let line = succeeds(home, &["env", "h1"]);
    let in_sh = docker.limited(&["sh", "-c", "eval \"$1\"; docker ps -q --no-trunc", "sh", &line]).output();
    let in_sh = in_sh.unwrap();
    assert_eq!(String::from_utf8_lossy(&in_sh.stdout).trim(), id, "{in_sh:?}");
    let refused = dockmaster(home, &["env", "h2"]);
    assert!(!refused.status.success() && refused.stderr.contains("policy"), "{refused:?}");
    assert_eq!(h1.ssh_logins(), logins);

    succeeds(home, &["context", "remove"]);
    let left = docker.ok(&["context", "ls", "-q"]);
    assert_eq!(left.lines().collect::<Vec<_>>(), ["default", "mine"]);
    let (_, home) = service.stop();
    let refused = dockmaster(&home, &["env", "h1"]);
    assert!(refused.stdout.is_empty() && refused.stderr.contains("dockmaster serve"), "{refused:?}");
}

async fn without_a_docker_client_all_else_works(fleet: &Fleet) {
    let [h1, h2] = ["h1", "h2"].map(|name| fleet.host(name));
    let config = ServiceConfig::none(fleet).with(h1, &[]).with(h2, &[]);
    let programs = crate::support::temp_dir();
    for name in ["ssh", "sh"] {
        let found = script::run("sh", &["-c", "command -v \"$0\"", name], SOON).stdout;
        symlink(found.trim(), programs.path().join(name)).unwrap();
    }
    let service = Service::start(&config.variable("PATH", programs.path().to_str().unwrap()));
    service.wait_ready(&["h1", "h2"]).await;
    let docker = Docker::of(service.home());
    eventually("that is told", SOON, async || told(&service, "no docker client") > 0).await;
    reconnect(&service, h1).await;
    reconnect(&service, h2).await;
    for host in ["h1", "h2"] {
        service.structured("container_list", json!({"hosts": host})).await;
    }
    Docker::through(service.home(), "h1").ok(&["ps"]);
    assert_eq!(docker.ok(&["context", "ls", "-q"]), "default");
    // once, however many hosts and reconnects there are
    assert_eq!(told(&service, "no docker client"), 1);
}
