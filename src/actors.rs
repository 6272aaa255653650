//! Floor 4: the actors. The only floor that names `ractor`; `actors.md` is its map.
//!
//! ```text
//! RootSupervisor                 one_for_one, 5 restarts in 60 s, then exit code 70
//! ├─ ReaperActor                 permanent; lets go of what operations left behind
//! ├─ HostSupervisor              dynamic one_for_one, intensity counted per host
//! │   └─ HostActor NAME          permanent; 3 crashes in 60 s and it is quarantined, alone
//! │       ├─ ConnectActor        temporary, at most one
//! │       ├─ LinkActor           temporary, one per link
//! │       ├─ ProbeActor          temporary, at most one
//! │       └─ OperationActor      temporary, one per operation, at most 16
//! │   └─ SocketActor NAME        permanent; the host's local socket, which outlives its HostActor
//! ├─ ConfigActor                 permanent; desired hosts against actual ones
//! └─ McpActor                    permanent; requests in flight and listeners
//! ```
//!
//! The temporary ones are [`task`]s: an actor around one future, so that its panic is an event and
//! a kill reaches it.

pub mod admin;
mod ask;
pub mod changes;
pub mod config;
pub mod directory;
pub mod exec;
pub mod host;
pub mod journal;
pub mod mcp;
pub mod operation;
pub mod reaper;
pub mod slot;
pub mod socket;
pub mod supervision;
pub mod task;
pub mod tree;
#[cfg(test)]
pub(crate) mod trip;
