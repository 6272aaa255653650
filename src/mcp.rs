//! Floor 5: the Model Context Protocol. The only floor that names `rmcp`; tools decide nothing
//! about hosts, they ask the actors' handles and shape the answers.

mod error;
mod fleet;
mod page;
mod policy;
mod registry;
mod server;
mod shape;
mod stdio;
mod tools;
mod transport;

pub use registry::{Effect, Registry, ToolContext, ToolOutput};
pub use transport::{http_service, serve_stdio};
