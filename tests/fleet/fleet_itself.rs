//! The fleet under test: what the other trials take for granted.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use crate::support::host::Part;
use crate::support::tcp::{connect, is_silence, read_banner};
use crate::support::trials::Trial;
use crate::support::{Fleet, Host, IMAGE, eventually, processes, temp_dir, wait_for};
use crate::trials;

const SOON: Duration = Duration::from_secs(10);

pub fn trials() -> Vec<Trial> {
    trials![
        three_hosts_with_three_engines,
        users_differ_in_what_they_may,
        power_loss_and_boot_keep_the_disk,
        partition_is_silent_and_heals,
        engine_hangs_and_goes_on,
        engine_dies_and_starts_again,
        ssh_sessions_hang_and_go_on,
        listener_gone_is_a_refusal,
        one_session_to_a_connection,
        changed_host_key_is_not_trusted,
        wrong_key_is_turned_away,
        down_leaves_nothing => 120,
    ]
}

async fn three_hosts_with_three_engines(fleet: &Fleet) {
    let facts: BTreeSet<String> =
        fleet.hosts()[..3].iter().map(|host| host.docker(&["info", "-f", "{{.ID}} {{.Name}}"])).collect();
    assert_eq!(facts.len(), 3, "{facts:?}");
    for host in fleet.hosts() {
        assert_eq!(host.ssh("ops", &[], "hostname").stdout.trim(), host.name());
        assert_eq!(host.exec(&["hostname"]), host.name());
        assert!(host.exec(&["docker", "compose", "version"]).contains("version"));
    }
    for file in ["id_ed25519", "wrong_ed25519", "known_hosts", "ssh_config", "hosts.yml"] {
        assert!(fleet.client_dir().join(file).is_file(), "{file}");
    }
}

async fn users_differ_in_what_they_may(fleet: &Fleet) {
    let host = fleet.host("h1");
    assert!(host.ssh("ops", &[], "docker ps").ok());
    assert!(host.ssh("root", &[], "docker ps").ok());
    let guest = host.ssh("guest", &[], "docker ps");
    assert!(!guest.ok() && guest.stderr.contains("permission denied"), "{guest:?}");
    // the machine does not know them
    assert!(!std::fs::read_to_string("/etc/passwd").unwrap().contains("/home/ops:"));
}

async fn power_loss_and_boot_keep_the_disk(fleet: &Fleet) {
    let host = fleet.host("h2");
    let id = host.run_container(&["--restart", "always", IMAGE, "sleep", "1000"]);
    let engine = host.docker(&["info", "-f", "{{.ID}}"]);
    let mut connected = connect(host.ssh_address()).unwrap();
    read_banner(&mut connected);
    host.power_off();
    // no goodbye: the connection is as it was, and silent
    connected.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let error = connected.read(&mut [0; 16]).unwrap_err();
    assert!(is_silence(error.kind()), "{error}");
    assert!(is_silence(connect(host.ssh_address()).unwrap_err().kind()));
    host.boot();
    assert_eq!(host.docker(&["info", "-f", "{{.ID}}"]), engine);
    wait_for("the container runs again", SOON, || running(host, &id));
    // the new kernel does not know the old connection
    connected.write_all(b"x").unwrap();
    connected.set_read_timeout(Some(SOON)).unwrap();
    let error = connected.read(&mut [0; 16]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

async fn partition_is_silent_and_heals(fleet: &Fleet) {
    let host = fleet.host("h3");
    let mut connected = connect(host.ssh_address()).unwrap();
    host.partition();
    let silent = host.ssh("ops", &["-o", "ConnectTimeout=4"], "true");
    // longer than an address resolution takes to fail: that would not be silence
    assert!(silent.stderr.contains("timed out") && silent.took > Duration::from_secs(3), "{silent:?}");
    assert!(fleet.host("h1").ssh("ops", &[], "true").ok(), "the others stay reachable");
    host.heal();
    assert!(host.ssh("ops", &[], "true").ok());
    read_banner(&mut connected);
}

async fn engine_hangs_and_goes_on(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.hang(Part::Engine);
    assert!(!host.ssh("ops", &[], "timeout 1 docker ps").ok());
    assert!(host.ssh("ops", &[], "true").ok(), "ssh is well");
    host.resume(Part::Engine);
    assert!(host.ssh("ops", &[], "docker ps").ok());
}

async fn engine_dies_and_starts_again(fleet: &Fleet) {
    let host = fleet.host("h1");
    let recorder = host.record_engine();
    host.kill_engine();
    assert!(!host.ssh("ops", &[], "docker ps").ok());
    host.start_engine();
    recorder.forget();
    assert!(host.ssh("ops", &[], "docker ps").ok());
    assert!(!recorder.requests().is_empty(), "a recorder outlives its engine");
}

async fn ssh_sessions_hang_and_go_on(fleet: &Fleet) {
    let host = fleet.host("h1");
    let mut proxy = connect(host.ssh_address()).unwrap();
    read_banner(&mut proxy);
    host.hang(Part::SshSessions);
    proxy.write_all(b"SSH-2.0-test\r\n").unwrap();
    proxy.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    assert!(is_silence(proxy.read(&mut [0; 16]).unwrap_err().kind()));
    assert!(host.ssh("ops", &[], "true").ok(), "the listener takes new ones");
    host.resume(Part::SshSessions);
    proxy.set_read_timeout(Some(SOON)).unwrap();
    assert!(proxy.read(&mut [0; 16]).unwrap() > 0);
    host.hang(Part::SshListener);
    let silent = host.ssh("ops", &["-o", "ConnectTimeout=1"], "true");
    assert!(silent.stderr.contains("timed out"), "{silent:?}");
}

async fn listener_gone_is_a_refusal(fleet: &Fleet) {
    let host = fleet.host("h1");
    let mut established = connect(host.ssh_address()).unwrap();
    read_banner(&mut established);
    host.refuse();
    assert_eq!(connect(host.ssh_address()).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    established.write_all(b"SSH-2.0-test\r\n").unwrap();
    assert!(established.read(&mut [0; 16]).unwrap() > 0, "established ones stay");
    host.accept();
    assert!(host.ssh("ops", &[], "true").ok());
}

async fn one_session_to_a_connection(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.sshd_options(&["MaxSessions 1"]);
    let dir = temp_dir();
    let socket = dir.path().join("mux");
    let path = format!("ControlPath={}", socket.display());
    let _master = host.ssh_stays("ops", &["-M", "-o", &path], "exec sleep 1000");
    eventually("the first session", SOON, async || {
        socket.exists() && !host.processes_matching("^sleep 1000").is_empty()
    })
    .await;
    let second = host.ssh("ops", &["-o", &path, "-o", "ControlMaster=no", "-v"], "true");
    assert!(second.stderr.contains("Session open refused by peer"), "{second:?}");
    host.sshd_options(&[]);
    assert!(host.ssh("ops", &[], "true").ok());
    // the sleeper has no terminal and would outlive its connection
    host.end_ssh();
}

async fn changed_host_key_is_not_trusted(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.change_host_key();
    let refused = host.ssh("ops", &[], "true");
    assert!(refused.stderr.contains("Host key verification failed"), "{refused:?}");
    host.restore_host_key();
    assert!(host.ssh("ops", &[], "true").ok());
}

async fn wrong_key_is_turned_away(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.wrong_key();
    let denied = host.ssh("ops", &[], "true");
    assert!(denied.stderr.contains("Permission denied (publickey)"), "{denied:?}");
    host.right_key();
    assert!(host.ssh("ops", &[], "true").ok());
}

/// In a fleet of its own, so that the others keep theirs.
async fn down_leaves_nothing(fleet: &Fleet) {
    let script = fleet.script().sibling();
    let own = Fleet::acquire_as(script.clone(), 1).unwrap();
    let state = own.state_dir().to_owned();
    let host = own.host("h1");
    host.docker(&["run", "-d", "--name", "sleeper", IMAGE, "sleep", "1000"]);
    let session = host.ssh("ops", &[], "sleep 1000 >/dev/null 2>&1 & docker ps -q");
    assert!(session.ok(), "{session:?}");
    let alive = processes::descendants(host.pid());
    assert!(alive.iter().any(|process| process.name == "dockerd"), "{alive:?}");
    assert!(alive.iter().filter(|process| process.command == "sleep 1000").count() >= 2, "{alive:?}");
    // also what no one undid
    host.partition();
    host.hang(Part::Engine);
    own.take_down();
    let left: Vec<_> = alive.iter().filter(|process| process.lives()).collect();
    assert!(left.is_empty(), "processes: {left:?}");
    let left = processes::mentioning(&format!("{}/", state.display()));
    assert!(left.is_empty(), "processes: {left:?}");
    assert!(!state.exists());
    let names = |dir: &str| -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(dir) else {
            return Vec::new();
        };
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(&script.name)).collect()
    };
    for dir in ["/run/netns", "/sys/class/net", "/sys/fs/cgroup", "/sys/fs/cgroup/memory"] {
        assert_eq!(names(dir), [""; 0], "{dir}");
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(state.to_str().unwrap()), "{mounts}");
}

fn running(host: &Host, id: &str) -> bool {
    host.docker(&["inspect", "-f", "{{.State.Running}}", id]) == "true"
}
