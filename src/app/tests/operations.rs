//! Operations: admitted or refused, ended by whoever may end them, and always letting go.

use super::{LONG, Lab, write};
use crate::actors::host::{HostError, HostHandle};
use crate::actors::operation::{Cancelled, Operation, Stage};
use crate::domain::fault::{Fault, FaultKind};
use crate::domain::operation::OperationKind;
use crate::engine::EngineError;
use crate::transport::Command;
use crate::transport::fake::{FakeConnector, Scene};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

const SHORT: Duration = Duration::from_secs(10);

/// Work that holds four things, entered in this order: one of this process, a file, a container,
/// another one of this process. Says when it holds them all, and goes on as `then` does.
async fn hold_four<T>(
    operation: Operation,
    fake: FakeConnector,
    holds: Arc<Notify>,
    then: impl Future<Output = Result<T, HostError>>,
) -> Result<T, HostError> {
    let close = |name: &'static str| {
        let fake = fake.clone();
        async move {
            fake.note("nas", format!("close {name}"));
            Ok(())
        }
    };
    operation.track("first", close("first"));
    operation.temp_file(b"secret".to_vec()).await?;
    operation.helper_container().await;
    operation.track("last", close("last"));
    holds.notify_one();
    then.await
}

/// What was let go of on `nas`, in order, in a word each.
fn released(fake: &FakeConnector) -> Vec<&'static str> {
    let word = |deed: String| {
        let kinds = [
            ("close first", "first"),
            ("exec rm ", "file"),
            ("DELETE ", "container"),
            ("close last", "last"),
        ];
        kinds.into_iter().find(|(start, _)| deed.starts_with(start)).map(|(_, word)| word)
    };
    fake.deeds("nas").into_iter().filter_map(word).collect()
}

const IN_REVERSE: [&str; 4] = ["last", "container", "file", "first"];

async fn lab() -> (Lab, HostHandle) {
    let lab = Lab::new(&[("nas", &[]), ("pi", &[])]).await;
    lab.until_followed("nas").await;
    lab.until_followed("pi").await;
    let host = lab.directory().host("nas").unwrap();
    (lab, host)
}

/// Waits until nothing runs on the host and nothing is left over.
async fn settled(lab: &Lab, host: &HostHandle) {
    let settled = async {
        while !host.operations().running().is_empty() || !lab.directory().reaper().leftovers().is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LONG, settled).await.expect("something is still held");
}

#[tokio::test(start_paused = true)]
async fn s5_whatever_an_operation_holds_is_let_go_of_in_reverse_before_its_caller_has_the_answer() {
    let (lab, host) = lab().await;
    for fails in [false, true] {
        let before = lab.fake.deeds("nas").len();
        let outcome = host
            .change("hold", SHORT, |operation| {
                hold_four(operation, lab.fake.clone(), Arc::default(), async move {
                    if fails { Err(EngineError::NotFound("as planned".into()).into()) } else { Ok(7) }
                })
            })
            .await;
        assert_eq!(outcome.is_err(), fails, "{outcome:?}");
        let deeds = lab.fake.deeds("nas").len();
        assert_eq!(released(&lab.fake)[4 * usize::from(fails)..], IN_REVERSE);
        assert!(deeds > before && lab.directory().reaper().leftovers().is_empty());
    }
}

/// The ways an operation ends without its own doing.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Panic,
    Deadline,
    CallerGone,
    Cancel,
    ActorCrash,
    HostRemoved,
    HostMoved,
    Shutdown,
    LinkCut,
}

#[tokio::test(start_paused = true)]
async fn s5_whatever_ends_an_operation_everything_is_let_go_of() {
    use End::{ActorCrash, CallerGone, Cancel, Deadline, HostMoved, HostRemoved, LinkCut, Panic, Shutdown};
    for end in [Panic, Deadline, CallerGone, Cancel, ActorCrash, HostRemoved, HostMoved, Shutdown, LinkCut] {
        let (lab, host) = lab().await;
        let (holds, fake) = (Arc::new(Notify::new()), lab.fake.clone());
        let caller = {
            let (holds, fake, host) = (Arc::clone(&holds), fake.clone(), host.clone());
            async move {
                host.read("hold", SHORT, |operation| {
                    let then = async move {
                        assert!(end != Panic, "as planned");
                        std::future::pending::<Result<(), HostError>>().await
                    };
                    hold_four(operation, fake.clone(), Arc::clone(&holds), then)
                })
                .await
            }
        };
        let mut caller = Box::pin(caller);
        tokio::select! {
            outcome = &mut caller => assert!(end == Panic, "{end:?}: {outcome:?}"),
            () = holds.notified() => {}
        }
        match end {
            Panic => {}
            Deadline => assert!(matches!(caller.await, Err(HostError::Deadline { .. }))),
            CallerGone => drop(caller),
            Cancel => {
                let id = host.operations().running()[0].context.id;
                assert!(host.operations().cancel(id));
                assert_eq!(caller.await, Err(HostError::Cancelled(Cancelled)));
            }
            // Its caller reads again, over the next incarnation's line; here it leaves.
            ActorCrash => {
                lab.directory().kill("nas");
                drop(caller);
            }
            LinkCut => {
                lab.fake.cut("nas", FaultKind::LinkLost);
                drop(caller);
            }
            HostRemoved => {
                write(lab.file.path(), std::iter::once("  pi: {hostname: pi}\n".to_owned()));
                lab.app.reload();
                assert_eq!(caller.await, Err(HostError::Removed));
            }
            HostMoved => {
                let lines = ["  nas: {hostname: elsewhere}\n", "  pi: {hostname: pi}\n"];
                write(lab.file.path(), lines.iter().map(ToString::to_string));
                lab.app.reload();
                assert_eq!(caller.await, Err(HostError::Cancelled(Cancelled)));
            }
            Shutdown => {
                let (outcome, ()) = tokio::join!(caller, lab.app.shutdown());
                assert_eq!(outcome, Err(HostError::Cancelled(Cancelled)));
                assert_eq!(released(&fake), IN_REVERSE);
                continue;
            }
        }
        settled(&lab, &host).await;
        let order = released(&fake);
        match end {
            // The line is gone: what needs none goes at once, the rest over the next line.
            ActorCrash | LinkCut => assert_eq!(order, ["last", "first", "container", "file"], "{end:?}"),
            _ => assert_eq!(order, IN_REVERSE, "{end:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn s5_a_command_left_running_is_ended_on_the_host_and_one_that_ended_is_not_looked_for() {
    let (lab, host) = lab().await;
    let run = |word: &'static str, limit| {
        host.read("run", limit, move |operation| async move {
            operation.link().exec(&Command::new([word])).await?;
            Ok(operation.context().id)
        })
    };
    let id = run("true", SHORT).await.unwrap();
    let deed = lab.fake.deeds("nas").last().unwrap().clone();
    assert!(
        deed.starts_with(&format!("exec env DOCKMASTER_OPERATION={id}-")) && deed.ends_with(" true"),
        "{deed}"
    );
    assert!(matches!(run("hang", SHORT).await, Err(HostError::Deadline { .. })));
    settled(&lab, &host).await;
    let deeds = lab.fake.deeds("nas");
    let ended = deeds.iter().filter(|deed| deed.starts_with("exec sh -c") && deed.contains("kill -KILL"));
    assert_eq!(ended.count(), 1, "{deeds:?}");
}

#[tokio::test(start_paused = true)]
async fn s5_what_is_on_the_host_waits_for_its_next_line_and_what_is_here_does_not() {
    let lab = Lab::new(&[("nas", &[]), ("pi", &[])]).await;
    lab.until_ready("nas").await;
    let host = lab.directory().host("nas").unwrap();
    // For a long time no attempt succeeds.
    lab.fake.script("nas", std::iter::repeat_n(Scene::Fails(FaultKind::Refused), 60));
    let holds = Arc::new(Notify::new());
    let fake = lab.fake.clone();
    let change = host.change("hold", SHORT, |operation| {
        let fails = async { Err::<(), _>(Fault::new(FaultKind::LinkLost, "as planned").into()) };
        hold_four(operation, fake.clone(), Arc::clone(&holds), async move {
            fake.cut("nas", FaultKind::LinkLost);
            fails.await
        })
    });
    assert!(matches!(change.await, Err(HostError::Engine(EngineError::Link(_)))));
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(released(&lab.fake), ["last", "first"]);
    let leftovers = lab.directory().reaper().leftovers();
    let held: Vec<String> = leftovers.iter().flat_map(|ledger| ledger.held()).collect();
    assert_eq!(
        held.iter().map(|held| held.split(' ').next().unwrap()).collect::<Vec<_>>(),
        ["container", "file"]
    );
    assert!(lab.app.tree().look().find(&["reaper"]).unwrap().children[0].name.ends_with("on nas"));
    lab.until_ready("nas").await;
    settled(&lab, &host).await;
    assert_eq!(released(&lab.fake), ["last", "first", "container", "file"]);
}

#[tokio::test(start_paused = true)]
async fn s5_another_machine_of_the_same_name_is_left_alone() {
    let (lab, host) = lab().await;
    let change = host.change("hold", SHORT, |operation| {
        let fake = lab.fake.clone();
        hold_four(operation, lab.fake.clone(), Arc::default(), async move {
            fake.cut("nas", FaultKind::LinkLost);
            Err::<(), _>(Fault::new(FaultKind::LinkLost, "as planned").into())
        })
    });
    // Before the line is back, the name is given to another machine.
    let moved = ["  nas: {hostname: elsewhere}\n", "  pi: {hostname: pi}\n"];
    lab.fake.script("nas", [Scene::Fails(FaultKind::Refused)]);
    let _ = change.await;
    write(lab.file.path(), moved.iter().map(ToString::to_string));
    lab.app.reload();
    lab.until("nas", |status| status.incarnation == 2 && status.phase.word() == "ready").await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(released(&lab.fake), ["last", "first"]);
    assert_eq!(lab.directory().reaper().leftovers().len(), 1, "it stays listed");
    // And back.
    let back = ["  nas: {hostname: nas}\n", "  pi: {hostname: pi}\n"];
    write(lab.file.path(), back.iter().map(ToString::to_string));
    lab.app.reload();
    let host = lab.directory().host("nas").unwrap();
    settled(&lab, &host).await;
    assert_eq!(released(&lab.fake), ["last", "first", "container", "file"]);
}

#[tokio::test(start_paused = true)]
async fn s5_a_change_goes_on_without_its_caller_and_ends_at_a_step_when_cancelled() {
    let (lab, host) = lab().await;
    let (begun, step) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let fake = lab.fake.clone();
    let work = {
        let (begun, step) = (Arc::clone(&begun), Arc::clone(&step));
        move |operation: Operation| async move {
            for number in 1..=3 {
                operation.checkpoint()?;
                fake.note("nas", format!("step {number}"));
                begun.notify_one();
                step.notified().await;
            }
            Ok(())
        }
    };
    let mut caller = Box::pin(host.change("steps", LONG, work));
    tokio::select! {
        _ = &mut caller => panic!("it ended"),
        () = begun.notified() => {}
    }
    drop(caller);
    step.notify_one();
    begun.notified().await;
    let running = host.operations().running();
    assert_eq!(
        (running.len(), running[0].context.kind, running[0].stage),
        (1, OperationKind::Change, Stage::Working)
    );
    assert_eq!(running[0].context.docker_context, "docker-mcp-nas");
    assert!(host.operations().cancel(running[0].context.id));
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(host.operations().running().len(), 1, "it stands in the middle of a step");
    step.notify_one();
    settled(&lab, &host).await;
    let deeds = lab.fake.deeds("nas");
    assert_eq!(deeds[deeds.len() - 2..], ["step 1", "step 2"]);
}

#[tokio::test(start_paused = true)]
async fn d2_after_a_crash_a_read_is_made_again_and_a_change_is_not() {
    let (lab, host) = lab().await;
    let begun = Arc::new(Notify::new());
    let attempt = |word: &'static str| {
        let (fake, begun) = (lab.fake.clone(), Arc::clone(&begun));
        move |_: Operation| {
            let (fake, begun) = (fake.clone(), Arc::clone(&begun));
            async move {
                fake.note("nas", word);
                begun.notify_one();
                if fake.deeds("nas").iter().filter(|deed| *deed == word).count() == 1 {
                    std::future::pending::<()>().await;
                }
                Ok(())
            }
        }
    };
    let crash = async {
        begun.notified().await;
        lab.directory().kill("nas");
    };
    let (read, ()) = tokio::join!(host.read("read", LONG, attempt("read")), crash);
    assert_eq!(read, Ok(()));
    lab.until_ready("nas").await;
    let crash = async {
        begun.notified().await;
        begun.notified().await;
        lab.directory().kill("nas");
    };
    let (change, ()) = tokio::join!(host.change("change", LONG, attempt("change")), crash);
    assert!(matches!(change, Err(HostError::OutcomeUnknown { .. })), "{change:?}");
    let made = lab.fake.deeds("nas").iter().filter(|deed| *deed == "change").count();
    assert_eq!(made, 1);
}

#[tokio::test(start_paused = true)]
async fn s5_the_reaper_crashes_and_forgets_nothing() {
    let (lab, host) = lab().await;
    lab.fake.script("nas", std::iter::repeat_n(Scene::Fails(FaultKind::Refused), 20));
    let change = host.change("hold", SHORT, |operation| {
        let fake = lab.fake.clone();
        hold_four(operation, lab.fake.clone(), Arc::default(), async move {
            fake.cut("nas", FaultKind::LinkLost);
            Err::<(), _>(Fault::new(FaultKind::LinkLost, "as planned").into())
        })
    });
    let _ = change.await;
    crate::actors::trip::set("ReaperMessage::Look");
    lab.directory().reaper().look();
    tokio::time::timeout(LONG, async {
        while lab.app.tree().look().find(&["reaper"]).unwrap().incarnation < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the Reaper never came back");
    assert_eq!(lab.directory().reaper().leftovers().len(), 1);
    lab.until_ready("nas").await;
    settled(&lab, &host).await;
    assert_eq!(released(&lab.fake), ["last", "first", "container", "file"]);
}

#[tokio::test(start_paused = true)]
async fn d2_sixteen_work_at_once_and_too_many_callers_are_told_at_once() {
    let (lab, host) = lab().await;
    let release = Arc::new(Notify::new());
    let call = || {
        let release = Arc::clone(&release);
        host.read("wait", LONG, move |_| {
            let release = Arc::clone(&release);
            async move {
                release.notified().await;
                Ok(())
            }
        })
    };
    let mut callers = futures_util::stream::FuturesUnordered::new();
    (0..128).for_each(|_| callers.push(call()));
    let all_wait = async {
        while host.operations().running().len() < 16 || host.operations().waiting() < 112 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        _ = futures_util::StreamExt::next(&mut callers) => panic!("one ended"),
        () = all_wait => {}
    }
    let Err(HostError::Overloaded(overloaded)) = call().await else { panic!("admitted") };
    assert_eq!(overloaded.waiting, 112);
    assert!((1..=30).contains(&overloaded.retry_after.as_secs()));
    assert!(matches!(host.session(LONG).await, Err(HostError::Overloaded(_))));
    // The neighbour is not concerned.
    let pi = lab.directory().host("pi").unwrap();
    assert_eq!(pi.read("other", LONG, async |_| Ok(7)).await, Ok(7));
    let mut done = 0;
    while done < 128 {
        release.notify_waiters();
        release.notify_one();
        futures_util::StreamExt::next(&mut callers).await.unwrap().unwrap();
        done += 1;
    }
    drop(callers);
    settled(&lab, &host).await;
    assert_eq!(host.operations().waiting(), 0);
    assert!(host.session(LONG).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn s6_many_hosts_are_ensured_at_once_and_each_has_an_outcome_of_its_own() {
    let scenes: [(&str, &[Scene]); 4] =
        [("a", &[]), ("b", &[Scene::Fails(FaultKind::AuthRefused)]), ("c", &[Scene::Hangs]), ("d", &[])];
    let lab = Lab::new(&scenes).await;
    let hosts: Vec<HostHandle> = ["a", "b", "c", "d"].map(|id| lab.directory().host(id).unwrap()).into();
    let outcomes = lab.directory().sessions(&hosts, SHORT).await;
    let words: Vec<&str> = outcomes
        .values()
        .map(|outcome| match outcome {
            Ok(_) => "session",
            Err(HostError::Unavailable(refused)) => refused.phase.cause().unwrap().kind.word(),
            Err(HostError::Deadline { .. }) => "deadline",
            Err(_) => "other",
        })
        .collect();
    assert_eq!(words, ["session", "auth_refused", "deadline", "session"]);
}

#[tokio::test(start_paused = true)]
async fn d1_the_tree_shows_who_runs_in_which_life_and_what_it_works_at() {
    let (lab, host) = lab().await;
    let begun = Arc::new(Notify::new());
    let work = {
        let begun = Arc::clone(&begun);
        move |_: Operation| {
            let begun = Arc::clone(&begun);
            async move {
                begun.notify_one();
                std::future::pending::<Result<(), HostError>>().await
            }
        }
    };
    let mut caller = Box::pin(host.read("look", LONG, work));
    tokio::select! {
        _ = &mut caller => panic!("it ended"),
        () = begun.notified() => {}
    }
    let tree = lab.app.tree().look();
    let names: Vec<&str> = tree.children.iter().map(|child| child.name.as_str()).collect();
    assert_eq!(names, ["config", "hosts", "journal", "mcp", "reaper"]);
    let nas = tree.find(&["hosts", "nas"]).unwrap();
    assert_eq!((nas.phase, nas.incarnation, nas.restarts), ("ready", 1, 0));
    assert!(nas.children[0].name.starts_with("look ") && nas.children[0].phase == "working");
    lab.directory().kill("nas");
    drop(caller);
    let down = async {
        while lab.app.tree().look().find(&["hosts", "nas"]).unwrap().phase != "waiting" {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(LONG, down).await.expect("its supervisor never noticed");
    let nas = lab.app.tree().look().find(&["hosts", "nas"]).unwrap().clone();
    assert!(nas.starts_in.is_some_and(|wait| wait <= Duration::from_secs(2)) && nas.restarts == 1, "{nas:?}");
    assert_eq!(lab.directory().host("nas").unwrap().status().phase.word(), "disconnected");
    lab.until_ready("nas").await;
    assert_eq!(lab.app.tree().look().find(&["hosts", "nas"]).unwrap().incarnation, 2);
    assert!(
        lab.app.tree().look().to_string().contains("\n    nas: ready, life 2, 1 restarts in its period\n")
    );
}

#[tokio::test(start_paused = true)]
async fn d3_a_changed_host_crashes_and_comes_back_as_it_is_configured_now() {
    let (lab, _) = lab().await;
    let lines = ["  nas: {hostname: nas, description: changed}\n", "  pi: {hostname: pi}\n"];
    write(lab.file.path(), lines.iter().map(ToString::to_string));
    lab.app.reload();
    let changed = async {
        while lab.directory().host("nas").unwrap().spec().description != "changed" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(LONG, changed).await.expect("the change was never taken");
    lab.directory().kill("nas");
    lab.until("nas", |status| status.incarnation == 2 && status.phase.word() == "ready").await;
    let connected = lab.fake.described("nas");
    assert_eq!(connected, ["", "changed"]);
}
