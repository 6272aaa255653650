//! Changes of the configuration on behalf of an assistant.
//!
//! What an assistant may not do is decided here, below every tool: a host's policy is never loosened,
//! not by an update, and not by removing a host and adding it again under this or another name. A new
//! host starts as `no_destructive`. People loosen, in the file or by the command line.

use crate::actors::config::ConfigHandle;
use crate::actors::directory::HostDirectory;
use crate::config::import::{Candidate, Skipped, offered, own_file, place_of};
use crate::config::{
    Authority, EditError, Edited, FieldValue, Fields, HostEdit, HostKey, InvalidHost, Sources, WriteError,
    edit_host, load, other_definition, preview, spec_of, tombstones,
};
use crate::domain::fault::Fault;
use crate::domain::host::{HostId, HostSpec};
use crate::domain::phase::EngineInfo;
use crate::domain::policy::{self, EngineIdentity, Policy};
use crate::domain::target::HostTarget;
use crate::engine::Engine;
use crate::transport::Connector;
use futures_util::StreamExt as _;
use globset::GlobMatcher;
use std::sync::Arc;

/// A new host starts with this over MCP.
const FIRST_POLICY: Policy = Policy::NoDestructive;

/// Candidates of an import that are connected to at once; the logins below are bounded by themselves.
const TESTED_AT_ONCE: usize = 16;

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The files.
    #[error(transparent)]
    Edit(#[from] EditError),
    /// What was asked for makes no host.
    #[error(transparent)]
    Invalid(#[from] InvalidHost),
    /// The host does not answer as a Docker host, so it was not saved.
    #[error("{} was not saved, because it cannot be used: {fault}", spec.id)]
    Unreachable {
        /// As it would have been.
        spec: Box<HostSpec>,
        /// Why.
        fault: Fault,
    },
    /// A policy would have become looser.
    #[error("{id} is held to {held}, and over MCP a policy is only ever tightened")]
    Loosens {
        /// The host.
        id: HostId,
        /// What counts for it.
        held: Policy,
    },
    /// Another file defines the host too, and would count.
    #[error("{id} is also defined in {other}, which would count after this")]
    Uncovers {
        /// The host.
        id: HostId,
        /// Where.
        other: String,
    },
    /// Another name of the same engine would be held to less.
    #[error("{other} leads to the same engine, and without {id} it would be held to less")]
    LoosensOther {
        /// The host.
        id: HostId,
        /// The other one.
        other: HostId,
    },
    /// Without any host the engine of this machine would be offered, which nobody named.
    #[error("{id} is the last host, and only a person can remove that")]
    Last {
        /// The host.
        id: HostId,
    },
    /// There is no data directory.
    #[error("{id} is held to {held}, and without a data directory that could not be remembered")]
    NoMemory {
        /// The host.
        id: HostId,
        /// What counts for it.
        held: Policy,
    },
    /// It could not be remembered what the host was held to.
    #[error("it cannot be remembered what {id} was held to: {source}")]
    Bury {
        /// The host.
        id: HostId,
        /// Why.
        source: WriteError,
    },
}

/// A host that was saved.
#[derive(Debug, Clone)]
pub struct Saved {
    /// As it is now.
    pub spec: HostSpec,
    /// What its engine said, when it was asked.
    pub engine: Option<EngineInfo>,
    /// The file, and whether it changed.
    pub edited: Edited,
}

/// What an import did, or would do.
#[derive(Debug, Clone, Default)]
pub struct Imported {
    /// The hosts that were added, or would be tried.
    pub added: Vec<HostSpec>,
    /// The aliases that were not, with the reason.
    pub skipped: Vec<Skipped>,
}

/// Changes hosts in the files, and in the running service.
#[derive(Clone)]
pub struct HostAdmin {
    /// The files.
    pub sources: Arc<Sources>,
    /// Tries a host before it is saved.
    pub connector: Arc<dyn Connector>,
    /// The running hosts.
    pub directory: HostDirectory,
    /// Told of every change.
    pub config: ConfigHandle,
}

impl HostAdmin {
    /// Adds the host `id` at `target` once it was connected to. One that is there already, at the same
    /// place, is given what else is asked for.
    pub async fn add(&self, id: HostId, target: &HostTarget, more: Fields) -> Result<Saved, AdminError> {
        let mut fields = place_of(target, &self.sources).await;
        fields.extend(more.clone());
        let spec = spec_of(&id, &fields)?;
        if let Ok(host) = self.directory.host(id.as_str())
            && host.spec().endpoint == spec.endpoint
        {
            return self.update(id, None, more).await;
        }
        let candidate = (id, fields, spec);
        let (spec, engine, edited) = self.try_and_add(candidate).await?;
        self.config.apply(None).await;
        Ok(Saved { spec, engine: Some(engine), edited })
    }

    /// Adds the hosts of the user's ssh configuration whose aliases match and that answer as Docker hosts.
    pub async fn import(&self, pattern: &GlobMatcher, dry_run: bool) -> Result<Imported, AdminError> {
        let settings = self.in_thread(load).await.map_err(EditError::Faulty)?;
        let Some(file) = own_file(&self.sources) else {
            return Ok(Imported::default());
        };
        let offered = offered(&file, |name| pattern.is_match(name)).await;
        let (candidates, mut skipped) = offered.candidates(&settings.hosts, true);
        let mut added = Vec::new();
        if dry_run {
            for candidate in candidates {
                added.push(spec_of(&candidate.id, &candidate.fields)?);
            }
            return Ok(Imported { added, skipped });
        }
        let tried = candidates.into_iter().map(async |Candidate { id, fields, alias }| {
            let outcome = match spec_of(&id, &fields) {
                Ok(spec) => self.try_and_add((id, fields, spec)).await,
                Err(invalid) => Err(invalid.into()),
            };
            (alias.name.to_string(), outcome)
        });
        let tried: Vec<_> = futures_util::stream::iter(tried).buffered(TESTED_AT_ONCE).collect().await;
        for outcome in tried {
            match outcome {
                (_, Ok((spec, ..))) => added.push(spec),
                (alias, Err(AdminError::Unreachable { fault, .. })) => {
                    skipped.push(Skipped { alias, reason: fault.to_string() });
                }
                (alias, Err(error)) => skipped.push(Skipped { alias, reason: error.to_string() }),
            }
        }
        self.config.apply(None).await;
        Ok(Imported { added, skipped })
    }

    /// Changes fields of a host, and where it is when `target` is given. A new place is connected to
    /// first, and starts as a new host does.
    pub async fn update(
        &self,
        id: HostId,
        target: Option<&HostTarget>,
        mut fields: Fields,
    ) -> Result<Saved, AdminError> {
        let host = self.directory.host(id.as_str()).map_err(|_| self.unknown(&id))?;
        let before = host.spec().as_ref().clone();
        let held = self.directory.policy(&id);
        let asked = policy_in(&fields);
        if asked.is_some_and(|asked| asked < held) {
            return Err(AdminError::Loosens { id, held });
        }
        let (mut engine, mut left) = (None, None);
        if let Some(target) = target {
            fields.extend(place_of(target, &self.sources).await);
            let edit = HostEdit::Update { id: id.clone(), fields: fields.clone() };
            // With what stays in the file, such as a key.
            let moved = self.in_thread(move |sources| preview(sources, &edit)).await?;
            if let Some(moved) = moved.filter(|moved| moved.endpoint != before.endpoint) {
                let info = self.reach(&moved).await?;
                let there = identity_of(&moved, &info);
                let least = held.max(self.least_for(there).await);
                fields.insert(HostKey::POLICY, Some(text(asked.map_or(least, |asked| asked.max(least)))));
                left = Some(self.bury(&id, held).await?);
                engine = Some(info);
            }
        }
        let edited = match self.edit(HostEdit::Update { id: id.clone(), fields }).await {
            Ok(edited) => edited,
            Err(error) => return Err(self.take_back(left, error).await),
        };
        self.config.apply(None).await;
        let after = self.directory.host(id.as_str()).map(|host| host.spec().as_ref().clone());
        Ok(Saved { spec: after.unwrap_or(before), engine, edited })
    }

    /// Whether a host may be taken out of the configuration over MCP.
    pub async fn may_remove(&self, id: &HostId) -> Result<(), AdminError> {
        self.directory.host(id.as_str()).map_err(|_| self.unknown(id))?;
        if self.directory.specs().len() == 1 {
            return Err(AdminError::Last { id: id.clone() });
        }
        let wanted = id.clone();
        match self.in_thread(move |sources| other_definition(sources, &wanted)).await {
            Some(other) => Err(AdminError::Uncovers { id: id.clone(), other: other.to_string() }),
            None => Ok(()),
        }
    }

    /// Forgets a host. What it was held to is remembered, for the case that it is added again.
    pub async fn remove(&self, id: HostId) -> Result<Edited, AdminError> {
        self.may_remove(&id).await?;
        let left = self.bury(&id, self.directory.policy(&id)).await?;
        let edited = match self.edit(HostEdit::Remove { id: id.clone() }).await {
            Ok(edited) => edited,
            Err(error) => return Err(self.take_back(Some(left), error).await),
        };
        self.config.apply(Some(id)).await;
        Ok(edited)
    }

    /// Connects to a candidate, settles its policy and saves it.
    async fn try_and_add(
        &self,
        (id, mut fields, spec): (HostId, Fields, HostSpec),
    ) -> Result<(HostSpec, EngineInfo, Edited), AdminError> {
        let info = self.reach(&spec).await?;
        let least = self.least_for(identity_of(&spec, &info)).await;
        let policy = match policy_in(&fields) {
            Some(asked) if asked < least => return Err(AdminError::Loosens { id, held: least }),
            Some(asked) => asked,
            None => least,
        };
        fields.insert(HostKey::POLICY, Some(text(policy)));
        let edited = self.edit(HostEdit::Add { id, fields }).await?;
        Ok((HostSpec { policy, ..spec }, info, edited))
    }

    /// The loosest policy an engine may be given over MCP: what nobody can tell apart from a host that is
    /// held back, is held back as well.
    async fn least_for(&self, identity: EngineIdentity) -> Policy {
        let configured = self.directory.policy_of_any_that_may_be(&identity);
        let buried = self.in_thread(|sources| sources.data_dir.as_deref().map(tombstones::buried)).await;
        let may_be = buried.into_iter().flatten().filter(|(other, _)| other.may_be_same(&identity));
        may_be.map(|(_, policy)| policy).chain(configured).fold(FIRST_POLICY, Policy::max)
    }

    /// Remembers what the engine of a host is held to, which is about to go or to lead elsewhere. Refused
    /// where another name of that engine would be held to less by it.
    async fn bury(&self, id: &HostId, held: Policy) -> Result<Burial, AdminError> {
        if let Some(other) = self.directory.loosened_without(id) {
            return Err(AdminError::LoosensOther { id: id.clone(), other });
        }
        let identity = self.directory.identity(id).ok_or_else(|| self.unknown(id))?;
        let burial = Burial { identity, held };
        let Burial { identity, held } = burial.clone();
        let buried = self.in_thread(move |sources| match sources.data_dir.as_deref() {
            Some(data_dir) => tombstones::bury(data_dir, &identity, held).map_err(Some),
            None if held == Policy::ReadWrite => Ok(false),
            None => Err(None),
        });
        match buried.await {
            Ok(true) => Ok(burial),
            // There is nothing to take back.
            Ok(false) => Ok(Burial { held: Policy::ReadWrite, ..burial }),
            Err(Some(source)) => Err(AdminError::Bury { id: id.clone(), source }),
            Err(None) => Err(AdminError::NoMemory { id: id.clone(), held }),
        }
    }

    /// The host did not go after all; the error stays the caller's.
    async fn take_back(&self, left: Option<Burial>, error: AdminError) -> AdminError {
        if let Some(Burial { identity, held }) = left.filter(|left| left.held != Policy::ReadWrite) {
            let taken = self.in_thread(move |sources| {
                let data_dir = sources.data_dir.as_deref();
                data_dir.map(|data_dir| tombstones::unbury(data_dir, &identity, held))
            });
            // What stays remembered holds back more than need be, and no less.
            if let Some(Err(error)) = taken.await {
                tracing::warn!(%error, "a removal that was not made is still remembered");
            }
        }
        error
    }

    async fn reach(&self, spec: &HostSpec) -> Result<EngineInfo, AdminError> {
        let reached = Engine::reach(self.connector.as_ref(), Arc::new(spec.clone()), None).await;
        match reached {
            Ok((engine, _line)) => Ok(engine.info().clone()),
            Err(unreached) => {
                Err(AdminError::Unreachable { spec: Box::new(spec.clone()), fault: unreached.fault })
            }
        }
    }

    async fn edit(&self, edit: HostEdit) -> Result<Edited, AdminError> {
        Ok(self.in_thread(move |sources| edit_host(sources, &edit, Authority::Assistant)).await?)
    }

    /// Files may lie on a share that hangs, and locks be held; a thread may wait for them.
    async fn in_thread<T: Send + 'static>(&self, work: impl FnOnce(&Sources) -> T + Send + 'static) -> T {
        let sources = Arc::clone(&self.sources);
        match tokio::task::spawn_blocking(move || work(&sources)).await {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    fn unknown(&self, id: &HostId) -> AdminError {
        let specs = self.directory.specs();
        let known = specs.iter().map(|spec| spec.id.as_str());
        let suggestion = crate::domain::suggest::did_you_mean(id.as_str(), known);
        AdminError::Edit(EditError::Unknown { id: id.clone(), suggestion })
    }
}

/// What is remembered of a host that goes.
#[derive(Debug, Clone)]
struct Burial {
    identity: EngineIdentity,
    held: Policy,
}

fn identity_of(spec: &HostSpec, info: &EngineInfo) -> EngineIdentity {
    let engine = info.id.clone().map_or(policy::Engine::Nameless, policy::Engine::Named);
    EngineIdentity { place: spec.endpoint.place(), engine }
}

fn text(policy: Policy) -> FieldValue {
    FieldValue::Text(policy.word().to_owned())
}

/// The policy that is asked for; a word that is none is told when the host is read.
fn policy_in(fields: &Fields) -> Option<Policy> {
    match fields.get(&HostKey::POLICY) {
        Some(Some(FieldValue::Text(word))) => word.parse().ok(),
        _ => None,
    }
}
