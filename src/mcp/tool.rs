//! What a tool is: what it declares, and how it is called with the arguments of a client.

use super::caller::Progress;
use super::consent::{Agreements, Asking, Consent, Next, Question};
use super::error::{ErrorKind, ToolError};
use super::job::{self, Terms};
use super::keys;
use super::outdated::Outdated;
use super::schema::schema;
use super::shape::cleaned;
use crate::actors::admin::HostAdmin;
use crate::actors::directory::HostDirectory;
use crate::domain::change::{Asker, Change};
use crate::domain::policy::Policy;
use crate::domain::redact;
use crate::domain::suggest::did_you_mean;
use crate::domain::toolset::Toolset;
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use schemars::generate::Contract;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use std::sync::{Arc, OnceLock};
use tokio_util::sync::CancellationToken;

/// A JSON object.
pub(super) type Object = Map<String, Value>;

/// What a tool does to the world: the four hints of the protocol, all of them explicit, because
/// clients decide by them what to ask a person about.
#[expect(clippy::struct_excessive_bools, reason = "the protocol's four hints")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effect {
    /// Changes nothing.
    pub read_only: bool,
    /// Loses data, configuration or availability.
    pub destructive: bool,
    /// A second call with the same arguments changes nothing more.
    pub idempotent: bool,
    /// Contacts a registry or the Internet, or runs foreign code.
    pub open_world: bool,
}

impl Effect {
    /// Whether a host that is held to `policy` may permit it.
    pub(super) fn is_permitted(self, policy: Policy) -> bool {
        match policy {
            Policy::ReadWrite => true,
            Policy::NoDestructive => !self.destructive,
            Policy::ReadOnly => self.read_only,
        }
    }

    /// Reads from hosts and nothing else.
    pub const READ: Self = Self { read_only: true, destructive: false, idempotent: true, open_world: false };
}

/// What a tool's call works with.
#[derive(Clone)]
pub struct ToolContext {
    /// The tool's name, which its operations go by.
    pub tool: &'static str,
    /// The hosts.
    pub directory: HostDirectory,
    /// Changes of the configuration.
    pub admin: HostAdmin,
    /// Who calls.
    pub asker: Asker,
    /// Hears how far the call is.
    pub progress: Progress,
    /// What the person behind the call has said to it.
    pub consent: Consent,
    /// Cancelled when whoever calls will say no more.
    pub left: CancellationToken,
    /// Cancelled when the caller waits no more.
    pub gone: CancellationToken,
    /// What people agree to.
    pub(super) agreements: Agreements,
    /// What registries were found to have newer images of.
    pub(super) outdated: Outdated,
    /// How this call was agreed to, for the audit, where it is no job's.
    pub(super) agreed: Arc<OnceLock<String>>,
}

/// What a tool answers.
#[derive(Debug, Clone, PartialEq)]
pub enum ToolOutput {
    /// A value that fits the tool's output schema.
    Structured(Value),
    /// Prose: logs, files.
    Text(String),
    /// What would be done, as a value of the tool's output schema; nothing was.
    Planned(Value),
    /// A person has to say first whether it is to be done.
    Asks(Box<Asking>),
}

/// What a tool is called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// To read.
    Read,
    /// To begin a job that changes a host, which is put on the audit with it.
    Job,
    /// To do something to a host at once.
    HostDeed,
    /// To change something else.
    Deed,
}

type Call =
    Arc<dyn Fn(ToolContext, Object) -> BoxFuture<'static, Result<ToolOutput, ToolError>> + Send + Sync>;

/// A tool.
#[derive(Clone)]
pub(super) struct Tool {
    pub(super) about: About,
    pub(super) kind: Kind,
    pub(super) input: Arc<Object>,
    pub(super) output: Option<Arc<Object>>,
    /// Its arguments as the audit has them.
    pub(super) audited: fn(&Object) -> Value,
    pub(super) call: Call,
}

/// What a tool says about itself.
#[derive(Clone, Copy)]
pub(super) struct About {
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) description: &'static str,
    /// The group it is offered with.
    pub(super) toolset: Toolset,
    pub(super) effect: Effect,
}

/// Whether a person is asked before a tool does what it is called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gate {
    /// No.
    Open,
    /// Where what is to be done asks for it.
    Asks,
    /// The same, and it is planned first unless the call says otherwise.
    PlansFirst,
}

impl Tool {
    /// Whether a call is made to its end although its caller has gone: a change that is no job. One that is done to a
    /// host hears of it.
    pub(super) fn goes_on(&self) -> bool {
        matches!(self.kind, Kind::Deed | Kind::HostDeed)
    }

    /// Whether it is for nothing where no host permits it.
    pub(super) fn needs_a_host(&self) -> bool {
        matches!(self.kind, Kind::Job | Kind::HostDeed)
    }

    /// As one that does something to a host at once.
    pub(super) fn on_host(self) -> Self {
        Self { kind: Kind::HostDeed, ..self }
    }

    /// As one whose arguments are put on the audit by `audited`.
    pub(super) fn audited_by(self, audited: fn(&Object) -> Value) -> Self {
        Self { audited, ..self }
    }

    /// A tool that answers with a value.
    pub(super) fn structured<P, O, F>(
        about: About,
        run: impl Fn(ToolContext, P) -> F + Send + Sync + 'static,
    ) -> Self
    where
        P: DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema + 'static,
        F: Future<Output = Result<O, ToolError>> + Send + 'static,
    {
        Self::of(about, Some(schema::<O>(Contract::Serialize)), move |context, parameters| {
            let answer = run(context, parameters);
            async move { structured(&answer.await?) }
        })
    }

    /// As [`Self::structured`], for one whose answer may also be a plan or a question: `run` sees to agreement itself.
    pub(super) fn planned<P, O, F>(
        about: About,
        run: impl Fn(ToolContext, P) -> F + Send + Sync + 'static,
    ) -> Self
    where
        P: DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema + 'static,
        F: Future<Output = Result<ToolOutput, ToolError>> + Send + 'static,
    {
        Self::of(about, Some(schema::<O>(Contract::Serialize)), run)
    }

    /// A tool that answers with text.
    pub(super) fn text<P, F>(about: About, run: impl Fn(ToolContext, P) -> F + Send + Sync + 'static) -> Self
    where
        P: DeserializeOwned + JsonSchema + Send + 'static,
        F: Future<Output = Result<String, ToolError>> + Send + 'static,
    {
        Self::of(about, None, move |context, parameters| {
            let answer = run(context, parameters);
            async move { answer.await.map(ToolOutput::Text) }
        })
    }

    /// A tool whose parameters are `P`.
    fn of<P, F>(
        about: About,
        output: Option<Object>,
        run: impl Fn(ToolContext, P) -> F + Send + Sync + 'static,
    ) -> Self
    where
        P: DeserializeOwned + JsonSchema + Send + 'static,
        F: Future<Output = Result<ToolOutput, ToolError>> + Send + 'static,
    {
        Self::new(about, schema::<P>(Contract::Deserialize), output, move |context, arguments| {
            let answer = parse::<P>(context.tool, arguments).map(|parameters| run(context, parameters));
            Box::pin(async move { answer?.await })
        })
    }

    /// A tool that begins one job on one host: `read` tells which change its parameters mean.
    pub(super) fn job<P>(
        about: About,
        gate: Gate,
        read: impl Fn(P) -> Result<Change, ToolError> + Send + Sync + 'static,
    ) -> Self
    where
        P: DeserializeOwned + JsonSchema + Send + 'static,
    {
        Self::job_from(about, gate, move |parameters, terms| Ok((read(parameters)?, terms)))
    }

    /// As [`Self::job`], for one that `read` may begin on another host than the one it is called with.
    pub(super) fn job_from<P>(
        about: About,
        gate: Gate,
        read: impl Fn(P, Terms) -> Result<(Change, Terms), ToolError> + Send + Sync + 'static,
    ) -> Self
    where
        P: DeserializeOwned + JsonSchema + Send + 'static,
    {
        let mut input = schema::<P>(Contract::Deserialize);
        Terms::declare(&mut input, gate);
        let output = Some(schema::<job::Job>(Contract::Serialize));
        let tool = Self::new(about, input, output, move |context, mut arguments| {
            let terms = Terms::take(&mut arguments, gate).map_err(|error| wrong(context.tool, &error));
            let parameters = parse::<P>(context.tool, arguments);
            let wanted = terms.and_then(|terms| read(parameters?, terms));
            Box::pin(async move {
                let (change, terms) = wanted?;
                job::begin(&context, change, terms).await
            })
        });
        Self { kind: Kind::Job, ..tool }
    }

    /// As [`Self::structured`], for a tool that changes something else than a host when a person has agreed: `ask` is
    /// what they are asked, or why it cannot be done at all; `plan` the answer until then, with the token of an
    /// agreement.
    pub(super) fn agreed<P, O, G, F>(
        about: About,
        ask: impl Fn(ToolContext, P) -> G + Send + Sync + 'static,
        plan: fn(P, String) -> O,
        run: impl Fn(ToolContext, P) -> F + Send + Sync + 'static,
    ) -> Self
    where
        P: DeserializeOwned + JsonSchema + Clone + Send + 'static,
        O: Serialize + JsonSchema + 'static,
        G: Future<Output = Result<Question, ToolError>> + Send + 'static,
        F: Future<Output = Result<O, ToolError>> + Send + 'static,
    {
        let output = Some(schema::<O>(Contract::Serialize));
        let mut input = schema::<P>(Contract::Deserialize);
        Terms::declare_confirm(&mut input);
        let (ask, run) = (Arc::new(ask), Arc::new(run));
        Self::new(about, input, output, move |context, mut arguments| {
            let (ask, run) = (Arc::clone(&ask), Arc::clone(&run));
            Box::pin(async move {
                let confirm =
                    Terms::take_confirm(&mut arguments).map_err(|error| wrong(context.tool, &error))?;
                let parameters = parse::<P>(context.tool, arguments.clone())?;
                let question = ask(context.clone(), parameters.clone()).await?;
                // To what was asked: that names what it is about.
                let deal =
                    json!([context.asker.principal, context.tool, arguments, question.text]).to_string();
                let (agreements, confirm) = (&context.agreements, confirm.as_deref());
                let next = agreements.once(&question.wants, &context.consent, confirm, &deal)?;
                if let Next::Make(agreement) = next {
                    if let Some(agreement) = agreement {
                        // It is made once.
                        let _ = context.agreed.set(agreement.words);
                    }
                    return structured(&run(context, parameters).await?);
                }
                let token = agreements.seal(&deal);
                let plan = value(&plan(parameters, token.clone()))?;
                Ok(match next {
                    Next::Ask => ToolOutput::Asks(Box::new(Asking { question, token, plan })),
                    _ => ToolOutput::Planned(plan),
                })
            })
        })
    }

    /// As [`Self::structured`], for a tool that begins jobs and says so in an answer of its own.
    pub(super) fn jobs<P, O, F>(
        about: About,
        run: impl Fn(ToolContext, P) -> F + Send + Sync + 'static,
    ) -> Self
    where
        P: DeserializeOwned + JsonSchema + Send + 'static,
        O: Serialize + JsonSchema + 'static,
        F: Future<Output = Result<O, ToolError>> + Send + 'static,
    {
        Self { kind: Kind::Job, ..Self::structured(about, run) }
    }

    fn new(
        about: About,
        mut input: Object,
        output: Option<Object>,
        run: impl Fn(ToolContext, Object) -> BoxFuture<'static, Result<ToolOutput, ToolError>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        let About { name, effect, .. } = about;
        let kind = if effect.read_only { Kind::Read } else { Kind::Deed };
        if kind != Kind::Read {
            keys::declare(&mut input);
        }
        let (input, output) = (Arc::new(input), output.map(Arc::new));
        let known = Arc::clone(&input);
        let call: Call = Arc::new(move |context, arguments| match unknown(&known, &arguments) {
            Some(words) => {
                let error = ToolError::new(ErrorKind::InvalidArguments, format!("{name}: {words}"));
                Box::pin(std::future::ready(Err(error)))
            }
            None => run(context, arguments),
        });
        let audited = |arguments: &Object| redact::json(&Value::Object(arguments.clone()));
        Self { about, kind, input, output, audited, call }
    }
}

/// A parameter that the tool does not have.
pub(super) fn unknown(input: &Object, arguments: &Object) -> Option<String> {
    let known = input.get("properties")?.as_object()?;
    let wrong = arguments.keys().find(|name| !known.contains_key(*name))?;
    let names: Vec<String> = known.keys().map(|name| format!("`{name}`")).collect();
    let near = did_you_mean(wrong, known.keys().map(String::as_str));
    let wrong: String = wrong.chars().take(40).collect();
    Some(format!("unknown field `{wrong}`, expected one of {}.{near}", names.join(", ")))
}

pub(super) fn parse<P: DeserializeOwned>(tool: &str, arguments: Object) -> Result<P, ToolError> {
    serde_path_to_error::deserialize(Value::Object(arguments)).map_err(|error| wrong(tool, &error))
}

fn wrong(tool: &str, error: &serde_path_to_error::Error<serde_json::Error>) -> ToolError {
    // A fault of the whole, such as a missing argument, has no path and names itself.
    let path = error.path().to_string();
    let at = if path == "." { String::new() } else { format!("{path}: ") };
    ToolError::new(ErrorKind::InvalidArguments, format!("{tool}: {at}{}", error.inner()))
}

/// An answer as the value it is sent as.
pub(super) fn structured(answer: &impl Serialize) -> Result<ToolOutput, ToolError> {
    value(answer).map(ToolOutput::Structured)
}

/// The same of what was not done.
pub(super) fn planned(answer: &impl Serialize) -> Result<ToolOutput, ToolError> {
    value(answer).map(ToolOutput::Planned)
}

fn value(answer: &impl Serialize) -> Result<Value, ToolError> {
    let value = serde_json::to_value(answer);
    value.map(cleaned).map_err(|error| ToolError::new(ErrorKind::Internal, error.to_string()))
}
