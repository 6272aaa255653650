//! Floor 5: the Model Context Protocol. The only floor that names `rmcp`; tools decide nothing
//! about hosts, they ask the actors' handles and shape the answers.

mod attention;
mod audit;
mod caller;
mod compat;
mod consent;
mod container_path;
mod deed;
mod elicit;
mod error;
mod fleet;
mod job;
mod keys;
mod list;
mod logs;
mod offered;
mod outdated;
mod page;
mod policy;
mod registry;
mod resources;
mod rollout;
mod schema;
mod sections;
mod server;
mod shape;
mod stdio;
mod tool;
mod tools;
mod transport;

pub use caller::{Caller, Progress};
pub use consent::{Asking, Consent, Question, Response, Said, Wants};
pub use offered::UnknownTool;
pub use registry::Registry;
pub use server::{Principal, catalogue};
pub use tool::{Effect, ToolContext, ToolOutput};
pub use transport::{http_service, serve_peer, serve_stdio};
