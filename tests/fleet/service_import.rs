//! Hosts taken from an ssh configuration, written in every style that ssh reads, one of them behind
//! another.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde_json::json;

use crate::support::service::Home;
use crate::support::trials::Trial;
use crate::support::{Fleet, Service, ServiceConfig};
use crate::trials;

pub fn trials() -> Vec<Trial> {
    trials![
        s11_aliases_of_every_style_are_imported_by_command_and_become_ready => 120,
        s11_of_another_ssh_configuration_is_taken_what_can_be_said_without_it,
        s11_an_assistant_imports_what_answers_and_is_told_the_rest => 120,
    ]
}

/// An ssh configuration in a directory of the service's own, whose name is not without a space.
struct Styles {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl Styles {
    fn new(fleet: &Fleet) -> Self {
        let dir = crate::support::temp_dir();
        let below = dir.path().join("conf d");
        fs::create_dir(&below).unwrap();
        let [h1, h2, h3] = ["h1", "h2", "h3"].map(|name| fleet.host(name).address());
        let included = format!("Host inner\n  HostName {h3}\n  User ops\n");
        fs::write(below.join("one.conf"), included).unwrap();
        let text = format!(
            "# Match and Include may stand anywhere, and a name is no pattern\n\
             Include \"{}/*.conf\" # quoted, with a wildcard\n\
             Host first second\n\
             \tHostName {h3}\n\
             Host=keyed\n\
             HostName={h3}\n\
             User = root\n\
             Host \"quoted\"\n\
             \x20 HostName \"{h2}\"\n\
             Host jumped\n\
             \x20 HostName {h2}\n\
             \x20 ProxyJump h1\n\
             Match originalhost jumped\n\
             \x20 User ops\n\
             Match host nowhere\n\
             \x20 HostName {h1}\n\
             Host *.lan !nas.lan h?\n\
             \x20 ServerAliveCountMax 3\n\
             Host bare\n\
             \x20 Port 22\n\
             Host dead\n\
             \x20 HostName {h1}\n\
             \x20 Port 1\n\
             Host stranger\n\
             \x20 HostName {h3}\n\
             \x20 User guest\n\
             # nobody whom ssh would let in as such\n\
             Host jumped\n\
             \x20 User nobody\n\
             Host * !keyed\n\
             \x20 User ops\n\
             Match all\n\
             \x20 Include {}\n",
            below.display(),
            fleet.ssh_config().display()
        );
        let path = dir.path().join("ssh_config");
        fs::write(&path, text).unwrap();
        Self { _dir: dir, path }
    }
}

/// The aliases that can be taken, in the order of the files, and those of them that answer.
const OFFERED: [&str; 10] =
    ["inner", "first", "second", "keyed", "quoted", "jumped", "dead", "stranger", "h2", "h3"];

fn run(home: &Home, args: &[&str]) -> (Option<i32>, String, String) {
    let ended = home.run(&home.hosts_file(), args);
    (ended.status.code(), ended.stdout, ended.stderr)
}

fn firsts(said: &str) -> Vec<&str> {
    said.lines().filter_map(|line| line.split_once("  ")).map(|(first, _)| first).collect()
}

/// Logins of h2 that came over h1.
fn over_h1(fleet: &Fleet) -> usize {
    let from = format!("Accepted publickey for ops from {} ", fleet.host("h1").address());
    fleet.host("h2").sshd_log().lines().filter(|line| line.starts_with(&from)).count()
}

async fn s11_aliases_of_every_style_are_imported_by_command_and_become_ready(fleet: &Fleet) {
    let styles = Styles::new(fleet);
    let config = ServiceConfig::none(fleet).with(fleet.host("h1"), &["# mine"]).ssh_config(&styles.path);
    let service = Service::start(&config);
    service.wait_ready(&["h1"]).await;
    let since = service.row("h1").await["since"].clone();
    let (home, before, jumps) = (service.home(), fleet.logins(), over_h1(fleet));
    let text = || fs::read_to_string(home.hosts_file()).unwrap();

    // looking is not taking, and connects to nobody
    for look in [&["hosts", "import"][..], &["hosts", "import", "--all", "--dry-run"]] {
        let (code, said, _) = run(home, look);
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(firsts(&said), [&OFFERED[..], &["bare", "h1"]].concat(), "{said}");
        assert!(said.contains("\nbare  skipped: it has no HostName\n"), "{said}");
        assert!(said.contains("\nh1  skipped: it is the host h1 already\n"), "{said}");
        let place = format!("first  ops@{}\n", fleet.host("h3").address());
        assert!(said.contains(&place), "{said}");
    }
    assert_eq!((text().as_str(), fleet.logins()), (config.yaml(), before));

    let (code, said, words) = run(home, &["hosts", "import", "jumped"]);
    assert_eq!(code, Some(0), "{said}{words}");
    service.wait_hosts(&["h1", "jumped"]).await;
    service.wait_ready(&["jumped"]).await;
    // the command's, and the line's
    assert_eq!(over_h1(fleet), jumps + 2);
    let answer = service.structured("container_list", json!({"hosts": "jumped"})).await;
    assert_eq!(answer["errors"], json!([]), "{answer}");

    let (code, said, words) = run(home, &["hosts", "import", "--all"]);
    assert_eq!(code, Some(1), "{said}{words}");
    let tried: Vec<&str> = OFFERED.into_iter().filter(|alias| *alias != "jumped").collect();
    let lines = said.lines().filter(|line| line.contains("  ssh://"));
    let mut told: Vec<&str> =
        lines.filter_map(|line| line.split_once("  ")).map(|(first, _)| first).collect();
    told.sort_by_key(|alias| tried.iter().position(|known| known == alias));
    assert_eq!(told, tried, "a line for each: {said}");
    assert!(said.contains("\n7 of 9 hosts were added\n"), "{said}");
    for (alias, cause) in [("dead", "nothing listens"), ("stranger", "may not open the engine's socket")] {
        let tried = |line: &&str| line.starts_with(alias) && line.contains("  ssh://");
        let line = said.lines().find(tried).unwrap();
        assert!(line.contains("  failed: ") && line.contains(cause), "{line}");
    }
    assert!(words.contains("were not saved"), "{words}");
    assert!(text().starts_with(config.yaml()), "{}", text());
    let all = ["first", "h1", "h2", "h3", "inner", "jumped", "keyed", "quoted", "second"];
    service.wait_hosts(&all).await;
    service.wait_ready(&all).await;
    assert_eq!(service.row("h1").await["since"], since, "h1 was left alone");

    // what is there is not tried again
    let (code, said, _) = run(home, &["hosts", "import", "--all"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.ends_with("\n0 of 2 hosts were added\n"), "{said}");
    let (code, said, words) = run(home, &["hosts", "import", "keyed"]);
    assert_eq!((code, said.as_str()), (Some(1), ""), "{words}");
    assert!(words.contains("it is the host keyed already"), "{words}");
    let (code, _, words) = run(home, &["hosts", "import", "kyed"]);
    assert_eq!(code, Some(1));
    assert!(words.contains("is no host of your ssh configuration"), "{words}");
}

/// ssh will not read that file when it logs in: a host is written with all that it says.
async fn s11_of_another_ssh_configuration_is_taken_what_can_be_said_without_it(fleet: &Fleet) {
    let service = Service::start(&ServiceConfig::none(fleet).with(fleet.host("h1"), &[]));
    service.wait_ready(&["h1"]).await;
    let (home, before) = (service.home(), fleet.logins());
    let key = home.path().join("a key");
    fs::copy(fleet.client_dir().join("id_ed25519"), &key).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let other = home.path().join("other config");
    let [h2, h3] = ["h2", "h3"].map(|name| fleet.host(name).address());
    let words = format!(
        "Host plain\n  HostName {h3}\n  User ops\n  IdentityFile \"{}\"\nHost far\n  HostName {h2}\n  ProxyJump h1\n",
        key.display()
    );
    fs::write(&other, words).unwrap();
    let import = |alias: &str| run(home, &["hosts", "import", alias, "--file", other.to_str().unwrap()]);
    let (code, said, words) = import("plain");
    assert_eq!(code, Some(0), "{said}{words}");
    let text = fs::read_to_string(home.hosts_file()).unwrap();
    assert!(text.contains(&format!("identity_file: {}", key.display())), "{text}");
    assert!(!text.contains("ssh_alias"), "{text}");
    service.wait_hosts(&["h1", "plain"]).await;
    service.wait_ready(&["plain"]).await;
    let (code, said, words) = import("far");
    assert_eq!((code, said.as_str()), (Some(1), ""), "{words}");
    assert!(words.contains("reached through a proxy"), "{words}");
    let (code, _, words) = run(home, &["hosts", "import", "--all", "--file", "/nonexistent/config"]);
    assert_eq!(code, Some(1));
    assert!(words.contains("/nonexistent/config does not exist"), "{words}");
    assert_eq!(fs::read_to_string(home.hosts_file()).unwrap(), text);
    assert_eq!(fleet.logins(), [before[0], before[1], before[2] + 2]);
}

async fn s11_an_assistant_imports_what_answers_and_is_told_the_rest(fleet: &Fleet) {
    let styles = Styles::new(fleet);
    let config = ServiceConfig::none(fleet).with(fleet.host("h1"), &["# mine"]).ssh_config(&styles.path);
    let service = Service::start(&config);
    service.wait_ready(&["h1"]).await;
    let (before, jumps) = (fleet.logins(), over_h1(fleet));
    let text = || fs::read_to_string(service.home().hosts_file()).unwrap();

    let plan = service.structured("host_import", json!({"dry_run": true})).await;
    let names = |rows: &serde_json::Value, key: &str| -> Vec<String> {
        rows.as_array().unwrap().iter().map(|row| row[key].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(&plan["added"], "host"), OFFERED, "{plan}");
    assert_eq!(names(&plan["skipped"], "alias"), ["bare", "h1"], "{plan}");
    assert_eq!((text().as_str(), fleet.logins()), (config.yaml(), before));

    let done = service.structured("host_import", json!({"pattern": "{jumped,d*,quoted}"})).await;
    assert_eq!(names(&done["added"], "host"), ["quoted", "jumped"], "{done}");
    assert_eq!(names(&done["skipped"], "alias"), ["dead"], "{done}");
    let reason = done["skipped"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("nothing listens on the port"), "{reason}");
    // there when the call returns
    assert_eq!(service.ids().await, ["h1", "jumped", "quoted"]);
    service.wait_ready(&["jumped", "quoted"]).await;
    assert_eq!(over_h1(fleet), jumps + 2);
    for host in ["jumped", "quoted"] {
        // nothing that a person has not said may be destroyed
        assert_eq!(service.row(host).await["policy"], "no_destructive");
    }
    assert!(text().starts_with(config.yaml()), "{}", text());
    let saved = text();
    let again = service.structured("host_import", json!({"pattern": "*ed"})).await;
    assert_eq!(names(&again["skipped"], "alias"), ["quoted", "jumped"], "{again}");
    assert_eq!(names(&again["added"], "host"), ["keyed"], "{again}");
    assert!(text().starts_with(&saved), "{}", text());
}
