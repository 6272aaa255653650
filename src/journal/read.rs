//! Reading: by anybody of the same user, also while another process writes.

use super::fingerprint::{FingerprintKey, KEY_FILE};
use super::record::{
    AuditEntry, AuditRecord, ChangeRecord, ChangeState, HeldRecord, KeptAnswer, KeyedCall, Machine,
    StepRecord, Verdict,
};
use super::store::{KEY_LIFE, KEYED};
use super::{FILE, JournalError};
use crate::domain::change::{Asker, Change};
use crate::domain::host::HostId;
use crate::domain::operation::OperationId;
use crate::domain::saga::{Course, Why};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{ConnectOptions as _, Row as _, SqliteConnection};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Which changes are wanted.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// Only those that are over, or only those that are not.
    pub ended: Option<bool>,
    /// At most so many, the newest first.
    pub limit: u32,
    /// Only those before this one.
    pub before: Option<OperationId>,
}

/// What a key is remembered with.
#[derive(Debug, Clone, PartialEq)]
pub enum Recalled {
    /// The same call was begun then, and its answer is not known.
    Begun(Timestamp),
    /// The same call was answered then; this is kept of it.
    Answered(Timestamp, KeptAnswer),
    /// Another call bore it.
    Other,
}

/// The journal of a data directory, for reading.
#[derive(Debug, Clone)]
pub struct Reader {
    path: PathBuf,
    /// A connection that nobody reads over at the moment.
    spare: Arc<Mutex<Option<SqliteConnection>>>,
}

impl Reader {
    /// The journal of the data directory `dir`.
    pub fn of(dir: &Path) -> Self {
        Self { path: dir.join(FILE), spare: Arc::default() }
    }

    async fn connect(&self) -> Result<SqliteConnection, JournalError> {
        if let Some(spare) = self.spare().take() {
            return Ok(spare);
        }
        if !self.path.exists() {
            return Err(JournalError::Absent { path: self.path.clone() });
        }
        let options = SqliteConnectOptions::new().filename(&self.path).read_only(true);
        let options = options.busy_timeout(Duration::from_secs(5)).disable_statement_logging();
        options.connect().await.map_err(|error| self.failed(&error))
    }

    /// Keeps a connection over which everything has been read for whoever reads next. One over which something
    /// failed is not kept.
    fn keep(&self, connection: SqliteConnection) {
        *self.spare() = Some(connection);
    }

    fn spare(&self) -> MutexGuard<'_, Option<SqliteConnection>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, error: &sqlx::Error) -> JournalError {
        JournalError::sql(&self.path, error)
    }

    /// Changes, the newest first.
    pub async fn changes(&self, page: &Page) -> Result<Vec<ChangeRecord>, JournalError> {
        let mut connection = self.connect().await?;
        let ended = match page.ended {
            None => "1",
            Some(true) => "ended IS NOT NULL",
            Some(false) => "ended IS NULL",
        };
        let statement = format!(
            "SELECT * FROM operations WHERE {ended} AND (?1 IS NULL OR number < (SELECT number FROM operations WHERE id = ?1)) \
             ORDER BY number DESC LIMIT ?2"
        );
        let mut before = page.before.map(|id| id.to_string());
        let mut changes = Vec::new();
        // What cannot be made out is passed over, so that a page is full unless it is the last.
        loop {
            let wanted = page.limit - u32::try_from(changes.len()).unwrap_or(page.limit);
            let rows = sqlx::query(&statement).bind(&before).bind(wanted).fetch_all(&mut connection).await;
            let mut found = Vec::new();
            for row in rows.map_err(|error| self.failed(&error))? {
                let steps = steps_of(&mut connection, &row).await.map_err(|error| self.failed(&error))?;
                before = row.try_get("id").map_err(|error| self.failed(&error))?;
                found.push((row, steps));
            }
            let read = self.legible(&found, |(row, steps)| whole(row, steps))?;
            let is_done = read.len() == found.len() || found.len() < wanted as usize;
            changes.extend(read);
            if is_done {
                self.keep(connection);
                return Ok(changes);
            }
        }
    }

    /// What can be made out of rows. One that cannot is not to keep the others from being seen to: it is left as
    /// it is, and told.
    fn legible<R, T>(
        &self,
        rows: &[R],
        read: impl Fn(&R) -> Result<T, sqlx::Error>,
    ) -> Result<Vec<T>, JournalError> {
        let mut found = Vec::new();
        for row in rows {
            match read(row) {
                Ok(one) => found.push(one),
                Err(
                    error @ (sqlx::Error::Decode(_)
                    | sqlx::Error::ColumnDecode { .. }
                    | sqlx::Error::ColumnNotFound(_)),
                ) => {
                    tracing::error!(journal = %self.path.display(), %error, "a row cannot be made out; it is left as it is");
                }
                Err(error) => return Err(self.failed(&error)),
            }
        }
        Ok(found)
    }

    /// The changes that are not over, the oldest first.
    pub async fn open_changes(&self) -> Result<Vec<ChangeRecord>, JournalError> {
        let page = Page { ended: Some(false), limit: u32::MAX, before: None };
        let mut changes = self.changes(&page).await?;
        changes.reverse();
        Ok(changes)
    }

    /// One change.
    pub async fn change(&self, id: OperationId) -> Result<Option<ChangeRecord>, JournalError> {
        let mut connection = self.connect().await?;
        let row = sqlx::query("SELECT * FROM operations WHERE id = ?").bind(id.to_string());
        let found = match row.fetch_optional(&mut connection).await.map_err(|error| self.failed(&error))? {
            Some(row) => {
                let steps = steps_of(&mut connection, &row).await;
                let read = steps.and_then(|steps| whole(&row, &steps));
                Some(read.map_err(|error| self.failed(&error))?)
            }
            None => None,
        };
        self.keep(connection);
        Ok(found)
    }

    /// The changes whose names begin with this, at most two of them.
    pub async fn beginning_with(&self, text: &str) -> Result<Vec<ChangeRecord>, JournalError> {
        let mut connection = self.connect().await?;
        let query = sqlx::query("SELECT * FROM operations WHERE substr(id, 1, length(?1)) = ?1 LIMIT 2");
        let rows = query.bind(text).fetch_all(&mut connection).await;
        let mut changes = Vec::new();
        for row in rows.map_err(|error| self.failed(&error))? {
            let steps = steps_of(&mut connection, &row).await;
            let read = steps.and_then(|steps| whole(&row, &steps));
            changes.push(read.map_err(|error| self.failed(&error))?);
        }
        self.keep(connection);
        Ok(changes)
    }

    /// What operations hold, the oldest first.
    pub async fn held(&self) -> Result<Vec<HeldRecord>, JournalError> {
        let mut connection = self.connect().await?;
        let rows =
            sqlx::query("SELECT * FROM held ORDER BY at, operation, resource").fetch_all(&mut connection);
        let rows = rows.await.map_err(|error| self.failed(&error))?;
        self.keep(connection);
        self.legible(&rows, held)
    }

    /// The audit, the newest first; only what is before the entry of number `before`.
    pub async fn audit(&self, limit: u32, before: Option<i64>) -> Result<Vec<AuditRecord>, JournalError> {
        let mut connection = self.connect().await?;
        let query = sqlx::query("SELECT * FROM audit WHERE number < ? ORDER BY number DESC LIMIT ?");
        let rows = query.bind(before.unwrap_or(i64::MAX)).bind(limit).fetch_all(&mut connection);
        let rows = rows.await.map_err(|error| self.failed(&error))?;
        self.keep(connection);
        self.legible(&rows, audit)
    }

    /// The phases of hosts, the newest first: when, which host, which phase, why.
    pub async fn phases(
        &self,
        limit: u32,
    ) -> Result<Vec<(Timestamp, String, String, Option<String>)>, JournalError> {
        let mut connection = self.connect().await?;
        let rows = sqlx::query("SELECT * FROM phases ORDER BY number DESC LIMIT ?").bind(limit);
        let rows = rows.fetch_all(&mut connection).await.map_err(|error| self.failed(&error))?;
        self.keep(connection);
        let phase = |row: &SqliteRow| {
            Ok((time(row, "at")?, row.try_get("host")?, row.try_get("phase")?, row.try_get("cause")?))
        };
        self.legible(&rows, phase)
    }

    /// The change that `principal` began with this key at most a day before `now`, and whether it was this one on
    /// this host.
    pub async fn begun(
        &self,
        principal: &str,
        key: &str,
        change: &Change,
        host: &HostId,
        now: Timestamp,
    ) -> Result<Option<(OperationId, bool)>, JournalError> {
        let mut connection = self.connect().await?;
        let row = sqlx::query(KEYED).bind(principal).bind(change.word()).bind(key);
        let row = row.bind(now.as_millisecond() - KEY_LIFE).fetch_optional(&mut connection).await;
        let row = row.map_err(|error| self.failed(&error))?;
        self.keep(connection);
        let Some(row) = row else { return Ok(None) };
        let (key, _) = FingerprintKey::load_or_create(&self.path.with_file_name(KEY_FILE))?;
        let fingerprint: String = row.try_get("fingerprint").map_err(|error| self.failed(&error))?;
        let found = id(&row, "id").map_err(|error| self.failed(&error))?;
        Ok(Some((found, fingerprint == key.of_change(change, host))))
    }

    /// What became of the same call that bore its key at most a day before `now`.
    pub async fn recall(&self, call: &KeyedCall, now: Timestamp) -> Result<Option<Recalled>, JournalError> {
        let mut connection = self.connect().await?;
        let query = sqlx::query(
            "SELECT fingerprint, answer, at FROM answers WHERE principal = ? AND tool = ? AND key = ? AND at > ?",
        );
        let query = query.bind(&call.principal).bind(&call.tool).bind(&call.key);
        let query = query.bind(now.as_millisecond() - KEY_LIFE);
        let row = query.fetch_optional(&mut connection).await.map_err(|error| self.failed(&error))?;
        self.keep(connection);
        let Some(row) = row else { return Ok(None) };
        let (key, _) = FingerprintKey::load_or_create(&self.path.with_file_name(KEY_FILE))?;
        let fingerprint: String = row.try_get("fingerprint").map_err(|error| self.failed(&error))?;
        if fingerprint != key.of(&call.arguments) {
            return Ok(Some(Recalled::Other));
        }
        let recalled = || {
            let at = time(&row, "at")?;
            Ok(match json(&row, "answer")? {
                Value::Null => Recalled::Begun(at),
                Value::String(words) => {
                    Recalled::Answered(at, KeptAnswer::Ending(Some(words).filter(|words| !words.is_empty())))
                }
                answer => Recalled::Answered(at, KeptAnswer::Whole(answer)),
            })
        };
        recalled().map(Some).map_err(|error: sqlx::Error| self.failed(&error))
    }
}

async fn steps_of(
    connection: &mut SqliteConnection,
    operation: &SqliteRow,
) -> Result<Vec<SqliteRow>, sqlx::Error> {
    let steps = sqlx::query("SELECT * FROM steps WHERE operation = ? ORDER BY position");
    steps.bind(operation.try_get::<String, _>("id")?).fetch_all(connection).await
}

/// An operation with its steps. What is wrong with it is told with its name.
fn whole(row: &SqliteRow, steps: &[SqliteRow]) -> Result<ChangeRecord, sqlx::Error> {
    let read =
        || Ok(ChangeRecord { steps: steps.iter().map(step).collect::<Result<_, _>>()?, ..change(row)? });
    read().map_err(|error: sqlx::Error| {
        let operation: String = row.try_get("id").unwrap_or_default();
        sqlx::Error::Decode(format!("operation {operation}: {error}").into())
    })
}

fn change(row: &SqliteRow) -> Result<ChangeRecord, sqlx::Error> {
    let back: Option<Why> = word(row, "back")?;
    Ok(ChangeRecord {
        id: id(row, "id")?,
        change: json::<Change>(row, "change")?,
        whole: row.try_get("whole")?,
        machine: machine(row)?,
        bound: row.try_get::<Option<String>, _>("bound")?.map(|text| parse(&text)).transpose()?,
        asker: Asker { principal: row.try_get("principal")?, client: row.try_get("client")? },
        key: row.try_get("key")?,
        limit: Duration::from_millis(row.try_get::<i64, _>("limit_ms")?.try_into().unwrap_or_default()),
        state: word::<ChangeState>(row, "state")?.ok_or_else(|| missing("state"))?,
        course: back.map_or(Course::Forward, Course::Back),
        words: row.try_get("words")?,
        started: time(row, "started")?,
        ended: row.try_get::<Option<i64>, _>("ended")?.and_then(|at| Timestamp::from_millisecond(at).ok()),
        steps: vec![],
    })
}

fn step(row: &SqliteRow) -> Result<StepRecord, sqlx::Error> {
    let made: Option<String> = row.try_get("made")?;
    Ok(StepRecord {
        name: row.try_get("name")?,
        state: word(row, "state")?.ok_or_else(|| missing("state"))?,
        before: json(row, "before")?,
        made: made.map(|text| parse(&text)).transpose()?.unwrap_or_default(),
        words: row.try_get("words")?,
        began: time(row, "began")?,
        ended: row.try_get::<Option<i64>, _>("ended")?.and_then(|at| Timestamp::from_millisecond(at).ok()),
    })
}

fn held(row: &SqliteRow) -> Result<HeldRecord, sqlx::Error> {
    Ok(HeldRecord {
        operation: id(row, "operation")?,
        name: row.try_get("name")?,
        machine: machine(row)?,
        resource: json(row, "resource")?,
        at: time(row, "at")?,
    })
}

fn audit(row: &SqliteRow) -> Result<AuditRecord, sqlx::Error> {
    let operation: Option<String> = row.try_get("operation")?;
    let entry = AuditEntry {
        asker: Asker { principal: row.try_get("principal")?, client: row.try_get("client")? },
        tool: row.try_get("tool")?,
        host: row.try_get("host")?,
        arguments: json(row, "arguments")?,
        verdict: word::<Verdict>(row, "verdict")?.ok_or_else(|| missing("verdict"))?,
        words: row.try_get("words")?,
        operation: operation.map(|text| text.parse().map_err(decode)).transpose()?,
    };
    Ok(AuditRecord { number: row.try_get("number")?, at: time(row, "at")?, entry })
}

fn machine(row: &SqliteRow) -> Result<Machine, sqlx::Error> {
    let host: String = row.try_get("host")?;
    Ok(Machine {
        host: host.parse().map_err(decode)?,
        endpoint: row.try_get("endpoint")?,
        engine: row.try_get("engine")?,
        host_key: row.try_get("host_key")?,
    })
}

fn id(row: &SqliteRow, column: &str) -> Result<OperationId, sqlx::Error> {
    row.try_get::<String, _>(column)?.parse().map_err(decode)
}

fn time(row: &SqliteRow, column: &str) -> Result<Timestamp, sqlx::Error> {
    Timestamp::from_millisecond(row.try_get(column)?).map_err(decode)
}

fn json<T: DeserializeOwned>(row: &SqliteRow, column: &str) -> Result<T, sqlx::Error> {
    parse(&row.try_get::<String, _>(column)?)
}

fn word<T: DeserializeOwned>(row: &SqliteRow, column: &str) -> Result<Option<T>, sqlx::Error> {
    let word: Option<String> = row.try_get(column)?;
    word.map(|word| serde_json::from_value(word.into()).map_err(decode)).transpose()
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, sqlx::Error> {
    serde_json::from_str(text).map_err(decode)
}

fn decode(error: impl std::error::Error + Send + Sync + 'static) -> sqlx::Error {
    sqlx::Error::Decode(Box::new(error))
}

fn missing(column: &str) -> sqlx::Error {
    sqlx::Error::ColumnNotFound(column.to_owned())
}
