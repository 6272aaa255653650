//! An engine that is none: it answers at a host's `docker.sock` what it was told to.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::net::UnixListener as StdListener;
use std::path::PathBuf;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

use super::{Background, Host};

/// Sits at `/run/docker.sock` of a host until it is dropped.
pub struct FakeEngine {
    door: PathBuf,
    _background: Background,
}

impl FakeEngine {
    /// An engine that answers pings and says it speaks no newer API than `api`.
    pub fn speaking(host: &Host, api: &str) -> Self {
        let version = json!({"Version": "19.03.15", "ApiVersion": api, "MinAPIVersion": "1.12",
            "Os": "linux", "Arch": "amd64"});
        let engine = host.engine_socket();
        let (mine, door) = (engine.with_file_name("fake.sock"), engine.with_file_name("docker.sock"));
        let listener = StdListener::bind(&mine).expect("a socket on the host");
        listener.set_nonblocking(true).expect("a socket can be non-blocking");
        let meta = fs::metadata(&engine).expect("the engine's own socket");
        chown(&mine, Some(meta.uid()), Some(meta.gid())).expect("its owner");
        fs::set_permissions(&mine, fs::Permissions::from_mode(meta.mode() & 0o777)).expect("its mode");
        let background = Background::start();
        {
            let _context = background.handle().enter();
            let listener = UnixListener::from_std(listener).expect("a listener");
            background.handle().spawn(serve(listener, version));
        }
        fs::rename(&mine, &door).expect("the place of the engine");
        Self { door, _background: background }
    }
}

impl Drop for FakeEngine {
    fn drop(&mut self) {
        let link = self.door.with_file_name("docker.link");
        if let Err(error) = symlink("engine.sock", &link).and_then(|()| fs::rename(&link, &self.door)) {
            eprintln!("{} could not be restored: {error}", self.door.display());
        }
    }
}

async fn serve(listener: UnixListener, version: Value) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(answer(stream, version.clone()));
    }
}

/// Answers requests without bodies until the connection ends.
async fn answer(mut stream: UnixStream, version: Value) {
    let (mut text, mut piece) = (String::new(), [0; 4096]);
    while let Ok(count @ 1..) = stream.read(&mut piece).await {
        text.push_str(&String::from_utf8_lossy(&piece[..count]));
        while let Some(end) = text.find("\r\n\r\n") {
            let body = if text[..end].contains("/version ") { version.to_string() } else { "OK".to_owned() };
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n", body.len());
            let kind = "Content-Type: application/json\r\n\r\n";
            if stream.write_all(format!("{head}{kind}{body}").as_bytes()).await.is_err() {
                return;
            }
            text.drain(..end + 4);
        }
    }
}
