//! Dockmaster keeps a supervised, always-on line to every Docker host a person owns, and gives it
//! to AI assistants over the Model Context Protocol.
//!
//! # Floors
//!
//! A module imports lower floors only; `tests/layering.rs` holds it to that.
//!
//! ```text
//! 6  cli  app                            wiring only
//! 5  mcp  http  control                  front: protocol in, protocol out
//! 4  actors                              the only floor that names `ractor`
//! 3  engine  compose  changes            siblings (compose and changes use engine)
//!    config  contexts  journal
//! 2  transport                           ssh and local sockets: byte streams, commands, files
//! 1  runtime                             waits, clock, directories, logs; knows tokio, not Docker
//! 0  domain                              types and rules; no async, no I/O
//! ```
//!
//! Start reading at [`app::App`], which builds the tree; `actors.md` is the map of the actors.

pub mod actors;
pub mod app;
pub mod changes;
pub mod cli;
pub mod compose;
pub mod config;
pub mod contexts;
pub mod control;
pub mod domain;
pub mod engine;
pub mod http;
pub mod journal;
pub mod mcp;
pub mod runtime;
pub mod transport;
