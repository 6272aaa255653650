//! The service under test: the real binary, started as an operator starts it.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Stdio as Pipe};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::mcp_client::{McpClient, Reply, ToolAnswer};
use super::schemas;
use super::wait::{BUSY, eventually, holds_within, wait_for};
use super::{Fleet, Host, SlowProxy, temp_dir};

const START: Duration = Duration::from_secs(20);
const STOP: Duration = Duration::from_secs(20);

/// How long a host may take to become ready when nothing is wrong with it.
pub const READY: Duration = Duration::from_secs(30);

/// What a service is started with.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    hosts: String,
    hosts_file: PathBuf,
    /// What stands above the ssh configuration.
    aliases: String,
    ssh_config: PathBuf,
    variables: Vec<(String, String)>,
}

impl ServiceConfig {
    /// No host yet.
    pub fn none(fleet: &Fleet) -> Self {
        Self {
            hosts: "hosts:\n".to_owned(),
            hosts_file: "hosts.yml".into(),
            aliases: String::new(),
            ssh_config: fleet.ssh_config(),
            variables: vec![],
        }
    }

    /// The hosts h1, h2 and h3 of the fleet, user ops.
    pub fn all(fleet: &Fleet) -> Self {
        fleet.hosts()[..3].iter().fold(Self::none(fleet), |config, host| config.with(host, &[]))
    }

    /// One more host of the fleet under its own name, with further lines such as `tags: [a]`.
    pub fn with(self, host: &Host, more: &[&str]) -> Self {
        let address = format!("hostname: {}", host.address());
        let lines = [&[address.as_str(), "user: ops"], more].concat();
        self.entry(host.name(), &lines)
    }

    /// One more entry, in these words.
    pub fn entry(mut self, id: &str, lines: &[&str]) -> Self {
        self.hosts.push_str(&format!("  {id}:\n"));
        for line in lines {
            self.hosts.push_str(&format!("    {line}\n"));
        }
        self
    }

    /// A host of the fleet under a name of its own, by way of a proxy.
    pub fn through(mut self, id: &str, host: &Host, proxy: &SlowProxy) -> Self {
        let (port, known_as) = (proxy.addr().port(), host.address());
        self.aliases.push_str(&format!(
            "Host {id}\n    HostName 127.0.0.1\n    Port {port}\n    User ops\n    HostKeyAlias {known_as}\n\n"
        ));
        self.entry(id, &[&format!("ssh_alias: {id}")])
    }

    /// A line under `server:`, which stands above the hosts.
    pub fn server(mut self, line: &str) -> Self {
        self.hosts.insert_str(0, &format!("server:\n  {line}\n"));
        self
    }

    /// Another place for the hosts file than the top of its home.
    pub fn hosts_file(mut self, below_home: &str) -> Self {
        self.hosts_file = below_home.into();
        self
    }

    /// Another ssh configuration than the fleet's.
    pub fn ssh_config(mut self, path: impl Into<PathBuf>) -> Self {
        self.ssh_config = path.into();
        self
    }

    /// A variable of the service's environment.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The hosts file.
    pub fn yaml(&self) -> &str {
        &self.hosts
    }
}

/// Directories of one service's own: nothing of the person who runs the tests gets in.
#[derive(Debug)]
pub struct Home {
    dir: TempDir,
    hosts_file: PathBuf,
    ssh_config: PathBuf,
    variables: Vec<(String, String)>,
}

impl Drop for Home {
    /// A docker client that a killed service had started may write for a moment longer.
    fn drop(&mut self) {
        let (path, mut gone) = (self.path().to_owned(), 0);
        holds_within(STOP, || {
            drop(std::fs::remove_dir_all(&path));
            gone = if path.exists() { 0 } else { gone + 1 };
            gone > 20
        });
    }
}

impl Home {
    /// Fresh directories with a hosts file.
    pub fn new(config: &ServiceConfig) -> Self {
        let dir = temp_dir();
        let ServiceConfig { hosts_file, aliases, mut ssh_config, variables, .. } = config.clone();
        if !aliases.is_empty() {
            let theirs = std::fs::read_to_string(&ssh_config).expect("an ssh configuration");
            ssh_config = dir.path().join("ssh_config");
            std::fs::write(&ssh_config, aliases + &theirs).expect("an ssh configuration");
        }
        let home = Self { dir, hosts_file, ssh_config, variables };
        for name in ["data", "r", "config", "work"] {
            std::fs::DirBuilder::new().mode(0o700).create(home.path().join(name)).expect("a directory");
        }
        let file = home.hosts_file();
        std::fs::create_dir_all(file.parent().expect("below home")).expect("a directory");
        std::fs::write(file, config.yaml()).expect("a hosts file");
        home
    }

    /// The services to come have no variables of their own.
    pub fn forget_variables(&mut self) {
        self.variables.clear();
    }

    /// Its top.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The hosts file that `--config` names.
    pub fn hosts_file(&self) -> PathBuf {
        self.path().join(&self.hosts_file)
    }

    /// Where the token lies.
    pub fn token_file(&self) -> PathBuf {
        self.path().join("data/token")
    }

    /// Below it each service has a directory while it runs.
    pub fn runtime_dir(&self) -> PathBuf {
        self.path().join("r")
    }

    /// The names in the runtime directory: one for each service that has not cleaned up.
    pub fn runtime_entries(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.runtime_dir()).expect("the runtime directory");
        let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
        // The directories of sockets are no service's own.
        names.filter(|name| !["s", "c"].contains(&&**name)).collect()
    }

    /// The binary, to be run here with the fleet's ssh configuration and a hosts file.
    pub fn command_with(&self, hosts_file: &Path, args: &[&str]) -> std::process::Command {
        let mut command = self.bare_command(args);
        command.arg("--config").arg(hosts_file).arg("--ssh-config").arg(&self.ssh_config);
        command
    }

    /// The same with this home's hosts file.
    pub fn command(&self, args: &[&str]) -> std::process::Command {
        self.command_with(&self.hosts_file(), args)
    }

    /// The same with no hosts file named: the person's own counts, and that of the directory.
    pub fn command_here(&self, args: &[&str]) -> std::process::Command {
        let mut command = self.bare_command(args);
        command.arg("--ssh-config").arg(&self.ssh_config);
        command
    }

    fn bare_command(&self, args: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_dockmaster"));
        command
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path())
            .env("XDG_CONFIG_HOME", self.path().join("config"))
            .env("DOCKMASTER_DATA_DIR", self.path().join("data"))
            .env("DOCKMASTER_RUNTIME_DIR", self.runtime_dir())
            .env("DOCKMASTER_TOOLSETS", "all")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(self.path().join("work"));
        command
    }

    /// Runs the binary to its end, which must come by itself, with nothing to read.
    pub fn run(&self, hosts_file: &Path, args: &[&str]) -> Ended {
        Self::ended(self.command_with(hosts_file, args))
    }

    /// The same as [`Self::command_here`] has it.
    pub fn run_here(&self, args: &[&str]) -> Ended {
        Self::ended(self.command_here(args))
    }

    fn ended(mut command: std::process::Command) -> Ended {
        let child = command
            .stdin(Pipe::null())
            .stdout(Pipe::piped())
            .stderr(Pipe::piped())
            .spawn()
            .expect("the binary starts");
        let mut process = Process::new(child);
        let mut stdout = String::new();
        let status = process.exit(STOP);
        let out = process.child.stdout.take();
        out.expect("a pipe").read_to_string(&mut stdout).expect("text");
        process.log.wait_for_end();
        Ended { status, stdout, stderr: process.log.text() }
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it said.
    pub stdout: String,
    /// What it logged.
    pub stderr: String,
}

/// What a process writes to its standard error, collected while it runs.
#[derive(Clone, Debug, Default)]
struct Log {
    lines: Arc<Mutex<Vec<String>>>,
    ended: Arc<std::sync::atomic::AtomicBool>,
}

impl Log {
    fn collect(stderr: impl Read + Send + 'static) -> Self {
        let log = Self::default();
        let kept = log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines() {
                let Ok(line) = line else { break };
                kept.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
            kept.ended.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        log
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn text(&self) -> String {
        self.lines().join("\n")
    }

    fn wait_for_end(&self) {
        let ended = || self.ended.load(std::sync::atomic::Ordering::SeqCst);
        wait_for("the end of its standard error", STOP, ended);
    }
}

/// A child with its log. Killed when dropped; its log is shown when that is by a panic.
#[derive(Debug)]
struct Process {
    child: Child,
    log: Log,
}

impl Process {
    fn new(mut child: Child) -> Self {
        let log = Log::collect(child.stderr.take().expect("a pipe"));
        Self { child, log }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process number");
        kill_process(pid, signal).expect("the process takes a signal");
    }

    /// Its exit status, for which it has `limit`.
    fn exit(&mut self, limit: Duration) -> ExitStatus {
        let mut status = None;
        wait_for("the end of dockmaster", limit, || {
            status = self.child.try_wait().expect("a child can be asked");
            status.is_some()
        });
        status.expect("just seen")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            let lines = self.log.lines();
            for line in &lines[lines.len().saturating_sub(60)..] {
                eprintln!("dockmaster: {line}");
            }
        }
    }
}

/// `dockmaster serve`, running.
pub struct Service {
    process: Process,
    client: McpClient,
    home: Home,
}

impl Service {
    /// Starts it on a free port and waits until it listens.
    pub fn start(config: &ServiceConfig) -> Self {
        Self::start_in(Home::new(config))
    }

    /// Starts it in directories that may have been used before.
    pub fn start_in(home: Home) -> Self {
        let child = home
            .command(&["serve", "--port", "0"])
            .stdin(Pipe::null())
            .stdout(Pipe::null())
            .stderr(Pipe::piped())
            .spawn()
            .expect("the binary starts");
        let mut process = Process::new(child);
        let mut address = None;
        wait_for("dockmaster serves", START, || {
            if let Some(status) = process.child.try_wait().expect("a child can be asked") {
                panic!("dockmaster ended with {status}");
            }
            address = process.log.lines().iter().find_map(|line| served_address(line));
            address.is_some()
        });
        let client = McpClient::new(address.expect("just seen"));
        Self { process, client, home }
    }

    /// Calls a tool; panics when the protocol itself fails.
    pub async fn call(&self, tool: &str, arguments: Value) -> ToolAnswer {
        self.client.call(tool, arguments).await
    }

    /// Calls a tool of which success is expected, and gives its structured answer, which is as the tool declares it.
    pub async fn structured(&self, tool: &str, arguments: Value) -> Value {
        let answer = self.call(tool, arguments).await;
        assert!(!answer.is_error, "{tool}: {}", answer.text);
        let complaints = schemas::complaints(tool, &answer.structured);
        assert!(complaints.is_empty(), "{complaints:#?} in {:#}", answer.structured);
        answer.structured
    }

    /// The same of a tool that may want a person's agreement, which it gets.
    pub async fn agreed(&self, tool: &str, mut arguments: Value) -> Value {
        let answer = self.structured(tool, arguments.clone()).await;
        if answer.get("confirm").is_none() {
            return answer;
        }
        arguments["confirm"] = answer["confirm"].clone();
        self.structured(tool, arguments).await
    }

    /// Calls a tool that is to fail although a person agreed, if it asks for that; gives its words.
    pub async fn agreed_refusal(&self, tool: &str, mut arguments: Value) -> String {
        let answer = self.call(tool, arguments.clone()).await;
        if answer.is_error {
            return answer.text;
        }
        arguments["confirm"] = answer.structured["confirm"].clone();
        self.refusal(tool, arguments).await
    }

    /// Calls a tool of which success is expected, and gives its text.
    pub async fn text(&self, tool: &str, arguments: Value) -> String {
        let answer = self.call(tool, arguments).await;
        assert!(!answer.is_error, "{tool}: {}", answer.text);
        answer.text
    }

    /// Calls a tool of which failure is expected, and gives the words.
    pub async fn refusal(&self, tool: &str, arguments: Value) -> String {
        let answer = self.call(tool, arguments).await;
        assert!(answer.is_error, "{tool} should fail: {} {}", answer.structured, answer.text);
        answer.text
    }

    /// The client, for requests that are no calls.
    pub fn client(&self) -> &McpClient {
        &self.client
    }

    /// A request with nothing added to it.
    pub async fn raw_http(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        self.client.raw(method, path, headers, body).await
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.client.address()
    }

    /// The row of a host in `host_list`.
    pub async fn row(&self, host: &str) -> Value {
        let listed = self.structured("host_list", json!({"hosts": host})).await;
        listed["hosts"][0].clone()
    }

    /// Whether the host's line is up, as the service sees it.
    pub async fn is_ready(&self, host: &str) -> bool {
        self.row(host).await["phase"] == "ready"
    }

    /// Waits until all of these hosts are ready.
    pub async fn wait_ready(&self, hosts: &[&str]) {
        self.wait_ready_within(hosts, READY).await;
    }

    /// The same with a limit of its own.
    pub async fn wait_ready_within(&self, hosts: &[&str], limit: Duration) {
        for host in hosts {
            let what = format!("{host} is ready");
            eventually(&what, limit, async || self.is_ready(host).await).await;
        }
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its directories.
    pub fn home(&self) -> &Home {
        &self.home
    }

    /// What it has logged.
    pub fn log(&self) -> Vec<String> {
        self.process.log.lines()
    }

    /// Tells it to read its configuration again.
    pub fn reload(&self) {
        self.process.signal(Signal::HUP);
    }

    /// Tells it to end, and gives its exit status and its directories.
    pub fn stop(mut self) -> (ExitStatus, Home) {
        self.process.signal(Signal::TERM);
        (self.process.exit(STOP), self.home)
    }

    /// Waits for an end that nobody asks for, and gives its exit status and its directories.
    pub fn ended(mut self) -> (ExitStatus, Home) {
        (self.process.exit(STOP), self.home)
    }

    /// Ends it without a chance to clean up.
    pub fn kill(mut self) -> Home {
        self.process.signal(Signal::KILL);
        let status = self.process.exit(STOP);
        assert_eq!(status.signal(), Some(9), "it was killed and did not end by itself");
        self.home
    }
}

/// The address in `serving MCP at http://ADDRESS/mcp`.
fn served_address(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line.split_once("serving MCP at http://")?;
    rest.split_once("/mcp")?.0.parse().ok()
}

/// `dockmaster stdio` as a client starts it: a child that reads and writes lines.
pub struct Stdio {
    process: Process,
    input: Option<std::process::ChildStdin>,
    lines: std::sync::mpsc::Receiver<String>,
    _home: Option<Home>,
}

impl Stdio {
    /// Starts it; says nothing yet.
    pub fn start(config: &ServiceConfig) -> Self {
        let home = Home::new(config);
        let started = Self::start_with(home.command(&["stdio"]));
        Self { _home: Some(home), ..started }
    }

    /// Starts it by a command of a home that is kept elsewhere.
    pub fn start_with(mut command: std::process::Command) -> Self {
        let mut child = command
            .stdin(Pipe::piped())
            .stdout(Pipe::piped())
            .stderr(Pipe::piped())
            .spawn()
            .expect("the binary starts");
        let (input, output) = (child.stdin.take(), child.stdout.take().expect("a pipe"));
        let (give, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if give.send(line).is_err() {
                    break;
                }
            }
        });
        Self { process: Process::new(child), input, lines, _home: None }
    }

    /// Writes a line as it is.
    pub fn send_raw(&mut self, line: &str) {
        use std::io::Write as _;
        let input = self.input.as_mut().expect("the input is open");
        input.write_all(format!("{line}\n").as_bytes()).expect("dockmaster reads");
    }

    /// Writes a message.
    pub fn send(&mut self, message: &Value) {
        self.send_raw(&message.to_string());
    }

    /// The next message, whatever it is.
    pub fn receive_any(&mut self) -> Value {
        let line = self.lines.recv_timeout(Duration::from_secs(40) * BUSY).expect("an answer");
        serde_json::from_str(&line).expect("only the protocol on standard output")
    }

    /// The next message with this id; every line must be one of the protocol.
    pub fn receive(&mut self, id: u64) -> Value {
        loop {
            let message = self.receive_any();
            assert_eq!(message["jsonrpc"], "2.0", "{message}");
            if message["id"] == id {
                return message;
            }
        }
    }

    /// Shakes hands as clients of the first era do.
    pub fn initialize(&mut self) -> Value {
        self.send(&json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-06-18", "capabilities": {},
            "clientInfo": {"name": "trial", "version": "1"}}}));
        let answer = self.receive(0);
        self.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
        answer
    }

    /// Calls a tool.
    pub fn call(&mut self, id: u64, tool: &str, arguments: &Value) -> ToolAnswer {
        self.send(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/call",
            "params": {"name": tool, "arguments": arguments}}));
        ToolAnswer::of(&self.receive(id))
    }

    /// What it has logged.
    pub fn log(&self) -> Vec<String> {
        self.process.log.lines()
    }

    /// Ends its input.
    pub fn close_input(&mut self) {
        self.input = None;
    }

    /// Waits for its end.
    pub fn exit(&mut self) -> ExitStatus {
        self.exit_within(STOP)
    }

    /// Waits for its end at most so long.
    pub fn exit_within(&mut self, limit: Duration) -> ExitStatus {
        self.process.exit(limit)
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.process.signal(Signal::KILL);
        assert_eq!(self.exit().signal(), Some(9), "it was killed and did not end by itself");
    }
}

/// The mode of a file, its type left out.
pub fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("the file is there").permissions().mode() & 0o7777
}
