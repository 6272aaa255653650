//! A day in the life of a thousand hosts, in virtual time: seeded faults of every kind, operations in
//! between, and at the end nothing that should not be there.

use super::Lab;
use crate::actors::host::HostHandle;
use crate::domain::fault::{Fault, FaultKind};
use crate::transport::fake::Scene;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};

const HOSTS: usize = 1000;
const SEED: u64 = 20_261_123;
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Trouble that comes to every host in the day, of any kind.
const TROUBLES: usize = 4;

/// Operations on every host in the day.
const OPERATIONS: usize = 12;

/// What an attempt meets while a trouble lasts.
const SCENES: [Scene; 9] = [
    Scene::Fails(FaultKind::Refused),
    Scene::Fails(FaultKind::Timeout),
    Scene::Fails(FaultKind::Dns),
    Scene::Fails(FaultKind::Throttled),
    Scene::Fails(FaultKind::EngineDown),
    Scene::Fails(FaultKind::AuthRefused),
    Scene::Fails(FaultKind::SocketDenied),
    Scene::Hangs,
    Scene::Panics,
];

/// A trouble: from when to when attempts meet what.
struct Trouble {
    from: Instant,
    to: Instant,
    scene: Scene,
    /// Whether the host's actor crashes at its beginning, and not only its link.
    crash: bool,
}

/// The troubles of a host, one after the other.
fn troubles(rng: &mut SmallRng, start: Instant) -> Vec<Trouble> {
    let mut troubles: Vec<Trouble> = (0..TROUBLES)
        .map(|_| {
            let from = start + DAY.mul_f64(rng.random_range(0.0..0.97));
            let lasts = Duration::from_secs(rng.random_range(1..1800));
            let scene = SCENES[rng.random_range(0..SCENES.len())].clone();
            Trouble { from, to: from + lasts, scene, crash: rng.random_bool(0.2) }
        })
        .collect();
    troubles.sort_by_key(|trouble| trouble.from);
    troubles
}

/// Brings the troubles over a host.
async fn suffer(lab: &Lab, host: &str, troubles: Vec<Trouble>) {
    for Trouble { from, to, scene, crash } in troubles {
        sleep_until(from).await;
        lab.fake.settle(host, Some(scene));
        lab.fake.cut(host, FaultKind::LinkLost);
        if crash {
            lab.directory().kill(host);
        }
        sleep_until(to).await;
        lab.fake.settle(host, None);
    }
}

/// Counts what operations held and let go of.
#[derive(Default)]
struct Books {
    entered: AtomicUsize,
    closed: AtomicUsize,
    answered: AtomicUsize,
    succeeded: AtomicUsize,
}

/// Works on a host now and then. Every call is answered, in whatever way.
async fn work(host: &HostHandle, books: &Arc<Books>, mut rng: SmallRng, start: Instant) {
    let mut times: Vec<Instant> =
        (0..OPERATIONS).map(|_| start + DAY.mul_f64(rng.random_range(0.0..0.99))).collect();
    times.sort();
    for at in times {
        sleep_until(at).await;
        let (limit, lasts) =
            (Duration::from_secs(rng.random_range(1..60)), Duration::from_secs(rng.random_range(0..60)));
        let (books, ends) = (Arc::clone(books), rng.random_range(0..4));
        let held = Arc::clone(&books);
        let call = move |operation: crate::actors::operation::Operation| {
            let books = Arc::clone(&held);
            async move {
                books.entered.fetch_add(1, Ordering::SeqCst);
                let closing = Arc::clone(&books);
                operation.track("a lock", async move {
                    closing.closed.fetch_add(1, Ordering::SeqCst);
                    Ok(())
                });
                operation.temp_file(b"x".to_vec()).await?;
                operation.helper_container();
                sleep(lasts).await;
                match ends {
                    0 => Err(Fault::new(FaultKind::Internal, "as planned").into()),
                    1 if lasts.as_secs() % 7 == 0 => panic!("as planned"),
                    _ => Ok(()),
                }
            }
        };
        let outcome = if ends % 2 == 0 {
            host.read("day", limit, call).await
        } else {
            host.change("day", limit, call).await
        };
        books.answered.fetch_add(1, Ordering::SeqCst);
        books.succeeded.fetch_add(usize::from(outcome.is_ok()), Ordering::SeqCst);
    }
}

fn alive() -> usize {
    tokio::runtime::Handle::current().metrics().num_alive_tasks()
}

/// Waits until no pooled connection idles and no timer of yesterday is left.
async fn quiet() -> usize {
    sleep(Duration::from_secs(3600)).await;
    alive()
}

#[tokio::test(start_paused = true)]
async fn d1_a_thousand_hosts_have_a_bad_day_and_end_well() {
    let names: Vec<String> = (0..HOSTS).map(|number| format!("host-{number}")).collect();
    let scenes: Vec<(&str, &[Scene])> = names.iter().map(|name| (name.as_str(), &[][..])).collect();
    let lab = Lab::new(&scenes).await;
    for name in &names {
        lab.until_ready(name).await;
    }
    let before = quiet().await;

    let (start, books) = (Instant::now(), Arc::new(Books::default()));
    let handles: Vec<HostHandle> = names.iter().map(|name| lab.directory().host(name).unwrap()).collect();
    let mut day = FuturesUnordered::new();
    for (number, (name, handle)) in names.iter().zip(&handles).enumerate() {
        let mut rng = SmallRng::seed_from_u64(SEED + number as u64);
        let troubles = troubles(&mut rng, start);
        let (lab, books) = (&lab, &books);
        day.push(async move { tokio::join!(suffer(lab, name, troubles), work(handle, books, rng, start)) });
    }
    while day.next().await.is_some() {}
    drop(day);
    assert!(start.elapsed() > DAY.mul_f64(0.9));

    for name in &names {
        lab.until_ready(name).await;
    }
    let after = quiet().await;
    assert_eq!(books.answered.load(Ordering::SeqCst), HOSTS * OPERATIONS, "seed {SEED}");
    let (entered, closed) = (books.entered.load(Ordering::SeqCst), books.closed.load(Ordering::SeqCst));
    assert_eq!(entered, closed, "seed {SEED}: locks");
    assert!(books.succeeded.load(Ordering::SeqCst) > HOSTS, "seed {SEED}: the day was too bad to tell");
    let leftovers: Vec<Vec<String>> =
        lab.directory().reaper().leftovers().iter().map(|ledger| ledger.held()).collect();
    assert!(leftovers.is_empty(), "seed {SEED}: {leftovers:?}");
    for (name, host) in names.iter().zip(&handles) {
        assert_eq!(host.operations().waiting(), 0, "seed {SEED}: {name}");
        assert!(host.operations().running().is_empty(), "seed {SEED}: {name}");
    }
    // What was made on the hosts is gone: as many removals of files and containers as makings, at least.
    let (made, removed) = lab.fake.made_and_removed();
    assert!(
        removed.is_superset(&made),
        "seed {SEED}: {:?}",
        made.difference(&removed).take(5).collect::<Vec<_>>()
    );
    assert_eq!(after, before, "seed {SEED}: tasks");
}
