//! A host's actor: keeps the line to one engine.
//!
//! * owns: the host's state machine, its link, the one connect attempt, its timers
//! * waits on: nothing; connecting, the link's life and probes are child actors
//! * when it dies: its children die with it (the ssh process with them); its supervisor starts
//!   the next incarnation, which connects anew; its entry in the directory stays

mod actor;
mod context;
mod follow;
mod handle;
pub(crate) mod machine;
mod messages;
#[cfg(test)]
mod properties;

pub use actor::{HostArguments, child_spec};
pub use follow::Known;
pub(in crate::actors) use follow::Shelf;
pub use handle::{HostError, HostHandle, LastAnswer, Published, Session};
pub use machine::{Attempt, Unavailable};
pub use messages::HostMessage;
