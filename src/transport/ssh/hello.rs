//! The remote side of the anchor: a few lines of POSIX shell, and what it says about its host.
//!
//! First it says hello: what `DOCKER_HOST` is, which sockets there are. Then it reads lines. A line comes
//! back as it is, which proves that the link carries data; `run N WORDS` runs a command without a session of
//! its own, for hosts that allow no second one (`MaxSessions 1`). What that prints comes back in lines of
//! hexadecimal bytes, `N o BYTES` and `N e BYTES`, and at its end `N x STATUS`, where a signal is 128 more than
//! its number. The anchor ends when its input does, that is, with us; a command that it began is ended by its mark.

/// What the anchor says: the environment's engine, the sockets it sees.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Hello {
    /// `DOCKER_HOST` of the login, when set.
    pub(super) docker_host: Option<String>,
    /// The engines' sockets found, in order of preference.
    pub(super) sockets: Vec<Candidate>,
    /// The anchor can run commands: there is what it needs for that.
    pub(super) runs_commands: bool,
    /// The login gives no shell: whatever is run there, a forced `docker system dial-stdio` answers.
    pub(super) is_forced: bool,
}

/// A socket that an engine may be behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    /// Where it was looked for.
    pub(super) path: String,
    /// Where that leads, links followed.
    pub(super) resolved: String,
    /// Whether the login may open it.
    pub(super) may_open: bool,
}

impl Hello {
    /// The hello of a login that is for the engine alone.
    pub(super) fn forced() -> Self {
        Self { is_forced: true, ..Self::default() }
    }

    /// Reads `line` if it is the hello that begins with `nonce`; login scripts may have printed before it.
    pub(super) fn read(line: &str, nonce: &str) -> Option<Self> {
        let (_, rest) = line.split_once(nonce)?;
        let mut fields = rest.strip_prefix('\t').unwrap_or(rest).split('\t');
        let runs_commands = fields.next() == Some("od");
        let docker_host = fields.next().filter(|host| !host.is_empty()).map(ToOwned::to_owned);
        let sockets = fields.filter_map(|field| {
            let (access, place) = field.split_once(':')?;
            let (path, resolved) = place.split_once('|')?;
            let may_open = access == "rw";
            Some(Candidate { path: path.to_owned(), resolved: resolved.to_owned(), may_open })
        });
        Some(Self { docker_host, sockets: sockets.collect(), runs_commands, is_forced: false })
    }
}

/// A line that the anchor says after its hello.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// Standard output of the command with this number.
    Out(u64, Vec<u8>),
    /// Its standard error.
    Err(u64, Vec<u8>),
    /// Its exit status.
    Exit(u64, Option<i32>),
    /// Anything else, such as an echo.
    Line(String),
}

impl Said {
    /// Reads a line of the anchor.
    pub(super) fn read(line: String) -> Self {
        let parsed = (|| {
            let (number, rest) = line.split_once(' ')?;
            let number = number.parse().ok()?;
            let (kind, rest) = rest.split_once(' ')?;
            match kind {
                "o" => Some(Self::Out(number, bytes(rest)?)),
                "e" => Some(Self::Err(number, bytes(rest)?)),
                "x" => Some(Self::Exit(number, rest.trim().parse().ok())),
                _ => None,
            }
        })();
        parsed.unwrap_or(Self::Line(line))
    }
}

fn bytes(words: &str) -> Option<Vec<u8>> {
    words.split_whitespace().map(|word| u8::from_str_radix(word, 16).ok()).collect()
}

/// A script that says hello.
pub(super) fn look(nonce: &str) -> String {
    format!(
        "r=${{XDG_RUNTIME_DIR:-/run/user/$(id -u)}}; o=; od -An -v -tx1 </dev/null >/dev/null 2>&1 && o=od; \
         printf \"{nonce}\\t%s\\t%s\" \"$o\" \"${{DOCKER_HOST:-}}\"; \
         for s in /var/run/docker.sock \"$r/docker.sock\" \"$r/podman/podman.sock\" /run/podman/podman.sock; do \
         if [ -S \"$s\" ]; then a=no; [ -w \"$s\" ] && a=rw; \
         printf \"\\t%s:%s|%s\" $a \"$s\" \"$(readlink -f \"$s\" 2>/dev/null || echo \"$s\")\"; fi; \
         done; printf \"\\n\""
    )
}

/// The remote command. `sh -c` in single quotes means the same to every login shell.
pub(super) fn remote_command(nonce: &str) -> String {
    // In `run`, the streams of the command are 3: ours, 4: its status, 5: its output on the way to `od`.
    format!(
        "exec sh -c '{}; \
         hex() {{ od -An -v -tx1 | while read -r h; do printf \"%s %s %s\\n\" \"$1\" \"$2\" \"$h\"; done; }}; \
         run() {{ exec 3>&1; s=$({{ {{ {{ (eval \"$2\") 3>&- 4>&- 5>&-; echo $? >&4; }} 2>&1 1>&5 5>&- \
         | hex \"$1\" e >&3; }} 5>&1 | hex \"$1\" o >&3; }} 4>&1); printf \"%s x %s\\n\" \"$1\" \"$s\"; }}; \
         while IFS= read -r l; do case \"$l\" in \
         \"run \"*) l=${{l#run }}; run \"${{l%% *}}\" \"${{l#* }}\" </dev/null & ;; \
         *) printf \"%s\\n\" \"$l\";; esac; done'",
        look(nonce)
    )
}

/// The line that has the anchor run `words`, which a shell will read, with `stdin` as its input.
pub(super) fn run_line(number: u64, words: &str, stdin: &[u8]) -> String {
    // A line feed in a word would end the line.
    let coded = words.contains('\n').then(|| format!("eval \"$(printf '{}')\"", octal(words.as_bytes())));
    let words = coded.as_deref().unwrap_or(words);
    if stdin.is_empty() {
        return format!("run {number} {words}\n");
    }
    format!("run {number} printf '{}' | {words}\n", octal(stdin))
}

/// Bytes as a format of `printf` that prints them.
fn octal(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| ['\\', digit(byte >> 6), digit(byte >> 3 & 7), digit(byte & 7)]).collect()
}

fn digit(value: u8) -> char {
    char::from(b'0' + value)
}

/// A word no login message prints by chance.
pub(super) fn fresh_nonce() -> String {
    format!("dockmaster-{:016x}", rand::random::<u64>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::{Command, process};

    #[test]
    fn the_hello_names_engine_and_sockets() {
        let line = "banner nonce-1\tod\tunix:///x.sock\trw:/var/run/docker.sock|/run/docker.sock\tno:/run/podman/podman.sock|/run/podman/podman.sock";
        let hello = Hello::read(line, "nonce-1").unwrap();
        assert_eq!((hello.docker_host.as_deref(), hello.runs_commands), (Some("unix:///x.sock"), true));
        assert_eq!(
            hello.sockets,
            [
                Candidate {
                    path: "/var/run/docker.sock".into(),
                    resolved: "/run/docker.sock".into(),
                    may_open: true
                },
                Candidate {
                    path: "/run/podman/podman.sock".into(),
                    resolved: "/run/podman/podman.sock".into(),
                    may_open: false
                },
            ]
        );
        assert_eq!(Hello::read("nonce-1\t\t", "nonce-1"), Some(Hello::default()));
        assert_eq!(Hello::read("Welcome to nas", "nonce-1"), None);
    }

    /// What the anchor prints for `input` under this login shell.
    async fn converse(shell: &str, input: &str) -> String {
        let spec = Command {
            stdin: input.as_bytes().to_vec(),
            ..Command::new([shell, "-c", &remote_command("nonce-1")])
        };
        let output = process::run(&spec).await.unwrap();
        assert_eq!((output.status, output.stderr), (Some(0), vec![]), "{shell}");
        String::from_utf8(output.stdout).unwrap()
    }

    #[tokio::test]
    async fn the_anchor_says_hello_echoes_and_ends_with_its_input_in_every_shell_at_hand() {
        for shell in ["sh", "bash", "dash"] {
            let text = converse(shell, "echo-1\nrun\n  * \\n\n").await;
            let mut lines = text.lines();
            let hello = Hello::read(lines.next().unwrap(), "nonce-1").unwrap();
            assert!(hello.runs_commands, "{shell}: {text:?}");
            assert_eq!(lines.collect::<Vec<_>>(), ["echo-1", "run", "  * \\n"], "{shell}");
        }
    }

    #[tokio::test]
    async fn a_command_without_a_session_keeps_its_streams_apart_and_tells_its_status() {
        let all: Vec<u8> = (0..=255).collect();
        let words = "sh -c 'cat; echo \"$1\" >&2; exit 3' sh 'b\na d'";
        for shell in ["bash", "dash"] {
            let text = converse(shell, &run_line(7, words, &all)).await;
            let (mut out, mut err, mut exit) = (vec![], vec![], vec![]);
            for line in text.lines().skip(1) {
                match Said::read(line.to_owned()) {
                    Said::Out(7, bytes) => out.extend(bytes),
                    Said::Err(7, bytes) => err.extend(bytes),
                    Said::Exit(7, status) => exit.push(status),
                    other => panic!("{shell}: {other:?}"),
                }
            }
            assert_eq!((out, err, exit), (all.clone(), b"b\na d\n".to_vec(), vec![Some(3)]), "{shell}");
        }
    }

    #[test]
    fn a_command_without_input_is_the_words_alone() {
        assert_eq!(run_line(1, "docker ps", b""), "run 1 docker ps\n");
        assert_eq!(run_line(2, "cat", b"a%\n"), "run 2 printf '\\141\\045\\012' | cat\n");
    }
}
