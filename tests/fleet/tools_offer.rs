//! Which tools are offered, to whom, and calling them from the command line.

use serde_json::{Value, json};

use crate::support::service::{Ended, Home, Stdio};
use crate::support::trials::Trial;
use crate::support::{Fleet, IMAGE, Service, ServiceConfig};
use crate::trials;

pub fn trials() -> Vec<Trial> {
    trials![
        a_carried_client_is_offered_what_its_own_process_was_told => 60,
        what_no_host_permits_is_not_listed => 60,
        a_tool_is_called_from_the_command_line_with_and_without_a_service => 90,
        the_command_line_asks_before_something_is_lost => 90,
        a_client_that_asks_for_it_hears_how_far_a_job_is => 60,
    ]
}

fn run(home: &Home, arguments: &[&str]) -> Ended {
    home.run(&home.hosts_file(), arguments)
}

fn names(stdio: &mut Stdio, id: u64) -> Vec<String> {
    stdio.send(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/list", "params": {}}));
    let listed = stdio.receive(id);
    let tools = listed["result"]["tools"].as_array().unwrap_or_else(|| panic!("{listed}"));
    tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
}

async fn a_carried_client_is_offered_what_its_own_process_was_told(fleet: &Fleet) {
    let host = fleet.host("h1");
    let service = Service::start(&ServiceConfig::none(fleet).with(host, &[]));
    service.wait_ready(&["h1"]).await;
    host.run_container(&["--name", "one", IMAGE, "sleep", "1000"]);
    let mut stdio = Stdio::start_with(service.home().command(&["stdio", "--read-only"]));
    stdio.initialize();
    let offered = names(&mut stdio, 1);
    assert!(offered.contains(&"container_list".to_owned()) && offered.contains(&"network_list".to_owned()));
    for changing in ["container_stop", "host_add", "prune", "job_cancel"] {
        assert!(!offered.contains(&changing.to_owned()), "{changing}: {offered:?}");
    }
    let stop = json!({"name": "container_stop", "arguments": {"host": "h1", "containers": ["one"]}});
    stdio.send(&json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": stop}));
    let refused = stdio.receive(2);
    assert!(refused["error"]["message"].as_str().unwrap().contains("no tool"), "{refused}");
    assert_eq!(host.docker(&["inspect", "-f", "{{.State.Running}}", "one"]), "true");
    // of two clients without a service one is served by the other's process, and not by its word
    let home = Home::new(&ServiceConfig::none(fleet).with(host, &[]));
    let mut first = Stdio::start_with(home.command(&["stdio", "--read-only"]));
    first.initialize();
    let mut second = Stdio::start_with(home.command(&["stdio"]));
    second.initialize();
    let offered = [names(&mut first, 1), names(&mut second, 1)];
    assert_eq!(offered.map(|names| names.contains(&"container_stop".to_owned())), [false, true]);
    let wrong = run(service.home(), &["stdio", "--tools", "container_lst"]);
    assert!(!wrong.status.success() && wrong.stderr.contains("\"container_list\""), "{}", wrong.stderr);
    let wrong = run(service.home(), &["serve", "--toolsets", "image"]);
    assert!(!wrong.status.success() && wrong.stderr.contains("images"), "{}", wrong.stderr);
}

async fn what_no_host_permits_is_not_listed(fleet: &Fleet) {
    let listed = |policies: [&str; 2]| {
        let mut config = ServiceConfig::none(fleet);
        for (name, policy) in ["h1", "h2"].into_iter().zip(policies) {
            config = config.with(fleet.host(name), &[policy]);
        }
        let home = Home::new(&config);
        let mut stdio = Stdio::start_with(home.command(&["stdio"]));
        stdio.initialize();
        let offered = names(&mut stdio, 1);
        stdio.close_input();
        assert!(stdio.exit().success());
        ["container_start", "container_stop", "host_add"].map(|name| offered.contains(&name.to_owned()))
    };
    assert_eq!(listed(["policy: ro", "policy: ro"]), [false, false, true]);
    assert_eq!(listed(["policy: ro", "policy: no_destructive"]), [true, false, true]);
    assert_eq!(listed(["policy: ro", "policy: rw"]), [true, true, true]);
}

async fn a_tool_is_called_from_the_command_line_with_and_without_a_service(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.run_container(&["--name", "one", IMAGE, "sleep", "1000"]);
    let home = Home::new(&ServiceConfig::none(fleet).with(host, &[]));
    let call = |home: &Home, tool: &str, arguments: Value| {
        let called = run(home, &["tool", "call", tool, &arguments.to_string()]);
        assert!(called.status.success(), "{tool}: {}", called.stderr);
        serde_json::from_str::<Value>(&called.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", called.stdout))
    };
    let started = || host.docker(&["inspect", "-f", "{{.State.StartedAt}}", "one"]);
    let restart = json!({"host": "h1", "containers": ["one"], "timeout": 1, "wait_healthy": 0});
    let look = |home: &Home| {
        let listed = call(home, "container_list", json!({"hosts": "h1", "match": "one"}));
        assert_eq!(listed["containers"][0]["state"], "running", "{listed}");
        let before = started();
        assert_eq!(call(home, "container_restart", restart.clone())["state"], "done");
        assert_ne!(started(), before);
    };
    look(&home);
    let service = Service::start_in(home);
    service.wait_ready(&["h1"]).await;
    let logins = host.ssh_logins();
    look(service.home());
    assert_eq!(host.ssh_logins(), logins, "it goes over the line of the service");
    let audit = run(service.home(), &["audit", "--json", "--limit", "1"]).stdout;
    let last: Value = serde_json::from_str(audit.trim()).unwrap();
    assert_eq!((&last["tool"], &last["client"]), (&json!("container_restart"), &json!("dockmaster tool")));
    for (arguments, code, told) in [
        (&["tool", "call", "container_lst"][..], 1, "Did you mean \"container_list\""),
        (&["tool", "call", "container_list", "{"], 2, "no JSON object"),
        (&["tool", "call", "container_list", "{\"hosts\": \"nobody\"}"], 1, "host_unknown"),
    ] {
        let refused = run(service.home(), arguments);
        assert_eq!(refused.status.code(), Some(code), "{arguments:?}: {}", refused.stderr);
        assert!(refused.stderr.contains(told), "{arguments:?}: {}", refused.stderr);
    }
    let listed = run(service.home(), &["tool", "list"]).stdout;
    assert!(
        listed.lines().any(|line| line.starts_with("container_stop") && line.contains("disrupts")),
        "{listed}"
    );
}

async fn the_command_line_asks_before_something_is_lost(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.run_container(&["--name", "one", IMAGE, "sleep", "1000"]);
    host.docker(&["volume", "create", "kept"]);
    let left = || (host.docker(&["ps", "-q"]).lines().count(), host.docker(&["volume", "ls", "-q"]));
    let volume = ("volume_remove", json!({"host": "h1", "volumes": ["kept"]}));
    let container = ("container_remove", json!({"host": "h1", "containers": ["one"], "force": true}));
    let call = |home: &Home, (tool, arguments): &(&str, Value), more: &[&str]| {
        run(home, &[&["tool", "call", tool, &arguments.to_string()], more].concat())
    };
    let refusals = |home: &Home| {
        for (wanted, more, told) in [
            (&volume, &[][..], "Nobody is there to ask; --confirm kept agrees"),
            (&volume, &["--confirm", "yes"], "the name that was typed is not the one"),
            (&container, &[], "Nobody is there to ask; --confirm yes agrees"),
            (&container, &["--confirm", "no"], "the person said no; nothing was changed"),
        ] {
            let refused = call(home, wanted, more);
            assert_eq!(refused.status.code(), Some(1), "{wanted:?} {more:?}: {}", refused.stdout);
            assert!(refused.stderr.contains(told), "{wanted:?} {more:?}: {}", refused.stderr);
        }
        assert_eq!(left(), (1, "kept".to_owned()));
        let audit = run(home, &["audit", "--json", "--limit", "1"]).stdout;
        let last: Value = serde_json::from_str(audit.trim()).unwrap();
        assert_eq!((&last["tool"], &last["verdict"]), (&json!("container_remove"), &json!("refused")));
        let words = last["reason"].as_str().unwrap_or_default();
        assert!(words.starts_with("the person said no; nothing was changed (plan "), "{last}");
    };
    let home = Home::new(&ServiceConfig::none(fleet).with(host, &[]));
    refusals(&home);
    let agreed = call(&home, &volume, &["--confirm", "kept"]);
    assert!(agreed.status.success(), "{}", agreed.stderr);
    assert_eq!(left(), (1, String::new()));
    host.docker(&["volume", "create", "kept"]);
    let service = Service::start_in(home);
    service.wait_ready(&["h1"]).await;
    refusals(service.home());
    for (wanted, words) in [(&volume, "kept"), (&container, "yes")] {
        let agreed = call(service.home(), wanted, &["--confirm", words]);
        assert!(agreed.status.success(), "{}", agreed.stderr);
    }
    assert_eq!(left(), (0, String::new()));
}

async fn a_client_that_asks_for_it_hears_how_far_a_job_is(fleet: &Fleet) {
    let host = fleet.host("h1");
    let home = Home::new(&ServiceConfig::none(fleet).with(host, &[]));
    let mut stdio = Stdio::start_with(home.command(&["stdio"]));
    stdio.initialize();
    assert!(!stdio.call(1, "container_list", &json!({"hosts": "h1"})).is_error);
    for name in ["one", "two"] {
        host.run_container(&["--name", name, IMAGE, "sleep", "1000"]);
    }
    let restart = json!({"host": "h1", "containers": ["one", "two"], "timeout": 1, "wait_healthy": 0});
    stdio.send(&json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {
        "name": "container_restart", "arguments": restart, "_meta": {"progressToken": "t"}}}));
    let mut heard = vec![];
    let answer = loop {
        let message = stdio.receive_any();
        if message["id"] == 2 {
            break message;
        }
        assert_eq!(
            (&message["method"], &message["params"]["progressToken"]),
            (&json!("notifications/progress"), &json!("t"))
        );
        heard.push((
            message["params"]["progress"].as_f64().unwrap(),
            message["params"]["message"].to_string(),
        ));
    };
    assert_eq!(answer["result"]["structuredContent"]["state"], "done", "{answer}");
    assert!(heard.is_sorted_by(|one, other| one.0 < other.0), "{heard:?}");
    for step in ["now restart one", "1 of 2 steps on h1", "now restart two"] {
        assert!(heard.iter().any(|(_, told)| told.contains(step)), "{step}: {heard:?}");
    }
}
