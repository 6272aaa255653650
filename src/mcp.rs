//! Floor 5: the Model Context Protocol. The only floor that names `rmcp`; tools decide nothing
//! about hosts, they ask the actors' handles and shape the answers.

mod audit;
mod error;
mod fleet;
mod job;
mod keys;
mod page;
mod policy;
mod registry;
mod resources;
mod server;
mod shape;
mod stdio;
mod tools;
mod transport;

pub use registry::{Effect, Registry, ToolContext, ToolOutput};
pub use server::Principal;
pub use transport::{http_service, serve_peer, serve_stdio};
