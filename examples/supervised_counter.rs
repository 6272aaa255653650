//! A supervised actor that crashes and comes back.
//!
//! A supervisor starts an actor from a child specification. When the actor crashes, the supervisor
//! waits a little and starts it again: the next *incarnation*. Its state is new, its name is not.
//!
//!     cargo run --example supervised_counter

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "an example shows itself and has no supervisor above"
)]

use dockmaster::actors::supervision::{
    ChildSpec, Excess, Restart, StartChild, Strategy, SupervisorArguments, start_root,
};
use dockmaster::domain::retry::BackoffPolicy;
use dockmaster::runtime::restart_window::RestartIntensity;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Counts what it is sent, and cannot stand the number 3.
struct Counter;

/// The actor's protocol: each message is a variant.
enum Message {
    /// Count this number.
    Count(u32),
    /// Tell how many there were.
    Report(RpcReplyPort<u32>),
}

impl Actor for Counter {
    type Msg = Message;
    type State = u32;
    type Arguments = ();

    // `pre_start` is trivial by rule: the supervisor waits for it.
    async fn pre_start(&self, _: ActorRef<Message>, (): ()) -> Result<u32, ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(
        &self,
        _: ActorRef<Message>,
        message: Message,
        count: &mut u32,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            // A panic would do the same: the supervisor sees a failed child.
            Message::Count(3) => return Err("3 is too much".into()),
            Message::Count(number) => {
                *count += 1;
                println!("counted {number}, {count} so far");
            }
            Message::Report(reply) => reply.send(*count)?,
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Each incarnation tells us where it can be reached.
    let (started, mut incarnations) = mpsc::channel(1);

    // How to start the child. The supervisor calls this again after every crash.
    let start: StartChild = Arc::new(move |supervisor, incarnation| {
        let started = started.clone();
        Box::pin(async move {
            let (counter, _) = Actor::spawn_linked(None, Counter, (), supervisor).await?;
            let _ = started.send((incarnation, counter.clone())).await;
            Ok(counter.get_cell())
        })
    });

    let counter = ChildSpec {
        name: "counter".to_owned(),
        restart: Restart::Permanent,
        // More than three restarts within a minute, and the supervisor gives up.
        intensity: RestartIntensity { intensity: 3, period: Duration::from_secs(60) },
        excess: Excess::Meltdown,
        // The first wait is a hundredth of a second, the longest one a second.
        backoff: BackoffPolicy::new(Duration::from_millis(10), Duration::from_secs(1), 2.0, 0.0)?,
        grace: Duration::from_secs(1),
        start,
    };
    let (supervisor, tree) = start_root(SupervisorArguments {
        name: "example",
        strategy: Strategy::ReverseStartOrder,
        children: vec![counter],
        on_quarantine: None,
    })
    .await?;

    for numbers in [[1, 2, 3], [4, 5, 6]] {
        let Some((incarnation, counter)) = incarnations.recv().await else { break };
        println!("incarnation {incarnation}");
        for number in numbers {
            counter.cast(Message::Count(number))?;
        }
        // The crash of the first incarnation took its count along, and brings the second.
        if incarnation == 2 {
            println!("{} counted in this life", ractor::call!(counter, Message::Report)?);
        }
    }

    // The orderly end: the supervisor stops its children and then itself.
    supervisor.stop();
    tree.await?;
    println!("stopped");
    Ok(())
}
