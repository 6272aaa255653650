//! `dockmaster env` and `dockmaster context`: the way to a host for docker and every tool built on it.

use super::refuse;
use crate::actors::socket::{is_wanted, path_of};
use crate::config::{Sources, load};
use crate::contexts::{Context, Contexts, Wanted};
use crate::domain::host::{ContextName, HostId, HostSpec};
use crate::domain::suggest::did_you_mean;
use crate::runtime::dirs::{DirError, sockets_dir};
use clap::Subcommand;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub(super) enum ContextCommand {
    /// Make Docker contexts dockmaster-HOST on the local sockets of a running service
    Install {
        /// The hosts; none names all
        #[arg(value_name = "HOST")]
        hosts: Vec<HostId>,
    },
    /// Remove Docker contexts that Dockmaster made
    Remove {
        /// The contexts by name; none names all of Dockmaster's
        #[arg(value_name = "CONTEXT")]
        names: Vec<ContextName>,
    },
    /// List the Docker contexts, and which of them Dockmaster made
    List,
    /// Take over the context of a host that somebody else made, and lead it to the host
    Adopt {
        /// The host, or its context
        host: String,
    },
}

type Outcome = Result<(), Box<dyn Error>>;

impl ContextCommand {
    pub(super) async fn run(self, sources: &Sources) -> ExitCode {
        code(self.carry_out(sources).await)
    }

    async fn carry_out(self, sources: &Sources) -> Outcome {
        let contexts = Contexts::of_this_user(sources.data_dir.as_deref().ok_or(DirError::NoHome)?);
        match self {
            Self::Install { hosts } => install(sources, &contexts, &hosts).await,
            Self::Remove { names } => {
                let ours = contexts.list().await?.into_iter().filter(|context| context.ours);
                let ours: Vec<String> = ours.map(|context| context.name).collect();
                let named: Vec<String> = names.iter().map(ToString::to_string).collect();
                for name in if named.is_empty() { ours } else { named } {
                    let removed = contexts.remove(&name).await?;
                    say(&format!(
                        "{name}  {}",
                        if removed { "removed" } else { "stays: Dockmaster did not make it" }
                    ));
                }
                Ok(())
            }
            Self::List => {
                for Context { name, host, current, ours } in contexts.list().await? {
                    let marks = [(ours, "dockmaster's"), (current, "in use")];
                    let marks: Vec<&str> =
                        marks.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
                    say(&format!("{name}  {host}  {}", marks.join(", ")));
                }
                Ok(())
            }
            Self::Adopt { host } => {
                let hosts = load(sources)?.hosts.into_values().map(|host| host.value);
                let is_meant = |spec: &HostSpec| spec.id.as_str() == host || spec.context_name() == host;
                let spec = hosts.into_iter().find(is_meant);
                let spec =
                    spec.ok_or_else(|| format!("there is no host {host}, and none whose context that is"))?;
                let (name, host) = (spec.context_name(), spec.endpoint.url());
                contexts.adopt(&Wanted { name: name.clone(), host, description: spec.description }).await?;
                say(&format!("{name}  is Dockmaster's and leads to {host}", host = spec.endpoint.url()));
                Ok(())
            }
        }
    }
}

async fn install(sources: &Sources, contexts: &Contexts, hosts: &[HostId]) -> Outcome {
    let specs: Vec<HostSpec> = match hosts {
        [] => load(sources)?.hosts.into_values().map(|host| host.value).filter(is_wanted).collect(),
        hosts => hosts.iter().map(|host| find(sources, host)).collect::<Result<_, _>>()?,
    };
    for spec in specs {
        let socket = socket_of(&spec)?;
        let (name, host) = (format!("dockmaster-{}", spec.id), format!("unix://{}", socket.display()));
        contexts.ensure(&Wanted { name: name.clone(), host, description: spec.description.clone() }).await?;
        let there = if socket.exists() { "" } else { "  (no service serves it at the moment)" };
        say(&format!("{name}  {}{there}", socket.display()));
    }
    Ok(())
}

/// Prints what a shell evaluates to use a host: `eval "$(dockmaster env nas)"`.
pub(super) fn env(sources: &Sources, host: &HostId) -> ExitCode {
    let line = find(sources, host).and_then(|spec| {
        let socket = socket_of(&spec)?;
        if !socket.exists() {
            let path = socket.display();
            return Err(format!("no service serves {path}; start one: dockmaster serve").into());
        }
        Ok(format!("export DOCKER_HOST=unix://{}", socket.display()))
    });
    code(line.map(|line| say(&line)))
}

/// The local socket of a host, which it is to have.
fn socket_of(spec: &HostSpec) -> Result<PathBuf, Box<dyn Error>> {
    if !is_wanted(spec) {
        let (id, why) = (&spec.id, if spec.enabled { "its policy holds it back" } else { "it is disabled" });
        return Err(format!(
            "{id} has no local socket, because {why}; local_socket: true gives it one that only reads"
        )
        .into());
    }
    Ok(path_of(&sockets_dir()?, &spec.id))
}

fn find(sources: &Sources, id: &HostId) -> Result<HostSpec, Box<dyn Error>> {
    let hosts = load(sources)?.hosts;
    let suggestion = did_you_mean(id.as_str(), hosts.keys().map(HostId::as_str));
    let found = hosts.get(id).ok_or_else(|| format!("there is no host {id}.{suggestion}"))?;
    Ok(found.value.clone())
}

#[expect(clippy::print_stdout, reason = "the command's answer")]
fn say(line: &str) {
    println!("{}", line.trim_end());
}

fn code(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(error.as_ref(), 1),
    }
}
