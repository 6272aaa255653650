//! A recorder between the engine and its clients on a host.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::net::UnixListener as StdListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::Background;
use super::conversation::{Conversation, Request};
use super::wait_for;

/// A service follows an engine within milliseconds.
const SOON: Duration = Duration::from_secs(30);

/// A request as a client made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// `GET`, `POST`, ...
    pub method: String,
    /// Path and query.
    pub path: String,
    /// When its head was complete, before the engine saw it.
    pub at: Instant,
}

#[derive(Debug, Default)]
struct Book {
    requests: Mutex<Vec<Recorded>>,
    /// Whether anybody ever asked for events.
    followed: AtomicBool,
}

impl Book {
    fn open(&self) -> MutexGuard<'_, Vec<Recorded>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, requests: Vec<Request>) {
        let at = Instant::now();
        let follows = requests.iter().any(|(_, path)| path.contains("/events"));
        let recorded = requests.into_iter().map(|(method, path)| Recorded { method, path, at });
        self.open().extend(recorded);
        if follows {
            self.followed.store(true, Ordering::SeqCst);
        }
    }
}

/// Sits at the door of a host, where its clients find the engine, and passes everything on to the
/// engine, noting each request before the engine gets it. Connections made before it came are not seen.
///
/// The engine itself listens at `engine.sock`, to which the door is a link: so the
/// recorder outlives restarts of the engine (a dead engine shows as a connection that
/// closes at once), but not a boot of the host. Dropped, it puts the link back and cuts
/// the connections it carries.
pub struct EngineRecorder {
    door: PathBuf,
    /// What the door was: the text of the link.
    led_to: PathBuf,
    inode: u64,
    book: Arc<Book>,
    background: Background,
}

impl EngineRecorder {
    /// By paths that work from this machine.
    pub(super) fn install(engine: PathBuf, door: PathBuf) -> io::Result<Self> {
        let mine = engine.with_file_name("recorder.sock");
        if fs::symlink_metadata(&door).is_ok_and(|meta| !meta.is_symlink()) {
            return Err(io::Error::other("a recorder is there already"));
        }
        let led_to = fs::read_link(&door)?;
        let listener = StdListener::bind(&mine)?;
        listener.set_nonblocking(true)?;
        // whoever may talk to the engine may talk to the recorder
        let meta = fs::metadata(&engine)?;
        chown(&mine, Some(meta.uid()), Some(meta.gid()))?;
        fs::set_permissions(&mine, fs::Permissions::from_mode(meta.mode() & 0o777))?;
        let inode = fs::metadata(&mine)?.ino();
        let book = Arc::new(Book::default());
        let background = Background::start();
        {
            let _context = background.handle().enter();
            let listener = UnixListener::from_std(listener)?;
            background.handle().spawn(serve(listener, engine, Arc::clone(&book)));
        }
        // in one step, so that no client finds nothing there
        fs::rename(&mine, &door)?;
        Ok(Self { door, led_to, inode, book, background })
    }

    /// All requests since the start or the last [`clear`](Self::clear), in order.
    pub fn requests(&self) -> Vec<Recorded> {
        self.book.open().clone()
    }

    /// Forgets what was recorded, once the service has asked for events: that is the last of what it does
    /// by itself when a line comes up.
    pub fn clear(&self) {
        wait_for("the service follows the engine", SOON, || self.book.followed.load(Ordering::SeqCst));
        self.forget();
    }

    /// Forgets what was recorded.
    pub fn forget(&self) {
        self.book.open().clear();
    }
}

impl Drop for EngineRecorder {
    fn drop(&mut self) {
        // after a boot there is another door, or none
        if fs::symlink_metadata(&self.door).is_ok_and(|meta| meta.ino() == self.inode) {
            let link = self.door.with_file_name("docker.link");
            let restored = symlink(&self.led_to, &link).and_then(|()| fs::rename(&link, &self.door));
            if let Err(error) = restored {
                eprintln!("{} could not be restored: {error}", self.door.display());
            }
        }
    }
}

async fn serve(listener: UnixListener, engine: PathBuf, book: Arc<Book>) {
    while let Ok((client, _)) = listener.accept().await {
        let engine = engine.clone();
        let book = Arc::clone(&book);
        tokio::spawn(async move {
            // an error is the end of the connection, which both ends see
            drop(carry(client, &engine, &book).await);
        });
    }
}

async fn carry(client: UnixStream, engine: &Path, book: &Book) -> io::Result<()> {
    let engine = UnixStream::connect(engine).await?;
    let (from_client, to_client) = client.into_split();
    let (from_engine, to_engine) = engine.into_split();
    let conversation = Mutex::new(Conversation::new());
    let talk = || conversation.lock().unwrap_or_else(PoisonError::into_inner);
    let asking = pump(from_client, to_engine, |bytes| {
        book.write(talk().client_sent(bytes));
    });
    let answering = pump(from_engine, to_client, |bytes| {
        book.write(talk().engine_sent(bytes));
    });
    tokio::try_join!(asking, answering)?;
    Ok(())
}

/// Copies to the end, showing each piece to `look` before it is passed on.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    look: impl Fn(&[u8]),
) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            // one direction may close long before the other: `docker logs` to a pipe, attach
            return to.shutdown().await;
        }
        look(&buffer[..count]);
        to.write_all(&buffer[..count]).await?;
    }
}
