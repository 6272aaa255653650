//! Every old action, as the call that it is.

use super::*;
use crate::mcp::tool::Tool;
use std::collections::BTreeSet;

fn old(name: &str) -> OldTool {
    all().into_iter().find(|tool| tool.about.name == name).unwrap()
}

fn object(value: Value) -> Object {
    let Value::Object(object) = value else { panic!("{value}") };
    object
}

/// What a call comes to where everything is offered.
fn meant(tool: &str, arguments: Value) -> Result<(&'static str, Value), String> {
    let meant = old(tool).meant(object(arguments), |_| true);
    meant.map(|(tool, arguments)| (tool, Value::Object(arguments))).map_err(|error| error.text())
}

#[track_caller]
fn comes_to(tool: &str, cases: &[(Value, &str, Value)]) {
    let mut met = BTreeSet::new();
    for (given, tool_now, arguments) in cases {
        assert_eq!(meant(tool, given.clone()), Ok((*tool_now, arguments.clone())), "{given}");
        met.insert(given["action"].as_str().unwrap_or_default().to_owned());
    }
    for action in old(tool).actions {
        assert!(met.contains(action.word), "{} is not tried here", action.word);
    }
}

#[test]
fn actions_of_docker_hosts_are_calls_of_tools() {
    let tool = "docker_hosts";
    assert_eq!(meant(tool, json!({})), Ok(("host_list", json!({}))), "what is meant when nothing is said");
    comes_to(
        tool,
        &[
            (json!({"action": "list"}), "host_list", json!({})),
            (json!({"action": "list", "host_id": "nas"}), "host_list", json!({"hosts": "nas"})),
            (json!({"action": "discover", "host_id": "all"}), "stack_list", json!({})),
            (json!({"action": "discover", "host_id": "nas"}), "stack_list", json!({"hosts": "nas"})),
            (json!({"action": "test_connection", "host_id": "nas"}), "host_test", json!({"host": "nas"})),
            (json!({"action": "ports", "port": 0}), "port_list", json!({})),
            (
                json!({"action": "ports", "host_id": "nas", "port": 80, "cursor": "c"}),
                "port_list",
                json!({"hosts": "nas", "check": 80, "cursor": "c"}),
            ),
            (json!({"action": "disk_usage", "host_id": ""}), "disk_usage", json!({})),
            (
                json!({"action": "add", "host_id": "nas", "ssh_host": "nas.lan", "ssh_user": "ops",
                    "ssh_port": 2201, "description": "d", "tags": ["a"], "idempotency_key": "k"}),
                "host_add",
                json!({"name": "nas", "target": "ssh://ops@nas.lan:2201", "description": "d", "tags": ["a"],
                    "idempotency_key": "k"}),
            ),
            (
                json!({"action": "add", "host_id": "six", "ssh_host": "fd00::7", "ssh_port": 22}),
                "host_add",
                json!({"name": "six", "target": "ssh://[fd00::7]:22"}),
            ),
            (json!({"action": "import_ssh"}), "host_import", json!({})),
            (json!({"action": "import_ssh", "selected_hosts": "all"}), "host_import", json!({})),
            (
                json!({"action": "import_ssh", "selected_hosts": "nas, pi*,", "dry_run": true}),
                "host_import",
                json!({"pattern": "{nas,pi[*]}", "dry_run": true}),
            ),
            (
                json!({"action": "edit", "host_id": "nas", "description": "d", "ssh_port": 22}),
                "host_update",
                json!({"host": "nas", "description": "d"}),
            ),
            (
                json!({"action": "edit", "host_id": "nas", "ssh_host": "new", "enabled": false, "tags": []}),
                "host_update",
                json!({"host": "nas", "target": "ssh://new", "enabled": false, "tags": []}),
            ),
            (
                json!({"action": "remove", "host_id": "nas", "confirm": "c"}),
                "host_remove",
                json!({"host": "nas", "confirm": "c"}),
            ),
            (
                json!({"action": "cleanup", "host_id": "nas", "cleanup_type": "safe", "dry_run": false, "wait": 1}),
                "prune",
                json!({"host": "nas", "what": ["containers", "networks", "build_cache"], "dry_run": false,
                    "wait": 1}),
            ),
            (
                json!({"action": "cleanup", "host_id": "nas", "cleanup_type": "moderate", "confirm": "c"}),
                "prune",
                json!({"host": "nas", "what": ["containers", "networks", "build_cache", "images"], "confirm": "c"}),
            ),
            (
                json!({"action": "cleanup", "host_id": "nas", "cleanup_type": "aggressive"}),
                "prune",
                json!({"host": "nas", "what": ["containers", "networks", "build_cache", "images", "volumes"]}),
            ),
            (
                json!({"action": "cleanup", "host_id": "nas", "cleanup_type": "check", "dry_run": false}),
                "prune",
                json!({"host": "nas", "what": ["containers", "networks", "build_cache", "images", "volumes"],
                    "dry_run": true}),
            ),
        ],
    );
}

#[test]
fn actions_of_docker_container_are_calls_of_tools() {
    let one = |action: &str| json!({"action": action, "host_id": "nas", "container_id": "web"});
    let with = |action: &str, more: Value| {
        let mut arguments = object(one(action));
        arguments.extend(object(more));
        Value::Object(arguments)
    };
    let web = json!({"host": "nas", "containers": ["web"]});
    comes_to(
        "docker_container",
        &[
            (json!({"action": "list"}), "container_list", json!({"state": "running", "limit": 20})),
            (
                json!({"action": "list", "host_id": "nas", "all_containers": true, "limit": 5, "cursor": "c", "offset": 0}),
                "container_list",
                json!({"hosts": "nas", "state": "all", "limit": 5, "cursor": "c"}),
            ),
            (one("info"), "container_inspect", json!({"host": "nas", "container": "web"})),
            (one("logs"), "container_logs", json!({"host": "nas", "container": "web", "tail": 100})),
            (
                with("logs", json!({"lines": 7, "follow": true, "cursor": "c"})),
                "container_logs",
                json!({"host": "nas", "container": "web", "tail": 7, "follow": 30, "cursor": "c"}),
            ),
            (
                with("logs", json!({"follow": false, "force": false, "timeout": 10, "image_name": ""})),
                "container_logs",
                json!({"host": "nas", "container": "web", "tail": 100}),
            ),
            (one("start"), "container_start", web.clone()),
            (
                with("stop", json!({"timeout": 3, "idempotency_key": "k", "wait": 1})),
                "container_stop",
                json!({"host": "nas", "containers": ["web"], "timeout": 3, "idempotency_key": "k", "wait": 1}),
            ),
            (
                with("stop", json!({"force": true})),
                "container_stop",
                json!({"host": "nas", "containers": ["web"], "mode": "kill"}),
            ),
            (
                with("stop", json!({"force": false})),
                "container_stop",
                json!({"host": "nas", "containers": ["web"], "mode": "stop"}),
            ),
            (
                with("restart", json!({"timeout": 3})),
                "container_restart",
                json!({"host": "nas", "containers": ["web"], "timeout": 3}),
            ),
            (
                with("remove", json!({"force": true, "dry_run": true, "confirm": "c"})),
                "container_remove",
                json!({"host": "nas", "containers": ["web"], "force": true, "dry_run": true, "confirm": "c"}),
            ),
            (
                json!({"action": "pull", "host_id": "nas", "image_name": "nginx:1", "wait": 2}),
                "image_pull",
                json!({"hosts": "nas", "image": "nginx:1", "wait": 2}),
            ),
            (one("pull"), "image_pull", json!({"hosts": "nas", "image": "web"})),
        ],
    );
    // two in one name are one name, and no option is one
    let (_, two) =
        meant("docker_container", json!({"action": "stop", "host_id": "h", "container_id": "c14 c15"}))
            .unwrap();
    assert_eq!(two["containers"], json!(["c14 c15"]));
}

#[test]
fn actions_of_docker_compose_are_calls_of_tools() {
    comes_to(
        "docker_compose",
        &[
            (
                json!({"action": "list", "host_id": "nas", "dry_run": false}),
                "stack_list",
                json!({"hosts": "nas"}),
            ),
            (json!({"action": "discover", "pull_images": true}), "stack_list", json!({})),
            (
                json!({"action": "view", "host_id": "nas", "stack_name": "web_1"}),
                "stack_file_read",
                json!({"host": "nas", "stack": "web_1"}),
            ),
            (
                json!({"action": "ps", "host_id": "nas", "stack_name": "web", "lines": 100}),
                "stack_inspect",
                json!({"host": "nas", "stack": "web", "sections": ["services"]}),
            ),
            (
                json!({"action": "logs", "host_id": "nas", "stack_name": "web", "follow": false}),
                "stack_logs",
                json!({"host": "nas", "stack": "web"}),
            ),
            (
                json!({"action": "logs", "host_id": "nas", "stack_name": "web", "lines": 7, "follow": true,
                    "cursor": "c"}),
                "stack_logs",
                json!({"host": "nas", "stack": "web", "tail": 7, "follow": 30, "cursor": "c"}),
            ),
        ],
    );
}

#[test]
fn what_asks_for_something_else_is_refused_and_says_why() {
    for (tool, arguments, words) in [
        ("docker_container", json!({}), "action is missing"),
        ("docker_container", json!({"action": 1}), "action is a text"),
        ("docker_container", json!({"action": "LIST"}), "there is no action \"LIST\""),
        ("docker_container", json!({"action": "inf"}), "\"info\""),
        ("docker_container", json!({"action": "stop", "container_id": "web"}), "stop needs host_id"),
        (
            "docker_container",
            json!({"action": "stop", "host_id": "", "container_id": "web"}),
            "stop needs host_id",
        ),
        ("docker_container", json!({"action": "list", "offset": 20}), "list takes no offset any more"),
        ("docker_container", json!({"action": "list", "lines": 7}), "list takes no lines"),
        (
            "docker_container",
            json!({"action": "stop", "host_id": "h", "container_id": "a", "dry_run": true}),
            "takes no dry_run",
        ),
        ("docker_container", json!({"action": "list", "limit": "many"}), "docker_container: limit: "),
        ("docker_container", json!({"action": "list", "host": "h"}), "unknown field `host`"),
        ("docker_compose", json!({"action": "deploy", "stack_name": "web"}), "deploy is not there yet"),
        ("docker_compose", json!({"action": "migrate"}), "migrate is not there yet"),
        (
            "docker_compose",
            json!({"action": "view", "host_id": "h", "stack_name": "s", "options": {"a": "b"}}),
            "takes no options any more",
        ),
        (
            "docker_hosts",
            json!({"action": "add", "host_id": "h", "ssh_host": "a", "ssh_key_path": "/k"}),
            "takes no ssh_key_path",
        ),
        ("docker_hosts", json!({"action": "edit", "host_id": "h", "ssh_user": "root"}), "come with ssh_host"),
        ("docker_hosts", json!({"action": "edit", "host_id": "h", "ssh_port": 2201}), "come with ssh_host"),
        ("docker_hosts", json!({"action": "cleanup", "host_id": "h", "cleanup_type": "all"}), "cleanup_type"),
        (
            "docker_hosts",
            json!({"action": "cleanup", "host_id": "h", "cleanup_type": "check", "confirm": "c"}),
            "check removes nothing",
        ),
    ] {
        let told = meant(tool, arguments.clone()).unwrap_err();
        assert!(told.starts_with("invalid_arguments: ") && told.contains(words), "{arguments}: {told}");
    }
}

/// A value of the right type for each old parameter.
fn sample(parameter: &str) -> Value {
    match parameter {
        "all_containers" | "follow" | "force" | "enabled" | "dry_run" => true.into(),
        "limit" | "lines" | "timeout" | "port" | "ssh_port" | "wait" => 7.into(),
        "tags" => json!(["t"]),
        "cleanup_type" => "safe".into(),
        other => other.into(),
    }
}

/// A call of each action with what it cannot do without.
pub(in crate::mcp) fn least(old: &OldTool) -> Vec<(&'static str, Object)> {
    let call = |action: &Action| {
        let mut least = Object::from_iter([(ACTION.to_owned(), action.word.into())]);
        least.extend(action.needs.iter().map(|needed| ((*needed).to_owned(), sample(needed))));
        if action.word == "pull" {
            least.insert("image_name".to_owned(), "nginx".into());
        }
        (action.word, least)
    };
    old.actions.iter().map(call).collect()
}

/// Whatever an action takes is a parameter of its tool, and of the right type there.
#[test]
fn an_action_fits_its_tool() {
    let tools = crate::mcp::tools::all();
    for old in all() {
        for (action, (_, least)) in old.actions.iter().zip(least(&old)) {
            let name = format!("{} {}", old.about.name, action.word);
            let tool: &Tool = tools.iter().find(|tool| tool.about.name == action.tool).expect(action.tool);
            let mut most = least.clone();
            most.extend(action.takes.iter().map(|(taken, _)| ((*taken).to_owned(), sample(taken))));
            let schema = Value::Object(Object::clone(&tool.input));
            let schema = jsonschema::validator_for(&schema).unwrap();
            for arguments in [least, most] {
                let (_, passed) = old.meant(arguments, |_| true).unwrap();
                let passed = Value::Object(passed);
                if let Err(error) = schema.validate(&passed) {
                    panic!("{name}: {passed}: {error}");
                }
            }
        }
    }
}

#[test]
fn only_actions_whose_tools_are_offered_are_there() {
    let offered = |name: &str| matches!(name, "container_list" | "container_logs");
    let old = old("docker_container");
    let input = old.input(offered);
    assert_eq!(input["properties"]["action"]["enum"], json!(["list", "logs"]));
    assert_eq!(input["required"], json!(["action"]));
    let names: BTreeSet<&str> = input["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    let taken = ["action", "host_id", "container_id", "all_containers", "limit", "cursor", "lines", "follow"];
    assert_eq!(names, taken.into(), "what no action takes is left out");
    let stop = object(json!({"action": "stop", "host_id": "h", "container_id": "a"}));
    let told = old.meant(stop, offered).unwrap_err();
    assert_eq!(told.kind, ErrorKind::PolicyDenied);
    assert!(
        told.text().contains("container_stop, which is not offered") && told.text().contains("list, logs")
    );
    assert!(!old.is_for_something(|name| name == "host_list"));
}
