//! Faults of a configuration, shown as an editor would show them, and all at once.

use std::fmt;
use std::path::{Path, PathBuf};

/// Everything that is wrong with a configuration; at least one fault.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError {
    faults: Vec<ConfigFault>,
}

impl ConfigError {
    /// `Err` with the faults, if there are any.
    pub(super) fn unless_none(faults: Vec<ConfigFault>) -> Result<(), Self> {
        if faults.is_empty() { Ok(()) } else { Err(Self { faults }) }
    }

    /// These faults, of which there is at least one.
    pub(super) fn of(faults: Vec<ConfigFault>) -> Self {
        Self { faults }
    }

    /// What is wrong, in the order of the files and their lines.
    pub fn faults(&self) -> &[ConfigFault] {
        &self.faults
    }
}

impl From<ConfigFault> for ConfigError {
    fn from(fault: ConfigFault) -> Self {
        Self { faults: vec![fault] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each: Vec<String> = self.faults.iter().map(ToString::to_string).collect();
        f.write_str(&each.join("\n"))
    }
}

/// One thing that is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigFault {
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

impl ConfigFault {
    /// What is wrong, without where, for a fault of a file's content.
    pub(super) fn message(&self) -> Option<&str> {
        match self {
            Self::Invalid(spot) => Some(&spot.message),
            _ => None,
        }
    }
}

/// A place in a file and what is wrong there.
#[derive(Debug)]
pub struct Spot {
    path: PathBuf,
    /// Line and column, from 1, where the fault has a place.
    place: Option<(usize, usize)>,
    line: String,
    message: String,
}

/// A line shown in a message is cut here.
const LONGEST_SHOWN: usize = 120;

/// Lines as YAML 1.1 counts them: a lone return and Unicode's separators end one too.
fn yaml_lines(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(at) = text.find(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']) else {
            return rest.take();
        };
        let (line, after) = text.split_at(at);
        let end = if after.starts_with("\r\n") { 2 } else { after.chars().next().map_or(0, char::len_utf8) };
        rest = Some(&after[end..]);
        Some(line)
    })
}

impl Spot {
    /// What is wrong at `place` (line and column from 1) of `source`, the text of the file at `path`.
    pub(super) fn new(path: &Path, source: &str, place: Option<(usize, usize)>, message: &str) -> Self {
        let line =
            place.and_then(|(line, _)| yaml_lines(source).nth(line.checked_sub(1)?)).unwrap_or_default();
        let line = line.chars().take(LONGEST_SHOWN).collect();
        // Keys of the file stand in the message, and may hold anything.
        let message = crate::domain::text::clean(message).replace(['\n', '\t'], " ");
        Self { path: path.to_owned(), place, line, message }
    }

    /// What `serde_yaml` found wrong with the syntax of `source`.
    pub(super) fn of_syntax(path: &Path, source: &str, error: &serde_yaml::Error) -> Self {
        let mut message = error.to_string();
        // The place is shown in front; serde_yaml repeats it at the end.
        if let Some(at) = message.find(" at line ") {
            message.truncate(at);
        }
        if message.contains("more than one document") {
            let words = "it holds more than one document (a line --- starts another); a hosts file is one";
            return Self::new(path, source, None, words);
        }
        let place = error.location().map(|at| (at.line(), at.column()));
        let spot = Self::new(path, source, place, &message);
        let indentation = spot.line.chars().take_while(|c| c.is_whitespace());
        if indentation.into_iter().any(|c| c == '\t') {
            let message =
                "this line is indented by a tab. YAML is indented by spaces: write two for each step.";
            return Self { message: message.to_owned(), ..spot };
        }
        spot
    }
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((line, column)) = self.place else {
            return write!(f, "{}: {}", self.path.display(), self.message);
        };
        writeln!(f, "{}:{line}:{column}: {}", self.path.display(), self.message)?;
        // A secret may stand in the line; the caret still shows where to look.
        let shown = crate::domain::redact::file(&self.line).replace('\t', " ");
        writeln!(f, "{line:>5} | {}", crate::domain::text::clean(&shown))?;
        write!(f, "      | {:>column$}", "^")
    }
}
