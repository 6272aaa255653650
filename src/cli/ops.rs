//! `dockmaster ops` and `dockmaster audit`: what is on record. Read from the journal itself, so that it can be
//! looked at whether a service runs or not; what is to be done is asked of the service that keeps it.

use super::refuse;
use crate::config::Sources;
use crate::control::{Request, ask};
use crate::domain::change::{Asker, OWNER};
use crate::domain::operation::OperationId;
use crate::domain::saga::{Course, Why};
use crate::journal::record::{
    AuditEntry, AuditRecord, ChangeRecord, ChangeState, Entry, StepRecord, Verdict,
};
use crate::journal::{JournalError, JournalLock, Page, Reader, Store};
use crate::runtime::dirs::DirError;
use clap::Subcommand;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub(super) enum OpsCommand {
    /// List operations, the newest first
    List {
        /// Only those at work or in doubt
        #[arg(long)]
        open: bool,
        /// So many
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: u32,
        /// As JSON, a line each
        #[arg(long)]
        json: bool,
    },
    /// Show an operation with its steps
    Show {
        /// Its name, or how it begins
        operation: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// End an operation at its next step and undo what can be undone
    Cancel {
        /// Its name, or how it begins
        operation: String,
        /// Leave it as it is: for a host that never comes back
        #[arg(long)]
        give_up: bool,
    },
    /// Look once more what became of an operation that ended unknown, and get it to its end
    Resume {
        /// Its name, or how it begins
        operation: String,
    },
    /// Print all operations as JSON, the newest first, a line each
    Export,
    /// Show which phases hosts were in and why, the newest first
    Phases {
        /// So many
        #[arg(long, default_value_t = 50, value_name = "N")]
        limit: u32,
    },
}

type Outcome = Result<(), Box<dyn Error>>;

impl OpsCommand {
    pub(super) async fn run(self, sources: &Sources) -> ExitCode {
        code(self.carry_out(sources).await)
    }

    async fn carry_out(self, sources: &Sources) -> Outcome {
        let data_dir = data_dir(sources)?;
        let reader = Reader::of(data_dir);
        match self {
            Self::List { open, limit, json } => {
                let page = Page { ended: open.then_some(false), limit, before: None };
                let records = empty_when_absent(reader.changes(&page).await)?;
                if json {
                    for record in &records {
                        say(&export(record).to_string());
                    }
                } else if records.is_empty() {
                    say("no operations");
                } else {
                    for record in &records {
                        say(&line(record));
                    }
                }
                Ok(())
            }
            Self::Show { operation, json } => {
                let record = find(&reader, &operation).await?;
                say(&if json { export(&record).to_string() } else { page(&record) });
                Ok(())
            }
            Self::Cancel { operation, give_up } => {
                let record = find(&reader, &operation).await?;
                if record.state.is_final() {
                    return Err(format!("{} is over: {}", record.id, record.state.word()).into());
                }
                let request = Request::Cancel { operation: record.id, give_up };
                let written = if give_up {
                    let words = "given up by a person; what became of it is not known".to_owned();
                    Entry::State(record.id, ChangeState::Unknown, Some(words))
                } else {
                    Entry::Back(record.id, Why::Cancelled)
                };
                let by = have_done(data_dir, &request, written).await?;
                say(&format!("{}  {}{by}", record.id, if give_up { "given up" } else { "is cancelled" }));
                Ok(())
            }
            Self::Resume { operation } => {
                let record = find(&reader, &operation).await?;
                if record.state != ChangeState::Unknown {
                    return Err(format!(
                        "{} is {}; only one that ended unknown is looked at again",
                        record.id,
                        record.state.word()
                    )
                    .into());
                }
                let request = Request::Resume { operation: record.id };
                let by =
                    have_done(data_dir, &request, Entry::State(record.id, ChangeState::Recovering, None))
                        .await?;
                say(&format!("{}  is looked at again{by}", record.id));
                Ok(())
            }
            Self::Phases { limit } => {
                for (at, host, phase, cause) in empty_when_absent(reader.phases(limit).await)? {
                    let cause = cause.map(|cause| format!("  {cause}")).unwrap_or_default();
                    say(&format!("{}  {host}  {phase}{cause}", time(at)));
                }
                Ok(())
            }
            Self::Export => {
                let mut before = None;
                loop {
                    let page = Page { ended: None, limit: 500, before };
                    let records = empty_when_absent(reader.changes(&page).await)?;
                    for record in &records {
                        say(&export(record).to_string());
                    }
                    let Some(last) = records.last() else { return Ok(()) };
                    before = Some(last.id);
                }
            }
        }
    }
}

/// `dockmaster audit`
pub(super) async fn audit(sources: &Sources, limit: u32, json: bool) -> ExitCode {
    let shown = async {
        let records = empty_when_absent(Reader::of(data_dir(sources)?).audit(limit, None).await)?;
        for record in &records {
            say(&if json { record.to_json().to_string() } else { entry_line(record) });
        }
        if records.is_empty() && !json {
            say("no changes were asked for");
        }
        Ok(())
    };
    code(shown.await)
}

fn data_dir(sources: &Sources) -> Result<&Path, DirError> {
    sources.data_dir.as_deref().ok_or(DirError::NoHome)
}

/// Has the service do it that keeps the journal; without one it is put on record for the next.
async fn have_done(data_dir: &Path, request: &Request, entry: Entry) -> Result<&'static str, Box<dyn Error>> {
    match JournalLock::take(data_dir) {
        Ok(lock) => {
            let audit = Entry::Audit(Box::new(AuditEntry {
                asker: Asker { principal: OWNER.to_owned(), client: "dockmaster ops".to_owned() },
                tool: request.word().to_owned(),
                host: None,
                arguments: Value::Null,
                verdict: Verdict::Accepted,
                words: None,
                operation: request.operation(),
            }));
            Store::open(&lock).await?.commit(&[audit, entry], Timestamp::now()).await?;
            Ok(" when the service starts")
        }
        Err(JournalError::Held { holder, dir }) => {
            let socket = holder.socket.clone().ok_or(JournalError::Held { holder, dir })?;
            ask(&socket, request).await?;
            Ok("")
        }
        Err(error) => Err(error.into()),
    }
}

/// Where nothing was ever changed there is nothing on record.
fn empty_when_absent<T>(read: Result<Vec<T>, JournalError>) -> Result<Vec<T>, JournalError> {
    match read {
        Err(JournalError::Absent { .. }) => Ok(vec![]),
        read => read,
    }
}

/// The operation that is meant.
async fn find(reader: &Reader, text: &str) -> Result<ChangeRecord, Box<dyn Error>> {
    if let Ok(id) = text.parse::<OperationId>() {
        return reader.change(id).await?.ok_or_else(|| format!("there is no operation {id}").into());
    }
    let mut found = reader.beginning_with(text).await?;
    match (found.pop(), found.pop()) {
        (Some(one), None) => Ok(one),
        (Some(_), Some(_)) => Err(format!("several operations begin with {text:?}: write more of it").into()),
        (None, _) => Err(format!("no operation begins with {text:?}; dockmaster ops list shows them").into()),
    }
}

fn line(record: &ChangeRecord) -> String {
    let state = match (record.state, record.course) {
        (ChangeState::Running | ChangeState::Recovering, Course::Back(Why::Cancelled)) => "cancelling",
        (state, _) => state.word(),
    };
    let words = record.words.as_deref().map(|words| format!("  {words}")).unwrap_or_default();
    format!(
        "{}  {}  {state:<11}  {}  {}  {}{words}",
        record.id,
        time(record.started),
        record.machine.host,
        record.change.word(),
        record.change.target(),
    )
}

fn page(record: &ChangeRecord) -> String {
    let mut text = line(record);
    let engine = record.machine.engine.as_deref().unwrap_or("without a name");
    // Writing to a string cannot fail.
    let _ = write!(text, "\n  on {}, engine {engine}", record.machine.endpoint);
    let _ = write!(text, "\n  asked for by {} {}", record.asker.principal, record.asker.client);
    if let Some(key) = &record.key {
        let _ = write!(text, "\n  idempotency key {key:?}");
    }
    if let Some(ended) = record.ended {
        let _ = write!(text, "\n  ended {}", time(ended));
    }
    for StepRecord { name, state, words, made, .. } in &record.steps {
        let state = json!(state);
        let state = state.as_str().unwrap_or_default();
        let _ = write!(text, "\n  {state:<9} {name}");
        if let (Some(before), Some(after)) = (&made.before, &made.after) {
            let _ = write!(text, " ({before} to {after})");
        }
        if let Some(words) = words {
            let _ = write!(text, ": {words}");
        }
    }
    let begun = record.steps.len();
    for step in record.change.steps().iter().skip(begun) {
        let _ = write!(text, "\n  {:<9} {step}", "not begun");
    }
    text
}

/// A record for other programs.
fn export(record: &ChangeRecord) -> Value {
    let steps: Vec<Value> = record
        .steps
        .iter()
        .map(|step| {
            json!({
                "name": step.name, "state": step.state, "before": step.before, "made": step.made,
                "error": step.words, "began": time(step.began), "ended": step.ended.map(time),
            })
        })
        .collect();
    let back = match record.course {
        Course::Forward => None,
        Course::Back(why) => Some(why),
    };
    json!({
        "id": record.id, "state": record.state, "note": record.words, "change": record.change,
        "host": record.machine.host.as_str(), "endpoint": record.machine.endpoint, "engine": record.machine.engine,
        "principal": record.asker.principal, "client": record.asker.client, "idempotency_key": record.key,
        "goes_back": back, "started": time(record.started), "ended": record.ended.map(time), "steps": steps,
    })
}

fn entry_line(record: &AuditRecord) -> String {
    let entry = &record.entry;
    let operation = entry.operation.map(|id| format!("  {id}")).unwrap_or_default();
    let words = entry.words.as_deref().map(|words| format!("  {words}")).unwrap_or_default();
    format!(
        "{}  {}  {:<8}  {} {}  {}  {}{operation}{words}",
        record.number,
        time(record.at),
        entry.verdict.word(),
        entry.asker.principal,
        entry.asker.client,
        entry.tool,
        entry.host.as_deref().unwrap_or("-"),
    )
}

/// RFC 3339 in UTC, whole seconds.
fn time(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

#[expect(clippy::print_stdout, reason = "the command's answer")]
fn say(text: &str) {
    println!("{text}");
}

fn code(outcome: Outcome) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => refuse(error.as_ref(), 1),
    }
}
