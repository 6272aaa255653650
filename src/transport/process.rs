//! Local processes: argument vectors only, bounded output, a deadline, killed when dropped.

use super::{Collected, Command, Output, Sink, Source};
use crate::domain::fault::{Fault, FaultKind};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};

/// A process about to be started: its own process group, so that a signal at the terminal reaches
/// only Dockmaster, and killed when its handle is dropped.
#[expect(clippy::disallowed_methods, reason = "the one place that starts processes")]
pub fn command(program: &str) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(program);
    command.kill_on_drop(true).process_group(0);
    command
}

/// Runs `spec` on this machine and collects what it prints.
pub async fn run(spec: &Command) -> Result<Output, Fault> {
    run_without(spec, &[]).await
}

/// The same, with these variables taken out of its environment.
pub async fn run_without(spec: &Command, variables: &[&str]) -> Result<Output, Fault> {
    let mut collected = Collected::up_to(spec.max_output);
    let status = stream_without(spec, variables, &mut |source, bytes| collected.take(source, bytes)).await?;
    Ok(collected.output(status))
}

/// Runs `spec` on this machine, and hands what it prints to `sink` as it comes.
pub async fn stream(spec: &Command, sink: Sink<'_>) -> Result<Option<i32>, Fault> {
    stream_without(spec, &[], sink).await
}

async fn stream_without(spec: &Command, variables: &[&str], sink: Sink<'_>) -> Result<Option<i32>, Fault> {
    let Some((program, args)) = spec.argv.split_first() else {
        return Err(Fault::new(FaultKind::Internal, "an empty command"));
    };
    let mut command = command(program);
    for variable in variables {
        command.env_remove(variable);
    }
    let mut child = command
        .args(args)
        .stdin(if spec.stdin.is_empty() { Stdio::null() } else { Stdio::piped() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| Fault::new(FaultKind::Internal, format!("cannot start {program}: {error}")))?;
    let (input, out, err) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let work = async {
        let ((), (), status) =
            tokio::join!(pump(out, err, sink), write_all(input, &spec.stdin), child.wait());
        let status = status.map_err(|error| Fault::new(FaultKind::Internal, error.to_string()))?;
        Ok(status.code())
    };
    tokio::time::timeout(spec.deadline, work).await.unwrap_or_else(|_| Err(spec.late()))
}

/// Hands what comes over two streams to `sink`, until both have ended.
pub async fn pump(
    stdout: Option<impl AsyncRead + Unpin>,
    stderr: Option<impl AsyncRead + Unpin>,
    sink: Sink<'_>,
) {
    let (mut stdout, mut stderr) = (stdout, stderr);
    let (mut out, mut err) = (vec![0; CHUNK], vec![0; CHUNK]);
    while stdout.is_some() || stderr.is_some() {
        tokio::select! {
            read = read_some(&mut stdout, &mut out), if stdout.is_some() => match read {
                Some(read) => sink(Source::Stdout, &out[..read]),
                None => stdout = None,
            },
            read = read_some(&mut stderr, &mut err), if stderr.is_some() => match read {
                Some(read) => sink(Source::Stderr, &err[..read]),
                None => stderr = None,
            },
        }
    }
}

/// How much is read at once.
const CHUNK: usize = 16 * 1024;

/// The next bytes of a stream; `None` at its end. One that breaks has ended.
async fn read_some(stream: &mut Option<impl AsyncRead + Unpin>, chunk: &mut [u8]) -> Option<usize> {
    stream.as_mut()?.read(chunk).await.ok().filter(|read| *read > 0)
}

/// The lines of a stream, each bounded: a line without end fills no memory.
pub struct Lines<R> {
    stream: BufReader<R>,
    max: usize,
    /// What is there of the next line.
    line: Vec<u8>,
    any: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// The lines of `stream`, of each its first `max` bytes.
    pub fn new(stream: R, max: usize) -> Self {
        Self { stream: BufReader::new(stream), max, line: vec![], any: false }
    }

    /// The next line without its end; `None` at the end of the stream. The future may be dropped at any
    /// point: nothing is lost.
    pub async fn next(&mut self) -> std::io::Result<Option<String>> {
        loop {
            let chunk = self.stream.fill_buf().await?;
            if chunk.is_empty() {
                return Ok(std::mem::take(&mut self.any).then(|| self.take()));
            }
            self.any = true;
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let part = &chunk[..end.unwrap_or(chunk.len())];
            let room = self.max.saturating_sub(self.line.len());
            self.line.extend_from_slice(&part[..part.len().min(room)]);
            let read = end.map_or(chunk.len(), |end| end + 1);
            self.stream.consume(read);
            if end.is_some() {
                self.any = false;
                return Ok(Some(self.take()));
            }
        }
    }

    fn take(&mut self) -> String {
        let line = std::mem::take(&mut self.line);
        String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned()
    }
}

/// Writes all of `bytes` to a program and closes its input. One that reads no further is no error: its
/// exit status tells whether it had enough.
pub async fn write_all(stream: Option<impl AsyncWrite + Unpin>, bytes: &[u8]) {
    if let Some(mut stream) = stream
        && stream.write_all(bytes).await.is_ok()
    {
        // As above.
        let _ = stream.shutdown().await;
    }
}

/// A number that changes when one of `paths` appears, vanishes, is written or changes hands.
pub fn stamp(paths: impl IntoIterator<Item = PathBuf>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for path in paths {
        let found = std::fs::metadata(&path).ok();
        let facts = found.map(|f| (f.ino(), f.size(), f.mtime(), f.mtime_nsec(), f.mode(), f.uid(), f.gid()));
        (path, facts).hash(&mut hasher);
    }
    hasher.finish()
}

/// A link that runs commands on this machine, for tests of what commands do.
#[cfg(test)]
pub(crate) struct ThisMachine;

#[cfg(test)]
impl super::Link for ThisMachine {
    fn open_engine(&self) -> super::BoxFuture<'_, Result<Box<dyn super::ByteStream>, Fault>> {
        Box::pin(async { Err(Fault::new(FaultKind::NoEngine, "none here")) })
    }

    fn stream<'a>(
        &'a self,
        command: &'a Command,
        sink: Sink<'a>,
    ) -> super::BoxFuture<'a, Result<Option<i32>, Fault>> {
        Box::pin(stream(command, sink))
    }

    fn suspect(&self) {}

    fn route(&self) -> &super::Route {
        unreachable!("no test asks for the way")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn s8_output_is_captured_bounded_and_the_status_is_told() {
        let mut spec = Command::new(["sh", "-c", "head -c 100000 /dev/zero; echo bad >&2; exit 3"]);
        spec.max_output = 10;
        let output = run(&spec).await.unwrap();
        assert_eq!((output.status, output.stdout.len(), output.stderr), (Some(3), 10, b"bad\n".to_vec()));
    }

    #[tokio::test]
    async fn s8_output_is_handed_over_while_the_program_runs() {
        // It ends when it hears, and it hears when its first word was handed over.
        let dir = tempfile::tempdir().unwrap();
        let heard = dir.path().join("heard");
        let script =
            format!("echo first; while [ ! -e {} ]; do sleep 0.01; done; echo last >&2", heard.display());
        let mut said = Vec::new();
        let mut sink = |source, bytes: &[u8]| {
            std::fs::write(&heard, "").unwrap();
            said.push((source, bytes.to_vec()));
        };
        let status = stream(&Command::new(["sh", "-c", &script]), &mut sink).await;
        assert_eq!(status, Ok(Some(0)));
        assert_eq!(said, [(Source::Stdout, b"first\n".to_vec()), (Source::Stderr, b"last\n".to_vec())]);
    }

    #[tokio::test]
    async fn s8_words_are_never_read_by_a_shell() {
        let output = run(&Command::new(["printf", "%s|", "a b", "$(id)", "'; true", "--"])).await.unwrap();
        assert_eq!(output.stdout, b"a b|$(id)|'; true|--|");
    }

    #[tokio::test]
    async fn s8_the_deadline_ends_the_process() {
        let mut spec = Command::new(["sleep", "600"]);
        spec.deadline = Duration::from_millis(50);
        let fault = run(&spec).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::Deadline);
    }

    #[tokio::test]
    async fn lines_are_read_to_their_end_and_kept_to_their_bound() {
        let stream = std::io::Cursor::new(b"one\r\n\nfar too long a line\nlast".to_vec());
        let (mut lines, mut read) = (Lines::new(stream, 7), Vec::new());
        while let Some(line) = lines.next().await.unwrap() {
            read.push(line);
        }
        assert_eq!(read, ["one", "", "far too", "last"]);
    }

    #[tokio::test]
    async fn a_line_whose_reader_was_dropped_half_way_is_whole_at_the_next_reading() {
        let (mut writer, stream) = tokio::io::duplex(64);
        let mut lines = Lines::new(stream, 100);
        writer.write_all(b"half").await.unwrap();
        assert!(futures_util::FutureExt::now_or_never(lines.next()).is_none());
        writer.write_all(b" and half\n").await.unwrap();
        assert_eq!(lines.next().await.unwrap().as_deref(), Some("half and half"));
    }

    #[test]
    fn a_stamp_changes_with_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("known_hosts");
        let missing = stamp([path.clone()]);
        std::fs::write(&path, "a").unwrap();
        let there = stamp([path.clone()]);
        std::fs::write(&path, "ab").unwrap();
        assert!(missing != there && there != stamp([path]));
    }
}
