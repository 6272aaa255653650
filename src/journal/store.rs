//! The writer: entries in, a transaction for each batch of them.

use super::fingerprint::{FingerprintKey, KEY_FILE};
use super::record::{AuditEntry, Entry, HeldRecord, KeptAnswer, KeyedCall, NewChange, Receipt, Verdict};
use super::{FILE, JournalError, JournalLock};
use crate::domain::operation::OperationId;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use sqlx::migrate::{MigrateError, Migration, MigrationSource, MigrationType, Migrator};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Row as _, SqliteConnection};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The steps of the schema, in their order. One that was released is never changed.
const MIGRATIONS: [(i64, &str, &str); 3] = [
    (1, "journal", include_str!("migrations/1_journal.sql")),
    (2, "agreements", include_str!("migrations/2_agreements.sql")),
    (3, "calls", include_str!("migrations/3_calls.sql")),
];

/// The change that somebody began with a key, whose life is not over.
pub(super) const KEYED: &str = "SELECT id, fingerprint FROM operations WHERE principal = ? AND word = ? AND key = ? \
                                AND (ended IS NULL OR started > ?) ORDER BY number DESC LIMIT 1";

/// How long a client's idempotency key is remembered, in milliseconds.
pub(super) const KEY_LIFE: i64 = 24 * 60 * 60 * 1000;

/// Readers hold the database for moments; whoever holds it longer hangs.
const BUSY_LIMIT: Duration = Duration::from_secs(1);

/// How many of each are kept. By number and not by age, but for keyed calls: a clock that jumps loses nothing else.
pub(super) struct Kept {
    pub(super) changes: i64,
    pub(super) audit: i64,
    pub(super) phases: i64,
}

const KEPT: Kept = Kept { changes: 10_000, audit: 100_000, phases: 10_000 };

/// So often it is looked whether something is to be thrown away.
const TIDY_EVERY: u64 = 1_000;

/// An open journal.
pub struct Store {
    connection: SqliteConnection,
    path: PathBuf,
    key: FingerprintKey,
    written: u64,
}

impl Store {
    /// Opens the journal whose lock is held, made when there is none, and brings it to this version's schema.
    pub async fn open(lock: &JournalLock) -> Result<Self, JournalError> {
        let path = lock.dir().join(FILE);
        let (key, known) = FingerprintKey::load_or_create(&lock.dir().join(KEY_FILE))?;
        let gone = |path: &Path| std::fs::metadata(path).map_or(true, |found| found.len() == 0);
        if gone(&path) && !gone(&path.with_extension("db-wal")) {
            // SQLite would begin anew and throw that away.
            return Err(JournalError::Damaged { path, words: "it is empty, but its -wal is not".to_owned() });
        }
        if known && gone(&path) {
            tracing::error!(journal = %path.display(), "the journal has gone, what it held is lost; it begins anew");
        }
        let options = SqliteConnectOptions::new().filename(&path).busy_timeout(BUSY_LIMIT);
        let options = options.foreign_keys(true).disable_statement_logging();
        let connection = options.clone().create_if_missing(true).connect().await;
        let connection = connection.map_err(|error| JournalError::sql(&path, &error))?;
        let mut store = Self { connection, path, key, written: 0 };
        match store.prepare().await {
            Ok(()) => Ok(store),
            Err(error) => {
                // The last to close moves what the `-wal` holds into the database, unless it only reads.
                let mut last = options.read_only(true).connect().await;
                if let Ok(last) = &mut last {
                    let _ = sqlx::query("SELECT 1 FROM sqlite_schema").execute(last).await;
                }
                let _ = store.connection.close().await;
                Err(error)
            }
        }
    }

    /// Looks whether the database is whole and of this version, or older: then it is brought to this one.
    async fn prepare(&mut self) -> Result<(), JournalError> {
        let Self { connection, path, .. } = self;
        let failed = |error: sqlx::Error| JournalError::sql(path, &error);
        let check = sqlx::query_scalar("PRAGMA quick_check(1)").fetch_one(&mut *connection).await;
        let check: String = check.map_err(failed)?;
        if check != "ok" {
            return Err(JournalError::Damaged { path: path.clone(), words: check });
        }
        // What is thrown away is overwritten.
        for way in ["PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", "PRAGMA secure_delete = ON"] {
            sqlx::query(way).execute(&mut *connection).await.map_err(failed)?;
        }
        let migrator = Migrator::new(Schema).await.map_err(|error| migration(path, &error))?;
        migrator.run_direct(connection).await.map_err(|error| migration(path, &error))?;
        let now = Timestamp::now().as_millisecond();
        self.tidy(&KEPT, now).await.map_err(|error| JournalError::sql(&self.path, &error))
    }

    /// Puts entries on record, all of them or none, at the time `now`; returns what became of each.
    pub async fn commit(&mut self, entries: &[Entry], now: Timestamp) -> Result<Vec<Receipt>, JournalError> {
        let now = now.as_millisecond();
        let written =
            self.write(entries, now).await.map_err(|error| JournalError::sql(&self.path, &error))?;
        let before = self.written / TIDY_EVERY;
        self.written += entries.len() as u64;
        if self.written / TIDY_EVERY > before {
            // What was to be written is; there is time for this at the next round.
            if let Err(error) = self.tidy(&KEPT, now).await {
                tracing::warn!(journal = %self.path.display(), %error, "old entries could not be thrown away");
            }
        }
        Ok(written)
    }

    async fn write(&mut self, entries: &[Entry], now: i64) -> Result<Vec<Receipt>, sqlx::Error> {
        let Self { connection, key, .. } = self;
        // Not by sqlx's transactions: it goes on counting one that the database ended by itself, as on a full
        // disk, and takes later commits for savepoints in it.
        let written = async {
            sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
            let mut receipts = Vec::with_capacity(entries.len());
            for entry in entries {
                receipts.push(write_one(connection, key, entry, now).await?);
            }
            sqlx::query("COMMIT").execute(&mut *connection).await?;
            Ok(receipts)
        };
        let written = written.await;
        if written.is_err() {
            // Refused when it has ended already. What a caller gave up half-way ends here too.
            let _ = sqlx::query("ROLLBACK").execute(&mut *connection).await;
        }
        written
    }

    /// Gives the database back: what it holds is in one file then.
    #[cfg(test)]
    pub(super) async fn close(self) {
        self.connection.close().await.unwrap();
    }

    /// Throws away what is beyond the number kept; nothing that is not over, and no key that counts at the time `now`.
    pub(super) async fn tidy(&mut self, kept: &Kept, now: i64) -> Result<(), sqlx::Error> {
        for (table, kept, condition) in [
            (
                "operations",
                kept.changes,
                "AND ended IS NOT NULL AND (key IS NULL OR ended < (SELECT max(started) FROM operations) - 86400000)",
            ),
            ("audit", kept.audit, ""),
            ("phases", kept.phases, ""),
        ] {
            let statement = format!(
                "DELETE FROM {table} WHERE number <= (SELECT max(number) FROM {table}) - {kept} {condition}"
            );
            sqlx::query(&statement).execute(&mut self.connection).await?;
        }
        forget_calls(&mut self.connection, now).await
    }
}

/// Keeps everybody from writing to the journal of `dir` until what it returns is dropped.
#[cfg(test)]
pub(crate) async fn occupy(dir: &Path) -> SqliteConnection {
    let mut connection = SqliteConnectOptions::new().filename(dir.join(FILE)).connect().await.unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.unwrap();
    connection
}

async fn write_one(
    connection: &mut SqliteConnection,
    key: &FingerprintKey,
    entry: &Entry,
    now: i64,
) -> Result<Receipt, sqlx::Error> {
    match entry {
        Entry::Begin(change) => return begin(connection, key, change, now).await,
        Entry::Intend(operation, position, name, before) => {
            let query = sqlx::query(
                "INSERT INTO steps (operation, position, name, state, before, began) VALUES (?, ?, ?, 'intended', ?, ?) \
                 ON CONFLICT (operation, position) DO NOTHING",
            );
            let query = query.bind(operation.to_string()).bind(position_of(*position)).bind(name);
            query.bind(json(before)).bind(now).execute(connection).await?;
        }
        Entry::Settle(operation, position, state, made, words) => {
            let query = sqlx::query(
                "UPDATE steps SET state = ?, made = ?, words = ?, ended = ? WHERE operation = ? AND position = ?",
            );
            let query = query.bind(word(state)).bind(json(made)).bind(words).bind(now);
            query.bind(operation.to_string()).bind(position_of(*position)).execute(connection).await?;
        }
        Entry::Back(operation, why) => {
            let query =
                sqlx::query("UPDATE operations SET back = ? WHERE id = ? AND back IS NULL AND ended IS NULL");
            query.bind(word(why)).bind(operation.to_string()).execute(connection).await?;
        }
        Entry::State(operation, state, words) => {
            // What is over stays over; only of what ended in doubt more may be found out.
            let query = sqlx::query(
                "UPDATE operations SET state = ?, words = ?, ended = ? \
                 WHERE id = ? AND (ended IS NULL OR state = 'unknown')",
            );
            let query = query.bind(state.word()).bind(words).bind(state.is_final().then_some(now));
            query.bind(operation.to_string()).execute(connection).await?;
        }
        Entry::Hold(HeldRecord { operation, name, machine, resource, .. }) => {
            let query = sqlx::query(
                "INSERT INTO held (operation, name, host, endpoint, engine, host_key, resource, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?) \
                 ON CONFLICT (operation, resource) DO NOTHING",
            );
            let query = query.bind(operation.to_string()).bind(name).bind(machine.host.as_str());
            let query = query.bind(&machine.endpoint).bind(&machine.engine).bind(&machine.host_key);
            let query = query.bind(json(resource)).bind(now);
            query.execute(connection).await?;
        }
        Entry::LetGo(operation, resource) => {
            let query = sqlx::query("DELETE FROM held WHERE operation = ? AND resource = ?");
            query.bind(operation.to_string()).bind(json(resource)).execute(connection).await?;
        }
        Entry::Phase(host, phase, cause) => {
            let query = sqlx::query("INSERT INTO phases (at, host, phase, cause) VALUES (?, ?, ?, ?)");
            query.bind(now).bind(host.as_str()).bind(*phase).bind(cause).execute(connection).await?;
        }
        Entry::Audit(entry) => audit(connection, entry, now).await?,
        Entry::Call(call) => {
            forget_calls(connection, now).await?;
            keep_call(connection, key, call, &Value::Null, now).await?;
        }
        Entry::Answer(call, answer) => {
            let answer = match answer {
                KeptAnswer::Whole(answer) => answer.clone(),
                KeptAnswer::Ending(words) => words.clone().unwrap_or_default().into(),
            };
            keep_call(connection, key, call, &answer, now).await?;
        }
        Entry::Free(call) => {
            let query = sqlx::query("DELETE FROM answers WHERE principal = ? AND tool = ? AND key = ?");
            query.bind(&call.principal).bind(&call.tool).bind(&call.key).execute(connection).await?;
        }
    }
    Ok(Receipt::Written)
}

/// Forgets the keys whose life is over.
async fn forget_calls(connection: &mut SqliteConnection, now: i64) -> Result<(), sqlx::Error> {
    let over = sqlx::query("DELETE FROM answers WHERE at <= ?").bind(now - KEY_LIFE);
    over.execute(connection).await.map(drop)
}

async fn keep_call(
    connection: &mut SqliteConnection,
    key: &FingerprintKey,
    call: &KeyedCall,
    answer: &Value,
    now: i64,
) -> Result<(), sqlx::Error> {
    let query = sqlx::query(
        "INSERT INTO answers (principal, tool, key, fingerprint, answer, at) VALUES (?, ?, ?, ?, ?, ?)",
    );
    let query = query.bind(&call.principal).bind(&call.tool).bind(&call.key).bind(key.of(&call.arguments));
    query.bind(json(answer)).bind(now).execute(connection).await?;
    Ok(())
}

/// The same wish finds the change it began; who repeats a key with other arguments is told.
async fn begin(
    connection: &mut SqliteConnection,
    key: &FingerprintKey,
    new: &NewChange,
    now: i64,
) -> Result<Receipt, sqlx::Error> {
    let NewChange { id, change, machine, bound, agreement, asker, key: client_key, arguments } = new;
    let fingerprint = key.of_change(change, &machine.host);
    let found = if let Some(client_key) = client_key {
        let query = sqlx::query(KEYED)
            .bind(&asker.principal)
            .bind(change.word())
            .bind(client_key)
            .bind(now - KEY_LIFE);
        query.fetch_optional(&mut *connection).await?
    } else {
        let query = sqlx::query(
            "SELECT id, fingerprint FROM operations WHERE fingerprint = ? AND ended IS NULL AND back IS NULL \
             AND endpoint = ? AND engine IS ? AND host_key IS ? AND started + limit_ms > ? \
             ORDER BY number DESC LIMIT 1",
        );
        let query = query.bind(&fingerprint).bind(&machine.endpoint).bind(&machine.engine);
        query.bind(&machine.host_key).bind(now).fetch_optional(&mut *connection).await?
    };
    let receipt = match found {
        Some(row) => {
            let known: String = row.try_get("id")?;
            let known: OperationId = known.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
            if row.try_get::<String, _>("fingerprint")? != fingerprint {
                // Whoever asked puts the refusal on the audit.
                return Ok(Receipt::KeyTaken(known));
            }
            Receipt::Joined(known)
        }
        None => Receipt::Written,
    };
    let word = agreement.as_ref().and_then(|agreement| agreement.word.as_deref());
    if receipt == Receipt::Written && word.is_some() {
        let query = sqlx::query("SELECT 1 FROM operations WHERE agreement = ?").bind(word);
        if query.fetch_optional(&mut *connection).await?.is_some() {
            return Ok(Receipt::Spent);
        }
    }
    let (verdict, operation) = match receipt {
        Receipt::Joined(known) => (Verdict::Joined, known),
        Receipt::Written | Receipt::KeyTaken(_) | Receipt::Spent => (Verdict::Accepted, *id),
    };
    let entry = AuditEntry {
        asker: asker.clone(),
        tool: change.word().to_owned(),
        host: Some(machine.host.to_string()),
        arguments: arguments.clone(),
        verdict,
        words: agreement.as_ref().map(|agreement| agreement.words.clone()),
        operation: Some(operation),
    };
    audit(connection, &entry, now).await?;
    if receipt == Receipt::Written {
        let (masked, whole) = change.masked();
        let query = sqlx::query(
            "INSERT INTO operations (id, word, target, host, endpoint, engine, host_key, principal, client, key, fingerprint, \
             change, whole, limit_ms, state, started, bound, agreement) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'running', ?, ?, ?)",
        );
        let query = query.bind(id.to_string()).bind(change.word()).bind(change.target());
        let query = query.bind(machine.host.as_str()).bind(&machine.endpoint).bind(&machine.engine);
        let query = query.bind(&machine.host_key);
        let query = query.bind(&asker.principal).bind(&asker.client).bind(client_key).bind(fingerprint);
        let limit = i64::try_from(change.limit().as_millis()).unwrap_or(i64::MAX);
        let query = query.bind(json(&masked)).bind(whole).bind(limit).bind(now);
        query.bind(bound.as_ref().map(json)).bind(word).execute(connection).await?;
    }
    Ok(receipt)
}

async fn audit(connection: &mut SqliteConnection, entry: &AuditEntry, now: i64) -> Result<(), sqlx::Error> {
    let AuditEntry { asker, tool, host, arguments, verdict, words, operation } = entry;
    let query = sqlx::query(
        "INSERT INTO audit (at, principal, client, tool, host, arguments, verdict, words, operation) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    );
    let query = query.bind(now).bind(&asker.principal).bind(&asker.client).bind(tool).bind(host);
    let query = query.bind(json(arguments)).bind(verdict.word()).bind(words);
    query.bind(operation.map(|operation| operation.to_string())).execute(connection).await?;
    Ok(())
}

/// What is kept as JSON; all of it can be written as such.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// The word of an enumeration.
fn word(value: &impl Serialize) -> String {
    json(value).trim_matches('"').to_owned()
}

fn position_of(position: usize) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

fn migration(path: &Path, error: &MigrateError) -> JournalError {
    match error {
        MigrateError::VersionMissing(_) => JournalError::Newer { path: path.to_owned() },
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            JournalError::sql(path, error)
        }
        other => JournalError::Damaged { path: path.to_owned(), words: other.to_string() },
    }
}

/// The schema's steps, built into the program.
#[derive(Debug)]
struct Schema;

impl MigrationSource<'static> for Schema {
    fn resolve(self) -> BoxFuture<'static, Result<Vec<Migration>, sqlx::error::BoxDynError>> {
        let step = |(version, name, sql): (i64, &'static str, &'static str)| {
            Migration::new(version, name.into(), MigrationType::Simple, sql.into(), false)
        };
        Box::pin(async move { Ok(MIGRATIONS.into_iter().map(step).collect()) })
    }
}
