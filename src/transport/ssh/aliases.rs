//! The hosts of an ssh configuration: the aliases that the files name, each resolved by ssh itself.
//!
//! The files are read for names only; what a name means is `ssh -G`'s to say, because only OpenSSH
//! knows all of its rules. It runs what `Match exec` names, as every login does.

use super::options::SshSettings;
use crate::domain::host::{Hostname, LoginName};
use crate::transport::{Command, process};
use globset::Glob;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// OpenSSH's own limit for nested `Include`s.
const DEEPEST_INCLUDE: usize = 16;

/// A host of an ssh configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// The name on the `Host` line.
    pub name: Hostname,
    /// Where it leads.
    pub hostname: Hostname,
    /// Who logs in: whom `ssh ALIAS` would, which without a `User` is the local user.
    pub user: LoginName,
    /// The port.
    pub port: u16,
}

/// The names on the `Host` lines of `file` and what it includes, in order, each once. Patterns and
/// negations name no host.
pub fn aliases(file: &Path) -> Vec<Hostname> {
    let mut names = Vec::new();
    collect(file, 0, &mut names);
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

fn collect(file: &Path, depth: usize, names: &mut Vec<Hostname>) {
    // A file that cannot be read names nobody; ssh itself says more when it is used.
    let Ok(text) = std::fs::read_to_string(file) else { return };
    for line in text.lines() {
        let Some((keyword, words)) = keyword_and_words(line) else { continue };
        match keyword.as_str() {
            "host" => names.extend(words.iter().filter_map(|word| plain_name(word))),
            "include" if depth < DEEPEST_INCLUDE => {
                for included in words.iter().flat_map(|word| included_files(file, word)) {
                    collect(&included, depth + 1, names);
                }
            }
            _ => {}
        }
    }
}

/// A line as ssh reads it: a keyword, an optional `=`, words with double quotes.
fn keyword_and_words(line: &str) -> Option<(String, Vec<String>)> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let end = line.find(|c: char| c.is_whitespace() || c == '=')?;
    let (keyword, rest) = line.split_at(end);
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in rest.trim().chars() {
        match c {
            '"' => quoted = !quoted,
            c if c.is_whitespace() && !quoted => words.push(String::new()),
            c => words.last_mut()?.push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    Some((keyword.to_ascii_lowercase(), words))
}

fn plain_name(word: &str) -> Option<Hostname> {
    if word.starts_with('!') || word.contains(['*', '?']) { None } else { word.parse().ok() }
}

/// The files an `Include` means: below `~/.ssh` when relative, `~` and wildcards in the last part expanded.
fn included_files(file: &Path, word: &str) -> Vec<PathBuf> {
    let home = etcetera::home_dir().unwrap_or_default();
    let base = file.parent().unwrap_or(Path::new("/")).to_owned();
    let path = match word.strip_prefix("~/") {
        Some(rest) => home.join(rest),
        None => base.join(word),
    };
    if !word.contains(['*', '?', '[']) {
        return vec![path];
    }
    let (Some(directory), Some(Ok(glob))) =
        (path.parent(), path.file_name().and_then(|name| name.to_str()).map(Glob::new))
    else {
        return vec![];
    };
    let matcher = glob.compile_matcher();
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> =
        entries.filter(|entry| matcher.is_match(entry.file_name())).map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// What ssh makes of an alias; `None` when it sets no `HostName` of its own, or ssh refuses it.
pub async fn resolve(settings: &SshSettings, name: &Hostname) -> Option<Alias> {
    let mut argv = vec!["ssh".to_owned(), "-G".to_owned()];
    if let Some(config) = &settings.config {
        argv.extend(["-F".to_owned(), config.display().to_string()]);
    }
    argv.extend(["--".to_owned(), name.to_string()]);
    let output = process::run(&Command::new(argv)).await.ok().filter(|output| output.status == Some(0))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let value = |key: &str| {
        let mut pairs = text.lines().filter_map(|line| line.split_once(' '));
        pairs.find(|(found, _)| *found == key).map(|(_, value)| value)
    };
    let hostname: Hostname = value("hostname")?.parse().ok()?;
    if hostname == *name {
        return None;
    }
    let user = value("user").and_then(|user| user.parse().ok()).or_else(|| "root".parse().ok())?;
    Some(Alias { name: name.clone(), hostname, user, port: value("port")?.parse().ok()? })
}
