//! Dockmaster.

pub mod domain;
pub mod runtime;
