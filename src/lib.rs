//! Dockmaster.

pub mod compose;
pub mod domain;
pub mod engine;
pub mod runtime;
pub mod transport;
