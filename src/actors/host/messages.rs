//! The protocol of a host's actor.

use super::handle::Session;
use super::machine::{TimerId, Unavailable};
use crate::actors::operation::Launch;
use crate::contexts::ContextError;
use crate::domain::fault::Fault;
use crate::domain::host::HostSpec;
use crate::engine::Unreached;
use crate::transport::Connection;
use ractor::RpcReplyPort;
use std::sync::Arc;

/// What a host's actor is told.
#[derive(strum::IntoStaticStr, strum::VariantNames)]
pub enum HostMessage {
    /// `HostHandle::session`: a caller wants the line; answered once, now or when it is up.
    Ensure(RpcReplyPort<Result<Arc<Session>, Unavailable>>),
    /// `HostHandle::ensure_context`: a caller wants the host's Docker context, verified now.
    Context(RpcReplyPort<Result<String, ContextError>>),
    /// From the context task: the name of the context, or why there is none.
    ContextSettled {
        /// What came of it.
        outcome: Result<String, ContextError>,
    },
    /// `HostHandle::wake`: try now instead of later, where trying can do no harm.
    Wake,
    /// `HostHandle::suspect`: a call over this link missed its deadline or broke.
    Suspect {
        /// The link's epoch.
        epoch: u64,
    },
    /// `HostHandle::read` and `change`: run this operation.
    Operate(Launch),
    /// The configuration changed in a way that needs no new link.
    Retune(Arc<HostSpec>),
    /// From the connect task: the outcome of an attempt.
    Connected {
        /// The attempt's epoch.
        epoch: u64,
        /// The session and its connection, or why there is none and what is left of the attempt.
        outcome: Result<(Arc<Session>, Connection), Unreached>,
    },
    /// From the link or the probe task: the link of this epoch is dead.
    LinkDown {
        /// The link's epoch.
        epoch: u64,
        /// Why.
        fault: Fault,
    },
    /// A timer: the events task of this link crashed and is to be started again.
    Follow {
        /// The link's epoch.
        epoch: u64,
    },
    /// A timer of the actor's own.
    TimerDue(TimerId),
    /// From the evidence task: the state of what could cure a held host.
    Evidence {
        /// The holding it was asked for.
        epoch: u64,
        /// Changes with known hosts, keys, configuration.
        stamp: u64,
    },
}
