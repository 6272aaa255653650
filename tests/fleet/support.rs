//! What the trials stand on: the fleet, its hosts, and things put in between.

// Not every verb is used by a trial at all times.
#![allow(dead_code)]

pub mod away;
pub mod commands;
pub mod conversation;
pub mod docker;
pub mod effects;
pub mod embedded;
pub mod fake_engine;
pub mod fleet;
pub mod framer;
pub mod host;
pub mod leaks;
pub mod listed;
pub mod mcp_client;
pub mod places;
pub mod processes;
pub mod recorder;
pub mod schemas;
pub mod script;
pub mod service;
pub mod slow_proxy;
pub mod tcp;
pub mod trials;
pub mod wait;
pub mod wire;
pub mod witnesses;

pub use away::Away;
pub use commands::Commands;
pub use docker::Docker;
pub use embedded::Embedded;
pub use fleet::Fleet;
pub use host::Host;
pub use mcp_client::ToolAnswer;
pub use service::{Service, ServiceConfig};
pub use slow_proxy::SlowProxy;
pub use wait::{eventually, wait_for};

/// The image every host has: busybox with all its applets, nothing else.
pub const IMAGE: &str = "fleet/busybox:1";

/// How the names of all temporary files begin that this process makes: what is left can be told
/// from what others on this machine have.
pub fn mark() -> String {
    mark_of(std::process::id())
}

/// The same of another process.
pub fn mark_of(pid: u32) -> String {
    format!("dm{pid}-")
}

/// A directory that goes when it is dropped. Its path is short: a socket's ends at 108 characters.
pub fn temp_dir() -> tempfile::TempDir {
    tempfile::Builder::new().prefix(&mark()).tempdir_in("/tmp").expect("a directory")
}

/// A runtime of its own for what must go on while a trial blocks its thread. It ends at
/// once when dropped, also inside a trial's async code, where tokio would refuse to wait.
pub struct Background(Option<tokio::runtime::Runtime>);

impl Background {
    /// Starts the runtime with one worker thread.
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime for a proxy");
        Self(Some(runtime))
    }

    /// Where to spawn.
    pub fn handle(&self) -> &tokio::runtime::Handle {
        self.0.as_ref().expect("running until dropped").handle()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
