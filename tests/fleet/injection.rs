//! Names that could be read as something else, given to every tool wherever it takes a name.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::service_stacks::{Stacks, services};
use crate::support::recorder::EngineRecorder;
use crate::support::trials::Trial;
use crate::support::{Commands, Fleet, Host, IMAGE, Service, ServiceConfig, ToolAnswer, wait_for};
use crate::trials;

const SOON: Duration = Duration::from_secs(20);
/// Two names in one, options, paths, shells, lines, other scripts.
const BAD: [&str; 12] = [
    "c14 c15",
    "--help",
    "-v",
    "",
    "a\nb",
    "../images",
    "a/../../b",
    "$(id)",
    "a;b",
    "\u{202e}a",
    "\u{e4}",
    "a\0b",
];

pub fn trials() -> Vec<Trial> {
    trials![what_is_no_name_does_nothing_anywhere => 180]
}

/// What they are answered: before anything is done, and never by an engine.
const REFUSED: [&str; 2] = ["invalid_arguments: ", "host_unknown: "];

/// A value for a parameter that is a name, as it is good; `None` for all others.
fn good(parameter: &str) -> Option<Value> {
    Some(match parameter {
        "host" | "hosts" => json!("nas"),
        "to_host" => json!("pi"),
        "to" => json!(["pi"]),
        "context" => json!("/srv/app"),
        "dockerfile" => json!("deploy/Dockerfile"),
        "container" => json!("app"),
        "containers" => json!(["app"]),
        "image" => json!("old"),
        "platform" => json!("linux/amd64"),
        "target" => json!("ops@nas"),
        "images" => json!(["old"]),
        "tag" => json!("mine:1"),
        "volume" => json!("data"),
        "volumes" => json!(["data"]),
        "network" => json!("back"),
        "networks" => json!(["back"]),
        "name" | "rename" | "to_volume" => json!("fresh"),
        "driver" => json!("local"),
        "subnet" => json!("10.1.0.0/24"),
        "aliases" => json!(["db"]),
        "job" => json!("0198c2"),
        "stack" => json!("shop"),
        _ => return None,
    })
}

/// What a tool requires, with good names.
fn required(tool: &Value) -> Map<String, Value> {
    let required = tool["inputSchema"]["required"].as_array().into_iter().flatten();
    // one of two ways to name what is read
    let either = (tool["name"] == "container_logs").then(|| json!("container"));
    required
        .chain(&either)
        .map(|parameter| {
            let parameter = parameter.as_str().expect("a name");
            let value = good(parameter).unwrap_or_else(|| match parameter {
                "what" => json!(["containers"]),
                "path" => json!("/etc/hosts"),
                "tags" => json!(["app:1"]),
                "operation" => json!("restart"),
                "selector" => json!("app"),
                "command" => json!(["true"]),
                other => json!(other),
            });
            (parameter.to_owned(), value)
        })
        .collect()
}

/// What of these names a host has.
fn make(host: &Host) {
    // the first bad name would be two of them
    for name in ["app", "c14", "c15"] {
        host.run_container(&["--name", name, "--network=none", IMAGE, "sleep", "100000"]);
    }
    host.docker(&["tag", IMAGE, "old"]);
    host.docker(&["volume", "create", "data"]);
    host.docker(&["network", "create", "back"]);
}

/// All that a change could change, line by line: an engine lists images of one time in any order.
fn state(host: &Host) -> BTreeSet<String> {
    let asked: [&[&str]; 4] = [
        &["ps", "-a", "--no-trunc", "--format", "{{.ID}} {{.Names}} {{.State}}"],
        &["images", "-a", "--no-trunc"],
        &["volume", "ls"],
        &["network", "ls", "--no-trunc"],
    ];
    asked.iter().flat_map(|words| host.docker(words).lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

async fn what_is_no_name_does_nothing_anywhere(fleet: &Fleet) {
    let hosts = ["h1", "h2"].map(|name| fleet.host(name));
    for host in hosts {
        make(host);
    }
    let mut stacks = Stacks::on(hosts[0]);
    let compose = stacks.write("/srv/shop", "compose.yml", &services(&["app"]));
    stacks.up("shop", &[&compose]);
    stacks.write("/srv/app/deploy", "Dockerfile", &format!("FROM {IMAGE}\n"));
    let commands = hosts.map(Commands::record);
    let recorders = hosts.map(Host::record_engine);
    // nobody is asked: what is understood is done
    let config = hosts
        .iter()
        .zip(["nas", "pi"])
        .fold(ServiceConfig::none(fleet).server("confirm_fallback: allow"), |config, (host, id)| {
            config.entry(id, &[&format!("hostname: {}", host.address()), "user: ops"])
        });
    let service = Service::start(&config);
    service.wait_ready(&["nas", "pi"]).await;
    for recorder in &recorders {
        recorder.clear();
    }
    let before = hosts.map(state);
    let known = commands.each_ref().map(|commands| commands.seen().len());
    let config_file = std::fs::read(service.home().hosts_file()).expect("a hosts file");

    let mut tried = 0;
    let tools = service.client().tools().await;
    for tool in &tools {
        let name = tool["name"].as_str().expect("a name");
        let required = required(tool);
        let parameters = tool["inputSchema"]["properties"].as_object().expect("an object");
        // a filter that nothing passes is an answer
        let is_name = |parameter: &&String| {
            good(parameter).is_some() && (name, parameter.as_str()) != ("container_list", "stack")
        };
        for parameter in parameters.keys().filter(is_name) {
            for bad in BAD {
                let is_list = good(parameter).is_some_and(|value| value.is_array());
                let mut arguments = required.clone();
                arguments.insert(parameter.clone(), if is_list { json!([bad]) } else { json!(bad) });
                let ToolAnswer { is_error, text, .. } = service.call(name, Value::Object(arguments)).await;
                let what = format!("{name}.{parameter} = {bad:?}: {text}");
                assert!(is_error && REFUSED.iter().any(|kind| text.starts_with(kind)), "{what}");
                assert!(text.len() < 2000 && !text.contains(['\0', '\u{202e}']), "{what}");
                tried += 1;
            }
        }
    }
    assert!(tried > 500, "{tried}");
    let asked = recorders.iter().flat_map(EngineRecorder::requests);
    assert_eq!(asked.filter(|request| request.method != "GET").collect::<Vec<_>>(), []);
    assert_eq!(hosts.map(state), before);
    for (commands, known) in commands.iter().zip(known) {
        assert_eq!(commands.seen()[known..], [""; 0]);
    }
    assert_eq!(std::fs::read(service.home().hosts_file()).expect("a hosts file"), config_file);

    // It was the name that was refused: with a good one what is read is answered, and what changes is planned.
    let mut understood = 0;
    for tool in &tools {
        let name = tool["name"].as_str().expect("a name");
        let mut arguments = required(tool);
        if tool["inputSchema"]["properties"].get("dry_run").is_some() {
            arguments.insert("dry_run".to_owned(), true.into());
        } else if tool["annotations"]["readOnlyHint"] != true {
            continue;
        }
        // there is no such job, and the predecessor's tools say by a word what they are to do
        if arguments.contains_key("job") || name.starts_with("docker_") {
            continue;
        }
        let answer = service.call(name, Value::Object(arguments)).await;
        assert!(!answer.is_error, "{name}: {}", answer.text);
        understood += 1;
    }
    assert!(understood > 25, "{understood}");
    // and one that is done is seen
    service.structured("container_stop", json!({"host": "nas", "containers": ["c14"], "mode": "kill"})).await;
    wait_for("it is stopped", SOON, || state(hosts[0]) != before[0]);
    assert!(recorders[0].requests().iter().any(|request| request.method == "POST"));
}
