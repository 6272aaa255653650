//! Floor 3: the configuration: files, environment and flags, merged with the origin of each value.
//!
//! The only floor that names `serde_yaml`, `yaml_edit` and `notify`.

mod accept;
pub mod confirm;
mod document;
mod edit;
mod env;
mod error;
mod expand;
mod fields;
mod findings;
mod hosts;
pub mod import;
pub mod init;
mod load;
mod places;
mod read;
mod schema;
pub mod show;
pub mod tombstones;
pub mod trust;
mod watch;
mod write;

pub use accept::{Hosts, Verdict, judge};
pub use edit::{FieldValue, Fields, HostEdit, HostKey, UnknownKey};
pub use env::Environment;
pub use error::{ConfigError, ConfigFault};
pub use fields::WatchMode;
pub use hosts::{
    Authority, EditError, Edited, InvalidHost, edit as edit_host, other_definition, preview, spec_of,
};
pub use load::{Origin, Settings, Sourced, Sources, Warning, load};
pub use schema::json_schema;
pub use watch::{stamp, watch};
pub use write::WriteError;
