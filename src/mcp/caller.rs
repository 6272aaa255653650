//! Whoever makes a call, as far as they can be spoken with while it is made.

use super::consent::{Consent, Response};
use crate::domain::change::Asker;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio_util::sync::CancellationToken;

/// Notes waiting to be sent; a client that reads none misses some.
const NOTES: usize = 16;

/// Whoever makes a call.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    /// Who.
    pub asker: Asker,
    /// Hears how far the call is.
    pub progress: Progress,
    /// What the person behind it has said.
    pub consent: Consent,
    /// Cancelled when they will say no more: answers are still wanted, and no longer waited for.
    pub left: CancellationToken,
    /// Cancelled when it waits no more.
    pub gone: CancellationToken,
}

impl Caller {
    /// A person at the command line, who can be asked, or has answered.
    pub fn at_the_command_line(asker: Asker, response: Option<Response>) -> Self {
        Self { consent: response.map_or(Consent::Askable, Consent::Answered), ..Self::from(asker) }
    }
}

impl From<Asker> for Caller {
    fn from(asker: Asker) -> Self {
        Self { asker, ..Self::default() }
    }
}

/// Where notes about a call's progress go; nowhere when nobody asked for them. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Progress(Option<mpsc::Sender<String>>);

impl Progress {
    /// One whose messages come out at the other end.
    pub(super) fn channel() -> (Self, Told) {
        let (notes, told) = mpsc::channel(NOTES);
        (Self(Some(notes)), Told(told))
    }

    /// Tells it, when somebody listens. `false` when they are behind: it was not told.
    pub(super) fn say(&self, message: impl FnOnce() -> String) -> bool {
        let Some(notes) = &self.0 else { return true };
        match notes.try_reserve() {
            Ok(place) => {
                place.send(message());
                true
            }
            Err(TrySendError::Full(())) => false,
            Err(TrySendError::Closed(())) => true,
        }
    }
}

/// What is told of a call's progress.
pub(super) struct Told(mpsc::Receiver<String>);

impl Told {
    /// Passes on what is told of `run` until it ends, all of it before its end.
    pub(super) async fn until<T, F>(
        mut self,
        run: impl Future<Output = T>,
        mut tell: impl FnMut(String) -> F,
    ) -> T
    where
        F: Future<Output = ()>,
    {
        tokio::pin!(run);
        let result = loop {
            tokio::select! {
                result = &mut run => break result,
                Some(message) = self.0.recv() => tell(message).await,
            }
        };
        while let Ok(message) = self.0.try_recv() {
            tell(message).await;
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_was_told_last_is_passed_on_before_the_end() {
        let (progress, told) = Progress::channel();
        let run = async {
            progress.say(|| "first".to_owned());
            tokio::task::yield_now().await;
            progress.say(|| "last but one".to_owned());
            progress.say(|| "last".to_owned());
        };
        let mut heard = vec![];
        let hear = |message| {
            heard.push(message);
            std::future::ready(())
        };
        told.until(run, hear).await;
        assert_eq!(heard, ["first", "last but one", "last"]);
    }
}
