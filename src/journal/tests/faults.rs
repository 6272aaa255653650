//! What disks, clocks and power do to a journal.

use super::*;
use rustix::mount::{MountFlags, UnmountFlags};
use std::os::unix::fs::PermissionsExt as _;

/// The page size of the database, and how a page stands in the `-wal`.
const PAGE: usize = 4096;
const FRAME: usize = PAGE + 24;

fn put(dir: &Path, files: &BTreeMap<String, Vec<u8>>) {
    for (name, bytes) in files {
        fs::write(dir.join(name), bytes).unwrap();
    }
}

/// Whether the files are as they were; an empty `-wal` more holds nothing.
fn assert_left(dir: &Path, before: &BTreeMap<String, Vec<u8>>) {
    let mut after = files(dir);
    after.retain(|name, bytes| before.contains_key(name) || !bytes.is_empty());
    let changed: Vec<_> = after.keys().filter(|name| after.get(*name) != before.get(*name)).collect();
    assert!(after == *before, "changed or new: {changed:?}");
}

/// A journal of many pages that was closed once and has more in its `-wal`.
async fn grown(dir: &Path) -> Store {
    let mut store = open(dir).await.unwrap();
    let entries: Vec<Entry> = (0..200).map(|number| begin(&stop(&format!("c{number}")))).collect();
    store.commit(&entries, at(0)).await.unwrap();
    store.close().await;
    let mut store = open(dir).await.unwrap();
    ask(&mut store, &stop("last"), at(1)).await;
    store
}

/// Mounted until it is dropped; `None` where that is not allowed.
struct Mount(PathBuf);

impl Mount {
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    fn of(path: &Path, mounted: rustix::io::Result<()>) -> Option<Self> {
        if let Err(error) = mounted {
            eprintln!("skipped: only root may mount ({error})");
            return None;
        }
        Some(Self(path.to_owned()))
    }

    fn tiny(path: &Path) -> Option<Self> {
        let size = c"size=1m,mode=0700";
        Self::of(path, rustix::mount::mount("tmpfs", path, "tmpfs", MountFlags::empty(), size))
    }

    /// The file or directory over itself, and not to be written.
    fn read_only(path: &Path) -> Option<Self> {
        let mount = Self::of(path, rustix::mount::mount_bind(path, path))?;
        rustix::mount::mount_remount(path, MountFlags::BIND | MountFlags::RDONLY, "").unwrap();
        Some(mount)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.0, UnmountFlags::DETACH);
    }
}

#[tokio::test]
async fn the_journal_of_a_later_version_is_refused_and_left_as_it_was() {
    let written = tempfile::tempdir().unwrap();
    let store = grown(written.path()).await;
    let later = "INSERT INTO _sqlx_migrations VALUES (99, 'later', '2030-01-01', 1, x'00', 0)";
    sql(written.path(), later).await.unwrap();
    let cut_off = files(written.path());
    store.close().await;
    for found in [cut_off, files(written.path())] {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), &found);
        let refused = open(dir.path()).await.err();
        assert_eq!(refused, Some(JournalError::Newer { path: dir.path().join(FILE) }));
        assert_left(dir.path(), &found);
    }
}

#[tokio::test]
async fn a_damaged_journal_is_refused_and_left_as_it_was() {
    let written = tempfile::tempdir().unwrap();
    let store = grown(written.path()).await;
    let cut_off = files(written.path());
    store.close().await;
    let closed = files(written.path());
    for whole in [cut_off, closed] {
        let middle = whole[FILE].len() / PAGE / 2 * PAGE;
        let mut scratched = whole.clone();
        scratched.get_mut(FILE).unwrap()[middle..middle + 2 * PAGE].fill(0xA5);
        let mut no_database = whole.clone();
        no_database.insert(FILE.into(), b"to be or not to be ".repeat(999));
        let mut short = whole.clone();
        short.get_mut(FILE).unwrap().truncate(middle);
        for (damage, found) in [("scratched", scratched), ("no database", no_database), ("short", short)] {
            let dir = tempfile::tempdir().unwrap();
            put(dir.path(), &found);
            let refused = open(dir.path()).await.err();
            assert!(matches!(refused, Some(JournalError::Damaged { .. })), "{damage}: {refused:?}");
            assert_left(dir.path(), &found);
        }
    }
}

#[tokio::test]
async fn a_journal_that_has_gone_does_not_take_its_wal_with_it() {
    let (written, mut store) = fresh().await;
    ask(&mut store, &stop("web"), at(0)).await;
    let mut found = files(written.path());
    found.insert(FILE.into(), vec![]);
    for _ in ["empty", "missing"] {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), &found);
        let refused = open(dir.path()).await.err();
        assert!(matches!(refused, Some(JournalError::Damaged { .. })), "{refused:?}");
        assert_left(dir.path(), &found);
        found.remove(FILE);
    }
}

#[tokio::test]
async fn a_commit_that_was_cut_off_takes_no_other_with_it() {
    let (written, mut store) = fresh().await;
    ask(&mut store, &stop("a"), at(0)).await;
    store.close().await;
    let mut store = open(written.path()).await.unwrap();
    for container in ["b", "c"] {
        ask(&mut store, &stop(container), at(0)).await;
    }
    let whole = files(written.path());
    let found = async |wal: &[u8], reopens: bool| {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), &whole);
        fs::write(dir.path().join(WAL), wal).unwrap();
        if reopens {
            let mut store = open(dir.path()).await.unwrap();
            ask(&mut store, &stop("next"), at(1)).await;
        }
        targets(dir.path()).await
    };
    let wal = &whole[WAL];
    assert_eq!(found(wal, true).await, ["a", "b", "c", "next"]);
    for cut in wal.len() - FRAME..wal.len() {
        // Every place for a reader, some for a writer, which waits for the disk.
        let reopens = cut % 97 == 0;
        let expected = if reopens { &["a", "b", "next"][..] } else { &["a", "b"] };
        assert_eq!(found(&wal[..cut], reopens).await, expected, "cut at {cut}");
        if cut < wal.len() - PAGE || cut % 8 == 0 {
            let mut flipped = wal.clone();
            flipped[cut] ^= 0x10;
            assert_eq!(found(&flipped, reopens).await, expected, "flipped at {cut}");
        }
    }
}

#[tokio::test]
async fn what_may_not_be_written_is_told_and_left_as_it_was() {
    let (dir, mut store) = fresh().await;
    ask(&mut store, &stop("web"), at(0)).await;
    store.close().await;
    let lock = JournalLock::take(dir.path()).unwrap();
    let may = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    for (path, mode) in [(dir.path().join(FILE), 0o600), (dir.path().to_owned(), 0o700)] {
        // Permissions do not hold root up.
        let mount = rustix::process::geteuid().is_root().then(|| Mount::read_only(&path));
        match &mount {
            Some(None) => return,
            Some(_) => {}
            None => may(&path, mode & 0o500),
        }
        let refused = Store::open(&lock).await.err();
        if mount.is_none() {
            may(&path, mode);
        }
        assert!(matches!(refused, Some(JournalError::ReadOnly { .. })), "{}: {refused:?}", path.display());
    }
    assert_eq!(targets(dir.path()).await, ["web"]);
    fs::remove_file(dir.path().join(FILE)).unwrap();
    fs::create_dir(dir.path().join(FILE)).unwrap();
    assert!(matches!(Store::open(&lock).await.err(), Some(JournalError::ReadOnly { .. })), "a directory");
}

#[tokio::test]
async fn on_a_full_disk_nothing_is_lost_and_with_room_it_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let Some(_disk) = Mount::tiny(dir.path()) else { return };
    let mut store = open(dir.path()).await.unwrap();
    ask(&mut store, &stop("a"), at(0)).await;
    let filler = dir.path().join("filler");
    let nobody = Entry::Intend(OperationId::fresh(), 0, "stop".into(), Before::Nothing);
    for container in ["b", "c", "d"] {
        assert!(fs::write(&filler, vec![1; 1 << 20]).is_err(), "the disk is full");
        for _ in 0..2 {
            let full = store.commit(&[begin(&stop("lost"))], at(1)).await;
            assert_eq!(full, Err(JournalError::Full { path: dir.path().join(FILE) }));
        }
        let before = targets(dir.path()).await;
        fs::remove_file(&filler).unwrap();
        store.commit(std::slice::from_ref(&nobody), at(2)).await.unwrap_err();
        assert_eq!(ask(&mut store, &stop(container), at(2)).await, Receipt::Written);
        assert_eq!(targets(dir.path()).await, [before, vec![container.to_owned()]].concat());
    }
    store.close().await;
    assert_eq!(targets(dir.path()).await, ["a", "b", "c", "d"]);
}

#[tokio::test]
async fn a_clock_that_jumps_loses_nothing_and_changes_no_order() {
    let dir = tempfile::tempdir().unwrap();
    for (container, now) in [("a", 0), ("b", -DAY), ("c", DAY), ("d", -2 * DAY)] {
        let mut store = open(dir.path()).await.unwrap();
        let new = stop(container);
        let batch = [begin(&new), Entry::Phase("nas".parse().unwrap(), "connected", Some(container.into()))];
        store.commit(&batch, at(now)).await.unwrap();
        store.commit(&[end(&new, ChangeState::Done)], at(now)).await.unwrap();
        store.close().await;
    }
    assert_eq!(targets(dir.path()).await, ["a", "b", "c", "d"]);
    let reader = Reader::of(dir.path());
    let audit = reader.audit(9, None).await.unwrap();
    assert_eq!(audit.iter().map(|record| record.number).collect::<Vec<_>>(), [4, 3, 2, 1]);
    assert_eq!(audit[3].at, at(0));
    let phases = reader.phases(9).await.unwrap();
    let causes: Vec<_> = phases.into_iter().filter_map(|(_, _, _, cause)| cause).collect();
    assert_eq!(causes, ["d", "c", "b", "a"]);
}

#[tokio::test]
async fn a_row_that_cannot_be_made_out_keeps_no_other_from_being_read() {
    let (dir, mut store) = fresh().await;
    let (one, other, third) = (stop("one"), stop("other"), stop("third"));
    for change in [&one, &other, &third] {
        ask(&mut store, change, at(0)).await;
        store.commit(&[Entry::Hold(hold(change, HostResource::File("/tmp/x".into())))], at(0)).await.unwrap();
    }
    let intend = Entry::Intend(third.id, 0, "stop third".into(), Before::Nothing);
    store.commit(&[intend], at(0)).await.unwrap();
    for damage in [
        format!("UPDATE operations SET change = '{{\"word\": \"later\"}}' WHERE id = '{}'", one.id),
        format!("UPDATE held SET resource = 'x' WHERE operation = '{}'", one.id),
        format!("UPDATE steps SET before = '' WHERE operation = '{}'", third.id),
    ] {
        sql(dir.path(), &damage).await.unwrap();
    }
    let (open, held) = all(dir.path()).await;
    assert_eq!(open.iter().map(|change| change.id).collect::<Vec<_>>(), [other.id]);
    let held: Vec<_> = held.iter().map(|held| held.operation).collect();
    assert!(held.contains(&other.id) && held.contains(&third.id) && !held.contains(&one.id), "{held:?}");
    let newest = Page { limit: 1, ..Page::default() };
    let page = Reader::of(dir.path()).changes(&newest).await.unwrap();
    assert_eq!(page[0].id, other.id, "a page is full in spite of it");
    let told = Reader::of(dir.path()).change(one.id).await.unwrap_err().to_string();
    assert!(told.contains(&one.id.to_string()), "{told}");
}
