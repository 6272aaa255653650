//! Changes: what is done to hosts on the record, from the wish to its end, through whatever comes between.
//!
//! * a change is put on record before anything is done, and each step before it is made
//! * an attendant, a task of the Reaper's, sees to it that the change gets to its end: over the line there
//!   is, and over the next one when that breaks, and after a crash of ours
//! * the work itself is an operation of the host's actor

mod attend;
mod desk;
mod drive;
mod live;
mod means;
mod rollout;

pub(super) use attend::attend;
pub use desk::{ChangeDesk, ChangeError, Wish};
pub use live::Live;
#[cfg(test)]
pub(crate) use means::OtherHost;
pub(super) use rollout::roll_out;
pub use rollout::{NewRollout, Part, Rollout, RolloutRecord, Rollouts, Target};
