//! A host's Docker context: made, verified and made again one at a time, for any number of callers.

use super::messages::HostMessage;
use crate::contexts::{ContextError, Contexts, Done, Wanted};
use crate::domain::host::HostSpec;
use crate::domain::retry::BackoffPolicy;
use crate::runtime::backoff::{Backoff, fresh_seed};
use ractor::{ActorId, RpcReplyPort};
use tokio::time::sleep;

/// How often the docker client is tried before its failure is told: the mission's three.
const ATTEMPTS: usize = 3;

/// Who waits for the name of the context, or for why there is none.
pub(super) type NameReply = RpcReplyPort<Result<String, ContextError>>;

/// The one look at the context there is at a time, and who waits for it.
#[derive(Default)]
pub(super) struct ContextDesk {
    waiters: Vec<NameReply>,
    /// The task that looks.
    pub(super) task: Option<ActorId>,
    /// What was logged last: the same trouble is not told at every reconnect.
    told: Option<ContextError>,
}

impl ContextDesk {
    /// One more waits.
    pub(super) fn wait(&mut self, reply: NameReply) {
        self.waiters.push(reply);
    }

    /// The look ended: everybody is told, and the log what is new.
    pub(super) fn settle(
        &mut self,
        spec: &HostSpec,
        outcome: &Result<String, ContextError>,
        contexts: &Contexts,
    ) {
        self.task = None;
        match outcome {
            Err(ContextError::NoClient) if contexts.first_word() => {
                tracing::info!("{}", ContextError::NoClient);
            }
            Err(ContextError::NoClient) => {}
            Err(error) if self.told.as_ref() != Some(error) => tracing::warn!(host = %spec.id, "{error}"),
            _ => {}
        }
        self.told = outcome.as_ref().err().cloned();
        for waiter in self.waiters.drain(..) {
            // Whoever asked may have gone.
            let _ = waiter.send(outcome.clone());
        }
    }

    /// The look crashed: who waits is told by the end of the question, and may ask again.
    pub(super) fn crashed(&mut self) {
        self.task = None;
        self.waiters.clear();
    }
}

/// Looks at the context of `spec` until it is as wanted, or trying again cannot help.
pub(super) async fn look(contexts: &Contexts, spec: &HostSpec) -> HostMessage {
    let wanted = Wanted {
        name: spec.context_name(),
        host: spec.endpoint.url(),
        description: spec.description.clone(),
    };
    let mut waits = Backoff::new(BackoffPolicy::SERIES, fresh_seed());
    let mut outcome = contexts.ensure(&wanted).await;
    for _ in 1..ATTEMPTS {
        if outcome.as_ref().err().is_none_or(|error| !error.passes()) {
            break;
        }
        sleep(waits.next_wait()).await;
        outcome = contexts.ensure(&wanted).await;
    }
    match outcome {
        Ok(Done::Created) => tracing::info!(host = %spec.id, context = wanted.name, "Docker context made"),
        Ok(Done::Repointed) => {
            tracing::info!(host = %spec.id, context = wanted.name, "Docker context led back to the host");
        }
        Ok(Done::Nothing) | Err(_) => {}
    }
    HostMessage::ContextSettled { outcome: outcome.map(|_| wanted.name) }
}
