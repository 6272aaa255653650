//! Dockmaster.

pub mod domain;
pub mod runtime;
pub mod transport;
