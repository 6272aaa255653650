//! The fleet under test: what the other trials take for granted.

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::host::Part;
use crate::support::trials::Trial;
use crate::support::{Fleet, Host, IMAGE, SlowProxy, eventually, processes, wait_for};
use crate::trials;

const SOON: Duration = Duration::from_secs(10);

pub fn trials() -> Vec<Trial> {
    trials![
        three_hosts_with_three_engines,
        users_differ_in_what_they_may,
        recorder_notes_each_request_once,
        recorder_is_transparent_to_docker,
        recorder_reads_pipelined_requests,
        power_loss_and_boot_keep_the_disk,
        partition_is_silent_and_heals,
        engine_hangs_and_goes_on,
        engine_dies_and_starts_again,
        ssh_sessions_hang_and_go_on,
        listener_gone_is_a_refusal,
        one_session_to_a_connection,
        changed_host_key_is_not_trusted,
        wrong_key_is_turned_away,
        counters_count_ssh,
        slow_proxy_delays_without_throttling,
        stalled_proxy_keeps_connections,
        down_leaves_nothing => 120,
    ]
}

async fn three_hosts_with_three_engines(fleet: &Fleet) {
    let facts: BTreeSet<String> = fleet.hosts()[..3]
        .iter()
        .map(|host| host.docker(&["info", "-f", "{{.ID}} {{.Name}}"]))
        .collect();
    assert_eq!(facts.len(), 3, "{facts:?}");
    for host in fleet.hosts() {
        assert_eq!(host.ssh("ops", &[], "hostname").stdout.trim(), host.name());
        assert_eq!(host.exec(&["hostname"]), host.name());
        assert!(
            host.exec(&["docker", "compose", "version"])
                .contains("version")
        );
    }
    for file in [
        "id_ed25519",
        "wrong_ed25519",
        "known_hosts",
        "ssh_config",
        "hosts.yml",
    ] {
        assert!(fleet.client_dir().join(file).is_file(), "{file}");
    }
}

async fn users_differ_in_what_they_may(fleet: &Fleet) {
    let host = fleet.host("h1");
    assert!(host.ssh("ops", &[], "docker ps").ok());
    assert!(host.ssh("root", &[], "docker ps").ok());
    let guest = host.ssh("guest", &[], "docker ps");
    assert!(
        !guest.ok() && guest.stderr.contains("permission denied"),
        "{guest:?}"
    );
    // the machine does not know them
    assert!(
        !std::fs::read_to_string("/etc/passwd")
            .unwrap()
            .contains("/home/ops:")
    );
}

async fn recorder_notes_each_request_once(fleet: &Fleet) {
    let host = fleet.host("h1");
    let recorder = host.record_engine();
    let ran = host.ssh(
        "ops",
        &[],
        "docker version -f '{{.Server.Version}}' && docker ps -aq",
    );
    assert!(ran.ok(), "{ran:?}");
    let seen = recorder.requests();
    let lists = seen
        .iter()
        .filter(|request| request.path.contains("/containers/json?all=1"));
    assert_eq!(lists.count(), 1, "{seen:?}");
    assert!(
        seen.iter()
            .any(|request| request.method == "HEAD" && request.path == "/_ping"),
        "{seen:?}"
    );
    assert!(seen.is_sorted_by_key(|request| request.at));
    recorder.clear();
    host.docker(&["ps"]);
    assert_eq!(
        recorder.requests(),
        [],
        "the side door leads past the recorder"
    );
    drop(recorder);
    assert!(host.ssh("ops", &[], "docker ps").ok(), "restored");
    assert_eq!(host.exec(&["readlink", "/run/docker.sock"]), "engine.sock");
    host.record_engine();
}

async fn recorder_is_transparent_to_docker(fleet: &Fleet) {
    let host = fleet.host("h1");
    let recorder = host.record_engine();
    // hijacked connections with input, output and an end in each direction
    let hijacked = host.ssh(
        "ops",
        &[],
        &format!(
            "echo GET / HTTP/1.1 | docker run --rm -i {IMAGE} sh -c 'cat; echo err >&2; exit 7'"
        ),
    );
    assert_eq!(
        (hijacked.code, hijacked.stdout.as_str()),
        (7, "GET / HTTP/1.1\n"),
        "{hijacked:?}"
    );
    assert!(hijacked.stderr.contains("err"));
    let id = host.run_container(&[IMAGE, "sh", "-c", "echo one; echo two; exec sleep 1000"]);
    let output = host.ssh(
        "ops",
        &[],
        &format!("docker exec {id} echo inside; docker logs {id}"),
    );
    assert_eq!(output.stdout, "inside\none\ntwo\n", "{output:?}");
    // chunked request and response bodies, of some megabytes
    let copied = host.ssh("ops", &[], &format!("docker save {IMAGE} | docker load -q"));
    assert!(copied.ok() && copied.stdout.contains(IMAGE), "{copied:?}");
    let seen = recorder.requests();
    for part in ["/attach", "/exec", "/logs", "/images/get", "/images/load"] {
        assert!(
            seen.iter().any(|request| request.path.contains(part)),
            "{part}: {seen:?}"
        );
    }
    assert!(
        seen.iter()
            .all(|request| request.path.starts_with('/') && request.path.len() > 1),
        "{seen:?}"
    );
}

async fn recorder_reads_pipelined_requests(fleet: &Fleet) {
    let host = fleet.host("h1");
    let recorder = host.record_engine();
    let door = host.engine_socket().with_file_name("docker.sock");
    let mut engine = UnixStream::connect(door).unwrap();
    engine.set_read_timeout(Some(SOON)).unwrap();
    let wire = [
        "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 18\r\n\r\nGET /no HTTP/1.1\r\n",
        "POST /b?q=1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
        "4;x=y\r\nGET \r\n10\r\n/no HTTP/1.1\r\n\r\n\r\n0\r\nT: v\r\n\r\n",
        "GET /c HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: nothing\r\n\r\n",
        "GET /d HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ];
    // in pieces that fit nothing
    for piece in wire.concat().as_bytes().chunks(7) {
        engine.write_all(piece).unwrap();
    }
    let mut answers = String::new();
    engine.read_to_string(&mut answers).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 404").count(), 4, "{answers}");
    let paths: Vec<String> = recorder
        .requests()
        .into_iter()
        .map(|request| request.path)
        .collect();
    assert_eq!(paths, ["/a", "/b?q=1", "/c", "/d"]);
}

async fn power_loss_and_boot_keep_the_disk(fleet: &Fleet) {
    let host = fleet.host("h2");
    let id = host.run_container(&["--restart", "always", IMAGE, "sleep", "1000"]);
    let engine = host.docker(&["info", "-f", "{{.ID}}"]);
    let mut connected = connect(host.ssh_address()).unwrap();
    read_banner(&mut connected);
    host.power_off();
    // no goodbye: the connection is as it was, and silent
    connected
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
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
    assert!(
        silent.stderr.contains("timed out") && silent.took > Duration::from_secs(3),
        "{silent:?}"
    );
    assert!(
        fleet.host("h1").ssh("ops", &[], "true").ok(),
        "the others stay reachable"
    );
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
    recorder.clear();
    assert!(host.ssh("ops", &[], "docker ps").ok());
    assert!(
        !recorder.requests().is_empty(),
        "a recorder outlives its engine"
    );
}

async fn ssh_sessions_hang_and_go_on(fleet: &Fleet) {
    let host = fleet.host("h1");
    let mut proxy = connect(host.ssh_address()).unwrap();
    read_banner(&mut proxy);
    host.hang(Part::SshSessions);
    proxy.write_all(b"SSH-2.0-test\r\n").unwrap();
    proxy
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    assert!(is_silence(proxy.read(&mut [0; 16]).unwrap_err().kind()));
    assert!(
        host.ssh("ops", &[], "true").ok(),
        "the listener takes new ones"
    );
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
    assert_eq!(
        connect(host.ssh_address()).unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
    established.write_all(b"SSH-2.0-test\r\n").unwrap();
    assert!(
        established.read(&mut [0; 16]).unwrap() > 0,
        "established ones stay"
    );
    host.accept();
    assert!(host.ssh("ops", &[], "true").ok());
}

async fn one_session_to_a_connection(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.sshd_options(&["MaxSessions 1"]);
    let dir = tempfile::tempdir().unwrap();
    let path = format!("ControlPath={}/mux", dir.path().display());
    let mut master = std::process::Command::new("ssh")
        .arg("-F")
        .arg(fleet.ssh_config())
        .args(["-M", "-o", &path, "h1", "sleep 1000"])
        // it says what it refused, amid the report
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    eventually("the first session", SOON, async || {
        !host.processes_matching("^sleep 1000").is_empty()
    })
    .await;
    let second = host.ssh(
        "ops",
        &["-o", &path, "-o", "ControlMaster=no", "-v"],
        "true",
    );
    assert!(
        second.stderr.contains("Session open refused by peer"),
        "{second:?}"
    );
    master.kill().unwrap();
    master.wait().unwrap();
    host.sshd_options(&[]);
    assert!(host.ssh("ops", &[], "true").ok());
}

async fn changed_host_key_is_not_trusted(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.change_host_key();
    let refused = host.ssh("ops", &[], "true");
    assert!(
        refused.stderr.contains("Host key verification failed"),
        "{refused:?}"
    );
    host.restore_host_key();
    assert!(host.ssh("ops", &[], "true").ok());
}

async fn wrong_key_is_turned_away(fleet: &Fleet) {
    let host = fleet.host("h1");
    host.wrong_key();
    let denied = host.ssh("ops", &[], "true");
    assert!(
        denied.stderr.contains("Permission denied (publickey)"),
        "{denied:?}"
    );
    host.right_key();
    assert!(host.ssh("ops", &[], "true").ok());
}

async fn counters_count_ssh(fleet: &Fleet) {
    let host = fleet.host("h2");
    let (logins, failures, attempts) =
        (host.ssh_logins(), host.ssh_failures(), host.ssh_attempts());
    assert!(host.ssh("ops", &[], "true").ok());
    host.wrong_key();
    assert!(!host.ssh("ops", &[], "true").ok());
    wait_for("the failure in the log", SOON, || {
        host.ssh_failures() == failures + 1
    });
    assert_eq!(
        (host.ssh_logins(), host.ssh_attempts()),
        (logins + 1, attempts + 2)
    );
    host.right_key();
    wait_for("no session", SOON, || host.ssh_session_processes() == 0);
    let mut session = std::process::Command::new("ssh")
        .arg("-F")
        .arg(fleet.ssh_config())
        .args(["h2", "docker system dial-stdio"])
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait_for("a session", SOON, || {
        host.processes_matching("^docker.* dial-stdio").len() == 1
    });
    assert_eq!(
        (host.ssh_connections(), host.ssh_session_processes()),
        (1, 2)
    );
    host.kill_ssh_sessions();
    wait_for("its end", SOON, || session.try_wait().unwrap().is_some());
    assert_eq!(host.ssh_connections(), 0);
}

async fn slow_proxy_delays_without_throttling(_fleet: &Fleet) {
    let echo = echo_server();
    let delay = Duration::from_millis(150);
    let proxy = SlowProxy::start(echo, delay);
    let mut line = connect(proxy.addr()).unwrap();
    let start = Instant::now();
    line.write_all(b"x").unwrap();
    line.read_exact(&mut [0]).unwrap();
    assert!(start.elapsed() >= 2 * delay, "{:?}", start.elapsed());
    // 8 MB are 512 pieces: one after the other they would take more than two minutes
    let start = Instant::now();
    let mut writer = line.try_clone().unwrap();
    let writing = std::thread::spawn(move || writer.write_all(&vec![7; 8 << 20]));
    let mut back = vec![0; 8 << 20];
    line.read_exact(&mut back).unwrap();
    writing.join().unwrap().unwrap();
    assert!(back.iter().all(|byte| *byte == 7));
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
}

async fn stalled_proxy_keeps_connections(fleet: &Fleet) {
    let proxy = SlowProxy::start(fleet.host("h1").ssh_address(), Duration::ZERO);
    proxy.stall();
    let mut line = connect(proxy.addr()).unwrap();
    line.set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    assert!(is_silence(line.read(&mut [0; 16]).unwrap_err().kind()));
    proxy.resume();
    line.set_read_timeout(Some(SOON)).unwrap();
    read_banner(&mut line);
    proxy.stall();
    line.write_all(b"SSH-2.0-test\r\n").unwrap();
    line.set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    assert!(is_silence(line.read(&mut [0; 16]).unwrap_err().kind()));
    proxy.resume();
    line.set_read_timeout(Some(SOON)).unwrap();
    assert!(line.read(&mut [0; 16]).unwrap() > 0);
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
    assert!(
        alive.iter().any(|process| process.name == "dockerd"),
        "{alive:?}"
    );
    assert!(
        alive
            .iter()
            .filter(|process| process.command == "sleep 1000")
            .count()
            >= 2,
        "{alive:?}"
    );
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
        names
            .filter(|name| name.starts_with(&script.name))
            .collect()
    };
    for dir in [
        "/run/netns",
        "/sys/class/net",
        "/sys/fs/cgroup",
        "/sys/fs/cgroup/memory",
    ] {
        assert_eq!(names(dir), [""; 0], "{dir}");
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(state.to_str().unwrap()), "{mounts}");
    assert!(Path::new("/var/tmp").is_dir());
}

fn connect(to: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(SOON))?;
    Ok(stream)
}

fn read_banner(stream: &mut TcpStream) {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.last() != Some(&b'\n') {
        stream.read_exact(&mut byte).unwrap();
        line.push(byte[0]);
    }
    assert!(line.starts_with(b"SSH-2.0-"));
}

fn is_silence(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::TimedOut | ErrorKind::WouldBlock)
}

fn running(host: &Host, id: &str) -> bool {
    host.docker(&["inspect", "-f", "{{.State.Running}}", id]) == "true"
}

/// Sends everything back; its thread ends with its one connection.
fn echo_server() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut back = stream.try_clone().unwrap();
        std::io::copy(&mut stream, &mut back)
    });
    address
}
