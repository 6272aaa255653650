//! The hosts of an ssh configuration: the aliases that the files name, each resolved by ssh itself.
//!
//! The files are read for names only; what a name means is `ssh -G`'s to say, because only OpenSSH
//! knows all of its rules. It runs what `Match exec` names, as every login does.

use super::options::{SshSettings, destination};
use crate::domain::host::{Hostname, LoginName, SshTarget};
use crate::transport::{Command, process};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// OpenSSH's own limit for nested `Include`s.
const DEEPEST_INCLUDE: usize = 16;

/// More files than this are a configuration that includes itself.
const MOST_FILES: usize = 256;

/// More names than this are no person's hosts; each costs a run of ssh.
const MOST_NAMES: usize = 1000;

/// A larger file is no ssh configuration.
const LARGEST_FILE: u64 = 4 << 20;

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
    /// The private key, when the configuration names just one.
    pub identity_file: Option<PathBuf>,
    /// Whether the way leads over another host or through a program.
    pub proxied: bool,
}

/// A name on a `Host` line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The name.
    pub name: Hostname,
    /// Whether a block that names it has a `HostName` of its own.
    pub has_hostname: bool,
}

/// The names on the `Host` lines of `file` and what it includes, in order, each once. Patterns and
/// negations name no host. `ssh_dir` is where relative `Include`s lead (`~/.ssh`).
pub fn aliases(file: &Path, ssh_dir: &Path) -> Vec<Listed> {
    let mut reader = Reader { ssh_dir, files: 0, listed: vec![], places: HashMap::new() };
    reader.read(file, 0);
    reader.listed
}

/// The names on the `Host` lines of one file's text, whatever it includes.
pub fn aliases_in(text: &str) -> Vec<Listed> {
    let (ssh_dir, places) = (Path::new("/nonexistent"), HashMap::new());
    let mut reader = Reader { ssh_dir, files: MOST_FILES, listed: vec![], places };
    reader.read_lines(text, DEEPEST_INCLUDE);
    reader.listed
}

struct Reader<'a> {
    ssh_dir: &'a Path,
    /// How many files were read.
    files: usize,
    listed: Vec<Listed>,
    /// Where in the list each name stands.
    places: HashMap<Hostname, usize>,
}

impl Reader<'_> {
    fn read(&mut self, file: &Path, depth: usize) {
        self.files += 1;
        let plain = std::fs::metadata(file).is_ok_and(|file| file.is_file() && file.len() <= LARGEST_FILE);
        // A file that cannot be read names nobody; ssh itself says more when it is used.
        if plain && let Ok(bytes) = std::fs::read(file) {
            self.read_lines(&String::from_utf8_lossy(&bytes), depth);
        }
    }

    fn read_lines(&mut self, text: &str, depth: usize) {
        // Where in the list the names of the block stand that is being read.
        let mut block: Vec<usize> = Vec::new();
        for line in text.lines() {
            let Some((keyword, words)) = keyword_and_words(line) else { continue };
            match keyword.as_str() {
                "host" => {
                    let names = words.iter().filter_map(|word| plain_name(word));
                    block = names.filter_map(|name| self.list(name)).collect();
                }
                "match" => block.clear(),
                "hostname" => block.iter().for_each(|at| self.listed[*at].has_hostname = true),
                "include" if depth < DEEPEST_INCLUDE => {
                    for included in words.iter().flat_map(|word| included_files(self.ssh_dir, word)) {
                        if self.files < MOST_FILES {
                            self.read(&included, depth + 1);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// The place of a name in the list, which it is put into once; none when the list is full.
    fn list(&mut self, name: Hostname) -> Option<usize> {
        if let Some(at) = self.places.get(&name) {
            return Some(*at);
        }
        let at = self.listed.len();
        if at == MOST_NAMES {
            return None;
        }
        self.places.insert(name.clone(), at);
        self.listed.push(Listed { name, has_hostname: false });
        Some(at)
    }
}

/// A line as ssh reads it: a keyword, an optional `=`, words. `None` for a line that says nothing or
/// that ssh would refuse.
fn keyword_and_words(line: &str) -> Option<(String, Vec<String>)> {
    let line = line.trim();
    let end = line.find(|c: char| c.is_whitespace() || c == '=')?;
    let (keyword, rest) = line.split_at(end);
    if keyword.is_empty() || keyword.starts_with('#') {
        return None;
    }
    let rest = rest.trim_start();
    let rest = rest.strip_prefix('=').unwrap_or(rest);
    Some((keyword.trim_matches('"').to_ascii_lowercase(), words(rest)?))
}

/// Words with single or double quotes, backslashes before quotes, backslashes and spaces, up to a
/// comment; `None` when a quote is not closed.
fn words(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut chars = text.chars().peekable();
    loop {
        while chars.next_if(|c| c.is_whitespace()).is_some() {}
        match chars.peek() {
            None | Some('#') => return Some(words),
            Some(_) => {}
        }
        let (mut word, mut quote) = (String::new(), None);
        while let Some(c) = chars.next_if(|c| quote.is_some() || !c.is_whitespace()) {
            match (c, quote) {
                ('\\', _) => {
                    let escaped = |c: &char| matches!(c, '"' | '\'' | '\\') || (*c == ' ' && quote.is_none());
                    word.push(chars.next_if(escaped).unwrap_or('\\'));
                }
                (c, Some(open)) if c == open => quote = None,
                ('"' | '\'', None) => quote = Some(c),
                (c, _) => word.push(c),
            }
        }
        if quote.is_some() {
            return None;
        }
        words.push(word);
    }
}

fn plain_name(word: &str) -> Option<Hostname> {
    if word.starts_with('!') || word.contains(['*', '?']) { None } else { word.parse().ok() }
}

/// The files an `Include` means: below `~/.ssh` when relative, `~` and wildcards expanded.
fn included_files(ssh_dir: &Path, word: &str) -> Vec<PathBuf> {
    let path = match word.strip_prefix("~/") {
        Some(rest) => ssh_dir.parent().unwrap_or(ssh_dir).join(rest),
        None => ssh_dir.join(word),
    };
    // Two stars are one to ssh; to the library they are every directory there is below.
    let Some(pattern) = path.to_str().map(|path| path.replace("**", "*")) else { return vec![] };
    let pattern = &pattern;
    glob::glob(pattern).into_iter().flatten().flatten().take(MOST_FILES).collect()
}

/// What ssh makes of an alias, or why it is no host to import.
pub async fn resolve(settings: &SshSettings, listed: &Listed) -> Result<Alias, String> {
    let name = &listed.name;
    let mut argv = vec!["ssh".to_owned(), "-G".to_owned()];
    if let Some(config) = &settings.config {
        argv.extend(["-F".to_owned(), config.display().to_string()]);
    }
    argv.extend(["--".to_owned(), name.to_string()]);
    let output = process::run(&Command::new(argv)).await.map_err(|fault| fault.to_string())?;
    if output.status != Some(0) {
        let words = String::from_utf8_lossy(&output.stderr);
        return Err(crate::domain::text::clean(words.trim()));
    }
    read_resolved(listed, &String::from_utf8_lossy(&output.stdout))
}

/// Where ssh connects to for `target`, when it goes there without another host or a program in between.
pub async fn reached_directly(settings: &SshSettings, target: &SshTarget) -> Option<(String, u16)> {
    let mut argv = vec!["ssh".to_owned(), "-G".to_owned()];
    argv.extend(destination(settings, target));
    let output = process::run(&Command::new(argv)).await.ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
    let set = |key: &str| value(key).is_some_and(|value| value != "none");
    if set("proxyjump") || set("proxycommand") {
        return None;
    }
    Some((value("hostname")?.to_owned(), value("port")?.parse().ok()?))
}

/// Reads the answer of `ssh -G`.
fn read_resolved(listed: &Listed, text: &str) -> Result<Alias, String> {
    let values = |key: &str| {
        let pairs = text.lines().filter_map(|line| line.split_once(' '));
        let key = key.to_owned();
        pairs.filter(move |(found, _)| *found == key).map(|(_, value)| value)
    };
    let value = |key: &str| values(key).next();
    let set = |key: &str| value(key).is_some_and(|value| value != "none");
    let hostname = value("hostname").unwrap_or_default();
    if hostname.eq_ignore_ascii_case(listed.name.as_str()) && !listed.has_hostname {
        return Err("it has no HostName".to_owned());
    }
    let user = value("user").unwrap_or("root").parse().map_err(|error| format!("{error}"))?;
    let keys: Vec<&str> = values("identityfile").collect();
    Ok(Alias {
        name: listed.name.clone(),
        hostname: hostname.parse().map_err(|error| format!("{error}"))?,
        user,
        port: value("port").and_then(|port| port.parse().ok()).unwrap_or(22),
        identity_file: match keys.as_slice() {
            [only] if *only != "none" => Some(PathBuf::from(only)),
            _ => None,
        },
        proxied: set("proxyjump") || set("proxycommand"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        aliases_in(text).into_iter().map(|listed| listed.name.to_string()).collect()
    }

    #[test]
    fn s11_host_lines_are_read_as_ssh_reads_them() {
        let text = "Host nas backup # the big ones\nhost=pi\n\"Host\" quoted 'single' \"double\"\nHOST \t tabbed\nHost *.lan !neg web? nas\nHost \"open\nMatch host x\n  HostName never\nHost 10.0.0.5\n#Host commented\nHost a\\ b\n";
        assert_eq!(names(text), ["nas", "backup", "pi", "quoted", "single", "double", "tabbed", "10.0.0.5"]);
    }

    #[test]
    fn s11_a_hostname_counts_for_the_names_of_its_own_block() {
        let text = "Host a b\n  HostName x\nHost c\nMatch all\n  HostName y\nHost a\n";
        let with: Vec<bool> = aliases_in(text).iter().map(|listed| listed.has_hostname).collect();
        assert_eq!(with, [true, true, false]);
    }

    #[test]
    fn s11_includes_lead_below_the_ssh_directory_and_end() {
        let home = tempfile::tempdir().unwrap();
        let ssh = home.path().join(".ssh");
        std::fs::create_dir_all(ssh.join("conf.d/x")).unwrap();
        let write = |name: &str, text: &str| std::fs::write(ssh.join(name), text).unwrap();
        write("config", "Include conf.d/*/hosts ~/.ssh/more\nInclude config config\nHost last\n");
        write("conf.d/x/hosts", "Host deep\n");
        write("more", "Host more\n");
        let elsewhere = home.path().join("elsewhere");
        std::fs::write(&elsewhere, "Include more\nHost here\n").unwrap();
        let names = |file: &Path| -> Vec<String> {
            aliases(file, &ssh).into_iter().map(|listed| listed.name.to_string()).collect()
        };
        assert_eq!(names(&ssh.join("config")), ["deep", "more", "last"]);
        assert_eq!(names(&elsewhere), ["more", "here"]);
    }

    #[tokio::test]
    async fn s11_what_an_alias_means_is_said_by_ssh() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("config");
        let text = "Host nas\n  HostName %h.lan\n  User ops\n  IdentityFile /k\nHost jumped\n  HostName=10.0.0.7\n  ProxyJump nas\nHost bare\nHost same.lan\n  HostName same.lan\nHost *\n  Port 2201\n";
        std::fs::write(&config, text).unwrap();
        let settings = SshSettings { config: Some(config.clone()) };
        let mut resolved = Vec::new();
        for listed in aliases(&config, dir.path()) {
            resolved.push(resolve(&settings, &listed).await);
        }
        let [nas, jumped, bare, same] = resolved.try_into().unwrap();
        let nas = nas.unwrap();
        assert_eq!(
            (nas.hostname.as_str(), nas.user.as_str(), nas.port, nas.identity_file, nas.proxied),
            ("nas.lan", "ops", 2201, Some("/k".into()), false)
        );
        assert!(jumped.unwrap().proxied);
        assert_eq!(bare, Err("it has no HostName".to_owned()));
        assert_eq!(same.unwrap().hostname.as_str(), "same.lan");
    }
}
