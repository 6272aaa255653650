//! Changes of hosts in the files that define them.

use super::edit::{Fields, HostEdit, Inexpressible, apply};
use super::error::{ConfigError, ConfigFault};
use super::load::{Origin, Settings, Sources, load};
use super::write::{WriteError, lock, replace, target};
use super::{Environment, confirm, places, read};
use crate::domain::host::{HostId, HostSpec};
use crate::domain::policy::Policy;
use crate::domain::suggest::did_you_mean;
use std::path::{Path, PathBuf};

/// Why a change was not made; the file is as it was.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The configuration is faulty as it is.
    #[error("the configuration is faulty as it is; mend it first:\n{0}")]
    Faulty(ConfigError),
    /// With the change it would be.
    #[error("nothing was changed, because the file would be faulty:\n{0}")]
    WouldBeFaulty(ConfigError),
    /// There is no host of this name.
    #[error("there is no host {id}.{suggestion}")]
    Unknown {
        /// As given.
        id: HostId,
        /// " Did you mean …?" or nothing.
        suggestion: String,
    },
    /// There is a host of this name.
    #[error("there is a host {id} already, in {origin}; change it, or choose another name")]
    Exists {
        /// The name.
        id: HostId,
        /// Where it is defined.
        origin: Origin,
    },
    /// It stands in no file.
    #[error("{id} stands in no file: it was found on this machine because no host is configured")]
    Discovered {
        /// The host.
        id: HostId,
    },
    /// There is no place for a new file.
    #[error("no home directory is known. Name a file with --config.")]
    NoHome,
    /// The file cannot be changed so that nothing else changes.
    #[error("{} was not changed for {id}: {why}. Edit it yourself; a running Dockmaster notices.", path.display())]
    Inexpressible {
        /// The file.
        path: PathBuf,
        /// The host.
        id: HostId,
        /// Why.
        why: String,
    },
    /// An assistant would loosen what the file says.
    #[error("{id} is held to {held} by its file, and over MCP a policy is only ever tightened")]
    Loosens {
        /// The host.
        id: HostId,
        /// What the file says.
        held: Policy,
    },
    /// The file could not be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

/// A change that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    /// The file.
    pub path: PathBuf,
    /// Whether it says something else than before.
    pub changed: bool,
    /// After a removal: a weaker file that defines a host of the same name, which now counts.
    pub uncovered: Option<Origin>,
}

/// On whose behalf a file is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authority {
    /// A person, who may do anything.
    Person,
    /// An assistant, who may not loosen what the file says of a host.
    Assistant,
}

/// Makes `edit` in the file that defines its host; a new host goes to the file that `--config` names,
/// else to the user's own. A running service believes the change even when it takes a file's last host
/// away.
pub fn edit(sources: &Sources, edit: &HostEdit, who: Authority) -> Result<Edited, EditError> {
    let settings = load(sources).map_err(EditError::Faulty)?;
    let path = target(&file_of(sources, &settings, edit)?);
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(|source| WriteError::Io { path: path.clone(), source })?;
    }
    let _lock = lock(&path)?;
    let Draft { base, new, before, after } = draft(sources, &path, edit)?;
    // What the service knows may be older than the file.
    if let (Authority::Assistant, Some(before), Some(after)) = (who, &before, &after)
        && after.policy < before.policy
    {
        return Err(EditError::Loosens { id: edit.id().clone(), held: before.policy });
    }
    let changed = base.as_deref() != Some(new.as_str());
    if changed {
        confirm::note(sources, &path, Some(new.as_bytes()))?;
        replace(&path, base.as_deref().map(str::as_bytes), new.as_bytes())?;
    }
    let uncovered = match edit {
        HostEdit::Remove { id } => {
            load(sources).ok().and_then(|settings| Some(settings.hosts.get(id)?.origin.clone()))
        }
        _ => None,
    };
    Ok(Edited { path, changed, uncovered: uncovered.filter(|origin| *origin != Origin::Discovered) })
}

/// The host as it would be after `edit`; nothing is changed.
pub fn preview(sources: &Sources, edit: &HostEdit) -> Result<Option<HostSpec>, EditError> {
    let settings = load(sources).map_err(EditError::Faulty)?;
    let path = target(&file_of(sources, &settings, edit)?);
    Ok(draft(sources, &path, edit)?.after)
}

/// A file before and after a change, with what it says of the host.
struct Draft {
    base: Option<String>,
    new: String,
    before: Option<HostSpec>,
    after: Option<HostSpec>,
}

fn draft(sources: &Sources, path: &Path, edit: &HostEdit) -> Result<Draft, EditError> {
    let faulty = |fault| EditError::Faulty(ConfigError::from(fault));
    let base = read::read_text(path).map_err(faulty)?;
    let new = apply(base.as_deref().unwrap_or_default(), edit).map_err(|why: Inexpressible| {
        EditError::Inexpressible { path: path.to_owned(), id: edit.id().clone(), why: why.to_string() }
    })?;
    let host = |text: &str| {
        let reading = read::parse(path, text, &sources.environment)?;
        Ok(reading.file.hosts.and_then(|mut hosts| hosts.0.remove(edit.id())))
    };
    let before = host(base.as_deref().unwrap_or_default()).ok().flatten();
    let after = match host(&new) {
        Ok(after) => after,
        Err(found) => return Err(EditError::WouldBeFaulty(ConfigError::of(found))),
    };
    Ok(Draft { base, new, before, after })
}

/// The weaker file that defines the host `id` too, and would count if the stronger one did not.
pub fn other_definition(sources: &Sources, id: &HostId) -> Option<Origin> {
    let found = read::definitions(sources, id);
    found.len().checked_sub(2).and_then(|at| found.get(at)).cloned().map(Origin::File)
}

/// What is wrong with a host that somebody describes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{id} makes no host: {why}")]
pub struct InvalidHost {
    id: HostId,
    why: String,
}

/// The host that `fields` make, by the rules of a hosts file.
pub fn spec_of(id: &HostId, fields: &Fields) -> Result<HostSpec, InvalidHost> {
    let invalid = |why: String| InvalidHost { id: id.clone(), why };
    let add = HostEdit::Add { id: id.clone(), fields: fields.clone() };
    let text = apply("", &add).map_err(|why| invalid(why.to_string()))?;
    let read = read::parse(Path::new(""), &text, &Environment::default());
    let reading = read.map_err(|faults| {
        let messages: Vec<&str> = faults.iter().filter_map(ConfigFault::message).collect();
        invalid(messages.join("; "))
    })?;
    let mut hosts = reading.file.hosts.unwrap_or_default().0;
    hosts.remove(id).ok_or_else(|| invalid("nothing is said about it".to_owned()))
}

/// The file that `edit` changes.
fn file_of(sources: &Sources, settings: &Settings, edit: &HostEdit) -> Result<PathBuf, EditError> {
    let id = edit.id().clone();
    let origin = settings.hosts.get(&id).map(|host| host.origin.clone());
    match (edit, origin) {
        (HostEdit::Add { .. }, Some(origin)) if origin != Origin::Discovered => {
            Err(EditError::Exists { id, origin })
        }
        (HostEdit::Add { .. }, _) => places::file_for_new_hosts(sources).ok_or(EditError::NoHome),
        (_, Some(Origin::File(path))) => Ok(path),
        (_, Some(_)) => Err(EditError::Discovered { id }),
        (_, None) => {
            let known = settings.hosts.keys().map(HostId::as_str);
            let suggestion = did_you_mean(id.as_str(), known);
            Err(EditError::Unknown { id, suggestion })
        }
    }
}
