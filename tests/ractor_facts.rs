//! What `actors.md` relies on in ractor, fact by fact: a new version that changes one of them fails
//! here, and not at night.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test speaks by panicking")]
#![allow(clippy::disallowed_methods, reason = "here ractor itself is looked at, without the house around it")]

use ractor::{Actor, ActorProcessingErr, ActorRef, ActorStatus, SupervisionEvent};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Notify;

/// What happened, in order.
type Diary = Arc<Mutex<Vec<String>>>;

fn note(diary: &Diary, what: impl Into<String>) {
    diary.lock().unwrap().push(what.into());
}

fn entries(diary: &Diary) -> Vec<String> {
    diary.lock().unwrap().clone()
}

/// Waits until the diary holds an entry.
async fn until(diary: &Diary, what: &str) {
    let there = async {
        while !entries(diary).iter().any(|entry| entry == what) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), there).await.unwrap_or_else(|_| {
        panic!("{what:?} never happened: {:?}", entries(diary));
    });
}

struct OnDrop(Diary, &'static str);

impl Drop for OnDrop {
    fn drop(&mut self) {
        note(&self.0, self.1);
    }
}

enum Do {
    Panic,
    Fail,
    Hang,
    TellParentAndStop(ActorRef<Do>),
    Note(&'static str),
    /// Blocks its handler until told, and then lets go of the rest of its queue.
    WaitFor(Arc<Notify>),
}

struct Probe;

impl Actor for Probe {
    type Msg = Do;
    type State = (Diary, OnDrop);
    type Arguments = (Diary, &'static str);

    async fn pre_start(
        &self,
        _: ActorRef<Do>,
        (diary, name): (Diary, &'static str),
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok((diary.clone(), OnDrop(diary, name)))
    }

    async fn handle(
        &self,
        myself: ActorRef<Do>,
        message: Do,
        (diary, _): &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Do::Panic => panic!("as planned"),
            Do::Fail => return Err("as planned".into()),
            Do::Hang => {
                let _dropped = OnDrop(diary.clone(), "handler dropped");
                note(diary, "hanging");
                std::future::pending::<()>().await;
            }
            Do::TellParentAndStop(parent) => {
                parent.cast(Do::Note("the child's last message"))?;
                myself.stop(None);
            }
            Do::Note(what) => note(diary, what),
            Do::WaitFor(go) => {
                note(diary, "waiting");
                go.notified().await;
            }
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<Do>,
        event: SupervisionEvent,
        (diary, _): &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        match event {
            SupervisionEvent::ActorFailed(..) => note(diary, "child failed"),
            SupervisionEvent::ActorTerminated(_, _, reason) => {
                note(diary, format!("child ended: {}", reason.unwrap_or_default()));
            }
            _ => {}
        }
        Ok(())
    }

    async fn post_stop(
        &self,
        _: ActorRef<Do>,
        (diary, state): &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        note(diary, format!("{} stopped", state.1));
        Ok(())
    }
}

async fn family() -> (Diary, ActorRef<Do>, ActorRef<Do>) {
    let diary = Diary::default();
    let (parent, _) = Actor::spawn(None, Probe, (diary.clone(), "parent")).await.unwrap();
    let child =
        Actor::spawn_linked(None, Probe, (diary.clone(), "child"), parent.get_cell()).await.unwrap().0;
    (diary, parent, child)
}

#[tokio::test]
async fn a_panic_and_an_error_in_a_handler_are_both_a_failure_without_post_stop() {
    for message in [Do::Panic, Do::Fail] {
        let (diary, parent, child) = family().await;
        child.cast(message).unwrap();
        until(&diary, "child failed").await;
        until(&diary, "child").await;
        assert!(!entries(&diary).contains(&"child stopped".to_owned()));
        assert_eq!(parent.get_status(), ActorStatus::Running);
    }
}

#[tokio::test]
async fn a_kill_drops_the_handler_where_it_stands() {
    let (diary, _parent, child) = family().await;
    child.cast(Do::Hang).unwrap();
    until(&diary, "hanging").await;
    child.kill();
    until(&diary, "child ended: killed").await;
    let diary = entries(&diary);
    let at = |what: &str| diary.iter().position(|entry| entry == what).unwrap();
    assert!(at("handler dropped") < at("child ended: killed"));
    assert!(!diary.contains(&"child stopped".to_owned()));
}

#[tokio::test]
async fn when_a_parent_ends_its_children_are_killed_without_post_stop() {
    let (diary, parent, child) = family().await;
    child.cast(Do::Hang).unwrap();
    until(&diary, "hanging").await;
    parent.stop(None);
    until(&diary, "handler dropped").await;
    until(&diary, "parent stopped").await;
    child.wait(Some(Duration::from_secs(20))).await.unwrap();
    assert!(!entries(&diary).contains(&"child stopped".to_owned()));
}

#[tokio::test]
async fn a_parents_post_stop_may_still_stop_its_children_in_order() {
    struct Orderly;
    impl Actor for Orderly {
        type Msg = Do;
        type State = ActorRef<Do>;
        type Arguments = Diary;
        async fn pre_start(
            &self,
            me: ActorRef<Do>,
            diary: Diary,
        ) -> Result<ActorRef<Do>, ActorProcessingErr> {
            Ok(Actor::spawn_linked(None, Probe, (diary, "child"), me.get_cell()).await?.0)
        }
        async fn post_stop(
            &self,
            _: ActorRef<Do>,
            child: &mut ActorRef<Do>,
        ) -> Result<(), ActorProcessingErr> {
            child.stop(None);
            Ok(child.get_cell().wait(Some(Duration::from_secs(20))).await?)
        }
    }
    let diary = Diary::default();
    let (parent, end) = Actor::spawn(None, Orderly, diary.clone()).await.unwrap();
    parent.stop(None);
    end.await.unwrap();
    assert_eq!(entries(&diary), ["child stopped", "child"]);
}

#[tokio::test]
async fn a_busy_parent_learns_of_an_end_before_it_reads_the_last_message() {
    let (diary, parent, child) = family().await;
    let go = Arc::new(Notify::new());
    parent.cast(Do::WaitFor(Arc::clone(&go))).unwrap();
    until(&diary, "waiting").await;
    child.cast(Do::TellParentAndStop(parent.clone())).unwrap();
    child.wait(Some(Duration::from_secs(20))).await.unwrap();
    go.notify_one();
    until(&diary, "the child's last message").await;
    let diary = entries(&diary);
    let at = |what: &str| diary.iter().position(|entry| entry == what).unwrap();
    assert!(at("child ended: ") < at("the child's last message"), "{diary:?}");
}

#[tokio::test]
async fn whoever_spawns_waits_for_pre_start() {
    struct Slow;
    impl Actor for Slow {
        type Msg = Do;
        type State = ();
        type Arguments = Arc<Notify>;
        async fn pre_start(&self, _: ActorRef<Do>, go: Arc<Notify>) -> Result<(), ActorProcessingErr> {
            go.notified().await;
            Ok(())
        }
    }
    let (_, parent, _) = family().await;
    let go = Arc::new(Notify::new());
    let mut spawning = Box::pin(Actor::spawn_linked(None, Slow, Arc::clone(&go), parent.get_cell()));
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut spawning).await.is_err());
    go.notify_one();
    spawning.await.unwrap();
}

#[tokio::test]
async fn what_is_queued_behind_a_panic_is_lost() {
    let (diary, _parent, child) = family().await;
    let go = Arc::new(Notify::new());
    child.cast(Do::WaitFor(Arc::clone(&go))).unwrap();
    child.cast(Do::Panic).unwrap();
    child.cast(Do::Note("behind the panic")).unwrap();
    go.notify_one();
    until(&diary, "child failed").await;
    child.wait(Some(Duration::from_secs(20))).await.unwrap();
    assert!(!entries(&diary).contains(&"behind the panic".to_owned()));
}
