//! What the tools tell of a host and of what needs attention, against engines that know better.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::trials::Trial;
use crate::support::{Fleet, Host, IMAGE, Service, ServiceConfig, eventually, wait_for};
use crate::trials;

const SOON: Duration = Duration::from_secs(20);

pub fn trials() -> Vec<Trial> {
    trials![a_host_is_what_its_engine_and_its_machine_say, what_needs_attention_is_told_and_nothing_else,]
}

async fn a_host_is_what_its_engine_and_its_machine_say(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.run_container(&["--name=web", "--publish=127.0.0.1:8090:80", IMAGE, "sleep", "1000"]);
    host.run_container(&["--name=over", "--network=none", IMAGE, "true"]);
    wait_for("one has ended", SOON, || host.docker(&["ps", "-qf", "name=over"]).is_empty());
    let service = Service::start(&ServiceConfig::none(fleet).with(host, &[]));
    service.wait_ready(&["h1"]).await;
    let all = service.structured("host_inspect", json!({"host": "h1"})).await;
    assert_eq!(all["errors"], json!([]), "{all:#}");
    let info = |what: &str| host.docker(&["info", "-f", what]);
    let engine = &all["engine"];
    let told = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    for (value, field) in [
        (&engine["version"], "{{.ServerVersion}}"),
        (&engine["name"], "{{.Name}}"),
        (&engine["os"], "{{.OperatingSystem}}"),
        (&engine["kernel"], "{{.KernelVersion}}"),
        (&engine["arch"], "{{.Architecture}}"),
        (&engine["storage_driver"], "{{.Driver}}"),
        (&engine["root_dir"], "{{.DockerRootDir}}"),
        (&engine["log_driver"], "{{.LoggingDriver}}"),
        (&all["resources"]["cpus"], "{{.NCPU}}"),
        (&all["resources"]["memory"], "{{.MemTotal}}"),
        (&all["resources"]["images"], "{{.Images}}"),
        (&all["resources"]["containers"]["running"], "{{.ContainersRunning}}"),
        (&all["resources"]["containers"]["stopped"], "{{.ContainersStopped}}"),
    ] {
        assert_eq!(told(value), info(field), "{field}: {all:#}");
    }
    assert_eq!((&engine["swarm"], &engine["rootless"]), (&json!(false), &json!(false)));
    let warnings: Value = serde_json::from_str(&info("{{json .Warnings}}")).unwrap();
    let warnings = if warnings.is_null() { json!([]) } else { warnings };
    assert_eq!(all["warnings"], warnings);
    let port =
        json!({"port": 8090, "proto": "tcp", "ip": "127.0.0.1", "container": "web", "state": "running"});
    assert_eq!(all["ports"], json!([port]));
    let df = host.exec(&["df", "-B1", "--output=size", "/var/lib/docker"]);
    assert_eq!(all["disk"]["filesystem"]["size"].to_string(), df.lines().last().unwrap().trim());
    assert!(all["disk"]["filesystem"]["free"].as_u64() > Some(0), "{all:#}");
    assert_eq!(all["disk"]["containers"]["count"], 2, "{all:#}");
    for section in ["engine", "resources", "disk", "ports", "warnings"] {
        let one = service.structured("host_inspect", json!({"host": "h1", "sections": [section]})).await;
        let keys: BTreeSet<&str> = one.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["host", "errors", section].into(), "{one:#}");
    }
}

/// Containers in every kind of trouble, and in none.
fn provoke(host: &Host) {
    let run = |name: &str, more: &[&str], command: &[&str]| {
        let name = format!("--name={name}");
        host.run_container(&[&[&name, "--network=none"], more, &[IMAGE], command].concat());
    };
    let sick = ["--health-cmd=echo api_key=hunter1; false", "--health-interval=1s", "--health-retries=1"];
    run("sick", &sick, &["sleep", "1000"]);
    run("loop", &["--restart=always"], &["sh", "-c", "exit 3"]);
    run("gave-up", &["--restart=on-failure:1"], &["sh", "-c", "exit 4"]);
    run("failed", &[], &["sh", "-c", "exit 5"]);
    // it ends when its end for want of memory is known, which the engine learns by another way
    let hungry = "trap 'exit 137' TERM; tail /dev/zero; while :; do usleep 10000; done";
    run("hungry", &["--memory=8m", "--memory-swap=8m"], &["sh", "-c", hungry]);
    run("well", &[], &["sleep", "1000"]);
    run("done", &[], &["true"]);
    run("stopped", &["--restart=always"], &["sleep", "1000"]);
    let shop = "--label=com.docker.compose.project=shop";
    run("shop-web", &[shop], &["sleep", "1000"]);
    run("shop-job", &[shop], &["false"]);
    run("lost-web", &["--label=com.docker.compose.project=lost"], &["false"]);
    let init = "--label=com.docker.compose.project=init";
    run("init-web", &[init], &["sleep", "1000"]);
    run("init-once", &[init], &["true"]);
    // it cannot have the port that another one has
    host.run_container(&["--name=first", "--publish=8095:80", IMAGE, "sleep", "1000"]);
    host.docker(&["create", "--name=second", "--publish=8095:80", IMAGE, "sleep", "1000"]);
    assert!(host.try_docker(&["start", "second"]).is_err());
    host.docker(&["stop", "-t", "0", "stopped"]);
    let state = |name: &str, what: &str| host.docker(&["inspect", "-f", what, name]);
    let events = ["events", "--since=1", "--until=0s", "--filter=container=hungry", "--filter=event=oom"];
    wait_for("the end for want of memory", SOON, || !host.docker(&events).is_empty());
    host.docker(&["kill", "--signal=TERM", "hungry"]);
    wait_for("what has to end has ended", SOON, || {
        ["failed", "hungry", "done", "shop-job", "lost-web", "init-once", "gave-up"]
            .iter()
            .all(|name| state(name, "{{.State.Status}}") == "exited")
            && state("sick", "{{.State.Health.Status}}") == "unhealthy"
            && state("loop", "{{.RestartCount}}").parse::<u32>().is_ok_and(|count| count > 3)
    });
    assert_eq!(state("hungry", "{{.State.OOMKilled}}"), "true");
}

/// Has a host tell that so many of its disk's hundred blocks are taken, whatever is true of this machine's.
fn disk_tells(host: &Host, used: u32) {
    let line = format!("/dev/sda1 100 {used} {} {used}% /", 100 - used);
    let script = format!(
        "printf '%s\\n' '#!/bin/sh' 'echo Filesystem 1024-blocks Used Available Capacity Mounted on' \
         'echo {line}' >/usr/local/bin/df && chmod 755 /usr/local/bin/df"
    );
    host.exec(&["sh", "-c", &script]);
}

/// What a finding is about.
fn about(finding: &Value) -> (&str, &str, &str, &str) {
    let text = |key: &str| finding[key].as_str().unwrap_or_default();
    (text("severity"), text("host"), text("kind"), text("subject"))
}

async fn what_needs_attention_is_told_and_nothing_else(fleet: &Fleet) {
    provoke(fleet.host("h1"));
    disk_tells(fleet.host("h1"), 84);
    disk_tells(fleet.host("h2"), 97);
    fleet.host("h3").refuse();
    let service = Service::start(&ServiceConfig::all(fleet));
    service.wait_ready(&["h1", "h2"]).await;
    eventually("h3 is tried", SOON, async || service.row("h3").await["cause"].is_string()).await;
    let ask = async |arguments: Value| service.structured("fleet_status", arguments).await;
    // a host that is busy may not tell in time how full its disk is
    let mut all = Value::Null;
    eventually("the full disk is told", SOON, async || {
        all = ask(json!({"min_severity": "info"})).await;
        all["findings"].as_array().unwrap().iter().any(|finding| finding["kind"] == "disk_full")
    })
    .await;
    disk_tells(fleet.host("h2"), 10);
    assert!(!all.to_string().contains("hunter"), "{all:#}");
    assert_eq!(
        (&all["hosts_ok"], &all["hosts_failed"], &all["errors"][0]["host"]),
        (&json!(2), &json!(1), &json!("h3"))
    );
    let findings = all["findings"].as_array().unwrap();
    // it ends and starts as it likes: of one that runs at the moment less is said
    let (looping, told): (Vec<_>, Vec<_>) =
        findings.iter().map(about).partition(|(_, _, _, subject)| *subject == "loop");
    assert!(
        matches!(looping[..], [("critical" | "warning", "h1", "container_restarting", _)]),
        "{looping:?}"
    );
    let expected = [
        ("critical", "h1", "container_failed", "gave-up"),
        ("critical", "h1", "container_oom", "hungry"),
        ("critical", "h1", "stack_failed", "lost"),
        ("critical", "h2", "disk_full", "/var/lib/docker"),
        ("critical", "h3", "host_unreachable", "h3"),
        ("warning", "h1", "container_failed", "failed"),
        ("warning", "h1", "container_failed", "lost-web"),
        ("warning", "h1", "container_failed", "second"),
        ("warning", "h1", "container_failed", "shop-job"),
        ("warning", "h1", "container_unhealthy", "sick"),
        ("warning", "h1", "stack_partial", "shop"),
        ("info", "h1", "container_stopped", "stopped"),
        ("info", "h1", "stack_partial", "init"),
    ];
    assert_eq!(told, expected, "{all:#}");
    for finding in findings {
        for key in ["summary", "suggest"] {
            assert!(finding[key].as_str().is_some_and(|text| text.len() > 8), "{finding:#}");
        }
        let since = finding["since"].as_str().map(|since| since.parse::<jiff::Timestamp>().unwrap());
        assert!(since.is_none_or(|since| since <= jiff::Timestamp::now()), "{finding:#}");
    }
    let summary = |subject: &str| {
        let found = findings.iter().find(|finding| finding["subject"] == subject).unwrap();
        found["summary"].as_str().unwrap().to_owned()
    };
    for (subject, word) in [
        ("gave-up", "exit code 4"),
        ("failed", "exit code 5"),
        ("second", "8095"),
        ("/var/lib/docker", "97 %"),
    ] {
        assert!(summary(subject).contains(word), "{}", summary(subject));
    }
    // what is asked for, by pages
    fleet.host("h1").docker(&["rm", "-f", "loop"]);
    let mut seen = Vec::new();
    let mut arguments = json!({"hosts": "h1", "limit": 3});
    loop {
        let page = ask(arguments.clone()).await;
        seen.extend(page["findings"].as_array().unwrap().clone());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        arguments["cursor"] = json!(cursor);
    }
    let of_h1: Vec<_> =
        expected.into_iter().filter(|(severity, host, ..)| *severity != "info" && *host == "h1").collect();
    assert_eq!(seen.iter().map(about).collect::<Vec<_>>(), of_h1);
    let worst = ask(json!({"hosts": "h1", "min_severity": "critical"})).await;
    assert_eq!(worst["total"], 3, "{worst:#}");
    // where no host answers, that is what needs attention
    let lost = ask(json!({"hosts": "h3"})).await;
    assert_eq!((&lost["hosts_ok"], &lost["hosts_failed"], &lost["total"]), (&json!(0), &json!(1), &json!(1)));
    assert_eq!(ask(json!({"hosts": "h2"})).await["findings"], json!([]));
    // a fault of the configuration is nobody's
    let file = service.home().hosts_file();
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{good}\nnonsense: true\n")).unwrap();
    service.reload();
    eventually("the fault is told", SOON, async || {
        ask(json!({"hosts": "h2"})).await["findings"][0]["kind"] == "configuration"
    })
    .await;
    for host in ["h1", "h2"] {
        fleet.host(host).exec(&["rm", "/usr/local/bin/df"]);
    }
}
