//! What is on record, who keeps it, and what becomes of it when the disk, the host or the keeper goes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::service_doctor::{accept, with_known_hosts};
use crate::support::service::{Ended, Home, Stdio};
use crate::support::trials::Trial;
use crate::support::{Fleet, Host, IMAGE, Service, ServiceConfig, eventually, temp_dir, wait_for};
use crate::trials;

/// Where an interrupted restart is interrupted.
const POINT: &str = "before act restart one";

const SOON: Duration = Duration::from_secs(20);

pub fn trials() -> Vec<Trial> {
    trials![
        what_was_done_is_shown_with_and_without_a_service => 120,
        a_key_finds_the_answer_of_a_tool_that_begins_no_job,
        a_change_on_a_host_that_does_not_come_back_waits_says_so_and_can_be_given_up => 120,
        a_host_that_is_another_machine_by_now_is_left_alone => 120,
        a_second_service_is_told_who_keeps_the_journal => 60,
        a_second_stdio_is_carried_by_the_first_which_stays_until_it_leaves => 60,
        when_the_first_stdio_is_killed_a_carried_one_takes_over => 60,
        a_stdio_beside_a_service_is_carried_by_it => 90,
        on_a_full_or_closed_disk_nothing_is_changed_and_reads_go_on => 120,
    ]
}

fn ops(home: &Home, args: &[&str]) -> Ended {
    let ended = home.run_here(args);
    assert!(ended.status.success(), "{args:?}: {}", ended.stderr);
    ended
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn what_was_done_is_shown_with_and_without_a_service(fleet: &Fleet) {
    let host = fleet.host("h1");
    let service =
        Service::start(&ServiceConfig::none(fleet).with(host, &[]).with(fleet.host("h2"), &["policy: ro"]));
    service.wait_ready(&["h1", "h2"]).await;
    assert_eq!(ops(service.home(), &["ops", "list"]).stdout, "no operations\n");
    host.run_container(&["--name", "one", IMAGE, "sleep", "1000"]);
    let stop = json!({"host": "h1", "containers": ["one"], "timeout": 1, "idempotency_key": "k"});
    let job = service.structured("container_stop", stop).await;
    let id = job["job"].as_str().unwrap();
    for (tool, arguments) in [
        ("container_stop", json!({"host": "h2", "containers": ["one"]})),
        ("container_stop", json!({"host": "nowhere", "containers": ["one"]})),
        ("container_stop", json!({"host": "h1", "containers": ["../one"]})),
        (
            "container_stop",
            json!({"host": "h1", "containers": ["one"], "timeout": 2, "idempotency_key": "k"}),
        ),
        ("host_update", json!({"host": "h1", "description": "password=hunter2hunter2"})),
    ] {
        service.call(tool, arguments).await;
    }
    let told = |home: &Home| {
        let list = ops(home, &["ops", "list"]).stdout;
        assert!(
            list.starts_with(id) && list.contains("done") && list.contains("container_stop  one"),
            "{list}"
        );
        let shown = ops(home, &["ops", "show", &id[..13]]).stdout;
        for part in [
            "done      stop one (running to exited)",
            "asked for by owner",
            "idempotency key \"k\"",
            "engine ",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        let phases = ops(home, &["ops", "phases"]).stdout;
        assert!(phases.contains("h1  ready") && phases.contains("h1  connecting"), "{phases}");
        let exported = lines(&ops(home, &["ops", "export"]).stdout);
        assert_eq!(
            (exported.len(), &exported[0]["id"], &exported[0]["state"]),
            (1, &job["job"], &json!("done"))
        );
        assert_eq!(exported[0]["steps"][0]["before"]["state"], "running", "{exported:?}");
        let audit = lines(&ops(home, &["audit", "--json"]).stdout);
        let verdicts: Vec<(&str, &str)> = audit
            .iter()
            .map(|entry| (entry["tool"].as_str().unwrap(), entry["verdict"].as_str().unwrap()))
            .collect();
        let refused = ("container_stop", "refused");
        assert_eq!(
            verdicts,
            [
                ("host_update", "accepted"),
                ("host_update", "asked"),
                refused,
                refused,
                refused,
                refused,
                ("container_stop", "accepted")
            ]
        );
        assert!(audit[2]["reason"].as_str().unwrap().contains(id), "{}", audit[2]);
        assert!(audit[5]["reason"].as_str().unwrap().contains("held to ro"), "{}", audit[5]);
        assert_eq!((&audit[6]["operation"], &audit[6]["principal"]), (&job["job"], &json!("owner")));
        assert_eq!(audit[6]["client"], "trial 1", "in the era of requests without a session too");
        assert!(!ops(home, &["audit", "--json"]).stdout.contains("hunter2"), "secrets stay out");
        audit
    };
    let audit = told(service.home());
    let client = service.client();
    let listed = client.request("resources/list", None, json!({})).await;
    assert_eq!(listed["result"]["resources"][0]["uri"], "dockmaster://audit", "{listed}");
    let read = client
        .request("resources/read", Some("dockmaster://audit"), json!({"uri": "dockmaster://audit"}))
        .await;
    let text = read["result"]["contents"][0]["text"].as_str().unwrap_or_else(|| panic!("{read}"));
    assert_eq!(lines(text), audit);
    let (_, home) = service.stop();
    assert_eq!(told(&home), audit, "it is read without anybody who keeps it");
    let missing = home.run_here(&["ops", "show", "ffff"]);
    assert!(
        !missing.status.success() && missing.stderr.contains("ops list shows them"),
        "{}",
        missing.stderr
    );
}

async fn a_key_finds_the_answer_of_a_tool_that_begins_no_job(fleet: &Fleet) {
    let service = Service::start(&ServiceConfig::none(fleet).with(fleet.host("h1"), &[]));
    service.wait_ready(&["h1"]).await;
    let first = json!({"host": "h1", "description": "first", "idempotency_key": "k"});
    let answer = service.structured("host_update", first.clone()).await;
    service.structured("host_update", json!({"host": "h1", "description": "second"})).await;
    let service = Service::start_in(service.kill());
    service.wait_ready(&["h1"]).await;
    assert_eq!(service.structured("host_update", first).await, answer);
    assert_eq!(service.row("h1").await["description"], "second", "it is not made again");
    let other = json!({"host": "h1", "description": "third", "idempotency_key": "k"});
    let other = service.call("host_update", other).await;
    assert!(other.is_error && other.text.starts_with("conflict"), "{}", other.text);
    assert_eq!(service.row("h1").await["description"], "second");
}

/// The service dies as it is about to restart a container on h1; its directories and the operation.
async fn interrupted(service: Service, host: &Host) -> (Home, String) {
    service.wait_ready(&["h1"]).await;
    host.run_container(&["--name", "one", IMAGE, "sleep", "1000"]);
    let restart = json!({"host": "h1", "containers": ["one"], "timeout": 1, "wait_healthy": 0, "wait": 0});
    // Whether its answer comes before its end or not.
    service.client().try_call("container_restart", restart).await;
    let (_, mut home) = service.ended();
    home.forget_variables();
    let listed = lines(&ops(&home, &["ops", "list", "--json"]).stdout);
    let id = listed[0]["id"].as_str().unwrap().to_owned();
    (home, id)
}

async fn a_change_on_a_host_that_does_not_come_back_waits_says_so_and_can_be_given_up(fleet: &Fleet) {
    let host = fleet.host("h1");
    let config = ServiceConfig::none(fleet).with(host, &[]).with(fleet.host("h2"), &[]);
    let service = Service::start(&config.variable("DOCKMASTER_FAILPOINT", POINT));
    let (home, id) = interrupted(service, host).await;
    host.power_off();
    let service = Service::start_in(home);
    service.wait_ready(&["h2"]).await;
    eventually("it says what it waits for", SOON, async || {
        let job = service.structured("job_get", json!({"job": id})).await;
        assert_eq!(job["state"], "recovering", "{job}");
        job["note"].as_str().unwrap_or_default().starts_with("waits for h1, which is ")
    })
    .await;
    let cancelled = ops(service.home(), &["ops", "cancel", &id]);
    assert!(cancelled.stdout.contains("is cancelled"), "{}", cancelled.stdout);
    assert_eq!(
        service.structured("job_get", json!({"job": id})).await["state"],
        "recovering",
        "it is in doubt still"
    );
    ops(service.home(), &["ops", "cancel", "--give-up", &id]);
    let job = service.structured("job_get", json!({"job": id})).await;
    assert_eq!(job["state"], "unknown", "{job}");
    assert!(job["note"].as_str().unwrap().contains("given up by a person"), "{job}");
    host.boot();
    service.wait_ready_within(&["h1"], Duration::from_secs(60)).await;
    ops(service.home(), &["ops", "resume", &id]);
    let job = service.structured("job_get", json!({"job": id, "wait": 45})).await;
    assert_eq!(job["state"], "cancelled", "it was not made, and is not made any more: {job}");
}

/// A machine that bears another's name and address, and perhaps the name of its engine: a clone, or a new one.
async fn a_host_that_is_another_machine_by_now_is_left_alone(fleet: &Fleet) {
    let (host, scratch) = (fleet.host("h1"), temp_dir());
    let config = with_known_hosts(fleet, scratch.path()).with(host, &[]);
    let service = Service::start(&config.variable("DOCKMASTER_FAILPOINT", POINT));
    accept(&service, host, "host_key_unknown", scratch.path()).await;
    let (home, id) = interrupted(service, host).await;
    let started = || host.docker(&["inspect", "-f", "{{.State.StartedAt}}", "one"]);
    let before = started();
    host.change_host_key();
    let service = Service::start_in(home);
    accept(&service, host, "host_key_changed", scratch.path()).await;
    eventually("it says so", SOON, async || {
        let job = service.structured("job_get", json!({"job": id})).await;
        assert_eq!(job["state"], "recovering", "{job}");
        job["note"].as_str().unwrap_or_default().contains("h1 is another machine by now")
    })
    .await;
    assert_eq!(started(), before);
    ops(service.home(), &["ops", "cancel", "--give-up", &id]);
    fleet.heal_all();
}

async fn a_second_service_is_told_who_keeps_the_journal(fleet: &Fleet) {
    let service = Service::start(&ServiceConfig::none(fleet).with(fleet.host("h1"), &[]));
    let second = service.home().run(&service.home().hosts_file(), &["serve", "--port", "0"]);
    assert!(!second.status.success());
    let holder = format!("process {}, serving http://{}/mcp", service.pid(), service.address());
    assert!(second.stderr.contains(&holder), "{}", second.stderr);
    assert!(second.stderr.contains("DOCKMASTER_DATA_DIR"), "{}", second.stderr);
}

async fn a_second_stdio_is_carried_by_the_first_which_stays_until_it_leaves(fleet: &Fleet) {
    let host = fleet.host("h1");
    let home = Home::new(&ServiceConfig::none(fleet).with(host, &[]));
    let mut first = Stdio::start_with(home.command(&["stdio"]));
    first.initialize();
    let ready = |stdio: &mut Stdio, id: u64| stdio.call(id, "container_list", &json!({"hosts": "h1"}));
    assert!(!ready(&mut first, 1).is_error);
    let logins = host.ssh_logins();
    let mut second = Stdio::start_with(home.command(&["stdio"]));
    second.initialize();
    assert!(!ready(&mut second, 1).is_error);
    assert_eq!(host.ssh_logins(), logins, "it has no line of its own");
    second.send_raw("no json");
    assert_eq!(second.receive_any()["error"]["code"], -32700, "it is told as anybody");
    first.close_input();
    assert!(!ready(&mut second, 2).is_error, "the first stays for the second");
    second.close_input();
    assert!(second.exit().success() && first.exit().success());
}

/// A client that is carried keeps its session when the service behind it dies, and so does every other.
async fn when_the_first_stdio_is_killed_a_carried_one_takes_over(fleet: &Fleet) {
    let host = fleet.host("h1");
    let home = Home::new(&ServiceConfig::none(fleet).with(host, &[]));
    host.run_container(&["--name", "one", IMAGE, "sleep", "1000"]);
    let mut all: Vec<Stdio> = (0..3)
        .map(|_| {
            let mut stdio = Stdio::start_with(home.command(&["stdio"]));
            stdio.initialize();
            stdio
        })
        .collect();
    let listed = |stdio: &mut Stdio, id: u64| {
        assert!(!stdio.call(id, "container_list", &json!({"hosts": "h1"})).is_error);
    };
    for stdio in &mut all {
        listed(stdio, 1);
    }
    let logins = host.ssh_logins();
    let restart = json!({"host": "h1", "containers": ["one"], "timeout": 15, "wait_healthy": 0});
    all[1].send(&json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call",
        "params": {"name": "container_restart", "arguments": restart}}));
    let on_record = || lines(&ops(&home, &["ops", "export"]).stdout);
    eventually("it is under way", SOON, async || {
        on_record().first().is_some_and(|job| job["steps"][0]["state"] == "intended")
    })
    .await;
    all[0].kill();
    let told = all[1].receive(2);
    assert!(told["error"]["message"].as_str().unwrap().contains("job_list"), "{told}");
    for stdio in &mut all[1..] {
        listed(stdio, 3);
    }
    assert_eq!(host.ssh_logins(), logins + 1, "there is one service, with a line of its own");
    let job = json!({"job": on_record()[0]["id"], "wait": 45});
    let job = all[2].call(4, "job_get", &job).structured;
    assert_eq!(job["state"], "done", "what was under way went on: {job}");
    for stdio in &mut all[1..] {
        stdio.close_input();
    }
    assert!(all[1].exit().success() && all[2].exit().success());
}

async fn a_stdio_beside_a_service_is_carried_by_it(fleet: &Fleet) {
    let host = fleet.host("h1");
    let service = Service::start(&ServiceConfig::none(fleet).with(host, &[]));
    service.wait_ready(&["h1"]).await;
    host.run_container(&["--name", "one", IMAGE, "sleep", "1000"]);
    let mut stdio = Stdio::start_with(service.home().command(&["stdio"]));
    stdio.initialize();
    let stopped =
        stdio.call(1, "container_stop", &json!({"host": "h1", "containers": ["one"], "timeout": 1}));
    assert!(!stopped.is_error, "{}", stopped.text);
    let listed = service.structured("job_list", json!({"state": "done"})).await;
    assert_eq!(listed["jobs"][0]["target"], "one", "{listed}");
    let audit = lines(&ops(service.home(), &["audit", "--json"]).stdout);
    assert_eq!(audit[0]["client"], "trial 1", "who asked is known by name");
    // one whose hosts stand elsewhere is not mixed up with this one
    let other = service.home().path().join("other.yml");
    std::fs::write(&other, "hosts: {}\n").unwrap();
    let refused = service.home().run(&other, &["stdio"]);
    assert!(!refused.status.success() && refused.stderr.contains("other files"), "{}", refused.stderr);
    let service = Service::start_in(service.kill());
    let listed = stdio.call(2, "container_list", &json!({"hosts": "h1"}));
    assert!(!listed.is_error, "a service that is started anew is attached to: {}", listed.text);
    service.kill();
    assert!(!stdio.exit_within(2 * SOON).success(), "nobody takes the place of a managed service");
    let told = stdio.log().join("\n");
    assert!(told.contains("has ended"), "{told}");
}

/// A small disk in the place of a directory, until it is dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn at(path: &Path) -> Self {
        let disk = Self(path.to_owned());
        disk.mount(&["-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs"]);
        disk
    }

    fn mount(&self, args: &[&str]) {
        let ran = Command::new("mount").args(args).arg(&self.0).status().unwrap();
        assert!(ran.success(), "mount {args:?}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        wait_for("nobody uses the disk", SOON, || {
            Command::new("umount").arg(&self.0).status().is_ok_and(|ran| ran.success())
        });
    }
}

async fn on_a_full_or_closed_disk_nothing_is_changed_and_reads_go_on(fleet: &Fleet) {
    let host = fleet.host("h1");
    let home = Home::new(&ServiceConfig::none(fleet).with(host, &[]));
    let data = home.path().join("data");
    let disk = SmallDisk::at(&data);
    let service = Service::start_in(home);
    service.wait_ready(&["h1"]).await;
    host.run_container(&["--name", "one", IMAGE, "sleep", "1000"]);
    let started = || host.docker(&["inspect", "-f", "{{.State.StartedAt}}", "one"]);
    let restart = json!({"host": "h1", "containers": ["one"], "timeout": 1, "wait_healthy": 0});
    let first = service.structured("container_restart", restart.clone()).await;
    assert_eq!(first["state"], "done", "{first}");
    let before = started();

    let fill = data.join("fill");
    let _ = std::fs::write(&fill, vec![1; 4 << 20]);
    let refused = service.call("container_restart", restart.clone()).await;
    assert!(
        refused.is_error && refused.text.starts_with("journal_unavailable") && refused.text.contains("full"),
        "{}",
        refused.text
    );
    assert!(!service.call("container_list", json!({"hosts": "h1"})).await.is_error, "reads go on");
    assert_eq!(service.structured("job_get", json!({"job": first["job"]})).await["state"], "done");
    std::fs::remove_file(&fill).unwrap();
    assert_eq!(started(), before, "nothing was changed");

    let again = service.structured("container_restart", restart.clone()).await;
    assert_eq!(again["state"], "done", "with room it goes on: {again}");

    // what is under way when the disk fills is made once, and is put on record when there is room
    let slow = json!({"host": "h1", "containers": ["one"], "timeout": 15, "wait_healthy": 0, "wait": 0});
    let id = json!({"job": service.structured("container_restart", slow).await["job"]});
    let job = async || service.structured("job_get", id.clone()).await;
    eventually("it is under way", SOON, async || job().await["results"][0]["state"] == "intended").await;
    let _ = std::fs::write(&fill, vec![1; 4 << 20]);
    eventually("what was done is owed", SOON, async || {
        job().await["note"].as_str().is_some_and(|note| note.contains("cannot be put on record yet"))
    })
    .await;
    let restarted = started();
    assert_ne!(restarted, before);
    assert!(!service.call("container_list", json!({"hosts": "h1"})).await.is_error);
    std::fs::remove_file(&fill).unwrap();
    eventually("it is over", SOON, async || job().await["state"] == "done").await;
    assert_eq!(started(), restarted, "it was not made again");

    let (_, home) = service.stop();
    disk.mount(&["-o", "remount,ro"]);
    let service = Service::start_in(home);
    service.wait_ready(&["h1"]).await;
    let before = started();
    let refused = service.call("container_restart", restart).await;
    assert!(refused.is_error && refused.text.starts_with("journal_unavailable"), "{}", refused.text);
    assert!(!service.call("container_list", json!({"hosts": "h1"})).await.is_error, "reads go on");
    assert_eq!(started(), before);
    let (_, home) = service.stop();
    drop(disk);
    drop(home);
}
