//! A kill of a host's actor in every phase: it comes back by itself, its sibling does not notice, every
//! caller is answered once, and nothing is left over.

use super::crashes::{Gate, alive_tasks, change, cure, edit, read, settled, until, whole};
use super::{LONG, Lab};
use crate::actors::host::{HostError, HostHandle};
use crate::actors::operation::Stage;
use crate::actors::trip;
use crate::domain::fault::FaultKind;
use crate::domain::phase::Phase;
use crate::transport::fake::Scene;
use futures_util::future::join_all;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// What the host is doing when its actor is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Disabled,
    Connecting,
    Ready,
    InSeries,
    InBackground,
    Held,
    Working,
    Releasing,
}

/// Brings `nas` there.
async fn bring(lab: &Lab, when: When) {
    use FaultKind::{HostKeyChanged, LinkLost, Refused};
    let cut = |next: &[Scene]| {
        lab.fake.script("nas", next.iter().cloned());
        lab.fake.cut("nas", LinkLost);
    };
    let word = match when {
        When::Disabled => {
            edit(lab, |text| text.replace("hostname: nas", "hostname: nas, enabled: false"));
            "disabled"
        }
        When::Connecting => {
            cut(&[Scene::Hangs]);
            "connecting"
        }
        When::InSeries => {
            cut(&[]);
            "backoff"
        }
        When::InBackground => {
            cut(&[Scene::Fails(Refused), Scene::Fails(Refused), Scene::Fails(Refused)]);
            lab.until("nas", |_| lab.fake.attempts("nas") == 4).await;
            "backoff"
        }
        When::Held => {
            cut(&[Scene::Fails(HostKeyChanged)]);
            "held"
        }
        When::Ready | When::Working | When::Releasing => "ready",
    };
    lab.until("nas", |status| status.phase.word() == word).await;
}

/// What `caller` is told that came before the kill, or afterwards.
async fn asks(host: &HostHandle, when: When, before: bool) {
    let refused = match when {
        When::Disabled | When::Held => true,
        When::InBackground => before,
        _ => false,
    };
    let answer = host.session(LONG).await;
    match answer {
        Err(HostError::Unavailable(_)) if refused => {}
        Ok(_) if !refused => {}
        answer => panic!("{when:?}, before: {before}: {:?}", answer.err()),
    }
}

async fn kill_when(when: When) {
    let lab = Lab::new(&[("nas", &[]), ("pi", &[])]).await;
    lab.until_ready("nas").await;
    let sibling = lab.until_ready("pi").await;
    let tasks = alive_tasks();
    let nas = lab.directory().host("nas").unwrap();
    let [gate, changing] = [Gate::new(), Gate::new()];
    let closed = Arc::new(AtomicUsize::new(0));

    let works = async {
        match when {
            When::Working => {
                let (read, change) = tokio::join!(read(&nas, &gate), change(&nas, &changing));
                assert_eq!(read, Ok(2));
                assert!(matches!(change, Err(HostError::OutcomeUnknown { .. })), "{change:?}");
            }
            When::Releasing => {
                let outcome = nas
                    .read("hold", LONG, |operation| {
                        let (gate, closed) = (gate.clone(), Arc::clone(&closed));
                        async move {
                            operation.track("counted", async move {
                                closed.fetch_add(1, Ordering::SeqCst);
                                Ok(())
                            });
                            operation.temp_file(vec![]).await?;
                            operation.track("slow", async {
                                sleep(Duration::from_secs(3)).await;
                                Ok(())
                            });
                            gate.pass().await
                        }
                    })
                    .await;
                assert_eq!((outcome, closed.load(Ordering::SeqCst)), (Ok(2), 2));
            }
            _ => {}
        }
    };
    let story = async {
        bring(&lab, when).await;
        match when {
            When::Working => {
                until("both at work", || gate.begun() == 1 && changing.begun() == 1).await;
            }
            When::Releasing => {
                until("at work", || gate.begun() == 1).await;
                gate.open.add_permits(9);
                until("it lets go", || {
                    nas.operations().running().iter().any(|operation| operation.stage == Stage::Releasing)
                })
                .await;
            }
            _ => {}
        }
        let before = (nas.status().incarnation, lab.fake.attempts("nas"));
        let early: Vec<_> = (0..3).map(|_| asks(&nas, when, true)).collect();
        let kill = async {
            sleep(Duration::from_millis(1)).await;
            lab.directory().kill("nas");
            sleep(Duration::from_millis(1)).await;
            join_all((0..3).map(|_| asks(&nas, when, false))).await;
        };
        tokio::join!(join_all(early), kill);
        lab.until("nas", |status| status.incarnation == before.0 + 1).await;
        let attempts = usize::from(!matches!(when, When::Disabled | When::Held));
        assert_eq!(lab.fake.attempts("nas"), before.1 + attempts, "{when:?}");
        cure(&lab).await;
        for gate in [&gate, &changing] {
            gate.open.add_permits(9);
        }
    };
    timeout(9 * LONG, async { tokio::join!(works, story) }).await.expect("a caller hangs");
    let pi = lab.directory().host("pi").unwrap().status();
    assert_eq!((pi, lab.fake.attempts("pi")), (sibling, 1), "{when:?}");
    settled(&lab, tasks).await;
    edit(&lab, |text| text.replace(", enabled: false", ""));
    whole(&lab).await;
    lab.app.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn d1_a_host_that_is_killed_in_any_phase_comes_back_and_its_callers_are_answered() {
    use When::{Connecting, Disabled, Held, InBackground, InSeries, Ready, Releasing, Working};
    for when in [Disabled, Connecting, Ready, InSeries, InBackground, Held, Working, Releasing] {
        kill_when(when).await;
    }
}

#[test]
fn d1_a_host_that_is_killed_before_its_first_message_comes_back() {
    // The test runs after each step of any other task: it sees the actor before it has done anything.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).event_interval(1).build().unwrap();
    runtime.block_on(async {
        let lab = Lab::new(&[("nas", &[]), ("pi", &[])]).await;
        let nas = lab.directory().host("nas").unwrap();
        let waiting = nas.session(LONG);
        let kill = async {
            while !lab.directory().has_actor("nas") {
                tokio::task::yield_now().await;
            }
            assert_eq!((nas.status().incarnation, nas.status().phase), (0, Phase::Disconnected));
            lab.directory().kill("nas");
        };
        let (answer, ()) = timeout(LONG, async { tokio::join!(waiting, kill) }).await.unwrap();
        assert!(answer.is_ok());
        assert_eq!((nas.status().incarnation, lab.fake.attempts("nas")), (2, 1));
        whole(&lab).await;
    });
}

#[tokio::test(start_paused = true)]
async fn s5_what_a_call_holds_before_its_operation_begins_is_let_go_of() {
    let lab = Lab::new(&[("nas", &[])]).await;
    lab.until_ready("nas").await;
    let nas = lab.directory().host("nas").unwrap();
    let closed = Arc::new(AtomicUsize::new(0));
    trip::set("HostMessage::Operate");
    let outcome = nas
        .change("hold", LONG, |operation| {
            let closed = Arc::clone(&closed);
            operation.track("counted", async move {
                closed.fetch_add(1, Ordering::SeqCst);
                Ok(())
            });
            async { Ok(()) }
        })
        .await;
    assert_eq!(outcome, Err(HostError::Restarting), "it never began");
    until("it is closed", || closed.load(Ordering::SeqCst) == 1).await;
    until("nothing is left", || lab.directory().reaper().leftovers().is_empty()).await;
}
