//! The actors together, on fake hosts: who is restarted, who does not notice, who is answered what.

mod admin;
mod changes;
mod contexts;
mod crashes;
mod flood;
mod follow;
mod inspect;
mod kills;
mod operations;
mod patience;
mod sockets;
mod stale;
mod timers;
mod virtual_day;

use super::{App, Outside};
use crate::actors::directory::HostDirectory;
use crate::actors::host::HostError;
use crate::actors::journal::JournalHandle;
use crate::actors::mcp::{CutOff, Listener, McpHandle, mcp_spec};
use crate::actors::supervision::{Strategy, SupervisorArguments, start_root};
use crate::config::{Environment, Settings, Sources, load};
use crate::contexts::Contexts;
use crate::domain::fault::FaultKind;
use crate::domain::phase::{HostStatus, Phase};
use crate::domain::retry::ConnectPolicy;
use crate::domain::toolset::Offer;
use crate::mcp::{Caller, ToolOutput};
use crate::transport::Connector;
use crate::transport::fake::{FakeConnector, Scene};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Beyond every deadline of the code under test; with a paused clock it costs nothing.
const LONG: Duration = Duration::from_secs(3600);

struct Lab {
    app: App,
    fake: FakeConnector,
    file: tempfile::NamedTempFile,
    /// Where the file lies, alone: what others do elsewhere is no change.
    _dir: tempfile::TempDir,
}

/// Nothing but hosts that `connector` reaches.
fn outside(connector: Arc<dyn Connector>) -> Outside {
    Outside {
        connector,
        contexts: Contexts::none(),
        sockets: None,
        policy: ConnectPolicy::default(),
        journal: JournalHandle::none(),
        control: None,
        guests_offer: Offer::all(),
    }
}

impl Lab {
    /// The service on fake hosts of these names, with the scenes their first attempts meet.
    async fn new(hosts: &[(&str, &[Scene])]) -> Self {
        Self::with_listeners(hosts, vec![]).await
    }

    /// The same, with a front.
    async fn with_listeners(hosts: &[(&str, &[Scene])], listeners: Vec<Listener>) -> Self {
        Self::with_outside(hosts, listeners, outside).await
    }

    /// The same, with what else is outside of the service.
    async fn with_outside(
        hosts: &[(&str, &[Scene])],
        listeners: Vec<Listener>,
        outside: impl FnOnce(Arc<dyn Connector>) -> Outside,
    ) -> Self {
        let fake = FakeConnector::default();
        for (host, scenes) in hosts {
            fake.script(host, scenes.iter().cloned());
        }
        let dir = tempfile::tempdir().unwrap();
        let file = tempfile::NamedTempFile::new_in(&dir).unwrap();
        write(file.path(), hosts.iter().map(|(host, _)| format!("  {host}: {{hostname: {host}}}\n")));
        let (sources, settings) = settings(file.path());
        let outside = outside(Arc::new(fake.clone()));
        let app =
            App::with_listeners(sources, settings, outside, |_, _| Ok((listeners, None))).await.unwrap();
        Self { app, fake, file, _dir: dir }
    }

    fn directory(&self) -> &HostDirectory {
        self.app.directory()
    }

    /// Waits until the status of `host` is as `wanted`.
    async fn until(&self, host: &str, wanted: impl Fn(&HostStatus) -> bool) -> HostStatus {
        let entered = async {
            loop {
                if let Ok(mut handle) = self.directory().host(host)
                    && let Some(status) = handle.wait_for(&wanted).await
                {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(LONG, entered).await.expect("the status never became as wanted")
    }

    /// Waits until everything on `host` was looked at and its events are followed.
    async fn until_followed(&self, host: &str) {
        self.until_ready(host).await;
        let asked = || self.fake.deeds(host).iter().any(|deed| deed.contains("/events"));
        crashes::until("a look and a stream", || {
            asked()
                && self.directory().host(host).is_ok_and(|host| host.known().is_some_and(|known| known.live))
        })
        .await;
    }

    async fn until_ready(&self, host: &str) -> HostStatus {
        self.until(host, |status| matches!(status.phase, Phase::Ready(_))).await
    }
}

/// Calls a tool; an error is the text a model would read.
async fn call(app: &App, tool: &str, arguments: serde_json::Value) -> Result<ToolOutput, String> {
    let arguments = arguments.as_object().cloned().unwrap_or_default();
    app.registry().call_by_name(tool, arguments, Caller::default()).await
}

fn write(path: &Path, hosts: impl Iterator<Item = String>) {
    replace(path, &format!("hosts:\n{}", hosts.collect::<String>()));
}

/// Replaces a file in one step: whoever is still reading finds the old or the new one, and never half of it.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(new, path).unwrap();
}

fn settings(path: &Path) -> (Sources, Settings) {
    let environment = Environment::of([("HOME", "/nonexistent")]);
    let sources =
        Sources { config: Some(path.to_owned()), environment, offer: Offer::all(), ..Sources::default() };
    let settings = load(&sources).unwrap();
    (sources, settings)
}

#[tokio::test]
async fn s3_a_hundred_concurrent_callers_are_one_attempt() {
    let lab = Lab::new(&[("nas", &[])]).await;
    lab.until("nas", |_| true).await;
    let host = lab.directory().host("nas").unwrap();
    let lists = || lab.fake.deeds("nas").iter().filter(|deed| deed.contains("/containers/json")).count();
    let calls = (0..100)
        .map(|_| host.read("list", LONG, async |operation| Ok(operation.engine().containers().await?)));
    let answers = futures_util::future::join_all(calls).await;
    assert!(answers.iter().all(|answer| answer.as_ref().is_ok_and(Vec::is_empty)), "{answers:?}");
    assert_eq!(lab.fake.attempts("nas"), 1);
    lab.until_followed("nas").await;
    assert_eq!(lists(), 100 + 1, "theirs, and one of the events task");
}

#[tokio::test(start_paused = true)]
async fn s4_a_caller_is_told_every_attempt_and_the_host_comes_back_alone() {
    use FaultKind::{Dns, Refused, Timeout};
    let scenes = [Scene::Fails(Refused), Scene::Fails(Timeout), Scene::Fails(Dns), Scene::Fails(Refused)];
    let lab = Lab::new(&[("nas", &scenes)]).await;
    lab.until("nas", |_| true).await;
    let host = lab.directory().host("nas").unwrap();
    let Err(HostError::Unavailable(refused)) = host.session(LONG).await else { panic!("it connected") };
    let causes: Vec<_> = refused.attempts.iter().map(|attempt| attempt.fault.kind).collect();
    assert_eq!(causes, [Refused, Timeout, Dns]);
    lab.until_ready("nas").await;
    assert_eq!(lab.fake.attempts("nas"), 5);
}

#[tokio::test(start_paused = true)]
async fn a_first_call_finds_every_host_and_waits_for_its_actor() {
    let lab = Lab::new(&[("nas", &[])]).await;
    // Nothing has run since the start: no actor of the host exists yet.
    let host = lab.directory().host("nas").unwrap();
    assert_eq!(host.status().incarnation, 0);
    assert!(host.session(LONG).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn d1_a_caller_waits_for_the_next_incarnation_and_not_for_a_quarantined_one() {
    let lab = Lab::new(&[("nas", &[Scene::Hangs])]).await;
    lab.until("nas", |status| status.incarnation == 1).await;
    let host = lab.directory().host("nas").unwrap();
    let waiting = host.session(LONG);
    let crash = async {
        tokio::task::yield_now().await;
        lab.directory().kill("nas");
    };
    let (session, ()) = tokio::join!(waiting, crash);
    assert!(session.is_ok());
    for incarnation in 2..=4 {
        lab.until("nas", |status| status.incarnation == incarnation && status.phase.word() == "ready").await;
        lab.directory().kill("nas");
    }
    lab.until("nas", |status| matches!(status.phase, Phase::Quarantined { .. })).await;
    let Err(HostError::Unavailable(refused)) = host.session(LONG).await else { panic!("it connected") };
    assert_eq!(refused.phase.word(), "quarantined");
}

#[tokio::test(start_paused = true)]
async fn s4_a_caller_leaves_at_its_own_deadline() {
    let lab = Lab::new(&[("nas", &[Scene::Hangs])]).await;
    lab.until("nas", |_| true).await;
    let host = lab.directory().host("nas").unwrap();
    let limit = Duration::from_millis(50);
    assert!(matches!(host.session(limit).await, Err(HostError::Deadline { .. })));
}

#[tokio::test(start_paused = true)]
async fn s4_an_attempt_that_never_ends_is_given_up() {
    let lab = Lab::new(&[("nas", &[Scene::Hangs])]).await;
    let start = tokio::time::Instant::now();
    lab.until_ready("nas").await;
    assert!((300..303).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    assert_eq!(lab.fake.attempts("nas"), 2);
}

#[tokio::test(start_paused = true)]
async fn s4_a_panic_while_connecting_is_a_failed_attempt() {
    let lab = Lab::new(&[("nas", &[Scene::Panics])]).await;
    let status = lab.until_ready("nas").await;
    assert_eq!((status.incarnation, lab.fake.attempts("nas")), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn d1_a_crashed_host_is_restarted_and_its_sibling_does_not_notice() {
    let lab = Lab::new(&[("nas", &[]), ("pi", &[])]).await;
    let before = lab.until_ready("pi").await;
    lab.until_ready("nas").await;
    lab.directory().kill("nas");
    let after = lab.until("nas", |status| status.incarnation == 2 && status.phase.word() == "ready").await;
    assert_eq!(after.incarnation, 2);
    assert_eq!(lab.directory().host("pi").unwrap().status(), before);
    assert_eq!(lab.fake.attempts("pi"), 1);
}

#[tokio::test(start_paused = true)]
async fn d1_a_host_that_crashes_too_often_is_quarantined_alone_and_comes_back() {
    let lab = Lab::new(&[("nas", &[]), ("pi", &[])]).await;
    lab.until_ready("pi").await;
    for incarnation in 1..=4 {
        lab.until("nas", |status| status.incarnation == incarnation && status.phase.word() == "ready").await;
        lab.directory().kill("nas");
    }
    let status = lab.until("nas", |status| matches!(status.phase, Phase::Quarantined { .. })).await;
    let term = status.phase.next_try().unwrap().duration_since(status.since);
    assert_eq!(term.as_secs(), 300);
    assert_eq!(lab.directory().host("pi").unwrap().status().incarnation, 1);
    let back = lab.until("nas", |status| status.phase.word() == "ready").await;
    assert_eq!(back.incarnation, 5);
}

#[tokio::test(start_paused = true)]
async fn s4_a_crash_makes_no_held_host_log_in_again_and_another_address_does() {
    let lab = Lab::new(&[("nas", &[Scene::Fails(FaultKind::HostKeyChanged)])]).await;
    let held = lab.until("nas", |status| matches!(status.phase, Phase::Held { .. })).await;
    lab.directory().kill("nas");
    let again = lab.until("nas", |status| status.incarnation == 2).await;
    assert_eq!((again.phase, again.since), (held.phase, held.since));
    tokio::time::sleep(Duration::from_secs(24 * 3600)).await;
    assert_eq!(lab.fake.attempts("nas"), 1);
    write(lab.file.path(), std::iter::once("  nas: {hostname: elsewhere}\n".to_owned()));
    lab.app.reload();
    lab.until_ready("nas").await;
    assert_eq!(lab.fake.attempts("nas"), 2);
}

#[tokio::test(start_paused = true)]
async fn d1_a_person_starts_a_quarantined_host_before_its_time() {
    let lab = Lab::new(&[("nas", &[])]).await;
    for incarnation in 1..=4 {
        lab.until("nas", |status| status.incarnation == incarnation && status.phase.word() == "ready").await;
        lab.directory().kill("nas");
    }
    let quarantined = lab.until("nas", |status| matches!(status.phase, Phase::Quarantined { .. })).await;
    lab.directory().host("nas").unwrap().wake();
    let back = lab.until_ready("nas").await;
    assert!(quarantined.phase.next_try().is_some_and(|due| back.since < due), "{back:?}");
    assert_eq!(back.incarnation, 5);
}

#[tokio::test(start_paused = true)]
async fn d2_a_broken_link_is_made_anew_and_a_read_goes_on_over_it() {
    let lab = Lab::new(&[("nas", &[])]).await;
    lab.until_ready("nas").await;
    tokio::time::advance(Duration::from_secs(61)).await;
    lab.fake.cut("nas", FaultKind::LinkLost);
    lab.until("nas", |status| status.phase.cause().is_some() || lab.fake.attempts("nas") == 2).await;
    lab.until_ready("nas").await;
    assert_eq!(lab.fake.attempts("nas"), 2);
    let host = lab.directory().host("nas").unwrap();
    assert!(
        host.read("list", LONG, async |operation| Ok(operation.engine().containers().await?)).await.is_ok()
    );
}

#[tokio::test]
async fn d3_a_change_of_the_file_adds_removes_and_replaces_and_leaves_the_rest_alone() {
    let lab = Lab::new(&[("same", &[]), ("moved", &[]), ("gone", &[])]).await;
    for host in ["same", "moved", "gone"] {
        lab.until_ready(host).await;
    }
    let same = lab.directory().host("same").unwrap().status();
    let lines =
        ["  same: {hostname: same}\n", "  moved: {hostname: elsewhere}\n", "  new: {hostname: new}\n"];
    write(lab.file.path(), lines.iter().map(ToString::to_string));
    lab.app.reload();
    lab.until_ready("new").await;
    lab.until("moved", |status| status.incarnation == 2 && status.phase.word() == "ready").await;
    // The watch may have read the file before the order did, and takes no host away.
    crashes::until("a host that is gone", || lab.directory().host("gone").is_err()).await;
    assert_eq!(lab.directory().host("same").unwrap().status(), same);
    assert_eq!((lab.fake.attempts("same"), lab.fake.attempts("moved")), (1, 2));
}

#[tokio::test]
async fn d3_a_disabled_host_loses_its_line_and_gets_it_back() {
    let lab = Lab::new(&[("nas", &[])]).await;
    lab.until_ready("nas").await;
    write(lab.file.path(), std::iter::once("  nas: {hostname: nas, enabled: false}\n".to_owned()));
    lab.app.reload();
    lab.until("nas", |status| status.phase == Phase::Disabled).await;
    write(lab.file.path(), std::iter::once("  nas: {hostname: nas}\n".to_owned()));
    lab.app.reload();
    let status = lab.until_ready("nas").await;
    assert_eq!((status.incarnation, lab.fake.attempts("nas")), (3, 2));
}

#[tokio::test]
async fn d4_a_crashing_request_is_cut_off_alone_and_a_dropped_one_is_cancelled() {
    let mcp = McpHandle::default();
    let children = vec![mcp_spec(vec![], mcp.clone())];
    let arguments = SupervisorArguments {
        name: "test",
        strategy: Strategy::ReverseStartOrder,
        children,
        on_quarantine: None,
    };
    let (root, tree) = start_root(arguments).await.unwrap();
    while mcp.run("warm-up", async {}).await.is_err() {
        tokio::task::yield_now().await;
    }

    let crash = mcp.run("crash", async { panic!("as planned") });
    let other = mcp.run("other", async { 7 });
    let (crashed, answered) = tokio::join!(crash, other);
    assert_eq!((crashed, answered), (Err::<(), _>(CutOff), Ok(7)));

    let dropped = Arc::new(AtomicBool::new(false));
    let guard = SetOnDrop(Arc::clone(&dropped));
    let hanging = mcp.run("hanging", async move {
        let _guard = guard;
        std::future::pending::<()>().await;
    });
    assert!(tokio::time::timeout(Duration::from_millis(20), hanging).await.is_err());
    let cancelled = async {
        while !dropped.load(Ordering::SeqCst) || !mcp.in_flight().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), cancelled)
        .await
        .expect("the work went on without its caller");

    // What changes something and is no job goes on, and is seen until it has ended.
    let (go, went) = (Arc::new(tokio::sync::Notify::new()), Arc::clone(&dropped));
    dropped.store(false, Ordering::SeqCst);
    let waits = Arc::clone(&go);
    let mut change = Box::pin(mcp.run_to_its_end("change", async move {
        waits.notified().await;
        went.store(true, Ordering::SeqCst);
    }));
    assert!(tokio::time::timeout(Duration::from_millis(20), &mut change).await.is_err());
    drop(change);
    assert_eq!(mcp.in_flight().len(), 1);
    go.notify_one();
    let ended = async {
        while !dropped.load(Ordering::SeqCst) || !mcp.in_flight().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), ended).await.expect("the work ended with its caller");
    root.stop();
    tree.await.unwrap();
}

struct SetOnDrop(Arc<AtomicBool>);

impl Drop for SetOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn s5_a_shutdown_ends_every_line() {
    let lab = Lab::new(&[("nas", &[]), ("pi", &[])]).await;
    lab.until_ready("nas").await;
    lab.until_ready("pi").await;
    let directory = lab.directory().clone();
    lab.app.shutdown().await;
    for host in ["nas", "pi"] {
        assert!(directory.host(host).unwrap().current_session().is_none());
    }
}
