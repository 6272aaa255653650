//! Files and directories inside a container, from the archive its engine makes of them.

use super::{Engine, EngineError};
use crate::domain::container::ContainerName;
use bollard::query_parameters::{
    ContainerArchiveInfoOptionsBuilder, DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};
use futures_util::TryStreamExt as _;
use std::borrow::Cow;
use std::ops::Range;
use tar::{EntryType, Header, PaxExtensions};

/// Entries of a directory told at most.
const MOST_ENTRIES: usize = 1_000;

/// An archive has everything below a directory in it: reading ends here at the latest.
const MOST_BYTES: usize = 64 << 20;

/// A long name of an entry; what claims to be longer is none.
const LONGEST_NAME: usize = 64 << 10;

const BLOCK: usize = 512;

/// The bit of a link among what engines tell of a path; the bits are Go's.
const IS_LINK: u32 = 1 << 27;

/// What a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// An ordinary file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A device, a pipe, a socket.
    Special,
}

/// A file or directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// As the archive names it.
    pub name: String,
    /// What it is.
    pub kind: NodeKind,
    /// Bytes of a file.
    pub size: u64,
    /// Where a link leads.
    pub target: Option<String>,
    /// Who may do what with it.
    pub mode: u32,
    /// Whose it is, by numbers inside the container.
    pub owner: (u64, u64),
}

/// What was read of a path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Archived {
    /// What the path itself is; `None` when the archive was empty.
    pub node: Option<Node>,
    /// The wanted bytes, when it is a file.
    pub body: Vec<u8>,
    /// What is in it, when it is a directory.
    pub children: Vec<Node>,
    /// Whether there may be more in it.
    pub is_cut: bool,
}

impl Engine {
    /// What is at an absolute path inside a container, and of a file the bytes `wanted`. Reads no more of the
    /// archive than that takes.
    pub async fn archive(
        &self,
        container: &ContainerName,
        path: &str,
        wanted: Range<u64>,
    ) -> Result<Archived, EngineError> {
        let options = DownloadFromContainerOptionsBuilder::new().path(path).build();
        let mut stream = self.docker.download_from_container(container.as_str(), Some(options));
        let mut reader = Reader::new(wanted);
        while let Some(chunk) = stream.try_next().await? {
            if reader.push(&chunk)? {
                break;
            }
        }
        Ok(reader.found)
    }
}

/// A file that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    /// Its name without its directory.
    pub name: String,
    /// What is in it.
    pub body: Vec<u8>,
    /// Who may do what with it.
    pub mode: u32,
    /// Whose it is, by numbers inside the container.
    pub owner: (u64, u64),
}

impl NewFile {
    /// An archive with nothing else in it.
    fn archive(&self) -> std::io::Result<Vec<u8>> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_size(self.body.len() as u64);
        header.set_mode(self.mode);
        header.set_uid(self.owner.0);
        header.set_gid(self.owner.1);
        let now = jiff::Timestamp::now().as_second();
        header.set_mtime(u64::try_from(now).unwrap_or_default());
        let mut builder = tar::Builder::new(Vec::new());
        builder.append_data(&mut header, &self.name, self.body.as_slice())?;
        builder.into_inner()
    }
}

impl Engine {
    /// What is at an absolute path inside a container, without what is in it.
    pub async fn node(&self, container: &ContainerName, path: &str) -> Result<Option<Node>, EngineError> {
        let options = DownloadFromContainerOptionsBuilder::new().path(path).build();
        let mut stream = self.docker.download_from_container(container.as_str(), Some(options));
        let mut reader = Reader::new(0..0);
        while let Some(chunk) = stream.try_next().await? {
            if reader.push(&chunk)? || reader.found.node.is_some() {
                break;
            }
        }
        Ok(reader.found.node)
    }

    /// Where the link at an absolute path inside a container leads; `None` when it is no link. The last part of the
    /// path is the only one of which that is told: the engine follows those before it by itself.
    pub async fn target(&self, container: &ContainerName, path: &str) -> Result<Option<String>, EngineError> {
        let options = ContainerArchiveInfoOptionsBuilder::new().path(path).build();
        let told = self.docker.get_container_archive_info(container.as_str(), Some(options)).await?;
        // Podman tells a target of everything.
        Ok((told.file_mode & IS_LINK != 0).then_some(told.link_target))
    }

    /// Puts a file into a directory inside a container; one of its name is replaced, and a directory is not.
    pub async fn put_file(
        &self,
        container: &ContainerName,
        directory: &str,
        file: &NewFile,
    ) -> Result<(), EngineError> {
        let archive = file.archive().map_err(|error| EngineError::Garbled(format!("an archive: {error}")))?;
        let options = UploadToContainerOptionsBuilder::new().path(directory).no_overwrite_dir_non_dir("true");
        // Whose it is stands in the archive; Podman would take the container's user otherwise.
        let options = options.copy_uidgid("false");
        let body = bollard::body_full(archive.into());
        Ok(self.docker.upload_to_container(container.as_str(), Some(options.build()), body).await?)
    }
}

/// What the bytes after a header are for.
enum Content {
    /// Nothing.
    Skipped,
    /// The file that was asked for.
    Body,
    /// The next entry's name, or (`true`) its target.
    Long(bool),
    /// The next entry's other attributes.
    Pax,
}

/// Takes an archive piece by piece and keeps what is wanted of it.
struct Reader {
    found: Archived,
    wanted: Range<u64>,
    read: usize,
    header: Vec<u8>,
    content: Content,
    /// Of the content, and of what fills its last block.
    left: u64,
    filling: u64,
    /// How much of a body has passed.
    passed: u64,
    long: Vec<u8>,
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
}

impl Reader {
    fn new(wanted: Range<u64>) -> Self {
        Self {
            found: Archived::default(),
            wanted,
            read: 0,
            header: Vec::new(),
            content: Content::Skipped,
            left: 0,
            filling: 0,
            passed: 0,
            long: Vec::new(),
            name: None,
            target: None,
            size: None,
        }
    }

    /// Whether enough was read.
    fn push(&mut self, mut bytes: &[u8]) -> Result<bool, EngineError> {
        self.read = self.read.saturating_add(bytes.len());
        while !bytes.is_empty() {
            if self.left > 0 {
                let (now, rest) = split(bytes, self.left);
                self.left -= now.len() as u64;
                bytes = rest;
                self.take(now);
                if self.left == 0 && self.end_of_content() {
                    return Ok(true);
                }
            } else if self.filling > 0 {
                let (now, rest) = split(bytes, self.filling);
                self.filling -= now.len() as u64;
                bytes = rest;
            } else {
                let (now, rest) = split(bytes, (BLOCK - self.header.len()) as u64);
                self.header.extend_from_slice(now);
                bytes = rest;
                if self.header.len() == BLOCK && self.entry()? {
                    return Ok(true);
                }
            }
            if matches!(self.content, Content::Body) && self.passed >= self.wanted.end {
                return Ok(true);
            }
        }
        let is_directory = self.found.node.as_ref().is_some_and(|node| node.kind == NodeKind::Directory);
        self.found.is_cut |= is_directory && self.read >= MOST_BYTES;
        Ok(self.found.is_cut)
    }

    fn take(&mut self, bytes: &[u8]) {
        match self.content {
            Content::Skipped => {}
            Content::Long(_) | Content::Pax => {
                let room = LONGEST_NAME.saturating_sub(self.long.len());
                self.long.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            Content::Body => {
                let place = |at: u64| {
                    let at = at.saturating_sub(self.passed).min(bytes.len() as u64);
                    usize::try_from(at).unwrap_or(bytes.len())
                };
                let (from, to) = (place(self.wanted.start), place(self.wanted.end));
                self.found.body.extend_from_slice(&bytes[from..to.max(from)]);
                self.passed += bytes.len() as u64;
            }
        }
    }

    /// Whether that was all.
    fn end_of_content(&mut self) -> bool {
        match std::mem::replace(&mut self.content, Content::Skipped) {
            Content::Skipped => {}
            Content::Body => return true,
            Content::Long(is_target) => {
                let mut long = std::mem::take(&mut self.long);
                long.truncate(long.iter().position(|byte| *byte == 0).unwrap_or(long.len()));
                *(if is_target { &mut self.target } else { &mut self.name }) = Some(long);
            }
            Content::Pax => {
                let long = std::mem::take(&mut self.long);
                for record in PaxExtensions::new(&long).flatten() {
                    let value = record.value_bytes();
                    match record.key_bytes() {
                        b"path" => self.name = Some(value.to_vec()),
                        b"linkpath" => self.target = Some(value.to_vec()),
                        b"size" => self.size = record.value().ok().and_then(|size| size.parse().ok()),
                        _ => {}
                    }
                }
            }
        }
        false
    }

    /// Reads a header; whether nothing behind it is of interest.
    fn entry(&mut self) -> Result<bool, EngineError> {
        let block = std::mem::take(&mut self.header);
        if block.iter().all(|byte| *byte == 0) {
            return Ok(true);
        }
        let header = Header::from_byte_slice(&block);
        let garbled = |error: std::io::Error| EngineError::Garbled(format!("an archive: {error}"));
        let kind = header.entry_type();
        let is_more = kind.is_gnu_longname() || kind.is_gnu_longlink() || is_pax(kind);
        let told = header.entry_size().map_err(garbled)?;
        self.left = if is_more { told } else { self.size.take().unwrap_or(told) };
        self.filling = self.left.wrapping_neg() % BLOCK as u64;
        if is_more {
            let own = if is_pax(kind) { Content::Pax } else { Content::Long(kind.is_gnu_longlink()) };
            let of_all = kind == EntryType::XGlobalHeader;
            self.content = if of_all { Content::Skipped } else { own };
            return Ok(false);
        }
        let name = self.name.take().unwrap_or_else(|| header.path_bytes().into_owned());
        let target = self.target.take().or_else(|| header.link_name_bytes().map(Cow::into_owned));
        let kind = match kind {
            EntryType::Directory => NodeKind::Directory,
            EntryType::Symlink => NodeKind::Link,
            EntryType::Char | EntryType::Block | EntryType::Fifo => NodeKind::Special,
            _ => NodeKind::File,
        };
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let target = target.filter(|_| kind == NodeKind::Link).map(text);
        let mode = header.mode().unwrap_or_default() & 0o7777;
        let owner = (header.uid().unwrap_or_default(), header.gid().unwrap_or_default());
        let node = Node { name: text(name), kind, size: self.left, target, mode, owner };
        Ok(self.keep(node))
    }

    /// Whether that was all.
    fn keep(&mut self, node: Node) -> bool {
        let Some(root) = &self.found.node else {
            let kind = node.kind;
            self.content = if kind == NodeKind::File { Content::Body } else { Content::Skipped };
            let is_empty = self.left == 0;
            self.found.node = Some(node);
            return kind != NodeKind::Directory && (kind != NodeKind::File || is_empty);
        };
        let (name, root) = (bare(&node.name), bare(&root.name));
        let below = name.strip_prefix(root).filter(|rest| root.is_empty() || rest.starts_with('/'));
        let below = below.unwrap_or_default().trim_start_matches('/').to_owned();
        if below.is_empty() || below.contains('/') {
            return false;
        }
        if self.found.children.len() == MOST_ENTRIES {
            self.found.is_cut = true;
            return true;
        }
        self.found.children.push(Node { name: below, ..node });
        false
    }
}

fn is_pax(kind: EntryType) -> bool {
    kind.is_pax_local_extensions() || kind.is_pax_global_extensions()
}

/// `./a/` and `/a` are `a`; the root has no name.
fn bare(name: &str) -> &str {
    let name = name.strip_prefix("./").unwrap_or(name).trim_matches('/');
    if name == "." { "" } else { name }
}

fn split(bytes: &[u8], most: u64) -> (&[u8], &[u8]) {
    bytes.split_at(usize::try_from(most).unwrap_or(bytes.len()).min(bytes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A directory with a file, a long name, a link and something deeper.
    fn archive() -> (Vec<u8>, String) {
        let mut builder = tar::Builder::new(Vec::new());
        let long = "n".repeat(150);
        let mut add = |name: &str, kind: EntryType, body: &[u8]| {
            let mut header = Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(body.len() as u64);
            if kind == EntryType::Symlink {
                builder.append_link(&mut header, name, "../else").unwrap();
            } else {
                builder.append_data(&mut header, name, body).unwrap();
            }
        };
        add("d/", EntryType::Directory, b"");
        add("d/a", EntryType::Regular, &[b'x'; 700]);
        add("d/b", EntryType::Symlink, b"");
        add("d/c/", EntryType::Directory, b"");
        add("d/c/deep", EntryType::Regular, b"y");
        add(&format!("d/{long}"), EntryType::Regular, b"");
        (builder.into_inner().unwrap(), long)
    }

    #[test]
    fn a_file_is_read_as_it_is_written() {
        let name = format!("{}.conf", "n".repeat(150));
        let file =
            NewFile { name: name.clone(), body: b"x: 1".to_vec(), mode: 0o640, owner: (1000, 3_000_000) };
        let mut reader = Reader::new(0..10);
        reader.push(&file.archive().unwrap()).unwrap();
        let node = reader.found.node.unwrap();
        assert_eq!((node.name, node.mode, node.owner, node.size), (name, 0o640, (1000, 3_000_000), 4));
        assert_eq!(reader.found.body, b"x: 1");
    }

    proptest! {
        #[test]
        fn a_directory_is_listed_whatever_pieces_it_comes_in(piece in 1_usize..2_000) {
            let (bytes, long) = archive();
            let mut reader = Reader::new(0..10);
            for chunk in bytes.chunks(piece) {
                if reader.push(chunk).unwrap() { break; }
            }
            let found = reader.found;
            prop_assert!(!found.is_cut && found.body.is_empty());
            let told: Vec<_> = found.children.iter().map(|node| (node.name.as_str(), node.kind, node.size)).collect();
            let expected = [
                ("a", NodeKind::File, 700), ("b", NodeKind::Link, 0),
                ("c", NodeKind::Directory, 0), (long.as_str(), NodeKind::File, 0),
            ];
            prop_assert_eq!(told, expected);
            prop_assert_eq!(found.children[1].target.as_deref(), Some("../else"));
        }

        #[test]
        fn of_a_file_the_wanted_bytes_are_kept(
            size in 0_usize..3_000, from in 0_u64..3_500, length in 0_u64..3_500, piece in 1_usize..2_000,
        ) {
            let body: Vec<u8> = (0_u8..=255).cycle().take(size).collect();
            let mut builder = tar::Builder::new(Vec::new());
            let mut header = Header::new_gnu();
            header.set_size(size as u64);
            builder.append_data(&mut header, "f", body.as_slice()).unwrap();
            let bytes = builder.into_inner().unwrap();
            let mut reader = Reader::new(from..from + length);
            for chunk in bytes.chunks(piece) {
                if reader.push(chunk).unwrap() { break; }
            }
            let place = |at: u64| usize::try_from(at).unwrap().min(size);
            prop_assert_eq!(&reader.found.body, &body[place(from)..place(from + length)]);
            prop_assert_eq!(reader.found.node.unwrap().size, size as u64);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..3_000)) {
            let _ = Reader::new(0..10).push(&bytes);
        }
    }
}
