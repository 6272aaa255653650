//! The argument vector of ssh.
//!
//! Every option here answers something a user's own configuration may say and that would break a
//! supervised link: a `LocalForward` on a used port (`ExitOnForwardFailure`), a `RemoteCommand`,
//! `LogLevel QUIET` that would hide the cause of a failure, a `ControlMaster` of their own,
//! `ControlPersist`, which forks, and so on. Keys, ciphers, proxies and names stay theirs.

use crate::domain::host::SshTarget;
use std::path::{Path, PathBuf};

/// What the operator says about ssh as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SshSettings {
    /// A configuration file used instead of the user's and the system's (`ssh -F`).
    pub config: Option<PathBuf>,
}

/// How long TCP and sshd's banner may take, each way counted by ssh itself.
const CONNECT_TIMEOUT_SECONDS: u32 = 10;

/// A silent link is found dead within 15 s: a probe every 5 s, two may go unanswered.
const ALIVE_INTERVAL_SECONDS: u32 = 5;
const ALIVE_COUNT: u32 = 2;

/// The arguments that name the host, shared by connecting and by `ssh -G`.
pub(super) fn destination(settings: &SshSettings, target: &SshTarget) -> Vec<String> {
    let mut args = Vec::new();
    if let Some(config) = &settings.config {
        args.extend(["-F".to_owned(), config.display().to_string()]);
    }
    if let Some(alias) = &target.alias {
        args.extend(["--".to_owned(), alias.to_string()]);
    } else {
        if let Some(user) = &target.user {
            args.extend(["-l".to_owned(), user.to_string()]);
        }
        if let Some(port) = target.port {
            args.extend(["-p".to_owned(), port.to_string()]);
        }
        if let Some(key) = &target.identity_file {
            args.extend(["-i".to_owned(), key.display().to_string()]);
            args.extend(["-o".to_owned(), "IdentitiesOnly=yes".to_owned()]);
        }
        args.extend(["--".to_owned(), target.hostname.to_string()]);
    }
    args
}

/// All arguments of the anchored link up to and without the remote command.
pub(super) fn anchored(settings: &SshSettings, target: &SshTarget, control: &Path) -> Vec<String> {
    let mut args: Vec<String> = ["-T", "-a", "-x"].map(ToOwned::to_owned).to_vec();
    let fixed = [
        "BatchMode=yes",
        "LogLevel=VERBOSE",
        // Which keys are offered, which key the host has, and nothing else of what ssh could tell.
        "LogVerbose=sshconnect2.c:userauth_pubkey():*,sshconnect.c:verify_host_key():*",
        "ConnectionAttempts=1",
        "StrictHostKeyChecking=yes",
        "UpdateHostKeys=no",
        "ControlMaster=yes",
        "ControlPersist=no",
        "RemoteCommand=none",
        "RequestTTY=no",
        "PermitLocalCommand=no",
        "ExitOnForwardFailure=no",
        "StreamLocalBindUnlink=yes",
        "StreamLocalBindMask=0177",
        "SessionType=default",
        "StdinNull=no",
        "ForkAfterAuthentication=no",
    ];
    let counted = [
        format!("ConnectTimeout={CONNECT_TIMEOUT_SECONDS}"),
        format!("ServerAliveInterval={ALIVE_INTERVAL_SECONDS}"),
        format!("ServerAliveCountMax={ALIVE_COUNT}"),
        // '%' starts a token in this option.
        format!("ControlPath={}", control.display().to_string().replace('%', "%%")),
    ];
    for option in fixed.iter().map(ToString::to_string).chain(counted) {
        args.extend(["-o".to_owned(), option]);
    }
    args.extend(destination(settings, target));
    args
}

/// The files named by `ssh -G`'s answer that decide whether a login works.
pub(super) fn deciding_files(resolved: &str) -> impl Iterator<Item = PathBuf> {
    let home = etcetera::home_dir().unwrap_or_default();
    let mut files: Vec<PathBuf> = vec![home.join(".ssh/config"), "/etc/ssh/ssh_config".into()];
    for line in resolved.lines() {
        let Some((key, value)) = line.split_once(' ') else { continue };
        if matches!(key, "userknownhostsfile" | "globalknownhostsfile" | "identityfile" | "identityagent") {
            files.extend(value.split_whitespace().map(|path| match path.strip_prefix("~/") {
                Some(rest) => home.join(rest),
                None => PathBuf::from(path),
            }));
        }
    }
    files.into_iter()
}

/// The jump host (or the first of several) that `ssh -G` names.
pub(super) fn jump_host(resolved: &str) -> Option<&str> {
    let jumps = resolved.lines().find_map(|line| line.strip_prefix("proxyjump "))?;
    jumps.split(',').next().map(str::trim).filter(|jump| !jump.is_empty() && *jump != "none")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> SshTarget {
        SshTarget {
            user: Some("ops".parse().unwrap()),
            port: Some(2201),
            identity_file: Some("/k".into()),
            ..SshTarget::new("fd00::7".parse().unwrap())
        }
    }

    #[test]
    fn the_destination_is_the_last_word_and_cannot_be_an_option() {
        let args = anchored(&SshSettings::default(), &target(), Path::new("/run/dm/1/c"));
        assert_eq!(args[args.len() - 2..], ["--", "fd00::7"]);
        let joined = args.join(" ");
        assert!(joined.contains("-l ops -p 2201 -i /k"), "{joined}");
        assert!(joined.contains("StrictHostKeyChecking=yes") && !joined.contains("StrictHostKeyChecking=no"));
    }

    #[test]
    fn an_alias_is_given_alone_so_that_the_users_settings_apply() {
        let target = SshTarget { alias: Some("nas".parse().unwrap()), ..target() };
        let settings = SshSettings { config: Some("/f".into()) };
        assert_eq!(destination(&settings, &target), ["-F", "/f", "--", "nas"]);
    }

    #[test]
    fn the_first_jump_host_is_the_one_that_counts() {
        assert_eq!(
            jump_host("user ops\nproxyjump ops@bastion:2222,inner\nport 22\n"),
            Some("ops@bastion:2222")
        );
        assert_eq!(jump_host("user ops\nproxyjump none\n"), None);
        assert_eq!(jump_host("user ops\n"), None);
    }

    #[test]
    fn the_deciding_files_are_those_ssh_names() {
        let files: Vec<PathBuf> =
            deciding_files("user ops\nuserknownhostsfile /a /b\nidentityfile /c\n").collect();
        for path in ["/a", "/b", "/c"] {
            assert!(files.contains(&PathBuf::from(path)));
        }
    }
}
