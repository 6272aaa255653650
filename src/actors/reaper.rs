//! The Reaper: lets go of what operations could not let go of themselves.
//!
//! * owns: one task per ledger that was handed over; the ledgers themselves lie in its handle
//! * waits on: nothing; its tasks wait for a line to the host
//! * when it dies: no ledger is lost, its successor starts with all of them

mod actor;
mod handle;

pub use actor::reaper_spec;
pub use handle::{ReaperHandle, ReaperMessage};
