//! Supervision: OTP's rules, as a pure core under a thin shell of ractor.

mod core;
#[cfg(test)]
mod properties;
mod shell;
mod spec;
#[cfg(test)]
mod tests;

pub use self::core::ChildPhase;
pub use shell::{ChildInfo, OnQuarantine, Strategy, SupervisorArguments, SupervisorHandle, start_root};
pub use spec::{ChildSpec, Excess, Restart, StartChild};

/// The kinds of messages of a supervisor, so that tests cannot forget one.
#[cfg(test)]
pub(crate) const KINDS: &[&str] = <shell::SupervisorMessage as strum::VariantNames>::VARIANTS;
