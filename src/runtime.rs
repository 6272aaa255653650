//! Floor 1: what every floor above needs of time, directories and logs. Knows tokio, not Docker.

pub mod backoff;
pub mod clock;
pub mod container;
pub mod dirs;
pub mod failpoint;
pub mod lock;
pub mod permits;
pub mod restart_window;
pub mod sockets;
pub mod telemetry;
