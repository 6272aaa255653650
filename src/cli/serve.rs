//! `dockmaster serve` and `dockmaster stdio`: the service, from its start to its end.

use super::{EXIT_CONFIG, refuse};
use crate::app::{App, AppError, Front};
use crate::config::{Settings, Sources, load};
use crate::control::{Carried, ControlError, Ended, opens};
use crate::journal::{Holder, JournalError};
use crate::runtime::telemetry;
use std::process::ExitCode;
use std::time::Duration;
use tokio::io::{Stdin, Stdout};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};

/// The service manager is to start the process anew (`EX_SOFTWARE` of sysexits.h).
const EXIT_MELTDOWN: u8 = 70;

/// A service that starts has said who it is within this time; it is asked so often.
const OTHER_STARTS: Duration = Duration::from_secs(10);
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// A service manager has started its service anew within this time, its shutdown included.
const MANAGED_AGAIN: Duration = Duration::from_secs(20);

/// So often in a row a service may be there and not be reached: it may be starting, or ending.
const MOST_FAILURES: u32 = 6;

/// Runs the service until it is told to end.
pub(super) async fn serve(sources: Sources, front: Front) -> ExitCode {
    match begin(&sources, front).await {
        Ok(app) => live(app).await,
        Err(NoService::Held(holder, _)) if front == Front::Stdio => follow(&sources, holder).await,
        Err(NoService::Held(_, error)) => refuse(&error, 1),
        Err(NoService::Refused(code)) => code,
    }
}

/// Why there is no service in this process.
enum NoService {
    /// Another keeps the journal.
    Held(Holder, AppError),
    /// It was told why.
    Refused(ExitCode),
}

/// Starts the service; waits for one that starts at the same time until it has said who it is.
async fn begin(sources: &Sources, front: Front) -> Result<App, NoService> {
    let settings = load(sources).map_err(|error| NoService::Refused(refuse(&error, EXIT_CONFIG)))?;
    telemetry::init(settings.log_level.value);
    announce(&settings);
    let until = Instant::now() + OTHER_STARTS;
    loop {
        match App::start(sources.clone(), settings.clone(), front).await {
            Err(AppError::Journal(JournalError::Held { dir, holder })) => {
                if holder.pid != 0 || Instant::now() > until {
                    return Err(NoService::Held(holder.clone(), JournalError::Held { dir, holder }.into()));
                }
                sleep(ASK_AGAIN).await;
            }
            started => return started.map_err(|error| NoService::Refused(refuse(&error, 1))),
        }
    }
}

/// Carries the client on standard input and output to the service that is there already. When that ends, the
/// client is carried to the next. A service manager starts its service anew; where there was none that does, this
/// process becomes the service, unless another one was quicker.
async fn follow(sources: &Sources, mut holder: Holder) -> ExitCode {
    let mut client = Carried::on_stdio();
    let mut failed = 0;
    loop {
        let Some(socket) = &holder.socket else {
            let words = format!("another Dockmaster keeps the journal, and cannot be reached: {holder}");
            return refuse(&ControlError::Refused(words), 1);
        };
        tracing::info!("attached to the Dockmaster that runs already: {holder}");
        match client.to(socket, &sources.files(), &sources.offer).await {
            Ok(Ended::Client) => return ExitCode::SUCCESS,
            Ok(Ended::Service) => failed = 0,
            Err(error @ ControlError::Unreachable { .. }) if failed < MOST_FAILURES => {
                tracing::warn!("{error}");
                failed += 1;
                sleep(ASK_AGAIN * 2_u32.pow(failed)).await;
            }
            Err(error) => return refuse(&error, 1),
        }
        tracing::warn!("the Dockmaster that this was attached to has ended: {holder}");
        if !holder.front.is_empty() && !opens(socket, MANAGED_AGAIN).await {
            let words = format!("the Dockmaster that this was attached to has ended: {holder}");
            return refuse(&ControlError::Refused(words), 1);
        }
        holder = match begin(sources, Front::Carried).await {
            Ok(app) => return follow_here(app, client, sources).await,
            Err(NoService::Held(holder, _)) => holder,
            Err(NoService::Refused(code)) => return code,
        }
    }
}

/// Carries the client to the service of this process; that lives until the last client has left.
async fn follow_here(app: App, mut client: Carried<Stdin, Stdout>, sources: &Sources) -> ExitCode {
    tracing::info!("taking over");
    let (stop, guests, door) = (app.stopping(), app.guests().clone(), app.door().map(ToOwned::to_owned));
    let carrying = async move {
        let _end = stop.drop_guard();
        while let Some(door) = &door
            && !matches!(
                client.to(door, &sources.files(), &sources.offer).await,
                Ok(Ended::Client) | Err(ControlError::Refused(_))
            )
        {
            // Its door is opened anew by its supervisor.
            sleep(ASK_AGAIN).await;
        }
        guests.gone().await;
    };
    let living = live(app);
    tokio::pin!(carrying, living);
    tokio::select! {
        code = &mut living => code,
        () = &mut carrying => living.await,
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
async fn live(mut app: App) -> ExitCode {
    if let Some(address) = app.address {
        tracing::info!("serving MCP at http://{address}/mcp");
    }
    // Outside systemd there is nobody to tell.
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    let (Ok(mut terminate), Ok(mut interrupt), Ok(mut hangup)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()), signal(SignalKind::hangup()))
    else {
        tracing::error!("signals cannot be received");
        app.shutdown().await;
        return ExitCode::FAILURE;
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
                return ExitCode::from(EXIT_MELTDOWN);
            }
        }
    }
    tracing::info!("stopping");
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    app.shutdown().await;
    ExitCode::SUCCESS
}
