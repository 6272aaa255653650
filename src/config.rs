//! Floor 3: the configuration: files, environment and flags, merged with the origin of each value.
//!
//! The only floor that names `serde_yaml` and `notify`.

mod accept;
mod env;
mod error;
pub mod init;
mod load;
mod places;
mod schema;
pub mod show;
mod watch;

pub use accept::{Hosts, Verdict, judge};
pub use env::Environment;
pub use error::ConfigError;
pub use load::{Origin, Settings, Sourced, Sources, Warning, load};
pub use watch::{stamp, watch};
