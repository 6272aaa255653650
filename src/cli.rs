//! Floor 6: the command line.

use crate::app::{App, Ended, Front};
use crate::config::{Environment, Settings, Sources, init, load, show};
use crate::runtime::telemetry;
use crate::transport::ssh::SshSettings;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// The service manager is to start the process anew (`EX_SOFTWARE` of sysexits.h).
const EXIT_MELTDOWN: u8 = 70;

/// The configuration is at fault (`EX_CONFIG` of sysexits.h).
const EXIT_CONFIG: u8 = 78;

/// A supervised, always-on line to every Docker host you own, served to AI assistants over MCP.
#[derive(Debug, Parser)]
#[command(name = "dockmaster", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Common {
    /// Hosts file to use in place of ./config/hosts.yml
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How much to log: DEBUG, INFO, WARNING or ERROR
    #[arg(long, global = true, value_name = "LEVEL")]
    log_level: Option<String>,
    /// ssh configuration to use in place of your own and the system's
    #[arg(long, global = true, value_name = "FILE", env = "DOCKMASTER_SSH_CONFIG")]
    ssh_config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service: MCP over HTTP at /mcp
    Serve {
        /// Address to listen on; other than loopback every client needs the token
        #[arg(long, value_name = "ADDRESS")]
        host: Option<String>,
        /// Port to listen on; 0 takes a free one
        #[arg(long, value_name = "PORT")]
        port: Option<String>,
    },
    /// Serve one MCP client on standard input and output
    Stdio,
    /// Look at the configuration without running the service
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Write a first hosts file and show how to add Dockmaster to an assistant
    Init {
        /// Take these hosts of your ssh configuration
        #[arg(value_name = "ALIAS")]
        aliases: Vec<String>,
        /// Take every host of your ssh configuration
        #[arg(long, conflicts_with = "aliases")]
        all: bool,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Print every value with where it comes from
    Show,
    /// Say whether the configuration can be used: exit code 0, or 78 with what to change
    Check {
        /// Take a warning, such as an unknown key, for a fault
        #[arg(long)]
        strict: bool,
    },
    /// Print the files that are looked at, the one that counts most first
    Path,
}

impl Cli {
    /// Runs the command; the code is the process's.
    pub async fn run(self) -> ExitCode {
        let mut sources = Sources {
            config: self.common.config,
            log_level: self.common.log_level,
            environment: Environment::of_process(),
            ..Sources::default()
        };
        let ssh = SshSettings { config: self.common.ssh_config };
        match self.command {
            Command::Serve { host, port } => {
                (sources.host, sources.port) = (host, port);
                sources.project = std::env::current_dir().ok();
                serve(sources, ssh, Front::Http).await
            }
            // Clients start this in whatever project is open, whose files must not decide.
            Command::Stdio => serve(sources, ssh, Front::Stdio).await,
            Command::Config(command) => {
                sources.project = std::env::current_dir().ok();
                look(&sources, &command)
            }
            Command::Init { aliases, all } => run_init(&sources, &ssh, &aliases, all).await,
        }
    }
}

/// Says on standard error what keeps the process from its work.
#[expect(clippy::print_stderr, reason = "the process ends with this; the log may not show it")]
pub fn refuse(error: &dyn std::error::Error, code: u8) -> ExitCode {
    eprintln!("dockmaster: {error}");
    let mut source = error.source();
    while let Some(error) = source {
        eprintln!("  because: {error}");
        source = error.source();
    }
    ExitCode::from(code)
}

async fn serve(sources: Sources, ssh: SshSettings, front: Front) -> ExitCode {
    let settings = match load(&sources) {
        Ok(settings) => settings,
        Err(error) => return refuse(&error, EXIT_CONFIG),
    };
    telemetry::init(settings.log_level.value);
    announce(&settings);
    let app = match App::start(sources, settings, ssh, front).await {
        Ok(app) => app,
        Err(error) => return refuse(&error, 1),
    };
    if let Some(address) = app.address {
        tracing::info!("serving MCP at http://{address}/mcp");
    }
    // Outside systemd there is nobody to tell.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    match live(app).await {
        Ended::Stopped => ExitCode::SUCCESS,
        Ended::Meltdown => ExitCode::from(EXIT_MELTDOWN),
    }
}

fn announce(settings: &Settings) {
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    for (id, host) in &settings.hosts {
        tracing::info!(host = %id, endpoint = host.value.endpoint.url(), from = %host.origin, "configured");
    }
    if settings.hosts.is_empty() {
        tracing::warn!("no hosts are configured and this machine has no engine: run dockmaster init");
    }
}

/// Lives until a signal, the end of the front, or a meltdown.
async fn live(mut app: App) -> Ended {
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()))
    else {
        tracing::error!("signals cannot be received");
        app.shutdown().await;
        return Ended::Stopped;
    };
    let stopping = app.stopping();
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            () = stopping.cancelled() => break,
            _ = hangup.recv() => app.reload(),
            () = app.melted() => {
                tracing::error!("the supervision tree gave up; a service manager starts the process anew");
                return Ended::Meltdown;
            }
        }
    }
    tracing::info!("stopping");
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    app.shutdown().await;
    Ended::Stopped
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "the command's answer")]
fn look(sources: &Sources, command: &ConfigCommand) -> ExitCode {
    if let ConfigCommand::Path = command {
        print!("{}", show::files(sources));
        return ExitCode::SUCCESS;
    }
    let settings = match load(sources) {
        Ok(settings) => settings,
        Err(error) => return refuse(&error, EXIT_CONFIG),
    };
    for warning in &settings.warnings {
        eprintln!("warning: {warning}");
    }
    match command {
        ConfigCommand::Check { strict } if *strict && !settings.warnings.is_empty() => {
            ExitCode::from(EXIT_CONFIG)
        }
        ConfigCommand::Check { .. } => {
            println!("{} hosts", settings.hosts.len());
            ExitCode::SUCCESS
        }
        ConfigCommand::Show | ConfigCommand::Path => {
            print!("{}", show::values(&settings));
            ExitCode::SUCCESS
        }
    }
}

#[expect(clippy::print_stdout, reason = "the command's answer")]
async fn run_init(sources: &Sources, ssh: &SshSettings, aliases: &[String], all: bool) -> ExitCode {
    match init::run(sources, ssh, aliases, all).await {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => refuse(&error, 1),
    }
}
