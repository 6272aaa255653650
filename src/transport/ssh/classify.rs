//! From ssh's words to a cause. The phrases are those of OpenSSH's client. The trials on real hosts
//! produce the common ones; the rarer (agents, file permissions, other systems' networks) are covered
//! by text alone.

use crate::domain::fault::{Fault, FaultKind};

/// Phrases of ssh's standard error with their meaning, the more telling first: a changed host key
/// also ends in "verification failed", a refused login also in "closed by".
const PHRASES: [(&str, FaultKind); 32] = [
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", FaultKind::HostKeyChanged),
    ("host key is known for", FaultKind::HostKeyUnknown),
    ("Host key verification failed", FaultKind::HostKeyUnknown),
    ("agent refused operation", FaultKind::AgentRefused),
    ("UNPROTECTED PRIVATE KEY FILE", FaultKind::KeyUnusable),
    ("Permission denied (", FaultKind::AuthRefused),
    ("Too many authentication failures", FaultKind::AuthRefused),
    ("Bad configuration option", FaultKind::SshConfig),
    ("Bad owner or permissions", FaultKind::SshConfig),
    ("terminating, ", FaultKind::SshConfig),
    ("Can't open user config file", FaultKind::SshConfig),
    ("keyword ", FaultKind::SshConfig),
    ("Could not resolve hostname", FaultKind::Dns),
    ("Connection refused", FaultKind::Refused),
    ("No route to host", FaultKind::Unreachable),
    ("Network is unreachable", FaultKind::Unreachable),
    ("Host is down", FaultKind::Unreachable),
    ("timed out during banner exchange", FaultKind::NoBanner),
    ("banner line contains invalid characters", FaultKind::NoBanner),
    ("banner exchange: Connection to", FaultKind::NoBanner),
    ("Protocol major versions differ", FaultKind::NoBanner),
    ("Connection timed out", FaultKind::Timeout),
    ("Operation timed out", FaultKind::Timeout),
    ("not responding", FaultKind::LinkLost),
    ("kex_exchange_identification", FaultKind::Throttled),
    ("Exceeded MaxStartups", FaultKind::Throttled),
    ("Session open refused by peer", FaultKind::SessionsExhausted),
    ("open failed: administratively prohibited", FaultKind::SessionsExhausted),
    ("closed by remote host", FaultKind::LinkLost),
    ("Connection reset by", FaultKind::LinkLost),
    ("Broken pipe", FaultKind::LinkLost),
    ("Connection closed by", FaultKind::LinkLost),
];

/// How ssh tells of a key it offers; what follows is its file or comment, algorithm and fingerprint.
const OFFERING: &str = "Offering public key: ";

/// ssh goes on without a key file that is not there: it is the cause of a refused login, and of
/// nothing else that goes wrong.
const MISSING_KEY: [&str; 2] = ["not accessible: No such file", "no such identity"];

/// The cause behind what ssh printed, with the lines that tell it; a lost link where it says nothing
/// that is known.
pub(super) fn classify(stderr: &str) -> Fault {
    known(stderr).unwrap_or_else(|| Fault::new(FaultKind::LinkLost, last_lines(stderr)))
}

/// The cause where the first session ended before its shell answered. The refusal of a session has the
/// words of any refused channel, and at this time there is no other one.
pub(super) fn classify_session(stderr: &str) -> Fault {
    known(stderr).unwrap_or_else(|| {
        let refused = stderr.contains(": open failed: ");
        let kind = if refused { FaultKind::SessionsExhausted } else { FaultKind::NoShell };
        Fault::new(kind, last_lines(stderr))
    })
}

fn known(stderr: &str) -> Option<Fault> {
    let (phrase, kind) = PHRASES.into_iter().find(|(phrase, _)| stderr.contains(phrase))?;
    let no_key = MISSING_KEY.iter().any(|words| stderr.contains(words));
    let kind = if kind == FaultKind::AuthRefused && no_key { FaultKind::KeyUnusable } else { kind };
    let mut words = telling_lines(stderr, phrase);
    if matches!(kind, FaultKind::AuthRefused | FaultKind::KeyUnusable) {
        words.push_str(&format!("\n{}", offered(stderr)));
    }
    Some(Fault::new(kind, words))
}

/// The keys that ssh offered.
fn offered(stderr: &str) -> String {
    let key = |line: &str| {
        let (_, key) = line.split_once(OFFERING)?;
        Some(key.strip_suffix(" explicit").unwrap_or(key).trim().to_owned())
    };
    let keys: Vec<String> = stderr.lines().filter_map(key).collect();
    if keys.is_empty() { "no key was offered".to_owned() } else { format!("offered: {}", keys.join(", ")) }
}

fn last_lines(stderr: &str) -> String {
    let last: Vec<&str> = stderr.lines().filter(|line| !is_chatter(line)).collect();
    let tail = &last[last.len().saturating_sub(3)..];
    if tail.is_empty() { "ssh ended without a word".to_owned() } else { tail.join("\n") }
}

/// The lines worth repeating: the phrase's own, and those that name keys and files.
fn telling_lines(stderr: &str, phrase: &str) -> String {
    let also = [
        "Offending",
        "key sent by the remote host is",
        "SHA256:",
        "no such identity",
        "not accessible",
        "invalid format",
    ];
    let lines = stderr.lines().filter(|line| {
        let telling = line.contains(phrase) || also.iter().any(|word| line.contains(word));
        telling && !is_chatter(line)
    });
    lines.map(|line| line.trim_matches('@').trim()).collect::<Vec<_>>().join("\n")
}

/// What `LogLevel=VERBOSE` prints on every connection.
fn is_chatter(line: &str) -> bool {
    let line = line.trim();
    line.is_empty()
        || line.contains(OFFERING)
        || line.contains("userauth_pubkey():")
        || line.contains("verify_host_key():")
        || line.chars().all(|c| c == '@')
        || [
            "Authenticated to",
            "Authenticating with",
            "Server accepts key",
            "Transferred:",
            "Bytes per second",
            "OpenSSH_",
        ]
        .iter()
        .any(|start| line.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(stderr: &str, kind: FaultKind, detail: &str) {
        let fault = classify(stderr);
        assert_eq!(fault.kind, kind, "{fault}");
        assert!(fault.detail.contains(detail), "{fault}");
    }

    #[test]
    fn s12_each_report_of_ssh_becomes_its_own_cause() {
        check(
            "@@@@\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\n@@@@\nThe fingerprint for the ED25519 key sent by the remote host is\nSHA256:abc.\nOffending ED25519 key in /h/known_hosts:1\nHost key verification failed.\n",
            FaultKind::HostKeyChanged,
            "SHA256:abc.; Offending ED25519 key in /h/known_hosts:1",
        );
        check(
            "No ED25519 host key is known for nas and you have requested strict checking.\nHost key verification failed.\n",
            FaultKind::HostKeyUnknown,
            "No ED25519 host key",
        );
        check(
            "debug1: sshconnect2.c:userauth_pubkey():2066 (pid=7): Offering public key: /k ED25519 SHA256:abc explicit\nops@nas: Permission denied (publickey).\n",
            FaultKind::AuthRefused,
            "(publickey).; offered: /k ED25519 SHA256:abc",
        );
        check("ops@nas: Permission denied (publickey).\n", FaultKind::AuthRefused, "no key was offered");
        check(
            "no such identity: /k: No such file or directory\nops@nas: Permission denied (publickey).\n",
            FaultKind::KeyUnusable,
            "no such identity: /k",
        );
        check(
            "Warning: Identity file /k not accessible: No such file or directory.\nssh: connect to host nas port 22: Connection refused\n",
            FaultKind::Refused,
            "port 22",
        );
        check("ssh: connect to host nas port 22: Connection refused\n", FaultKind::Refused, "port 22");
        check("ssh: Could not resolve hostname nas: Name or service not known\n", FaultKind::Dns, "nas");
        check(
            "ssh: connect to host 10.0.0.9 port 22: Connection timed out\n",
            FaultKind::Timeout,
            "10.0.0.9",
        );
        check("Connection timed out during banner exchange\n", FaultKind::NoBanner, "banner");
        check(
            "kex_exchange_identification: banner line contains invalid characters\n",
            FaultKind::NoBanner,
            "invalid characters",
        );
        check(
            "ssh: connect to host 10.0.0.9 port 22: No route to host\n",
            FaultKind::Unreachable,
            "No route",
        );
        check("kex_exchange_identification: Connection closed by remote host\n", FaultKind::Throttled, "kex");
        check(
            "/h/config: line 3: Bad configuration option: foo\n/h/config: terminating, 1 bad configuration options\n",
            FaultKind::SshConfig,
            "line 3",
        );
        check("Timeout, server nas not responding.\n", FaultKind::LinkLost, "not responding");
        check(
            "Authenticated to nas ([10.0.0.1]:22) using \"publickey\".\nConnection to nas closed by remote host.\n",
            FaultKind::LinkLost,
            "closed by remote host",
        );
        check("Authenticated to nas.\n", FaultKind::LinkLost, "without a word");
    }
}
