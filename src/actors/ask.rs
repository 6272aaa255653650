//! Asking an actor: the one place that calls, always with a deadline.

use ractor::rpc::CallResult;
use ractor::{ActorRef, Message, RpcReplyPort};
use std::time::Duration;

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// It did not come in time.
    Late,
    /// The actor has ended, or dropped the question.
    Gone,
}

/// Sends the message that `question` makes of a reply port, and waits up to `limit` for the answer.
#[expect(clippy::disallowed_methods, reason = "this is where the deadline is set")]
pub(super) async fn ask<M: Message, T: Send + 'static>(
    actor: &ActorRef<M>,
    question: impl FnOnce(RpcReplyPort<T>) -> M,
    limit: Duration,
) -> Result<T, NoAnswer> {
    match actor.call(question, Some(limit)).await {
        Ok(CallResult::Success(answer)) => Ok(answer),
        Ok(CallResult::Timeout) => Err(NoAnswer::Late),
        Ok(CallResult::SenderError) | Err(_) => Err(NoAnswer::Gone),
    }
}
