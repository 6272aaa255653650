//! Dockmaster inside this process, for what no tool shows.

use std::sync::Arc;
use std::time::Duration;

use dockmaster::actors::host::HostHandle;
use dockmaster::app::{App, Front};
use dockmaster::config::{Sources, load};
use dockmaster::runtime::dirs::RunDir;
use dockmaster::runtime::permits::LoginPermits;
use dockmaster::transport::SystemConnector;
use dockmaster::transport::ssh::{SshConnector, SshSettings};

use super::{Fleet, Host, ServiceConfig, eventually, processes};

const LIMIT: Duration = Duration::from_secs(40);
const SOON: Duration = Duration::from_secs(30);

/// Dockmaster on one host of the fleet.
pub struct Embedded {
    /// The service.
    pub app: App,
    /// The host, ready.
    pub host: HostHandle,
    _dir: tempfile::TempDir,
}

impl Embedded {
    /// Starts it and waits for the line.
    pub async fn start(fleet: &Fleet, host: &Host) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("hosts.yml");
        std::fs::write(&file, ServiceConfig::none(fleet).with(host, &[]).yaml()).unwrap();
        let sources = Sources { config: Some(file), ..Sources::default() };
        let settings = load(&sources).unwrap();
        let ssh = SshSettings { config: Some(fleet.ssh_config()) };
        let run_dir = RunDir::create_in(&dir.path().join("run")).unwrap();
        let ssh = SshConnector::new(ssh, run_dir, LoginPermits::new(4));
        let connector = Arc::new(SystemConnector::new(ssh));
        let app = App::with_connector(sources, settings, connector, Front::Embedded).await.unwrap();
        let host = app.directory().host(host.name()).unwrap();
        host.session(LIMIT).await.unwrap();
        Self { app, host, _dir: dir }
    }

    /// Ends it, and waits until its ssh has been waited for: the runtime does that, while it lives.
    pub async fn stop(self) {
        self.app.shutdown().await;
        let me = std::process::id();
        let gone = async || processes::children(me).iter().all(|child| child.name != "ssh");
        eventually("no ssh, alive or not waited for", SOON, gone).await;
    }

    /// Waits until nothing is left over.
    pub async fn settled(&self) {
        let reaper = self.app.directory().reaper();
        let settled = async || reaper.leftovers().is_empty() && self.host.operations().running().is_empty();
        eventually("nothing is held any more", SOON, settled).await;
    }
}
