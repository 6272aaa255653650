//! The predecessor's tools by their old names, on a real engine.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::trials::Trial;
use crate::support::wait::wait_for;
use crate::support::{Fleet, IMAGE, Service, ServiceConfig};
use crate::trials;

const SOON: Duration = Duration::from_secs(10);

pub fn trials() -> Vec<Trial> {
    trials![
        old_names_do_what_the_tools_do => 120,
        old_names_are_held_to_the_policy_of_a_host => 60,
    ]
}

/// A call by an old name about one container.
fn one(action: &str, container: &str, mut more: Value) -> Value {
    let about = [("action", action), ("host_id", "h1"), ("container_id", container)];
    let about = about.map(|(name, value)| (name.to_owned(), value.into()));
    more.as_object_mut().unwrap().extend(about);
    more
}

async fn old_names_do_what_the_tools_do(fleet: &Fleet) {
    const TOOL: &str = "docker_container";
    let host = fleet.host("h1");
    let service = Service::start(&ServiceConfig::none(fleet).with(host, &[]));
    service.wait_ready(&["h1"]).await;
    let script = "echo said; trap 'exit 0' TERM; while :; do sleep 0.1; done";
    host.run_container(&["--name", "web", "--network=none", IMAGE, "sh", "-c", script]);
    host.run_container(&["--name", "gone", "--network=none", IMAGE, "true"]);
    let ended = || host.docker(&["inspect", "-f", "{{.State.Status}}", "gone"]) == "exited";
    wait_for("one has ended", SOON, ended);
    let state = || host.docker(&["inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "web"]);

    // What is read is what the tools answer.
    let listed = service.structured(TOOL, json!({"action": "list", "host_id": "h1", "offset": 0})).await;
    let rows = listed["containers"].as_array().unwrap();
    assert!(rows.iter().any(|row| row["name"] == "web") && rows.iter().all(|row| row["name"] != "gone"));
    let all = json!({"action": "list", "host_id": "h1", "all_containers": true, "limit": 500});
    let same = json!({"hosts": "h1", "state": "all", "limit": 500});
    let (old, new) = (service.structured(TOOL, all).await, service.structured("container_list", same).await);
    assert_eq!(old["total"], new["total"]);
    assert!(old["containers"].as_array().unwrap().iter().any(|row| row["name"] == "gone"), "{old}");
    let info = service.structured(TOOL, one("info", "web", json!({}))).await;
    assert_eq!((&info["name"], &info["host"]), (&json!("web"), &json!("h1")));
    let logs = service.text(TOOL, one("logs", "web", json!({"lines": 10, "follow": false}))).await;
    assert!(logs.starts_with("Log of web on h1, 1 lines") && logs.contains("said"), "{logs}");
    let hosts = service.structured("docker_hosts", json!({})).await;
    assert_eq!(hosts["hosts"][0]["host"], "h1", "{hosts}");
    let tested =
        service.structured("docker_hosts", json!({"action": "test_connection", "host_id": "h1"})).await;
    assert!(tested["steps"].as_array().is_some_and(|steps| !steps.is_empty()), "{tested}");

    // What is changed is a job like any other.
    let stopped = service.structured(TOOL, one("stop", "web", json!({"timeout": 10}))).await;
    assert_eq!(
        (&stopped["state"], &stopped["tool"]),
        (&json!("done"), &json!("container_stop")),
        "{stopped}"
    );
    assert_eq!(state(), "exited 0");
    let started = service.structured(TOOL, one("start", "web", json!({"idempotency_key": "once"}))).await;
    assert_eq!((&started["state"], state()), (&json!("done"), "running 0".to_owned()), "{started}");
    let again = json!({"host": "h1", "containers": ["web"], "idempotency_key": "once"});
    let again = service.structured("container_start", again).await;
    assert_eq!((&again["job"], &again["joined"]), (&started["job"], &json!(true)), "{again}");
    let killed = service.structured(TOOL, one("stop", "web", json!({"force": true}))).await;
    assert_eq!((&killed["state"], state()), (&json!("done"), "exited 137".to_owned()), "{killed}");

    // A person agrees first, and to this container only.
    let plan = service.structured(TOOL, one("remove", "web", json!({}))).await;
    assert_eq!((&plan["state"], &plan["plan"][0]["name"]), (&json!("planned"), &json!("web")), "{plan}");
    let other = service.refusal(TOOL, one("remove", "gone", json!({"confirm": plan["confirm"]}))).await;
    assert!(other.starts_with("confirmation_required"), "{other}");
    assert_eq!(state(), "exited 137");
    let removed = service.structured(TOOL, one("remove", "web", json!({"confirm": plan["confirm"]}))).await;
    assert_eq!(removed["state"], "done", "{removed}");
    assert_eq!(host.docker(&["ps", "-aqf", "name=^web$"]), "");
    host.docker(&["rm", "-f", "gone"]);

    for (tool, arguments, words) in [
        (TOOL, one("remove", "--help", json!({})), "invalid_arguments"),
        (TOOL, one("stop", "c14 c15", json!({})), "invalid_arguments"),
        (
            "docker_compose",
            json!({"action": "up", "host_id": "h1", "stack_name": "web"}),
            "up is not there yet",
        ),
    ] {
        let told = service.refusal(tool, arguments).await;
        assert!(told.contains(words), "{told}");
    }
    let audit = service.home().run(&service.home().hosts_file(), &["audit", "--json"]).stdout;
    assert!(audit.contains("\"container_remove\"") && !audit.contains("docker_container"), "{audit}");
}

async fn old_names_are_held_to_the_policy_of_a_host(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.run_container(&["--name", "web", "--network=none", IMAGE, "sleep", "1000"]);
    let service = Service::start(&ServiceConfig::none(fleet).with(host, &["policy: ro"]));
    service.wait_ready(&["h1"]).await;
    let tools = service.client().tools().await;
    let actions = |name: &str| {
        let tool = tools.iter().find(|tool| tool["name"] == name).unwrap_or_else(|| panic!("{name}"));
        tool["inputSchema"]["properties"]["action"]["enum"].clone()
    };
    assert_eq!(
        actions("docker_container"),
        json!(["list", "info", "logs"]),
        "what no host permits is not there"
    );
    for (action, more) in [("stop", json!({})), ("remove", json!({"force": true})), ("start", json!({}))] {
        let refused = service.refusal("docker_container", one(action, "web", more)).await;
        assert!(refused.starts_with("policy_denied: "), "{action}: {refused}");
    }
    assert_eq!(host.docker(&["inspect", "-f", "{{.State.Running}}", "web"]), "true");
}
