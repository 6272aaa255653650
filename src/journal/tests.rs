mod faults;

use super::record::*;
use super::store::Kept;
use super::*;
use crate::domain::change::{Asker, Before, Change, Made, StopMode, Thing};
use crate::domain::operation::{HostResource, OperationId};
use crate::domain::run::RunSpec;
use crate::domain::saga::{Course, StepState, Why};
use jiff::Timestamp;
use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use std::collections::BTreeMap;
use std::fs;
use tempfile::TempDir;

/// What was written and does not stand in the database's own file yet.
const WAL: &str = "journal.db-wal";
const DAY: i64 = 24 * 60 * 60;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

async fn fresh() -> (TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path()).await.unwrap();
    (dir, store)
}

async fn open(dir: &Path) -> Result<Store, JournalError> {
    Store::open(&JournalLock::take(dir)?).await
}

fn stop(container: &str) -> NewChange {
    let change = Change::ContainerStop {
        containers: vec![container.parse().unwrap()],
        grace: Some(3),
        mode: StopMode::Stop,
    };
    let engine = Some("E1".to_owned());
    NewChange {
        id: OperationId::fresh(),
        change,
        machine: Machine {
            host: "nas".parse().unwrap(),
            endpoint: "nas.lan:22".into(),
            engine,
            host_key: None,
        },
        bound: None,
        agreement: None,
        asker: Asker { principal: "owner".into(), client: "claude".into() },
        key: None,
        arguments: json!({ "containers": [container] }),
    }
}

fn run(variables: &[(&str, &str)]) -> NewChange {
    let mut spec = RunSpec::of("busybox".parse().unwrap());
    spec.env = variables.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    NewChange { change: Change::ContainerRun(Box::new(spec)), arguments: json!({}), ..stop("a") }
}

fn keyed(change: &NewChange, key: &str) -> NewChange {
    NewChange { id: OperationId::fresh(), key: Some(key.to_owned()), ..change.clone() }
}

fn again(change: &NewChange) -> NewChange {
    NewChange { id: OperationId::fresh(), ..change.clone() }
}

fn begin(change: &NewChange) -> Entry {
    Entry::Begin(Box::new(change.clone()))
}

fn end(change: &NewChange, state: ChangeState) -> Entry {
    Entry::State(change.id, state, None)
}

fn hold(change: &NewChange, resource: HostResource) -> HeldRecord {
    let (operation, machine) = (change.id, change.machine.clone());
    HeldRecord { operation, name: "container_stop".into(), machine, resource, at: at(0) }
}

async fn ask(store: &mut Store, change: &NewChange, now: Timestamp) -> Receipt {
    store.commit(&[begin(change)], now).await.unwrap()[0]
}

async fn changes(dir: &Path) -> Vec<ChangeRecord> {
    Reader::of(dir).changes(&Page { limit: u32::MAX, ..Page::default() }).await.unwrap()
}

/// Everything that counts for what is to be done.
async fn all(dir: &Path) -> (Vec<ChangeRecord>, Vec<HeldRecord>) {
    (changes(dir).await, Reader::of(dir).held().await.unwrap())
}

/// The names of the containers that are to be stopped, in the order of their changes.
async fn targets(dir: &Path) -> Vec<String> {
    changes(dir).await.iter().rev().map(|record| record.change.target()).collect()
}

/// A statement of another program.
async fn sql(dir: &Path, statement: &str) -> Result<(), sqlx::Error> {
    let mut connection = SqliteConnectOptions::new().filename(dir.join(FILE)).connect().await?;
    let outcome = sqlx::raw_sql(statement).execute(&mut connection).await;
    connection.close().await?;
    outcome.map(drop)
}

/// What would be there after a power cut: by name, without the lock and what is kept in memory.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let names = [FILE, WAL, "journal.key"].map(ToOwned::to_owned);
    names.into_iter().filter_map(|name| Some((name.clone(), fs::read(dir.join(name)).ok()?))).collect()
}

#[tokio::test]
async fn what_is_written_is_read_back_whole_also_while_it_is_written() {
    let (dir, mut store) = fresh().await;
    let new = keyed(&stop("web"), "k1");
    let (id, host) = (new.id, new.machine.host.clone());
    let (began, went_on) = (at(0), at(1));
    let thing = Thing { id: "sha256:1".into(), name: "old".into(), bytes: Some(7) };
    let things = Before::Things { things: vec![thing] };
    let made = Made { id: Some("abc".into()), freed: Some(7), ..Made::default() };
    let (file, helper) = (HostResource::File("/tmp/x".into()), HostResource::Container("helper".into()));
    let call = |tool: &str, verdict, words: Option<&str>, operation| AuditEntry {
        asker: new.asker.clone(),
        tool: tool.into(),
        host: Some("nas".into()),
        arguments: new.arguments.clone(),
        verdict,
        words: words.map(ToOwned::to_owned),
        operation,
    };
    let refused = call("prune", Verdict::Refused, Some("the policy is ro"), None);
    let batch = [
        begin(&new),
        Entry::Intend(id, 0, "stop web".into(), things.clone()),
        Entry::Hold(hold(&new, file.clone())),
        Entry::Hold(hold(&new, helper.clone())),
        Entry::Phase(host.clone(), "connected", None),
    ];
    assert_eq!(store.commit(&batch, began).await.unwrap(), [Receipt::Written; 5]);
    let batch = [
        Entry::Settle(id, 0, StepState::Failed, made.clone(), Some("gone".into())),
        Entry::Back(id, Why::Cancelled),
        Entry::Back(id, Why::Interrupted),
        Entry::LetGo(id, file),
        Entry::Intend(id, 1, "stop db".into(), Before::Nothing),
        Entry::State(id, ChangeState::Unknown, Some("look".into())),
        Entry::Phase(host, "retrying", Some("timeout".into())),
        Entry::Audit(Box::new(refused.clone())),
    ];
    store.commit(&batch, went_on).await.unwrap();
    store.close().await;
    assert!(!dir.path().join(WAL).exists(), "all of it is in one file");

    let step = StepRecord {
        name: "stop db".into(),
        state: StepState::Intended,
        before: Before::Nothing,
        made: Made::default(),
        words: None,
        began: went_on,
        ended: None,
    };
    let (name, before, words) = ("stop web".into(), things, Some("gone".into()));
    let first =
        StepRecord { name, state: StepState::Failed, before, made, words, began, ended: Some(went_on) };
    let record = ChangeRecord {
        id,
        change: new.change.clone(),
        whole: true,
        machine: new.machine.clone(),
        bound: new.bound.clone(),
        asker: new.asker.clone(),
        key: Some("k1".into()),
        limit: new.change.limit(),
        state: ChangeState::Unknown,
        course: Course::Back(Why::Cancelled),
        words: Some("look".into()),
        started: began,
        ended: Some(went_on),
        steps: vec![first, step],
    };
    let accepted = call("container_stop", Verdict::Accepted, None, Some(id));
    let phase = |at, phase: &str, cause: Option<&str>| {
        (at, "nas".to_owned(), phase.to_owned(), cause.map(ToOwned::to_owned))
    };
    let mut writing = None;
    for is_written in [false, true] {
        if is_written {
            writing = Some(open(dir.path()).await.unwrap());
        }
        let reader = Reader::of(dir.path());
        assert_eq!(all(dir.path()).await, (vec![record.clone()], vec![hold(&new, helper.clone())]));
        assert_eq!(reader.change(id).await.unwrap(), Some(record.clone()));
        assert_eq!(reader.change(OperationId::fresh()).await.unwrap(), None);
        let audit = reader.audit(9, None).await.unwrap();
        let entry = |number, at, entry: &AuditEntry| AuditRecord { number, at, entry: entry.clone() };
        assert_eq!(audit, [entry(2, went_on, &refused), entry(1, began, &accepted)]);
        assert_eq!(reader.audit(9, Some(2)).await.unwrap(), [entry(1, began, &accepted)]);
        let phases = [phase(went_on, "retrying", Some("timeout")), phase(began, "connected", None)];
        assert_eq!(reader.phases(9).await.unwrap(), phases);
    }
    let later = stop("later");
    ask(&mut writing.unwrap(), &later, at(2)).await;
    let unended = Reader::of(dir.path()).open_changes().await.unwrap();
    assert_eq!(unended.iter().map(|record| record.id).collect::<Vec<_>>(), [later.id]);
}

#[tokio::test]
async fn a_key_finds_its_change_for_a_day_whatever_became_of_it() {
    let (dir, mut store) = fresh().await;
    let first = keyed(&stop("web"), "k");
    assert_eq!(ask(&mut store, &first, at(0)).await, Receipt::Written);
    assert_eq!(ask(&mut store, &keyed(&first, "k"), at(2 * DAY)).await, Receipt::Joined(first.id), "at work");
    for state in ChangeState::ALL.into_iter().filter(|state| state.is_final()) {
        store.commit(&[Entry::Back(first.id, Why::Cancelled), end(&first, state)], at(5)).await.unwrap();
        assert_eq!(ask(&mut store, &keyed(&first, "k"), at(DAY - 1)).await, Receipt::Joined(first.id));
    }
    assert_eq!(ask(&mut store, &keyed(&stop("db"), "k"), at(DAY - 1)).await, Receipt::KeyTaken(first.id));
    let later = keyed(&stop("db"), "k");
    assert_eq!(ask(&mut store, &later, at(DAY)).await, Receipt::Written);
    assert_eq!(ask(&mut store, &keyed(&stop("db"), "k"), at(DAY)).await, Receipt::Joined(later.id));
    let audit = Reader::of(dir.path()).audit(99, None).await.unwrap();
    let told = |verdict| audit.iter().filter(|record| record.entry.verdict == verdict).count();
    let counts = (told(Verdict::Accepted), told(Verdict::Joined), told(Verdict::Refused));
    assert_eq!(counts, (2, 7, 0), "a refusal is its caller's to write");
}

#[tokio::test]
async fn a_key_belongs_to_a_principal_and_a_tool_and_stands_for_one_host_and_one_set_of_arguments() {
    let (dir, mut store) = fresh().await;
    let first = keyed(&stop("web"), "k");
    ask(&mut store, &first, at(0)).await;
    let mut elsewhere = keyed(&first, "k");
    elsewhere.machine.host = "pi".parse().unwrap();
    assert_eq!(ask(&mut store, &elsewhere, at(1)).await, Receipt::KeyTaken(first.id));
    assert_eq!(ask(&mut store, &keyed(&stop("db"), "k"), at(1)).await, Receipt::KeyTaken(first.id));
    let mut stranger = keyed(&stop("db"), "k");
    stranger.asker.principal = "token".into();
    for other in [stranger, keyed(&run(&[]), "k"), keyed(&first, "k2")] {
        assert_eq!(ask(&mut store, &other, at(1)).await, Receipt::Written);
    }
    assert_eq!(changes(dir.path()).await.len(), 4, "who is refused leaves no change");
}

#[tokio::test]
async fn without_a_key_a_change_joins_its_equal_only_while_that_goes_forward() {
    let (_dir, mut store) = fresh().await;
    let first = stop("web");
    ask(&mut store, &first, at(0)).await;
    assert_eq!(ask(&mut store, &again(&first), at(9)).await, Receipt::Joined(first.id));
    let elsewhere = |machine: Machine| NewChange { machine, ..again(&first) };
    let clone = Machine { host_key: Some("SHA256:x".into()), ..first.machine.clone() };
    assert_eq!(ask(&mut store, &elsewhere(clone), at(9)).await, Receipt::Written, "another machine");
    store.commit(&[Entry::Back(first.id, Why::Cancelled)], at(9)).await.unwrap();
    let second = again(&first);
    assert_eq!(ask(&mut store, &second, at(9)).await, Receipt::Written, "the first goes back");
    store.commit(&[end(&second, ChangeState::Recovering)], at(9)).await.unwrap();
    assert_eq!(ask(&mut store, &again(&first), at(9)).await, Receipt::Joined(second.id));
    store.commit(&[end(&second, ChangeState::Done)], at(9)).await.unwrap();
    assert_eq!(ask(&mut store, &again(&first), at(9)).await, Receipt::Written, "that is over");
    let over = i64::try_from(first.change.limit().as_secs()).unwrap();
    assert_eq!(ask(&mut store, &again(&first), at(9 + over)).await, Receipt::Written, "its time is over");
}

fn call(principal: &str, tool: &str, arguments: &str) -> KeyedCall {
    let [principal, tool, key, arguments] = [principal, tool, "k", arguments].map(ToOwned::to_owned);
    KeyedCall { principal, tool, key, arguments }
}

async fn recall(dir: &Path, call: &KeyedCall, second: i64) -> Option<Recalled> {
    Reader::of(dir).recall(call, at(second)).await.unwrap()
}

#[tokio::test]
async fn a_call_is_remembered_for_a_day_with_its_arguments() {
    let (dir, mut store) = fresh().await;
    let first = call("owner", "host_add", "a");
    let whole = |word: &str| KeptAnswer::Whole(json!({ "changed": word }));
    store.commit(&[Entry::Call(Box::new(first.clone()))], at(0)).await.unwrap();
    assert_eq!(recall(dir.path(), &first, 1).await, Some(Recalled::Begun(at(0))));
    store.commit(&[Entry::Answer(Box::new(first.clone()), whole("a"))], at(1)).await.unwrap();
    let answered = Some(Recalled::Answered(at(1), whole("a")));
    assert_eq!(recall(dir.path(), &first, DAY).await, answered);
    assert_eq!(recall(dir.path(), &first, DAY + 1).await, None);
    let others = call("owner", "host_add", "b");
    assert_eq!(recall(dir.path(), &others, 1).await, Some(Recalled::Other));
    assert_eq!(recall(dir.path(), &call("token", "host_add", "a"), 1).await, None);
    assert_eq!(recall(dir.path(), &call("owner", "host_update", "a"), 1).await, None);
    store.commit(&[Entry::Call(Box::new(others.clone()))], at(DAY + 1)).await.unwrap();
    assert_eq!(recall(dir.path(), &others, DAY + 1).await, Some(Recalled::Begun(at(DAY + 1))));
    store.commit(&[Entry::Free(Box::new(others.clone()))], at(DAY + 1)).await.unwrap();
    assert_eq!(recall(dir.path(), &first, DAY + 1).await, None);
    for ending in [None, Some("exit code: 0".to_owned())] {
        let ending = KeptAnswer::Ending(ending);
        store.commit(&[Entry::Answer(Box::new(first.clone()), ending.clone())], at(0)).await.unwrap();
        assert_eq!(recall(dir.path(), &first, 1).await, Some(Recalled::Answered(at(0), ending)));
    }
}

#[tokio::test]
async fn a_call_whose_key_is_over_is_kept_no_longer() {
    let (dir, mut store) = fresh().await;
    let count = async || {
        let mut connection =
            SqliteConnectOptions::new().filename(dir.path().join(FILE)).connect().await.unwrap();
        sqlx::query_scalar::<_, i64>("SELECT count(*) FROM answers").fetch_one(&mut connection).await.unwrap()
    };
    for (tool, second) in [("old", 0), ("older", 1), ("new", DAY)] {
        store.commit(&[Entry::Call(Box::new(call("owner", tool, "a")))], at(second)).await.unwrap();
    }
    assert_eq!(count().await, 2, "the next call takes those that are over with it");
    let kept = Kept { changes: 9, audit: 9, phases: 9 };
    store.tidy(&kept, at(DAY).as_millisecond()).await.unwrap();
    assert_eq!(count().await, 2);
    store.tidy(&kept, at(DAY + 1).as_millisecond()).await.unwrap();
    assert_eq!(count().await, 1);
}

/// A version before this one kept texts whole.
#[tokio::test]
async fn no_text_of_an_older_version_is_kept_and_its_key_counts() {
    const SECRET: &str = "hunter2-planted";
    let (dir, store) = fresh().await;
    store.close().await;
    let first = call("owner", "container_exec", "a");
    let key = fingerprint::FingerprintKey::load_or_create(&dir.path().join(fingerprint::KEY_FILE)).unwrap().0;
    let text = json!(format!("{SECRET} ").repeat(2_000)).to_string();
    let text = text.replace('\'', "");
    for statement in [
        "DROP INDEX answers_by_age".to_owned(),
        "DELETE FROM _sqlx_migrations WHERE version > 2".to_owned(),
        format!(
            "INSERT INTO answers (principal, tool, key, fingerprint, answer, at) \
             VALUES ('owner', 'container_exec', 'k', '{}', '{text}', {})",
            key.of(&first.arguments),
            Timestamp::now().as_millisecond()
        ),
    ] {
        sql(dir.path(), &statement).await.unwrap();
    }
    let holds = || {
        files(dir.path())
            .values()
            .any(|bytes| bytes.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()))
    };
    assert!(holds());
    open(dir.path()).await.unwrap().close().await;
    assert!(!holds());
    let recalled = Reader::of(dir.path()).recall(&first, Timestamp::now()).await.unwrap();
    assert!(matches!(recalled, Some(Recalled::Answered(_, KeptAnswer::Ending(None)))), "{recalled:?}");
}

#[tokio::test]
async fn secrets_tell_changes_apart_and_stand_in_no_file() {
    const SECRETS: [&str; 2] = ["hunter2-planted", "hunter3-planted"];
    let (dir, mut store) = fresh().await;
    let [one, other] = SECRETS.map(|secret| run(&[("DB_PASSWORD", secret), ("TZ", "UTC")]));
    let open_to_all = run(&[("TZ", "UTC")]);
    for new in [&one, &other, &open_to_all] {
        assert_eq!(ask(&mut store, new, at(0)).await, Receipt::Written);
        assert_eq!(ask(&mut store, &again(new), at(0)).await, Receipt::Joined(new.id));
    }
    assert_eq!(ask(&mut store, &keyed(&one, "k"), at(0)).await, Receipt::Written);
    assert!(matches!(ask(&mut store, &keyed(&other, "k"), at(0)).await, Receipt::KeyTaken(_)));
    let changes = changes(dir.path()).await;
    let [_, third, second, first] = &changes[..] else { panic!("{changes:?}") };
    assert_eq!(first.change, second.change, "both masked");
    assert_eq!((first.whole, second.whole, third.whole), (false, false, true));
    assert_eq!(third.change, open_to_all.change);
    let at_work = files(dir.path());
    store.close().await;
    let found: Vec<_> = at_work.into_iter().chain(files(dir.path())).collect();
    let holds = |word: &str| {
        let holds = |bytes: &[u8]| bytes.windows(word.len()).any(|part| part == word.as_bytes());
        found.iter().filter(|(_, bytes)| holds(bytes)).map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert!(!holds("DB_PASSWORD").is_empty(), "a name is no secret");
    for secret in SECRETS {
        assert_eq!(holds(secret), [""; 0]);
    }
}

#[tokio::test]
async fn what_is_repeated_does_no_harm() {
    let new = stop("web");
    let id = new.id;
    let [a, b] = ["/a", "/b"].map(|path| HostResource::File(path.into()));
    let image = Before::Image { id: Some("sha256:1".into()) };
    let made = Made { after: Some("exited".into()), ..Made::default() };
    let entries = [
        begin(&new),
        Entry::Intend(id, 0, "stop web".into(), image),
        Entry::Hold(hold(&new, a.clone())),
        Entry::Hold(hold(&new, b)),
        Entry::Settle(id, 0, StepState::Done, made, None),
        Entry::LetGo(id, a),
        Entry::Back(id, Why::Cancelled),
        end(&new, ChangeState::Cancelled),
    ];
    let mut found = vec![];
    for times in 1..=2 {
        let dir = tempfile::tempdir().unwrap();
        let mut store = open(dir.path()).await.unwrap();
        for entry in &entries {
            for time in 1..=times {
                let receipts = store.commit(std::slice::from_ref(entry), at(0)).await.unwrap();
                let joins = matches!(entry, Entry::Begin(_)) && time == 2;
                assert_eq!(receipts, [if joins { Receipt::Joined(id) } else { Receipt::Written }]);
            }
        }
        found.push(all(dir.path()).await);
    }
    assert_eq!(found[0], found[1]);
    assert_eq!((found[0].0.len(), found[0].0[0].steps.len(), found[0].1.len()), (1, 1, 1));
}

#[tokio::test]
async fn a_batch_is_written_whole_or_not_at_all() {
    let (dir, mut store) = fresh().await;
    ask(&mut store, &stop("web"), at(0)).await;
    let before = all(dir.path()).await;
    let nobody = Entry::Intend(OperationId::fresh(), 0, "stop".into(), Before::Nothing);
    for batch in [[begin(&stop("db")), nobody.clone()], [nobody, begin(&stop("db"))]] {
        let error = store.commit(&batch, at(1)).await.unwrap_err();
        assert!(matches!(error, JournalError::Failed { .. }), "{error}");
    }
    assert_eq!(all(dir.path()).await, before);
    assert_eq!(Reader::of(dir.path()).audit(9, None).await.unwrap().len(), 1);
    ask(&mut store, &stop("db"), at(2)).await;
    assert_eq!(targets(dir.path()).await, ["web", "db"]);
}

#[tokio::test]
async fn the_old_is_thrown_away_but_for_what_still_counts() {
    let (dir, mut store) = fresh().await;
    let (expired, over) = (keyed(&stop("expired"), "k1"), stop("over"));
    let (counts, at_work) = (keyed(&stop("counts"), "k2"), stop("at-work"));
    for (new, now) in [(&expired, 0), (&over, DAY), (&counts, DAY), (&at_work, DAY)] {
        let intend = Entry::Intend(new.id, 0, "stop".into(), Before::Nothing);
        store.commit(&[begin(new), intend], at(now)).await.unwrap();
    }
    for (new, now) in [(&expired, 1), (&over, DAY), (&counts, DAY)] {
        store.commit(&[end(new, ChangeState::Done)], at(now)).await.unwrap();
    }
    for (container, now) in [("new", 2 * DAY - 1), ("newest", 2 * DAY - 1)] {
        let new = stop(container);
        store.commit(&[begin(&new), end(&new, ChangeState::Done)], at(now)).await.unwrap();
        let phase = Entry::Phase("nas".parse().unwrap(), "connected", Some(container.into()));
        store.commit(&[phase], at(now)).await.unwrap();
    }
    let reader = Reader::of(dir.path());
    store.tidy(&Kept { changes: 6, audit: 6, phases: 2 }, at(2 * DAY).as_millisecond()).await.unwrap();
    assert_eq!(targets(dir.path()).await.len(), 6, "there is room for all of them");
    store.tidy(&Kept { changes: 2, audit: 3, phases: 1 }, at(2 * DAY).as_millisecond()).await.unwrap();
    assert_eq!(targets(dir.path()).await, ["counts", "at-work", "new", "newest"]);
    assert_eq!(reader.audit(9, None).await.unwrap().iter().map(|record| record.number).min(), Some(4));
    assert_eq!(reader.phases(9).await.unwrap().len(), 1);
    let orphans = "SELECT count(*) FROM steps WHERE operation NOT IN (SELECT id FROM operations)";
    let mut connection = SqliteConnectOptions::new().filename(dir.path().join(FILE)).connect().await.unwrap();
    assert_eq!(sqlx::query_scalar::<_, i64>(orphans).fetch_one(&mut connection).await.unwrap(), 0);
    let steps = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM steps").fetch_one(&mut connection).await;
    assert_eq!(steps.unwrap(), 2);
    assert_eq!(ask(&mut store, &keyed(&counts, "k2"), at(2 * DAY - 1)).await, Receipt::Joined(counts.id));
}

#[tokio::test]
async fn the_audit_cannot_be_rewritten() {
    let (dir, mut store) = fresh().await;
    ask(&mut store, &stop("web"), at(0)).await;
    let refused = sql(dir.path(), "UPDATE audit SET verdict = 'refused'").await.unwrap_err();
    assert!(refused.to_string().contains("the audit is append-only"), "{refused}");
    assert_eq!(Reader::of(dir.path()).audit(9, None).await.unwrap()[0].entry.verdict, Verdict::Accepted);
}
