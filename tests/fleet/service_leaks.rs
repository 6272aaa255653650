//! What the service holds while it lives: after any number of broken lines, calls, and clients that
//! went away it is what it was before.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use crate::support::host::Part;
use crate::support::processes;
use crate::support::recorder::EngineRecorder;
use crate::support::trials::Trial;
use crate::support::wait::holds_within;
use crate::support::witnesses::assert_nothing_was_restarted;
use crate::support::{Fleet, Host, Service, ServiceConfig, eventually};
use crate::trials;

const SOON: Duration = Duration::from_secs(10);

/// tokio's threads for blocking work end after idling for 10 s.
const IDLE: Duration = Duration::from_secs(20);

const HOSTS: [&str; 3] = ["h1", "h2", "h3"];

/// A line is broken so often: what leaks with each one is well above what comes and goes.
const CYCLES: usize = 24;

/// So many calls at once after each reconnect, each to all hosts.
const CALLS: usize = 16;

pub fn trials() -> Vec<Trial> {
    trials![broken_lines_and_clients_that_go_away_cost_nothing_for_good => 150]
}

/// What a service holds. Idle streams to the engines are counted apart: up to four to a host are
/// kept for a minute, so their number depends on who asked last, while the rest does not.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Holdings {
    /// Its descriptors, without those of idle streams.
    descriptors: usize,
    /// The same for its ssh processes.
    descriptors_of_ssh: usize,
    /// Its descendants by name.
    children: Vec<String>,
    /// Directories of links.
    links: usize,
    /// Connections of clients.
    clients: usize,
}

/// Idle streams.
#[derive(Clone, Copy, Debug)]
struct Idle {
    /// Over a forwarded socket: one descriptor at either end.
    forwarded: usize,
    /// Over a session of `dial-stdio`.
    sessions: usize,
}

/// Of the service, a session takes two pipes and the connection to ssh's control socket.
const OF_SESSION: usize = 3;

/// Of ssh, it takes that connection, the pipes, and where errors go.
const OF_SESSION_IN_SSH: usize = 4;

fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count)
}

fn threads(service: &Service) -> usize {
    fs::read_dir(format!("/proc/{}/task", service.pid())).unwrap().count()
}

/// A look, from outside, at one moment: whoever compares looks again while something is under way.
fn look(service: &Service) -> (Holdings, Idle) {
    let mut children = processes::descendants(service.pid());
    children.retain(|child| child.pid != service.pid());
    let run_dir = service.home().runtime_dir().join(service.pid().to_string());
    let idle = idle_streams(&run_dir.display().to_string());
    let of_ssh: usize = children.iter().map(|child| descriptors(child.pid)).sum();
    let mut names: Vec<String> = children.into_iter().map(|child| child.name).collect();
    names.sort();
    let holdings = Holdings {
        descriptors: descriptors(service.pid()).wrapping_sub(idle.forwarded + OF_SESSION * idle.sessions),
        descriptors_of_ssh: of_ssh.wrapping_sub(idle.forwarded + OF_SESSION_IN_SSH * idle.sessions),
        children: names,
        links: fs::read_dir(&run_dir).map_or(0, Iterator::count),
        clients: clients(service),
    };
    (holdings, idle)
}

/// The connected ends in ssh of forwarded sockets (`e`) and of control sockets below `run_dir`. The
/// latter bear the name under which ssh has bound them, `c.` and some letters, before they became `c`.
fn idle_streams(run_dir: &str) -> Idle {
    let table = fs::read_to_string("/proc/net/unix").unwrap();
    let rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
    // state 03 is connected; a listener is in another one
    let connected = rows.filter(|row| row.len() == 8 && row[5] == "03" && row[7].starts_with(run_dir));
    let names: Vec<_> = connected.filter_map(|row| row[7].rsplit('/').next()).collect();
    let forwarded = names.iter().filter(|name| **name == "e").count();
    Idle { forwarded, sessions: names.len() - forwarded }
}

/// The connections that the service has and has not closed.
fn clients(service: &Service) -> usize {
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let port = format!("0100007F:{:04X}", service.address().port());
    let rows = table.lines().map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row[1] == port && ["01", "08"].contains(&row[3])).count()
}

async fn all_at_once(service: &Service) {
    // each about one host: it may take longer than one of several
    let calls = HOSTS.iter().cycle().take(CALLS * HOSTS.len());
    join_all(calls.map(|host| service.structured("container_list", json!({"hosts": host})))).await;
}

/// Kills a host's sessions, and has somebody ask for it: waits in the background would grow.
async fn break_and_mend(service: &Service, host: &Host) {
    let logins = host.ssh_logins();
    let losses = || {
        let is_one = |line: &&String| {
            line.contains(r#""from":"ready""#) && line.contains(&format!("\"host\":\"{}\"", host.name()))
        };
        service.log().iter().filter(is_one).count()
    };
    let before = losses();
    host.kill_ssh_sessions();
    // whoever asks sooner may wait for what is lost already
    eventually("the line is lost", SOON, async || losses() > before).await;
    eventually("the new login", SOON, async || {
        service.call("host_test", json!({"host": host.name()})).await;
        host.ssh_logins() > logins
    })
    .await;
    service.wait_ready(&[host.name()]).await;
    assert_eq!(host.ssh_logins(), logins + 1);
}

/// Clients that ask a hung engine and go away before there is an answer.
async fn ask_and_leave(service: &Service, host: &Host, recorder: &EngineRecorder) {
    recorder.forget();
    host.hang(Part::Engine);
    {
        let asking = join_all((0..4).map(|_| service.call("container_list", json!({"hosts": host.name()}))));
        tokio::select! {
            answers = asking => panic!("a hung engine has answered: {answers:?}"),
            // where streams cost sessions two are with the engine and two wait; all go away
            () = eventually("they are with the engine", SOON, async || recorder.requests().len() >= 2) => {}
        }
    }
    eventually("the service has seen its clients go", SOON, async || clients(service) == 0).await;
    host.resume(Part::Engine);
}

async fn broken_lines_and_clients_that_go_away_cost_nothing_for_good(fleet: &Fleet) {
    // one host on the detour, whose streams are sessions
    let detour = fleet.host("h3");
    detour.sshd_options(&["AllowStreamLocalForwarding no"]);
    let recorders = HOSTS.map(|name| fleet.host(name).record_engine());
    let service = Service::start(&ServiceConfig::all(fleet));
    service.wait_ready(&HOSTS).await;
    let since: BTreeSet<String> = sinces(&service).await;
    // two looks that agree: one alone could have met a stream on its way in or out
    let mut before = look(&service).0;
    let settled = holds_within(SOON, || {
        let last = std::mem::replace(&mut before, look(&service).0);
        before == last && before.clients == 0 && before.children.len() == 3 && before.links == 3
    });
    assert!(settled, "{before:?}");
    let threads_before = threads(&service);
    all_at_once(&service).await;

    for cycle in 0..CYCLES {
        let number = cycle % HOSTS.len();
        let host = fleet.host(HOSTS[number]);
        break_and_mend(&service, host).await;
        all_at_once(&service).await;
        if cycle % 4 == 0 {
            ask_and_leave(&service, host, &recorders[number]).await;
            all_at_once(&service).await;
        }
    }

    let (mut after, mut idle) = look(&service);
    let back = holds_within(SOON, || {
        (after, idle) = look(&service);
        after == before
    });
    assert!(back, "before {before:?}\nafter {after:?} beside {idle:?}");
    // of each host four connections of the pool and the one of its events
    assert!(idle.forwarded <= 10 && idle.sessions <= 4, "more than are kept idle: {idle:?}");
    assert!(holds_within(IDLE, || threads(&service) <= threads_before), "{threads_before} threads before");
    for host in fleet.hosts() {
        assert_eq!(host.ssh_connections(), 1, "{}", host.name());
        let carrying = host.processes_matching("^docker.* dial-stdio").len();
        assert!(carrying <= if host.name() == "h3" { 4 } else { 0 }, "{}: {carrying}", host.name());
    }
    assert!(sinces(&service).await.is_disjoint(&since), "every line was broken");
    assert_eq!(service.home().runtime_entries(), [service.pid().to_string()]);
    assert_nothing_was_restarted(&service);
}

async fn sinces(service: &Service) -> BTreeSet<String> {
    let listed = service.structured("host_list", json!({})).await;
    listed["hosts"].as_array().unwrap().iter().map(|row| row["since"].to_string()).collect()
}
