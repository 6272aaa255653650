//! Attending to a change until it is over, over as many lines as that takes.

use super::desk::ChangeDesk;
use super::drive::{Drive, Stopped};
use super::live::Live;
use crate::actors::directory::HostDirectory;
use crate::actors::host::{HostError, HostHandle};
use crate::actors::operation::Pace;
use crate::domain::retry::BackoffPolicy;
use crate::domain::saga::{Course, Move, Why};
use crate::runtime::backoff::{Backoff, fresh_seed};
use crate::runtime::clock::age;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// A host that is not configured, or is elsewhere, is looked for this often: it may come back.
const LOOK_FOR_HOST: Duration = Duration::from_secs(60);

/// A journal that cannot be written is tried again after this long.
const WRITE_AGAIN: Duration = Duration::from_secs(2);

/// Beyond a change's own time, its turn and its line are waited for this long before it is tried again.
const SLACK: Duration = Duration::from_secs(60);

/// Gets a change to its end.
pub(in crate::actors) async fn attend(live: Arc<Live>, directory: HostDirectory) {
    let desk = directory.changes().clone();
    if !desk.record(&live).await {
        return desk.over(&live);
    }
    let mut waits = Backoff::new(BackoffPolicy::BACKGROUND, fresh_seed());
    while let Err(wait) = attempt(&live, &directory, &desk).await {
        let again = match wait {
            Wait::ForHost => sleep(LOOK_FOR_HOST),
            Wait::ForJournal => sleep(WRITE_AGAIN),
            Wait::ALittle => sleep(waits.next_wait()),
        };
        tokio::select! {
            () = again => {}
            // It may need no host to end.
            () = live.cancelled(), if !live.is_cancelled() => {}
        }
    }
    desk.over(&live);
}

/// What is waited for before the next attempt.
enum Wait {
    ForHost,
    ForJournal,
    ALittle,
}

async fn attempt(live: &Arc<Live>, directory: &HostDirectory, desk: &ChangeDesk) -> Result<(), Wait> {
    if let Err(error) = live.pay(desk.journal(), desk.clock().now()).await {
        live.say(Stopped::Owes(error).to_string());
        return Err(Wait::ForJournal);
    }
    let record = live.record();
    if record.state.is_final() {
        return Ok(());
    }
    let host = record.machine.host.clone();
    let course = match record.course {
        Course::Forward if live.is_cancelled() => Course::Back(Why::Cancelled),
        // It waited too long for its turn, or for its host.
        Course::Forward
            if record.steps.is_empty() && age(desk.clock().now(), record.started) > record.limit =>
        {
            Course::Back(Why::Interrupted)
        }
        course => course,
    };
    if let Move::End(ending) = live.change().plan().next(&record.states(), course) {
        // Nothing is to be done on the host any more, unless somebody is at it.
        let _alone = live.drive().await;
        if live.record().steps.len() > record.steps.len() {
            return Err(Wait::ALittle);
        }
        return desk.end(live, course, ending).await.map_err(|_| Wait::ALittle);
    }
    let Ok(mut handle) = directory.host(host.as_str()) else {
        live.say(format!("waits for {host}, which is not configured any more"));
        return Err(Wait::ForHost);
    };
    if handle.current_session().is_none() {
        live.say(format!("waits for {host}, which is {}", handle.status().phase.word()));
        if timeout(LOOK_FOR_HOST, handle.next_session()).await.is_err() {
            return Err(Wait::ALittle);
        }
    }
    let driven = tokio::select! {
        driven = over_this_line(live, &handle, desk, directory) => driven,
        // It may be waiting for its turn, and need none to end.
        () = live.cancelled(), if !live.is_cancelled() && record.steps.is_empty() => return Err(Wait::ALittle),
    };
    match driven {
        Ok(()) => Ok(()),
        Err(stopped @ Stopped::Elsewhere(..)) => {
            live.say(format!("{stopped}; nothing is done there in its name"));
            Err(Wait::ForHost)
        }
        Err(stopped @ Stopped::Owes(_)) => {
            live.say(stopped.to_string());
            Err(Wait::ForJournal)
        }
        Err(stopped) => {
            tracing::info!(operation = %live.id(), %host, %stopped, "a change was interrupted");
            live.say(format!("interrupted: {stopped}"));
            Err(Wait::ALittle)
        }
    }
}

async fn over_this_line(
    live: &Arc<Live>,
    host: &HostHandle,
    desk: &ChangeDesk,
    directory: &HostDirectory,
) -> Result<(), Stopped> {
    let (name, limit) = (live.change().word(), live.change().longest() + SLACK);
    let (change, desk, directory) = (Arc::clone(live), desk.clone(), directory.clone());
    let pace = if live.change().is_long() { Pace::Long } else { Pace::Short };
    let driven = host.perform(live.id(), name, pace, limit, move |operation| async move {
        let drive = Drive {
            live: change,
            operation,
            journal: desk.journal().clone(),
            directory,
            clock: desk.clock(),
            doubt: desk.doubt(),
        };
        // A stop of its own kind is an answer of the operation, not its failure.
        match drive.run().await {
            Err(Stopped::Host(error)) => Err(error),
            outcome => Ok(outcome),
        }
    });
    driven.await.map_err(|error: HostError| Stopped::Host(error))?
}
