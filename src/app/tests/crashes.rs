//! A panic in the handling of every kind of message of every actor: it comes back by itself, nobody
//! else notices, nobody is left waiting, and afterwards the service is whole.

use super::{LONG, Lab};
use crate::actors::config::ConfigMessage;
use crate::actors::host::{HostError, HostHandle, HostMessage};
use crate::actors::journal::JournalMessage;
use crate::actors::mcp::{CutOff, Listener, McpMessage};
use crate::actors::reaper::{ReaperMessage, reaper_spec};
use crate::actors::{supervision, trip};
use crate::domain::fault::FaultKind;
use crate::transport::fake::Scene;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use strum::VariantNames as _;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep, timeout};

/// Whose handling of the message panics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Victim {
    /// The actor of `nas`.
    Host,
    Config,
    Mcp,
    Reaper,
    /// Tried with a journal, by the tests of changes.
    Journal,
    Hosts,
    Root,
}

use Victim::{Config, Host, Hosts, Journal, Mcp, Reaper, Root};

pub(super) const JOURNAL_WRITE: &str = "JournalMessage::Write";
pub(super) const JOURNAL_COMMITTED: &str = "JournalMessage::Committed";

const TABLE: &[(Victim, &str)] = &[
    (Host, "HostMessage::Ensure"),
    (Host, "HostMessage::Wake"),
    (Host, "HostMessage::Suspect"),
    (Host, "HostMessage::Operate"),
    (Host, "HostMessage::Retune"),
    (Host, "HostMessage::Connected"),
    (Host, "HostMessage::Context"),
    (Host, "HostMessage::ContextSettled"),
    (Host, "HostMessage::LinkDown"),
    (Host, "HostMessage::Follow"),
    (Host, "HostMessage::TimerDue"),
    (Host, "HostMessage::Evidence"),
    (Config, "ConfigMessage::Reload"),
    (Config, "ConfigMessage::Edited"),
    (Config, "ConfigMessage::Look"),
    (Config, "ConfigMessage::Loaded"),
    (Config, "ConfigMessage::Reconcile"),
    (Mcp, "McpMessage::Run"),
    (Mcp, "McpMessage::Cancel"),
    (Mcp, "McpMessage::Open"),
    (Mcp, "McpMessage::Closed"),
    (Reaper, "ReaperMessage::Look"),
    (Reaper, "ReaperMessage::Recover"),
    (Journal, JOURNAL_WRITE),
    (Journal, JOURNAL_COMMITTED),
    (Hosts, "SupervisorMessage::Add"),
    (Hosts, "SupervisorMessage::Remove"),
    (Hosts, "SupervisorMessage::Replace"),
    (Hosts, "SupervisorMessage::RestartDue"),
    (Hosts, "SupervisorMessage::Resume"),
    (Root, "SupervisorMessage::Add"),
    (Root, "SupervisorMessage::Remove"),
    (Root, "SupervisorMessage::Replace"),
    (Root, "SupervisorMessage::RestartDue"),
    (Root, "SupervisorMessage::Resume"),
];

#[test]
fn the_table_names_every_kind_of_message_of_every_actor() {
    let of = |victim, protocol: &'static str, kinds: &'static [&'static str]| {
        kinds.iter().map(move |kind| (victim, format!("{protocol}::{kind}")))
    };
    let all: BTreeSet<_> = of(Host, "HostMessage", HostMessage::VARIANTS)
        .chain(of(Config, "ConfigMessage", ConfigMessage::VARIANTS))
        .chain(of(Mcp, "McpMessage", McpMessage::VARIANTS))
        .chain(of(Reaper, "ReaperMessage", ReaperMessage::VARIANTS))
        .chain(of(Journal, "JournalMessage", JournalMessage::VARIANTS))
        .chain(of(Hosts, "SupervisorMessage", supervision::KINDS))
        .chain(of(Root, "SupervisorMessage", supervision::KINDS))
        .collect();
    let named: BTreeSet<_> = TABLE.iter().map(|(victim, kind)| (*victim, (*kind).to_owned())).collect();
    assert_eq!(named, all);
}

/// Waits until `is` holds.
pub(super) async fn until(what: &str, is: impl Fn() -> bool) {
    let since = Instant::now();
    let waiting = async {
        while !is() {
            // Looks a thousand times, however long it takes; each costs real time.
            sleep((since.elapsed() / 1000).max(Duration::from_millis(1))).await;
        }
    };
    timeout(LONG, waiting).await.unwrap_or_else(|_| panic!("never: {what}"));
}

pub(super) fn alive_tasks() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// A listener that breaks when it is told to, and how often it was opened.
#[derive(Clone, Default)]
struct Front {
    breaks: Arc<Notify>,
    opened: Arc<AtomicUsize>,
}

impl Front {
    fn listener(&self) -> Listener {
        let front = self.clone();
        let serve = move || {
            let front = front.clone();
            Box::pin(async move {
                front.opened.fetch_add(1, Ordering::SeqCst);
                front.breaks.notified().await;
                Err(std::io::Error::other("as planned"))
            }) as futures_util::future::BoxFuture<'static, _>
        };
        Listener { name: "test", serve: Arc::new(serve) }
    }

    fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }
}

/// Work that goes on until it is let, and how often it began.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) open: Arc<Semaphore>,
    begun: Arc<AtomicUsize>,
}

impl Gate {
    pub(super) fn new() -> Self {
        Self { open: Arc::new(Semaphore::new(0)), begun: Arc::default() }
    }

    pub(super) async fn pass<E>(self) -> Result<usize, E> {
        let begun = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        let _ = self.open.acquire().await;
        Ok(begun)
    }

    pub(super) fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }
}

pub(super) async fn read(host: &HostHandle, gate: &Gate) -> Result<usize, HostError> {
    host.read("read", 9 * LONG, |_| gate.clone().pass()).await
}

pub(super) async fn change(host: &HostHandle, gate: &Gate) -> Result<usize, HostError> {
    host.change("change", 9 * LONG, |_| gate.clone().pass()).await
}

async fn list(host: &HostHandle) -> Result<(), HostError> {
    host.read("list", LONG, async |operation| Ok(operation.engine().containers().await?)).await.map(drop)
}

/// Appends to, or replaces in, the hosts file.
pub(super) fn edit(lab: &Lab, edit: impl Fn(String) -> String) {
    let text = std::fs::read_to_string(lab.file.path()).unwrap();
    super::replace(lab.file.path(), &edit(text));
    lab.app.reload();
}

/// Lets the actor come to handle a message of this kind, as it would in life.
async fn provoke(lab: &Lab, victim: Victim, kind: &'static str, front: &Front) {
    let nas = lab.directory().host("nas").unwrap();
    let cut = |next: &[Scene]| {
        lab.fake.script("nas", next.iter().cloned());
        lab.fake.cut("nas", FaultKind::LinkLost);
    };
    if kind == "HostMessage::Ensure" {
        cut(&[Scene::Hangs]);
        lab.until("nas", |status| status.phase.word() == "connecting").await;
    }
    if kind == "HostMessage::Follow" {
        // The events task crashes first.
        trip::set("Event::take");
        lab.fake.happen("nas", r#"{"Type":"container","Action":"start"}"#);
        until("the wire", trip::is_tripped).await;
    }
    if (victim, kind) == (Hosts, "SupervisorMessage::Resume") {
        for incarnation in 1..=4 {
            lab.until("third", |now| now.incarnation == incarnation && now.phase.word() == "ready").await;
            lab.directory().kill("third");
        }
        lab.until("third", |status| status.phase.word() == "quarantined").await;
    }
    trip::set(kind);
    match (victim, kind) {
        (_, "HostMessage::Ensure") => assert!(nas.session(LONG).await.is_ok()),
        (_, "HostMessage::Wake") => nas.wake(),
        (_, "HostMessage::Context" | "HostMessage::ContextSettled") => {
            assert_eq!(nas.ensure_context(LONG).await, Err(HostError::Restarting));
        }
        (_, "HostMessage::Suspect") => {
            let late = nas.read("late", Duration::from_secs(1), |_| std::future::pending::<Result<(), _>>());
            assert!(matches!(late.await, Err(HostError::Deadline { .. })));
        }
        (_, "HostMessage::Operate") => assert_eq!(list(&nas).await, Ok(()), "not begun, so made once more"),
        (_, "HostMessage::Retune") => {
            edit(lab, |text| text.replace("hostname: nas", "hostname: nas, description: x"));
        }
        (_, "HostMessage::Connected" | "HostMessage::LinkDown" | "HostMessage::TimerDue") => cut(&[]),
        (_, "HostMessage::Evidence") => cut(&[Scene::Fails(FaultKind::SocketDenied)]),
        (_, "ConfigMessage::Reload" | "ConfigMessage::Loaded") => lab.app.reload(),
        (_, "ConfigMessage::Edited") => lab.app.admin().config.apply(None).await,
        // The timer is due after ten seconds; the watch looks every minute.
        (_, "HostMessage::Follow" | "ConfigMessage::Look") => {}
        (_, "McpMessage::Run") => assert_eq!(lab.app.mcp.run("run", async {}).await, Err(CutOff)),
        (_, "McpMessage::Cancel") => assert_eq!(lab.app.mcp.run("run", async { 7 }).await, Ok(7)),
        (_, "McpMessage::Open" | "McpMessage::Closed") => front.breaks.notify_one(),
        (_, "ReaperMessage::Look") => {
            let held = nas.read("held", LONG, |operation| async move {
                operation.helper_container().await;
                std::future::pending::<Result<(), HostError>>().await
            });
            // The host's actor ends, so that what is held is left to the Reaper.
            let crash = async {
                sleep(Duration::from_secs(1)).await;
                lab.directory().kill("nas");
                until("the wire", trip::is_tripped).await;
            };
            tokio::select! {
                outcome = held => panic!("{outcome:?}"),
                () = crash => {}
            }
        }
        (_, "ReaperMessage::Recover") => lab.directory().reaper().recover(),
        // The latter makes sure of every host there is.
        (_, "ConfigMessage::Reconcile") | (Hosts, "SupervisorMessage::Add") => {
            lab.app.admin().config.reconcile();
        }
        (Hosts, "SupervisorMessage::Remove") => {
            edit(lab, |text| text.replace("  third: {hostname: third}\n", ""));
        }
        (Hosts, "SupervisorMessage::Replace") => {
            edit(lab, |text| text.replace("hostname: nas", "hostname: elsewhere"));
        }
        (Hosts, "SupervisorMessage::RestartDue") => lab.directory().kill("third"),
        (Hosts, "SupervisorMessage::Resume") => lab.directory().host("third").unwrap().wake(),
        (Root, "SupervisorMessage::Remove") => lab.app.root.remove("reaper"),
        (Root, "SupervisorMessage::Replace") => lab.app.root.replace(reaper_spec(lab.directory().clone())),
        (Root, "SupervisorMessage::RestartDue") => {
            lab.directory().supervisor().get().unwrap().cell().kill();
        }
        (Root, "SupervisorMessage::Resume") => lab.app.root.resume("reaper"),
        _ => panic!("nobody knows how to provoke {kind}"),
    }
    until("the wire", trip::is_tripped).await;
}

/// Waits for the successor of whoever crashed.
/// Changes what could cure `nas` where it is held, which a crash does not end.
pub(super) async fn cure(lab: &Lab) {
    if lab.directory().host("nas").is_ok_and(|nas| nas.status().phase.word() == "held") {
        let looks = lab.fake.looks("nas").len();
        until("a look in this life", || lab.fake.looks("nas").len() > looks).await;
        lab.fake.change_evidence("nas");
        lab.until_ready("nas").await;
    }
}

async fn back(lab: &Lab, victim: Victim) {
    let name = match victim {
        Host => {
            let there = ["ready", "held"];
            lab.until("nas", |status| status.incarnation > 1 && there.contains(&status.phase.word())).await;
            return;
        }
        Config => "config",
        Mcp => "mcp",
        Reaper => "reaper",
        Hosts => "hosts",
        Journal | Root => return,
    };
    until("the next incarnation", || {
        let tree = lab.app.tree().look();
        let node = tree.find(&[name]).unwrap();
        node.incarnation == 2 && node.phase == "running"
    })
    .await;
    if victim == Hosts {
        until("a line to nas", || lab.fake.attempts("nas") > 1 && lab.fake.attempts("pi") > 1).await;
    }
}

/// Nothing is held, nobody waits, and no task is left over.
pub(super) async fn settled(lab: &Lab, tasks: usize) {
    until("everything has been let go of", || {
        let hosts = lab.directory().specs();
        let mut hosts = hosts.iter().map(|spec| lab.directory().host(spec.id.as_str()).unwrap());
        lab.directory().reaper().leftovers().is_empty()
            && hosts.all(|host| host.operations().running().is_empty() && host.operations().waiting() == 0)
    })
    .await;
    timeout(2 * LONG, async {
        while alive_tasks() > tasks {
            sleep(Duration::from_secs(1)).await;
        }
    })
    .await
    .unwrap_or_else(|_| panic!("{} tasks, and there were {tasks}", alive_tasks()));
}

/// All that the service is for works.
pub(super) async fn whole(lab: &Lab) {
    edit(lab, |text| text + "  late: {hostname: late}\n");
    lab.until_ready("late").await;
    for spec in lab.directory().specs() {
        let id = spec.id.as_str();
        lab.until_ready(id).await;
        assert_eq!(list(&lab.directory().host(id).unwrap()).await, Ok(()), "{id}");
    }
    assert_eq!(lab.app.mcp.run("run", async { 7 }).await, Ok(7));
}

async fn crash(victim: Victim, kind: &'static str) {
    let front = Front::default();
    let hosts: [(&str, &[Scene]); 3] = [("nas", &[]), ("pi", &[]), ("third", &[])];
    let mut lab = Lab::with_listeners(&hosts, vec![front.listener()]).await;
    for (host, _) in hosts {
        lab.until_followed(host).await;
    }
    until("a front", || front.opened() == 1).await;
    let tasks = alive_tasks();
    let [nas, pi] = ["nas", "pi"].map(|host| lab.directory().host(host).unwrap());
    let sibling = pi.status();

    let gates: [Gate; 4] = std::array::from_fn(|_| Gate::new());
    let [nas_read, nas_change, pi_read, request] = &gates;
    let work = request.clone().pass::<CutOff>();
    let mcp = lab.app.mcp.clone();
    let callers = async {
        tokio::join!(read(&nas, nas_read), change(&nas, nas_change), read(&pi, pi_read), async {
            mcp.run("request", work).await.and_then(|outcome| outcome)
        },)
    };
    let story = async {
        until("all at work", || gates.iter().all(|gate| gate.begun() == 1)).await;
        provoke(&lab, victim, kind, &front).await;
        if victim == Root {
            timeout(LONG, lab.app.melted()).await.expect("the tree lives on");
        }
        let crashed = Instant::now();
        back(&lab, victim).await;
        // Two seconds at most until its restart; no minute until somebody happens to look.
        assert!(crashed.elapsed() < Duration::from_secs(5), "{kind}: {:?}", crashed.elapsed());
        cure(&lab).await;
        if victim != Hosts && victim != Root {
            assert_eq!(pi.status().incarnation, sibling.incarnation);
            assert_eq!((pi.status().phase, lab.fake.attempts("pi")), (sibling.phase.clone(), 1), "{kind}");
        }
        for gate in &gates {
            gate.open.add_permits(9);
        }
    };
    let ((nas_read, nas_change, pi_read, request), ()) =
        timeout(20 * LONG, async { tokio::join!(callers, story) }).await.expect("a caller hangs");

    let unknown = |outcome| matches!(outcome, Err(HostError::OutcomeUnknown { .. }));
    match victim {
        // Whose crash is nobody's business who has a line.
        _ if kind == "ReaperMessage::Recover" => {
            assert_eq!((nas_read, nas_change, pi_read, request), (Ok(1), Ok(1), Ok(1), Ok(1)), "{kind}");
        }
        Root => {
            assert_eq!(
                (nas_read, pi_read, request),
                (Err(HostError::Restarting), Err(HostError::Restarting), Err(CutOff))
            );
            assert!(unknown(nas_change) && pi.current_session().is_none(), "{kind}");
            return;
        }
        // A read is made once more, or told what the host is still held for; of a change nobody knows.
        Host | Reaper | Journal => {
            if kind == "HostMessage::Evidence" {
                assert!(matches!(nas_read, Err(HostError::Unavailable(_))), "{kind}: {nas_read:?}");
            } else {
                assert_eq!(nas_read, Ok(2), "{kind}");
            }
            assert_eq!((pi_read, request), (Ok(1), Ok(1)), "{kind}");
            assert!(unknown(nas_change), "{kind}");
        }
        Hosts => {
            assert_eq!((nas_read, pi_read, request), (Ok(2), Ok(2), Ok(1)), "{kind}");
            assert!(unknown(nas_change), "{kind}");
        }
        Config => {
            assert_eq!((nas_read, nas_change, pi_read, request), (Ok(1), Ok(1), Ok(1), Ok(1)), "{kind}");
        }
        Mcp => {
            assert_eq!(
                (nas_read, nas_change, pi_read, request),
                (Ok(1), Ok(1), Ok(1), Err(CutOff)),
                "{kind}"
            );
            until("a front again", || front.opened() > 1).await;
        }
    }
    settled(&lab, tasks).await;
    whole(&lab).await;
    // The next one is to trip alone over its wire.
    lab.app.shutdown().await;
}

async fn crash_all(victim: Victim) {
    for (of, kind) in TABLE {
        // The root handles its `Add`s while it starts: a test of its own.
        if *of == victim && (*of, *kind) != (Root, "SupervisorMessage::Add") {
            crash(victim, kind).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn d1_a_panic_in_any_message_of_a_host_is_its_own() {
    crash_all(Host).await;
}

#[tokio::test(start_paused = true)]
async fn d3_a_panic_in_any_message_of_the_configuration_disturbs_no_host() {
    crash_all(Config).await;
}

#[tokio::test(start_paused = true)]
async fn d4_a_panic_in_any_message_of_the_front_cuts_off_requests_and_disturbs_no_host() {
    crash_all(Mcp).await;
}

#[tokio::test(start_paused = true)]
async fn s5_a_panic_in_the_reaper_loses_no_ledger() {
    crash_all(Reaper).await;
}

#[tokio::test(start_paused = true)]
async fn d1_a_panic_in_any_message_of_the_hosts_supervisor_brings_every_host_back() {
    crash_all(Hosts).await;
}

#[tokio::test(start_paused = true)]
async fn d1_a_panic_in_any_message_of_the_root_is_the_end_of_the_tree() {
    crash_all(Root).await;
    trip::set("SupervisorMessage::Add");
    let mut lab = Lab::new(&[("nas", &[])]).await;
    timeout(LONG, lab.app.melted()).await.expect("the tree lives on");
    assert!(trip::is_tripped());
}

#[tokio::test(start_paused = true)]
async fn d3_a_crash_of_the_configuration_does_not_take_back_what_was_reloaded() {
    let lab = Lab::new(&[("nas", &[]), ("gone", &[])]).await;
    lab.until_ready("nas").await;
    edit(&lab, |text| text.replace("  gone: {hostname: gone}\n", "  new: {hostname: new}\n"));
    let new = lab.until_ready("new").await;
    trip::set("ConfigMessage::Reconcile");
    lab.app.admin().config.reconcile();
    back(&lab, Config).await;
    // Long enough for its start to be handled, and no reading of the files.
    sleep(Duration::from_secs(1)).await;
    assert!(lab.directory().host("gone").is_err(), "a removed host is back");
    assert_eq!(lab.directory().host("new").map(|host| host.status()), Ok(new));
    assert_eq!((lab.fake.attempts("new"), lab.fake.attempts("gone")), (1, 1));
}
