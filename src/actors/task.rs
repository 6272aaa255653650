//! A task actor: one future in an actor of its own. It ends when the future does; a panic in it is
//! a supervision event for its parent, a kill drops it, and it dies with its parent.

use futures_util::future::BoxFuture;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr};

/// A future that an actor runs.
pub type Work = BoxFuture<'static, ()>;

struct TaskActor;

/// Sent by the actor to itself: starts the work outside `pre_start`, which a parent waits for.
struct Go;

impl Actor for TaskActor {
    type Msg = Go;
    type State = Option<Work>;
    type Arguments = Work;

    async fn pre_start(&self, myself: ActorRef<Go>, work: Work) -> Result<Option<Work>, ActorProcessingErr> {
        myself.cast(Go)?;
        Ok(Some(work))
    }

    async fn handle(
        &self,
        myself: ActorRef<Go>,
        _: Go,
        work: &mut Option<Work>,
    ) -> Result<(), ActorProcessingErr> {
        if let Some(work) = work.take() {
            work.await;
        }
        myself.stop(None);
        Ok(())
    }
}

/// Runs `work` as a child of `parent`. The result travels in whatever message `work` sends.
pub async fn spawn(
    parent: ActorCell,
    work: impl Future<Output = ()> + Send + 'static,
) -> Result<ActorCell, SpawnErr> {
    let (task, _) = Actor::spawn_linked(None, TaskActor, Box::pin(work), parent).await?;
    Ok(task.get_cell())
}
