//! What the tools answer about containers, against engines that know better.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::trials::Trial;
use crate::support::{Fleet, Host, IMAGE, Service, ServiceConfig, wait_for};
use crate::trials;

const SOON: Duration = Duration::from_secs(10);
const HOSTS: [&str; 3] = ["h1", "h2", "h3"];
/// A name that one host has for an image, to be copied to another.
const COPIED: &str = "copied:1";

pub fn trials() -> Vec<Trial> {
    trials![
        inspection_shows_all_but_secrets,
        processes_and_changes_are_the_engines_own,
        logs_are_cut_filtered_and_redacted,
        a_cursor_reads_a_growing_log_without_gap_or_repetition,
        a_log_of_a_terminal_and_of_standard_error_are_read,
        lists_are_filtered_and_paged_over_all_hosts,
        every_answer_fits_the_schema_its_tool_declares => 120,
    ]
}

async fn start(fleet: &Fleet) -> Service {
    let service = Service::start(&ServiceConfig::none(fleet).with(fleet.host("h1"), &[]));
    service.wait_ready(&["h1"]).await;
    service
}

const SECTIONS: [&str; 9] =
    ["summary", "config", "env", "mounts", "networks", "health", "limits", "processes", "changes"];

async fn inspection_shows_all_but_secrets(fleet: &Fleet) {
    let host = fleet.host("h1");
    let id = host.run_container(&[
        "--name=full",
        "--network=none",
        "--env=DB_PASSWORD=hunter1",
        "--env=DSN=postgres://app:hunter2@db/app",
        "--env=LEVEL=info",
        "--label=traefik.auth.token=hunter3",
        "--label=plain=kept",
        "--memory=64m",
        "--pids-limit=50",
        "--cap-add=NET_ADMIN",
        "--volume=data:/data",
        "--tmpfs=/scratch",
        "--restart=on-failure",
        "--health-cmd=echo api_key=hunter4; false",
        "--health-interval=1s",
        "--health-retries=1",
        IMAGE,
        "sh",
        "-c",
        "exec sleep 1000",
        "--password",
        "hunter5",
        "--token=hunter6",
    ]);
    wait_for("a health check has run", SOON, || {
        host.docker(&["inspect", "-f", "{{.State.Health.Status}}", "full"]) == "unhealthy"
    });
    let service = start(fleet).await;
    let ask = async |sections: &[&str]| {
        service
            .structured("container_inspect", json!({"host": "h1", "container": "full", "sections": sections}))
            .await
    };
    let all = ask(&SECTIONS).await;
    assert!(!all.to_string().contains("hunter"), "{all:#}");
    assert_eq!(all["name"], "full");
    assert_eq!(all["summary"]["id"], id[..12], "{all:#}");
    assert_eq!(all["summary"]["image"], IMAGE);
    assert_eq!(all["summary"]["restart_policy"], "on-failure");
    assert_eq!(all["config"]["labels"]["traefik.auth.token"], "***");
    assert_eq!(all["config"]["labels"]["plain"], "kept");
    let env: Vec<&str> = all["env"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for entry in ["DB_PASSWORD=***", "DSN=postgres://app:***@db/app", "LEVEL=info"] {
        assert!(env.contains(&entry), "{entry}: {env:?}");
    }
    assert_eq!(all["limits"]["memory"], 64 << 20, "{all:#}");
    assert_eq!((&all["limits"]["pids"], &all["limits"]["privileged"]), (&json!(50), &json!(false)));
    assert_eq!(all["limits"]["cap_add"].as_array().map(Vec::len), Some(1), "{all:#}");
    assert_eq!(all["health"]["status"], "unhealthy");
    assert_eq!(all["health"]["last_output"].as_str().map(str::trim), Some("api_key=***"));
    let data = json!({"kind": "volume", "source": "data", "target": "/data", "writable": true});
    assert!(all["mounts"].as_array().unwrap().contains(&data), "{all:#}");
    assert_eq!(all["networks"][0]["name"], "none");
    let words: Vec<&str> =
        all["config"]["command"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(words, ["sh", "-c", "exec sleep 1000", "--password", "***", "--token=***"]);
    // only what was asked for
    for section in SECTIONS {
        let one = ask(&[section]).await;
        let keys: BTreeSet<&str> = one.as_object().unwrap().keys().map(String::as_str).collect();
        assert!(keys.contains(section), "{section}: {keys:?}");
        assert!(!one.to_string().contains("hunter"), "{one:#}");
        let extra = usize::from(section == "networks");
        assert_eq!(keys.len(), 3 + extra, "{section}: {keys:?}");
    }
    // by name, by identifier and by its beginning it is the same container
    for name in [id.as_str(), &id[..12]] {
        let same = service.structured("container_inspect", json!({"host": "h1", "container": name})).await;
        assert_eq!(same["name"], "full");
    }
}

async fn processes_and_changes_are_the_engines_own(fleet: &Fleet) {
    let host = fleet.host("h1");
    let script = "echo x >/new; rm /etc/passwd; sleep 1001 & PASSWORD=hunter sleep 1002 & exec sleep 1003";
    host.run_container(&["--name=busy", "--network=none", IMAGE, "sh", "-c", script]);
    host.run_container(&["--name=done", "--network=none", IMAGE, "true"]);
    let top = || host.docker(&["top", "busy"]);
    wait_for("all processes", SOON, || {
        (1001..=1003).all(|number| top().contains(&format!("sleep {number}")))
    });
    let service = start(fleet).await;
    let ask = async |name: &str| {
        let sections = ["processes", "changes", "summary"];
        service
            .structured("container_inspect", json!({"host": "h1", "container": name, "sections": sections}))
            .await
    };
    let busy = ask("busy").await;
    let mut processes: Vec<&str> =
        busy["processes"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    processes.sort_unstable();
    assert_eq!(processes, ["sleep 1001", "sleep 1002", "sleep 1003"]);
    let mut changes: Vec<&str> =
        busy["changes"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    changes.sort_unstable();
    let diff = host.docker(&["diff", "busy"]);
    let mut expected: Vec<&str> = diff.lines().collect();
    expected.sort_unstable();
    assert_eq!(changes, expected);
    assert!(changes.contains(&"A /new") && changes.contains(&"D /etc/passwd"), "{changes:?}");
    // one that has ended has no processes, and that is no failure
    wait_for("its end", SOON, || host.docker(&["inspect", "-f", "{{.State.Status}}", "done"]) == "exited");
    let done = ask("done").await;
    assert_eq!((&done["summary"]["state"], &done["summary"]["exit_code"]), (&json!("exited"), &json!(0)));
    assert_eq!(done["processes"], Value::Null, "{done}");
}

/// The lines of an answer between its header and its footer, without time and stream.
fn lines(text: &str) -> Vec<String> {
    let (_, rest) = text.split_once('\n').expect("a header");
    let (body, _) = rest.rsplit_once("--\n").expect("a footer");
    // 2026-01-31T12:00:00.123Z E text
    let words = |line: &str| line.splitn(3, ' ').nth(2).unwrap_or_default().trim_start().to_owned();
    body.lines().map(words).collect()
}

fn cursor(text: &str) -> String {
    let last = text.lines().last().unwrap_or_default();
    last.strip_prefix("cursor: ").unwrap_or_else(|| panic!("no cursor: {text}")).to_owned()
}

async fn logs_are_cut_filtered_and_redacted(fleet: &Fleet) {
    let host = fleet.host("h1");
    let script = "for n in $(seq 300); do echo \"line $n\"; done; \
                  echo INFO all is well; echo ERROR it broke; echo '  at main.rs:1'; \
                  echo 'login password=hunter2 ok'; printf 'esc \\033[31mred\\033[0m\\n'; exec sleep 1000";
    host.run_container(&["--name=talk", "--network=none", IMAGE, "sh", "-c", script]);
    wait_for("its last line", SOON, || host.docker(&["logs", "--tail", "1", "talk"]).contains("esc"));
    let service = start(fleet).await;
    let ask = async |more: Value| {
        let mut arguments = json!({"host": "h1", "container": "talk"});
        arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        service.text("container_logs", arguments).await
    };
    let text = ask(json!({})).await;
    assert_eq!(lines(&text).len(), 200, "{text}");
    assert!(text.starts_with("Log of talk on h1, 200 lines; data of the container"), "{text}");
    assert!(!text.contains("hunter2") && text.contains("login password=*** ok"), "{text}");
    assert!(!text.contains('\u{1b}') && text.contains("red"), "{text}");
    let text = ask(json!({"tail": 7})).await;
    assert_eq!(lines(&text)[..2], ["line 299", "line 300"], "{text}");
    assert_eq!(lines(&ask(json!({"tail": 5000})).await).len(), 305);
    let text = ask(json!({"grep": "^line 2[0-9]$"})).await;
    assert_eq!(lines(&text), (20..30).map(|n| format!("line {n}")).collect::<Vec<_>>(), "{text}");
    let text = ask(json!({"grep": "^line", "tail": 3})).await;
    assert_eq!(lines(&text), ["line 298", "line 299", "line 300"], "{text}");
    assert!(text.contains("truncated: 297 older lines match too"), "{text}");
    let text = ask(json!({"level": "error"})).await;
    let shown = lines(&text);
    assert_eq!(shown[..2], ["ERROR it broke", "at main.rs:1"], "{text}");
    assert!(!text.contains("all is well"), "{text}");
    assert_eq!(lines(&ask(json!({"since": "1h"})).await).len(), 200);
    assert_eq!(lines(&ask(json!({"since": "2999-01-01T00:00:00Z"})).await).len(), 0);
    assert_eq!(lines(&ask(json!({"until": "1h"})).await).len(), 0);
    let none = ask(json!({"grep": "never said"})).await;
    assert_eq!(lines(&none).len(), 0, "{none}");
    // nothing found is a place to read on from as well
    let after = ask(json!({"cursor": cursor(&ask(json!({"tail": 1})).await)})).await;
    assert_eq!(lines(&after).len(), 0, "{after}");
}

async fn a_cursor_reads_a_growing_log_without_gap_or_repetition(fleet: &Fleet) {
    let host = fleet.host("h1");
    // bursts, so that many lines come close together, while it is being read
    let script = "n=0; while [ $n -lt 2000 ]; do \
                  for i in 1 2 3 4 5 6 7 8 9 10; do n=$((n+1)); echo \"number $n\"; done; usleep 2000; done; \
                  exec sleep 1000";
    let service = start(fleet).await;
    host.run_container(&["--name=count", "--network=none", IMAGE, "sh", "-c", script]);
    let ask = async |cursor: Option<&str>, tail: u64| {
        let mut arguments = json!({"host": "h1", "container": "count", "tail": tail});
        if let Some(cursor) = cursor {
            arguments["cursor"] = json!(cursor);
        }
        service.text("container_logs", arguments).await
    };
    // wherever the log stands now, from there on every line comes once
    let first = ask(None, 1).await;
    let mut at = cursor(&first);
    let mut seen = lines(&first);
    for round in 0.. {
        let text = ask(Some(&at), 7 + round % 190).await;
        seen.extend(lines(&text));
        at = cursor(&text);
        if seen.last().is_some_and(|line| line == "number 2000") {
            break;
        }
    }
    let start: usize = match seen.first() {
        Some(line) => line.strip_prefix("number ").unwrap().parse().unwrap(),
        None => 1,
    };
    let expected: Vec<String> = (start..=2000).map(|n| format!("number {n}")).collect();
    let wrong = seen.iter().zip(&expected).find(|(seen, expected)| seen != expected);
    assert_eq!((wrong, seen.len()), (None, expected.len()));
}

async fn a_log_of_a_terminal_and_of_standard_error_are_read(fleet: &Fleet) {
    let host = fleet.host("h1");
    let script = "echo one; echo two >&2; echo three; exec sleep 1000";
    host.run_container(&["--name=tty", "-t", "--network=none", IMAGE, "sh", "-c", script]);
    host.run_container(&["--name=plain", "--network=none", IMAGE, "sh", "-c", script]);
    host.run_container(&["--name=open", "--network=none", IMAGE, "printf", "no end"]);
    for (name, last) in [("tty", "three"), ("plain", "three"), ("open", "no end")] {
        wait_for("its last line", SOON, || host.docker(&["logs", name]).contains(last));
    }
    // its other stream, which comes by itself
    let errors = "docker logs plain 2>&1 >/dev/null";
    wait_for("what goes to standard error", SOON, || host.exec(&["sh", "-c", errors]).trim() == "two");
    let service = start(fleet).await;
    let ask =
        async |name: &str| service.text("container_logs", json!({"host": "h1", "container": name})).await;
    let text = ask("tty").await;
    assert_eq!(lines(&text), ["one", "two", "three"], "{text}");
    assert!(!text.contains(" E ") && !text.contains('\r'), "a terminal has one stream: {text}");
    let text = ask("plain").await;
    assert_eq!(
        lines(&text).into_iter().collect::<BTreeSet<_>>(),
        ["one", "two", "three"].map(str::to_owned).into()
    );
    let of_error: Vec<&str> = text.lines().filter(|line| line.contains(" E ")).collect();
    assert!(of_error.len() == 1 && of_error[0].ends_with("two"), "{text}");
    assert_eq!(lines(&ask("open").await), ["no end"]);
}

async fn lists_are_filtered_and_paged_over_all_hosts(fleet: &Fleet) {
    for host in fleet.hosts() {
        let name = host.name();
        for number in 0..4 {
            let (named, own) = (format!("--name=web-{number}"), format!("--label=on={name}"));
            host.run_container(&[&named, "--network=none", &own, "--label=kind=web", IMAGE, "sleep", "1000"]);
        }
        host.run_container(&["--name=job", "--network=none", IMAGE, "true"]);
        host.run_container(&[
            "--name=sick",
            "--network=none",
            "--health-cmd=false",
            "--health-interval=1s",
            "--health-retries=1",
            IMAGE,
            "sleep",
            "1000",
        ]);
    }
    for host in fleet.hosts() {
        wait_for("what has to end has ended", SOON, || {
            listed(host).contains("Exited") && listed(host).contains("(unhealthy)")
        });
    }
    let config = fleet.hosts()[..3]
        .iter()
        .zip(["[a]", "[a, b]", "[b]"])
        .fold(ServiceConfig::none(fleet), |config, (host, tags)| {
            config.with(host, &[&format!("tags: {tags}")])
        });
    let service = Service::start(&config);
    service.wait_ready(&HOSTS).await;
    let total = async |arguments: Value| {
        let answer = service.structured("container_list", arguments).await;
        assert_eq!(
            answer["containers"].as_array().map(Vec::len),
            answer["total"].as_u64().and_then(|total| usize::try_from(total).ok())
        );
        answer["total"].as_u64().unwrap()
    };
    assert_eq!(total(json!({})).await, 18);
    for (arguments, expected) in [
        (json!({"hosts": "h2"}), 6),
        (json!({"hosts": "h2,h3"}), 12),
        (json!({"hosts": "@a"}), 12),
        (json!({"hosts": "@a,h3"}), 18),
        (json!({"state": "running"}), 15),
        (json!({"state": "exited"}), 3),
        (json!({"state": "unhealthy"}), 3),
        (json!({"match": "web-*"}), 12),
        (json!({"match": "web-[01]", "hosts": "@b"}), 4),
        (json!({"match": "label=kind"}), 12),
        (json!({"match": "label=kind=web"}), 12),
        (json!({"match": "label=on=h3"}), 4),
        (json!({"match": "label=kind=we"}), 0),
        (json!({"stack": "none"}), 0),
        (json!({"state": "running", "match": "job"}), 0),
    ] {
        assert_eq!(total(arguments.clone()).await, expected, "{arguments}");
    }
    // pages: each row once, in order, whatever the size, also while containers come and go
    let mut seen: Vec<(String, String)> = Vec::new();
    let (mut cursor, mut pages) = (Value::Null, 0);
    loop {
        let mut arguments = json!({"limit": 5, "match": "web-*"});
        if cursor.is_string() {
            arguments["cursor"] = cursor.clone();
        }
        let page = service.structured("container_list", arguments).await;
        let rows = page["containers"].as_array().unwrap();
        assert!(rows.len() <= 5, "{page}");
        seen.extend(rows.iter().map(|row| (word(&row["host"]), word(&row["name"]))));
        pages += 1;
        if pages == 1 {
            // one that was given goes, and one comes before those that were given
            fleet.host("h1").docker(&["rm", "-f", "web-1"]);
            fleet.host("h1").run_container(&["--name=web-00", "--network=none", IMAGE, "sleep", "1000"]);
        }
        cursor = page["next_cursor"].clone();
        if cursor.is_null() {
            break;
        }
    }
    let names = (0..4).map(|number| format!("web-{number}"));
    let expected: Vec<(String, String)> =
        HOSTS.iter().flat_map(|host| names.clone().map(|name| ((*host).to_owned(), name))).collect();
    assert_eq!((seen, pages), (expected, 3));
    let full = service
        .structured("container_list", json!({"hosts": "h2", "match": "web-0", "detail": "full"}))
        .await;
    let row = &full["containers"][0]["full"];
    assert_eq!(row["labels"]["on"], "h2", "{full}");
    let id = fleet.host("h2").docker(&["inspect", "-f", "{{.Id}}", "web-0"]);
    assert_eq!(row["id"], id[..12], "{full}");
}

fn word(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn listed(host: &Host) -> String {
    host.docker(&["ps", "-a", "--format", "{{.Names}} {{.Status}}"])
}

async fn every_answer_fits_the_schema_its_tool_declares(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.run_container(&[
        "--name=rich",
        "--publish=127.0.0.1:8081:80",
        "--publish=8082:81/udp",
        "--label=com.docker.compose.project=labelled",
        "--label=com.docker.compose.service=web",
        "--health-cmd=true",
        "--health-interval=1s",
        "--memory=64m",
        "--cpus=0.5",
        "--volume=/tmp:/host:ro",
        IMAGE,
        "sleep",
        "1000",
    ]);
    host.run_container(&["--name=over", "--network=none", IMAGE, "false"]);
    // it wants what another one has
    host.docker(&["create", "--name=wants", "--publish=8081:80", IMAGE, "true"]);
    // one host in trouble, one that is off: their rows and failures are answers too
    fleet.host("h3").refuse();
    let config = ServiceConfig::all(fleet).entry("resting", &["hostname: off.invalid", "enabled: false"]);
    let service = Service::start(&config);
    service.wait_ready(&["h1", "h2"]).await;
    wait_for("h3 is tried", SOON, || service.log().iter().any(|line| line.contains("nothing listens")));
    let mut checked = BTreeSet::new();
    for tool in service.client().tools().await {
        let name = word(&tool["name"]);
        jsonschema::meta::validate(&tool["inputSchema"]).unwrap_or_else(|error| panic!("{name}: {error}"));
        let calls = calls(fleet, &service, &name).await;
        if calls.is_empty() {
            assert!(tool.get("outputSchema").is_none(), "{name} is structured and not tried here");
            continue;
        }
        let schema = &tool["outputSchema"];
        jsonschema::meta::validate(schema).unwrap_or_else(|error| panic!("{name}: {error}"));
        for arguments in calls {
            service.structured(&name, arguments).await;
        }
        checked.insert(name);
    }
    assert_eq!(checked.len(), 48, "{checked:?}");
}

/// Calls of a tool that cover what it may answer.
#[expect(clippy::too_many_lines, reason = "a table with a row for every tool")]
async fn calls(fleet: &Fleet, service: &Service, tool: &str) -> Vec<Value> {
    match tool {
        "host_list" => vec![json!({}), json!({"probe": true}), json!({"hosts": "resting"})],
        // it is there already, under this name and at this place
        "host_add" => {
            vec![json!({"name": "h2", "target": format!("ops@{}", fleet.host("h2").address())})]
        }
        "host_import" => vec![json!({"dry_run": true})],
        "host_update" => vec![json!({"host": "h1", "tags": ["checked"]})],
        "host_remove" => vec![json!({"host": "resting"})],
        "host_inspect" => vec![json!({"host": "h1"}), json!({"host": "h2", "sections": ["disk"]})],
        "host_test" => vec![json!({"host": "h1"}), json!({"host": "h3"})],
        "container_list" => vec![json!({}), json!({"detail": "full"}), json!({"limit": 1})],
        "container_inspect" => ["rich", "over"]
            .iter()
            .flat_map(|container| {
                let base = json!({"host": "h1", "container": container});
                let mut full = base.clone();
                full["sections"] = json!(SECTIONS);
                [base, full]
            })
            .collect(),
        "stack_inspect" => {
            let sections = json!(["services", "config", "env", "networks", "volumes"]);
            vec![
                json!({"host": "h1", "stack": "labelled"}),
                json!({"host": "h1", "stack": "labelled", "sections": sections}),
            ]
        }
        "stack_list" | "network_list" => vec![json!({}), json!({"limit": 1})],
        "image_updates" => vec![json!({}), json!({"match": "rich", "limit": 1})],
        "image_list" | "volume_list" => vec![json!({}), json!({"unused": true, "limit": 1})],
        "image_inspect" => {
            vec![json!({"host": "h1", "image": IMAGE, "sections": ["summary", "config", "history"]})]
        }
        "disk_usage" => vec![json!({}), json!({"detail": "full", "limit": 1})],
        "port_list" => vec![json!({}), json!({"check": 8081}), json!({"limit": 1})],
        "event_query" => vec![json!({}), json!({"types": ["container"], "limit": 2})],
        "fleet_status" => vec![json!({"min_severity": "info"}), json!({"limit": 1})],
        "fleet_search" => vec![json!({"query": "rich"}), json!({"query": "8081"})],
        "container_stats" => vec![json!({}), json!({"sort": "io", "limit": 1})],
        "container_start" | "container_stop" | "container_restart" => vec![
            json!({"host": "h1", "containers": ["nobody", "over"]}),
            json!({"host": "h1", "containers": ["over"], "wait": 0}),
            json!({"host": "h1", "containers": ["over", "rich"], "idempotency_key": tool}),
        ],
        "container_remove" => vec![json!({"host": "h1", "containers": ["over"]})],
        "container_recreate" => vec![
            json!({"host": "h1", "container": "over", "image": "127.0.0.1:1/none", "dry_run": true}),
            json!({"host": "h1", "container": "over", "image": "127.0.0.1:1/none"}),
        ],
        "container_file_write" => {
            vec![json!({"host": "h1", "container": "rich", "path": "/tmp/written", "content": "x"})]
        }
        "container_run" => vec![
            json!({"host": "h2", "image": IMAGE, "name": "ran", "command": ["true"]}),
            json!({"host": "h2", "image": IMAGE, "name": "ran"}),
        ],
        "container_update" => vec![
            json!({"host": "h2", "container": "ran", "restart": "on-failure"}),
            json!({"host": "h1", "container": "over", "cpus": 0.5}),
        ],
        // Nothing is at either place.
        "image_build" => vec![
            json!({"host": "h1", "context": "/srv/nowhere", "tags": ["checked:2"]}),
            json!({"host": "h1", "context": "http://127.0.0.1:1/none.git", "tags": ["checked:2"]}),
        ],
        "image_copy" => {
            fleet.host("h1").docker(&["tag", IMAGE, COPIED]);
            vec![
                json!({"host": "h1", "image": COPIED, "to": ["h2", "h3"]}),
                json!({"host": "h1", "image": IMAGE, "to": ["h2"]}),
            ]
        }
        "image_pull" => vec![json!({"hosts": "h1,h3", "image": "127.0.0.1:1/none"})],
        "image_tag" => vec![json!({"host": "h2", "image": IMAGE, "tag": "127.0.0.1:1/checked:1"})],
        "image_push" => vec![json!({"host": "h2", "image": "127.0.0.1:1/checked:1"})],
        "image_remove" => vec![
            json!({"host": "h2", "images": [IMAGE]}),
            json!({"host": "h2", "images": [IMAGE], "dry_run": true}),
        ],
        "volume_copy" => {
            fleet.host("h1").docker(&["volume", "create", "copied"]);
            let copy = |overwrite: bool| json!({"host": "h1", "volume": "copied", "to_host": "h2", "overwrite": overwrite});
            vec![copy(false), copy(true)]
        }
        "volume_create" => vec![json!({"host": "h2", "name": "checked"})],
        "volume_remove" => vec![json!({"host": "h2", "volumes": ["checked"]})],
        "network_create" => vec![json!({"host": "h2", "name": "checked", "internal": true})],
        "network_connect" | "network_disconnect" => {
            vec![json!({"host": "h2", "container": "ran", "network": "checked"})]
        }
        "network_remove" => vec![json!({"host": "h2", "networks": ["checked"]})],
        "prune" => {
            let what = json!(["containers", "networks", "images", "volumes", "build_cache"]);
            vec![json!({"host": "h2", "what": what}), json!({"host": "h2", "what": what, "dry_run": false})]
        }
        "rollout" => {
            fleet.host("h1").run_container(&["--name", "rolled", IMAGE, "sleep", "1000"]);
            vec![json!({"operation": "restart", "selector": "rolled", "hosts": "h1,h2"})]
        }
        "job_list" => vec![json!({}), json!({"state": "all", "limit": 2})],
        "job_get" | "job_cancel" => {
            let listed = service.structured("job_list", json!({"state": "all", "limit": 1})).await;
            vec![json!({"job": listed["jobs"][0]["job"]})]
        }
        _ => vec![],
    }
}
