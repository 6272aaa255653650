//! The docker client of this machine, as a person has it: with a home, and nothing of who runs the trials.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::Fleet;
use super::script::Ran;
use super::service::Home;

/// Beyond what any command here takes on a busy machine.
const LIMIT: &str = "40";

/// docker in a home, whose contexts and plugins it has.
#[derive(Clone, Debug)]
pub struct Docker {
    home: PathBuf,
    variables: Vec<(&'static str, String)>,
}

impl Docker {
    /// docker that goes where its contexts lead.
    pub fn of(home: &Home) -> Self {
        Self { home: home.path().to_owned(), variables: Vec::new() }
    }

    /// docker through the local socket of a host.
    pub fn through(home: &Home, host: &str) -> Self {
        let socket = home.runtime_dir().join("s").join(format!("{host}.sock"));
        Self::of(home).variable("DOCKER_HOST", &format!("unix://{}", socket.display()))
    }

    /// The same with a variable of its environment.
    pub fn variable(mut self, name: &'static str, value: &str) -> Self {
        self.variables.push((name, value.to_owned()));
        self
    }

    /// Gives it the compose plugin of the fleet.
    pub fn with_compose(self, fleet: &Fleet) -> Self {
        let plugins = self.home.join(".docker/cli-plugins");
        fs::create_dir_all(&plugins).expect("a directory of plugins");
        symlink(fleet.compose_plugin(), plugins.join("docker-compose")).expect("a link");
        self
    }

    /// A program as this home's owner runs it, with nothing to read.
    pub fn program(&self, words: &[&str]) -> Command {
        let mut command = Command::new(words[0]);
        command
            .args(&words[1..])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.home)
            // this client may have no buildx, and older engines have no other builder
            .env("DOCKER_BUILDKIT", "0")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.home)
            .stdin(Stdio::null());
        command
    }

    /// The same, killed with all it has started when it runs beyond the limit.
    pub fn limited(&self, words: &[&str]) -> Command {
        self.program(&[&["timeout", "--signal=KILL", LIMIT], words].concat())
    }

    fn command(&self, args: &[&str]) -> Command {
        self.limited(&[&["docker"], args].concat())
    }

    /// Runs it to its end.
    pub fn run(&self, args: &[&str]) -> Ran {
        ran(&mut self.command(args))
    }

    /// The same with an input, which then ends.
    pub fn run_with_input(&self, args: &[&str], input: &str) -> Ran {
        ran(self.command(args).stdin(self.input(input)))
    }

    /// The same under a terminal, on which `input` is typed.
    pub fn run_in_terminal(&self, args: &[&str], input: &str) -> Ran {
        let line = shlex::try_join([&["docker"], args].concat()).expect("words without NUL");
        ran(self.limited(&["script", "-qec", &line, "/dev/null"]).stdin(self.input(input)))
    }

    /// Its output, trimmed; panics with its words when it fails.
    pub fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert!(ran.ok(), "`docker {}`: {ran:?}", args.join(" "));
        ran.stdout.trim().to_owned()
    }

    /// Its words, of which failure is expected.
    pub fn refused(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert!(!ran.ok(), "`docker {}` should fail: {ran:?}", args.join(" "));
        ran.stderr
    }

    /// Starts it and leaves it running.
    pub fn start(&self, args: &[&str]) -> Streaming {
        let said = tempfile::NamedTempFile::new_in(&self.home).expect("a file");
        let out = said.reopen().expect("the file");
        let child = self
            .program(&[&["docker"], args].concat())
            .stderr(out.try_clone().expect("the file"))
            .stdout(out)
            .spawn()
            .expect("docker starts");
        Streaming { child, said }
    }

    fn input(&self, text: &str) -> File {
        use std::io::{Seek as _, Write as _};
        let mut file = tempfile::tempfile_in(&self.home).expect("a file");
        file.write_all(text.as_bytes()).and_then(|()| file.rewind()).expect("a file takes it");
        file
    }
}

fn ran(command: &mut Command) -> Ran {
    let start = Instant::now();
    let output = command.output().expect("timeout(1) runs");
    Ran {
        code: output.status.code().filter(|code| *code != 137).unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        took: start.elapsed(),
    }
}

/// docker at work, killed when dropped.
#[derive(Debug)]
pub struct Streaming {
    child: Child,
    said: tempfile::NamedTempFile,
}

impl Streaming {
    /// All it has said so far, its complaints too.
    pub fn text(&self) -> String {
        fs::read_to_string(&self.said).expect("what it said")
    }

    /// Its exit code, when it has ended by itself.
    pub fn ended(&mut self) -> Option<i32> {
        self.child.try_wait().expect("a child can be asked").and_then(|status| status.code())
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
