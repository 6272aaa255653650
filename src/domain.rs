//! Floor 0: types and rules. No async, no I/O, no protocol of the outside world.

pub mod change;
pub mod container;
pub mod context;
pub mod excerpt;
pub mod fault;
pub mod host;
pub mod image;
pub mod log;
pub mod operation;
pub mod output;
pub mod pattern;
pub mod phase;
pub mod policy;
pub mod ports;
pub mod protection;
pub mod redact;
pub mod retry;
pub mod run;
pub mod saga;
pub mod selector;
pub mod stack;
pub mod suggest;
pub mod target;
pub mod text;
pub mod thing;
pub mod toolset;
