//! Floor 6: the command line.

mod config;
mod context;
mod doctor;
mod hosts;
mod ops;
mod serve;
mod tool;

use crate::app::Front;
use crate::config::{Environment, Sources, init};
use crate::domain::host::HostId;
use crate::domain::toolset::{Offer, Toolsets};
use crate::runtime::dirs::data_dir;
use crate::transport::ssh::SshSettings;
use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

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
    ssh_config: Option<OsString>,
}

/// Which tools assistants are offered.
#[derive(Debug, Args)]
#[command(next_help_heading = "Tools")]
struct OfferArgs {
    /// Groups: default, all, or names such as containers,images
    #[arg(long, value_name = "NAMES", env = "DOCKMASTER_TOOLSETS")]
    toolsets: Option<Toolsets>,
    /// Single tools; without --toolsets nothing else
    #[arg(long, value_name = "NAMES", value_delimiter = ',', env = "DOCKMASTER_TOOLS")]
    tools: Vec<String>,
    /// Not these tools
    #[arg(long, value_name = "NAMES", value_delimiter = ',', env = "DOCKMASTER_EXCLUDE_TOOLS")]
    exclude_tools: Vec<String>,
    /// Only tools that change nothing, of all groups
    #[arg(long, env = "DOCKMASTER_READ_ONLY", value_parser = FalseyValueParser::new())]
    read_only: bool,
    /// No tools that lose data, configuration or availability
    #[arg(long, env = "DOCKMASTER_NO_DESTRUCTIVE", value_parser = FalseyValueParser::new())]
    no_destructive: bool,
}

impl From<OfferArgs> for Offer {
    fn from(args: OfferArgs) -> Self {
        let names = |names: Vec<String>| names.into_iter().filter(|name| !name.is_empty()).collect();
        Self {
            // A variable that is empty says nothing.
            toolsets: args.toolsets.filter(|toolsets| !toolsets.is_empty()),
            tools: names(args.tools),
            exclude: names(args.exclude_tools),
            read_only: args.read_only,
            no_destructive: args.no_destructive,
        }
    }
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
        #[command(flatten)]
        offer: OfferArgs,
    },
    /// Serve one MCP client on standard input and output
    Stdio {
        #[command(flatten)]
        offer: OfferArgs,
    },
    /// Add, change and remove hosts in the files that define them
    #[command(subcommand)]
    Hosts(Box<hosts::HostsCommand>),
    /// Walk the way to hosts step by step; names the step that fails and what to do
    Doctor {
        /// The hosts; none names all
        #[arg(value_name = "HOST")]
        hosts: Vec<HostId>,
    },
    /// Print what makes docker use a host through the running service: eval "$(dockmaster env HOST)"
    Env {
        /// The host
        host: HostId,
    },
    /// Docker contexts, for docker and every tool built on it
    #[command(subcommand)]
    Context(context::ContextCommand),
    /// Operations: what was changed on hosts, is being changed, or is in doubt
    #[command(subcommand)]
    Ops(ops::OpsCommand),
    /// Who asked for which change, and what was refused
    Audit {
        /// So many, the newest first
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: u32,
        /// As JSON, a line each
        #[arg(long)]
        json: bool,
    },
    /// The assistants' tools, from the command line
    #[command(subcommand)]
    Tool(tool::ToolCommand),
    /// Look at the configuration without running the service
    #[command(subcommand)]
    Config(config::ConfigCommand),
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

impl Cli {
    /// Runs the command; the code is the process's.
    pub async fn run(self) -> ExitCode {
        let mut sources = Sources {
            config: self.common.config,
            log_level: self.common.log_level,
            ssh: SshSettings {
                config: self.common.ssh_config.filter(|path| !path.is_empty()).map(PathBuf::from),
            },
            environment: Environment::of_process(),
            // Where there is none, nothing is kept; what needs it says so.
            data_dir: data_dir().ok(),
            project: std::env::current_dir().ok(),
            ..Sources::default()
        };
        match self.command {
            Command::Serve { host, port, offer } => {
                (sources.host, sources.port, sources.offer) = (host, port, offer.into());
                serve::serve(sources, Front::Http).await
            }
            Command::Stdio { offer } => {
                sources.offer = offer.into();
                // Clients start this in whatever project is open, whose files must not decide.
                sources.project = config::trusted_project(&sources);
                serve::serve(sources, Front::Stdio).await
            }
            Command::Hosts(command) => command.run(&sources).await,
            Command::Doctor { hosts } => doctor::run(&sources, &hosts).await,
            Command::Env { host } => context::env(&sources, &host),
            Command::Context(command) => command.run(&sources).await,
            Command::Ops(command) => command.run(&sources).await,
            Command::Audit { limit, json } => ops::audit(&sources, limit, json).await,
            Command::Tool(command) => command.run(sources).await,
            Command::Config(command) => command.run(&sources),
            Command::Init { aliases, all } => run_init(&sources, &aliases, all).await,
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

#[expect(clippy::print_stdout, reason = "the command's answer")]
async fn run_init(sources: &Sources, aliases: &[String], all: bool) -> ExitCode {
    match init::run(sources, aliases, all).await {
        Ok(report) => {
            println!("{report}");
            ExitCode::SUCCESS
        }
        Err(error) => refuse(&error, 1),
    }
}
