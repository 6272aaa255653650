//! Why a host cannot be used: the closed list of causes, what each one means for retrying, and the
//! words that help its reader.

use super::host::{Endpoint, HostSpec, TcpTarget};
use std::fmt;
use std::path::Path;
use std::time::Duration;

/// A cause, told apart because a different person or program has to act on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    /// This machine has no OpenSSH client.
    SshMissing,
    /// ssh refuses its own configuration or arguments.
    SshConfig,
    /// The hostname does not resolve.
    Dns,
    /// Nothing listens on the port.
    Refused,
    /// The network has no way to the address.
    Unreachable,
    /// No answer in time: the machine is off, or a firewall drops packets.
    Timeout,
    /// Something listens on the port and does not greet as sshd does.
    NoBanner,
    /// sshd closed the connection before its key exchange (`MaxStartups`, penalties, fail2ban).
    Throttled,
    /// The host key is in no `known_hosts` file.
    HostKeyUnknown,
    /// The host key differs from the known one.
    HostKeyChanged,
    /// sshd accepted none of the offered keys.
    AuthRefused,
    /// The agent or the hardware key declined to sign.
    AgentRefused,
    /// The configured key file cannot be used.
    KeyUnusable,
    /// The login works, but it gives no POSIX shell (a forced command, a restricted shell).
    NoShell,
    /// sshd has no session left for us (`MaxSessions`).
    SessionsExhausted,
    /// An engine listens, sshd forwards no sockets, and there is no docker client for the other way.
    ForwardingRefused,
    /// No engine's socket was found, and no docker client either.
    NoEngine,
    /// The engine's socket is there and the user may not open it.
    SocketDenied,
    /// `sudo -n docker` is not allowed, or asks for a password.
    SudoRefused,
    /// There are several engines, and nobody said which one is meant.
    EnginesAmbiguous,
    /// The engine's certificate is not trusted, or it does not trust ours.
    TlsFailed,
    /// The engine's socket is there and nobody answers.
    EngineDown,
    /// The engine speaks only versions older than 1.41.
    ApiTooOld,
    /// An established connection ended.
    LinkLost,
    /// A step took longer than it may.
    Deadline,
    /// A fault of Dockmaster itself; the log has more.
    Internal,
}

/// What the host's actor does about a cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// Try again with growing waits: the cause passes by itself.
    Retry,
    /// Try once more later, then hold: repeated failures would lock the account or get us banned.
    RetryOnceThenHold,
    /// Hold for a while: only a change on the host cures it.
    Hold,
    /// Hold until a person has looked: going on could be unsafe.
    HoldForPerson,
}

impl FaultKind {
    /// Every cause, so that tests and tables cannot forget one.
    pub const ALL: [Self; 26] = [
        Self::SshMissing,
        Self::SshConfig,
        Self::Dns,
        Self::Refused,
        Self::Unreachable,
        Self::Timeout,
        Self::NoBanner,
        Self::Throttled,
        Self::HostKeyUnknown,
        Self::HostKeyChanged,
        Self::AuthRefused,
        Self::AgentRefused,
        Self::KeyUnusable,
        Self::NoShell,
        Self::SessionsExhausted,
        Self::ForwardingRefused,
        Self::NoEngine,
        Self::SocketDenied,
        Self::SudoRefused,
        Self::EnginesAmbiguous,
        Self::TlsFailed,
        Self::EngineDown,
        Self::ApiTooOld,
        Self::LinkLost,
        Self::Deadline,
        Self::Internal,
    ];

    /// The stable word for this cause in output and logs.
    pub const fn word(self) -> &'static str {
        match self {
            Self::SshMissing => "ssh_missing",
            Self::SshConfig => "ssh_config",
            Self::Dns => "dns",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::NoBanner => "no_banner",
            Self::Throttled => "throttled",
            Self::HostKeyUnknown => "host_key_unknown",
            Self::HostKeyChanged => "host_key_changed",
            Self::AuthRefused => "auth_refused",
            Self::AgentRefused => "agent_refused",
            Self::KeyUnusable => "key_unusable",
            Self::NoShell => "no_shell",
            Self::SessionsExhausted => "sessions_exhausted",
            Self::ForwardingRefused => "forwarding_refused",
            Self::NoEngine => "no_engine",
            Self::SocketDenied => "socket_denied",
            Self::SudoRefused => "sudo_refused",
            Self::EnginesAmbiguous => "engines_ambiguous",
            Self::TlsFailed => "tls_failed",
            Self::EngineDown => "engine_down",
            Self::ApiTooOld => "api_too_old",
            Self::LinkLost => "link_lost",
            Self::Deadline => "deadline",
            Self::Internal => "internal",
        }
    }

    /// What it means in a few words.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::SshMissing => "no ssh client on this machine",
            Self::SshConfig => "ssh refuses its configuration",
            Self::Dns => "the hostname does not resolve",
            Self::Refused => "nothing listens on the port",
            Self::Unreachable => "no network route to the host",
            Self::Timeout => "no answer from the host",
            Self::NoBanner => "something listens there and does not greet as sshd",
            Self::Throttled => "sshd turned the connection away",
            Self::HostKeyUnknown => "the host key is not known yet",
            Self::HostKeyChanged => "the host key has changed",
            Self::AuthRefused => "sshd accepted none of the offered keys",
            Self::AgentRefused => "the ssh agent declined to sign",
            Self::KeyUnusable => "the identity file cannot be used",
            Self::NoShell => "the login gives no POSIX shell",
            Self::SessionsExhausted => "sshd allows no further session",
            Self::ForwardingRefused => "sshd forwards no sockets, and there is no docker client on the host",
            Self::NoEngine => "no container engine found",
            Self::SocketDenied => "the user may not open the engine's socket",
            Self::SudoRefused => "the user may not run docker by sudo without a password",
            Self::EnginesAmbiguous => "the host has several engines",
            Self::TlsFailed => "the engine and Dockmaster do not trust each other's certificates",
            Self::EngineDown => "the engine does not answer",
            Self::ApiTooOld => "the engine is too old",
            Self::LinkLost => "the connection broke",
            Self::Deadline => "the step took too long",
            Self::Internal => "a fault inside Dockmaster",
        }
    }

    /// Whether the login is good all the same: only what lies behind it has to be tried again.
    pub const fn spares_the_login(self) -> bool {
        matches!(self, Self::EngineDown | Self::ApiTooOld)
    }

    /// What the host's actor does about it.
    pub const fn recovery(self) -> Recovery {
        match self {
            Self::Dns
            | Self::Refused
            | Self::Unreachable
            | Self::Timeout
            | Self::NoBanner
            | Self::Throttled
            | Self::SessionsExhausted
            | Self::NoEngine
            | Self::EngineDown
            | Self::LinkLost
            | Self::Deadline
            | Self::Internal => Recovery::Retry,
            Self::AuthRefused | Self::AgentRefused | Self::KeyUnusable => Recovery::RetryOnceThenHold,
            Self::SshMissing
            | Self::SshConfig
            | Self::NoShell
            | Self::ForwardingRefused
            | Self::SocketDenied
            | Self::SudoRefused
            | Self::EnginesAmbiguous
            | Self::TlsFailed
            | Self::ApiTooOld => Recovery::Hold,
            Self::HostKeyUnknown | Self::HostKeyChanged => Recovery::HoldForPerson,
        }
    }
}

/// One cause with the words of whoever reported it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The cause.
    pub kind: FaultKind,
    /// What ssh, the engine or the system said about it; cleaned and short, may be empty.
    pub detail: String,
    /// How long it took to show, where somebody waited for it.
    pub took: Option<Duration>,
}

impl std::error::Error for Fault {}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.meaning())?;
        if let Some(took) = self.took {
            write!(f, " (after {:.1} s)", took.as_secs_f64())?;
        }
        if self.detail.is_empty() { Ok(()) } else { write!(f, ": {}", self.detail) }
    }
}

impl Fault {
    /// Longer reports are cut: the cause stands in the first lines.
    const LONGEST_DETAIL: usize = 600;

    /// A fault with the words that were heard; they are cleaned of control characters and cut.
    pub fn new(kind: FaultKind, detail: impl AsRef<str>) -> Self {
        let cleaned = super::text::clean(detail.as_ref());
        let joined = cleaned.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>();
        let joined = joined.join("; ");
        let (short, _) = super::text::cut(&joined, Self::LONGEST_DETAIL);
        Self { kind, detail: short.to_owned(), took: None }
    }

    /// The same, which somebody waited for so long.
    #[must_use]
    pub fn after(self, took: Duration) -> Self {
        Self { took: Some(took), ..self }
    }

    /// What a person can do about it on `host`, as a sentence with the command to type.
    pub fn fix(&self, host: &HostSpec) -> String {
        let (ssh, user, address) = match &host.endpoint {
            Endpoint::Ssh(target) => (
                target.command(),
                target.user.as_ref().map_or("USER".to_owned(), ToString::to_string),
                target.alias.as_ref().unwrap_or(&target.hostname).to_string(),
            ),
            Endpoint::Tcp(target) => return self.fix_at_port(host, target),
            Endpoint::Unix(path) => return self.fix_here(host, path),
        };
        match self.kind {
            FaultKind::SshMissing => {
                "Install the OpenSSH client: sudo apt-get install openssh-client.".into()
            }
            FaultKind::SshConfig => format!("Run {ssh} and mend what ssh complains about."),
            FaultKind::Dns => {
                format!("Check hosts.{}.hostname; getent hosts {address} should answer.", host.id)
            }
            FaultKind::Refused => format!("Start sshd on {address} or set hosts.{}.port.", host.id),
            FaultKind::Unreachable | FaultKind::Timeout | FaultKind::LinkLost | FaultKind::Deadline => {
                format!(
                    "Is {address} switched on and reachable? Try: {ssh} true. Dockmaster reconnects by itself."
                )
            }
            FaultKind::NoBanner => format!(
                "Is it sshd that listens there, and does it answer? Try: {ssh} true. hosts.{}.port says which port is meant.",
                host.id
            ),
            FaultKind::Throttled => format!(
                "Nothing to do: Dockmaster tries again. If it stays, raise MaxStartups or clear the ban for this machine on {address}."
            ),
            FaultKind::HostKeyUnknown => format!(
                "Run dockmaster hosts trust {}: it shows the fingerprint to compare with the host's own, and accepts the key when you give it. Or run {ssh} once.",
                host.id
            ),
            FaultKind::HostKeyChanged => format!(
                "If the host was reinstalled: dockmaster hosts trust {} shows the old and the new fingerprint, and accepts the new one when you give it. Otherwise someone may be in between: do not accept it.",
                host.id
            ),
            FaultKind::KeyUnusable => format!(
                "Check hosts.{}.identity_file: the file must exist, belong to you with mode 0600, and need no passphrase (or be in your agent). Dockmaster tries again by itself.",
                host.id
            ),
            FaultKind::AuthRefused => format!(
                "Check that {ssh} works without a password prompt; if not: ssh-copy-id {user}@{address}, or set hosts.{}.identity_file.",
                host.id
            ),
            FaultKind::AgentRefused => {
                "Unlock the agent or touch the hardware key, then call host_test.".into()
            }
            FaultKind::NoShell => {
                format!(
                    "Give {user} on {address} a POSIX login shell, or the forced command `docker system dial-stdio`."
                )
            }
            FaultKind::SessionsExhausted => format!(
                "Close other sessions of {user} on {address} or raise MaxSessions in its sshd_config."
            ),
            FaultKind::ForwardingRefused => format!(
                "On {address}: set AllowStreamLocalForwarding yes in sshd_config and reload sshd, or install the docker client."
            ),
            FaultKind::NoEngine => format!(
                "Install Docker on {address}, or check that {user} has it in PATH: {ssh} docker version."
            ),
            FaultKind::SocketDenied => format!(
                "On {address}: sudo usermod -aG docker {user}; or, where {user} may run docker by sudo without a password: dockmaster hosts edit {} --sudo true. Dockmaster logs in anew within ten minutes; host_test does it at once.",
                host.id
            ),
            FaultKind::SudoRefused => format!(
                "On {address}, as root: echo '{user} ALL=(root) NOPASSWD: /usr/bin/docker' > /etc/sudoers.d/dockmaster. Or give {user} the socket (usermod -aG docker {user}) and leave out hosts.{}.sudo.",
                host.id
            ),
            FaultKind::TlsFailed => format!("Check the certificates of the engine on {address}."),
            FaultKind::EnginesAmbiguous => {
                format!("Say which one is meant: dockmaster hosts edit {} --socket PATH.", host.id)
            }
            FaultKind::EngineDown => {
                format!(
                    "Start it on {address}: sudo systemctl start docker. Dockmaster notices by itself. Where it listens elsewhere: dockmaster hosts edit {} --socket PATH.",
                    host.id
                )
            }
            FaultKind::ApiTooOld => format!("Update the engine on {address} to Docker 20.10 or newer."),
            FaultKind::Internal => {
                "Look into Dockmaster's log for this host; it tries again by itself.".into()
            }
        }
    }

    /// The same for an engine at a port of its own.
    fn fix_at_port(&self, host: &HostSpec, target: &TcpTarget) -> String {
        let (place, id) = (host.endpoint.place(), &host.id);
        match (self.kind, &target.certificates) {
            (FaultKind::TlsFailed, Some(directory)) => format!(
                "Check ca.pem, cert.pem and key.pem in {}: docker --tlsverify --tlscacert ca.pem --tlscert cert.pem --tlskey key.pem -H tcp://{place} version. Dockmaster tries again when they change.",
                directory.display()
            ),
            (FaultKind::NoShell, _) => format!(
                "{id} is reached at its engine's port alone; for compose files and commands name it as an ssh host."
            ),
            _ => format!(
                "Does the engine listen there? Try: docker -H tcp://{place} version; hosts.{id}.port and hosts.{id}.tls say how it is reached."
            ),
        }
    }

    /// The same for the engine of this machine.
    fn fix_here(&self, host: &HostSpec, socket: &Path) -> String {
        let (socket, id) = (socket.display(), &host.id);
        match self.kind {
            FaultKind::SocketDenied => format!(
                "Give the user Dockmaster runs as access to {socket}: sudo usermod -aG docker \"$USER\", then log in again."
            ),
            _ => format!(
                "Start the engine (sudo systemctl start docker) or name its socket under hosts.{id}.socket; it was looked for at {socket}."
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::host::SshTarget;

    #[test]
    fn every_cause_has_its_own_word_and_a_fix_that_names_something_to_do() {
        let target = SshTarget {
            user: Some("ops".parse().unwrap()),
            port: Some(2201),
            ..SshTarget::new("nas.lan".parse().unwrap())
        };
        let host = HostSpec::new("nas".parse().unwrap(), Endpoint::Ssh(target));
        let words: std::collections::BTreeSet<_> = FaultKind::ALL.iter().map(|kind| kind.word()).collect();
        assert_eq!(words.len(), FaultKind::ALL.len());
        for kind in FaultKind::ALL {
            let fix = Fault::new(kind, "x").fix(&host);
            assert!(fix.len() > 20 && fix.ends_with('.'), "{kind:?}: {fix}");
        }
    }

    #[test]
    fn a_report_of_many_lines_becomes_one_clean_line() {
        let fault = Fault::new(FaultKind::Refused, "\u{1b}[1mssh: connect\r\n\n  to host x \n");
        assert_eq!(fault.to_string(), "nothing listens on the port: ssh: connect; to host x");
        assert!(Fault::new(FaultKind::Refused, "x".repeat(10_000)).detail.len() <= 600);
    }
}
