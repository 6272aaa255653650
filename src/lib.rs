//! Dockmaster.

pub mod compose;
pub mod config;
pub mod domain;
pub mod engine;
pub mod runtime;
pub mod transport;
