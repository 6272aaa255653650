//! `dockmaster hosts`: changes of hosts by a person, in the files that define them. A running service
//! notices them by itself.

use super::{EXIT_CONFIG, refuse};
use crate::config::import::{self, Candidate, Skipped};
use crate::config::{
    Authority, EditError, FieldValue, Fields, HostEdit, HostKey, Origin, Sources, UnknownKey, edit_host,
    init, load, spec_of, tombstones,
};
use crate::contexts::Contexts;
use crate::domain::fault::Fault;
use crate::domain::host::{Endpoint, HostId, HostSpec};
use crate::domain::phase::EngineInfo;
use crate::domain::policy::{self, EngineIdentity};
use crate::domain::target::HostTarget;
use crate::engine::Engine;
use crate::runtime::dirs::RunDir;
use crate::transport::SystemConnector;
use crate::transport::ssh::hostkeys::{self, Fingerprint};
use clap::{Args, Subcommand};
use futures_util::StreamExt as _;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

/// Hosts that are tried at once; the logins below are bounded by themselves.
const TESTED_AT_ONCE: usize = 16;

#[derive(Debug, Subcommand)]
pub(super) enum HostsCommand {
    /// Add a host once it was connected to
    Add {
        /// Its name
        name: HostId,
        /// user@address, user@address:port, an alias of your ssh configuration, or the path of a socket
        target: HostTarget,
        #[command(flatten)]
        words: Words,
        /// Save it without connecting
        #[arg(long)]
        no_test: bool,
    },
    /// Change fields of a host; the rest of the file stays as it is
    Edit {
        /// The host
        name: HostId,
        /// Another place: as for `add`
        #[arg(long, conflicts_with_all = ["hostname", "user", "port", "ssh_alias", "socket"])]
        target: Option<HostTarget>,
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        words: Words,
        /// Take a key away
        #[arg(long, value_name = "KEY")]
        unset: Vec<HostKey>,
    },
    /// Remove a host
    Remove {
        /// The host
        name: HostId,
    },
    /// Show the host key that a host offers; accept it when its fingerprint is given
    Trust {
        /// The host
        name: HostId,
        /// The fingerprint as the host itself shows it: SHA256:…
        #[arg(long, value_name = "SHA256:…")]
        fingerprint: Option<String>,
    },
    /// Keep a line to a host again
    Enable {
        /// The host
        name: HostId,
    },
    /// Keep no line to a host
    Disable {
        /// The host
        name: HostId,
    },
    /// Add hosts of an ssh configuration, as ssh itself resolves them
    Import {
        /// The aliases to take; none of them and no --all lists what there is
        #[arg(value_name = "ALIAS")]
        aliases: Vec<String>,
        /// Take every alias
        #[arg(long, conflicts_with = "aliases")]
        all: bool,
        /// Another ssh configuration than your own; ssh runs what its `Match exec` lines say
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// Show what would be added, and connect to nothing
        #[arg(long)]
        dry_run: bool,
        /// Save without connecting
        #[arg(long)]
        no_test: bool,
    },
}

/// Where a host is.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// DNS name or address
    #[arg(long)]
    hostname: Option<String>,
    /// Who logs in
    #[arg(long)]
    user: Option<String>,
    /// The port of sshd
    #[arg(long)]
    port: Option<u16>,
    /// An alias of your ssh configuration
    #[arg(long, value_name = "ALIAS")]
    ssh_alias: Option<String>,
    /// The engine's socket, on the host or (for a host of this machine) here
    #[arg(long, value_name = "PATH")]
    socket: Option<String>,
}

/// What is said about a host.
#[derive(Debug, Args)]
pub(super) struct Words {
    /// A private key
    #[arg(long, value_name = "FILE")]
    identity_file: Option<String>,
    /// Words about it
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// A word to select it by, as @tag; all tags there are to be
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// The name of its Docker context
    #[arg(long, value_name = "NAME")]
    docker_context: Option<String>,
    /// The directory on the host that holds one folder per compose stack
    #[arg(long, value_name = "DIR")]
    compose_path: Option<String>,
    /// The directory on the host that holds the applications' data
    #[arg(long, value_name = "DIR")]
    appdata_path: Option<String>,
    /// What may be done to it over MCP: `rw`, `no_destructive` or `ro`
    #[arg(long)]
    policy: Option<String>,
    /// For tcp: the directory with ca.pem, cert.pem and key.pem
    #[arg(long, value_name = "DIR")]
    cert_path: Option<String>,
    /// For tcp: whether TLS is spoken
    #[arg(long, value_name = "true|false")]
    tls: Option<bool>,
    /// Whether docker is run by `sudo -n` there
    #[arg(long, value_name = "true|false")]
    sudo: Option<bool>,
}

type Outcome = Result<(), Box<dyn Error>>;

impl HostsCommand {
    pub(super) async fn run(self, sources: &Sources) -> ExitCode {
        match self.carry_out(sources).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                let faulty = error.downcast_ref().is_some_and(|error| matches!(error, EditError::Faulty(_)));
                refuse(error.as_ref(), if faulty { EXIT_CONFIG } else { 1 })
            }
        }
    }

    async fn carry_out(self, sources: &Sources) -> Outcome {
        match self {
            Self::Add { name, target, words, no_test } => {
                let mut fields = import::place_of(&target, sources).await;
                fields.extend(words.fields()?);
                add(sources, name, fields, !no_test).await
            }
            Self::Edit { name, target, place, words, unset } => {
                let mut fields = match &target {
                    Some(target) => import::place_of(target, sources).await,
                    None => place.fields()?,
                };
                fields.extend(words.fields()?);
                fields.extend(unset.into_iter().map(|key| (key, None)));
                if fields.is_empty() {
                    return Err("nothing to change: name a field, such as --description TEXT".into());
                }
                update(sources, name, fields)
            }
            Self::Remove { name } => {
                let context =
                    load(sources).ok().and_then(|it| Some(it.hosts.get(&name)?.value.context_name()));
                let edited = edit_host(sources, &HostEdit::Remove { id: name.clone() }, Authority::Person)?;
                say(&format!("removed {name} from {}", edited.path.display()));
                if let Some(origin) = edited.uncovered {
                    say(&format!("{name} is also defined in {origin}, which counts now"));
                } else if let (Some(context), Some(data_dir)) = (context, &sources.data_dir)
                    // A running service does the same; whoever comes second finds nothing to do.
                    && Contexts::of_this_user(data_dir).remove(&context).await == Ok(true)
                {
                    say(&format!("removed its Docker context {context}"));
                }
                Ok(())
            }
            Self::Trust { name, fingerprint } => trust(sources, &name, fingerprint.as_deref()).await,
            Self::Enable { name } => update(sources, name, enabled(true)),
            Self::Disable { name } => update(sources, name, enabled(false)),
            Self::Import { aliases, all, file, dry_run, no_test } => {
                let wanted = Wanted { aliases, all, dry_run, test: !no_test };
                import(sources, file, wanted).await
            }
        }
    }
}

fn enabled(flag: bool) -> Fields {
    Fields::from([(HostKey::ENABLED, Some(FieldValue::Flag(flag)))])
}

impl Place {
    fn fields(self) -> Result<Fields, UnknownKey> {
        let mut fields = texts([
            ("hostname", self.hostname),
            ("user", self.user),
            ("ssh_alias", self.ssh_alias),
            ("socket", self.socket),
        ])?;
        fields.extend(self.port.map(|port| (HostKey::PORT, Some(FieldValue::Number(port)))));
        Ok(fields)
    }
}

impl Words {
    fn fields(self) -> Result<Fields, UnknownKey> {
        let mut fields = texts([
            ("identity_file", self.identity_file),
            ("cert_path", self.cert_path),
            ("description", self.description),
            ("docker_context", self.docker_context),
            ("compose_path", self.compose_path),
            ("appdata_path", self.appdata_path),
            ("policy", self.policy),
        ])?;
        fields.extend(self.sudo.map(|flag| (HostKey::SUDO, Some(FieldValue::Flag(flag)))));
        fields.extend(self.tls.map(|flag| (HostKey::TLS, Some(FieldValue::Flag(flag)))));
        if !self.tag.is_empty() {
            fields.insert(HostKey::TAGS, Some(FieldValue::List(self.tag)));
        }
        Ok(fields)
    }
}

fn texts<const N: usize>(given: [(&str, Option<String>); N]) -> Result<Fields, UnknownKey> {
    let given = given.into_iter().filter_map(|(key, text)| Some((key, text?)));
    given.map(|(key, text)| Ok((key.parse()?, Some(FieldValue::Text(text))))).collect()
}

#[expect(clippy::print_stdout, reason = "the command's answer")]
fn say(line: &str) {
    println!("{line}");
}

async fn add(sources: &Sources, id: HostId, fields: Fields, test: bool) -> Outcome {
    let spec = spec_of(&id, &fields)?;
    if let Some(there) = load(sources).map_err(EditError::Faulty)?.hosts.get(&id)
        && let Origin::File(_) = &there.origin
    {
        return Err(EditError::Exists { id, origin: there.origin.clone() }.into());
    }
    let mut engine = None;
    if test {
        let connector = SystemConnector::of_this_machine(sources.ssh.clone())?;
        let tried = reach(&connector, &spec).await;
        say(&progress(&spec, &tried));
        engine = tried
            .map_err(|fault| {
                format!("{}\nNothing was saved; --no-test saves all the same.", fault.fix(&spec))
            })?
            .id;
    }
    save(sources, &spec, engine, fields)
}

/// Writes a new host.
fn save(sources: &Sources, spec: &HostSpec, engine: Option<String>, fields: Fields) -> Outcome {
    let id = spec.id.clone();
    let edited = edit_host(sources, &HostEdit::Add { id: id.clone(), fields }, Authority::Person)?;
    lift(sources, spec, engine)?;
    say(&format!("added {id} to {}", edited.path.display()));
    Ok(())
}

/// A person has decided about this engine.
fn lift(sources: &Sources, spec: &HostSpec, engine: Option<String>) -> Outcome {
    if let Some(data_dir) = &sources.data_dir {
        let engine = engine.map_or(policy::Engine::Unknown, policy::Engine::Named);
        tombstones::lift(data_dir, &EngineIdentity { place: spec.endpoint.place(), engine })?;
    }
    Ok(())
}

fn update(sources: &Sources, id: HostId, fields: Fields) -> Outcome {
    let decides = fields.contains_key(&HostKey::POLICY);
    let edit = HostEdit::Update { id, fields };
    let (edited, id) = (edit_host(sources, &edit, Authority::Person)?, edit.id());
    if decides && let Some(host) = load(sources)?.hosts.get(id) {
        lift(sources, &host.value, None)?;
    }
    let path = edited.path.display();
    say(&if edited.changed {
        format!("changed {id} in {path}")
    } else {
        format!("{id} says so already in {path}")
    });
    Ok(())
}

async fn reach(connector: &SystemConnector, spec: &HostSpec) -> Result<EngineInfo, Fault> {
    let reached = Engine::reach(connector, Arc::new(spec.clone()), None).await;
    let (engine, _connection) = reached.map_err(|unreached| unreached.fault)?;
    Ok(engine.info().clone())
}

fn progress(spec: &HostSpec, tried: &Result<EngineInfo, Fault>) -> String {
    let (id, url) = (&spec.id, spec.endpoint.url());
    match tried {
        Ok(engine) => format!("{id}  {url}  {} {}", engine.product, engine.version),
        Err(fault) => format!("{id}  {url}  failed: {fault}"),
    }
}

async fn trust(sources: &Sources, id: &HostId, fingerprint: Option<&str>) -> Outcome {
    let settings = load(sources).map_err(EditError::Faulty)?;
    let Some(Endpoint::Ssh(target)) = settings.hosts.get(id).map(|host| &host.value.endpoint) else {
        return Err(format!("there is no ssh host {id}").into());
    };
    let scratch = RunDir::create()?;
    let offer = hostkeys::offer(&sources.ssh, target, scratch.path()).await?;
    let Fingerprint { algorithm, hash } = &offer.offered;
    say(&format!("{id} offers  {algorithm} {hash}"));
    for known in &offer.known {
        say(&format!("known is   {} {}", known.algorithm, known.hash));
    }
    let file = offer.file().display();
    match fingerprint {
        _ if offer.is_known() => say(&format!("That key is known already, in {file}.")),
        Some(given) if given == hash => {
            hostkeys::accept(&offer).await?;
            say(&format!("Accepted, in {file}. A running service notices by itself."));
        }
        Some(given) => {
            return Err(format!("{id} offers another key than {given}; nothing was accepted").into());
        }
        None => {
            let lower = algorithm.to_lowercase();
            say(&format!("On the host itself: ssh-keygen -lf /etc/ssh/ssh_host_{lower}_key.pub"));
            say(&format!("If that shows the same: dockmaster hosts trust {id} --fingerprint {hash}"));
            if !offer.known.is_empty() {
                say("The key has CHANGED. Unless the host was reinstalled, somebody may be in between.");
            }
        }
    }
    Ok(())
}

/// What is to be imported, and how.
struct Wanted {
    aliases: Vec<String>,
    all: bool,
    dry_run: bool,
    test: bool,
}

async fn import(sources: &Sources, file: Option<PathBuf>, wanted: Wanted) -> Outcome {
    let settings = load(sources).map_err(EditError::Faulty)?;
    let own = import::own_file(sources);
    let Some(from) = file.clone().or_else(|| own.clone()) else {
        return Err("no home directory is known. Name a file with --file.".into());
    };
    if !from.exists() {
        return Err(
            format!("{} does not exist. Name an ssh configuration with --file.", from.display()).into()
        );
    }
    // An alias means something only where ssh reads the file that says what.
    let keep_alias = own.is_some_and(|own| own.canonicalize().ok() == from.canonicalize().ok());
    let listing = wanted.aliases.is_empty();
    let offered =
        import::offered(&from, |name| listing || wanted.aliases.iter().any(|alias| alias == name)).await;
    let (candidates, skipped) = offered.candidates(&settings.hosts, keep_alias);
    if wanted.aliases.is_empty() && !wanted.all {
        list(&candidates, &skipped)?;
        say("Take some with: dockmaster hosts import ALIAS…, or all with --all.");
        return Ok(());
    }
    if let Some(skipped) = skipped.iter().find(|skipped| wanted.aliases.contains(&skipped.alias)) {
        return Err(format!("{} is not taken: {}", skipped.alias, skipped.reason).into());
    }
    let chosen = init::choose(candidates, &wanted.aliases, wanted.all)?;
    if wanted.dry_run {
        return list(&chosen, if wanted.all { &skipped } else { &[] });
    }
    list(&chosen, if wanted.all { &skipped } else { &[] })?;
    let (mut saved, tried) = (0, chosen.len());
    if wanted.test {
        let connector = SystemConnector::of_this_machine(sources.ssh.clone())?;
        let trials = chosen.into_iter().map(async |candidate| {
            let spec = spec_of(&candidate.id, &candidate.fields)?;
            let tried = reach(&connector, &spec).await;
            say(&progress(&spec, &tried));
            Ok::<_, Box<dyn Error>>((spec, tried, candidate.fields))
        });
        let trials: Vec<_> =
            futures_util::stream::iter(trials).buffer_unordered(TESTED_AT_ONCE).collect().await;
        for trial in trials {
            if let (spec, Ok(engine), fields) = trial? {
                save(sources, &spec, engine.id, fields)?;
                saved += 1;
            }
        }
    } else {
        for Candidate { id, fields, .. } in chosen {
            save(sources, &spec_of(&id, &fields)?, None, fields)?;
            saved += 1;
        }
    }
    say(&format!("{saved} of {tried} hosts were added"));
    if saved == tried {
        Ok(())
    } else {
        Err("those that failed were not saved; --no-test saves all the same".into())
    }
}

/// One line for each host that would be added, and for each that would not.
fn list(candidates: &[Candidate], skipped: &[Skipped]) -> Outcome {
    for Candidate { id, fields, .. } in candidates {
        let spec = spec_of(id, fields)?;
        let place = match &spec.endpoint {
            Endpoint::Ssh(target) => target.place(),
            other => other.url(),
        };
        say(&format!("{id}  {place}"));
    }
    for Skipped { alias, reason } in skipped {
        say(&format!("{alias}  skipped: {reason}"));
    }
    Ok(())
}
