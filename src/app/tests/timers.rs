//! Every timer of the service under a paused clock, to the figure.
//!
//! What a unit test proves is not proved again: the jitter of waits (`runtime/backoff.rs`), the restart
//! window (`runtime/restart_window.rs`).

use super::crashes::{edit, until};
use super::{LONG, Lab};
use crate::actors::host::{HostError, HostHandle};
use crate::actors::mcp::{CutOff, Listener};
use crate::domain::fault::FaultKind;
use crate::domain::phase::Phase;
use crate::transport::Command;
use crate::transport::fake::Scene;
use futures_util::future::join_all;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// The clock of tokio counts in milliseconds, rounded up.
const TICK: f64 = 0.002;

fn seconds(from: Instant, to: Instant) -> f64 {
    to.duration_since(from).as_secs_f64()
}

/// The waits between the attempts on a host.
fn waits(lab: &Lab, host: &str) -> Vec<f64> {
    lab.fake.attempt_times(host).windows(2).map(|pair| seconds(pair[0], pair[1])).collect()
}

#[track_caller]
fn is(measured: f64, expected: f64) {
    assert!((expected..=expected + TICK).contains(&measured), "{measured} s instead of {expected} s");
}

#[track_caller]
fn within(measured: f64, range: RangeInclusive<f64>) {
    let (least, most) = (range.start(), range.end() + TICK);
    assert!((*least..=most).contains(&measured), "{measured} s instead of {range:?} s");
}

async fn ready(hosts: &[(&str, &[Scene])]) -> (Lab, HostHandle) {
    let lab = Lab::new(hosts).await;
    for (host, _) in hosts {
        lab.until_ready(host).await;
    }
    let host = lab.directory().host(hosts[0].0).unwrap();
    (lab, host)
}

/// Asks for the line of a host and wakes it every five seconds, until the end.
async fn pester(lab: &Lab, host: &str, until: Instant) {
    while Instant::now() < until {
        let host = lab.directory().host(host).unwrap();
        host.wake();
        let _ = host.session(Duration::from_secs(1)).await;
        sleep(Duration::from_secs(5)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn s4_a_series_waits_one_and_two_seconds_and_the_background_up_to_a_minute() {
    let scenes = vec![Scene::Fails(FaultKind::Refused); 20];
    let lab = Lab::new(&[("nas", &scenes)]).await;
    until("all attempts", || lab.fake.attempts("nas") == 21).await;
    let waits = waits(&lab, "nas");
    // Three attempts of a series have two waits; then it starts small again and doubles.
    let nominal = [1.0, 2.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0];
    for (index, wait) in waits.iter().enumerate() {
        let nominal = nominal.get(index).copied().unwrap_or(60.0);
        let most = if index < 2 { 2.0 } else { 60.0 };
        within(*wait, nominal * 0.5..=f64::min(nominal * 1.5, most));
    }
}

#[tokio::test(start_paused = true)]
async fn s4_the_next_try_that_is_shown_is_the_one_that_is_made() {
    let scenes = vec![Scene::Fails(FaultKind::Refused); 9];
    let lab = Lab::new(&[("nas", &scenes)]).await;
    for attempt in 1..=9 {
        let status = lab
            .until(
                "nas",
                |status| matches!(status.phase, Phase::Backoff { attempt: now, .. } if now == attempt),
            )
            .await;
        let shown = status.phase.next_try().unwrap().duration_since(lab.directory().clock().now());
        let failed = lab.fake.attempt_times("nas").len();
        let from = Instant::now();
        until("the next attempt", || lab.fake.attempts("nas") > failed).await;
        is(seconds(from, lab.fake.attempt_times("nas")[failed]), shown.as_secs_f64());
    }
}

#[tokio::test(start_paused = true)]
async fn s4_a_wrong_key_costs_two_logins_in_ten_minutes_whoever_asks() {
    let scenes = vec![Scene::Fails(FaultKind::AuthRefused); 9];
    let lab = Lab::new(&[("nas", &scenes)]).await;
    lab.until("nas", |status| status.phase.word() == "backoff").await;
    let first = lab.fake.attempt_times("nas")[0];
    pester(&lab, "nas", first + Duration::from_secs(4 * 600)).await;
    // Once more after a minute, then every ten.
    let waits = waits(&lab, "nas");
    assert_eq!(waits.len(), 4, "{waits:?}");
    is(waits[0], 60.0);
    waits[1..].iter().for_each(|wait| is(*wait, 600.0));
    let in_ten_minutes =
        lab.fake.attempt_times("nas").iter().filter(|at| seconds(first, **at) < 600.0).count();
    assert_eq!(in_ten_minutes, 2);
}

#[tokio::test(start_paused = true)]
async fn s4_a_changed_host_key_is_one_attempt_a_day_and_looked_at_every_two_seconds() {
    let scenes = [Scene::Fails(FaultKind::HostKeyChanged)];
    let lab = Lab::new(&[("nas", &scenes)]).await;
    lab.until("nas", |status| status.phase.word() == "held").await;
    let held = lab.fake.attempt_times("nas")[0];
    pester(&lab, "nas", held + Duration::from_secs(24 * 3600)).await;
    assert_eq!(lab.fake.attempts("nas"), 1);
    let looks = lab.fake.looks("nas");
    // One when it began, then one every time.
    assert!(looks.len() > 5_750, "{} looks", looks.len());
    is(seconds(held, looks[0]), 0.0);
    looks.windows(2).for_each(|pair| is(seconds(pair[0], pair[1]), 2.0));

    lab.fake.change_evidence("nas");
    lab.until_ready("nas").await;
    let tried = lab.fake.attempt_times("nas")[1];
    is(seconds(*lab.fake.looks("nas").last().unwrap(), tried), 0.0);
}

#[tokio::test(start_paused = true)]
async fn s4_what_only_a_change_cures_is_held_ten_minutes_and_a_person_may_try_earlier() {
    let scenes = vec![Scene::Fails(FaultKind::SocketDenied); 3];
    let lab = Lab::new(&[("nas", &scenes)]).await;
    until("two attempts", || lab.fake.attempts("nas") == 2).await;
    lab.until("nas", |status| status.phase.word() == "held").await;
    sleep(Duration::from_secs(100)).await;
    lab.directory().host("nas").unwrap().wake();
    until("four attempts", || lab.fake.attempts("nas") == 4).await;
    let waits = waits(&lab, "nas");
    is(waits[0], 600.0);
    within(waits[1], 100.0..=101.0);
    is(waits[2], 600.0);
}

#[tokio::test(start_paused = true)]
async fn d2_a_line_that_held_a_minute_is_made_anew_at_once_and_a_younger_one_after_a_wait() {
    let (lab, _) = ready(&[("nas", &[]), ("pi", &[])]).await;
    let up = Instant::now();
    sleep_until(up + Duration::from_millis(59_900)).await;
    let cut = Instant::now();
    lab.fake.cut("nas", FaultKind::LinkLost);
    until("another line", || lab.fake.attempts("nas") == 2).await;
    within(seconds(cut, lab.fake.attempt_times("nas")[1]), 0.5..=1.5);
    sleep_until(up + Duration::from_millis(60_100)).await;
    let cut = Instant::now();
    lab.fake.cut("pi", FaultKind::LinkLost);
    until("another line", || lab.fake.attempts("pi") == 2).await;
    is(seconds(cut, lab.fake.attempt_times("pi")[1]), 0.0);
}

#[tokio::test(start_paused = true)]
async fn d2_an_engine_that_hangs_is_given_five_seconds_while_connecting_and_when_it_is_suspected() {
    let (lab, nas) = ready(&[("nas", &[])]).await;
    lab.fake.freeze("nas");
    let asked = Instant::now();
    let limit = Duration::from_secs(2);
    let read = nas.read("list", limit, async |operation| Ok(operation.engine().containers().await?)).await;
    assert_eq!(read, Err(HostError::Deadline { limit }));
    is(seconds(asked, Instant::now()), 2.0);
    // The ping begins when the call is late.
    let status = lab.until("nas", |status| status.phase.word() == "backoff").await;
    is(seconds(asked, Instant::now()), 7.0);
    assert_eq!(status.phase.cause().unwrap().kind, FaultKind::EngineDown);
    lab.until("nas", |status| status.phase.word() == "connecting").await;
    let tried = Instant::now();
    lab.until("nas", |status| status.phase.word() == "backoff").await;
    is(seconds(tried, Instant::now()), 5.0);
    lab.fake.thaw("nas");
    lab.until_ready("nas").await;
    assert_eq!(lab.fake.attempts("nas"), 1, "an engine that hangs costs no second login");
}

#[tokio::test(start_paused = true)]
async fn d2_a_kept_login_that_died_meanwhile_is_replaced_within_the_same_attempt() {
    let (lab, nas) = ready(&[("nas", &[])]).await;
    lab.fake.freeze("nas");
    let limit = Duration::from_secs(2);
    let _ = nas.read("list", limit, async |operation| Ok(operation.engine().containers().await?)).await;
    lab.until("nas", |status| status.phase.word() == "backoff").await;
    lab.fake.cut("nas", FaultKind::LinkLost);
    lab.fake.thaw("nas");
    let status = lab
        .until("nas", |status| status.phase.word() != "backoff" && status.phase.word() != "connecting")
        .await;
    assert_eq!((status.phase.word(), lab.fake.attempts("nas")), ("ready", 2));
}

#[tokio::test(start_paused = true)]
async fn d2_an_attempt_that_never_ends_is_given_five_minutes() {
    let lab = Lab::new(&[("nas", &[Scene::Hangs])]).await;
    until("an attempt", || lab.fake.attempts("nas") == 1).await;
    let tried = lab.fake.attempt_times("nas")[0];
    let status = lab.until("nas", |status| status.phase.word() == "backoff").await;
    assert_eq!(status.phase.cause().unwrap().kind, FaultKind::Timeout);
    is(seconds(tried, Instant::now()), 300.0);
}

/// Kills the actor of a host in this life of it, once it is ready; says how long it took to its next.
async fn crash(lab: &Lab, host: &str, incarnation: u64) -> f64 {
    lab.until(host, |status| status.incarnation == incarnation && status.phase.word() == "ready").await;
    lab.directory().kill(host);
    let killed = Instant::now();
    let mut host = lab.directory().host(host).unwrap();
    let back = host.wait_for(|status| status.incarnation == incarnation + 1);
    timeout(2 * LONG, back).await.expect("it never came back");
    seconds(killed, Instant::now())
}

#[tokio::test(start_paused = true)]
async fn d1_restarts_wait_a_second_and_two_and_quarantines_five_minutes_doubling_to_an_hour() {
    let (lab, _) = ready(&[("nas", &[])]).await;
    let mut incarnation = 1;
    let mut terms = vec![];
    for restarts in [3, 2, 2, 2, 2, 2] {
        for restart in 0..restarts {
            let wait = crash(&lab, "nas", incarnation).await;
            let first = terms.is_empty() && restart == 0;
            within(wait, if first { 0.5..=1.5 } else { 1.0..=2.0 });
            incarnation += 1;
        }
        terms.push(crash(&lab, "nas", incarnation).await);
        incarnation += 1;
    }
    for (term, expected) in terms.iter().zip([300.0, 600.0, 1200.0, 2400.0, 3600.0, 3600.0]) {
        is(*term, expected);
    }
    // Whoever ran for a minute is well again: its waits and its quarantines start small.
    lab.until_ready("nas").await;
    sleep(Duration::from_secs(61)).await;
    within(crash(&lab, "nas", incarnation).await, 0.5..=1.5);
    for restart in 1..=2 {
        crash(&lab, "nas", incarnation + restart).await;
    }
    is(crash(&lab, "nas", incarnation + 3).await, 300.0);
}

#[tokio::test(start_paused = true)]
async fn d1_three_crashes_a_minute_are_bearable_for_ever() {
    let (lab, _) = ready(&[("nas", &[])]).await;
    for incarnation in 1..=20 {
        assert!(crash(&lab, "nas", incarnation).await <= 2.0 + TICK, "quarantined at {incarnation}");
        // With the longest wait and the shortest, three restarts never lie within less than a minute.
        sleep(Duration::from_secs(21)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn d1_the_root_bears_five_crashes_of_a_child_in_a_minute_and_gives_up_at_the_sixth() {
    let (mut lab, _) = ready(&[("nas", &[])]).await;
    for life in 1..=5 {
        lab.directory().supervisor().get().unwrap().cell().kill();
        until("the next life", || {
            lab.app.tree().look().find(&["hosts"]).is_some_and(|hosts| hosts.incarnation == life + 1)
        })
        .await;
    }
    lab.until_ready("nas").await;
    assert!(timeout(Duration::from_millis(1), lab.app.melted()).await.is_err(), "too early");
    lab.directory().supervisor().get().unwrap().cell().kill();
    timeout(Duration::from_secs(60), lab.app.melted()).await.expect("it goes on and on");
}

#[tokio::test(start_paused = true)]
async fn d3_files_are_read_every_minute_and_what_takes_hosts_away_once_more_a_second_later() {
    // Written by another name, which lies elsewhere, the file changes without an event.
    let elsewhere = tempfile::tempdir().unwrap();
    let target = elsewhere.path().join("hosts.yml");
    let lab = Lab::new(&[("nas", &[]), ("pi", &[])]).await;
    std::fs::hard_link(lab.file.path(), &target).unwrap();
    lab.until_ready("pi").await;
    // Whatever the watch makes of that is over; from here on only time passes.
    sleep(Duration::from_secs(60)).await;

    // in place: another file under this name would not be the same one
    let write = |hosts: &[&str]| {
        let entries: Vec<String> = hosts.iter().map(|host| format!("{host}: {{hostname: {host}}}")).collect();
        std::fs::write(&target, format!("hosts: {{{}}}\n", entries.join(", "))).unwrap();
    };
    write(&["nas", "pi", "new"]);
    until("a host that is new", || lab.directory().host("new").is_ok()).await;
    let looked = Instant::now();
    write(&["nas"]);
    until("hosts that are gone", || lab.directory().host("pi").is_err()).await;
    within(seconds(looked, Instant::now()), 61.0..=61.1);
    assert!(lab.directory().host("new").is_err() && lab.directory().host("nas").is_ok());
}

#[tokio::test(start_paused = true)]
async fn d4_a_listener_that_breaks_or_panics_is_opened_again_after_a_second() {
    let opened = Arc::new(Mutex::new(vec![]));
    let serve = {
        let opened = Arc::clone(&opened);
        move || {
            let mut opened = opened.lock().unwrap();
            opened.push(Instant::now());
            let panics = opened.len() % 2 == 0;
            Box::pin(async move {
                if panics {
                    std::panic::resume_unwind(Box::new("as planned"));
                }
                Err(std::io::Error::other("as planned"))
            }) as futures_util::future::BoxFuture<'static, _>
        }
    };
    let listener = Listener { name: "test", serve: Arc::new(serve) };
    let _lab = Lab::with_listeners(&[("nas", &[])], vec![listener]).await;
    until("ten openings", || opened.lock().unwrap().len() == 10).await;
    opened.lock().unwrap().windows(2).for_each(|pair| is(seconds(pair[0], pair[1]), 1.0));
}

#[tokio::test(start_paused = true)]
async fn d4_requests_get_five_seconds_at_the_end_of_the_service() {
    let (lab, _) = ready(&[("nas", &[])]).await;
    let mcp = lab.app.mcp.clone();
    let timed = |limit| async move {
        let outcome = mcp.run("request", sleep(limit)).await;
        (outcome, Instant::now())
    };
    let (quick, slow) = (timed.clone()(Duration::from_millis(4_900)), timed(Duration::from_secs(60)));
    let asked = Instant::now();
    let end = async {
        sleep(Duration::from_millis(1)).await;
        lab.app.shutdown().await;
    };
    let ((done, at), (cut_off, late), ()) = tokio::join!(quick, slow, end);
    assert_eq!((done, cut_off), (Ok(()), Err(CutOff)));
    is(seconds(asked, at), 4.9);
    within(seconds(asked, late), 5.0..=5.01);
}

#[tokio::test(start_paused = true)]
async fn s5_changes_get_eight_seconds_at_the_end_of_the_service() {
    for (takes, ends) in [(7_900, true), (60_000, false)] {
        let (lab, nas) = ready(&[("nas", &[])]).await;
        let change = nas.change("slow", LONG, |_| async move {
            sleep(Duration::from_millis(takes)).await;
            Ok(())
        });
        let asked = Instant::now();
        let end = async {
            sleep(Duration::from_millis(1)).await;
            lab.app.shutdown().await;
            seconds(asked, Instant::now())
        };
        let (outcome, took) = tokio::join!(change, end);
        assert_eq!(outcome.is_ok(), ends, "{outcome:?}");
        within(took, if ends { 7.9..=7.91 } else { 8.0..=8.01 });
    }
}

#[tokio::test(start_paused = true)]
async fn s5_an_operation_ends_at_its_deadline_and_a_read_over_a_line_that_never_comes_too() {
    let (lab, nas) = ready(&[("nas", &[])]).await;
    let limit = Duration::from_secs(30);
    let asked = Instant::now();
    let (read, change) = tokio::join!(
        nas.read("read", limit, |_| std::future::pending::<Result<(), HostError>>()),
        nas.change("change", limit, |_| std::future::pending::<Result<(), HostError>>()),
    );
    is(seconds(asked, Instant::now()), 30.0);
    assert_eq!(read, Err(HostError::Deadline { limit }));
    assert!(matches!(change, Err(HostError::OutcomeUnknown { .. })), "{change:?}");
    lab.fake.script("nas", [Scene::Hangs]);
    lab.fake.cut("nas", FaultKind::LinkLost);
    lab.until("nas", |status| status.phase.word() == "connecting").await;
    let asked = Instant::now();
    let read = nas.read("read", limit, async |_| Ok(())).await;
    assert_eq!(read, Err(HostError::Deadline { limit }));
    is(seconds(asked, Instant::now()), 30.0);
}

#[tokio::test(start_paused = true)]
async fn s5_what_does_not_close_is_given_up_after_five_seconds_and_processes_after_fifteen() {
    let (lab, nas) = ready(&[("nas", &[])]).await;
    let asked = Instant::now();
    let outcome = nas.read("hold", LONG, |operation| async move {
        operation.track("first", std::future::pending());
        operation.track("second", std::future::pending());
        Ok(())
    });
    assert_eq!(outcome.await, Ok(()));
    within(seconds(asked, Instant::now()), 10.0..=10.01);

    // A command whose end is not seen, on a host where from then on nothing ends.
    let asked = Instant::now();
    let limit = Duration::from_secs(1);
    let outcome = nas.read("run", limit, |operation| async move {
        operation.link().exec(&Command::new(["hang"])).await?;
        Ok(())
    });
    let freeze = async {
        sleep(Duration::from_millis(500)).await;
        lab.fake.freeze("nas");
    };
    let (outcome, ()) = tokio::join!(outcome, freeze);
    assert_eq!(outcome, Err(HostError::Deadline { limit }));
    until("it is given up", || nas.operations().running().is_empty()).await;
    // The call's second, and fifteen for looking for its processes.
    within(seconds(asked, Instant::now()), 16.0..=16.01);
}

#[tokio::test(start_paused = true)]
async fn d2_callers_are_told_to_come_again_after_one_to_thirty_seconds_by_how_long_calls_take() {
    for (usual, told) in [(1, 1.0), (2, 14.0), (600, 30.0)] {
        let (_lab, nas) = ready(&[("nas", &[])]).await;
        let call = |time| {
            nas.read("call", 9 * LONG, move |_| async move {
                sleep(Duration::from_secs(time)).await;
                Ok(())
            })
        };
        if usual > 1 {
            assert_eq!(call(usual).await, Ok(()));
        }
        let full = join_all((0..128).map(|_| call(60)));
        let told_late = async {
            sleep(Duration::from_millis(100)).await;
            match call(1).await {
                // 112 wait, seven rounds of sixteen.
                Err(HostError::Overloaded(told)) => told.retry_after.as_secs_f64(),
                other => panic!("{other:?}"),
            }
        };
        tokio::select! {
            _ = full => panic!("nobody was told"),
            after = told_late => within(after, told..=told + 0.1),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn s5_the_reaper_looks_every_minute_for_a_host_that_left() {
    let (lab, nas) = ready(&[("nas", &[]), ("pi", &[])]).await;
    let (limit, holds) = (Duration::from_secs(9), Arc::new(Notify::new()));
    let told = Arc::clone(&holds);
    let hold = nas.change("hold", limit, |operation| async move {
        operation.helper_container().await;
        told.notify_one();
        std::future::pending::<Result<(), HostError>>().await
    });
    let leave = async {
        holds.notified().await;
        lab.directory().kill("nas");
        until("left over", || lab.directory().reaper().leftovers().len() == 1).await;
        edit(&lab, |text| text.replace("  nas: {hostname: nas}\n", ""));
    };
    let _ = tokio::join!(hold, leave);
    until("gone", || lab.directory().host("nas").is_err()).await;
    let gone = Instant::now();
    sleep(Duration::from_secs(150)).await;
    assert_eq!(lab.directory().reaper().leftovers().len(), 1);
    edit(&lab, |text| text + "  nas: {hostname: nas}\n");
    lab.until_ready("nas").await;
    until("let go of", || lab.directory().reaper().leftovers().is_empty()).await;
    let took = seconds(gone, Instant::now());
    assert!((170.0..=181.0).contains(&took), "{took}");
}

#[tokio::test(start_paused = true)]
async fn s5_at_the_end_of_the_service_the_reaper_gives_what_is_here_five_seconds() {
    let (lab, nas) = ready(&[("nas", &[])]).await;
    let (closing, holds) = (Arc::new(AtomicUsize::new(0)), Notify::new());
    let hold = nas.change("hold", LONG, |operation| {
        for name in ["a", "b", "c"] {
            let closing = Arc::clone(&closing);
            operation.track(name, async move {
                closing.fetch_add(1, Ordering::SeqCst);
                sleep(Duration::from_millis(4_900)).await;
                Ok(())
            });
        }
        holds.notify_one();
        std::future::pending::<Result<(), HostError>>()
    });
    let end = async {
        holds.notified().await;
        lab.directory().kill("nas");
        until("the first is being closed", || closing.load(Ordering::SeqCst) == 1).await;
        let told = Instant::now();
        lab.app.shutdown().await;
        seconds(told, Instant::now())
    };
    let (outcome, took) = tokio::join!(hold, end);
    assert_eq!(outcome, Err(HostError::Restarting), "it never began, and holds something all the same");
    within(took, 5.0..=5.01);
    // The second was begun and cut off, and the third had no time left.
    assert_eq!(closing.load(Ordering::SeqCst), 2);
}
