//! The support under test: recorder, counters and proxies.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::host::Part;
use crate::support::leaks::{self, Level};
use crate::support::places;
use crate::support::script::Running;
use crate::support::tcp::{connect, is_silence, read_banner};
use crate::support::trials::Trial;
use crate::support::wait::holds_within;
use crate::support::{Background, Fleet, IMAGE, SlowProxy, processes, temp_dir, wait_for};
use crate::trials;

const SOON: Duration = Duration::from_secs(10);

pub fn trials() -> Vec<Trial> {
    trials![
        recorder_notes_each_request_once,
        recorder_is_transparent_to_docker,
        recorder_reads_pipelined_requests,
        recorder_stops_reading_at_an_upgrade,
        counters_count_ssh,
        slow_proxy_delays_without_throttling,
        stalled_proxy_keeps_connections,
        what_a_trial_leaves_behind_is_told,
        a_trial_that_leaves_something_fails_unless_it_has_failed_already,
        a_process_is_judged_by_its_end,
    ]
}

async fn recorder_notes_each_request_once(fleet: &Fleet) {
    let host = fleet.host("h1");
    let recorder = host.record_engine();
    let ran = host.ssh("ops", &[], "docker version -f '{{.Server.Version}}' && docker ps -aq");
    assert!(ran.ok(), "{ran:?}");
    let seen = recorder.requests();
    let lists = seen.iter().filter(|request| request.path.contains("/containers/json?all=1"));
    assert_eq!(lists.count(), 1, "{seen:?}");
    assert!(seen.iter().any(|request| request.method == "HEAD" && request.path == "/_ping"), "{seen:?}");
    assert!(seen.is_sorted_by_key(|request| request.at));
    recorder.forget();
    host.docker(&["ps"]);
    assert_eq!(recorder.requests(), [], "the side door leads past the recorder");
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
        &format!("echo GET / HTTP/1.1 | docker run --rm -i {IMAGE} sh -c 'cat; echo err >&2; exit 7'"),
    );
    assert_eq!((hijacked.code, hijacked.stdout.as_str()), (7, "GET / HTTP/1.1\n"), "{hijacked:?}");
    assert!(hijacked.stderr.contains("err"));
    let id = host.run_container(&[IMAGE, "sh", "-c", "echo one; echo two; exec sleep 1000"]);
    wait_for("it has spoken", SOON, || host.docker(&["logs", &id]) == "one\ntwo");
    let output = host.ssh("ops", &[], &format!("docker exec {id} echo inside; docker logs {id}"));
    assert_eq!(output.stdout, "inside\none\ntwo\n", "{output:?}");
    // chunked request and response bodies, of some megabytes
    let copied = host.ssh("ops", &[], &format!("docker save {IMAGE} | docker load -q"));
    assert!(copied.ok() && copied.stdout.contains(IMAGE), "{copied:?}");
    let seen = recorder.requests();
    for part in ["/attach", "/exec", "/logs", "/images/get", "/images/load"] {
        assert!(seen.iter().any(|request| request.path.contains(part)), "{part}: {seen:?}");
    }
    assert!(seen.iter().all(|request| request.path.starts_with('/') && request.path.len() > 1), "{seen:?}");
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
    let paths: Vec<String> = recorder.requests().into_iter().map(|request| request.path).collect();
    assert_eq!(paths, ["/a", "/b?q=1", "/c", "/d"]);
}

async fn recorder_stops_reading_at_an_upgrade(fleet: &Fleet) {
    let host = fleet.host("h1");
    let id = host.run_container(&["-i", IMAGE, "cat"]);
    let recorder = host.record_engine();
    let door = host.engine_socket().with_file_name("docker.sock");
    let mut engine = UnixStream::connect(door).unwrap();
    engine.set_read_timeout(Some(SOON)).unwrap();
    let attach = format!("POST /containers/{id}/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\n");
    let upgrade = "Host: x\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n";
    let input = "GET /no HTTP/1.1\r\nHost: x\r\n\r\n";
    // before the answer, when only the answer can tell what this is, and after it
    engine.write_all(format!("{attach}{upgrade}{input}").as_bytes()).unwrap();
    let mut answer = [0; 12];
    engine.read_exact(&mut answer).unwrap();
    assert_eq!(answer.as_slice(), b"HTTP/1.1 101");
    engine.write_all(input.as_bytes()).unwrap();
    let mut echoed = Vec::new();
    wait_for("the input comes back", SOON, || {
        let mut piece = [0; 512];
        let count = engine.read(&mut piece).unwrap();
        echoed.extend_from_slice(&piece[..count]);
        String::from_utf8_lossy(&echoed).contains("GET /no HTTP/1.1")
    });
    let seen = recorder.requests();
    assert_eq!(seen.len(), 1, "{seen:?}");
}

async fn counters_count_ssh(fleet: &Fleet) {
    let host = fleet.host("h2");
    let (logins, failures, attempts) = (host.ssh_logins(), host.ssh_failures(), host.ssh_attempts());
    assert!(host.ssh("ops", &[], "true").ok());
    host.wrong_key();
    assert!(!host.ssh("ops", &[], "true").ok());
    wait_for("the failure in the log", SOON, || host.ssh_failures() == failures + 1);
    assert_eq!((host.ssh_logins(), host.ssh_attempts()), (logins + 1, attempts + 2));
    host.right_key();
    wait_for("no session", SOON, || host.ssh_session_processes() == 0);
    let mut session = host.ssh_stays("ops", &[], "docker system dial-stdio");
    wait_for("a session", SOON, || host.processes_matching("^docker.* dial-stdio").len() == 1);
    assert_eq!((host.ssh_connections(), host.ssh_session_processes()), (1, 2));
    host.kill_ssh_sessions();
    wait_for("its end", SOON, || session.ended());
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
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

async fn stalled_proxy_keeps_connections(fleet: &Fleet) {
    let proxy = SlowProxy::start(fleet.host("h1").ssh_address(), Duration::ZERO);
    proxy.stall();
    let mut line = connect(proxy.addr()).unwrap();
    line.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(is_silence(line.read(&mut [0; 16]).unwrap_err().kind()));
    proxy.resume();
    line.set_read_timeout(Some(SOON)).unwrap();
    read_banner(&mut line);
    proxy.stall();
    line.write_all(b"SSH-2.0-test\r\n").unwrap();
    line.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(is_silence(line.read(&mut [0; 16]).unwrap_err().kind()));
    proxy.resume();
    line.set_read_timeout(Some(SOON)).unwrap();
    assert!(line.read(&mut [0; 16]).unwrap() > 0);
}

/// The words for what `leak` leaves, which must be gone again once it is dropped.
fn told<T>(fleet: &Fleet, part: &str, leak: impl FnOnce() -> T) -> T {
    let before = Level::of(fleet);
    let left = leak();
    let mut seen = Vec::new();
    let shown = |seen: &[String]| seen.iter().any(|thing| thing.contains(part));
    let found = holds_within(SOON, || {
        seen = Level::of(fleet).beyond(&before);
        shown(&seen)
    });
    assert!(found, "{part} is not told: {seen:#?}");
    left
}

async fn what_a_trial_leaves_behind_is_told(fleet: &Fleet) {
    let host = fleet.host("h2");
    let before = Level::of(fleet);
    let me = std::process::id();
    let dir = told(fleet, &format!("this machine: /tmp/dm{me}-"), temp_dir);
    let path = dir.path().join("open");
    let file = told(fleet, &format!("of {}", path.display()), || std::fs::File::create(&path).unwrap());
    let socket = told(fleet, "of socket:[", || std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let thread = told(fleet, "forgotten", || {
        let forgotten = std::thread::Builder::new().name("forgotten".to_owned());
        forgotten.spawn(move || ended.recv()).unwrap()
    });
    let runtime = told(fleet, "of anon_inode:[eventpoll]", Background::start);
    let child = told(fleet, "(sleep) sleep 1001", || Running::start("sleep", &["1001".to_owned()]));
    let mut zombie = told(fleet, "nobody waited for it", || Command::new("true").spawn().unwrap());
    // its parent ends at once: known by its environment alone
    told(fleet, "(sleep) sleep 1002", || {
        let mut parent = Command::new("sh");
        parent.args(["-c", "sleep 1002 >/dev/null 2>&1 &"]).env("HOME", dir.path());
        assert!(parent.status().unwrap().success());
    });
    let orphans = processes::matching(&processes::naming(&dir.path().display().to_string()), "^sleep 1002");
    told(fleet, "h2: process", || host.ssh("ops", &[], "sleep 1003 >/dev/null 2>&1 &"));
    let session = told(fleet, "(docker) docker system dial-stdio", || {
        host.ssh_stays("ops", &[], "docker system dial-stdio")
    });
    let held = Level::of(fleet).beyond(&before);
    let connected = format!("to {}", host.ssh_address());
    assert!(
        held.iter().any(|thing| thing.contains("connection from") && thing.ends_with(&connected)),
        "{held:#?}"
    );
    assert!(
        held.iter().any(|thing| thing.starts_with("h2: process") && thing.contains("(sshd")),
        "{held:#?}"
    );
    told(fleet, "h2: /tmp/dockmaster-x", || host.exec(&["touch", "/tmp/dockmaster-x"]));
    let recorder = told(fleet, "h2: /run/docker.sock", || host.record_engine());
    // and nothing is told any more once it is all gone
    drop((file, socket, end, runtime, child, session, recorder, dir));
    thread.join().unwrap().unwrap_err();
    zombie.wait().unwrap();
    processes::end(&orphans);
    host.exec(&["rm", "/tmp/dockmaster-x"]);
    host.end_ssh();
    let mut left = Vec::new();
    let gone = holds_within(SOON, || {
        left = Level::of(fleet).beyond(&before);
        left.is_empty()
    });
    assert!(gone, "{left:#?}");
}

async fn a_trial_that_leaves_something_fails_unless_it_has_failed_already(fleet: &Fleet) {
    let at_once = Duration::ZERO;
    leaks::guarded(fleet, SOON, || Ok(())).unwrap();
    let mut forgotten = None;
    let failed = leaks::guarded(fleet, at_once, || {
        forgotten = Some(temp_dir());
        Ok(())
    });
    let words = format!("{:?}", failed.unwrap_err());
    let path = forgotten.take().unwrap();
    assert!(words.contains("this is left of it") && words.contains(path.path().to_str().unwrap()), "{words}");
    // what goes by itself is waited for, also behind a fault
    let host = fleet.host("h2");
    leaks::guarded(fleet, SOON, || {
        let session = host.ssh_stays("ops", &[], "cat");
        wait_for("the session", SOON, || !host.processes_matching("^cat$").is_empty());
        host.hang(Part::SshSessions);
        drop(session);
        Ok(())
    })
    .unwrap();
    let failed = leaks::guarded(fleet, at_once, || {
        forgotten = Some(temp_dir());
        Err("its own words".into())
    });
    let words = format!("{:?}", failed.unwrap_err());
    assert!(words.contains("its own words") && !words.contains("left"), "{words}");
}

/// The process of a trial, and what such a process may do.
async fn a_process_is_judged_by_its_end(_: &Fleet) {
    let judged = |script: &str, limit| {
        let mut command = Command::new("sh");
        places::judged("one", command.args(["-c", script]), limit).map_err(|failed| format!("{failed:?}"))
    };
    judged("exec true", SOON).unwrap();
    let failed = judged("echo these words >&2; exit 3", SOON).unwrap_err();
    assert!(failed.contains("these words") && failed.contains("exit status: 3"), "{failed}");
    let failed = judged("kill -9 $$", SOON).unwrap_err();
    assert!(failed.contains("signal: 9"), "{failed}");
    // one that blocks is ended, and what it has started with it
    let failed = judged("HOME=/tmp/dm$$- sleep 1004 & echo begun; wait", Duration::from_secs(3)).unwrap_err();
    assert!(failed.contains("begun") && failed.contains("killed after"), "{failed}");
    wait_for("the end of what it has started", SOON, || processes::mentioning("sleep 1004").is_empty());
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
