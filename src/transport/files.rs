//! Files on a host, by commands that every POSIX host has.

use super::{Command, Link};
use crate::domain::fault::{Fault, FaultKind};
use std::time::Duration;

/// A regular file on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFile {
    /// Its path with every symbolic link resolved.
    pub resolved: String,
    /// Its size in bytes.
    pub size: u64,
}

/// For each argument: its size and resolved path, or an empty line pair. Paths may hold anything
/// but NUL and line feed; a path with a line feed is never asked for.
const FIND_SCRIPT: &str = "for p do case $p in '~/'*) p=$HOME/${p#'~/'};; esac; \
    if [ -f \"$p\" ] && r=$(readlink -f -- \"$p\") && s=$(wc -c <\"$r\"); \
    then printf '%s\\n%s\\n' \"$s\" \"$r\"; else printf '\\n\\n'; fi; done";

/// Writes standard input to a file that must not exist yet and that nobody else may read.
const CREATE_SCRIPT: &str = "umask 077 && set -C && cat >\"$1\"";

/// A file system that does not tell its size by then hangs.
const SPACE_LIMIT: Duration = Duration::from_secs(5);

fn script<S: Into<String>>(text: &str, arguments: impl IntoIterator<Item = S>) -> Command {
    let head = ["sh", "-c", text, "sh"].map(ToOwned::to_owned);
    Command::new(head.into_iter().chain(arguments.into_iter().map(Into::into)))
}

/// Which of `paths` are there: for each, its resolved path and size if it is a regular file.
/// A leading `~/` is the login user's home.
pub async fn find_files(link: &dyn Link, paths: &[String]) -> Result<Vec<Option<FoundFile>>, Fault> {
    if paths.is_empty() {
        return Ok(vec![]);
    }
    let output = link.exec(&script(FIND_SCRIPT, paths)).await?;
    let answer = String::from_utf8_lossy(&output.stdout);
    parse_found(&answer, paths.len()).ok_or_else(|| {
        let (status, lines) = (output.status.unwrap_or(-1), answer.lines().count());
        let words = String::from_utf8_lossy(&output.stderr);
        let detail =
            format!("looking for {} files gave {lines} lines, status {status}: {words}", paths.len());
        Fault::new(FaultKind::NoShell, detail)
    })
}

/// The first `max` bytes of a file.
pub async fn read_file(link: &dyn Link, path: &str, max: usize) -> Result<Vec<u8>, Fault> {
    let command = Command::new(["head", "-c", &max.to_string(), "--", path]);
    let output = link.exec(&Command { max_output: max, ..command }).await?;
    match output.status {
        Some(0) => Ok(output.stdout),
        _ => Err(failed(path, &output.stderr)),
    }
}

/// Creates a file of the login user's alone (mode 0600) with these contents; one that is there already
/// is an error and stays as it is.
pub async fn create_file(link: &dyn Link, path: &str, contents: Vec<u8>) -> Result<(), Fault> {
    let command = Command { stdin: contents, ..script(CREATE_SCRIPT, [path]) };
    let output = link.exec(&command).await?;
    match output.status {
        Some(0) => Ok(()),
        _ => Err(failed(path, &output.stderr)),
    }
}

/// Removes a file; one that is not there is no error.
pub async fn remove_file(link: &dyn Link, path: &str) -> Result<(), Fault> {
    let output = link.exec(&Command::new(["rm", "-f", "--", path])).await?;
    match output.status {
        Some(0) => Ok(()),
        _ => Err(failed(path, &output.stderr)),
    }
}

/// How large the file system is that a path lies on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes.
    pub size: u64,
    /// Bytes that are not taken and that everybody may take.
    pub free: u64,
}

/// The file system that an absolute path lies on.
pub async fn space(link: &dyn Link, path: &str) -> Result<Space, Fault> {
    let command = Command { deadline: SPACE_LIMIT, ..Command::new(["df", "-P", "-k", path]) };
    let output = link.exec(&command).await?;
    let told = String::from_utf8_lossy(&output.stdout);
    parse_space(&told).filter(|_| output.status == Some(0)).ok_or_else(|| failed(path, &output.stderr))
}

/// Reads what `df -P -k` says of one path: a head line, and one of blocks in all, used, free, and the share
/// that is used. The name of the device before them may have spaces, and so may the path after them.
fn parse_space(text: &str) -> Option<Space> {
    let words: Vec<&str> = text.lines().nth(1)?.split_whitespace().collect();
    words.windows(4).find_map(|four| {
        let [size, used, free, share] = four else { return None };
        share.strip_suffix('%')?.parse::<u8>().ok()?;
        used.parse::<u64>().ok()?;
        let bytes = |blocks: &str| blocks.parse::<u64>().ok()?.checked_mul(1024);
        Some(Space { size: bytes(size)?, free: bytes(free)? })
    })
}

fn failed(path: &str, stderr: &[u8]) -> Fault {
    Fault::new(FaultKind::Internal, format!("{path}: {}", String::from_utf8_lossy(stderr)))
}

/// Reads the answer of [`FIND_SCRIPT`]: two lines per path. `None` when it is not that answer.
fn parse_found(text: &str, count: usize) -> Option<Vec<Option<FoundFile>>> {
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() != count * 2 {
        return None;
    }
    let found = lines.chunks_exact(2).map(|pair| {
        let size = pair[0].trim().parse().ok()?;
        Some(FoundFile { resolved: pair[1].to_owned(), size })
    });
    Some(found.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::process::ThisMachine;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn the_size_of_a_file_system_is_read_whatever_its_device_is_called() {
        let head = "Filesystem 1024-blocks Used Available Capacity Mounted on";
        let space = |line: &str| parse_space(&format!("{head}\n{line}\n"));
        let expected = Some(Space { size: 100 << 10, free: 15 << 10 });
        assert_eq!(space("/dev/sda1 100 80 15 85% /var/lib/docker"), expected);
        assert_eq!(space("//nas/my share 100 80 15 85% /mnt/with 5% in it/x"), expected);
        for no_answer in ["", "df: nothing", "overlay - - - - /", "85% /"] {
            assert_eq!(space(no_answer), None, "{no_answer}");
        }
    }

    #[tokio::test]
    async fn the_size_of_a_file_system_is_that_of_its_machine() {
        let found = space(&ThisMachine, "/").await.unwrap();
        assert!(found.size > 0 && found.free <= found.size, "{found:?}");
        assert!(space(&ThisMachine, "/nowhere/at/all").await.is_err());
    }

    #[tokio::test]
    async fn links_are_resolved_and_what_is_no_file_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let real = at("a $(touch x) 'b'.yml");
        std::fs::write(&real, "12345").unwrap();
        std::os::unix::fs::symlink(&real, at("link.yml")).unwrap();
        std::fs::create_dir(at("dir.yml")).unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(at("socket.yml")).unwrap();
        let asked = [at("link.yml"), at("dir.yml"), at("socket.yml"), at("-none")];
        let found = find_files(&ThisMachine, &asked).await.unwrap();
        let resolved = std::fs::canonicalize(&real).unwrap().to_str().unwrap().to_owned();
        assert_eq!(found, [Some(FoundFile { resolved, size: 5 }), None, None, None]);
    }

    #[tokio::test]
    async fn a_created_file_is_private_new_and_goes_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("it's $HOME").to_str().unwrap().to_owned();
        create_file(&ThisMachine, &path, b"a\0b".to_vec()).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(create_file(&ThisMachine, &path, b"other".to_vec()).await.is_err());
        assert_eq!(read_file(&ThisMachine, &path, 2).await.unwrap(), b"a\0");
        remove_file(&ThisMachine, &path).await.unwrap();
        remove_file(&ThisMachine, &path).await.unwrap();
        assert!(read_file(&ThisMachine, &path, 2).await.is_err());
    }
}
