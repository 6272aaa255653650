//! `dockmaster tool`: the assistants' tools, for a person and for scripts.

use super::{EXIT_CONFIG, OfferArgs, refuse};
use crate::app::{App, AppError, Front};
use crate::config::{Sources, load};
use crate::control::{Answer, ControlError, call};
use crate::domain::change::{Asker, OWNER};
use crate::domain::toolset::Offer;
use crate::journal::JournalError;
use crate::mcp::{Asking, Caller, Question, Response, Said, Wants, catalogue};
use crate::runtime::telemetry;
use clap::Subcommand;
use serde_json::{Map, Value};
use std::io::{IsTerminal as _, Read as _};
use std::process::ExitCode;

#[derive(Debug, Subcommand)]
pub(super) enum ToolCommand {
    /// The tools that are offered: what each does, and what it does to the world
    List {
        /// With their parameters and answers, as assistants see them
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        offer: OfferArgs,
    },
    /// Call a tool, through the running service when there is one
    Call {
        /// The tool
        #[arg(value_name = "NAME")]
        name: String,
        /// Its arguments as JSON; - reads them from standard input
        #[arg(value_name = "JSON", default_value = "{}")]
        arguments: String,
        /// The answer to what it asks before it changes something: yes, or the name it wants typed
        #[arg(long, value_name = "ANSWER")]
        confirm: Option<String>,
    },
}

impl ToolCommand {
    pub(super) async fn run(self, mut sources: Sources) -> ExitCode {
        match self {
            Self::List { json, offer } => list(json, &offer.into()),
            Self::Call { name, arguments, confirm } => {
                // A person who names a tool wants that one.
                sources.offer = Offer::all();
                match read(&arguments) {
                    Ok(arguments) => print(made(sources, &name, arguments, confirm.as_deref()).await),
                    Err(words) => refuse(&ControlError::Refused(words), 2),
                }
            }
        }
    }
}

#[expect(clippy::print_stdout, reason = "the command's answer")]
fn list(json: bool, offer: &Offer) -> ExitCode {
    let tools = match catalogue(offer) {
        Ok(tools) => tools,
        Err(error) => return refuse(&error, EXIT_CONFIG),
    };
    for tool in &tools {
        if json {
            println!("{tool}");
            continue;
        }
        let hints = &tool["annotations"];
        let effect = match (hints["readOnlyHint"] == true, hints["destructiveHint"] == true) {
            (true, _) => "reads",
            (false, false) => "adds",
            (false, true) => "disrupts",
        };
        let text = |key: &str| tool[key].as_str().unwrap_or_default().to_owned();
        println!("{:<20}  {effect:<8}  {}", text("name"), text("description"));
    }
    ExitCode::SUCCESS
}

fn read(arguments: &str) -> Result<Map<String, Value>, String> {
    let mut text = arguments.to_owned();
    if arguments == "-" {
        text.clear();
        std::io::stdin().read_to_string(&mut text).map_err(|error| format!("standard input: {error}"))?;
    }
    serde_json::from_str(&text).map_err(|error| format!("the arguments are no JSON object: {error}"))
}

/// Calls it through the service that keeps the journal; where there is none, this process is one for that long.
async fn made(
    sources: Sources,
    name: &str,
    arguments: Map<String, Value>,
    confirm: Option<&str>,
) -> Result<Answer, ExitCode> {
    let settings = load(&sources).map_err(|error| refuse(&error, EXIT_CONFIG))?;
    telemetry::init(settings.log_level.value);
    match App::start(sources.clone(), settings, Front::Carried).await {
        Ok(app) => {
            let ask = async |response| {
                let asker = Asker { principal: OWNER.to_owned(), client: "dockmaster tool".to_owned() };
                let caller = Caller::at_the_command_line(asker, response);
                Ok(app.registry().call_by_name(name, arguments.clone(), caller).await.into())
            };
            let answer = agreed(confirm, ask).await;
            app.shutdown().await;
            answer
        }
        Err(AppError::Journal(JournalError::Held { dir, holder })) => {
            let Some(socket) = holder.socket.clone() else {
                return Err(refuse(&JournalError::Held { dir, holder }, 1));
            };
            let files = sources.files();
            let ask = async |response| call(&socket, &files, name, arguments.clone(), response).await;
            agreed(confirm, ask).await.map_err(|error| refuse(&error, 1))
        }
        Err(error) => Err(refuse(&error, 1)),
    }
}

/// The answer of a call, which is made again when the person agrees to what it asks.
async fn agreed<E>(
    confirm: Option<&str>,
    ask: impl AsyncFn(Option<Response>) -> Result<Answer, E>,
) -> Result<Answer, E> {
    let answer = ask(None).await?;
    let Answer::Asks(asking) = answer else { return Ok(answer) };
    let Asking { question, token, .. } = *asking;
    let words = match confirm {
        Some(words) => Some(words.to_owned()),
        None => put(&question),
    };
    let Some(words) = words else {
        let answer = if let Wants::Name(name) = &question.wants { name } else { "yes" };
        let words = format!("{} Nobody is there to ask; --confirm {answer} agrees.", question.text);
        return Ok(Answer::Failed(words));
    };
    let said = match question.wants {
        Wants::Yes if matches!(words.trim(), "y" | "yes") => Said::Yes,
        Wants::Yes => Said::no(),
        Wants::Name(_) => Said::Name(words),
    };
    ask(Some(Response { token, said })).await
}

/// What the person at the terminal says to it; `None` where there is none.
#[expect(clippy::print_stderr, reason = "a question")]
fn put(question: &Question) -> Option<String> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return None;
    }
    let hint = if question.wants == Wants::Yes { " [y/N]" } else { "" };
    eprint!("{}{hint} ", question.text);
    let mut said = String::new();
    input.read_line(&mut said).ok().map(|_| said)
}

#[expect(clippy::print_stdout, reason = "the command's answer")]
fn print(answer: Result<Answer, ExitCode>) -> ExitCode {
    match answer {
        Ok(Answer::Value(value)) => println!("{value:#}"),
        Ok(Answer::Asks(asking)) => println!("{:#}", asking.plan),
        Ok(Answer::Text(text)) => println!("{}", text.trim_end()),
        Ok(Answer::Failed(words)) => return refuse(&ControlError::Refused(words), 1),
        Err(code) => return code,
    }
    ExitCode::SUCCESS
}
