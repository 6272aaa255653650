//! `dockmaster doctor`: the way to each host's engine, walked step by step, without a running service.

use super::refuse;
use crate::config::{Sources, load};
use crate::domain::fault::{Fault, FaultKind};
use crate::domain::host::{Endpoint, HostId, HostSpec};
use crate::domain::suggest::did_you_mean;
use crate::engine::{Engine, Unreached};
use crate::transport::ssh::aliases::reached_directly;
use crate::transport::{Command, Link, Route, Step, SystemConnector};
use futures_util::StreamExt as _;
use std::error::Error;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};

/// Hosts walked to at once; the logins below are bounded by themselves.
const AT_ONCE: usize = 16;

/// A step that takes longer has failed.
const STEP_LIMIT: Duration = Duration::from_secs(10);

/// What was found about one host: lines to show, and whether all is well.
struct Report {
    text: String,
    ok: bool,
}

impl Report {
    fn step(&mut self, step: Step, took: Duration, detail: &str) {
        self.ok(step.word(), took, detail);
    }

    fn ok(&mut self, step: &str, took: Duration, detail: &str) {
        let _ = writeln!(self.text, "  ok      {step:<13} {:>6} ms  {detail}", took.as_millis());
    }

    fn failed(&mut self, step: Step, fault: &Fault, spec: &HostSpec) {
        self.ok = false;
        let _ = writeln!(self.text, "  FAILED  {:<13} {fault}", step.word());
        let _ = writeln!(self.text, "          {}", fault.fix(spec));
    }

    fn note(&mut self, step: &str, words: &str) {
        let _ = writeln!(self.text, "  -       {step:<13} {words}");
    }
}

/// Walks to these hosts, or to all; exit code 1 when one of them cannot be used.
#[expect(clippy::print_stdout, reason = "the command's answer")]
pub(super) async fn run(sources: &Sources, hosts: &[HostId]) -> ExitCode {
    let (connector, specs) = match prepare(sources, hosts) {
        Ok(prepared) => prepared,
        Err(error) => return refuse(error.as_ref(), 1),
    };
    let walks: Vec<_> = specs.iter().map(|spec| walk(sources, &connector, spec)).collect();
    let mut walks = futures_util::stream::iter(walks).buffered(AT_ONCE);
    let mut all_well = true;
    while let Some(report) = walks.next().await {
        print!("{}", report.text);
        all_well &= report.ok;
    }
    if all_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn prepare(sources: &Sources, hosts: &[HostId]) -> Result<(SystemConnector, Vec<HostSpec>), Box<dyn Error>> {
    let configured = load(sources)?.hosts;
    let specs: Vec<HostSpec> = if hosts.is_empty() {
        configured.into_values().map(|host| host.value).collect()
    } else {
        let find = |id: &HostId| {
            let known = configured.keys().map(HostId::as_str);
            let found = configured.get(id).map(|host| host.value.clone());
            found.ok_or_else(|| format!("there is no host {id}.{}", did_you_mean(id.as_str(), known)))
        };
        hosts.iter().map(find).collect::<Result<_, _>>()?
    };
    Ok((SystemConnector::of_this_machine(sources.ssh.clone())?, specs))
}

async fn walk(sources: &Sources, connector: &SystemConnector, spec: &HostSpec) -> Report {
    let mut report = Report { text: format!("{}  {}\n", spec.id, spec.endpoint.url()), ok: true };
    if !spec.enabled {
        report.note("enabled", "no: no line is kept to it");
    }
    if let Endpoint::Ssh(target) = &spec.endpoint {
        match reached_directly(&sources.ssh, target).await {
            Some((hostname, port)) => {
                if let Err((step, fault)) = knock(&mut report, &hostname, port).await {
                    report.failed(step, &fault, spec);
                    return report;
                }
            }
            None => report.note("network", "ssh goes over another host or through a program"),
        }
    }
    match Engine::reach(connector, Arc::new(spec.clone()), None).await {
        Ok((engine, connection)) => {
            let route = engine.link().route();
            steps(&mut report, route);
            let info = engine.info();
            let words = format!("{} {}, API {}, {}", info.product, info.version, info.api, info.platform);
            let _ = writeln!(report.text, "  ok      {:<13}            {words}", Step::Engine.word());
            tokio::select! {
                // A connection works only as long as somebody waits for its end.
                fault = connection.lifeline.clone() => report.failed(Step::failing(fault.kind), &fault, spec),
                found = compose(engine.link().as_ref()) => report.text.push_str(&found),
            }
        }
        Err(Unreached { fault, .. }) => report.failed(Step::failing(fault.kind), &fault, spec),
    }
    report
}

/// Name, network and sshd's first words, each apart.
async fn knock(report: &mut Report, hostname: &str, port: u16) -> Result<(), (Step, Fault)> {
    let late = |kind, what: &str| Fault::new(kind, format!("{what} within {} s", STEP_LIMIT.as_secs()));
    let started = Instant::now();
    let found = timeout(STEP_LIMIT, lookup_host((hostname, port))).await;
    let found = found.map_err(|_| (Step::Dns, late(FaultKind::Dns, "no name server answered")))?;
    let addresses: Vec<_> =
        found.map_err(|error| (Step::Dns, Fault::new(FaultKind::Dns, error.to_string())))?.collect();
    let shown: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    report.step(Step::Dns, started.elapsed(), &shown.join(", "));

    let started = Instant::now();
    let stream = timeout(STEP_LIMIT, TcpStream::connect(addresses.as_slice())).await;
    let stream = stream.map_err(|_| (Step::Tcp, late(FaultKind::Timeout, "no answer")))?;
    let mut stream = stream.map_err(|error| {
        let kind = match error.kind() {
            std::io::ErrorKind::ConnectionRefused => FaultKind::Refused,
            _ => FaultKind::Unreachable,
        };
        (Step::Tcp, Fault::new(kind, error.to_string()))
    })?;
    report.step(Step::Tcp, started.elapsed(), &format!("port {port}"));

    let started = Instant::now();
    let mut banner = vec![0; 255];
    let read = timeout(STEP_LIMIT, stream.read(&mut banner)).await;
    let read = read
        .map_err(|_| (Step::Banner, late(FaultKind::NoBanner, "no greeting of sshd")))?
        .unwrap_or_default();
    let banner = String::from_utf8_lossy(&banner[..read]).lines().next().unwrap_or_default().to_owned();
    if !banner.starts_with("SSH-") {
        // sshd turns away whom it has too many of by closing at once, or with a word of its own.
        let turned_away = banner.is_empty() || banner.contains("MaxStartups");
        let kind = if turned_away { FaultKind::Throttled } else { FaultKind::NoBanner };
        return Err((Step::Banner, Fault::new(kind, format!("it said {banner:?}"))));
    }
    report.step(Step::Banner, started.elapsed(), &crate::domain::text::clean(&banner));
    Ok(())
}

fn steps(report: &mut Report, route: &Route) {
    for (step, took) in &route.steps {
        let detail = if *step == Step::Socket { route.socket.as_str() } else { "" };
        report.step(*step, *took, detail);
    }
}

/// Whether compose is there; a host without it is as good as any for everything else.
async fn compose(link: &dyn Link) -> String {
    let command =
        Command { deadline: STEP_LIMIT, ..Command::new(["docker", "compose", "version", "--short"]) };
    let (started, mut found) = (Instant::now(), Report { text: String::new(), ok: true });
    match link.exec(&command).await {
        Ok(output) if output.status == Some(0) => {
            let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            found.ok("compose", started.elapsed(), &version);
        }
        Ok(_) => found.note("compose", "not there; containers work without it"),
        Err(fault) => found.note("compose", &fault.to_string()),
    }
    found.text
}
