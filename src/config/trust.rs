//! Projects whose `config/hosts.yml` and `.env` are read where a client starts Dockmaster in whatever
//! directory is open: those that their owner named once.

use super::write::{WriteError, lock_ours, replace};
use std::path::{Path, PathBuf};

fn list(data_dir: &Path) -> PathBuf {
    data_dir.join("trusted-projects")
}

/// The directories that are trusted.
pub fn trusted(data_dir: &Path) -> Vec<PathBuf> {
    let text = std::fs::read_to_string(list(data_dir)).unwrap_or_default();
    text.lines().filter(|line| !line.is_empty()).map(PathBuf::from).collect()
}

/// Whether the files of `project` are read.
pub fn is_trusted(data_dir: &Path, project: &Path) -> bool {
    project.canonicalize().is_ok_and(|project| trusted(data_dir).contains(&project))
}

/// Trusts `project`, or trusts it no longer; returns its full path.
pub fn set_trusted(data_dir: &Path, project: &Path, trust: bool) -> Result<PathBuf, WriteError> {
    let project = match project.canonicalize() {
        Ok(project) => project,
        // One that is gone can still be trusted no longer.
        Err(_) if !trust => std::path::absolute(project).unwrap_or_else(|_| project.to_owned()),
        Err(source) => return Err(WriteError::Io { path: project.to_owned(), source }),
    };
    if project.to_str().is_none_or(|name| name.contains('\n')) {
        let source = std::io::Error::other(
            "a directory of such a name (not UTF-8, or with a line feed) cannot be trusted",
        );
        return Err(WriteError::Io { path: project, source });
    }
    let path = list(data_dir);
    let _lock = lock_ours(&path)?;
    let before = std::fs::read_to_string(&path).ok();
    let mut directories = trusted(data_dir);
    directories.retain(|known| *known != project);
    if trust {
        directories.push(project.clone());
    }
    let lines: Vec<String> = directories.iter().map(|directory| directory.display().to_string()).collect();
    replace(&path, before.as_deref().map(str::as_bytes), (lines.join("\n") + "\n").as_bytes())?;
    Ok(project)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_trusted_by_its_full_path_until_it_is_no_longer() {
        let (data, project) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let link = data.path().join("link");
        std::os::unix::fs::symlink(project.path(), &link).unwrap();
        assert!(!is_trusted(data.path(), project.path()));
        set_trusted(data.path(), &link, true).unwrap();
        assert!(is_trusted(data.path(), project.path()));
        assert!(!is_trusted(data.path(), data.path()));
        set_trusted(data.path(), project.path(), false).unwrap();
        assert!(!is_trusted(data.path(), &link));
    }
}
