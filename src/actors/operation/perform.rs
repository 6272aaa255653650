//! Performing an operation: its work against its deadline and its cancellation, then letting go.

use super::admission::{Place, Turn};
use super::{Cancelled, Operation};
use crate::actors::host::{HostError, Session};
use crate::actors::reaper::ReaperHandle;
use crate::actors::task::Work;
use crate::domain::operation::{OperationContext, OperationKind};
use futures_util::FutureExt as _;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// An operation on its way to the host's actor, which runs it as its child.
pub struct Launch {
    /// Ends it.
    pub(in crate::actors) cancel: CancellationToken,
    /// All of it, from its first step to the last thing it lets go of.
    pub(in crate::actors) work: Work,
}

/// What an operation is made with.
pub(in crate::actors) struct Terms {
    pub(in crate::actors) context: Arc<OperationContext>,
    pub(in crate::actors) session: Arc<Session>,
    pub(in crate::actors) until: Instant,
    pub(in crate::actors) cancel: CancellationToken,
    pub(in crate::actors) reaper: ReaperHandle,
    pub(in crate::actors) place: Arc<Place>,
    pub(in crate::actors) turn: Turn,
}

/// What the caller waits for.
pub(in crate::actors) struct Outcome<T> {
    answer: oneshot::Receiver<Result<T, HostError>>,
    begun: Begun,
}

impl<T> Outcome<T> {
    /// The outcome; `None` when the operation ended without one, because its host's actor did.
    pub(in crate::actors) async fn wait(&mut self) -> Option<Result<T, HostError>> {
        (&mut self.answer).await.ok()
    }

    /// Keeps the operation from beginning; `false` when it has begun.
    pub(in crate::actors) fn forestall(&self) -> bool {
        self.begun.settle(FORESTALLED)
    }
}

const OPEN: u8 = 0;
const BEGUN: u8 = 1;
const FORESTALLED: u8 = 2;

/// Whether an operation has begun, decided once: between its first step and a caller that gives up.
#[derive(Clone, Default)]
struct Begun(Arc<AtomicU8>);

impl Begun {
    /// `true` when it is settled as `wanted`, now or before.
    fn settle(&self, wanted: u8) -> bool {
        let before = self.0.compare_exchange(OPEN, wanted, Ordering::SeqCst, Ordering::SeqCst);
        before.is_ok() || before == Err(wanted)
    }
}

/// Prepares `call` as an operation.
pub(in crate::actors) fn launch<T, F>(terms: Terms, call: impl FnOnce(Operation) -> F) -> (Launch, Outcome<T>)
where
    T: Send + 'static,
    F: Future<Output = Result<T, HostError>> + Send + 'static,
{
    let Terms { context, session, until, cancel, reaper, place, turn } = terms;
    let span = tracing::info_span!("operation", id = %context.id, host = %context.host, name = context.name);
    // Before `call` can hold anything: also an operation that never begins lets go.
    let held = Held(Operation::new(context, session, cancel.clone(), reaper));
    let call = call(held.0.clone());
    let (reply, answer) = oneshot::channel();
    let begun = Begun::default();
    let outcome = Outcome { answer, begun: begun.clone() };
    let work = async move {
        let _place = place;
        if begun.settle(BEGUN) {
            perform(held, call, until, &turn, reply).await;
        }
    };
    (Launch { cancel, work: Box::pin(work.instrument(span)) }, outcome)
}

async fn perform<T>(
    held: Held,
    call: impl Future<Output = Result<T, HostError>>,
    until: Instant,
    turn: &Turn,
    reply: oneshot::Sender<Result<T, HostError>>,
) {
    let operation = &held.0;
    let outcome = work(operation, call, until).await;
    turn.releasing();
    // A caller that got its answer may rely on everything being let go of. One whose call was cut short
    // has no time left, and letting go over a broken line takes long.
    let late = match &outcome {
        Ok(_) => false,
        Err(HostError::Engine(error)) => error.is_broken_line(),
        Err(_) => true,
    };
    // In both cases: a caller that has gone needs no answer.
    if late {
        let _ = reply.send(outcome);
        operation.release().await;
    } else {
        operation.release().await;
        let _ = reply.send(outcome);
    }
}

/// The work until it ends by itself, or is ended. A panic in it is its own.
async fn work<T>(
    operation: &Operation,
    call: impl Future<Output = Result<T, HostError>>,
    until: Instant,
) -> Result<T, HostError> {
    let context = operation.context();
    let unknown = |why| HostError::OutcomeUnknown { operation: context.id, why };
    let cancelled = async {
        match context.kind {
            OperationKind::Read => operation.0.cancel.cancelled().await,
            // It asks by itself, between its steps.
            OperationKind::Change => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        () = cancelled => Err(Cancelled.into()),
        outcome = timeout_at(until, AssertUnwindSafe(call).catch_unwind()) => match outcome {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(panic)) => {
                tracing::error!(panic = words(panic.as_ref()), "the operation panicked");
                Err(match context.kind {
                    OperationKind::Read => HostError::Crashed { operation: context.id },
                    OperationKind::Change => unknown("it crashed"),
                })
            }
            Err(_) => Err(match context.kind {
                OperationKind::Read => HostError::Deadline { limit: context.limit },
                OperationKind::Change => unknown("its time ran out"),
            }),
        },
    }
}

fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without words")
}

/// Hands what is still held to the Reaper when it is dropped: at the end, or wherever a kill cuts.
struct Held(Operation);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.abandon();
    }
}
