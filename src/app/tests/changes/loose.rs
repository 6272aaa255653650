//! Steps that are made by hand, without an operation.

use crate::actors::changes::OtherHost;
use crate::actors::host::Session;
use crate::app::App;
use crate::changes::{Means, Source};
use crate::domain::host::HostId;
use crate::transport::{BoxFuture, Link};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// What steps may use that nobody tidies up after.
pub(super) struct Loose {
    session: Arc<Session>,
    source: Option<OtherHost>,
    names: AtomicU32,
}

impl Loose {
    pub(super) fn beside(session: &Arc<Session>, source: Option<&HostId>, app: &App) -> Self {
        let source =
            source.map(|host| OtherHost { host: app.directory().host(host.as_str()).unwrap(), bound: None });
        Self { session: Arc::clone(session), source, names: AtomicU32::new(0) }
    }
}

impl Means for Loose {
    fn link(&self) -> &dyn Link {
        self.session.engine.link().as_ref()
    }

    fn helper(&self) -> BoxFuture<'_, String> {
        let number = self.names.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move { format!("helper-{number}") })
    }

    fn source(&self) -> Option<&dyn Source> {
        self.source.as_ref().map(|source| source as &dyn Source)
    }
}
