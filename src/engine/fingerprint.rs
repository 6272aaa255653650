//! What is in an archive, told so that two of the same files are alike whatever order they come in.

use super::EngineError;
use super::transfer::Naming;
use bytes::{Buf as _, Bytes};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::io::{self, Read};
use tar::{Archive, EntryType};
use tokio::sync::mpsc;

/// What is in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// Files, without directories and links.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Of all entries: their names, kinds, modes, owners where they are told, what is in files and when they were
    /// changed.
    pub sha256: String,
}

impl Fingerprint {
    /// Of an archive with these names that comes piece by piece; the sender is dropped at its end.
    pub async fn of(chunks: mpsc::Receiver<Bytes>, naming: Naming) -> Result<Self, EngineError> {
        let read = move || Self::read(Pieces { chunks, piece: Bytes::new() }, naming);
        let read =
            tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| Err(io::Error::other(error)));
        read.map_err(|error| EngineError::Failed(format!("its archive cannot be read: {error}")))
    }

    fn read(archive: impl Read, naming: Naming) -> io::Result<Self> {
        let (mut files, mut bytes, mut entries) = (0, 0, vec![]);
        for entry in Archive::new(archive).entries()? {
            let mut entry = entry?;
            let name = naming.name(&entry.path_bytes()).to_vec();
            if name.is_empty() && !naming.tells_owners() {
                continue;
            }
            let mut hash = Sha256::new();
            let mut part = |part: &[u8]| {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part);
            };
            part(&name);
            let header = entry.header();
            let kind = match header.entry_type() {
                EntryType::Continuous | EntryType::GNUSparse => EntryType::Regular,
                kind => kind,
            };
            part(&[kind.as_byte()]);
            part(&(header.mode()? & 0o7777).to_be_bytes());
            if naming.tells_owners() {
                part(&header.uid()?.to_be_bytes());
                part(&header.gid()?.to_be_bytes());
            }
            if kind == EntryType::Regular {
                part(&header.mtime()?.to_be_bytes());
                files += 1;
                bytes += entry.size();
            }
            let target = entry.link_name_bytes().unwrap_or_default();
            part(if kind == EntryType::Link { naming.name(&target) } else { &target });
            let mut body = vec![0; 16 << 10];
            loop {
                match entry.read(&mut body)? {
                    0 => break,
                    read => hash.update(&body[..read]),
                }
            }
            entries.push(hash.finalize());
        }
        entries.sort_unstable();
        let whole = entries.iter().fold(Sha256::new(), Sha256::chain_update);
        let sha256 = whole.finalize().iter().fold(String::new(), |mut text, byte| {
            // Into a string it cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        });
        Ok(Self { files, bytes, sha256 })
    }
}

/// Pieces as they are read by a thread that may wait.
struct Pieces {
    chunks: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.chunks.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let most = into.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut into[..most]);
        Ok(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tar::{Builder, Header};

    #[derive(Clone)]
    struct File {
        name: &'static str,
        body: &'static [u8],
        mode: u32,
        owner: u64,
        time: u64,
    }

    const FILE: File = File { name: "a", body: b"one", mode: 0o644, owner: 1000, time: 5 };

    fn archive(naming: Naming, files: &[File]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        let root = if naming == Naming::Below { "held/" } else { "./" };
        let mut add = |name: &str, kind: EntryType, file: &File| {
            let mut header = Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(file.body.len() as u64);
            header.set_mode(file.mode);
            header.set_uid(file.owner);
            header.set_gid(file.owner);
            header.set_mtime(file.time);
            builder.append_data(&mut header, format!("{root}{name}"), file.body).unwrap();
        };
        add("", EntryType::Directory, &File { body: b"", ..FILE });
        for file in files {
            add(file.name, EntryType::Regular, file);
        }
        builder.into_inner().unwrap()
    }

    fn of(naming: Naming, files: &[File]) -> Fingerprint {
        Fingerprint::read(archive(naming, files).as_slice(), naming).unwrap()
    }

    #[test]
    fn it_tells_every_difference_of_files_and_none_of_their_order() {
        let other = File { name: "sub/b", body: b"two2", ..FILE };
        let foreign = File { owner: 0, ..FILE };
        let changes = [
            File { name: "c", ..FILE },
            File { body: b"0ne", ..FILE },
            File { mode: 0o600, ..FILE },
            File { time: 6, ..FILE },
        ];
        for naming in [Naming::Below, Naming::Bare] {
            let known = of(naming, &[FILE, other.clone()]);
            assert_eq!((known.files, known.bytes, known.sha256.len()), (2, 7, 64));
            assert_eq!(of(naming, &[other.clone(), FILE]), known);
            for changed in &changes {
                assert_ne!(of(naming, &[changed.clone(), other.clone()]).sha256, known.sha256);
            }
            assert_ne!(of(naming, &[FILE]).sha256, known.sha256);
            let differs = of(naming, &[foreign.clone(), other.clone()]) != known;
            assert_eq!(differs, naming == Naming::Below, "Podman does not tell whose it is");
        }
    }

    #[test]
    fn what_ends_too_early_is_no_archive() {
        let whole = archive(Naming::Below, &[FILE]);
        assert!(Fingerprint::read(&whole[..1100], Naming::Below).is_err());
    }
}
