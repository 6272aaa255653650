//! Host keys: what a host offers, what is known of it, and accepting an offer that a person has compared.

use super::options::{SshSettings, destination};
use crate::domain::fault::{Fault, FaultKind};
use crate::domain::host::SshTarget;
use crate::transport::{Command, process};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use sha2::{Digest as _, Sha256};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// A host key as people compare it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// Its algorithm, such as `ED25519`.
    pub algorithm: String,
    /// `SHA256:…`
    pub hash: String,
}

/// What a host offers, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The key it offers.
    pub offered: Fingerprint,
    /// Keys that are known for it.
    pub known: Vec<Fingerprint>,
    /// The line for `known_hosts`.
    line: String,
    /// Where it would be written.
    file: PathBuf,
}

impl Offer {
    /// Whether the key is one of the known ones.
    pub fn is_known(&self) -> bool {
        self.known.contains(&self.offered)
    }

    /// The name the host has in `known_hosts`.
    pub fn name(&self) -> &str {
        self.line.split(' ').next().unwrap_or_default()
    }

    /// The file the key is written to.
    pub fn file(&self) -> &Path {
        &self.file
    }
}

/// Asks `target` for its host key. `scratch` is an empty directory of ours.
///
/// The key is taken into a file of its own by the key exchange, as a first connection would, and nobody
/// logs in: no key, no password and no command is sent to a host that nobody has compared yet.
pub async fn offer(settings: &SshSettings, target: &SshTarget, scratch: &Path) -> Result<Offer, Fault> {
    let seen = scratch.join("seen");
    let options = [
        "BatchMode=yes".to_owned(),
        "StrictHostKeyChecking=accept-new".to_owned(),
        format!("UserKnownHostsFile={}", seen.display()),
        "GlobalKnownHostsFile=/dev/null".to_owned(),
        "HashKnownHosts=no".to_owned(),
        "UpdateHostKeys=no".to_owned(),
        "PreferredAuthentications=none".to_owned(),
        "ControlMaster=no".to_owned(),
        "ControlPath=none".to_owned(),
        "ConnectTimeout=10".to_owned(),
        "LogLevel=ERROR".to_owned(),
    ];
    let mut argv = vec!["ssh".to_owned(), "-T".to_owned()];
    argv.extend(options.into_iter().flat_map(|option| ["-o".to_owned(), option]));
    argv.extend(destination(settings, target));
    argv.push("true".to_owned());
    let output = process::run(&Command::new(argv)).await?;
    let line = std::fs::read_to_string(&seen).unwrap_or_default().trim().to_owned();
    if line.is_empty() {
        return Err(super::classify::classify(&String::from_utf8_lossy(&output.stderr)));
    }
    let offered = fingerprints(&["-l", "-f", &seen.display().to_string()]).await?;
    let offered = offered.into_iter().next().ok_or_else(|| internal("ssh-keygen shows no fingerprint"))?;
    let file = known_hosts_file(settings, target).await?;
    let name = line.split(' ').next().unwrap_or_default();
    let known =
        fingerprints(&["-l", "-F", name, "-f", &file.display().to_string()]).await.unwrap_or_default();
    Ok(Offer { offered, known, line, file })
}

/// A fault that tells of a changed host key, with the fingerprint of the known key beside the one that ssh
/// names; any other fault as it is.
pub(super) async fn with_known_key(fault: Fault) -> Fault {
    if fault.kind != FaultKind::HostKeyChanged {
        return fault;
    }
    match known_key(&fault.detail).await {
        Some(hash) => {
            Fault::new(fault.kind, format!("the known key was {hash}\n{}", fault.detail.replace("; ", "\n")))
        }
        None => fault,
    }
}

/// The fingerprint of the key that ssh's words `Offending … key in FILE:LINE` point at.
async fn known_key(words: &str) -> Option<String> {
    let place = words.split("; ").find_map(|part| part.strip_prefix("Offending ")?.split_once(" key in "))?.1;
    let (file, number) = place.rsplit_once(':')?;
    let number: usize = number.trim().parse().ok()?;
    let text = tokio::fs::read_to_string(file).await.ok()?;
    let line = text.lines().nth(number.checked_sub(1)?)?;
    // Markers such as `@cert-authority` stand before the names.
    let blob = line.split_whitespace().find(|word| word.starts_with("AAAA"))?;
    let blob = STANDARD_NO_PAD.decode(blob.trim_end_matches('=')).ok()?;
    Some(format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(blob))))
}

/// Writes an offered key to `known_hosts`, in the place of other keys of the same name.
pub async fn accept(offer: &Offer) -> Result<(), Fault> {
    if !offer.known.is_empty() {
        let file = offer.file.display().to_string();
        let words = ["ssh-keygen", "-R", offer.name(), "-f", &file];
        let output = process::run(&Command::new(words)).await?;
        if output.status != Some(0) {
            return Err(internal(String::from_utf8_lossy(&output.stderr)));
        }
    }
    let mut file = std::fs::OpenOptions::new();
    let written = file.append(true).create(true).open(&offer.file).and_then(|mut file| {
        file.write_all(format!("{}\n", offer.line).as_bytes())?;
        file.sync_all()
    });
    written.map_err(|error| internal(format!("{}: {error}", offer.file.display())))
}

fn internal(words: impl AsRef<str>) -> Fault {
    Fault::new(FaultKind::Internal, words)
}

/// What `ssh-keygen` prints of keys: `256 SHA256:… name (ED25519)`, or `name ED25519 SHA256:…`.
async fn fingerprints(words: &[&str]) -> Result<Vec<Fingerprint>, Fault> {
    let argv = ["ssh-keygen"].iter().chain(words).copied();
    let output = process::run(&Command::new(argv)).await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().filter_map(read_fingerprint).collect())
}

fn read_fingerprint(line: &str) -> Option<Fingerprint> {
    let words: Vec<&str> = line.split_whitespace().filter(|_| !line.starts_with('#')).collect();
    let at = words.iter().position(|word| word.starts_with("SHA256:"))?;
    let in_brackets = words.last()?.strip_prefix('(').and_then(|word| word.strip_suffix(')'));
    let algorithm = in_brackets.or_else(|| words.get(at.checked_sub(1)?).copied())?;
    Some(Fingerprint { algorithm: algorithm.to_owned(), hash: words[at].to_owned() })
}

/// The first of the files in which ssh looks for keys that the user accepted.
async fn known_hosts_file(settings: &SshSettings, target: &SshTarget) -> Result<PathBuf, Fault> {
    let mut argv = vec!["ssh".to_owned(), "-G".to_owned()];
    argv.extend(destination(settings, target));
    let output = process::run(&Command::new(argv)).await?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let named = text.lines().find_map(|line| line.strip_prefix("userknownhostsfile "));
    let first = named.and_then(|files| files.split(' ').next()).unwrap_or_default();
    let home = crate::runtime::dirs::login_home().unwrap_or_default();
    match first.strip_prefix("~/") {
        Some(rest) => Ok(home.join(rest)),
        None if first.starts_with('/') => Ok(PathBuf::from(first)),
        None => Err(internal(format!("ssh names no file for known hosts: {first:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_changed_key_is_told_with_the_fingerprint_of_the_known_one() {
        let dir = tempfile::tempdir().unwrap();
        let (key, known) = (dir.path().join("key"), dir.path().join("known_hosts"));
        let key = key.to_str().unwrap();
        process::run(&Command::new(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key]))
            .await
            .unwrap();
        let public = std::fs::read_to_string(format!("{key}.pub")).unwrap();
        std::fs::write(&known, format!("# comment\nnas.lan {public}")).unwrap();
        let shown = fingerprints(&["-l", "-f", key]).await.unwrap();
        let words = format!("now SHA256:new.\nOffending ED25519 key in {}:2", known.display());
        let fault = with_known_key(Fault::new(FaultKind::HostKeyChanged, words)).await;
        assert!(fault.detail.starts_with(&format!("the known key was {}; now SHA256:new.", shown[0].hash)));
        let other = Fault::new(FaultKind::Refused, "Offending x key in /none:1");
        assert_eq!(with_known_key(other.clone()).await, other);
    }

    #[test]
    fn fingerprints_are_read_in_both_styles_of_ssh_keygen() {
        let wanted = Fingerprint { algorithm: "ED25519".into(), hash: "SHA256:abc".into() };
        for line in ["256 SHA256:abc nas.lan (ED25519)", "nas.lan ED25519 SHA256:abc"] {
            assert_eq!(read_fingerprint(line), Some(wanted.clone()));
        }
        assert_eq!(read_fingerprint("# Host nas.lan found: line 1"), None);
    }
}
