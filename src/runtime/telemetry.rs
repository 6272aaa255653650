//! Logs. They go to standard error only: under `stdio` standard output belongs to the protocol.

use std::io::IsTerminal as _;
use tracing_subscriber::filter::{EnvFilter, LevelFilter};

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Everything, for finding faults.
    Debug,
    /// What an operator wants to know.
    Info,
    /// What an operator should look at.
    Warning,
    /// What failed.
    Error,
}

/// A word that is no log level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no log level: write DEBUG, INFO, WARNING or ERROR")]
pub struct InvalidLogLevel(String);

impl std::str::FromStr for LogLevel {
    type Err = InvalidLogLevel;

    /// Reads the names of the predecessor (`DEBUG`, `INFO`, `WARNING`, `ERROR`, also `WARN` and
    /// `CRITICAL`) in any case.
    fn from_str(text: &str) -> Result<Self, InvalidLogLevel> {
        match text.to_ascii_uppercase().as_str() {
            "DEBUG" | "TRACE" => Ok(Self::Debug),
            "INFO" => Ok(Self::Info),
            "WARNING" | "WARN" => Ok(Self::Warning),
            "ERROR" | "CRITICAL" => Ok(Self::Error),
            _ => Err(InvalidLogLevel(text.chars().take(40).collect())),
        }
    }
}

impl std::fmt::Display for LogLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Debug => "DEBUG",
            Self::Info => "INFO",
            Self::Warning => "WARNING",
            Self::Error => "ERROR",
        })
    }
}

impl LogLevel {
    fn filter(self) -> LevelFilter {
        match self {
            Self::Debug => LevelFilter::DEBUG,
            Self::Info => LevelFilter::INFO,
            Self::Warning => LevelFilter::WARN,
            Self::Error => LevelFilter::ERROR,
        }
    }
}

/// Starts logging to standard error: readable lines on a terminal, JSON where something collects
/// them. The level applies to Dockmaster; libraries speak from `WARNING` on. Calling it again
/// changes nothing.
pub fn init(level: LogLevel) {
    let own = level.filter();
    let others = own.min(LevelFilter::WARN);
    let filter = EnvFilter::new(format!("{others},dockmaster={own}"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // An error here means that a subscriber is set already, which is what was asked for.
    let _ = if std::io::stderr().is_terminal() {
        builder.with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).with_ansi(false).try_init()
    };
}
