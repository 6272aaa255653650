//! Faults in a configuration file, shown as an editor would show them.

use std::fmt;
use std::path::{Path, PathBuf};

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A named file does not exist.
    #[error("{named_by} names {}, which does not exist. Create it (dockmaster init) or name another file.", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
        /// `--config` or the variable.
        named_by: &'static str,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why, with what to do.
        why: String,
    },
    /// A file's content is wrong.
    #[error("{0}")]
    Invalid(Box<Spot>),
    /// A variable's or flag's value is wrong.
    #[error("{name}={value:?} cannot be used: {why}")]
    Value {
        /// The variable or flag.
        name: &'static str,
        /// Its value.
        value: String,
        /// What is wrong and what to write.
        why: String,
    },
}

/// A place in a file and what is wrong there.
#[derive(Debug)]
pub struct Spot {
    path: PathBuf,
    line: usize,
    column: usize,
    text: String,
    message: String,
}

/// A line shown in a message is cut here.
const LONGEST_SHOWN: usize = 120;

impl Spot {
    /// The place that `error` names in `source`, the text of the file at `path`. `hints` are added
    /// to the message.
    pub(super) fn new(path: &Path, source: &str, error: &serde_yaml::Error, hints: &[String]) -> Self {
        let (line, column) = error.location().map_or((0, 0), |at| (at.line(), at.column()));
        let text = line.checked_sub(1).and_then(|at| source.lines().nth(at)).unwrap_or_default();
        let mut message = error.to_string();
        // The place is shown in front; serde_yaml repeats it at the end.
        if let Some(at) = message.rfind(" at line ") {
            message.truncate(at);
        }
        for hint in hints {
            message.push_str("; ");
            message.push_str(hint);
        }
        let text = text.chars().take(LONGEST_SHOWN).collect();
        Self { path: path.to_owned(), line, column, text, message }
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return write!(f, "{}: {}", self.path.display(), self.message);
        }
        let (line, column) = (self.line, self.column);
        writeln!(f, "{}:{line}:{column}: {}", self.path.display(), self.message)?;
        // A secret may stand in the line; the caret still shows where to look.
        writeln!(f, "{line:>5} | {}", crate::domain::redact::file(&self.text))?;
        write!(f, "      | {:>column$}", "^")
    }
}
