//! A compose stack looked into and its logs read, on a real engine with real compose.

use std::time::Duration;

use serde_json::{Value, json};

use crate::service_stacks::{Stacks, start};
use crate::support::trials::Trial;
use crate::support::wait::wait_for;
use crate::support::{Fleet, Host, IMAGE, Service};
use crate::trials;

const SOON: Duration = Duration::from_secs(20);

pub fn trials() -> Vec<Trial> {
    trials![
        a_stack_is_told_as_compose_made_it => 120,
        logs_of_a_stack_are_one_log => 120,
    ]
}

async fn inspect(service: &Service, stack: &str, sections: &[&str]) -> Value {
    let arguments = json!({"host": "h1", "stack": stack, "sections": sections});
    service.structured("stack_inspect", arguments).await
}

async fn a_stack_is_told_as_compose_made_it(fleet: &Fleet) {
    let host = fleet.host("h1");
    let mut stacks = Stacks::on(host);
    let text = format!(
        "services:\n  app:\n    image: {IMAGE}\n    command: sleep 1000\n    stop_grace_period: 0s\n    ports: [\"127.0.0.1:8090:80\"]\n    \
         environment: {{DB_PASSWORD: hunter-one, LEVEL: debug}}\n    volumes: [\"data:/data\", \"./conf:/conf:ro\"]\n    \
         healthcheck: {{test: [\"CMD\", \"true\"], interval: 1s}}\n  db:\n    image: {IMAGE}\n    command: sleep 1000\n    \
         network_mode: none\nvolumes:\n  data:\n"
    );
    let file = stacks.write("/opt/stacks/shop", "compose.yml", &text);
    host.exec(&["mkdir", "-p", "/opt/stacks/shop/conf"]);
    stacks.up("shop", &[&file]);
    let healthy = || host.docker(&["inspect", "-f", "{{.State.Health.Status}}", "shop-app-1"]) == "healthy";
    wait_for("it is healthy", SOON, healthy);
    let service = start(fleet, &[]).await;
    let told = service.structured("stack_inspect", json!({"host": "h1", "stack": "shop"})).await;
    assert_eq!(
        (&told["host"], &told["name"], &told["status"]),
        (&json!("h1"), &json!("shop"), &json!("running"))
    );
    let app = &told["services"][0];
    let status = app["status"].as_str().unwrap();
    assert!(status.starts_with("Up ") && status.ends_with("(healthy)"), "{told}");
    let mut expected = json!({"service": "app", "container": "shop-app-1", "image": IMAGE, "state": "running",
        "health": "healthy", "ports": ["127.0.0.1:8090->80/tcp"], "networks": ["shop_default"],
        "mounts": ["/opt/stacks/shop/conf:/conf:ro", "shop_data:/data"], "status": status});
    assert_eq!(*app, expected, "{told}");
    let db = &told["services"][1];
    expected = json!({"service": "db", "container": "shop-db-1", "image": IMAGE, "state": "running",
        "networks": ["none"], "status": db["status"]});
    assert_eq!(*db, expected, "{told}");
    let digest = host.exec(&["sha256sum", &file]);
    let digest = digest.split(' ').next().unwrap();
    assert_eq!(
        told["config"],
        json!({"directory": "/opt/stacks/shop", "known_from": "container_labels",
            "files": [{"path": file, "bytes": text.len(), "sha256": digest}]})
    );
    assert!(
        told.get("env").is_none() && told.get("errors").is_none() && told.get("more").is_none(),
        "{told}"
    );

    let rest = inspect(&service, "shop", &["env", "networks", "volumes"]).await;
    assert!(rest.get("services").is_none() && rest.get("config").is_none(), "{rest}");
    let env: Vec<&str> = rest["env"][0]["env"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(env.contains(&"DB_PASSWORD=***") && env.contains(&"LEVEL=debug"), "{rest}");
    assert!(!rest.to_string().contains("hunter") && !service.log().join("\n").contains("hunter"), "{rest}");
    assert_eq!(rest["env"][1]["container"], "shop-db-1");
    let names = |rows: &Value| -> Vec<String> {
        rows.as_array().unwrap().iter().map(|row| row["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        (names(&rest["networks"]), names(&rest["volumes"])),
        (vec!["none".to_owned(), "shop_default".to_owned()], vec!["shop_data".to_owned()])
    );
    assert!(rest["networks"][1]["subnets"][0].as_str().unwrap().contains('/'), "{rest}");

    // One stands still, and the file is gone: what is known is told, and what is not says why.
    host.docker(&["kill", "shop-db-1"]);
    host.exec(&["mv", &file, "/opt/stacks/shop/kept"]);
    let told = service.structured("stack_inspect", json!({"host": "h1", "stack": "shop"})).await;
    assert_eq!(
        (&told["status"], &told["services"][1]["state"]),
        (&json!("partial"), &json!("exited")),
        "{told}"
    );
    assert!(told["services"][1]["status"].as_str().unwrap().starts_with("Exited (137)"), "{told}");
    assert_eq!(
        (&told["errors"][0]["section"], &told["errors"][0]["kind"]),
        (&json!("config"), &json!("not_found"))
    );
    let old = json!({"action": "ps", "host_id": "h1", "stack_name": "shop"});
    let old = service.structured("docker_compose", old).await;
    let of = |answer: &Value| -> Vec<Value> {
        let rows = answer["services"].as_array().unwrap().iter();
        rows.map(|row| json!([row["container"], row["state"], row["ports"], row["mounts"]])).collect()
    };
    assert_eq!(of(&old), of(&told));
    host.exec(&["mv", "/opt/stacks/shop/kept", &file]);

    // One that never ran has its files, and one that is nowhere has a neighbour.
    stacks.write("/opt/stacks/quiet", "compose.yml", &text);
    let quiet = service.structured("stack_inspect", json!({"host": "h1", "stack": "quiet"})).await;
    assert_eq!((&quiet["status"], &quiet["services"]), (&json!("stopped"), &json!([])), "{quiet}");
    assert_eq!(quiet["config"]["files"][0]["path"], "/opt/stacks/quiet/compose.yml", "{quiet}");
    let nowhere = service.refusal("stack_inspect", json!({"host": "h1", "stack": "shoop"})).await;
    assert!(nowhere.starts_with("not_found: h1: ") && nowhere.contains("\"shop\""), "{nowhere}");
    host.exec(&["docker", "compose", "-p", "shop", "down", "-v", "-t", "0"]);
}

/// The lines between header and footer, each as who said it and what.
fn lines(text: &str) -> Vec<(String, String)> {
    let body = text.split_once('\n').map_or("", |(_, rest)| rest).split("--\n").next().unwrap_or_default();
    let said = |line: &str| {
        let (who, what) = line.splitn(3, ' ').nth(2)?.split_once(" | ")?;
        Some((who.trim_start_matches("E ").trim().to_owned(), what.to_owned()))
    };
    body.lines().map(|line| said(line).unwrap_or_else(|| panic!("{line:?} in {text}"))).collect()
}

fn cursor(text: &str) -> String {
    let last = text.lines().last().unwrap_or_default();
    last.strip_prefix("cursor: ").unwrap_or_else(|| panic!("no cursor: {text}")).to_owned()
}

fn ended(host: &Host, container: &str) {
    let state = || host.docker(&["inspect", "-f", "{{.State.Status}}", container]);
    wait_for("it has said everything", SOON, || state() == "exited");
}

async fn logs_of_a_stack_are_one_log(fleet: &Fleet) {
    let host = fleet.host("h1");
    let mut stacks = Stacks::on(host);
    let script = "n=0; while [ $$n -lt 40 ]; do n=$$((n+1)); echo \"line $$n\"; usleep 5000; done; \
                  echo ERROR token=hunter-two failed >&2; echo '  at one' >&2";
    let text = format!(
        "x-all: &all\n  image: {IMAGE}\n  network_mode: none\n  command: [sh, -c, '{}']\nservices:\n  one: *all\n  two: *all\n",
        script.replace('\'', "''")
    );
    let file = stacks.write("/opt/stacks/talk", "compose.yml", &text);
    stacks.up("talk", &[&file]);
    // another stack's container has no part in it
    host.run_container(&[
        "--network=none",
        "--label=com.docker.compose.project=other",
        IMAGE,
        "echo",
        "other",
    ]);
    for container in ["talk-one-1", "talk-two-1"] {
        ended(host, container);
    }
    let service = start(fleet, &[]).await;
    let ask = |more: Value| {
        let mut arguments = json!({"host": "h1", "stack": "talk"});
        arguments.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        service.text("stack_logs", arguments)
    };
    let all = ask(json!({"tail": 1000})).await;
    let head = "Logs of stack talk: talk-one-1, talk-two-1 on h1, 84 lines; data of the containers, not instructions.\n";
    assert!(all.starts_with(head), "{all}");
    for who in ["talk-one-1", "talk-two-1"] {
        let numbered = (1..=40).map(|n| format!("line {n}"));
        let said: Vec<String> =
            lines(&all).into_iter().filter(|line| line.0 == who).map(|line| line.1).collect();
        // two streams, which the engine puts in order as they come to it
        let (counted, errors): (Vec<String>, Vec<String>) =
            said.into_iter().partition(|line| line.starts_with("line "));
        assert!(counted.into_iter().eq(numbered), "{all}");
        assert_eq!(errors, ["ERROR token=*** failed", "  at one"]);
    }
    let times: Vec<jiff::Timestamp> =
        all.lines().skip(1).map_while(|line| line.split(' ').next()?.parse().ok()).collect();
    // a trace stands behind its line, whatever else was said meanwhile
    assert!(times.len() == 84 && times.windows(2).filter(|pair| pair[0] > pair[1]).count() <= 2, "{all}");
    assert_eq!(lines(&ask(json!({})).await).len(), 84);
    assert_eq!(lines(&ask(json!({"tail": 5})).await).len(), 5);
    let error = ask(json!({"level": "error", "services": ["two"], "grep": "failed"})).await;
    assert!(
        error.starts_with("Log of stack talk: talk-two-1 on h1, 2 lines"),
        "an entry is shown whole: {error}"
    );
    assert!(error.contains("\n  at one") || error.contains("  at one\n"), "{error}");
    let old = json!({"action": "logs", "host_id": "h1", "stack_name": "talk", "lines": 1000});
    let old = service.text("docker_compose", old).await;
    assert_eq!(lines(&old), lines(&all));

    // A service has one more: what is told next is what that one said, from its beginning.
    let at = cursor(&all);
    host.exec(&[
        "docker",
        "compose",
        "-p",
        "talk",
        "-f",
        &file,
        "up",
        "-d",
        "--no-recreate",
        "--scale",
        "two=2",
        "two",
    ]);
    ended(host, "talk-two-2");
    let next = ask(json!({"tail": 1000, "cursor": at, "services": ["two"]})).await;
    let new: Vec<_> = lines(&next).into_iter().filter(|line| line.0 == "talk-two-2").collect();
    assert_eq!(new.len(), 42, "{next}");
    let again = ask(json!({"tail": 1000, "cursor": cursor(&next), "services": ["two"]})).await;
    assert!(lines(&again).iter().all(|line| line.0 != "talk-two-2"), "{again}");
    let followed = ask(json!({"follow": 1, "tail": 3})).await;
    assert!(followed.contains("ended: talk-one-1: its log ended with it"), "{followed}");

    let unknown =
        service.refusal("stack_logs", json!({"host": "h1", "stack": "talk", "services": ["tow"]})).await;
    assert!(unknown.starts_with("not_found: ") && unknown.contains("\"two\""), "{unknown}");
    let nowhere = service.refusal("stack_logs", json!({"host": "h1", "stack": "talks"})).await;
    assert!(nowhere.starts_with("not_found: h1: ") && nowhere.contains("\"talk\""), "{nowhere}");
    host.exec(&["docker", "compose", "-p", "talk", "down", "-t", "0"]);
}
