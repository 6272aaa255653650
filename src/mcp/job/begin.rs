//! From a call to a job: what it would be done to, whether that is permitted and agreed to, and then its beginning.

use super::{Job, LINE_LIMIT, Terms, get, wait_within};
use crate::actors::changes::{ChangeError, Wish};
use crate::actors::host::{HostHandle, Session};
use crate::changes::survey;
use crate::domain::change::{Affected, AffectedKind, Asks, Bound, Change};
use crate::domain::policy::Policy;
use crate::domain::protection::Protected;
use crate::journal::record::{Agreement, Receipt};
use crate::mcp::audit::{self, Called};
use crate::mcp::consent::{Asking, Next, Question, Wants};
use crate::mcp::deed;
use crate::mcp::error::{ErrorKind, HostFailure, ToolError};
use crate::mcp::fleet::{Patience, on_host};
use crate::mcp::keys;
use crate::mcp::shape::told;
use crate::mcp::tool::{ToolContext, ToolOutput, planned, structured};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// Things named in a question at most; the plan has them all.
const MOST_NAMED: usize = 20;

/// Begins `change`, or says what it would do or what has to be agreed to, and waits for its end as long as the caller
/// wants to.
pub(in crate::mcp) async fn begin(
    context: &ToolContext,
    change: Change,
    terms: Terms,
) -> Result<ToolOutput, ToolError> {
    let call = Call::of(context, change, terms)?;
    let made = call.on_audit(call.make().await).await?;
    audit::planned(context, &call.called, &made).await;
    Ok(made)
}

/// As [`begin`], for a change that nobody is asked about.
pub(in crate::mcp) async fn begin_unasked(
    context: &ToolContext,
    change: Change,
    terms: Terms,
) -> Result<Job, ToolError> {
    let call = Call::of(context, change, terms)?;
    let begun = async {
        let session = call.permitted().await?;
        call.start(&session, None, None).await
    };
    let begun = begun.await;
    call.on_audit(begun).await
}

/// A call that would change something.
struct Call<'a> {
    context: &'a ToolContext,
    host: HostHandle,
    change: Change,
    terms: Terms,
    called: Called,
}

impl<'a> Call<'a> {
    fn of(context: &'a ToolContext, change: Change, terms: Terms) -> Result<Self, ToolError> {
        let host = context.directory.host(&terms.host)?;
        if let Some(source) = change.source() {
            context.directory.host(source.as_str())?;
        }
        let (masked, _) = change.masked();
        let arguments = serde_json::to_value(&masked).unwrap_or_default();
        let called = Called { host: Some(host.spec().id.to_string()), arguments };
        Ok(Self { context, host, change, terms, called })
    }

    /// What came of it, with a refusal on the audit.
    async fn on_audit<T>(&self, made: Result<T, ToolError>) -> Result<T, ToolError> {
        match made {
            Ok(made) => Ok(made),
            Err(error) => Err(audit::refused(self.context, &self.called, error).await),
        }
    }

    async fn make(&self) -> Result<ToolOutput, ToolError> {
        if let Some(job) = self.known().await? {
            return structured(&job);
        }
        let session = self.permitted().await?;
        if !self.change.is_surveyed() && !self.terms.plans_only() {
            return structured(&self.start(&session, None, None).await?);
        }
        let (affected, kept) = self.survey().await?;
        let bound = Bound::to(&affected).and(self.source().await?);
        let deal = self.deal(&session, &bound);
        let agreements = &self.context.agreements;
        let name = self.name_of_what_goes(&affected);
        if self.terms.plans_only() {
            let token = (self.change.asks() > Asks::Nothing).then(|| agreements.seal(&deal));
            return planned(&Job::planned(&self.change, &self.host, &affected, &kept, token));
        }
        let (consent, confirm) = (&self.context.consent, self.terms.confirm.as_deref());
        let next = agreements.next(self.change.asks(), consent, confirm, &deal, &name)?;
        if let Next::Make(agreement) = next {
            return structured(&self.start(&session, Some(bound), agreement).await?);
        }
        let token = agreements.seal(&deal);
        let plan = Job::planned(&self.change, &self.host, &affected, &kept, Some(token.clone()));
        if next == Next::Plan {
            return planned(&plan);
        }
        let wants = if self.change.asks() == Asks::Name { Wants::Name(name) } else { Wants::Yes };
        let question = Question { text: self.question(&affected, &wants), wants };
        let plan = serde_json::to_value(&plan).unwrap_or_default();
        Ok(ToolOutput::Asks(Box::new(Asking { question, token, plan })))
    }

    /// The job that an equal call with this key has begun.
    async fn known(&self) -> Result<Option<Job>, ToolError> {
        let key = self.terms.idempotency_key.as_deref();
        keys::check(key)?;
        let Some(key) = key else { return Ok(None) };
        let desk = self.context.directory.changes();
        let known = desk.begun(&self.context.asker, key, &self.change, &self.host.spec().id).await;
        match known.map_err(|error| self.failure(&error))? {
            Some(id) => {
                let (host, arguments) = (&self.host.spec().id, self.called.arguments.clone());
                desk.join(id, &self.context.asker, self.change.word(), host, arguments).await?;
                Ok(Some(Job::of(&get(self.context, id, self.wait()).await?, true)))
            }
            None => Ok(None),
        }
    }

    /// The line to the host, when its policy permits the change.
    async fn permitted(&self) -> Result<Arc<Session>, ToolError> {
        if self.change.steps().is_empty() {
            let words = "there is nothing to do: name at least one";
            return Err(ToolError::new(ErrorKind::InvalidArguments, words));
        }
        keys::check(self.terms.idempotency_key.as_deref())?;
        self.permit()?;
        let session = self.host.session(LINE_LIMIT).await;
        let session = session.map_err(|error| self.failure(&ChangeError::Host(error)))?;
        // With the line its engine is known, which other names of it may hold to a stricter policy.
        self.permit()?;
        Ok(session)
    }

    /// The machine that something is taken from, as an agreement is bound to it.
    async fn source(&self) -> Result<Option<String>, ToolError> {
        let Some(source) = self.change.source() else { return Ok(None) };
        let host = self.context.directory.host(source.as_str())?;
        let session = host.session(LINE_LIMIT).await;
        let session = session.map_err(|error| self.failure(&ChangeError::Host(error)))?;
        Ok(Some(session.machine(source).identity()))
    }

    fn permit(&self) -> Result<(), ToolError> {
        if let Some(source) = self.change.source() {
            let policy = self.context.directory.policy(source);
            if !self.change.may_take_from(policy) {
                let why =
                    "and for reading a volume a container is made there that never runs; nothing was changed";
                return Err(deed::denied(&self.context.directory, source, policy, why));
            }
        }
        let id = &self.host.spec().id;
        let policy = self.context.directory.policy(id);
        if self.change.is_permitted(policy) {
            return Ok(());
        }
        let why = match policy {
            Policy::NoDestructive if self.change.is_destructive() => {
                "which permits nothing that loses data, configuration or availability"
            }
            Policy::NoDestructive => {
                "which permits nothing that reaches what is not its own: no volume, no path, no network of the host"
            }
            Policy::ReadOnly | Policy::ReadWrite => "which permits no change",
        };
        Err(deed::denied(&self.context.directory, id, policy, &format!("{why}; nothing was changed")))
    }

    /// What the change would be made to, and what is left out of it because it is protected. Where a protected thing
    /// was named, nothing is done.
    async fn survey(&self) -> Result<(Vec<Affected>, Vec<(Affected, Protected)>), ToolError> {
        let steps = self.change.steps();
        let now = self.context.directory.clock().now();
        let found = on_host(Patience::Quick, self.context, &self.host, move |operation| {
            let steps = steps.clone();
            async move { Ok(survey(operation.engine(), &steps, now).await?) }
        });
        let found = found.await?;
        let protection = self.context.directory.protection(&self.host.spec().id);
        let (mut affected, mut kept) = (vec![], vec![]);
        for thing in found {
            match protection.of(&thing) {
                Some(why) if !self.change.is_permitted(Policy::NoDestructive) => kept.push((thing, why)),
                _ => affected.push(thing),
            }
        }
        match kept.first() {
            Some((thing, why)) if !self.change.chooses() => Err(deed::guarded(thing, why)),
            _ => Ok((affected, kept)),
        }
    }

    /// What an agreement is bound to: who asks for what, where, and the identities of what it would be done to.
    fn deal(&self, session: &Session, bound: &Bound) -> String {
        let machine = session.machine(&self.host.spec().id);
        json!({
            "principal": self.context.asker.principal,
            "host": machine.host.as_str(),
            "endpoint": machine.endpoint,
            "engine": machine.engine,
            "change": self.change,
            "bound": bound,
        })
        .to_string()
    }

    /// What a person types who agrees to a loss.
    fn name_of_what_goes(&self, affected: &[Affected]) -> String {
        // What goes with a container goes by its name.
        let goes_along = |thing: &&Affected| {
            matches!(self.change, Change::ContainerRemove { .. }) && thing.kind == AffectedKind::Volume
        };
        let named: Vec<&Affected> = affected.iter().filter(|thing| !goes_along(thing)).collect();
        match named[..] {
            [only] => only.name.clone(),
            _ => self.host.spec().id.to_string(),
        }
    }

    fn question(&self, affected: &[Affected], wants: &Wants) -> String {
        let host = &self.host.spec().id;
        let named =
            affected.iter().take(MOST_NAMED).map(|thing| format!("{} {}", thing.kind.word(), thing.name));
        let mut named: Vec<String> = named.collect();
        if let more @ 1.. = affected.len().saturating_sub(MOST_NAMED) {
            named.push(format!("{more} more"));
        }
        if named.is_empty() {
            named.push(self.change.target());
        }
        named.extend(self.change.dangers());
        let what = named.join(", ");
        let ask = match wants {
            Wants::Yes => "Do it?".to_owned(),
            Wants::Name(name) => format!("It is lost for good. Type {name} to agree."),
        };
        told(&format!("{} on {host}: {what}. {ask}", self.change.word().replace('_', " ")))
    }

    async fn start(
        &self,
        session: &Session,
        bound: Option<Bound>,
        agreement: Option<Agreement>,
    ) -> Result<Job, ToolError> {
        let wish = Wish {
            change: self.change.clone(),
            bound,
            agreement,
            asker: self.context.asker.clone(),
            key: self.terms.idempotency_key.clone(),
            arguments: self.called.arguments.clone(),
        };
        let begun = self.context.directory.changes().begin(&self.host, session, wish).await;
        let (id, receipt) = begun.map_err(|error| self.failure(&error))?;
        Ok(Job::of(&get(self.context, id, self.wait()).await?, receipt != Receipt::Written))
    }

    fn wait(&self) -> Duration {
        wait_within(self.terms.wait)
    }

    fn failure(&self, error: &ChangeError) -> ToolError {
        match error {
            ChangeError::Host(error) => {
                HostFailure::of(&self.host, error, self.context.directory.clock()).into()
            }
            ChangeError::Journal(error) => ToolError::from(error.clone()),
            ChangeError::KeyTaken(id) => ToolError::new(ErrorKind::Conflict, error.to_string())
                .with_hint(format!("job_get {id} shows it. Take another key for another wish.")),
            ChangeError::Spent => ToolError::new(ErrorKind::ConfirmationRequired, error.to_string())
                .with_hint("job_list shows what was begun."),
        }
    }
}
