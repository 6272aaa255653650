//! The journal's actor: the single writer.
//!
//! * owns: the open database, and the entries that wait for it; a task commits them, all that have come
//!   meanwhile in one transaction
//! * waits on: nothing
//! * when it dies: what was acknowledged is on disk; what was not is sent again to its successor

mod actor;
mod handle;

pub use actor::journal_spec;
pub use handle::{JournalHandle, JournalMessage};
