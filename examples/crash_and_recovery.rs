//! A change that is interrupted by a crash, and what the next service makes of it.
//!
//! A container is restarted. The engine does it, and before it can say so the service is gone, as after
//! `kill -9`: no destructor of it says goodbye to anybody. The next service finds the restart on record as
//! intended, looks at the container, sees that it has been started since, and puts the change on record as
//! done. It does not restart it a second time.
//!
//!     cargo run --example crash_and_recovery

#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "an example shows itself and plays an engine"
)]

use dockmaster::actors::changes::Wish;
use dockmaster::app::{App, Front};
use dockmaster::config::{Sources, load};
use dockmaster::domain::change::{Asker, Change, OWNER};
use dockmaster::journal::Page;
use dockmaster::transport::SystemConnector;
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;
use tokio::runtime::Runtime;

fn main() -> Result<(), Box<dyn Error>> {
    // What outlives a service: an engine, the hosts file, the data directory with the journal.
    let dir = std::env::temp_dir().join(format!("crash-and-recovery-{}", std::process::id()));
    std::fs::create_dir(&dir)?;
    let restarts = Arc::new(AtomicU32::new(0));
    let (tell, restarted) = channel();
    play_engine(&dir.join("engine.sock"), Arc::clone(&restarts), tell)?;
    let hosts = format!("hosts:\n  nas: {{kind: unix, socket: {}}}\n", dir.join("engine.sock").display());
    std::fs::write(dir.join("hosts.yml"), hosts)?;

    // The first life, in a runtime of its own: when that is shut down, its tasks end wherever they are.
    let first = Runtime::new()?;
    let id = first.block_on(async {
        let app = start(&dir).await?;
        let host = app.directory().host("nas")?;
        // A wish says what is to be done, who asks, and by which key the same wish is known again.
        let wish = Wish {
            change: Change::ContainerRestart {
                containers: vec!["web".parse()?],
                grace: Some(1),
                patience: None,
            },
            bound: None,
            agreement: None,
            asker: Asker { principal: OWNER.to_owned(), client: "an example".to_owned() },
            key: Some("restart web after the update".to_owned()),
            arguments: serde_json::Value::Null,
        };
        let session = host.session(Duration::from_secs(10)).await?;
        // It is on disk when this returns; who sees to it from here on is the Reaper.
        let (id, _) = app.directory().changes().begin(&host, &session, wish).await?;
        Ok::<_, Box<dyn Error>>(id)
    })?;
    restarted.recv()?;
    println!("the engine has restarted web, and nobody has heard of it yet");
    first.shutdown_timeout(Duration::from_secs(5));
    println!("the service is gone");

    // The second life, from the same data directory.
    let second = Runtime::new()?;
    second.block_on(async {
        let app = start(&dir).await?;
        let changes = app.directory().changes();
        let record = loop {
            let wanted = Page { ended: None, limit: 1, before: None };
            let record = changes.list(&wanted).await?.remove(0);
            if record.state.is_final() {
                break record;
            }
            changes.wait(id, Duration::from_secs(1)).await?;
        };
        assert_eq!(record.id, id);
        println!(
            "the next one: {} of {} is {}",
            record.change.word(),
            record.change.target(),
            record.state.word()
        );
        let step = &record.steps[0];
        println!("its step: {} (now {})", step.name, step.made.after.as_deref().unwrap_or("gone"));
        app.shutdown().await;
        Ok::<_, Box<dyn Error>>(())
    })?;
    println!("web was restarted {} time", restarts.load(Ordering::SeqCst));
    std::fs::remove_dir_all(dir)?;
    Ok(())
}

/// All of Dockmaster but its front. With a data directory it keeps a journal there; without it changes nothing.
async fn start(dir: &Path) -> Result<App, Box<dyn Error>> {
    let data_dir = Some(dir.to_owned());
    let sources = Sources { config: Some(dir.join("hosts.yml")), data_dir, ..Sources::default() };
    let settings = load(&sources)?;
    let connector = Arc::new(SystemConnector::of_this_machine(sources.ssh.clone())?);
    Ok(App::with_connector(sources, settings, connector, Front::Embedded).await?)
}

/// The least of an engine, on threads of its own: one container, which can be restarted. It tells us when it
/// has done that, and never tells whoever asked.
fn play_engine(socket: &PathBuf, restarts: Arc<AtomicU32>, tell: Sender<()>) -> std::io::Result<()> {
    let listener = UnixListener::bind(socket)?;
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (restarts, tell) = (Arc::clone(&restarts), tell.clone());
            std::thread::spawn(move || drop(answer(stream, &restarts, &tell)));
        }
    });
    Ok(())
}

fn answer(stream: UnixStream, restarts: &AtomicU32, tell: &Sender<()>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut writer = stream;
    loop {
        let mut request = String::new();
        while !request.ends_with("\r\n\r\n") {
            if reader.read_line(&mut request)? == 0 {
                return Ok(());
            }
        }
        let started = format!("2026-01-01T00:00:0{}Z", restarts.load(Ordering::SeqCst));
        let container = format!(
            r#"{{"Id":"c0ffee","Name":"/web","State":{{"Status":"running","Running":true,"StartedAt":"{started}"}}}}"#
        );
        let body = if request.starts_with("POST") && request.contains("/restart") {
            restarts.fetch_add(1, Ordering::SeqCst);
            // A receiver that is gone has heard enough.
            let _ = tell.send(());
            std::thread::park();
            return Ok(());
        } else if request.contains("/version") {
            r#"{"Version":"28.0.0","ApiVersion":"1.48","Os":"linux","Arch":"arm64"}"#
        } else if request.contains("/info") {
            r#"{"ID":"an engine of an example"}"#
        } else if request.contains("/containers/web/json") || request.contains("/containers/c0ffee/json") {
            &container
        } else {
            "[]"
        };
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        writer.write_all((head + body).as_bytes())?;
    }
}
