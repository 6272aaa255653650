//! A mailbox full of other things.

use super::{LONG, Lab};
use crate::actors::host::HostError;
use crate::actors::trip;
use crate::transport::fake::Scene;
use futures_util::{FutureExt as _, poll};
use std::time::Duration;
use tokio::time::sleep;

const FLOOD: usize = 100_000;

#[tokio::test(start_paused = true)]
async fn d2_a_flooded_mailbox_delays_no_look_and_no_neighbour() {
    let lab = Lab::new(&[("nas", &[]), ("pi", &[])]).await;
    lab.until_ready("nas").await;
    lab.until_ready("pi").await;
    let (nas, pi) = (lab.directory().host("nas").unwrap(), lab.directory().host("pi").unwrap());
    let before = nas.status();
    for _ in 0..FLOOD {
        nas.wake();
    }
    // An operation needs its host's actor: this one waits behind the flood and tells when it is over.
    let mut behind = Box::pin(nas.read("behind", LONG, async |_| Ok(())));
    assert!(poll!(&mut behind).is_pending());
    for _ in 0..10 {
        assert!(
            pi.read("list", LONG, async |operation| Ok(operation.engine().containers().await?)).await.is_ok()
        );
        assert_eq!(nas.status(), before);
        assert!(nas.current_session().is_some());
        let tree = lab.app.tree().look();
        assert_eq!(
            tree.find(&["hosts", "nas"]).map(|node| (node.phase, node.children.len())),
            Some(("ready", 1))
        );
    }
    assert!(poll!(&mut behind).is_pending(), "the flood was drained before anybody could look");
    assert_eq!(behind.await, Ok(()));
    assert_eq!((lab.fake.attempts("nas"), lab.fake.attempts("pi")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn d2_callers_beyond_the_bound_are_told_at_once_and_send_nothing() {
    let lab = Lab::new(&[("nas", &[Scene::Hangs])]).await;
    lab.until("nas", |status| status.phase.word() == "connecting").await;
    let nas = lab.directory().host("nas").unwrap();
    let mut callers: Vec<_> = (0..128).map(|_| Box::pin(nas.session(LONG))).collect();
    for caller in &mut callers {
        assert!(poll!(caller).is_pending());
    }
    // Their questions are handled; one more would trip over the wire.
    sleep(Duration::from_secs(1)).await;
    trip::set("HostMessage::Ensure");
    (0..FLOOD).for_each(|_| nas.wake());
    match nas.session(LONG).now_or_never().expect("it waits") {
        Err(HostError::Overloaded(told)) => assert_eq!((told.waiting, told.retry_after.as_secs()), (128, 1)),
        other => panic!("{:?}", other.map(drop)),
    }
    sleep(Duration::from_secs(1)).await;
    assert!(!trip::is_tripped(), "who was told to come again asked the actor all the same");
    trip::set("HostMessage::Nothing");

    lab.directory().kill("nas");
    for caller in callers {
        assert!(caller.await.is_ok());
    }
}
