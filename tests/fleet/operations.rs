//! What an operation holds on a real host, and that it lets go of it: a process, a file, a container.
//! Dockmaster runs inside this process here, because no tool makes such things yet.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dockmaster::actors::host::HostError;
use dockmaster::actors::operation::Operation;
use dockmaster::engine::EngineError;
use dockmaster::transport::{Command, Source};
use serde_json::json;
use tokio::sync::Notify;

use crate::support::mcp_client::McpClient;
use crate::support::processes::Process;
use crate::support::trials::Trial;
use crate::support::{Embedded, Fleet, Host, IMAGE, Service, ServiceConfig, eventually, wait_for};
use crate::trials;

const LIMIT: Duration = Duration::from_secs(40);
const SOON: Duration = Duration::from_secs(30);

/// The process an operation leaves running: no other sleeps this long.
const SLEEPS: &str = "86399";

pub fn trials() -> Vec<Trial> {
    trials![
        s5_what_an_operation_held_is_gone_before_its_caller_has_the_answer,
        s5_a_reconnect_finds_process_file_and_container_gone,
        s5_a_caller_that_goes_takes_the_process_on_the_host_with_it,
        s5_a_cancelled_tool_call_ends_its_command_on_the_host,
        s8_what_a_command_prints_is_handed_over_as_it_comes,
    ]
}

/// A file with a secret, a running container and a running process.
async fn hold_three(operation: Operation, holds: Arc<Notify>) -> Result<(), HostError> {
    let file = operation.temp_file(b"secret".to_vec()).await?;
    let name = operation.helper_container().await;
    let run = ["docker", "run", "-d", "--name", &name, IMAGE, "sleep", "1000"];
    let ran = operation.link().exec(&Command::new(run)).await?;
    assert_eq!(ran.status, Some(0), "{}", String::from_utf8_lossy(&ran.stderr));
    let read = operation.link().exec(&Command::new(["cat", &file])).await?;
    assert_eq!(read.stdout, b"secret");
    holds.notify_one();
    sleep_there(&operation).await
}

/// A shell that ignores the polite signal, and a process below it in a session of its own.
async fn sleep_there(operation: &Operation) -> Result<(), HostError> {
    let script = format!("trap '' TERM HUP; setsid sleep {SLEEPS} & while :; do sleep {SLEEPS}; done");
    operation.link().exec(&Command { deadline: LIMIT * 10, ..Command::new(["sh", "-c", &script]) }).await?;
    Ok(())
}

fn sleepers(host: &Host) -> Vec<Process> {
    host.processes_matching(&format!("sleep {SLEEPS}"))
}

fn files(host: &Host) -> String {
    host.exec(&["sh", "-c", "ls -l /tmp | grep dockmaster- || true"])
}

fn containers(host: &Host) -> String {
    host.docker(&["ps", "-aq", "--filter", "name=dockmaster-"])
}

async fn s5_what_an_operation_held_is_gone_before_its_caller_has_the_answer(fleet: &Fleet) {
    let host = fleet.host("h1");
    let dockmaster = Embedded::start(fleet, host).await;
    let seen = dockmaster.host.change("hold", LIMIT, |operation| async move {
        let file = operation.temp_file(b"secret".to_vec()).await?;
        let name = operation.helper_container().await;
        let run = ["docker", "run", "-d", "--name", &name, IMAGE, "sleep", "1000"];
        let ran = operation.link().exec(&Command::new(run)).await?;
        let list = operation.link().exec(&Command::new(["ls", "-l", &file])).await?;
        Ok((ran.status, String::from_utf8_lossy(&list.stdout).into_owned()))
    });
    let (status, list) = seen.await.unwrap();
    assert!(status == Some(0) && list.starts_with("-rw-------"), "{status:?} {list}");
    assert_eq!((files(host), containers(host)), (String::new(), String::new()));
    assert!(dockmaster.app.directory().reaper().leftovers().is_empty());
    dockmaster.stop().await;
}

async fn s5_a_reconnect_finds_process_file_and_container_gone(fleet: &Fleet) {
    let host = fleet.host("h1");
    let dockmaster = Embedded::start(fleet, host).await;
    let holds = Arc::new(Notify::new());
    let change = {
        let (handle, holds) = (dockmaster.host.clone(), Arc::clone(&holds));
        tokio::spawn(
            async move { handle.change("hold", LIMIT, |operation| hold_three(operation, holds)).await },
        )
    };
    holds.notified().await;
    wait_for("both processes", SOON, || sleepers(host).len() >= 2);
    assert!(files(host).contains("-rw-------") && !containers(host).is_empty());
    let logins = host.ssh_logins();
    host.kill_ssh_sessions();
    let outcome = change.await.unwrap();
    assert!(matches!(outcome, Err(HostError::Engine(EngineError::Link(_)))), "{outcome:?}");
    dockmaster.settled().await;
    assert_eq!(sleepers(host).len(), 0);
    assert_eq!((files(host), containers(host)), (String::new(), String::new()));
    assert_eq!(host.ssh_logins(), logins + 1);
    dockmaster.stop().await;
}

async fn s5_a_caller_that_goes_takes_the_process_on_the_host_with_it(fleet: &Fleet) {
    let host = fleet.host("h1");
    let dockmaster = Embedded::start(fleet, host).await;
    let logins = host.ssh_logins();
    let read = dockmaster.host.read("sleep", LIMIT, |operation| async move { sleep_there(&operation).await });
    tokio::select! {
        outcome = read => panic!("it ended: {outcome:?}"),
        () = eventually("both processes", SOON, async || sleepers(host).len() >= 2) => {}
    }
    dockmaster.settled().await;
    assert_eq!(sleepers(host).len(), 0);
    assert_eq!(host.ssh_logins(), logins, "the line stays");
    dockmaster.stop().await;
}

/// compose waits for ever for an environment file that is a pipe.
async fn s5_a_cancelled_tool_call_ends_its_command_on_the_host(fleet: &Fleet) {
    let host = fleet.host("h1");
    let text = format!("services:\n  app:\n    image: {IMAGE}\n    env_file: ./pipe.env\n");
    let script =
        "mkdir -p /data/pipes/web && cd /data/pipes/web && printf %s \"$1\" >compose.yml && mkfifo pipe.env";
    host.exec(&["sh", "-c", script, "sh", &text]);
    let _cleared = Cleared(host);
    let config = ServiceConfig::none(fleet).with(host, &["compose_path: /data/pipes"]);
    let service = Service::start(&config);
    service.wait_ready(&["h1"]).await;
    let waiting = || host.processes_matching("compose.* config");
    let call = service.call("stack_file_read", json!({"host": "h1", "stack": "web", "file": "rendered"}));
    tokio::select! {
        answer = call => panic!("it ended: {}", answer.text),
        () = eventually("compose waits for the pipe", SOON, async || !waiting().is_empty()) => {}
    }
    wait_for("the end of compose", SOON, || waiting().is_empty());
    // and the line is as good as before
    service.structured("container_list", json!({})).await;
    // a service that is killed leaves it to the next
    let client = McpClient::new(service.address());
    let mut call = Box::pin(
        client.try_call("stack_file_read", json!({"host": "h1", "stack": "web", "file": "rendered"})),
    );
    tokio::select! {
        _ = &mut call => panic!("it ended"),
        () = eventually("compose waits for the pipe", SOON, async || !waiting().is_empty()) => {}
    }
    let home = service.kill();
    assert!(!waiting().is_empty(), "nobody ends it but us");
    let service = Service::start_in(home);
    service.wait_ready(&["h1"]).await;
    wait_for("the end of compose", SOON, || waiting().is_empty());
}

/// It ends when it is told that its first word was heard.
async fn s8_what_a_command_prints_is_handed_over_as_it_comes(fleet: &Fleet) {
    let dockmaster = Embedded::start(fleet, fleet.host("h1")).await;
    let script = "f=/tmp/$$; echo $f; while [ ! -e $f ]; do sleep 0.05; done; rm $f; echo last >&2; exit 3";
    let read = dockmaster.host.read("stream", LIMIT, |operation| async move {
        let (said, heard) = (Mutex::new(Vec::new()), Notify::new());
        let command = Command::new(["sh", "-c", script]);
        let mut sink = |source, bytes: &[u8]| {
            said.lock().unwrap().push((source, String::from_utf8_lossy(bytes).into_owned()));
            heard.notify_one();
        };
        let answer = async {
            heard.notified().await;
            let file = said.lock().unwrap()[0].1.trim().to_owned();
            operation.link().exec(&Command::new(["touch", &file])).await
        };
        let (status, answer) = tokio::join!(operation.link().stream(&command, &mut sink), answer);
        assert_eq!((status?, answer?.status), (Some(3), Some(0)));
        Ok(said.into_inner().unwrap())
    });
    let said = read.await.unwrap();
    assert_eq!((said.len(), &said[1]), (2, &(Source::Stderr, "last\n".to_owned())), "{said:?}");
    dockmaster.stop().await;
}

struct Cleared<'a>(&'a Host);

impl Drop for Cleared<'_> {
    fn drop(&mut self) {
        self.0.clean_up(&["rm", "-rf", "/data/pipes"]);
    }
}
