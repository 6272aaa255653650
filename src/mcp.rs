//! Floor 5: the Model Context Protocol. The only floor that names `rmcp`; tools decide nothing
//! about hosts, they ask the actors' handles and shape the answers.

mod audit;
mod caller;
mod error;
mod fleet;
mod job;
mod keys;
mod logs;
mod page;
mod pattern;
mod policy;
mod registry;
mod resources;
mod server;
mod shape;
mod stdio;
mod tools;
mod transport;

pub use caller::{Caller, Progress};
pub use registry::{Effect, Registry, ToolContext, ToolOutput, UnknownTool};
pub use server::{Principal, catalogue};
pub use transport::{http_service, serve_peer, serve_stdio};
