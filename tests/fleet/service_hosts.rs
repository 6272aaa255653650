//! Hosts added, changed and removed by a person at the command line, while a service runs on the same
//! file: what is saved, what the service makes of it, and what stays as it was.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::listed::NOTICED;
use crate::support::service::{Ended, Home, Stdio};
use crate::support::trials::Trial;
use crate::support::{Fleet, Service, ServiceConfig, eventually};
use crate::trials;

pub fn trials() -> Vec<Trial> {
    trials![
        s10_a_host_is_added_by_command_once_it_was_connected_to,
        s10_hosts_added_by_several_commands_at_once_are_all_there,
        s10_an_edit_by_command_touches_only_what_it_names,
        s10_a_host_that_is_disabled_and_moved_by_command_is_followed,
        s10_the_last_host_goes_at_once_when_it_is_removed_by_command,
        s10_an_emptied_file_is_believed_when_a_person_confirms_it,
        s2_stdio_reads_a_project_only_when_it_is_trusted_and_never_loosens_by_it,
    ]
}

fn run(home: &Home, args: &[&str]) -> Ended {
    home.run(&home.hosts_file(), args)
}

/// Runs a command that must succeed, and gives what it said.
fn done(home: &Home, args: &[&str]) -> String {
    let ended = run(home, args);
    assert!(ended.status.success(), "{args:?} ended with {}\n{}", ended.status, ended.stderr);
    ended.stdout
}

fn text(home: &Home) -> String {
    fs::read_to_string(home.hosts_file()).unwrap()
}

/// A hosts file as people write them, with comments everywhere.
fn commented(fleet: &Fleet) -> ServiceConfig {
    let [h1, h2] = ["h1", "h2"].map(|name| fleet.host(name));
    ServiceConfig::none(fleet)
        .with(h1, &["# the first one", "tags: [same] # and these"])
        .with(h2, &["description: old # words", "# at the end"])
}

async fn s10_a_host_is_added_by_command_once_it_was_connected_to(fleet: &Fleet) {
    let service = Service::start(&ServiceConfig::none(fleet).with(fleet.host("h1"), &["# mine"]));
    service.wait_ready(&["h1"]).await;
    let home = service.home();
    let (before, saved) = (fleet.logins(), text(home));

    let h2 = fleet.host("h2").address();
    let said = done(home, &["hosts", "add", "nas", &format!("ops@{h2}"), "--tag", "big"]);
    assert!(said.contains(&format!("nas  ssh://ops@{h2}  Docker ")), "{said}");
    assert!(said.contains(&format!("added nas to {}", home.hosts_file().display())), "{said}");
    assert_eq!(text(home), format!("{saved}  nas:\n    hostname: {h2}\n    user: ops\n    tags: [big]\n"));
    service.wait_hosts(&["h1", "nas"]).await;
    service.wait_ready(&["nas"]).await;
    assert_eq!(service.row("nas").await["tags"], json!(["big"]));

    // somebody may be in between: nothing is saved, and the command says what to do
    let (pi, saved) = (fleet.host("h3"), text(home));
    pi.change_host_key();
    let target = format!("ops@{}", pi.address());
    let refused = run(home, &["hosts", "add", "pi", &target]);
    assert_eq!(refused.status.code(), Some(1), "{}", refused.stderr);
    for words in ["dockmaster hosts trust pi", "Nothing was saved"] {
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
    assert!(refused.stdout.contains("failed: the host key has changed"), "{}", refused.stdout);
    assert_eq!(text(home), saved);
    let taken = run(home, &["hosts", "add", "nas", &target, "--no-test"]);
    assert_eq!(taken.status.code(), Some(1), "{}", taken.stderr);
    assert!(taken.stderr.contains("there is a host nas already"), "{}", taken.stderr);
    assert_eq!(text(home), saved);
    // unless it is told to
    done(home, &["hosts", "add", "pi", &target, "--no-test"]);
    service.wait_hosts(&["h1", "nas", "pi"]).await;
    service.wait_row("pi", "cause", "host_key_changed").await;
    // the command's login, and that of the line
    assert_eq!(fleet.logins(), [before[0], before[1] + 2, before[2]]);
}

async fn s10_hosts_added_by_several_commands_at_once_are_all_there(fleet: &Fleet) {
    let service = Service::start(&commented(fleet));
    service.wait_ready(&["h1", "h2"]).await;
    let home = service.home();
    let (before, saved) = (fleet.logins(), text(home));
    let h3 = format!("ops@{}", fleet.host("h3").address());
    let add = |names: &[String], more: &[&str]| {
        std::thread::scope(|scope| {
            let command = |name| [&["hosts", "add", name, &h3], more].concat();
            let running: Vec<_> =
                names.iter().map(|name| scope.spawn(move || done(home, &command(name)))).collect();
            for command in running {
                command.join().unwrap();
            }
        });
    };
    let tested: Vec<String> = (0..4).map(|number| format!("tested-{number}")).collect();
    add(&tested, &[]);
    // without a login in front they meet at the file
    let blind: Vec<String> = (0..12).map(|number| format!("blind-{number}")).collect();
    add(&blind, &["--no-test"]);

    let mut all = [&["h1".to_owned(), "h2".to_owned()], &tested[..], &blind[..]].concat();
    all.sort();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    service.wait_hosts(&all).await;
    assert!(text(home).starts_with(&saved), "{}", text(home));
    assert_eq!(done(home, &["config", "check", "--strict"]), format!("{} hosts\n", all.len()));
    service.wait_ready(&all).await;
    assert_eq!(fleet.logins()[..2], before[..2]);
}

async fn s10_an_edit_by_command_touches_only_what_it_names(fleet: &Fleet) {
    let service = Service::start(&commented(fleet));
    service.wait_ready(&["h1", "h2"]).await;
    let home = service.home();
    let (before, saved) = (fleet.logins(), text(home));
    done(home, &["hosts", "edit", "h2", "--description", "new", "--policy", "no_destructive"]);
    service.wait_row("h2", "description", json!("new")).await;
    service.wait_row("h2", "policy", json!("no_destructive")).await;
    let edited = "description: new # words\n    policy: no_destructive\n";
    assert_eq!(text(home), saved.replace("description: old # words\n", edited));
    done(home, &["hosts", "edit", "h2", "--tag", "a", "--tag", "b"]);
    service.wait_row("h2", "tags", json!(["a", "b"])).await;
    done(home, &["hosts", "edit", "h2", "--unset", "tags", "--unset", "policy", "--description", "old"]);
    service.wait_row("h2", "tags", Value::Null).await;
    service.wait_row("h2", "policy", json!("rw")).await;
    assert_eq!(text(home), saved, "all as it was");

    // what makes no host is told, and changes nothing
    for (arguments, code) in [(&["--hostname", "a b"][..], 1), (&["--policy", "all"], 1), (&[], 1)] {
        let refused = run(home, &[&["hosts", "edit", "h2"], arguments].concat());
        assert_eq!(refused.status.code(), Some(code), "{arguments:?}: {}", refused.stderr);
    }
    let unknown = run(home, &["hosts", "edit", "h22", "--tag", "a"]);
    assert!(unknown.stderr.contains("Did you mean \"h2\"?"), "{}", unknown.stderr);
    assert_eq!(text(home), saved);
    // a file that is faulty already is the configuration's fault, not the command's
    fs::write(home.hosts_file(), "hosts: [").unwrap();
    let faulty = run(home, &["hosts", "edit", "h2", "--tag", "a"]);
    assert_eq!(faulty.status.code(), Some(78), "{}", faulty.stderr);
    assert_eq!(text(home), "hosts: [");
    assert_eq!(fleet.logins(), before);
}

async fn s10_a_host_that_is_disabled_and_moved_by_command_is_followed(fleet: &Fleet) {
    let service = Service::start(&commented(fleet));
    service.wait_ready(&["h1", "h2"]).await;
    let home = service.home();
    let (before, saved) = (fleet.logins(), text(home));
    done(home, &["hosts", "disable", "h2"]);
    service.wait_row("h2", "phase", "disabled").await;
    let h2 = fleet.host("h2");
    eventually("the line to h2 is closed", NOTICED, async || h2.ssh_session_processes() == 0).await;
    done(home, &["hosts", "enable", "h2"]);
    service.wait_ready(&["h2"]).await;

    let place = fleet.host("h3").address().to_string();
    done(home, &["hosts", "edit", "h2", "--hostname", &place]);
    service.wait_row("h2", "endpoint", format!("ssh://ops@{place}")).await;
    service.wait_ready(&["h2"]).await;
    eventually("the old line is closed", NOTICED, async || h2.ssh_session_processes() == 0).await;
    assert_eq!(fleet.logins(), [before[0], before[1] + 1, before[2] + 1]);
    let comments = |text: &str| text.matches('#').count();
    assert_eq!(comments(&text(home)), comments(&saved), "{}", text(home));
}

async fn s10_the_last_host_goes_at_once_when_it_is_removed_by_command(fleet: &Fleet) {
    let service = Service::start(&commented(fleet));
    service.wait_ready(&["h1", "h2"]).await;
    let home = service.home();
    let before = fleet.logins();
    for (host, left) in [("h2", &["h1"][..]), ("h1", &[])] {
        let said = done(home, &["hosts", "remove", host]);
        assert!(said.starts_with(&format!("removed {host} from ")), "{said}");
        service.wait_hosts(left).await;
        let closed = async || fleet.host(host).ssh_session_processes() == 0;
        eventually("its line is closed", NOTICED, closed).await;
    }
    assert_eq!(service.faults().await, Value::Null);
    assert_eq!(fleet.logins(), before);
    let unknown = run(home, &["hosts", "remove", "h1"]);
    assert_eq!(unknown.status.code(), Some(1), "{}", unknown.stderr);
}

/// By hand all hosts of a file do not go, however often it is read. The word of a person is no change of
/// a file that is watched: the next look finds it, and who polls looks often.
async fn s10_an_emptied_file_is_believed_when_a_person_confirms_it(fleet: &Fleet) {
    let service = Service::start(&commented(fleet).server("watch: poll"));
    service.wait_ready(&["h1", "h2"]).await;
    let home = service.home();
    let before = fleet.logins();
    let told = async |words: &str| {
        let told = async || service.faults().await.to_string().contains(words);
        eventually(words, NOTICED, told).await;
        assert!(service.is_ready("h1").await && service.is_ready("h2").await);
    };
    let write = |hosts: &str| {
        let text = format!("server:\n  watch: poll\nhosts: {hosts}\n");
        fs::write(home.hosts_file(), text).unwrap();
    };
    write("{}");
    told("config confirm").await;
    // each of these is a reading of its own
    write("[");
    told("faulty").await;
    write("{} # meant");
    told("config confirm").await;
    assert_eq!(fleet.logins(), before);
    let said = done(home, &["config", "confirm"]);
    assert!(said.contains(&format!("confirmed {}", home.hosts_file().display())), "{said}");
    eventually("the hosts are gone", NOTICED, async || service.ids().await.is_empty()).await;
}

/// The answer of `host_list` over stdio, and what was logged: the client starts it in the project that
/// is open.
fn listed_over_stdio(home: &Home) -> (Value, String) {
    let mut stdio = Stdio::start_with(home.command_here(&["stdio"]));
    stdio.initialize();
    let listed = stdio.call(1, "host_list", &json!({})).structured;
    stdio.close_input();
    assert!(stdio.exit().success());
    (listed, stdio.log().join("\n"))
}

fn policies(listed: &Value) -> Vec<(&str, &str)> {
    let rows = listed["hosts"].as_array().unwrap().iter();
    rows.map(|row| (row["host"].as_str().unwrap(), row["policy"].as_str().unwrap())).collect()
}

async fn s2_stdio_reads_a_project_only_when_it_is_trusted_and_never_loosens_by_it(fleet: &Fleet) {
    let [h1, h2] = ["h1", "h2"].map(|name| fleet.host(name));
    let own = ServiceConfig::none(fleet).with(h1, &["policy: ro"]).hosts_file("config/dockmaster/hosts.yml");
    let home = Home::new(&own);
    let project = home.path().join("work");
    fs::create_dir(project.join("config")).unwrap();
    let again = format!("hostname: {}", h1.address());
    let theirs = ServiceConfig::none(fleet)
        .with(h1, &["policy: rw", "description: theirs"])
        // the same engine by another name
        .entry("again", &[&again, "user: ops", "policy: rw"])
        .with(h2, &[]);
    fs::write(project.join("config/hosts.yml"), theirs.yaml()).unwrap();

    let attempts = h2.ssh_attempts();
    let (listed, log) = listed_over_stdio(&home);
    assert_eq!(policies(&listed), [("h1", "ro")], "{listed}");
    assert!(log.contains("is not read, because the project is not trusted"), "{log}");
    assert!(log.contains(&format!("config trust {}", project.display())), "{log}");
    assert_eq!(h2.ssh_attempts(), attempts, "nobody was connected to for an untrusted project");

    let trusted = home.run_here(&["config", "trust", project.to_str().unwrap()]);
    assert!(trusted.status.success(), "{}", trusted.stderr);
    let (listed, _) = listed_over_stdio(&home);
    assert_eq!(policies(&listed), [("again", "ro"), ("h1", "ro"), ("h2", "rw")], "{listed}");
    assert_eq!(listed["hosts"][1]["description"], "theirs", "{listed}");
    let shown = home.run_here(&["config", "trust", "--list"]);
    assert_eq!(shown.stdout, format!("{}\n", canonical(&project)));

    let no_longer = home.run_here(&["config", "trust", "--remove", project.to_str().unwrap()]);
    assert!(no_longer.status.success(), "{}", no_longer.stderr);
    assert_eq!(policies(&listed_over_stdio(&home).0), [("h1", "ro")]);
}

fn canonical(path: &Path) -> String {
    path.canonicalize().unwrap().display().to_string()
}
