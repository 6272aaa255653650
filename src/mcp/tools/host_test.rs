//! `host_test`

use crate::actors::host::{HostError, HostHandle};
use crate::actors::operation::Operation;
use crate::domain::fault::{Fault, FaultKind};
use crate::domain::host::{Endpoint, HostSpec};
use crate::domain::toolset::Toolset;
use crate::mcp::error::{HostFailure, ToolError};
use crate::mcp::tool::{About, Effect, Tool, ToolContext};
use crate::transport::{Carrier, Command, Link, Step};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// A full series of attempts with its waits fits; the person is waiting for the cause.
const CONNECT_LIMIT: Duration = Duration::from_secs(40);

/// One round trip and a short program.
const STEP_LIMIT: Duration = Duration::from_secs(10);

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// Host name.
    host: String,
}

#[derive(Serialize, JsonSchema)]
struct Answer {
    host: String,
    ok: bool,
    /// How bytes reach the engine: local, tcp, forward or `dial_stdio`.
    #[serde(skip_serializing_if = "Option::is_none")]
    carrier: Option<&'static str>,
    /// The way to the engine, in order; it ends at the first step that fails.
    steps: Vec<Report>,
    /// What else is known, such as the next attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Report {
    /// dns, tcp, sshd, `host_key`, `ssh_login`, shell, `engine_socket`, `engine_ping` or compose; `ssh_login`
    /// is the whole of it where it succeeded.
    step: &'static str,
    ok: bool,
    /// How long it took; absent for a step taken before the call and not repeated.
    #[serde(skip_serializing_if = "Option::is_none")]
    ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// The cause as a stable word.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// What a person can do.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Report {
    fn ok(step: &'static str, took: Duration, detail: Option<String>) -> Self {
        let ms = u64::try_from(took.as_millis()).ok();
        Self { step, ok: true, ms, detail, cause: None, error: None, hint: None }
    }

    fn failed(step: &'static str, took: Duration, fault: &Fault, spec: &HostSpec) -> Self {
        Self {
            ok: false,
            cause: Some(fault.kind.word()),
            error: Some(fault.to_string()),
            hint: Some(fault.fix(spec)),
            ..Self::ok(step, took, None)
        }
    }
}

pub(super) fn tool() -> Tool {
    let about = About {
        name: "host_test",
        title: "Test a host",
        description: "Walk the way to a host's engine (ssh login, shell, socket, engine, compose) with each step's time; names the step that fails, its cause and the fix. Tries a waiting host at once.",
        toolset: Toolset::Hosts,
        effect: Effect::READ,
    };
    Tool::structured(about, run)
}

async fn run(context: ToolContext, parameters: Parameters) -> Result<Answer, ToolError> {
    let mut host = context.directory.host(&parameters.host)?;
    let started = Instant::now();
    if host.current_session().is_none() {
        host.wake();
        // A woken host leaves its waiting state at once; one that may not be woken never does.
        let left = host.wait_for(|status| status.phase.next_try().is_none());
        let _ = timeout(Duration::from_millis(200), left).await;
    }
    let spec = Arc::clone(host.spec());
    let walked = host.read(context.tool, CONNECT_LIMIT, |operation| walk(Arc::clone(&spec), operation)).await;
    walked.or_else(|error| failed(&context, &host, &error, started.elapsed()))
}

/// A connected host: the steps of its connecting, and the rest taken now.
async fn walk(spec: Arc<HostSpec>, operation: Operation) -> Result<Answer, HostError> {
    let (engine, route) = (operation.engine(), operation.link().route());
    let mut steps: Vec<Report> = Vec::new();
    for (step, took) in &route.steps {
        let detail = (*step == Step::Socket).then(|| route.socket.clone());
        steps.push(Report::ok(step.word(), *took, detail));
    }
    let carrier = match route.carrier {
        Carrier::Local => "local",
        Carrier::Tcp => "tcp",
        Carrier::Forward => "forward",
        Carrier::DialStdio => "dial_stdio",
    };

    let started = Instant::now();
    let ping = timeout(STEP_LIMIT, engine.ping()).await;
    let ping = ping.unwrap_or_else(|_| Err(Fault::new(FaultKind::Deadline, "no answer to a ping").into()));
    let took = started.elapsed();
    match ping {
        Ok(()) => {
            let info = engine.info();
            let detail = format!("{} {}, API {}, {}", info.product, info.version, info.api, info.platform);
            steps.push(Report::ok(Step::Engine.word(), took, Some(detail)));
            steps.push(compose(&spec, operation.link()).await);
        }
        Err(error) => steps.push(Report::failed(Step::Engine.word(), took, &error.into_fault(), &spec)),
    }
    let ok = steps.iter().all(|step| step.ok);
    Ok(Answer { host: spec.id.to_string(), ok, carrier: Some(carrier), steps, note: None })
}

/// Whether compose is there: the plugin, else the stand-alone program.
async fn compose(spec: &HostSpec, link: &dyn Link) -> Report {
    let started = Instant::now();
    let mut last = None;
    for program in
        [&["docker", "compose", "version", "--short"][..], &["docker-compose", "version", "--short"]]
    {
        let command = Command { deadline: STEP_LIMIT, ..Command::new(program.iter().copied()) };
        match link.exec(&command).await {
            Ok(output) if output.status == Some(0) => {
                let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
                return Report::ok("compose", started.elapsed(), Some(version));
            }
            Ok(output) => last = Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(fault) => return Report::failed("compose", started.elapsed(), &fault, spec),
        }
    }
    let place = match &spec.endpoint {
        Endpoint::Ssh(target) => target.hostname.to_string(),
        Endpoint::Unix(_) => "this machine".to_owned(),
        Endpoint::Tcp(target) => target.hostname.to_string(),
    };
    Report {
        ok: false,
        error: last.map(|words| crate::domain::text::clean(&words)),
        hint: Some(format!(
            "Install the compose plugin on {place} (package docker-compose-plugin); containers work without it."
        )),
        ..Report::ok("compose", started.elapsed(), None)
    }
}

/// A host that cannot be reached: the steps before the failing one were taken, it is the last.
fn failed(
    context: &ToolContext,
    host: &HostHandle,
    error: &HostError,
    took: Duration,
) -> Result<Answer, ToolError> {
    let spec = host.spec();
    let fault = match error {
        HostError::Unavailable(refused) => {
            refused.attempts.last().map(|attempt| &attempt.fault).or_else(|| refused.phase.cause())
        }
        _ => None,
    };
    let failure = HostFailure::of(host, error, context.directory.clock());
    let Some(fault) = fault else { return Err(failure.into()) };
    let failing = Step::failing(fault.kind);
    let ssh = matches!(spec.endpoint, Endpoint::Ssh(_));
    let mut steps: Vec<Report> = Step::ALL
        .into_iter()
        .filter(|step| *step < failing && (ssh || *step >= Step::Socket))
        .map(|step| Report { ms: None, ..Report::ok(step.word(), Duration::ZERO, None) })
        .collect();
    let took = fault.took.unwrap_or(took);
    steps.push(Report::failed(failing.word(), took, fault, spec));
    Ok(Answer { host: spec.id.to_string(), ok: false, carrier: None, steps, note: Some(failure.message) })
}
