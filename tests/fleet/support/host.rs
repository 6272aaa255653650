//! One host: its faults, its counters, and ways in.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::processes::{self, Process};
use super::recorder::EngineRecorder;
use super::script::{self, Ran, Running, Script};
use super::wait::wait_for;

const VERB: Duration = Duration::from_secs(90);
const DOCKER: Duration = Duration::from_secs(40);

/// What can be stopped and let go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The sshd processes of established connections.
    SshSessions,
    /// The sshd process that takes new connections.
    SshListener,
    /// The engine.
    Engine,
}

impl Part {
    fn word(self) -> &'static str {
        match self {
            Self::SshSessions => "sshd",
            Self::SshListener => "listener",
            Self::Engine => "dockerd",
        }
    }
}

/// What a host can have for an engine. `Rootless` and `Tls` are the usual one, found elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// The usual one.
    Default,
    /// Docker 26.1 with API 1.45, and data of its own.
    Docker26,
    /// Podman, with data of its own; the host has no docker CLI.
    Podman,
    /// Only at the socket in the runtime directory of `ops`, which belongs to `ops`.
    Rootless,
    /// Also at a tcp port that wants client certificates.
    Tls,
}

impl Engine {
    fn word(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Docker26 => "docker-26",
            Self::Podman => "podman",
            Self::Rootless => "rootless",
            Self::Tls => "tls",
        }
    }
}

/// A host of the fleet. Its methods block, and panic with the script's words on failure.
#[derive(Debug)]
pub struct Host {
    script: Script,
    name: String,
    address: Ipv4Addr,
    state: PathBuf,
    cut_off: AtomicBool,
}

impl Host {
    pub(super) fn new(script: Script, name: &str, state: &Path) -> Self {
        let number: u8 = name.trim_start_matches('h').parse().expect("h1, h2, ...");
        let address = format!("{}.{}", script.net, 10 + number).parse().expect("an address");
        let cut_off = AtomicBool::new(false);
        Self { script, name: name.to_owned(), address, state: state.to_owned(), cut_off }
    }

    fn verb(&self, verb: &str, more: &[&str]) -> String {
        let args = [&[verb, self.name.as_str()], more].concat();
        self.script.verb(&args, VERB)
    }

    /// Its name, which is also its host name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Where its sshd listens.
    pub fn ssh_address(&self) -> SocketAddr {
        SocketAddr::from((self.address, 22))
    }

    /// The id of its first process on this machine; another one after each boot.
    pub fn pid(&self) -> u32 {
        let file = self.state.join(&self.name).join("pid");
        let pid = fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok());
        pid.unwrap_or_else(|| panic!("{} is powered off", self.name))
    }

    /// Pulls the plug: its connections get no goodbye, and its address is silent.
    pub fn power_off(&self) {
        self.verb("power-off", &[]);
    }

    /// Boots it from the same disk and waits for its engine. Nothing happens when it is up.
    pub fn boot(&self) {
        self.verb("boot", &[]);
    }

    /// Packets vanish, both ways.
    pub fn partition(&self) {
        self.cut_off.store(true, Ordering::SeqCst);
        self.verb("partition", &[]);
    }

    /// Packets pass again.
    pub fn heal(&self) {
        self.verb("heal", &[]);
    }

    /// Stops a part where it stands: its connections stay open and nothing answers.
    pub fn hang(&self, part: Part) {
        self.verb("hang", &[part.word()]);
    }

    /// Lets it go on.
    pub fn resume(&self, part: Part) {
        self.verb("resume", &[part.word()]);
    }

    /// Takes sshd's listener away: connections are refused, established ones stay.
    pub fn refuse(&self) {
        self.verb("refuse", &[]);
    }

    /// Brings the listener back.
    pub fn accept(&self) {
        self.verb("accept", &[]);
    }

    /// Restarts the listener with these lines of `sshd_config` on top; none: the defaults.
    pub fn sshd_options(&self, options: &[&str]) {
        self.verb("sshd-option", options);
    }

    /// Gives sshd another host key than the fleet's `known_hosts` says.
    pub fn change_host_key(&self) {
        self.verb("change-host-key", &[]);
    }

    /// Gives it its true key back.
    pub fn restore_host_key(&self) {
        self.verb("restore-host-key", &[]);
    }

    /// No client key is accepted any more.
    pub fn wrong_key(&self) {
        self.verb("wrong-key", &[]);
    }

    /// The fleet's client key is accepted again.
    pub fn right_key(&self) {
        self.verb("right-key", &[]);
    }

    /// Ends the engine without warning.
    pub fn kill_engine(&self) {
        self.verb("kill", &["dockerd"]);
    }

    /// Starts a killed engine and waits until it answers.
    pub fn start_engine(&self) {
        self.verb("start", &["dockerd"]);
    }

    /// Gives it another engine and waits until that answers; it has the fleet's image. Whoever
    /// puts a recorder there does so afterwards.
    pub fn engine(&self, engine: Engine) {
        self.verb("engine", &[engine.word()]);
    }

    /// Where an engine of [`Engine::Tls`] listens.
    pub fn tls_address(&self) -> SocketAddr {
        SocketAddr::from((self.address, 2376))
    }

    /// Every login runs `docker system dial-stdio`, whatever the client asks for.
    pub fn forced_command(&self, on: bool) {
        self.verb("forced-command", &[if on { "on" } else { "off" }]);
    }

    /// `guest`, who may not open the engine's socket, may run docker with sudo.
    pub fn sudo(&self, on: bool) {
        self.verb("sudo", &[if on { "on" } else { "off" }]);
    }

    /// A registry at its own loopback, which is [`REGISTRY`] to its engine. Switched off, what it held is gone.
    pub fn registry(&self, on: bool) {
        self.verb("registry", &[if on { "on" } else { "off" }]);
    }

    /// Ends every established ssh connection; the listener stays.
    pub fn kill_ssh_sessions(&self) {
        self.verb("kill", &["sshd-sessions"]);
    }

    /// The docker CLI straight at the engine, past ssh and past recorders; its output, trimmed.
    pub fn docker(&self, args: &[&str]) -> String {
        self.try_docker(args).unwrap_or_else(|ran| {
            panic!("`docker {}` on {}: {}{}", args.join(" "), self.name, ran.stdout, ran.stderr)
        })
    }

    /// The same, with the failure as a value.
    pub fn try_docker(&self, args: &[&str]) -> Result<String, Ran> {
        let args = [&["docker", self.name.as_str()], args].concat();
        let ran = self.script.try_verb(&args, DOCKER);
        if ran.ok() { Ok(ran.stdout.trim().to_owned()) } else { Err(ran) }
    }

    /// `docker run -d` with these arguments: the container's id.
    pub fn run_container(&self, args: &[&str]) -> String {
        self.docker(&[&["run", "-d"], args].concat())
    }

    /// Whether packets were lost since the last reset, among them the goodbyes of clients.
    pub(super) fn was_cut_off(&self) -> bool {
        self.cut_off.load(Ordering::SeqCst)
    }

    /// Ends what came in by ssh and what it left running: a command without a terminal
    /// outlives its connection.
    pub fn end_ssh(&self) {
        let guests = processes::from_ssh(&self.processes());
        processes::end(&guests);
        let ended = || guests.iter().all(|process| !process.lives());
        wait_for("the end of what came by ssh", Duration::from_secs(10), ended);
        self.cut_off.store(false, Ordering::SeqCst);
    }

    /// A command as root inside the host; its output, trimmed.
    pub fn exec(&self, command: &[&str]) -> String {
        self.verb("exec", command).trim().to_owned()
    }

    /// The docker clients in the path of its users.
    pub fn docker_clients(&self) -> Vec<String> {
        // `/bin` may be `/usr/bin`.
        let script =
            "for d in $(echo $PATH | tr : ' '); do [ -x $d/docker ] && readlink -f $d/docker; done | sort -u";
        self.exec(&["sh", "-c", script]).lines().map(ToOwned::to_owned).collect()
    }

    /// The same for cleaning up, where a failure may only be told: a panic in a destructor that
    /// runs because of another one would end the whole run.
    pub fn clean_up(&self, command: &[&str]) {
        let args = [&["exec", self.name.as_str()], command].concat();
        let ran = self.script.try_verb(&args, VERB);
        if !ran.ok() {
            eprintln!("{}: `{}`: {}", self.name, command.join(" "), ran.stderr.trim());
        }
    }

    /// OpenSSH's own client as `user`, with the fleet's configuration and these options.
    pub fn ssh(&self, user: &str, options: &[&str], command: &str) -> Ran {
        let args = self.ssh_words(user, options, command);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        script::run("ssh", &args, Duration::from_secs(60))
    }

    /// The same with an input, which then ends.
    pub fn ssh_with_input(&self, user: &str, input: &str, command: &str) -> Ran {
        let args = self.ssh_words(user, &[], command);
        let feed = ["-c", "printf %s \"$0\" | ssh \"$@\"", input];
        let args: Vec<&str> = feed.into_iter().chain(args.iter().map(String::as_str)).collect();
        script::run("sh", &args, Duration::from_secs(60))
    }

    /// The same, left running until it is dropped.
    pub fn ssh_stays(&self, user: &str, options: &[&str], command: &str) -> Running {
        Running::start("ssh", &self.ssh_words(user, options, command))
    }

    fn ssh_words(&self, user: &str, options: &[&str], command: &str) -> Vec<String> {
        let config = self.state.join("client/ssh_config").display().to_string();
        let mut words = vec!["-F", &config];
        words.extend(options);
        // after the options: for ssh the first value counts
        words.extend(["-o", "ConnectTimeout=15", "-l", user, &self.name, command]);
        words.into_iter().map(str::to_owned).collect()
    }

    /// All that sshd has logged since the host was made.
    pub fn sshd_log(&self) -> String {
        fs::read_to_string(self.state.join(&self.name).join("sshd.log")).unwrap_or_default()
    }

    /// Its engine's log.
    pub fn engine_log(&self) -> String {
        fs::read_to_string(self.state.join(&self.name).join("dockerd.log")).unwrap_or_default()
    }

    fn sshd_lines(&self, wanted: impl Fn(&str) -> bool) -> usize {
        self.sshd_log().lines().filter(|line| wanted(line)).count()
    }

    /// Logins so far: compare two readings.
    pub fn ssh_logins(&self) -> usize {
        self.sshd_lines(|line| line.starts_with("Accepted publickey for "))
    }

    /// Sessions so far that sshd began: one for a shell, a command or a `dial-stdio`, and none for a forward.
    pub fn ssh_sessions(&self) -> usize {
        self.sshd_lines(|line| line.starts_with("Starting session: "))
    }

    /// Connections so far that sshd took, whatever became of them.
    pub fn ssh_attempts(&self) -> usize {
        self.sshd_lines(|line| line.starts_with("Connection from "))
    }

    /// Connections so far that ended before a login: a wrong key, a client that did not
    /// trust the host, a client that gave up.
    pub fn ssh_failures(&self) -> usize {
        let ends = ["Connection closed by ", "Connection reset by ", "Disconnected from "];
        self.sshd_lines(|line| line.ends_with("[preauth]") && ends.iter().any(|end| line.starts_with(end)))
    }

    /// The host's own processes, without those of containers.
    pub fn processes(&self) -> Vec<Process> {
        processes::of_namespace(self.pid())
    }

    /// Those whose command line matches, for instance `dial-stdio`.
    pub fn processes_matching(&self, pattern: &str) -> Vec<Process> {
        processes::matching(&self.processes(), pattern)
    }

    /// Live sshd processes that serve connections: two to a connection unless it is root's.
    pub fn ssh_session_processes(&self) -> usize {
        processes::ssh_sessions(&self.processes()).len()
    }

    /// Live ssh connections as the host sees them.
    pub fn ssh_connections(&self) -> usize {
        processes::ssh_connections(&self.processes()).len()
    }

    /// Where clients on the host find its engine: a path of the host.
    pub fn door(&self) -> String {
        let file = self.state.join(&self.name).join("conf/door");
        fs::read_to_string(file).expect("written at every start").trim().to_owned()
    }

    /// The engine's socket by a path that works from this machine, until the next boot.
    pub fn engine_socket(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root/run/engine.sock", self.pid()))
    }

    /// Connections to its engine that somebody holds: older engines keep their own end of an ended
    /// `exec` for a while, which is no affair of the client's.
    pub fn engine_connections(&self) -> usize {
        let sockets = fs::read_to_string(format!("/proc/{}/net/unix", self.pid())).expect("the host is up");
        // of a connection (03) it is the engine's end that bears a name; its third reference is the client
        let held = |line: &&str| line.contains(": 00000003 ") && line.contains(" 03 ");
        sockets.lines().filter(|line| line.ends_with(" /run/engine.sock")).filter(held).count()
    }

    /// Puts a recorder where clients on the host find the engine. See [`EngineRecorder`].
    pub fn record_engine(&self) -> EngineRecorder {
        let door = format!("/proc/{}/root{}", self.pid(), self.door());
        EngineRecorder::install(self.engine_socket(), door.into())
            .unwrap_or_else(|error| panic!("no recorder on {}: {error}", self.name))
    }
}
