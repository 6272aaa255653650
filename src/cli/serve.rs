//! `dockmaster serve` and `dockmaster stdio`: the service, from its start to its end.

use super::{EXIT_CONFIG, refuse};
use crate::app::{App, AppError, Ended, Front};
use crate::config::{Settings, Sources, load};
use crate::control::{ControlError, carry};
use crate::journal::{Holder, JournalError};
use crate::runtime::telemetry;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};

/// The service manager is to start the process anew (`EX_SOFTWARE` of sysexits.h).
const EXIT_MELTDOWN: u8 = 70;

/// A service that starts has said who it is within this time; it is asked so often.
const OTHER_STARTS: Duration = Duration::from_secs(10);
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// Runs the service until it is told to end.
pub(super) async fn serve(sources: Sources, front: Front) -> ExitCode {
    let settings = match load(&sources) {
        Ok(settings) => settings,
        Err(error) => return refuse(&error, EXIT_CONFIG),
    };
    telemetry::init(settings.log_level.value);
    announce(&settings);
    let app = match begin(&sources, &settings, front).await {
        Ok(app) => app,
        Err(AppError::Journal(JournalError::Held { holder, .. })) if front == Front::Stdio => {
            return attach(&holder, sources.files()).await;
        }
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

/// Starts the service; waits for one that starts at the same time until it has said who it is.
async fn begin(sources: &Sources, settings: &Settings, front: Front) -> Result<App, AppError> {
    let until = Instant::now() + OTHER_STARTS;
    loop {
        match App::start(sources.clone(), settings.clone(), front).await {
            Err(AppError::Journal(JournalError::Held { holder, .. }))
                if holder.pid == 0 && Instant::now() < until =>
            {
                sleep(ASK_AGAIN).await;
            }
            started => return started,
        }
    }
}

/// Carries the client to the service that is there already.
async fn attach(holder: &Holder, files: Vec<PathBuf>) -> ExitCode {
    let Some(socket) = &holder.socket else {
        return refuse(&ControlError::Refused(format!("another Dockmaster keeps the journal: {holder}")), 1);
    };
    tracing::info!("attached to the Dockmaster that runs already: {holder}");
    match carry(socket, &files).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => refuse(
            &ControlError::Refused(format!("the Dockmaster that this was attached to has ended: {holder}")),
            1,
        ),
        Err(error) => refuse(&error, 1),
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
