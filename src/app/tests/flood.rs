//! A mailbox full of other things.

use super::{LONG, Lab};
use futures_util::poll;

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
